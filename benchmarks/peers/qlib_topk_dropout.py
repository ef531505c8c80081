"""Runs qlib's TopkDropout backtest over a folder that ``qlib_store.py`` wrote; for the peers' interpreter.

``python qlib_topk_dropout.py <folder> <answer.json>``. The folder also holds ``scores.parquet`` (datetime, instrument,
score). The answer holds the version, the seconds of the backtest's loop with its exchange made beforehand, those of
making the exchange (qlib reads its quotes there), the orders filled and the last account value.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import types
from importlib.metadata import version
from pathlib import Path

import pandas as pd

TOP_K, N_DROP, CAPITAL_CNY = 50, 5, 100_000_000


def _without_gym() -> None:
    """Let qlib import its strategies: they import its reinforcement learning, whose gym the peers' lock leaves out."""
    gym, spaces = types.ModuleType("gym"), types.ModuleType("gym.spaces")
    gym.Space = gym.Env = spaces.Space = spaces.Discrete = object
    gym.spaces = spaces
    sys.modules.update({"gym": gym, "gym.spaces": spaces})


def main() -> None:
    """Run the backtest and write what it took."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("answer", type=Path)
    options = parser.parse_args()

    _without_gym()
    import qlib
    from qlib.backtest.exchange import Exchange
    from qlib.contrib.evaluate import backtest_daily
    from qlib.contrib.strategy import TopkDropoutStrategy

    qlib.init(provider_uri=str(options.folder), region="cn", kernels=1, expression_cache=None, dataset_cache=None,
              logging_level="ERROR")  # fmt: skip
    scores = pd.read_parquet(options.folder / "scores.parquet").set_index(["datetime", "instrument"])["score"]
    days = scores.index.get_level_values("datetime").unique().sort_values()
    ends = {"start_time": days[0], "end_time": days[-2]}  # qlib looks one session ahead
    began = time.perf_counter()
    exchange = Exchange(
        freq="day", start_time=days[0], end_time=days[-1], codes="all", deal_price="close", limit_threshold=0.095,
        open_cost=0.00026, close_cost=0.00126, min_cost=5.0, impact_cost=0.0002,
    )  # fmt: skip
    exchange_s = time.perf_counter() - began
    strategy = TopkDropoutStrategy(signal=scores, topk=TOP_K, n_drop=N_DROP)
    began = time.perf_counter()
    report, positions = backtest_daily(
        **ends,
        strategy=strategy,
        account=CAPITAL_CNY,
        benchmark=pd.Series(0.0, index=days),
        exchange_kwargs={"exchange": exchange},
    )
    answer = {
        "name": "qlib",
        "version": version("pyqlib"),
        "loop_wall_s": time.perf_counter() - began,
        "exchange_wall_s": exchange_s,
        "sessions": len(report),
        "positions_last": len(positions[max(positions)].get_stock_list()),
        "mean_turnover_frac": float(report["turnover"].mean()),
        "account_last_cny": float(report["account"].iloc[-1]),
    }
    options.answer.write_text(json.dumps(answer), encoding="utf-8")


if __name__ == "__main__":
    main()
