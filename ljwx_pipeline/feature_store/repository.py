"""A Feast repository on disk: its configuration, its definitions, its registry, and importing Feast cleanly.

Not here: what is asked of the store (``client.py``).
"""

from __future__ import annotations

import importlib
import os
import shutil
import sqlite3
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Any

from ljwx_pipeline.errors import LakeError
from ljwx_pipeline.feature_store.packed import version_of

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
class Definitions:
    """What the repository declares: one feature service over one view, and all objects in the order Feast wants."""

    objects: tuple[Any, ...]
    service: Any
    view: Any

    @cached_property
    def features(self) -> tuple[str, ...]:
        """Feature names in the view's order."""
        return tuple(field.name for field in self.view.features)

    @property
    def names(self) -> frozenset[str]:
        """Names of all objects."""
        return frozenset(str(item.name) for item in self.objects)

    @property
    def time_to_live(self) -> timedelta | None:
        """How long after its instant a row is valid; None for ever, which Feast also writes as zero."""
        return self.view.ttl or None

    @cached_property
    def version(self) -> str:
        """The version of the view's packed online rows."""
        return version_of(str(self.view.tags.get("catalogue_hash", "")), self.features)


class FeastRepository:
    """The repository and the market's folder it stands for.

    Parameters
    ----------
    repo_dir
        The Feast repository: ``feature_store.yaml`` and ``definitions.py``, with one feature service over one view.
    home
        Folder of one market: the registry, the online store and the feature table lie under it.
    catalogue
        Name or file of the factor catalogue (``factors/catalogues.py``).
    """

    def __init__(self, repo_dir: Path, home: Path, catalogue: str) -> None:
        self._repo_dir = repo_dir.absolute()
        self._environ = {HOME_VARIABLE: str(home.absolute()), CATALOGUE_VARIABLE: catalogue}

    @property
    def registry_path(self) -> Path:
        """The registry's file."""
        return Path(self.config.registry.path)

    @property
    def online_path(self) -> Path:
        """The online store's file."""
        return Path(self.config.online_store.path)

    @cached_property
    def config(self) -> Any:
        """Feast's own reading of ``feature_store.yaml``."""
        return self._load_config()

    @cached_property
    def definitions(self) -> Definitions:
        """The repository's objects.

        Raises
        ------
        LakeError
            When it declares other than one view and one service, or a feature that is not Float32.
        """
        feast = import_feast()
        path = self._repo_dir / "definitions.py"
        if not path.is_file():
            raise LakeError(f"{self._repo_dir} holds no definitions.py", "point at the Feast repository's folder")
        module = ModuleType(f"feast_definitions_{id(self)}")
        module.__file__ = str(path)
        with _environment(**self._environ):  # compiled anew: a cached one may be of a file changed within the second
            exec(compile(path.read_bytes(), str(path), "exec"), module.__dict__)  # noqa: S102 - as Feast itself does
        found = list(vars(module).values())
        kinds = (feast.Entity, feast.FileSource, feast.FeatureView, feast.FeatureService)
        objects = tuple(item for kind in kinds for item in found if isinstance(item, kind))
        views = [item for item in objects if isinstance(item, feast.FeatureView)]
        services = [item for item in objects if isinstance(item, feast.FeatureService)]
        if len(views) != 1 or len(services) != 1:
            fact = f"{self._repo_dir} declares {len(views)} feature views and {len(services)} feature services"
            raise LakeError(fact, "declare one of each")
        other = [f"{field.name} as {field.dtype}" for field in views[0].features if str(field.dtype) != "Float32"]
        if other:
            raise LakeError(f"{self._repo_dir} declares feature {other[0]}", "declare every feature as Float32")
        return Definitions(objects=objects, service=services[0], view=views[0])

    @cached_property
    def store(self) -> Any:
        """Feast's own ``FeatureStore`` over the applied registry.

        Raises
        ------
        LakeError
            When the registry is absent or damaged.
        """
        path = self.registry_path
        if not path.is_file():
            raise LakeError(f"{path} does not exist", "run `feast apply`, or materialise the store")
        return self._open(self.config, path)

    def apply(self) -> AppliedRepository:
        """Bring the registry and the online store's tables to what the repository declares; safe to repeat.

        Services of earlier catalogue versions, and views of other catalogues, are removed as ``feast apply`` does. The
        registry file is replaced in one step, so that a process killed half-way leaves the earlier one.

        Raises
        ------
        LakeError
            When the registry file is damaged.
        """
        target = self.registry_path
        target.parent.mkdir(parents=True, exist_ok=True)
        draft = target.with_name(f".{target.name}.{os.getpid()}")
        try:
            if target.is_file():
                shutil.copyfile(target, draft)
            config = self._load_config()
            config.registry.path = str(draft)
            store = self._open(config, target)
            declared = self.definitions
            obsolete = [
                item
                for kind in (store.list_feature_services, store.list_feature_views, store.list_data_sources)
                for item in kind()
                if item.name not in declared.names
            ]
            with self.explained():
                store.apply(list(declared.objects), objects_to_delete=obsolete, partial=False)
            draft.replace(target)
        finally:
            draft.unlink(missing_ok=True)
        self.__dict__.pop("store", None)
        return AppliedRepository(
            project=str(self.config.project),
            feature_views=(str(declared.view.name),),
            feature_service=str(declared.service.name),
            features=declared.features,
        )

    @contextmanager
    def explained(self) -> Iterator[None]:
        """Run a block in which Feast's and SQLite's faults become errors with a remedy."""
        from feast.errors import FeastObjectNotFoundException

        try:
            yield
        except FeastObjectNotFoundException as error:
            raise LakeError(f"the Feast registry is of another version ({error})", "apply the repository") from None
        except sqlite3.DatabaseError as error:
            fact = f"the online store {self.online_path} cannot be used ({error})"
            raise LakeError(fact, "delete the file, apply and materialise again") from None

    def _load_config(self) -> Any:
        config_file = self._repo_dir / "feature_store.yaml"
        if not config_file.is_file():
            raise LakeError(f"{self._repo_dir} holds no feature_store.yaml", "point at the Feast repository's folder")
        import_feast()
        from feast.repo_config import load_repo_config

        with _environment(**self._environ):
            return load_repo_config(self._repo_dir, config_file)

    def _open(self, config: Any, registry: Path) -> Any:
        from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

        try:
            store = import_feast().FeatureStore(config=config)
            store.refresh_registry()  # read the file now: Feast would fail at the first question instead
            return store
        except DecodeError as error:
            fact = f"the Feast registry {registry} is damaged ({error})"
            raise LakeError(fact, "delete the file and apply again: it is derived from feature_repo") from None


def import_feast() -> ModuleType:
    """Import feast without its side effects on this process.

    It sets ``PROMETHEUS_MULTIPROC_DIR`` before it imports prometheus_client, which switches every metric of the
    process to files, and resets the warning filters. It takes a second, so only who needs it pays.
    """
    with _environment(), warnings.catch_warnings(), _classes_as_written():
        importlib.import_module("prometheus_client")  # first: now its metrics are in-process ones for good
        import feast
    return feast


@contextmanager
def _classes_as_written() -> Iterator[None]:
    """Run a block in which ``typechecked`` leaves classes as they are, as it does under ``python -O``.

    Feast has typeguard rewrite and compile anew every method of its classes, four fifths of its import: 4.05 CPU
    seconds with it, 0.83 without.
    """
    typeguard: Any = importlib.import_module("typeguard")
    before = typeguard.typechecked
    typeguard.typechecked = _as_written
    try:
        yield
    finally:
        typeguard.typechecked = before


def _as_written(target: Any = None, **_options: Any) -> Any:
    """Stand for ``typechecked``, with options or without."""
    return _as_written if target is None else target


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
