"""Importing this replays a tiny market, so that processes forked afterwards find every kernel loaded."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pandas as pd

from tests.fakes.live_market import live_tables, write_pack
from tests.fakes.replay_process import replay

with tempfile.TemporaryDirectory() as _folder:
    _pack = Path(_folder) / "feed"
    _tables = live_tables(symbols=16, sessions=70, feed_sessions=3)
    write_pack(_pack, _tables, feed_sessions=3, online_features=pd.DataFrame({"symbol": ["x"]}))
    replay(Path(_folder), _pack)
