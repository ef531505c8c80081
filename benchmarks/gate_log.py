"""No bench: many seeded models one after the other, each kept in a log of JSON lines so that a killed run goes on.

A line counts only for the code and settings it was made with: their hash stands in it, and a line of another is as
good as none. Not here: what a model is (``gate_models.py``), what is counted of them (``gate_noise.py``,
``gate_planted.py``).
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import multiprocessing
import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import ljwx_pipeline
from ljwx_pipeline.config import Settings

Line = dict[str, Any]

#: Where the logs of whole runs lie: what ``make bench`` reads before it runs anything.
LOGS = Path(__file__).resolve().parent / "results"
#: Packages and modules of the library that a model goes through on its way to the gate.
_DECIDING = (
    "backtest", "coefficients.py", "compiled.py", "config", "dataset", "evaluation", "expressions", "factors",
    "label.py", "market", "models", "promotion", "scoring", "sources/simulated", "studies", "trading",
)  # fmt: skip
_BENCHES = ("gate_log.py", "gate_models.py", "gate_noise.py", "gate_planted.py")
_PACKAGES = ("lightgbm", "numba", "numpy", "optuna", "pandas", "scipy")
#: One thread a process: the models are what runs beside each other.
_ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


@dataclass(frozen=True)
class Run:
    """A bench's models.

    Parameters
    ----------
    bench
        Name of the bench and of its log.
    one
        Makes and judges the model of a number; a function of a module, so that other processes find it.
    key
        ``made_with`` of the settings.
    told
        What the progress line says of the models done.
    """

    bench: str
    one: Callable[[int], Line]
    key: str
    told: Callable[[Sequence[Line]], str]


def made_with(*settings: Settings) -> str:
    """Return the SHA-256 of everything that decides a model beside its number: code, packages, settings."""
    library, digest = Path(ljwx_pipeline.__file__).parent, hashlib.sha256()
    sources = [library / name for name in _DECIDING]
    files = [file for at in sources for file in ([at] if at.is_file() else sorted(at.rglob("*.py")))]
    for path in [*files, *(Path(__file__).with_name(name) for name in _BENCHES)]:
        digest.update(path.name.encode())
        digest.update(path.read_bytes())
    digest.update(repr([(name, version(name)) for name in _PACKAGES]).encode())
    digest.update(json.dumps([one.model_dump(mode="json") for one in settings], sort_keys=True).encode())
    return digest.hexdigest()


def kept(log: Path, key: str) -> dict[int, Line]:
    """Return the lines of ``key`` by number; a line cut short by a killed run is left out, and so made again."""
    if not log.is_file():
        return {}
    found: dict[int, Line] = {}
    for text in log.read_text(encoding="utf-8").splitlines():
        with contextlib.suppress(json.JSONDecodeError):
            line = json.loads(text)
            if line["key"] == key:
                found.setdefault(line["number"], line)
    return found


def all_lines(run: Run, numbers: Sequence[int], log: Path, *, workers: int = 1) -> list[Line]:
    """Return the line of each number, from the log where it is there; the others are made, kept and shown."""
    done = {number: line for number, line in kept(log, run.key).items() if number in set(numbers)}
    missing, began, made = [number for number in numbers if number not in done], time.monotonic(), 0
    if done:
        print(f"{run.bench}: {len(done)} of {len(numbers)} are in {log.name}", flush=True)
    log.parent.mkdir(parents=True, exist_ok=True)
    with _pool(workers) as pool:
        waiting = {pool.submit(measured, run.one, number): number for number in missing}
        for future in as_completed(waiting):
            number, made = waiting[future], made + 1
            done[number] = {"bench": run.bench, "key": run.key, "number": number, **future.result()}
            _append(log, done[number])
            each = (time.monotonic() - began) / made
            left = each * (len(missing) - made) / 60
            said = run.told(list(done.values()))
            print(
                f"{run.bench}: {len(done)} of {len(numbers)}, {said}, {each:.1f} s a model, {left:.0f} min left",
                flush=True,
            )
    return [done[number] for number in numbers]


def measured(one: Callable[[int], Line], number: int) -> Line:
    """Return what ``one`` says of ``number``, and what it took."""
    wall, cpu = time.perf_counter(), time.process_time()
    line = one(number)
    return {
        **line,
        "wall_s": round(time.perf_counter() - wall, 2),
        "cpu_s": round(time.process_time() - cpu, 2),
        "peak_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
    }


def totals(lines: Iterable[Line]) -> dict[str, float]:
    """Return what all models took, as a result entry keeps it, and the dearest of them."""
    every = list(lines)
    return {
        "wall_s": round(sum(line["wall_s"] for line in every), 1),
        "cpu_s": round(sum(line["cpu_s"] for line in every), 1),
        "peak_mib": max(line["peak_mib"] for line in every),
        "most_wall_s_a_model": max(line["wall_s"] for line in every),
        "most_cpu_s_a_model": max(line["cpu_s"] for line in every),
        "mean_cpu_s_a_model": round(sum(line["cpu_s"] for line in every) / len(every), 2),
    }


def lines_of_bench(run: Run, models: int, *, quick: bool) -> list[Line]:
    """Return the lines of a whole run for ``make bench``; ``quick`` makes two and keeps none."""
    if quick:
        with tempfile.TemporaryDirectory(prefix="ljwx-gate-") as folder:
            return all_lines(run, range(2), Path(folder) / "log.jsonl")
    return all_lines(run, range(models), LOGS / f"{run.bench}.jsonl")


def main(run: Run, models: int, description: str | None, summary: Callable[[Sequence[Line]], dict[str, Any]]) -> int:
    """Parse the options of a bench, make its models and print what is counted of them."""
    parser = argparse.ArgumentParser(prog=f"python -m benchmarks.{run.bench}", description=description)
    parser.add_argument("--models", type=int, default=models, help="how many")
    parser.add_argument("--first", type=int, default=0, help="number of the first: a slice of the whole run")
    parser.add_argument("--log", type=Path, default=LOGS / f"{run.bench}.jsonl", help="what is there is not made again")
    parser.add_argument("--workers", type=int, default=1, help="processes of one thread each")
    given = parser.parse_args()
    numbers = range(given.first, given.first + given.models)
    lines = all_lines(run, numbers, given.log, workers=given.workers)
    sys.stdout.write(json.dumps(summary(lines), indent=2) + "\n")
    return 0


@contextlib.contextmanager
def _pool(workers: int) -> Iterator[ProcessPoolExecutor]:
    """Yield processes that were started with one thread each; what nobody has begun is dropped on the way out."""
    before = {name: os.environ.get(name) for name in _ONE_THREAD}
    os.environ.update(_ONE_THREAD)
    pool = ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn"))
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _append(log: Path, line: Line) -> None:
    """Add a line that is on disk when this returns, on a line of its own whatever a killed run left behind."""
    with log.open("a+b") as file:
        file.seek(0, os.SEEK_END)
        if file.tell():
            file.seek(-1, os.SEEK_END)
            broken = file.read(1) != b"\n"
        else:
            broken = False
        file.write((b"\n" if broken else b"") + json.dumps(line).encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())
