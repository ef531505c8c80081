"""The benches that have peers: fair inputs, measured process trees, honest goals. No timing, and no peer is needed."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from benchmarks import feature_home, w1_alpha158, w1b_whole_market, w1c_newest_session, w6_point_in_time_join
from benchmarks import w6b_online_read as w6b
from benchmarks.bars_file import FIELDS, write_bars
from benchmarks.fresh_alpha158 import blocks_of
from benchmarks.peers import environment
from benchmarks.peers.qlib_store import write_qlib_store
from benchmarks.user_factors import user_factors
from ljwx_pipeline.expressions.evaluate import evaluate
from ljwx_pipeline.factors.alpha158 import alpha158
from ljwx_pipeline.market.panel_file import read_panel

REACHED = {"kernel_ratio_qlib": 40.0, "kernel_ratio_vnpy": 140.0, "fresh_ratio_qlib": 5.0, "bytes_a_value": 12.0}


def test_the_ten_factors_of_a_user_are_in_no_catalogue():
    known = {expression.hash for expression in alpha158().expressions.values()}
    own = user_factors()
    assert len(own) == 10
    assert not known & {expression.hash for expression in own.values()}
    assert not own.keys() & alpha158().expressions.keys()
    assert all(expression.horizon == 0 for expression in own.values())
    values = evaluate(own, w1_alpha158.seeded_panel(5, 80))
    assert np.isfinite(values.values[:, :, -1]).mean() > 0.8


def test_qlib_gets_the_panels_own_numbers(tmp_path: Path):
    panel = w1_alpha158.seeded_panel(3, 40)
    write_qlib_store(panel, tmp_path)
    assert (tmp_path / "calendars" / "day.txt").read_text().splitlines()[0] == "2015-01-05"
    assert len((tmp_path / "instruments" / "all.txt").read_text().splitlines()) == 3
    stored = np.fromfile(tmp_path / "features" / "s00002.sim" / "close.day.bin", dtype="<f4")
    assert stored[0] == 0.0
    np.testing.assert_array_equal(stored[1:], panel.fields["close"][2].astype(np.float32))


def test_the_bars_file_is_the_panel(tmp_path: Path):
    panel = w1_alpha158.seeded_panel(4, 60)
    rows = write_bars([panel], tmp_path / "bars.parquet", pa.float64())
    read = read_panel(tmp_path / "bars.parquet", FIELDS)
    assert rows == np.isfinite(panel.fields["close"]).sum()
    assert read.symbols == panel.symbols
    for name in FIELDS:
        np.testing.assert_array_equal(read.fields[name], panel.fields[name])


def test_the_whole_market_has_other_symbols_in_every_part():
    names = [name for panel in w1b_whole_market.market(300) for name in panel.symbols]
    assert len(set(names)) == len(names) == 300
    assert names == sorted(names)


def test_blocks_have_the_bits_of_the_whole():
    panel = w1_alpha158.seeded_panel(7, 90)
    blocks = np.concatenate([block.copy() for block in blocks_of(panel, 3, 1)], axis=1)
    np.testing.assert_array_equal(blocks, evaluate(alpha158().expressions, panel).values)


def test_a_childs_cost_is_that_of_its_whole_tree(tmp_path: Path):
    script = tmp_path / "parent.py"
    burn = (
        "import time\nheld = bytearray(150 * 2**20)\nend = time.process_time() + 0.4\n"
        "while time.process_time() < end: pass"
    )
    script.write_text(
        f"import json, subprocess, sys\nsubprocess.run([sys.executable, '-c', {burn!r}], check=True)\n"
        "open(sys.argv[2], 'w').write(json.dumps({'asked': sys.argv[1], 'more': sys.argv[3]}))\n"
    )
    child = environment.run_child([sys.executable, script], "this", "that")
    assert child.answer == {"asked": "this", "more": "that"}
    assert child.wall_s > 0.4
    assert child.cpu_s > 0.4
    assert child.peak_mib > 150


def test_a_child_that_fails_says_what_it_said(tmp_path: Path):
    script = tmp_path / "broken.py"
    script.write_text("raise SystemExit('no calendar in the folder')")
    with pytest.raises(environment.PeerFault, match="exit code 1: no calendar in the folder"):
        environment.run_child([sys.executable, script], "x")


def test_a_peer_that_is_not_installed_is_a_fault_with_its_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(environment, "INTERPRETER", environment.ROOT / "no-such-environment")
    assert environment.interpreter() is None
    with pytest.raises(environment.PeerFault, match="run make bench-peers"):
        environment.run_peer("qlib_alpha158.py", tmp_path)


@pytest.mark.parametrize("name", REACHED)
def test_the_goal_of_w1_wants_every_figure(name: str):
    assert w1_alpha158.holds(REACHED)
    assert not w1_alpha158.holds(REACHED | {name: None})
    worse = REACHED[name] + 0.1 if name == "bytes_a_value" else REACHED[name] - 0.1
    assert not w1_alpha158.holds(REACHED | {name: worse})


def test_the_newest_session_is_measured_over_sessions_that_move_on(monkeypatch: pytest.MonkeyPatch):
    seen = []
    real = w1c_newest_session.newest_session
    monkeypatch.setattr(
        w1c_newest_session, "newest_session", lambda *given: seen.append(given[1].sessions[-1]) or real(*given)
    )
    measured = w1c_newest_session.measure(12, 3)
    assert measured["wall_s"] > 0
    assert len(seen) == len(set(seen)) == 4


@pytest.mark.slow
def test_without_peers_w1_measures_ours_and_claims_nothing(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(w1_alpha158, "SYMBOLS", 60)
    entry = w1_alpha158.run(quick=True)
    assert (entry["peer"], entry["ratio"], entry["holds"], entry["other_peers"]) == (None, None, False, [])
    assert entry["ours"]["fresh_wall_s"] > entry["ours"]["fresh_factors_s"] > 0
    assert entry["ours"]["times_the_limit"] > 1


@pytest.mark.slow
def test_the_whole_market_is_computed_by_a_process_of_its_own(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(w1b_whole_market, "SYMBOLS", 2_500)
    monkeypatch.setattr(w1b_whole_market, "SESSIONS", 120)
    entry = w1b_whole_market.run(quick=True)
    assert entry["what"].startswith("Alpha158, 100 symbols x 120 sessions, ")
    assert entry["ours"]["peak_mib"] > 100
    assert entry["ours"]["wall_s"] > entry["ours"]["read_s"] + entry["ours"]["factors_s"] > 0


@pytest.mark.slow
def test_the_join_and_the_online_read_give_feasts_values(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(feature_home, "SESSIONS", 90)
    for module in (w6_point_in_time_join, w6b):
        monkeypatch.setattr(module, "SYMBOLS", 50)
    monkeypatch.setattr(w6_point_in_time_join, "interpreter", lambda: None)
    join = w6_point_in_time_join.run(quick=True)
    assert join["ours"]["values_equal"] is True
    assert join["ours"]["times_polars"] is None
    assert join["holds"] is False
    assert w6b.run(quick=True)["ours"]["values_equal"] is True


def test_a_peer_answers_line_by_line_and_its_end_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "echo.py").write_text(
        "import json, sys\n"
        "print(json.dumps({'name': sys.argv[1], 'version': '1'}), flush=True)\n"
        "for line in sys.stdin:\n"
        "    if line == 'stop\\n': sys.exit(3)\n"
        "    print(json.dumps({'said': line.strip()}), flush=True)\n"
    )
    monkeypatch.setattr(environment, "HERE", tmp_path)
    monkeypatch.setattr(environment, "INTERPRETER", Path(sys.executable))
    with environment.PeerProcess("echo.py", "somebody") as process:
        assert process.about == {"name": "somebody", "version": "1"}
        assert process.ask("run") == {"said": "run"}
        with pytest.raises(environment.PeerFault, match="exit code 3"):
            process.ask("stop")
