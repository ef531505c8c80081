"""The daily job scores champion and challengers side by side, judges them, and takes a canary out that is in breach."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from assets.contest import FOLDER, PAGE, contest_in_order
from jobs.definitions import build_definitions
from ljwx_pipeline.config import Settings
from ljwx_pipeline.contest.moves import CONTEST_TAG
from ljwx_pipeline.contest.record import capital_split
from tests.fakes.contest_home import START, ContestHome, contest_home


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ContestHome:
    return contest_home(tmp_path, monkeypatch)


def in_order(document: dict[str, object]) -> tuple[bool, str]:
    found = contest_in_order({name: value for name, value in document.items() if name not in ("metadata", "scores")})
    return found.passed, found.description or ""  # type: ignore[union-attr, return-value]


def test_the_daily_job_holds_the_contest_and_its_check(settings: Settings) -> None:
    job = build_definitions(settings).resolve_job_def("daily_pipeline")
    keys = {key.to_user_string() for key in job.asset_layer.executable_asset_keys}
    assert {"challenger_scores", "model_contest"} <= keys
    assert "model_contest_contest_in_order" in {node.name for node in job.nodes}


def test_without_a_contest_there_is_nothing_to_score_and_nothing_to_ask_the_registry(home: ContestHome) -> None:
    found = home.day(START + 5)
    assert (found["contest"], found["status"]) == (None, "none")
    assert found["scores"].empty
    assert in_order(found) == (True, "no contest was ever begun")


def test_a_better_shadow_is_recommended_and_moves_nothing(home: ContestHome) -> None:
    champion, other = home.registered("luck"), home.registered("good")
    home.promote(champion)
    home.decide(other, "refused")
    begun = home.begin(other)
    assert home.day(START)["status"] == "waiting"
    first = home.day(START + 1)
    assert (first["status"], first["sessions"], first["standings"]) == ("running", 0, [])
    early = home.day(START + 11)
    assert [one["state"] for one in early["standings"]] == ["early"]
    assert early["standings"][0]["missing_sessions"] == 10
    late = home.day(START + 100)
    assert late["sessions"] == 99
    assert [(one["state"], one["advice"]) for one in late["standings"]] == [("better", "propose")]
    assert in_order(late)[0]
    scores = late["scores"]
    assert list(scores) == ["symbol", "session_date", "scorable", "champion", "version_2"]
    assert scores["session_date"].min() == home.sessions[START]
    assert scores[["champion", "version_2"]].notna().all(axis=None)
    assert home.aliases() == {"champion": "1", "shadow": "2"}, "a verdict promotes nobody"
    decided = home.course().decided("2")
    assert (decided.outcome, decided.session) == ("better", late["standings"][0]["decided_on"])
    tag = home.line.registry().version_tags(other)[CONTEST_TAG]
    assert tag.startswith(f"{begun.id}: better than the champion, decided ")
    run = home.line.registry().recorded_run(other.run_id)
    assert run is not None
    assert run.metrics["contest.mean_difference_frac"] == late["standings"][0]["comparison"]["mean"]
    page = home.line.home / "report" / FOLDER / PAGE
    text = page.read_text(encoding="utf-8")
    assert f"contest {begun.id}" in text
    assert "ljwx promote 2" in text
    assert "<script" not in text
    assert late["metadata"]["report"].value.endswith("/reports/report/contest/report.html")
    assert "picture_version_2" in late["metadata"]


def test_a_day_run_again_or_late_changes_nothing(home: ContestHome) -> None:
    home.promote(home.registered("luck"))
    home.begin(home.registered("good"))
    for count in (START + 20, START + 60, START + 90):
        home.day(count)
    once = home.day(START + 90)
    record = home.course()
    again = home.day(START + 90)
    assert home.course() == record
    assert again["standings"] == once["standings"]
    pd.testing.assert_frame_equal(again["scores"], once["scores"])
    home.line.home.joinpath("report", FOLDER).rename(home.line.home / "elsewhere")  # only the record is needed
    assert home.day(START + 90)["standings"] == once["standings"]


def test_a_canary_in_breach_is_demoted_and_the_champion_trades_on(home: ContestHome) -> None:
    champion, other = home.registered("luck"), home.registered("bad")
    home.decide(other, "promoted")
    home.promote(champion)
    begun = home.begin(other, mode="canary")
    assert home.day(START + 3)["capital_split"] == {
        champion.bundle_hash: pytest.approx(0.9),
        other.bundle_hash: 0.1,
    }
    found = home.day(START + 100)
    state = found["standings"][0]
    assert (state["state"], state["advice"], state["still_in"]) == ("breach", "demoted", False)
    assert state["deepest_frac"] > begun.max_behind_frac
    assert home.aliases() == {"champion": "1"}
    assert in_order(found) == (False, "version 2 left")
    course = home.course()
    assert course.left("2").outcome == "breach"
    assert course.left("2").session == state["breached_on"]
    assert course.ended.outcome == "no_challenger"
    assert capital_split(course) == {}
    assert home.line.registry().version_tags(other)["decision"] == "demoted"
    again = home.day(START + 101)
    assert (again["status"], again["sessions"]) == ("ended", 99)
    assert home.course() == course
    assert in_order(again)[0], "told once"


def test_a_breach_may_be_left_to_a_person(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = contest_home(tmp_path, monkeypatch, CONTEST__ON_BREACH="report")
    other = home.registered("bad")
    home.decide(other, "promoted")
    home.promote(home.registered("luck"))
    home.begin(other, mode="canary")
    found = home.day(START + 100)
    assert [(one["state"], one["advice"], one["still_in"]) for one in found["standings"]] == [("breach", "look", True)]
    assert home.aliases() == {"champion": "2", "canary": "1"}
    assert in_order(found) == (False, "version 1 is breach")


def test_a_shadow_that_is_worse_stays_and_touches_no_alias(home: ContestHome) -> None:
    home.promote(home.registered("luck"))
    home.begin(home.registered("bad"))
    found = home.day(START + 100)
    assert [(one["state"], one["advice"]) for one in found["standings"]] == [("breach", "stop")]
    assert home.aliases() == {"champion": "1", "shadow": "2"}


def test_of_two_challengers_each_is_judged_by_half_of_alpha_and_one_may_leave(home: ContestHome) -> None:
    good, bad = home.registered("good"), home.registered("bad")
    for one in (good, bad):
        home.decide(one, "promoted")
    home.promote(home.registered("luck"))
    home.begin(good, bad, mode="canary")
    home.day(START + 5)
    found = home.day(START + 100)
    assert [(one["version"], one["still_in"]) for one in found["standings"]] == [("1", True), ("2", False)]
    assert home.aliases() == {"champion": "3", "canary": "1"}
    later = home.day(START + 105)
    assert list(later["scores"]) == ["symbol", "session_date", "scorable", "champion", "version_1"]
    kept = {one["version"]: one for one in later["standings"]}
    assert kept["2"]["comparison"]["sessions"] == 99, "what it earned until it left"
    assert kept["1"]["comparison"]["sessions"] == 104
    assert home.course().contest.alpha_each == 0.025


def test_returns_are_those_of_the_account_at_its_share_of_the_capital(home: ContestHome) -> None:
    from assets.contest import stored_returns
    from ljwx_pipeline.backtest.engine import run_backtest
    from ljwx_pipeline.evaluation.metrics import returns_of
    from ljwx_pipeline.market.panel import dense
    from ljwx_pipeline.market.tables import empty_table
    from ljwx_pipeline.trading.market_arrays import market_arrays
    from tests.fakes.bars import listed_securities

    other = home.registered("good")
    home.decide(other, "promoted")
    home.promote(home.registered("luck"))
    begun = home.begin(other, mode="canary", capital_frac=0.25)
    found = home.day(START + 40)
    stored, settings = stored_returns(home.line, begun), home.line.settings
    sessions = home.sessions[: START + 40]
    bars = home.bars[home.bars["session_date"].isin(sessions)]
    names = tuple(sorted(bars["symbol"].unique()))
    nothing = (empty_table("st_spells"), empty_table("corporate_actions"))
    market = market_arrays(bars, listed_securities(bars), *nothing, symbols=names, sessions=sessions, adjustment="raw")
    for name, share in (("champion", 0.75), ("version_1", 0.25)):
        result = run_backtest(
            market,
            dense(found["scores"], name, names, sessions),
            strategy=settings.strategy.model_copy(update={"capital_cny": 1_000_000 * share}),
            costs=settings.costs,
            first=begun.first_session,
            last=sessions[-1].date(),
        )
        np.testing.assert_array_equal(stored[name], returns_of(result.equity))
    assert not (stored["champion"] == stored["version_1"]).all()


def test_a_long_contest_is_scored_in_blocks_to_the_same_bits(
    home: ContestHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    home.promote(home.registered("luck"))
    home.begin(home.registered("good"))
    once = home.day(START + 45)["scores"]
    monkeypatch.setattr("assets.contest.BLOCK_SESSIONS", 7)
    pd.testing.assert_frame_equal(home.day(START + 45)["scores"], once)


def test_a_damaged_challenger_leaves_and_the_daily_job_goes_on(home: ContestHome) -> None:
    home.promote(home.registered("luck"))
    damaged, sound = home.registered("good"), home.registered("good", seed=1)
    home.begin(damaged, sound)
    home.day(START + 5)
    for path in home.folder.rglob(f"*{damaged.bundle_hash}/model.json"):
        path.write_text("{}")
    found = home.day(START + 6)
    left = home.course().left("2")
    assert left.outcome == "unusable"
    assert "its bundle cannot be used" in left.reason
    assert home.aliases() == {"champion": "1", "shadow-2": "3"}
    assert [(one["version"], one["still_in"]) for one in found["standings"]] == [("2", False), ("3", True)]
    assert in_order(found) == (False, "version 2 left")
    assert in_order(home.day(START + 7))[0]


def test_a_challenger_whose_files_cannot_be_fetched_is_waited_for(home: ContestHome) -> None:
    home.promote(home.registered("luck"))
    other = home.registered("good")
    home.begin(other)
    whole = home.day(START + 10)
    hidden = [path for path in home.folder.rglob(other.bundle_hash) if path.is_dir() and "made" not in path.parts]
    for path in hidden:
        path.rename(path.with_name("hidden"))
    found = home.day(START + 10)
    assert found["status"] == "paused"
    assert found["reason"].startswith("version 2 cannot be fetched: ")
    assert not in_order(found)[0]
    assert home.aliases() == {"champion": "1", "shadow": "2"}
    for path in hidden:
        path.with_name("hidden").rename(path)
    assert home.day(START + 10)["standings"] == whole["standings"]


def test_a_champion_that_changes_ends_the_contest_and_its_page_says_so(home: ContestHome) -> None:
    home.promote(home.registered("luck"))
    home.begin(home.registered("good"))
    home.day(START + 30)
    home.promote(home.registered("luck", seed=1))
    found = home.day(START + 31)
    assert (found["status"], found["sessions"]) == ("ended", 29)
    assert found["reason"].startswith("champion_changed: champion was version 1")
    assert home.aliases() == {"champion": "3"}
    assert "champion changed" in (home.line.home / "report" / FOLDER / PAGE).read_text(encoding="utf-8")


def test_a_gap_in_the_sessions_is_waited_for_and_not_left_out(home: ContestHome) -> None:
    home.promote(home.registered("luck"))
    home.begin(home.registered("good"))
    whole = home.day(START + 40)
    home.gaps = (START + 20,)
    found = home.day(START + 40)
    assert found["status"] == "paused"
    assert f"no bar of session {home.sessions[START + 20]:%Y-%m-%d} is held (1 such)" in found["reason"]
    assert not in_order(found)[0]
    home.gaps = (START + 39,)
    newest = home.day(START + 40)
    assert (newest["status"], newest["sessions"]) == ("running", 38), "bars of today are not here yet"
    home.gaps = ()
    assert home.day(START + 40)["standings"] == whole["standings"]


def test_under_other_terms_it_is_not_judged(home: ContestHome, monkeypatch: pytest.MonkeyPatch) -> None:
    from assets.resources import Line

    home.promote(home.registered("luck"))
    home.begin(home.registered("good"))
    home.day(START + 20)
    monkeypatch.setenv("LJWX_COSTS__SLIPPAGE_BPS", "9.0")
    home.line = Line()
    found = home.day(START + 21)
    assert found["status"] == "paused"
    assert found["reason"].startswith("strategy, costs, universe or uncertainty's two limits differ")
    assert found["sessions"] == 19


def test_a_rehearsal_decides_nothing(home: ContestHome) -> None:
    home.promote(home.registered("luck"))
    home.begin(home.registered("good"), rehearsal=True)
    found = home.day(START + 100)
    assert [(one["state"], one["advice"]) for one in found["standings"]] == [("better", "none")]
    assert home.course().happened == ()
    assert in_order(found)[0]
    assert "REHEARSAL" in (home.line.home / "report" / FOLDER / PAGE).read_text(encoding="utf-8")
