"""``python -m ljwx_pipeline.exchange.child``: the paper exchange of a runner that has none of its own to connect to.

What it serves comes as one line of JSON on its standard input; where it listens goes out as one line of JSON. It ends
when its standard input does, so it never outlives the runner that started it, whatever ended that one. Not here: the
process itself (``main.py``), the runner's side (``live/own_exchange.py``).
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from pathlib import Path

from ljwx_pipeline.config import CostSettings
from ljwx_pipeline.errors import LjwxError
from ljwx_pipeline.exchange.main import Opened, ServeSettings, serve
from ljwx_pipeline.exchange.opening import ExchangeSettings


def main() -> int:
    """Serve until standard input ends or a signal comes; return the exit code."""
    asked = json.loads(sys.stdin.readline())

    def ready(opened: Opened) -> None:
        sys.stdout.write(json.dumps({"port": opened.port}) + "\n")
        sys.stdout.flush()

    threading.Thread(target=_end_with_input, name="end-with-input", daemon=True).start()
    try:
        return serve(
            Path(asked["pack"]),
            Path(asked["state"]),
            ExchangeSettings(
                costs=CostSettings.model_validate(asked["costs"]),
                capital_fen=asked["capital_fen"],
                tick_seconds=asked["tick_seconds"],
            ),
            ServeSettings(host=asked["host"], port=asked["port"], speed=asked["speed"], allow_faults=False),
            ready=ready,
        )
    except LjwxError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code


def _end_with_input() -> None:
    sys.stdin.read()
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(main())
