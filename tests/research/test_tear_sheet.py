"""A planted factor is found with the numbers it was planted with; noise is not; nothing held out is read."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ljwx_pipeline.config import Settings
from ljwx_pipeline.dataset import MarketTables
from ljwx_pipeline.errors import DatasetError
from ljwx_pipeline.expressions.operators import field, group_rank, ref
from ljwx_pipeline.factors.alpha158 import alpha158
from ljwx_pipeline.factors.catalogue import Factor
from ljwx_pipeline.market.tables import empty_table
from ljwx_pipeline.research.files import session_table, write_tear_sheet
from ljwx_pipeline.research.market import ResearchMarket, research_market
from ljwx_pipeline.research.page import PageContext, render_factor, render_set
from ljwx_pipeline.research.tear_sheet import (
    SetSheet,
    Yardstick,
    evaluated,
    measure_factor,
    measure_set,
    yardstick,
)
from tests.fakes.bars import listed_securities, random_bars

CONTEXT = PageContext("simulated", "random walks, raw prices", True, {"factor_hash": "abc"})


def declared(name: str) -> Factor:
    return Factor(name, ref(field("close"), 20) / field("close"), f"what {name} means", "a test", "ratio")


def tables(bars: pd.DataFrame) -> MarketTables:
    return MarketTables(bars, listed_securities(bars), empty_table("st_spells"), empty_table("index_members"), "raw")


@pytest.fixture(scope="module")
def bars() -> pd.DataFrame:
    return random_bars(symbols=40, sessions=300)


@pytest.fixture
def market(bars: pd.DataFrame, settings: Settings) -> ResearchMarket:
    return research_market(tables(bars), pd.DatetimeIndex(bars["session_date"].unique()), settings)


@pytest.fixture
def stick(market: ResearchMarket, settings: Settings) -> Yardstick:
    return yardstick(market, settings.label)


@pytest.fixture
def planted(market: ResearchMarket) -> np.ndarray:
    """The coming five-session return itself, under noise: a factor that knows."""
    close = market.panel.fields["close"]
    ahead = np.full_like(close, np.nan)
    ahead[:, :-6] = close[:, 6:] / close[:, 1:-5] - 1
    return ahead + np.random.default_rng(1).normal(0, 0.05, close.shape)


@pytest.fixture
def found(market: ResearchMarket, stick: Yardstick, planted: np.ndarray) -> SetSheet:
    noise = np.random.default_rng(2).normal(size=planted.shape)
    factors = [(declared("knows"), planted), (declared("opposite"), -planted), (declared("noise"), noise)]
    return measure_set("planted", factors, stick)


def test_research_never_sees_the_held_out_sessions(bars: pd.DataFrame, settings: Settings) -> None:
    sessions = pd.DatetimeIndex(bars["session_date"].unique())
    cut = sessions[-settings.research.held_out_sessions]
    later = bars.copy()
    later.loc[later["session_date"] >= cut, ["open_cny", "high_cny", "low_cny", "close_cny", "amount_cny"]] *= 3
    one, two = (research_market(tables(rows), sessions, settings) for rows in (bars, later))
    assert one.panel.sessions[-1] < cut
    for name, values in one.panel.fields.items():
        assert values.tobytes() == two.panel.fields[name].tobytes(), name
    assert (one.universe == two.universe).all()


def test_a_planted_factor_is_found_its_opposite_too_and_noise_is_not(found: SetSheet) -> None:
    knows, opposite, noise = (sheet.summary(found.yardstick) for sheet in found.sheets)
    assert knows["rank_ic_mean"] > 0.3
    assert knows["rank_ic_t"] > 10
    assert knows["spread_per_year_frac"] > 1
    assert 0 < knows["half_life_sessions"] < 5  # it knows five sessions and nothing beyond
    assert opposite["rank_ic_mean"] == pytest.approx(-knows["rank_ic_mean"], abs=1e-15)
    assert (knows["long_quantile"], opposite["long_quantile"]) == ("highest", "lowest")
    assert abs(noise["rank_ic_t"]) < 3
    assert noise["half_life_sessions"] is None or abs(noise["rank_ic_t"]) >= 2
    assert abs(noise["autocorrelation"]) < 0.05
    assert 0.7 < noise["turnover_frac"] < 0.9  # four of five names of a quantile are new when nothing stays
    assert found.correlations[0, 1] == pytest.approx(-1)
    assert abs(found.clustered.index(0) - found.clustered.index(1)) == 1


def test_who_may_not_be_scored_does_not_count(market: ResearchMarket, settings: Settings, planted: np.ndarray) -> None:
    universe = market.universe.copy()
    universe[:25] = False
    half = yardstick(ResearchMarket(market.panel, universe, market.mean_amount_cny), settings.label)
    before = measure_factor(declared("knows"), planted, half)
    changed = planted.copy()
    changed[:25] = 1e9
    after = measure_factor(declared("knows"), changed, half)
    assert before.rank_ic.tobytes() == after.rank_ic.tobytes()
    assert before.capacity.tobytes() == after.capacity.tobytes()


def test_coverage_is_the_share_of_the_universe_with_a_value(stick: Yardstick) -> None:
    holed = np.ones((len(stick.symbols), len(stick.sessions)))
    holed[::2] = np.nan
    sheet = measure_factor(declared("holed"), holed, stick)
    expected = stick.universe[:, 1::2].sum(axis=1) / stick.universe.sum(axis=1)
    assert sheet.coverage == pytest.approx(expected, abs=1e-15)


def test_a_factor_without_a_value_is_a_row_of_unknowns_and_still_a_page(stick: Yardstick) -> None:
    sheet = measure_factor(declared("empty"), np.full((len(stick.symbols), len(stick.sessions)), np.nan), stick)
    row = sheet.summary(stick)
    assert (row["rank_ic_mean"], row["rank_ic_t"], row["capacity_cny"], row["turnover_frac"]) == (None,) * 4
    assert row["coverage_frac"] == 0
    assert "–" in render_factor(sheet, stick, CONTEXT)


def test_a_range_of_sessions_is_cut_out_and_its_returns_may_end_after_it(
    market: ResearchMarket, settings: Settings, stick: Yardstick, planted: np.ndarray
) -> None:
    first, last = stick.sessions[100].date(), stick.sessions[180].date()
    part = yardstick(market, settings.label, first=first, last=last)
    assert (part.sessions[0].date(), part.sessions[-1].date()) == (first, last)
    whole, cut = measure_factor(declared("knows"), planted, stick), measure_factor(declared("knows"), planted, part)
    assert cut.rank_ic.tobytes() == whole.rank_ic[100:181].tobytes()
    assert np.isfinite(cut.rank_ic[-1]).all()


def test_factors_read_what_the_tables_know_and_cross_sections_are_of_the_universe(
    bars: pd.DataFrame, settings: Settings
) -> None:
    sessions = pd.DatetimeIndex(bars["session_date"].unique())
    symbols = sorted(bars["symbol"].unique())
    industries = pd.DataFrame(
        {"symbol": symbols, "industry": ["banks", "chips"] * 20, "start_date": sessions[0], "end_date": pd.NaT}
    )
    beside = replace(tables(bars), beside={"industries": industries})
    reads = {"close", "industry", "raw_close_cny", "market_value_cny"}
    market = research_market(beside, sessions, settings, reads)
    assert {"industry", "raw_close_cny"} <= market.panel.fields.keys()
    assert "market_value_cny" not in market.panel.fields
    assert (market.panel.fields["in_universe"] == market.universe).all()
    ranked = Factor("RANK", group_rank(field("raw_close_cny"), field("industry")), "rank", "a test", "rank")
    ((_, values),) = evaluated([ranked], market)
    assert np.isnan(values[~market.universe]).all()
    banks = np.arange(40) % 2 == 0
    for session in (50, 150):
        known = market.universe[:, session] & banks
        expected = pd.Series(market.panel.fields["raw_close_cny"][known, session]).rank(pct=True)
        np.testing.assert_allclose(values[known, session], expected, rtol=1e-6)


def test_too_short_a_range_is_refused_with_what_there_is(market: ResearchMarket, settings: Settings) -> None:
    with pytest.raises(DatasetError, match=r"3 research sessions lie from 2018-02-01 .* at least 12"):
        yardstick(market, settings.label, first=date(2018, 2, 1), last=date(2018, 2, 5))


def test_a_catalogue_is_evaluated_in_parts_with_the_same_numbers_on_any_number_of_threads(
    market: ResearchMarket, stick: Yardstick
) -> None:
    chosen = alpha158().factors[:20]
    one = measure_set("a", evaluated(chosen, market), stick)
    two = measure_set("a", evaluated(chosen, market, threads=2), stick, threads=2)
    assert tuple(sheet.factor for sheet in two.sheets) == chosen
    pd.testing.assert_frame_equal(session_table(one), session_table(two), check_exact=True)
    assert one.correlations.tobytes() == two.correlations.tobytes()


def test_a_set_without_a_factor_is_refused(stick: Yardstick) -> None:
    with pytest.raises(DatasetError, match="holds no factor"):
        measure_set("nothing", [], stick)


def test_the_files_agree_with_each_other_and_pages_need_no_network(found: SetSheet, tmp_path: Path) -> None:
    somebody_s = tmp_path / "factors" / "mine.html"
    somebody_s.parent.mkdir()
    somebody_s.write_text("not ours")
    write_tear_sheet(found, tmp_path, CONTEXT, with_pages=["opposite"])
    assert (tmp_path / "factors" / "opposite.html").is_file()
    seen: list[str] = []
    index = write_tear_sheet(found, tmp_path, CONTEXT, with_pages=["knows", "noise"], on_page=seen.append)
    assert seen == ["knows", "noise"]
    assert sorted(path.name for path in (tmp_path / "factors").iterdir()) == ["knows.html", "mine.html", "noise.html"]
    document = json.loads((tmp_path / "summary.json").read_text())
    summary = pd.read_parquet(tmp_path / "summary.parquet")
    assert (
        [row["factor"] for row in document["factors"]] == summary["factor"].tolist() == ["knows", "opposite", "noise"]
    )
    assert summary["rank_ic_mean"].tolist() == [row["rank_ic_mean"] for row in document["factors"]]
    sessions = pd.read_parquet(tmp_path / "sessions.parquet")
    by_factor = sessions.groupby("factor")["rank_ic_5"].mean()
    assert by_factor["knows"] == pytest.approx(document["factors"][0]["rank_ic_mean"])
    quantiles = pd.read_parquet(tmp_path / "quantiles.parquet")
    assert len(quantiles) == 3 * len(found.yardstick.horizons) * 5
    assert pd.read_parquet(tmp_path / "correlations.parquet").shape == (3, 4)
    for page in (index, tmp_path / "factors" / "knows.html"):
        html = page.read_text(encoding="utf-8")
        assert "SIMULATED market" in html
        assert "<script" not in html
        fetched = [link for link in re.findall(r'(?:src|href)="([^"#]+)"', html) if not link.startswith("data:")]
        assert all((page.parent / link).is_file() for link in fetched), fetched
    assert 'href="factors/knows.html"' in index.read_text(encoding="utf-8")
    assert 'href="factors/opposite.html"' not in index.read_text(encoding="utf-8")


def test_the_same_numbers_give_the_same_bytes_and_words_are_escaped(found: SetSheet) -> None:
    assert render_set(found, CONTEXT, pages={}) == render_set(found, CONTEXT, pages={})
    zeros = np.zeros((len(found.yardstick.symbols), len(found.yardstick.sessions)))
    odd = measure_factor(replace(declared("ODD"), meaning="<b>&../x"), zeros, found.yardstick)
    html = render_factor(odd, found.yardstick, CONTEXT)
    assert "<b>&../x" not in html
    assert "&lt;b&gt;&amp;../x" in html


def test_the_map_of_a_large_set_names_only_some(market: ResearchMarket, stick: Yardstick) -> None:
    values = np.random.default_rng(5).normal(size=(70, *market.universe.shape)).astype(np.float32)
    many = measure_set("many", [(declared(f"F{i:02d}"), part) for i, part in enumerate(values)], stick)
    html = render_set(many, CONTEXT, pages={})
    assert html.count("<tr><td>F") == 70


def test_a_damaged_or_forged_summary_removes_nothing(found: SetSheet, tmp_path: Path) -> None:
    outside = tmp_path / "outside.html"
    outside.write_text("not ours")
    folder = tmp_path / "sheet"
    (folder / "factors").mkdir(parents=True)
    for text in (
        "{",
        '{"pages": 3}',
        json.dumps({"pages": {"a": "../outside.html", "b": "factors/../../outside.html"}}),
    ):
        (folder / "summary.json").write_text(text)
        write_tear_sheet(found, folder, CONTEXT, with_pages=())
        assert outside.read_text() == "not ours"
