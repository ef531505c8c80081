"""A peer kept running in the peers' environment, so that ours and it can be measured in turn: A B A B.

Not here: what a peer does (``peers/``).
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PEER_PYTHON = ROOT / ".venv-peers" / "bin" / "python"


def peers_installed() -> bool:
    """Return whether ``make bench-peers`` was run here."""
    return PEER_PYTHON.exists()


class PeerProcess:
    """A script of ``peers/`` that first says who it is and then answers each line with a line of JSON."""

    def __init__(self, script: str, *arguments: str) -> None:
        command = [str(PEER_PYTHON), str(ROOT / "benchmarks" / "peers" / script), *arguments]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.about = self._read()

    def ask(self, line: str) -> dict[str, Any]:
        """Send one line and return the answer."""
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()
        return self._read()

    def __enter__(self) -> PeerProcess:
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _value: BaseException | None, _tb: TracebackType | None
    ) -> None:
        self._process.communicate()

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the peer ended with exit code {self._process.wait()}: see its own words above")
        answer: dict[str, Any] = json.loads(line)
        return answer
