"""No bench: importing this trades a tiny market, so that processes forked afterwards find every kernel loaded."""

from __future__ import annotations

import tempfile
from pathlib import Path


def _warm() -> None:
    from ljwx_pipeline.config import load_settings
    from ljwx_pipeline.live.main import run_replay
    from tests.fakes.live_home import CONFIG, live_home, live_settings

    with tempfile.TemporaryDirectory() as made:
        home = live_home(Path(made), symbols=16, feed_sessions=2)
        home.spool(home.bundle(), "1")
        shipped = load_settings(config_file=CONFIG, profile="simulated", environ={})
        run_replay(home.home, live_settings(shipped), keys_dir=home.keys)


_warm()
