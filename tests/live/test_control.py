"""The trader's hand: over the real exchange and the runner's interface, and on a journal that nobody runs."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from fastapi import FastAPI
from sqlalchemy import select

from ljwx_pipeline.cli import main
from ljwx_pipeline.clock import SystemClock
from ljwx_pipeline.config import Settings, load_settings, market_home
from ljwx_pipeline.errors import LiveError
from ljwx_pipeline.live.account_files import sole_runner
from ljwx_pipeline.live.brokers.port import BrokerSilent
from ljwx_pipeline.live.control import _Cancellable
from ljwx_pipeline.live.control_api import CloseAsked, KillAsked, control_router
from ljwx_pipeline.live.control_offline import OfflineControl
from ljwx_pipeline.live.events import Event, OrderDecided
from ljwx_pipeline.live.feed import ReplayFeed
from ljwx_pipeline.live.journal import Journal, RunnerState
from ljwx_pipeline.live.lease import Lease
from ljwx_pipeline.live.store import Store
from ljwx_pipeline.live.tables import breakers, modes, orders, outbox, positions_now
from ljwx_pipeline.live_control_commands import _close_text
from ljwx_pipeline.session_pack import read_session_pack
from ljwx_pipeline.trading.exchange_wire import Execution, FaultKind, Side
from ljwx_pipeline.trading.modes import Condition, TradingMode
from tests.fakes.exchange_process import exchange_process
from tests.fakes.watched_desk import OPTIONS, Watched, limit_buy, watched_at, write_small_pack
from tests.live.test_stop_desk import buy_in_the_morning, closed, rows

ROOT = Path(__file__).resolve().parents[2]
REFUSED = LiveError.exit_code
SENT_AS = "application/json"


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_small_pack(tmp_path_factory.mktemp("pack") / "feed")


@pytest.fixture(scope="module")
def feed(pack: Path) -> ReplayFeed:
    return ReplayFeed(read_session_pack(pack))


@asynccontextmanager
async def serving(watched: Watched) -> AsyncIterator[int]:
    """The endpoints on a port of this machine, in this loop."""
    app = FastAPI()
    app.include_router(control_router(watched.control))
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error"))
    task = asyncio.create_task(server.serve())
    try:
        while not server.started:
            await asyncio.sleep(0.01)
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        await task


async def command(port: int, capsys: pytest.CaptureFixture[str], *words: str, code: int = 0) -> Any:
    """What ``ljwx live ...`` prints when it asks the runner on ``port``."""
    capsys.readouterr()
    options = ("--set", f"ui.runner_port={port}", "--json")
    assert await asyncio.to_thread(main, ["live", *words, *options]) == code
    out, said = capsys.readouterr()
    return json.loads(out) if out else said


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("LJWX_HOME", str(tmp_path / "home"))
    return tmp_path


def test_a_trader_looks_closes_halts_kills_and_resets_through_the_commands(
    tmp_path: Path, pack: Path, feed: ReplayFeed, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = feed.sessions[0], feed.sessions[1]

    async def act() -> None:
        with exchange_process(pack, tmp_path / "exchange", *OPTIONS) as exchange:
            async with watched_at(exchange.said["url"], tmp_path, feed, settings) as watched, serving(watched) as port:
                await watched.connect()
                bought = await buy_in_the_morning(watched, first, 4)
                said = await command(port, capsys, "status")
                assert (said["source"], said["mode"]) == ("runner", "active")
                held = {one["symbol"] for one in said["positions"]}
                assert held
                assert held <= set(bought)
                name = sorted(held)[0]
                # bought today: nothing can be sold, all of it waits for the next session
                plan = await command(port, capsys, "close", name)
                assert plan["dry_run"]
                assert [one["execution"] for one in plan["orders"]] == ["session"]
                assert "T_PLUS_1" in plan["left"][name]
                assert not rows(watched, orders, orders.c.leg == "manual")
                await watched.follow(closed(first))
                done = await command(port, capsys, "close", "--all", "--yes", "--reason", "holidays", "--by", "wu")
                assert {one["session"] for one in done["orders"]} == {second.isoformat()}
                refused = await command(port, capsys, "close", "NOBODY.SIM", "--yes", "--reason", "x", code=REFUSED)
                assert "holds no NOBODY.SIM" in refused
                said = await command(port, capsys, "halt", "--reason", "lunch", "--by", "wu")
                assert said["mode"] == "halted"
                await watched.follow(closed(second))
                left = {row["symbol"] for row in rows(watched, positions_now)}
                sales = rows(watched, orders, orders.c.leg == "manual", orders.c.state == "filled")
                filled = {row["symbol"] for row in sales}
                assert filled
                assert filled.isdisjoint(left)
                assert (await command(port, capsys, "resume", "--reason", "back"))["mode"] == "active"
                assert (await command(port, capsys, "kill", "--reason", "fire"))["mode"] == "halted"
                assert (await command(port, capsys, "reset", "kill-switch", "--reason", "out"))["mode"] == "active"
                said = await command(port, capsys, "reset", "KILL_SWITCH", "--reason", "again", code=REFUSED)
                assert "is not tripped" in said
                assert rows(watched, outbox, outbox.c.code == "CLOSED_BY_HAND")

    asyncio.run(act())


def test_closing_all_cancels_open_purchases_although_nothing_is_held_yet(
    tmp_path: Path, pack: Path, feed: ReplayFeed, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    session = feed.sessions[0]

    async def act() -> None:
        with exchange_process(pack, tmp_path / "exchange", *OPTIONS) as exchange:
            async with watched_at(exchange.said["url"], tmp_path, feed, settings) as watched, serving(watched) as port:
                await watched.connect()
                made = [limit_buy(session, name, 200, 0, 1) for name in feed.symbols[:3]]
                await watched.desk.orders.place([replace(one, execution=Execution.SESSION) for one in made])
                bought = [one.client_order_id for one in made]
                told = await command(port, capsys, "close", "--all")
                assert (sorted(told["cancelled"]), told["orders"]) == (sorted(bought), [])
                one = await command(port, capsys, "close", made[0].symbol, "--yes", "--reason", "wrong", "--by", "wu")
                assert one["cancelled"] == bought[:1]
                said = await command(port, capsys, "close", "--all", "--yes", "--reason", "storm", "--by", "wu")
                assert sorted(said["cancelled"]) == sorted(bought[1:])
                assert {row["state"] for row in rows(watched, orders)} == {"cancelled"}
                notes = [row["message"] for row in rows(watched, outbox, outbox.c.code == "CLOSED_BY_HAND")]
                assert notes[0] == f"wu cancels {bought[0]}: wrong"
                assert notes[1].endswith(": storm")
                again = await command(port, capsys, "close", "--all", "--yes", "--reason", "storm", "--by", "wu")
                assert again["cancelled"] == again["orders"] == []

    asyncio.run(act())


def test_what_may_be_sold_is_sold_at_once_at_a_limit(
    tmp_path: Path, pack: Path, feed: ReplayFeed, settings: Settings
) -> None:
    first, second = feed.sessions[0], feed.sessions[1]

    async def act() -> None:
        with exchange_process(pack, tmp_path / "exchange", *OPTIONS) as exchange:
            async with watched_at(exchange.said["url"], tmp_path, feed, settings) as watched:
                await watched.connect()
                bought = await buy_in_the_morning(watched, first, 4)
                await watched.follow(closed(first))
                await buy_in_the_morning(watched, second, 1)  # trading goes on
                sellable = {row["symbol"] for row in rows(watched, positions_now) if row["sellable_shares"] >= 200}
                name = sorted(sellable & set(bought))[0]
                asked = CloseAsked(symbol=name, shares=100, dry_run=False, by="wu", reason="a test")
                said = await watched.control.close(asked)
                (order,) = said["orders"]
                assert (order["execution"], order["shares"]) == ("continuous", 100)
                assert order["limit_price_e4"] > 0
                await watched.follow(closed(second))
                (row,) = rows(watched, orders, orders.c.client_order_id == order["client_order_id"])
                assert row["state"] in ("filled", "lapsed")
                assert row["reason"] not in ("PRICE_CAGE", "PRICE_LIMIT", "LOT")

    asyncio.run(act())


def test_a_close_that_the_exchange_refuses_and_a_cancellation_that_comes_too_late_are_said(
    tmp_path: Path, pack: Path, feed: ReplayFeed, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    first = feed.sessions[0]

    async def act() -> None:
        with exchange_process(pack, tmp_path / "exchange", *OPTIONS) as exchange:
            async with watched_at(exchange.said["url"], tmp_path, feed, settings) as watched, serving(watched) as port:
                await watched.connect()
                await buy_in_the_morning(watched, first, 2)
                await watched.follow(closed(first))
                name = sorted(row["symbol"] for row in rows(watched, positions_now))[0]
                waits = await command(port, capsys, "close", name, "--yes", "--reason", "out")
                assert [one["state"] for one in waits["orders"]] == ["accepted"]
                exchange.fault(FaultKind.REJECT_NEXT, count=1)
                refused = await command(port, capsys, "close", name, "--yes", "--reason", "out")
                assert refused["cancelled"] == [one["client_order_id"] for one in waits["orders"]]
                assert [(one["state"], one["reason"]) for one in refused["orders"]] == [("rejected", "ON_DEMAND")]
                assert _close_text(refused, repeat=False).splitlines()[1].startswith("REJECTED ON_DEMAND: sell ")
                (filled, *_) = rows(watched, orders, orders.c.state == "filled")
                late = _Cancellable(filled["client_order_id"], filled["symbol"], Side.BUY, 0)
                assert await watched.control._cancelled([late]) == ([], {filled["client_order_id"]: "it is filled"})

    asyncio.run(act())


def test_of_two_closes_at_once_the_second_sees_what_the_first_one_sold(
    tmp_path: Path, pack: Path, feed: ReplayFeed, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def act() -> None:
        with exchange_process(pack, tmp_path / "exchange", *OPTIONS) as exchange:
            async with watched_at(exchange.said["url"], tmp_path, feed, settings) as watched:
                await watched.connect()
                await buy_in_the_morning(watched, feed.sessions[0], 2)
                await watched.follow(closed(feed.sessions[0]))
                held = {row["symbol"]: row["shares"] for row in rows(watched, positions_now)}
                place = watched.desk.orders.place

                async def slowly(placed: list[OrderDecided], beside: list[Event]) -> None:
                    await asyncio.sleep(0.2)
                    await place(placed, beside)

                monkeypatch.setattr(watched.desk.orders, "place", slowly)
                asked = CloseAsked(symbol="", shares=0, dry_run=False, by="wu", reason="a double click")
                once, again = await asyncio.gather(watched.control.close(asked), watched.control.close(asked))
                assert again["cancelled"] == [one["client_order_id"] for one in once["orders"]]
                working = rows(watched, orders, orders.c.is_open == 1)
                assert {row["symbol"]: row["shares"] for row in working} == held

    asyncio.run(act())


def test_a_close_by_hand_waits_for_the_market_s_close_that_is_being_decided(
    tmp_path: Path, pack: Path, feed: ReplayFeed, settings: Settings
) -> None:
    async def act() -> None:
        with exchange_process(pack, tmp_path / "exchange", *OPTIONS) as exchange:
            async with watched_at(exchange.said["url"], tmp_path, feed, settings) as watched:
                await watched.connect()
                await buy_in_the_morning(watched, feed.sessions[0], 2)
                await watched.follow(closed(feed.sessions[0]))
                asked = CloseAsked(symbol="", shares=0, dry_run=False, by="wu", reason="in the midst")
                async with watched.turn:
                    closing = asyncio.create_task(watched.control.close(asked))
                    await asyncio.wait({closing}, timeout=0.3)
                    assert not closing.done()
                    assert not rows(watched, orders, orders.c.leg == "manual")
                assert (await closing)["orders"]

    asyncio.run(act())


def test_a_broker_that_falls_silent_makes_the_runner_read_only_and_the_risk_is_shown(
    tmp_path: Path, pack: Path, feed: ReplayFeed, settings: Settings
) -> None:
    async def act() -> None:
        with exchange_process(pack, tmp_path / "exchange", *OPTIONS) as exchange:
            async with watched_at(exchange.said["url"], tmp_path, feed, settings) as watched:
                await watched.connect()
                await buy_in_the_morning(watched, feed.sessions[0], 2)
                await watched.watch.on_silent(BrokerSilent("no answer", "wait"))
                said = await watched.control.standing()
                assert said["mode"] == "read_only"
                assert {one["code"] for one in said["reasons"]} >= {"BROKER_UNREACHABLE", "EXCHANGE_UNREACHABLE"}
                worth = said["valuation"]
                assert worth["positions"]
                assert worth["closing_cash_fen"] < worth["equity_fen"]
                assert worth["locked_value_fen"] == sum(one["value_fen"] for one in worth["positions"])
                await watched.connect()  # reconciled: the mode is what it was
                changes = [row["mode"] for row in rows(watched, modes)]
                assert changes == ["active"]
                assert (await watched.control.standing())["mode"] == "active"

    asyncio.run(act())


def test_a_comparison_ends_what_went_unanswered_and_not_the_stream_s_outage(
    tmp_path: Path, pack: Path, feed: ReplayFeed, settings: Settings
) -> None:
    async def act() -> None:
        with exchange_process(pack, tmp_path / "exchange", *OPTIONS) as exchange:
            async with watched_at(exchange.said["url"], tmp_path, feed, settings) as watched:
                await watched.connect()
                watch, guard = watched.watch, watched.watch.guard
                due = asyncio.create_task(watch.comparison_due())
                since = guard.moment
                await watch.on_unanswered(BrokerSilent("no answer", "wait"))
                await asyncio.wait_for(due, 1)  # at once, not with the next regular look
                await watch.on_compared(since)
                assert Condition.BROKER_UNREACHABLE in guard.book.wrong  # it came while the books were compared
                await asyncio.wait_for(watch.comparison_due(), 1)
                await watch.on_compared(guard.moment)
                assert guard.standing().mode is TradingMode.ACTIVE
                with pytest.raises(TimeoutError):
                    await asyncio.wait_for(watch.comparison_due(), 0.01)
                await watch.on_silent(BrokerSilent("the stream broke off", "wait"))
                await watch.on_compared(guard.moment)
                assert set(guard.book.wrong) == {Condition.EXCHANGE_UNREACHABLE}
                await watch.on_connected()
                assert guard.standing().mode is TradingMode.ACTIVE

    asyncio.run(act())


def test_a_kill_cancels_what_is_open_although_the_journal_cannot_be_written(
    tmp_path: Path, pack: Path, feed: ReplayFeed, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = feed.sessions[0]

    async def act() -> None:
        with exchange_process(pack, tmp_path / "exchange", *OPTIONS) as exchange:
            async with watched_at(exchange.said["url"], tmp_path, feed, settings) as watched:
                await watched.connect()
                order = replace(limit_buy(session, feed.symbols[0], 200, 0, 1), execution=Execution.SESSION)
                await watched.desk.orders.place([order])
                (row,) = rows(watched, orders)
                assert row["is_open"]

                async def full(*_: Any) -> Any:
                    raise LiveError("the disk is full", "free some")

                with monkeypatch.context() as patched:
                    patched.setattr(watched.desk.journal, "append", full)
                    patched.setattr(watched.desk.journal, "write", full)
                    said = await watched.control.kill(KillAsked(by="wu", reason="fire"))
                assert said["not_written"] == "the disk is full"
                assert {one["code"] for one in said["reasons"]} >= {"KILL_SWITCH"}
                assert said["not_cancelled"] == {order.client_order_id: "the disk is full"}  # or not known to be
                there = await watched.desk.broker.order(order.client_order_id)
                assert there is not None
                assert there.state == "cancelled"
                await watched.watch.each_second()
                assert [row["reason"] for row in rows(watched, breakers)] == ["fire"]

    asyncio.run(act())


def test_the_interface_takes_json_objects_of_exactly_its_fields_alone(
    tmp_path: Path, pack: Path, feed: ReplayFeed, settings: Settings
) -> None:
    async def act() -> None:
        with exchange_process(pack, tmp_path / "exchange", *OPTIONS) as exchange:
            async with watched_at(exchange.said["url"], tmp_path, feed, settings) as watched:
                app = FastAPI()
                app.include_router(control_router(watched.control))
                async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as client:
                    body = {"by": "wu", "reason": "r"}
                    text = {"content": json.dumps(body), "headers": {"content-type": "text/plain"}}
                    as_text = await client.post("/kill", **text)
                    assert as_text.status_code == 415
                    assert (await client.post("/kill", data=body)).status_code == 415
                    assert (await client.post("/kill", json={**body, "more": 1})).status_code == 422
                    assert (await client.post("/kill", json={"by": "wu"})).status_code == 422
                    assert (await client.post("/kill", json={**body, "by": ""})).status_code == 409
                    assert (await client.post("/mode", json={**body, "mode": "mad", "strategy": ""})).status_code == 422
                    assert (await client.post("/kill", json={**body, "reason": "x" * 20_000})).status_code == 413
                    for odd in ("M\udcfcller", "half \ud800", "nothing\0"):
                        sent = {"content": json.dumps({**body, "reason": odd}), "headers": {"content-type": SENT_AS}}
                        assert (await client.post("/kill", **sent)).status_code == 422
                    assert (await client.get("/standing")).json()["breakers"]
                    assert all(not one["tripped"] for one in (await client.get("/standing")).json()["breakers"])

    asyncio.run(act())


# -- without a runner ------------------------------------------------------------------------------------------------


@pytest.fixture
def journal(home: Path) -> Path:
    """A journal that nobody runs; returns the runner's folder."""
    live = market_home(load_settings()) / "live"
    Journal(live / "account" / "journal.sqlite", SystemClock()).close()
    return live


def offline(capsys: pytest.CaptureFixture[str], *words: str, code: int = 0) -> Any:
    capsys.readouterr()
    # nobody listens on the discard port
    assert main(["live", *words, "--set", "ui.runner_port=1024", "--json"]) == code
    out, said = capsys.readouterr()
    return json.loads(out) if out else said


def test_without_a_runner_the_journal_is_looked_at_killed_and_halted(
    journal: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert offline(capsys, "status")["source"] == "journal"
    said = offline(capsys, "kill", "--reason", "fire", "--by", "wu")
    assert (said["mode"], said["source"]) == ("halted", "journal")
    said = offline(capsys, "halt", "--strategy", "topk-dropout", "--reason", "odd")
    assert said["strategies"]["topk-dropout"]["mode"] == "halted"
    again = offline(capsys, "status")
    assert [one["breaker"] for one in again["breakers"] if one["tripped"]] == ["KILL_SWITCH"]
    store = Store(journal / "account" / "journal.sqlite")
    with store.reading() as connection:
        assert connection.execute(select(breakers.c.tripped, breakers.c.reason)).all() == [(1, "fire")]
    store.close()


def test_the_status_tells_of_a_runner_that_stands_still_whatever_mode_the_account_is_in(
    journal: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert offline(capsys, "status")["runner"] is None
    opened = Journal(journal / "account" / "journal.sqlite", SystemClock())
    opened.record_state(RunnerState("halted", True, 100, None, None, 0, 5, "the pack is damaged"))
    opened.close()
    said = offline(capsys, "status")
    assert (said["mode"], said["runner"]) == ("active", {"mode": "halted", "message": "the pack is damaged"})
    assert main(["live", "status", "--set", "ui.runner_port=1024"]) == 0
    assert "halted: the pack is damaged" in capsys.readouterr().out


def test_the_status_tells_who_chose_a_mode_and_why_until_it_is_taken_back(
    journal: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert offline(capsys, "status")["chosen"] == []
    offline(capsys, "halt", "--strategy", "topk-dropout", "--reason", "odd", "--by", "wu")
    (chosen,) = offline(capsys, "status")["chosen"]
    assert (chosen["scope"], chosen["mode"], chosen["by"], chosen["reason"]) == ("topk-dropout", "halted", "wu", "odd")
    assert main(["live", "status", "--set", "ui.runner_port=1024"]) == 0
    told = capsys.readouterr().out
    assert f"wu set topk-dropout to halted at {chosen['at'][:19]} UTC: odd" in told


def test_words_of_a_terminal_with_another_encoding_stop_no_kill_switch(
    journal: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = offline(capsys, "kill", "--reason", "M\udcfcller", "--by", "w\udcfc")
    (pulled,) = [one for one in said["breakers"] if one["tripped"]]
    assert (said["mode"], pulled["reason"]) == ("halted", r"M\udcfcller")


def test_what_allows_more_or_sends_needs_a_runner(journal: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words in (("resume",), ("reduce",), ("read-only",), ("reset", "KILL_SWITCH"), ("close", "--all", "--yes")):
        assert "no runner answers" in offline(capsys, *words, "--reason", "r", code=REFUSED)


def test_a_runner_that_does_not_answer_is_not_written_past(journal: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store, clock = Store(journal / "account" / "journal.sqlite"), SystemClock()
    offline_now = OfflineControl(journal, store, clock, strategies=("s",), capital_fen=1, wait_s=0.3)
    with sole_runner(journal) as alone:
        assert alone
        with pytest.raises(LiveError, match=r"locked, and none answers here: end that process"):
            offline_now.kill(by="wu", reason="fire")
    store.close()
    assert not [one for one in offline(capsys, "status")["breakers"] if one["tripped"]]


def test_a_standby_that_looks_at_that_moment_is_waited_for(journal: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with ExitStack() as looking:
        assert looking.enter_context(sole_runner(journal))
        over = threading.Timer(0.4, looking.pop_all().close)
        over.start()
        assert offline(capsys, "kill", "--reason", "fire", "--by", "wu")["mode"] == "halted"
        over.join()


def test_a_lease_that_another_machine_renews_is_respected(journal: Path) -> None:
    store, clock = Store(journal / "account" / "journal.sqlite"), SystemClock()
    other = Lease(store, clock, holder="elsewhere")
    assert other.acquire()
    offline = OfflineControl(journal, store, clock, strategies=("s",), capital_fen=1, wait_s=0.3)
    with pytest.raises(LiveError, match="another machine"):
        offline.kill(by="wu", reason="fire")
    assert not [one for one in offline.standing()["breakers"] if one["tripped"]]
    other.release()
    assert offline.kill(by="wu", reason="fire")["mode"] == "halted"
    store.close()
