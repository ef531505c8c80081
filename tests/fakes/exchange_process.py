"""The exchange in a process of its own over loopback, and the least client that can follow it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from websockets.sync.client import ClientConnection, connect

from ljwx_pipeline.trading.exchange_wire import (
    EPOCH_HEADER,
    Durable,
    FaultKind,
    Frame,
    NewOrder,
    OrderReport,
    decode_frame,
    encode_ack,
)
from ljwx_pipeline.trading.strict_json import from_json, to_json

ROOT = Path(__file__).resolve().parents[2]


class ExchangeProcess:
    """A running ``ljwx exchange``."""

    def __init__(self, pack: Path, state: Path, *options: str) -> None:
        command = [sys.executable, "-m", "ljwx_pipeline.cli", "exchange", "--pack", str(pack), "--state", str(state)]
        environment = {**os.environ, "LJWX_HOME": str(state.parent / "home")}
        self.process = subprocess.Popen(
            [*command, "--json", *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT, env=environment
        )
        line = self.process.stdout.readline()
        if not line:
            raise AssertionError(self.process.communicate()[1].decode())
        self.said: dict[str, Any] = json.loads(line)
        self.port: int = self.said["port"]
        self.http = httpx.Client(base_url=self.said["url"], timeout=20)

    def submit(self, order: NewOrder, epoch: int = 1) -> OrderReport:
        answer = self.http.post("/orders", json=to_json(order), headers={EPOCH_HEADER: str(epoch)})
        assert answer.is_success, answer.text
        return from_json(OrderReport, answer.json())

    def ask(self, path: str) -> Any:
        answer = self.http.get(path)
        assert answer.is_success, answer.text
        return answer.json()

    def fault(self, kind: FaultKind, *, count: int = 1, seconds: float = 0.0) -> None:
        answer = self.http.post("/faults", json={"kind": kind.value, "count": count, "seconds": seconds})
        assert answer.is_success, answer.text

    @contextmanager
    def stream(self, *, after: int = 0, ticks: int = 0, observe: int = 0) -> Iterator[ClientConnection]:
        query = f"after={after}&ticks={ticks}&observe={observe}"
        with connect(f"ws://127.0.0.1:{self.port}/stream?{query}", max_size=2**25, ping_interval=None) as socket:
            yield socket

    def frames(self, socket: ClientConnection, *, timeout_s: float = 20.0) -> Iterator[Frame]:
        """Frames as they come; each is acknowledged when the next one is asked for."""
        while True:
            frame = decode_frame(socket.recv(timeout=timeout_s))
            yield frame
            socket.send(encode_ack(frame.number))

    def messages(self) -> list[Durable]:
        from ljwx_pipeline.trading.exchange_wire import durable_from_json

        found: list[Durable] = []
        while page := self.ask(f"/events?after={len(found)}"):
            found += [durable_from_json(one) for one in page]
        return found

    def kill(self) -> None:
        """kill -9."""
        self.process.kill()
        self.process.communicate(timeout=30)
        self.http.close()

    def stop(self) -> int:
        """SIGTERM; returns the exit code."""
        self.process.send_signal(signal.SIGTERM)
        _, said = self.process.communicate(timeout=30)
        self.http.close()
        assert said == b"", said.decode()
        return self.process.returncode


@contextmanager
def exchange_process(pack: Path, state: Path, *options: str) -> Iterator[ExchangeProcess]:
    """A running exchange, stopped at the end unless it was already."""
    running = ExchangeProcess(pack, state, *options)
    try:
        yield running
    finally:
        if running.process.poll() is None:
            running.kill()
