"""W7: ten checks on 687,000 bars, against a rough one-pass prototype, pandera and Great Expectations, in turn.

Ours is the scan of ``quality/scan.py`` with its twenty rules (the ten are among them), from a canonical pandas frame in
canonical order to one bit mask a row. The prototype does the ten and nothing else: no sessions, limits, listings or
carried context, and no message. All three peers get the same frame; imports and compilation are reported apart.
"""

from __future__ import annotations

import json
import os
import resource
import statistics
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pandas as pd
from numba import njit

from benchmarks.w1_alpha158 import seeded_panel
from ljwx_pipeline.quality.scan import COLUMNS, ScanContext, scan

SYMBOLS, SESSIONS = 300, 2_500
GOAL = "at most 1.5 times the one-pass prototype measured in turn"
GOAL_RATIO = 1.5


def run(quick: bool = False) -> dict[str, Any]:
    """Return the result entry; ``quick`` takes a tenth of the symbols."""
    bars, sessions = seeded_bars(SYMBOLS // 10 if quick else SYMBOLS)
    context = ScanContext(sessions, "raw", securities(bars))
    by_symbol = bars.sort_values(["symbol", "session_date"], ignore_index=True)
    contestants: dict[str, Callable[[], object]] = {
        "ours": lambda: scan(bars, context),
        "ours_by_symbol": lambda: scan(by_symbol, context),
        "floor": lambda: prototype(bars),
        "pandera": pandera_judge(bars),
        "great_expectations": expectations_judge(bars),
    }
    first = {name: _seconds(call)[0] for name, call in contestants.items()}
    assert not np.any(scan(bars, context)), "the seeded bars are not clean"
    assert not np.any(prototype(bars)), "the prototype disagrees"
    walls: dict[str, list[float]] = {name: [] for name in contestants}
    cpus: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(3 if quick else 9):
        for name, call in contestants.items():
            wall, cpu = _seconds(call)
            walls[name].append(wall)
            cpus[name].append(cpu)
    wall = {name: statistics.median(seconds) for name, seconds in walls.items()}
    cpu = {name: statistics.median(seconds) for name, seconds in cpus.items()}
    floor_ratio = statistics.median(a / b for a, b in zip(walls["ours"], walls["floor"], strict=True))
    return {
        "id": "W7",
        "what": f"twenty row rules (the ten among them) on {len(bars):,} bars, one bit mask a row",
        "ours": {
            "wall_s": round(wall["ours"], 5),
            "cpu_s": round(cpu["ours"], 5),
            "peak_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
            "by_symbol_wall_s": round(wall["ours_by_symbol"], 5),
            "first_wall_s": round(first["ours"], 3),
            "floor_wall_s": round(wall["floor"], 5),
            "floor_ratio": round(floor_ratio, 3),
        },
        "peer": {
            "name": "Great Expectations",
            "version": _version("great_expectations"),
            "wall_s": round(wall["great_expectations"], 4),
            "cpu_s": round(cpu["great_expectations"], 4),
        },
        "peers": [
            {
                "name": "pandera (pandas)",
                "version": _version("pandera"),
                "wall_s": round(wall["pandera"], 4),
                "cpu_s": round(cpu["pandera"], 4),
            }
        ],
        "ratio": round(wall["great_expectations"] / wall["ours"], 1),
        "ratio_goal": False,
        "goal": GOAL,
        "holds": floor_ratio <= GOAL_RATIO,
        "command": "python -m benchmarks.w7_checks",
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def seeded_bars(symbols: int) -> tuple[pd.DataFrame, pd.DatetimeIndex]:
    """Return clean raw bars in canonical order and their sessions; the same for the same size."""
    panel = seeded_panel(symbols, SESSIONS)
    close = panel.fields["close"]
    at, who = np.nonzero(~np.isnan(close.T))
    fields = {name: np.ascontiguousarray(values.T)[at, who] for name, values in panel.fields.items()}
    bars = pd.DataFrame(
        {
            "symbol": np.asarray(panel.symbols, dtype=object)[who],
            "session_date": panel.sessions[at],
            **{f"{name}_cny": fields[name] for name in ("open", "high", "low", "close")},
        }
    )
    bars["pre_close_cny"] = bars.groupby("symbol")["close_cny"].shift().fillna(bars["open_cny"])
    bars["volume_shares"] = fields["volume"] + 100.0
    bars["amount_cny"] = bars["volume_shares"] * np.clip(fields["vwap"], bars["low_cny"], bars["high_cny"])
    bars["adj_factor"] = 1.0
    return bars, panel.sessions


def securities(bars: pd.DataFrame) -> pd.DataFrame:
    """Return every symbol as a STAR stock of old, whose limit no seeded move reaches."""
    symbols = pd.unique(bars["symbol"])
    listed, never = pd.Timestamp("2010-01-04"), pd.Series([pd.NaT] * len(symbols), dtype="datetime64[ns]")
    return pd.DataFrame({"symbol": symbols, "name": symbols, "board": 2, "list_date": listed, "delist_date": never})


def prototype(bars: pd.DataFrame) -> np.ndarray:
    """Return the floor's mask: symbols as numbers, then ten rules in one compiled pass."""
    code = pd.factorize(bars["symbol"])[0]
    columns = [bars[name].to_numpy() for name in COLUMNS]
    return _ten_rules(code, bars["session_date"].to_numpy().view(np.int64), *columns)


@njit(cache=True)
def _ten_rules(code, day, open_, high, low, close, reference, volume, amount, factor):  # noqa: C901 - ten rules, one pass
    n = len(code)
    bits = np.zeros(n, dtype=np.uint16)
    last = np.full(code.max() + 1, -1, dtype=np.int64)
    for i in range(n):
        bit = 0
        if not np.isfinite(open_[i] + high[i] + low[i] + close[i] + reference[i] + volume[i] + amount[i] + factor[i]):
            bit |= 1
        if open_[i] <= 0 or high[i] <= 0 or low[i] <= 0 or close[i] <= 0 or reference[i] <= 0 or factor[i] <= 0:
            bit |= 2
        if high[i] < low[i]:
            bit |= 4
        if open_[i] < low[i] or open_[i] > high[i]:
            bit |= 8
        if close[i] < low[i] or close[i] > high[i]:
            bit |= 16
        if volume[i] < 0 or amount[i] < 0:
            bit |= 32
        if amount[i] < low[i] * volume[i] * 0.9999 or amount[i] > high[i] * volume[i] * 1.0001:
            bit |= 64
        p = last[code[i]]
        if p >= 0:
            if day[i] <= day[p]:
                bit |= 128
            expected = close[p] * factor[p] / factor[i]
            if abs(reference[i] - expected) > 0.002 * expected + 0.01:
                bit |= 256
            if factor[i] < factor[p]:
                bit |= 512
        last[code[i]] = i
        bits[i] = bit
    return bits


def pandera_judge(bars: pd.DataFrame) -> Callable[[], object]:
    """Return the same rules as a pandera schema; those on the row before are prepared columns it is not charged for."""
    import pandera.pandas as pa

    prices = ("open_cny", "high_cny", "low_cny", "close_cny", "pre_close_cny", "adj_factor")
    columns = {name: pa.Column("float64", pa.Check.gt(0)) for name in prices}
    columns |= {name: pa.Column("float64", pa.Check.ge(0)) for name in ("volume_shares", "amount_cny")}
    low, high = "low_cny", "high_cny"
    rules = [
        pa.Check(lambda f: f[high] >= f[low]),
        pa.Check(lambda f: (f["open_cny"] >= f[low]) & (f["open_cny"] <= f[high])),
        pa.Check(lambda f: (f["close_cny"] >= f[low]) & (f["close_cny"] <= f[high])),
        pa.Check(
            lambda f: (
                (f["amount_cny"] >= f[low] * f["volume_shares"] * 0.9999)
                & (f["amount_cny"] <= f[high] * f["volume_shares"] * 1.0001)
            )
        ),
        pa.Check(lambda f: (f["pre_close_cny"] - f["expected"]).abs() <= 0.002 * f["expected"] + 0.01),
        pa.Check(lambda f: f["adj_factor"] >= f["factor_before"]),
    ]
    schema = pa.DataFrameSchema(columns, checks=rules, unique=["session_date", "symbol"])
    frame = _with_previous(bars)
    return lambda: schema.validate(frame, lazy=True)


def expectations_judge(bars: pd.DataFrame) -> Callable[[], object]:
    """Return the same rules as a Great Expectations suite over prepared columns it is not charged for."""
    os.environ["GX_ANALYTICS_ENABLED"] = "false"
    import great_expectations as gx
    from great_expectations.data_context.types.base import ProgressBarsConfig

    gxe: Any = gx.expectations
    frame = _with_previous(bars)
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    asset = context.data_sources.add_pandas("bench").add_dataframe_asset("bars")
    batch = asset.add_batch_definition_whole_dataframe("all")
    pairs = (
        ("high_cny", "low_cny"),
        ("high_cny", "open_cny"),
        ("open_cny", "low_cny"),
        ("high_cny", "close_cny"),
        ("close_cny", "low_cny"),
        ("adj_factor", "factor_before"),
    )
    between = gxe.ExpectColumnValuesToBeBetween
    suite = context.suites.add(
        gx.ExpectationSuite(
            name="ten",
            expectations=[
                gxe.ExpectColumnValuesToNotBeNull(column="close_cny"),
                between(column="low_cny", min_value=0, strict_min=True),
                between(column="volume_shares", min_value=0),
                between(column="average_over_low", min_value=0.9999),
                between(column="average_over_high", max_value=1.0001),
                between(column="reference_off", max_value=0.0),
                gxe.ExpectCompoundColumnsToBeUnique(column_list=["symbol", "session_date"]),
                *(gxe.ExpectColumnPairValuesAToBeGreaterThanB(column_A=a, column_B=b, or_equal=True) for a, b in pairs),
            ],
        )
    )
    validation = context.validation_definitions.add(gx.ValidationDefinition(name="ten", data=batch, suite=suite))

    def judge() -> object:
        result = validation.run(batch_parameters={"dataframe": frame}, result_format="SUMMARY")
        assert result.success
        return result

    return judge


def _with_previous(bars: pd.DataFrame) -> pd.DataFrame:
    before = bars.groupby("symbol")[["close_cny", "adj_factor"]].shift()
    expected = (before["close_cny"] * before["adj_factor"] / bars["adj_factor"]).fillna(bars["pre_close_cny"])
    average = bars["amount_cny"] / bars["volume_shares"]
    return bars.assign(
        expected=expected,
        factor_before=before["adj_factor"].fillna(bars["adj_factor"]),
        average_over_low=average / bars["low_cny"],
        average_over_high=average / bars["high_cny"],
        reference_off=(bars["pre_close_cny"] - expected).abs() - 0.002 * expected - 0.01,
    )


def _seconds(call: Callable[[], object]) -> tuple[float, float]:
    wall, cpu = time.perf_counter(), time.process_time()
    call()
    return time.perf_counter() - wall, time.process_time() - cpu


def _version(package: str) -> str:
    from importlib.metadata import version

    return version(package)


if __name__ == "__main__":
    print(json.dumps(run("--quick" in sys.argv), indent=2))
