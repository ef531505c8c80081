"""What commands print: one structure, as JSON for machines or as a padded table for people.

Not here: gathering the structure (the modules of the commands).
"""

from __future__ import annotations

import argparse
import atexit
import io
import json
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import TYPE_CHECKING, Any

from ljwx_pipeline.errors import ConfigError, EnvironmentFault

if TYPE_CHECKING:  # loaded when a command has rows to show
    import pandas as pd


def show_result(arguments: argparse.Namespace, body: Mapping[str, Any], text: str) -> int:
    """Print ``body`` as JSON where the command was asked for it, ``text`` otherwise; return success's exit code.

    Raises
    ------
    EnvironmentFault
        When the output cannot be written, as on a full disk; a reader that went away is no fault.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):  # a terminal that knows only ASCII is shown "?", not a traceback
        sys.stdout.reconfigure(errors="replace")
    try:
        print(json.dumps(body, indent=2, ensure_ascii=False, default=str) if arguments.json else text, flush=True)
    except BrokenPipeError:
        raise
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is left is not tried again at the end
        raise EnvironmentFault(
            f"the output cannot be written ({error.strerror or error})", "free some space or write it elsewhere"
        ) from None
    return 0


def forget_colour_reset() -> None:
    """Keep colorama, which libraries switch on as they are loaded, from writing its reset of colours at the end.

    Whoever wrote in colour here has ended it already; a terminal that knows no colour would show the reset.
    """
    loaded = sys.modules.get("colorama.initialise")
    if loaded is not None:
        atexit.unregister(loaded.reset_all)


def grid(headers: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    """Return a table of padded columns, those of numbers to the right."""
    rows = [list(line) for line in lines]
    widths = [max(len(cell) for cell in column) for column in zip(headers, *rows, strict=True)]
    right = [bool(rows) and all(_is_number(row[i]) for row in rows) for i in range(len(headers))]

    def padded(cells: Sequence[str]) -> str:
        texts = [cell.rjust(w) if r else cell.ljust(w) for cell, w, r in zip(cells, widths, right, strict=True)]
        return "  ".join(texts).rstrip()

    return "\n".join([padded(headers), "  ".join("-" * width for width in widths), *map(padded, rows)])


def cell(value: Any) -> str:
    """Return one value as a table shows it: thousands set apart, a dash for nothing."""
    if value is None:
        return "-"
    return f"{value:,}" if isinstance(value, int) else str(value)


def size_text(size_bytes: int) -> str:
    """Return a number of bytes with its unit."""
    size = float(size_bytes)
    for unit in ("B", "KiB", "MiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} GiB"


def day_of(text: str, what: str) -> date:
    """Return the date that the option ``what`` names.

    Raises
    ------
    ConfigError
        When ``text`` is no date.
    """
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise ConfigError(f"{what} {text!r} is no date", "write it as 2024-01-31") from None


def plain_rows(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the rows as plain values: dates as text, whole numbers as such, None for what is missing."""
    import pandas as pd

    def plain(value: Any) -> Any:
        if not isinstance(value, str) and pd.isna(value):
            return None
        if isinstance(value, pd.Timestamp):
            return f"{value:%Y-%m-%d}" if value.tzinfo is None else value.isoformat()
        return value.item() if hasattr(value, "item") else value

    return [{str(name): plain(value) for name, value in row.items()} for row in frame.to_dict("records")]


def _is_number(text: str) -> bool:
    return text.replace(",", "").replace(".", "", 1).removeprefix("-").isdigit()
