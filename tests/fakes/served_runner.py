"""``ljwx live`` as processes: real ones over one home, each with a port of its own, and the exchange they started."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from ljwx_pipeline.config import load_settings
from ljwx_pipeline.errors import LjwxError
from ljwx_pipeline.live.account_files import ACCOUNT_DIR, EXCHANGE_DIR, EXCHANGE_LOCK_NAME
from tests.fakes.live_home import CONFIG, Home, live_settings

ROOT = Path(__file__).resolve().parents[2]


class ServedRunner:
    """One running `serve`."""

    def __init__(self, home: Home, **live: object) -> None:
        self.port = free_port()
        asked = {"home": str(home.home), "keys": str(home.keys), "port": self.port, "live": live}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.fakes.served_runner", json.dumps(asked)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def ask(self, path: str) -> dict[str, Any]:
        """Return what ``path`` answers; nothing while nobody listens, as in a process that stands by."""
        try:
            answer = httpx.get(f"http://127.0.0.1:{self.port}{path}", timeout=10)
        except httpx.TransportError:
            return {}
        return dict(answer.json())

    @property
    def mode(self) -> str:
        return str(self.ask("/health").get("mode", ""))

    @property
    def sessions(self) -> int:
        """Sessions that are done."""
        return int(self.ask("/status").get("account", {}).get("sessions", 0))

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def end(self, number: signal.Signals | None = None) -> tuple[int, str]:
        """Send ``number`` if any, wait, and return the exit code and what was complained of."""
        if number is not None:
            self.send(number)
        _, said = self.process.communicate(timeout=60)
        return self.process.returncode, said


@contextmanager
def serving(home: Home, **live: object) -> Iterator[ServedRunner]:
    """A runner that is killed at the end unless it has ended."""
    running = ServedRunner(home, **live)
    try:
        yield running
    finally:
        if running.process.poll() is None:
            running.process.kill()
        running.process.communicate()


@dataclass(frozen=True)
class ExchangeThere:
    """The exchange process that holds the account."""

    process: int
    parent: int
    port: int


def exchange_of(live_dir: Path) -> ExchangeThere | None:
    """Return the exchange that listens for the account in ``live_dir``, None while none does."""
    try:
        said = (live_dir / ACCOUNT_DIR / EXCHANGE_DIR / EXCHANGE_LOCK_NAME).read_text(encoding="ascii").split()
        if len(said) != 2 or said[1] == "0":
            return None
        stat = Path(f"/proc/{said[0]}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except OSError:
        return None
    return None if stat[0] == "Z" else ExchangeThere(int(said[0]), int(stat[1]), int(said[1]))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(condition: Callable[[], object], seconds: float = 60.0) -> float:
    """Wait until ``condition`` holds and return how many seconds that took."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() < began + seconds, "it did not happen in time"
        time.sleep(0.05)
    return time.monotonic() - began


def main(asked: dict[str, Any]) -> int:
    from ljwx_pipeline.live.main import serve

    shipped = load_settings(config_file=CONFIG, profile="simulated", environ={})
    settings = live_settings(shipped, runner_port=asked["port"])
    settings = settings.model_copy(update={"live": settings.live.model_copy(update=asked["live"])})
    try:
        return serve(Path(asked["home"]), settings, keys_dir=Path(asked["keys"]))
    except LjwxError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main(json.loads(sys.argv[1])))
