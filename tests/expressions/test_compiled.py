"""Compiled functions: one whose kernels stand in another file is renewed when that file changes."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
CALLER = """
import inner
from ljwx_pipeline.expressions.compiled import kernel_over

@kernel_over(inner)
def outer(x):
    return inner.step(x) + 1.0
"""
INNER = """
from ljwx_pipeline.expressions.compiled import kernel

@kernel
def step(x):
    return x * {factor}
"""


def test_a_kernel_changed_in_another_file_is_not_answered_by_the_cache(tmp_path: Path) -> None:
    (tmp_path / "caller.py").write_text(CALLER)
    answers = []
    for factor in ("2.0", "3.0"):
        (tmp_path / "inner.py").write_text(INNER.format(factor=factor))
        paths = {"PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}", "NUMBA_CACHE_DIR": str(tmp_path / "cache")}
        command = [sys.executable, "-B", "-c", "import caller; print(caller.outer(10.0))"]
        done = subprocess.run(command, env=os.environ | paths, capture_output=True, text=True, check=True)
        answers.append(float(done.stdout))
    assert answers == [21.0, 31.0]


def test_the_machine_is_named_after_the_kernels_it_holds() -> None:
    machine = importlib.import_module("ljwx_pipeline.expressions.machine")
    assert machine.run.py_func.__qualname__ != "run"
