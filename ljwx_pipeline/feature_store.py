"""Feast behind one small client: the only module that imports it.

Training reads the feature table directly; Feast serves the last session's rows and answers, on a sample of rows, the
same point-in-time question, which must give the same bits. The objects themselves (entity, view, service) are defined
in ``feature_repo/``. Not here: the table and the comparison with it (``feature_table.py``).
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import shutil
import sqlite3
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from ljwx_pipeline.clock import SystemClock
from ljwx_pipeline.errors import LakeError
from ljwx_pipeline.feature_table import ParityReport, compare, sample_questions, session_close

#: What ``feature_repo`` reads to find the market's folder and the catalogue whose features it declares.
HOME_VARIABLE, CATALOGUE_VARIABLE = "LJWX_MARKET_HOME", "LJWX_CATALOGUE"


@dataclass(frozen=True)
class AppliedRepository:
    """What ``apply`` left in the registry."""

    project: str
    feature_views: tuple[str, ...]
    feature_service: str
    features: tuple[str, ...]


@dataclass(frozen=True)
class Materialized:
    """What ``materialize_online`` wrote: rows (one a symbol) and how many of their values are missing."""

    session: date
    rows: int
    missing_values: int


@dataclass(frozen=True)
class _Definitions:
    objects: tuple[Any, ...]
    service: Any
    view: Any

    @property
    def features(self) -> tuple[str, ...]:
        return tuple(field.name for field in self.view.features)


class FeatureStoreClient:
    """The line's view of Feast.

    Parameters
    ----------
    repo_dir
        The Feast repository: ``feature_store.yaml`` and ``definitions.py``, with one feature service over one view.
    home
        Folder of one market: the registry, the online store and the feature table lie under it.
    catalogue
        Name or file of the factor catalogue (``factors/catalogues.py``).
    """

    def __init__(self, repo_dir: Path, home: Path, *, catalogue: str = "alpha158") -> None:
        self._repo_dir = repo_dir.absolute()
        self._environ = {HOME_VARIABLE: str(home.absolute()), CATALOGUE_VARIABLE: catalogue}

    @property
    def feature_service(self) -> str:
        """Name of the service: the catalogue's name and the beginning of its version hash."""
        return str(self._definitions.service.name)

    @property
    def features(self) -> tuple[str, ...]:
        """Feature names in the view's order."""
        return self._definitions.features

    @property
    def feature_table(self) -> Path:
        """The Parquet file that the view reads."""
        return Path(self._definitions.view.batch_source.path)

    def apply(self) -> AppliedRepository:
        """Bring the registry and the online store's tables to what the repository declares; safe to repeat.

        Services of earlier catalogue versions are removed, as ``feast apply`` does. The registry file is replaced in
        one step, so that a process killed half-way leaves the earlier one.

        Raises
        ------
        LakeError
            When the registry file is damaged.
        """
        target = self._registry_path
        target.parent.mkdir(parents=True, exist_ok=True)
        draft = target.with_name(f".{target.name}.{os.getpid()}")
        try:
            if target.is_file():
                shutil.copyfile(target, draft)
            config = self._load_config()
            config.registry.path = str(draft)
            store = self._open(config, target)
            declared = self._definitions
            obsolete = [s for s in store.list_feature_services() if s.name != declared.service.name]
            with self._explained():
                store.apply(list(declared.objects), objects_to_delete=obsolete, partial=False)
            draft.replace(target)
        finally:
            draft.unlink(missing_ok=True)
        self.__dict__.pop("_store", None)
        return AppliedRepository(
            project=str(self._config.project),
            feature_views=(str(declared.view.name),),
            feature_service=self.feature_service,
            features=self.features,
        )

    def materialize_online(self, session: date) -> Materialized:
        """Write one session's rows of the feature table into the online store; repeating it changes nothing.

        Raises
        ------
        LakeError
            When the table is missing or holds no row, or no value at all, of that session.
        """
        instant = session_close(pd.Series([pd.Timestamp(session)])).iloc[0]
        table = self._require_table()
        rows = pq.read_table(table, filters=[("event_timestamp", "==", instant)]).to_pandas()
        if rows.empty:
            raise LakeError(f"{table} holds no row of session {session}", "materialise the feature table first")
        missing = int(rows[list(self.features)].isna().to_numpy().sum())
        if missing == len(rows) * len(self.features):
            raise LakeError(f"every feature of session {session} is missing", "choose a session past the warm-up")
        with self._explained():
            self._store.write_to_online_store(self._definitions.view.name, rows)
        return Materialized(session=session, rows=len(rows), missing_values=missing)

    def online(self, symbols: Sequence[str], session: date) -> pd.DataFrame:
        """Return the online features of ``symbols``, one row each in the order asked.

        Columns ``symbol``, ``session_date``, ``event_timestamp``, ``missing_count`` and the features as float32; a
        missing value is NaN, counted in ``missing_count``, and never zero.

        Raises
        ------
        LakeError
            When a symbol has no row in the online store, or its row is of another session than ``session``.
        """
        names = list(self.features)
        with self._explained():
            service = self._store.get_feature_service(self.feature_service)
            answer = self._store.get_online_features(service, [{"symbol": symbol} for symbol in symbols])
        found = answer.to_df(include_event_timestamps=True)
        seconds = found[f"{names[0]}__ts"].to_numpy(dtype=np.int64)
        want = session_close(pd.Series([pd.Timestamp(session)])).iloc[0]
        for symbol, second in zip(symbols, seconds, strict=True):
            if second == 0:
                remedy = f"materialise session {session}, or leave the symbol out"
                raise LakeError(f"{symbol} has no row in the online store", remedy)
            if second != want.timestamp():
                at = pd.Timestamp(second, unit="s", tz="UTC")
                raise LakeError(f"online features of {symbol} are of {at}, not of {want}", f"materialise {session}")
        values = found[names].astype(np.float32)
        keys = pd.DataFrame(
            {
                "symbol": list(symbols),
                "session_date": pd.Timestamp(session),
                "event_timestamp": want,
                "missing_count": values.isna().sum(axis=1).to_numpy(dtype=np.int64),
            }
        )
        return pd.concat([keys, values.reset_index(drop=True)], axis=1)

    def point_in_time_check(self, *, rows: int, seed: int) -> ParityReport:
        """Ask Feast for a sample of the feature table as of given instants and compare every bit.

        Parameters
        ----------
        rows
            Sample size; the whole table if it is smaller.
        seed
            Of the sample.
        """
        clock = SystemClock()
        started = clock.monotonic_s()
        names, view = list(self.features), self._definitions.view
        sample = sample_questions(self._require_table(), names, rows=rows, seed=seed, time_to_live=view.ttl)
        with self._explained():
            service = self._store.get_feature_service(self.feature_service)
            answer = self._store.get_historical_features(entity_df=sample.questions, features=service).to_df()
        ordered = answer.set_index("sample_id").reindex(sample.questions["sample_id"])
        values = ordered[names].to_numpy(dtype=np.float32)
        return compare(sample, values, names, seconds=clock.monotonic_s() - started)

    @property
    def _registry_path(self) -> Path:
        return Path(self._config.registry.path)

    @cached_property
    def _config(self) -> Any:
        return self._load_config()

    def _load_config(self) -> Any:
        config_file = self._repo_dir / "feature_store.yaml"
        if not config_file.is_file():
            raise LakeError(f"{self._repo_dir} holds no feature_store.yaml", "point at the Feast repository's folder")
        _import_feast()
        from feast.repo_config import load_repo_config

        with _environment(**self._environ):
            return load_repo_config(self._repo_dir, config_file)

    @cached_property
    def _definitions(self) -> _Definitions:
        feast = _import_feast()
        spec = importlib.util.spec_from_file_location(
            f"feast_definitions_{id(self)}", self._repo_dir / "definitions.py"
        )
        if spec is None or spec.loader is None:
            raise LakeError(f"{self._repo_dir} holds no definitions.py", "point at the Feast repository's folder")
        module = importlib.util.module_from_spec(spec)
        with _environment(**self._environ):
            spec.loader.exec_module(module)
        found = list(vars(module).values())
        kinds = (feast.Entity, feast.FileSource, feast.FeatureView, feast.FeatureService)
        objects = tuple(item for kind in kinds for item in found if isinstance(item, kind))
        views = [item for item in objects if isinstance(item, feast.FeatureView)]
        services = [item for item in objects if isinstance(item, feast.FeatureService)]
        if len(views) != 1 or len(services) != 1:
            fact = f"{self._repo_dir} declares {len(views)} feature views and {len(services)} feature services"
            raise LakeError(fact, "declare one of each")
        return _Definitions(objects=objects, service=services[0], view=views[0])

    @cached_property
    def _store(self) -> Any:
        if not self._registry_path.is_file():
            raise LakeError(f"{self._registry_path} does not exist", "run `feast apply`, or materialise the store")
        return self._open(self._config, self._registry_path)

    def _open(self, config: Any, registry: Path) -> Any:
        from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

        try:
            store = _import_feast().FeatureStore(config=config)
            store.refresh_registry()  # read the file now: Feast would fail at the first question instead
            return store
        except DecodeError as error:
            fact = f"the Feast registry {registry} is damaged ({error})"
            raise LakeError(fact, "delete the file and apply again: it is derived from feature_repo") from None

    def _require_table(self) -> Path:
        if not self.feature_table.is_file():
            raise LakeError(f"the feature table {self.feature_table} does not exist", "materialise it first")
        return self.feature_table

    @contextmanager
    def _explained(self) -> Iterator[None]:
        from feast.errors import FeastObjectNotFoundException

        try:
            yield
        except FeastObjectNotFoundException as error:
            raise LakeError(f"the Feast registry is of another version ({error})", "apply the repository") from None
        except sqlite3.DatabaseError as error:
            fact = f"the online store {self._config.online_store.path} cannot be used ({error})"
            raise LakeError(fact, "delete the file, apply and materialise again") from None


def _import_feast() -> ModuleType:
    """Import feast without its side effects on this process.

    It sets ``PROMETHEUS_MULTIPROC_DIR`` before it imports prometheus_client, which switches every metric of the
    process to files, and resets the warning filters. It takes seconds, so only who needs it pays.
    """
    with _environment(), warnings.catch_warnings():
        importlib.import_module("prometheus_client")  # first: now its metrics are in-process ones for good
        import feast
    return feast


@contextmanager
def _environment(**changes: str) -> Iterator[None]:
    """Run a block with environment variables changed, and leave the environment as it was."""
    before = dict(os.environ)
    os.environ.update(changes)
    try:
        yield
    finally:
        for name in os.environ.keys() - before.keys():
            del os.environ[name]
        os.environ.update(before)
