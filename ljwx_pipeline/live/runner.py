"""One session of live trading, and how to begin again after anything.

The life of a session, at its close: the broker says what became of yesterday's orders; the model scores the universe on
the last ``window`` sessions; the strategy decides; the risk gate judges; all of it becomes durable in one transaction;
only then are the orders sent, and that they were is durable in a second one. Start-up and recovery are one path
(`Runner.recover`): send again what may not have arrived, and compare the account with the broker's.

Not here: waiting, pacing and supervision (``loop.py``); factors and models (``scorer.py``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ljwx_pipeline.config import LiveSettings, RiskSettings, StrategySettings, UncertaintySettings
from ljwx_pipeline.errors import LiveError
from ljwx_pipeline.live.broker import Broker
from ljwx_pipeline.live.feed import ReplayFeed
from ljwx_pipeline.live.intervals import IntervalEnds
from ljwx_pipeline.live.journal import DeployedBundle, Journal, SessionRecord
from ljwx_pipeline.live.orders import DecidedOrder, OrderIntent, SessionClose, Side, client_order_id
from ljwx_pipeline.live.risk_gate import Quote, RiskView, gate_orders
from ljwx_pipeline.market.rulebook import lot_sizes
from ljwx_pipeline.trading.decide import DecisionParams, decide
from ljwx_pipeline.trading.exits import ExitParams, forced_out
from ljwx_pipeline.trading.sizing import SizingParams, exposure_bps
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


@dataclass(frozen=True)
class RunnerSettings:
    """The sections the runner reads."""

    strategy: StrategySettings
    risk: RiskSettings
    live: LiveSettings
    uncertainty: UncertaintySettings

    @property
    def capital_fen(self) -> int:
        """The account's opening cash."""
        return round(self.strategy.capital_cny * 100)


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
        self._params = DecisionParams.of(settings.strategy)
        self._sizing = SizingParams.of(settings.strategy.sizing)
        self._exits = ExitParams.of(settings.strategy.exits)
        self._rows = {symbol: row for row, symbol in enumerate(feed.symbols)}
        self._lot_min, self._lot_step = lot_sizes(feed.market.board)
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
        orders = self._gate(session, close, self._decide(session, close, scores, model), model)
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

    def _decide(
        self, session: date, close: SessionClose, scores: NDArray[np.float64], model: Model
    ) -> tuple[OrderIntent, ...]:
        self._require_known_prices(close)
        shares, held, entry_e4, peak_e4 = self._holdings(close)
        price_e4 = self._feed.market.close_e4[:, self._feed.column(session)].astype(np.int64)
        decided = decide(
            scores=scores,
            holdings_shares=shares,
            held_sessions=held,
            price_e4=price_e4,
            lot_min=self._lot_min,
            lot_step=self._lot_step,
            cash_fen=close.cash_fen,
            equity_fen=close.equity_fen,
            params=self._params,
            exposure_bps=self._exposure_bps(close),
            forced=forced_out(
                holdings_shares=shares,
                held_sessions=held,
                entry_price_e4=entry_e4,
                peak_price_e4=peak_e4,
                price_e4=price_e4,
                params=self._exits,
            ),
            may_buy=self._may_buy(session, model),
        )
        ordered = np.flatnonzero(decided.shares)
        intents = []
        for row in ordered[np.argsort(decided.rank[ordered])]:
            side = Side.BUY if decided.shares[row] > 0 else Side.SELL
            symbol = self._feed.symbols[row]
            identity = client_order_id(
                strategy=self._settings.strategy.kind.replace("_", "-"),
                model_version=model.deployed.model_version,
                symbol=symbol,
                session=session,
                side=side,
            )
            intents.append(
                OrderIntent(
                    client_order_id=identity,
                    session=session,
                    symbol=symbol,
                    side=side,
                    shares=int(abs(decided.shares[row])),
                    rank=int(decided.rank[row]),
                    reference_price_e4=int(price_e4[row]),
                )
            )
        return tuple(intents)

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

    def _exposure_bps(self, close: SessionClose) -> int:
        equity, cash = self._journal.account_history()
        return int(
            exposure_bps(
                np.array([*equity, close.equity_fen], dtype=np.int64),
                np.array([*cash, close.cash_fen], dtype=np.int64),
                self._sizing.as_array(),
            )
        )

    def _gate(
        self, session: date, close: SessionClose, intents: tuple[OrderIntent, ...], model: Model
    ) -> tuple[DecidedOrder, ...]:
        view = RiskView(
            equity_fen=close.equity_fen,
            previous_equity_fen=self._previous_equity_fen(),
            shares={position.symbol: position.shares for position in close.positions},
            position_values_fen={position.symbol: position.value_fen for position in close.positions},
            bundle_age_days=(session - model.deployed.last_train_session).days,
            max_bundle_age_days=self._settings.live.max_bundle_age_days,
        )
        return gate_orders(intents, self._quotes(session, intents), view, self._settings.risk)

    def _quotes(self, session: date, intents: tuple[OrderIntent, ...]) -> Mapping[str, Quote]:
        market, column = self._feed.market, self._feed.column(session)
        return {
            order.symbol: Quote(
                close_e4=int(market.close_e4[self._rows[order.symbol], column]),
                pre_close_e4=int(market.pre_close_e4[self._rows[order.symbol], column]),
            )
            for order in intents
        }

    def _previous_equity_fen(self) -> int:
        account = self._journal.last_account()
        return self._settings.capital_fen if account is None else int(account["equity_fen"])

    def _holdings(self, close: SessionClose) -> NDArray[np.int64]:
        """Return shares, age, entry and peak price by symbol of the feed, one row each."""
        held = np.zeros((4, len(self._feed.symbols)), dtype=np.int64)
        for position in close.positions:
            held[:, self._rows[position.symbol]] = (
                position.shares,
                position.held_sessions,
                position.entry_price_e4,
                position.peak_price_e4,
            )
        return held

    def _require_known_prices(self, close: SessionClose) -> None:
        for position in close.positions:
            unknown = (self._exits.reads_entry and not position.entry_price_e4) or (
                self._exits.reads_peak and not position.peak_price_e4
            )
            if unknown:
                raise LiveError(
                    f"the broker does not know what {position.symbol} cost or its highest close since: "
                    "its stop cannot be judged",
                    "set every key of [strategy.exits] to 0, or move the live folder away to start a new account",
                )

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
