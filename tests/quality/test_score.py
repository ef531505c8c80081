"""The score falls with dirt, gaps and delay by its stated formula, and can be drawn."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pytest

from ljwx_pipeline.quality.figures import breach_figure, score_figure
from ljwx_pipeline.quality.quarantine import after_releases, release
from ljwx_pipeline.quality.results import CheckResult
from ljwx_pipeline.quality.score import WARN_WEIGHT, breach_counts, scores
from tests.fakes.bars import random_bars

BARS = random_bars(symbols=10, sessions=30, suspended_frac=0.0)
DAYS = pd.DatetimeIndex(sorted(BARS["session_date"].unique()))
AT = datetime(2024, 2, 1, tzinfo=UTC)
#: Rows that somebody let pass, each for one check.
LET = [(0, "bars.a"), (1, "bars.a")]


def breach(severity: str, rows: list[int], name: str = "bars.x") -> CheckResult:
    return CheckResult(name, False, severity, {}, "odd", "mend", np.array(rows))  # type: ignore[arg-type]


def test_clean_complete_rows_score_a_hundred() -> None:
    table = scores("one", BARS, [], DAYS)
    assert (table["score"] == 100.0).all()
    assert table["lag_hours"].isna().all()
    assert (table["source"] == "one").all()


def test_a_row_weighs_as_its_worst_breach_and_warnings_less() -> None:
    found = [breach("warn", [0, 1], "bars.a"), breach("quarantine", [1], "bars.b"), breach("warn", [0], "other.c")]
    first = scores("one", BARS, found, DAYS).iloc[0]
    assert first["score"] == pytest.approx(100 * (1 - (1 + WARN_WEIGHT) / 10))
    assert (first["warn_rows"], first["quarantine_rows"], first["error_rows"]) == (2, 1, 0)


def test_missing_rows_and_missing_sessions_cost_their_share() -> None:
    half = BARS.drop(index=BARS.index[BARS["session_date"] == DAYS[20]][:5])
    half = half[half["session_date"] != DAYS[22]].reset_index(drop=True)
    table = scores("one", half, [], DAYS).set_index("session_date")["score"]
    assert table[DAYS[20]] == 50.0
    assert table[DAYS[22]] == 0.0
    assert table[DAYS[23]] == 100.0


def test_late_rows_cost_up_to_a_tenth() -> None:
    known = pd.Series((DAYS + pd.Timedelta(hours=15)).tz_localize("Asia/Shanghai").tz_convert("UTC"), index=DAYS)
    known.iloc[1] += pd.Timedelta(hours=42)
    known.iloc[2] += pd.Timedelta(hours=500)
    table = scores("one", BARS, [], DAYS, known_at=known)
    assert table["score"].head(4).tolist() == [100.0, 95.0, 90.0, 100.0]
    assert table["lag_hours"].iloc[1] == pytest.approx(42)


def test_a_broken_table_scores_nothing() -> None:
    broken = CheckResult("bars.schema", False, "error", {}, "no close_cny")
    assert (scores("one", BARS, [broken], DAYS)["score"] == 0).all()


def test_breaches_are_counted_by_session_and_check() -> None:
    counts = breach_counts(BARS, [breach("warn", [0, 1, 15], "bars.a"), breach("error", [2], "bars.b")])
    assert counts["rows"].tolist() == [2, 1, 1]
    assert counts["check"].tolist() == ["bars.a", "bars.b", "bars.a"]
    assert breach_counts(BARS, []).empty


def test_figures_are_inline_svg_the_same_each_time() -> None:
    both = pd.concat([scores(name, BARS, [breach("warn", [3])], DAYS) for name in ("one", "two")])
    for figure in (
        lambda: score_figure(both),
        lambda: breach_figure(breach_counts(BARS, [breach("warn", [1], f"bars.c{n}") for n in range(15)])),
        lambda: breach_figure(breach_counts(BARS, [])),
    ):
        text = figure()
        assert text.startswith("<svg")
        assert "<script" not in text
        assert text == figure()


def test_published_suspensions_cost_nothing_and_a_bar_that_is_merely_missing_does() -> None:
    gone = BARS.index[BARS["session_date"] == DAYS[20]][:5]
    half = BARS.drop(index=gone).reset_index(drop=True)
    said = BARS.loc[gone[:4], ["symbol", "session_date"]].reset_index(drop=True)
    foreign = pd.DataFrame({"symbol": [f"90000{n}.SH" for n in range(5)], "session_date": DAYS[20]})
    halted = BARS.loc[BARS["session_date"] == DAYS[21], ["symbol", "session_date"]].head(2)  # for an hour: it has a bar
    table = scores("one", half, [], DAYS, suspensions=pd.concat([said, said, foreign, halted]))
    at = table.set_index("session_date").loc[DAYS[20]]
    assert (at["rows"], at["usual_rows"], at["suspended_rows"]) == (5, 6, 4)
    assert at["score"] == pytest.approx(100 * 5 / 6, abs=0.01)
    others = table[table["session_date"] != DAYS[20]]
    assert (others["score"] == 100.0).all()
    assert (others["suspended_rows"] == 0).all()
    complete = scores("one", half, [], DAYS, suspensions=BARS.loc[gone, ["symbol", "session_date"]])
    assert (complete["score"] == 100.0).all()


@pytest.mark.parametrize("seed", range(5))
def test_suspended_rows_are_those_that_joining_the_tables_counts(seed: int) -> None:
    rng = np.random.default_rng(seed)
    bars = random_bars(seed=seed, symbols=12, sessions=30, suspended_frac=0.2)
    days = pd.DatetimeIndex(sorted(bars["session_date"].unique()))
    names = [*sorted(bars["symbol"].unique())[:9], "000009.SZ", "900009.SH"]  # known, known before alone, and foreign
    before = bars[bars["session_date"] < days[10]].replace({"symbol": {names[0]: names[-2]}})
    bars = bars[(bars["session_date"] >= days[10]) & (bars["session_date"] != days[20])].reset_index(drop=True)
    said = pd.DataFrame({"symbol": rng.choice(names, 200), "session_date": rng.choice(days, 200)})
    said.loc[rng.choice(200, 5), "session_date"] = pd.NaT
    counted = scores("one", bars, [], days[10:], before=before, suspensions=said)["suspended_rows"]
    known = said[said["symbol"].isin({*bars["symbol"], *before["symbol"]})].dropna().drop_duplicates()
    both = known.merge(bars[["symbol", "session_date"]], how="left", indicator=True)
    silent = both.loc[both["_merge"] == "left_only", "session_date"].value_counts()
    assert counted.tolist() == silent.reindex(days[10:], fill_value=0).tolist()
    assert counted.sum() > 0


def test_released_rows_are_counted_and_cost_nothing() -> None:
    found = [breach("quarantine", [0, 1], "bars.a"), breach("quarantine", [1, 2], "bars.b"), breach("warn", [3])]
    made = [release(BARS.take([row]).assign(check=name), reason="true", released_by="desk", at=AT) for row, name in LET]
    left, released = after_releases("bars", BARS, found, pd.concat(made))
    assert released.tolist() == [0]  # row 1 is let pass by one check and held by the other
    first = scores("one", BARS, left, DAYS, released=released).iloc[0]
    assert (first["released_rows"], first["quarantine_rows"], first["warn_rows"]) == (1, 2, 1)
    assert first["score"] == pytest.approx(100 * (1 - (2 + WARN_WEIGHT) / 10))
    assert breach_counts(BARS, left).set_index("check")["rows"].to_dict() == {"bars.b": 2, "bars.x": 1}
