"""Every kind of dirt is found by the check meant for it at the severity meant for it, and clean tables by none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ljwx_pipeline.market.tables import empty_table
from ljwx_pipeline.quality.quarantine import split
from ljwx_pipeline.sources.folder.source import FolderSource
from tests.fakes.dirt import (
    FILE_KINDS,
    FIRST,
    LAST,
    TABLE_KINDS,
    FileDirt,
    TableDirt,
    Tables,
    all_results,
    clean_market,
    file_outcome,
    judged,
)
from tests.fakes.provider_files import folder_settings

#: Of the clean real panel, no more than this share of rows may be quarantined: none is.
TINY_FRAC = 0.0
AT = pd.Timestamp("2026-01-02 10:00", tz="UTC").to_pydatetime()
Clean = tuple[Tables, pd.DatetimeIndex]


@pytest.fixture(scope="module")
def clean() -> Clean:
    return clean_market()


def index_from(real_data_dir: Path, sessions: pd.DatetimeIndex) -> pd.DataFrame:
    bars = real_data_dir / "licensed" / "qbot" / "600519_raw.csv"
    files = real_data_dir / "nolicence" / "nymath" / "index_daily_2005_2022.parquet"
    return FolderSource(folder_settings(bars, files)).index_bars(sessions[0].date(), sessions[-1].date())


@pytest.fixture(scope="module")
def real(request: pytest.FixtureRequest) -> Clean:
    folder = Path(__file__).resolve().parents[3] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("no real A-share data beside this checkout (../shared/data): the test needs it")
    path = folder / "licensed" / "qbot" / "daily_raw_2019_2020.parquet"
    source = FolderSource(folder_settings(path))
    bars, sessions = source.bars(FIRST, LAST), source.sessions(FIRST, LAST)
    tables = {
        "bars": bars,
        "securities": source.securities(),
        "index_bars": index_from(folder, sessions),
        "index_members": empty_table("index_members"),
    }
    return tables, sessions


def kind_id(kind: TableDirt | FileDirt) -> str:
    return kind.name.replace(" ", "-")


def assert_found(kind: TableDirt, clean: Clean) -> None:
    tables, sessions = clean
    found = judged(kind, tables, sessions, np.random.default_rng(5))[kind.check]
    assert (found.passed, found.severity) == (False, kind.severity), found
    assert found.repair


def test_there_are_kinds_enough_and_each_has_a_name_of_its_own() -> None:
    names = [kind.name for kind in (*TABLE_KINDS, *FILE_KINDS)]
    assert len(set(names)) == len(names) >= 28


@pytest.mark.parametrize("kind", TABLE_KINDS, ids=kind_id)
def test_dirt_in_the_simulated_market_is_found(kind: TableDirt, clean: Clean) -> None:
    assert_found(kind, clean)


@pytest.mark.real_data
@pytest.mark.parametrize("kind", [kind for kind in TABLE_KINDS if kind.real], ids=kind_id)
def test_dirt_in_the_real_panel_is_found(kind: TableDirt, real: Clean) -> None:
    assert_found(kind, real)


@pytest.mark.parametrize("kind", FILE_KINDS, ids=kind_id)
def test_dirt_in_files_is_refused_or_read_past(kind: FileDirt, tmp_path: Path) -> None:
    said = file_outcome(kind, tmp_path)
    assert (kind.said in said) if kind.said else said == ""


def test_a_clean_market_is_neither_blocked_nor_quarantined(clean: Clean) -> None:
    tables, sessions = clean
    results = all_results(tables, sessions)
    assert [r.name for r in results if r.blocks or r.quarantines] == []
    assert {r.name for r in results if not r.passed} <= {"bars.moves_like_peers"}
    assert [r.name for r in results if r.severity == "not_applicable"] == []
    parted = split("bars", tables["bars"], results, at=AT)
    assert parted.quarantined.empty
    assert parted.kept is tables["bars"]


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("name", "adjustment"), [("daily_raw_2019_2020.parquet", "raw"), ("daily_qfq_2010_2020.parquet", "forward")]
)
def test_the_clean_real_panels_are_neither_blocked_nor_quarantined(
    name: str, adjustment: str, real_data_dir: Path
) -> None:
    path = real_data_dir / "licensed" / "qbot" / name
    source = FolderSource(folder_settings(path, adjustment=adjustment))
    bars, sessions = source.bars(FIRST, LAST), source.sessions(FIRST, LAST)
    tables = {
        "bars": bars,
        "securities": source.securities(),
        "index_bars": index_from(real_data_dir, sessions),
    }
    results = all_results(tables, sessions, adjustment)
    assert [r.name for r in results if r.blocks] == []
    parted = split("bars", bars, results, at=AT)
    assert len(bars) - len(parted.kept) <= TINY_FRAC * len(bars)
    warned = np.unique(np.concatenate([r.rows for r in results if r.table == "bars" and not r.passed]))
    assert len(warned) < 0.001 * len(bars)
