"""Where runs and models are recorded: the only module that imports MLflow.

Runs are written in batches; bundles become model versions, the same bundle always the same version;
the alias ``champion`` says which of them trades, and moving it is the last step of a promotion, after every file is in
place. Not here: whether a model deserves it (``promotion/gate.py``), what a bundle is (``scoring/bundle.py``),
what is recorded and who closes a run (``tracking/``).
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import shutil
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, ParamSpec, TypeVar
from urllib.parse import urlsplit

from ljwx_pipeline.config import MlflowSettings, artifact_root, tracking_uri, without_password
from ljwx_pipeline.errors import BundleError, LakeError, RegistryError
from ljwx_pipeline.lake.locking import exclusive
from ljwx_pipeline.scoring.bundle import MANIFEST, Manifest, place_directory, read_files, verify_files
from ljwx_pipeline.scoring.model import Member

P = ParamSpec("P")
T = TypeVar("T")
#: ``champion`` trades; ``challenger`` is being judged by the gate; shadows are scored beside the champion without
#: capital, canaries with a share of it, up to three of a contest.
Alias = Literal["champion", "challenger", "shadow", "shadow-2", "shadow-3", "canary", "canary-2", "canary-3"]
RunStatus = Literal["FINISHED", "FAILED"]
#: One value of a metric: its name, the value, milliseconds since 1970, the step.
Point = tuple[str, float, int, int]
#: MLflow's own tag of the run that another is shown below.
PARENT_TAG = "mlflow.parentRunId"
#: On a model version whose training data the lake tells otherwise by now: what changed.
RESTATED_TAG = "data_restated"
#: On a model version whose run MLflow no longer has: that run's id.
RUN_LOST_TAG = "ljwx.run_lost"

CONNECT_TIMEOUT_S = 3.0
MAKING_TIMEOUT_S = 180.0
BUNDLE_FOLDER = "bundle"
#: What one request may hold, 1000 entries in all.
_BATCH = {"metrics": 800, "params": 100, "tags": 100}
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
_BUNDLE_HASH = re.compile(r"[0-9a-f]{64}")
#: The last one prints the traceback of every error of the database, all of which ``_ask`` tells in one sentence.
_LOG_LEVELS = {"mlflow": logging.WARNING, "alembic": logging.WARNING, "mlflow.store.db.utils": logging.CRITICAL}


@dataclass(frozen=True)
class ModelVersion:
    """A registered bundle: the model's name and version, the run that made it and its bundle hash."""

    name: str
    version: str
    run_id: str
    bundle_hash: str


@dataclass(frozen=True)
class FoundRun:
    """A run that was found again, and whether somebody deleted it in MLflow."""

    run_id: str
    deleted: bool


@dataclass(frozen=True)
class TrackedView:
    """What MLflow holds of a run; moments in milliseconds since 1970, the last value of each metric."""

    run_id: str
    name: str
    kind: str
    status: str
    started_ms: int
    ended_ms: int | None
    params: dict[str, str]
    metrics: dict[str, float]
    tags: dict[str, str]
    inputs: list[dict[str, str]]

    @property
    def ended_at(self) -> datetime | None:
        """When the run ended, in UTC; None while it is under way."""
        return None if self.ended_ms is None else datetime.fromtimestamp(self.ended_ms / 1000, tz=UTC)

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain values."""
        return asdict(self)


class Registry:
    """One MLflow experiment and the registered models beside it.

    Nothing is contacted before the first call.

    Parameters
    ----------
    tracking_uri
        ``sqlite:///path``, another database, or ``http(s)://host:port`` of a server.
    artifact_root
        URL that artifacts are kept below, or a local directory; None: what a server has for itself.
    experiment
        Name in MLflow, made on first use.
    require_root
        Whether an experiment that keeps its artifacts elsewhere is refused.
    """

    def __init__(
        self, *, tracking_uri: str, artifact_root: str | Path | None, experiment: str, require_root: bool = False
    ) -> None:
        self.tracking_uri = tracking_uri
        self.require_root = require_root
        self.artifact_root = artifact_root.absolute().as_uri() if isinstance(artifact_root, Path) else artifact_root
        self.experiment = experiment
        self._connected: Any = None
        self._experiment_id: str | None = None

    def begin(self, name: str, *, tags: Mapping[str, Any] | None = None, started_ms: int | None = None) -> str:
        """Open a run, now or as of ``started_ms`` (milliseconds since 1970), and return its id; ``end`` closes it."""
        made = self._ask(
            self._client().create_run,
            self._experiment(),
            start_time=started_ms,
            run_name=name,
            tags=_texts(tags or {}, _MAX_TAG),
        )
        return str(made.info.run_id)

    def end(self, run_id: str, status: RunStatus, *, ended_ms: int | None = None) -> None:
        """Close a run, now or as of ``ended_ms`` (milliseconds since 1970)."""
        self._ask(self._client().set_terminated, run_id, status=status, end_time=ended_ms)

    def reopen(self, run_id: str) -> None:
        """Let a run that had ended go on."""
        self._ask(self._client().update_run, run_id, status="RUNNING")

    def find(self, tag: str, value: str) -> FoundRun | None:
        """Return the run whose ``tag`` is ``value``, the oldest of several; a deleted one too, as such."""
        from mlflow.entities import ViewType  # heavy: only when something is recorded

        found = self._ask(
            self._client().search_runs,
            [self._experiment()],
            f"tags.`{tag}` = '{value}'",
            run_view_type=ViewType.ALL,
            order_by=["attributes.start_time ASC"],
            max_results=2,
        )
        if not found:
            return None
        return FoundRun(str(found[0].info.run_id), found[0].info.lifecycle_stage == "deleted")

    def is_deleted(self, run_id: str) -> bool:
        """Return whether somebody deleted the run in MLflow."""
        return bool(self._ask(self._client().get_run, run_id).info.lifecycle_stage == "deleted")

    def knows(self, run_id: str) -> bool:
        """Return whether MLflow has the run, deleted or not: its database may have been lost, or cleaned for good."""
        try:
            self._ask(self._client().get_run, run_id)
        except RegistryError as error:
            if getattr(error.__cause__, "error_code", None) == "RESOURCE_DOES_NOT_EXIST":
                return False
            raise
        return True

    def database_id(self) -> str:
        """Return what a database made anew would not have: the experiment's id and when it was made, milliseconds."""
        found = self._ask(self._client().get_experiment, self._experiment())
        return f"{found.experiment_id} {found.creation_time}"

    def answers(self) -> bool:
        """Return whether MLflow answers at all: what it then refuses, it refuses for a reason of its own."""
        try:
            self._ask(self._client().search_experiments, max_results=1)
        except RegistryError:
            return False
        return True

    def log_points(
        self,
        run_id: str,
        points: Sequence[Point],
        *,
        params: Mapping[str, Any] | None = None,
        tags: Mapping[str, Any] | None = None,
    ) -> None:
        """Record points, parameters and tags in as few requests as MLflow's limits allow; twice changes nothing."""
        from mlflow.entities import Metric, Param, RunTag  # heavy: only when something is recorded

        entries: dict[str, list[Any]] = {
            "metrics": [Metric(*point) for point in points],
            "params": [Param(k, v) for k, v in _texts(params or {}, _MAX_PARAM).items()],
            "tags": [RunTag(k, v) for k, v in _texts(tags or {}, _MAX_TAG).items()],
        }
        client = self._client()
        for part in range(max(-(-len(entries[kind]) // size) for kind, size in _BATCH.items())):
            batch = {kind: entries[kind][part * size : (part + 1) * size] for kind, size in _BATCH.items()}
            self._ask(client.log_batch, run_id, **batch)

    def log_inputs(self, run_id: str, datasets: Sequence[Mapping[str, str]]) -> None:
        """Record what a run read: name, digest, source_type, source, schema, profile and context of each dataset."""
        from mlflow.entities import Dataset, DatasetInput, InputTag  # heavy: only when something is recorded

        given = [
            DatasetInput(
                Dataset(**{name: value for name, value in one.items() if name != "context"}),
                [InputTag("mlflow.data.context", one["context"])],
            )
            for one in datasets
        ]
        self._ask(self._client().log_inputs, run_id, datasets=given)

    def log_artifacts(self, run_id: str, source: Path, folder: str | None = None) -> None:
        """Copy a file, or the content of a directory, below ``folder`` of the run's artifacts."""
        if not source.exists():
            raise RegistryError(f"artifact {source} does not exist", "write it before recording it")
        client = self._client()
        record = client.log_artifacts if source.is_dir() else client.log_artifact
        self._ask(record, run_id, str(source), folder)

    def views(
        self, *, kind: str | None = None, market: str | None = None, parent: str | None = None, limit: int
    ) -> list[TrackedView]:
        """Return runs of one kind, of one market, or below one run, the newest first; ``limit`` at most."""
        asked = {"kind": kind, "market": market, PARENT_TAG: parent}
        return self._views([f"tags.`{tag}` = '{value}'" for tag, value in asked.items() if value is not None], limit)

    def views_beginning(self, digits: str) -> list[TrackedView]:
        """Return the runs whose id begins with ``digits``, two at most."""
        return self._views([f"attributes.run_id LIKE '{digits}%'"], 2)

    def _views(self, conditions: list[str], limit: int) -> list[TrackedView]:
        found = self._ask(
            self._client().search_runs,
            [self._experiment()],
            " and ".join(conditions),
            order_by=["attributes.start_time DESC"],
            max_results=limit,
        )
        return [
            TrackedView(
                run_id=str(run.info.run_id),
                name=str(run.info.run_name),
                kind=str(run.data.tags.get("kind", "")),
                status=str(run.info.status),
                started_ms=int(run.info.start_time),
                ended_ms=run.info.end_time,
                params=dict(run.data.params),
                metrics=dict(run.data.metrics),
                tags=dict(run.data.tags),
                inputs=[
                    {"name": str(one.dataset.name), "digest": str(one.dataset.digest)}
                    for one in (run.inputs.dataset_inputs if run.inputs else ())
                ],
            )
            for run in found
        ]

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

    def register(
        self, bundle: Path, *, run_id: str, public_key: str, tags: Mapping[str, Any] | None = None
    ) -> ModelVersion:
        """Record an intact signed bundle as a version of the model its manifest names.

        The same bundle hash gives the version it already has, whose files are put back should they be lost or damaged.
        A version whose run MLflow no longer has is tagged ``ljwx.run_lost``, and the bundle gets a new one.
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
        if known is not None and not self.knows(known.run_id):
            self.tag_version(known.name, known.version, RUN_LOST_TAG, known.run_id)
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
        """Return the version of model ``name`` that holds this bundle, the oldest of several, or None.

        One that is tagged as without its run is none.
        """
        client = self._client()
        query = f"name = '{name}' and tags.bundle_hash = '{bundle_hash}'"
        items = self._ask(client.search_model_versions, query)
        found = [self._version(item) for item in items if RUN_LOST_TAG not in item.tags]
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

    def describe_version(self, name: str, version: str, text: str) -> None:
        """Set what MLflow's page shows as the description of a version, in Markdown; doing it again renews it."""
        self._ask(self._client().update_model_version, name, version, description=text)

    def version_description(self, name: str, version: str) -> str:
        """Return the description of a version, in Markdown; empty where there is none."""
        return str(self._ask(self._client().get_model_version, name, version).description or "")

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

        The hash is that of the fetched manifest. An existing directory is replaced, so that a damaged earlier copy does
        not stay. Loading verifies it.

        Raises
        ------
        BundleError
            When a file that the manifest lists is not there in its size, the bundle is of another format, or the
            version's tag names no bundle or another one.
        RegistryError
            When MLflow cannot be reached.
        """
        from mlflow.artifacts import download_artifacts  # heavy: only when a bundle is fetched

        named = f"version {version.version} of {version.name}"
        if not _BUNDLE_HASH.fullmatch(version.bundle_hash):
            raise BundleError(
                f"the tag bundle_hash of {named} is {version.bundle_hash[:80]!r}, not 64 hexadecimal digits",
                "set the tag to the name of the folder that holds the version's files",
            )
        source = self._ask(self._client().get_model_version_download_uri, version.name, version.version)
        destination.mkdir(parents=True, exist_ok=True)
        again = "run the research job again: it registers the bundle anew, or one in its place"
        with tempfile.TemporaryDirectory(dir=destination, prefix=".download-") as folder:
            fetched = Path(self._ask(download_artifacts, source, dst_path=folder, tracking_uri=self.tracking_uri))
            try:
                files = read_files(fetched)
            except BundleError as error:
                raise BundleError(f"{named} in the registry is no bundle ({error.fact})", again) from None
            found = hashlib.sha256(files[MANIFEST]).hexdigest()
            if found != version.bundle_hash:
                raise BundleError(
                    f"the tag bundle_hash of {named} is {version.bundle_hash[:12]}, its files are bundle {found[:12]}",
                    "set the tag back if somebody edited it, or run the research job again",
                )
            staged = place_directory(Path(folder) / "bundle-files", files)
            final = destination / found
            if final.exists():
                shutil.rmtree(final)
            staged.rename(final)
        return final

    def require_reachable(self) -> None:
        """Raise ``RegistryError`` when the server takes no connection; a file or a socket is not looked at."""
        _probe(self.tracking_uri)

    def recorded_run(self, run_id: str) -> TrackedView | None:
        """Return what was recorded of a run; None when the experiment holds none of this id."""
        found = self._views([f"attributes.run_id = '{run_id}'"], 1)
        return found[0] if found else None

    def researches_of(self, version: ModelVersion) -> list[TrackedView]:
        """Return the runs that made the bundle of ``version`` and were not deleted: its own first, then the newest.

        Another made it when a run below it, of kind promotion, decided on the same bundle hash.
        """
        decided = self.decisions_on(version)
        run_ids = dict.fromkeys([version.run_id, *(one.tags[PARENT_TAG] for one in decided if PARENT_TAG in one.tags)])
        return [run for run_id in run_ids if (run := self.recorded_run(run_id)) is not None]

    def decisions_on(self, version: ModelVersion) -> list[TrackedView]:
        """Return the runs of kind promotion that decided on the bundle of ``version``, the newest first, 20 at most."""
        if not _BUNDLE_HASH.fullmatch(version.bundle_hash):
            return []
        return self._views(["tags.kind = 'promotion'", f"tags.bundle_hash = '{version.bundle_hash}'"], 20)

    def artifact_text(self, run_id: str, path: str) -> str | None:
        """Return the text of one artifact of a run; None when the run recorded none at ``path``."""
        content = self.artifact_bytes(run_id, path)
        return None if content is None else content.decode("utf-8")

    def artifact_bytes(self, run_id: str, path: str) -> bytes | None:
        """Return one artifact of a run; None when the run recorded none at ``path``."""
        from mlflow.artifacts import download_artifacts  # heavy: only when an artifact is fetched

        folder, _, _ = path.rpartition("/")
        listed = self._ask(self._client().list_artifacts, run_id, folder or None)
        if path not in {item.path for item in listed}:
            return None
        with tempfile.TemporaryDirectory(prefix="ljwx-artifact-") as staged:
            fetched = self._ask(
                download_artifacts, run_id=run_id, artifact_path=path, dst_path=staged, tracking_uri=self.tracking_uri
            )
            return Path(fetched).read_bytes()

    def versions(self, name: str) -> list[ModelVersion]:
        """Return every version of model ``name``, the newest first; none where there is no such model."""
        found = self._ask(self._client().search_model_versions, f"name = '{name}'")
        return sorted((self._version(item) for item in found), key=lambda item: -int(item.version))

    def aliases(self, name: str) -> dict[str, str]:
        """Return the version that each alias of model ``name`` points at."""
        models = self._ask(self._client().search_registered_models, f"name = '{name}'")
        return {str(alias): str(number) for alias, number in models[0].aliases.items()} if models else {}

    def version_tags(self, version: ModelVersion) -> dict[str, str]:
        """Return the tags of one version."""
        return dict(self._ask(self._client().get_model_version, version.name, version.version).tags)

    def _client(self) -> Any:
        if self._connected is None:
            _probe(self.tracking_uri)
            for name, value in _ENVIRONMENT.items():
                os.environ.setdefault(name, value)
            from mlflow import MlflowClient  # heavy (seconds, 200 MB): only when something is recorded

            for name, level in _LOG_LEVELS.items():
                logging.getLogger(name).setLevel(level)
            if self.tracking_uri.startswith("sqlite:///"):
                self._make_database(Path(self.tracking_uri.removeprefix("sqlite:///")))
            self._connected = self._ask(MlflowClient, tracking_uri=self.tracking_uri, registry_uri=self.tracking_uri)
        return self._connected

    def _make_database(self, database: Path) -> None:
        """Make MLflow's SQLite file whole or not at all, one process at a time; an existing one is left alone.

        MLflow's migrations poison a file for good when two processes run them at once, or one is killed between two.
        """
        from mlflow import MlflowClient  # heavy: only when something is recorded

        if self._ask(_is_made, database):
            return  # no lock, which a folder that may only be read would refuse
        with _making(database):
            if _is_made(database):
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
                made = self._ask(client.create_experiment, self.experiment, artifact_location=self.artifact_root)
                self._experiment_id = str(made)
            elif found.lifecycle_stage != "active":
                raise RegistryError(
                    f"experiment {self.experiment!r} was deleted",
                    f"run: mlflow experiments restore --experiment-id {found.experiment_id}, or set mlflow.experiment",
                )
            else:
                self._refuse_another_root(str(found.artifact_location))
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

    def _refuse_another_root(self, kept: str) -> None:
        """Refuse a place that the experiment does not use: MLflow fixes it when the experiment is made."""
        wanted = (self.artifact_root or "").rstrip("/")
        if self.require_root and not f"{kept}/".startswith(f"{wanted}/"):
            raise RegistryError(
                f"experiment {self.experiment!r} keeps its artifacts below {kept}, not below mlflow.artifact_root "
                f"{wanted}",
                "set mlflow.experiment to a new name, or mlflow.artifact_root back",
            )

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

        known: tuple[type[Exception], ...] = (MlflowException, SQLAlchemyError, CommandError, OSError)
        try:
            return call(*args, **kwargs)
        except (*known, *_object_store_errors()) as error:
            raise self._refused(error) from error
        except ImportError as error:
            raise RegistryError(
                f"MLflow at {without_password(self.tracking_uri)} needs a package that is not installed ({error})",
                "for postgresql+psycopg2:// install psycopg2-binary, for s3:// boto3, beside the pipeline",
            ) from error

    def _refused(self, error: Exception) -> RegistryError:
        first_line = (str(error).strip() or type(error).__name__).splitlines()[0]
        return RegistryError(
            f"MLflow at {without_password(self.tracking_uri)} refused ({first_line[:300]})",
            _REMEDY,
        )


def open_registry(settings: MlflowSettings, home: Path) -> Registry:
    """Return the registry of ``settings``; without a tracking URI it lives in ``home/mlflow``."""
    # a server keeps artifacts where it was told to, unless the settings say another place
    own = _is_server(settings.tracking_uri) and not settings.artifact_root
    root = None if own else artifact_root(settings, home)
    return Registry(
        tracking_uri=tracking_uri(settings, home.absolute()),
        artifact_root=root,
        experiment=settings.experiment,
        require_root=bool(settings.artifact_root),
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


@contextmanager
def _making(database: Path) -> Iterator[None]:
    """Let one process at a time make ``database``."""
    with ExitStack() as held:
        try:
            held.enter_context(exclusive(database.with_name(".making.lock"), timeout_s=MAKING_TIMEOUT_S))
        except LakeError as error:
            raise RegistryError(f"MLflow's database {database} cannot be made ({error.fact})", error.remedy) from error
        yield


def _is_made(database: Path) -> bool:
    return database.exists() and database.stat().st_size > 0


def _is_server(uri: str) -> bool:
    return urlsplit(uri).scheme in ("http", "https")


def _object_store_errors() -> tuple[type[Exception], ...]:
    """Return what an object store's client raises; nothing where none was loaded."""
    bases = {"botocore.exceptions": ("BotoCoreError", "ClientError"), "boto3.exceptions": ("Boto3Error",)}
    return tuple(getattr(sys.modules[name], base) for name in bases if name in sys.modules for base in bases[name])


def _probe(uri: str) -> None:
    """Refuse a server that does not even take a connection, before MLflow's client begins to retry."""
    parts = urlsplit(uri)
    port_by_scheme = {"http": 80, "https": 443, "postgresql": 5432, "mysql": 3306}
    scheme = parts.scheme.partition("+")[0]
    if scheme not in port_by_scheme or (parts.hostname is None and not _is_server(uri)):
        return  # a file, or a socket in the file system
    try:
        port = parts.port or port_by_scheme[scheme]
        socket.create_connection((parts.hostname or "", port), timeout=CONNECT_TIMEOUT_S).close()
    except (OSError, ValueError) as error:
        raise RegistryError(
            f"MLflow at {without_password(uri)} cannot be reached ({error})",
            _REMEDY,
        ) from None
