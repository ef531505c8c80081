from __future__ import annotations

import socket
from pathlib import Path

import pytest

from ljwx_pipeline.doctor import examine, findings_table

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LJWX_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("LJWX_CONFIG", str(ROOT / "ljwx.toml"))


def test_a_checkout_with_everything_installed_is_well() -> None:
    findings = examine(profile=None, overrides={}, root=ROOT)
    assert [finding for finding in findings if not finding.ok] == []
    assert "all is well" in findings_table(findings)


def test_looking_makes_nothing(tmp_path: Path) -> None:
    examine(profile=None, overrides={}, root=ROOT)
    assert not (tmp_path / "home").exists()


def test_a_broken_configuration_is_named_with_its_remedy() -> None:
    findings = examine(profile=None, overrides={"gate.min_sharp": 1}, root=ROOT)
    assert not findings[-1].ok
    assert "unknown key gate.min_sharp" in findings[-1].fact
    assert "->" in findings_table(findings)


def test_a_folder_that_is_no_checkout_is_told(tmp_path: Path) -> None:
    found = {finding.name: finding for finding in examine(profile=None, overrides={}, root=tmp_path)}
    assert not found["checkout"].ok


def test_a_missing_data_folder_is_told() -> None:
    found = {f.name: f for f in examine(profile="folder", overrides={"folder.data": "no/such/file.parquet"}, root=ROOT)}
    assert not found["source"].ok
    assert "no/such/file.parquet" in found["source"].fact


def test_files_that_are_there_are_counted(tmp_path: Path) -> None:
    for name in ("a.csv", "b.csv"):
        (tmp_path / name).write_text("x\n")
    given = {"folder.data": str(tmp_path)}
    found = {f.name: f for f in examine(profile="folder", overrides=given, root=ROOT)}
    assert (found["source"].ok, found["source"].fact) == (False, "folder.index_data names no file")
    given["folder.index_data"] = [str(tmp_path / "a.csv")]
    found = {f.name: f for f in examine(profile="folder", overrides=given, root=ROOT)}
    assert found["source"].ok
    assert found["source"].fact == f"files of bars at {tmp_path}: 2; files of index bars: 1"


def test_files_beside_a_profile_that_reads_none_are_told() -> None:
    findings = examine(profile=None, overrides={"folder.data": "bars.csv"}, root=ROOT)
    assert (findings[-1].name, findings[-1].remedy) == ("configuration", "add --profile folder")


@pytest.mark.parametrize("profile", ["tushare", "akshare", "baostock"])
def test_a_provider_without_adapter_is_told_as_a_run_tells_it(profile: str) -> None:
    found = {f.name: f for f in examine(profile=profile, overrides={}, root=ROOT)}
    assert not found["source"].ok
    assert "--profile folder" in found["source"].remedy


def test_an_unreachable_tracking_server_is_told_with_its_address() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    found = {
        f.name: f
        for f in examine(profile=None, overrides={"mlflow.tracking_uri": f"http://127.0.0.1:{port}"}, root=ROOT)
    }
    assert not found["mlflow"].ok
    assert str(port) in found["mlflow"].fact


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("http://no-such-host.invalid:5000", "no-such-host.invalid"),
        ("postgresql+psycopg2://user:secret@127.0.0.1:9/mlflow", "user:***@127.0.0.1:9"),
        ("http://127.0.0.1:port", "names no host and port"),
        ("nonsense", "names no host and port"),
    ],
)
def test_a_wrong_tracking_address_is_told_and_no_password_shown(address: str, said: str) -> None:
    found = {f.name: f for f in examine(profile=None, overrides={"mlflow.tracking_uri": address}, root=ROOT)}
    assert not found["mlflow"].ok
    assert said in found["mlflow"].fact
    assert "secret" not in findings_table(list(found.values()))
