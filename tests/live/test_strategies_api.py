"""The strategies over HTTP and by the file: changed one by one or together, refused whole, never half."""

from __future__ import annotations

import asyncio
import json
import shutil
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from sqlalchemy import select

from ljwx_pipeline.config import LiveStrategySettings, Settings, load_settings
from ljwx_pipeline.errors import ConfigError
from ljwx_pipeline.live.async_journal import AsyncJournal
from ljwx_pipeline.live.events import SleeveBook, SleevesSettled
from ljwx_pipeline.live.sleeves.desk import Configured, StrategyDesk
from ljwx_pipeline.live.strategies_api import strategies_router
from ljwx_pipeline.live.tables import events
from tests.fakes.exchange_world import CONFIG
from tests.fakes.journal_events import DAY, NEXT
from tests.fakes.journals import empty_store, log_of

KEYS = {"model": "", "universe": "", "capital_share_frac": 0.5, "schedule": "close", "paused": False}


class World:
    """A journal, a file in memory, and the runner's interface."""

    def __init__(self, folder: Path, settings: Settings) -> None:
        self.store = empty_store(folder)
        self.journal = AsyncJournal(self.store, log_of(self.store))
        self.sections: dict[str, dict[str, Any]] = {}
        self.fault = ""

        def configured() -> Configured:
            if self.fault:
                raise ConfigError(self.fault, "correct ljwx.toml")
            sections = {name: LiveStrategySettings.model_validate(keys) for name, keys in self.sections.items()}
            return Configured(sections, settings.strategy, settings.risk)

        self.desk = StrategyDesk(journal=self.journal, epoch=lambda: 0, configured=configured)
        api = FastAPI()
        api.include_router(strategies_router(self.desk))
        self.http = TestClient(api)

    def ask(self, method: str, path: str, body: object = None, **options: Any) -> tuple[int, Any]:
        options.setdefault("headers", {"content-type": "application/json"})
        content = "" if body is None else json.dumps(body)
        answer = self.http.request(method, path, content=content, **options)
        return answer.status_code, answer.json()

    def states(self) -> dict[str, str]:
        code, found = self.ask("GET", "/strategies")
        assert code == 200
        return {one["sleeve"]: one["state"] for one in found["strategies"]}


@pytest.fixture
def world(tmp_path: Path, settings: Settings) -> Iterator[World]:
    made = World(tmp_path, settings)
    yield made
    made.journal.close()
    made.store.close()


def test_a_strategy_is_added_changed_and_taken_out_by_hand(world: World) -> None:
    assert world.ask("PUT", "/strategies/a?by=ada", KEYS) == (
        200,
        {"changed": ["a is added with 50.00% of the capital"]},
    )
    assert world.ask("PUT", "/strategies/a?by=ada", {**KEYS, "paused": True})[1] == {
        "changed": ["a is paused (was active)"]
    }
    assert world.states() == {"a": "paused"}
    assert world.ask("DELETE", "/strategies/a?by=ada") == (200, {"changed": ["a is removed"]})
    assert world.states() == {}


@pytest.mark.parametrize(
    ("method", "path", "body", "words"),
    [
        ("PUT", "/strategies/b?by=ada", {**KEYS, "capital_share_frac": 0.6}, "110.00% of the capital"),
        ("PUT", "/strategies/b?by=ada", {**KEYS, "modle": ""}, "unknown key live.strategies.b.modle"),
        ("PUT", "/strategies/b", KEYS, "'' is nobody's name"),
        ("PUT", "/strategies/b?by=ljwx.toml", KEYS, "is nobody's name"),
        ("PUT", "/strategies/account?by=ada", KEYS, "is no name of a strategy"),
        ("DELETE", "/strategies/b?by=ada", None, "there is no strategy 'b': name one of: a"),
    ],
)
def test_a_refusal_says_why_and_changes_nothing(world: World, method: str, path: str, body: object, words: str) -> None:
    world.ask("PUT", "/strategies/a?by=ada", KEYS)
    code, found = world.ask(method, path, body)
    assert code == 422
    assert words in found["detail"]
    assert world.states() == {"a": "active"}


def test_a_page_from_elsewhere_and_what_is_no_strategy_are_turned_away(world: World) -> None:
    for method, path in (("POST", "/strategies/reload"), ("PUT", "/strategies/a"), ("DELETE", "/strategies/a")):
        code, found = world.ask(method, path, KEYS, headers={"content-type": "text/plain"})
        assert (code, found["detail"]) == (415, "content-type is text/plain: send application/json")
    assert world.ask("PUT", "/strategies/a?by=ada", "x" * 70_000)[0] == 413
    for deep in ("{", "[" * 60_000):
        answer = world.http.put("/strategies/a", content=deep, headers={"content-type": "application/json"})
        assert (answer.status_code, "no JSON" in answer.json()["detail"]) == (422, True)
    assert world.ask("PUT", "/strategies/a?by=ada", {**KEYS, "\ud800": ""})[0] == 422
    assert world.ask("PUT", "/strategies/a?by=%00", KEYS)[0] == 422


def test_the_file_is_followed_on_demand_and_a_mistake_in_it_leaves_everything_as_it_is(world: World) -> None:
    assert asyncio.run(world.desk.start()) == ("topk-dropout is added with 100.00% of the capital",)
    world.sections = {"a": KEYS, "b": KEYS}
    assert world.ask("POST", "/strategies/reload", {})[0] == 200
    assert world.states() == {"a": "active", "b": "active"}
    world.fault = "unknown key live.strategies.c.paussed"
    code, found = world.ask("POST", "/strategies/reload", {})
    assert (code, "paussed" in found["detail"]) == (422, True)
    world.fault, world.sections = "", {"a": {**KEYS, "schedule": "open"}}
    assert world.ask("POST", "/strategies/reload", {})[0] == 422
    assert world.states() == {"a": "active", "b": "active"}
    with world.store.reading() as connection:
        kinds = [kind for (kind,) in connection.execute(select(events.c.kind))]
    assert kinds.count("strategies_refused") == 2


def test_a_start_leaves_what_a_person_changed_and_a_reload_does_not(world: World) -> None:
    world.sections = {"a": KEYS}
    asyncio.run(world.desk.start())
    world.ask("PUT", "/strategies/a?by=ada", {**KEYS, "paused": True})
    assert asyncio.run(world.desk.start()) == ()
    assert world.states() == {"a": "paused"}
    assert asyncio.run(world.desk.reload()) == ("a is active (was paused)",)


def test_what_has_a_book_sells_before_it_is_removed_and_is_shown_with_its_result(world: World) -> None:
    world.sections = {"a": KEYS}
    asyncio.run(world.desk.start())
    for day, equity, moved in ((DAY, 1_000, 1_000), (NEXT, 1_250, 50)):
        book = SleeveBook(
            sleeve="a", share_bps=5_000, cash_fen=equity, equity_fen=equity, owes_fen=0, moved_fen=moved, holdings=()
        )
        nobody = SleeveBook(sleeve="", share_bps=0, cash_fen=7, equity_fen=7, owes_fen=0, moved_fen=0, holdings=())
        asyncio.run(world.journal.append([SleevesSettled(session=day, books=(nobody, book))], 0))
    shown = {one["sleeve"]: one for one in world.ask("GET", "/strategies")[1]["strategies"]}
    assert shown["a"]["result_fen"] == 200
    assert shown["a"]["session"] == NEXT.isoformat()
    assert shown["(nobody)"]["equity_fen"] == 7
    world.ask("DELETE", "/strategies/a?by=ada")
    assert world.states() == {"a": "reducing", "(nobody)": ""}


def test_a_reload_of_a_file_with_a_typo_keeps_what_is_in_force_and_names_the_key(tmp_path: Path, world: World) -> None:
    file, shipped = tmp_path / "ljwx.toml", CONFIG.read_text(encoding="utf-8")
    shutil.copytree(CONFIG.parent / "profiles", tmp_path / "profiles")
    section = '\n[live.strategies.a]\nmodel = ""\nuniverse = ""\ncapital_share_frac = 0.5\nschedule = "close"\n'

    def read_again() -> Configured:
        return Configured.of(load_settings(config_file=file, profile="simulated", environ={}))

    desk = StrategyDesk(journal=world.journal, epoch=lambda: 0, configured=read_again)
    file.write_text(f"{shipped}{section}paused = false\n", encoding="utf-8")
    asyncio.run(desk.start())
    before = asyncio.run(desk.shown())
    assert world.states() == {"a": "active"}
    file.write_text(f"{shipped}{section}paussed = true\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="paussed"):
        asyncio.run(desk.reload())
    assert asyncio.run(desk.shown()) == before
    file.write_text(f"{shipped}{section}paused = true\n", encoding="utf-8")
    asyncio.run(desk.reload())
    assert world.states() == {"a": "paused"}


def test_the_interface_reads_while_another_process_holds_the_database_locked(world: World) -> None:
    world.ask("PUT", "/strategies/a?by=ada", KEYS)
    with closing(sqlite3.connect(world.store.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        since = time.monotonic()
        assert world.states() == {"a": "active"}
        assert time.monotonic() - since < 5, "a reader waits for nobody"
        other.execute("COMMIT")
    assert world.ask("PUT", "/strategies/b?by=ada", KEYS)[0] == 200
