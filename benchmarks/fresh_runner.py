"""No bench: the whole runner over the home in the arguments, which says when its books agree with the exchange's.

It imports what the product's process does and nothing else: a start is measured.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from ljwx_pipeline.clock import SystemClock
from ljwx_pipeline.config import load_settings
from ljwx_pipeline.live.main import RunnerProcess

CONFIG = Path(__file__).resolve().parents[1] / "ljwx.toml"
#: A strategy for a few names, and a gate that seldom binds: what `live_settings` of the tests' home asks for.
ASKED = {
    "LJWX_STRATEGY__TOP_K": "6",
    "LJWX_STRATEGY__N_DROP": "2",
    "LJWX_STRATEGY__MIN_HOLD_SESSIONS": "2",
    "LJWX_RISK__MAX_WEIGHT_PER_NAME_FRAC": "0.3",
    "LJWX_RISK__MAX_PRICE_DEVIATION_FRAC": "1.0",
    "LJWX_RISK__MAX_DAY_LOSS_FRAC": "1.0",
    "LJWX_LIVE__MAX_BUNDLE_AGE_DAYS": "3650",
    "LJWX_LIVE__POLL_SECONDS": "0.05",
    "LJWX_UNIVERSE__MIN_MEAN_AMOUNT_CNY": "0.0",
}


def main(home: Path, keys: Path) -> None:
    """Trade what is there, on an exchange of its own; print a line each time the books agree, and at the end."""
    settings = load_settings(config_file=CONFIG, profile="simulated", environ=ASKED)
    process = RunnerProcess(
        home, settings, keys_dir=keys, clock=SystemClock(), ready=lambda: print("ready", flush=True)
    )
    asyncio.run(process.loop.run(once=True, standby=False))
    print("done", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
