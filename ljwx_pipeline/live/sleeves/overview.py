"""The strategies of an account as people read them: state, share, model, worth and the newest session's result."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from sqlalchemy import Connection, func, select

from ljwx_pipeline.live.events import SleeveBook, Stage, StrategyState
from ljwx_pipeline.live.sleeves.book import NOBODY
from ljwx_pipeline.live.sleeves.reading import last_books, strategies_in_force
from ljwx_pipeline.live.sleeves.strategies import InForce, sleeve_of
from ljwx_pipeline.live.tables import modes, sleeve_accounts, stages
from ljwx_pipeline.trading.modes import TradingMode

#: What nobody's book is called where it is shown.
UNASSIGNED = "(nobody)"


@dataclass(frozen=True)
class Shown:
    """One sleeve, or what belongs to none.

    Parameters
    ----------
    mode
        What a person lets the strategy do (`TradingMode`); breakers and the account's mode may be stricter.
    model
        Registered model that it trades by; empty for the market's own.
    bundle_hash
        What holds its stage; empty for nothing.
    note
        Why it does not trade by its model, for people; empty where it does.
    result_fen
        Of the newest session: change of equity, capital that was moved left out; None before there are two closes.
    """

    sleeve: str
    strategy: str
    stage: str
    state: str
    mode: str
    share_bps: int
    schedule: str
    model: str
    bundle_hash: str
    note: str
    by: str
    session: date | None
    equity_fen: int
    cash_fen: int
    owes_fen: int
    positions: int
    result_fen: int | None


def overview(connection: Connection) -> tuple[Shown, ...]:
    """Return every strategy that is not removed, with its sleeves, by name; what belongs to nobody last."""
    session, books = last_books(connection)
    by_name = {book.sleeve: book for book in books}
    before = _equities_before(connection, session)
    held = {(row.strategy, row.stage): row.bundle_hash for row in connection.execute(select(stages))}
    chosen = {row.scope: row.mode for row in connection.execute(select(modes.c.scope, modes.c.mode))}
    found = []
    for one in strategies_in_force(connection):
        if one.state is StrategyState.REMOVED:
            continue
        for stage in (Stage.CHAMPION, Stage.CANARY):
            book = by_name.get(sleeve_of(one.name, stage))
            if book is not None or stage is Stage.CHAMPION:
                spec = one.spec
                model = "" if spec is None else spec.model
                # what is staged for a model is staged for all who trade it; the market's own stands without a name
                bundle = held.get((model, stage), "")
                found.append(
                    _shown(one, stage, book, chosen.get(one.name, TradingMode.ACTIVE), model, bundle, session, before)
                )
    nobody = by_name.get(NOBODY)
    if nobody is not None and (nobody.equity_fen or nobody.holdings):
        found.append(
            Shown(
                sleeve=UNASSIGNED,
                strategy="",
                stage="",
                state="",
                mode="",
                share_bps=0,
                schedule="",
                model="",
                bundle_hash="",
                note="",
                by="",
                session=session,
                equity_fen=nobody.equity_fen,
                cash_fen=nobody.cash_fen,
                owes_fen=0,
                positions=len(nobody.holdings),
                result_fen=_result(nobody, before),
            )
        )
    return tuple(found)


def _shown(
    one: InForce,
    stage: Stage,
    book: SleeveBook | None,
    mode: str,
    model: str,
    bundle: str,
    session: date | None,
    before: dict[str, int],
) -> Shown:
    named = model or "the market's model"
    waits = stage is Stage.CHAMPION and not bundle and one.state is not StrategyState.REDUCING
    return Shown(
        sleeve=sleeve_of(one.name, stage),
        strategy=one.name,
        stage=stage,
        state=one.state,
        mode=mode,
        share_bps=one.share_bps if book is None else book.share_bps,
        schedule="" if one.spec is None else one.spec.schedule,
        model=model,
        bundle_hash=bundle,
        note=f"no bundle of {named} trades: nothing is bought" if waits else "",
        by=one.by,
        session=None if book is None else session,
        equity_fen=0 if book is None else book.equity_fen,
        cash_fen=0 if book is None else book.cash_fen,
        owes_fen=0 if book is None else book.owes_fen,
        positions=0 if book is None else len(book.holdings),
        result_fen=None if book is None else _result(book, before),
    )


def _result(book: SleeveBook, before: dict[str, int]) -> int | None:
    return book.equity_fen - book.moved_fen - before[book.sleeve] if book.sleeve in before else None


def _equities_before(connection: Connection, session: date | None) -> dict[str, int]:
    if session is None:
        return {}
    newest = select(func.max(sleeve_accounts.c.session)).where(sleeve_accounts.c.session < session.isoformat())
    day = connection.execute(newest).scalar()
    rows = connection.execute(
        select(sleeve_accounts.c.sleeve, sleeve_accounts.c.equity_fen).where(sleeve_accounts.c.session == day)
    )
    return {row.sleeve: row.equity_fen for row in rows}
