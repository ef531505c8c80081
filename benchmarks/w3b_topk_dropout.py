"""W3b: TopkDropout(50, 5) with A-share costs, 1,700 sessions x 300 symbols, and whether two runs agree bit for bit.

The panel is a seeded random walk with suspensions; the scores know a little of the next five sessions, so that
positions turn over as a model's would. Compilation is left out (one warm run first); building the arrays is reported
beside. Ours is the whole call, ranking and order tables included; ``variant`` is a variant of a sweep, whose scores are
ranked already and of which only the figures are made.

The peer is qlib's TopkDropoutStrategy and daily executor on the same panel and scores, with its exchange (into which it
reads the quotes) made beforehand. It trades at the close with one limit of 9.5 %, two cost rates and no lots, dates,
participation or second reckoning, so the two accounts are alike and not the same.
"""

from __future__ import annotations

import json
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.peers.environment import interpreter, run_peer
from benchmarks.peers.qlib_store import write_qlib_store
from ljwx_pipeline.backtest.engine import run_backtest, simulate
from ljwx_pipeline.backtest.result import BacktestResult
from ljwx_pipeline.config import CostSettings, StrategySettings, load_settings
from ljwx_pipeline.market.calendar import sessions_between
from ljwx_pipeline.market.panel import Panel, dense
from ljwx_pipeline.market.symbols import Board
from ljwx_pipeline.market.tables import empty_table
from ljwx_pipeline.trading.decide import ranked
from ljwx_pipeline.trading.market_arrays import MarketArrays, market_arrays

SYMBOLS, SESSIONS = 300, 1_700
LEAST_RATIO = 200
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
    repeats, again = 2 if quick else 15, []
    wall, cpu = _clock(lambda: again.append(_backtest(market, scores, strategy, settings.costs)), repeats)
    by_session, ranking = np.asfortranarray(scores), ranked(scores)
    ends = {"first": days[0].date(), "last": days[-1].date()}
    variant = _clock(
        lambda: simulate(market, by_session, strategy=strategy, costs=settings.costs, ranking=ranking, **ends), repeats
    )
    identical = all(_same_bits(first, each) for each in again)
    peer = None if quick or interpreter() is None else _peer(bars, securities, days, scores)
    ratio = None if peer is None else round(peer["wall_s"] / wall, 1)
    return {
        "id": "W3b",
        "what": f"TopkDropout(50, 5) with A-share costs, {sessions} sessions x {SYMBOLS} symbols",
        "ours": {
            "wall_s": round(wall, 5),
            "cpu_s": round(cpu, 5),
            "variant_wall_s": round(variant[0], 5),
            "variant_cpu_s": round(variant[1], 5),
            "peak_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
            "arrays_wall_s": round(arrays_s, 4),
            "orders": len(first.orders),
            "mean_turnover_frac": round(float(first.turnover_frac.mean()), 4),
            "account_last_cny": float(first.equity.iloc[-1]),
            "bit_identical": identical,
        },
        "peer": peer,
        "ratio": ratio,
        "goal": GOAL,
        "holds": identical and ratio is not None and ratio >= LEAST_RATIO,
        "command": "python -m benchmarks.w3b_topk_dropout" + (" (quick)" if quick else ""),
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _backtest(
    market: MarketArrays, scores: np.ndarray, strategy: StrategySettings, costs: CostSettings
) -> BacktestResult:
    first, last = market.sessions[0].date(), market.sessions[-1].date()
    return run_backtest(market, scores, strategy=strategy, costs=costs, first=first, last=last)


def _clock(call: Callable[[], object], repeats: int) -> tuple[float, float]:
    """Return the median wall and CPU seconds of a call."""
    walls, cpus = [], []
    for _ in range(repeats):
        wall, cpu = time.perf_counter(), time.process_time()
        call()
        walls.append(time.perf_counter() - wall)
        cpus.append(time.process_time() - cpu)
    return statistics.median(walls), statistics.median(cpus)


def _peer(bars: pd.DataFrame, securities: pd.DataFrame, days: pd.DatetimeIndex, scores: np.ndarray) -> dict[str, Any]:
    """Return qlib's part of the entry: the median of three processes."""
    symbols = tuple(securities["symbol"])
    fields = {name: dense(bars, f"{name}_cny", symbols, days) for name in ("open", "high", "low", "close")}
    fields["volume"] = dense(bars, "volume_shares", symbols, days)
    fields["factor"] = np.where(np.isnan(fields["close"]), np.nan, 1.0)
    reference = dense(bars, "pre_close_cny", symbols, days)
    fields["change"] = fields["close"] / reference - 1
    with tempfile.TemporaryDirectory(prefix="ljwx-w3b-") as folder:
        store = Path(folder) / "store"
        write_qlib_store(Panel(symbols, days, fields), store)
        index = pd.MultiIndex.from_product([symbols, days], names=["instrument", "datetime"])
        pd.Series(scores.ravel(), index=index, name="score").reset_index().to_parquet(store / "scores.parquet")
        runs = [run_peer("qlib_topk_dropout.py", store) for _ in range(3)]
    middle = sorted(runs, key=lambda each: each.answer["loop_wall_s"])[1].answer
    return {
        "name": middle["name"],
        "version": middle["version"],
        "wall_s": round(middle["loop_wall_s"], 3),
        "exchange_wall_s": round(middle["exchange_wall_s"], 3),
        "process_wall_s": round(statistics.median(each.wall_s for each in runs), 2),
        "sessions": middle["sessions"],
        "positions_last": middle["positions_last"],
        "mean_turnover_frac": round(middle["mean_turnover_frac"], 4),
        "account_last_cny": round(middle["account_last_cny"], 2),
    }


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
    print(json.dumps(run("--quick" in sys.argv), indent=2))
