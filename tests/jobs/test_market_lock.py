"""Two runs never write one market's tables at once, whoever starts them; the second is told who holds it."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
import pytest

from jobs.definitions import MAIN_JOB_NAME, build_definitions
from jobs.market_lock import one_writer, one_writer_executor
from jobs.research import JOB_NAME, PARALLEL_JOB_NAME
from jobs.sensors import DEPLOY_JOB_NAME
from ljwx_pipeline.config import Settings, load_settings, market_home
from ljwx_pipeline.errors import LakeError
from ljwx_pipeline.lake.locking import exclusive

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LJWX_HOME", str(tmp_path))
    return tmp_path


def shipped() -> Settings:
    return load_settings(profile="simulated", config_file=ROOT / "ljwx.toml", environ={})


@dg.op
def held() -> None:
    """Tell that the step is at work, and whether the market is held meanwhile."""
    lock = market_home(shipped()) / "run.lock"
    try:
        with exclusive(lock, timeout_s=0):
            said = "free"
    except LakeError:
        said = "held"
    lock.with_name("said").write_text(f"{said} {os.getpid()}")


def in_process() -> dg.JobDefinition:
    return one_step(dg.in_process_executor)


def apart() -> dg.JobDefinition:
    return one_step(dg.multiprocess_executor)


def one_step(executor: dg.ExecutorDefinition) -> dg.JobDefinition:
    graph = dg.GraphDefinition(name="one_step", node_defs=[held])
    return graph.to_job(executor_def=one_writer_executor(shipped(), executor))


def hold(ready: object, done: object) -> None:
    with one_writer(shipped()):
        ready.set()  # type: ignore[attr-defined]
        done.wait(120)  # type: ignore[attr-defined]


@contextmanager
def another_process() -> Iterator[int]:
    """Let another process hold the market for the ``with`` block."""
    spawn = multiprocessing.get_context("spawn")
    ready, done = spawn.Event(), spawn.Event()
    process = spawn.Process(target=hold, args=(ready, done))
    process.start()
    try:
        assert ready.wait(120)
        yield process.pid or 0
    finally:
        done.set()
        process.join(60)


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    folder = tmp_path / "dagster"
    folder.mkdir()
    with dg.instance_for_test(temp_dir=str(folder)) as found:
        yield found


@pytest.mark.parametrize("job", [in_process, apart])
def test_a_run_that_dagster_starts_holds_the_market_and_lets_go(
    instance: dg.DagsterInstance, job: object, home: Path
) -> None:
    with dg.execute_job(dg.reconstructable(job), instance) as result:
        assert result.success
    said, pid = (market_home(shipped()) / "said").read_text().split()
    assert said == "held"
    assert (int(pid) == os.getpid()) is (job is in_process)
    with exclusive(market_home(shipped()) / "run.lock", timeout_s=0):
        pass


def test_a_run_that_dagster_starts_while_another_process_writes_fails_and_says_who_does(
    instance: dg.DagsterInstance,
) -> None:
    with another_process() as pid:
        with dg.execute_job(dg.reconstructable(in_process), instance) as result:
            assert not result.success
            (failed,) = (event for event in result.all_events if event.is_run_failure)
        assert f"another process (pid {pid}) holds" in str(failed.job_failure_data.error)
        assert not (market_home(shipped()) / "said").exists()
        with pytest.raises(LakeError, match=rf"another process \(pid {pid}\) holds"), one_writer(shipped()):
            pass
    with dg.execute_job(dg.reconstructable(in_process), instance) as result:
        assert result.success


def test_the_process_that_holds_the_market_executes_runs_and_holds_it_to_its_own_end(
    instance: dg.DagsterInstance,
) -> None:
    with one_writer(shipped()):
        with dg.execute_job(dg.reconstructable(in_process), instance) as result:
            assert result.success
        with pytest.raises(LakeError), exclusive(market_home(shipped()) / "run.lock", timeout_s=0):
            pass


def test_every_job_that_writes_the_tables_and_what_the_page_picks_is_under_the_lock(home: Path) -> None:
    definitions = build_definitions(shipped())
    picked = definitions.get_implicit_global_asset_job_def()
    jobs = [
        picked,
        *map(definitions.resolve_job_def, (MAIN_JOB_NAME, JOB_NAME, PARALLEL_JOB_NAME, "daily_pipeline", "ingest")),
    ]
    assert {"one_writer_executor" in str(job.executor_def.executor_creation_fn) for job in jobs} == {True}
    deploy = definitions.resolve_job_def(DEPLOY_JOB_NAME)
    assert deploy.executor_def is dg.in_process_executor
