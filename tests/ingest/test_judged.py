"""Judging raw bars by blocks of months: what is judged again and what is not, what is stored, what is said."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ljwx_pipeline.config import SimulatedSettings
from ljwx_pipeline.errors import LakeError
from ljwx_pipeline.ingest import judged
from ljwx_pipeline.ingest.judged import Judgement, judge_bars
from ljwx_pipeline.ingest.judged_block import JudgedBlock, merged
from ljwx_pipeline.ingest.judged_notes import NOTES_WHOLE, Notes
from ljwx_pipeline.ingest.open_jumps import JUMPS
from ljwx_pipeline.ingest.released import read_releases
from ljwx_pipeline.lake import Lake, split_by_month
from ljwx_pipeline.quality.quarantine import release
from ljwx_pipeline.quality.results import CheckResult
from ljwx_pipeline.quality.rule import Check
from ljwx_pipeline.quality.run import run_checks
from ljwx_pipeline.sources.simulated.source import SimulatedMarket

FIRST, LAST = date(2024, 1, 2), date(2024, 6, 28)
KNOWN = datetime(2024, 7, 1, 10, tzinfo=UTC)
MONTHS = [f"2024-{month:02d}-01" for month in range(1, 7)]
#: More than any month of the market below has, and less than two.
MONTH_ROWS = 600
#: Rules of single rows whose breaches quarantine or warn, whatever stands around the block.
ROW_RULES = (
    "bars.schema",
    "bars.volume_where_prices_moved",
    "bars.prices_on_tick",
    "bars.average_price_in_range",
    "bars.not_repeated",
    "bars.reference_price_follows",
    "bars.factor_never_falls",
    "bars.within_published_limits",
    "bars.of_listed_securities",
)


@cache
def simulated() -> SimulatedMarket:
    return SimulatedMarket(SimulatedSettings(seed=5, symbols=20, oracle_rank_ic=0.1))


class World:
    """A raw lake of a small market, a checked one, and how often a block was judged."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.market = simulated()
        self.raw, self.checked = Lake(folder / "raw"), Lake(folder / "checked")
        self.bars = self.market.bars(FIRST, LAST)
        self.now = KNOWN
        self.judged: list[int] = []
        self.write(self.bars)
        self.raw.write("securities", self.market.securities(), known_at=self.now)
        limits = self.market.price_limits(FIRST, LAST)
        self.raw.write_partitions("price_limits", split_by_month(limits), known_at=self.now)
        self.judgement = Judgement(
            self.market.describe(), self.market.sessions(FIRST, LAST), read_releases(self.raw), 0.5, "rules"
        )

        def counted(tables: dict[str, pd.DataFrame], *given: Any, **named: Any) -> list[CheckResult]:
            self.judged.append(len(tables["bars"]))
            return run_checks(tables, *given, **named)

        monkeypatch.setattr(judged, "run_checks", counted)

    def tick(self) -> datetime:
        self.now += timedelta(minutes=1)
        return self.now

    def write(self, bars: pd.DataFrame) -> None:
        self.raw.write_partitions("raw_bars", split_by_month(bars), known_at=self.tick())

    def judge(self, **changes: Any) -> list[JudgedBlock]:
        self.judged.clear()
        asked = replace(self.judgement, **changes)
        return judge_bars(self.raw, self.checked, asked, as_of=None, known_at=self.tick())

    def with_dirt(self, rows: list[int], **values: float) -> pd.DataFrame:
        dirty = self.bars.copy()
        for column, value in values.items():
            dirty.loc[rows, column] = value
        return dirty


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setattr(judged, "BLOCK_ROWS", MONTH_ROWS)
    return World(tmp_path, monkeypatch)


def test_clean_bars_all_pass_as_they_are(world: World) -> None:
    blocks = world.judge()
    assert [block.months for block in blocks] == [(month,) for month in MONTHS]
    assert sum(world.judged) == sum(block.rows for block in blocks) == len(world.bars)
    assert sum(block.quarantined_rows for block in blocks) == 0
    pd.testing.assert_frame_equal(world.checked.read("bars"), world.bars)
    assert world.checked.read("quarantine").empty
    assert len(world.checked.read("quality_scores")) == len(world.judgement.sessions)


def test_what_did_not_change_is_not_judged_again_and_says_the_same(world: World) -> None:
    before = world.judge()
    assert len(world.judged) == len(MONTHS)
    again = world.judge()
    assert world.judged == []
    assert merged(again) == merged(before)


def test_blocks_stand_on_the_calendar_so_a_new_month_judges_only_itself(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(judged, "BLOCK_ROWS", MONTH_ROWS * 3)
    sessions = world.judgement.sessions
    until_april = sessions[sessions < "2024-05-01"]
    blocks = world.judge(sessions=until_april)
    assert [block.months for block in blocks] == [tuple(MONTHS[:3]), tuple(MONTHS[3:4])]
    blocks = world.judge()
    assert [block.months for block in blocks] == [tuple(MONTHS[:3]), tuple(MONTHS[3:])]
    assert len(world.judged) == 1


def test_a_restated_row_judges_its_block_and_those_that_look_back_on_it(world: World) -> None:
    world.judge()
    april = int(world.bars["session_date"].searchsorted(pd.Timestamp("2024-04-15")))
    world.write(world.with_dirt([april], volume_shares=float(world.bars["volume_shares"].iloc[april]) + 0.001))
    world.judge()
    assert len(world.judged) == 3  # April, May and June: sixty sessions reach back to April


@pytest.mark.parametrize(
    "change",
    [
        lambda world: {"rules_hash": "other"},
        lambda world: {"max_session_frac": 0.4},
        lambda world: {"description": replace(world.judgement.description, name="other")},
        lambda world: {"releases": one_release(world)},
    ],
    ids=["rules", "share", "source", "releases"],
)
def test_another_judgement_judges_every_block_again(world: World, change: Callable[[World], dict[str, Any]]) -> None:
    world.judge()
    world.judge(**change(world))
    assert len(world.judged) == len(MONTHS)


def test_other_securities_judge_every_block_again_other_limits_their_month(world: World) -> None:
    world.judge()
    limits = world.market.price_limits(date(2024, 3, 1), date(2024, 3, 31))
    limits.loc[0, "limit_up_cny"] += 1.0
    world.raw.write("price_limits", limits, partition="2024-03-01", known_at=world.tick())
    world.judge()
    assert len(world.judged) == 1
    world.raw.write("securities", world.market.securities().iloc[::-1].assign(name="x"), known_at=world.tick())
    world.judge()
    assert len(world.judged) == len(MONTHS)


def test_a_table_that_is_not_in_the_lake_makes_its_check_not_applicable(world: World) -> None:
    by_name = {result.name: result for result in merged(world.judge())}
    assert by_name["bars.gaps_are_suspensions"].severity == "not_applicable"
    assert by_name["bars.within_published_limits"].severity == "error"
    assert by_name["bars.within_published_limits"].measured["judged"] == len(world.bars)


def test_dirty_rows_land_in_quarantine_and_not_among_the_bars(world: World) -> None:
    rows = [100, 900]
    world.write(world.with_dirt(rows, volume_shares=0.0))
    blocks = world.judge()
    assert sum(block.quarantined_rows for block in blocks) == 2
    kept, out = world.checked.read("bars"), world.checked.read("quarantine")
    pd.testing.assert_frame_equal(kept, world.bars.drop(index=rows).reset_index(drop=True))
    keys = ["symbol", "session_date"]
    assert set(map(tuple, out[keys].to_numpy())) == set(map(tuple, world.bars.loc[rows, keys].to_numpy()))
    assert "bars.volume_where_prices_moved" in set(out["check"])
    breaches = world.checked.read("breaches")
    assert breaches[breaches["check"] == "bars.volume_where_prices_moved"]["rows"].sum() == 2


@pytest.mark.parametrize(
    ("column", "value"),
    [("amount_cny", np.inf), ("amount_cny", -np.inf), ("volume_shares", 5e-324), ("adj_factor", np.inf)],
)
def test_a_figure_without_end_is_taken_out_and_its_verdict_noted(world: World, column: str, value: float) -> None:
    world.write(world.with_dirt([100], **{column: value}))
    first = world.judge()
    assert world.judge() == first
    assert not world.judged  # every verdict could be kept
    assert sum(block.quarantined_rows for block in first) == 1
    figures = [figure for block in first for result in block.results for figure in result.measured.values()]
    assert np.isfinite([figure for figure in figures if not isinstance(figure, str)]).all()


def test_a_month_that_passes_whole_is_the_raw_months_own_file_and_one_that_does_not_is_not(world: World) -> None:
    world.write(world.with_dirt([100], volume_shares=0.0))
    world.judge()
    raw = {version.partition: version.paths[0] for version in world.raw.current("raw_bars")}
    shared = [
        version.partition
        for version in world.checked.current("bars")
        if version.paths[0].samefile(raw[version.partition])
    ]
    assert shared == MONTHS[1:]


def test_sessions_that_were_not_asked_for_are_not_among_the_checked(world: World) -> None:
    sessions = world.judgement.sessions
    world.judge(sessions=sessions[(sessions >= "2024-01-15") & (sessions < "2024-05-16")])
    kept = world.checked.read("bars")["session_date"]
    asked = world.bars["session_date"].between("2024-01-15", "2024-05-15")
    assert kept.tolist() == world.bars.loc[asked, "session_date"].tolist()


def test_a_corrected_row_comes_back(world: World) -> None:
    world.write(world.with_dirt([100], volume_shares=0.0))
    world.judge()
    world.write(world.bars)
    world.judge()
    pd.testing.assert_frame_equal(world.checked.read("bars"), world.bars)
    assert world.checked.read("quarantine").empty


def test_a_block_that_blocks_leaves_what_was_stored_and_the_other_blocks_go_on(world: World) -> None:
    world.judge()
    march = world.bars.index[world.bars["session_date"].dt.month == 3]
    spoilt = world.with_dirt(list(march), open_cny=1.2345, volume_shares=0.0)
    spoilt.loc[5, "volume_shares"] = 0.0
    world.write(spoilt)
    blocks = world.judge()
    blocked = [block.months[0] for block in blocks if any(result.blocks for result in block.results)]
    assert "2024-03-01" in blocked
    assert "2024-01-01" not in blocked
    after = world.checked.read("bars", partitions=["2024-03-01"])
    pd.testing.assert_frame_equal(after, world.bars.loc[march].reset_index(drop=True))
    january = world.checked.read("bars", partitions=["2024-01-01"])
    assert len(january) == (world.bars["session_date"].dt.month == 1).sum() - 1


def one_release(world: World) -> pd.DataFrame:
    held = world.bars.iloc[[100]].assign(check="bars.volume_where_prices_moved")
    return release(held, reason="it was so", released_by="somebody", at=KNOWN)


def test_a_released_row_returns(world: World) -> None:
    world.write(world.with_dirt([100], volume_shares=0.0))
    world.judge()
    held, day = world.checked.read("quarantine"), world.bars["session_date"].iloc[100]
    releases = release(held, reason="it was so", released_by="somebody", at=KNOWN)
    before = world.checked.read("quality_scores").set_index("session_date").loc[day]
    blocks = world.judge(releases=releases)
    after = world.checked.read("quality_scores").set_index("session_date").loc[day]
    assert (before["quarantine_rows"], before["released_rows"]) == (1, 0)
    assert (after["quarantine_rows"], after["released_rows"]) == (0, 1)
    assert after["score"] > before["score"]
    assert not (world.checked.read("breaches")["check"] == "bars.volume_where_prices_moved").any()
    assert sum(block.quarantined_rows for block in blocks) == 0
    assert len(world.checked.read("bars")) == len(world.bars)
    assert world.checked.read("quarantine").empty


@pytest.mark.parametrize("seed", range(6))
def test_many_small_blocks_find_in_rows_what_one_big_one_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    found = {}
    for rows in (MONTH_ROWS, 10_000):
        monkeypatch.setattr(judged, "BLOCK_ROWS", rows)
        world = World(tmp_path / str(rows), monkeypatch)
        rng = np.random.default_rng(seed)
        dirty = world.bars.copy()
        for column, value in [("volume_shares", 0.0), ("low_cny", 1e6), ("close_cny", np.nan), ("adj_factor", 1e-3)]:
            dirty.loc[rng.choice(len(dirty), 3, replace=False), column] = value
        world.write(dirty)
        by_name = {result.name: result for result in merged(world.judge())}
        out = world.checked.read("quarantine")
        by_row = out[out["check"].isin(ROW_RULES)][["session_date", "symbol", "check"]]
        found[rows] = (
            len(world.judged),
            {name: by_name[name].measured.get("bad", by_name[name].measured.get("failures")) for name in ROW_RULES},
            sorted(map(tuple, by_row.to_numpy())),
        )
    assert (found[MONTH_ROWS][0], found[10_000][0]) == (6, 1)
    assert found[MONTH_ROWS][1] == found[10_000][1]
    assert found[MONTH_ROWS][2] == found[10_000][2]


def test_months_that_join_a_longer_block_are_told_of_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.write(world.with_dirt([100, 900], volume_shares=0.0))
    world.judge()
    tables = {name: world.checked.read(name) for name in ("quality_scores", "quarantine", "breaches", "bars")}
    for rows in (10_000, MONTH_ROWS, 10_000):
        monkeypatch.setattr(judged, "BLOCK_ROWS", rows)
        world.judge()
        assert world.judged != []
        for name in ("quality_scores", "quarantine", "breaches", "bars"):
            again = world.checked.read(name)
            assert len(again) == len(tables[name]), name
            keys = [column for column in ("session_date", "symbol", "check") if column in again]
            assert not again.duplicated(keys).any(), name


def test_a_longer_block_that_was_stored_and_not_noted_is_not_told_of_beside_its_months(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.judge()
    whole, write = world.checked.read("quality_scores"), Notes.write

    def killed(*_: Any) -> None:
        raise LakeError("the disk is full", "free some space")

    monkeypatch.setattr(judged, "BLOCK_ROWS", 10_000)
    monkeypatch.setattr(Notes, "write", killed)
    with pytest.raises(LakeError, match="the disk is full"):
        world.judge()
    monkeypatch.setattr(judged, "BLOCK_ROWS", MONTH_ROWS)
    monkeypatch.setattr(Notes, "write", write)
    world.judge()
    pd.testing.assert_frame_equal(world.checked.read("quality_scores"), whole)


@pytest.mark.parametrize("text", ["{", "[]", '{"key": "x"}', "\udcff"])
def test_a_damaged_note_is_told_of_and_its_block_judged_again(
    world: World, caplog: pytest.LogCaptureFixture, text: str
) -> None:
    before = world.judge()
    (world.checked.root / "judged" / "2024-02-01.json").write_bytes(text.encode(errors="surrogateescape"))
    again = world.judge()
    assert len(world.judged) == 1
    (told,) = [result for result in merged(again) if not result.passed and result.name == NOTES_WHOLE]
    assert told.severity == "warn"
    assert "2024-02-01.json is damaged" in told.message
    assert [record.levelname for record in caplog.records if "2024-02-01.json is damaged" in record.message] == [
        "WARNING"
    ]
    assert merged(world.judge()) == merged(before)


def test_a_table_that_became_known_only_later_is_not_known(world: World) -> None:
    clean_at = world.now
    suspensions = world.market.suspensions(FIRST, LAST)
    world.raw.write_partitions("suspensions", split_by_month(suspensions), known_at=world.tick())
    blocks = judge_bars(world.raw, world.checked, world.judgement, as_of=clean_at, known_at=world.tick())
    by_name = {result.name: result for result in merged(blocks)}
    assert by_name["bars.gaps_are_suspensions"].severity == "not_applicable"
    assert by_name["bars.within_published_limits"].severity == "error"


def test_a_block_that_cannot_be_stored_is_no_outcome(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    real = judged.store_block

    def full(checked: Lake, months: tuple[str, ...], *rest: Any) -> tuple[str, ...]:
        if months == ("2024-03-01",):
            raise LakeError("the disk is full", "free some space")
        return real(checked, months, *rest)

    monkeypatch.setattr(judged, "store_block", full)
    with pytest.raises(LakeError, match="the disk is full"):
        world.judge()
    monkeypatch.setattr(judged, "store_block", real)
    world.judge()
    pd.testing.assert_frame_equal(world.checked.read("bars"), world.bars)


def test_bars_are_judged_as_they_were_known_at_an_instant(world: World) -> None:
    clean_at = world.now
    world.write(world.with_dirt([100], volume_shares=0.0))
    blocks = judge_bars(world.raw, world.checked, world.judgement, as_of=clean_at, known_at=world.tick())
    assert sum(block.quarantined_rows for block in blocks) == 0


def result(name: str, severity: Any, passed: bool, message: str, **measured: float | int | str) -> CheckResult:
    return CheckResult(name, passed, severity, measured, message)


def block(*results: CheckResult) -> JudgedBlock:
    return JudgedBlock(("2024-01-01",), results, 10, 0)


def test_merging_adds_counts_up_and_takes_the_worst_severity_and_its_message() -> None:
    blocks = [
        block(result("bars.a", "error", True, "holds", judged=10, bad=0)),
        block(result("bars.a", "quarantine", False, "one row", judged=20, bad=1)),
        block(result("bars.a", "error", False, "all rows", judged=30, bad=30, inside_frac=0.5)),
        block(result("bars.a", "not_applicable", True, "not applicable")),
    ]
    (one,) = merged(blocks)
    assert (one.passed, one.severity) == (False, "error")
    assert one.message == "all rows (and in 1 more blocks of months)"
    assert one.measured == {"judged": 60, "bad": 31, "inside_frac": 0.5}


def test_merging_prefers_a_block_in_which_the_check_was_judged() -> None:
    blocks = [
        block(result("bars.a", "not_applicable", True, "not applicable")),
        block(result("bars.a", "warn", True, "holds", judged=5, bad=0)),
    ]
    assert merged(blocks) == [result("bars.a", "warn", True, "holds", judged=5, bad=0)]
    assert merged(blocks[:1])[0].severity == "not_applicable"


def test_a_month_missing_between_others_blocks(world: World, tmp_path: Path) -> None:
    world.raw = Lake(tmp_path / "with a hole")
    world.write(world.bars[world.bars["session_date"].dt.month != 3])
    (missing,) = [result for result in merged(world.judge()) if result.blocks]
    assert missing.name == "bars.every_session_present"
    assert "load 2024-03 to 2024-03" in missing.repair


def test_months_before_the_first_that_was_loaded_are_not_missed(world: World, tmp_path: Path) -> None:
    world.raw = Lake(tmp_path / "the end alone")
    world.write(world.bars[world.bars["session_date"].dt.month >= 5])
    assert not any(result.blocks for result in merged(world.judge()))


def test_a_month_that_keeps_no_row_serves_none_of_its_old_ones(world: World) -> None:
    world.judge()
    may = (world.bars["session_date"].dt.month == 5).to_numpy()
    world.write(world.with_dirt(list(np.flatnonzero(may)), volume_shares=0.0))
    everything = {"max_session_frac": 1.0, "checks": tuple(quarantining(check) for check in judged.BAR_CHECKS)}
    world.judge(**everything)
    assert not (world.checked.read("bars")["session_date"].dt.month == 5).any()


def quarantining(check: Check) -> Check:
    """Return the check so that however many rows it finds, they go to quarantine."""
    return replace(check, severity="quarantine") if check.severity == "error" else check


@pytest.fixture
def jumped(world: World) -> tuple[World, str]:
    """A split on 16 January of which the factor knows nothing."""
    symbol = world.bars.groupby("symbol").size().idxmax()
    mine = (world.bars["symbol"] == symbol) & (world.bars["session_date"] >= "2024-01-16")
    bars = world.bars.copy()
    prices = ["open_cny", "high_cny", "low_cny", "close_cny", "pre_close_cny"]
    bars.loc[mine, prices] = (bars.loc[mine, prices] / 2).round(2)
    bars.loc[mine, "volume_shares"] = (bars.loc[mine, "amount_cny"] / bars.loc[mine, "close_cny"]).round()
    world.write(bars)
    limits = world.market.price_limits(FIRST, LAST)
    halved = (limits["symbol"] == symbol) & (limits["session_date"] >= "2024-01-16")
    limits.loc[halved, ["limit_up_cny", "limit_down_cny"]] *= 0.5
    limits["limit_up_cny"], limits["limit_down_cny"] = limits["limit_up_cny"] + 0.01, limits["limit_down_cny"] - 0.01
    world.raw.write_partitions("price_limits", split_by_month(limits), known_at=world.tick())
    return world, str(symbol)


def test_every_row_after_an_unexplained_jump_is_out_in_later_blocks_too(jumped: tuple[World, str]) -> None:
    world, symbol = jumped
    blocks = world.judge()
    kept = world.checked.read("bars")
    assert kept.loc[kept["symbol"] == symbol, "session_date"].max() < pd.Timestamp("2024-01-16")
    assert [block.open_jumps for block in blocks] == [(symbol,)] * len(MONTHS)
    assert set(kept["symbol"]) == set(world.bars["symbol"])


def test_a_released_jump_lets_the_rows_it_spoiled_pass_in_every_block(jumped: tuple[World, str]) -> None:
    world, symbol = jumped
    world.judge()
    held = world.checked.read("quarantine")
    mine = held[(held["symbol"] == symbol) & (held["check"] == JUMPS)].nsmallest(1, "session_date")
    made = release(mine, reason="a split that was traded", released_by="data desk", at=world.tick())
    blocks = world.judge(releases=made)
    assert [block.open_jumps for block in blocks] == [()] * len(MONTHS)
    kept = world.checked.read("bars")
    assert (kept["symbol"] == symbol).sum() == (world.bars["symbol"] == symbol).sum()


def test_a_factor_that_is_mended_closes_the_jump(jumped: tuple[World, str]) -> None:
    world, _ = jumped
    world.judge()
    world.write(world.bars)
    limits = split_by_month(world.market.price_limits(FIRST, LAST))
    world.raw.write_partitions("price_limits", limits, known_at=world.tick())
    blocks = world.judge()
    assert [block.open_jumps for block in blocks] == [()] * len(MONTHS)
    pd.testing.assert_frame_equal(world.checked.read("bars"), world.bars)


def test_a_checked_month_that_is_gone_is_judged_again(world: World) -> None:
    world.judge()
    shutil.rmtree(world.checked.partition_folder("bars", "2024-03-01"))
    world.judge()
    assert len(world.judged) == 1
    pd.testing.assert_frame_equal(world.checked.read("bars"), world.bars)


@pytest.mark.parametrize("lost", ["quarantine", "quality_scores", "breaches"])
@pytest.mark.parametrize("months", [["2024-01-01"], MONTHS])
def test_what_was_said_of_a_block_and_is_gone_is_said_again(world: World, lost: str, months: list[str]) -> None:
    world.write(world.with_dirt([100], volume_shares=0.0))
    world.judge()
    before = world.checked.read(lost)
    for month in months:
        shutil.rmtree(world.checked.partition_folder(lost, month))
    world.judge()
    assert len(world.judged) == len(months)
    said = [name for name in before.columns if name != "quarantined_at"]
    pd.testing.assert_frame_equal(world.checked.read(lost)[said], before[said])


def test_a_file_that_both_lakes_hold_is_mended_by_deleting_both_folders_and_loading_again(world: World) -> None:
    world.judge()
    shared = world.checked.current("bars")[2].paths[0]
    shared.write_bytes(b"not what was written")
    with pytest.raises(LakeError, match="same file under another name") as told:
        world.checked.read("bars")
    folders = told.value.remedy.partition("delete the folders ")[2].partition(" and load")[0].split(", ")
    assert {Path(folder).parent.name for folder in folders} == {"bars", "raw_bars"}
    for folder in folders:
        shutil.rmtree(folder)
    world.write(world.bars)
    world.judge()
    pd.testing.assert_frame_equal(world.checked.read("bars"), world.bars)
    pd.testing.assert_frame_equal(world.raw.read("raw_bars"), world.bars)


@pytest.mark.parametrize("day", ["2024-03-16", "2024-03-30", "2024-06-01"], ids=["within", "last", "first"])
def test_a_row_beside_the_sessions_is_taken_out_wherever_in_its_block_it_stands(world: World, day: str) -> None:
    of_month = world.bars[world.bars["session_date"].dt.month == int(day[5:7])]
    world.write(pd.concat([world.bars, of_month.tail(1).assign(session_date=pd.Timestamp(day))]))
    found = {result.name: result for result in merged(world.judge())}["bars.on_known_sessions"]
    assert (found.passed, found.severity) == (False, "quarantine")
    assert day in found.message
    pd.testing.assert_frame_equal(world.checked.read("bars"), world.bars)


@pytest.mark.parametrize(("factor", "accused"), [(2.0, False), (1.0, True)])
def test_an_ex_date_within_a_halt_that_ends_in_a_later_block_is_explained_by_the_factor_alone(
    world: World, factor: float, accused: bool
) -> None:
    bars = world.bars
    symbol = bars.loc[bars.groupby("symbol")["session_date"].transform("size") > 110, "symbol"].iloc[0]
    mine, days = bars["symbol"] == symbol, bars["session_date"]
    after = mine & (days >= "2024-04-15")
    prices = ["open_cny", "high_cny", "low_cny", "close_cny", "pre_close_cny"]
    bars.loc[after, prices] = (bars.loc[after, prices] / 2).round(2)
    bars.loc[after, ["volume_shares", "adj_factor"]] *= [2.0, factor]
    halted = mine & days.between("2024-03-20", "2024-04-14")
    world.write(bars[~halted].reset_index(drop=True))
    paid = pd.DataFrame(
        {
            "symbol": [symbol],
            "ex_date": pd.to_datetime(["2024-03-25"]),
            "cash_cny_per_share": [0.0],
            "bonus_shares_per_share": [1.0],
        }
    )
    world.raw.write("corporate_actions", paid, partition="2024-03-01", known_at=world.tick())
    blocks = world.judge()
    by_name = {result.name: result for block in blocks for result in block.results if block.months == ("2024-04-01",)}
    assert by_name[JUMPS].passed is not accused
    assert all(result.passed for block in blocks for result in block.results if result.name == "bars.actions_in_factor")
