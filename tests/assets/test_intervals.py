"""The line's intervals: judged by group, said plainly where they cannot be, and issued daily as research walks them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from assets import intervals
from assets.intervals import covered_by_month, interval_coverage, judged_intervals, learned_intervals, walked_rows
from assets.io_managers import write_json
from assets.scoring import SCORED_SESSIONS, with_intervals
from ljwx_pipeline.config import Settings, load_settings
from ljwx_pipeline.market.tables import empty_table
from ljwx_pipeline.scoring.bundle import INTERVALS
from ljwx_pipeline.uncertainty.carried import SessionArrays, WalkedOn, walked_on
from tests.fakes.interval_world import IntervalWorld
from tests.uncertainty.test_carried import begun, panel


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> IntervalWorld:
    settings: Settings = load_settings(profile="simulated", environ={})
    return IntervalWorld(tmp_path_factory.mktemp("world"), settings, 7)


def line_of(world: IntervalWorld, **changes: Any) -> Any:
    """What the daily job asks of a line."""
    tables = world.home.tables
    held = {
        "securities": tables.securities,
        "st_spells": tables.st_spells,
        "corporate_actions": tables.corporate_actions,
        "industries": world.industries,
    }

    def market_table(name: str) -> pd.DataFrame:
        return held[name] if name in held else empty_table(name)

    uncertainty = world.settings.uncertainty.model_copy(update=changes)
    settings = world.settings.model_copy(update={"uncertainty": uncertainty})
    source = SimpleNamespace(describe=lambda: SimpleNamespace(adjustment="raw"))
    return SimpleNamespace(settings=settings, market_table=market_table, source=lambda: source)


def daily(world: IntervalWorld, stop: int, bundle: Any = None, **changes: Any) -> tuple[pd.DataFrame, str]:
    """The scores of a day on which the market had ``stop`` sessions."""
    until, bars = world.panel.sessions[stop - 1], world.home.tables.bars
    cube = world.values.values[:, :, :stop]  # noqa: PD011 - an array's, no frame's
    known = replace(world.values, sessions=world.panel.sessions[:stop], values=cube)
    seen = world.panel.sessions_slice(0, stop)
    return with_intervals(
        line_of(world, **changes), bundle or world.bundle, known, bars[bars["session_date"] <= until], seen
    )


@pytest.mark.parametrize("behind", [0, 1, 13])
def test_any_day_s_intervals_are_those_of_research_whatever_day_was_missed(world: IntervalWorld, behind: int) -> None:
    stop = len(world.panel.sessions) - behind
    found, said = daily(world, stop)
    assert said.startswith("90%, of ")
    assert found["session_date"].nunique() == SCORED_SESSIONS
    at = (
        pd.Index(world.panel.symbols).get_indexer(pd.Index(found["symbol"])),
        world.panel.sessions.get_indexer(pd.DatetimeIndex(found["session_date"])),
    )
    later = (found["session_date"] > pd.Timestamp(world.trained_until)).to_numpy()
    assert np.isfinite(found["interval_lower"].to_numpy()[later]).sum() > 300
    np.testing.assert_array_equal(found["interval_lower"].to_numpy()[later], world.walked.lower[at][later])
    np.testing.assert_array_equal(found["interval_upper"].to_numpy()[later], world.walked.upper[at][later])
    assert found.loc[~later, "interval_lower"].isna().all(), "the model has seen those sessions"


def test_a_champion_without_intervals_is_scored_without_and_it_is_said(world: IntervalWorld) -> None:
    stop = len(world.panel.sessions)
    whole, _ = daily(world, stop)
    for bundle, changes, why in [
        (replace(world.bundle, documents={}), {}, "the champion's bundle holds none"),
        (replace(world.bundle, documents={INTERVALS: "{}"}), {}, "cannot be read"),
        (None, {"enabled": False}, "uncertainty.enabled = false"),
    ]:
        found, said = daily(world, stop, bundle, **changes)
        assert said.startswith("none: ")
        assert why in said
        assert found["interval_lower"].isna().all()
        pd.testing.assert_frame_equal(found.drop(columns=list(INTERVAL)), whole.drop(columns=list(INTERVAL)))


INTERVAL = ("interval_lower", "interval_upper")


def walked() -> tuple[SessionArrays, WalkedOn]:
    arrays = panel(symbols=60, sessions=400)
    return arrays, walked_on(begun(arrays), arrays)


def test_the_judgement_is_the_plain_count() -> None:
    arrays, said = walked()
    found = judged_intervals(arrays, said, {0: "steel", 1: "banks", 2: "software"})
    known = np.isfinite(said.lower) & np.isfinite(arrays.outcomes)
    within = known & (said.lower <= arrays.outcomes) & (arrays.outcomes <= said.upper)
    assert found["rows"] == known.sum()
    assert found["coverage_frac"] == pytest.approx(within.sum() / known.sum())
    assert found["nominal_frac"] == 0.7
    groups = {(one["grouping"], one["name"]): one for one in found["groups"]}
    assert {name for grouping, name in groups if grouping == "industry"} == {"steel", "banks", "software"}
    steel = np.arange(60) % 3 == 0
    assert groups["industry", "steel"]["rows"] == known[steel].sum()
    assert groups["industry", "steel"]["covered_frac"] == pytest.approx(within[steel].sum() / known[steel].sum())
    assert groups["industry", "steel"]["sessions"] == known[steel].any(axis=0).sum()
    year = arrays.sessions.year == 2020
    assert groups["year", "2020"]["rows"] == known[:, year].sum()
    assert groups["year", "2020"]["sessions"] == known[:, year].any(axis=0).sum()
    judged = [one["covered_frac"] for one in found["groups"] if one["judged"]]
    assert (found["least_group_frac"], found["most_group_frac"]) == (min(judged), max(judged))
    assert found["groups_judged"] == len(judged) > 0
    months = covered_by_month(arrays, said)
    first = arrays.sessions.to_period("M") == months.index[0].to_period("M")
    assert months["covered"].iloc[0] == pytest.approx(within[:, first].sum() / known[:, first].sum())


def test_without_a_group_large_enough_no_group_is_judged_and_the_total_does_not_stand_for_one() -> None:
    arrays = panel(symbols=30, sessions=100)
    found = judged_intervals(arrays, walked_on(begun(arrays), arrays), {})
    assert found["rows"] > 0
    assert (found["groups_judged"], found["least_group_frac"], found["most_group_frac"]) == (0, None, None)


def test_a_table_row_has_the_walk_s_ends_and_those_not_in_the_universe_are_left_out() -> None:
    arrays, said = walked()
    rows = pd.DataFrame(
        {
            "symbol": [arrays.symbols[3], arrays.symbols[4], arrays.symbols[3]],
            "session_date": arrays.sessions[[300, 301, 5]],
            "scorable": [True, False, True],
        }
    )
    found = walked_rows(rows, (arrays, said))
    assert found["symbol"].tolist() == [arrays.symbols[3]] * 2
    np.testing.assert_array_equal(found["lower"], [said.lower[3, 300], np.nan])
    assert walked_rows(rows, None)["lower"].isna().all()


def checked(folder: Path, document: dict[str, Any]) -> Any:
    write_json(folder, "prediction_intervals", document)
    line: Any = SimpleNamespace(tables=folder)
    function: Any = interval_coverage.node_def.compute_fn.decorated_fn  # type: ignore[union-attr]
    return function(line)


def judged(covered: float, group: float, *, large: bool = True, nominal: float = 0.9) -> dict[str, Any]:
    one = {"grouping": "year", "name": "2024", "rows": 5_000, "sessions": 200, "covered_frac": group, "judged": large}
    return {
        "rows": 9_000,
        "coverage_frac": covered,
        "nominal_frac": nominal,
        "least_group_frac": group,
        "most_group_frac": group,
        "groups_judged": int(large),
        "groups": [one],
        "interval_score": 0.2,
        "constant_interval_score": 0.3,
    }


@pytest.mark.parametrize(
    ("document", "passed", "said"),
    [
        (judged(0.90, 0.90), True, "1 of 1 groups are judged. Outside: none"),
        (judged(0.87, 0.90), False, "Outside: all 87.0% of 9,000"),
        (judged(0.90, 0.96), False, "Outside: year 2024 96.0% of 5,000"),
        (judged(0.90, 0.50, large=False), False, "0 of 1 groups are judged"),
        (judged(0.80, 0.76, nominal=0.8), True, "Outside: none"),
        (judged(0.90, 0.82, nominal=0.8), False, "Outside: all 90.0% of 9,000"),
        ({"rows": 0, "reason": "too little history"}, False, "Not judged: too little history."),
    ],
)
def test_the_check_names_what_lies_outside(tmp_path: Path, document: dict[str, Any], passed: bool, said: str) -> None:
    result = checked(tmp_path, document)
    assert result.passed is passed
    assert said in result.description
    assert result.severity.value == "WARN"


def test_the_document_for_the_bundle_is_what_was_learned_or_none(tmp_path: Path) -> None:
    assert learned_intervals(tmp_path) == {}
    (tmp_path / intervals.LEARNED).write_text("{}", encoding="utf-8")
    assert learned_intervals(tmp_path) == {INTERVALS: "{}"}
