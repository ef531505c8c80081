"""A stub of the pages that akshare reads, and sources that are routed to it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from ljwx_pipeline.config import AkshareSettings, SourceSettings
from ljwx_pipeline.sources.akshare import AkshareSource
from tests.fakes.provider_stubs.akshare import AkshareStub
from tests.fakes.provider_stubs.market import FIRST, LAST, SimulatedTables, simulated_tables

INDICES = ("000300.SH", "000905.SH", "399006.SZ")


@pytest.fixture(scope="session")
def market() -> SimulatedTables:
    pytest.importorskip("akshare", reason="the akshare extra is not installed")
    return simulated_tables()


@pytest.fixture(scope="session")
def server(market: SimulatedTables) -> Iterator[AkshareStub]:
    with AkshareStub(market) as running:
        yield running


@pytest.fixture
def stub(server: AkshareStub) -> Iterator[AkshareStub]:
    server.faults.clear()
    server.asked.clear()
    yield server
    server.faults.clear()


@pytest.fixture
def waits() -> list[float]:
    """Seconds that a source would have waited."""
    return []


@pytest.fixture
def make(stub: AkshareStub, waits: list[float]) -> Callable[..., AkshareSource]:
    def build(
        *, symbols: tuple[str, ...] = (), attempts: int = 3, timeout_s: float = 5.0, endpoint: str = ""
    ) -> AkshareSource:
        settings = AkshareSettings(
            endpoint=endpoint or stub.url, calls_per_minute=100_000, timeout_s=timeout_s, attempts=attempts
        )
        chosen = SourceSettings(kind="akshare", first_session=FIRST, last_session=LAST, symbols=symbols, as_of="")
        return AkshareSource(settings, chosen, indices=INDICES, sleep=waits.append)

    return build
