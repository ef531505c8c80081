"""What the runner and an exchange say to each other: the messages, their JSON, and the names in between.

Runner and paper exchange are two processes that never import each other; both import this file. Money is integer fen,
prices are integers of 1e-4 CNY, instants are UTC nanoseconds since 1970 (``at_ns``), a session is a date. Durable
messages carry ``seq``, ascending without gaps in the exchange's own journal; ticks and bars carry none.

HTTP
    ``POST /orders`` takes a `NewOrder` (201 when new, 200 when it was known) and answers an `OrderReport`;
    ``DELETE /orders/ID`` cancels, ``GET /orders/ID`` asks, ``GET /orders?session=DAY`` lists them; ID is a client order
    id or an exchange order id. An order that never came is NOT_FOUND; when it was to be cancelled it is rejected should
    it still come. ``POST /by-hand`` takes a `NewOrder` without client order id: what a person enters at another
    terminal. ``GET /account``, ``GET /clock``, ``GET /events?after=SEQ&limit=N``, ``GET /bars/DAY`` answer an
    `AccountReport`, a `ClockReport`, a list of durable messages, the `SessionBars` of a session that is over;
    ``GET /health`` says ``service``, ``ok`` and ``protocol``. A refusal is a `Refusal`.
    ``POST /orders``, ``DELETE`` and ``POST /lead`` carry the header ``x-ljwx-epoch``; a lower one than was seen is
    FENCED. ``POST /lead`` does nothing else: whoever begins to lead fences everybody before with it.
    ``POST /faults`` takes a `FaultOrder` where the exchange allows it.
WebSocket
    ``/stream?after=SEQ&ticks=1&observe=0`` sends frames: durable messages from SEQ + 1 on, ticks, and the bars of a
    session after its phase ``closed``. The client answers ``{"ack": N}`` with the number of the last frame whose
    messages it has dealt with. In lockstep the market waits for that, except for observers.

Not here: how messages are checked against their classes (``strict_json.py``), what an exchange does
(``exchange/``), what the runner makes of it (``live/``).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import Any, TypeVar

from ljwx_pipeline.errors import TradingError
from ljwx_pipeline.trading.strict_json import from_json, from_row, to_json, to_row

T = TypeVar("T")

#: Changes when a message changes: both sides refuse another one.
PROTOCOL = 4
SERVICE = "ljwx-exchange"
EPOCH_HEADER = "x-ljwx-epoch"
ORDERS_PATH = "/orders"
BY_HAND_PATH = "/by-hand"
EVENTS_PATH = "/events"
ACCOUNT_PATH = "/account"
BARS_PATH = "/bars"
CLOCK_PATH = "/clock"
HEALTH_PATH = "/health"
FAULTS_PATH = "/faults"
STREAM_PATH = "/stream"
LEAD_PATH = "/lead"
#: Most durable messages that one answer to ``GET /events`` holds.
MAX_EVENTS = 5_000
#: Longest client order id; any printable ASCII but the slash.
MAX_ID_CHARACTERS = 200
_CLIENT_ID = re.compile(rf"[!-.0-~]{{1,{MAX_ID_CHARACTERS}}}")


def is_client_order_id(text: str) -> bool:
    """Return whether an order can have ``text`` as its client order id."""
    return _CLIENT_ID.fullmatch(text) is not None


class Side(StrEnum):
    """Direction of an order; nothing is sold short, so a sell always closes."""

    BUY = "buy"
    SELL = "sell"


class Execution(StrEnum):
    """How an order meets the market."""

    SESSION = "session"  #: filled once by the fill model of ``[costs]`` on the session's whole bar
    CONTINUOUS = "continuous"  #: a limit order against the ticks, at the close in the call auction


class OrderStatus(StrEnum):
    """Where an order stands at the exchange. ``accepted`` and ``partly_filled`` are open until the session is over.

    An order that was filled in part when its session ended is ``lapsed`` with its ``filled_shares``.
    """

    ACCEPTED = "accepted"
    PARTLY_FILLED = "partly_filled"
    FILLED = "filled"
    CANCELLED = "cancelled"
    LAPSED = "lapsed"
    REJECTED = "rejected"


OPEN_STATUSES = (OrderStatus.ACCEPTED, OrderStatus.PARTLY_FILLED)


class Reason(StrEnum):
    """Why an order was rejected, or why the rest of it lapsed; the first nine are names of ``fill_model.Reject``."""

    NONE = ""
    SUSPENDED = "SUSPENDED"  #: no bar on the session
    LIMIT_UP = "LIMIT_UP"  #: sealed at the upper limit
    LIMIT_DOWN = "LIMIT_DOWN"  #: sealed at the lower limit
    T_PLUS_1 = "T_PLUS_1"  #: more than was held since before the session
    LOT = "LOT"
    PARTICIPATION = "PARTICIPATION"  #: beyond ``costs.max_participation_frac`` of what was traded
    CASH = "CASH"
    LIMIT_PRICE = "LIMIT_PRICE"  #: the market never reached the order's limit
    OUTSIDE_BAR = "OUTSIDE_BAR"
    PRICE_LIMIT = "PRICE_LIMIT"  #: its limit price lies outside the session's limits or off the tick
    PRICE_CAGE = "PRICE_CAGE"  #: too far from the best price of continuous trading
    ORDER_SIZE = "ORDER_SIZE"
    ST_BUY_CAP = "ST_BUY_CAP"
    STALE_SESSION = "STALE_SESSION"  #: its session is over, or its fill is
    FUTURE_SESSION = "FUTURE_SESSION"  #: neither today's session nor the next one
    UNKNOWN_SYMBOL = "UNKNOWN_SYMBOL"
    SAME_SYMBOL = "SAME_SYMBOL"  #: another SESSION order for the symbol is open: one a session
    MARKET_CLOSED = "MARKET_CLOSED"  #: a CONTINUOUS order after its session's last phase
    CANCELLED_BEFORE_ARRIVAL = "CANCELLED_BEFORE_ARRIVAL"  #: it came after its cancellation
    ON_DEMAND = "ON_DEMAND"  #: a fault was asked for


class PhaseName(StrEnum):
    """What a session does next, in this order; ``continuous`` comes twice."""

    OPENING_AUCTION = "opening_auction"  #: 09:15; corporate actions are booked, yesterday's purchases are sellable
    OPENED = "opened"  #: 09:25; the opening price is known
    CONTINUOUS = "continuous"  #: 09:30 and 13:00
    LUNCH = "lunch"
    CLOSING_AUCTION = "closing_auction"
    CLOSED = "closed"  #: 15:00; after it nothing more is said of the session but its bars


class BookingKind(StrEnum):
    """What changes an account without a trade."""

    DIVIDEND = "dividend"
    BONUS_SHARES = "bonus_shares"
    RIGHTS = "rights"
    WRITE_OFF = "write_off"


class FaultKind(StrEnum):
    """What goes wrong on demand, for the next ``count`` requests to ``/orders``."""

    DROP_REPLY = "drop_reply"  #: dealt with, then the connection is reset without an answer
    CUT_AFTER_REQUEST = "cut_after_request"  #: read, not dealt with, the connection is reset
    HALF_OPEN = "half_open"  #: dealt with; no answer for ``seconds``, then the connection is reset
    DELAY = "delay"  #: dealt with and answered ``seconds`` late, even when nobody waits any longer
    REJECT_NEXT = "reject_next"  #: new orders are rejected with ON_DEMAND
    DISCONNECT_STREAM = "disconnect_stream"  #: every stream ends now; none is taken for ``seconds``
    SILENCE_STREAM = "silence_stream"  #: streams stay open and say nothing for ``seconds``


class RefusalCode(StrEnum):
    """Why a request was not dealt with; nothing has changed."""

    MALFORMED = "MALFORMED"  #: 400
    NOT_FOUND = "NOT_FOUND"  #: 404; of an order: it never was, and when it was to be cancelled, never will be
    CONFLICT = "CONFLICT"  #: 409; the client order id was used for another order
    FENCED = "FENCED"  #: 409; a higher epoch was seen
    NOT_ALLOWED = "NOT_ALLOWED"  #: 403; faults without ``--allow-faults``
    NOT_YET = "NOT_YET"  #: 409; the session is not over
    FAILED = "FAILED"  #: 500; the exchange could not make it durable


@dataclass(frozen=True, slots=True)
class NewOrder:
    """An order for one session.

    Parameters
    ----------
    client_order_id
        Identity: sending it twice is one order; sending something else under it is a conflict. Empty by hand only.
    session
        The one session it is good for.
    rank
        Place in the queue of the session's SESSION orders, sells before buys; not read otherwise.
    limit_price_e4
        0 for SESSION orders.

    Raises
    ------
    TradingError
        When a field is out of range.
    """

    client_order_id: str
    session: date
    symbol: str
    side: Side
    shares: int
    rank: int
    execution: Execution
    limit_price_e4: int

    def __post_init__(self) -> None:
        if self.client_order_id and not is_client_order_id(self.client_order_id):
            raise TradingError(
                f"client_order_id {self.client_order_id[:80]!r} is no identity",
                f"use 1 to {MAX_ID_CHARACTERS} printable ASCII characters without blank or slash",
            )
        if self.shares <= 0 or self.rank < 0:
            raise TradingError(
                f"order {self.client_order_id!r} has shares {self.shares} and rank {self.rank}",
                "shares are above zero, the side says which way; ranks count from zero",
            )
        if (self.limit_price_e4 > 0) != (self.execution is Execution.CONTINUOUS) or self.limit_price_e4 < 0:
            raise TradingError(
                f"order {self.client_order_id!r} is {self.execution} with limit_price_e4 {self.limit_price_e4}",
                "a continuous order has a limit above zero, a session order has 0",
            )


@dataclass(frozen=True, slots=True)
class OrderReport:
    """Where an order stands, as of ``seq``; ``client_order_id`` is empty when it was placed by hand."""

    seq: int
    client_order_id: str
    exchange_order_id: str
    symbol: str
    side: Side
    shares: int
    execution: Execution
    session: date
    state: OrderStatus
    reason: str
    filled_shares: int
    at_ns: int


@dataclass(frozen=True, slots=True)
class FillReport:
    """One trade; fees come on top of the value, which holds slippage and impact already."""

    seq: int
    exec_id: str
    exchange_order_id: str
    client_order_id: str
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
    at_ns: int

    @property
    def fees_fen(self) -> int:
        """All fees of the fill."""
        return self.commission_fen + self.stamp_duty_fen + self.transfer_fee_fen


@dataclass(frozen=True, slots=True)
class Booking:
    """What changed the account without a trade: cash and shares that came (or, negative, went)."""

    seq: int
    session: date
    symbol: str
    kind: BookingKind
    cash_fen: int
    shares: int
    at_ns: int


@dataclass(frozen=True, slots=True)
class PositionReport:
    """Shares of one symbol; ``entry_price_e4`` is the average paid, ``peak_price_e4`` the highest close since."""

    symbol: str
    shares: int
    sellable_shares: int
    held_sessions: int
    entry_price_e4: int
    peak_price_e4: int
    last_price_e4: int


@dataclass(frozen=True, slots=True)
class AccountReport:
    """The account as of ``seq``, by symbol; sent when a session opens and when it closes."""

    seq: int
    session: date
    cash_fen: int
    positions: tuple[PositionReport, ...]
    at_ns: int


@dataclass(frozen=True, slots=True)
class Phase:
    """From ``at_ns`` on ``session`` is in ``phase``."""

    seq: int
    session: date
    phase: PhaseName
    at_ns: int


@dataclass(frozen=True, slots=True)
class Tick:
    """An exchange's snapshot of one name.

    ``volume_shares`` and ``amount_fen`` are of the session so far. ``ask_e4`` 0: sealed at the upper limit, nobody
    sells; ``bid_e4`` 0: sealed at the lower one. The class checks types alone: what a tick may say is for whoever
    receives it.
    """

    symbol: str
    at_ns: int
    session: date
    last_e4: int
    volume_shares: int
    amount_fen: int
    bid_e4: int
    ask_e4: int
    bid_shares: int
    ask_shares: int
    open_e4: int
    high_e4: int
    low_e4: int
    pre_close_e4: int


@dataclass(frozen=True, slots=True)
class Bar:
    """One name's official bar; prices, volume and amount that are not known are 0."""

    symbol: str
    open_e4: int
    high_e4: int
    low_e4: int
    close_e4: int
    pre_close_e4: int
    volume_shares: int
    amount_fen: int
    adj_factor: float


@dataclass(frozen=True, slots=True)
class SessionBars:
    """The official bars of a session that is over, by symbol; suspended names are absent."""

    session: date
    at_ns: int
    bars: tuple[Bar, ...]


@dataclass(frozen=True, slots=True)
class ClockReport:
    """The exchange's time.

    Parameters
    ----------
    session, phase
        Where the market stands; None before the first session began.
    at_ns
        Market time; 0 before the first session began.
    next_session
        The one after ``session`` (before the first: the first), for which SESSION orders are taken; None when the
        exchange knows no more.
    speed
        Market seconds a wall second; 0: lockstep.
    last_seq
        Of the last durable message.
    exhausted
        Nothing is there to play after ``session`` yet: ``next_session`` begins when its bars have come.
    """

    session: date | None
    phase: PhaseName | None
    at_ns: int
    next_session: date | None
    speed: float
    last_seq: int
    exhausted: bool


@dataclass(frozen=True, slots=True)
class FaultOrder:
    """A fault to commit on the next ``count`` requests, or for ``seconds`` of wall time."""

    kind: FaultKind
    count: int
    seconds: float

    def __post_init__(self) -> None:
        if not 0 <= self.seconds <= 3600 or not 0 <= self.count <= 1_000_000:
            raise TradingError(
                f"fault {self.kind} has count {self.count} and seconds {self.seconds}",
                "count from 0 to 1,000,000 and 0 to 3,600 seconds",
            )


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a request was refused, for programs and for people."""

    code: RefusalCode
    detail: str


Durable = OrderReport | FillReport | Booking | AccountReport | Phase
_DURABLE: dict[str, type[Durable]] = {
    "order": OrderReport,
    "fill": FillReport,
    "booking": Booking,
    "account": AccountReport,
    "phase": Phase,
}
_KIND_OF = {message: kind for kind, message in _DURABLE.items()}


def durable_kind(message: Durable) -> str:
    """Return the word under which a durable message is stored and sent."""
    return _KIND_OF[type(message)]


def durable_to_json(message: Durable) -> dict[str, Any]:
    """Return the message, with its kind as ``message``."""
    return {"message": durable_kind(message), **to_json(message)}


def durable_from_json(data: object) -> Durable:
    """Return the durable message of which ``data`` names the kind; errors as ``strict_json.from_json``."""
    kind = data.get("message") if isinstance(data, dict) else data
    if not isinstance(data, dict) or not isinstance(kind, str) or kind not in _DURABLE:
        raise TradingError(f"{str(kind)[:80]!r} is no durable message", f"send one of {', '.join(sorted(_DURABLE))}")
    return from_json(_DURABLE[kind], {name: value for name, value in data.items() if name != "message"})


@dataclass(frozen=True, slots=True)
class Frame:
    """What the stream sends at once: durable messages, then ticks, each in order of time.

    ``number`` counts a connection's frames from 1 and is what the client acknowledges. Ticks may be older than the
    durable messages beside them when the client is slow: each says its own time.
    """

    number: int
    durable: tuple[Durable, ...] = ()
    ticks: tuple[Tick, ...] = ()
    bars: tuple[SessionBars, ...] = ()


def encode_frame(frame: Frame) -> str:
    """Return the frame as text; ticks are lists in the order of their fields."""
    return frame_text(frame.number, frame.durable, [to_row(tick) for tick in frame.ticks], frame.bars)


def frame_text(number: int, durable: Iterable[Durable], tick_rows: list[list[Any]], bars: Iterable[SessionBars]) -> str:
    """Return a frame's text from ticks that are rows already."""
    content = {
        "frame": number,
        "durable": [durable_to_json(message) for message in durable],
        "ticks": tick_rows,
        "bars": [to_json(one) for one in bars],
    }
    return json.dumps(content, separators=(",", ":"))


def decode_frame(text: str | bytes) -> Frame:
    """Return the frame that ``text`` says.

    Raises
    ------
    TradingError
        When it is no frame, or a message in it is not what its class says.
    """
    data = parse_object(text)
    if data.keys() != {"frame", "durable", "ticks", "bars"} or type(data["frame"]) is not int:
        raise TradingError(f"a frame has the fields {sorted(data)}", "run the same version on both sides")
    for name in ("durable", "ticks", "bars"):
        if not isinstance(data[name], list):
            raise TradingError(f"{name} of a frame is {str(data[name])[:80]!r}", "send a list")
    return Frame(
        number=data["frame"],
        durable=tuple([durable_from_json(one) for one in data["durable"]]),
        ticks=tuple([from_row(Tick, row) for row in data["ticks"]]),
        bars=tuple([from_json(SessionBars, one) for one in data["bars"]]),
    )


def encode_ack(number: int) -> str:
    """Return what the client answers when it has dealt with frame ``number``."""
    return json.dumps({"ack": number})


def decode_ack(text: str | bytes) -> int:
    """Return the frame number that a client acknowledges; a TradingError when it is no acknowledgement."""
    data = parse_object(text)
    number = data.get("ack")
    if data.keys() != {"ack"} or type(number) is not int:
        raise TradingError(f"{text[:80]!r} is no acknowledgement", 'send {"ack": N} with a frame\'s number')
    return number


def parse_object(text: str | bytes) -> dict[str, Any]:
    """Return the JSON object that ``text`` is; a TradingError when it is none."""
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise TradingError(f"{text[:80]!r} is no JSON ({error})", "send one JSON object") from None
    if not isinstance(data, dict):
        raise TradingError(f"{text[:80]!r} is no JSON object", "send one JSON object")
    return data


def parse_message(kind: type[T], text: str | bytes) -> T:
    """Return the message of class ``kind`` that the JSON ``text`` says; errors as ``strict_json.from_json``."""
    return from_json(kind, parse_object(text))
