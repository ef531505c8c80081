"""W3b: TopkDropout(50, 5) with A-share costs, 1,700 sessions x 300 symbols, and whether two runs agree bit for bit.

The panel is a seeded random walk with suspensions; the scores know a little of the next five sessions, so that
positions turn over as a model's would. Compilation is left out (one warm run first); building the arrays is reported
beside.
"""

from __future__ import annotations

import json
import resource
import statistics
import time
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ljwx_pipeline.backtest.engine import run_backtest
from ljwx_pipeline.backtest.result import BacktestResult
from ljwx_pipeline.config import CostSettings, StrategySettings, load_settings
from ljwx_pipeline.market.calendar import sessions_between
from ljwx_pipeline.market.symbols import Board
from ljwx_pipeline.market.tables import empty_table
from ljwx_pipeline.trading.market_arrays import MarketArrays, market_arrays

SYMBOLS, SESSIONS = 300, 1_700
GOAL = "at least 200 times qlib's speed, bit-identical across runs"


def run(quick: bool = False) -> dict[str, Any]:
    """Return the result entry; ``quick`` runs a tenth of the sessions, for a look at the bench itself."""
    sessions = SESSIONS // 10 if quick else SESSIONS
    bars, securities, scores = _panel(SYMBOLS, sessions)
    days = pd.DatetimeIndex(np.sort(bars["session_date"].unique()), name="session_date")
    began = time.perf_counter()
    market = market_arrays(
        bars,
        securities,
        empty_table("st_spells"),
        empty_table("corporate_actions"),
        symbols=tuple(securities["symbol"]),
        sessions=days,
        adjustment="raw",
    )
    arrays_s = time.perf_counter() - began
    root = Path(__file__).resolve().parent.parent
    settings = load_settings(profile="simulated", config_file=root / "ljwx.toml", environ={})
    strategy = settings.strategy.model_copy(update={"top_k": 50, "n_drop": 5, "capital_cny": 100_000_000.0})
    first = _backtest(market, scores, strategy, settings.costs)
    walls, cpus, identical = [], [], True
    for _ in range(2 if quick else 7):
        wall, cpu = time.perf_counter(), time.process_time()
        again = _backtest(market, scores, strategy, settings.costs)
        walls.append(time.perf_counter() - wall)
        cpus.append(time.process_time() - cpu)
        identical &= _same_bits(first, again)
    return {
        "id": "W3b",
        "what": f"TopkDropout(50, 5) with A-share costs, {sessions} sessions x {SYMBOLS} symbols",
        "ours": {
            "wall_s": round(statistics.median(walls), 5),
            "cpu_s": round(statistics.median(cpus), 5),
            "peak_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
            "arrays_wall_s": round(arrays_s, 4),
            "orders": len(first.orders),
            "bit_identical": identical,
        },
        "peer": None,
        "ratio": None,
        "goal": GOAL,
        "holds": False,
        "command": "python -m benchmarks.w3b_topk_dropout" + (" (quick)" if quick else ""),
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _backtest(
    market: MarketArrays, scores: np.ndarray, strategy: StrategySettings, costs: CostSettings
) -> BacktestResult:
    first, last = market.sessions[0].date(), market.sessions[-1].date()
    return run_backtest(market, scores, strategy=strategy, costs=costs, first=first, last=last)


def _same_bits(one: BacktestResult, two: BacktestResult) -> bool:
    return one.equity_fen.tobytes() == two.equity_fen.tobytes() and one.orders.equals(two.orders)


def _panel(symbols: int, sessions: int) -> tuple[pd.DataFrame, pd.DataFrame, np.ndarray]:
    rng = np.random.default_rng(20)
    days = sessions_between(date(2013, 1, 4), date(2020, 12, 31))[:sessions]
    returns = np.clip(rng.normal(0.0003, 0.022, (symbols, sessions)), -0.099, 0.099)
    close = np.maximum(np.round(20 * np.cumprod(1 + returns, axis=1), 2), 0.5)
    reference = np.c_[close[:, :1], close[:, :-1]]
    volume = np.round(rng.lognormal(15, 0.6, close.shape) / 100) * 100
    names = [f"S{i:05d}.SIM" for i in range(symbols)]
    bars = pd.DataFrame(
        {
            "symbol": np.repeat(names, sessions),
            "session_date": np.tile(days, symbols),
            "open_cny": reference.ravel(),
            "high_cny": np.maximum(reference, close).ravel(),
            "low_cny": np.minimum(reference, close).ravel(),
            "close_cny": close.ravel(),
            "pre_close_cny": reference.ravel(),
            "volume_shares": volume.ravel(),
        }
    )[rng.uniform(size=close.size) >= 0.025]
    securities = pd.DataFrame(
        {"symbol": names, "board": int(Board.MAIN), "list_date": pd.Timestamp("2010-01-04"), "delist_date": pd.NaT}
    )
    ahead = np.zeros_like(close)
    ahead[:, :-6] = close[:, 6:] / close[:, 1:-5] - 1
    return bars, securities, ahead + rng.normal(0, 0.5, close.shape)


if __name__ == "__main__":
    print(json.dumps(run(), indent=2))
