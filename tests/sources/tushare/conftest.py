"""A stub of the provider over the simulated market, and a source that asks it; waits move a clock, not the wall."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta

import pytest

from ljwx_pipeline.clock import SHANGHAI, ManualClock
from ljwx_pipeline.config import SourceSettings, TushareSettings
from ljwx_pipeline.sources.tushare import TushareSource
from tests.fakes.provider_stubs.market import SimulatedTables, simulated_tables
from tests.fakes.provider_stubs.tushare import TOKEN, TushareStub

INDICES = ("000300.SH", "000905.SH", "399006.SZ")
Build = Callable[..., TushareSource]


class Waits:
    """A clock and a sleep that moves it, remembering every wait."""

    def __init__(self, start: datetime) -> None:
        self.clock = ManualClock(start)
        self.slept: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.clock.set(self.clock.now() + timedelta(seconds=seconds))


@pytest.fixture(scope="session")
def market() -> SimulatedTables:
    return simulated_tables()


@pytest.fixture(scope="module")
def server(market: SimulatedTables) -> Iterator[TushareStub]:
    with TushareStub(market) as stub:
        yield stub


@pytest.fixture
def stub(server: TushareStub) -> TushareStub:
    server.faults.clear()
    server.calls.clear()
    server.moved_holidays.clear()
    return server


@pytest.fixture
def waits(market: SimulatedTables) -> Waits:
    """The morning after the last session, at nine."""
    return Waits(datetime.combine(market.last, datetime.min.time(), SHANGHAI) + timedelta(days=1, hours=9))


def tushare_settings(endpoint: str, **changes: object) -> TushareSettings:
    values = {"endpoint": endpoint, "token_file": "", "calls_per_minute": 100_000, "timeout_s": 5.0, "attempts": 4}
    return TushareSettings.model_validate({**values, **changes})


@pytest.fixture
def build(stub: TushareStub, market: SimulatedTables, waits: Waits) -> Build:
    """Return a source over the stub: ``build(symbols=..., endpoint=..., calls_per_minute=...)``."""

    def make(*, symbols: tuple[str, ...] = (), token: str = TOKEN, **changes: object) -> TushareSource:
        span = {"first_session": market.first, "last_session": market.last, "symbols": symbols}
        return TushareSource(
            tushare_settings(**{"endpoint": stub.endpoint, **changes}),
            SourceSettings.model_validate({"kind": "tushare", **span}),
            indices=INDICES,
            clock=waits.clock,
            sleep=waits.sleep,
            environ={"TUSHARE_TOKEN": token},
        )

    return make
