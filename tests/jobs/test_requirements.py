"""What training needs is refused before the first step, and asking for it makes nothing."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from jobs.requirements import require_to_train
from ljwx_pipeline.config import load_settings
from ljwx_pipeline.errors import EnvironmentFault, LjwxError, ModelError, RegistryError

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def listening() -> Iterator[int]:
    """Return the port of a socket that takes connections and never says a word."""
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        yield server.getsockname()[1]


def require(**changed: Any) -> None:
    """Ask for what the simulated profile with ``changed`` settings needs; ``__`` stands for a dot."""
    overrides = {key.replace("__", "."): value for key, value in changed.items()}
    require_to_train(load_settings(profile="simulated", environ={}, overrides=overrides))


def test_nothing_is_missed_and_nothing_is_made(tmp_path: Path, listening: int) -> None:
    database = tmp_path / "studies.db"
    require(tune__storage=f"sqlite:///{database}", mlflow__tracking_uri=f"http://127.0.0.1:{listening}")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"model__kind": "xgboost"}, 'model.kind = "xgboost" and the package xgboost is not installed: `make xgboost`'),
        (
            {"model__ensemble__kind": "stacking", "model__ensemble__bases": ["linear", "xgboost"]},
            'model.ensemble.bases names "xgboost" and the package xgboost is not installed: `make xgboost`',
        ),
    ],
)
def test_the_package_of_a_kind_that_is_fitted_is_asked_for(
    changed: dict[str, Any], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "xgboost", None)
    with pytest.raises(ModelError) as refused:
        require(**changed)
    assert said in str(refused.value)
    require(model__kind="regression")  # the bases of a stack that is not fitted need nothing
    require(model__ensemble__bases=["linear", "xgboost"])


@pytest.mark.parametrize(
    ("storage", "said"),
    [
        ("nonsense", "correct tune.storage"),
        ("nonsense://host/studies", "correct tune.storage"),
        ("sqlite:////no/such/folder/studies.db", "have no folder: make it, or correct tune.storage"),
        ("postgresql+psycopg2://quant:secret@127.0.0.1:9/studies", "cannot be reached"),
    ],
)
def test_a_place_of_studies_that_cannot_be_used_is_refused(storage: str, said: str) -> None:
    with pytest.raises(EnvironmentFault) as refused:
        require(tune__storage=storage)
    assert said in str(refused.value)
    assert "secret" not in str(refused.value)


def test_a_database_that_says_nothing_is_not_waited_for(listening: int, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("psycopg2", reason="the driver is not installed")
    monkeypatch.setattr("ljwx_pipeline.studies.storage.CONNECT_TIMEOUT_S", 2)
    with pytest.raises(EnvironmentFault, match="cannot be reached"):
        require(tune__storage=f"postgresql+psycopg2://quant@127.0.0.1:{listening}/studies")


def test_a_server_that_is_not_there_is_refused() -> None:
    with pytest.raises(RegistryError, match=r"MLflow at http://127\.0\.0\.1:9 cannot be reached"):
        require(mlflow__tracking_uri="http://127.0.0.1:9")


def run(home: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Run the command as a person does, with its home in ``home``."""
    command = [sys.executable, "-m", "ljwx_pipeline.cli", "run", "--set", "simulated.symbols=20", *options]
    environment = {**os.environ, "LJWX_HOME": str(home)}
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, env=environment)


@pytest.mark.parametrize(
    ("options", "refusal"),
    [
        (["--set", "tune.storage=nonsense"], EnvironmentFault),
        (["--set", "mlflow.tracking_uri=http://127.0.0.1:9", "--job", "research"], RegistryError),
    ],
)
def test_a_dry_run_refuses_it_and_so_does_a_run_before_its_first_step(
    options: list[str], refusal: type[LjwxError], tmp_path: Path
) -> None:
    for dry in (["--dry-run"], []):
        done = run(tmp_path / "home", *options, *dry, "--set", "strategy.top_k=10")
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (refusal.exit_code, "", 1)
        assert done.stderr.startswith("error: ")
    assert not (tmp_path / "home" / "markets").exists()
    assert not (tmp_path / "home" / "mlflow").exists()


def test_the_daily_job_trains_nothing_and_asks_for_none_of_it(tmp_path: Path) -> None:
    options = ["--set", "tune.storage=nonsense", "--job", "daily_pipeline", "--dry-run", "--json"]
    assert json.loads(run(tmp_path / "home", *options).stdout)["job"] == "daily_pipeline"
