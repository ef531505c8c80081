"""What a runner has to know is in the journal, and reads the same after any stop."""

from __future__ import annotations

from pathlib import Path

from ljwx_pipeline.live.events import (
    BreakerMoved,
    BreakerReset,
    BreakerTripped,
    ModeChanged,
    ReconciliationFailed,
    Stage,
    StopQueued,
    StrategyChanged,
    StrategyState,
    StreamRead,
)
from ljwx_pipeline.live.orders import Leg, OrderState
from ljwx_pipeline.live.stages import Sleeve
from ljwx_pipeline.live.state import StoredStrategy, TrippedBreaker, WaitingStop, load_state
from ljwx_pipeline.live.store import Store
from ljwx_pipeline.trading.modes import TradingMode
from tests.fakes.journal_events import BUNDLE, DAY, NEXT, closed, decided, filled, held, reported, staged
from tests.fakes.journals import empty_store, log_of


def test_an_empty_journal_knows_nothing(tmp_path: Path) -> None:
    state = load_state(empty_store(tmp_path))
    assert (state.seq, state.epoch, state.cash_fen, state.open_orders, dict(state.positions)) == (0, 0, None, (), {})


def test_everything_that_holds_is_there_and_nothing_that_is_over(tmp_path: Path) -> None:
    store = empty_store(tmp_path)
    tripped = {"breaker": "drawdown", "session": DAY, "value": "6 %", "limit": "5 %", "reason": "lost"}
    stop = {
        "strategy": "s",
        "symbol": "S1",
        "leg": Leg.STOP,
        "shares": 100,
        "valid_session": NEXT,
        "reason": "T_PLUS_1",
    }
    log_of(store).append(
        [
            staged(),
            StrategyChanged(
                strategy="s", state=StrategyState.PAUSED, settings="{}", capital_share_bps=5_000, by="config"
            ),
            decided("over", bundle_hash=BUNDLE),
            reported(OrderState.LAPSED, "over"),
            decided("denied", denial="FAT_FINGER"),
            closed(DAY, positions=(held("S00002.SIM"),)),
            decided("open"),
            filled("e", "open"),
            BreakerTripped(**tripped, scope="s"),
            BreakerTripped(**tripped, scope="t"),
            BreakerReset(breaker="drawdown", scope="t", by="op", reason="looked at it"),
            BreakerMoved(breaker="losses", scope="s", state='{"count":1}'),
            BreakerMoved(breaker="losses", scope="s", state='{"count":2}'),
            ModeChanged(scope="", mode=TradingMode.READ_ONLY, by="reconciliation", reason="outage"),
            StopQueued(**stop),
            StreamRead(broker="paper", exchange_seq=9),
            ReconciliationFailed(broker="paper", session=DAY, differences=("cash",)),
        ],
        0,
    )
    state = load_state(Store(store.path))
    assert state.seq == 17
    (order,) = state.open_orders
    assert (order.client_order_id, order.state, order.filled_shares) == ("open", OrderState.PARTLY_FILLED, 100)
    assert {symbol: one.shares for symbol, one in state.positions.items()} == {"S00001.SIM": 100, "S00002.SIM": 300}
    assert state.cash_fen == 1_000_000 - 100_501
    assert state.breakers == (TrippedBreaker(**tripped, scope="s"),)
    assert state.breaker_states == {("losses", "s"): '{"count":2}'}
    assert state.modes == {"": TradingMode.READ_ONLY}
    assert state.stops == (WaitingStop(**stop),)
    assert state.strategies == (StoredStrategy("s", StrategyState.PAUSED, "{}", 5_000),)
    assert state.stages == (Sleeve("s", Stage.CHAMPION, BUNDLE, 10_000),)
    assert state.streams == {"paper": 9}
    assert state.unreconciled == {"paper": "cash"}
