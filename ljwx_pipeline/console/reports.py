"""The market's report pages over HTTP: a browser opens no ``file:`` link from a page that came over HTTP.

Read-only, and nothing but the named folders. Not here: what is in them (``quality/``, ``evaluation/``), which they are
(``config/homes.py``).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from fastapi import FastAPI, HTTPException
from fastapi.responses import FileResponse

#: A report is one page with its style and pictures inside: it runs no script and fetches nothing.
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; img-src 'self' data:; font-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}


def add_reports(app: FastAPI, folders: Mapping[str, Path]) -> None:
    """Serve the files below each of ``folders`` at ``/reports/<its name>/``; a folder may not exist yet."""

    @app.api_route("/reports/{folder}/{name:path}", methods=["GET", "HEAD"])
    def report(folder: str, name: str) -> FileResponse:
        path = _file_below(folders[folder], name) if folder in folders else None
        if path is None:
            raise HTTPException(404, f"there is no {folder}/{name}: the run that writes it makes it")
        return FileResponse(path, headers=HEADERS)


def _file_below(folder: Path, name: str) -> Path | None:
    """Return the file ``name`` of ``folder``; None when there is none, or when it, or what it links to, is outside."""
    try:
        path = (folder / name).resolve()
        return path if path.is_relative_to(folder.resolve()) and path.is_file() else None
    except (OSError, ValueError):  # a name too long, or no name at all to the file system
        return None
