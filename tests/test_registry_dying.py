"""Whatever dies while a bundle is registered, no version is without its files, and doing it again completes it."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ljwx_pipeline.config import MlflowSettings
from ljwx_pipeline.errors import RegistryError
from ljwx_pipeline.registry import ModelVersion, Registry, open_registry
from ljwx_pipeline.scoring.bundle import read_files, verify_files
from ljwx_pipeline.scoring.signing import public_key_of
from tests.fakes.bundles import grouped_model, tiny_bundle
from tests.fakes.dying_registry import SETTINGS, register_and_die, register_challenger, watched
from tests.fakes.mlflow_home import registry_in

pytestmark = [pytest.mark.slow]

KEY = Ed25519PrivateKey.from_private_bytes(bytes(32))
PUBLIC = public_key_of(KEY)
START_TIMEOUT_S = 120.0


def whole_versions(registry: Registry, folder: Path) -> list[ModelVersion]:
    """Return every version of the model as MLflow itself lists them, each proved to be whole."""
    from mlflow import MlflowClient

    found = MlflowClient(registry.tracking_uri, registry.tracking_uri).search_model_versions("name = 'tiny'")
    versions = [registry.version("tiny", str(item.version)) for item in found]
    for version in versions:
        _, bundle_hash = verify_files(registry.download_bundle(version, folder), public_key=PUBLIC)
        assert bundle_hash == version.bundle_hash
    return versions


def test_a_kill_at_any_call_leaves_no_half_registered_model(tmp_path: Path) -> None:
    bundle = tiny_bundle(tmp_path / "b", KEY, grouped_model())
    template = tmp_path / "template"
    assert registry_in(template).champion("tiny") is None
    forked, survived, died_at = multiprocessing.get_context("forkserver"), False, 0
    forked.set_forkserver_preload(["tests.fakes.dying_registry"])
    while not survived:
        died_at += 1
        home = tmp_path / str(died_at)
        shutil.copytree(template, home)
        process = forked.Process(target=register_and_die, args=(home, bundle, PUBLIC, died_at))
        process.start()
        process.join(timeout=120)
        survived = process.exitcode == 0
        assert survived or process.exitcode == -signal.SIGKILL
        registry = open_registry(SETTINGS, home)
        left = whole_versions(registry, home / "down")
        assert registry.aliased("tiny", "challenger") in (None, *left)
        assert registry.champion("tiny") is None
        done = register_challenger(registry, bundle, PUBLIC)
        assert whole_versions(registry, home / "down") == [done]
        assert left in ([], [done]), "what was registered before the kill is what is registered after it"
        assert registry.aliased("tiny", "challenger") == done
        assert read_files(registry.download_bundle(done, home / "down")) == read_files(bundle)
    assert died_at > 8, "the kill came before each of the calls"


@dataclass
class Server:
    """MLflow's own server over a database and a folder of artifacts, on loopback."""

    home: Path
    port: int
    process: subprocess.Popen[bytes] = field(init=False)

    @property
    def settings(self) -> MlflowSettings:
        return SETTINGS.model_copy(update={"tracking_uri": f"http://127.0.0.1:{self.port}"})

    def start(self) -> None:
        command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(self.port)]
        command += ["--workers", "1", "--backend-store-uri", f"sqlite:///{self.home / 'mlflow' / 'mlflow.db'}"]
        command += ["--artifacts-destination", str(self.home / "artifacts")]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        environment = {
            **os.environ,
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # as under `ljwx up`
        }
        self.process = subprocess.Popen(command, start_new_session=True, env=environment, **quiet)
        until = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < until:
            assert self.process.poll() is None, "the server ended"
            try:
                with urllib.request.urlopen(f"{self.settings.tracking_uri}/health", timeout=2) as answer:
                    if answer.status == 200:
                        return
            except OSError:
                time.sleep(0.2)
        msg = f"the server did not answer within {START_TIMEOUT_S:.0f} s"
        raise AssertionError(msg)

    def kill(self) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(timeout=30)


@contextmanager
def serving(home: Path) -> Iterator[Server]:
    registry_in(home)  # an empty database: the server need not migrate one first
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = Server(home, port)
    server.start()
    try:
        yield server
    finally:
        server.kill()


def test_a_server_killed_between_the_steps_is_made_up_for_by_the_next_run(tmp_path: Path) -> None:
    steps = ("log_artifacts", "create_model_version", "set_registered_model_alias")
    bundles = [tiny_bundle(tmp_path / "b", KEY, data_hash=step[0] * 64) for step in steps]
    expected: list[str] = []
    with serving(tmp_path / "mlflow") as server:
        for step, bundle in zip(steps, bundles, strict=True):

            def kill_before(name: str, at: str = step) -> None:
                if name == at:
                    server.kill()

            with pytest.raises(RegistryError) as caught:
                register_challenger(watched(server.settings, tmp_path, kill_before), bundle, PUBLIC)
            assert caught.value.remedy
            server.start()
            registry = open_registry(server.settings, tmp_path)
            there = [version.bundle_hash for version in whole_versions(registry, tmp_path / "down")]
            registered_before_it_died = step == "set_registered_model_alias"
            assert set(there) == {*expected, *([bundle.name] if registered_before_it_died else [])}
            done = register_challenger(registry, bundle, PUBLIC)
            expected.append(bundle.name)
            versions = {version.bundle_hash for version in whole_versions(registry, tmp_path / "down")}
            assert versions == set(expected)
            assert registry.aliased("tiny", "challenger") == done
        assert [registry.version("tiny", str(n + 1)).bundle_hash for n in range(len(expected))] == expected
