"""A model is flagged when rows it was made from are told otherwise, whichever table they are in and whatever failed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd
import pytest

from assets import restatements
from assets.io_managers import write_json
from assets.lineage import DOCUMENT
from assets.restatements import flag_models, flagging, pin_dataset, restatement_of
from ljwx_pipeline.errors import RegistryError, SourceError
from ljwx_pipeline.lake import Catalogue, Lake
from ljwx_pipeline.registry import ModelVersion
from tests.fakes.bars import random_bars

NOW = datetime(2024, 3, 1, 10, tzinfo=UTC)


class Registry:
    """Holds versions and their tags; down when told to be."""

    def __init__(self) -> None:
        self.held: list[ModelVersion] = []
        self.tags: list[tuple[str, str, str, str]] = []
        self.down = False

    def version_of(self, name: str, bundle_hash: str) -> ModelVersion | None:
        self._answer()
        return next((one for one in self.held if (one.name, one.bundle_hash) == (name, bundle_hash)), None)

    def version_tags(self, version: ModelVersion) -> dict[str, str]:
        self._answer()
        return {
            tag: value for name, number, tag, value in self.tags if (name, number) == (version.name, version.version)
        }

    def tag_version(self, name: str, version: str, tag: str, value: str) -> None:
        self._answer()
        self.tags.append((name, version, tag, value))

    def _answer(self) -> None:
        if self.down:
            raise RegistryError("MLflow cannot be reached", "start it")


class Line:
    """The part of a line that flagging needs."""

    def __init__(self, home: Path) -> None:
        self.home, self.tables, self._registry = home, home / "tables", Registry()

    def lake(self) -> Lake:
        return Lake(self.home / "lake")

    def registry(self) -> Registry:
        return self._registry


@pytest.fixture
def bars() -> pd.DataFrame:
    return random_bars(symbols=4, sessions=20, suspended_frac=0.0)


@pytest.fixture
def spells() -> pd.DataFrame:
    starts = pd.to_datetime(["2018-01-02", "2019-01-02"])
    ends = pd.to_datetime(["2018-06-01", None])
    return pd.DataFrame({"symbol": ["S00001.SIM", "S00002.SIM"], "start_date": starts, "end_date": ends})


@pytest.fixture
def line(tmp_path: Path, bars: pd.DataFrame, spells: pd.DataFrame) -> Line:
    made = Line(tmp_path)
    store(made, "raw_bars", bars, "2018-01-01")
    store(made, "st_spells", spells)
    write_json(made.tables, DOCUMENT, {"known_at": NOW.isoformat()})
    pin(made, "7", "a")
    return made


def pin(line: Line, number: str, digit: str) -> ModelVersion:
    """Register a bundle under a number and pin what it was made from."""
    version = ModelVersion("model", number, "run", digit * 64)
    line.registry().held.append(version)
    pin_dataset(line, version, "run")
    return version


def store(line: Line, table: str, rows: pd.DataFrame, partition: str = "all", *, hours: int = 0) -> None:
    line.lake().write(table, rows, partition=partition, known_at=NOW + timedelta(hours=hours))


def tripled(bars: pd.DataFrame, rows: int) -> pd.DataFrame:
    changed = bars.copy()
    changed.loc[changed.index[:rows], "volume_shares"] *= 3
    return changed


def test_a_changed_bar_is_flagged_once(line: Line, bars: pd.DataFrame) -> None:
    store(line, "raw_bars", tripled(bars, 2), "2018-01-01", hours=1)
    (sentence,) = flag_models(line)
    assert sentence.endswith("was made from data that were changed since: 2 rows of 2018-01 restated in raw_bars")
    ((name, version, tag, value),) = line.registry().tags
    assert (name, version, tag) == ("model", "7", "data_restated")
    assert value.startswith("2 rows of 2018-01 restated in raw_bars, noticed ")
    assert flag_models(line) == []
    assert len(line.registry().tags) == 1


@pytest.mark.parametrize("damage", ["{", "[]", '{"compared": 3}', '{"compared": {"x": "y"}}'])
def test_a_damaged_memory_is_told_and_compared_once_more(
    line: Line, bars: pd.DataFrame, caplog: pytest.LogCaptureFixture, damage: str
) -> None:
    store(line, "raw_bars", tripled(bars, 2), "2018-01-01", hours=1)
    flag_models(line)
    memory = line.home / "ingest" / "restatements.json"
    whole = memory.read_text()
    memory.write_text(damage)
    assert flag_models(line) == []
    assert memory.read_text() == whole
    assert memory.with_name("restatements.json.damaged").read_text() == damage
    assert "restatements.json is damaged" in caplog.text
    assert "compared with the lake once more" in caplog.text


def test_a_flag_that_the_registry_lost_is_set_again(line: Line, bars: pd.DataFrame) -> None:
    store(line, "raw_bars", tripled(bars, 2), "2018-01-01", hours=1)
    flag_models(line)
    line.registry().tags.clear()  # MLflow's database restored from a backup
    (sentence,) = flag_models(line)
    assert "2 rows of 2018-01 restated in raw_bars" in sentence
    assert len(line.registry().tags) == 1


def test_a_bundle_under_a_number_that_was_another_one_s_has_a_pin_of_its_own(line: Line, bars: pd.DataFrame) -> None:
    store(line, "raw_bars", tripled(bars, 2), "2018-01-01", hours=1)
    line.registry().held.clear()  # MLflow's database made anew: numbers begin again
    write_json(line.tables, DOCUMENT, {"known_at": (NOW + timedelta(hours=2)).isoformat()})
    again = pin(line, "7", "b")
    assert flag_models(line) == [], "it was made from the mended rows, and the registry holds no other"
    store(line, "raw_bars", tripled(bars, 4), "2018-01-01", hours=3)
    (sentence,) = flag_models(line)
    assert "model version 7 was made from data that were changed since: 2 rows" in sentence
    assert restatement_of(line, "model", again.bundle_hash).startswith("2 rows of 2018-01 restated")
    assert restatement_of(line, "model", "a" * 64).startswith("4 rows of 2018-01 restated"), "the lake knows it still"
    assert restatement_of(line, "model", "c" * 64) == ""


def test_a_tag_tells_of_what_the_lake_no_longer_pins(line: Line) -> None:
    version = ModelVersion("model", "8", "run", "d" * 64)
    line.registry().held.append(version)
    line.registry().tag_version("model", "8", "data_restated", "3 rows, noticed 2024-01-02")
    assert restatement_of(line, "model", version.bundle_hash) == "3 rows, noticed 2024-01-02"


def test_a_second_restatement_renews_the_tag(line: Line, bars: pd.DataFrame, spells: pd.DataFrame) -> None:
    store(line, "raw_bars", tripled(bars, 2), "2018-01-01", hours=1)
    flag_models(line)
    store(line, "st_spells", spells.iloc[1:], hours=2)
    flag_models(line)
    assert "restated in raw_bars; 1 rows restated in st_spells" in line.registry().tags[-1][3]


def test_new_rows_are_no_restatement(line: Line, bars: pd.DataFrame, spells: pd.DataFrame) -> None:
    later = bars.assign(session_date=bars["session_date"] + pd.Timedelta(days=40))
    store(line, "raw_bars", pd.concat([bars, later]), "2018-01-01", hours=1)
    store(line, "raw_bars", later, "2018-02-01", hours=1)
    store(line, "st_spells", pd.concat([spells, spells.assign(symbol="S00003.SIM").iloc[1:]]), hours=1)
    assert flag_models(line) == []


@pytest.mark.parametrize(("end", "flagged"), [("2024-03-01", 0), ("2024-02-28", 1)])
def test_an_open_spell_may_end_after_what_was_known_but_not_before(
    line: Line, spells: pd.DataFrame, end: str, flagged: int
) -> None:
    store(line, "st_spells", spells.assign(end_date=pd.to_datetime(["2018-06-01", end])), hours=30)
    assert len(flag_models(line)) == flagged


def test_a_month_that_lost_its_rows_is_restated(line: Line, bars: pd.DataFrame) -> None:
    store(line, "raw_bars", bars.iloc[:0], "2018-01-01", hours=1)
    (sentence,) = flag_models(line)
    assert f"{len(bars)} rows of 2018-01 restated" in sentence


def test_what_was_stored_before_the_ingest_failed_is_flagged(line: Line, bars: pd.DataFrame) -> None:
    with pytest.raises(SourceError, match="gives no bar"), flagging(line) as said:  # noqa: PT012
        store(line, "raw_bars", tripled(bars, 1), "2018-01-01", hours=1)
        raise SourceError("the source gives no bar", "run again later")
    assert len(said) == len(line.registry().tags) == 1


def test_a_registry_that_was_down_is_told_by_the_next_ingest(line: Line, bars: pd.DataFrame) -> None:
    store(line, "raw_bars", tripled(bars, 1), "2018-01-01", hours=1)
    line.registry().down = True
    (sentence,) = flag_models(line)
    assert "could not be flagged, the next ingest tries again" in sentence
    line.registry().down = False
    with flagging(line) as said:
        pass
    assert len(said) == len(line.registry().tags) == 1


def test_two_versions_are_compared_once(line: Line, bars: pd.DataFrame, monkeypatch: pytest.MonkeyPatch) -> None:
    store(line, "raw_bars", tripled(bars, 1), "2018-01-01", hours=1)
    flag_models(line)
    monkeypatch.setattr(restatements, "diff_versions", None)
    assert flag_models(line) == []


def test_what_was_stored_while_the_model_was_made_is_not_what_it_was_made_from(
    line: Line, bars: pd.DataFrame, spells: pd.DataFrame
) -> None:
    store(line, "raw_bars", tripled(bars, 1), "2018-01-01", hours=1)
    store(line, "industries", spells.assign(industry="bank"), hours=1)
    pin(line, "8", "b")
    pinned = Catalogue(line.lake()).show("model-bbbbbbbbbbbbbbbb")
    assert pinned.tables["raw_bars"]["2018-01-01"].version == 1
    assert "industries" not in pinned.tables
    flag_models(line)
    assert {version for _, version, _, _ in line.registry().tags} == {"7", "8"}
