"""Factors on the rolling panel are those of the whole history, and the feed is walked in order."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pandas as pd
import pytest

from assets.scoring import since
from ljwx_pipeline.config import Settings
from ljwx_pipeline.dataset import MarketTables, input_panel, lookback_sessions, scorable_mask
from ljwx_pipeline.dataset.groups import group_codes
from ljwx_pipeline.errors import LiveError
from ljwx_pipeline.expressions.evaluate import evaluate
from ljwx_pipeline.expressions.operators import field, group_mean
from ljwx_pipeline.factors.alpha101 import alpha101
from ljwx_pipeline.factors.alpha158 import alpha158
from ljwx_pipeline.factors.ashare import ashare
from ljwx_pipeline.factors.catalogue import Catalogue, Factor, catalogue
from ljwx_pipeline.live import factor_history
from ljwx_pipeline.live.factor_history import FactorHistory
from ljwx_pipeline.live.feed import ReplayFeed
from ljwx_pipeline.live.scorer import BundleScorer
from ljwx_pipeline.market.tables import BESIDE_TABLES, empty_table
from ljwx_pipeline.scoring.bundle import ModelBundle, load_bundle
from ljwx_pipeline.scoring.model import NO_GROUP, Member, Model
from ljwx_pipeline.scoring.signing import public_key
from ljwx_pipeline.session_pack import write_session_pack
from tests.fakes.bundles import grouped_model, tiny_booster, tiny_linear
from tests.fakes.live_home import Home, live_home
from tests.fakes.live_market import live_tables, write_pack
from tests.fakes.market_panels import market_tables


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return live_home(tmp_path, symbols=10, feed_sessions=6)


def test_every_bit_of_every_session_is_that_of_the_whole_history(home: Home, settings: Settings) -> None:
    feed = ReplayFeed.open(home.live / "feed")
    history = FactorHistory(feed, alpha158(), settings.universe, benchmark="")
    history.check_against_online_store()
    values, panel = home.research()
    allowed = scorable_mask(
        panel, home.tables.securities, home.tables.st_spells, empty_table("index_members"), settings.universe
    )
    for session in feed.sessions:
        column = panel.sessions.get_loc(pd.Timestamp(session))
        whole = np.stack([values.of(name)[:, column] for name in values.names], axis=1)
        np.testing.assert_array_equal(history.features(session).view(np.uint32), whole.view(np.uint32))
        np.testing.assert_array_equal(history.scorable(session), allowed[:, column])


def test_an_unknown_listing_date_is_long_ago_for_the_runner_as_for_research(home: Home, settings: Settings) -> None:
    home.tables.securities["list_date"] = pd.NaT
    home.write_pack()
    feed = ReplayFeed.open(home.live / "feed")
    history = FactorHistory(feed, alpha158(), settings.universe, benchmark="")
    _, panel = home.research()
    allowed = scorable_mask(
        panel, home.tables.securities, home.tables.st_spells, empty_table("index_members"), settings.universe
    )
    last = feed.sessions[-1]
    np.testing.assert_array_equal(history.scorable(last), allowed[:, -1])
    assert history.scorable(last).any()


def test_sessions_may_be_skipped_and_asked_again_but_not_gone_back_to(home: Home, settings: Settings) -> None:
    feed = ReplayFeed.open(home.live / "feed")
    history = FactorHistory(feed, alpha158(), settings.universe, benchmark="")
    ahead = history.features(feed.sessions[3]).copy()
    np.testing.assert_array_equal(history.features(feed.sessions[3]), ahead)
    with pytest.raises(LiveError, match="the factor history stands at"):
        history.features(feed.sessions[1])


def test_a_session_whose_factors_failed_is_never_answered_with_those_of_the_session_before(
    home: Home, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    feed = ReplayFeed.open(home.live / "feed")
    sound, history = (FactorHistory(feed, alpha158(), settings.universe, benchmark="") for _ in range(2))

    def failing(*_: object) -> NoReturn:
        raise LiveError("a table cannot be read", "try again")

    before = history.at
    with monkeypatch.context() as patched:
        patched.setattr(factor_history, "newest_session", failing)
        with pytest.raises(LiveError, match="a table cannot be read"):
            history.features(feed.sessions[0])
    assert history.at == before
    np.testing.assert_array_equal(bits(history.features(feed.sessions[0])), bits(sound.features(feed.sessions[0])))


def test_a_thread_that_was_left_behind_at_a_session_leaves_the_next_one_its_factors(
    home: Home, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    feed = ReplayFeed.open(home.live / "feed")
    sound, history = (FactorHistory(feed, alpha158(), settings.universe, benchmark="") for _ in range(2))
    newest, at_work = factor_history.newest_session, threading.Event()

    def slow(*asked: Any) -> Any:
        at_work.set()
        time.sleep(0.2)
        return newest(*asked)

    with monkeypatch.context() as patched, ThreadPoolExecutor(1) as aside:
        patched.setattr(factor_history, "newest_session", slow)
        left_behind = aside.submit(history.features, feed.sessions[0])
        assert at_work.wait(5)
        again = history.features(feed.sessions[0])
        np.testing.assert_array_equal(bits(left_behind.result()), bits(again))
    np.testing.assert_array_equal(bits(again), bits(sound.features(feed.sessions[0])))
    np.testing.assert_array_equal(bits(history.features(feed.sessions[1])), bits(sound.features(feed.sessions[1])))


def test_the_last_inputs_are_those_of_each_session_and_move_nothing(home: Home, settings: Settings) -> None:
    feed = ReplayFeed.open(home.live / "feed")
    history = FactorHistory(feed, alpha158(), settings.universe, benchmark="")
    assert len(history.last_inputs(3, "none")) == 3, "of the pack's history, before any session is fed"
    told = [history.inputs(session, "none") for session in feed.sessions[:4]]
    found = history.last_inputs(3, "none")
    assert history.at == feed.sessions[3]
    for one, other in zip(found, told[1:], strict=True):
        np.testing.assert_array_equal(bits(one.features), bits(other.features))
        np.testing.assert_array_equal(one.scorable, other.scorable)
    assert len(history.last_inputs(10_000, "none")) == len(feed.history_sessions) - 79 + 4
    assert history.adjusted_closes(feed.sessions[3], 2).shape == (len(feed.symbols), 2)


def test_a_history_too_short_for_the_factors_is_refused(tmp_path: Path, settings: Settings) -> None:
    tables = live_tables(symbols=8, sessions=50, feed_sessions=6)
    write_pack(tmp_path / "feed", tables, feed_sessions=6, online_features=pd.DataFrame({"symbol": ["x"]}))
    with pytest.raises(LiveError, match="history has 44 sessions, factors and universe look back 80"):
        FactorHistory(ReplayFeed.open(tmp_path / "feed"), alpha158(), settings.universe, benchmark="")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda online: online.drop(columns="KMID"), "lack column KMID"),
        (lambda online: online.iloc[1:], "lack S00000.SIM"),
    ],
)
def test_an_incomplete_online_store_is_refused(home: Home, settings: Settings, change, message: str) -> None:
    from ljwx_pipeline.session_pack import read_session_pack

    online = change(read_session_pack(home.live / "feed").online_features)
    write_pack(home.live / "feed", home.tables, feed_sessions=6, online_features=online)
    history = FactorHistory(ReplayFeed.open(home.live / "feed"), alpha158(), settings.universe, benchmark="")
    with pytest.raises(LiveError, match=message):
        history.check_against_online_store()


@pytest.mark.parametrize("made", [ashare, alpha101])
def test_factors_of_other_tables_and_of_cross_sections_are_those_of_the_whole_history(
    made: Callable[[], Catalogue], tmp_path: Path, settings: Settings
) -> None:
    factors, tables = made(), market_tables(30, date(2019, 3, 1), date(2020, 12, 31))
    bars, benchmark = tables["bars"], str(tables["index_bars"]["index_code"].iloc[0])
    universe = settings.universe.model_copy(update={"min_mean_amount_cny": float(bars["amount_cny"].median() / 3)})
    market = MarketTables(
        bars,
        tables["securities"],
        tables["st_spells"],
        empty_table("index_members"),
        "raw",
        {name: tables[name] for name in BESIDE_TABLES},
    )
    sessions = pd.DatetimeIndex(np.sort(bars["session_date"].unique()), name="session_date")
    panel = input_panel(
        market,
        symbols=tuple(sorted(tables["securities"]["symbol"])),
        sessions=sessions,
        reads=factors.reads,
        universe=universe,
        benchmark=benchmark,
    )
    whole = evaluate(factors.expressions, panel)
    cut = len(sessions) - 4
    present = np.zeros(panel.fields["close"].shape, dtype=bool)
    present[:, cut - 1] = np.isfinite(panel.fields["close"][:, cut - 1])
    history, first = bars["session_date"] < sessions[cut], sessions[cut - lookback_sessions(factors, universe)]
    beside = {name: since(table, first) for name, table in market.beside.items()}
    assert beside["price_limits"]["session_date"].min() == first
    assert len(beside["industries"]) == len(market.beside["industries"])
    write_session_pack(
        tmp_path / "feed",
        history=since(bars[history], first),
        feed=bars[~history],
        securities=market.securities,
        st_spells=market.st_spells,
        index_members=market.index_members,
        corporate_actions=empty_table("corporate_actions"),
        online_features=whole.frame(present).drop(columns="session_date"),
        adjustment="raw",
        simulated=True,
        beside=beside,
    )
    feed = ReplayFeed.open(tmp_path / "feed")
    live = FactorHistory(feed, factors, universe, benchmark=benchmark)
    live.check_against_online_store()
    allowed = scorable_mask(panel, market.securities, market.st_spells, market.index_members, universe)
    groups = {by: group_codes(by, panel, allowed, market.beside, universe) for by in ("industry", "size")}
    for session in feed.sessions:
        column = panel.sessions.get_loc(pd.Timestamp(session))
        for by, told in groups.items():
            assert told is not None
            np.testing.assert_array_equal(live.groups(session, by), told.codes[:, column])
            assert len(np.unique(told.codes[:, column])) > 2
        expected = np.stack([whole.of(name)[:, column] for name in factors.names], axis=1)
        assert np.isfinite(expected).any()
        np.testing.assert_array_equal(bits(live.features(session)), bits(expected))


def test_a_pack_without_the_tables_that_factors_read_is_refused(home: Home, settings: Settings) -> None:
    industry = group_mean(field("close"), field("industry"))
    one = catalogue("momentum", [Factor("INDUSTRY", industry, "mean price", "a test", "CNY")])
    feed = ReplayFeed.open(home.live / "feed")
    with pytest.raises(LiveError, match="the session pack lacks index_bars, which factors of momentum read"):
        FactorHistory(feed, one, settings.universe, benchmark="")


def bits(values: np.ndarray) -> np.ndarray:
    return np.where(np.isnan(values), np.float32(np.nan), values).view(np.uint32)


def banded() -> Model:
    """A booster, and linear members for the ends of a band."""
    width = len(alpha158().names)
    members = (Member("model.txt"), Member("low.json", "linear", "lower"), Member("high.json", "linear", "upper"))
    texts = {
        "model.txt": tiny_booster(factors=width),
        "low.json": tiny_linear(factors=width, seed=1),
        "high.json": tiny_linear(factors=width, seed=2),
    }
    return Model(members, texts)


def opened(home: Home, model: Model, **changed: object) -> ModelBundle:
    path = home.bundle(model=model, **changed)
    return load_bundle(path, factor_hash=alpha158().version_hash, public_key=public_key(home.keys))


def test_a_band_reaches_the_runner_with_the_scores_of_those_who_may_be_scored(home: Home, settings: Settings) -> None:
    feed, model = ReplayFeed.open(home.live / "feed"), banded()
    history = FactorHistory(feed, alpha158(), settings.universe, benchmark="")
    scorer = BundleScorer(opened(home, model), history)
    session = feed.sessions[0]
    said, rows = scorer.prediction(session), history.scorable(session)
    expected = model.predict(history.features(session)[rows])
    for ours, theirs in ((said.score, expected.score), (said.lower, expected.lower), (said.upper, expected.upper)):
        assert ours is not None
        np.testing.assert_array_equal(ours[rows], theirs)
        assert np.isnan(ours[~rows]).all()
    np.testing.assert_array_equal(scorer.scores(session), said.score)
    plain = BundleScorer(opened(home, Model.of_booster(model.texts["model.txt"])), history).prediction(session)
    np.testing.assert_array_equal(plain.score, said.score)
    assert plain.lower is plain.upper is None
    assert rows.any()


def test_a_row_is_scored_by_the_members_of_its_industry(tmp_path: Path, settings: Settings) -> None:
    home = live_home(tmp_path, symbols=10, feed_sessions=6)
    industries = pd.DataFrame(
        {
            "symbol": sorted(home.tables.securities["symbol"])[:6],
            "industry": ["bank"] * 3 + ["steel"] * 3,
            "start_date": pd.Timestamp("2001-01-01"),
            "end_date": pd.NaT,
        }
    )
    home.write_pack(beside={"industries": industries})
    feed = ReplayFeed.open(home.live / "feed")
    history, session = FactorHistory(feed, alpha158(), settings.universe, benchmark=""), feed.sessions[2]
    codes, rows = history.groups(session, "industry"), history.scorable(session)
    assert codes is not None
    assert len(set(codes[:3][rows[:3]])) == 1
    assert (codes[6:] == NO_GROUP).all()
    assert (codes[~rows] == NO_GROUP).all()
    model = grouped_model(factors=len(alpha158().names), group=int(codes[:3][rows[:3]][0]))
    said = BundleScorer(opened(home, model), history).prediction(session).score
    np.testing.assert_array_equal(said[rows], model.predict(history.features(session)[rows], codes[rows]).score)
    all_alike = model.predict(history.features(session)[rows], np.full(rows.sum(), NO_GROUP)).score
    np.testing.assert_array_equal(said[rows] != all_alike, codes[rows] == codes[:3][rows[:3]][0])


def test_sizes_of_a_session_are_those_of_the_whole_history(home: Home, settings: Settings) -> None:
    home.write_pack(beside={"market_values": empty_table("market_values")})
    feed = ReplayFeed.open(home.live / "feed")
    history = FactorHistory(feed, alpha158(), settings.universe, benchmark="")
    _, panel = home.research()
    tables = home.tables
    mask = scorable_mask(panel, tables.securities, tables.st_spells, empty_table("index_members"), settings.universe)
    whole = group_codes("size", panel, mask, {}, settings.universe)
    assert whole is not None
    for session in feed.sessions:
        column = panel.sessions.get_loc(pd.Timestamp(session))
        np.testing.assert_array_equal(history.groups(session, "size"), whole.codes[:, column])
    newest = history.groups(feed.sessions[-1], "size")
    assert newest is not None
    assert set(newest) >= {0, 1, 2}


def test_a_bundle_of_groups_that_the_pack_does_not_tell_is_refused(home: Home, settings: Settings) -> None:
    history = FactorHistory(ReplayFeed.open(home.live / "feed"), alpha158(), settings.universe, benchmark="")
    bundle = opened(home, grouped_model(factors=len(alpha158().names)))
    with pytest.raises(LiveError, match="the session pack lacks industries, which tells the groups of a"):
        BundleScorer(bundle, history)


@pytest.mark.parametrize(("trained_by", "refused"), [("market value", True), ("mean amount", False), ("", False)])
def test_a_bundle_of_sizes_by_another_measure_is_refused(
    home: Home, settings: Settings, trained_by: str, refused: bool
) -> None:
    home.write_pack(beside={"market_values": empty_table("market_values")})
    feed = ReplayFeed.open(home.live / "feed")
    history = FactorHistory(feed, alpha158(), settings.universe, benchmark="")
    by_size = replace(grouped_model(factors=len(alpha158().names), group=1), group_by="size")
    bundle = opened(home, by_size, group_measure=trained_by)
    assert bundle.manifest.group_measure == trained_by
    if refused:
        with pytest.raises(LiveError, match="were made by market value, the session pack tells mean amount at"):
            BundleScorer(bundle, history)
        with pytest.raises(LiveError, match="were made by market value, the session pack tells mean amount at"):
            history.groups(feed.sessions[0], "size", trained_by)
    else:
        assert np.isfinite(BundleScorer(bundle, history).scores(feed.sessions[0])).any()
