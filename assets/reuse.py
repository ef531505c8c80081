"""Reuse of expensive results: kept with the hashes of everything they came from, given again while those hold.

The hash of the library's source is among them, so that a changed line of code computes anew.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path

import ljwx_pipeline
from ljwx_pipeline.lake.atomic_parquet import file_sha256, write_bytes

COMPUTING_PACKAGES = ("lightgbm", "numba", "numpy", "pandas", "pyarrow", "scipy")

Key = dict[str, str | int | dict[str, object]]


@lru_cache(maxsize=1)
def code_hash() -> str:
    """Return the SHA-256 of the library's and the assets' source files, and of the versions of what computes."""
    library = Path(ljwx_pipeline.__file__).parent
    digest = hashlib.sha256()
    for root in (library, Path(__file__).parent):
        for path in sorted(root.rglob("*.py")):
            digest.update(str(path.relative_to(root)).encode())
            digest.update(path.read_bytes())
    digest.update(repr([(name, version(name)) for name in COMPUTING_PACKAGES]).encode())
    return digest.hexdigest()


def is_current(tables: Path, name: str, key: Key) -> bool:
    """Return whether the kept result ``name`` came from exactly ``key`` and today's code, and no byte of it changed."""
    note = tables / f"{name}.key.json"
    try:
        kept = json.loads(note.read_text(encoding="utf-8"))
        return bool(
            kept["came_from"] == stated(key) and all(file_sha256(Path(f)) == h for f, h in kept["files"].items())
        )
    except (FileNotFoundError, ValueError, KeyError, TypeError, AttributeError):
        return False  # no note, a damaged one or a file gone: whatever is there cannot be trusted, compute anew


def remember(tables: Path, name: str, key: Key, files: Sequence[Path]) -> None:
    """Note that the result ``name`` in ``files``, just written, came from ``key``."""
    hashes = {str(path): file_sha256(path) for path in files}
    write_bytes(tables / f"{name}.key.json", json.dumps({"came_from": stated(key), "files": hashes}).encode())


def forget(tables: Path, name: str) -> None:
    """Drop the note before ``name`` is rewritten, so that a crash between the two never pairs new key and old bytes."""
    (tables / f"{name}.key.json").unlink(missing_ok=True)


def stated(key: Key) -> str:
    """Return ``key`` and today's code as one text: another text is another result."""
    return json.dumps({**key, "code": code_hash()}, sort_keys=True, default=str)
