"""One close, one decision: scores and the portfolio in, judged orders out. Whoever trades a session calls it.

Nothing is written and nothing is sent here: the same portfolio, scores and bars give the same orders with the same
identities. Not here: the kernels (``trading/``), the gate's limits (``risk_gate.py``), what becomes of the orders
(``order_desk.py``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ljwx_pipeline.config import LiveSettings, RiskSettings, StrategySettings, UncertaintySettings
from ljwx_pipeline.errors import LiveError
from ljwx_pipeline.live.feed import ReplayFeed
from ljwx_pipeline.live.orders import DecidedOrder, OrderIntent, client_order_id
from ljwx_pipeline.live.risk_gate import FREE, Denial, Quote, Restraint, RiskView, gate_orders
from ljwx_pipeline.live.working_orders import NONE_WORKING, WorkingOrders
from ljwx_pipeline.market.rulebook import lot_sizes
from ljwx_pipeline.trading.decide import DecisionParams, decide
from ljwx_pipeline.trading.exchange_wire import Side
from ljwx_pipeline.trading.exits import ExitParams, forced_out
from ljwx_pipeline.trading.sizing import SizingParams, exposure_bps
from ljwx_pipeline.units import FEN_PER_CNY


class Held(Protocol):
    """A position at the close, as the broker states it; prices it does not know are 0."""

    @property
    def symbol(self) -> str:
        """Whose shares."""
        ...

    @property
    def shares(self) -> int:
        """How many."""
        ...

    @property
    def held_sessions(self) -> int:
        """Sessions since it was opened."""
        ...

    @property
    def entry_price_e4(self) -> int:
        """Average price paid."""
        ...

    @property
    def peak_price_e4(self) -> int:
        """Highest close since."""
        ...


@dataclass(frozen=True)
class RunnerSettings:
    """The sections that a decision reads."""

    strategy: StrategySettings
    risk: RiskSettings
    live: LiveSettings
    uncertainty: UncertaintySettings

    @property
    def capital_fen(self) -> int:
        """The account's opening cash."""
        return round(self.strategy.capital_cny * FEN_PER_CNY)


@dataclass(frozen=True)
class Portfolio:
    """The account, or one sleeve of it, at the close that is decided on.

    Parameters
    ----------
    held, cash_fen, equity_fen
        As the broker states them after the session.
    value_fen
        Of each position at its last known close.
    past_equity_fen, past_cash_fen
        At the close of every earlier session, oldest first.
    """

    held: Sequence[Held]
    cash_fen: int
    equity_fen: int
    value_fen: Mapping[str, int]
    past_equity_fen: Sequence[int]
    past_cash_fen: Sequence[int]


@dataclass(frozen=True)
class DecidingModel:
    """Which model the scores are of."""

    version: str
    last_train_session: date


def strategy_name(strategy: StrategySettings) -> str:
    """Return the name of the market's own strategy: part of every order's identity."""
    return strategy.kind.replace("_", "-")


def stranger_held(symbol: str) -> LiveError:
    """Return what is said of a position in a symbol that the session pack does not have."""
    return LiveError(
        f"the account holds {symbol}, which the session pack does not have: it can be neither scored nor sold",
        "run the pipeline, whose deployment writes the pack with every symbol of the market",
    )


class Decider:
    """Decides the sessions of one feed for one strategy.

    Parameters
    ----------
    feed
        Its market is what orders are decided on.
    settings
        Strategy and limits.
    name
        Part of every order's identity; `strategy_name` where none is given.

    Raises
    ------
    LjwxError
        For a strategy that cannot be traded by an account.
    """

    def __init__(self, feed: ReplayFeed, settings: RunnerSettings, *, name: str = "") -> None:
        self._feed = feed
        self._settings = settings
        self._name = name or strategy_name(settings.strategy)
        self._params = DecisionParams.of(settings.strategy)
        self._sizing = SizingParams.of(settings.strategy.sizing)
        self._exits = ExitParams.of(settings.strategy.exits)
        self._rows = {symbol: row for row, symbol in enumerate(feed.symbols)}
        self._lot_min, self._lot_step = lot_sizes(feed.market.board)

    @property
    def uncertainty(self) -> UncertaintySettings:
        """The limits of doubt."""
        return self._settings.uncertainty

    @property
    def abstains(self) -> bool:
        """Whether names that the model is unsure of are not bought."""
        return self._settings.uncertainty.abstains

    def orders(
        self,
        session: date,
        portfolio: Portfolio,
        scores: NDArray[np.float64],
        may_buy: NDArray[np.int8] | None,
        model: DecidingModel,
        restraint: Restraint = FREE,
    ) -> tuple[DecidedOrder, ...]:
        """Return the orders that the close of ``session`` asks for, judged, in the order of their rank.

        Parameters
        ----------
        scores, may_buy
            By symbol of the feed, as ``trading.decide`` takes them.
        restraint
            What denies orders beside the limits: breakers, modes, doubted prices, what was sent before.

        Raises
        ------
        LiveError
            When a held symbol is none of the feed's, or an exit is set and the broker does not know the price it needs.
        """
        intents = self.intents(session, portfolio, scores, may_buy, model)
        return self.judged(
            session, intents, portfolio, bundle_age_days=(session - model.last_train_session).days, restraint=restraint
        )

    def judged(
        self,
        session: date,
        intents: tuple[OrderIntent, ...],
        portfolio: Portfolio,
        *,
        bundle_age_days: int,
        restraint: Restraint = FREE,
        working: WorkingOrders = NONE_WORKING,
    ) -> tuple[DecidedOrder, ...]:
        """Return ``intents`` as the risk gate leaves them, by the account in ``portfolio`` and what is open beside."""
        if working.unpriced and not restraint.opening_denied:  # what is open is worth nobody knows how much
            restraint = replace(restraint, opening_denied=str(Denial.MISSING_PRICE))
        previous = portfolio.past_equity_fen[-1] if portfolio.past_equity_fen else self._settings.capital_fen
        view = RiskView(
            equity_fen=portfolio.equity_fen,
            previous_equity_fen=previous,
            shares={one.symbol: one.shares - working.sale_shares.get(one.symbol, 0) for one in portfolio.held},
            position_values_fen=portfolio.value_fen,
            open_buys_fen=working.buys_fen,
            bundle_age_days=bundle_age_days,
            max_bundle_age_days=self._settings.live.max_bundle_age_days,
            **vars(restraint),
        )
        return gate_orders(intents, self._quotes(session, intents), view, self._settings.risk)

    def intents(
        self,
        session: date,
        portfolio: Portfolio,
        scores: NDArray[np.float64],
        may_buy: NDArray[np.int8] | None,
        model: DecidingModel,
    ) -> tuple[OrderIntent, ...]:
        """Return the orders that the close of ``session`` asks for, by rank, before the risk gate; see `orders`."""
        self._require_known_prices(portfolio.held)
        shares, held, entry_e4, peak_e4 = self._holdings(portfolio.held)
        price_e4 = self._feed.market.close_e4[:, self._feed.column(session)].astype(np.int64)
        decided = decide(
            scores=scores,
            holdings_shares=shares,
            held_sessions=held,
            price_e4=price_e4,
            lot_min=self._lot_min,
            lot_step=self._lot_step,
            cash_fen=portfolio.cash_fen,
            equity_fen=portfolio.equity_fen,
            params=self._params,
            exposure_bps=self._exposure_bps(portfolio),
            forced=forced_out(
                holdings_shares=shares,
                held_sessions=held,
                entry_price_e4=entry_e4,
                peak_price_e4=peak_e4,
                price_e4=price_e4,
                params=self._exits,
            ),
            may_buy=may_buy,
        )
        ordered = np.flatnonzero(decided.shares)
        intents = []
        for row in ordered[np.argsort(decided.rank[ordered])]:
            side = Side.BUY if decided.shares[row] > 0 else Side.SELL
            symbol = self._feed.symbols[row]
            identity = client_order_id(
                strategy=self._name,
                model_version=model.version,
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

    def _exposure_bps(self, portfolio: Portfolio) -> int:
        return int(
            exposure_bps(
                np.array([*portfolio.past_equity_fen, portfolio.equity_fen], dtype=np.int64),
                np.array([*portfolio.past_cash_fen, portfolio.cash_fen], dtype=np.int64),
                self._sizing.as_array(),
            )
        )

    def _quotes(self, session: date, intents: tuple[OrderIntent, ...]) -> Mapping[str, Quote]:
        market, column = self._feed.market, self._feed.column(session)
        return {
            order.symbol: Quote(
                close_e4=int(market.close_e4[self._rows[order.symbol], column]),
                pre_close_e4=int(market.pre_close_e4[self._rows[order.symbol], column]),
            )
            for order in intents
        }

    def _holdings(self, positions: Sequence[Held]) -> NDArray[np.int64]:
        """Return shares, age, entry and peak price by symbol of the feed, one row each."""
        held = np.zeros((4, len(self._feed.symbols)), dtype=np.int64)
        for position in positions:
            row = self._rows.get(position.symbol)
            if row is None:
                raise stranger_held(position.symbol)
            held[:, row] = (
                position.shares,
                position.held_sessions,
                position.entry_price_e4,
                position.peak_price_e4,
            )
        return held

    def _require_known_prices(self, positions: Sequence[Held]) -> None:
        for position in positions:
            unknown = (self._exits.reads_entry and not position.entry_price_e4) or (
                self._exits.reads_peak and not position.peak_price_e4
            )
            if unknown:
                raise LiveError(
                    f"the broker does not know what {position.symbol} cost or its highest close since: "
                    "its stop cannot be judged",
                    "set every key of [strategy.exits] to 0, or move the live folder away to start a new account",
                )
