"""The books at a close: which sleeves there are, what they hold once the session is settled, and what each decides on.

Not here: how a session is allotted and capital moved (``sleeves/``), the decisions and their orders
(``close_trading.py``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from sqlalchemy import Connection, select

from ljwx_pipeline.errors import LiveError
from ljwx_pipeline.live.decision import Portfolio
from ljwx_pipeline.live.events import Event, Noted, SleeveBook, SleevesSettled, Stage, StrategyState
from ljwx_pipeline.live.model import Model
from ljwx_pipeline.live.sleeves.attribution import SessionRecord, carry
from ljwx_pipeline.live.sleeves.book import Books
from ljwx_pipeline.live.sleeves.funding import Funding, fund, gone
from ljwx_pipeline.live.sleeves.netting import Lot
from ljwx_pipeline.live.sleeves.reading import PastClose, close_of, last_books, records_since
from ljwx_pipeline.live.sleeves.strategies import InForce, StrategySpec, removed, sleeve_of
from ljwx_pipeline.live.tables import account
from ljwx_pipeline.units import BPS, E4_PER_FEN


@dataclass(frozen=True)
class TradingModel:
    """A model that trades for a strategy: at which stage, with what part of the strategy's capital, 1/10,000.

    The champion has what the others leave, whatever is written here. ``model`` None: nobody scores at that stage now,
    and what it holds is held.
    """

    stage: Stage
    capital_share_bps: int
    model: Model | None


@dataclass(frozen=True)
class TradingSleeve:
    """One sleeve that there is at this close; ``spec`` None: its strategy leaves."""

    name: str
    strategy: str
    share_bps: int
    spec: StrategySpec | None
    model: Model | None

    @property
    def decides(self) -> bool:
        """Whether it wants anything at all; it leaves, or has a model and is not paused."""
        return self.spec is None or (self.model is not None and not self.spec.paused)


@dataclass(frozen=True)
class AtClose:
    """What the journal says at a close."""

    settled: date | None
    books: tuple[SleeveBook, ...]
    records: tuple[SessionRecord, ...]
    account: Portfolio


def sleeves_of(
    strategies: Sequence[InForce], models: Callable[[StrategySpec], Sequence[TradingModel]]
) -> list[TradingSleeve]:
    """Return the sleeves that ``strategies`` have; ``models`` returns what trades for one.

    Raises
    ------
    LiveError
        When the journal holds parameters that cannot be read.
    """
    found = []
    for one in strategies:
        if one.state is StrategyState.REMOVED:
            continue
        if one.state is StrategyState.REDUCING:
            found.append(TradingSleeve(one.name, one.name, 0, None, None))
            continue
        spec = one.spec
        if spec is None:
            raise LiveError(
                f"strategy {one.name} has parameters in the journal that this program cannot read",
                "nothing was decided; set it anew with `ljwx live reload` or run the release that wrote it",
            )
        found += _of_strategy(spec, models(spec))
    return found


def _of_strategy(spec: StrategySpec, models: Sequence[TradingModel]) -> list[TradingSleeve]:
    staged = {one.stage: one for one in models if one.stage is not Stage.SHADOW}
    canary = staged.get(Stage.CANARY)
    of_canary = 0 if canary is None else spec.share_bps * canary.capital_share_bps // BPS
    champion = staged.get(Stage.CHAMPION)
    found = [
        TradingSleeve(
            spec.name, spec.name, spec.share_bps - of_canary, spec, None if champion is None else champion.model
        )
    ]
    if canary is not None and of_canary:
        found.append(TradingSleeve(sleeve_of(spec.name, Stage.CANARY), spec.name, of_canary, spec, canary.model))
    return found


def funding_of(sleeves: Sequence[TradingSleeve]) -> Funding:
    """Return whose share is how large, and who inherits from a canary."""
    return Funding(
        {one.name: one.share_bps for one in sleeves},
        {sleeve_of(one.strategy, Stage.CANARY): one.strategy for one in sleeves},
    )


def at_close(session: date, closes: Callable[[date], Mapping[str, int]], connection: Connection) -> AtClose:
    """Return what the journal says at the close of ``session``; ``closes`` returns a session's prices, 1e-4 CNY.

    Raises
    ------
    LiveError
        When the log holds no such close.
    """
    settled, books = last_books(connection)
    records = () if settled == session else records_since(connection, settled, session, closes)
    return AtClose(settled, books, records, portfolio_at(session, connection))


def settled_books(
    standing: AtClose,
    session: date,
    funding: Funding,
    strategies: Sequence[InForce],
    lots: Mapping[str, Lot],
) -> tuple[tuple[SleeveBook, ...], list[Event]]:
    """Return the sleeves' books after ``session``, and the events that say so."""
    books = Books(standing.books)
    newest = standing.records[-1]
    unexplained: list[str] = []
    for record in standing.records:
        unexplained += carry(books, record)
    fund(books, funding, lots=lots, cash_fen=newest.cash_fen, positions=newest.positions)
    stated = books.stated()
    beside: list[Event] = [SleevesSettled(session=session, books=stated)]
    if unexplained and standing.settled is not None:  # an account that has no books yet is explained by nothing
        beside.append(Noted(topic="sleeves_corrected", message="; ".join(unexplained), session=session))
    leaving = [one for one in strategies if one.state is StrategyState.REDUCING]
    beside += [removed(one) for one in leaving if gone(books, one.name)]
    return stated, beside


def portfolio_at(session: date, connection: Connection) -> Portfolio:
    """Return the account at the close of ``session`` as the journal's log states it.

    Raises
    ------
    LiveError
        When the log holds no such close.
    """
    past = select(account.c.equity_fen, account.c.cash_fen).where(account.c.session < session.isoformat())
    rows = connection.execute(past.order_by(account.c.session)).all()
    closed = close_of(session, connection)
    return Portfolio(
        held=closed.positions,
        cash_fen=closed.cash_fen,
        equity_fen=closed.equity_fen,
        value_fen={one.symbol: one.shares * one.last_price_e4 // E4_PER_FEN for one in closed.positions},
        past_equity_fen=[row.equity_fen for row in rows],
        past_cash_fen=[row.cash_fen for row in rows],
    )


def sleeve_portfolio(book: SleeveBook, past: Sequence[PastClose]) -> Portfolio:
    """Return what a sleeve decides on: its ``book``, less what it owes, after its closes before, the oldest first."""
    owes = max(0, book.owes_fen)
    equity = max(0, book.equity_fen - owes)
    past_equity, past_cash = _without_moves(past, book, equity)
    return Portfolio(
        held=book.holdings,
        cash_fen=max(0, book.cash_fen - owes),
        equity_fen=equity,
        value_fen={one.symbol: one.value_fen for one in book.holdings},
        past_equity_fen=past_equity,
        past_cash_fen=past_cash,
    )


def _without_moves(past: Sequence[PastClose], book: SleeveBook, own_fen: int) -> tuple[list[int], list[int]]:
    """Return earlier equity and cash as if today's capital had been there: what was moved or is owed is no return."""
    equities: list[int] = []
    cash: list[int] = []
    # walking back, a move scales all that lies before it
    over, under, moved, equity = own_fen, max(1, book.equity_fen), book.moved_fen, book.equity_fen
    for one in reversed(past):
        if moved:
            if equity - moved <= 0 or equity <= 0:
                break  # it began with that capital
            over, under = over * equity, under * (equity - moved)
        equities.append(one.equity_fen * over // under)
        cash.append(one.cash_fen * over // under)
        moved, equity = one.moved_fen, one.equity_fen
    return equities[::-1], cash[::-1]
