"""Calling akshare's functions: tries, what counts as an answer, and no progress bars.

Not here: the requests these functions make (``transport.py``), and what their columns mean (``tables.py``).
"""

from __future__ import annotations

import json
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import pandas as pd
import requests

from ljwx_pipeline.clock import Clock
from ljwx_pipeline.config import AkshareSettings
from ljwx_pipeline.errors import SourceError
from ljwx_pipeline.sources.akshare.transport import LATER, PageAdapter, routed
from ljwx_pipeline.sources.wire import RetryPolicy, Sleep, TokenBucket, TransientFault, call_with_retry

INSTALL = "pip install --require-hashes -r requirements/providers.txt"


class AkshareWire:
    """The one way to ask akshare something.

    Parameters
    ----------
    settings
        Address, calls a minute, seconds a call, tries.
    clock, sleep
        The seam to time.
    """

    def __init__(self, settings: AkshareSettings, clock: Clock, sleep: Sleep = time.sleep) -> None:
        bucket = TokenBucket(settings.calls_per_minute, clock, sleep)
        self._adapter = PageAdapter(settings.endpoint, settings.timeout_s, bucket, clock)
        self._policy = RetryPolicy(settings.attempts)
        self._clock = clock
        self._sleep = sleep

    def frame(self, function: str, *, may_be_empty: bool = False, **arguments: str) -> pd.DataFrame:
        """Return what akshare's ``function`` makes of the page.

        Parameters
        ----------
        function
            Its name in the package.
        may_be_empty
            Whether an answer without rows is taken at once; otherwise it is tried again, and an error in the end.
            A page that says itself that there is nothing is believed either way, if it is the only one of the call:
            after another page the same words mean that rows are missing.

        Raises
        ------
        SourceError
            When the package is missing, or the page blocks, fails or cannot be read through every try.
        """
        return call_with_retry(
            lambda: self._ask(function, may_be_empty, arguments), self._policy, self._clock, sleep=self._sleep
        )

    def _ask(self, function: str, may_be_empty: bool, arguments: dict[str, str]) -> pd.DataFrame:
        ask, what = _function(function), f"akshare {akshare_version()} {function}({', '.join(arguments.values())})"
        self._adapter.begin_call()
        try:
            with routed(self._adapter), warnings.catch_warnings():
                found: pd.DataFrame = ask(**arguments)
        except TransientFault as fault:  # the road knows the page, not who asked
            raise TransientFault(f"{what}: {fault.fact}", fault.remedy, wait_s=fault.wait_s) from fault
        except SourceError:
            raise
        except requests.RequestException as error:
            raise TransientFault(f"{what}: {_brief(error)}", LATER) from error
        except Exception as error:  # the function's own parsing: any type, by what the page has become
            self._refuse_a_later_empty_page(what)
            if self._adapter.said_empty:
                return pd.DataFrame()
            raise TransientFault(
                f"{what} cannot read the page ({_brief(error)})",
                "upgrade akshare: pages change and it follows; until then use another source",
            ) from error
        self._refuse_a_later_empty_page(what)
        if found.empty and not may_be_empty and not self._adapter.said_empty:
            raise TransientFault(f"{what} answered without a row", LATER)
        return found

    def _refuse_a_later_empty_page(self, what: str) -> None:
        if self._adapter.said_empty and self._adapter.answers > 1:
            raise TransientFault(
                f"{what}: one of its {self._adapter.answers} pages says that there is no row, though others have some",
                LATER,
            )


def akshare_version() -> str:
    """Return the installed version."""
    return str(_package().__version__)


def shipped_sessions() -> pd.DatetimeIndex:
    """Return the sessions that the package ships, ascending; nothing is asked of a page.

    Raises
    ------
    SourceError
        When the package does not ship them any more.
    """
    file = Path(str(_package().__file__)).parent / "file_fold" / "calendar.json"
    try:
        days = json.loads(file.read_text(encoding="utf-8"))
        return pd.DatetimeIndex(pd.to_datetime(sorted(days), format="%Y%m%d")).as_unit("ns")
    except (OSError, ValueError, TypeError) as error:
        raise SourceError(f"akshare {akshare_version()} ships no calendar ({_brief(error)})", INSTALL) from None


def _function(name: str) -> Any:
    found = getattr(_package(), name, None)
    if found is None:
        raise SourceError(f"akshare {akshare_version()} has no function {name}", INSTALL)
    module: Any = sys.modules[found.__module__]
    if hasattr(module, "get_tqdm"):
        module.get_tqdm = _no_progress_bar
    if hasattr(found, "cache_clear"):
        found.cache_clear()  # some remember their answer for ever, a bad one too
    return found


def _no_progress_bar(*_: object) -> Any:
    return lambda iterable, *_, **__: iterable


def _package() -> Any:
    try:
        import akshare  # an extra, and hundreds of modules: only where this source is used
    except ImportError as error:
        raise SourceError(f"the package akshare cannot be imported ({error})", INSTALL) from None
    return akshare


def _brief(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:200]
