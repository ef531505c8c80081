"""The stub as a process of its own, as a person starts it."""

from __future__ import annotations

import signal
import subprocess
import sys
from datetime import date
from pathlib import Path

from ljwx_pipeline.clock import SystemClock
from ljwx_pipeline.config import SourceSettings
from ljwx_pipeline.sources.tushare import TushareSource
from tests.fakes.provider_stubs.tushare_source import tushare_settings

ROOT = Path(__file__).resolve().parents[3]


def test_a_person_can_start_it_ask_it_and_stop_it() -> None:
    command = [sys.executable, "-m", "tests.fakes.provider_stubs.tushare", "--symbols", "20"]
    span = ["--first", "2020-06-01", "--last", "2020-06-30", "--until", "2020-06-30"]
    with subprocess.Popen([*command, *span], cwd=ROOT, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        endpoint, _, token = server.stdout.readline().split()
        span_asked = SourceSettings(
            kind="tushare", first_session=date(2020, 6, 1), last_session=date(2020, 6, 30), symbols=(), as_of=""
        )
        source = TushareSource(
            tushare_settings(endpoint),
            span_asked,
            indices=("000300.SH",),
            clock=SystemClock(),
            environ={"TUSHARE_TOKEN": token},
        )
        units = source.bar_units(date(2020, 6, 1), date(2020, 6, 5))
        assert len(units) == 5
        assert len(source.bars_of(units[0])) > 15
        server.send_signal(signal.SIGTERM)
        assert server.wait(timeout=10) == 0
