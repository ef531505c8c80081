"""Compiled functions: one whose kernels stand in another file is renewed when that file changes."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numba import njit

from ljwx_pipeline.compiled import borrowed, integer_kernel, kernel
from ljwx_pipeline.trading import costs

ROOT = Path(__file__).resolve().parent.parent
CALLER = """
import inner
from ljwx_pipeline.compiled import {decorator}

@{decorator}(inner)
def outer(x):
    return inner.step(x) + 1.0
"""
INNER = """
from ljwx_pipeline.compiled import kernel

@kernel
def step(x):
    return x * {factor}
"""


@pytest.mark.parametrize("decorator", ["kernel_over", "integer_kernel"])
def test_a_kernel_changed_in_another_file_is_not_answered_by_the_cache(decorator: str, tmp_path: Path) -> None:
    (tmp_path / "caller.py").write_text(CALLER.format(decorator=decorator))
    answers = []
    for factor in ("2.0", "3.0"):
        (tmp_path / "inner.py").write_text(INNER.format(factor=factor))
        paths = {"PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}", "NUMBA_CACHE_DIR": str(tmp_path / "cache")}
        command = [sys.executable, "-B", "-c", "import caller; print(caller.outer(10.0))"]
        done = subprocess.run(command, env=os.environ | paths, capture_output=True, text=True, check=True)
        answers.append(float(done.stdout))
    assert answers == [21.0, 31.0]


@pytest.mark.parametrize(
    ("module", "name"),
    [("ljwx_pipeline.expressions.machine", "run"), ("ljwx_pipeline.backtest.engine", "_run")],
)
def test_the_loops_are_named_after_the_kernels_they_hold(module: str, name: str) -> None:
    assert getattr(importlib.import_module(module), name).py_func.__qualname__ != name


def test_a_compiled_kernel_computes_what_its_source_says() -> None:
    rates = costs.CostRates(25_000, 500, 20_000, 5_000_000, 0, 50_000, 1_000).as_array()
    assert costs.fees_kernel(10_000_000, False, rates) == costs.fees_kernel.py_func(10_000_000, False, rates)


def quotient(a: int, b: int) -> int:
    return a // b


def test_integers_refuse_a_division_by_zero_that_floats_answer() -> None:
    with pytest.raises(ZeroDivisionError):
        integer_kernel()(quotient)(1, 0)

    def ratio(a: float, b: float) -> float:
        return a / b

    assert kernel(ratio)(1.0, 0.0) == np.inf


@njit
def last_row_sum(table: np.ndarray) -> float:
    rows = borrowed(table)
    return rows[-1].sum()


def test_a_borrowed_array_has_the_rows_of_its_owner() -> None:
    table = np.arange(12.0).reshape(3, 4)
    assert last_row_sum(table) == last_row_sum.py_func(table) == 38.0
