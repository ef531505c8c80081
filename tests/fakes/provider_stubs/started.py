"""The three stubs as processes of a test, and the settings that reach them. Not here: what they serve."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[3]
PROVIDERS = ("tushare", "akshare", "baostock")


@dataclass
class StubProcess:
    """A stub on this machine: the settings that reach it, and its signals."""

    process: subprocess.Popen[str]
    settings: dict[str, Any]

    def toggle_outage(self) -> None:
        self.process.send_signal(signal.SIGUSR1)
        assert self._line().startswith("outage")

    def calls(self) -> int:
        self.process.send_signal(signal.SIGUSR2)
        return int(self._line().split()[0])

    def _line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()


@contextmanager
def started_stubs(options: Sequence[str]) -> Iterator[dict[str, StubProcess]]:
    """Start a stub of each provider with ``options``, yield them by name once they answer, stop them at the end."""
    started = {
        name: subprocess.Popen(
            [sys.executable, "-m", f"tests.fakes.provider_stubs.{name}", *options],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        )
        for name in PROVIDERS
    }
    try:
        said = {name: process.stdout.readline().split()[0] for name, process in started.items() if process.stdout}
        host, port = said["baostock"].split(":")
        where = {
            "tushare": {"tushare.endpoint": said["tushare"]},
            "akshare": {"akshare.endpoint": said["akshare"]},
            "baostock": {"baostock.host": host, "baostock.port": port},
        }
        yield {name: StubProcess(process, where[name]) for name, process in started.items()}
    finally:
        for process in started.values():
            process.terminate()
            process.wait(timeout=20)
