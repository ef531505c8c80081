"""``ljwx data ...``: what people read and what programs read say the same."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from ljwx_pipeline.config import load_settings, market_home
from ljwx_pipeline.data_commands import add_data_commands
from ljwx_pipeline.dataset_commands import instant_of
from ljwx_pipeline.errors import ConfigError, LakeError
from ljwx_pipeline.known_markets import record_market
from ljwx_pipeline.lake import Catalogue, Lake, split_by_month
from ljwx_pipeline.lake.catalogue import ReferenceKind
from ljwx_pipeline.lake.reads import ReadsJournal
from tests.fakes.bars import random_bars

ROOT = Path(__file__).resolve().parent.parent
MONDAY = datetime(2024, 1, 1, tzinfo=UTC)
TUESDAY = MONDAY + timedelta(days=1)
BARS = random_bars(symbols=3, sessions=40)
Ljwx = Callable[..., Any]


@pytest.fixture
def lake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lake:
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("LJWX_HOME", str(tmp_path / "home"))
    return Lake(market_home(load_settings(profile="simulated")) / "lake")


@pytest.fixture
def full(lake: Lake) -> Lake:
    lake.write_partitions("bars", split_by_month(BARS), known_at=MONDAY)
    ReadsJournal(lake).record_versions("features", "run-1", lake.current("bars"))
    restated = BARS.copy()
    restated.loc[3, "close_cny"] = 1.5
    lake.write_partitions("bars", split_by_month(restated), known_at=TUESDAY)
    return lake


@pytest.fixture
def ljwx(lake: Lake, capsys: pytest.CaptureFixture[str]) -> Ljwx:
    parser = argparse.ArgumentParser()
    add_data_commands(parser.add_subparsers(required=True))

    def call(*words: str) -> Any:
        arguments = parser.parse_args(["data", *words, "--profile", "simulated"])
        assert arguments.handler(arguments) == 0
        out = capsys.readouterr().out
        return json.loads(out) if "--json" in words else out

    return call


def test_an_empty_lake_says_so(ljwx: Ljwx) -> None:
    assert "holds no table yet" in ljwx("tables")
    assert "no dataset yet" in ljwx("list")
    assert ljwx("tables", "--json") == {"tables": []}


def test_an_empty_market_names_itself_and_those_beside_it_that_hold_tables(
    lake: Lake, ljwx: Ljwx, tmp_path: Path
) -> None:
    options = {"simulated.seed": 11, "label.horizon_sessions": 3}
    other = load_settings(profile="simulated", overrides=options)
    Lake(market_home(other) / "lake").write_partitions("bars", split_by_month(BARS), known_at=MONDAY)
    record_market(other, options)
    old = tmp_path / "home" / "markets" / "folder-0badcafe"
    Lake(old / "lake").write_partitions("bars", split_by_month(BARS), known_at=MONDAY)
    (tmp_path / "home" / "markets" / "simulated-00000000" / "lake").mkdir(parents=True)
    first, *others = ljwx("tables").splitlines()
    assert first == f"the lake holds no table yet: market {lake.root.parent.name}"
    told = {line.split()[0]: line for line in others if line.startswith("  ")}
    assert set(told) == {market_home(other).name, old.name}
    assert told[market_home(other).name].endswith("ljwx data tables --seed 11"), "without what chooses no market"
    assert told[old.name].endswith("its options were not recorded")


def test_nothing_is_made_or_claimed_where_nothing_was_loaded(lake: Lake, ljwx: Ljwx) -> None:
    assert ljwx("compact") == ljwx("tables")
    assert "holds no table yet" in ljwx("diff", "2020-01-01", "now")
    assert "would remove 0 versions" in ljwx("retain", "--keep-days", "30")
    assert ljwx("retain", "--keep-days", "30", "--yes", "--json")["files"] == []
    assert not lake.root.parent.exists()


@pytest.mark.parametrize(
    "words",
    [
        ("compact", "--table", "bar"),
        ("create", "spring", "--tables", "bars", "bar"),
        ("history", "bar", "--symbol", "S00001.SIM", "--session", "2018-01-02"),
        ("diff", "2020-01-01", "now", "--table", "bar"),
    ],
)
def test_a_table_that_is_not_there_is_told_with_those_that_are(full: Lake, ljwx: Ljwx, words: tuple[str, ...]) -> None:
    with pytest.raises(LakeError, match=r"table bar\b.*choose one of: bars$"):
        ljwx(*words)
    assert ljwx("list", "--json") == {"datasets": []}


def test_tables_tell_their_extent(full: Lake, ljwx: Ljwx) -> None:
    (entry,) = ljwx("tables", "--json")["tables"]
    assert (entry["partitions"], entry["versions"], entry["rows"]) == (3, 4, len(BARS))
    assert entry["first_session"] == BARS["session_date"].min().date().isoformat()
    assert entry["last_session"] == BARS["session_date"].max().date().isoformat()
    assert entry["last_known_at"] == "2024-01-02T00:00:00+00:00"
    assert entry["size_bytes"] == sum(path.stat().st_size for path in full.root.rglob("*.parquet"))
    assert "KiB" in ljwx("tables")


def test_the_lake_of_judged_rows_is_shown_when_asked_for(full: Lake, ljwx: Ljwx) -> None:
    judged = Lake(full.root.parent / "checked")
    judged.write("bars", BARS.iloc[:5], partition="2018-01-01", known_at=MONDAY)
    (entry,) = ljwx("tables", "--checked", "--json")["tables"]
    assert entry["rows"] == 5
    assert ljwx("tables", "--json")["tables"][0]["rows"] == len(BARS)


@pytest.mark.parametrize("kind", ["model", "run", "report"])
def test_what_is_gone_for_good_is_taken_off_a_dataset_by_its_name(full: Lake, ljwx: Ljwx, kind: ReferenceKind) -> None:
    Catalogue(full).create("spring")
    Catalogue(full).add_reference("spring", kind, "m/1")
    Catalogue(full).add_reference("spring", "model", "m/2")
    with pytest.raises(
        LakeError, match=rf"dataset spring has no reference {kind} m/9: choose one of: {kind} m/1, model"
    ):
        ljwx("unreference", "spring", f"--{kind}", "m/9")
    with pytest.raises(LakeError, match=r"there is no dataset autumn: choose one of: spring"):
        ljwx("unreference", "autumn", f"--{kind}", "m/1")
    left = ljwx("unreference", "spring", f"--{kind}", "m/1", "--json")["references"]
    assert [(item["kind"], item["id"]) for item in left] == [("model", "m/2")]
    ljwx("unreference", "spring", "--model", "m/2")
    assert "is gone" in ljwx("delete", "spring")


def test_a_reference_is_taken_off_by_one_name_at_a_time(full: Lake, ljwx: Ljwx) -> None:
    Catalogue(full).create("spring")
    for words in ((), ("--model", "m/1", "--run", "r1")):
        with pytest.raises(SystemExit):
            ljwx("unreference", "spring", *words)


def test_a_dataset_is_made_listed_shown_tagged_and_deleted(full: Lake, ljwx: Ljwx) -> None:
    made = ljwx("create", "spring", "--tables", "bars", "--as-of", "2024-01-01T08:00", "--description", "why", "--json")
    assert made["tables"]["bars"]["2018-01-01"]["version"] == 1
    assert "spring" in ljwx("list")
    assert "why" in ljwx("show", "spring")
    assert ljwx("tag", "spring", "blessed", "--json")["tags"] == ["blessed"]
    Catalogue(full).add_reference("spring", "model", "m1")
    heading = ljwx("show", "spring").split("\n\n")[0].splitlines()
    assert heading[-1] == "used by     model m1"
    assert all(line[11] == " " and line[12] != " " for line in heading)  # one column of values
    with pytest.raises(LakeError, match="model m1"):
        ljwx("delete", "spring")
    ljwx("unreference", "spring", "--model", "m1")
    assert "is gone" in ljwx("delete", "spring")
    assert ljwx("list", "--json") == {"datasets": []}


def test_many_tables_of_a_dataset_are_counted_where_datasets_are_listed(full: Lake, ljwx: Ljwx) -> None:
    for number in range(12):
        full.write(f"table_{number}", BARS.head(1), known_at=TUESDAY)
    ljwx("create", "whole")
    ljwx("create", "few", "--tables", "bars", "table_1")
    text = ljwx("list")
    assert f"{len(full.tables())} (see `ljwx data show`)" in text
    assert "bars, table_1" in text
    assert max(map(len, text.splitlines())) < 120


def test_a_difference_names_columns_and_readers(full: Lake, ljwx: Ljwx) -> None:
    ljwx("create", "spring", "--as-of", MONDAY.isoformat())
    text = ljwx("diff", "spring", "now")
    assert f"close_cny {BARS['close_cny'][3]} -> 1.5" in text
    assert "read by: features (run run-1" in text
    (table,) = ljwx("diff", MONDAY.isoformat(), "now", "--table", "bars", "--json")["tables"]
    assert (table["changed"], table["changed_by_column"]) == (1, {"close_cny": 1})
    assert table["readers"][0]["run_id"] == "run-1"
    assert "the same" in ljwx("diff", "spring", "spring")
    with pytest.raises(LakeError, match="no dataset and no instant"):
        ljwx("diff", "spring", "yesterdayish")
    with pytest.raises(LakeError, match="has a table nosuch"):
        ljwx("diff", "spring", "now", "--table", "nosuch")


def test_a_table_of_one_side_only_is_named(full: Lake, ljwx: Ljwx) -> None:
    full.write("index_bars", BARS.rename(columns={"symbol": "index_code"}), known_at=TUESDAY)
    assert ljwx("diff", MONDAY.isoformat(), "now", "--json")["only_in"] == {"index_bars": "now"}
    assert "index_bars: only in now" in ljwx("diff", MONDAY.isoformat(), "now")


def test_a_row_tells_its_story(full: Lake, ljwx: Ljwx) -> None:
    words = ["history", "bars", "--symbol", BARS["symbol"][3], "--session", str(BARS["session_date"][3].date())]
    told = ljwx(*words, "--json")["versions"]
    assert [(entry["version"], entry["rows"][0]["close_cny"]) for entry in told] == [
        (1, BARS["close_cny"][3]),
        (2, 1.5),
    ]
    text = ljwx(*words)
    assert f"close_cny {BARS['close_cny'][3]} -> 1.5" in text
    assert "known at 2024-01-02T00:00:00 UTC, version 2" in text
    with pytest.raises(ConfigError, match="is no date"):
        ljwx("history", "bars", "--symbol", "x", "--session", "soon")


def test_retention_removes_nothing_without_yes(full: Lake, ljwx: Ljwx) -> None:
    before = sorted(full.root.rglob("*.parquet"))
    for words in (["retain", "--keep-days", "1"], ["retain", "--keep-days", "1", "--dry-run"]):
        assert "would remove 1 versions" in ljwx(*words)
        assert sorted(full.root.rglob("*.parquet")) == before
    assert ljwx("retain", "--keep-days", "1", "--yes", "--json")["versions"][0]["version"] == 1
    assert len(list(full.root.rglob("*.parquet"))) == len(before) - 1


def test_what_retention_removed_is_refused_and_not_taken_for_never_known(full: Lake, ljwx: Ljwx) -> None:
    full.write("calendar", BARS[["session_date"]].head(1), known_at=MONDAY)
    full.write("calendar", BARS[["session_date"]].head(2), known_at=TUESDAY)
    ljwx("retain", "--keep-days", "1", "--yes")
    with pytest.raises(LakeError, match="which retention removed"):
        ljwx("diff", MONDAY.isoformat(), "now", "--table", "calendar")


def test_appended_files_are_compacted(full: Lake, ljwx: Ljwx) -> None:
    later = BARS[BARS["session_date"] == BARS["session_date"].max()]
    later = later.assign(symbol=["T" + symbol[1:] for symbol in later["symbol"]])
    full.append("bars", later, partition="2018-02-01", known_at=TUESDAY + timedelta(days=1))
    assert "2 -> 1" in ljwx("compact")
    assert ljwx("compact", "--table", "bars", "--json") == {"compacted": []}
    assert "one file already" in ljwx("compact")


def test_an_instant_without_a_zone_is_shanghai_and_a_date_means_its_end() -> None:
    assert instant_of("2024-01-31T08:00").astimezone(UTC) == datetime(2024, 1, 31, tzinfo=UTC)
    assert instant_of("2024-01-31").astimezone(UTC) == datetime(2024, 1, 31, 15, 59, 59, 999999, tzinfo=UTC)
    assert instant_of("2024-01-31T08:00+00:00") == datetime(2024, 1, 31, 8, tzinfo=UTC)
    assert instant_of("20240131") == instant_of("2024-W05-3") == instant_of("2024-01-31")


@pytest.mark.parametrize("text", ["2024-02-31", "9999-12-31", "0001-01-01T00:00", "yesterday"])
def test_what_is_no_instant_is_refused(text: str) -> None:
    with pytest.raises(LakeError, match="no instant"):
        instant_of(text)


def test_nothing_is_pinned_as_of_the_future(full: Lake, ljwx: Ljwx) -> None:
    with pytest.raises(LakeError, match=r"as_of 2999-01-01T15:59:59\+00:00 is in the future, it is 20"):
        ljwx("create", "later", "--as-of", "2999-01-01")
    assert ljwx("list", "--json") == {"datasets": []}


@pytest.mark.parametrize("days", ["1e9", "inf", "nan", "-1"])
def test_days_to_keep_are_a_number_of_days(full: Lake, ljwx: Ljwx, days: str) -> None:
    with pytest.raises(LakeError, match="give a number of days"):
        ljwx("retain", "--keep-days", days)
