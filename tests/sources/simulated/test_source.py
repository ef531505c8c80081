"""The simulated market from outside: deterministic, cut from one world, honest about what it is."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ljwx_pipeline.config import SimulatedSettings
from ljwx_pipeline.errors import SourceError
from ljwx_pipeline.sources.simulated import source as source_module
from ljwx_pipeline.sources.simulated.source import SimulatedMarket
from tests.sources.simulated.measures import WHOLE, five_session_return, rank_ic, wide

ROOT = Path(__file__).resolve().parents[3]


def digest(frame: pd.DataFrame) -> str:
    return hashlib.sha256(pd.util.hash_pandas_object(frame, index=False).to_numpy().tobytes()).hexdigest()


def test_the_default_world_is_as_large_as_promised(market: SimulatedMarket, bars: pd.DataFrame) -> None:
    securities = market.securities()
    throughout = securities[(securities["list_date"] < "2018-01-02") & securities["delist_date"].isna()]
    assert len(throughout) >= 120
    assert bars["session_date"].min() == pd.Timestamp("2018-01-02")
    assert bars["session_date"].max() == pd.Timestamp("2025-12-31")
    assert bars["symbol"].str.fullmatch(r"S\d{5}\.SIM").all()


def test_every_name_says_that_it_is_simulated(market: SimulatedMarket) -> None:
    assert market.describe().simulated
    assert market.securities()["name"].str.startswith("Simulated").all()
    assert all(name.startswith("Simulated") for name in market.index_names.values())
    assert set(market.index_names) == set(market.index_bars(*WHOLE)["index_code"])


def test_another_process_walks_the_same_world(small: SimulatedMarket) -> None:
    script = (
        "import hashlib, pandas as pd\n"
        "from ljwx_pipeline.config import SimulatedSettings\n"
        "from ljwx_pipeline.sources.simulated.source import *\n"
        "market = SimulatedMarket(SimulatedSettings(seed=3, symbols=20, oracle_rank_ic=0.11))\n"
        "rows = pd.util.hash_pandas_object(market.bars(WORLD_FIRST, WORLD_LAST), index=False).to_numpy()\n"
        "print(hashlib.sha256(rows.tobytes()).hexdigest())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT,
        env={**os.environ, "PYTHONHASHSEED": "12345"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == digest(small.bars(*WHOLE))


def test_another_seed_is_another_world(small: SimulatedMarket) -> None:
    other = SimulatedMarket(SimulatedSettings(seed=4, symbols=20, oracle_rank_ic=0.11))
    assert digest(other.bars(*WHOLE)) != digest(small.bars(*WHOLE))
    assert other.world_hash != small.world_hash


def test_the_world_hash_knows_the_simulators_version(small: SimulatedMarket, monkeypatch: pytest.MonkeyPatch) -> None:
    before = small.world_hash
    monkeypatch.setattr(source_module, "SIMULATOR_VERSION", source_module.SIMULATOR_VERSION + 1)
    assert small.world_hash != before


@pytest.mark.parametrize("name", ["bars", "index_bars", "market_values"])
def test_a_part_asked_for_is_the_same_part_of_the_whole(small: SimulatedMarket, name: str) -> None:
    first, last = date(2020, 3, 1), date(2020, 6, 30)
    whole = getattr(small, name)(*WHOLE)
    inside = whole[whole["session_date"].between("2020-03-01", "2020-06-30")].reset_index(drop=True)
    pd.testing.assert_frame_equal(getattr(small, name)(first, last), inside, check_exact=True)


def test_news_and_macro_are_cut_by_the_instant_they_became_known(small: SimulatedMarket) -> None:
    for name, column in (("news", "published_at"), ("macro", "released_at")):
        frame = getattr(small, name)(date(2020, 3, 2), date(2020, 3, 31))
        local = frame[column].dt.tz_convert("Asia/Shanghai").dt.strftime("%Y-%m-%d")
        assert local.between("2020-03-02", "2020-03-31").all()
        assert len(frame) > 0


def test_a_range_that_runs_backwards_is_refused(small: SimulatedMarket) -> None:
    with pytest.raises(SourceError, match="2020-06-30 to 2020-03-01 is empty"):
        small.bars(date(2020, 6, 30), date(2020, 3, 1))


def test_a_range_outside_the_world_is_refused_with_the_worlds_range(small: SimulatedMarket) -> None:
    with pytest.raises(SourceError, match="2018-01-02 to 2025-12-31"):
        small.bars(date(2010, 1, 1), date(2012, 1, 1))


def test_a_range_of_holidays_is_refused(small: SimulatedMarket) -> None:
    with pytest.raises(SourceError, match="no trading session"):
        small.bars(date(2020, 10, 1), date(2020, 10, 8))


def test_a_range_that_reaches_past_the_world_is_cut_to_it(small: SimulatedMarket) -> None:
    assert small.bars(date(2025, 12, 1), date(2026, 6, 30))["session_date"].max() == pd.Timestamp("2025-12-31")


def test_the_truth_predicts_as_well_as_the_configuration_says(market: SimulatedMarket, bars: pd.DataFrame) -> None:
    found = rank_ic(wide(market.truth(), "oracle_score"), five_session_return(bars))
    assert 0.095 < found.mean() < 0.125
    yearly = found.groupby(pd.DatetimeIndex(found.index).year).mean()
    assert (yearly > 0.05).all()


def test_a_world_without_alpha_is_noise_to_the_oracle_and_to_plain_factors() -> None:
    worlds = []
    for seed in (11, 12, 13):
        noise = SimulatedMarket(SimulatedSettings(seed=seed, symbols=120, oracle_rank_ic=0.0))
        bars = noise.bars(*WHOLE)
        forward = five_session_return(bars)
        close = wide(bars, bars["close_cny"] * bars["adj_factor"])
        volume = wide(bars, "volume_shares")
        signals = {
            "oracle": wide(noise.truth(), "oracle_score"),
            "reversal_1": -close / close.shift(1),
            "reversal_5": -close / close.shift(5),
            "reversal_20": -close / close.shift(20),
            "low_volatility": -np.log(close).diff().rolling(20, min_periods=15).std(),
            "low_volume": -volume / volume.rolling(20, min_periods=15).mean(),
            "price": wide(bars, "close_cny"),
            "size": wide(noise.market_values(*WHOLE), "market_value_cny").where(close.notna()),
        }
        worlds.append({name: rank_ic(signal, forward).mean() for name, signal in signals.items()})
    measured = pd.DataFrame(worlds)
    # one world's mean rank IC has a standard error of about 0.005: three worlds average to 0.003
    assert (measured.mean().abs() < 0.010).all(), measured.mean().to_dict()
    assert (measured.abs() < 0.018).all(axis=None), measured.to_dict()
