"""Asking baostock's server through its library: one session, a deadline, a rate limit, retries, a clean stdout.

The library keeps its session in module globals, prints to stdout, has no timeout, spins for ever when the server
closes the connection, and takes a page that never came for the end of the rows. Each of these is made good here.

Not here: what a query's columns mean (``tables.py``).
"""

from __future__ import annotations

import logging
import socket
import sys
import threading
import time
from types import SimpleNamespace
from typing import Any

import pandas as pd

from ljwx_pipeline.clock import Clock
from ljwx_pipeline.config import BaostockSettings
from ljwx_pipeline.errors import SourceError
from ljwx_pipeline.sources.wire import RetryPolicy, Sleep, TokenBucket, TransientFault, call_with_retry

logger = logging.getLogger("ljwx.sources")

SUCCESS = "0"
#: Not logged in, too many logins, network, unreadable answer, server fault: another try may pass.
TRANSIENT = ("10001001", "10001005", "10002", "10004001", "10004002", "10004003", "10005001")
REMEDIES = {
    "10001004": "upgrade the baostock package",
    "10001006": "the query is not open to anonymous users: use another source for this table",
    "10001011": "the address you come from is on baostock's black list: ask baostock, or use another source",
}
_AGAIN = "try again later; if it persists, check the network and the address (baostock.host, baostock.port)"
ANSWER_MAX_BYTES = 256 * 1024 * 1024
#: The library's session is one a process; so is the lock around it.
_LOCK = threading.RLock()


class BaostockWire:
    """The one way to ask baostock something.

    Parameters
    ----------
    settings
        Address, calls a minute, seconds a call, tries.
    clock, sleep
        The seam to time.
    """

    _logged_in: BaostockWire | None = None  # whose session the library holds

    def __init__(self, settings: BaostockSettings, clock: Clock, sleep: Sleep = time.sleep) -> None:
        self._settings = settings
        self._clock = clock
        self._sleep = sleep
        self._bucket = TokenBucket(settings.calls_per_minute, clock, sleep)
        self._policy = RetryPolicy(settings.attempts)
        self.last_fault = ""

    def rows(self, query: str, **arguments: str) -> pd.DataFrame:
        """Return every row of the library's function ``query`` as text, all pages, columns as the server names them.

        Raises
        ------
        SourceError
            When the package is missing, the server refuses, or it stays out of reach through every try. Never part of
            an answer.
        """
        with _LOCK:
            return call_with_retry(lambda: self._ask(query, arguments), self._policy, self._clock, sleep=self._sleep)

    def close(self) -> None:
        """Log out, if this object's session is the one that is open."""
        with _LOCK:
            if BaostockWire._logged_in is self:
                _library().logout()
                self._forget()

    def _ask(self, query: str, arguments: dict[str, str]) -> pd.DataFrame:
        library = _library()
        self.last_fault = ""
        try:
            self._log_in(library)
            result = getattr(library, query)(**arguments)
            self._check(result, query)
            found = []
            while result.next():
                found.append(result.get_row_data())
            self._check(result, query)
            page = int(library.cons.BAOSTOCK_PER_PAGE_COUNT)
            if self.last_fault or (len(result.data) == page and found):
                raise TransientFault(f"{query}: the page after row {len(found)} never came ({self.last_fault})", _AGAIN)
            return pd.DataFrame(found, columns=result.fields, dtype=object)
        except SourceError:
            self._forget()
            raise
        except (
            ValueError,
            TypeError,
            LookupError,
            AttributeError,
        ) as error:  # what the library meets in half an answer
            self._forget()
            raise TransientFault(
                f"{query}: the answer cannot be read ({type(error).__name__}: {error})", _AGAIN
            ) from error

    def _log_in(self, library: Any) -> None:
        if BaostockWire._logged_in is self:
            return
        self._forget()
        library.cons.BAOSTOCK_SERVER_IP = self._settings.host
        library.cons.BAOSTOCK_SERVER_PORT = self._settings.port
        sys.modules["baostock.util.socketutil"].socket = SimpleNamespace(  # type: ignore[attr-defined]
            socket=lambda *_: _GuardedSocket(self, self._settings.timeout_s, self._bucket, self._clock),
            AF_INET=socket.AF_INET,
            SOCK_STREAM=socket.SOCK_STREAM,
        )
        self._check(library.login(), "login")
        BaostockWire._logged_in = self

    def _check(self, result: Any, query: str) -> None:
        if result is None:
            raise SourceError(f"baostock's library refused the arguments of {query}", "check the dates and the symbol")
        code = str(result.error_code)
        if code == SUCCESS:
            return
        where = f"baostock at {self._settings.host}:{self._settings.port}"
        fact = f"{where}, {query}: error {code} ({result.error_msg})" + (
            f", {self.last_fault}" if self.last_fault else ""
        )
        if code.startswith(TRANSIENT):
            raise TransientFault(fact, _AGAIN)
        raise SourceError(fact, REMEDIES.get(code, "look the code up in baostock's list of error codes"))

    def _forget(self) -> None:
        """Drop the library's session, so that the next question opens a new one."""
        BaostockWire._logged_in = None
        context = sys.modules["baostock.common.context"]
        held = getattr(context, "default_socket", None)
        if held is not None:
            held.close()
            context.default_socket = None  # type: ignore[attr-defined]


class _GuardedSocket(socket.socket):
    """A socket on which no call outlives its deadline and a closed connection is an error.

    The library catches everything a socket raises and prints it, so the reason is also left with the wire.
    """

    def __init__(self, wire: BaostockWire, timeout_s: float, bucket: TokenBucket, clock: Clock) -> None:
        super().__init__(socket.AF_INET, socket.SOCK_STREAM)
        self.settimeout(timeout_s)
        self._wire = wire
        self._timeout_s = timeout_s
        self._bucket = bucket
        self._clock = clock
        self._deadline = 0.0
        self._received = 0

    def connect(self, address: Any) -> None:
        try:
            super().connect(address)
        except OSError as error:
            self._failed(error)
            raise

    def send(self, data: Any, flags: int = 0) -> int:
        self._bucket.take()
        self._deadline, self._received = self._clock.monotonic_s() + self._timeout_s, 0
        self.settimeout(self._timeout_s)
        try:
            self.sendall(data, flags)
        except OSError as error:
            self._failed(error)
            raise
        return len(data)

    def recv(self, bufsize: int, flags: int = 0) -> bytes:
        try:
            left_s = self._deadline - self._clock.monotonic_s()
            if left_s <= 0:
                raise TimeoutError(f"no complete answer within {self._timeout_s:g} s")
            self.settimeout(left_s)
            found = super().recv(bufsize, flags)
            self._received += len(found)
            if not found:
                raise ConnectionError("the server closed the connection in the middle of an answer")
            if self._received > ANSWER_MAX_BYTES:
                raise ConnectionError(f"the answer exceeds {ANSWER_MAX_BYTES} bytes")
        except OSError as error:
            self._failed(error)
            raise
        return found

    def _failed(self, error: OSError) -> None:
        # the first tells why; what the library tries on the broken socket afterwards does not
        self._wire.last_fault = self._wire.last_fault or str(error) or type(error).__name__


def _library() -> Any:
    """Return the baostock package with its prints turned into debug messages."""
    try:
        import baostock  # an extra: only where this source is used
    except ImportError:
        raise SourceError(
            "the package baostock is not installed", "pip install --require-hashes -r requirements/providers.txt"
        ) from None
    for name, module in list(sys.modules.items()):
        if name.startswith("baostock."):
            module.__dict__.setdefault("print", _note)
    return baostock


def _note(*words: object) -> None:
    logger.debug("baostock: %s", " ".join(map(str, words)))
