from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import dagster as dg
import httpx
import pytest
import yaml

from ljwx_pipeline.config import Settings, load_settings, market_home
from ljwx_pipeline.errors import EnvironmentFault
from ljwx_pipeline.supervisor import (
    Service,
    child_environment,
    prepare_dagster_home,
    require_checkout,
    require_free_port,
    run_services,
    services,
    write_workspace,
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


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "0.0.0.0"])
def test_a_free_port_is_accepted(host: str) -> None:
    require_free_port(host, free_port(), "mlflow")


def test_pages_of_an_ipv6_host_can_be_opened(settings: Settings, tmp_path: Path) -> None:
    ui = settings.ui.model_copy(update={"host": "::1"})
    planned = services(settings.model_copy(update={"ui": ui}), tmp_path, shared=tmp_path, runs_page="")
    pages = [service.page for service in planned if service.page]
    assert len(pages) == 4
    assert all(page.startswith("http://[::1]:") for page in pages)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_a_service_is_told_once_it_answers_on_its_own_host(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], host: str
) -> None:
    port = free_port()
    family = "AF_INET6" if ":" in host else "AF_INET"
    listen = (
        f"import socket, time; s = socket.socket(socket.{family}); s.setsockopt(socket.SOL_SOCKET, "
        f"socket.SO_REUSEADDR, 1); s.bind(({host!r}, {port})); s.listen(); time.sleep(3)"
    )
    page = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    planned = (Service("page", [sys.executable, "-c", listen], port, page),)
    run_services(planned, root=ROOT, environment=dict(os.environ), logs=tmp_path)
    assert page in capsys.readouterr().out


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


def of_market(*, profile: str = "simulated", **overrides: str) -> Settings:
    given = {key.replace("__", "."): value for key, value in overrides.items()}
    return load_settings(profile=profile, config_file=ROOT / "ljwx.toml", overrides=given, environ={})


def test_what_one_market_materializes_is_shown_on_no_other_markets_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LJWX_HOME", str(tmp_path))
    shown = of_market()
    others = (
        of_market(profile="noise"),
        of_market(simulated__seed="8"),
        of_market(source__as_of="2025-06-02T20:00:00Z"),
    )
    key = dg.AssetKey("raw_bars")
    for settings in (shown, *others):
        home = Path(child_environment(settings, {})["DAGSTER_HOME"])
        assert home.parent == market_home(settings)
        prepare_dagster_home(home)
    for settings in others:
        with dg.DagsterInstance.from_config(child_environment(settings, {})["DAGSTER_HOME"]) as instance:
            instance.report_runless_asset_event(dg.AssetMaterialization(key, partition="2025-01-01"))
            assert instance.get_materialized_partitions(key) == {"2025-01-01"}
    with dg.DagsterInstance.from_config(child_environment(shown, {})["DAGSTER_HOME"]) as instance:
        assert instance.get_materialized_partitions(key) == set()
    assert not (tmp_path / "dagster").exists()


def test_the_dagster_home_is_written_once_and_then_left_alone(tmp_path: Path) -> None:
    prepare_dagster_home(tmp_path / "dagster")
    written = tmp_path / "dagster" / "dagster.yaml"
    assert yaml.safe_load(written.read_text())["telemetry"] == {"enabled": False}
    assert yaml.safe_load(written.read_text())["nux"] == {"enabled": False}  # no dialogue before the first look
    written.write_text("mine: true\n")
    prepare_dagster_home(tmp_path / "dagster")
    assert written.read_text() == "mine: true\n"


def test_dagster_lets_one_run_at_a_time_ask_a_provider(tmp_path: Path) -> None:
    prepare_dagster_home(tmp_path)
    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        pools = instance.get_concurrency_config().pool_config
    assert (pools.default_pool_limit, str(pools.pool_granularity)) == (1, "PoolGranularity.RUN")


def test_webserver_and_daemon_ask_one_code_server_instead_of_starting_their_own(
    settings: Settings, tmp_path: Path
) -> None:
    write_workspace(tmp_path)
    planned = {s.name: s for s in services(settings, tmp_path / "home", shared=tmp_path, runs_page="#/experiments/1")}
    code_server = list(planned["code server"].command)
    code = code_server[code_server.index("--socket") + 1]
    assert "--heartbeat" not in code_server  # it lives as long as the others
    workspace = yaml.safe_load((tmp_path / "workspace.yaml").read_text())
    assert workspace["load_from"] == [{"grpc_server": {"socket": code, "location_name": "ljwx"}}]
    for name in ("dagster webserver", "dagster daemon"):
        assert planned[name].command[-2:] == ["-w", str(tmp_path / "workspace.yaml")]
        assert planned[name].needs == Path(code)


def test_the_pages_open_on_the_asset_graph_and_on_the_lines_runs(settings: Settings, tmp_path: Path) -> None:
    planned = {s.name: s for s in services(settings, tmp_path, shared=tmp_path, runs_page="#/experiments/1/runs")}
    assert str(planned["dagster webserver"].page).endswith(f":{settings.ui.dagster_port}/asset-groups")
    assert str(planned["mlflow"].page).endswith(f":{settings.ui.mlflow_port}/#/experiments/1/runs")


def test_mlflow_starts_no_processes_for_jobs_that_nobody_asks_for(settings: Settings) -> None:
    assert child_environment(settings, {})["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] == "false"


def test_a_service_waits_for_the_socket_it_needs(tmp_path: Path) -> None:
    code, seen = tmp_path / "code.sock", tmp_path / "seen"
    accepts = (
        "import socket, sys, time; time.sleep(1); s = socket.socket(socket.AF_UNIX); "
        f"s.bind({str(code)!r}); s.listen(); time.sleep(600)"
    )
    connects = f"import socket; socket.socket(socket.AF_UNIX).connect({str(code)!r}); open({str(seen)!r}, 'w')"
    planned = [
        Service("server", [sys.executable, "-c", accepts]),
        Service("client", [sys.executable, "-c", connects], needs=code),
    ]
    run_services(planned, root=tmp_path, environment=dict(os.environ), logs=tmp_path / "logs")
    assert seen.exists()


def test_a_service_whose_socket_never_comes_is_not_started(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    planned = [
        Service("server", [sys.executable, "-c", "raise SystemExit(3)"]),
        Service("client", ["/no/such/program"], needs=tmp_path / "code.sock"),
    ]
    assert run_services(planned, root=tmp_path, environment=dict(os.environ), logs=tmp_path / "logs") == 1
    assert "server ended with exit code 3" in capsys.readouterr().out


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


REFUSES = "import sys; print('error: the pack has format 1, not 2: write it anew', file=sys.stderr); sys.exit(13)"


def test_the_others_go_on_without_a_runner_that_refuses_and_the_end_tells_of_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, seen = tmp_path / "code.sock", tmp_path / "seen"
    serves = (
        "import os, signal, socket, time; time.sleep(1.5); s = socket.socket(socket.AF_UNIX); "
        f"s.bind({str(code)!r}); s.listen(); s.accept(); s.accept(); time.sleep(2); "
        "os.kill(os.getppid(), signal.SIGTERM); time.sleep(600)"
    )
    connects = f"import socket, time; socket.socket(socket.AF_UNIX).connect({str(code)!r}); "
    planned = [
        Service("runner", [sys.executable, "-c", REFUSES], free_port(), "http://127.0.0.1:1/status", may_refuse=True),
        Service("server", [sys.executable, "-c", serves]),
        Service("page", [sys.executable, "-c", f"{connects}open({str(seen)!r}, 'w'); time.sleep(600)"], needs=code),
    ]
    ended = run_services(planned, root=tmp_path, environment=dict(os.environ), logs=tmp_path / "logs")
    said = capsys.readouterr().out
    assert seen.exists()
    assert ended == 13
    assert "runner             REFUSED: the pack has format 1, not 2: write it anew" in said
    assert "stopping" in said


@pytest.mark.parametrize("end", ["sys.exit(1)", "os.kill(os.getpid(), 9)", "sys.exit(0)"])
def test_a_runner_that_crashes_or_simply_ends_stops_all(
    tmp_path: Path, end: str, capsys: pytest.CaptureFixture[str]
) -> None:
    planned = [
        Service("runner", [sys.executable, "-c", f"import os, sys; {end}"], may_refuse=True),
        Service("other", [sys.executable, "-c", "import time; time.sleep(600)"]),
    ]
    assert run_services(planned, root=tmp_path, environment=dict(os.environ), logs=tmp_path / "logs") == 1
    assert "runner ended with exit code" in capsys.readouterr().out


def test_a_refusal_of_anything_else_stops_all(tmp_path: Path) -> None:
    planned = [Service("mlflow", [sys.executable, "-c", REFUSES])]
    assert run_services(planned, root=tmp_path, environment=dict(os.environ), logs=tmp_path / "logs") == 1


def test_only_the_runner_may_refuse(settings: Settings, tmp_path: Path) -> None:
    planned = services(settings, tmp_path, shared=tmp_path, runs_page="")
    assert [service.name for service in planned if service.may_refuse] == ["runner"]


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
        assert f"http://127.0.0.1:{ports['mlflow_port']}/#/experiments/1/runs?workflowType=machine_learning" in seen
        query = "{workspaceOrError{... on Workspace{locationEntries{name locationOrLoadError{__typename}}}}}"
        asked = httpx.post(f"http://127.0.0.1:{ports['dagster_port']}/graphql", json={"query": query}, timeout=60)
        assert asked.json()["data"]["workspaceOrError"]["locationEntries"] == [
            {"name": "ljwx", "locationOrLoadError": {"__typename": "RepositoryLocation"}}
        ]
    finally:
        process.send_signal(signal.SIGINT)
        code = process.wait(timeout=60)
    assert code == 0
    for port in ports.values():
        require_free_port("127.0.0.1", port, "left over")
