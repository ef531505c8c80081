"""The paper exchange that a runner starts for itself: a process of its own on the account's folder.

Where one is at work on that folder already (another runner's, which may be stopped in the middle), that one is used: an
account has one exchange, and what fences its runners is there. Not here: what it serves (``exchange/``), how it is
spoken to (``brokers/paper_exchange.py``).
"""

from __future__ import annotations

import asyncio
import json
import sys
from asyncio.subprocess import PIPE, Process
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ljwx_pipeline.errors import EnvironmentFault, LiveError
from ljwx_pipeline.live.account_files import EXCHANGE_LOCK_NAME

#: How long a new exchange may take until it says where it listens; it checks every file of the pack first.
START_S = 60.0
STOP_S = 10.0
_LOOK_S = 0.05
_AT_ONCE_BYTES = 65_536
#: How often a start is tried against an exchange that is just ending, or just starting.
_TRIES = 40


@dataclass(frozen=True)
class OwnExchangeSettings:
    """What the process is started with.

    Parameters
    ----------
    pack, state
        The market's folder, and the one that holds account and journal.
    costs
        ``[costs]`` as plain data.
    capital_fen
        Cash of a new account.
    tick_seconds
        Market seconds between two ticks of a name.
    host
        Address of this machine that it listens on.
    """

    pack: Path
    state: Path
    costs: dict[str, Any]
    capital_fen: int
    tick_seconds: int
    host: str


class OwnExchange:
    """One exchange process, started when it is asked for and not there."""

    def __init__(self, settings: OwnExchangeSettings) -> None:
        self._settings = settings
        self._process: Process | None = None
        self._port = 0
        self._telling: asyncio.Task[None] | None = None
        self._early: asyncio.Task[None] | None = None

    def start_soon(self) -> None:
        """Start the exchange of an account that has begun, beside whatever is done until its address is asked for.

        What hinders it is said by `address`, which then tries again.
        """
        if self._settings.state.is_dir():
            self._early = asyncio.create_task(self._require_running())

    async def address(self) -> str:
        """Return where the exchange listens, after starting it unless it runs; the same address every time.

        Raises
        ------
        LiveError
            When it refuses to start: pack and account do not fit, or one of them is damaged.
        """
        if self._early is not None:
            await asyncio.gather(self._early, return_exceptions=True)
        await self._require_running()
        host = self._settings.host
        return f"http://{f'[{host}]' if ':' in host else host}:{self._port}"

    async def stop(self) -> None:
        """End the process that was started here, if any; what it said is durable."""
        if self._early is not None:
            self._early.cancel()
            await asyncio.gather(self._early, return_exceptions=True)
        process, self._process = self._process, None
        if process is None or process.returncode is not None:
            return
        process.terminate()
        try:
            await asyncio.wait_for(process.wait(), STOP_S)
        except TimeoutError:
            process.kill()
            await process.wait()
        if self._telling is not None:
            await self._telling

    async def _require_running(self) -> None:
        anothers = self._process is None and self._port != 0 and await self._finds_another()
        if not anothers and (self._process is None or self._process.returncode is not None):
            for _ in range(_TRIES):
                if await self._start() or await self._finds_another():
                    break
                await asyncio.sleep(_LOOK_S)
            else:
                raise EnvironmentFault(
                    f"an exchange holds {self._settings.state} and does not say where it listens",
                    "end that process, whose number is in " + EXCHANGE_LOCK_NAME,
                )

    async def _start(self) -> bool:
        """Start a process and return whether it listens; False when another one holds the folder."""
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "ljwx_pipeline.exchange.child", stdin=PIPE, stdout=PIPE, stderr=PIPE
        )
        if process.stdin is None or process.stdout is None or process.stderr is None:
            raise AssertionError("a process was started without its pipes")
        asked = self._settings
        said = {
            "pack": str(asked.pack),
            "state": str(asked.state),
            "costs": asked.costs,
            "capital_fen": asked.capital_fen,
            "tick_seconds": asked.tick_seconds,
            "host": asked.host,
            "port": self._port,
            "speed": 0.0,
        }
        process.stdin.write((json.dumps(said) + "\n").encode())
        try:
            line = await asyncio.wait_for(process.stdout.readline(), START_S)
        except TimeoutError:
            process.kill()
            await process.wait()
            raise EnvironmentFault(
                f"the paper exchange did not say within {START_S:.0f} s where it listens",
                "see what keeps this machine busy; nothing was sent",
            ) from None
        except BaseException:
            process.kill()
            await process.wait()
            raise
        if line:
            self._process, self._port = process, int(json.loads(line)["port"])
            self._telling = asyncio.create_task(_pass_on(process.stderr))
            return True
        _, error = await process.communicate()
        if process.returncode == EnvironmentFault.exit_code and b"another exchange" in error:
            return False
        what = error.decode(errors="replace").strip().rpartition("\n")[2] or f"exit code {process.returncode}"
        raise LiveError(f"the paper exchange did not start ({what})", "mend what it says; nothing was sent")

    async def _finds_another(self) -> bool:
        """Return whether the exchange that holds the folder says where it listens."""
        try:
            lines = (self._settings.state / EXCHANGE_LOCK_NAME).read_text(encoding="ascii").split()
        except OSError:
            return False
        port = int(lines[1]) if len(lines) == 2 and lines[1].isdigit() else 0
        if port == 0:
            return False
        try:
            _, writer = await asyncio.open_connection(self._settings.host, port)
        except OSError:
            return False
        writer.close()
        self._port = port
        return True


async def _pass_on(errors: asyncio.StreamReader) -> None:
    """Write what the exchange complains of to this process's own errors; a pipe that nobody reads would stop it."""
    while said := await errors.read(_AT_ONCE_BYTES):  # not by line: one may be longer than the reader holds
        sys.stderr.buffer.write(said)
        sys.stderr.flush()
