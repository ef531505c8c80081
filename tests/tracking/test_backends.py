"""Real servers behind the tracking: one that is killed in the middle, PostgreSQL, an object store. Slow."""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ljwx_pipeline.config import MlflowSettings
from ljwx_pipeline.errors import RegistryError
from ljwx_pipeline.registry import Registry, open_registry
from ljwx_pipeline.tracking import Tracker, stable_id
from tests.fakes.mlflow_home import registry_in, stored_runs

pytestmark = pytest.mark.slow
START_S = 180.0
POSTGRES_PATHS = ("/usr/lib/postgresql/15/bin", "/usr/lib/postgresql/16/bin", "/usr/lib/postgresql/17/bin")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def served(home: Path, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """A real MLflow server on the database below ``home``; whatever of it is left is killed at the end."""
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", f"sqlite:///{home / 'mlflow' / 'mlflow.db'}"]
    command += ["--default-artifact-root", (home / "mlflow" / "artifacts").as_uri()]
    environment = dict(os.environ, MLFLOW_DISABLE_TELEMETRY="true", MLFLOW_SERVER_ENABLE_JOB_EXECUTION="false")
    server = subprocess.Popen(command, env=environment, start_new_session=True, stderr=subprocess.DEVNULL)
    try:
        answered(f"http://127.0.0.1:{port}/health", server)
        yield server
    finally:
        kill(server)


def answered(address: str, server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline and server.poll() is None:
        try:
            urllib.request.urlopen(address, timeout=5).close()
        except urllib.error.HTTPError:
            return
        except OSError:
            time.sleep(0.3)
        else:
            return
    pytest.fail(f"{address} did not answer within {START_S:g} s")


def kill(server: subprocess.Popen[bytes]) -> None:
    """Kill the server and its workers, as a power cut would."""
    if server.poll() is None:
        os.killpg(server.pid, signal.SIGKILL)
    server.wait()


def test_a_server_killed_in_the_middle_loses_nothing_and_doubles_nothing(tmp_path: Path) -> None:
    port = free_port()
    on_disk = registry_in(tmp_path)
    settings = MlflowSettings(
        tracking_uri=f"http://127.0.0.1:{port}", artifact_root="", experiment="tests", model_name="m"
    )
    (tmp_path / "report.html").write_text("<html>")
    tracker = Tracker(tmp_path / "tracking", open_registry(settings, tmp_path))
    with served(tmp_path, port) as server:
        research = tracker.begin("research", kind="research", event=stable_id("research", 1))
        research.params({"seed": 7})
        with research.child("trial 000", kind="trial", event=stable_id("trial", 0)) as trial:
            trial.metrics({"rank_ic": 0.01})
        before = research.run_id
        kill(server)
        for number in range(1, 4):
            with research.child(f"trial {number:03d}", kind="trial", event=stable_id("trial", number)) as trial:
                trial.metrics({"rank_ic": 0.01 * number})
        research.artifacts(tmp_path / "report.html", "report")
        research.metrics({"rank_ic_mean": 0.02})
    assert len(stored_runs(on_disk)) == 2
    fresh = Tracker(tmp_path / "tracking", open_registry(settings, tmp_path))  # the next process
    assert fresh.flush().left == 4
    with served(tmp_path, port):
        again = fresh.find(research.event)
        assert again.run_id == before
        again.end("FINISHED")
        assert fresh.flush().left == 0
    runs = {run.info.run_name: run for run in stored_runs(on_disk)}
    assert sorted(runs) == ["research", "trial 000", "trial 001", "trial 002", "trial 003"]
    assert len(stored_runs(on_disk)) == 5
    assert {run.info.status for run in runs.values()} == {"FINISHED"}
    assert runs["research"].data.metrics["rank_ic_mean"] == 0.02
    assert {run.data.tags.get("mlflow.parentRunId") for name, run in runs.items() if "trial" in name} == {before}
    kept = Path(runs["research"].info.artifact_uri.removeprefix("file://"))
    assert (kept / "report" / "report.html").read_text() == "<html>"


@pytest.fixture(scope="module")
def postgres() -> Iterator[str]:
    """The address of a database of its own on a real PostgreSQL server; skipped where there is none."""
    if importlib.util.find_spec("psycopg2") is None:
        pytest.skip("psycopg2 is not installed: PostgreSQL cannot be asked")
    found = [Path(path) for path in POSTGRES_PATHS if (Path(path) / "initdb").exists()]
    if not found:
        pytest.skip("no PostgreSQL server is installed here")
    user: dict[str, str] = {}
    if os.geteuid() == 0:  # PostgreSQL refuses root
        try:
            pwd.getpwnam("postgres")
        except KeyError:
            pytest.skip("PostgreSQL refuses root, and there is no user postgres")
        user = {"user": "postgres"}
    folder, port = Path(tempfile.mkdtemp(prefix="ljwx-postgres-", dir="/tmp")), free_port()
    if user:
        shutil.chown(folder, "postgres")
    data = folder / "data"
    made = [str(found[0] / "initdb"), "-D", str(data), "-U", "ljwx", "--auth=trust", "--no-sync"]
    subprocess.run(made, check=True, cwd=folder, capture_output=True, **user)  # type: ignore[call-overload]
    command = [str(found[0] / "postgres"), "-D", str(data), "-p", str(port), "-h", "127.0.0.1", "-k", str(folder)]
    server = subprocess.Popen(command, cwd=folder, stderr=subprocess.DEVNULL, **user)  # type: ignore[call-overload]
    try:
        createdb = [str(found[0] / "createdb"), "-h", "127.0.0.1", "-p", str(port), "-U", "ljwx", "mlflow"]
        deadline = time.monotonic() + 60
        while subprocess.run(createdb, check=False, capture_output=True).returncode and time.monotonic() < deadline:
            time.sleep(0.3)
        yield f"postgresql+psycopg2://ljwx@127.0.0.1:{port}/mlflow"
    finally:
        server.send_signal(signal.SIGINT)
        server.wait(timeout=60)
        shutil.rmtree(folder)


def told(registry: Registry, folder: Path) -> Tracker:
    """Record a parent with a child and an artifact, and check that they arrived."""
    tracker = Tracker(folder / "tracking", registry)
    (folder / "report.html").write_text("<html>")
    with tracker.run("research", kind="research", event=stable_id("research", 1)) as research:
        research.params({"seed": 7})
        research.artifacts(folder / "report.html", "report")
        with research.child("fold 2024", kind="fold", event=stable_id("fold", 2024)) as fold:
            fold.series([{"rank_ic": 0.1}, {"rank_ic": 0.2}])
    assert tracker.flush().reason == ""
    (run,) = registry.views(kind="fold", parent=research.run_id, limit=5)
    assert (run.status, run.metrics) == ("FINISHED", {"rank_ic": 0.2})
    return tracker


def test_postgresql_keeps_runs_and_models(postgres: str, tmp_path: Path) -> None:
    settings = MlflowSettings(tracking_uri=postgres, artifact_root="", experiment="tests", model_name="m")
    registry = open_registry(settings, tmp_path)
    tracker = told(registry, tmp_path)
    assert registry.tracked_runs() == 2
    assert registry.champion("m") is None
    for path in (tmp_path / "tracking" / "sent").iterdir():  # as after a crash before the marks
        lines = [line for line in path.read_text().splitlines(keepends=True) if '"do": "sent"' not in line]
        if '"files"' not in "".join(lines):
            path.write_text("".join(lines))
            path.rename(tmp_path / "tracking" / "open" / path.name)
    assert tracker.flush().left == 0
    assert registry.tracked_runs() == 2
    (run,) = registry.views(kind="research", limit=5)
    assert run.params == {"seed": "7"}


def test_a_database_server_that_is_away_is_said_within_seconds(tmp_path: Path) -> None:
    address = f"postgresql+psycopg2://somebody:secret@127.0.0.1:{free_port()}/mlflow"
    settings = MlflowSettings(tracking_uri=address, artifact_root="", experiment="tests", model_name="m")
    started = time.monotonic()
    with pytest.raises(RegistryError, match="cannot be reached") as caught:
        open_registry(settings, tmp_path).champion("m")
    assert time.monotonic() - started < 10
    assert "secret" not in str(caught.value)


@pytest.fixture(scope="module")
def object_store() -> Iterator[str]:
    """The address of an S3 on loopback; skipped where its packages are not installed."""
    missing = [name for name in ("boto3", "moto", "flask") if importlib.util.find_spec(name) is None]
    if missing:
        pytest.skip(f"{', '.join(missing)} not installed: no object store can be had")
    port = free_port()
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        answered(f"http://127.0.0.1:{port}/moto-api/", server)
        yield f"http://127.0.0.1:{port}"
    finally:
        kill(server)


def test_artifacts_lie_in_an_object_store_by_url(
    object_store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import boto3

    given = {
        "MLFLOW_S3_ENDPOINT_URL": object_store,
        "AWS_ACCESS_KEY_ID": "tests",
        "AWS_SECRET_ACCESS_KEY": "tests",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    store = boto3.client("s3", endpoint_url=object_store)
    settings = MlflowSettings(tracking_uri="", artifact_root="s3://models/line", experiment="tests", model_name="m")
    registry_in(tmp_path)
    registry = open_registry(settings, tmp_path)
    tracker = Tracker(tmp_path / "tracking", registry)
    (tmp_path / "early.html").write_text("<early>")
    with tracker.run("early", kind="evaluation", event=stable_id("early")) as early:
        early.artifacts(tmp_path / "early.html")
    assert "refused" in tracker.flush().reason, "there is no bucket yet: the artifact is kept"
    store.create_bucket(Bucket="models")
    assert tracker.flush().left == 0
    told(registry, tmp_path)
    keys = [item["Key"] for item in store.list_objects_v2(Bucket="models")["Contents"]]
    assert len(keys) == 2
    assert all(key.startswith("line/") for key in keys)
    assert sorted(key.rpartition("/")[2] for key in keys) == ["early.html", "report.html"]


def test_an_artifact_root_is_a_url_on_this_machine_too(tmp_path: Path) -> None:
    registry_in(tmp_path)
    root = (tmp_path / "srv").as_uri()
    settings = MlflowSettings(tracking_uri="", artifact_root=root, experiment="tests", model_name="m")
    told(open_registry(settings, tmp_path), tmp_path)
    assert [path.name for path in (tmp_path / "srv").rglob("*.html")] == ["report.html"]
    elsewhere = settings.model_copy(update={"artifact_root": (tmp_path / "elsewhere").as_uri()})
    with pytest.raises(RegistryError, match=r"keeps its artifacts below .*set mlflow.experiment to a new name"):
        open_registry(elsewhere, tmp_path).tracked_runs()
