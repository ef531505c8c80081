"""The ledger counts each trial once, for good, whoever writes at once, and says when it cannot."""

from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ljwx_pipeline.backtest import trial_ledger
from ljwx_pipeline.backtest.sweep_measures import MEASURES
from ljwx_pipeline.backtest.sweep_store import VariantResult
from ljwx_pipeline.backtest.trial_chain import head_file
from ljwx_pipeline.backtest.trial_ledger import NewTrial, TrialLedger, TrialRecord, copy_ledger, strategy_family
from ljwx_pipeline.clock import ManualClock
from ljwx_pipeline.config import Settings
from ljwx_pipeline.errors import LakeError

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


def result(name: str, session_sharpe: float = 0.05) -> VariantResult:
    measured = dict.fromkeys(MEASURES, 0.0) | {"session_sharpe": session_sharpe}
    return VariantResult(name, "{}", measured, np.zeros(3), 0.01, f"sweep/{name}.parquet")


def write_many(path: str, start: int) -> int:
    ledger = TrialLedger(Path(path))
    added = [ledger.record("f", "sweep", [result(f"v{i}")], evidence="e") for i in range(start, start + 40)]
    return sum(added)


def test_a_trial_is_counted_once_whoever_tries_it_again(tmp_path: Path) -> None:
    clock = ManualClock(NOON)
    ledger = TrialLedger(tmp_path / "trials.sqlite", clock=clock)
    assert ledger.record("f", "sweep", [result("a", 0.1), result("b", -0.2)], evidence="e") == 2
    clock.set(datetime(2026, 3, 3, tzinfo=UTC))
    assert ledger.record("f", "tune", [result("a", 0.9), result("c")], evidence="e") == 1
    found = ledger.trials_of("f")
    assert [(t.variant_hash, t.kind, t.session_sharpe) for t in found] == [
        ("a", "sweep", 0.1),
        ("b", "sweep", -0.2),
        ("c", "tune", 0.05),
    ]
    assert found[0].recorded_at == NOON
    assert found[1].returns_file == "sweep/b.parquet"


def test_other_evidence_is_another_trial_and_another_family_is_counted_apart(tmp_path: Path) -> None:
    ledger = TrialLedger(tmp_path / "trials.sqlite")
    ledger.record("f", "sweep", [result("a")], evidence="monday")
    ledger.record("f", "sweep", [result("a")], evidence="tuesday")
    ledger.record("g", "manual", [result("a")], evidence="monday")
    assert (len(ledger.trials_of("f")), len(ledger.trials_of("g")), ledger.trials_of("h")) == (2, 1, ())


def test_a_market_where_nothing_was_tried_has_no_trials_and_no_file(tmp_path: Path) -> None:
    assert TrialLedger(tmp_path / "trials.sqlite").trials_of("f") == ()
    assert list(tmp_path.iterdir()) == []


def test_no_row_can_be_changed_or_removed(tmp_path: Path) -> None:
    ledger = TrialLedger(tmp_path / "trials.sqlite")
    ledger.record("f", "sweep", [result("a")], evidence="e")
    connection = sqlite3.connect(ledger.path)
    for statement in ("DELETE FROM trials", "UPDATE trials SET session_sharpe = 0"):
        with pytest.raises(sqlite3.IntegrityError, match="a trial is never"):
            connection.execute(statement)
    connection.close()
    assert len(ledger.trials_of("f")) == 1


def test_all_or_none_of_a_batch_are_counted(tmp_path: Path) -> None:
    ledger = TrialLedger(tmp_path / "trials.sqlite")
    with pytest.raises(LakeError, match="has the Sharpe ratio nan"):
        ledger.record("f", "sweep", [result("a"), result("b", float("nan"))], evidence="e")
    assert ledger.trials_of("f") == ()


def test_several_processes_write_at_once(tmp_path: Path) -> None:
    path = tmp_path / "trials.sqlite"
    with ProcessPoolExecutor(3) as pool:
        added = list(pool.map(write_many, [str(path)] * 3, [0, 20, 40]))
    assert sum(added) == len(TrialLedger(path).trials_of("f")) == 80


def test_a_damaged_or_locked_away_file_is_one_sentence(tmp_path: Path) -> None:
    damaged = tmp_path / "trials.sqlite"
    damaged.write_bytes(b"not a database, and long enough to be told from one" * 20)
    with pytest.raises(LakeError, match=r"refused.*not a database"):
        TrialLedger(damaged).trials_of("f")
    (tmp_path / "file").touch()
    with pytest.raises(LakeError, match="refused"):
        TrialLedger(tmp_path / "file" / "trials.sqlite").record("f", "sweep", [result("a")], evidence="e")


def test_a_family_is_factors_label_and_universe(settings: Settings) -> None:
    universe = settings.universe
    one = strategy_family(factor_hash="a" * 64, label_hash="b" * 64, universe=universe)
    assert one == strategy_family(factor_hash="a" * 64, label_hash="b" * 64, universe=universe.model_copy())
    others = [
        strategy_family(factor_hash="c" * 64, label_hash="b" * 64, universe=universe),
        strategy_family(factor_hash="a" * 64, label_hash="c" * 64, universe=universe),
        strategy_family(
            factor_hash="a" * 64,
            label_hash="b" * 64,
            universe=universe.model_copy(update={"exclude_st": not universe.exclude_st}),
        ),
    ]
    assert len({one, *others}) == 4


# whole or not


def note(ledger: TrialLedger) -> dict[str, Any]:
    stated: dict[str, Any] = json.loads(head_file(ledger.path).read_text())
    return stated


def counted(tmp_path: Path, rows: int = 3) -> TrialLedger:
    ledger = TrialLedger(tmp_path / "trials.sqlite")
    for at in range(rows):
        ledger.record("f", "sweep", [result(f"v{at}", 0.01 * at)], evidence="e")
    return ledger


def behind_its_back(ledger: TrialLedger, *statements: str) -> None:
    """Change the file as somebody who knows SQLite would."""
    with closing(sqlite3.connect(ledger.path)) as connection, connection:
        for trigger in ("trials_never_change", "trials_never_go"):
            connection.execute(f"DROP TRIGGER {trigger}")
        for statement in statements:
            connection.execute(statement)


def test_the_note_outside_says_how_far_the_ledger_reaches(tmp_path: Path) -> None:
    ledger = counted(tmp_path)
    with closing(sqlite3.connect(ledger.path)) as connection:
        last = connection.execute("SELECT number, row_hash FROM trials ORDER BY number DESC").fetchone()
    assert (note(ledger)["rows"], note(ledger)["hash"]) == last == (3, last[1])
    before = head_file(ledger.path).stat().st_mtime_ns
    assert ledger.record("f", "sweep", [result("v0")], evidence="e") == 0
    assert head_file(ledger.path).stat().st_mtime_ns == before


@pytest.mark.parametrize(
    ("statements", "said"),
    [
        (["UPDATE trials SET session_sharpe = 0 WHERE number = 2"], "trial number 2 of .* is not what was counted"),
        (["UPDATE trials SET family = 'g' WHERE number = 3"], "trial number 3 of .* is not what was counted"),
        (["DELETE FROM trials WHERE number = 3"], "holds 2 trials, but 3 were counted: rows are gone"),
        (["DELETE FROM trials"], "holds 0 trials, but 3 were counted: rows are gone"),
        (["DELETE FROM trials WHERE number = 2"], "lacks trial number 2"),
        (
            ["DELETE FROM trials WHERE number = 2", "UPDATE trials SET number = 2 WHERE number = 3"],
            "trial number 2 of .* is not what was counted, or one before it is gone",
        ),
        (
            [f"UPDATE trials SET number = {was} WHERE number = {now}" for was, now in ((9, 1), (1, 2), (2, 9))],
            "trial number 1 of .* is not what was counted",
        ),
    ],
)
def test_an_edited_moved_or_missing_row_is_told_whatever_is_counted_later(
    tmp_path: Path, statements: list[str], said: str
) -> None:
    ledger = counted(tmp_path)
    behind_its_back(ledger, *statements)
    with pytest.raises(LakeError, match=said) as refused:
        ledger.trials_of("f")
    assert "restore both files, trials.sqlite and trials.head.json, from one backup" in refused.value.remedy
    if "DELETE" in statements[0]:  # more rows would hide that some are gone
        with pytest.raises(LakeError):
            ledger.record("f", "sweep", [result("new")], evidence="e")
        assert note(ledger)["rows"] == 3
    else:  # they do not hide that one was edited
        ledger.record("f", "sweep", [result("new")], evidence="e")
        with pytest.raises(LakeError, match=said):
            ledger.trials_of("f")


def test_a_deleted_file_is_not_a_market_where_nothing_was_tried(tmp_path: Path) -> None:
    ledger = counted(tmp_path)
    for path in tmp_path.glob("trials.sqlite*"):
        path.unlink()
    for act in (ledger.trials, lambda: ledger.record("f", "sweep", [result("new")], evidence="e")):
        with pytest.raises(LakeError, match=r"trials.sqlite is missing, but 3 were counted: rows are gone"):
            act()
    assert not ledger.path.exists()


def test_a_ledger_of_another_market_and_an_older_copy_are_told(tmp_path: Path) -> None:
    ledger = counted(tmp_path)
    other = TrialLedger(tmp_path / "other" / "trials.sqlite")
    for at in range(5):
        other.record("g", "sweep", [result(f"v{at}")], evidence="e")
    swap(other, ledger)
    with pytest.raises(LakeError, match=r"is not the ledger that .*trials.head.json was written for"):
        ledger.trials()
    (tmp_path / "older").mkdir()
    swap(counted(tmp_path / "older", rows=2), ledger)
    with pytest.raises(LakeError, match="holds 2 trials, but 3 were counted"):
        ledger.trials()


def swap(source: TrialLedger, target: TrialLedger) -> None:
    for path in target.path.parent.glob("trials.sqlite*"):
        path.unlink()
    with closing(sqlite3.connect(source.path)) as there, closing(sqlite3.connect(target.path)) as here:
        there.backup(here)


@pytest.mark.parametrize(
    "harm",
    [
        "missing",
        "{}",
        "not JSON",
        '{"rows": "many", "hash": ""}',
        '{"rows": -1, "hash": ""}',
        '{"rows": 2.9, "hash": "x"}',
        '{"rows": true, "hash": "x"}',
        '{"rows": Infinity, "hash": "x"}',
        '{"rows": 1e999, "hash": "x"}',
        '{"rows": 0, "hash": "x"}',
        '{"rows": 3, "hash": null}',
        pytest.param("[" * 100_000, id="nested too deep"),
    ],
)
def test_a_lost_or_damaged_note_is_told(tmp_path: Path, harm: str) -> None:
    ledger = counted(tmp_path)
    if harm == "missing":
        head_file(ledger.path).unlink()
    else:
        head_file(ledger.path).write_text(harm)
    for act in (ledger.trials, lambda: ledger.record("f", "sweep", [result("new")], evidence="e")):
        with pytest.raises(LakeError, match=r"trials.head.json (is missing|does not say)"):
            act()


@pytest.mark.parametrize("rows", [0, 1])
def test_a_note_that_is_more_than_one_commit_behind_is_told(tmp_path: Path, rows: int) -> None:
    ledger = counted(tmp_path, rows=rows)
    early = head_file(ledger.path).read_bytes() if rows else b'{"rows": 0, "hash": ""}'
    for at in range(2):
        ledger.record("f", "sweep", [result(f"w{at}")], evidence="e")
    head_file(ledger.path).write_bytes(early)
    for act in (ledger.trials, lambda: ledger.record("f", "sweep", [result("new")], evidence="e")):
        with pytest.raises(LakeError, match=rf"tells of {rows} trials, and .* holds 2 later ones"):
            act()


def test_a_thinned_ledger_that_says_it_is_from_before_the_chain_is_told(tmp_path: Path) -> None:
    ledger = counted(tmp_path, rows=20)
    behind_its_back(ledger, "DELETE FROM trials WHERE number > 2", "PRAGMA user_version = 0")
    head_file(ledger.path).unlink()
    for act in (ledger.trials, lambda: ledger.record("f", "sweep", [result("new")], evidence="e")):
        with pytest.raises(LakeError, match="says it is from before trials were chained, and its rows are"):
            act()
    assert len(ledger.look()[0]) == 2


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        ({"sessions": 10**30}, "rests on 1000000000000000000000000000000 sessions"),
        ({"sessions": -1}, "rests on -1 sessions"),
        ({"variant_hash": "v\udcff"}, r"no Unicode \('v\\udcff': surrogates not allowed\)"),
        ({"settings_json": "\ud800"}, "no Unicode"),
    ],
)
def test_a_trial_that_no_row_can_hold_is_one_sentence(tmp_path: Path, harm: dict[str, Any], said: str) -> None:
    ledger = counted(tmp_path)
    whole = NewTrial("new", 0.1, 100, "{}")
    with pytest.raises(LakeError, match=said):
        ledger.count("f", "study", [whole, replace(whole, **harm)], evidence="e")
    with pytest.raises(LakeError, match="no Unicode"):
        ledger.count("f\udcff", "study", [whole], evidence="e")
    assert len(ledger.trials()) == 3


def test_a_ledger_may_be_read_while_others_count(tmp_path: Path) -> None:
    ledger = counted(tmp_path)
    with ProcessPoolExecutor(2) as pool:
        writing = [pool.submit(write_many, str(ledger.path), start) for start in (100, 200)]
        seen = [len(ledger.trials())]
        while not all(one.done() for one in writing):
            seen.append(len(ledger.trials()))
        assert [one.result() for one in writing] == [40, 40]
    assert seen == sorted(seen)
    assert len(ledger.trials()) == 83


KILLED = """
import os, signal, sys
from pathlib import Path
import ljwx_pipeline.backtest.trial_ledger as module
from tests.backtest.test_trial_ledger import result
written = module.write_head
def die(path, head):
    if head.rows == int(sys.argv[2]):
        os.kill(os.getpid(), signal.SIGKILL)
    written(path, head)
module.write_head = die
for at in range(3):
    module.TrialLedger(Path(sys.argv[1])).record("f", "sweep", [result(f"v{at}", 0.01 * at)], evidence="e")
"""


@pytest.mark.parametrize("killed_at", [0, 1, 3])
def test_a_process_killed_between_the_commit_and_the_note_loses_nothing(tmp_path: Path, killed_at: int) -> None:
    path = tmp_path / "trials.sqlite"
    done = subprocess.run([sys.executable, "-c", KILLED, str(path), str(killed_at)], check=False, timeout=120)
    assert done.returncode == -signal.SIGKILL
    ledger = TrialLedger(path)
    assert len(ledger.trials()) == killed_at
    if killed_at:
        assert note(ledger)["rows"] == killed_at, "the note is mended"
        behind_its_back(ledger, f"DELETE FROM trials WHERE number = {killed_at}")
        with pytest.raises(LakeError, match="rows are gone"):
            ledger.trials()
    else:
        assert ledger.record("f", "sweep", [result("v0")], evidence="e") == 1


def test_a_note_that_a_crash_left_behind_is_mended_by_the_next_trial_too(tmp_path: Path) -> None:
    ledger = counted(tmp_path, rows=1)
    early = head_file(ledger.path).read_bytes()
    ledger.record("f", "sweep", [result("v1")], evidence="e")
    head_file(ledger.path).write_bytes(early)
    assert ledger.record("f", "sweep", [result("v1")], evidence="e") == 0
    assert note(ledger)["rows"] == 2


def test_a_full_disk_at_the_note_is_told_and_the_trial_is_counted_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = counted(tmp_path, rows=1)

    def full(*_: object) -> None:
        raise LakeError("trials.head.json cannot be written (No space left on device)", "free some space")

    with monkeypatch.context() as patched:
        patched.setattr(trial_ledger, "write_head", full)
        with pytest.raises(LakeError, match="No space left"):
            ledger.record("f", "sweep", [result("v1")], evidence="e")
    assert ledger.record("f", "sweep", [result("v1")], evidence="e") == 0
    assert [trial.variant_hash for trial in ledger.trials()] == ["v0", "v1"]


def test_a_full_disk_at_the_ledger_counts_nothing_and_leaves_it_whole(tmp_path: Path) -> None:
    """The limit on a process's files stands for the disk's end."""
    ledger = counted(tmp_path)
    code = (
        "import resource, signal, sys\n"
        "from pathlib import Path\n"
        "from ljwx_pipeline.backtest.trial_ledger import NewTrial, TrialLedger\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))\n"
        "many = [NewTrial(f'w{i}', 0.0, 9, 'x' * 1000) for i in range(1000)]\n"
        "TrialLedger(Path(sys.argv[1])).count('f', 'study', many, evidence='e')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(ledger.path)], check=False, timeout=120, capture_output=True, text=True
    )
    assert "LakeError: the trial ledger" in done.stderr
    assert "free disk space" in done.stderr
    assert [trial.variant_hash for trial in ledger.trials()] == ["v0", "v1", "v2"]


FIRST_SCHEMA = """
CREATE TABLE trials (
    number INTEGER PRIMARY KEY, family TEXT NOT NULL, variant_hash TEXT NOT NULL, evidence TEXT NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('sweep', 'tune', 'manual')), recorded_at TEXT NOT NULL,
    session_sharpe REAL NOT NULL, settings TEXT NOT NULL, returns_file TEXT NOT NULL,
    UNIQUE (family, variant_hash, evidence)
) STRICT;
CREATE TRIGGER trials_never_change BEFORE UPDATE ON trials
    BEGIN SELECT RAISE(ABORT, 'a trial is never changed'); END;
CREATE TRIGGER trials_never_go BEFORE DELETE ON trials
    BEGIN SELECT RAISE(ABORT, 'a trial is never removed'); END;
"""


def of_first_layout(path: Path, rows: int = 5) -> None:
    """Write a ledger as it was before rows were chained."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.executescript(FIRST_SCHEMA)
        for at in range(rows):
            values = ("f", f"v{at}", "e", ("sweep", "tune", "manual")[at % 3], NOON.isoformat(timespec="microseconds"))
            told = (0.1 * at - 0.2, '{"价": 1}', f"sweep/v{at}.parquet")
            connection.execute(
                "INSERT INTO trials (family, variant_hash, evidence, kind, recorded_at, session_sharpe, settings, "
                "returns_file) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (*values, *told),
            )


@pytest.mark.parametrize("first", ["read", "write"])
def test_a_ledger_from_before_the_chain_keeps_every_row(tmp_path: Path, first: str) -> None:
    ledger = TrialLedger(tmp_path / "trials.sqlite", clock=ManualClock(NOON))
    of_first_layout(ledger.path)
    if first == "write":
        assert ledger.record("f", "sweep", [result("v3"), result("new")], evidence="e") == 1
    found = ledger.trials_of("f")
    assert [trial.variant_hash for trial in found[:5]] == [f"v{at}" for at in range(5)]
    assert [trial.session_sharpe for trial in found[:5]] == [0.1 * at - 0.2 for at in range(5)]
    assert found[1] == TrialRecord(
        family="f",
        variant_hash="v1",
        evidence="e",
        kind="tune",
        recorded_at=NOON,
        session_sharpe=0.1 - 0.2,
        settings_json='{"价": 1}',
        returns_file="sweep/v1.parquet",
        returns_column="",
        sessions=0,
    )
    assert ledger.record("f", "study", [result("v9")], evidence="e") == 1
    assert note(ledger)["rows"] == len(ledger.trials()) == len(found) + 1
    connection = sqlite3.connect(ledger.path)
    for statement in ("DELETE FROM trials", "UPDATE trials SET session_sharpe = 0"):
        with pytest.raises(sqlite3.IntegrityError, match="a trial is never"):
            connection.execute(statement)
    connection.close()


def test_two_processes_bring_an_old_ledger_to_the_layout_of_today_at_once(tmp_path: Path) -> None:
    path = tmp_path / "trials.sqlite"
    of_first_layout(path)
    with ProcessPoolExecutor(3) as pool:
        added = list(pool.map(write_many, [str(path)] * 3, [0, 20, 40]))
    assert sum(added) + 5 == len(TrialLedger(path).trials()) == 80


def test_an_old_copy_in_place_of_a_ledger_is_told(tmp_path: Path) -> None:
    ledger = TrialLedger(tmp_path / "trials.sqlite")
    of_first_layout(ledger.path)
    ledger.record("f", "sweep", [result("new")], evidence="e")
    for path in tmp_path.glob("trials.sqlite*"):
        path.unlink()
    of_first_layout(ledger.path)
    with pytest.raises(LakeError, match="holds 5 trials, but 6 were counted"):
        ledger.trials()


def test_a_ledger_of_a_newer_release_is_left_alone(tmp_path: Path) -> None:
    ledger = counted(tmp_path)
    with closing(sqlite3.connect(ledger.path)) as connection:
        connection.execute("PRAGMA user_version = 3")
    with pytest.raises(LakeError, match="has layout 3, this release writes 2"):
        ledger.trials()


def test_a_copy_knows_what_was_counted_by_then(tmp_path: Path) -> None:
    clock = ManualClock(NOON)
    ledger = TrialLedger(tmp_path / "trials.sqlite", clock=clock)
    ledger.record("f", "sweep", [result("a", 0.1)], evidence="e")
    clock.set(datetime(2026, 3, 3, tzinfo=UTC))
    ledger.record("f", "compare", [result("b", -0.0)], evidence="e")
    for name, until, expected in (("all", None, ["a", "b"]), ("then", NOON, ["a"])):
        copy_ledger(ledger.path, tmp_path / name / "trials.sqlite", until=until)
        copied = TrialLedger(tmp_path / name / "trials.sqlite").trials()
        assert [trial.variant_hash for trial in copied] == expected
        assert copied == ledger.trials()[: len(copied)]
    copy_ledger(tmp_path / "never" / "trials.sqlite", tmp_path / "none" / "trials.sqlite", until=None)
    assert not (tmp_path / "none").exists()
