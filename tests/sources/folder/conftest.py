"""A file of bars and a file of an index, as tushare writes them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fakes.provider_files import tushare_daily, tushare_index


@pytest.fixture
def index_file(tmp_path: Path) -> Path:
    path = tmp_path / "index.csv"
    tushare_index(sessions=120).to_csv(path, index=False)
    return path


@pytest.fixture
def data_file(tmp_path: Path) -> Path:
    path = tmp_path / "bars.csv"
    tushare_daily().to_csv(path, index=False)
    return path
