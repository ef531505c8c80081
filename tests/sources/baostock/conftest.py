"""A stub of baostock's server for the module, and sources that talk to it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from ljwx_pipeline.config import BaostockSettings, SourceSettings
from ljwx_pipeline.sources.baostock import BaostockSource
from tests.fakes.provider_stubs.baostock import BaostockStub
from tests.fakes.provider_stubs.market import FIRST, LAST, SimulatedTables, simulated_tables

INDICES = ("000300.SH", "000905.SH", "399006.SZ")


@pytest.fixture(scope="session")
def market() -> SimulatedTables:
    pytest.importorskip("baostock", reason="the baostock extra is not installed")
    return simulated_tables()


@pytest.fixture(scope="session")
def server(market: SimulatedTables) -> Iterator[BaostockStub]:
    with BaostockStub(market) as running:
        yield running


@pytest.fixture
def stub(server: BaostockStub) -> Iterator[BaostockStub]:
    server.faults.clear()
    server.asked.clear()
    server.logins = 0
    yield server
    server.faults.clear()


@contextmanager
def sources(server: BaostockStub) -> Iterator[Callable[..., BaostockSource]]:
    """What makes sources that talk to ``server``; each is closed at the end."""
    made: list[BaostockSource] = []

    def build(
        *, symbols: tuple[str, ...] = (), attempts: int = 3, timeout_s: float = 5.0, port: int | None = None
    ) -> BaostockSource:
        settings = BaostockSettings(
            host=server.host, port=port or server.port, calls_per_minute=100_000, timeout_s=timeout_s, attempts=attempts
        )
        chosen = SourceSettings(kind="baostock", first_session=FIRST, last_session=LAST, symbols=symbols, as_of="")
        made.append(BaostockSource(settings, chosen, indices=INDICES, sleep=lambda _: None))
        return made[-1]

    yield build
    server.faults.clear()
    for source in made:
        source.close()


@pytest.fixture
def make(stub: BaostockStub) -> Iterator[Callable[..., BaostockSource]]:
    with sources(stub) as build:
        yield build


@pytest.fixture(scope="module")
def kept(server: BaostockStub) -> Iterator[Callable[..., BaostockSource]]:
    """As ``make``, for what a module makes once."""
    server.faults.clear()
    with sources(server) as build:
        yield build
