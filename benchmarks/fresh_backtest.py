"""A process of its own that reads bars from Parquet and backtests them: what ``backtest_whole_market`` measures.

``python -m benchmarks.fresh_backtest <bars.parquet> <answer.json>``. The answer says how the seconds were spent.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.whole_market import LISTED
from ljwx_pipeline.backtest.engine import run_backtest
from ljwx_pipeline.config import load_settings
from ljwx_pipeline.market.symbols import Board
from ljwx_pipeline.market.tables import empty_table
from ljwx_pipeline.trading.decide import ranked
from ljwx_pipeline.trading.market_arrays import market_arrays

COLUMNS = ["symbol", "session_date", "close_cny", "pre_close_cny", "volume_shares"]
ROOT = Path(__file__).resolve().parent.parent


def main() -> None:
    """Read, build the arrays, rank seeded scores, backtest, and write what it took."""
    parser = argparse.ArgumentParser()
    parser.add_argument("bars", type=Path)
    parser.add_argument("answer", type=Path)
    options = parser.parse_args()
    settings = load_settings(profile="simulated", config_file=ROOT / "ljwx.toml", environ={})
    strategy = settings.strategy.model_copy(update={"top_k": 50, "n_drop": 5, "capital_cny": 100_000_000.0})
    pa.set_memory_pool(pa.system_memory_pool())  # the default one keeps what it frees
    clock, cpu = [time.perf_counter()], [time.process_time()]
    table = pq.read_table(options.bars, columns=COLUMNS, read_dictionary=["symbol"])
    bars = table.to_pandas(split_blocks=True, self_destruct=True)
    del table
    clock.append(time.perf_counter())
    cpu.append(time.process_time())
    names = tuple(sorted(bars["symbol"].cat.categories))
    securities = pd.DataFrame({"symbol": names, "board": int(Board.MAIN), "list_date": LISTED, "delist_date": pd.NaT})
    market = market_arrays(
        bars,
        securities,
        empty_table("st_spells"),
        empty_table("corporate_actions"),
        symbols=names,
        sessions=pd.DatetimeIndex(np.sort(bars["session_date"].unique()), name="session_date"),
        adjustment="raw",
    )
    clock.append(time.perf_counter())
    cpu.append(time.process_time())
    # in Fortran order, session after session, as the market's own arrays are
    scores = np.random.default_rng(5).standard_normal(market.close_e4.shape[::-1]).T
    clock.append(time.perf_counter())
    cpu.append(time.process_time())
    ranking = ranked(scores)
    clock.append(time.perf_counter())
    cpu.append(time.process_time())
    result = run_backtest(
        market,
        scores,
        strategy=strategy,
        costs=settings.costs,
        first=market.sessions[0].date(),
        last=market.sessions[-1].date(),
        ranking=ranking,
    )
    clock.append(time.perf_counter())
    cpu.append(time.process_time())
    read_s, arrays_s, _, rank_s, backtest_s = np.diff(clock).tolist()
    cpu_s = np.diff(cpu)
    answer = {
        "read_s": round(read_s, 3),
        "arrays_s": round(arrays_s, 3),
        "rank_s": round(rank_s, 3),
        "backtest_s": round(backtest_s, 4),
        "cpu_s": round(float(cpu_s[1] + cpu_s[3] + cpu_s[4]), 3),
        "rows": len(bars),
        "orders": len(result.orders),
        "equity_sha256": hashlib.sha256(result.equity_fen.tobytes()).hexdigest(),
    }
    options.answer.write_text(json.dumps(answer), encoding="utf-8")


if __name__ == "__main__":
    main()
