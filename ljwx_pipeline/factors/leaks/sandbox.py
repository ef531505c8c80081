"""Runs the judging of a user's file in a process of its own, with limits of time and memory.

The file is code: it runs with the rights of whoever calls this, and only what it takes is limited, not what it may do.
What it prints is kept away from standard output. Not here: what is judged (``user_file.py``).
"""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import resource
import signal
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ljwx_pipeline.errors import FactorError, LjwxError
from ljwx_pipeline.factors.leaks.market import Market, telling_cuts

ANSWER, DATA = "answer.json", "market.pickle"


@dataclass(frozen=True)
class Limits:
    """What a file may take: seconds by the clock, and MiB of address space."""

    seconds: float
    memory_mib: int

    def __post_init__(self) -> None:
        """Refuse limits under which nothing can run."""
        if not self.seconds > 0:
            raise FactorError(f"a time limit of {self.seconds:g} s leaves none", "allow more than 0 seconds")
        if self.memory_mib < LEAST_MEMORY_MIB:
            raise FactorError(
                f"a memory limit of {self.memory_mib} MiB is too small for Python with its libraries",
                f"allow {LEAST_MEMORY_MIB} or more",
            )


#: Python with numpy, pandas and numba loaded reserves about half of this.
LEAST_MEMORY_MIB = 2048


def judged_apart(path: Path, market: Market | None, limits: Limits, *, verbose: bool = False) -> list[dict[str, Any]]:
    """Return the verdicts of a file as plain values (``Verdict.as_dict``), judged in a process that is limited.

    Parameters
    ----------
    path
        The file.
    market
        What to judge it on; the synthetic market if None.
    limits
        What it may take.
    verbose
        Whether what the file prints, and tracebacks, go to standard error.

    Raises
    ------
    FactorError
        As ``judge_file``; and when the file takes more than it may, or ends its process.
    """
    with tempfile.TemporaryDirectory(prefix="ljwx-leaks-") as folder:
        if market is not None:
            (Path(folder) / DATA).write_bytes(pickle.dumps(market))
        command = [sys.executable, "-m", __name__, str(path), folder, str(limits.memory_mib)]
        output = sys.stderr if verbose else subprocess.DEVNULL
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry)}
        child = subprocess.Popen(  # noqa: S603 - our own module
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            env=environment,
        )
        try:
            status = child.wait(limits.seconds)
        except subprocess.TimeoutExpired:
            raise FactorError(
                f"{path.name} was not judged within {limits.seconds:g} s", "make it quicker, or raise --seconds"
            ) from None
        finally:
            _end_group(child)
        answer = Path(folder) / ANSWER
        if not answer.is_file():
            ended = f"signal {-status}" if status < 0 else f"exit code {status}"
            raise FactorError(
                f"{path.name} ended its process with {ended} before it was judged",
                "look with --verbose; raise --memory-mib if it ran out of memory",
            )
        said = json.loads(answer.read_text(encoding="utf-8"))
    if "error" in said:
        if verbose:
            sys.stderr.write(said["traceback"])
        raise FactorError(said["error"]["fact"], said["error"]["remedy"])
    verdicts: list[dict[str, Any]] = said["verdicts"]
    return verdicts


def _end_group(child: subprocess.Popen[bytes]) -> None:
    """End the child and whatever it started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()


def main(arguments: Sequence[str]) -> int:
    """Judge the file named in ``arguments`` and leave the answer in the folder named there."""
    path, folder, memory_mib = Path(arguments[0]), Path(arguments[1]), int(arguments[2])
    limit = memory_mib * 2**20
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _leave(folder, _answer(path, folder))
    return 0


def _answer(path: Path, folder: Path) -> Mapping[str, Any]:
    from ljwx_pipeline.factors.leaks.synthetic import CUTS, synthetic_market  # under the limit of memory
    from ljwx_pipeline.factors.leaks.user_file import judge_file

    try:
        if (folder / DATA).is_file():
            market = pickle.loads((folder / DATA).read_bytes())  # noqa: S301 - written by our parent
            cuts = telling_cuts(market.panel)
        else:
            market, cuts = synthetic_market(), CUTS
        return {"verdicts": [verdict.as_dict() for verdict in judge_file(path, market, cuts)]}
    except LjwxError as error:
        return {"error": {"fact": error.fact, "remedy": error.remedy}, "traceback": traceback.format_exc()}
    except MemoryError:
        remedy = "raise --memory-mib, or make it smaller"
        return {
            "error": {"fact": f"{path.name} needs more memory than it may use", "remedy": remedy},
            "traceback": traceback.format_exc(),
        }


def _leave(folder: Path, answer: Mapping[str, Any]) -> None:
    draft = folder / f".{ANSWER}"
    draft.write_text(json.dumps(answer, allow_nan=False, default=str), encoding="utf-8")
    draft.replace(folder / ANSWER)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
