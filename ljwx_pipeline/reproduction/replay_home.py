"""A home of its own for one replay: the market's lake to read, its trials as counted then, and nothing else of it.

Everything a replay writes lands in it: tables, MLflow, Dagster, keys. Left behind by a killed process, it is removed
by the next replay. Not here: what is replayed.
"""

from __future__ import annotations

import fcntl
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import datetime
from pathlib import Path

from ljwx_pipeline.backtest.trial_ledger import COUNTED, LEDGER_FILE, copy_ledger
from ljwx_pipeline.config import homes_of_same_data
from ljwx_pipeline.errors import ConfigError, EnvironmentFault

#: Below ``LJWX_HOME``; one folder a replay under way.
REPLAYS = "reproductions"
#: Settings that say where MLflow and studies are kept; empty in a replay, which keeps them in its home.
OWN_PLACES = ("mlflow.tracking_uri", "mlflow.artifact_root", "tune.storage")
_LOCK = ".lock"


@contextmanager
def replay_home(home: Path, *, keep: Path | None) -> Iterator[Path]:
    """Give an empty folder for the ``with`` block; it goes with the block's end unless it is ``keep``.

    Raises
    ------
    ConfigError
        When ``keep`` holds something.
    EnvironmentFault
        When the folder cannot be made.
    """
    if keep is not None:
        if keep.exists() and (not keep.is_dir() or any(keep.iterdir())):
            raise ConfigError(f"--keep {keep} is there and not empty", "name a folder that is not there yet")
        _made(keep)
        yield keep.absolute()
        return
    above = _made(home / REPLAYS)
    _remove_abandoned(above)
    folder = Path(tempfile.mkdtemp(dir=above, prefix="replay-"))
    with (folder / _LOCK).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # the kernel lets go of it when we die
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)  # the lake is a link, which goes without what it points at


def lay_out(folder: Path, *, market: Path, name: str, counted_until: datetime | None) -> None:
    """Put what a replay reads of ``market`` into the replay's home ``folder``.

    Parameters
    ----------
    name
        What the replay takes the market to be called.
    counted_until
        The trials counted up to then are the ones the run knew of; None: all.
    """
    there = folder / "markets" / name
    there.mkdir(parents=True)
    (there / "lake").symlink_to(market / "lake", target_is_directory=True)
    (there / COUNTED).symlink_to(market, target_is_directory=True)
    copy_ledger(market / LEDGER_FILE, there / LEDGER_FILE, until=counted_until)
    for other in homes_of_same_data(market):  # their trials are told beside the decision
        profile, digits = other.name.rpartition("-")[0], name.rpartition("-")[2]
        beside = there.with_name(f"{profile}-{digits}")
        beside.mkdir()
        (beside / COUNTED).symlink_to(other, target_is_directory=True)
        copy_ledger(other / LEDGER_FILE, beside / LEDGER_FILE, until=counted_until)


def copied_database(source: Path, target: Path) -> None:
    """Copy an SQLite file as it stands, though others write to it."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with (
        closing(sqlite3.connect(f"{source.as_uri()}?mode=ro", uri=True, timeout=15)) as there,
        closing(sqlite3.connect(target)) as here,
    ):
        there.backup(here)


def _made(folder: Path) -> Path:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise EnvironmentFault(
            f"{folder} cannot be made ({error.strerror})", "make LJWX_HOME writable or name a folder with --keep"
        ) from None
    return folder


def _remove_abandoned(above: Path) -> None:
    for folder in above.glob("replay-*"):
        try:
            with (folder / _LOCK).open("r+") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
        except BlockingIOError:
            continue  # a replay is at work in it
        except FileNotFoundError:
            if folder.is_dir() and not any(folder.iterdir()):
                continue  # just made, its lock comes next
            shutil.rmtree(folder, ignore_errors=True)
