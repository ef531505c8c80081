"""The benchmark harness: the shape of an entry, honesty about peers, merging, the table. No timing."""

from __future__ import annotations

import importlib.util
import json
import platform
import socket
import subprocess
import sys
import threading
from datetime import date
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr

from benchmarks import backfill_memory, session_ingest
from benchmarks import dirt_corpus as corpus
from benchmarks import run as harness
from benchmarks import w3c_factor_ic as w3c
from benchmarks import w7_checks as w7
from benchmarks import w10_lake as w10
from benchmarks import w14_daily_overhead as w14
from benchmarks.clocked import family_cpu_s
from benchmarks.whole_market import WholeMarket
from ljwx_pipeline.market.tables import BARS
from ljwx_pipeline.quality.anomalies import ANOMALIES
from ljwx_pipeline.quality.checks import CHECKS
from ljwx_pipeline.quality.run import run_checks
from ljwx_pipeline.sources.base import BarUnit

ROOT = Path(__file__).resolve().parent.parent


def entry(name: str = "W1", **changes: Any) -> dict[str, Any]:
    made = {
        "id": name,
        "what": "a panel | of numbers",
        "ours": {"wall_s": 0.25, "cpu_s": 0.5, "peak_mib": 100.0},
        "peer": None,
        "ratio": None,
        "goal": "40 times the peer",
        "holds": False,
        "command": "python -m something",
        "measured_at": "2026-01-02T03:04:05+00:00",
    }
    return made | changes


PEER = {"name": "qlib", "version": "0.9.7", "wall_s": 12.5, "cpu_s": 24.0}


def test_every_listed_benchmark_is_a_module_that_exists():
    for name, module in harness.BENCHMARKS.items():
        assert importlib.util.find_spec(module) is not None, name


def test_a_ratio_whose_peer_was_not_run_never_holds():
    boast = harness.checked("W1", entry(holds=True, ratio=50.0))
    assert boast["ratio"] is None
    assert boast["holds"] is False


def test_a_goal_that_is_no_ratio_may_hold_without_a_peer():
    assert harness.checked("W14", entry("W14", holds=True, ratio_goal=False))["holds"] is True


def test_a_ratio_with_its_peer_is_kept_as_measured():
    kept = harness.checked("W1", entry(peer=PEER, ratio=50.0, holds=True))
    assert (kept["ratio"], kept["holds"], kept["command"]) == (50.0, True, "make bench ONLY=W1")


@pytest.mark.parametrize("lost", harness.KEYS)
def test_an_entry_without_an_agreed_key_is_refused(lost: str):
    broken = entry()
    del broken[lost]
    with pytest.raises(harness.BenchmarkFault, match=lost):
        harness.checked("W1", broken)


def test_an_entry_of_another_benchmark_or_without_a_cost_is_refused():
    with pytest.raises(harness.BenchmarkFault, match="another id"):
        harness.checked("W3b", entry())
    with pytest.raises(harness.BenchmarkFault, match="lacks cpu_s"):
        harness.checked("W1", entry(ours={"wall_s": 1.0, "peak_mib": 1.0}))


def test_running_one_keeps_the_rows_of_the_others_in_the_listed_order():
    before = [entry("W14"), entry("W1"), entry("W99")]
    newer = entry("W1", ours={"wall_s": 9.0, "cpu_s": 9.0, "peak_mib": 9.0})
    rows = harness.merged(before, [newer, entry("W3b")])
    assert [row["id"] for row in rows] == ["W1", "W3b", "W14", "W99"]
    assert rows[0]["ours"]["wall_s"] == 9.0


def test_recording_writes_both_files_and_leaves_the_readmes_own_words(tmp_path: Path):
    latest, readme = tmp_path / "results" / "latest.json", tmp_path / "README.md"
    readme.write_text(f"before\n{harness.TABLE_START}\nthe table of yesterday\n{harness.TABLE_END}\nafter\n")
    harness.record([entry()], latest=latest, readme=readme)
    harness.record([entry("W3b", peer=PEER, ratio=50.0, holds=True)], latest=latest, readme=readme)
    recorded = json.loads(latest.read_text())
    assert list(recorded) == ["machine", "results"]
    assert [row["id"] for row in recorded["results"]] == ["W1", "W3b"]
    text = readme.read_text()
    assert text.startswith("before\n")
    assert text.endswith(f"{harness.TABLE_END}\nafter\n")
    assert "yesterday" not in text
    assert text.count("| W1 |") == text.count("| W3b |") == 1
    assert sorted(p.name for p in tmp_path.iterdir()) == ["README.md", "results"]


def test_the_table_says_not_run_and_no_where_there_is_no_peer_and_keeps_its_columns():
    alone, compared = harness.table([entry(), entry("W3b", peer=PEER, ratio=50.0, holds=True)]).splitlines()[2:]
    assert alone.split(" | ")[5:9] == ["not run", "–", "40 times the peer", "no"]
    assert compared.split(" | ")[5:9] == ["qlib 0.9.7: 12.5", "50", "40 times the peer", "yes"]
    assert alone.count("|") == compared.count("|") == 11


def test_the_machine_is_described_without_naming_it():
    described = harness.machine()
    assert described["cores"] >= 1
    assert described["memory_gib"] > 0
    assert described["python"] == platform.python_version()
    text = json.dumps(described)
    assert socket.gethostname() not in text or len(socket.gethostname()) < 4
    assert str(Path.home()) not in text


def test_a_benchmark_runs_in_its_own_process_and_brings_its_cost(monkeypatch: pytest.MonkeyPatch):
    measured = harness.measure("W3b", quick=True)
    assert measured["process"]["peak_mib"] > 10
    assert measured["process"]["wall_s"] > 0
    assert (measured["peer"], measured["holds"]) == (None, False)


def test_the_prototype_of_w7_finds_what_the_scan_finds():
    bars, sessions = w7.seeded_bars(5)
    context = w7.ScanContext(sessions, "raw", w7.securities(bars))
    bars.loc[7, "close_cny"] = -1.0
    assert np.flatnonzero(w7.prototype(bars))[0] == np.flatnonzero(w7.scan(bars, context))[0] == 7


def test_w3c_without_its_peer_claims_no_ratio_and_measures_what_scipy_says(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(w3c, "interpreter", lambda: None)
    found = harness.checked("W3c", w3c.run(quick=True))
    assert (found["peer"], found["ratio"], found["holds"]) == (None, None, False)
    panel = w3c.seeded_panel(40, 3)
    unknown = [np.isnan(values) for values in panel.values()]
    assert all((one == unknown[0]).all() for one in unknown)
    numbers = w3c.ours(panel)
    for session in range(3):
        expected = spearmanr(panel["factor"][session], panel["forward_5"][session], nan_policy="omit").statistic
        assert numbers["rank_ic"][session, 1] == pytest.approx(expected, abs=1e-12)


def test_the_corpus_of_dirt_counts_kinds_and_false_blocks():
    ours = corpus.run(quick=True)["ours"]
    assert (ours["kinds"], ours["caught"], ours["false_blocks"]) == (corpus.QUICK_KINDS, corpus.QUICK_KINDS, 0)


def test_a_benchmark_that_fails_is_reported_and_changes_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    def fail(name: str, *, quick: bool) -> dict[str, Any]:
        raise harness.BenchmarkFault("no panel")

    monkeypatch.setattr(harness, "measure", fail)
    monkeypatch.setattr(harness, "record", lambda entries: pytest.fail("recorded a failure"))
    assert harness.main(["--only", "W1"]) == 1
    assert "W1: no panel" in capsys.readouterr().err


def test_the_recorded_results_have_the_agreed_shape_and_stand_in_the_readme():
    recorded = json.loads(harness.LATEST.read_text())
    readme = harness.README.read_text()
    for row in recorded["results"]:
        assert harness.checked(row["id"], dict(row)) == row
        assert f"| {row['id']} |" in readme


def test_the_lakes_bench_stores_clean_bars_and_says_what_it_measured(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(w10, "FIRST", date(2019, 10, 8))
    monkeypatch.setattr(w10, "LAST", date(2020, 2, 28))
    measured = w10.measure(20, 1)
    assert measured["rows"] > 20 * 80
    assert measured["rows_a_second"] > 0
    assert measured["wall_s"] >= measured["store_raw_s"] > 0
    assert measured["with_statistics_s"] > measured["store_raw_s"]
    assert measured["as_of_read_s"] > 0


@pytest.mark.parametrize("fetches", ["at_hand", "by_session", "by_symbol"])
def test_the_seeded_market_says_the_same_in_every_shape_and_breaks_no_rule(fetches: Any):
    first, last = date(2024, 1, 2), date(2024, 3, 29)
    market = WholeMarket(12, first, last, fetches=fetches)
    whole = market.bars_of(BarUnit("all", first, last))
    pieces = pd.concat([market.bars_of(unit) for unit in market.bar_units(first, last)])
    pieces = pieces.sort_values(["session_date", "symbol"], ignore_index=True)
    pd.testing.assert_frame_equal(pieces, whole)
    assert list(whole.columns) == list(BARS)
    tables = {
        "bars": whole,
        "securities": market.securities(),
        "price_limits": market.price_limits(first, last),
        "suspensions": market.suspensions(first, last),
    }
    results = run_checks(tables, market.describe(), market.days, as_of=last, checks=(*CHECKS, *ANOMALIES))
    assert [result.message for result in results if not result.passed] == []


def test_one_session_is_measured_from_arrival_to_checked_bars():
    entry = session_ingest.run(quick=True)
    assert 0 < entry["ours"]["wall_s"] <= entry["ours"]["worst_wall_s"]
    assert 0.9 * session_ingest.QUICK_SYMBOLS < entry["ours"]["rows"] <= session_ingest.QUICK_SYMBOLS


def test_a_backfill_measures_its_memory_and_loses_nothing(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(backfill_memory, "QUICK_SYMBOLS", 30)
    monkeypatch.setattr(backfill_memory, "QUICK_FIRST", date(2024, 11, 1))
    ours = backfill_memory.run(quick=True)["ours"]
    assert ours["by_session"]["complete"] is ours["by_symbol"]["complete"] is True
    assert ours["by_session"]["broken"] == []
    assert ours["by_session"]["rows"] == ours["by_symbol"]["rows"]


def frame_within(*files: str) -> FrameType:
    """Return a frame whose stack passes through ``files`` of the library, the first being the outermost."""

    def inner() -> FrameType:
        return sys._getframe()

    call = inner
    for file in reversed(files):
        space: dict[str, Any] = {"call": call}
        exec(compile("def step():\n    return call()\n", w14.LIBRARY + file, "exec"), space)
        call = space["step"]
    return call()


def test_time_belongs_to_the_outermost_part_of_the_library_on_the_stack():
    assert w14.kind_of_work(None) == "orchestration"
    assert w14.kind_of_work(sys._getframe()) == "orchestration"
    assert w14.kind_of_work(frame_within("factors/alpha158.py")) == "domain"
    assert w14.kind_of_work(frame_within("lake/store.py")) == "lake"
    assert w14.kind_of_work(frame_within("quality/checks.py", "lake/store.py")) == "domain"
    assert w14.kind_of_work(frame_within("registry.py", "scoring/bundle.py")) == "registry.py"


def test_every_part_counted_as_storing_or_tracking_exists():
    assert [name for name in w14.NOT_DOMAIN if not (ROOT / "ljwx_pipeline" / name).exists()] == []


def test_sampled_seconds_add_up_to_the_time_of_the_block():
    with w14.sampled_shares() as seconds:
        threading.Event().wait(0.2)
    assert set(seconds) == {"orchestration"}
    assert seconds["orchestration"] > 0.1


def test_what_a_process_and_those_it_started_have_spent_counts_them_while_they_live_and_after() -> None:
    burns = "import time\nwhile time.process_time() < 0.4: pass\nprint('burnt', flush=True)\ninput()"
    before = family_cpu_s()
    with subprocess.Popen(
        [sys.executable, "-c", burns], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as one:
        assert one.stdout is not None
        assert one.stdout.readline() == "burnt\n"
        alive = family_cpu_s() - before
        one.communicate("\n")
    assert 0.35 < alive < 5.0
    assert alive - 0.05 < family_cpu_s() - before < 5.0
