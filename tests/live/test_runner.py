"""The runner trades exactly as the backtest does, and starts again from anything."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ljwx_pipeline.backtest.engine import run_backtest
from ljwx_pipeline.clock import SystemClock
from ljwx_pipeline.config import Settings
from ljwx_pipeline.errors import LiveError, TradingError
from ljwx_pipeline.live.database import connect
from ljwx_pipeline.live.feed import ReplayFeed
from ljwx_pipeline.live.journal import DeployedBundle, Journal
from ljwx_pipeline.live.orders import SessionClose
from ljwx_pipeline.live.paper_broker import PaperBroker
from ljwx_pipeline.live.runner import Model, Runner, RunnerSettings
from ljwx_pipeline.session_pack import read_session_pack
from ljwx_pipeline.trading.matching import Reject
from ljwx_pipeline.trading.order_reason import OrderReason
from tests.fakes.live_market import live_tables, write_pack

FEED_SESSIONS = 30
BUNDLE = DeployedBundle("b" * 64, "1", date(2018, 1, 31))


class GivenScores:
    """A scorer that was told its answers."""

    def __init__(self, feed: ReplayFeed, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self.table = rng.normal(size=feed.market.close_e4.shape)
        self.table[rng.uniform(size=self.table.shape) < 0.1] = np.nan
        self._feed = feed

    def scores(self, session: date) -> np.ndarray:
        return self.table[:, self._feed.column(session)].copy()


def wide_open(settings: Settings, **strategy: object) -> RunnerSettings:
    """Settings under which the risk gate never binds."""
    risk = settings.risk.model_copy(
        update={
            "max_order_cny": 1e12,
            "max_orders_per_session": 10_000,
            "max_weight_per_name_frac": 1.0,
            "max_gross_exposure_frac": 1.0,
            "max_price_deviation_frac": 1.0,
            "max_day_loss_frac": 1.0,
        }
    )
    chosen = settings.strategy.model_copy(update={"top_k": 6, "n_drop": 2, "min_hold_sessions": 2, **strategy})
    live = settings.live.model_copy(update={"max_bundle_age_days": 3650})
    return RunnerSettings(chosen, risk, live, settings.uncertainty)


@pytest.fixture
def feed(tmp_path: Path) -> ReplayFeed:
    return open_feed(tmp_path, seed=0)


def open_feed(folder: Path, seed: int) -> ReplayFeed:
    tables = live_tables(seed=seed, feed_sessions=FEED_SESSIONS)
    write_pack(folder / "feed", tables, feed_sessions=FEED_SESSIONS, online_features=pd.DataFrame({"symbol": ["x"]}))
    return ReplayFeed(read_session_pack(folder / "feed"))


def parts(folder: Path, feed: ReplayFeed, settings: RunnerSettings, costs: object) -> tuple[Journal, Runner]:
    journal = Journal(folder / "journal.sqlite", SystemClock())
    journal.record_bundle(BUNDLE)
    broker = PaperBroker(folder / "broker.sqlite", market=feed.market, costs=costs, capital_fen=settings.capital_fen)
    return journal, Runner(journal=journal, feed=feed, broker=broker, settings=settings)


def replay(folder: Path, feed: ReplayFeed, settings: RunnerSettings, costs: object, scorer: object) -> Journal:
    journal, runner = parts(folder, feed, settings, costs)
    runner.recover()
    for session in runner.pending():
        runner.step(session, Model(BUNDLE, scorer))
    return journal


@pytest.mark.parametrize("seed", [0, 1, 2, 3])
def test_the_replay_equals_the_backtest_to_the_fen(tmp_path: Path, settings: Settings, seed: int) -> None:
    feed = open_feed(tmp_path, seed)
    scorer = GivenScores(feed, seed)
    chosen = wide_open(settings)
    journal = replay(tmp_path, feed, chosen, settings.costs, scorer)
    expected = run_backtest(
        feed.market,
        scorer.table,
        strategy=chosen.strategy,
        costs=settings.costs,
        first=feed.sessions[0],
        last=feed.sessions[-1],
    )
    db = connect(journal.path)
    account = pd.read_sql("SELECT * FROM account ORDER BY session", db)
    np.testing.assert_array_equal(account["cash_fen"], expected.cash_fen)
    np.testing.assert_array_equal(account["equity_fen"], expected.equity_fen)
    np.testing.assert_array_equal(account["fees_fen"], expected.fees_fen)
    np.testing.assert_array_equal(account["dividends_fen"], expected.dividends_fen)
    np.testing.assert_array_equal(account["written_off_fen"], expected.written_off_fen)

    orders = pd.read_sql(
        "SELECT o.symbol, o.session, o.side, o.shares, o.reason, f.session AS filled_on, f.shares AS filled, "
        "f.price_e4, f.value_fen, f.commission_fen, f.stamp_duty_fen, f.transfer_fee_fen "
        "FROM orders o LEFT JOIN fills f USING (client_order_id) "
        "WHERE o.state NOT IN ('intended', 'accepted')",
        db,
    )
    following = dict(zip(feed.sessions[:-1], feed.sessions[1:], strict=True))
    sign = np.where(orders["side"] == "buy", 1, -1)
    ours = pd.DataFrame(
        {
            "session_date": pd.to_datetime([following[date.fromisoformat(day)] for day in orders["session"]]),
            "symbol": orders["symbol"],
            "order_shares": orders["shares"] * sign,
            "fill_shares": orders["filled"].fillna(0).astype(int) * sign,
            "reject": [int(Reject[reason]) if reason else 0 for reason in orders["reason"]],
        }
    )
    for column in ("price_e4", "value_fen", "commission_fen", "stamp_duty_fen", "transfer_fee_fen"):
        ours[column] = orders[column].fillna(0).astype(int)
    key = ["session_date", "symbol"]
    theirs = expected.orders[list(ours.columns)].sort_values(key, ignore_index=True)
    pd.testing.assert_frame_equal(ours.sort_values(key, ignore_index=True), theirs, check_dtype=False)
    assert (expected.orders["reject"] != 0).any(), "the market should have refused something"
    assert expected.dividends_fen.sum() > 0

    held = {row["symbol"]: row["shares"] for _, row in expected.positions.iterrows()}
    assert journal.positions(feed.sessions[-1]) == held
    # the decision at the last close stands as open orders, which the backtest does not make
    last = feed.sessions[-1].isoformat()
    assert {order.session.isoformat() for order in journal.open_orders()} <= {last}


@pytest.mark.parametrize("kind", ["topk_dropout", "score_weighted"])
@pytest.mark.parametrize("sizing", ["fixed_fraction", "volatility_target", "kelly"])
def test_the_runner_sizes_as_the_backtest_does(
    tmp_path: Path, settings: Settings, feed: ReplayFeed, kind: str, sizing: str
) -> None:
    money = settings.strategy.sizing.model_copy(
        update={"kind": sizing, "fraction": 0.7, "window_sessions": 10, "target_annual_volatility": 0.05}
    )
    chosen, scorer = wide_open(settings, kind=kind, max_weight_frac=0.3, sizing=money), GivenScores(feed, 0)
    journal = replay(tmp_path, feed, chosen, settings.costs, scorer)
    expected = run_backtest(
        feed.market,
        scorer.table,
        strategy=chosen.strategy,
        costs=settings.costs,
        first=feed.sessions[0],
        last=feed.sessions[-1],
    )
    equity, cash = journal.account_history()
    assert equity == expected.equity_fen.tolist()
    assert cash == expected.cash_fen.tolist()
    assert expected.exposure_bps.min() < 10_000
    if sizing != "fixed_fraction":
        assert (expected.orders["order_reason"] == OrderReason.SIZING).any(), "the exposure should have fallen"


@pytest.mark.parametrize(
    ("rule", "reason"),
    [
        ({"stop_loss_frac": 0.03}, OrderReason.STOP_LOSS),
        ({"take_profit_frac": 0.03}, OrderReason.TAKE_PROFIT),
        ({"trailing_stop_frac": 0.04}, OrderReason.TRAILING),
        ({"max_hold_sessions": 4}, OrderReason.TIME),
    ],
    ids=lambda value: value.name if isinstance(value, OrderReason) else "",
)
@pytest.mark.parametrize("kind", ["topk_dropout", "score_weighted"])
def test_the_runner_exits_as_the_backtest_does(
    tmp_path: Path, settings: Settings, feed: ReplayFeed, kind: str, rule: dict[str, float], reason: OrderReason
) -> None:
    exits, scorer = settings.strategy.exits.model_copy(update=rule), GivenScores(feed, 0)
    chosen = wide_open(settings, kind=kind, max_weight_frac=0.3, min_hold_sessions=4, exits=exits)
    journal = replay(tmp_path, feed, chosen, settings.costs, scorer)
    expected = run_backtest(
        feed.market,
        scorer.table,
        strategy=chosen.strategy,
        costs=settings.costs,
        first=feed.sessions[0],
        last=feed.sessions[-1],
    )
    assert journal.account_history() == (expected.equity_fen.tolist(), expected.cash_fen.tolist())
    assert (expected.trades["order_reason"] == reason).any(), "the rule should have forced a name out"


def test_a_stop_without_its_price_stops_trading(
    tmp_path: Path, settings: Settings, feed: ReplayFeed, monkeypatch: pytest.MonkeyPatch
) -> None:
    stops = settings.strategy.exits.model_copy(update={"stop_loss_frac": 0.1})
    journal, runner = parts(tmp_path, feed, wide_open(settings, exits=stops), settings.costs)
    close_of = PaperBroker.session_close

    def forgetful(broker: PaperBroker, session: date) -> SessionClose:
        close = close_of(broker, session)
        return replace(close, positions=tuple(replace(held, entry_price_e4=0) for held in close.positions))

    monkeypatch.setattr(PaperBroker, "session_close", forgetful)
    model = Model(BUNDLE, GivenScores(feed, 0))
    runner.step(feed.sessions[0], model)
    with pytest.raises(LiveError, match="its stop cannot be judged"):
        runner.step(feed.sessions[1], model)
    assert list(journal.sessions()) == [feed.sessions[0]]


def test_a_strategy_that_no_account_can_trade_is_refused_at_start(
    tmp_path: Path, settings: Settings, feed: ReplayFeed
) -> None:
    with pytest.raises(TradingError, match="no account can sell A-shares short"):
        parts(tmp_path, feed, wide_open(settings, kind="long_short"), settings.costs)


def test_a_second_run_does_nothing(tmp_path: Path, settings: Settings, feed: ReplayFeed) -> None:
    chosen, scorer = wide_open(settings), GivenScores(feed, 0)
    first = dump(replay(tmp_path, feed, chosen, settings.costs, scorer))
    again = dump(replay(tmp_path, feed, chosen, settings.costs, scorer))
    assert again == first


def test_stopping_after_every_session_changes_nothing(tmp_path: Path, settings: Settings, feed: ReplayFeed) -> None:
    chosen, scorer = wide_open(settings), GivenScores(feed, 0)
    whole = dump(replay(tmp_path / "whole", feed, chosen, settings.costs, scorer))
    for _ in feed.sessions:
        journal, runner = parts(tmp_path / "parts", feed, chosen, settings.costs)
        runner.recover()
        runner.step(runner.pending()[0], Model(BUNDLE, scorer))
    assert dump(journal) == whole


def test_orders_not_known_to_be_sent_are_sent_again_at_start(
    tmp_path: Path, settings: Settings, feed: ReplayFeed, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen, scorer = wide_open(settings), GivenScores(feed, 0)
    journal, runner = parts(tmp_path, feed, chosen, settings.costs)
    monkeypatch.setattr(runner, "_send", lambda session: None)  # as if killed between the two transactions
    runner.step(feed.sessions[0], Model(BUNDLE, scorer))
    assert journal.unsent_session() == feed.sessions[0]
    assert {order.session for order in journal.open_orders()} == {feed.sessions[0]}
    _, restarted = parts(tmp_path, feed, chosen, settings.costs)
    restarted.recover()
    assert journal.unsent_session() is None
    restarted.step(feed.sessions[1], Model(BUNDLE, scorer))
    assert journal.fill_count() > 0


def test_a_journal_that_disagrees_with_the_broker_stops_trading(
    tmp_path: Path, settings: Settings, feed: ReplayFeed
) -> None:
    chosen, scorer = wide_open(settings), GivenScores(feed, 0)
    replay(tmp_path, feed, chosen, settings.costs, scorer)
    connect(tmp_path / "journal.sqlite").execute("UPDATE account SET cash_fen = cash_fen + 1")
    _, runner = parts(tmp_path, feed, chosen, settings.costs)
    with pytest.raises(LiveError, match="journal and broker disagree"):
        runner.recover()


def test_a_stale_model_opens_nothing(tmp_path: Path, settings: Settings, feed: ReplayFeed) -> None:
    chosen = wide_open(settings)
    old = replace(chosen, live=chosen.live.model_copy(update={"max_bundle_age_days": 1}))
    journal = replay(tmp_path, feed, old, settings.costs, GivenScores(feed, 0))
    assert set(journal.order_counts()) == {"denied"}
    reasons = {row["reason"] for row in connect(journal.path).execute("SELECT DISTINCT reason FROM orders")}
    assert reasons == {"STALE_BUNDLE"}


def dump(journal: Journal) -> dict[str, list[tuple[object, ...]]]:
    """Everything in the journal that does not depend on the time of day."""
    db = connect(journal.path)
    tables = {
        "sessions": "*",
        "signals": "*",
        "orders": "client_order_id, session, symbol, side, shares, rank, state, reason, filled_shares",
        "fills": "*",
        "positions": "*",
        "account": "*",
    }
    return {
        table: [tuple(row) for row in db.execute(f"SELECT {columns} FROM {table} ORDER BY 1, 2")]
        for table, columns in tables.items()
    }
