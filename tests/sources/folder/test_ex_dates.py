"""A jump never explains itself: a step that no corporate action makes leaves the factor flat, and the checks see it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ljwx_pipeline.quality.anomalies import ANOMALIES
from ljwx_pipeline.quality.checks import CHECKS
from ljwx_pipeline.quality.run import run_checks
from ljwx_pipeline.sources.folder import FolderSource
from tests.fakes.provider_files import CODES, FIRST, LAST, folder_settings, tushare_daily

PRICES = ["open", "high", "low", "close"]
AT = 60


def one_stock(frame: pd.DataFrame, code: str = CODES[1]) -> pd.Index:
    return frame.index[frame["ts_code"] == code].sort_values()


def print_times(factor: float, *, reference_too: bool = False, rows: int = 1) -> Callable[[pd.DataFrame], None]:
    """Multiply the prices of a few rows, and their amount, so that the row agrees with itself."""

    def spoil(frame: pd.DataFrame) -> None:
        at = one_stock(frame)[AT : AT + rows]
        names = [*PRICES, "pre_close"] if reference_too else PRICES
        frame.loc[at, names] = (frame.loc[at, names] * factor).round(2)
        frame.loc[at, "amount"] *= factor

    return spoil


def reference_times(factor: float) -> Callable[[pd.DataFrame], None]:
    """Multiply one reference price alone."""

    def spoil(frame: pd.DataFrame) -> None:
        at = one_stock(frame)[AT]
        frame.loc[at, "pre_close"] = round(frame.loc[at, "pre_close"] * factor, 2)

    return spoil


def prices_from_then_on(factor: float) -> Callable[[pd.DataFrame], None]:
    """Multiply every later price, as a split or its reverse does."""

    def spoil(frame: pd.DataFrame) -> None:
        at = one_stock(frame)[AT:]
        frame.loc[at, [*PRICES, "pre_close"]] = (frame.loc[at, [*PRICES, "pre_close"]] * factor).round(2)
        frame.loc[at, "vol"] /= factor
        frame.loc[at, "amount"] = frame.loc[at, "vol"] * frame.loc[at, "close"] / 10

    return spoil


def load(spoil: Callable[[pd.DataFrame], None], tmp_path: Path) -> tuple[pd.DataFrame, FolderSource]:
    frame = tushare_daily(sessions=150)
    spoil(frame)
    index = frame[["trade_date"]].drop_duplicates().assign(ts_code="000300.SH", close=4000.0)
    frame.to_csv(tmp_path / "daily.csv", index=False)
    index.to_csv(tmp_path / "index.csv", index=False)
    source = FolderSource(folder_settings(tmp_path / "daily.csv", tmp_path / "index.csv"))
    return source.bars(FIRST, LAST), source


def print_with_its_own_factor(times: float, rows: int = 1) -> Callable[[pd.DataFrame], None]:
    """Multiply the prices of a few rows and divide the file's own factor by as much."""

    def spoil(frame: pd.DataFrame) -> None:
        frame["adj_factor"] = 1.0
        frame.loc[one_stock(frame)[AT : AT + rows], "adj_factor"] /= times
        print_times(times, reference_too=True, rows=rows)(frame)

    return spoil


MISTAKES = {
    "a print at three times the price": (print_times(3.0), "bars.spikes_do_not_revert"),
    "a print at a third of the price": (print_times(1 / 3), "bars.spikes_do_not_revert"),
    "a row at three times the price with its reference": (
        print_times(3.0, reference_too=True),
        "bars.spikes_do_not_revert",
    ),
    "a row at a third of the price with its reference": (
        print_times(1 / 3, reference_too=True),
        "bars.spikes_do_not_revert",
    ),
    "a print half above the price": (print_times(1.5), "bars.spikes_do_not_revert"),
    "a print beyond the limit": (print_times(1.22), "bars.jumps_are_explained"),
    "a week at three times the price": (print_times(3.0, reference_too=True, rows=5), "bars.jumps_are_explained"),
    "a week at a third of the price": (print_times(1 / 3, reference_too=True, rows=5), "bars.jumps_are_explained"),
    "a reverse split nobody announced": (prices_from_then_on(2.0), "bars.jumps_are_explained"),
    "a distribution that nobody pays": (prices_from_then_on(1 / 8), "bars.jumps_are_explained"),
    "a print that its own factor explains": (print_with_its_own_factor(3.0), "bars.spikes_do_not_revert"),
    "a low print that its own factor explains": (print_with_its_own_factor(1 / 3), "bars.spikes_do_not_revert"),
    "a week that its own factor explains": (print_with_its_own_factor(3.0, rows=5), "bars.jumps_are_explained"),
    "one reference price too low": (reference_times(0.5), "bars.reference_price_follows"),
    "one reference price too high": (reference_times(1.5), "bars.reference_price_follows"),
}


@pytest.mark.parametrize(("spoil", "check"), MISTAKES.values(), ids=[name.replace(" ", "-") for name in MISTAKES])
def test_a_mistake_leaves_the_factor_flat_and_is_found(
    spoil: Callable[[pd.DataFrame], None], check: str, tmp_path: Path
) -> None:
    bars, source = load(spoil, tmp_path)
    assert (bars.loc[bars["symbol"] == CODES[1], "adj_factor"] == 1.0).all()
    tables = {"bars": bars, "securities": source.securities()}
    results = run_checks(tables, source.describe(), source.sessions(FIRST, LAST), checks=(*CHECKS, *ANOMALIES))
    found = next(result for result in results if result.name == check)
    assert not found.passed
    assert CODES[1] in found.message


def test_what_is_not_believed_is_said_with_its_row(tmp_path: Path) -> None:
    _, source = load(print_times(3.0), tmp_path)
    said = next(item for item in source.describe().unknown if "no dividend or bonus explains" in item.what)
    assert said.what.startswith("1 reference price")
    assert f"data row {one_stock(tushare_daily(sessions=150))[AT + 1] + 1} ({CODES[1]}" in said.consequence


@pytest.mark.parametrize("step", [1.01, 1.5, 2.0, 4.0])
def test_distributions_are_believed(step: float, tmp_path: Path) -> None:
    bars, source = load(prices_from_then_on(1 / step), tmp_path)
    factor = bars.loc[bars["symbol"] == CODES[1], "adj_factor"].to_numpy()
    assert (factor[:AT] == 1.0).all()
    np.testing.assert_allclose(factor[AT:], step, rtol=5e-3)
    assert not [item for item in source.describe().unknown if "no dividend" in item.what]


def test_a_factor_that_comes_back_alone_stays_for_the_checks(tmp_path: Path) -> None:
    def spoil(frame: pd.DataFrame) -> None:
        frame["adj_factor"] = 1.0
        frame.loc[one_stock(frame)[AT], "adj_factor"] = 2.0

    bars, _ = load(spoil, tmp_path)
    assert bars.loc[bars["symbol"] == CODES[1], "adj_factor"].iloc[AT] == 2.0


@pytest.mark.parametrize("rows", [1, 5])
def test_a_true_split_before_rows_in_another_scale_is_kept(rows: int, tmp_path: Path) -> None:
    def spoil(frame: pd.DataFrame) -> None:
        prices_from_then_on(1 / 1.5)(frame)
        at = one_stock(frame)[AT + 40 : AT + 40 + rows]
        frame.loc[at, [*PRICES, "pre_close"]] = (frame.loc[at, [*PRICES, "pre_close"]] * 1.5).round(2)
        frame.loc[at, "amount"] *= 1.5

    bars, _ = load(spoil, tmp_path)
    factor = bars.loc[bars["symbol"] == CODES[1], "adj_factor"].to_numpy()
    np.testing.assert_allclose(factor, np.where(np.arange(len(factor)) < AT, 1.0, 1.5), rtol=5e-3)
