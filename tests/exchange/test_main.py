"""The exchange as its clients meet it: a real process over loopback."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path

import httpx
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from ljwx_pipeline.cli import main
from ljwx_pipeline.errors import EnvironmentFault, LiveError, TradingError
from ljwx_pipeline.session_pack import read_session_pack
from ljwx_pipeline.trading.exchange_wire import (
    EPOCH_HEADER,
    FaultKind,
    FillReport,
    NewOrder,
    OrderReport,
    OrderStatus,
    Phase,
    PhaseName,
    SessionBars,
    Side,
)
from ljwx_pipeline.trading.strict_json import from_json, to_json
from tests.fakes.exchange_process import ExchangeProcess, exchange_process
from tests.fakes.exchange_world import limit_order, opened, seeded_session_orders, session_order, write_market

FAST = ("--tick-seconds", "600")


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_market(tmp_path_factory.mktemp("pack") / "feed", symbols=10, feed_sessions=4)


@pytest.fixture(scope="module")
def shared(pack: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ExchangeProcess]:
    """One process for what leaves no trace or any."""
    with exchange_process(pack, tmp_path_factory.mktemp("shared") / "state", "--allow-faults", *FAST) as running:
        yield running


SYMBOL = "S00001.SIM"


def session_of(running: ExchangeProcess) -> date:
    return date.fromisoformat(running.said["first_session"])


def follow(running: ExchangeProcess, *, until: str = "", ticks: int = 0) -> list[object]:
    """Everything durable until the close of a session (the last one), with the bars, in lockstep."""
    found: list[object] = []
    with running.stream(ticks=ticks) as stream:
        for frame in running.frames(stream):
            found += [*frame.durable, *frame.bars]
            if any(bars.session.isoformat() == (until or running.said["last_session"]) for bars in frame.bars):
                return found
    raise AssertionError("the stream ended before the session did")


def test_it_plays_the_sessions_in_lockstep_with_who_follows_and_stops_on_a_signal(pack: Path, tmp_path: Path) -> None:
    with exchange_process(pack, tmp_path / "state", *FAST) as running:
        assert running.ask("/clock")["session"] is None, "time stands until somebody follows"
        placed: list[str] = []
        found: list[object] = []
        with running.stream(ticks=1) as stream, opened(pack, tmp_path / "oracle") as oracle:
            ticks = 0
            for frame in running.frames(stream):
                found += [*frame.durable, *frame.bars]
                ticks += len(frame.ticks)
                for message in frame.durable:
                    if isinstance(message, Phase) and message.phase is PhaseName.OPENING_AUCTION:
                        for order in seeded_session_orders(oracle, message.session):
                            report = running.submit(order)
                            assert report.state is OrderStatus.ACCEPTED
                            placed.append(order.client_order_id)
                if any(bars.session.isoformat() == running.said["last_session"] for bars in frame.bars):
                    break
        assert ticks > 500
        durable = [one for one in found if not isinstance(one, SessionBars)]
        assert [one.seq for one in durable] == list(range(1, len(durable) + 1))
        assert durable == running.messages()
        ends = {one.client_order_id: one for one in durable if isinstance(one, OrderReport)}
        assert sorted(ends) == sorted(placed)
        assert {one.state for one in ends.values()} <= {OrderStatus.FILLED, OrderStatus.LAPSED}
        assert any(isinstance(one, FillReport) for one in durable)
        phases = [one.phase for one in durable if isinstance(one, Phase)]
        assert phases == [
            *(PhaseName.OPENING_AUCTION, PhaseName.OPENED, PhaseName.CONTINUOUS, PhaseName.LUNCH),
            *(PhaseName.CONTINUOUS, PhaseName.CLOSING_AUCTION, PhaseName.CLOSED),
        ] * len([one for one in found if isinstance(one, SessionBars)])
        clock = running.ask("/clock")
        assert (clock["phase"], clock["exhausted"]) == ("closed", True)
        assert clock["next_session"] > running.said["last_session"], "the calendar's, for which orders are taken"
        assert running.stop() == 0


def test_the_official_bars_are_those_of_the_pack(shared: ExchangeProcess, pack: Path) -> None:
    first = shared.said["first_session"]
    assert shared.http.get(f"/bars/{shared.said['last_session']}").json()["code"] == "NOT_YET"
    follow(shared, until=first)
    bars = from_json(SessionBars, shared.ask(f"/bars/{first}")).bars
    frame = read_session_pack(pack).feed
    frame = frame[frame["session_date"] == first].reset_index(drop=True)
    assert [bar.symbol for bar in bars] == list(frame["symbol"])
    for name in ("open", "high", "low", "close", "pre_close"):
        assert [getattr(bar, f"{name}_e4") / 1e4 for bar in bars] == list(frame[f"{name}_cny"]), name
    assert [bar.amount_fen / 100 for bar in bars] == list(frame["amount_cny"])
    assert [bar.volume_shares for bar in bars] == list(frame["volume_shares"])
    assert [bar.adj_factor for bar in bars] == list(frame["adj_factor"])


def test_what_is_no_request_is_refused_by_code(shared: ExchangeProcess) -> None:
    def refused(answer: httpx.Response) -> tuple[int, str]:
        return answer.status_code, answer.json()["code"]

    order = to_json(session_order(session_of(shared), SYMBOL, 200, name="r"))
    epoch = {EPOCH_HEADER: "1"}
    post = shared.http.post
    assert refused(post("/orders", json=order)) == (400, "MALFORMED")
    assert refused(post("/orders", json=order, headers={EPOCH_HEADER: "-1"})) == (400, "MALFORMED")
    assert refused(post("/orders", content=b"{", headers=epoch)) == (400, "MALFORMED")
    assert refused(post("/orders", json={**order, "shares": "1"}, headers=epoch)) == (400, "MALFORMED")
    assert refused(post("/orders", json={**order, "client_order_id": ""}, headers=epoch)) == (400, "MALFORMED")
    assert refused(post("/orders", content=b"x" * 70_000, headers=epoch)) == (400, "MALFORMED")
    assert refused(post("/by-hand", json=order)) == (400, "MALFORMED")
    assert refused(shared.http.get("/orders/never")) == (404, "NOT_FOUND")
    assert refused(shared.http.get("/orders/X999")) == (404, "NOT_FOUND")
    assert refused(shared.http.delete("/orders/never", headers=epoch)) == (404, "NOT_FOUND")
    assert refused(shared.http.get("/orders?session=yesterday")) == (400, "MALFORMED")
    assert refused(shared.http.get("/events?after=x")) == (400, "MALFORMED")
    assert refused(shared.http.get("/bars/1999-01-04")) == (404, "NOT_FOUND")
    assert shared.http.get("/health", headers={"host": "evil.example"}).status_code == 400
    for query in ("after=x", "after=999999", "ticks=yes"):
        address = f"ws://127.0.0.1:{shared.port}/stream?{query}"
        with pytest.raises(ConnectionClosed) as closed, connect(address) as stream:
            stream.recv(timeout=10)
        assert closed.value.rcvd.code == 1008


def test_an_order_is_one_order_however_often_it_is_sent_and_an_old_epoch_is_fenced(pack: Path, tmp_path: Path) -> None:
    with exchange_process(pack, tmp_path / "state", *FAST) as running:
        order = session_order(session_of(running), SYMBOL, 200, name="s|1|A|buy")
        first = running.submit(order, epoch=3)
        assert running.submit(order, epoch=4) == first
        assert running.ask("/orders/s%7C1%7CA%7Cbuy") == running.ask(f"/orders/{first.exchange_order_id}")
        other = to_json(session_order(order.session, order.symbol, 300, name=order.client_order_id))
        answer = running.http.post("/orders", json=other, headers={EPOCH_HEADER: "4"})
        assert (answer.status_code, answer.json()["code"]) == (409, "CONFLICT")
        fenced = running.http.post("/orders", json=to_json(order), headers={EPOCH_HEADER: "3"})
        assert (fenced.status_code, fenced.json()["code"]) == (409, "FENCED")
        fenced = running.http.delete("/orders/s%7C1%7CA%7Cbuy", headers={EPOCH_HEADER: "3"})
        assert fenced.json()["code"] == "FENCED"
        assert len(running.messages()) == 1
        running.kill()
    with exchange_process(pack, tmp_path / "state", *FAST) as running:
        fenced = running.http.post("/orders", json=to_json(order), headers={EPOCH_HEADER: "3"})
        assert fenced.json()["code"] == "FENCED", "the epoch outlives the process"
        cancelled = running.http.delete("/orders/s%7C1%7CA%7Cbuy", headers={EPOCH_HEADER: "4"}).json()
        assert (cancelled["state"], cancelled["seq"]) == ("cancelled", 2)
        assert running.http.delete("/orders/X1", headers={EPOCH_HEADER: "4"}).json() == cancelled


def test_an_order_by_hand_has_no_client_order_id_and_is_told_to_all(pack: Path, tmp_path: Path) -> None:
    with exchange_process(pack, tmp_path / "state", *FAST) as running:
        order = session_order(session_of(running), SYMBOL, 200, name="")
        report = running.http.post("/by-hand", json=to_json(order)).json()
        assert (report["client_order_id"], report["exchange_order_id"]) == ("", "X1")
        found = follow(running, until=running.said["first_session"])
        fills = [one for one in found if isinstance(one, FillReport)]
        assert [(fill.exchange_order_id, fill.client_order_id, fill.side) for fill in fills] == [("X1", "", Side.BUY)]
        assert running.ask("/account")["positions"][0]["shares"] == 200


def test_killed_in_the_middle_it_goes_on_and_nothing_is_told_twice(pack: Path, tmp_path: Path) -> None:
    with exchange_process(pack, tmp_path / "calm", *FAST) as running:
        follow(running)
        calm = running.messages()
    seen: list[object] = []
    starts = 0
    while len(seen) < len(calm):
        starts += 1
        with exchange_process(pack, tmp_path / "state", *FAST) as running:
            with running.stream(after=len(seen)) as stream:
                for frame in running.frames(stream):
                    seen += frame.durable
                    if len(seen) >= min(len(calm), starts * 20):
                        break
            running.kill()
    assert starts > 1
    assert seen == calm


def test_who_is_slow_gets_every_durable_message_and_the_latest_ticks(pack: Path, tmp_path: Path) -> None:
    with exchange_process(
        pack, tmp_path / "state", "--speed", "1e9", "--night", "0", "--tick-seconds", "10"
    ) as running:
        with running.stream(ticks=1) as stream:
            frames = running.frames(stream)
            next(frames)  # and from here on it deals with nothing until all is over
            while not running.ask("/health")["finished"]:
                time.sleep(0.1)
            found, ticks = [], 0
            for frame in frames:
                found += frame.durable
                ticks += len(frame.ticks)
                if found and found[-1].seq == running.ask("/clock")["last_seq"]:
                    break
        assert running.ask("/health")["conflated_ticks"] > 1000
        assert ticks > 0
        assert [one.seq for one in found] == list(range(found[0].seq, found[-1].seq + 1))


@pytest.mark.slow
def test_an_observer_holds_nobody_up(pack: Path, tmp_path: Path) -> None:
    with exchange_process(pack, tmp_path / "state", *FAST) as running, running.stream(observe=1, ticks=1):
        follow(running, until=running.said["first_session"])


def test_faults_are_committed_on_demand_and_only_where_they_are_allowed(pack: Path, tmp_path: Path) -> None:
    with exchange_process(pack, tmp_path / "state", "--allow-faults", *FAST) as running:
        session = session_of(running)

        def order(name: str, symbol: int) -> NewOrder:
            return session_order(session, f"S0000{symbol}.SIM", 200, name=name)

        running.fault(FaultKind.DROP_REPLY)
        with pytest.raises(httpx.TransportError):
            running.submit(order("dropped", 1))
        assert running.ask("/orders/dropped")["state"] == "accepted"
        running.fault(FaultKind.CUT_AFTER_REQUEST)
        with pytest.raises(httpx.TransportError):
            running.submit(order("cut", 2))
        assert running.http.get("/orders/cut").status_code == 404
        running.fault(FaultKind.HALF_OPEN, seconds=1.0)
        with pytest.raises(httpx.ReadTimeout):
            running.http.post("/orders", json=to_json(order("half", 4)), headers={EPOCH_HEADER: "1"}, timeout=0.3)
        assert running.ask("/orders/half")["state"] == "accepted"
        running.fault(FaultKind.DELAY, seconds=1.0)
        with pytest.raises(httpx.ReadTimeout):
            running.http.post("/orders", json=to_json(order("late", 5)), headers={EPOCH_HEADER: "1"}, timeout=0.3)
        assert running.http.get("/orders/late").status_code == 404
        wait_for(lambda: running.http.get("/orders/late").status_code == 200)
        running.fault(FaultKind.REJECT_NEXT, count=1)
        rejected = running.submit(order("rejected", 6))
        assert (rejected.state, rejected.reason) == (OrderStatus.REJECTED, "ON_DEMAND")
        assert running.submit(order("next", 6)).state is OrderStatus.ACCEPTED
        with running.stream(after=0) as stream:
            stream.recv(timeout=10)
            running.fault(FaultKind.DISCONNECT_STREAM, seconds=1.0)
            with pytest.raises(ConnectionClosed):
                list(iter(lambda: stream.recv(timeout=10), None))
        with pytest.raises(InvalidStatus), running.stream():
            pass
        time.sleep(1.1)
        running.fault(FaultKind.SILENCE_STREAM, seconds=1.0)
        began = time.monotonic()
        with running.stream() as stream:
            stream.recv(timeout=10)
        assert time.monotonic() - began > 0.7
        assert running.ask("/health")["ok"]
        assert running.stop() == 0
    with exchange_process(pack, tmp_path / "state", *FAST) as running:
        asked = {"kind": "delay", "count": 1, "seconds": 1}
        assert running.http.post("/faults", json=asked).json()["code"] == "NOT_ALLOWED"


def wait_for(fact: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not fact():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_readers_are_answered_while_it_trades(pack: Path, tmp_path: Path) -> None:
    with exchange_process(pack, tmp_path / "state", "--tick-seconds", "30") as running:
        answers: list[int] = []
        over = threading.Event()

        def read() -> None:
            with httpx.Client(base_url=running.said["url"], timeout=20) as http:
                while not over.is_set():
                    answers.append(http.get("/account").status_code)
                    answers.append(http.get("/events?after=0&limit=50").status_code)

        reader = threading.Thread(target=read)
        reader.start()
        try:
            follow(running, until=running.said["first_session"], ticks=1)
        finally:
            over.set()
            reader.join()
        assert len(answers) > 2
        assert set(answers) == {200}


def test_a_second_process_on_the_same_account_is_refused(
    pack: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with exchange_process(pack, tmp_path / "state", *FAST) as running:
        assert main(["exchange", "--pack", str(pack), "--state", str(tmp_path / "state")]) == EnvironmentFault.exit_code
        assert "another exchange is at work on" in capsys.readouterr().err
        taken = ["exchange", "--pack", str(pack), "--state", str(tmp_path / "other"), "--port", str(running.port)]
        assert main(taken) == EnvironmentFault.exit_code
        assert f"port {running.port} on 127.0.0.1 cannot be opened" in capsys.readouterr().err


def test_a_damaged_pack_and_an_account_of_another_market_are_refused(
    pack: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    damaged = tmp_path / "damaged"
    shutil.copytree(pack, damaged)
    (feed,) = damaged.glob("feed-*.arrow")
    feed.write_bytes(feed.read_bytes()[:-1] + b"?")
    assert main(["exchange", "--pack", str(damaged), "--state", str(tmp_path / "state")]) == LiveError.exit_code
    assert "is damaged" in capsys.readouterr().err
    with opened(pack, tmp_path / "state") as exchange:
        exchange.advance(ticks=False)
    other = write_market(tmp_path / "other", symbols=10, feed_sessions=4, seed=3)
    assert main(["exchange", "--pack", str(other), "--state", str(tmp_path / "state")]) == TradingError.exit_code
    assert "are not those that this account has traded on" in capsys.readouterr().err


@pytest.mark.parametrize(
    "option",
    [
        *(("--port", "70000"), ("--speed", "-1"), ("--speed", "nan")),
        *(("--tick-seconds", "0"), ("--night", "-1"), ("--tick-seed", "-1")),
    ],
)
def test_an_option_without_meaning_is_named(option: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["exchange", *option]) == 2
    assert f"{option[0]} is {option[1]}" in capsys.readouterr().err.replace("-1.0", "-1")


def test_the_address_is_said_as_text_too(pack: Path, tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "ljwx_pipeline.cli", "exchange", "--pack", str(pack), "--state", str(tmp_path / "s")],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout.readline().startswith("paper exchange on http://127.0.0.1:")
        process.terminate()
        assert process.wait(20) == 0
    finally:
        process.kill()
        process.communicate()


def test_a_limit_order_trades_on_the_ticks_of_the_stream(pack: Path, tmp_path: Path) -> None:
    with exchange_process(pack, tmp_path / "state", *FAST) as running, running.stream(ticks=1) as stream:
        session, fills = session_of(running), []
        seen: dict[int, tuple[int, int]] = {}
        placed = False
        for frame in running.frames(stream):
            for tick in frame.ticks:
                if tick.symbol == SYMBOL:
                    seen[tick.at_ns] = (tick.bid_e4, tick.ask_e4)
                    if not placed and tick.ask_e4:
                        running.submit(limit_order(session, tick.symbol, 200, tick.ask_e4 + 500))
                        placed = True
            fills += [one for one in frame.durable if isinstance(one, FillReport)]
            if any(isinstance(one, Phase) and one.phase is PhaseName.CLOSED for one in frame.durable):
                break
        (fill,) = fills
        assert fill.price_e4 == seen[fill.at_ns][1], "at the ask of the tick of that instant"
        assert json.dumps(to_json(fill))


def test_a_step_that_fails_is_said_and_tried_again(pack: Path, tmp_path: Path) -> None:
    copy = tmp_path / "pack"
    shutil.copytree(pack, copy)
    with exchange_process(copy, tmp_path / "state", *FAST) as running:
        recording = copy / f"ticks-{running.said['first_session']}.parquet"
        recording.write_bytes(b"nothing of the kind")
        with running.stream() as stream:
            wait_for(lambda: running.http.get("/health").status_code == 503)
            assert "cannot be read as recorded ticks" in running.http.get("/health").json()["message"]
            assert running.ask("/clock")["session"] is None
            recording.unlink()
            next(running.frames(stream))
            wait_for(lambda: running.ask("/health")["ok"])


def test_a_pack_that_grows_is_played_on_and_one_that_is_refused_stays_said(tmp_path: Path) -> None:
    pack = write_market(tmp_path / "pack", symbols=8, feed_sessions=3, without=(-1,))
    whole = {"symbols": 8, "feed_sessions": 3}
    with exchange_process(pack, tmp_path / "state", *FAST) as running, running.stream() as stream:
        frames = running.frames(stream)

        def play_until(phase: PhaseName, session: str) -> None:
            for frame in frames:
                phases = [one for one in frame.durable if isinstance(one, Phase) and one.phase is phase]
                if any(one.session.isoformat() == session for one in phases):
                    return

        play_until(PhaseName.CLOSED, running.said["last_session"])
        coming = running.ask("/clock")["next_session"]
        order = session_order(date.fromisoformat(coming), SYMBOL, 200)
        assert running.submit(order).state is OrderStatus.ACCEPTED
        asking = threading.Thread(target=play_until, args=(PhaseName.CLOSED, coming))
        write_market(pack, **whole, seed=5)
        asking.start()
        wait_for(lambda: running.http.get("/health").status_code == 503)
        time.sleep(0.7)  # the next look
        assert "not those that this account has traded on" in running.http.get("/health").json()["message"]
        write_market(pack, **whole)
        asking.join(timeout=20)
        assert running.ask("/orders/a")["state"] in ("filled", "lapsed")
        assert running.ask("/clock")["session"] == coming


def test_a_free_port_is_taken_where_none_is_named(shared: ExchangeProcess) -> None:
    with socket.create_connection(("127.0.0.1", shared.port), timeout=5):
        assert shared.port > 0
