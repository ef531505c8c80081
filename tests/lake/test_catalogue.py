"""Datasets pin versions for good; what was made from them keeps them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd
import pytest

from ljwx_pipeline.clock import utc_now
from ljwx_pipeline.errors import LakeError
from ljwx_pipeline.lake import Catalogue, Lake
from ljwx_pipeline.lake.retention import retain
from ljwx_pipeline.lake.store import read_versions

MONDAY = datetime(2024, 1, 1, tzinfo=UTC)
TUESDAY = MONDAY + timedelta(days=1)
FRIDAY = MONDAY + timedelta(days=4)


def frame(*values: float) -> pd.DataFrame:
    return pd.DataFrame({"symbol": [f"S{i:05d}.SIM" for i in range(len(values))], "price_cny": list(values)})


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    lake = Lake(tmp_path / "lake")
    lake.write("prices", frame(1.0), partition="a", known_at=MONDAY)
    lake.write("prices", frame(5.0), partition="b", known_at=MONDAY)
    lake.write("names", frame(0.0), known_at=MONDAY)
    lake.write("prices", frame(2.0, 3.0), partition="a", known_at=TUESDAY)
    return lake


@pytest.fixture
def catalogue(lake: Lake) -> Catalogue:
    return Catalogue(lake)


def test_a_dataset_reads_what_it_pinned_whatever_comes_after(lake: Lake, catalogue: Catalogue) -> None:
    made = catalogue.create("spring", ["prices"], MONDAY, description="the first try", tags=["x"])
    lake.write("prices", frame(9.0), partition="a", known_at=FRIDAY)
    assert catalogue.read("spring", "prices")["price_cny"].tolist() == [1.0, 5.0]
    assert catalogue.read("spring", "prices", columns=["price_cny"]).columns.tolist() == ["price_cny"]
    assert catalogue.show("spring") == made
    assert made.table_hash("prices") == lake.content_hash("prices", as_of=MONDAY)
    assert [item.name for item in catalogue.list()] == ["spring"]


def test_every_table_is_pinned_when_none_is_named(catalogue: Catalogue) -> None:
    assert set(catalogue.create("all").tables) == {"prices", "names"}


def test_a_table_that_came_later_is_left_out_of_a_dataset_of_everything(lake: Lake, catalogue: Catalogue) -> None:
    lake.write("news", frame(1.0), known_at=FRIDAY)
    assert set(catalogue.create("then", as_of=TUESDAY).tables) == {"prices", "names"}
    with pytest.raises(LakeError, match="hold no table"):
        catalogue.create("before", as_of=MONDAY - timedelta(days=1))


def test_what_retention_removed_is_not_left_out_but_refused(lake: Lake, catalogue: Catalogue) -> None:
    retain(lake, keep_days=0, dry_run=False, now=FRIDAY)
    with pytest.raises(LakeError, match="which retention removed"):
        catalogue.create("then", as_of=MONDAY)


def test_a_name_is_used_once_and_cannot_leave_the_catalogue(catalogue: Catalogue) -> None:
    catalogue.create("spring")
    with pytest.raises(LakeError, match="exists already"):
        catalogue.create("spring")
    with pytest.raises(LakeError, match="is refused"):
        catalogue.create("../spring")
    with pytest.raises(LakeError, match="no dataset autumn: choose one of: spring"):
        catalogue.show("autumn")


def test_what_was_not_known_yet_cannot_be_pinned(catalogue: Catalogue) -> None:
    with pytest.raises(LakeError, match="was known at"):
        catalogue.create("early", ["prices"], MONDAY - timedelta(days=1))
    with pytest.raises(LakeError, match="nosuch"):
        catalogue.create("early", ["nosuch"])
    assert list(catalogue.list()) == []
    with pytest.raises(LakeError, match="hold no table"):
        catalogue.create("none", [])


def test_what_will_be_known_cannot_be_pinned(catalogue: Catalogue) -> None:
    with pytest.raises(LakeError, match=r"as_of .* is in the future, .* now: .*name an instant up to now"):
        catalogue.create("soon", ["prices"], utc_now() + timedelta(minutes=1))
    assert catalogue.list() == []


def test_two_datasets_are_compared_partition_by_partition(lake: Lake, catalogue: Catalogue) -> None:
    catalogue.create("one", ["prices"], MONDAY)
    lake.write("prices", frame(7.0), partition="c", known_at=FRIDAY)
    catalogue.create("two", ["prices", "names"])
    compared = catalogue.diff("one", "two")
    assert (compared["prices"].same, compared["prices"].changed) == (("b",), ("a",))
    assert (compared["prices"].only_first, compared["prices"].only_second) == ((), ("c",))
    assert compared["names"].only_second == ("all",)


def test_tags_and_references_change_and_the_pin_does_not(catalogue: Catalogue) -> None:
    made = catalogue.create("spring")
    catalogue.tag("spring", "blessed")
    catalogue.tag("spring", "blessed")
    catalogue.add_reference("spring", "run", "r1")
    catalogue.add_reference("spring", "run", "r1")
    shown = catalogue.show("spring")
    assert shown.tags == ("blessed",)
    assert [(item.kind, item.id) for item in shown.references] == [("run", "r1")]
    assert (shown.tables, shown.content_hash) == (made.tables, made.content_hash)
    with pytest.raises(LakeError, match="kind 'letter' is unknown"):
        catalogue.add_reference("spring", "letter", "x")  # type: ignore[arg-type]
    with pytest.raises(LakeError, match="is empty"):
        catalogue.tag("spring", " ")


def test_a_dataset_stays_while_a_run_or_a_model_was_made_from_it(catalogue: Catalogue) -> None:
    catalogue.create("spring")
    catalogue.add_reference("spring", "model", "m7")
    catalogue.add_reference("spring", "report", "p1")
    with pytest.raises(LakeError, match="what model m7 was made from"):
        catalogue.delete("spring")
    with pytest.raises(LakeError, match="no reference run m7"):
        catalogue.remove_reference("spring", "run", "m7")
    catalogue.remove_reference("spring", "model", "m7")
    assert catalogue.delete("spring").name == "spring"
    assert list(catalogue.list()) == []


def test_an_edited_dataset_is_noticed(lake: Lake, catalogue: Catalogue) -> None:
    catalogue.create("spring")
    path = lake.root / ".catalogue" / "spring.json"
    path.write_text(path.read_text().replace('"version": 2', '"version": 1'))
    with pytest.raises(LakeError, match=r"spring\.json is damaged: its checksum"):
        catalogue.show("spring")


def test_a_dataset_whose_version_is_gone_says_so(lake: Lake, catalogue: Catalogue, tmp_path: Path) -> None:
    catalogue.create("spring", ["names"])
    for path in (lake.root / "names" / "all").iterdir():
        path.unlink()
    lake.write("names", frame(8.0), known_at=FRIDAY)
    with pytest.raises(LakeError, match="which the lake does not hold"):
        catalogue.read("spring", "names")
    with pytest.raises(LakeError, match="has no table prices"):
        catalogue.read("spring", "prices")


def test_retention_keeps_the_newest_the_recent_and_the_pinned(lake: Lake, catalogue: Catalogue) -> None:
    lake.write("prices", frame(4.0), partition="a", known_at=FRIDAY)
    catalogue.create("spring", ["prices"], MONDAY)
    now = FRIDAY + timedelta(days=10)
    kept = retain(lake, keep_days=30, dry_run=False, now=now)
    assert (kept.versions, kept.files) == ((), ())
    removed = retain(lake, keep_days=9, dry_run=False, now=now)
    assert [entry[:3] for entry in removed.versions] == [("prices", "a", 2)]
    assert removed.kept_for_datasets == 1
    assert catalogue.read("spring", "prices")["price_cny"].tolist() == [1.0, 5.0]
    assert lake.read("prices")["price_cny"].tolist() == [4.0, 5.0]
    assert lake.read("prices", as_of=MONDAY)["price_cny"].tolist() == [1.0, 5.0]


def test_an_instant_whose_version_was_removed_is_refused_never_answered_with_another(lake: Lake) -> None:
    retain(lake, keep_days=1, dry_run=False, now=FRIDAY)
    with pytest.raises(LakeError, match="version 1, which retention removed"):
        lake.read("prices", as_of=MONDAY)
    assert lake.read("prices", as_of=TUESDAY)["price_cny"].tolist() == [2.0, 3.0, 5.0]
    assert lake.write("prices", frame(6.0), partition="a", known_at=FRIDAY).version == 3


def test_a_reader_whose_version_is_removed_meanwhile_is_told(lake: Lake, catalogue: Catalogue) -> None:
    seen = lake.current("prices", as_of=MONDAY)
    retain(lake, keep_days=0, dry_run=False, now=FRIDAY)
    with pytest.raises(LakeError, match="version 1 of prices/a was removed by retention"):
        read_versions(seen)


def test_a_dry_run_says_the_same_and_touches_nothing(lake: Lake) -> None:
    before = sorted(lake.root.rglob("v*"))
    said = retain(lake, keep_days=0, now=FRIDAY)
    assert said.dry_run
    assert said.size_bytes == sum((lake.root / name).stat().st_size for name in said.files) > 0
    assert sorted(lake.root.rglob("v*")) == before
    done = retain(lake, keep_days=0, dry_run=False, now=FRIDAY)
    assert (done.versions, done.files) == (said.versions, said.files)
    assert retain(lake, keep_days=0, dry_run=False, now=FRIDAY).files == ()


def test_files_that_newer_versions_still_list_stay(lake: Lake) -> None:
    for number in range(4):
        rows = pd.DataFrame({"id": [number]})
        lake.append("grown", rows, known_at=MONDAY + timedelta(days=number), keys=["id"])
    removed = retain(lake, keep_days=0, dry_run=False, now=FRIDAY + timedelta(days=30))
    assert len([entry for entry in removed.versions if entry[0] == "grown"]) == 3
    assert lake.read("grown")["id"].tolist() == [0, 1, 2, 3]


def test_a_negative_number_of_days_is_refused(lake: Lake) -> None:
    for days in (-1, float("nan")):
        with pytest.raises(LakeError, match="keep_days"):
            retain(lake, keep_days=days)
