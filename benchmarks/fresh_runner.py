"""No bench: the whole runner over the home in the arguments, which says when its books agree with the exchange's.

It imports no heavy package that the product's process does not: a start is measured.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from ljwx_pipeline.clock import SystemClock
from ljwx_pipeline.config import load_settings
from ljwx_pipeline.live.main import RunnerProcess
from tests.fakes.live_home import CONFIG, live_settings


def main(home: Path, keys: Path) -> None:
    """Trade what is there, on an exchange of its own; print a line each time the books agree, and at the end."""
    settings = live_settings(load_settings(config_file=CONFIG, profile="simulated", environ={}))
    process = RunnerProcess(
        home, settings, keys_dir=keys, clock=SystemClock(), ready=lambda: print("ready", flush=True)
    )
    asyncio.run(process.loop.run(once=True, standby=False))
    print("done", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
