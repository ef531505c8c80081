"""Each close is decided exactly as the backtest decides it, once, and under limits of its own."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sqlalchemy import func, select

from ljwx_pipeline.backtest.engine import run_backtest
from ljwx_pipeline.backtest.result import BacktestResult
from ljwx_pipeline.clock import SystemClock
from ljwx_pipeline.config import Settings
from ljwx_pipeline.errors import LiveError, TradingError
from ljwx_pipeline.live.account_files import account_misfit
from ljwx_pipeline.live.close_books import portfolio_at
from ljwx_pipeline.live.decision import Decider, DecidingModel, Portfolio, RunnerSettings
from ljwx_pipeline.live.feed import ReplayFeed
from ljwx_pipeline.live.journal import Journal
from ljwx_pipeline.live.model import Model, SilentScorer
from ljwx_pipeline.live.tables import events_log, orders
from ljwx_pipeline.session_pack import read_session_pack
from ljwx_pipeline.trading.exchange_wire import PositionReport
from ljwx_pipeline.trading.matching import Reject
from ljwx_pipeline.trading.order_reason import OrderReason
from tests.fakes.decided_market import DecidedMarket, decide_and_play
from tests.fakes.desk_world import Desk, desk_at
from tests.fakes.exchange_process import exchange_process
from tests.fakes.followed import Followed, stage, until
from tests.fakes.given_scores import BUNDLE, GivenScores, wide_open
from tests.fakes.journal_events import closed, held
from tests.fakes.live_market import live_tables, write_pack

FEED_SESSIONS = 30
DECIDING = DecidingModel(BUNDLE.model_version, BUNDLE.last_train_session)


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return packed(tmp_path_factory.mktemp("pack"), seed=0)


@pytest.fixture(scope="module")
def feed(pack: Path) -> ReplayFeed:
    return ReplayFeed(read_session_pack(pack))


def packed(folder: Path, seed: int) -> Path:
    tables = live_tables(seed=seed, feed_sessions=FEED_SESSIONS)
    online = pd.DataFrame({"symbol": ["x"]})
    write_pack(folder / "feed", tables, feed_sessions=FEED_SESSIONS, online_features=online)
    return folder / "feed"


def both(
    pack: Path, state: Path, feed: ReplayFeed, chosen: RunnerSettings, settings: Settings, scorer: GivenScores
) -> tuple[DecidedMarket, BacktestResult]:
    """The same scores by the decider on the exchange, and by the backtest."""
    expected = run_backtest(
        feed.market,
        scorer.table,
        strategy=chosen.strategy,
        costs=settings.costs,
        first=feed.sessions[0],
        last=feed.sessions[-1],
    )
    return decide_and_play(pack, state, feed, chosen, settings.costs, Model(BUNDLE, scorer)), expected


@pytest.mark.parametrize("seed", [0, 1, 2, 3])
def test_every_order_and_every_fen_are_those_of_the_backtest(tmp_path: Path, settings: Settings, seed: int) -> None:
    pack = packed(tmp_path, seed)
    feed = ReplayFeed(read_session_pack(pack))
    found, expected = both(pack, tmp_path, feed, wide_open(settings), settings, GivenScores(feed, seed))
    assert found.history == (expected.equity_fen.tolist(), expected.cash_fen.tolist())
    assert [one.dividends_fen for one in found.played] == expected.dividends_fen.tolist()
    assert [one.written_off_fen for one in found.played] == expected.written_off_fen.tolist()
    reports = [report for one in found.played for report in one.ended]
    fills = {fill.client_order_id: fill for one in found.played for fill in one.fills}
    ours = pd.DataFrame(
        {
            "session_date": pd.to_datetime([report.session for report in reports]),
            "symbol": [report.symbol for report in reports],
            "order_shares": [report.shares * (1 if report.side.value == "buy" else -1) for report in reports],
            "fill_shares": [report.filled_shares * (1 if report.side.value == "buy" else -1) for report in reports],
            "reject": [int(Reject[report.reason]) if report.reason else 0 for report in reports],
        }
    )
    for column in ("price_e4", "value_fen", "commission_fen", "stamp_duty_fen", "transfer_fee_fen"):
        told = (fills.get(report.client_order_id) for report in reports)
        ours[column] = [0 if fill is None else getattr(fill, column) for fill in told]
    key = ["session_date", "symbol"]
    theirs = expected.orders[list(ours.columns)].sort_values(key, ignore_index=True)
    pd.testing.assert_frame_equal(ours.sort_values(key, ignore_index=True), theirs, check_dtype=False)
    assert (expected.orders["reject"] != 0).any(), "the market should have refused something"
    assert expected.dividends_fen.sum() > 0
    held = {row["symbol"]: row["shares"] for _, row in expected.positions.iterrows()}
    assert {one.symbol: one.shares for one in found.played[-1].positions} == held


@pytest.mark.parametrize("kind", ["topk_dropout", "score_weighted"])
@pytest.mark.parametrize("sizing", ["fixed_fraction", "volatility_target", "kelly"])
def test_it_sizes_as_the_backtest_does(
    pack: Path, tmp_path: Path, settings: Settings, feed: ReplayFeed, kind: str, sizing: str
) -> None:
    money = settings.strategy.sizing.model_copy(
        update={"kind": sizing, "fraction": 0.7, "window_sessions": 10, "target_annual_volatility": 0.05}
    )
    chosen = wide_open(settings, kind=kind, max_weight_frac=0.3, sizing=money)
    found, expected = both(pack, tmp_path, feed, chosen, settings, GivenScores(feed, 0))
    assert found.history == (expected.equity_fen.tolist(), expected.cash_fen.tolist())
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
def test_it_exits_as_the_backtest_does(
    pack: Path,
    tmp_path: Path,
    settings: Settings,
    feed: ReplayFeed,
    kind: str,
    rule: dict[str, float],
    reason: OrderReason,
) -> None:
    exits = settings.strategy.exits.model_copy(update=rule)
    chosen = wide_open(settings, kind=kind, max_weight_frac=0.3, min_hold_sessions=4, exits=exits)
    found, expected = both(pack, tmp_path, feed, chosen, settings, GivenScores(feed, 0))
    assert found.history == (expected.equity_fen.tolist(), expected.cash_fen.tolist())
    assert (expected.trades["order_reason"] == reason).any(), "the rule should have forced a name out"


def books(*held: PositionReport) -> Portfolio:
    """An account of a million CNY and what it holds."""
    return Portfolio(
        held=held,
        cash_fen=100_000_000,
        equity_fen=100_000_000,
        value_fen={one.symbol: one.shares * one.last_price_e4 // 100 for one in held},
        past_equity_fen=[],
        past_cash_fen=[],
    )


@pytest.mark.parametrize(
    ("rule", "unknown"), [("stop_loss_frac", "entry_price_e4"), ("trailing_stop_frac", "peak_price_e4")]
)
def test_a_stop_without_its_price_is_not_decided(settings: Settings, feed: ReplayFeed, rule: str, unknown: str) -> None:
    stops = settings.strategy.exits.model_copy(update={rule: 0.1})
    known = PositionReport(feed.symbols[0], 100, 100, 1, 100_000, 110_000, 105_000)
    decider, scores = Decider(feed, wide_open(settings, exits=stops)), GivenScores(feed, 0).scores(feed.sessions[0])
    decider.orders(feed.sessions[0], books(known), scores, None, DECIDING)
    with pytest.raises(LiveError, match="its stop cannot be judged"):
        decider.orders(feed.sessions[0], books(replace(known, **{unknown: 0})), scores, None, DECIDING)


def test_a_position_that_the_pack_does_not_have_is_named_and_nothing_is_decided(
    settings: Settings, feed: ReplayFeed
) -> None:
    decider, scores = Decider(feed, wide_open(settings)), GivenScores(feed, 0).scores(feed.sessions[0])
    stranger = PositionReport("600000.SH", 100, 100, 1, 100_000, 110_000, 105_000)
    with pytest.raises(LiveError, match=r"holds 600000\.SH, which the session pack does not have"):
        decider.orders(feed.sessions[0], books(stranger), scores, None, DECIDING)


def test_an_account_does_not_go_on_over_a_pack_that_lacks_what_it_holds(tmp_path: Path, feed: ReplayFeed) -> None:
    day = feed.sessions[0]
    journal = Journal(tmp_path / "journal.sqlite", SystemClock())
    journal.log.append([replace(closed(day, positions=(held("600000.SH"),)), bars_hash=feed.bars_hash(day))], 0)
    assert account_misfit(journal, feed, capital_fen=0).endswith(
        "holds 600000.SH, which the session pack does not have"
    )
    journal.close()


def test_a_strategy_that_no_account_can_trade_is_refused_at_start(settings: Settings, feed: ReplayFeed) -> None:
    with pytest.raises(TradingError, match="no account can sell A-shares short"):
        Decider(feed, wide_open(settings, kind="long_short"))


def test_a_stale_model_opens_nothing(settings: Settings, feed: ReplayFeed) -> None:
    chosen = wide_open(settings)
    old = replace(chosen, live=chosen.live.model_copy(update={"max_bundle_age_days": 1}))
    scores = GivenScores(feed, 0).scores(feed.sessions[0])
    for limits, denials in ((chosen, {""}), (old, {"STALE_BUNDLE"})):
        decided = Decider(feed, limits).orders(feed.sessions[0], books(), scores, None, DECIDING)
        assert {one.denial for one in decided} == denials


def test_a_silent_model_holds_what_is_held_and_buys_nothing(settings: Settings, feed: ReplayFeed) -> None:
    silent = SilentScorer(len(feed.symbols))
    held = PositionReport(feed.symbols[0], 100, 100, 9, 100_000, 110_000, 105_000)
    for hold, sold in ((0, []), (3, [feed.symbols[0]])):
        exits = settings.strategy.exits.model_copy(update={"max_hold_sessions": hold})
        decider = Decider(feed, wide_open(settings, exits=exits))
        decided = decider.orders(feed.sessions[0], books(held), silent.scores(feed.sessions[0]), None, DECIDING)
        assert [(one.intent.symbol, one.intent.side.value) for one in decided] == [(name, "sell") for name in sold]
    assert "withdrawn" in silent.interval_ends(feed.sessions[0]).fault


def test_a_close_is_decided_once_and_not_without_its_bars_or_its_books(
    pack: Path, tmp_path: Path, settings: Settings, feed: ReplayFeed
) -> None:
    options = ("--port", "0", "--speed", "0", "--tick-seconds", "600")

    async def run() -> None:
        with exchange_process(pack, tmp_path / "exchange", *options) as exchange:
            async with desk_at(exchange.said["url"], tmp_path) as desk:
                await stage(desk, BUNDLE)
                model = Model(BUNDLE, GivenScores(feed, 0))
                followed = Followed(desk, feed, wide_open(settings), None)
                await followed.follower.follow(until(feed.sessions[0]))
                assert not await followed.trader.decide(followed.closes[-1])
                assert (await counts(desk))[1] == 0
                followed.model = model
                await followed.follower.follow(until(feed.sessions[1]))
                counted = await counts(desk)
                assert counted[1] > 0
                followed.model = Model(BUNDLE, GivenScores(feed, 7))  # other scores would ask for other orders
                for close in followed.closes:
                    assert await followed.trader.decide(close)
                assert await counts(desk) == counted
                last = followed.closes[-1]
                with pytest.raises(LiveError, match=r"the session pack does not hold .*which the market has closed"):
                    await followed.trader.decide(replace(last, session=last.session + timedelta(days=3650)))
                with pytest.raises(LiveError, match=f"the journal holds no close of {feed.sessions[2]}"):
                    await followed.trader.decide(replace(last, session=feed.sessions[2]))
                await same_books(desk, feed.sessions[1])

    async def counts(desk: Desk) -> tuple[int, ...]:
        asked = [select(func.count(column)) for column in (events_log.c.seq, orders.c.client_order_id)]
        return await desk.journal.read(lambda c: tuple(c.execute(one).scalar_one() for one in asked))

    async def same_books(desk: Desk, session: date) -> None:
        theirs = await desk.broker.account()
        ours = await desk.journal.read(lambda c: portfolio_at(session, c))
        assert ours.cash_fen == theirs.cash_fen
        assert {one.symbol: one.shares for one in ours.held} == {one.symbol: one.shares for one in theirs.positions}
        assert len(ours.past_equity_fen) == len(ours.past_cash_fen) == 1
        np.testing.assert_array_equal(sum(ours.value_fen.values()) + ours.cash_fen, ours.equity_fen)

    asyncio.run(run())


@pytest.mark.parametrize(
    ("limits", "denials"),
    [
        ({"risk": {}, "live": {}}, {""}),
        ({"risk": {"max_orders_per_session": 4}, "live": {}}, {"", "ORDER_COUNT"}),
        ({"risk": {}, "live": {"max_bundle_age_days": 1}}, {"STALE_BUNDLE"}),
        (
            {"risk": {"max_price_deviation_frac": 0.01}, "live": {"max_bundle_age_days": 1}},
            {"PRICE_DEVIATION", "STALE_BUNDLE"},
        ),
    ],
    ids=["wide", "narrow", "stale", "stale and narrow"],
)
def test_what_the_journal_holds_of_one_strategy_is_what_the_decision_alone_asks_for(
    pack: Path,
    tmp_path: Path,
    settings: Settings,
    feed: ReplayFeed,
    limits: dict[str, dict[str, float]],
    denials: set[str],
) -> None:
    wide = wide_open(settings)
    chosen = replace(
        wide,
        risk=wide.risk.model_copy(update=limits["risk"]),
        live=wide.live.model_copy(update=limits["live"]),
    )
    scorer = GivenScores(feed, 3)
    columns = [getattr(orders.c, name) for name in ("client_order_id", "side", "shares", "rank", "reference_price_e4")]

    async def run() -> None:
        with exchange_process(
            pack, tmp_path / "exchange", "--port", "0", "--speed", "0", "--tick-seconds", "600"
        ) as said:
            async with desk_at(said.said["url"], tmp_path) as desk:
                await stage(desk, BUNDLE)
                followed = Followed(desk, feed, chosen, Model(BUNDLE, scorer))
                await followed.follower.follow(until(feed.sessions[4]))
                found = set()
                for close in followed.closes:
                    day = close.session
                    asked = Decider(feed, chosen).orders(
                        day,
                        await desk.journal.read(lambda c, of=day: portfolio_at(of, c)),
                        scorer.scores(day),
                        None,
                        DECIDING,
                    )
                    found |= {one.denial for one in asked}
                    rows = await desk.journal.read(
                        lambda c, of=day: c.execute(
                            select(*columns, orders.c.state, orders.c.reason).where(orders.c.session == of.isoformat())
                        ).all()
                    )
                    held = {tuple(row[:5]): row.reason if row.state == "denied" else "" for row in rows}
                    assert held == {
                        (
                            one.intent.client_order_id,
                            one.intent.side.value,
                            one.intent.shares,
                            one.intent.rank,
                            one.intent.reference_price_e4,
                        ): one.denial
                        for one in asked
                    }
                assert denials <= found

    asyncio.run(run())
