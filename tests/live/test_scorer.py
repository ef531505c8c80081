"""Factors on the rolling panel are those of the whole history, and the feed is walked in order."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ljwx_pipeline.config import Settings
from ljwx_pipeline.dataset import scorable_mask
from ljwx_pipeline.errors import LiveError
from ljwx_pipeline.live.feed import ReplayFeed
from ljwx_pipeline.live.scorer import FactorHistory
from ljwx_pipeline.market.tables import empty_table
from tests.fakes.live_home import Home, live_home
from tests.fakes.live_market import live_tables, write_pack


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return live_home(tmp_path, symbols=10, feed_sessions=6)


def test_every_bit_of_every_session_is_that_of_the_whole_history(home: Home, settings: Settings) -> None:
    feed = ReplayFeed.open(home.live / "feed")
    history = FactorHistory(feed, settings.universe)
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
    history = FactorHistory(feed, settings.universe)
    _, panel = home.research()
    allowed = scorable_mask(
        panel, home.tables.securities, home.tables.st_spells, empty_table("index_members"), settings.universe
    )
    last = feed.sessions[-1]
    np.testing.assert_array_equal(history.scorable(last), allowed[:, -1])
    assert history.scorable(last).any()


def test_sessions_may_be_skipped_and_asked_again_but_not_gone_back_to(home: Home, settings: Settings) -> None:
    feed = ReplayFeed.open(home.live / "feed")
    history = FactorHistory(feed, settings.universe)
    ahead = history.features(feed.sessions[3]).copy()
    np.testing.assert_array_equal(history.features(feed.sessions[3]), ahead)
    with pytest.raises(LiveError, match="the factor history stands at"):
        history.features(feed.sessions[1])


def test_a_history_too_short_for_the_factors_is_refused(tmp_path: Path, settings: Settings) -> None:
    tables = live_tables(symbols=8, sessions=50, feed_sessions=6)
    write_pack(tmp_path / "feed", tables, feed_sessions=6, online_features=pd.DataFrame({"symbol": ["x"]}))
    with pytest.raises(LiveError, match="history has 44 sessions, factors and universe look back 6"):
        FactorHistory(ReplayFeed.open(tmp_path / "feed"), settings.universe)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda online: online.drop(columns="KMID"), "lack column KMID"),
        (lambda online: online.iloc[1:], "lack S00000.SIM"),
    ],
)
def test_an_incomplete_online_store_is_refused(home: Home, settings: Settings, change, message: str) -> None:
    from ljwx_pipeline.live.session_pack import read_session_pack

    online = change(read_session_pack(home.live / "feed").online_features)
    write_pack(home.live / "feed", home.tables, feed_sessions=6, online_features=online)
    history = FactorHistory(ReplayFeed.open(home.live / "feed"), settings.universe)
    with pytest.raises(LiveError, match=message):
        history.check_against_online_store()
