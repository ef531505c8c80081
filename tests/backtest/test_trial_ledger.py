"""The ledger counts each trial once, for good, whoever writes at once, and says when it cannot."""

from __future__ import annotations

import sqlite3
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from ljwx_pipeline.backtest.sweep_measures import MEASURES
from ljwx_pipeline.backtest.sweep_store import VariantResult
from ljwx_pipeline.backtest.trial_ledger import TrialLedger, strategy_family
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
