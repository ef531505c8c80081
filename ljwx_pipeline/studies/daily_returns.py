"""The daily returns and turnover of every trial of a study: one Parquet file, a pair of columns a trial.

What asks how much of a result was found by searching needs the returns of all that was tried, not of the best. Each
column's hash is kept with its trial, so a file that was lost, cut or edited is noticed. Not here: what a trial earned.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ljwx_pipeline.errors import LakeError, ModelError
from ljwx_pipeline.lake.atomic_parquet import read_parquet, write_parquet
from ljwx_pipeline.lake.locking import exclusive

_WRITERS_WAIT_S = 60.0


class DailyReturns:
    """The file of one study, which any number of processes may add to.

    Parameters
    ----------
    path
        The file; None keeps the columns in memory.
    sessions
        The sessions of its rows, ascending: those of every fold on which a return is known.
    """

    def __init__(self, path: Path | None, sessions: pd.DatetimeIndex) -> None:
        self.path, self._sessions = path, sessions
        self._memory = self._empty()

    def add(self, number: int, returns: NDArray[np.float64], turnover: NDArray[np.float64]) -> str:
        """Add a trial's columns, both shape ``(n_sessions,)`` with NaN where it was not run, and return their hash.

        Columns already there are replaced: a trial that was killed before it was told is run again.

        Raises
        ------
        LakeError
            When the file cannot be read or written; it is then what it was.
        """
        columns = {returns_column(number): returns, turnover_column(number): turnover}
        if self.path is None:
            self._memory = self._memory.assign(**columns)
            return columns_hash(returns, turnover)
        with exclusive(self.path.with_name(f".{self.path.name}.lock"), timeout_s=_WRITERS_WAIT_S):
            held = self._read() if self.path.exists() else self._empty()
            write_parquet(self.path, held.assign(**columns))
        return columns_hash(returns, turnover)

    def read(self, hashes: Mapping[int, str], *, study: str) -> pd.DataFrame:
        """Return the file: ``session_date`` and the columns of the trials in ``hashes``, in their order.

        Raises
        ------
        ModelError
            When the file is missing or damaged, or a trial's columns are not those that were written.
        """
        if self.path is None:
            frame = self._memory
        elif not self.path.exists():
            if hashes:
                raise _lost(f"{self.path} is missing, and study {study} has {len(hashes)} trials whose returns it held")
            frame = self._empty()
        else:
            frame = self._read()
        for number, expected in hashes.items():
            found = [frame.get(returns_column(number)), frame.get(turnover_column(number))]
            if any(column is None for column in found):
                raise _lost(f"{self.path} has no returns of trial {number} of study {study}")
            damaged = f"{self.path} is damaged: the returns of trial {number} are not those that were written"
            try:
                numbers = [np.asarray(column, dtype=np.float64) for column in found]
            except (TypeError, ValueError):  # text, or whatever else is no number
                raise _lost(damaged) from None
            if columns_hash(*numbers) != expected:
                raise _lost(damaged)
        names = [name for number in hashes for name in (returns_column(number), turnover_column(number))]
        return frame[["session_date", *names]]

    def _empty(self) -> pd.DataFrame:
        return pd.DataFrame({"session_date": self._sessions})

    def _read(self) -> pd.DataFrame:
        assert self.path is not None  # noqa: S101 - both callers have asked
        try:
            frame = read_parquet(self.path)
        except LakeError as error:
            raise _lost(error.fact) from None
        if "session_date" not in frame or not pd.Index(frame["session_date"]).equals(self._sessions):
            raise _lost(f"{self.path} is damaged: its sessions are not those of the study's folds")
        return frame


def returns_column(number: int) -> str:
    """Return the name of a trial's net excess returns, a fraction a session."""
    return f"trial_{number}"


def turnover_column(number: int) -> str:
    """Return the name of a trial's one-way turnover of the best names, a fraction a session."""
    return f"trial_{number}_turnover_frac"


def columns_hash(returns: NDArray[np.float64], turnover: NDArray[np.float64]) -> str:
    """Return the SHA-256 of both columns; one NaN is as good as another."""
    digest = hashlib.sha256()
    for column in (returns, turnover):
        digest.update(np.where(np.isnan(column), np.nan, column).astype("<f8").tobytes())
    return digest.hexdigest()


def _lost(fact: str) -> ModelError:
    return ModelError(
        fact, "restore it from a backup, or write a new name in tune.study: its trials are then made again"
    )
