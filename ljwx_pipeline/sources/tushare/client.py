"""One call of tushare's documented wire form over HTTPS: a question posted as JSON, a table of items answered.

The token travels in the request's body only: not in an address, a header, a log line or an error. Not here: several
pages (``pages.py``), what a refusal means (``refusals.py``), what columns mean (the mapping modules).
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from pydantic import SecretStr

from ljwx_pipeline.clock import Clock
from ljwx_pipeline.config import TushareSettings
from ljwx_pipeline.errors import SourceError
from ljwx_pipeline.sources.tushare.apis import Api
from ljwx_pipeline.sources.tushare.refusals import MINUTE_S, refusal
from ljwx_pipeline.sources.wire import RetryPolicy, Sleep, TokenBucket, TransientFault, call_with_retry

if TYPE_CHECKING:
    import httpx

LOOPBACK = ("127.0.0.1", "localhost", "::1")
LATER = "try again later; every unit already fetched is kept"


@dataclass(frozen=True)
class Page:
    """One answer: its columns by position, its rows, and what it says of further ones.

    Parameters
    ----------
    fields, items
        Columns, and rows in their order.
    has_more
        Whether rows are left beyond this page; None where the answer does not say.
    count
        Rows in all; None where the answer does not say.
    """

    fields: tuple[str, ...]
    items: list[list[Any]]
    has_more: bool | None
    count: int | None


class TushareClient:
    """Asks tushare, at the rate that the points allow, again while a failure may pass.

    Parameters
    ----------
    settings
        Endpoint, rate, timeout and attempts.
    token
        The account's token.
    clock, sleep
        The seam to time.
    """

    def __init__(self, settings: TushareSettings, token: SecretStr, clock: Clock, sleep: Sleep = time.sleep) -> None:
        self._settings = settings
        self._token = token
        self._clock = clock
        self._sleep = sleep
        self._bucket = TokenBucket(settings.calls_per_minute, clock, sleep)
        self._policy = RetryPolicy(attempts=settings.attempts)
        self._loopback = _check_endpoint(settings.endpoint)
        self._http: httpx.Client | None = None

    def ask(self, api: Api, params: Mapping[str, str | int]) -> Page:
        """Return one page of ``api``.

        Raises
        ------
        SourceError
            When tushare refuses, cannot be reached, or answers nothing that can be read, after the configured tries.
        """
        return call_with_retry(lambda: self._once(api, params), self._policy, self._clock, sleep=self._sleep)

    def close(self) -> None:
        """Close the connections; the next question opens new ones."""
        if self._http is not None:
            self._http.close()
            self._http = None

    def _once(self, api: Api, params: Mapping[str, str | int]) -> Page:
        self._bucket.take()
        status, body = self._post(api, params)
        if status == 429:
            raise TransientFault(f"tushare answers {api.name} with HTTP 429", LATER, wait_s=MINUTE_S)
        if status >= 500 or status == 408:
            raise TransientFault(f"tushare answers {api.name} with HTTP {status}", LATER)
        if status != 200:
            raise SourceError(
                f"{self._settings.endpoint} answers {api.name} with HTTP {status}", "check tushare.endpoint"
            )
        return self._page(api, body)

    def _post(self, api: Api, params: Mapping[str, str | int]) -> tuple[int, bytes]:
        """Return status and body; the transport's exceptions hold the request and thus the token: they end here."""
        import httpx

        question = {
            "api_name": api.name,
            "token": self._token.get_secret_value(),
            "params": dict(params),
            "fields": ",".join(api.fields),
        }
        limit_s = self._settings.timeout_s
        started = self._clock.monotonic_s()
        try:
            with self._connections().stream("POST", self._settings.endpoint, json=question) as response:
                parts = []
                for part in response.iter_bytes():
                    parts.append(part)
                    if self._clock.monotonic_s() - started > limit_s:
                        raise httpx.ReadTimeout("the answer takes too long")
                return response.status_code, b"".join(parts)
        except httpx.TimeoutException as error:
            trouble = f"gives no whole answer within {limit_s:g} s ({type(error).__name__})"
        except httpx.HTTPError as error:
            trouble = f"cannot be reached or broke off ({type(error).__name__})"
        raise TransientFault(f"{self._settings.endpoint} {trouble} when asked for {api.name}", LATER)

    def _connections(self) -> httpx.Client:
        import httpx

        if self._http is None:
            # a proxy from the environment must not come between us and this machine
            self._http = httpx.Client(
                timeout=self._settings.timeout_s, follow_redirects=False, trust_env=not self._loopback
            )
        return self._http

    def _page(self, api: Api, body: bytes) -> Page:
        try:
            answer = json.loads(body)
        except ValueError:
            raise TransientFault(
                f"the answer to {api.name} breaks off after {len(body)} bytes or is no JSON", LATER
            ) from None
        if not isinstance(answer, dict) or not isinstance(answer.get("code"), int):
            raise TransientFault(f"the answer to {api.name} has no code", LATER)
        if answer["code"] != 0:
            message = str(answer.get("msg") or "").replace(self._token.get_secret_value(), "***")
            raise refusal(api.name, answer["code"], message)
        data = answer.get("data")
        if not isinstance(data, dict) or not isinstance(data.get("fields"), list):
            raise TransientFault(f"the answer to {api.name} has no table", LATER)
        fields, items = tuple(str(name) for name in data["fields"]), data.get("items")
        if not isinstance(items, list) or any(len(row) != len(fields) for row in items):
            raise TransientFault(f"the answer to {api.name} has rows that do not fit its {len(fields)} columns", LATER)
        has_more, count = data.get("has_more"), data.get("count")
        known = isinstance(count, int) and count >= 0
        return Page(fields, items, has_more if isinstance(has_more, bool) else None, count if known else None)


def _check_endpoint(endpoint: str) -> bool:
    """Return whether ``endpoint`` is on this machine; refuse to send a token in clear anywhere else."""
    parts = urlsplit(endpoint)
    loopback = parts.hostname in LOOPBACK
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.password:
        raise SourceError(f"tushare.endpoint {endpoint!r} is no address", 'write it as "https://api.tushare.pro"')
    if parts.scheme == "http" and not loopback:
        raise SourceError(
            f"tushare.endpoint {endpoint} is plain http: the token would travel in clear",
            "use https (http is taken on 127.0.0.1, ::1 and localhost only)",
        )
    return loopback
