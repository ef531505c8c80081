"""Rows of one or many files under their roles, each still knowing the file and line it came from."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ljwx_pipeline.config import ColumnRole
from ljwx_pipeline.errors import DataQualityError, SourceError
from ljwx_pipeline.sources.folder.cells import to_dates, to_numbers
from ljwx_pipeline.sources.folder.codes import code_in_file_name
from ljwx_pipeline.sources.folder.files import open_file
from ljwx_pipeline.sources.folder.spellings import Provider, provider_of, resolve_columns

TEXT_ROLES: tuple[ColumnRole, ...] = ("symbol", "session_date", "name")
#: Roles that say yes (1) or no (0).
FLAG_ROLES: tuple[ColumnRole, ...] = ("traded", "is_st")
DATE_REMEDY = "write dates as 2020-01-31 or 20200131; in a spreadsheet, format the column as a date before saving it"
NUMBER_REMEDY = "write plain numbers (1234.5, flags as 1 or 0) without separators or units, or leave the cell empty"


@dataclass(frozen=True)
class Layout:
    """What one kind of file must and may hold.

    Parameters
    ----------
    required, optional
        Roles a file must have, and may have. A missing ``symbol`` is looked for in the file's name.
    to_code
        Turns a code as written into a symbol or index code; None when it is none.
    lenient
        For index files: a blank code is the file's only code (downloads leave it out), and a column declared for the
        bars need not be there.
    """

    required: tuple[ColumnRole, ...]
    optional: tuple[ColumnRole, ...]
    to_code: Callable[[str], str | None]
    lenient: bool


@dataclass(frozen=True)
class Rows:
    """Rows of several files, one column a role, with the columns ``file`` and ``line`` saying where each stood.

    Parameters
    ----------
    frame
        Symbols normalised, dates at midnight, numbers float64.
    paths
        ``frame.file`` counts in them.
    provider
        Whose spelling the first file has, if it is a known one.
    notes
        What was assumed while reading, or looks odd.
    """

    frame: pd.DataFrame
    paths: tuple[Path, ...]
    provider: Provider | None
    notes: tuple[str, ...]

    def where(self, position: int) -> str:
        """Return ``FILE data row N (SYMBOL DATE)`` of the row at ``position``."""
        row = self.frame.iloc[position]
        path = self.paths[int(row["file"])]
        return f"{path} data row {int(row['line'])} ({row['symbol']} {row['session_date']:%Y-%m-%d})"

    def refuse(self, bad: NDArray[np.bool_] | pd.Series, fact: str, remedy: str) -> None:
        """Raise ``DataQualityError`` about the first bad row, saying how many there are; return if there is none.

        ``fact`` is a format string over the row's columns.
        """
        flags = np.asarray(bad, dtype=bool)
        count = int(flags.sum())
        if count:
            first = int(np.argmax(flags))
            more = "" if count == 1 else f" ({count} such rows in all)"
            said = fact.format_map(self.frame.iloc[first].to_dict())
            raise DataQualityError(f"{self.where(first)}: {said}{more}", remedy)

    def take(self, keep: NDArray[np.bool_] | NDArray[np.int64]) -> Rows:
        """Return the rows that a mask keeps or an order lists, in that order."""
        return Rows(self.frame.iloc[keep].reset_index(drop=True), self.paths, self.provider, self.notes)


def read_rows(paths: Sequence[Path], layout: Layout, declared: Mapping[ColumnRole, str]) -> Rows:
    """Return the rows of all ``paths`` in file order; ``declared`` are the columns the configuration names.

    Raises
    ------
    SourceError
        For a missing column, a cell that is no number or date, a code that is none, a file without rows.
    """
    frames: list[pd.DataFrame] = []
    notes: list[str] = []
    provider: Provider | None = None
    for number, path in enumerate(paths):
        file = open_file(path)
        binding = {role: name for role, name in declared.items() if not layout.lenient or name in file.names}
        columns = resolve_columns(
            file.names, declared=binding, required=layout.required, optional=layout.optional, path=path
        )
        provider = provider or (provider_of(file.names) if number == 0 else None)
        if file.is_cut_off:
            notes.append(f"{path.name} does not end with a line: its last row may be cut off")
        raw = file.read(list(columns.values()), [columns[role] for role in TEXT_ROLES if role in columns])
        if raw.empty:
            raise SourceError(f"{path} has a header but no rows", "download it again or take it out of the folder")
        frame = _typed(raw, columns, path)
        if "symbol" not in frame:
            frame["symbol"] = _code_of_file(path)
            notes.append(f"{path.name} has no code column: its code is taken from its name")
        elif layout.lenient and frame["symbol"].isna().any() and len(frame["symbol"].dropna().unique()) == 1:
            notes.append(
                f"{path.name}: {int(frame['symbol'].isna().sum())} rows without a code are read as the file's own"
            )
            frame["symbol"] = frame["symbol"].fillna(frame["symbol"].dropna().iloc[0])
        frame["symbol"] = _codes(frame["symbol"], path, layout.to_code)
        frame["file"] = np.int32(number)
        frame["line"] = np.arange(1, len(frame) + 1, dtype=np.int64)
        frames.append(frame)
    whole = pd.concat(frames, ignore_index=True) if len(frames) > 1 else frames[0]
    return Rows(whole, tuple(paths), provider, tuple(notes))


def _typed(raw: pd.DataFrame, columns: Mapping[ColumnRole, str], path: Path) -> pd.DataFrame:
    typed: dict[str, object] = {}
    for role, name in columns.items():
        cells = raw[name]
        if role == "session_date":
            dates, bad = to_dates(cells)
            if bad is not None:
                _refuse_cell(path, bad, name, cells, "is not a date", DATE_REMEDY)
            typed[role] = dates
        elif role in TEXT_ROLES:
            typed[role] = cells
        else:
            numbers, bad = to_numbers(cells)
            if bad is not None:
                _refuse_cell(path, bad, name, cells, "is not a number", NUMBER_REMEDY)
            odd = ~(np.isnan(numbers) | np.isin(numbers, (0.0, 1.0)))
            if role in FLAG_ROLES and odd.any():
                _refuse_cell(path, int(np.argmax(odd)), name, cells, "is neither 1 nor 0", "write flags as 1 and 0")
            typed[role] = numbers
    return pd.DataFrame(typed)


def _codes(column: pd.Series, path: Path, to_code: Callable[[str], str | None]) -> pd.Series:
    positions, uniques = pd.factorize(column)
    if (positions < 0).any():
        row = int(np.argmax(positions < 0)) + 1
        raise SourceError(f"{path} data row {row} has no code", "correct the row or delete it")
    symbols = [to_code(str(code)) for code in uniques]
    if None in symbols:
        at = symbols.index(None)
        row = int(np.argmax(positions == at)) + 1
        raise SourceError(
            f"{path} data row {row}: {uniques[at]!r} is not the code of what this file should hold",
            "write codes as 600519.SH, sh600519, SHSE.600519 or 600519; bars hold stocks, index files hold indices",
        )
    return pd.Series(np.array(symbols, dtype=object)[positions])


def _code_of_file(path: Path) -> str:
    code = code_in_file_name(path.stem)
    if code is None:
        raise SourceError(
            f"{path} has no column with a code and none in its name",
            "add a code column, declare it under folder.columns.symbol, or name the file by its code",
        )
    return code


def _refuse_cell(path: Path, position: int, name: str, cells: pd.Series, fact: str, remedy: str) -> NoReturn:
    cell = cells.iloc[position]
    plain = cell.item() if isinstance(cell, np.generic) else cell
    shown = repr(plain) if np.ndim(plain) or not pd.isna(plain) else "an empty cell"
    raise SourceError(f"{path} data row {position + 1}, column {name}: {shown} {fact}", remedy)
