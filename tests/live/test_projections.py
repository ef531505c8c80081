"""The derived tables follow from the log alone, whatever comes twice, late or in disorder."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from ljwx_pipeline.errors import LiveError
from ljwx_pipeline.live.event_log import read_events
from ljwx_pipeline.live.events import (
    BreakerMoved,
    BreakerReset,
    BreakerTripped,
    Event,
    ModeChanged,
    OrderAdopted,
    OrderSent,
    OrderUnknown,
    Reconciled,
    ReconciliationFailed,
    SessionOpened,
    Stage,
    StopQueued,
    StrategyChanged,
    StrategyState,
    StreamRead,
)
from ljwx_pipeline.live.orders import Leg, OrderState
from ljwx_pipeline.live.projections import derive
from ljwx_pipeline.live.store import Store
from ljwx_pipeline.live.tables import (
    account_now,
    breaker_states,
    breakers,
    events,
    fills,
    modes,
    orders,
    positions_now,
    reconciliations,
    stages,
    stops_queued,
    strategies,
    streams,
)
from ljwx_pipeline.trading.exchange_wire import Execution, Side
from ljwx_pipeline.trading.modes import TradingMode
from tests.fakes.journal_events import (
    BUNDLE,
    DAY,
    NEXT,
    closed,
    decided,
    disordered,
    filled,
    held,
    noted,
    order_lives,
    others,
    reported,
    staged,
)
from tests.fakes.journals import contents, empty_store, log_of


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return empty_store(tmp_path)


def order(store: Store, identity: str = "a") -> dict[str, object]:
    with store.reading() as connection:
        return dict(connection.execute(select(orders).where(orders.c.client_order_id == identity)).mappings().one())


def rows(store: Store, *columns: object) -> list[tuple[object, ...]]:
    with store.reading() as connection:
        return [tuple(row) for row in connection.execute(select(*columns).order_by(*columns))]


def test_an_order_only_moves_forward(store: Store) -> None:
    log = log_of(store)
    log.append([decided()], 0)
    assert order(store)["state"] == "intended"
    log.append([OrderUnknown(client_order_id="a", reason="timeout")], 0)
    assert order(store)["state"] == "unknown"
    log.append([reported(OrderState.FILLED, filled=300)], 0)
    last = log.append([reported(OrderState.ACCEPTED), OrderUnknown(client_order_id="a", reason="late")], 0)
    found = order(store)
    assert (found["state"], found["filled_shares"], found["is_open"]) == ("filled", 300, 0)
    assert last == 3, "what changes nothing is not in the log"


def test_sending_is_counted_and_a_final_order_never_leaves_again(store: Store) -> None:
    log = log_of(store)
    log.append([decided()], 0)
    for _ in range(2):
        log.append([OrderSent(client_order_id="a", fencing_epoch=0, sent_at_ns=7)], 0)
    assert (order(store)["sent_times"], order(store)["state"]) == (2, "intended")
    log.append([reported(OrderState.REJECTED, reason="CASH")], 0)
    with pytest.raises(LiveError, match="was to be sent, but is rejected"):
        log.append([OrderSent(client_order_id="a", fencing_epoch=0, sent_at_ns=8)], 0)


def test_a_fill_counts_once_and_another_one_under_its_id_is_refused(store: Store) -> None:
    log = log_of(store)
    log.append([decided(), filled()], 0)
    assert log.append([filled(), filled()], 0) == 2
    assert rows(store, account_now.c.cash_fen) == [(-100_501,)]
    assert rows(store, positions_now.c.symbol, positions_now.c.shares) == [("S00001.SIM", 100)]
    with pytest.raises(LiveError, match="price_e4 of fill e1 is 100000 in the journal and 100001 now"):
        log.append([noted(), filled(price_e4=100_001)], 0)
    assert log.last_seq() == 2, "nothing of the refused transaction is there"


def test_a_fill_of_another_order_s_symbol_or_side_is_refused(store: Store) -> None:
    log = log_of(store)
    log.append([decided()], 0)
    for wrong in ({"symbol": "S00009.SIM"}, {"side": Side.SELL}):
        with pytest.raises(LiveError, match="fill e1 and its order"):
            log.append([filled(**wrong)], 0)


def test_more_shares_than_were_ordered_are_refused(store: Store) -> None:
    log = log_of(store)
    log.append([decided(), filled("e1", shares=200)], 0)
    with pytest.raises(LiveError, match="400 shares are said to be filled of order a over 300"):
        log.append([filled("e2", shares=200)], 0)
    with pytest.raises(LiveError, match="301 shares"):
        log.append([reported(OrderState.PARTLY_FILLED, filled=301)], 0)


def test_a_fill_of_an_order_that_nobody_knows_waits_for_its_adoption(store: Store) -> None:
    log = log_of(store)
    by_hand = filled("e1", "", exchange_order_id="X-7")
    with pytest.raises(LiveError, match=r"holds no order 'X-7'.*adopt it"):
        log.append([by_hand], 0)
    adopted = OrderAdopted(
        client_order_id="adopted|X-7",
        exchange_order_id="X-7",
        session=NEXT,
        symbol="S00001.SIM",
        side=Side.BUY,
        shares=100,
        execution=Execution.CONTINUOUS,
        limit_price_e4=0,
        adopted_at_ns=1,
    )
    assert log.append([adopted, adopted, by_hand], 0) == 2
    assert order(store, "adopted|X-7")["state"] == "filled"


def test_the_same_decision_again_changes_nothing_and_another_one_is_refused(store: Store) -> None:
    log = log_of(store)
    assert log.append([decided(), decided()], 0) == 1
    for other in (decided(shares=400), decided(denial="FAT_FINGER")):
        with pytest.raises(LiveError, match="order a is "):
            log.append([other], 0)


def test_a_statement_is_taken_over_only_where_the_stream_was_read_up_to_it(store: Store) -> None:
    log = log_of(store)
    values = {"broker": "paper", "session": NEXT, "orders": 0, "fills": 0, "explained": ()}
    log.append([StreamRead(broker="paper", exchange_seq=7)], 0)
    for seq in (6, 8):
        with pytest.raises(LiveError, match=rf"is of its message {seq}, its stream was read up to 7"):
            log.append([Reconciled(**values, exchange_seq=seq, cash_fen=5, positions=())], 0)
    log.append([Reconciled(**values, exchange_seq=7, cash_fen=5, positions=(held(),))], 0)
    assert rows(store, account_now.c.cash_fen) == [(5,)]
    assert rows(store, positions_now.c.shares, positions_now.c.entry_price_e4) == [(300, 100_000)]


def test_what_was_bought_can_be_sold_from_the_next_session_on(store: Store) -> None:
    log = log_of(store)
    log.append([SessionOpened(session=DAY), decided(), filled(shares=300)], 0)
    held_now = (positions_now.c.shares, positions_now.c.sellable_shares, positions_now.c.held_sessions)
    assert rows(store, *held_now) == [(300, 0, 0)]
    log.append([SessionOpened(session=NEXT), SessionOpened(session=NEXT)], 0)
    assert rows(store, *held_now) == [(300, 300, 1)]


def test_the_average_price_paid_is_that_of_the_account(store: Store) -> None:
    log = log_of(store)
    log.append([decided(), filled("e1", shares=100, price_e4=100_000), filled("e2", shares=200, price_e4=110_001)], 0)
    assert rows(store, positions_now.c.entry_price_e4) == [((100_000 * 100 + 110_001 * 200) // 300,)]


def test_a_session_closes_once(store: Store) -> None:
    log = log_of(store)
    assert log.append([closed(), closed()], 0) == 1
    with pytest.raises(LiveError, match="session 2025-11-04 is closed with"):
        log.append([closed(cash_fen=1)], 0)


def test_a_bundle_holds_one_stage_of_a_strategy_at_a_time(store: Store) -> None:
    log = log_of(store)
    log.append([staged(stage=Stage.SHADOW), staged(stage=Stage.CANARY), staged("c" * 64, stage=Stage.CHAMPION)], 0)
    assert rows(store, stages.c.stage, stages.c.bundle_hash) == [("canary", "b" * 64), ("champion", "c" * 64)]


def test_a_queued_stop_is_gone_once_its_order_is_decided(store: Store) -> None:
    log = log_of(store)
    stop = {"strategy": "s", "symbol": "S00001.SIM", "leg": Leg.STOP, "shares": 100, "valid_session": NEXT}
    log.append([StopQueued(**stop, reason="T_PLUS_1")], 0)
    log.append([decided("x")], 0)
    assert len(rows(store, stops_queued.c.symbol)) == 1, "a decision of the model is not the stop"
    log.append([decided("y", leg=Leg.STOP, side=Side.SELL)], 0)
    assert rows(store, stops_queued.c.symbol) == []


def test_a_breaker_that_never_tripped_cannot_be_reset(store: Store) -> None:
    with pytest.raises(LiveError, match="never tripped"):
        log_of(store).append([BreakerReset(breaker="drawdown", scope="", by="op", reason="")], 0)


def test_the_newest_word_of_each_breaker_mode_strategy_and_broker_stands(store: Store) -> None:
    tripped = {"breaker": "drawdown", "session": DAY, "value": "6 %", "limit": "5 %", "reason": "lost"}
    log_of(store).append(
        [
            StrategyChanged(
                strategy="s", state=StrategyState.PAUSED, settings="{}", capital_share_bps=5_000, by="config"
            ),
            BreakerTripped(**tripped, scope="s"),
            BreakerTripped(**tripped, scope="t"),
            BreakerReset(breaker="drawdown", scope="t", by="op", reason="looked at it"),
            BreakerMoved(breaker="losses", scope="s", state='{"count":1}'),
            BreakerMoved(breaker="losses", scope="s", state='{"count":2}'),
            ModeChanged(scope="", mode=TradingMode.READ_ONLY, by="reconciliation", reason="outage"),
            StreamRead(broker="paper", exchange_seq=9),
            ReconciliationFailed(broker="paper", session=DAY, differences=("cash",)),
        ],
        0,
    )
    (strategy,) = rows(store, strategies.c.strategy, strategies.c.state, strategies.c.capital_share_bps)
    assert strategy == ("s", StrategyState.PAUSED, 5_000)
    assert dict(rows(store, breakers.c.scope, breakers.c.tripped)) == {"s": 1, "t": 0}
    assert rows(store, breaker_states.c.breaker, breaker_states.c.scope, breaker_states.c.state) == [
        ("losses", "s", '{"count":2}')
    ]
    assert rows(store, modes.c.scope, modes.c.mode) == [("", TradingMode.READ_ONLY)]
    assert rows(store, streams.c.broker, streams.c.exchange_seq) == [("paper", 9)]
    assert rows(store, reconciliations.c.holds, reconciliations.c.differences) == [(0, "cash")]


def everything(store: Store) -> dict[str, object]:
    return dict(contents(store))


def derived_anew(store: Store) -> dict[str, object]:
    with store.writing() as connection:
        derive(connection, read_events(connection))
    return everything(store)


@pytest.mark.slow
@settings(max_examples=30, deadline=None)
@given(st.lists(st.lists(others, min_size=1, max_size=6), max_size=12), st.data())
def test_tables_derived_anew_equal_those_that_grew(batches: list[list[Event]], data: st.DataObject) -> None:
    lives = [data.draw(order_lives(number)) for number in range(data.draw(st.integers(0, 3)))]
    with tempfile.TemporaryDirectory() as folder:
        store = empty_store(Path(folder))
        log = log_of(store)
        log.append([life.order for life in lives], 0)
        batches += [[message] for message in data.draw(disordered([m for life in lives for m in life.messages]))]
        grown = everything(store)
        for batch in data.draw(st.permutations(batches)):
            try:
                log.append(batch, 0)
            except LiveError:
                assert everything(store) == grown, "a refused transaction left something"
            grown = everything(store)
        assert derived_anew(store) == grown
        store.close()


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_orders_and_fills_end_the_same_in_whatever_order_the_broker_s_messages_come(data: st.DataObject) -> None:
    lives = [data.draw(order_lives(number)) for number in range(data.draw(st.integers(1, 3)))]
    messages = [message for life in lives for message in life.messages]
    ends = []
    for order_of_arrival in (messages, data.draw(disordered(messages))):
        with tempfile.TemporaryDirectory() as folder:
            store = empty_store(Path(folder))
            log = log_of(store)
            log.append([life.order for life in lives], 0)
            for message in order_of_arrival:
                log.append([message], 0)
            shares = positions_now.c.symbol, positions_now.c.shares, positions_now.c.sellable_shares
            ends.append((rows(store, *orders.c), rows(store, *fills.c), rows(store, account_now.c.cash_fen)))
            ends[-1] = (*ends[-1], [row for row in rows(store, *shares) if row[1] or row[2]])
            store.close()
    assert ends[0] == ends[1]


@pytest.mark.parametrize(
    ("strategy", "stage", "said"),
    [
        ("", Stage.CHAMPION, ""),
        ("", Stage.SHADOW, " as shadow"),
        ("value", Stage.CHAMPION, " as champion of value"),
        ("value", Stage.CANARY, " as canary of value"),
    ],
)
def test_a_deployment_says_for_whom_and_as_what(store: Store, strategy: str, stage: Stage, said: str) -> None:
    log_of(store).append([staged(strategy=strategy, stage=stage)], 0)
    ((message,),) = rows(store, events.c.message)
    assert message == f"version 1, bundle {BUNDLE[:12]}{said}"
