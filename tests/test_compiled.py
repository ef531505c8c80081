"""Compiled functions: one whose kernels stand in another file is renewed when that file changes."""

from __future__ import annotations

import ast
import importlib
import inspect
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from numba import njit
from numba.core.dispatcher import Dispatcher

from ljwx_pipeline import compiled
from ljwx_pipeline.compiled import borrowed, kernel, trading_kernel
from ljwx_pipeline.trading import costs

ROOT = Path(__file__).resolve().parent.parent
CALLER = """
import inner
from ljwx_pipeline.compiled import kernel_over

@kernel_over(inner)
def outer(x):
    return inner.step(x) + 1.0
"""
INNER = """
from ljwx_pipeline.compiled import kernel

@kernel
def step(x):
    return x * {factor}
"""
STOPPED = """
import numpy as np
import ljwx_pipeline
from ljwx_pipeline.trading.exits import exits_kernel

held, price, forced = np.zeros(1, np.int32), np.array([50_000]), np.zeros(1, np.int64)
exits_kernel(held, 1, np.ones(1, np.int64), 2 * price, 2 * price, price, np.array([1_000, 0, 0, 0]), forced)
print(ljwx_pipeline.__file__, forced[0])
"""


def test_a_kernel_changed_in_another_file_is_not_answered_by_the_cache(tmp_path: Path) -> None:
    (tmp_path / "caller.py").write_text(CALLER)
    answers = []
    for factor in ("2.0", "3.0"):
        (tmp_path / "inner.py").write_text(INNER.format(factor=factor))
        answers.append(float(answer("import caller; print(caller.outer(10.0))", tmp_path, ROOT)))
    assert answers == [21.0, 31.0]


def answer(program: str, folder: Path, *others: Path) -> str:
    """Return what ``program`` prints in a process that keeps its machine code in ``folder``."""
    path = os.pathsep.join(str(entry) for entry in (folder, *others))
    environment = os.environ | {"PYTHONPATH": path, "NUMBA_CACHE_DIR": str(folder / "cache")}
    command = [sys.executable, "-B", "-c", program]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=True).stdout


def test_a_constant_changed_in_another_file_of_trading_is_not_answered_by_the_cache(tmp_path: Path) -> None:
    library = tmp_path / "ljwx_pipeline"
    shutil.copytree(ROOT / "ljwx_pipeline", library, ignore=shutil.ignore_patterns("__pycache__"))
    source = library / "trading" / "order_reason.py"
    answers = [answer(STOPPED, tmp_path)]
    source.write_text(source.read_text().replace("STOP_LOSS = 2", "STOP_LOSS = 9"))
    answers.append(answer(STOPPED, tmp_path))
    assert answers == [f"{library / '__init__.py'} 2\n", f"{library / '__init__.py'} 9\n"]


def trading_kernels() -> dict[str, tuple[ModuleType, ast.Module]]:
    """Return modules of trading and the backtest's loop that compile something, with their syntax trees."""
    names = [f"ljwx_pipeline.trading.{path.stem}" for path in (ROOT / "ljwx_pipeline" / "trading").glob("[a-z]*.py")]
    found = {name: importlib.import_module(name) for name in sorted([*names, "ljwx_pipeline.backtest.engine"])}
    return {
        name: (module, ast.parse(inspect.getsource(module)))
        for name, module in found.items()
        if any(isinstance(value, Dispatcher) for value in vars(module).values())
    }


def test_trading_and_the_loop_compile_nothing_past_the_one_key() -> None:
    for name, (module, tree) in trading_kernels().items():
        imported = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
        modules = {getattr(node, "module", None) or node.names[0].name for node in imported}
        assert not any(one.split(".")[0] == "numba" for one in modules), f"{name} uses numba by itself"
        own = [value for value in vars(module).values() if getattr(value, "__module__", "") == name]
        key = compiled._trading_digest()
        assert all(value.py_func.__qualname__.endswith(key) for value in own if isinstance(value, Dispatcher)), name


def defining(module: str, name: str) -> Iterator[ModuleType]:
    """Yield the modules through which ``name`` reaches whoever imports it from ``module``."""
    found = importlib.import_module(module)
    yield found
    for node in ast.parse(inspect.getsource(found)).body:
        if isinstance(node, ast.ImportFrom) and name in [alias.asname or alias.name for alias in node.names]:
            original = next(alias.name for alias in node.names if (alias.asname or alias.name) == name)
            yield from defining(str(node.module), original)


def frozen_names(module: ModuleType, tree: ast.Module) -> set[str]:
    """Return what kernels of a module read, and what its own constants are made of."""
    kernels = {name for name, value in vars(module).items() if isinstance(value, Dispatcher)}
    read: list[ast.stmt] = [node for node in tree.body if isinstance(node, ast.Assign | ast.AnnAssign)]
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and node.name in kernels:
            read += node.body
    return {part.id for node in read for part in ast.walk(node) if isinstance(part, ast.Name)}


def test_what_kernels_freeze_of_another_module_is_part_of_the_key() -> None:
    sources, frozen = compiled.trading_sources(), set()
    for name, (module, tree) in trading_kernels().items():
        names = frozen_names(module, tree)
        for node in tree.body:
            assert not isinstance(node, ast.Import) or "ljwx" not in node.names[0].name, f"{name}: import names"
            if not isinstance(node, ast.ImportFrom) or not str(node.module).startswith("ljwx_pipeline"):
                continue
            for alias in node.names:
                if (alias.asname or alias.name) not in names:
                    continue
                frozen.add(alias.name)
                for origin in defining(str(node.module), alias.name):
                    assert Path(str(origin.__file__)) in sources, f"{name} takes {alias.name} of {origin.__name__}"
    assert {"BPS", "SESSIONS_PER_YEAR", "E4_PER_FEN", "STOP_LOSS", "Reject", "match_kernel"} <= frozen


def test_the_machine_is_named_after_the_kernels_it_holds() -> None:
    assert importlib.import_module("ljwx_pipeline.expressions.machine").run.py_func.__qualname__ != "run"


def test_a_compiled_kernel_computes_what_its_source_says() -> None:
    rates = costs.CostRates(25_000, 500, 20_000, 5_000_000, 0, 50_000, 1_000).as_array()
    assert costs.fees_kernel(10_000_000, False, rates) == costs.fees_kernel.py_func(10_000_000, False, rates)


def quotient(a: int, b: int) -> int:
    return a // b


def test_integers_refuse_a_division_by_zero_that_floats_answer() -> None:
    with pytest.raises(ZeroDivisionError):
        trading_kernel(quotient)(1, 0)

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
