"""Runners as processes: one leads, the next takes over, none sends after it was deposed, and the exchange is theirs."""

from __future__ import annotations

import asyncio
import os
import resource
import shutil
import signal
import threading
import time
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import httpx
import pytest

from ljwx_pipeline.clock import ManualClock, SystemClock
from ljwx_pipeline.config import Settings, load_settings
from ljwx_pipeline.errors import Deposed, LiveError
from ljwx_pipeline.live.account_files import LOCK_NAME
from ljwx_pipeline.live.close_trading import Close, CloseTrader
from ljwx_pipeline.live.inbox import Inbox
from ljwx_pipeline.live.leadership import Candidate
from ljwx_pipeline.live.lease import Lease
from ljwx_pipeline.live.main import RunnerProcess, run_replay
from ljwx_pipeline.live.progress import Mode, Progress
from tests.fakes.exchange_world import opened
from tests.fakes.live_home import CONFIG, Home, live_home, live_settings
from tests.fakes.runner_books import Books, assert_agree, runner_books
from tests.fakes.served_runner import ExchangeThere, ServedRunner, exchange_of, serving, wait_for
from tests.fakes.sqlite_file import connect

#: Time enough to do something in the middle of the pack, and for another process to start meanwhile.
PACE, SLOW = {"seconds_per_session": 0.5}, {"seconds_per_session": 2.0}
#: A lease's term and the time that the next one may take to begin.
TAKE_OVER_S = 10.0
SESSIONS = 8
NOW = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A home with a bundle that nobody has traded by yet."""
    home = live_home(tmp_path_factory.mktemp("fresh"), symbols=16, feed_sessions=SESSIONS)
    home.spool(home.bundle(), "1")
    return home


@pytest.fixture(scope="module")
def undisturbed(fresh: Home, tmp_path_factory: pytest.TempPathFactory) -> tuple[Home, Books]:
    """That home after one run, and what it holds."""
    home = copied(fresh, tmp_path_factory.mktemp("undisturbed"))
    shipped = load_settings(config_file=CONFIG, profile="simulated", environ={})
    run_replay(home.home, live_settings(shipped), keys_dir=home.keys)
    return home, books(home, shipped)


@pytest.fixture
def home(fresh: Home, tmp_path: Path) -> Home:
    return copied(fresh, tmp_path)


def copied(home: Home, folder: Path) -> Home:
    shutil.copytree(home.home, folder / "home")
    return replace(home, home=folder / "home")


def books(home: Home, settings: Settings) -> Books:
    """What the journal holds, which is what the exchange holds too."""
    found = runner_books(home.live / "account" / "journal.sqlite")
    state = home.live / "account" / "exchange"
    capital_fen = round(settings.strategy.capital_cny * 100)
    with opened(home.live / "feed", state, costs=settings.costs, capital_fen=capital_fen) as exchange:
        assert_agree(found, exchange)
    return found


def there(home: Home) -> ExchangeThere:
    found = exchange_of(home.live)
    assert found is not None
    return found


def in_the_middle(runner: ServedRunner) -> None:
    wait_for(lambda: 1 < runner.sessions < SESSIONS - 2)


def stands_by(home: Home, runner: ServedRunner) -> None:
    """Wait until ``runner`` looks whether it may lead, and hear that it answers nothing meanwhile."""
    wait_for(lambda: (home.live / LOCK_NAME).read_text(encoding="ascii").strip() == str(runner.process.pid))
    assert runner.mode == ""


def finish(runner: ServedRunner) -> None:
    wait_for(lambda: runner.mode == "finished")
    assert runner.end(signal.SIGTERM) == (0, "")


@pytest.mark.slow
def test_killed_it_takes_its_exchange_with_it_and_the_one_that_stands_by_goes_on(
    home: Home, settings: Settings, undisturbed: tuple[Home, Books]
) -> None:
    with serving(home, **SLOW) as first:
        wait_for(lambda: first.sessions)
        with serving(home) as second:
            stands_by(home, second)
            in_the_middle(first)
            exchange = there(home)
            assert exchange.parent == first.process.pid
            first.end(signal.SIGKILL)
            assert wait_for(lambda: second.mode, TAKE_OVER_S) < TAKE_OVER_S
            wait_for(lambda: not Path(f"/proc/{exchange.process}").exists())
            wait_for(lambda: exchange_of(home.live) is not None)
            assert there(home).parent == second.process.pid
            finish(second)
    assert books(home, settings) == undisturbed[1]


@pytest.mark.slow
def test_stopped_in_the_middle_and_woken_it_sends_nothing_more_and_ends_as_deposed(
    home: Home, settings: Settings, undisturbed: tuple[Home, Books]
) -> None:
    with serving(home, **SLOW) as first:
        wait_for(lambda: first.sessions)
        with serving(home) as second:
            stands_by(home, second)
            in_the_middle(first)
            first.send(signal.SIGSTOP)
            exchange = there(home)
            assert wait_for(lambda: second.mode, TAKE_OVER_S) < TAKE_OVER_S
            standing = second.sessions
            wait_for(lambda: second.sessions > standing)
            assert there(home) == exchange, "an account has one exchange: the one that is there"
            first.send(signal.SIGCONT)
            code, said = first.end()
            assert code == Deposed.exit_code
            assert "it may neither write nor send" in said or "another runner" in said
            finish(second)
    assert books(home, settings) == undisturbed[1]
    with closing(connect(home.live / "account" / "journal.sqlite")) as db:
        epochs = [row[0] for row in db.execute("SELECT epoch FROM events_log WHERE kind = 'OrderSent' ORDER BY seq")]
    assert epochs == sorted(epochs)
    assert len(set(epochs)) == 2


@pytest.mark.slow
def test_an_exchange_that_is_killed_is_an_outage_and_is_started_again(
    home: Home, settings: Settings, undisturbed: tuple[Home, Books]
) -> None:
    with serving(home, **PACE) as runner:
        in_the_middle(runner)
        before = there(home)
        os.kill(before.process, signal.SIGKILL)
        wait_for(lambda: runner.mode == "outage")
        assert runner.ask("/health")["ok"]
        wait_for(lambda: exchange_of(home.live) is not None)
        assert there(home).process != before.process
        finish(runner)
    assert books(home, settings) == undisturbed[1]
    assert exchange_of(home.live) is None, "it ends with its runner"


class Enough(LiveError):
    """As far as the test lets it trade."""


def stop_after(monkeypatch: pytest.MonkeyPatch, closes: int) -> None:
    """Let a runner decide so many closes and then refuse."""
    decide, done = CloseTrader.decide, []

    async def counted(self: CloseTrader, close: Close) -> bool:
        if len(done) == closes:
            raise Enough("enough", "go on")
        decided = await decide(self, close)
        done.append(close)
        return decided

    monkeypatch.setattr(CloseTrader, "decide", counted)


@pytest.mark.slow
def test_a_journal_of_an_earlier_state_trades_under_a_higher_epoch_than_was_ever_seen(
    home: Home, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen, journal = live_settings(settings), home.live / "account" / "journal.sqlite"
    kept = home.home / "kept.sqlite"
    for closes in (2, 2):
        with monkeypatch.context() as patched:
            stop_after(patched, closes)
            with pytest.raises(Enough):
                run_replay(home.home, chosen, keys_dir=home.keys)
        if not kept.exists():
            with closing(connect(journal)) as db:
                db.execute("VACUUM INTO ?", (str(kept),))
    for name in ("journal.sqlite-wal", "journal.sqlite-shm"):
        (journal.parent / name).unlink(missing_ok=True)
    kept.replace(journal)
    account = run_replay(home.home, chosen, keys_dir=home.keys)
    assert (account.mode, account.sessions) == ("finished", SESSIONS)
    found = books(home, settings)
    assert len(found["account"]) == SESSIONS
    with closing(connect(journal)) as db:
        epochs = {row[0] for row in db.execute("SELECT epoch FROM events_log WHERE kind = 'OrderSent'")}
    assert max(epochs) > 2, "the exchange had seen 2"


def test_a_fault_in_looking_ends_no_process_that_stands_by(
    tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick = settings.model_copy(update={"live": settings.live.model_copy(update={"poll_seconds": 0.01})})
    process = RunnerProcess(tmp_path, quick, keys_dir=tmp_path / "keys", clock=SystemClock())
    look, looks = Candidate.look, iter([False, True, False])

    def looked(self: Candidate) -> bool:
        fails = next(looks, None)
        if fails:
            raise LiveError("the database is restarted", "wait for it")
        return look(self) if fails is None else False

    monkeypatch.setattr(Candidate, "look", looked)

    async def run() -> None:
        running = asyncio.create_task(process.loop.run(once=False))
        while process.progress.read().mode is not Mode.WAITING:
            assert not running.done()
            await asyncio.sleep(0.01)
        process.loop.stop()
        assert await running, "it led in the end"

    asyncio.run(asyncio.wait_for(run(), 20))


def test_a_start_says_what_it_is_at_and_one_that_stood_by_says_so(
    home: Home, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    process = RunnerProcess(
        home.home, live_settings(settings), keys_dir=home.keys, clock=SystemClock(), told=told.append
    )
    said: list[str] = []
    tell, look, looks = Progress.tell, Candidate.look, iter([False, False])

    def heard(self: Progress, mode: Mode, message: str = "") -> None:
        if mode is Mode.STARTING:
            said.append(message)
        tell(self, mode, message)

    monkeypatch.setattr(Progress, "tell", heard)
    monkeypatch.setattr(Candidate, "look", lambda self: next(looks, True) and look(self))

    async def run() -> None:
        running = asyncio.create_task(process.loop.run(once=False))
        while process.progress.read().mode is not Mode.TRADING:
            assert not running.done()
            await asyncio.sleep(0.01)
        process.loop.stop()
        await running

    asyncio.run(asyncio.wait_for(run(), 60))
    assert told == [
        "another runner trades this account: this one stands by and takes over when that one ends",
        "the other runner has ended: this one trades the account",
    ]
    assert said == [
        "opening the account",
        "taking in what has arrived",
        "opening the session pack and reckoning its factors",
        "compiling what decides, once for each release",
        "loading the model",
        "starting the exchange, comparing the books with it",
    ]


def test_the_lease_is_kept_while_a_slow_start_still_opens_its_parts(
    home: Home, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = RunnerProcess(home.home, live_settings(settings), keys_dir=home.keys, clock=SystemClock())
    renewed, adopt, renew, opening = threading.Event(), Inbox.adopt, Lease.renew, []

    def slow(self: Inbox) -> None:
        opening.append(renewed.wait(5.0))
        adopt(self)

    def noted(self: Lease) -> None:
        renew(self)
        renewed.set()

    monkeypatch.setattr(Inbox, "adopt", slow)
    monkeypatch.setattr(Lease, "renew", noted)
    assert asyncio.run(asyncio.wait_for(process.loop.run(once=True), 60))
    assert opening[0]


def test_an_inbox_that_cannot_be_read_is_an_alert_and_stops_no_trading(
    home: Home, settings: Settings, undisturbed: tuple[Home, Books], monkeypatch: pytest.MonkeyPatch
) -> None:
    process = RunnerProcess(home.home, live_settings(settings), keys_dir=home.keys, clock=SystemClock())
    collect, looked = Inbox.collect, []

    def fails_later(self: Inbox) -> object:
        looked.append(len(looked))
        if len(looked) > 1:
            raise LiveError("inbox.lock cannot be written", "make it writable")
        return collect(self)

    monkeypatch.setattr(Inbox, "collect", fails_later)

    async def run() -> None:
        running = asyncio.create_task(process.loop.run(once=False))
        while process.progress.read().mode is not Mode.FINISHED:
            assert process.progress.read().mode is not Mode.HALTED
            assert not running.done()
            await asyncio.sleep(0.01)
        while len(looked) < 4:
            await asyncio.sleep(0.01)
        process.loop.stop()
        await running

    asyncio.run(asyncio.wait_for(run(), 60))
    assert books(home, settings) == undisturbed[1]
    with closing(connect(home.live / "account" / "journal.sqlite")) as db:
        (alert,) = db.execute("SELECT tier, message FROM outbox WHERE code = 'INBOX_FAILED'").fetchall()
    assert tuple(alert) == ("warning", "inbox.lock cannot be written: make it writable")


def test_a_close_that_hangs_is_no_market_that_rests(
    home: Home, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = RunnerProcess(home.home, live_settings(settings), keys_dir=home.keys, clock=SystemClock())
    hung = asyncio.Event()

    async def hangs(self: CloseTrader, close: Close) -> bool:
        hung.set()
        await asyncio.Event().wait()
        return True

    monkeypatch.setattr(CloseTrader, "decide", hangs)

    async def run() -> None:
        running = asyncio.create_task(process.loop.run(once=False))
        await hung.wait()
        await asyncio.sleep(1.0)  # twenty polls
        assert process.progress.read().age_s > 0.9
        process.loop.stop()
        await running

    asyncio.run(asyncio.wait_for(run(), 60))


@pytest.mark.slow
def test_on_a_full_disk_it_halts_says_so_and_sends_nothing_until_there_is_room(
    home: Home, settings: Settings, undisturbed: tuple[Home, Books]
) -> None:
    with serving(home, **PACE) as runner:
        in_the_middle(runner)
        resource.prlimit(runner.process.pid, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
        wait_for(lambda: runner.mode == "halted")
        said = runner.ask("/health")
        assert not said["ok"]
        assert "could not be written" in said["message"] or "full disk" in said["message"]
        sent = orders_at_the_exchange(home)
        time.sleep(1.5)  # it looks again and again meanwhile
        assert (runner.mode, orders_at_the_exchange(home)) == ("halted", sent)
        resource.prlimit(runner.process.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        finish(runner)
    assert books(home, settings) == undisturbed[1]


def test_a_full_disk_of_the_exchange_is_said_while_it_stands_and_the_market_goes_on_after_it(
    home: Home, settings: Settings, undisturbed: tuple[Home, Books]
) -> None:
    with serving(home, poll_seconds=0.05, **SLOW) as runner:
        # the pause after a close: what was to be sent was answered, and the exchange is about to begin the next session
        wait_for(lambda: runner.sessions > 1 and "is done" in runner.ask("/health")["message"])
        limit = partial(resource.prlimit, there(home).process, resource.RLIMIT_FSIZE)
        limit((0, resource.RLIM_INFINITY))
        wait_for(lambda: runner.mode == "halted")
        said, done = runner.ask("/health"), runner.sessions
        assert not said["ok"]
        assert "the exchange does not go on (the exchange's journal refused a write" in said["message"]
        limit((resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        wait_for(lambda: runner.mode == "trading" and runner.sessions > done)
        finish(runner)
    assert books(home, settings) == undisturbed[1]


def orders_at_the_exchange(home: Home) -> int:
    return len(httpx.get(f"http://127.0.0.1:{there(home).port}/orders", timeout=10).json())


def test_a_runner_that_waits_renews_its_word_in_the_journal(tmp_path: Path, settings: Settings) -> None:
    clock = ManualClock(NOW)
    quick = settings.model_copy(update={"live": settings.live.model_copy(update={"poll_seconds": 0.01})})
    process = RunnerProcess(tmp_path, quick, keys_dir=tmp_path / "keys", clock=clock)

    async def said_at(instant: datetime) -> None:
        while True:
            with process.journal() as journal, closing(connect(journal.path)) as db:
                row = db.execute("SELECT mode, updated_at FROM runner").fetchone()
            if row is not None and tuple(row) == ("waiting", instant.isoformat()):
                return
            await asyncio.sleep(0.01)

    async def look() -> None:
        await said_at(NOW)
        clock.set(NOW + timedelta(seconds=11))
        await said_at(NOW + timedelta(seconds=11))
        process.loop.stop()

    async def run() -> None:
        running = asyncio.create_task(process.loop.run(once=False))
        await asyncio.wait_for(look(), 20)
        assert await asyncio.wait_for(running, 20)

    asyncio.run(run())


@pytest.mark.slow
def test_a_runner_at_the_end_of_its_pack_trades_the_next_one(tmp_path: Path) -> None:
    later = live_home(tmp_path, symbols=16, feed_sessions=3)
    bars = later.tables.bars
    before = bars[bars["session_date"] < bars["session_date"].max()].reset_index(drop=True)
    earlier = replace(later, tables=replace(later.tables, bars=before))
    earlier.write_pack()
    earlier.spool(earlier.bundle(), "1")
    with serving(earlier) as runner:
        wait_for(lambda: runner.mode == "finished")
        assert runner.sessions == earlier.feed_sessions
        later.write_pack()
        wait_for(lambda: runner.sessions == earlier.feed_sessions + 1)
        finish(runner)
    assert not (earlier.live / "archive").exists()
