"""Child processes of the command line: the job process of ``ljwx run`` and everything ``ljwx up`` starts.

Dagster is started by its own commands, never imported. All servers listen on loopback and stop together: the first one
that ends, or Ctrl-C, stops the rest. A runner that refuses to trade is no fault of the others, which are what mends it:
they stay up without it.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any
from urllib.parse import urlsplit

from ljwx_pipeline.clock import SystemClock
from ljwx_pipeline.config import Settings, artifact_root, dagster_home, ljwx_home, tracking_uri
from ljwx_pipeline.errors import CrashLoop, EnvironmentFault, LjwxError
from ljwx_pipeline.job_process import run_in_own_group
from ljwx_pipeline.lake.atomic_parquet import write_bytes

#: MLflow takes seconds and 200 MB to import: not into the process that only watches the others.
MAKE_TRACKING_DATABASE = (
    "from ljwx_pipeline.config import ljwx_home, load_settings; from ljwx_pipeline.registry import open_registry; "
    "print(open_registry(load_settings().mlflow, home=ljwx_home()).runs_page())"
)
STOP_GRACE_S = 15.0
#: Exit codes of a command that ended by a deliberate error (``errors.py``), not by a crash or a signal.
REFUSALS = range(LjwxError.exit_code, CrashLoop.exit_code + 1)
#: How much of a log's end holds the reason of a refusal.
REASON_BYTES = 16_384


@dataclass(frozen=True)
class Service:
    """One process of ``ljwx up``.

    Parameters
    ----------
    name, command
        What it is called and its command line.
    port
        The port it answers on.
    page
        The page to open.
    needs
        The socket that must accept before it is started.
    may_refuse
        Whether the others go on when it ends by a deliberate error.
    """

    name: str
    command: Sequence[str]
    port: int | None = None
    page: str | None = None
    needs: Path | None = None
    may_refuse: bool = False


@dataclass
class _Running:
    """The processes that were started and not refused, and the exit code of the first that refused."""

    children: list[tuple[Service, subprocess.Popen[bytes]]]
    refused: int = 0


def require_checkout(root: Path) -> None:
    """Raise unless ``root`` is a checkout: the orchestration is not part of the wheel."""
    if not (root / "jobs" / "definitions.py").is_file():
        raise EnvironmentFault(f"{root} holds no jobs/definitions.py", "run this command from the project's checkout")


def child_environment(settings: Settings, overrides: Mapping[str, Any]) -> dict[str, str]:
    """Return the environment that makes a child process see the same settings and homes."""
    environment = dict(os.environ)
    home = ljwx_home()
    environment |= {
        "LJWX_HOME": str(home),
        "LJWX_PROFILE": settings.profile,
        "DAGSTER_HOME": str(dagster_home(settings)),
        "MLFLOW_DISABLE_TELEMETRY": "true",
        # eight idle processes of 170 MB that wait for language models to judge
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "GX_ANALYTICS_ENABLED": "false",
        "PYTHONWARNINGS": "ignore",
        # idle OpenMP threads that spin take the processor from whoever else needs it
        "OMP_WAIT_POLICY": "PASSIVE",
    }
    for key, value in overrides.items():
        environment["LJWX_" + key.upper().replace(".", "__")] = json.dumps(value, default=str)
    return environment


def prepare_dagster_home(folder: Path) -> None:
    """Write ``folder/dagster.yaml`` once: no telemetry, no welcome, monitored runs, ticks forgotten after a while."""
    settings_file = folder / "dagster.yaml"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if settings_file.exists() and settings_file.stat().st_size > 0:
            return
        write_bytes(
            settings_file,
            (
                b"telemetry:\n  enabled: false\n"
                # the dialogue that asks a newcomer for an address before the first look at the graph
                b"nux:\n  enabled: false\n"
                b"run_monitoring:\n  enabled: true\n"
                b"retention:\n  schedule:\n    purge_after_days: 90\n  sensor:\n"
                b"    purge_after_days: {skipped: 7, failure: 30}\n"
                # one market's tables have one writer at a time
                b"concurrency:\n  runs:\n    max_concurrent_runs: 1\n"
                # one run at a time asks a provider, also where more may run; counted by run: no slot outlives its run
                b"  pools:\n    default_limit: 1\n    granularity: run\n"
                # for runs that ask for it by tag: a deployment that failed is tried again
                b"run_retries:\n  enabled: true\n  max_retries: 0\n"
            ),
        )
    except OSError as error:
        raise EnvironmentFault(
            f"{settings_file} cannot be written ({error.strerror})", "make LJWX_HOME writable or name another folder"
        ) from None


def run_job(
    settings: Settings, overrides: Mapping[str, Any], *, job: str, as_json: bool, dry_run: bool, root: Path
) -> int:
    """Run one Dagster job of the checkout at ``root`` in a process of its own and return its exit code."""
    require_checkout(root)
    command = [sys.executable, "-m", "jobs.run", "--profile", settings.profile, "--job", job]
    command += ["--overrides-json", json.dumps(dict(overrides), default=str)]
    command += ["--json"] if as_json else []
    command += ["--dry-run"] if dry_run else []
    return run_in_own_group(command, cwd=root, environment=child_environment(settings, overrides))


def services(settings: Settings, home: Path, *, shared: Path, runs_page: str) -> tuple[Service, ...]:
    """Return what ``ljwx up`` starts, in order.

    ``shared`` is the folder of the code server's socket and of the workspace file that names it, ``runs_page`` the part
    of MLflow's address that shows the line's runs.
    """
    ui, python = settings.ui, sys.executable
    code, workspace = shared / "code.sock", str(shared / "workspace.yaml")
    mlflow = [python, "-m", "mlflow", "server", "--host", ui.host, "--port", str(ui.mlflow_port), "--workers", "1"]
    mlflow += ["--backend-store-uri", tracking_uri(settings.mlflow, home)]
    mlflow += ["--default-artifact-root", artifact_root(settings.mlflow, home)]
    code_server = [python, "-m", "dagster", "code-server", "start", "--socket", str(code), "-m", "jobs.definitions"]
    webserver = [str(Path(python).parent / "dagster-webserver"), "-h", ui.host, "-p", str(ui.dagster_port)]
    daemon = [str(Path(python).parent / "dagster-daemon"), "run"]
    return (
        Service("mlflow", mlflow, ui.mlflow_port, f"{ui.address(ui.mlflow_port)}/{runs_page}"),
        Service("code server", code_server),
        Service(
            "runner",
            [python, "-m", "ljwx_pipeline.cli", "live"],
            ui.runner_port,
            f"{ui.address(ui.runner_port)}/status",
            may_refuse=True,
        ),
        Service(
            "console", [python, "-m", "ljwx_pipeline.cli", "console"], ui.console_port, ui.address(ui.console_port)
        ),
        Service(
            "dagster webserver",
            [*webserver, "-w", workspace],
            ui.dagster_port,
            f"{ui.address(ui.dagster_port)}/asset-groups",
            needs=code,
        ),
        Service("dagster daemon", [*daemon, "-w", workspace], needs=code),
    )


def write_workspace(shared: Path) -> None:
    """Write the file that tells webserver and daemon where the one code server is.

    Left to itself the daemon starts a code server of its own every minute, and lets the one before die. A socket in a
    folder of this user's needs no port and lets nobody else start a run.
    """
    write_bytes(
        shared / "workspace.yaml",
        f"load_from:\n  - grpc_server:\n      socket: {shared / 'code.sock'}\n      location_name: ljwx\n".encode(),
    )


def require_free_port(host: str, port: int, name: str) -> None:
    """Raise if something already listens on ``host:port``."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise EnvironmentFault(
                f"port {port} for {name} cannot be opened on {host} ({error.strerror})",
                "stop what uses it or choose another port in [ui] of ljwx.toml",
            ) from None


def up(settings: Settings, overrides: Mapping[str, Any], *, root: Path) -> int:
    """Start every service, print where to look, and wait until one ends or a signal comes; then stop all of them."""
    require_checkout(root)
    home, ui = ljwx_home(), settings.ui
    ports = {"mlflow": ui.mlflow_port, "dagster": ui.dagster_port, "runner": ui.runner_port, "console": ui.console_port}
    for name, port in ports.items():
        require_free_port(ui.host, port, name)
    prepare_dagster_home(dagster_home(settings))
    environment = child_environment(settings, overrides)
    runs_page = prepare_databases(environment, root)
    with tempfile.TemporaryDirectory(prefix="ljwx-") as folder:
        shared = Path(folder)
        write_workspace(shared)
        planned = services(settings, home, shared=shared, runs_page=runs_page)
        return run_services(planned, root=root, environment=environment, logs=home / "logs")


def prepare_databases(environment: Mapping[str, str], root: Path) -> str:
    """Make the databases that two services would otherwise make at once, one of them failing: MLflow's and Dagster's.

    Returns the part of MLflow's address that shows the line's runs.

    Raises
    ------
    EnvironmentFault
        When one of them cannot be used.
    """
    _say("preparing the databases of MLflow and Dagster")
    commands = {
        "Dagster": [sys.executable, "-m", "jobs.dead_runs"],
        "MLflow": [sys.executable, "-c", MAKE_TRACKING_DATABASE],
    }
    started = {
        name: subprocess.Popen(
            command, cwd=root, env=dict(environment), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for name, command in commands.items()
    }
    said = {name: process.communicate() for name, process in started.items()}
    for name, process in started.items():
        if process.returncode != 0:
            reason = (said[name][1].strip().splitlines() or ["no reason given"])[-1]
            raise EnvironmentFault(
                f"{name}'s database cannot be used ({reason})",
                "mend mlflow.tracking_uri, or move the damaged file away",
            )
    return said["MLflow"][0].strip().splitlines()[-1]


def run_services(services: Sequence[Service], *, root: Path, environment: Mapping[str, str], logs: Path) -> int:
    """Run every service until one ends or a stop signal comes; none is left running either way.

    Returns 1 when one ended; after a stop signal 0, or the exit code of the one that refused to start or go on and
    that the others did without.
    """
    logs.mkdir(parents=True, exist_ok=True)
    # a shell may hand children an ignored SIGINT: own handlers, and SIGTERM to each child, stop them for certain
    stopped: list[int] = []

    def note_signal(number: int, _frame: FrameType | None) -> None:
        stopped.append(number)

    before = {number: signal.signal(number, note_signal) for number in (signal.SIGINT, signal.SIGTERM)}
    running = _Running([])
    try:
        for service in services:
            if service.needs is not None and not _accepts_in_time(service.needs, running, stopped, logs):
                break
            with _log_file(logs, service).open("ab") as log:
                running.children.append((service, _start(service, root, environment, log)))
        return _watch(running, stopped, logs)
    finally:
        _stop([child for _service, child in running.children])
        for number, handler in before.items():
            signal.signal(number, handler)


def _accepts_in_time(path: Path, running: _Running, stopped: list[int], logs: Path) -> bool:
    """Wait for the socket at ``path``; false when a child ended or a stop was asked for before it accepted."""
    while not stopped and _ended(running, logs) is None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            if probe.connect_ex(str(path)) == 0:
                return True
        time.sleep(0.2)
    return False


def _ended(running: _Running, logs: Path) -> tuple[Service, int] | None:
    """Return a service that ended, and its exit code; one that may refuse and did is told of and left out instead."""
    for service, child in list(running.children):
        code = child.poll()
        if code is None:
            continue
        if not (service.may_refuse and code in REFUSALS):
            return service, code
        running.children.remove((service, child))
        running.refused = running.refused or code
        _say(f"  {service.name:<18} REFUSED: {_reason(_log_file(logs, service))}")
        _say(f"the others go on without the {service.name}: mend it, then Ctrl-C and start again")
    return None


def _reason(log: Path) -> str:
    """Return the error that a command printed last."""
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - REASON_BYTES))
        lines = file.read().decode(errors="replace").splitlines()
    said = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
    return said[-1] if said else f"see {log}"


def _log_file(logs: Path, service: Service) -> Path:
    return logs / f"{service.name.replace(' ', '-')}.log"


def _start(service: Service, root: Path, environment: Mapping[str, str], log: Any) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        list(service.command),
        cwd=root,
        env=dict(environment),
        stdout=log,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


def _watch(running: _Running, stopped: list[int], logs: Path) -> int:
    waiting = {service.name: service for service, _child in running.children if service.port is not None}
    _say(f"starting {len(running.children)} services; their logs are in {logs}")
    while not stopped:
        ended = _ended(running, logs)
        if ended is not None:
            service, code = ended
            _say(f"{service.name} ended with exit code {code}: see {_log_file(logs, service)}")
            return 1
        there = {service.name for service, _child in running.children}
        up = [name for name, service in waiting.items() if name in there and _answers(service)]
        for name in up:
            _say(f"  {name:<18} {waiting.pop(name).page}")
        left = {name for name in waiting if name in there}
        if up and not left:
            without = " but what refused" if running.refused else ""
            _say(f"all services are up{without}; Ctrl-C stops them")
        time.sleep(0.5)
    _say("stopping")
    return running.refused


def _answers(service: Service) -> bool:
    host = urlsplit(service.page or "").hostname or "127.0.0.1"
    try:
        socket.create_connection((host, service.port), timeout=0.2).close()
    except OSError:
        return False
    return True


def _stop(children: list[subprocess.Popen[bytes]]) -> None:
    """End every child's process group: SIGTERM, a grace period, then SIGKILL."""
    for child in reversed(children):
        _signal_group(child, signal.SIGTERM)
    clock = SystemClock()
    deadline = clock.monotonic_s() + STOP_GRACE_S
    for child in children:
        try:
            child.wait(timeout=max(0.1, deadline - clock.monotonic_s()))
        except subprocess.TimeoutExpired:
            _signal_group(child, signal.SIGKILL)
            child.wait()
    for child in children:  # grandchildren that outlived their parent share its group
        _signal_group(child, signal.SIGKILL)


def _signal_group(child: subprocess.Popen[bytes], number: signal.Signals) -> None:
    try:
        os.killpg(child.pid, number)
    except ProcessLookupError:
        return  # the whole group has ended already, which is what was wanted


def _say(line: str) -> None:
    print(line, flush=True)
