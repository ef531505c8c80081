"""The configuration names a source, and opening it asks nothing of anybody."""

from __future__ import annotations

from pathlib import Path

import pytest

from ljwx_pipeline.config import load_settings
from ljwx_pipeline.sources.akshare.source import AkshareSource
from ljwx_pipeline.sources.baostock.source import BaostockSource
from ljwx_pipeline.sources.folder import FolderSource
from ljwx_pipeline.sources.open import open_source
from ljwx_pipeline.sources.simulated.source import SimulatedMarket
from ljwx_pipeline.sources.tushare.source import TushareSource

BASE = Path(__file__).resolve().parents[2] / "ljwx.toml"


def test_the_default_profile_opens_the_simulated_market() -> None:
    source = open_source(load_settings(profile="simulated", config_file=BASE, environ={}))
    assert isinstance(source, SimulatedMarket)
    assert source.describe().simulated


def test_the_noise_profile_opens_the_simulated_market_without_alpha() -> None:
    source = open_source(load_settings(profile="noise", config_file=BASE, environ={}))
    assert isinstance(source, SimulatedMarket)
    assert source.settings.oracle_rank_ic == 0.0


def test_the_folder_profile_opens_the_folder_source(tmp_path: Path) -> None:
    (tmp_path / "bars.csv").write_text(
        "symbol,session_date,open_cny,high_cny,low_cny,close_cny,volume_shares,amount_cny\n"
        "600000.SH,2020-01-02,10.0,10.5,9.9,10.2,10000,102000\n"
    )
    settings = load_settings(
        profile="folder", config_file=BASE, environ={}, overrides={"folder.data": str(tmp_path / "bars.csv")}
    )
    assert isinstance(open_source(settings), FolderSource)


@pytest.mark.parametrize(
    ("kind", "opened"), [("tushare", TushareSource), ("akshare", AkshareSource), ("baostock", BaostockSource)]
)
def test_a_provider_opens_its_adapter_and_asks_nothing_yet(kind: str, opened: type) -> None:
    settings = load_settings(profile=kind, config_file=BASE, environ={})
    source = open_source(settings)
    assert isinstance(source, opened)
    assert source.describe().fetches == ("by_session" if kind == "tushare" else "by_symbol")
