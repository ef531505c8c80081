"""Trades each close for all strategies at once: settles their books, scores, decides, nets, places one list of orders.

The close is decided once: books, signals and orders are durable together before anything is sent, and whoever comes
after a crash finds them. Which strategies there are is read from the journal at every close, so that a change takes
effect at the next one; a journal that names none is traded by ``[strategy]`` with all of the capital. Not here: one
strategy's decision (``decision.py``), the books that it is made on (``close_books.py``), netting (``sleeves/``), how
orders travel (``order_desk.py``), when a close has come (``follower.py``).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from functools import partial

import numpy as np

from ljwx_pipeline.errors import LiveError
from ljwx_pipeline.live.alerts import alert_once
from ljwx_pipeline.live.async_journal import AsyncJournal
from ljwx_pipeline.live.brokers.port import LeaseLapsed
from ljwx_pipeline.live.close_books import (
    AtClose,
    TradingModel,
    TradingSleeve,
    at_close,
    funding_of,
    settled_books,
    sleeve_portfolio,
    sleeves_of,
)
from ljwx_pipeline.live.decision import Decider, DecidingModel, Portfolio, RunnerSettings, stranger_held
from ljwx_pipeline.live.events import (
    Event,
    Noted,
    OrderDecided,
    SignalsScored,
    SleeveBook,
    SleevesDecided,
)
from ljwx_pipeline.live.feed import ReplayFeed
from ljwx_pipeline.live.model import Model
from ljwx_pipeline.live.order_desk import OrderDesk
from ljwx_pipeline.live.orders import DecidedOrder, Leg, OrderIntent, client_order_id
from ljwx_pipeline.live.risk_gate import FREE, Denial, Restraint
from ljwx_pipeline.live.sleeves.funding import Funding
from ljwx_pipeline.live.sleeves.netting import AccountOrder, Lot, Netted, SleeveIntent, net
from ljwx_pipeline.live.sleeves.reading import history, strategies_in_force, was_decided
from ljwx_pipeline.live.sleeves.strategies import BY_FILE, InForce, StrategySpec, sole_strategy
from ljwx_pipeline.live.sleeves.universe import keep_members
from ljwx_pipeline.live.working_orders import WorkingOrders, working_orders
from ljwx_pipeline.market.rulebook import lot_sizes
from ljwx_pipeline.trading.exchange_wire import Execution, Side
from ljwx_pipeline.trading.modes import Condition
from ljwx_pipeline.uncertainty.abstain import may_buy
from ljwx_pipeline.units import BPS

#: Model in the identity of an order by which a strategy that leaves sells.
_LEAVING = "reduce"


@dataclass(frozen=True)
class Close:
    """A session that is over: the one decided on, the one that its orders are for, and the market's time."""

    session: date
    valid_session: date
    at_ns: int


@dataclass(frozen=True)
class Denials:
    """Why a strategy may not open, or reduce; empty where it may. Codes, as in ``risk_gate.py``."""

    opening: str = ""
    reducing: str = ""


async def _allowed(strategy: str, close: Close) -> Denials:  # noqa: ARG001 - what is allowed to everybody
    return Denials()


class CloseTrader:
    """Trades the closes of one feed by all strategies of one account.

    Parameters
    ----------
    feed
        The market.
    settings
        ``[strategy]``, by which an account without named strategies trades, and the limits of all.
    journal, desk
        Where it reads the books, and where orders go.
    models
        Returns the models that trade now for a strategy; none, and it holds what it holds.
    turn
        Held while a close is decided: of `StrategyDesk`, so that no change comes in between.
    denials
        Asked for each strategy at each close: what it may not do, beside what the account may not.
    restraint
        Asked for each close before the account's orders are judged: what denies them beside the limits. None: nothing
        does.
    """

    def __init__(
        self,
        *,
        feed: ReplayFeed,
        settings: RunnerSettings,
        journal: AsyncJournal,
        desk: OrderDesk,
        models: Callable[[StrategySpec], Sequence[TradingModel]],
        turn: asyncio.Lock,
        denials: Callable[[str, Close], Awaitable[Denials]] = _allowed,
        restraint: Callable[[Close], Awaitable[Restraint]] | None = None,
    ) -> None:
        self._feed = feed
        self._settings = settings
        self._journal = journal
        self._desk = desk
        self._models = models
        self._turn = turn
        self._denials = denials
        self._restraint = restraint
        self._gate = Decider(feed, settings)
        self._deciders: dict[tuple[str, str], Decider] = {}
        self._interval_faults: dict[str, str] = {}
        smallest, step = lot_sizes(feed.market.board)
        self._lots = {symbol: Lot(int(smallest[row]), int(step[row])) for row, symbol in enumerate(feed.symbols)}

    async def decide(self, close: Close) -> bool:
        """Decide ``close`` unless it was, and place its orders; return whether there was a model to decide by.

        Raises
        ------
        LeaseLapsed
            When the lease was not renewed in time, which is alerted once a close: nothing is decided, ask again.
        LiveError
            When the feed does not hold the session, or a symbol that is held: nothing is decided.
        """
        async with self._turn:
            try:
                return await self._decide(close)
            except LeaseLapsed as lapsed:
                await self._alert_lapsed(close, lapsed)
                raise

    async def _alert_lapsed(self, close: Close, lapsed: LeaseLapsed) -> None:
        """Alert that nothing was decided; an alert needs no lease, and the same close is told of once."""
        said = f"the close of {close.session} is not decided yet: {lapsed}"
        await alert_once(self._journal, Condition.NO_LEASE.value, [said])

    async def _decide(self, close: Close) -> bool:
        strategies = await self._strategies()
        sleeves = sleeves_of(strategies, self._models)
        names = tuple(one.name for one in sleeves)
        if await self._journal.read(partial(was_decided, session=close.session, sleeves=names)):
            return True
        self._require_held(close.session)
        standing = await self._journal.read(partial(at_close, close.session, self._closes))
        for one in standing.account.held:
            if one.symbol not in self._lots:
                raise stranger_held(one.symbol)
        funding = funding_of(sleeves)
        books: tuple[SleeveBook, ...] = standing.books
        beside: list[Event] = []
        if standing.settled != close.session:
            books, beside = settled_books(standing, close.session, funding, strategies, self._lots)
        by_name = {book.sleeve: book for book in books}
        trading = [one for one in sleeves if one.name in by_name]
        if not any(one.decides for one in trading) and any(one.spec and not one.spec.paused for one in trading):
            if beside:
                await self._desk.place([], beside)
            return False
        wanted: list[SleeveIntent] = []
        for sleeve in trading:
            if not sleeve.decides:
                continue
            own = await self._portfolio_of(sleeve, by_name[sleeve.name], standing, close.session, funding)
            intents, said = await self._wanted(sleeve, own, close, alone=funding.sole is not None)
            wanted += intents
            beside += said
        netted = await asyncio.to_thread(
            net,
            close.session,
            wanted,
            lots=self._lots,
            held_shares={one.symbol: one.shares for one in standing.account.held},
        )
        beside.append(SleevesDecided(session=close.session, valid_session=close.valid_session, wants=netted.wants))
        # the age of several models is judged for each sleeve by itself
        sole = next((one for one in trading if one.name == funding.sole), None)
        age_days = 0 if sole is None else _age_days(sole.model, close.session)
        await self._desk.held_epoch()  # judged under a lease that is held, however long it took until here
        restraint = FREE if self._restraint is None else await self._restraint(close)
        working = await self._journal.read(partial(working_orders, close.valid_session, self._closes(close.session)))
        judged = await asyncio.to_thread(
            self._orders, netted, wanted, standing.account, close, age_days, restraint, working
        )
        await self._desk.place(judged, beside)
        return True

    async def _strategies(self) -> tuple[InForce, ...]:
        named = await self._journal.read(strategies_in_force)
        if named:
            return named
        sole = sole_strategy(self._settings.strategy)
        return (InForce(sole.name, sole.state, sole.share_bps, sole.settings_json(), BY_FILE),)

    def _require_held(self, session: date) -> None:
        if session not in self._feed.sessions:
            raise LiveError(
                f"the session pack does not hold {session}, which the market has closed",
                "run the pipeline, whose deployment writes the pack with it",
            )

    def _closes(self, session: date) -> Mapping[str, int]:
        self._require_held(session)
        closes = self._feed.market.close_e4[:, self._feed.column(session)]
        return {self._feed.symbols[row]: int(closes[row]) for row in np.flatnonzero(closes > 0)}

    async def _portfolio_of(
        self, sleeve: TradingSleeve, book: SleeveBook, standing: AtClose, session: date, funding: Funding
    ) -> Portfolio:
        if funding.sole == sleeve.name and book.share_bps == BPS:
            return standing.account
        return sleeve_portfolio(book, await self._journal.read(partial(history, sleeve=sleeve.name, before=session)))

    async def _wanted(
        self, sleeve: TradingSleeve, portfolio: Portfolio, close: Close, *, alone: bool
    ) -> tuple[list[SleeveIntent], list[Event]]:
        """Return what one sleeve wants, with what speaks against it, and what there is to be written beside it.

        Of a sleeve that is ``alone`` the gate judges the model's age, in its place among the other limits.
        """
        denials = await self._denials(sleeve.strategy, close)
        if sleeve.spec is None or sleeve.model is None:
            return self._everything(sleeve, portfolio, close, denials), []
        model, deployed = sleeve.model, sleeve.model.deployed
        decider = self._decider(sleeve.name, sleeve.spec)
        # scoring and deciding take as long as they take: the stream and the lease are looked after meanwhile
        scores = await asyncio.to_thread(model.scorer.scores, close.session)
        beside: list[Event] = []
        if sleeve.spec.universe:
            fault = keep_members(scores, sleeve.spec.universe, self._feed, close.session)
            if fault:
                said = f"{sleeve.name} scores nobody at {close.session}: {fault}"
                beside.append(Noted(topic="nothing_is_bought", message=said, session=close.session))
        scored = {self._feed.symbols[row]: float(scores[row]) for row in np.flatnonzero(np.isfinite(scores))}
        due = sleeve.spec.is_due(close.session, close.valid_session)
        if not due:
            scores = np.full_like(scores, np.nan)
        buyable = None
        if due and decider.abstains:
            ends = await asyncio.to_thread(model.scorer.interval_ends, close.session)
            if ends.fault and ends.fault != self._interval_faults.get(sleeve.name, ""):
                said = f"no prediction interval at {close.session}: {ends.fault}"
                beside.append(Noted(topic="nothing_is_bought", message=said, session=close.session))
            self._interval_faults[sleeve.name] = ends.fault
            buyable = may_buy(decider.uncertainty, ends.lower, ends.upper)
        intents = await asyncio.to_thread(
            decider.intents,
            close.session,
            portfolio,
            scores,
            buyable,
            DecidingModel(deployed.model_version, deployed.last_train_session),
        )
        beside.append(
            SignalsScored(session=close.session, strategy=sleeve.name, bundle_hash=deployed.bundle_hash, scores=scored)
        )
        fresh = alone or 0 <= _age_days(model, close.session) <= self._settings.live.max_bundle_age_days
        opening = denials.opening or ("" if fresh else str(Denial.STALE_BUNDLE))
        wanted = [
            SleeveIntent(
                sleeve.name,
                one,
                Leg.DECIDE,
                deployed.bundle_hash,
                denials.reducing if one.side is Side.SELL else opening,
            )
            for one in intents
        ]
        return wanted, beside

    def _everything(
        self, sleeve: TradingSleeve, portfolio: Portfolio, close: Close, denials: Denials
    ) -> list[SleeveIntent]:
        """Return the sale of all that a strategy which leaves holds, as far as it traded in the session."""
        closes = self._closes(close.session)
        held = [one for one in portfolio.held if one.symbol in closes]
        return [
            SleeveIntent(
                sleeve.name,
                OrderIntent(
                    client_order_id=client_order_id(
                        strategy=sleeve.name,
                        model_version=_LEAVING,
                        symbol=one.symbol,
                        session=close.session,
                        side=Side.SELL,
                    ),
                    session=close.session,
                    symbol=one.symbol,
                    side=Side.SELL,
                    shares=one.shares,
                    rank=rank,
                    reference_price_e4=closes[one.symbol],
                ),
                Leg.REDUCE,
                None,
                denials.reducing,
            )
            for rank, one in enumerate(held)
        ]

    def _decider(self, sleeve: str, spec: StrategySpec) -> Decider:
        key = (sleeve, spec.settings_json())
        if key not in self._deciders:
            self._deciders = {of: one for of, one in self._deciders.items() if of[0] != sleeve}
            self._deciders[key] = Decider(self._feed, replace(self._settings, strategy=spec.strategy), name=sleeve)
        return self._deciders[key]

    def _orders(
        self,
        netted: Netted,
        wanted: Sequence[SleeveIntent],
        portfolio: Portfolio,
        close: Close,
        bundle_age_days: int,
        restraint: Restraint,
        working: WorkingOrders,
    ) -> list[OrderDecided]:
        """Return the account's orders as the risk gate leaves them, and those that a sleeve may not even want."""
        intents = tuple(one.intent for one in netted.orders)
        judged = self._gate.judged(
            close.session, intents, portfolio, bundle_age_days=bundle_age_days, restraint=restraint, working=working
        )
        found = [_order(one, decided, close) for one, decided in zip(netted.orders, judged, strict=True)]
        found += [_order(_alone(one), DecidedOrder(one.intent, one.denial), close) for one in wanted if one.denial]
        return found


def _age_days(model: Model | None, session: date) -> int:
    return 0 if model is None else (session - model.deployed.last_train_session).days


def _alone(one: SleeveIntent) -> AccountOrder:
    return AccountOrder(one.intent, one.sleeve, one.leg, one.bundle_hash)


def _order(one: AccountOrder, decided: DecidedOrder, close: Close) -> OrderDecided:
    intent = decided.intent
    return OrderDecided(
        client_order_id=intent.client_order_id,
        strategy=one.strategy,
        leg=one.leg,
        session=close.session,
        valid_session=close.valid_session,
        bundle_hash=one.bundle_hash,
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
