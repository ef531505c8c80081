"""Finding the user's files and taking columns out of them, whatever their encoding.

Not here: what a column means (``spellings.py``) and what a cell says (``cells.py``).
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Collection, Iterator, Sequence
from io import BytesIO
from pathlib import Path
from typing import NoReturn, Protocol

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from ljwx_pipeline.errors import SourceError

PARQUET_SUFFIXES = (".parquet", ".pq")
SUFFIXES = (".csv", *PARQUET_SUFFIXES)
ENCODINGS = ("utf-8-sig", "gb18030")  # gb18030 contains GBK and GB2312
SEPARATORS = (",", "\t", ";")
#: How files begin that are no data: hidden ones, and the locks of spreadsheets.
HIDDEN = (".", "~$")
#: How providers write "no value", beyond what pandas already knows (None, NaN, NULL, the empty cell).
BLANKS = ("-", "--")


class DataFile(Protocol):
    """One open file: its column names, its columns, and whether it looks cut off in its last row."""

    path: Path
    names: tuple[str, ...]
    is_cut_off: bool

    def read(self, columns: Sequence[str], text: Collection[str]) -> pd.DataFrame:
        """Return ``columns`` in file order, those in ``text`` as text; blank cells are missing values."""
        ...


def find_files(given: str, key: str) -> list[Path]:
    """Return the data files that the configured path names: itself, or all below it, in name order.

    Raises
    ------
    SourceError
        When the path is empty, does not exist, or holds no CSV or Parquet file.
    """
    if not given.strip():
        raise SourceError(f"{key} names no file", f"pass the path on the command line or set {key} in the profile")
    try:
        path = Path(given).expanduser()
        if path.is_file():
            return [path]
        if not path.is_dir():
            raise SourceError(f"{key} = {given} does not exist", "correct the path")
        found = sorted(p for p in _files_below(path) if p.suffix.lower() in SUFFIXES and not p.name.startswith(HIDDEN))
    except (OSError, RuntimeError) as error:  # a name too long, a folder that may not be read, no such user's home
        said = getattr(error, "strerror", None) or error
        raise SourceError(
            f"{key} = {given[:200]} cannot be read ({said})", "correct the path or its permissions"
        ) from error
    if not found:
        raise SourceError(f"folder {path} holds no {', '.join(SUFFIXES)} file", f"put the files there or correct {key}")
    return found


def _files_below(folder: Path) -> Iterator[Path]:
    """Give every file below ``folder``, through links to folders too, each folder once."""

    def refuse(error: OSError) -> NoReturn:
        raise error

    seen: set[str] = set()
    for root, folders, names in os.walk(folder, followlinks=True, onerror=refuse):
        real = os.path.realpath(root)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        yield from (Path(root, name) for name in names)


def open_file(path: Path) -> DataFile:
    """Return ``path`` opened as Parquet or CSV by its suffix.

    Raises
    ------
    SourceError
        When the file is empty, damaged, or of an encoding or kind that is not understood.
    """
    try:
        empty = path.stat().st_size == 0
        if not empty:
            return ParquetFile(path) if path.suffix.lower() in PARQUET_SUFFIXES else CsvFile(path)
    except OSError as error:
        remedy = "delete or repair the link" if path.is_symlink() else "correct the file's permissions"
        raise SourceError(f"{path} cannot be read ({error.strerror})", remedy) from error
    raise SourceError(f"{path} is empty", "download it again or take it out of the folder")


class CsvFile:
    """A delimited text file in UTF-8 or GBK with one header line."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._data = path.read_bytes()
        self._encoding = _encoding_of(path, self._data)
        header = self._data.split(b"\n", 1)[0].decode(self._encoding)
        self._separator = max(SEPARATORS, key=header.count)
        self.is_cut_off = not self._data.endswith((b"\n", b"\r"))
        # as data: as a header a repeated name would be given a number without a word
        first = self._parse(header=None, nrows=1, dtype=str, na_filter=False)
        self.names = tuple(str(name) or f"Unnamed: {place}" for place, name in enumerate(first.iloc[0]))

    def read(self, columns: Sequence[str], text: Collection[str]) -> pd.DataFrame:
        """Return ``columns``; the others are inferred as numbers where every cell is one."""
        # all columns are parsed, because picking some would cut off cells beyond the header without a word
        return self._parse(dtype=dict.fromkeys(text, str))[list(columns)]

    def _parse(self, **options: object) -> pd.DataFrame:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error", pd.errors.ParserWarning)
                frame: pd.DataFrame = pd.read_csv(  # type: ignore[call-overload]
                    BytesIO(self._data),
                    encoding=self._encoding,
                    sep=self._separator,
                    na_values=list(BLANKS),
                    index_col=False,
                    low_memory=False,
                    skipinitialspace=True,
                    **options,
                )
        except pd.errors.ParserWarning:
            raise SourceError(
                f"{self.path} has rows with more cells than its header",
                "repair the rows, or delete what stands above the header",
            ) from None
        except (pd.errors.ParserError, pd.errors.EmptyDataError, ValueError) as error:
            raise SourceError(
                f"{self.path} is not a readable CSV ({str(error).strip()})", "repair the line it names"
            ) from error
        return frame


class ParquetFile:
    """A Parquet file; only the columns asked for are read."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.is_cut_off = False  # one that is has no schema
        try:
            self.names = tuple(pq.read_schema(path).names)
        except (pa.ArrowException, OSError) as error:
            raise SourceError(f"{path} is damaged: not readable as Parquet", "download it again") from error

    def read(self, columns: Sequence[str], text: Collection[str]) -> pd.DataFrame:  # noqa: ARG002 - types are stored
        """Return ``columns`` with the types the file gives them."""
        try:
            frame: pd.DataFrame = pq.read_table(self.path, columns=list(columns)).to_pandas(ignore_metadata=True)
        except (pa.ArrowException, OSError) as error:
            raise SourceError(f"{self.path} is damaged: not readable as Parquet", "download it again") from error
        return frame.reset_index(drop=True)


def _encoding_of(path: Path, data: bytes) -> str:
    for encoding in ENCODINGS:
        try:
            data.decode(encoding)
        except UnicodeDecodeError:
            continue
        return encoding
    raise SourceError(f"{path} is neither UTF-8 nor GBK text", "save it as CSV in UTF-8, or as Parquet")
