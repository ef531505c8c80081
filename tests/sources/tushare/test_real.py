"""Real rows of tushare, as people saved them, through the row mappers; skipped where they are absent."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ljwx_pipeline.market.traded_price import average_price_in_range
from ljwx_pipeline.sources.tushare import events, prices
from ljwx_pipeline.sources.tushare.apis import FINA_INDICATOR

pytestmark = pytest.mark.real_data
STOCKS = ("600519.SH", "600036.SH", "002594.SZ")


@pytest.fixture
def licensed(real_data_dir: Path) -> Path:
    return real_data_dir / "licensed"


def saved(folder: Path, name: str, prefix: str) -> pd.DataFrame:
    frame = pd.concat([pd.read_csv(folder / "bancob" / f"stock__raw__{stock}_{name}.csv") for stock in STOCKS])
    return frame.rename(columns=lambda column: column.removeprefix(prefix)).reset_index(drop=True)


def in_range(bars: pd.DataFrame) -> float:
    columns = ("low_cny", "high_cny", "volume_shares", "amount_cny")
    return float(average_price_in_range(**{name: bars[name].to_numpy() for name in columns}).mean())


def test_ninety_thousand_raw_bars_have_their_units(licensed: Path) -> None:
    rows = pd.read_parquet(licensed / "qbot" / "daily_raw_2019_2020.parquet")
    rows["trade_date"] = rows["trade_date"].dt.strftime("%Y%m%d")
    bars = prices.bars(rows.astype(object), rows[["ts_code", "trade_date"]].assign(adj_factor=1.0).astype(object))
    assert len(bars) == 94_700
    assert in_range(bars) == 1.0
    assert (bars["volume_shares"] % 1 == 0).all()


def test_real_factors_carry_the_close_to_the_reference_price(licensed: Path) -> None:
    rows = saved(licensed, "indiv_techin", "indiv_techin_")
    bars = prices.bars(rows.astype(object), rows[["ts_code", "trade_date", "adj_factor"]].astype(object))
    assert len(bars) == 1500
    assert in_range(bars) > 0.98
    bars = bars.sort_values(["symbol", "session_date"])
    before = bars.groupby("symbol")[["close_cny", "adj_factor"]].shift()
    carried = (before["close_cny"] * before["adj_factor"] / bars["adj_factor"]).dropna()
    apart = (bars["pre_close_cny"].loc[carried.index] / carried - 1).abs()
    assert (bars["adj_factor"] / before["adj_factor"] > 1.001).sum() >= 6, "ex-dates lie inside"
    assert (apart < 2e-3).mean() > 0.995


def test_market_values_are_price_times_shares(licensed: Path) -> None:
    rows = saved(licensed, "indiv_din", "indiv_din_")
    table = prices.market_values(rows.astype(object))
    rows["session_date"] = pd.to_datetime(rows["trade_date"].astype(str))
    both = table.merge(rows, left_on=["symbol", "session_date"], right_on=["ts_code", "session_date"])
    assert len(both) == len(rows)
    np.testing.assert_allclose(both["market_value_cny"], both["close"] * both["total_share"] * 1e4, rtol=1e-6)


def test_a_real_index_has_a_mean_price_of_some_cny(licensed: Path) -> None:
    rows = pd.read_csv(licensed / "bancob" / "benchmark__000300.SH_daily.csv")
    table = prices.index_bars(rows.astype(object))
    mean = table["amount_cny"] / table["volume_shares"]
    assert len(table) == 500
    assert mean.between(5, 50).all()


def test_real_reports_are_announced_after_their_period(licensed: Path) -> None:
    rows = saved(licensed, "indiv_fin", "indiv_fin_")
    for name in FINA_INDICATOR.fields:
        if name not in rows:  # what was not asked for was not saved
            rows[name] = None
    table = events.financial_indicators(rows.astype(object).where(rows.notna(), None))
    assert table["symbol"].nunique() == 3
    assert (table["announced_date"] > table["report_period"]).all()
    moutai = table[(table["symbol"] == "600519.SH") & (table["report_period"] == "2024-12-31")]
    roe = moutai.loc[moutai["indicator"] == "roe_percent", "value"]
    assert len(roe) == 1
    assert roe.between(20, 50).all()
