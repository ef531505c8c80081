"""The one road akshare's HTTP requests take: rate, deadline, another address, and pages that are no data refused.

akshare's functions call ``requests.get`` themselves, with no timeout, and hand one page's script to ``eval``. So the
adapter that ``requests`` looks up for a URL is replaced while one of our calls runs, and in that context only.

Not here: which function is called, and trying again (``wire.py``).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter

from ljwx_pipeline.clock import Clock
from ljwx_pipeline.errors import ConfigError
from ljwx_pipeline.sources.wire import TokenBucket, TransientFault

BLOCKED = (403, 418, 429, 456)  # 456 is sina's own for "too often"
FAILED = 400
#: Seconds a page that blocks us is left alone before the next try.
BLOCKED_WAIT_S = 60.0
ANSWER_MAX_BYTES = 256 * 1024 * 1024
#: eastmoney's data centre says so when a question has no row at all; it stands at the answer's end.
SAYS_EMPTY = re.compile(rb'"code"\s*:\s*9201\b')
TAIL_BYTES = 2000
GENTLY = "wait, lower akshare.calls_per_minute, or use another source: the page may block the address you come from"
LATER = "try again later; if it persists, open the page in a browser: it may have moved or block you"


class PageAdapter(HTTPAdapter):
    """Sends one request.

    Parameters
    ----------
    endpoint
        Answers for every host, as ``ENDPOINT/HOST/PATH``; empty: the hosts themselves. Plain http on loopback only.
    timeout_s
        Seconds until the answer is complete.
    bucket, clock
        Rate, and the seam to time.

    Attributes
    ----------
    answers, said_empty
        Answers since ``begin_call``, and whether one of them said that there is no row.
    """

    def __init__(self, endpoint: str, timeout_s: float, bucket: TokenBucket, clock: Clock) -> None:
        super().__init__()
        parts = urlsplit(endpoint)
        on_loopback = parts.hostname in ("127.0.0.1", "localhost", "::1")
        if endpoint and not (parts.scheme == "https" or (parts.scheme == "http" and on_loopback)):
            raise ConfigError(f"akshare.endpoint = {endpoint} is refused", "give an https address (http on loopback)")
        self._endpoint = endpoint.rstrip("/")
        self._timeout_s = timeout_s
        self._bucket = bucket
        self._clock = clock
        self.answers = 0
        self.said_empty = False

    def begin_call(self) -> None:
        """Forget the answers of the call before."""
        self.answers, self.said_empty = 0, False

    def send(self, request: requests.PreparedRequest, *_: Any, **options: Any) -> requests.Response:
        """Send ``request`` and return its complete answer.

        Raises
        ------
        TransientFault
            When the page blocks, fails, takes too long, or answers with a page for people.
        """
        self._bucket.take()
        url = urlsplit(str(request.url))
        if self._endpoint:
            request.url = f"{self._endpoint}/{url.netloc}{url.path}" + (f"?{url.query}" if url.query else "")
            request.headers.pop("Host", None)  # some functions name the page's own
            options["proxies"] = {}
        deadline = self._clock.monotonic_s() + self._timeout_s
        response = super().send(request, **(options | {"timeout": self._timeout_s, "stream": True}))
        body = b""
        for chunk in response.iter_content(65_536):
            body += chunk
            if self._clock.monotonic_s() > deadline or len(body) > ANSWER_MAX_BYTES:
                response.close()
                raise TransientFault(f"{url.netloc}{url.path} was not done after {self._timeout_s:g} s", LATER)
        response._content = body  # what reading it at once would have set
        _refuse_what_is_no_data(response.status_code, body, f"{url.netloc}{url.path}")
        self.answers += 1
        self.said_empty = self.said_empty or SAYS_EMPTY.search(body[-TAIL_BYTES:]) is not None
        return response


@contextmanager
def routed(adapter: PageAdapter) -> Iterator[None]:
    """Let every request of this context go through ``adapter``; other threads and contexts are not touched."""
    if requests.Session.get_adapter is not _get_adapter:
        requests.Session.get_adapter = _get_adapter  # type: ignore[method-assign]
    token = _active.set(adapter)
    try:
        yield
    finally:
        _active.reset(token)


_active: ContextVar[PageAdapter | None] = ContextVar("akshare_adapter", default=None)
_original_get_adapter = requests.Session.get_adapter


def _get_adapter(self: requests.Session, url: str) -> Any:
    return _active.get() or _original_get_adapter(self, url)


def _refuse_what_is_no_data(status: int, body: bytes, page: str) -> None:
    if status in BLOCKED:
        raise TransientFault(f"{page} refuses us (HTTP {status})", GENTLY, wait_s=BLOCKED_WAIT_S)
    if status >= FAILED:
        raise TransientFault(f"{page} failed (HTTP {status})", LATER)
    if body.lstrip(b"\xef\xbb\xbf \r\n\t")[:1] == b"<":
        title = re.search(rb"<title>(.*?)</title>", body, re.DOTALL | re.IGNORECASE)
        said = title.group(1).decode("utf-8", "replace").strip()[:80] if title else "without a title"
        raise TransientFault(f"{page} answers with a web page ({said})", GENTLY, wait_s=BLOCKED_WAIT_S)
    if page.endswith(".js") and not _is_plain_data(body):
        raise TransientFault(f"{page} holds more than data, and akshare would run it", LATER)


def _is_plain_data(body: bytes) -> bool:
    """Return whether a script is ``var NAME=JSON``: the part that akshare evaluates is nothing but JSON."""
    parts = body.decode("utf-8", "replace").split("=")
    try:
        return isinstance(json.loads(parts[1].split("\n")[0]), dict)
    except (IndexError, ValueError):
        return False
