"""The daily returns of trials, read from where each was kept, as one matrix of sessions by trials.

A trial whose file is missing or damaged, or whose returns do not show the Sharpe ratio it was counted with, has no
column: it still counts. Not here: what may be done with the matrix (``trial_returns.py``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ljwx_pipeline.backtest.sweep_store import excess_returns
from ljwx_pipeline.errors import LakeError

Float = NDArray[np.float64]

#: More columns than these are not read, the oldest first: 20,000 of 2,000 sessions are 320 MB.
MOST_TRIALS = 20_000
#: Two ways to reckon one Sharpe ratio differ by less.
_SAME_SHARPE = 1e-9
#: Below this standard deviation a series counts as constant.
_CONSTANT = 1e-12


@dataclass(frozen=True)
class StoredTrial:
    """Where a trial's returns are, and what they have to show.

    Parameters
    ----------
    root, file
        A study's file ``file`` below the market's home ``root``; or a file of the sweep's store ``root``.
    column
        ``trial_N`` of a study; or the hash of a variant.
    of_study
        Which of the two.
    session_sharpe, sessions
        As counted; 0 sessions: not known.
    """

    root: Path
    file: str
    column: str
    of_study: bool
    session_sharpe: float
    sessions: int


def read_returns(trials: Sequence[StoredTrial | None]) -> tuple[pd.DatetimeIndex, Float, tuple[int, ...]]:
    """Return sessions, net excess returns of shape ``(sessions, columns)`` and each column's position in ``trials``.

    Sessions are all on which any column has a return, ascending. NaN where a trial was not run.
    """
    by_file: dict[tuple[Path, str, bool], list[int]] = {}
    for position, trial in list(enumerate(trials))[-MOST_TRIALS:]:
        if trial is not None:
            by_file.setdefault((trial.root, trial.file, trial.of_study), []).append(position)
    found: list[tuple[NDArray[np.int64], list[int], list[Float]]] = []
    for (root, file, of_study), positions in by_file.items():
        sessions, columns = (_of_study if of_study else _of_sweep)(
            root, file, {_at(trials, p).column for p in positions}
        )
        sound = [p for p in positions if _shows(columns.get(_at(trials, p).column), _at(trials, p))]
        if sound:
            found.append((sessions, sound, [columns[_at(trials, p).column] for p in sound]))
    every = np.unique(np.concatenate([sessions for sessions, _, _ in found])) if found else np.empty(0, np.int64)
    matrix = np.full((len(every), sum(len(sound) for _, sound, _ in found)), np.nan, order="F")
    order = sorted(
        (position, file, at) for file, (_, sound, _) in enumerate(found) for at, position in enumerate(sound)
    )
    rows = [np.searchsorted(every, sessions) for sessions, _, _ in found]
    for column, (_, of, at) in enumerate(order):
        matrix[rows[of], column] = found[of][2][at]
    return pd.DatetimeIndex(every.view("datetime64[ns]")), matrix, tuple(position for position, _, _ in order)


def _at(trials: Sequence[StoredTrial | None], position: int) -> StoredTrial:
    trial = trials[position]
    assert trial is not None  # noqa: S101 - those without a place were left out
    return trial


def _shows(returns: Float | None, trial: StoredTrial) -> bool:
    if returns is None:
        return False
    known = returns[~np.isnan(returns)]
    if len(known) < 2 or not np.isfinite(known).all() or trial.sessions not in (0, len(known)):
        return False
    spread = float(known.std(ddof=1))
    sharpe = float(known.mean()) / spread if spread > _CONSTANT else 0.0
    return abs(sharpe - trial.session_sharpe) <= _SAME_SHARPE * max(1.0, abs(sharpe))


def _of_study(root: Path, file: str, wanted: set[str]) -> tuple[NDArray[np.int64], dict[str, Float]]:
    try:
        held = pq.ParquetFile(root / file)
        names = [name for name in sorted(wanted) if name in held.schema_arrow.names]
        frame = held.read(columns=["session_date", *names]).to_pandas()
        sessions = _nanoseconds(pd.DatetimeIndex(frame["session_date"]))
        return sessions, {name: frame[name].to_numpy(dtype=np.float64) for name in names}
    except (OSError, pa.ArrowException, KeyError, TypeError, ValueError):
        return np.empty(0, np.int64), {}


def _of_sweep(root: Path, file: str, wanted: set[str]) -> tuple[NDArray[np.int64], dict[str, Float]]:
    try:
        sessions, excess = excess_returns(root, file)
    except LakeError:
        return np.empty(0, np.int64), {}
    return _nanoseconds(sessions), {name: values for name, values in excess.items() if name in wanted}


def _nanoseconds(sessions: pd.DatetimeIndex) -> NDArray[np.int64]:
    return sessions.to_numpy(dtype="datetime64[ns]").view(np.int64)
