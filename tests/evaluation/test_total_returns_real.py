"""Total returns on real bars: raw prices with what went ex, against the provider's own forward adjustment."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ljwx_pipeline.evaluation.benchmark_strategies import equal_weight
from ljwx_pipeline.evaluation.total_returns import session_returns
from ljwx_pipeline.market.symbols import Board
from ljwx_pipeline.market.tables import empty_table
from ljwx_pipeline.trading.market_arrays import MarketArrays, market_arrays

PRICES = ("open", "high", "low", "close", "pre_close")


def arrays(path: Path, adjustment: str) -> MarketArrays:
    table = pd.read_parquet(path)
    table = table[(table["trade_date"] >= "2019-01-02") & (table["trade_date"] <= "2020-05-08")]
    bars = pd.DataFrame(
        {
            "symbol": table["ts_code"],
            "session_date": pd.to_datetime(table["trade_date"]),
            **{f"{name}_cny": table[name] for name in PRICES},
            "volume_shares": table["vol"] * 100,
            "amount_cny": table["amount"] * 1000,
        }
    )
    names = tuple(sorted(bars["symbol"].unique()))
    boards = [int(Board.CHINEXT if name.startswith("300") else Board.MAIN) for name in names]
    securities = pd.DataFrame(
        {"symbol": names, "name": names, "board": boards, "list_date": pd.NaT, "delist_date": pd.NaT}
    )
    return market_arrays(
        bars,
        securities,
        empty_table("st_spells"),
        empty_table("corporate_actions"),
        symbols=names,
        sessions=pd.DatetimeIndex(np.sort(bars["session_date"].unique()), name="session_date"),
        adjustment=adjustment,
    )


@pytest.mark.real_data
def test_raw_and_forward_adjusted_bars_earn_the_same(real_data_dir: Path) -> None:
    """291 names over 326 sessions and 276 ex-dates: apart by the rounding of the provider's adjusted prices alone."""
    folder = real_data_dir / "licensed" / "qbot"
    raw = arrays(folder / "daily_raw_2019_2020.parquet", "raw")
    forward = arrays(folder / "daily_qfq_2010_2020.parquet", "forward")
    assert len(raw.actions.rows) > 250 > len(forward.actions.rows)
    ours, theirs = session_returns(raw), session_returns(forward)
    np.testing.assert_array_equal(np.isnan(ours), np.isnan(theirs))
    assert np.nanmax(np.abs(ours - theirs)) < 5e-4
    first, last = raw.sessions[0].date(), raw.sessions[-1].date()
    one, other = (equal_weight(market, market.has_bar, first=first, last=last) for market in (raw, forward))
    assert one.iloc[-1] == pytest.approx(other.iloc[-1], rel=2e-5)
