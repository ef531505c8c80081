"""Runs the listed benchmarks, each in a process of its own, and records what they found.

``python -m benchmarks.run [--only W1] [--quick]``. A benchmark is a module with ``run(quick: bool) -> dict``, the entry
that ``results/latest.json`` keeps; this harness adds the whole process's cost and holds every entry to one shape.
Not here: what is measured (the listed modules), and timed tests (there are none in ``make test``).
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
LATEST = HERE / "results" / "latest.json"
README = HERE / "README.md"
TABLE_START, TABLE_END = "<!-- results -->", "<!-- /results -->"

#: Every benchmark by its id. A new one is a line here and a module beside.
BENCHMARKS = {
    "W1": "benchmarks.w1_alpha158",
    "W1b": "benchmarks.w1b_whole_market",
    "W1c": "benchmarks.w1c_newest_session",
    "cross_sections": "benchmarks.cross_sections",
    "catalogues": "benchmarks.catalogues",
    "W2": "benchmarks.w2_training",
    "W3": "benchmarks.w3_walk_forward",
    "W3b": "benchmarks.w3b_topk_dropout",
    "backtest_whole_market": "benchmarks.backtest_whole_market",
    "W3c": "benchmarks.w3c_factor_ic",
    "W4": "benchmarks.w4_sweep",
    "W5": "benchmarks.w5_shap",
    "W6": "benchmarks.w6_point_in_time_join",
    "W6b": "benchmarks.w6b_online_read",
    "W7": "benchmarks.w7_checks",
    "W9": "benchmarks.w9_tick_to_signal",
    "W10": "benchmarks.w10_lake",
    "W14": "benchmarks.w14_daily_overhead",
    "W15": "benchmarks.w15_tracking",
    "dirt_corpus": "benchmarks.dirt_corpus",
    "session_ingest": "benchmarks.session_ingest",
    "exchange_ticks": "benchmarks.exchange_ticks",
    "backfill_memory": "benchmarks.backfill_memory",
    "leak_check": "benchmarks.leak_check",
    "coverage": "benchmarks.coverage",
    "decay": "benchmarks.decay",
    "live_ticks": "benchmarks.live_ticks",
    "tick_to_intent": "benchmarks.tick_to_intent",
    "gate_noise": "benchmarks.gate_noise",
    "gate_planted": "benchmarks.gate_planted",
    "live_restart": "benchmarks.live_restart",
    "live_crash": "benchmarks.live_crash",
    "live_faults": "benchmarks.live_faults",
    "live_soak": "benchmarks.live_soak",
}
KEYS = ("id", "what", "ours", "peer", "ratio", "goal", "holds", "command", "measured_at")

Entry = dict[str, Any]


class BenchmarkFault(Exception):
    """A benchmark that failed, or whose entry has not the agreed shape."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse, run, record, print; 1 when a benchmark failed (its earlier row is kept)."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.run", description=__doc__)
    parser.add_argument("--only", choices=list(BENCHMARKS), help="run one; the other rows are kept")
    parser.add_argument(
        "--quick", action="store_true", help="a small look at the benchmark itself; nothing is recorded"
    )
    parser.add_argument("--entry-file", type=Path, help=argparse.SUPPRESS)  # how a measured child hands its entry back
    options = parser.parse_args(arguments)
    if options.entry_file is not None:
        module = importlib.import_module(BENCHMARKS[options.only])
        options.entry_file.write_text(json.dumps(module.run(quick=options.quick)), encoding="utf-8")
        return 0
    entries, faults = [], []
    for name in [options.only] if options.only else BENCHMARKS:
        print(f"{name}: running", flush=True)
        try:
            entries.append(measure(name, quick=options.quick))
        except BenchmarkFault as fault:
            faults.append(f"{name}: {fault}")
    if entries and options.quick:
        print(json.dumps(entries, indent=2))
    elif entries:
        record(entries)
        print(table(entries))
        print(f"recorded in {LATEST.relative_to(HERE.parent)} and {README.relative_to(HERE.parent)}")
    for line in faults:
        print(line, file=sys.stderr)
    return 1 if faults else 0


def measure(name: str, *, quick: bool) -> Entry:
    """Run one benchmark in its own process and return its entry with that process's wall, CPU and peak memory."""
    with tempfile.TemporaryDirectory(prefix="ljwx-bench-") as folder:
        entry_file = Path(folder) / "entry.json"
        command = [sys.executable, "-m", "benchmarks.run", "--only", name, "--entry-file", str(entry_file)]
        command += ["--quick"] if quick else []
        started = time.perf_counter()
        child = subprocess.Popen(command, cwd=HERE.parent)
        _, status, usage = os.wait4(child.pid, 0)
        wall = time.perf_counter() - started
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode != 0:
            raise BenchmarkFault(f"its process ended with exit code {child.returncode}; the earlier result is kept")
        entry = json.loads(entry_file.read_text(encoding="utf-8"))
    entry["process"] = {
        "wall_s": round(wall, 3),
        "cpu_s": round(usage.ru_utime + usage.ru_stime, 3),
        "peak_mib": round(usage.ru_maxrss / 1024, 1),
    }
    return checked(name, entry)


def checked(name: str, entry: Entry) -> Entry:
    """Return the entry in the agreed shape, or refuse it.

    A goal is a ratio to a peer unless the entry says ``"ratio_goal": false``; a ratio whose peer was not run is null
    and does not hold, whatever the benchmark says of itself.
    """
    ratio_goal = entry.setdefault("ratio_goal", True)
    missing = [key for key in KEYS if key not in entry]
    if missing or entry["id"] != name:
        raise BenchmarkFault(f"its entry lacks {missing} or is of another id ({entry.get('id')})")
    if "process" in entry:
        entry["ours"].setdefault("peak_mib", entry["process"]["peak_mib"])
    for key in ("wall_s", "cpu_s", "peak_mib"):
        if key not in entry["ours"]:
            raise BenchmarkFault(f"its entry's ours lacks {key}")
    if entry["peer"] is None:
        entry["ratio"] = None
        entry["holds"] = bool(entry["holds"]) and not ratio_goal
    entry["command"] = f"make bench ONLY={name}"
    return entry


def record(entries: Iterable[Entry], *, latest: Path = LATEST, readme: Path = README) -> None:
    """Lay the entries over the recorded ones and write the table into the README; both files are replaced whole."""
    before = json.loads(latest.read_text(encoding="utf-8"))["results"] if latest.is_file() else []
    results = merged(before, entries)
    latest.parent.mkdir(parents=True, exist_ok=True)
    _replace(latest, json.dumps({"machine": machine(), "results": results}, indent=2, ensure_ascii=False) + "\n")
    head, _, rest = readme.read_text(encoding="utf-8").partition(TABLE_START)
    _, _, tail = rest.partition(TABLE_END)
    _replace(readme, f"{head}{TABLE_START}\n{table(results)}\n{TABLE_END}{tail}")


def merged(before: Sequence[Entry], now: Iterable[Entry]) -> list[Entry]:
    """Return the rows of ``before`` with those of ``now`` in their place, in the order of the list of benchmarks."""
    rows = {entry["id"]: entry for entry in (*before, *now)}
    known = [rows.pop(name) for name in BENCHMARKS if name in rows]
    return known + [rows[name] for name in sorted(rows)]


def machine() -> dict[str, Any]:
    """Return what the results depend on and nothing that names this machine or its folders."""
    return {
        "cores": os.cpu_count(),
        "cpu": _cpu_model(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
    }


def table(results: Iterable[Mapping[str, Any]]) -> str:
    """Return the results as a Markdown table."""
    lines = [
        "| id | work | ours: wall s | CPU s | peak MiB | peer: wall s | ratio | goal | holds | measured |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: | --- | --- | --- |",
    ]
    for entry in results:
        ours, peer = entry["ours"], entry["peer"]
        cells = [
            entry["id"],
            entry["what"],
            *(f"{ours[key]:.4g}" for key in ("wall_s", "cpu_s")),
            f"{ours['peak_mib']:.0f}",
            "not run" if peer is None else f"{peer['name']} {peer['version']}: {peer['wall_s']:.4g}",
            "–" if entry["ratio"] is None else f"{entry['ratio']:.3g}",
            entry["goal"],
            "yes" if entry["holds"] else "no",
            entry["measured_at"][:10],
        ]
        lines.append(f"| {' | '.join(str(cell).replace('|', '/') for cell in cells)} |")
    return "\n".join(lines)


def _cpu_model() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.is_file() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor()


def _replace(path: Path, text: str) -> None:
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.write_text(text, encoding="utf-8")
    draft.replace(path)


if __name__ == "__main__":
    sys.exit(main())
