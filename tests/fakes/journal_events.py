"""Events for tests of the journal: one order's life, and hypothesis strategies of whole disorderly days."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

from hypothesis import strategies as st

from ljwx_pipeline.live.events import (
    AlertRaised,
    Booked,
    BreakerMoved,
    BreakerReset,
    BreakerTripped,
    BundleReleased,
    BundleStaged,
    BundleWithdrawn,
    CandidateJudged,
    Event,
    FillReported,
    HeldPosition,
    ModeChanged,
    ModelScored,
    Noted,
    OrderAdopted,
    OrderDecided,
    OrderReported,
    OrderSent,
    OrderUnknown,
    Reconciled,
    ReconciliationFailed,
    RunnerStated,
    SessionClosed,
    SessionOpened,
    SignalsScored,
    SleeveBook,
    SleeveHolding,
    SleevesDecided,
    SleevesSettled,
    SleeveWant,
    Stage,
    StopQueued,
    StrategyChanged,
    StrategyState,
    StreamRead,
    TickQuarantined,
    Tier,
)
from ljwx_pipeline.live.orders import Leg, OrderState
from ljwx_pipeline.trading.exchange_wire import Execution, Side
from ljwx_pipeline.trading.modes import TradingMode

NOW = datetime(2025, 11, 3, 7, 5, tzinfo=UTC)
DAY, NEXT = date(2025, 11, 3), date(2025, 11, 4)
BUNDLE = "b" * 64


def staged(bundle: str = BUNDLE, **changed: Any) -> BundleStaged:
    values = {
        "strategy": "s",
        "stage": Stage.CHAMPION,
        "bundle_hash": bundle,
        "model_version": "1",
        "last_train_session": DAY,
        "capital_share_bps": 10_000,
    }
    return BundleStaged(**{**values, **changed})


def decided(identity: str = "a", **changed: Any) -> OrderDecided:
    values = {
        "client_order_id": identity,
        "strategy": "s",
        "leg": Leg.DECIDE,
        "session": DAY,
        "valid_session": NEXT,
        "bundle_hash": None,
        "symbol": "S00001.SIM",
        "side": Side.BUY,
        "shares": 300,
        "rank": 0,
        "execution": Execution.SESSION,
        "limit_price_e4": 0,
        "reference_price_e4": 100_000,
        "denial": "",
        "decided_at_ns": 1,
    }
    return OrderDecided(**{**values, **changed})


def reported(state: OrderState, identity: str = "a", filled: int = 0, **changed: Any) -> OrderReported:
    values = {
        "client_order_id": identity,
        "exchange_order_id": f"X-{identity}",
        "state": state,
        "reason": "",
        "filled_shares": filled,
        "session_over": False,
        "reported_at_ns": 2,
    }
    return OrderReported(**{**values, **changed})


def filled(exec_id: str = "e1", identity: str = "a", shares: int = 100, **changed: Any) -> FillReported:
    values = {
        "exec_id": exec_id,
        "client_order_id": identity,
        "exchange_order_id": "",
        "session": NEXT,
        "symbol": "S00001.SIM",
        "side": Side.BUY,
        "shares": shares,
        "price_e4": 100_000,
        "value_fen": shares * 1_000,
        "commission_fen": 500,
        "stamp_duty_fen": 0,
        "transfer_fee_fen": 1,
        "slippage_fen": 0,
        "impact_fen": 0,
        "filled_at_ns": 3,
    }
    return FillReported(**{**values, **changed})


def closed(session: date = NEXT, cash_fen: int = 1_000_000, positions: tuple[HeldPosition, ...] = ()) -> SessionClosed:
    return SessionClosed(
        session=session,
        bars_hash="h",
        cash_fen=cash_fen,
        equity_fen=cash_fen,
        fees_fen=0,
        dividends_fen=0,
        written_off_fen=0,
        positions=positions,
    )


def noted(message: str = "something happened") -> Noted:
    return Noted(topic="note", message=message, session=None)


def held(symbol: str = "S00001.SIM", shares: int = 300) -> HeldPosition:
    return HeldPosition(
        symbol=symbol,
        shares=shares,
        sellable_shares=shares,
        held_sessions=2,
        entry_price_e4=100_000,
        peak_price_e4=110_000,
        last_price_e4=105_000,
    )


@dataclass(frozen=True)
class OrderLife:
    """One order and all that its broker ever says of it, in the order it happened."""

    order: OrderDecided | OrderAdopted
    messages: tuple[Event, ...]


@st.composite
def order_lives(draw: st.DrawFn, number: int) -> OrderLife:
    identity, symbol = f"o{number}", draw(st.sampled_from(["S00001.SIM", "S00002.SIM"]))
    side = draw(st.sampled_from(Side))
    sizes = draw(st.lists(st.integers(1, 5).map(lambda lots: lots * 100), max_size=4))
    rest = draw(st.integers(0, 3)) * 100
    shares = max(100, sum(sizes) + rest)
    adopted = draw(st.booleans())
    order: OrderDecided | OrderAdopted
    if adopted:
        order = OrderAdopted(
            client_order_id=identity,
            exchange_order_id=f"X-{identity}",
            session=NEXT,
            symbol=symbol,
            side=side,
            shares=shares,
            execution=Execution.CONTINUOUS,
            limit_price_e4=0,
            adopted_at_ns=1,
        )
    else:
        order = decided(identity, symbol=symbol, side=side, shares=shares)
    named = "" if adopted and draw(st.booleans()) else identity
    said = {"client_order_id": named, "exchange_order_id": f"X-{identity}"}
    messages: list[Event] = [reported(OrderState.ACCEPTED, identity, **said)]
    done = 0
    for part, size in enumerate(sizes):
        done += size
        price = draw(st.integers(90_000, 110_000))
        fill = filled(f"{identity}-{part}", identity, size, symbol=symbol, side=side, price_e4=price, **said)
        state = OrderState.FILLED if done == shares else OrderState.PARTLY_FILLED
        messages += [fill, reported(state, identity, done, **said)]
    if done < shares:
        state = draw(st.sampled_from([OrderState.CANCELLED, OrderState.LAPSED]))
        messages.append(reported(state, identity, done, reason="PARTICIPATION", **said))
    return OrderLife(order, tuple(messages))


def disordered(messages: list[Event]) -> st.SearchStrategy[list[Event]]:
    """Every message at least once, some twice, in any order."""
    again = st.lists(st.sampled_from(messages), max_size=6) if messages else st.just([])
    return again.flatmap(lambda twice: st.permutations([*messages, *twice]))


_NAMES = st.sampled_from(["s", "t"])
_TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8)
_DAYS = st.dates(date(2025, 11, 3), date(2025, 11, 6))
_SYMBOLS = st.sampled_from(["S00001.SIM", "S00002.SIM", "S00003.SIM"])
_POSITIONS = st.lists(_SYMBOLS, unique=True, max_size=3).map(lambda some: tuple(held(symbol) for symbol in some))

_BOOKS = st.builds(
    SleeveBook,
    sleeve=st.sampled_from(["", "s", "t"]),
    share_bps=st.integers(0, 10_000),
    cash_fen=st.integers(-500, 9_999),
    equity_fen=st.integers(0, 9_999),
    owes_fen=st.integers(-500, 500),
    moved_fen=st.integers(-500, 500),
    holdings=st.lists(
        st.builds(
            SleeveHolding,
            symbol=_SYMBOLS,
            shares=st.integers(1, 500),
            held_sessions=st.integers(0, 9),
            entry_price_e4=st.just(100_000),
            peak_price_e4=st.just(110_000),
            last_price_e4=st.just(105_000),
            value_fen=st.integers(0, 9_999),
        ),
        unique_by=lambda one: one.symbol,
        max_size=2,
    ).map(tuple),
)

#: Events about anything but the orders of `order_lives`; some contradict what came before and are then refused.
others: st.SearchStrategy[Event] = st.one_of(
    st.builds(
        decided, st.sampled_from(["p", "q"]), denial=st.sampled_from(["", "FAT_FINGER"]), leg=st.sampled_from(Leg)
    ),
    st.builds(OrderSent, client_order_id=st.sampled_from(["p", "q"]), fencing_epoch=st.just(0), sent_at_ns=st.just(5)),
    st.builds(OrderUnknown, client_order_id=st.sampled_from(["p", "q"]), reason=_TEXT),
    st.builds(reported, st.sampled_from(OrderState), st.sampled_from(["p", "q"]), st.integers(0, 400)),
    st.builds(filled, st.sampled_from(["e1", "e2", "e3"]), st.sampled_from(["p", "q"]), st.sampled_from([100, 200])),
    st.builds(SessionOpened, session=_DAYS),
    st.builds(closed, _DAYS, st.integers(0, 9_999), _POSITIONS),
    st.builds(
        Booked,
        booking_id=st.sampled_from(["1", "2"]),
        session=_DAYS,
        symbol=_SYMBOLS,
        reason=st.just("dividend"),
        cash_fen=st.integers(-500, 500),
        shares=st.integers(-100, 100),
        booked_at_ns=st.just(1),
    ),
    st.builds(StreamRead, broker=st.just("paper"), exchange_seq=st.integers(0, 5)),
    st.builds(
        Reconciled,
        broker=st.just("paper"),
        exchange_seq=st.integers(0, 5),
        session=st.none(),
        orders=st.just(0),
        fills=st.just(0),
        cash_fen=st.integers(0, 9_999),
        positions=_POSITIONS,
        explained=st.lists(_TEXT, max_size=2).map(tuple),
    ),
    st.builds(ReconciliationFailed, broker=st.just("paper"), session=st.none(), differences=st.lists(_TEXT).map(tuple)),
    st.builds(staged, st.sampled_from([BUNDLE, "c" * 64]), strategy=_NAMES, stage=st.sampled_from(Stage)),
    st.builds(
        BundleWithdrawn,
        identity=st.sampled_from(["w1", "w2"]),
        strategy=_NAMES,
        model_version=st.just("1"),
        reason=_TEXT,
    ),
    st.builds(
        BundleReleased,
        strategy=_NAMES,
        stage=st.sampled_from(Stage),
        bundle_hash=st.sampled_from([BUNDLE, "c" * 64]),
        session=st.none() | _DAYS,
        reason=_TEXT,
    ),
    st.builds(
        ModelScored,
        session=_DAYS,
        strategy=_NAMES,
        stage=st.sampled_from(Stage),
        bundle_hash=st.just(BUNDLE),
        champion_hash=st.just("c" * 64),
        rank_correlation=st.none() | st.floats(-1, 1),
        unscored_frac=st.floats(0, 1),
        latency_s=st.floats(0, 9),
        scores=st.dictionaries(_SYMBOLS, st.floats(-1, 1)),
    ),
    st.builds(
        CandidateJudged,
        session=_DAYS,
        strategy=_NAMES,
        bundle_hash=st.just(BUNDLE),
        champion_hash=st.just("c" * 64),
        rank_ic=st.floats(-1, 1),
        champion_rank_ic=st.floats(-1, 1),
        names=st.integers(1, 9),
    ),
    st.builds(
        SignalsScored,
        session=_DAYS,
        strategy=_NAMES,
        bundle_hash=st.just(BUNDLE),
        scores=st.dictionaries(_SYMBOLS, st.floats(-1, 1)),
    ),
    st.builds(
        StrategyChanged,
        strategy=_NAMES,
        state=st.sampled_from(StrategyState),
        settings=st.just("{}"),
        capital_share_bps=st.integers(0, 10_000),
        by=_TEXT,
    ),
    st.builds(
        StopQueued,
        strategy=_NAMES,
        symbol=_SYMBOLS,
        leg=st.sampled_from(Leg),
        shares=st.just(100),
        valid_session=_DAYS,
        reason=_TEXT,
    ),
    st.builds(
        BreakerTripped,
        breaker=st.sampled_from(["drawdown", "stale"]),
        scope=_NAMES,
        session=st.none() | _DAYS,
        value=_TEXT,
        limit=_TEXT,
        reason=_TEXT,
    ),
    st.builds(BreakerMoved, breaker=st.sampled_from(["drawdown", "stale"]), scope=_NAMES, state=st.just("{}")),
    st.builds(BreakerReset, breaker=st.sampled_from(["drawdown", "stale"]), scope=_NAMES, by=_TEXT, reason=_TEXT),
    st.builds(ModeChanged, scope=st.just("") | _NAMES, mode=st.sampled_from(TradingMode), by=_TEXT, reason=_TEXT),
    st.builds(
        TickQuarantined,
        symbol=_SYMBOLS,
        tick_at_ns=st.just(1),
        price_e4=st.just(1),
        reference_e4=st.just(0),
        reason=_TEXT,
    ),
    st.builds(AlertRaised, tier=st.sampled_from(Tier), code=_TEXT, message=_TEXT),
    st.builds(
        RunnerStated,
        mode=_TEXT,
        simulated=st.booleans(),
        opening_capital_fen=st.integers(0, 9),
        bundle_hash=st.none(),
        current_session=st.none(),
        sessions_done=st.just(0),
        sessions_total=st.just(1),
        message=_TEXT,
    ),
    st.builds(noted, _TEXT),
    st.builds(
        SleevesDecided,
        session=_DAYS,
        valid_session=st.just(date(2025, 11, 7)),
        wants=st.lists(
            st.builds(
                SleeveWant,
                sleeve=_NAMES,
                symbol=_SYMBOLS,
                side=st.sampled_from(Side),
                shares=st.integers(1, 500),
                crossed_shares=st.integers(0, 100),
                client_order_id=_TEXT,
                lot_step=st.just(100),
                denial=_TEXT,
            ),
            unique_by=lambda want: (want.sleeve, want.symbol),
            max_size=3,
        ).map(tuple),
    ),
    st.builds(SleevesSettled, session=_DAYS, books=st.lists(_BOOKS, unique_by=lambda book: book.sleeve).map(tuple)),
)
