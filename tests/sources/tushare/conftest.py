"""A stub of the provider over the simulated market."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.fakes.provider_stubs.market import simulated_tables
from tests.fakes.provider_stubs.tushare import TushareStub
from tests.fakes.provider_stubs.tushare_source import morning_after
from tests.fakes.provider_stubs.waits import Waits


@pytest.fixture(scope="session")
def server() -> Iterator[TushareStub]:
    with TushareStub(simulated_tables()) as stub:
        yield stub


@pytest.fixture
def stub(server: TushareStub) -> TushareStub:
    """The server without faults and with nothing asked yet."""
    server.reset()
    return server


@pytest.fixture
def waits(stub: TushareStub) -> Waits:
    return morning_after(stub)
