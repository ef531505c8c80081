"""The arrows of the design, enforced."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
# not sklearn: lightgbm imports it wherever it is installed; the runner's lock does not hold it
HEAVY = ("dagster", "mlflow", "feast", "shap", "optuna", "great_expectations", "pandera", "matplotlib")


def test_the_import_contracts_hold() -> None:
    linted = subprocess.run(
        [str(Path(sys.executable).parent / "lint-imports"), "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert linted.returncode == 0, linted.stdout


@pytest.mark.parametrize(
    "module",
    ["ljwx_pipeline.live.main", "ljwx_pipeline.exchange.main", "ljwx_pipeline.console.main", "ljwx_pipeline.cli"],
)
def test_the_runner_and_the_command_line_load_nothing_heavy(module: str) -> None:
    code = f"import sys, {module}; print(sorted(set({HEAVY!r}) & {{name.split('.')[0] for name in sys.modules}}))"
    loaded = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert loaded.stdout.strip() == "[]"


def test_the_command_line_is_read_before_any_library_of_numbers_is_loaded() -> None:
    numbers = (*HEAVY, "numpy", "pandas", "pyarrow", "scipy", "sklearn", "numba", "lightgbm", "sqlalchemy", "duckdb")
    code = (
        "import sys; from ljwx_pipeline.cli import build_parser; build_parser(); "
        f"print(sorted(set({numbers!r}) & {{name.split('.')[0] for name in sys.modules}}))"
    )
    loaded = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert loaded.stdout.strip() == "[]"


def test_docker_is_no_package() -> None:
    assert not (ROOT / "docker" / "__init__.py").exists(), (
        "docker/__init__.py would shadow the docker SDK that mlflow imports"
    )
