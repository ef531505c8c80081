"""The rulebook against real unadjusted bars: nothing traded beyond a limit, and the limits were reached exactly."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ljwx_pipeline.market.rulebook import FREE_BPS, limit_bps, limit_prices_e4
from ljwx_pipeline.market.symbols import Board, board_of

pytestmark = pytest.mark.real_data

#: Under special treatment within the panel, by the exchanges' announcements; both to the end of their bars.
ST_SINCE = {"600518.SH": "2019-05-21", "000792.SZ": "2019-04-30"}
PRICES = ["open", "high", "low", "close", "pre_close"]


class Judged:
    """Bars in 1e-4 CNY beside the limits the rulebook computes for them."""

    def __init__(self, bars: pd.DataFrame, *, is_st: np.ndarray | bool = False) -> None:
        day = bars["trade_date"].to_numpy(dtype="datetime64[D]")
        board = np.array([board_of(symbol) for symbol in bars["ts_code"]], dtype=np.int8)
        self.high, self.low, self.close, self.reference = (
            np.rint(bars[name].to_numpy() * 1e4).astype(np.int64) for name in ("high", "low", "close", "pre_close")
        )
        self.up_bps, self.down_bps = limit_bps(
            board=board, is_st=is_st, session=day, list_date=np.datetime64("NaT", "D"), listed_sessions=-1
        )
        self.up, self.down = limit_prices_e4(self.reference, self.up_bps, self.down_bps, board=board)

    def beyond(self) -> int:
        """Rows that traded outside the limits."""
        return int(((self.high > self.up) | (self.low < self.down)).sum())

    def closes_at(self) -> tuple[int, int]:
        """Closes exactly at limit up and limit down."""
        return int((self.close == self.up).sum()), int((self.close == self.down).sum())


@pytest.fixture
def raw(real_data_dir: Path) -> pd.DataFrame:
    return pd.read_parquet(real_data_dir / "licensed/qbot/daily_raw_2019_2020.parquet")


@pytest.fixture
def is_st(raw: pd.DataFrame) -> np.ndarray:
    since = pd.to_datetime(raw["ts_code"].map(ST_SINCE))
    return (raw["trade_date"] >= since).to_numpy()


def test_no_bar_of_the_raw_panel_lies_beyond_its_limits(raw: pd.DataFrame, is_st: np.ndarray) -> None:
    bars = Judged(raw, is_st=is_st)
    assert len(raw) == 94_700
    assert bars.beyond() == 0
    assert bars.closes_at() == (1_162, 566)
    assert ((bars.high == bars.up).sum(), (bars.low == bars.down).sum()) == (1_768, 993)
    assert ((bars.low == bars.up).sum(), (bars.high == bars.down).sum()) == (160, 185)  # locked all day


def test_special_treatment_held_two_stocks_to_five_per_cent(raw: pd.DataFrame, is_st: np.ndarray) -> None:
    bars = Judged(raw[is_st], is_st=True)
    assert int(is_st.sum()) == 478
    assert bars.beyond() == 0
    assert bars.closes_at() == (41, 33)
    unaware = Judged(raw[is_st])  # what a book that does not know of the treatment would see
    assert unaware.closes_at() == (0, 0)


@pytest.mark.parametrize(("rounding", "beyond"), [("truncated inward", 1_231), ("half to even", 101)])
def test_no_other_rounding_explains_the_bars(raw: pd.DataFrame, is_st: np.ndarray, rounding: str, beyond: int) -> None:
    bars = Judged(raw, is_st=is_st)
    cents_up, rest_up = np.divmod(bars.reference * (10_000 + bars.up_bps), 1_000_000)
    cents_down, rest_down = np.divmod(bars.reference * (10_000 - bars.down_bps), 1_000_000)
    if rounding == "truncated inward":
        cents_down += rest_down > 0
    else:
        cents_up += (rest_up > 500_000) | ((rest_up == 500_000) & (cents_up % 2 == 1))
        cents_down += (rest_down > 500_000) | ((rest_down == 500_000) & (cents_down % 2 == 1))
    assert int(((bars.high > cents_up * 100) | (bars.low < cents_down * 100)).sum()) == beyond


@pytest.mark.parametrize(
    ("file", "prefix", "rows", "at_up", "at_down"),
    [
        ("qbot/600519_raw.csv", "", 2_490, 2, 1),  # 2010 to 2020
        ("qbot/603186_raw.csv", "", 309, 14, 3),
        ("bancob/stock__raw__600519.SH_indiv_techin.csv", "indiv_techin_", 500, 0, 0),  # 2023 to 2025
        ("bancob/stock__raw__600036.SH_indiv_techin.csv", "indiv_techin_", 500, 0, 0),
        ("bancob/stock__raw__002594.SZ_indiv_techin.csv", "indiv_techin_", 500, 1, 1),
    ],
)
def test_single_stocks_over_years(
    real_data_dir: Path, file: str, prefix: str, rows: int, at_up: int, at_down: int
) -> None:
    frame = pd.read_csv(real_data_dir / "licensed" / file).rename(columns=lambda name: name.removeprefix(prefix))
    frame["trade_date"] = pd.to_datetime(frame["trade_date"].astype(str))
    bars = Judged(frame)
    assert (len(frame), bars.beyond(), *bars.closes_at()) == (rows, 0, at_up, at_down)


@pytest.fixture
def forward(real_data_dir: Path) -> pd.DataFrame:
    bars = pd.read_parquet(real_data_dir / "licensed/qbot/daily_qfq_2010_2020.parquet")
    return bars.sort_values(["ts_code", "trade_date"], ignore_index=True)


def test_only_first_sessions_left_the_everyday_band_in_ten_years(forward: pd.DataFrame) -> None:
    """Forward-adjusted prices are off the tick: the band is widened by a per cent of the reference price."""
    far = (forward["close"] / forward["pre_close"] - 1).abs() > 0.11
    first = ~forward["ts_code"].duplicated()
    assert (len(forward), int(far.sum()), int((far & first).sum())) == (736_976, 21, 21)
    listed = forward[far]
    up, _ = limit_bps(
        board=np.array([board_of(symbol) for symbol in listed["ts_code"]], dtype=np.int8),
        is_st=False,
        session=listed["trade_date"].to_numpy(dtype="datetime64[D]"),
        list_date=listed["trade_date"].to_numpy(dtype="datetime64[D]"),
        listed_sessions=0,
    )
    assert (up == FREE_BPS).all()  # 2010: no limit on the first session


def test_chinext_stays_within_twenty_per_cent_from_its_first_day(forward: pd.DataFrame) -> None:
    later = forward[(forward["trade_date"] >= "2020-08-24") & forward["ts_code"].str.startswith("300")]
    cents = later[PRICES].to_numpy() * 100
    assert np.abs(cents - np.rint(cents)).max() < 1e-6  # after their last ex-date: unadjusted
    bars = Judged(later)
    assert {board_of(symbol) for symbol in later["ts_code"]} == {Board.CHINEXT}
    assert (len(later), bars.beyond()) == (165, 0)
    assert set(bars.up_bps.tolist()) == {2000}
