"""Computes qlib's own Alpha158 values of a small seeded panel and freezes them for the tests.

``python -m benchmarks.peers.make_qlib_golden`` (after ``make bench-peers``) writes
``tests/factors/golden/qlib_alpha158.npz``: symbols, sessions, the six fields and the 158 values, all float32, and
qlib's version; and under ``example_`` the same of the short histories that docs/alpha158-against-qlib.md tells of, with
float64 inputs. The panel holds what is awkward on an exchange: single suspended days, a suspension longer than the
longest window, a late listing, a cheap stock with many equal prices, a dear one, a run of equal closes, one-price days,
and one symbol that trades every day.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.peers.environment import ROOT, run_peer
from benchmarks.peers.qlib_store import write_qlib_store
from ljwx_pipeline.market.panel import Panel

GOLDEN = ROOT / "tests" / "factors" / "golden" / "qlib_alpha158.npz"
SYMBOLS, SESSIONS, SEED = 8, 210, 158
#: What each symbol is an example of, in their order.
EXAMPLES = ("scattered", "long gap", "late", "cheap", "dear", "equal closes", "one price", "always trades")
_START_CNY = np.array([20.0, 8.0, 35.0, 1.3, 1700.0, 12.0, 25.0, 15.0])


def main() -> None:
    """Write the golden file."""
    panel = golden_panel()
    names, values, version = qlib_values(panel)
    examples = example_panel()
    _, example_values, _ = qlib_values(examples)
    arrays = {name: field.astype(np.float32) for name, field in panel.fields.items()}
    GOLDEN.parent.mkdir(exist_ok=True)
    np.savez_compressed(
        GOLDEN,
        names=np.array(names),
        values=values,
        symbols=np.array(panel.symbols),
        sessions=panel.sessions.to_numpy().astype("datetime64[D]"),
        version=np.array(version),
        **arrays,
        example_values=example_values,
        **{f"example_{name}": field for name, field in examples.fields.items()},
    )
    print(f"{GOLDEN.relative_to(ROOT)}: {values.shape} values of qlib {version}, {GOLDEN.stat().st_size:,} bytes")


def golden_panel() -> Panel:
    """Return the panel; every number is a float32, which is what qlib's store holds."""
    rng = np.random.default_rng(SEED)
    shape = (SYMBOLS, SESSIONS)
    close = np.round(_START_CNY[:, None] * np.exp(np.cumsum(rng.normal(0, 0.02, shape), axis=1)), 2)
    close[5, 80:90] = close[5, 80]
    open_ = np.round(close * np.exp(rng.normal(0, 0.008, shape)), 2)
    high = np.round(np.maximum(open_, close) * (1 + np.abs(rng.normal(0, 0.006, shape))), 2)
    low = np.round(np.minimum(open_, close) * (1 - np.abs(rng.normal(0, 0.006, shape))), 2)
    one_price = rng.random(shape) < 0.02
    one_price[6] |= rng.random(SESSIONS) < 0.2
    for prices in (open_, high, low):
        prices[one_price] = close[one_price]
    volume = np.round(np.exp(rng.normal(13, 0.8, shape)), -2)
    fields = {"open": open_, "high": high, "low": low, "close": close, "volume": volume}
    fields["vwap"] = (open_ + high + low + close) / 4
    absent = rng.random(shape) < 0.05
    absent[1, 60:135] = True
    absent[2, :70] = True
    absent[7] = False
    for values in fields.values():
        values[absent] = np.nan
    as_stored = {name: values.astype(np.float32).astype(np.float64) for name, values in fields.items()}
    symbols = tuple(f"{600000 + number}.SH" for number in range(SYMBOLS))
    return Panel(symbols, pd.bdate_range("2020-01-02", periods=SESSIONS, name="session_date"), as_stored)


def example_panel() -> Panel:
    """Return three symbols of seven sessions: a suspension, a dear stock's narrow day, a cheap one's even rise.

    The inputs are the exchange's ticks in float64; qlib's store rounds them to float32.
    """
    nan = np.nan
    close = np.array(
        [
            [10.0, 11.0, nan, 12.0, 13.0, 14.0, 13.5],
            [1700.05, 1700.20, 1700.15, 1700.12, 1700.30, 1700.25, 1700.43],
            [1.17, 1.18, 1.19, 1.20, 1.21, nan, 1.22],
        ]
    )
    high, low, open_ = close + 0.5, close - 0.5, close.copy()
    high[0] = [11.0, 12.0, nan, 19.0, 13.5, 14.5, 14.0]
    low[0] = [9.5, 9.0, nan, 11.5, 12.5, 13.5, 13.0]
    high[1, -1], low[1, -1], open_[1, -1] = 1700.44, 1700.42, 1700.42
    volume = np.array(
        [
            [5e5, 6e5, nan, 4e5, 7e5, 5e5, 6e5],
            [2e4, 3e4, 2e4, 5e4, 4e4, 3e4, 2e4],
            [9e5, 887_300, 232_800, 444_300, 644_100, nan, 1_261_400],
        ]
    )
    fields = {"open": open_, "high": high, "low": low, "close": close, "volume": volume, "vwap": close.copy()}
    symbols = ("600000.SH", "600001.SH", "600002.SH")
    return Panel(symbols, pd.bdate_range("2020-01-02", periods=7, name="session_date"), fields)


def qlib_values(panel: Panel) -> tuple[list[str], np.ndarray, str]:
    """Return qlib's names, its float32 values (name, symbol, session) and its version."""
    with tempfile.TemporaryDirectory(prefix="ljwx-qlib-") as folder:
        store, out = Path(folder) / "store", Path(folder) / "values.npz"
        write_qlib_store(panel, store)
        child = run_peer("qlib_alpha158.py", store, "--values", out)
        with np.load(out) as arrays:
            if tuple(arrays["symbols"]) != panel.symbols:
                raise ValueError(f"qlib answered {tuple(arrays['symbols'])}, asked were {panel.symbols}")
            return [str(name) for name in arrays["names"]], arrays["values"], str(child.answer["version"])


if __name__ == "__main__":
    main()
