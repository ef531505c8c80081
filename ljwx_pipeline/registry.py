"""Where runs and models are recorded: the only module that imports MLflow.

Runs are written in batches and always closed; bundles become model versions, the same bundle always the same version;
the alias ``champion`` says which of them trades, and moving it is the last step of a promotion, after every file is in
place. Not here: whether a model deserves it (``promotion/gate.py``), what a bundle is (``scoring/bundle.py``).
"""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import socket
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, ParamSpec, TypeVar
from urllib.parse import urlsplit

from ljwx_pipeline.clock import utc_now
from ljwx_pipeline.config import MlflowSettings
from ljwx_pipeline.errors import BundleError, RegistryError
from ljwx_pipeline.lake.locking import exclusive
from ljwx_pipeline.scoring.bundle import Manifest, place_directory, read_files, verify_files
from ljwx_pipeline.scoring.model import Member

P = ParamSpec("P")
T = TypeVar("T")
Alias = Literal["champion", "challenger"]
RunStatus = Literal["FINISHED", "FAILED"]

CONNECT_TIMEOUT_S = 3.0
MAKING_TIMEOUT_S = 180.0
BUNDLE_FOLDER = "bundle"
_BATCH = {"metrics": 1000, "params": 100, "tags": 100}
_MAX_PARAM = 6000
_MAX_TAG = 8000
#: MLflow's own defaults retry for minutes; a person at a terminal should know within seconds. Set only where unset.
_ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
}
_REMEDY = "start it with `make up`, or mend mlflow.tracking_uri; an empty one uses a local database"
_NOISY_LOGGERS = ("mlflow", "alembic")


@dataclass(frozen=True)
class ModelVersion:
    """A registered bundle: the model's name and version, the run that made it and its bundle hash."""

    name: str
    version: str
    run_id: str
    bundle_hash: str


class TrackedRun:
    """An open run; obtained from ``Registry.run`` and closed by leaving its ``with`` block."""

    def __init__(self, registry: Registry, run_id: str) -> None:
        self._registry = registry
        self.run_id = run_id

    def params(self, values: Mapping[str, Any]) -> None:
        """Record parameters; MLflow refuses another value for a name already there."""
        self._registry.log(self.run_id, params=values)

    def metrics(self, values: Mapping[str, float], *, step: int = 0) -> None:
        """Record numbers at ``step`` in one batch; NaN is kept as NaN."""
        self._registry.log(self.run_id, metrics=values, step=step)

    def tags(self, values: Mapping[str, Any]) -> None:
        """Record or overwrite tags."""
        self._registry.log(self.run_id, tags=values)

    def artifacts(self, source: Path, folder: str | None = None) -> None:
        """Copy a file, or the content of a directory, below ``folder`` of the run's artifacts."""
        self._registry.log_artifacts(self.run_id, source, folder)

    def child(self, name: str, tags: Mapping[str, Any] | None = None) -> contextlib.AbstractContextManager[TrackedRun]:
        """Open a run nested in this one: a fold, a trial."""
        return self._registry.run(name, tags=tags, parent=self)


class Registry:
    """One MLflow experiment and the registered models beside it.

    Nothing is contacted before the first call.

    Parameters
    ----------
    tracking_uri
        ``sqlite:///path``, another database, or ``http(s)://host:port`` of a server.
    artifact_root
        Local directory of artifacts; a server keeps its own and ignores it.
    experiment
        Name in MLflow, made on first use.
    """

    def __init__(self, *, tracking_uri: str, artifact_root: Path, experiment: str) -> None:
        self.tracking_uri = tracking_uri
        self.artifact_root = artifact_root
        self.experiment = experiment
        self._connected: Any = None
        self._experiment_id: str | None = None

    @contextlib.contextmanager
    def run(
        self, name: str, *, tags: Mapping[str, Any] | None = None, parent: TrackedRun | None = None
    ) -> Iterator[TrackedRun]:
        """Open a run; it ends FINISHED, or FAILED when the block raises (an interrupt too)."""
        run_id = self.begin(name, tags=tags, parent=parent)
        status: RunStatus = "FAILED"
        try:
            yield TrackedRun(self, run_id)
            status = "FINISHED"
        finally:
            self.end(run_id, status)

    def begin(self, name: str, *, tags: Mapping[str, Any] | None = None, parent: TrackedRun | None = None) -> str:
        """Open a run beyond a ``with`` block and return its id; ``end`` or ``close_abandoned_runs`` closes it."""
        from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID  # heavy: only when something is recorded

        known = {"ljwx.host": socket.gethostname(), "ljwx.pid": str(os.getpid()), **(tags or {})}
        if parent is not None:
            known[MLFLOW_PARENT_RUN_ID] = parent.run_id
        made = self._ask(self._client().create_run, self._experiment(), run_name=name, tags=_texts(known, _MAX_TAG))
        return str(made.info.run_id)

    def end(self, run_id: str, status: RunStatus) -> None:
        """Close a run."""
        self._ask(self._client().set_terminated, run_id, status=status)

    def log(
        self,
        run_id: str,
        *,
        metrics: Mapping[str, float] | None = None,
        params: Mapping[str, Any] | None = None,
        tags: Mapping[str, Any] | None = None,
        step: int = 0,
    ) -> None:
        """Record metrics, parameters and tags of a run in as few requests as MLflow's limits allow."""
        from mlflow.entities import Metric, Param, RunTag  # heavy: only when something is recorded

        now_ms = int(utc_now().timestamp() * 1000)
        batches: dict[str, list[Any]] = {
            "metrics": [Metric(k, float(v), now_ms, step) for k, v in (metrics or {}).items()],
            "params": [Param(k, v) for k, v in _texts(params or {}, _MAX_PARAM).items()],
            "tags": [RunTag(k, v) for k, v in _texts(tags or {}, _MAX_TAG).items()],
        }
        client = self._client()
        for kind, entries in batches.items():
            for start in range(0, len(entries), _BATCH[kind]):
                self._ask(client.log_batch, run_id, **{kind: entries[start : start + _BATCH[kind]]})

    def log_artifacts(self, run_id: str, source: Path, folder: str | None = None) -> None:
        """Copy a file, or the content of a directory, below ``folder`` of the run's artifacts."""
        if not source.exists():
            raise RegistryError(f"artifact {source} does not exist", "write it before recording it")
        client = self._client()
        record = client.log_artifacts if source.is_dir() else client.log_artifact
        self._ask(record, run_id, str(source), folder)

    def tracked_runs(self) -> int:
        """Return how many runs the experiment holds, nested ones too."""
        client, count, token = self._client(), 0, None
        while True:
            page = self._ask(client.search_runs, [self._experiment()], max_results=1000, page_token=token)
            count, token = count + len(page), page.token
            if not token:
                return count

    def runs_page(self) -> str:
        """Return the part of the server's address that shows the experiment's runs.

        MLflow's page opens on what it offers for language models until an address says ``machine_learning``.
        """
        return f"#/experiments/{self._experiment()}/runs?workflowType=machine_learning"

    def close_abandoned_runs(self) -> int:
        """Mark FAILED every run left RUNNING by a process of this machine that no longer lives; return how many.

        A context manager cannot close a run when its process is killed; the tags of host and process id can.
        """
        client, closed = self._client(), 0
        running = self._ask(client.search_runs, [self._experiment()], "attributes.status = 'RUNNING'", max_results=1000)
        for run in running:
            tags = run.data.tags
            if tags.get("ljwx.host") == socket.gethostname() and not _alive(int(tags.get("ljwx.pid", "0"))):
                self._ask(client.set_terminated, run.info.run_id, status="FAILED")
                closed += 1
        return closed

    def register(
        self, bundle: Path, *, run_id: str, public_key: str, tags: Mapping[str, Any] | None = None
    ) -> ModelVersion:
        """Record an intact signed bundle as a version of the model its manifest names.

        The same bundle hash gives the version it already has, whose files are put back should they be lost or damaged.
        Files come first, below the bundle's own hash, and the version with its tags last and at once: whatever dies
        in between, no version is without its files, and doing it again completes it.

        The version's files are the bundle and an ``MLmodel``, so that ``mlflow models serve`` and
        ``mlflow.pyfunc.load_model`` work on it: of MLflow's LightGBM flavour for a model of one booster, through
        ``scoring/mlflow_loader.py`` for any other. Nothing is pickled.

        Raises
        ------
        BundleError
            When the bundle is damaged or not signed by ``public_key``.
        RegistryError
            When MLflow cannot be reached or refuses.
        """
        manifest, bundle_hash = verify_files(bundle, public_key=public_key)
        known = self.version_of(manifest.model_name, bundle_hash)
        if known is not None and self._is_whole(known, manifest, public_key):
            return known
        client = self._client()
        holder = run_id if known is None else known.run_id
        with tempfile.TemporaryDirectory(prefix="ljwx-register-") as folder:
            staged = place_directory(Path(folder) / bundle_hash, read_files(bundle))
            _write_mlmodel(staged, manifest, run_id=holder)
            self.log_artifacts(holder, staged, _folder_of(bundle_hash))
        if known is not None:
            return known
        self._ensure_model(manifest.model_name)
        source = f"{self._ask(client.get_run, run_id).info.artifact_uri}/{_folder_of(bundle_hash)}"
        about = {**(tags or {}), "bundle_hash": bundle_hash, "factor_hash": manifest.factor_hash}
        made = self._ask(client.create_model_version, manifest.model_name, source, run_id, tags=_texts(about, _MAX_TAG))
        return self._version(made)

    def version_of(self, name: str, bundle_hash: str) -> ModelVersion | None:
        """Return the version of model ``name`` that holds this bundle, the oldest of several, or None."""
        client = self._client()
        query = f"name = '{name}' and tags.bundle_hash = '{bundle_hash}'"
        found = [self._version(item) for item in self._ask(client.search_model_versions, query)]
        return min(found, key=lambda version: int(version.version)) if found else None

    def version(self, name: str, number: str) -> ModelVersion:
        """Return one version of model ``name``."""
        return self._version(self._ask(self._client().get_model_version, name, number))

    def set_alias(self, alias: Alias, version: ModelVersion) -> None:
        """Point ``alias`` of the model at ``version``; doing it again changes nothing."""
        self._ask(self._client().set_registered_model_alias, version.name, alias, version.version)

    def tag_version(self, name: str, version: str, tag: str, value: str) -> None:
        """Tag a version of model ``name``; doing it again renews the value."""
        self._ask(self._client().set_model_version_tag, name, version, tag, value)

    def drop_alias(self, alias: Alias, name: str) -> None:
        """Take ``alias`` off the model ``name``; without one nothing changes."""
        if self.aliased(name, alias) is not None:
            self._ask(self._client().delete_registered_model_alias, name, alias)

    def promote(self, version: ModelVersion) -> None:
        """Make ``version`` the champion: the one step that lets the sensor see it, so it comes last."""
        self.set_alias("champion", version)

    def champion(self, name: str) -> ModelVersion | None:
        """Return the version of model ``name`` that trades, or None."""
        return self.aliased(name, "champion")

    def aliased(self, name: str, alias: Alias) -> ModelVersion | None:
        """Return the version of model ``name`` that ``alias`` points at, or None."""
        models = self._ask(self._client().search_registered_models, f"name = '{name}'")
        number = models[0].aliases.get(alias) if models else None
        return None if number is None else self.version(name, str(number))

    def download_bundle(self, version: ModelVersion, destination: Path) -> Path:
        """Write the bundle of ``version`` as ``destination/<bundle_hash>`` and return that directory.

        An existing directory is replaced, so that a damaged earlier copy does not stay. Loading verifies it.

        Raises
        ------
        BundleError
            When a file that the manifest lists is not there in its size, or the bundle is of another format.
        RegistryError
            When MLflow cannot be reached.
        """
        from mlflow.artifacts import download_artifacts  # heavy: only when a bundle is fetched

        source = self._ask(self._client().get_model_version_download_uri, version.name, version.version)
        destination.mkdir(parents=True, exist_ok=True)
        again = "run the research job again: it registers the bundle anew, or one in its place"
        with tempfile.TemporaryDirectory(dir=destination, prefix=".download-") as folder:
            fetched = Path(self._ask(download_artifacts, source, dst_path=folder, tracking_uri=self.tracking_uri))
            try:
                staged = place_directory(Path(folder) / "bundle-files", read_files(fetched))
            except BundleError as error:
                fact = f"version {version.version} of {version.name} in the registry is no bundle ({error.fact})"
                raise BundleError(fact, again) from None
            final = destination / version.bundle_hash
            if final.exists():
                shutil.rmtree(final)
            staged.rename(final)
        return final

    def _client(self) -> Any:
        if self._connected is None:
            _probe(self.tracking_uri)
            for name, value in _ENVIRONMENT.items():
                os.environ.setdefault(name, value)
            from mlflow import MlflowClient  # heavy (seconds, 200 MB): only when something is recorded

            for name in _NOISY_LOGGERS:
                logging.getLogger(name).setLevel(logging.WARNING)
            if self.tracking_uri.startswith("sqlite:///"):
                self._make_database(Path(self.tracking_uri.removeprefix("sqlite:///")))
            self._connected = self._ask(MlflowClient, tracking_uri=self.tracking_uri, registry_uri=self.tracking_uri)
        return self._connected

    def _make_database(self, database: Path) -> None:
        """Make MLflow's SQLite file whole or not at all, one process at a time; an existing one is left alone.

        MLflow's migrations poison a file for good when two processes run them at once, or one is killed between two.
        """
        from mlflow import MlflowClient  # heavy: only when something is recorded

        with exclusive(database.with_name(".making.lock"), timeout_s=MAKING_TIMEOUT_S):
            if database.exists():
                return
            draft = database.with_name(f".{database.name}.new")
            draft.unlink(missing_ok=True)
            address = f"sqlite:///{draft}"
            made = self._ask(MlflowClient, tracking_uri=address, registry_uri=address)
            self._ask(made.search_experiments)
            self._ask(made.search_registered_models)
            draft.replace(database)

    def _experiment(self) -> str:
        if self._experiment_id is None:
            client = self._client()
            found = self._ask(client.get_experiment_by_name, self.experiment)
            if found is None:
                root = None if _is_server(self.tracking_uri) else self.artifact_root.absolute().as_uri()
                self._experiment_id = str(self._ask(client.create_experiment, self.experiment, artifact_location=root))
            elif found.lifecycle_stage != "active":
                raise RegistryError(
                    f"experiment {self.experiment!r} was deleted",
                    f"run: mlflow experiments restore --experiment-id {found.experiment_id}, or set mlflow.experiment",
                )
            else:
                self._experiment_id = str(found.experiment_id)
        return self._experiment_id

    def _is_whole(self, version: ModelVersion, manifest: Manifest, public_key: str) -> bool:
        """Return whether the version's files are all there, byte for byte."""
        place = _folder_of(version.bundle_hash)
        listed = self._ask(self._client().list_artifacts, version.run_id, place)
        if not {f"{place}/{name}" for name in (*manifest.file_names, "MLmodel")} <= {item.path for item in listed}:
            return False
        with tempfile.TemporaryDirectory(prefix="ljwx-registered-") as folder:
            try:
                verify_files(self.download_bundle(version, Path(folder)), public_key=public_key)
            except BundleError:
                return False
        return True

    def _ensure_model(self, name: str) -> None:
        client = self._client()
        if not self._ask(client.search_registered_models, f"name = '{name}'"):
            self._ask(client.create_registered_model, name)

    def _version(self, item: Any) -> ModelVersion:
        return ModelVersion(str(item.name), str(item.version), str(item.run_id), str(item.tags.get("bundle_hash", "")))

    def _ask(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call MLflow; whatever it or its transport raises becomes a RegistryError."""
        from alembic.util import CommandError
        from mlflow.exceptions import MlflowException  # heavy: only when the registry is asked
        from sqlalchemy.exc import SQLAlchemyError

        try:
            return call(*args, **kwargs)
        except (MlflowException, SQLAlchemyError, CommandError, OSError) as error:
            raise self._refused(error) from error

    def _refused(self, error: Exception) -> RegistryError:
        first_line = (str(error).strip() or type(error).__name__).splitlines()[0]
        return RegistryError(
            f"MLflow at {self.tracking_uri} refused ({first_line[:300]})",
            _REMEDY,
        )


def open_registry(settings: MlflowSettings, home: Path) -> Registry:
    """Return the registry of ``settings``; without a tracking URI it lives in ``home/mlflow``."""
    folder = home.absolute() / "mlflow"
    return Registry(
        tracking_uri=settings.tracking_uri or f"sqlite:///{folder / 'mlflow.db'}",
        artifact_root=folder / "artifacts",
        experiment=settings.experiment,
    )


def _folder_of(bundle_hash: str) -> str:
    """Return where a bundle lies among its run's artifacts: one run may come to register several."""
    return f"{BUNDLE_FOLDER}/{bundle_hash}"


def _write_mlmodel(folder: Path, manifest: Manifest, *, run_id: str) -> None:
    # heavy: only when a model is registered
    import lightgbm
    import numpy as np
    from mlflow import pyfunc
    from mlflow.models import Model
    from mlflow.models.signature import ModelSignature
    from mlflow.types import Schema, TensorSpec

    from ljwx_pipeline.scoring import mlflow_loader

    grouped = any(member.group is not None for member in manifest.members)
    shape, name = (-1, len(manifest.factor_names)), mlflow_loader.FEATURES if grouped else None
    inputs: list[Any] = [TensorSpec(np.dtype(np.float32), shape, name)]
    if grouped:
        inputs.append(TensorSpec(np.dtype(np.int32), (-1,), mlflow_loader.GROUPS))
    outputs: list[Any] = [TensorSpec(np.dtype(np.float64), (-1,))]
    signature = ModelSignature(inputs=Schema(inputs), outputs=Schema(outputs))
    model = Model(run_id=run_id, signature=signature)
    (folder / "requirements.txt").write_text(f"lightgbm=={lightgbm.__version__}\n", encoding="utf-8")
    if manifest.members == (Member(manifest.members[0].file),):
        data = manifest.members[0].file
        pyfunc.add_to_model(model, loader_module="mlflow.lightgbm", data=data)
        model.add_flavor(
            "lightgbm", lgb_version=lightgbm.__version__, data=data, model_class="lightgbm.basic.Booster", code=None
        )
    else:
        pyfunc.add_to_model(model, loader_module=mlflow_loader.__name__)
    model.save(str(folder / "MLmodel"))


def _texts(values: Mapping[str, Any], limit: int) -> dict[str, str]:
    return {name: str(value)[:limit] for name, value in values.items()}


def _is_server(uri: str) -> bool:
    return urlsplit(uri).scheme in ("http", "https")


def _probe(uri: str) -> None:
    """Refuse a server that does not even take a connection, before MLflow's client begins to retry."""
    if not _is_server(uri):
        return
    try:
        parts = urlsplit(uri)
        port = parts.port or (443 if parts.scheme == "https" else 80)
        socket.create_connection((parts.hostname or "", port), timeout=CONNECT_TIMEOUT_S).close()
    except (OSError, ValueError) as error:
        raise RegistryError(
            f"MLflow at {uri} cannot be reached ({error})",
            _REMEDY,
        ) from None


def _alive(pid: int) -> bool:
    if pid <= 0:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True  # somebody else's, but alive
    return True
