"""A replay's home: empty, its own, gone at the end, and gone at the next replay where a killed one left it."""

from __future__ import annotations

import fcntl
import sqlite3
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from ljwx_pipeline.backtest.sweep_store import VariantResult
from ljwx_pipeline.backtest.trial_ledger import COUNTED, LEDGER_FILE, TrialLedger
from ljwx_pipeline.clock import ManualClock
from ljwx_pipeline.errors import ConfigError
from ljwx_pipeline.reproduction.replay_home import REPLAYS, lay_out, replay_home


def test_it_goes_with_the_block_and_leaves_what_it_links_to(tmp_path: Path) -> None:
    market = tmp_path / "markets" / "m"
    (market / "lake" / "raw_bars").mkdir(parents=True)
    with replay_home(tmp_path, keep=None) as folder:
        lay_out(folder, market=market, name="m", counted_until=None)
        assert (folder / "markets" / "m" / "lake" / "raw_bars").is_dir()
    assert not folder.exists()
    assert (market / "lake" / "raw_bars").is_dir()


def test_what_a_killed_replay_left_goes_and_one_at_work_stays(tmp_path: Path) -> None:
    left, working = tmp_path / REPLAYS / "replay-left", tmp_path / REPLAYS / "replay-working"
    for folder in (left, working):
        folder.mkdir(parents=True)
        (folder / ".lock").touch()
    with (working / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with replay_home(tmp_path, keep=None) as fresh:
            assert set((tmp_path / REPLAYS).iterdir()) == {working, fresh}


def test_a_folder_to_keep_it_in_has_to_be_new_or_empty(tmp_path: Path) -> None:
    with replay_home(tmp_path, keep=tmp_path / "kept") as folder:
        (folder / "made").touch()
    assert (tmp_path / "kept" / "made").exists()
    with pytest.raises(ConfigError, match="is there and not empty"), replay_home(tmp_path, keep=tmp_path / "kept"):
        pass


def test_trials_that_were_counted_after_the_run_are_not_known_to_its_replay(tmp_path: Path) -> None:
    market, until = tmp_path / "market", datetime(2024, 6, 1, tzinfo=UTC)
    for month, variant in ((5, "a" * 64), (7, "b" * 64)):
        clock = ManualClock(datetime(2024, month, 1, tzinfo=UTC))
        tried = VariantResult(variant, "{}", {"session_sharpe": 0.1}, np.zeros(2), 0.0)
        TrialLedger(market / LEDGER_FILE, clock=clock).record("family", "manual", [tried], evidence="e")
    lay_out(tmp_path / "home", market=market, name="m", counted_until=until)
    known = TrialLedger(tmp_path / "home" / "markets" / "m" / LEDGER_FILE).trials_of("family")
    assert [trial.variant_hash for trial in known] == ["a" * 64]
    with sqlite3.connect(market / LEDGER_FILE) as ledger:
        assert ledger.execute("SELECT count(*) FROM trials").fetchone() == (2,)


def test_trials_of_the_same_data_under_another_profile_are_laid_out_beside(tmp_path: Path) -> None:
    market, other = (tmp_path / "markets" / name for name in ("folder-0123abcd", "mine-0123abcd"))
    tried = VariantResult("a", "{}", {"session_sharpe": 0.1}, np.zeros(2), 0.0)
    for home in (market, other):
        TrialLedger(home / LEDGER_FILE).record("family", "manual", [tried], evidence=home.name)
    lay_out(tmp_path / "home", market=market, name=market.name, counted_until=None)
    there = tmp_path / "home" / "markets" / other.name
    assert [trial.evidence for trial in TrialLedger(there / LEDGER_FILE).trials()] == [other.name]
    assert (there / COUNTED).resolve() == other
