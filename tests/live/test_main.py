"""The whole runner: bundle in, held-out sessions traded, account out; idempotent; small."""

from __future__ import annotations

import json
import resource
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import httpx
import numpy as np
import pandas as pd
import pytest

from ljwx_pipeline.backtest.engine import run_backtest
from ljwx_pipeline.config import Settings, load_settings
from ljwx_pipeline.dataset import scorable_mask
from ljwx_pipeline.errors import EnvironmentFault, LiveError
from ljwx_pipeline.factors.alpha158 import alpha158
from ljwx_pipeline.live import main as main_module
from ljwx_pipeline.live.account_files import sole_runner
from ljwx_pipeline.live.close_trading import Close, CloseTrader
from ljwx_pipeline.live.feed import ReplayFeed
from ljwx_pipeline.live.main import run_replay, serve
from ljwx_pipeline.live.snapshot import AccountSnapshot
from ljwx_pipeline.market.tables import empty_table
from ljwx_pipeline.scoring.bundle import load_bundle
from ljwx_pipeline.scoring.signing import public_key
from tests.fakes.live_home import CONFIG, Home, live_home, live_settings
from tests.fakes.served_runner import ServedRunner, serving, wait_for
from tests.fakes.sqlite_file import connect

ROOT = Path(__file__).resolve().parents[2]
HEAVY = ("dagster", "mlflow", "feast", "shap", "optuna", "great_expectations", "pandera", "matplotlib", "sklearn")


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return live_home(tmp_path)


@pytest.fixture(scope="module")
def shipped() -> Settings:
    return load_settings(config_file=CONFIG, profile="simulated", environ={})


@pytest.fixture(scope="module")
def traded(tmp_path_factory: pytest.TempPathFactory, shipped: Settings) -> tuple[Home, AccountSnapshot]:
    """A home whose pack was traded once, and the account after it."""
    home = live_home(tmp_path_factory.mktemp("traded"))
    home.spool(home.bundle(), "1")
    return home, run_replay(home.home, live_settings(shipped), keys_dir=home.keys)


def rows(home: Home, sql: str) -> list[tuple[object, ...]]:
    return [tuple(row) for row in connect(home.live / "account" / "journal.sqlite").execute(sql)]


def test_the_champion_s_bundle_trades_the_held_out_sessions(
    traded: tuple[Home, AccountSnapshot], settings: Settings
) -> None:
    home, account = traded
    assert account.mode == "finished"
    assert account.sessions == home.feed_sessions
    assert account.positions > 0
    assert account.orders["filled"] > 0
    assert account.model_version == "1"
    assert account.as_dict()["equity_cny"] == account.equity_cny > 0
    before = rows(home, "SELECT * FROM orders")
    assert run_replay(home.home, live_settings(settings), keys_dir=home.keys) == account
    assert rows(home, "SELECT * FROM orders") == before


def test_live_scores_and_trades_are_those_of_research(traded: tuple[Home, AccountSnapshot], settings: Settings) -> None:
    home, account = traded
    chosen, path = live_settings(settings), home.bundle()
    values, panel = home.research()
    bundle = load_bundle(path, factor_hash=alpha158().version_hash, public_key=public_key(home.keys))
    scorable = scorable_mask(
        panel, home.tables.securities, home.tables.st_spells, empty_table("index_members"), chosen.universe
    )
    scores = np.full(scorable.shape, np.nan)
    for column in range(scorable.shape[1]):
        at = np.flatnonzero(scorable[:, column])
        features = np.stack([values.of(name)[at, column] for name in values.names], axis=1)
        scores[at, column] = bundle.predict(features).score
    feed = ReplayFeed.open(home.live / "feed")
    recorded = pd.DataFrame(
        rows(home, "SELECT session, symbol, score FROM signals"), columns=["day", "symbol", "score"]
    )
    dense = np.full(scores.shape, np.nan)
    dense[
        pd.Index(panel.symbols).get_indexer(recorded["symbol"]),
        panel.sessions.get_indexer(pd.DatetimeIndex(recorded["day"])),
    ] = recorded["score"]
    decided = slice(-home.feed_sessions, -1)  # all but the last close, see the test that is expected to fail
    np.testing.assert_array_equal(dense[:, decided], scores[:, decided])
    expected = run_backtest(
        feed.market,
        scores[:, -feed.market.close_e4.shape[1] :],
        strategy=chosen.strategy,
        costs=chosen.costs,
        first=feed.sessions[0],
        last=feed.sessions[-1],
    )
    assert round(account.equity_cny * 100) == expected.equity_fen[-1]
    assert round(account.cash_cny * 100) == expected.cash_fen[-1]
    assert account.fills == len(expected.trades)
    assert account.holdings == dict(zip(expected.positions["symbol"], expected.positions["shares"], strict=True))


def test_without_a_model_the_account_waits_in_cash(home: Home, settings: Settings) -> None:
    account = run_replay(home.home, live_settings(settings), keys_dir=home.keys)
    assert (account.mode, account.sessions, account.model_version) == ("waiting", 0, None)
    assert account.equity_cny == account.cash_cny == settings.strategy.capital_cny


def test_without_a_pack_it_says_what_to_run(tmp_path: Path, settings: Settings) -> None:
    with pytest.raises(LiveError, match="there is no session pack"):
        run_replay(tmp_path, settings, keys_dir=tmp_path / "keys")


def test_one_bit_of_another_factor_stops_it(home: Home, settings: Settings) -> None:
    home.write_pack(drift=1e-3)
    home.spool(home.bundle(), "1")
    with pytest.raises(LiveError, match=r"factor ROC5 of .* in the online feature store \(1 values differ\)"):
        run_replay(home.home, live_settings(settings), keys_dir=home.keys)


def test_a_newer_model_takes_over_at_the_next_session(
    home: Home, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    newer = home.bundle(rounds=4)
    home.spool(home.bundle(), "1")
    decide, done = CloseTrader.decide, []

    async def decide_and_deploy(self: CloseTrader, close: Close) -> bool:
        decided = await decide(self, close)
        done.append(close)
        if len(done) == 3:
            home.spool(newer, "2")
        return decided

    monkeypatch.setattr(CloseTrader, "decide", decide_and_deploy)
    account = run_replay(home.home, live_settings(settings), keys_dir=home.keys)
    assert account.model_version == "2"
    used = [bundle for (bundle,) in rows(home, "SELECT bundle_hash FROM sessions ORDER BY session")][:-1]
    assert used == [used[0]] * 3 + [newer.name] * 4
    assert used[0] != newer.name


def test_the_last_close_of_the_pack_is_decided_too(traded: tuple[Home, AccountSnapshot]) -> None:
    home, _ = traded
    (last,) = rows(home, "SELECT session, bundle_hash FROM sessions ORDER BY session DESC LIMIT 1")
    assert last[1] is not None
    assert rows(home, f"SELECT 1 FROM orders WHERE session = '{last[0]}'")


def test_another_capital_begins_a_new_account_and_keeps_the_old_with_that_of_its_exchange(
    traded: tuple[Home, AccountSnapshot], tmp_path: Path, settings: Settings
) -> None:
    chosen = live_settings(settings)
    shutil.copytree(traded[0].home, tmp_path / "home")
    home = replace(traded[0], home=tmp_path / "home")
    richer = chosen.model_copy(update={"strategy": chosen.strategy.model_copy(update={"capital_cny": 20_000_000.0})})
    account = run_replay(home.home, richer, keys_dir=home.keys)
    assert account.sessions == home.feed_sessions
    assert account.equity_cny > 15_000_000
    (kept,) = (home.live / "archive").iterdir()
    assert (kept / "journal.sqlite").is_file()
    for place, capital_cny in ((kept, 10_000_000), (home.live / "account", 20_000_000)):
        with closing(connect(place / "exchange" / "exchange.sqlite")) as db:
            first = next(one for (one,) in db.execute("SELECT body FROM messages ORDER BY seq") if "cash_fen" in one)
        assert json.loads(first)["cash_fen"] == capital_cny * 100
    messages = [message for (message,) in rows(home, "SELECT message FROM events WHERE kind = 'account_started_anew'")]
    assert len(messages) == 1
    assert "opened with 10,000,000.00 CNY" in messages[0]


def test_a_pack_that_moves_on_by_a_session_continues_the_account(tmp_path: Path, settings: Settings) -> None:
    later = live_home(tmp_path, feed_sessions=8)
    days = np.sort(later.tables.bars["session_date"].unique())
    whole = later.tables.bars
    chosen = live_settings(settings)
    early = Home(later.home, later.keys, later.made, later.tables, 8)
    object.__setattr__(early.tables, "bars", whole[whole["session_date"] < days[-1]].reset_index(drop=True))
    early.write_pack()
    early.spool(early.bundle(), "1")
    assert run_replay(early.home, chosen, keys_dir=early.keys).sessions == 8
    object.__setattr__(later.tables, "bars", whole)
    later.write_pack()
    account = run_replay(later.home, chosen, keys_dir=later.keys)
    assert account.sessions == 9
    assert not (later.live / "archive").exists()


def test_one_process_at_a_time_looks_after_the_folder(home: Home) -> None:
    with sole_runner(home.live) as first, sole_runner(home.live) as second:
        assert (first, second) == (True, False)


def test_a_port_in_use_is_named_with_its_remedy(home: Home, settings: Settings) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(EnvironmentFault, match=rf"port {port} on 127\.0\.0\.1 .*choose another ui\.runner_port"):
            serve(home.home, live_settings(settings, runner_port=port), keys_dir=home.keys)


RUN = """
import sys
from pathlib import Path
{block}
from ljwx_pipeline.config import load_settings
from tests.fakes.live_home import live_settings
shipped = load_settings(config_file=Path("ljwx.toml"), profile="simulated", environ={{}})
settings = live_settings(shipped, runner_port={port})
from ljwx_pipeline.live.main import run_replay
{what}
"""
#: The runner's own environment holds none of these; whoever asks for one is noted.
BLOCK = f"""
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {HEAVY!r}:
            asked.append((name, sys._getframe(1)))
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
asked = []
sys.meta_path.insert(0, Absent())
"""


def run_code(code: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def test_a_replay_needs_none_of_the_heavy_packages(home: Home) -> None:
    home.spool(home.bundle(), "1")
    what = f"""
account = run_replay(Path({str(home.home)!r}), settings, keys_dir=Path({str(home.keys)!r}))
assert account.fills > 0
loaded = [name for name in {HEAVY!r} if name in sys.modules]
# not getrusage: its maximum is inherited from the process that spawned this one
status = Path("/proc/self/status").read_text()
print(loaded, int(status.split("VmHWM:")[1].split()[0]) // 1024)
"""
    process = run_code(RUN.format(block=BLOCK, port=8700, what=what))
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    loaded, _, mebibytes = out.rpartition(" ")
    assert loaded == "[]"
    assert int(mebibytes) < 500


@pytest.fixture
def served(home: Home) -> Iterator[ServedRunner]:
    with serving(home) as running:
        wait_for(lambda: running.ask("/health").get("ok"))
        yield running


@pytest.mark.slow
def test_served_it_takes_a_pushed_bundle_trades_and_stops_on_a_signal(home: Home, served: ServedRunner) -> None:
    base = f"http://127.0.0.1:{served.port}"
    wait_for(lambda: httpx.get(f"{base}/health").json()["mode"] == "waiting")
    assert httpx.get(f"{base}/status").json()["account"]["sessions"] == 0
    body, headers = home.request(home.bundle(), "7")
    stranger = httpx.post(f"{base}/bundles", content=body)
    assert stranger.status_code == 422
    assert "not signed" in stranger.json()["detail"]
    elsewhere, signed = home.request(home.bundle(model_name="ljwx-elsewhere"), "7")
    assert httpx.post(f"{base}/bundles", content=elsewhere, headers=signed).status_code == 421
    first = httpx.post(f"{base}/bundles", content=body, headers=headers)
    assert (first.status_code, first.json()["status"]) == (201, "accepted")
    second = httpx.post(f"{base}/bundles", content=body, headers=headers)
    assert (second.status_code, second.json()["status"]) == (200, "already")
    wait_for(lambda: httpx.get(f"{base}/status").json()["mode"] == "finished")
    status = httpx.get(f"{base}/status").json()
    assert status["model"]["version"] == "7"
    assert status["account"]["fills"] > 0
    assert httpx.get(f"{base}/health").json()["ok"]

    # what `ljwx live --once` answers meanwhile: the account of the runner that is at work
    result = run_replay_beside(home)
    assert result["sessions"] == home.feed_sessions

    assert served.end(signal.SIGTERM) == (0, "")
    kinds = [kind for (kind,) in rows(home, "SELECT kind FROM events ORDER BY id")]
    assert kinds.count("bundle_deployed") == 1
    assert kinds.count("bundle_refused") in (1, 2)  # two requests were refused, noted at most once a second


def run_replay_beside(home: Home) -> dict[str, int]:
    what = f"""
import json
account = run_replay(Path({str(home.home)!r}), settings, keys_dir=Path({str(home.keys)!r}))
print(json.dumps(account.as_dict()))
"""
    process = run_code(RUN.format(block="", port=8700, what=what))
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    return json.loads(out)


def test_the_account_of_a_runner_that_takes_its_time_is_told_as_it_stands(
    home: Home, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(main_module, "OTHER_RUNNER_S", 0.2)
    home.spool(home.bundle(), "1")
    with serving(home, seconds_per_session=60.0) as running:
        wait_for(lambda: running.sessions)
        account = run_replay(home.home, live_settings(settings), keys_dir=home.keys)
        assert (account.mode, account.sessions) == ("trading", 1)
        assert running.end(signal.SIGTERM)[0] == 0


def test_the_account_of_a_runner_that_does_not_trade_is_an_error_of_what_it_says(
    home: Home, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(main_module, "OTHER_RUNNER_S", 0.2)
    with serving(home) as running:
        wait_for(lambda: running.mode == "waiting")
        with pytest.raises(LiveError, match="another runner holds this account and is waiting"):
            run_replay(home.home, live_settings(settings), keys_dir=home.keys)


def test_a_halted_runner_is_not_healthy_and_says_why(home: Home, served: ServedRunner) -> None:
    base = f"http://127.0.0.1:{served.port}"
    (damaged,) = (home.live / "feed").glob("feed-*.arrow")
    data = bytearray(damaged.read_bytes())
    data[len(data) // 2] ^= 1
    damaged.write_bytes(data)
    # a pack is opened anew when its manifest changes
    manifest = home.live / "feed" / "manifest.json"
    manifest.write_text(manifest.read_text() + "\n")
    wait_for(lambda: httpx.get(f"{base}/health").status_code == 503)
    answer = httpx.get(f"{base}/health").json()
    assert (answer["ok"], answer["mode"], answer["stalled"]) == (False, "halted", False)
    assert f"{damaged.name} is damaged" in answer["message"]
    assert served.end(signal.SIGINT) == (0, "")


def test_a_folder_that_cannot_be_made_is_one_message(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(EnvironmentFault, match="cannot be written"), sole_runner(tmp_path / "file" / "live"):
        pass


def test_a_lock_that_a_full_disk_does_not_take_is_one_message(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        with pytest.raises(EnvironmentFault, match=r"runner\.lock cannot be written"), sole_runner(tmp_path):
            pass
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    with sole_runner(tmp_path) as alone:
        assert alone
