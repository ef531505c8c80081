from __future__ import annotations

import socket
import sys
from datetime import UTC, date, datetime, time
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ljwx_pipeline.cli import main
from ljwx_pipeline.config import load_settings, market_home, registered_model
from ljwx_pipeline.doctor import PROVIDER_PACKAGES, Finding, examine, findings_table
from ljwx_pipeline.failures import KEPT, Failure, last_failures, record_failure
from ljwx_pipeline.market.calendar import last_known_session, sessions_between
from ljwx_pipeline.scoring.signing import public_key_of
from ljwx_pipeline.tracking import ChampionRecord, open_tracker, unsent_events
from tests.fakes.bundles import tiny_bundle
from tests.fakes.mlflow_home import registry_in

ROOT = Path(__file__).resolve().parent.parent
#: Nothing listens there, and to hear so takes no time.
NOBODY = "127.0.0.1:9"
HERE = {"tushare.endpoint": f"http://{NOBODY}", "akshare.endpoint": f"http://{NOBODY}", "baostock.host": "127.0.0.1"}


def finding(profile: str, name: str, overrides: dict[str, str] | None = None) -> Finding:
    given = {**HERE, **(overrides or {})}
    return {found.name: found for found in examine(profile=profile, overrides=given, root=ROOT)}[name]


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LJWX_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("LJWX_CONFIG", str(ROOT / "ljwx.toml"))


def test_a_checkout_with_everything_installed_is_well() -> None:
    findings = examine(profile=None, overrides={}, root=ROOT)
    assert [finding for finding in findings if not finding.ok and not finding.only_warns] == []
    assert "all is well" in findings_table(findings)


def test_looking_makes_nothing(tmp_path: Path) -> None:
    examine(profile=None, overrides={}, root=ROOT)
    assert not (tmp_path / "home").exists()


def test_each_market_is_shown_its_own_dagster_instance() -> None:
    facts = {profile: finding(profile, "dagster instance").fact for profile in ("simulated", "noise")}
    assert all(f"/markets/{profile}-" in fact and "(not made yet)" in fact for profile, fact in facts.items())


def test_a_broken_configuration_is_named_with_its_remedy() -> None:
    findings = examine(profile=None, overrides={"gate.min_sharp": 1}, root=ROOT)
    assert not findings[-1].ok
    assert "unknown key gate.min_sharp" in findings[-1].fact
    assert "->" in findings_table(findings)


def test_the_catalogue_is_opened_and_one_that_cannot_be_is_told(tmp_path: Path) -> None:
    assert finding("simulated", "factors").fact.startswith("158 of catalogue alpha158, version ")
    broken = tmp_path / "mine.py"
    broken.write_text("FACTORS = []\n")
    for named, fact in [("alpha159", "there is no catalogue 'alpha159'"), (str(broken), "FACTORS is empty")]:
        told = finding("simulated", "factors", {"factors.catalogue": named})
        assert not told.ok
        assert fact in told.fact
        assert told.remedy


def test_a_folder_that_is_no_checkout_is_told(tmp_path: Path) -> None:
    found = {finding.name: finding for finding in examine(profile=None, overrides={}, root=tmp_path)}
    assert not found["checkout"].ok


def test_the_last_failures_of_commands_are_shown_newest_first(tmp_path: Path) -> None:
    assert finding("simulated", "last failures").fact == "none of a command is recorded"
    for number in range(KEPT + 5):
        failure = Failure(f"at {number}", "tushare", "ingest", f"the provider is away: {number}")
        record_failure(tmp_path / "home", failure)
    with (tmp_path / "home" / "logs" / "failures.jsonl").open("a") as file:
        file.write("{damaged\n")
    shown = finding("simulated", "last failures").fact.split(" | ")
    assert [line.split()[1] for line in shown] == [str(KEPT + 4), str(KEPT + 3), str(KEPT + 2)]
    assert shown[0].endswith(f"ingest of tushare: the provider is away: {KEPT + 4}")
    assert len(last_failures(tmp_path / "home", 1000)) == KEPT


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


@pytest.mark.parametrize(("profile", "fails"), [("simulated", False), ("folder", False), ("tushare", True)])
def test_a_short_calendar_fails_only_where_sessions_are_still_to_come(
    profile: str, fails: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ljwx_pipeline.doctor.sessions_ahead", lambda _day: 59)
    found = finding(profile, "calendar")
    assert (found.ok, found.only_warns) == (False, not fails)
    assert f"{sys.executable} -m pip install --upgrade exchange-calendars" in found.remedy
    assert f"while there is none newer, the line runs on until {last_known_session()}" in found.remedy
    assert "59 sessions" in found.fact
    table = findings_table([found])
    assert table.startswith("BAD" if fails else "warn")
    assert ("all is well" in table) is not fails
    monkeypatch.setattr("ljwx_pipeline.doctor.sessions_ahead", lambda _day: 60)
    assert finding(profile, "calendar").ok


def test_a_warning_alone_leaves_the_exit_code(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr("ljwx_pipeline.doctor.sessions_ahead", lambda _day: 0)
    assert main(["doctor"]) == 0
    assert main(["doctor", "--set", "mlflow.tracking_uri=nonsense"]) == 1


@pytest.mark.parametrize("profile", ["akshare", "baostock"])
def test_the_package_of_a_provider_is_looked_for(profile: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert finding(profile, profile).ok
    monkeypatch.setitem(PROVIDER_PACKAGES, profile, "no-such-package")
    missing = finding(profile, "no-such-package")
    assert (missing.ok, missing.fact, missing.remedy) == (False, "not installed", "make providers")


def test_a_token_is_found_and_never_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TUSHARE_TOKEN", raising=False)
    absent = finding("tushare", "token")
    assert not absent.ok
    assert "TUSHARE_TOKEN" in absent.fact
    monkeypatch.setenv("TUSHARE_TOKEN", "s3cret")
    found = examine(profile="tushare", overrides=HERE, root=ROOT)
    assert "s3cret" not in findings_table(found)
    assert finding("tushare", "token").ok
    (tmp_path / "token").write_text("s3cret")
    (tmp_path / "token").chmod(0o644)
    readable = finding("tushare", "token", {"tushare.token_file": str(tmp_path / "token")})
    assert (readable.ok, "chmod 600" in readable.remedy) == (False, True)


@pytest.mark.parametrize(
    ("profile", "address"),
    [
        ("tushare", {"tushare.endpoint": "http://127.0.0.1:{port}"}),
        ("akshare", {"akshare.endpoint": "http://127.0.0.1:{port}"}),
        ("baostock", {"baostock.host": "127.0.0.1", "baostock.port": "{port}"}),
    ],
)
def test_the_server_of_a_provider_is_connected_to(profile: str, address: dict[str, str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        given = {key: value.format(port=port) for key, value in address.items()}
        reached = finding(profile, "endpoint", given)
        assert (reached.ok, str(port) in reached.fact) == (True, True)
    silent = finding(profile, "endpoint", given)
    assert not silent.ok
    assert f"{profile}." in silent.remedy


def test_a_proxy_stands_for_the_server_behind_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "")
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setenv("https_proxy", f"http://user:s3cret@127.0.0.1:{server.getsockname()[1]}")
        found = finding("tushare", "endpoint", {"tushare.endpoint": "https://provider.invalid"})
    assert found.ok
    assert "through the proxy 127.0.0.1" in found.fact
    assert "s3cret" not in found.fact


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


@pytest.mark.parametrize(("last", "ok"), [("today", True), ("2099-12-31", True), ("2020-12-31", False)])
def test_a_provider_whose_last_session_is_near_is_warned_of(last: str, ok: bool) -> None:
    found = finding("tushare", "last session", {"source.last_session": last})
    assert found.ok is ok
    assert ok or found.only_warns
    assert ok or "set source.last_session to today" in found.remedy


def test_sixty_sessions_before_a_fixed_last_session_nothing_is_warned_of(monkeypatch: pytest.MonkeyPatch) -> None:
    sessions = sessions_between(date(2020, 1, 1), date(2020, 6, 30))
    monkeypatch.setattr("ljwx_pipeline.doctor.utc_now", lambda: datetime.combine(sessions[0], time(10), UTC))
    for ahead, ok in ((60, True), (59, False)):
        found = finding("baostock", "last session", {"source.last_session": f"{sessions[ahead]:%F}"})
        assert found.ok is ok
        assert f"{ahead} known sessions ahead" in found.fact


@pytest.mark.parametrize("profile", ["tushare", "akshare", "baostock"])
def test_the_profile_of_a_provider_has_no_end(profile: str) -> None:
    assert finding(profile, "last session").fact.startswith("open: ")


def test_runs_that_mlflow_does_not_have_are_counted(tmp_path: Path) -> None:
    assert finding("simulated", "tracking").fact == "MLflow has everything"
    away = load_settings(profile="simulated", overrides={"mlflow.tracking_uri": f"http://{NOBODY}"})
    with open_tracker(away).run("x"):
        pass
    told = finding("simulated", "tracking")
    assert (told.ok, told.only_warns, told.remedy) == (False, True, "ljwx tracking flush")
    assert "1 runs are kept beside the market" in told.fact
    (journal,) = (market_home(away) / "tracking" / "open").glob("*.jsonl")
    journal.write_bytes(journal.read_bytes().replace(b'"do"', b"do", 1))
    assert unsent_events(away) == [journal.stem], "what cannot be read was not sent"
    told = finding("simulated", "tracking")
    assert (told.ok, told.only_warns) == (False, False)
    assert f"line 1 of {journal} is damaged" in told.fact
    assert "move the file away" in told.remedy


def test_a_champion_that_the_line_did_not_promote_is_to_mend(tmp_path: Path) -> None:
    settings = load_settings(profile="simulated")
    model, record = registered_model(settings), ChampionRecord(market_home(settings) / "tracking")
    assert finding("simulated", "champion").fact == "none was promoted yet"
    registry = registry_in(tmp_path / "home")
    key = Ed25519PrivateKey.from_private_bytes(bytes(32))
    run_id = registry.begin("x")
    for digit, decision in (("a", "promoted"), ("b", "refused")):
        bundle = tiny_bundle(tmp_path / "bundles", key, data_hash=digit * 64, model_name=model)
        version = registry.register(bundle, run_id=run_id, public_key=public_key_of(key))
        record.decided(model, version.version, version.bundle_hash, decision=decision, reasons=[])
    registry.promote(registry.version(model, "1"))
    record.moved(model, "1", registry.version(model, "1").bundle_hash)
    assert finding("simulated", "champion").fact == f"version 1 of {model}, promoted by the line"
    registry.promote(registry.version(model, "2"))
    told = finding("simulated", "champion")
    assert not told.ok
    assert not told.only_warns
    assert "the gate's decision on it was refused" in told.fact
    assert "was moved by hand from version 1 to version 2" in told.fact
    assert record.last_by_hand(model) is None, "the doctor writes nothing"
    assert record.audit(registry, model) is not None
    registry.promote(registry.version(model, "1"))
    told = finding("simulated", "champion")
    assert (told.ok, told.only_warns) == (False, True)
    record.audit(registry, model)
    assert finding("simulated", "champion").ok
    registry.drop_alias("champion", model)
    record.moved(model, None, "")
    assert finding("simulated", "champion").fact.startswith("none: version 1 was taken off at 20")
