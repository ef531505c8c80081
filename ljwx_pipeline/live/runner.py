"""One session of live trading, and how to begin again after anything.

The life of a session, at its close: the broker says what became of yesterday's orders; the model scores the universe on
the last ``window`` sessions; the strategy decides; the risk gate judges; all of it becomes durable in one transaction;
only then are the orders sent, and that they were is durable in a second one. Start-up and recovery are one path
(`Runner.recover`): send again what may not have arrived, and compare the account with the broker's.

Not here: waiting, pacing and supervision (``loop.py``); factors and models (``scorer.py``).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ljwx_pipeline.errors import LiveError
from ljwx_pipeline.live.broker import Broker
from ljwx_pipeline.live.decision import Books, Decider, DecidingModel, RunnerSettings
from ljwx_pipeline.live.feed import ReplayFeed
from ljwx_pipeline.live.intervals import IntervalEnds
from ljwx_pipeline.live.journal import DeployedBundle, Journal, SessionRecord
from ljwx_pipeline.live.orders import SessionClose
from ljwx_pipeline.uncertainty.abstain import may_buy


class Scorer(Protocol):
    """Scores the universe at a session's close with one model."""

    def scores(self, session: date) -> NDArray[np.float64]:
        """Return one score a symbol of the feed, NaN outside the universe."""
        ...

    def interval_ends(self, session: date) -> IntervalEnds:
        """Return the prediction intervals of those scores; asked for where names may be abstained from."""
        ...


@dataclass(frozen=True)
class SilentScorer:
    """Scores nothing: without a single score only what an exit forces out is sold, and everything else is held."""

    symbols: int

    def scores(self, session: date) -> NDArray[np.float64]:  # noqa: ARG002 - it has nothing to say on any
        """Return NaN for every symbol."""
        return np.full(self.symbols, np.nan)

    def interval_ends(self, session: date) -> IntervalEnds:  # noqa: ARG002
        """Return no interval for anybody."""
        nobody = np.full(self.symbols, np.nan)
        return IntervalEnds(nobody, nobody, "the model was withdrawn")


@dataclass(frozen=True)
class Model:
    """The bundle that trades and the scorer made from it."""

    deployed: DeployedBundle
    scorer: Scorer


class Runner:
    """Trades the sessions of a feed, one `step` each.

    Parameters
    ----------
    journal, feed, broker
        Where it writes, what it reads, whom it sends to.
    settings
        Strategy, limits, age limit of a model.

    Raises
    ------
    LjwxError
        For a strategy that cannot be traded here: nothing is sent then.
    """

    def __init__(self, *, journal: Journal, feed: ReplayFeed, broker: Broker, settings: RunnerSettings) -> None:
        self._journal = journal
        self._feed = feed
        self._broker = broker
        self._settings = settings
        self._decider = Decider(feed, settings)
        self._interval_fault = ""

    def recover(self) -> None:
        """Bring journal and broker to the same state: what start-up does, after a crash or not.

        Raises
        ------
        LiveError
            When the journal's account is not the broker's; nothing is sent then.
        """
        unsent = self._journal.unsent_session()
        if unsent is not None:
            self._send(unsent)
        done = list(self._journal.sessions())
        if done:
            self._reconcile(done[-1])

    def pending(self) -> tuple[date, ...]:
        """Return the feed's sessions that are not done, ascending."""
        done = self._journal.sessions()
        return tuple(day for day in self._feed.sessions if day not in done)

    def step(self, session: date, model: Model) -> None:
        """Trade one session. Dying anywhere inside and stepping again gives the same journal.

        Raises
        ------
        LiveError
            When an exit is set and the broker does not know the price it needs; nothing is sent then.
        """
        close = self._broker.session_close(session)
        scores = model.scorer.scores(session)
        orders = self._decider.orders(
            session,
            self._books(close),
            scores,
            self._may_buy(session, model),
            DecidingModel(model.deployed.model_version, model.deployed.last_train_session),
        )
        scored = np.flatnonzero(np.isfinite(scores))
        self._journal.record_session(
            SessionRecord(
                session=session,
                bars_hash=self._feed.bars_hash(session),
                bundle_hash=model.deployed.bundle_hash,
                close=close,
                scores={self._feed.symbols[row]: float(scores[row]) for row in scored},
                orders=orders,
            )
        )
        if any(not order.denial for order in orders):
            self._send(session)

    def _books(self, close: SessionClose) -> Books:
        equity, cash = self._journal.account_history()
        return Books(
            held=close.positions,
            cash_fen=close.cash_fen,
            equity_fen=close.equity_fen,
            value_fen={position.symbol: position.value_fen for position in close.positions},
            past_equity_fen=equity,
            past_cash_fen=cash,
        )

    def _may_buy(self, session: date, model: Model) -> NDArray[np.int8] | None:
        """Return which names are sure enough to be bought; None where nothing is abstained from.

        Without any interval nothing is bought, and an event says why, once until it changes.
        """
        settings = self._settings.uncertainty
        if not settings.abstains:
            return None
        ends = model.scorer.interval_ends(session)
        if ends.fault and ends.fault != self._interval_fault:
            self._journal.record_event("nothing_is_bought", f"no prediction interval at {session}: {ends.fault}")
        self._interval_fault = ends.fault
        return may_buy(settings, ends.lower, ends.upper)

    def _send(self, session: date) -> None:
        self._broker.submit([order for order in self._journal.open_orders() if order.session == session])
        self._journal.record_sent(session)

    def _reconcile(self, session: date) -> None:
        broker = self._broker.session_close(session)
        account = self._journal.last_account()
        ours = None if account is None else (int(account["cash_fen"]), self._journal.positions(session))
        theirs = (broker.cash_fen, {position.symbol: position.shares for position in broker.positions})
        if ours != theirs:
            raise LiveError(
                f"journal and broker disagree about the account after {session}: journal {ours}, broker {theirs}",
                "find out which one is right before trading goes on; on paper, move the live folder away to start anew",
            )
