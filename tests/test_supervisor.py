from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from ljwx_pipeline.config import Settings, load_settings
from ljwx_pipeline.errors import EnvironmentFault
from ljwx_pipeline.supervisor import (
    Service,
    child_environment,
    prepare_dagster_home,
    require_checkout,
    require_free_port,
    run_services,
)

ROOT = Path(__file__).resolve().parent.parent
STUBBORN = "import signal, time; signal.signal(signal.SIGINT, signal.SIG_IGN); time.sleep(600)"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_a_port_in_use_is_named_with_its_remedy() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(EnvironmentFault, match=rf"port {port} for mlflow cannot be opened.*another port in \[ui\]"):
            require_free_port("127.0.0.1", port, "mlflow")


def test_a_free_port_is_accepted() -> None:
    require_free_port("127.0.0.1", free_port(), "mlflow")


def test_only_a_checkout_can_run_jobs(tmp_path: Path) -> None:
    require_checkout(ROOT)
    with pytest.raises(EnvironmentFault, match="run this command from the project's checkout"):
        require_checkout(tmp_path)


def test_child_processes_read_the_same_settings(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    overrides = {"folder.index_data": ["a b.csv", "c.csv"], "gate.kpi_enabled": False, "folder.data": "x.parquet"}
    environment = child_environment(settings, overrides)
    child = load_settings(config_file=ROOT / "ljwx.toml", environ=environment)
    parent = load_settings(profile="simulated", config_file=ROOT / "ljwx.toml", overrides=overrides, environ={})
    assert child == parent


def test_the_dagster_home_is_written_once_and_then_left_alone(tmp_path: Path) -> None:
    prepare_dagster_home(tmp_path)
    written = tmp_path / "dagster" / "dagster.yaml"
    assert "enabled: false" in written.read_text()
    written.write_text("mine: true\n")
    prepare_dagster_home(tmp_path)
    assert written.read_text() == "mine: true\n"


def test_when_one_service_ends_all_others_are_stopped(tmp_path: Path) -> None:
    pids = tmp_path / "pid"
    services = [
        Service(
            "stubborn",
            [sys.executable, "-c", f"import os; open({str(pids)!r}, 'w').write(str(os.getpid())); " + STUBBORN],
            None,
            None,
        ),
        Service("short", [sys.executable, "-c", "import time; time.sleep(1.5)"], None, None),
    ]
    assert run_services(services, root=tmp_path, environment=dict(os.environ), logs=tmp_path / "logs") == 1
    pid = int(pids.read_text())
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


@pytest.mark.slow
def test_up_starts_every_page_and_one_signal_stops_them_all(tmp_path: Path) -> None:
    ports = {name: free_port() for name in ("dagster_port", "mlflow_port", "runner_port", "console_port")}
    environment = dict(os.environ, LJWX_HOME=str(tmp_path / "home"))
    environment |= {f"LJWX_UI__{name.upper()}": str(port) for name, port in ports.items()}
    process = subprocess.Popen(
        [sys.executable, "-m", "ljwx_pipeline.cli", "up"], cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        deadline, seen = time.monotonic() + 150, ""
        while "all services are up" not in seen and time.monotonic() < deadline:
            line = process.stdout.readline()
            seen += line
            assert line or process.poll() is None, seen
        assert "all services are up" in seen, seen
        for name, path in (
            ("dagster_port", "/server_info"),
            ("mlflow_port", "/health"),
            ("runner_port", "/health"),
            ("console_port", "/"),
        ):
            assert httpx.get(f"http://127.0.0.1:{ports[name]}{path}", timeout=30).status_code == 200, name
    finally:
        process.send_signal(signal.SIGINT)
        code = process.wait(timeout=60)
    assert code == 0
    for port in ports.values():
        require_free_port("127.0.0.1", port, "left over")
