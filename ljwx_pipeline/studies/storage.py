"""Where studies are kept: a journal file that one process at a time works on, or a database that many share.

Not here: what a study is (``study.py``).
"""

from __future__ import annotations

import json
import os
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ljwx_pipeline.errors import EnvironmentFault, ModelError
from ljwx_pipeline.lake.locking import exclusive

#: A process that shares a study says this often that it lives; silent for ``GRACE_BEATS`` of them it is taken for dead.
HEARTBEAT_S = 5
GRACE_BEATS = 4
#: Before a run begins: how long a database has to take a connection.
CONNECT_TIMEOUT_S = 3


@dataclass(frozen=True)
class Place:
    """Where studies are kept.

    Parameters
    ----------
    journal
        File of one process at a time; None: memory.
    url
        SQLAlchemy address of a database, for instance ``postgresql+psycopg2://user@host/studies``; it goes before
        ``journal``, and any number of processes may share its studies.
    """

    journal: Path | None = None
    url: str = ""

    @property
    def shared(self) -> bool:
        """Whether other processes may work on the same studies."""
        return bool(self.url)

    def __str__(self) -> str:
        """Return the place as a message may show it: without a password."""
        if not self.url:
            return str(self.journal or "memory")
        from sqlalchemy.engine import make_url  # heavy: only when a study is opened
        from sqlalchemy.exc import ArgumentError

        try:
            return make_url(self.url).render_as_string(hide_password=True)
        except ArgumentError:
            return "tune.storage"  # not shown: what cannot be read may hold a password anywhere

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Hold the journal for the ``with`` block; a database needs no holding.

        Raises
        ------
        LakeError
            When another process works on the journal.
        """
        if self.shared or self.journal is None:
            yield
            return
        with exclusive(self.journal.with_name(f".{self.journal.name}.lock"), timeout_s=1.0):
            yield

    @contextmanager
    def speaking(self) -> Iterator[None]:
        """Turn what the journal or the database refuses within the block into an error of this project.

        Nothing but reading and writing belongs into the block: a mistake of whoever proposes or tries a trial would be
        taken for a damaged journal.

        Raises
        ------
        ModelError
            When the journal is damaged.
        EnvironmentFault
            When it cannot be read or written, or the database cannot be reached.
        """
        from optuna.exceptions import OptunaError  # heavy: only when a study is opened
        from sqlalchemy.exc import SQLAlchemyError

        try:
            yield
        except (SQLAlchemyError, OptunaError, ImportError) as error:
            raise self._unreachable(error) from None
        except OSError as error:
            raise EnvironmentFault(
                f"studies in {self} cannot be read or written ({error.strerror or error})",
                "make the file and its folder writable or free some space; what was kept stays",
            ) from None
        except (KeyError, ValueError, TypeError, AttributeError, AssertionError) as error:
            # JSON and text decoding errors are ValueErrors; the others are a line that is JSON and no operation
            if self.shared or self.journal is None:
                raise
            raise ModelError(
                f"the study's journal {self} is damaged ({error or type(error).__name__})",
                "restore it from a backup, or move it away: its trials will be made again",
            ) from None

    def require_reachable(self) -> None:
        """Raise unless the database takes a connection within ``CONNECT_TIMEOUT_S``; nothing is made in it.

        A journal and memory are always there. An SQLite file that is not there yet only needs its folder.

        Raises
        ------
        EnvironmentFault
            When the address is none, its driver is missing, or the database does not let anybody in.
        """
        if not self.url:
            return
        from sqlalchemy import create_engine, pool  # heavy: only when studies are shared
        from sqlalchemy.engine import make_url

        with self.speaking():
            url = make_url(self.url)
            dialect = url.get_backend_name()
            if dialect == "sqlite" and url.database and not Path(url.database).exists():
                if not Path(url.database).absolute().parent.is_dir():
                    raise EnvironmentFault(f"studies in {self} have no folder", "make it, or correct tune.storage")
                return
            timed = {"connect_timeout": CONNECT_TIMEOUT_S} if dialect in ("postgresql", "mysql", "mariadb") else {}
            create_engine(url, connect_args=timed, poolclass=pool.NullPool).connect().close()

    def opened(self, *, to_look: bool = False) -> Any:
        """Return Optuna's storage; within ``speaking``, and within ``alone`` unless it is opened ``to_look``."""
        import optuna  # heavy (SQLAlchemy and all): only when a study is opened

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        if self.url:
            return _database(self.url)
        if self.journal is None:
            return optuna.storages.InMemoryStorage()
        from optuna.storages.journal import JournalFileBackend

        self.journal.parent.mkdir(parents=True, exist_ok=True)
        _require_whole_lines(self.journal, mend=not to_look)
        held: Any = _Held()
        return optuna.storages.JournalStorage(JournalFileBackend(str(self.journal), lock_obj=held))

    def _unreachable(self, error: Exception) -> EnvironmentFault:
        cause = error.__cause__ or error
        first_line = (str(cause).strip() or type(cause).__name__).splitlines()[0]
        if isinstance(error, ImportError):
            remedy = "install the driver (psycopg2-binary for postgresql+psycopg2://), or leave tune.storage empty"
        else:
            remedy = "start the database or correct tune.storage; left empty it is a file, and finished trials stay"
        return EnvironmentFault(f"studies in {self} cannot be reached ({first_line[:300]})", remedy)


class Heartbeat:
    """Says of running trials that their process lives, from a thread of its own; nothing where nobody shares them."""

    def __init__(self, storage: Any, *, shared: bool) -> None:
        self._storage, self._stop, self._ids = storage, threading.Event(), set[int]()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._beat, name="study-heartbeat", daemon=True) if shared else None

    def __enter__(self) -> Heartbeat:
        """Start to say it."""
        if self._thread is not None:
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Say it no longer."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def begin(self, trial_id: int) -> None:
        """Say it of a trial from now on."""
        if self._thread is not None:
            self._storage.record_heartbeat(trial_id)
            with self._lock:
                self._ids.add(trial_id)

    def end(self, trial_id: int) -> None:
        """Say it of a trial no longer."""
        with self._lock:
            self._ids.discard(trial_id)

    def _beat(self) -> None:
        from sqlalchemy.exc import SQLAlchemyError

        while not self._stop.wait(HEARTBEAT_S):
            with self._lock:
                ids = sorted(self._ids)
            for trial_id in ids:
                try:
                    self._storage.record_heartbeat(trial_id)
                except SQLAlchemyError:  # said again at the next beat; the trial's own result will say it is gone
                    break


class _Held:
    """The journal's lock where ``Place.alone`` holds the file already: a killed process leaves none behind."""

    def acquire(self) -> bool:
        return True

    def release(self) -> None:
        return


def _require_whole_lines(journal: Path, *, mend: bool) -> None:
    """Raise ``ValueError`` for a last line that is no JSON, which Optuna would write on after.

    Half a line is cut off: it is what a process killed while it wrote leaves, and nobody was told that it was kept. So
    are empty lines at the end, after which Optuna would write what it then refuses to read.
    """
    data = journal.read_bytes() if journal.exists() else b""
    whole = data[: data.rfind(b"\n") + 1].rstrip(b"\n")
    end = len(whole) + 1 if whole else 0
    if mend and end < len(data):
        os.truncate(journal, end)
    if whole:
        json.loads(whole.rpartition(b"\n")[2])


def _database(url: str) -> Any:
    import optuna  # heavy: only when a study is opened

    options: dict[str, Any] = {"pool_pre_ping": True}
    if url.startswith("postgresql"):
        options["connect_args"] = {"connect_timeout": 10}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)  # heartbeats have been so since 2021
        return optuna.storages.RDBStorage(
            url, engine_kwargs=options, heartbeat_interval=HEARTBEAT_S, grace_period=HEARTBEAT_S * GRACE_BEATS
        )
