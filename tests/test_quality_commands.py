"""``ljwx data quarantine | release | releases | quality | reconcile``, through the command line a person types."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from ljwx_pipeline.cli import main
from ljwx_pipeline.config import load_settings, market_home
from ljwx_pipeline.errors import ConfigError, DataQualityError, LakeError
from ljwx_pipeline.ingest.judged import BAR_CHECKS
from ljwx_pipeline.ingest.judged_store import BREACHES, CHECKED_BARS, QUARANTINE, SCORES
from ljwx_pipeline.ingest.released import read_releases
from ljwx_pipeline.lake import Lake, split_by_month
from ljwx_pipeline.market.tables import SourceDescription
from ljwx_pipeline.sources.replay import DESCRIPTION, description_table
from tests.fakes.bars import random_bars

ROOT = Path(__file__).resolve().parent.parent
JUDGED_AT = datetime(2024, 1, 1, tzinfo=UTC)
BARS = random_bars(symbols=4, sessions=30, suspended_frac=0.0)
SESSIONS = pd.DatetimeIndex(BARS["session_date"].unique())
OLD, NEW = BARS.iloc[[5]], BARS.iloc[[100]]
Ljwx = Callable[..., Any]


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("LJWX_HOME", str(tmp_path / "home"))


@pytest.fixture
def ljwx(capsys: pytest.CaptureFixture[str]) -> Ljwx:
    def call(*words: str, code: int = 0) -> Any:
        found = main(["data", *words])
        captured = capsys.readouterr()
        assert found == code, captured.err
        if code and not captured.out:
            return captured.err
        return json.loads(captured.out) if "--json" in words else captured.out

    return call


def home(profile: str = "simulated") -> Path:
    return market_home(load_settings(profile=profile))


def out(rows: pd.DataFrame, check: str) -> pd.DataFrame:
    return rows.assign(
        check=check, reason=f"{check} is broken", repair="ask again", quarantined_at=pd.Timestamp(JUDGED_AT)
    )


@pytest.fixture
def checked() -> Lake:
    lake = Lake(home() / "checked")
    rows = pd.concat([out(OLD, "bars.jump"), out(OLD, "bars.stale"), out(NEW, "bars.jump")], ignore_index=True)
    lake.write(QUARANTINE, rows, partition="2018-01-01", known_at=JUDGED_AT)
    scores = pd.DataFrame(
        {
            "source": "simulated",
            "session_date": SESSIONS,
            "rows": 4,
            "error_rows": 0,
            "quarantine_rows": 0,
            "warn_rows": 0,
            "released_rows": 0,
            "coverage_frac": 1.0,
            "lag_hours": [None] * 20 + [3.0] * 10,
            "score": [90.0] * 20 + [100.0] * 10,
        }
    )
    scores.loc[25, ["score", "quarantine_rows"]] = [60.0, 1]
    scores.loc[26, ["score", "released_rows", "lag_hours"]] = [90.0, 1, 168.0]
    lake.write(SCORES, scores, partition="2018-01-01", known_at=JUDGED_AT)
    breaches = pd.DataFrame(
        {"session_date": [SESSIONS[25], SESSIONS[3]], "check": ["bars.jump", "bars.stale"], "rows": [1, 2]}
    )
    lake.write(BREACHES, breaches.assign(severity="quarantine"), partition="2018-01-01", known_at=JUDGED_AT)
    return lake


def test_before_anything_was_judged_the_remedy_is_told(ljwx: Ljwx) -> None:
    for command in ("quarantine", "quality"):
        assert "was ever judged: run `ljwx backfill` first" in ljwx(command, code=LakeError.exit_code)
    assert "nothing was ever released" in ljwx("releases")


def test_bars_that_were_all_refused_have_scores_and_no_quarantine(checked: Lake, ljwx: Ljwx) -> None:
    shutil.rmtree(checked.table_folder(QUARANTINE))
    shutil.rmtree(checked.table_folder(CHECKED_BARS), ignore_errors=True)
    assert "worst" in ljwx("quality")
    for command in (["quarantine"], release(OLD)):
        told = ljwx(*command, code=LakeError.exit_code)
        assert "was refused, none was taken out alone: see `ljwx data quality`" in told


def test_quarantine_counts_by_check_and_shows_the_newest_row_first(checked: Lake, ljwx: Ljwx) -> None:
    told = ljwx("quarantine", "--json")
    assert (told["bars"], told["by_check"]) == (2, {"bars.jump": 2, "bars.stale": 1})
    assert [row["session_date"] for row in told["rows"]] == [
        f"{rows['session_date'].iloc[0]:%Y-%m-%d}" for rows in (NEW, OLD, OLD)
    ]
    text = ljwx("quarantine")
    assert "why:    bars.jump is broken" in text
    assert "repair: ask again" in text
    assert "2 older rows are not shown" in ljwx("quarantine", "--limit", "1")


@pytest.mark.parametrize("lost", ["quality_scores", "breaches"])
def test_a_table_that_was_deleted_is_told_with_how_it_is_made_again(checked: Lake, ljwx: Ljwx, lost: str) -> None:
    shutil.rmtree(checked.table_folder(lost))
    told = ljwx("quality", code=LakeError.exit_code)
    assert f"has lost {lost}: run `ljwx backfill`" in told


def test_quarantine_of_one_check_and_of_one_that_holds_nothing(checked: Lake, ljwx: Ljwx) -> None:
    rows = ljwx("quarantine", "--check", "bars.stale", "--json")["rows"]
    assert [row["check"] for row in rows] == ["bars.stale"]
    refused = ljwx("quarantine", "--check", "bars.nosuch", code=DataQualityError.exit_code)
    assert "choose one of: bars.jump, bars.stale" in refused


def release(rows: pd.DataFrame, *more: str) -> list[str]:
    row = rows.iloc[0]
    told = ["--symbol", row["symbol"], "--session", f"{row['session_date']:%Y-%m-%d}"]
    return ["release", *told, "--reason", "the exchange confirmed it", "--by", "ann", *more]


def test_a_release_is_kept_with_who_and_why_and_a_dry_run_writes_nothing(checked: Lake, ljwx: Ljwx) -> None:
    lake = Lake(home() / "lake")
    assert "nothing was written" in ljwx(*release(OLD, "--dry-run"))
    assert read_releases(lake).empty
    made = ljwx(*release(OLD), "--json")["releases"]
    assert [row["check"] for row in made] == ["bars.jump", "bars.stale"]
    assert "ljwx backfill" in ljwx(*release(NEW, "--check", "bars.jump"))
    assert len(read_releases(lake)) == 3
    kept = ljwx("releases", "--json")["releases"]
    assert {(row["released_by"], row["reason"]) for row in kept} == {("ann", "the exchange confirmed it")}
    assert "ann" in ljwx("releases")


def test_what_is_not_in_quarantine_or_not_answered_for_is_not_released(checked: Lake, ljwx: Ljwx) -> None:
    refused = ljwx(*release(BARS.iloc[[50]]), code=DataQualityError.exit_code)
    assert "is in quarantine: see `ljwx data quarantine`" in refused
    assert "for bars.stale" in ljwx(*release(NEW, "--check", "bars.stale"), code=DataQualityError.exit_code)
    assert "nobody's name" in ljwx(*release(NEW, "--by", " ", "--dry-run"), code=DataQualityError.exit_code)
    assert "is no date" in ljwx(*release(NEW, "--session", "soon"), code=ConfigError.exit_code)
    assert not (home() / "lake").exists()


def test_quality_names_the_worst_session_and_the_trend(checked: Lake, ljwx: Ljwx) -> None:
    told = ljwx("quality", "--sessions", "10", "--json")
    assert (told["mean_score"], told["mean_score_before"], told["trend"]) == (95.0, 90.0, 5.0)
    assert told["worst"] == {
        "session_date": f"{SESSIONS[25]:%Y-%m-%d}",
        "score": 60.0,
        "coverage_frac": 1.0,
        "lag_hours": 3.0,
        "breaches": {"bars.jump": 1},
    }
    assert len(told["sessions"]) == 10
    text = ljwx("quality", "--sessions", "10")
    assert "95.00 over 10 sessions; 90.00 over the 10 before (+5.00)" in text
    assert "with 60.00: bars.jump 1; coverage 1.000" in text
    late = ljwx("quality", "--sessions", "4")
    assert f"worst  {SESSIONS[26]:%Y-%m-%d} with 90.00: 168 h late; coverage 1.000" in late
    (row,) = [line.split() for line in late.splitlines() if line.startswith(f"{SESSIONS[26]:%F}")]
    assert row[1:] == ["90.00", "4", "0", "0", "1", "0", "1.000", "168.0", "h"]
    assert "no rule of single rows broken" in ljwx("quality", "--sessions", "2")
    assert "no earlier session" in ljwx("quality", "--sessions", "100")
    assert "shows nothing" in ljwx("quality", "--sessions", "0", code=ConfigError.exit_code)


def loaded(profile: str, bars: pd.DataFrame, adjustment: str = "raw") -> Lake:
    lake = Lake(home(profile) / "lake")
    description = SourceDescription(profile, simulated=True, adjustment=adjustment, unknown=())
    lake.write(DESCRIPTION, description_table(description), known_at=JUDGED_AT)
    lake.write_partitions("raw_bars", split_by_month(bars), known_at=JUDGED_AT)
    return lake


def test_two_markets_are_compared_on_the_sessions_and_symbols_of_both(ljwx: Ljwx) -> None:
    loaded("simulated", BARS[BARS["session_date"] >= SESSIONS[5]])
    other = BARS[(BARS["session_date"] <= SESSIONS[20]) & (BARS["symbol"] != "S00003.SIM")].copy()
    other.loc[other["session_date"] == SESSIONS[10], "close_cny"] += 0.004
    loaded("noise", other)
    told = ljwx("reconcile", "noise", "--json")
    assert (told["first"], told["last"]) == (str(SESSIONS[5].date()), str(SESSIONS[20].date()))
    assert (told["agrees"], told["symbols"], told["matched_rows"]) == (True, 3, 3 * 16)
    assert told["only_in"][home().name] == ["S00003.SIM"]
    assert "1 symbols, not compared" in ljwx("reconcile", "noise")
    narrowed = ljwx("reconcile", "noise", "--first", str(SESSIONS[7].date()), "--last", str(SESSIONS[8].date()))
    assert "6 rows in both" in narrowed


def test_disagreement_is_shown_and_too_much_of_it_ends_in_the_exit_code(ljwx: Ljwx) -> None:
    loaded("simulated", BARS)
    other = BARS.copy()
    other.loc[10, "close_cny"] += 0.01
    loaded("noise", other)
    told = ljwx("reconcile", "noise", "--json")
    assert (told["agrees"], told["blocks"], told["counts"]) == (False, False, {"price": 1})
    assert told["disagreements"][0]["column"] == "close_cny"
    assert "differ, within what is allowed" in ljwx("reconcile", "noise")
    assert ljwx("reconcile", "noise", "--price-cny", "0.02", "--json")["agrees"]
    strict = ljwx("reconcile", "noise", "--block-beyond-frac", "0", code=DataQualityError.exit_code)
    assert "BLOCKS" in strict


def test_another_market_is_named_by_profile_or_by_its_folder(ljwx: Ljwx) -> None:
    loaded("simulated", BARS)
    loaded("noise", BARS)
    assert ljwx("reconcile", home("noise").name, "--json")["agrees"]
    assert "compared with itself" in ljwx("reconcile", home().name, code=ConfigError.exit_code)
    assert "has no file" in ljwx("reconcile", "nosuch", code=ConfigError.exit_code)


def test_markets_that_cannot_be_compared_say_why(ljwx: Ljwx) -> None:
    loaded("simulated", BARS)
    assert "holds no bars" in ljwx("reconcile", "noise", code=LakeError.exit_code)
    loaded("noise", BARS, adjustment="forward")
    assert "every ex-date would disagree" in ljwx("reconcile", "noise", code=ConfigError.exit_code)


def test_markets_without_a_session_in_common_are_not_compared(ljwx: Ljwx) -> None:
    loaded("simulated", BARS[BARS["session_date"] < SESSIONS[10]])
    loaded("noise", BARS[BARS["session_date"] >= SESSIONS[10]])
    refused = ljwx("reconcile", "noise", code=LakeError.exit_code)
    assert f"no session is in both ({home().name} {SESSIONS[0].date()} to {SESSIONS[9].date()}" in refused


def test_the_help_names_a_check_that_there_is(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["data", "quarantine", "--help"])
    named = re.findall(r"bars\.\w+", capsys.readouterr().out)
    assert named
    assert set(named) <= {check.name for check in BAR_CHECKS}
