"""Declared units and adjustment are held against the prices, and a contradiction is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from ljwx_pipeline.errors import DataQualityError
from tests.fakes.provider_files import adjusted, bars_of, refused, renumbered, tushare_daily


def test_lots_declared_as_shares_are_found_out(tmp_path: Path) -> None:
    for changes in ({"volume_unit": "shares"}, {"volume_unit": "shares", "amount_unit": "thousand_cny"}):
        for adjustment in ("raw", "forward"):
            refused(
                lambda c=changes, a=adjustment: bars_of(tushare_daily(), tmp_path, adjustment=a, **c),
                "folder.volume_unit = shares",
                'set folder.volume_unit = "lots"',
            )


def test_adjusted_prices_passed_off_as_raw_are_found_out(tmp_path: Path) -> None:
    error = refused(
        lambda: bars_of(adjusted(tushare_daily(), 0.7), tmp_path), "given.csv", "not raw", "--adjustment forward"
    )
    assert isinstance(error, DataQualityError)


def many_splits() -> pd.DataFrame:
    """Raw bars of 25 symbols, each of which splits once."""
    one = tushare_daily(sessions=110)
    one = one[one["ts_code"] == one["ts_code"].iloc[0]]
    return pd.concat([renumbered(one, i) for i in range(25)])


def test_raw_prices_passed_off_as_forward_adjusted_are_found_out(tmp_path: Path) -> None:
    frame = many_splits()
    steps = frame.assign(adj_factor=np.where(frame["trade_date"] < "20180601", 1.0, 2.0)).drop(columns="pre_close")
    for given in (frame, frame.assign(change=frame["close"] - frame["pre_close"]).drop(columns="pre_close"), steps):
        error = refused(
            lambda g=given: bars_of(g, tmp_path, adjustment="forward"),
            "given.csv",
            "an ex-date in 25 rows: these prices are raw",
            "--adjustment raw",
        )
        assert isinstance(error, DataQualityError)


def test_forward_adjusted_prices_that_show_no_ex_date_load(tmp_path: Path) -> None:
    frame = many_splits()
    calm = frame[frame["trade_date"] < frame["trade_date"].unique()[100]]
    for given in (calm, calm.assign(adj_factor=1.0), calm.drop(columns="pre_close")):
        assert len(bars_of(given, tmp_path, adjustment="forward")) == len(given)


def test_one_adjusted_symbol_among_raw_ones_is_found_out(tmp_path: Path) -> None:
    raw = pd.concat([renumbered(tushare_daily(sessions=30, seed=i), i) for i in range(20)])
    one = raw["ts_code"] == "600051.SH"
    mixed = pd.concat([raw[~one], adjusted(raw[one], 0.7)])
    refused(lambda: bars_of(mixed, tmp_path), "600051.SH", "while the others are raw")


def test_units_of_back_adjusted_prices_must_be_declared_or_spelt(tmp_path: Path) -> None:
    frame = adjusted(tushare_daily(), 30.0)
    assert len(bars_of(frame, tmp_path, adjustment="backward")) == len(frame)  # tushare's spelling tells
    unspelt = frame.rename(columns={"vol": "volume", "trade_date": "date"})
    refused(lambda: bars_of(unspelt, tmp_path, adjustment="backward"), "cannot be inferred", "folder.volume_unit")
    declared = {"volume_unit": "lots", "amount_unit": "thousand_cny"}
    bars = bars_of(unspelt, tmp_path, adjustment="backward", **declared)
    np.testing.assert_allclose(bars["volume_shares"].sum(), frame["vol"].sum() * 100)
