"""The runner's own exchange: a process beside the runner, started early where an account has begun."""

from __future__ import annotations

import asyncio
import os
import shutil
from pathlib import Path

import httpx
import pytest

from ljwx_pipeline.config import load_settings
from ljwx_pipeline.errors import LiveError
from ljwx_pipeline.live.account_files import EXCHANGE_LOCK_NAME
from ljwx_pipeline.live.own_exchange import OwnExchange, OwnExchangeSettings
from tests.fakes.live_home import CONFIG, live_home


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return live_home(tmp_path_factory.mktemp("market"), symbols=8, feed_sessions=4).live / "feed"


def settings(pack: Path, state: Path) -> OwnExchangeSettings:
    costs = load_settings(config_file=CONFIG, profile="simulated", environ={}).costs.model_dump(mode="json")
    return OwnExchangeSettings(
        pack=pack, state=state, costs=costs, capital_fen=100_000_00, tick_seconds=600, host="127.0.0.1"
    )


def held_by(state: Path) -> str:
    return (state / EXCHANGE_LOCK_NAME).read_text().partition("\n")[0]


def test_an_account_that_has_begun_finds_its_exchange_started_before_it_asks(pack: Path, tmp_path: Path) -> None:
    state = tmp_path / "exchange"

    async def run() -> None:
        first = OwnExchange(settings(pack, state))
        first.start_soon()
        await asyncio.sleep(0)
        assert not state.exists(), "a new account is begun by whoever asks for it"
        address = await first.address()
        cash_fen = httpx.get(f"{address}/account").json()["cash_fen"]
        ended = held_by(state)
        await first.stop()

        second = OwnExchange(settings(pack, state))
        second.start_soon()
        while (started := held_by(state)) in ("", ended):
            await asyncio.sleep(0.02)
        address = await second.address()
        assert held_by(state) == started
        assert await second.address() == address
        assert httpx.get(f"{address}/account").json()["cash_fen"] == cash_fen
        await second.stop()
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"{address}/account")

    asyncio.run(run())


def test_what_hindered_an_early_start_is_said_when_it_is_asked_for_and_tried_again(pack: Path, tmp_path: Path) -> None:
    state, broken = tmp_path / "exchange", tmp_path / "feed"
    state.mkdir()

    async def run() -> None:
        exchange = OwnExchange(settings(broken, state))
        exchange.start_soon()
        with pytest.raises(LiveError, match="no session pack"):
            await exchange.address()
        shutil.copytree(pack, broken)
        assert httpx.get(f"{await exchange.address()}/clock").is_success
        await exchange.stop()

    asyncio.run(run())


def test_an_exchange_that_is_still_starting_ends_with_its_runner(pack: Path, tmp_path: Path) -> None:
    state = tmp_path / "exchange"
    state.mkdir()

    async def run() -> None:
        others = children()
        exchange = OwnExchange(settings(pack, state))
        exchange.start_soon()
        while not children() - others:
            await asyncio.sleep(0)
        await exchange.stop()
        async with asyncio.timeout(10):
            while children() - others:
                await asyncio.sleep(0.01)

    asyncio.run(run())


def children() -> set[int]:
    """Return the processes that this one has started and not yet waited for."""
    own = os.getpid()
    return {int(one) for one in Path(f"/proc/{own}/task/{own}/children").read_text().split()}
