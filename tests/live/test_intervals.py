"""Intervals at the runner: research's bits, from wherever it begins; abstaining it makes the backtest's orders."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sqlalchemy import func, select

from ljwx_pipeline.backtest.engine import run_backtest
from ljwx_pipeline.config import load_settings
from ljwx_pipeline.factors.alpha158 import alpha158
from ljwx_pipeline.live.decision import RunnerSettings
from ljwx_pipeline.live.factor_history import FactorHistory
from ljwx_pipeline.live.journal import DeployedBundle
from ljwx_pipeline.live.model import Model
from ljwx_pipeline.live.scorer import BundleScorer
from ljwx_pipeline.live.tables import events, orders
from ljwx_pipeline.scoring.bundle import INTERVALS, ModelBundle
from ljwx_pipeline.trading.exchange_wire import Side
from ljwx_pipeline.uncertainty.abstain import may_buy
from tests.fakes.decided_market import DecidedMarket, decide_and_play
from tests.fakes.desk_world import desk_at
from tests.fakes.exchange_process import exchange_process
from tests.fakes.followed import Followed, stage, until
from tests.fakes.interval_world import FEED, IntervalWorld

#: Sessions of the history that came after the bundle's training.
AGES = [0, 7]


@pytest.fixture(scope="module", params=AGES, ids=lambda age: f"{age} sessions old")
def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> IntervalWorld:
    return IntervalWorld(
        tmp_path_factory.mktemp("world"), load_settings(profile="simulated", environ={}), request.param
    )


def told(world: IntervalWorld, session: date) -> tuple[np.ndarray, np.ndarray]:
    column = world.panel.sessions.get_loc(pd.Timestamp(session))
    return world.walked.lower[:, column], world.walked.upper[:, column]


def test_the_runner_gives_research_s_intervals_to_the_bit(world: IntervalWorld) -> None:
    feed = world.feed()
    scorer = world.scorer(feed)
    assert scorer.interval_fault == ""
    for session in feed.sessions:
        ends, (lower, upper) = scorer.interval_ends(session), told(world, session)
        assert ends.fault == ""
        np.testing.assert_array_equal(ends.lower, lower)
        np.testing.assert_array_equal(ends.upper, upper)
        assert np.isfinite(ends.lower).sum() > 10
        again = scorer.interval_ends(session)
        np.testing.assert_array_equal(again.lower, lower)


@pytest.mark.parametrize("asked", [[9], [3, 11, 12, 29]])
def test_beginning_late_or_leaving_sessions_out_changes_nothing(world: IntervalWorld, asked: list[int]) -> None:
    feed = world.feed()
    scorer = world.scorer(feed)
    for at in asked:
        ends, (lower, upper) = scorer.interval_ends(feed.sessions[at]), told(world, feed.sessions[at])
        np.testing.assert_array_equal(ends.lower, lower)
        np.testing.assert_array_equal(ends.upper, upper)


def chosen(world: IntervalWorld, limits: dict[str, float], kind: str = "topk_dropout") -> RunnerSettings:
    """Settings under which the gate does not bind and names are abstained from by ``limits``."""
    settings = world.settings
    risk = settings.risk.model_copy(
        update={
            "max_order_cny": 1e12,
            "max_orders_per_session": 10_000,
            "max_weight_per_name_frac": 1.0,
            "max_gross_exposure_frac": 1.0,
            "max_day_loss_frac": 1.0,
        }
    )
    strategy = settings.strategy.model_copy(update={"kind": kind, "max_weight_frac": 0.3})
    return RunnerSettings(strategy, risk, settings.live, settings.uncertainty.model_copy(update=limits))


def traded(world: IntervalWorld, folder: Path, bundle: ModelBundle, settings: RunnerSettings) -> DecidedMarket:
    feed = world.feed()
    model = Model(DeployedBundle(bundle.bundle_hash, "1", world.trained_until), world.scorer(feed, bundle))
    return decide_and_play(world.home.live / "feed", folder, feed, settings, world.settings.costs, model)


@pytest.mark.parametrize("kind", ["topk_dropout", "score_weighted"])
def test_abstaining_the_runner_makes_the_orders_of_the_backtest(
    world: IntervalWorld, tmp_path: Path, kind: str
) -> None:
    width = world.walked.upper - world.walked.lower
    limits = {"max_width_frac": float(np.nanmedian(width[:, -FEED:]))}
    settings = chosen(world, limits, kind)
    abstaining = traded(world, tmp_path / "abstaining", world.bundle, settings)
    free = traded(world, tmp_path / "free", world.bundle, chosen(world, {}, kind))
    mask = may_buy(settings.uncertainty, world.walked.lower, world.walked.upper)
    feed = world.feed()
    backtest = {"strategy": settings.strategy, "costs": world.settings.costs}
    span = {"first": feed.sessions[0], "last": feed.sessions[-1]}
    expected = run_backtest(world.market, world.scores, may_buy=mask, **backtest, **span)
    assert abstaining.history == (expected.equity_fen.tolist(), expected.cash_fen.tolist())
    without = run_backtest(world.market, world.scores, **backtest, **span)
    assert free.history == (without.equity_fen.tolist(), without.cash_fen.tolist())
    assert without.equity_fen.tolist() != expected.equity_fen.tolist(), "the limit should have kept something back"
    bought = expected.orders[expected.orders["order_shares"] > 0]
    assert len(bought)
    rows = pd.Index(world.panel.symbols).get_indexer(pd.Index(bought["symbol"]))
    columns = world.panel.sessions.get_indexer(pd.DatetimeIndex(bought["session_date"])) - 1
    assert (width[rows, columns] <= limits["max_width_frac"]).all()


def test_a_bundle_without_intervals_trades_without_and_buys_nothing_where_it_should_abstain(
    world: IntervalWorld, tmp_path: Path
) -> None:
    bare, feed = replace(world.bundle, documents={}), world.feed()
    assert "holds no prediction intervals" in world.scorer(feed, bare).interval_fault
    plain = traded(world, tmp_path / "plain", bare, chosen(world, {}))
    assert any(one.intent.side is Side.BUY for one in plain.orders)
    deployed = DeployedBundle(bare.bundle_hash, "1", world.trained_until)
    options = ("--port", "0", "--speed", "0", "--tick-seconds", "600")

    async def run() -> tuple[list[str], int]:
        with exchange_process(world.home.live / "feed", tmp_path / "exchange", *options) as exchange:
            async with desk_at(exchange.said["url"], tmp_path) as desk:
                await stage(desk, deployed)
                model = Model(deployed, world.scorer(feed, bare))
                settings = chosen(world, {"max_loss_frac": 0.5})
                await Followed(desk, feed, settings, model).follower.follow(until(feed.sessions[2]))
                noted = select(events.c.message).where(events.c.kind == "nothing_is_bought")
                ordered = select(func.count(orders.c.client_order_id))
                return await desk.journal.read(
                    lambda c: (list(c.execute(noted).scalars()), c.execute(ordered).scalar_one())
                )

    said, ordered = asyncio.run(run())
    assert ordered == 0
    assert len(said) == 1, "once, not every session"
    assert "holds no prediction intervals" in said[0]


@pytest.mark.parametrize(
    ("document", "why"),
    [("{}", "cannot be read"), (None, "stand at 2011-01-04, before the session pack begins")],
)
def test_a_document_that_cannot_be_carried_on_gives_no_interval_and_says_why(
    world: IntervalWorld, document: str | None, why: str
) -> None:
    text = document or world.bundle.documents[INTERVALS].replace(world.trained_until.isoformat(), "2011-01-04")
    feed = world.feed()
    ends = world.scorer(feed, replace(world.bundle, documents={INTERVALS: text})).interval_ends(feed.sessions[0])
    assert why in ends.fault
    assert np.isnan(ends.lower).all()


def test_a_pack_without_the_industries_gives_no_interval_and_says_why(world: IntervalWorld) -> None:
    feed = world.feed()
    feed.pack = replace(feed.pack, beside={})
    ends = world.scorer(feed).interval_ends(feed.sessions[0])
    assert "no industry is told" in ends.fault


def test_a_history_too_short_for_the_sessions_since_gives_no_interval_and_says_why(world: IntervalWorld) -> None:
    feed = world.feed()
    window = len(feed.history_sessions) - alpha158().window - 1  # all but two sessions of the history are looked back
    long = world.settings.universe.model_copy(update={"mean_amount_window_sessions": window})
    factors = FactorHistory(feed, alpha158(), long, benchmark=world.settings.gate.benchmark)
    ends = BundleScorer(world.bundle, factors).interval_ends(feed.sessions[0])
    older = world.trained_until < feed.history_sessions[-1].date()
    assert ("sessions too late to score the sessions since" in ends.fault) == older
