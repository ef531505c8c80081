"""Everything that can happen to the runner, as frozen dataclasses: what the journal's log is made of.

An event is a fact, named in the past tense, complete enough that the state of the account follows from the log alone.
Money is fen, prices 1e-4 CNY, instants UTC epoch nanoseconds (``_at_ns``), sessions dates. What has shipped is never
renamed, and a field that is added needs a migration of the log. Not here: how they are stored (``event_log.py``) and
what follows from them (``projections.py``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from typing import ClassVar

from ljwx_pipeline.errors import LiveError
from ljwx_pipeline.live.orders import Leg, OrderState
from ljwx_pipeline.trading.exchange_wire import Execution, Side
from ljwx_pipeline.trading.modes import TradingMode

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Stage(StrEnum):
    """What a bundle is trusted with."""

    SHADOW = "shadow"  # scored and compared, never traded
    CANARY = "canary"  # trades a share of the capital
    CHAMPION = "champion"


class StrategyState(StrEnum):
    """Whether a strategy decides."""

    ACTIVE = "active"
    PAUSED = "paused"
    REDUCING = "reducing"  # taken out of the configuration while it held something: it sells, then it is removed
    REMOVED = "removed"


class Tier(StrEnum):
    """How urgent an alert is."""

    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Base of all events. ``KEY`` names the field that the log can be searched by."""

    KEY: ClassVar[str] = ""
    #: Fields that must be above zero, and those that must not be below it.
    POSITIVE: ClassVar[tuple[str, ...]] = ()
    NOT_NEGATIVE: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        for name in self.POSITIVE:
            if getattr(self, name) <= 0:
                raise _refusal(self, name, "above 0")
        for name in self.NOT_NEGATIVE:
            if getattr(self, name) < 0:
                raise _refusal(self, name, "0 or more")

    @property
    def kind(self) -> str:
        """The name it is logged under."""
        return type(self).__name__

    @property
    def key(self) -> str:
        """What the log can be searched by: an order's id, a fill's, a symbol."""
        return str(getattr(self, self.KEY)) if self.KEY else ""


def _refusal(event: Event, name: str, wanted: str) -> LiveError:
    return LiveError(
        f"{event.kind}.{name} is {getattr(event, name)!r}, it must be {wanted}",
        "nothing was written; mend whatever made this event",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldPosition:
    """One symbol of the account as the broker states it; prices 0 where the broker does not know them."""

    symbol: str
    shares: int
    sellable_shares: int
    held_sessions: int
    entry_price_e4: int
    peak_price_e4: int
    last_price_e4: int


# -- orders ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderDecided(Event):
    """An order was decided: an intent that is durable before it is sent, or denied.

    Parameters
    ----------
    client_order_id
        Identity everywhere; the same decision again changes nothing, another one under the same id is refused.
    session, valid_session
        Session at which it was decided, and the only one it is good for; None for the paper broker inside the runner,
        which fills at the session that comes next.
    bundle_hash
        The model that asked for it; None for orders that no model asked for.
    rank
        Place in the broker's queue, distinct within a session.
    limit_price_e4, reference_price_e4
        Worst price it may trade at (0: none, as SESSION orders), and the price it was decided on.
    denial
        Code of the rule that denied it; empty for an intent.
    decided_at_ns
        Instant of what it was decided on.
    """

    KEY: ClassVar[str] = "client_order_id"
    POSITIVE: ClassVar[tuple[str, ...]] = ("shares",)
    NOT_NEGATIVE: ClassVar[tuple[str, ...]] = ("limit_price_e4", "reference_price_e4")

    client_order_id: str
    strategy: str
    leg: Leg
    session: date
    valid_session: date | None
    bundle_hash: str | None
    symbol: str
    side: Side
    shares: int
    rank: int
    execution: Execution
    limit_price_e4: int
    reference_price_e4: int
    denial: str
    decided_at_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderSent(Event):
    """An order was handed to the connection under ``fencing_epoch``; what became of it is not known by this."""

    KEY: ClassVar[str] = "client_order_id"

    client_order_id: str
    fencing_epoch: int
    sent_at_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderUnknown(Event):
    """An order may or may not have reached the broker: it is asked about, never sent again, until somebody knows."""

    KEY: ClassVar[str] = "client_order_id"

    client_order_id: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderReported(Event):
    """The broker said where an order stands. States only move forward: a late ``accepted`` changes nothing.

    Parameters
    ----------
    client_order_id
        Empty for an order that somebody else placed: it is then found by ``exchange_order_id``.
    reason
        Code, where it is not simply filled.
    session_over
        The session ended on it, whatever the state says.
    """

    KEY: ClassVar[str] = "client_order_id"
    NOT_NEGATIVE: ClassVar[tuple[str, ...]] = ("filled_shares",)

    client_order_id: str
    exchange_order_id: str
    state: OrderState
    reason: str
    filled_shares: int
    session_over: bool
    reported_at_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderAdopted(Event):
    """An order at the broker that this runner never placed was taken into the books, under an id of its own."""

    KEY: ClassVar[str] = "client_order_id"
    POSITIVE: ClassVar[tuple[str, ...]] = ("shares",)
    NOT_NEGATIVE: ClassVar[tuple[str, ...]] = ("limit_price_e4",)

    client_order_id: str
    exchange_order_id: str
    session: date
    symbol: str
    side: Side
    shares: int
    execution: Execution
    limit_price_e4: int
    adopted_at_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FillReported(Event):
    """Shares were traded. The same ``exec_id`` again changes nothing; with other content it is refused.

    ``client_order_id`` is empty for an order that somebody else placed: it is then found by ``exchange_order_id``, and
    must have been adopted.
    """

    KEY: ClassVar[str] = "exec_id"
    POSITIVE: ClassVar[tuple[str, ...]] = ("shares", "price_e4")
    NOT_NEGATIVE: ClassVar[tuple[str, ...]] = ("value_fen", "commission_fen", "stamp_duty_fen", "transfer_fee_fen")

    exec_id: str
    client_order_id: str
    exchange_order_id: str
    session: date
    symbol: str
    side: Side
    shares: int
    price_e4: int
    value_fen: int
    commission_fen: int
    stamp_duty_fen: int
    transfer_fee_fen: int
    slippage_fen: int
    impact_fen: int
    filled_at_ns: int


# -- the account -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Booked(Event):
    """The broker changed the account without a trade: dividend, bonus shares, rights, write-off.

    ``cash_fen`` and ``shares`` are what was added, negative for what was taken.
    """

    KEY: ClassVar[str] = "booking_id"

    booking_id: str
    session: date
    symbol: str
    reason: str
    cash_fen: int
    shares: int
    booked_at_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionOpened(Event):
    """A session began: what was bought before it can be sold from now on."""

    session: date


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionClosed(Event):
    """A session is over; the broker's statement after it replaces cash and positions as reckoned here.

    Parameters
    ----------
    bars_hash
        Hash of the session's bars; an account goes on only over the bars it was traded on.
    equity_fen
        Cash and positions at their last price.
    """

    session: date
    bars_hash: str
    cash_fen: int
    equity_fen: int
    fees_fen: int
    dividends_fen: int
    written_off_fen: int
    positions: tuple[HeldPosition, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamRead(Event):
    """Every durable message of ``broker`` up to ``exchange_seq`` is in this log: the stream goes on behind it."""

    KEY: ClassVar[str] = "broker"
    NOT_NEGATIVE: ClassVar[tuple[str, ...]] = ("exchange_seq",)

    broker: str
    exchange_seq: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconciled(Event):
    """Journal and broker were compared and hold the same, or every difference was explained.

    Cash and positions are the broker's and replace those reckoned here. ``exchange_seq`` is the last message that they
    hold: the stream must have been read up to it and no further, or a fill would count twice or not at all. Appended at
    the start, at a session's end, after a failure and when it explains something; not each time that nothing is found.
    """

    KEY: ClassVar[str] = "broker"

    broker: str
    exchange_seq: int
    session: date | None
    orders: int
    fills: int
    cash_fen: int
    positions: tuple[HeldPosition, ...]
    explained: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReconciliationFailed(Event):
    """Journal and broker differ and nobody knows why: no order leaves until they have been reconciled."""

    KEY: ClassVar[str] = "broker"

    broker: str
    session: date | None
    differences: tuple[str, ...]


# -- models and strategies -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class SignalsScored(Event):
    """A bundle scored a session for a strategy; ``scores`` by symbol, finite ones only."""

    KEY: ClassVar[str] = "bundle_hash"

    session: date
    strategy: str
    bundle_hash: str
    scores: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class BundleStaged(Event):
    """A verified bundle was given a stage for a strategy; the stage's bundle before it is released from it.

    ``capital_share_bps`` is the part of the strategy's capital it may trade, 1/10,000.
    """

    KEY: ClassVar[str] = "bundle_hash"
    NOT_NEGATIVE: ClassVar[tuple[str, ...]] = ("capital_share_bps",)

    strategy: str
    stage: Stage
    bundle_hash: str
    model_version: str
    last_train_session: date
    capital_share_bps: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BundleWithdrawn(Event):
    """A model was taken back: nothing trades for the strategy until another bundle is staged."""

    KEY: ClassVar[str] = "identity"

    identity: str
    strategy: str
    model_version: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BundleReleased(Event):
    """A bundle lost its stage, and why; it does not come back by itself. ``session``: at whose close, if at one."""

    KEY: ClassVar[str] = "bundle_hash"

    strategy: str
    stage: Stage
    bundle_hash: str
    session: date | None
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelScored(Event):
    """A staged bundle scored a session while a candidate stood beside the champion; written of each of them.

    Parameters
    ----------
    champion_hash
        The champion it stood beside; its own hash if it was that.
    rank_correlation
        Of its scores with the champion's; None where fewer than five names have both, or either is constant.
    unscored_frac
        Of the names that may be scored, those without a score.
    latency_s
        Seconds that the model took, features not counted.
    scores
        By symbol, finite ones only.
    """

    KEY: ClassVar[str] = "bundle_hash"
    NOT_NEGATIVE: ClassVar[tuple[str, ...]] = ("unscored_frac", "latency_s")

    session: date
    strategy: str
    stage: Stage
    bundle_hash: str
    champion_hash: str
    rank_correlation: float | None
    unscored_frac: float
    latency_s: float
    scores: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class CandidateJudged(Event):
    """A session's label has matured: rank IC of a candidate's scores, and of the champion's, over the same names."""

    KEY: ClassVar[str] = "bundle_hash"
    POSITIVE: ClassVar[tuple[str, ...]] = ("names",)

    session: date
    strategy: str
    bundle_hash: str
    champion_hash: str
    rank_ic: float
    champion_rank_ic: float
    names: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StrategyChanged(Event):
    """A strategy was added, changed, paused, resumed or removed. ``settings`` is JSON text of all its parameters."""

    KEY: ClassVar[str] = "strategy"
    NOT_NEGATIVE: ClassVar[tuple[str, ...]] = ("capital_share_bps",)

    strategy: str
    state: StrategyState
    settings: str
    capital_share_bps: int
    by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StopQueued(Event):
    """A stop that T+1 or a halt makes impossible now waits for the opening of ``valid_session``."""

    KEY: ClassVar[str] = "symbol"
    POSITIVE: ClassVar[tuple[str, ...]] = ("shares",)

    strategy: str
    symbol: str
    leg: Leg
    shares: int
    valid_session: date
    reason: str


# -- safety ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerTripped(Event):
    """A breaker tripped; it stays so until it is reset. ``scope`` is a strategy, a symbol, or empty for everything."""

    KEY: ClassVar[str] = "breaker"

    breaker: str
    scope: str
    session: date | None
    value: str
    limit: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerReset(Event):
    """A breaker was set back, by a rule or a person (``by``), and why."""

    KEY: ClassVar[str] = "breaker"

    breaker: str
    scope: str
    by: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerMoved(Event):
    """What a breaker counts has changed: ``state`` is JSON text of all of it, so that a restart counts on."""

    KEY: ClassVar[str] = "breaker"

    breaker: str
    scope: str
    state: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ModeChanged(Event):
    """What the runner (``scope`` empty) or a strategy may do was changed."""

    KEY: ClassVar[str] = "scope"

    scope: str
    mode: TradingMode
    by: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TickQuarantined(Event):
    """A tick was not believed. ``reference_e4`` is the price it was held against, 0 where there was none."""

    KEY: ClassVar[str] = "symbol"

    symbol: str
    tick_at_ns: int
    price_e4: int
    reference_e4: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertRaised(Event):
    """Somebody has to know: a row of the outbox."""

    KEY: ClassVar[str] = "code"

    tier: Tier
    code: str
    message: str


# -- the journal itself ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class RunnerStated(Event):
    """The runner said what it is doing; what the console shows first."""

    mode: str
    simulated: bool
    opening_capital_fen: int
    bundle_hash: str | None
    current_session: str | None
    sessions_done: int
    sessions_total: int
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BackupMade(Event):
    """A verified backup of everything up to ``upto_seq`` lies in the backups' folder."""

    KEY: ClassVar[str] = "name"

    name: str
    reason: str
    upto_seq: int
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Noted(Event):
    """Something a person may want to read; nothing follows from it."""

    KEY: ClassVar[str] = "topic"

    topic: str
    message: str
    session: date | None


# -- sleeves: one strategy at one stage, with a share of the account -------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class SleeveHolding:
    """Shares of one symbol in one sleeve's book after a session; ``value_fen`` is its part of the account's value."""

    symbol: str
    shares: int
    held_sessions: int
    entry_price_e4: int
    peak_price_e4: int
    last_price_e4: int
    value_fen: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SleeveBook:
    """What one sleeve holds after a session; the book of nobody has the empty name. The books add up to the account.

    Parameters
    ----------
    share_bps
        Part of the account that it was given capital for, 1/10,000.
    cash_fen
        Below zero where it spent what it did not have: the others' cash paid for it, and it buys nothing until then.
    owes_fen
        Capital that it has still to give back; negative: that it has still to get.
    moved_fen
        Equity that came from other books at this close (or, negative, went there): no result of its trading.
    """

    sleeve: str
    share_bps: int
    cash_fen: int
    equity_fen: int
    owes_fen: int
    moved_fen: int
    holdings: tuple[SleeveHolding, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SleeveWant:
    """What one sleeve wanted of one symbol, and how it was to get it.

    Parameters
    ----------
    crossed_shares
        Part that other sleeves take or give, at the close of the session that the decision is for.
    client_order_id
        The account's order that holds the rest; empty where there is none.
    lot_step
        Shares by which orders of the symbol grow: parts of an order are allotted in them.
    denial
        Why it is not tried; empty where it is, and where the account's order alone was denied.
    """

    sleeve: str
    symbol: str
    side: Side
    shares: int
    crossed_shares: int
    client_order_id: str
    lot_step: int
    denial: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SleevesDecided(Event):
    """The close of ``session`` was decided for all sleeves at once; what they wanted, by sleeve and symbol."""

    session: date
    valid_session: date
    wants: tuple[SleeveWant, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SleevesSettled(Event):
    """The sleeves' books after ``session``, by name: cash and shares add up to the account's."""

    session: date
    books: tuple[SleeveBook, ...]


#: Every event by the name it is logged under.
EVENTS: Mapping[str, type[Event]] = {
    kind.__name__: kind
    for kind in (
        *(OrderDecided, OrderSent, OrderUnknown, OrderReported, OrderAdopted, FillReported),
        *(Booked, SessionOpened, SessionClosed, StreamRead, Reconciled, ReconciliationFailed),
        *(SignalsScored, BundleStaged, BundleWithdrawn, StrategyChanged, StopQueued),
        *(BundleReleased, ModelScored, CandidateJudged),
        *(BreakerTripped, BreakerReset, BreakerMoved, ModeChanged, TickQuarantined, AlertRaised),
        *(RunnerStated, BackupMade, Noted),
        *(SleevesDecided, SleevesSettled),
    )
}


@dataclass(frozen=True, slots=True)
class Recorded:
    """An event as it stands in the log: its place, the instant it was written, and under which lease."""

    seq: int
    at_ns: int
    epoch: int
    event: Event

    @property
    def at(self) -> str:
        """The instant as ISO text, UTC."""
        return instant_of(self.at_ns).isoformat()


def instant_of(at_ns: int) -> datetime:
    """Return an instant in nanoseconds as a datetime in UTC, to the microsecond."""
    return _EPOCH + timedelta(microseconds=at_ns // 1_000)


def instant_ns(instant: datetime) -> int:
    """Return an instant with its time zone in UTC epoch nanoseconds."""
    return (instant - _EPOCH) // timedelta(microseconds=1) * 1_000


#: What any process may append without the lease: they move no money.
UNFENCED = (Noted, AlertRaised, BackupMade)


def session_of(event: Event) -> date | None:
    """Return the session that an event belongs to; None where it belongs to none."""
    return event.session if "session" in _names(type(event)) else None  # type: ignore[attr-defined]


def strategy_of(event: Event) -> str:
    """Return the strategy that an event belongs to; empty where it belongs to none."""
    return str(event.strategy) if "strategy" in _names(type(event)) else ""  # type: ignore[attr-defined]


def _names(kind: type[Event]) -> frozenset[str]:
    return _NAMES[kind]


_NAMES = {kind: frozenset(field.name for field in fields(kind)) for kind in EVENTS.values()}
