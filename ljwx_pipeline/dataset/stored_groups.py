"""Groups of stocks as the line's tables hold them: those the champion was scored by, and the newest dataset's.

Not here: making groups (``groups.py``).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ljwx_pipeline.errors import LakeError
from ljwx_pipeline.scoring.model import NO_GROUP


@dataclass(frozen=True)
class StoredGroups:
    """Groups in one of the line's tables.

    Parameters
    ----------
    measure
        What they are made by (``groups.group_measure``).
    rows
        ``symbol``, ``session_date`` and ``group``, its code.
    names
        Each group's name by code, where the table tells names.
    """

    measure: str
    rows: pd.DataFrame
    names: Mapping[int, str] = field(default_factory=dict)

    def sessions(self) -> set[date]:
        """Return the sessions of which groups are held."""
        return {day.date() for day in pd.DatetimeIndex(self.rows["session_date"].unique())}

    def codes(self, session: date, symbols: tuple[str, ...]) -> NDArray[np.int32]:
        """Return the group of each of ``symbols`` on ``session``, int32; ``NO_GROUP`` where none is held."""
        held = self.rows[self.rows["session_date"] == pd.Timestamp(session)]
        of = dict(zip(held["symbol"], held["group"], strict=True))
        return np.array([of.get(symbol, NO_GROUP) for symbol in symbols], dtype=np.int32)


def stored_groups(tables: Path) -> tuple[StoredGroups, ...]:
    """Return the groups held in folder ``tables``: the champion's, then the dataset's, of those that have any.

    Raises
    ------
    LakeError
        For a damaged table.
    """
    return tuple(one for one in (_of_scores(tables), _of_dataset(tables)) if one is not None)


def _of_scores(tables: Path) -> StoredGroups | None:
    path = tables / "daily_scores.parquet"
    if not path.exists():
        return None
    columns = ("symbol", "session_date", "group", "group_measure")
    try:
        if not set(columns) <= set(pq.read_schema(path).names):  # a champion without groups, or none
            return None
        rows = pq.read_table(path, columns=list(columns)).to_pandas()
    except (OSError, pa.ArrowInvalid) as error:
        raise _damaged(path, error) from None
    measure = "" if rows.empty else str(rows["group_measure"].iloc[0])
    return StoredGroups(measure, rows.drop(columns="group_measure")) if measure else None


def _of_dataset(tables: Path) -> StoredGroups | None:
    path = tables / "dataset_meta.json"
    if not path.exists():  # without it the dataset does not count
        return None
    try:
        meta = json.loads(path.read_text(encoding="utf-8"))
        if not meta.get("group_measure"):
            return None
        path = tables / "dataset_rows.parquet"
        held = pq.read_table(path, columns=["session_index", "symbol_index", "groups"])
    except (OSError, ValueError) as error:  # pyarrow's ArrowInvalid is a ValueError
        raise _damaged(path, error) from None
    at_session, at_symbol, groups = (column.to_numpy() for column in held.columns)
    rows = pd.DataFrame(
        {
            "symbol": pd.Categorical.from_codes(at_symbol, categories=meta["symbols"]),
            "session_date": pd.DatetimeIndex(meta["sessions"])[at_session],
            "group": groups,
        }
    )
    return StoredGroups(meta["group_measure"], rows, {int(code): str(name) for code, name in meta["group_names"]})


def _damaged(path: Path, error: Exception) -> LakeError:
    return LakeError(f"{path} is damaged ({str(error).splitlines()[0]})", "make it again: `ljwx run`")
