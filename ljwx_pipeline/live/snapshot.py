"""The account as the outside sees it: one frozen row, read from the journal."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from ljwx_pipeline.live.journal import Journal
from ljwx_pipeline.units import FEN_PER_CNY


@dataclass(frozen=True)
class AccountSnapshot:
    """The paper account after its last session.

    Parameters
    ----------
    session
        ISO date of that session; None before the first.
    equity_cny, cash_cny
        The account's worth, and the cash in it.
    positions
        Number of symbols held.
    orders
        Number of orders by state, denied ones included.
    holdings
        Shares by symbol.
    model_version, bundle_hash
        What traded last; None before the first bundle.
    mode
        What the runner is doing (``progress.Mode``).
    """

    session: str | None
    equity_cny: float
    cash_cny: float
    positions: int
    orders: dict[str, int]
    fills: int
    sessions: int
    holdings: dict[str, int]
    model_version: str | None
    bundle_hash: str | None
    mode: str

    def as_dict(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        return asdict(self)


def account_snapshot(journal: Journal, *, capital_fen: int) -> AccountSnapshot:
    """Return the account in ``journal``; before the first session it holds ``capital_fen`` of cash."""
    state, account, sessions = journal.runner_state(), journal.last_account(), journal.sessions()
    equity, cash = (capital_fen, capital_fen) if account is None else (account["equity_fen"], account["cash_fen"])
    last = max(sessions) if sessions else None
    holdings = {} if last is None else journal.positions(last)
    bundle_hash = None if state is None else state.bundle_hash
    bundle = None if bundle_hash is None else journal.bundles().get(bundle_hash)
    return AccountSnapshot(
        session=None if last is None else last.isoformat(),
        equity_cny=equity / FEN_PER_CNY,
        cash_cny=cash / FEN_PER_CNY,
        positions=len(holdings),
        orders=journal.order_counts(),
        fills=journal.fill_count(),
        sessions=len(sessions),
        holdings=holdings,
        model_version=None if bundle is None else bundle.model_version,
        bundle_hash=bundle_hash,
        mode="starting" if state is None else state.mode,
    )
