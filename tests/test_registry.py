"""What is told arrives, the same bundle is always the same version, and an MLflow that is away says so soon."""

from __future__ import annotations

import os
import shutil
import socket
import sqlite3
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ljwx_pipeline.config import MlflowSettings
from ljwx_pipeline.errors import BundleError, EnvironmentFault, RegistryError
from ljwx_pipeline.registry import ModelVersion, Registry, open_registry
from ljwx_pipeline.scoring.bundle import load_bundle, read_files, verify_files
from ljwx_pipeline.scoring.model import Model
from ljwx_pipeline.scoring.signing import public_key_of
from ljwx_pipeline.tracking import Tracker
from tests.fakes.bundles import FACTOR_HASH, grouped_model, tiny_booster, tiny_bundle
from tests.fakes.mlflow_home import gone_for_good

KEY = Ed25519PrivateKey.from_private_bytes(bytes(32))
PUBLIC = public_key_of(KEY)
SETTINGS = MlflowSettings(tracking_uri="", artifact_root="", experiment="tests", model_name="tiny")


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated database without an experiment: made once, as that takes seconds, and copied for each test."""
    home = tmp_path_factory.mktemp("mlflow-template")
    assert open_registry(SETTINGS, home).champion("tiny") is None
    return home / "mlflow" / "mlflow.db"


@pytest.fixture
def registry(empty_database: Path, tmp_path: Path) -> Registry:
    (tmp_path / "mlflow").mkdir()
    shutil.copyfile(empty_database, tmp_path / "mlflow" / "mlflow.db")
    return open_registry(SETTINGS, tmp_path)


def stored(registry: Registry, run_id: str):  # type: ignore[no-untyped-def]
    """What MLflow itself says about a run."""
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=registry.tracking_uri).get_run(run_id)


def registered(registry: Registry, bundle: Path):  # type: ignore[no-untyped-def]
    return registry.register(bundle, run_id=registry.begin("train"), public_key=PUBLIC)


def test_a_run_keeps_what_was_recorded(registry: Registry, tmp_path: Path) -> None:
    (tmp_path / "plots").mkdir()
    (tmp_path / "plots" / "shap.png").write_bytes(b"png")
    (tmp_path / "report.html").write_text("<html>")
    with Tracker(tmp_path / "tracking", registry).run("research", tags={"profile": "noise", "simulated": True}) as run:
        run.params({"num_leaves": 31, "factors": "x" * 10_000})
        run.metrics({"rank_ic": 0.05, "undefined": float("nan")}, step=2021)
        run.tags({"data_hash": "d" * 64})
        run.artifacts(tmp_path / "plots", "shap")
        run.artifacts(tmp_path / "report.html")
    found = stored(registry, run.run_id)
    assert found.info.status == "FINISHED"
    assert found.info.run_name == "research"
    assert found.data.params["num_leaves"] == "31"
    assert len(found.data.params["factors"]) == 6000
    assert found.data.metrics["rank_ic"] == 0.05
    assert found.data.tags["profile"] == "noise"
    assert found.data.tags["simulated"] == "True"
    assert found.data.tags["data_hash"] == "d" * 64
    kept = tmp_path / "mlflow" / "artifacts" / run.run_id / "artifacts"
    assert (kept / "shap" / "shap.png").is_file()
    assert (kept / "report.html").is_file()


def test_more_entries_than_one_batch_may_hold_all_arrive(registry: Registry) -> None:
    run_id = registry.begin("many")
    registry.log_points(run_id, [(f"m{i}", i, 0, 0) for i in range(1500)], params={f"p{i}": i for i in range(250)})
    found = stored(registry, run_id)
    assert len(found.data.params) == 250
    assert len(found.data.metrics) == 1500


def test_runs_are_counted_with_those_nested_below_them(registry: Registry, tmp_path: Path) -> None:
    with Tracker(tmp_path / "tracking", registry).run("walk_forward") as run, run.child("2021") as fold:
        fold.metrics({"rank_ic": 0.1})
    assert stored(registry, fold.run_id).data.tags["mlflow.parentRunId"] == run.run_id
    assert registry.tracked_runs() == 2
    assert registry.runs_page() == "#/experiments/1/runs?workflowType=machine_learning"


def test_an_artifact_that_does_not_exist_is_named(registry: Registry, tmp_path: Path) -> None:
    run_id = registry.begin("x")
    with pytest.raises(RegistryError, match=r"nothing\.html does not exist"):
        registry.log_artifacts(run_id, tmp_path / "nothing.html")


def test_another_value_for_a_recorded_parameter_is_refused(registry: Registry) -> None:
    run_id = registry.begin("x")
    registry.log_points(run_id, [], params={"seed": 1})
    with pytest.raises(RegistryError, match="refused"):
        registry.log_points(run_id, [], params={"seed": 2})


def test_the_same_bundle_is_always_the_same_version(registry: Registry, tmp_path: Path) -> None:
    bundle, other = tiny_bundle(tmp_path / "b", KEY), tiny_bundle(tmp_path / "b", KEY, data_hash="e" * 64)
    first = registered(registry, bundle)
    again = registered(registry, bundle)
    assert (first.version, first.bundle_hash) == ("1", bundle.name)
    assert again == first
    assert registered(registry, other).version == "2"
    assert registry.version_of("tiny", "0" * 64) is None


def test_a_damaged_or_foreign_bundle_is_never_registered(registry: Registry, tmp_path: Path) -> None:
    bundle = tiny_bundle(tmp_path / "b", KEY)
    run_id = registry.begin("x")
    with pytest.raises(BundleError, match="signed by key"):
        registry.register(bundle, run_id=run_id, public_key="0" * 64)
    (bundle / "model.txt").write_text("damaged")
    with pytest.raises(BundleError, match="damaged"):
        registry.register(bundle, run_id=run_id, public_key=PUBLIC)
    assert registry.version_of("tiny", bundle.name) is None


def test_there_is_no_champion_until_the_alias_is_moved(registry: Registry, tmp_path: Path) -> None:
    assert registry.champion("tiny") is None
    version = registered(registry, tiny_bundle(tmp_path / "b", KEY))
    assert registry.champion("tiny") is None
    registry.set_alias("challenger", version)
    registry.promote(version)
    registry.promote(version)
    assert registry.champion("tiny") == registry.aliased("tiny", "challenger") == version


def test_an_alias_that_is_dropped_points_at_nothing(registry: Registry, tmp_path: Path) -> None:
    version = registered(registry, tiny_bundle(tmp_path / "b", KEY))
    registry.set_alias("challenger", version)
    for _ in range(2):
        registry.drop_alias("challenger", "tiny")
        assert registry.aliased("tiny", "challenger") is None
    registry.drop_alias("champion", "unknown model")


def test_each_model_has_its_own_versions_and_champion(registry: Registry, tmp_path: Path) -> None:
    one = registered(registry, tiny_bundle(tmp_path / "b", KEY, model_name="one"))
    two = registered(registry, tiny_bundle(tmp_path / "b", KEY, model_name="two"))
    registry.promote(two)
    assert (one.version, two.version) == ("1", "1")
    assert (registry.champion("one"), registry.champion("two")) == (None, two)


def test_an_alias_for_a_version_that_does_not_exist_is_refused(registry: Registry, tmp_path: Path) -> None:
    version = registered(registry, tiny_bundle(tmp_path / "b", KEY))
    with pytest.raises(RegistryError, match="refused"):
        registry.promote(replace(version, version="7"))


def test_the_downloaded_bundle_is_the_registered_one_and_replaces_a_damaged_copy(
    registry: Registry, tmp_path: Path
) -> None:
    bundle = tiny_bundle(tmp_path / "b", KEY)
    version = registered(registry, bundle)
    fetched = registry.download_bundle(version, tmp_path / "down")
    (fetched / "model.txt").write_text("damaged")
    fetched = registry.download_bundle(version, tmp_path / "down")
    assert fetched == tmp_path / "down" / bundle.name
    assert read_files(fetched) == read_files(bundle)
    assert sorted(path.name for path in fetched.iterdir()) == sorted(read_files(bundle)), "nothing of MLflow's"
    assert load_bundle(fetched, factor_hash=FACTOR_HASH, public_key=PUBLIC).bundle_hash == bundle.name
    assert list((tmp_path / "down").iterdir()) == [fetched]


@pytest.mark.parametrize("tag", ["", "..", "../elsewhere", "a" * 63, "A" * 64])
def test_a_tag_that_names_no_bundle_fetches_nothing_and_deletes_nothing(
    registry: Registry, tmp_path: Path, tag: str
) -> None:
    version = registered(registry, tiny_bundle(tmp_path / "b", KEY))
    for kept in (tmp_path / "down" / "kept", tmp_path / "elsewhere"):
        kept.mkdir(parents=True)
    registry.tag_version("tiny", "1", "bundle_hash", tag)
    with pytest.raises(BundleError, match=r"the tag bundle_hash of version 1 of tiny is .*, not 64 hexadecimal digits"):
        registry.download_bundle(registry.version("tiny", "1"), tmp_path / "down")
    assert [path.name for path in (tmp_path / "down").iterdir()] == ["kept"]
    assert (tmp_path / "elsewhere").is_dir()
    assert (tmp_path / "b" / version.bundle_hash).is_dir()


def test_files_of_another_bundle_than_the_tag_names_are_refused_and_the_kept_copy_stays(
    registry: Registry, tmp_path: Path
) -> None:
    one, two = (registered(registry, tiny_bundle(tmp_path / "b", KEY, data_hash=digit * 64)) for digit in "ef")
    kept = registry.download_bundle(one, tmp_path / "down")
    registry.tag_version("tiny", two.version, "bundle_hash", one.bundle_hash)
    with pytest.raises(BundleError, match=rf"is {one.bundle_hash[:12]}, its files are bundle {two.bundle_hash[:12]}"):
        registry.download_bundle(registry.version("tiny", two.version), tmp_path / "down")
    assert verify_files(kept, public_key=PUBLIC)[1] == one.bundle_hash


def artifacts_of(registry: Registry, version: ModelVersion) -> Path:
    """Where a local registry keeps the files of a version."""
    return (
        Path(url2pathname(urlsplit(str(registry.artifact_root)).path))
        / version.run_id
        / "artifacts"
        / "bundle"
        / version.bundle_hash
    )


FETCH = """
import resource, sys
from pathlib import Path
from ljwx_pipeline.errors import LjwxError
from ljwx_pipeline.registry import open_registry
from tests.test_registry import SETTINGS

registry, destination = open_registry(SETTINGS, Path(sys.argv[1])), Path(sys.argv[2])
version = registry.version("tiny", "1")
if sys.argv[3] != "0":
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]),) * 2)
try:
    print(registry.download_bundle(version, destination))
except LjwxError as error:
    print(type(error).__name__, error.fact, sorted(path.name for path in destination.iterdir()), sep="|")
"""


def fetched_by_another(home: Path, destination: Path, *, most_bytes: int = 0, before: str = "") -> str:
    command = f'{before} exec {sys.executable} -c "$CODE" {home} {destination} {most_bytes}'
    # no bytecode: what is imported under the limit would leave cut files beside the sources
    root = str(Path(__file__).resolve().parents[1])
    environment = dict(os.environ, CODE=FETCH, PYTHONPATH=root, PYTHONDONTWRITEBYTECODE="1")
    shell = ["unshare", "-rm", "sh", "-c", command] if before else ["sh", "-c", command]
    done = subprocess.run(shell, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_a_limit_on_files_while_a_bundle_is_fetched_is_told_as_what_it_is(registry: Registry, tmp_path: Path) -> None:
    bundle = tiny_bundle(tmp_path / "b", KEY)
    registered(registry, bundle)
    down = tmp_path / "down"
    fact = f"the bundle of version 1 of tiny cannot be written to {down} (File too large)"
    assert fetched_by_another(tmp_path, down, most_bytes=500) == f"EnvironmentFault|{fact}|[]"
    assert fetched_by_another(tmp_path, down) == str(down / bundle.name)


def test_a_full_disk_while_a_bundle_is_fetched_is_told_as_what_it_is(registry: Registry, tmp_path: Path) -> None:
    if shutil.which("unshare") is None or subprocess.run(["unshare", "-rm", "true"], check=False).returncode:
        pytest.skip("no small disk can be mounted here")
    registered(registry, tiny_bundle(tmp_path / "b", KEY))
    down = tmp_path / "down"
    down.mkdir()
    said = fetched_by_another(tmp_path, down, before=f"mount -t tmpfs -o size=4k none {down} &&")
    fact = f"the bundle of version 1 of tiny cannot be written to {down} (No space left on device)"
    assert said == f"EnvironmentFault|{fact}|[]"


def test_a_folder_that_takes_no_bundle_is_told_as_what_it_is(registry: Registry, tmp_path: Path) -> None:
    version = registered(registry, tiny_bundle(tmp_path / "b", KEY))
    (tmp_path / "down").write_text("a file in its place")
    with pytest.raises(EnvironmentFault, match=r"version 1 of tiny cannot be written to .*down \(File exists\)"):
        registry.download_bundle(version, tmp_path / "down")


@pytest.mark.parametrize("name", ["model.txt", "card.md", "manifest.json", "signature.json"])
def test_a_version_that_lost_its_files_says_so_until_the_bundle_is_registered_again(
    registry: Registry, tmp_path: Path, name: str
) -> None:
    bundle = tiny_bundle(tmp_path / "b", KEY)
    version = registered(registry, bundle)
    (artifacts_of(registry, version) / name).unlink()
    with pytest.raises(BundleError, match=rf"version 1 of tiny in the registry is no bundle .*{name}"):
        registry.download_bundle(version, tmp_path / "down")
    assert not (tmp_path / "down" / bundle.name).exists()
    assert registered(registry, bundle) == version
    assert read_files(registry.download_bundle(version, tmp_path / "down")) == read_files(bundle)


def test_a_version_with_a_changed_byte_is_mended_by_registering_the_bundle_again(
    registry: Registry, tmp_path: Path
) -> None:
    bundle = tiny_bundle(tmp_path / "b", KEY)
    version = registered(registry, bundle)
    kept = artifacts_of(registry, version) / "card.md"
    kept.write_bytes(kept.read_bytes().replace(b"tests", b"tasts"))
    with pytest.raises(BundleError, match=r"card\.md is damaged"):
        verify_files(registry.download_bundle(version, tmp_path / "down"), public_key=PUBLIC)
    assert registered(registry, bundle) == version
    assert verify_files(registry.download_bundle(version, tmp_path / "down"), public_key=PUBLIC)[1] == bundle.name


def test_two_bundles_of_one_run_keep_their_own_files(registry: Registry, tmp_path: Path) -> None:
    one, two = tiny_bundle(tmp_path / "b", KEY), tiny_bundle(tmp_path / "b", KEY, data_hash="e" * 64)
    run_id = registry.begin("train")
    versions = [registry.register(bundle, run_id=run_id, public_key=PUBLIC) for bundle in (one, two)]
    for bundle, version in zip((one, two), versions, strict=True):
        assert read_files(registry.download_bundle(version, tmp_path / "down")) == read_files(bundle)


def test_a_version_is_an_mlflow_model_without_a_pickle(registry: Registry, tmp_path: Path) -> None:
    import lightgbm as lgb
    from mlflow import pyfunc

    version = registered(registry, tiny_bundle(tmp_path / "b", KEY))
    folder = artifacts_of(registry, version)
    features = np.random.default_rng(0).standard_normal((5, 4)).astype(np.float32)
    scores = pyfunc.load_model(str(folder)).predict(features)
    assert np.array_equal(scores, lgb.Booster(model_str=tiny_booster()).predict(features))
    assert not [p for p in folder.rglob("*") if p.suffix in {".pkl", ".pickle", ".joblib"}]


def test_a_version_of_many_members_gives_mlflow_the_runner_s_scores(registry: Registry, tmp_path: Path) -> None:
    from mlflow import pyfunc

    bundle = tiny_bundle(tmp_path / "b", KEY, grouped_model())
    version = registered(registry, bundle)
    features = np.random.default_rng(0).standard_normal((9, 4)).astype(np.float32)
    features[2] = np.nan
    groups = np.array([7, 3, -1] * 3, dtype=np.int32)
    served = pyfunc.load_model(str(artifacts_of(registry, version)))
    expected = load_bundle(bundle, factor_hash=FACTOR_HASH, public_key=PUBLIC).predict(features, groups).score
    scores = served.predict({"features": features, "groups": groups})
    assert np.array_equal(scores, expected, equal_nan=True)
    assert np.isnan(scores[2])


def test_a_blend_without_groups_is_served_by_its_features_alone(registry: Registry, tmp_path: Path) -> None:
    from mlflow import pyfunc

    grouped = grouped_model()
    blend = Model(grouped.members[:2], {name: grouped.texts[name] for name in ("all.txt", "all.json")})
    version = registered(registry, tiny_bundle(tmp_path / "b", KEY, blend))
    features = np.random.default_rng(0).standard_normal((9, 4)).astype(np.float32)
    scores = pyfunc.load_model(str(artifacts_of(registry, version))).predict(features)
    assert np.array_equal(scores, blend.predict(features).score)


def test_a_served_bundle_with_a_changed_byte_is_not_opened(registry: Registry, tmp_path: Path) -> None:
    from mlflow import pyfunc

    version = registered(registry, tiny_bundle(tmp_path / "b", KEY, grouped_model()))
    kept = artifacts_of(registry, version) / "all.json"
    kept.write_bytes(kept.read_bytes().replace(b"clip", b"clap"))
    with pytest.raises(BundleError, match=r"all\.json is damaged"):
        pyfunc.load_model(str(artifacts_of(registry, version)))


def test_a_deleted_experiment_is_an_error_with_the_command_that_restores_it(registry: Registry) -> None:
    from mlflow import MlflowClient

    registry.begin("x")
    client = MlflowClient(tracking_uri=registry.tracking_uri)
    client.delete_experiment(client.get_experiment_by_name("tests").experiment_id)
    fresh = Registry(
        tracking_uri=registry.tracking_uri,
        artifact_root=registry.artifact_root,
        experiment="tests",
    )
    with pytest.raises(RegistryError, match="mlflow experiments restore"):
        fresh.tracked_runs()


def test_a_server_that_is_away_is_an_error_within_seconds(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings = MlflowSettings(tracking_uri=f"http://127.0.0.1:{port}", artifact_root="", experiment="x", model_name="m")
    started = time.monotonic()
    with pytest.raises(RegistryError, match="cannot be reached") as caught:
        open_registry(settings, tmp_path).champion("m")
    assert time.monotonic() - started < 10
    assert f"127.0.0.1:{port}" in caught.value.fact
    assert "make up" in caught.value.remedy


def test_a_server_that_answers_nonsense_is_an_error(tmp_path: Path) -> None:
    from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
    from threading import Thread

    class Nonsense(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(404)
            self.end_headers()
            self.wfile.write(b"not here")

        def log_message(self, *args: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Nonsense)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        uri = f"http://127.0.0.1:{server.server_address[1]}"
        settings = MlflowSettings(tracking_uri=uri, artifact_root="", experiment="x", model_name="m")
        with pytest.raises(RegistryError, match="refused"):
            open_registry(settings, tmp_path).tracked_runs()
    finally:
        server.shutdown()
        server.server_close()


def test_a_file_that_is_no_database_is_an_error_and_stays(tmp_path: Path) -> None:
    (tmp_path / "mlflow").mkdir()
    (tmp_path / "mlflow" / "mlflow.db").write_text("not a database, certainly not one of MLflow" * 50)
    with pytest.raises(RegistryError, match="refused"):
        open_registry(SETTINGS, tmp_path).tracked_runs()
    assert (tmp_path / "mlflow" / "mlflow.db").read_text().startswith("not a database")


def test_opening_a_registry_touches_nothing_and_imports_no_mlflow(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from ljwx_pipeline.registry import Registry;"
        f"Registry(tracking_uri='sqlite:///x', artifact_root=Path({str(tmp_path)!r}), experiment='e');"
        "sys.exit('mlflow' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, env={**os.environ}).returncode == 0
    assert list(tmp_path.iterdir()) == []


def test_an_existing_database_is_read_though_nothing_beside_it_can_be_written(
    registry: Registry, tmp_path: Path
) -> None:
    lock = tmp_path / "mlflow" / ".making.lock"  # root may write whatever a folder's mode says, but no lock is a folder
    lock.mkdir()
    assert registry.champion("tiny") is None
    (tmp_path / "mlflow" / "mlflow.db").unlink()
    again = open_registry(SETTINGS, tmp_path)
    with pytest.raises(RegistryError, match=r"mlflow\.db cannot be made \(.*\.making\.lock cannot be opened"):
        again.champion("tiny")
    lock.rmdir()
    assert again.champion("tiny") is None


def test_an_empty_database_file_is_made_whole(tmp_path: Path) -> None:
    (tmp_path / "mlflow").mkdir()
    (tmp_path / "mlflow" / "mlflow.db").touch()
    assert open_registry(SETTINGS, tmp_path).champion("tiny") is None
    assert not (tmp_path / "mlflow" / ".mlflow.db.new").exists()


def test_an_error_of_the_database_is_a_sentence_and_no_traceback(
    registry: Registry, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert registry.champion("tiny") is None
    with sqlite3.connect(tmp_path / "mlflow" / "mlflow.db") as database:
        database.execute("ALTER TABLE registered_models RENAME TO another")
    with pytest.raises(RegistryError, match="no such table"):
        registry.champion("tiny")
    assert "Traceback" not in capsys.readouterr().err


def test_a_version_whose_run_is_gone_for_good_gives_way_to_a_new_one(registry: Registry, tmp_path: Path) -> None:
    bundle = tiny_bundle(tmp_path / "b", KEY)
    first = registered(registry, bundle)
    gone_for_good(registry, first.run_id)
    second = registered(registry, bundle)
    assert (first.version, second.version, second.bundle_hash) == ("1", "2", first.bundle_hash)
    assert registered(registry, bundle) == second == registry.version_of("tiny", bundle.name)
    assert registry.version_tags(first)["ljwx.run_lost"] == first.run_id
    assert verify_files(registry.download_bundle(second, tmp_path / "down"), public_key=PUBLIC)[1] == bundle.name
