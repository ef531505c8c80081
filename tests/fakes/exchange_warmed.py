"""Importing this plays a tiny market, so that processes forked afterwards find every kernel loaded."""

from __future__ import annotations

import tempfile
from pathlib import Path

from tests.fakes.exchange_crash import play_and_die
from tests.fakes.exchange_world import write_market

with tempfile.TemporaryDirectory() as _folder:
    play_and_die(write_market(Path(_folder) / "feed", symbols=8, feed_sessions=2), Path(_folder) / "state")
