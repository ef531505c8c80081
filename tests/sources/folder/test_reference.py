"""Reference prices and adjustment factors, taken from the file or derived."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ljwx_pipeline.sources.folder import FolderSource
from tests.fakes.provider_files import CODES, FIRST, LAST, bars_of, folder_settings, refused, tushare_daily


def test_the_split_of_a_raw_series_shows_in_the_derived_factor(tmp_path: Path) -> None:
    bars = bars_of(tushare_daily(sessions=150), tmp_path)
    split = bars[bars["symbol"] == CODES[0]].reset_index(drop=True)
    assert (split["adj_factor"].iloc[:100] == 1.0).all()
    np.testing.assert_allclose(split["adj_factor"].iloc[100:], 2.0, rtol=2e-3)
    assert (bars.loc[bars["symbol"] != CODES[0], "adj_factor"] == 1.0).all()


def test_a_factor_column_is_taken_and_gives_the_reference_price(tmp_path: Path) -> None:
    given = tushare_daily(sessions=150)
    split = given["ts_code"].eq(CODES[0]) & (given["trade_date"] >= sorted(given["trade_date"].unique())[100])
    with_factor = given.assign(adj_factor=np.where(split, 2.0, 1.0))
    bars = bars_of(with_factor.drop(columns="pre_close"), tmp_path)
    truth = bars_of(with_factor, tmp_path)
    np.testing.assert_array_equal(bars["adj_factor"], truth["adj_factor"])
    later = bars["session_date"] > bars["session_date"].iloc[0]
    np.testing.assert_allclose(bars.loc[later, "pre_close_cny"], truth.loc[later, "pre_close_cny"], atol=0.0051)


def test_float_noise_in_a_factor_is_no_ex_date(tmp_path: Path) -> None:
    given = tushare_daily()
    noisy = given.assign(adj_factor=np.where(np.arange(len(given)) % 2 == 0, 5.714, 5.7142))
    bars = bars_of(noisy, tmp_path)
    assert bars.groupby("symbol")["adj_factor"].nunique().eq(1).all()


def test_under_a_declared_adjustment_the_factor_is_one_and_the_previous_close_is_the_reference(
    tmp_path: Path, index_file: Path
) -> None:
    path = tmp_path / "given.csv"
    tushare_daily().drop(columns="pre_close").to_csv(path, index=False)
    source = FolderSource(folder_settings(path, index_file, adjustment="forward"))
    one = source.bars(FIRST, LAST).query("symbol == @CODES[1]", local_dict={"CODES": CODES})
    assert (one["adj_factor"] == 1.0).all()
    assert one["pre_close_cny"].iloc[1:].tolist() == one["close_cny"].iloc[:-1].tolist()
    assert one["pre_close_cny"].iloc[0] == one["open_cny"].iloc[0]
    said = " ".join(f"{item.what}: {item.consequence}" for item in source.describe().unknown)
    assert "raw prices" in said
    assert "previous close under the declared adjustment" in said
    assert "first bars" in said


def test_raw_prices_that_hide_ex_dates_are_refused(tmp_path: Path) -> None:
    refused(
        lambda: bars_of(tushare_daily().drop(columns="pre_close"), tmp_path), "ex-dates cannot be seen", "adj_factor"
    )
    refused(lambda: bars_of(tushare_daily().assign(adj_factor=0.0), tmp_path), "adj_factor is 0")
