"""A strategy that decides once a session, at its close: scores, decides and places the orders of the next session.

The close is decided once: its signals and its orders are durable together before anything is sent, and whoever comes
after a crash finds them. Not here: the decision itself (``decision.py``), how orders travel (``order_desk.py``), when a
close has come (``follower.py``).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import date
from functools import partial

import numpy as np
from sqlalchemy import Connection, select

from ljwx_pipeline.errors import LiveError
from ljwx_pipeline.live.async_journal import AsyncJournal
from ljwx_pipeline.live.decision import Books, Decider, DecidingModel
from ljwx_pipeline.live.event_codec import from_json
from ljwx_pipeline.live.events import Event, Noted, OrderDecided, SessionClosed, SignalsScored
from ljwx_pipeline.live.feed import ReplayFeed
from ljwx_pipeline.live.model import Model
from ljwx_pipeline.live.order_desk import OrderDesk
from ljwx_pipeline.live.orders import DecidedOrder, Execution, Leg
from ljwx_pipeline.live.risk_gate import FREE, Restraint
from ljwx_pipeline.live.tables import account, events_log
from ljwx_pipeline.uncertainty.abstain import may_buy

_E4_PER_FEN = 100


@dataclass(frozen=True)
class Close:
    """A session that is over: the one decided on, the one that its orders are for, and the market's time."""

    session: date
    valid_session: date
    at_ns: int


class CloseTrader:
    """Trades the closes of one feed by one strategy.

    Parameters
    ----------
    strategy
        Its name: part of every order's identity.
    feed, decider
        The market, and what decides on it.
    journal, desk
        Where it reads the books, and where orders go.
    model
        Returns the model that trades now; None: none does, and nothing is decided.
    restraint
        Asked for each close before its orders are judged: what denies them beside the limits. None: nothing does.
    """

    def __init__(
        self,
        strategy: str,
        *,
        feed: ReplayFeed,
        decider: Decider,
        journal: AsyncJournal,
        desk: OrderDesk,
        model: Callable[[], Model | None],
        restraint: Callable[[Close], Awaitable[Restraint]] | None = None,
    ) -> None:
        self.strategy = strategy
        self._feed = feed
        self._decider = decider
        self._journal = journal
        self._desk = desk
        self._model = model
        self._restraint = restraint
        self._interval_fault = ""

    async def decide(self, close: Close) -> bool:
        """Decide ``close`` unless it was, and place its orders; return whether there was a model to decide by.

        Raises
        ------
        LiveError
            When the feed does not hold the session: it cannot be scored, and nothing is decided.
        """
        if await self._journal.read(partial(_was_decided, self.strategy, close.session)):
            return True
        model = self._model()
        if model is None:
            return False
        if close.session not in self._feed.sessions:
            raise LiveError(
                f"the session pack does not hold {close.session}, which the market has closed",
                "run the pipeline, whose deployment writes the pack with it",
            )
        books = await self._journal.read(partial(books_at, close.session))
        # scoring takes as long as it takes: the stream and the lease are looked after meanwhile
        scores = await asyncio.to_thread(model.scorer.scores, close.session)
        beside: list[Event] = []
        buyable = None
        if self._decider.abstains:
            ends = await asyncio.to_thread(model.scorer.interval_ends, close.session)
            if ends.fault and ends.fault != self._interval_fault:
                said = f"no prediction interval at {close.session}: {ends.fault}"
                beside.append(Noted(topic="nothing_is_bought", message=said, session=close.session))
            self._interval_fault = ends.fault
            buyable = may_buy(self._decider.uncertainty, ends.lower, ends.upper)
        deployed = model.deployed
        restraint = FREE if self._restraint is None else await self._restraint(close)
        decided = self._decider.orders(
            close.session,
            books,
            scores,
            buyable,
            DecidingModel(deployed.model_version, deployed.last_train_session),
            restraint,
        )
        scored = {self._feed.symbols[row]: float(scores[row]) for row in np.flatnonzero(np.isfinite(scores))}
        beside.append(
            SignalsScored(
                session=close.session, strategy=self.strategy, bundle_hash=deployed.bundle_hash, scores=scored
            )
        )
        await self._desk.place([self._event(one, close, deployed.bundle_hash) for one in decided], beside)
        return True

    def _event(self, decided: DecidedOrder, close: Close, bundle_hash: str) -> OrderDecided:
        intent = decided.intent
        return OrderDecided(
            client_order_id=intent.client_order_id,
            strategy=self.strategy,
            leg=Leg.DECIDE,
            session=close.session,
            valid_session=close.valid_session,
            bundle_hash=bundle_hash,
            symbol=intent.symbol,
            side=intent.side,
            shares=intent.shares,
            rank=intent.rank,
            execution=Execution.SESSION,
            limit_price_e4=0,
            reference_price_e4=intent.reference_price_e4,
            denial=decided.denial,
            decided_at_ns=close.at_ns,
        )


def _was_decided(strategy: str, session: date, connection: Connection) -> bool:
    scored = select(events_log.c.seq).where(
        events_log.c.kind == SignalsScored.__name__,
        events_log.c.session == session.isoformat(),
        events_log.c.strategy == strategy,
    )
    return connection.execute(scored.limit(1)).first() is not None


def books_at(session: date, connection: Connection) -> Books:
    """Return the account at the close of ``session`` as the journal's log states it.

    Raises
    ------
    LiveError
        When the log holds no such close.
    """
    past = select(account.c.equity_fen, account.c.cash_fen).where(account.c.session < session.isoformat())
    rows = connection.execute(past.order_by(account.c.session)).all()
    kind = (events_log.c.kind == SessionClosed.__name__) & (events_log.c.session == session.isoformat())
    body = connection.execute(select(events_log.c.body).where(kind).order_by(events_log.c.seq.desc()).limit(1)).scalar()
    if body is None:
        raise LiveError(
            f"the journal holds no close of {session}", "nothing is decided without one; reconcile with the broker"
        )
    closed = from_json(SessionClosed, body)
    return Books(
        held=closed.positions,
        cash_fen=closed.cash_fen,
        equity_fen=closed.equity_fen,
        value_fen={one.symbol: one.shares * one.last_price_e4 // _E4_PER_FEN for one in closed.positions},
        past_equity_fen=[row.equity_fen for row in rows],
        past_cash_fen=[row.cash_fen for row in rows],
    )
