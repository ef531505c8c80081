"""The folder source on real A-share files, dirt included; skipped where they are absent."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ljwx_pipeline.errors import LjwxError
from ljwx_pipeline.quality.run import checked, run_checks
from ljwx_pipeline.sources.folder import FolderSource
from tests.fakes.provider_files import folder_settings

pytestmark = pytest.mark.real_data
FIRST, LAST = date(2010, 1, 1), date(2026, 12, 31)


@pytest.fixture
def qbot(real_data_dir: Path) -> Path:
    return real_data_dir / "licensed" / "qbot"


@pytest.fixture
def indices(real_data_dir: Path) -> list[Path]:
    folder = real_data_dir / "nolicence"
    return [folder / "nymath" / "index_daily_2005_2022.parquet", folder / "sunday2018" / "399006.csv"]


def test_the_forward_adjusted_panel_loads_passes_its_checks_and_says_what_it_cannot_know(
    qbot: Path, indices: list[Path]
) -> None:
    settings = folder_settings(qbot / "daily_qfq_2010_2020.parquet", *indices, adjustment="forward")
    source = FolderSource(settings, required_indices=("000300.SH", "000905.SH", "399006.SZ"))
    bars, sessions = source.bars(FIRST, LAST), source.sessions(FIRST, LAST)
    assert (len(bars), bars["symbol"].nunique(), len(sessions)) == (736_976, 291, 2597)
    assert (bars["session_date"].iloc[0], bars["session_date"].iloc[-1]) == (
        pd.Timestamp("2010-01-04"),
        pd.Timestamp("2020-09-07"),
    )
    assert bars["volume_shares"].iloc[0] == pytest.approx(24_192_276)
    assert bars["amount_cny"].iloc[0] == pytest.approx(580_249_471.5, abs=100)
    assert (bars["adj_factor"] == 1.0).all()
    what = {item.what for item in source.describe().unknown}
    assert {"raw prices", "delistings and true listing dates", "ST spells", "industries", "market values"} <= what
    tables = {
        "bars": bars,
        "index_bars": source.index_bars(FIRST, LAST),
        "securities": source.securities(),
        "st_spells": source.st_spells(date.min, date.max),
    }
    results = run_checks(tables, source.describe(), sessions)
    by_name = {result.name: result for result in results}
    assert not [result for result in results if result.blocks]
    assert by_name["bars.average_price_in_range"].severity == "not_applicable"
    reference = by_name["bars.reference_price_follows"]
    assert (reference.severity, reference.passed, reference.measured["bad"]) == ("warn", False, 1)
    assert "600211.SH 2010-09-08" in reference.message
    assert [result.name for result in results if not result.passed] == ["bars.reference_price_follows"]
    pd.testing.assert_frame_equal(checked("bars", bars, results), bars)


def test_raw_bars_pass_the_unit_check_and_give_the_true_factor(qbot: Path, indices: list[Path]) -> None:
    source = FolderSource(folder_settings(qbot / "daily_raw_2019_2020.parquet", *indices))
    bars = source.bars(FIRST, LAST)
    results = run_checks(
        {"bars": bars, "securities": source.securities()}, source.describe(), source.sessions(FIRST, LAST)
    )
    unit = next(result for result in results if result.name == "bars.average_price_in_range")
    assert (unit.passed, unit.severity, unit.measured["bad"], unit.measured["judged"]) == (True, "error", 0, 94_700)
    assert not [result for result in results if not result.passed]
    forward = pd.read_parquet(qbot / "daily_qfq_2010_2020.parquet", columns=["ts_code", "trade_date", "close"])
    both = bars.merge(forward, left_on=["symbol", "session_date"], right_on=["ts_code", "trade_date"])
    ratio = both["close"] / both["close_cny"] / both["adj_factor"]
    spread = ratio.groupby(both["symbol"]).agg(lambda r: r.max() / r.min() - 1)
    assert spread.quantile(0.95) < 0.005, "derived factors differ from the provider's"


def test_ten_ex_dates_of_one_stock_are_found(qbot: Path) -> None:
    bars = FolderSource(folder_settings(qbot / "600519_raw.csv")).bars(FIRST, LAST)
    steps = bars.loc[bars["adj_factor"].pct_change() > 0, "session_date"]
    assert len(steps) == 10
    assert (f"{steps.iloc[0]:%Y%m%d}", f"{steps.iloc[-1]:%Y%m%d}") == ("20100705", "20190628")


def test_back_adjusted_prices_named_like_raw_ones_are_found_out(real_data_dir: Path) -> None:
    path = real_data_dir / "licensed" / "bancob" / "stock__raw__600519.SH_indiv_d.csv"
    names = {"symbol": "ts_code", "session_date": "trade_date", "volume": "vol", "pre_close": "pre_close"}
    names |= {name: name for name in ("open", "high", "low", "close", "amount")}
    columns = {role: f"indiv_d_{name}" for role, name in names.items()}
    with pytest.raises(LjwxError, match="adjusted, not raw"):
        FolderSource(folder_settings(path, columns=columns)).bars(FIRST, LAST)


@pytest.mark.parametrize(
    ("name", "changes", "said"),
    [
        ("daily_qfq_2010_2020.parquet", {}, "on 17.3% of bars at best"),
        ("daily_raw_2019_2020.parquet", {"volume_unit": "shares"}, 'set folder.volume_unit = "lots"'),
        ("daily_raw_2019_2020_dirty.parquet", {}, "trade_date and date, which both look like session_date"),
        (
            "daily_raw_2019_2020_dirty.parquet",
            {"columns": {"session_date": "trade_date", "volume": "vol"}},
            "data row",
        ),
        ("399986.SZ.csv", {}, "bars hold stocks, index files hold indices"),
    ],
)
def test_real_mistakes_are_refused_with_one_message(
    name: str, changes: dict[str, object], said: str, qbot: Path
) -> None:
    with pytest.raises(LjwxError) as caught:
        FolderSource(folder_settings(qbot / name, **changes)).bars(FIRST, LAST)
    assert name in str(caught.value)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("name", "said"),
    [("000016.SH.csv", "jumps from 3143.74 to 5.07"), ("000001.SH.csv", "000001.SH is no index")],
)
def test_real_stocks_in_index_files_are_found_out(name: str, said: str, qbot: Path, real_data_dir: Path) -> None:
    path = real_data_dir / "nolicence" / "junyanwu" / name
    with pytest.raises(LjwxError, match=said):
        FolderSource(folder_settings(qbot / "600519_raw.csv", path)).index_bars(FIRST, LAST)


def test_real_indices_from_two_providers_agree(qbot: Path, real_data_dir: Path, indices: list[Path]) -> None:
    bars = qbot / "600519_raw.csv"
    one = FolderSource(folder_settings(bars, indices[0])).index_bars(FIRST, LAST)
    other_file = real_data_dir / "nolicence" / "sunday2018" / "000905.csv"
    other = FolderSource(folder_settings(bars, other_file)).index_bars(FIRST, LAST)
    both = one.merge(other, on=["index_code", "session_date"])
    assert len(both) > 2000
    np.testing.assert_allclose(both["close_points_x"], both["close_points_y"], rtol=1e-4)
    np.testing.assert_allclose(both["amount_cny_x"], both["amount_cny_y"], rtol=0.02)
