"""Once the kernels are compiled, deciding a close, valuing the account and judging a stop compile nothing more."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pandas as pd

from tests.fakes.live_market import live_tables, write_pack

ROOT = Path(__file__).parents[2]
#: In a process of its own: whatever other tests have called is compiled in this one.
SCRIPT = """
import json, sys
from datetime import date
from pathlib import Path
import numpy as np
from ljwx_pipeline.config import load_settings
from ljwx_pipeline.live.decision import Decider, DecidingModel, Portfolio, RunnerSettings
from ljwx_pipeline.live.events import HeldPosition
from ljwx_pipeline.live.feed import ReplayFeed
from ljwx_pipeline.live.valuation import valuation
from ljwx_pipeline.live.warm_up import compile_kernels
from ljwx_pipeline.trading.exits import exit_reason
from ljwx_pipeline.trading.matching import floor_to_lot

def compiled():
    found = {}
    for name, module in list(sys.modules.items()):
        if name.startswith("ljwx_pipeline.trading"):
            for key, value in vars(module).items():
                if hasattr(value, "nopython_signatures"):
                    found[f"{value.py_func.__module__}.{key}"] = len(value.nopython_signatures)
    return found

shipped = load_settings(profile="simulated", config_file=Path(sys.argv[2]), environ={})
settings = RunnerSettings(shipped.strategy, shipped.risk, shipped.live, shipped.uncertainty)
feed = ReplayFeed.open(Path(sys.argv[1]))
compile_kernels(feed, settings, shipped.costs)
before = compiled()
day = feed.sessions[0]
held = [HeldPosition(symbol=one, shares=300, sellable_shares=300, held_sessions=4, entry_price_e4=90_000,
                     peak_price_e4=120_000, last_price_e4=100_000) for one in feed.symbols[:3]]
worth = valuation(10**10, held, lambda _: 100_000, costs=shipped.costs, session=day)
for past in ([], [worth.equity_fen] * 5):
    account = Portfolio(held, worth.cash_fen, worth.equity_fen, {}, past, past)
    for may_buy in (None, np.ones(len(feed.symbols), dtype=np.int8)):
        asked = Decider(feed, settings).orders(
            day, account, np.linspace(0, 1, len(feed.symbols)), may_buy, DecidingModel("1", day))
exit_reason(100_000, 90_000, 120_000, 4, 500, 0, 0, 0)
floor_to_lot(350, 100, 100)
after = compiled()
print(json.dumps({"kernels": sum(map(bool, before.values())), "orders": len(asked),
                  "more": [one for one in after if after[one] != before.get(one)]}))
"""


def test_what_the_runner_calls_while_it_trades_is_compiled_before(tmp_path: Path) -> None:
    write_pack(
        tmp_path / "feed",
        live_tables(seed=0, feed_sessions=3),
        feed_sessions=3,
        online_features=pd.DataFrame({"symbol": ["x"]}),
    )
    given = [sys.executable, "-c", SCRIPT, str(tmp_path / "feed"), str(ROOT / "ljwx.toml")]
    done = subprocess.run(given, capture_output=True, text=True, check=False, timeout=120, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["orders"] > 0
    assert said["kernels"] > 5
    assert said["more"] == []
