"""Reuse of expensive results: kept with the hashes of everything they came from, given again while those hold.

The hash of the library's source is among them, so that a changed line of code computes anew.
"""

from __future__ import annotations

import hashlib
import json
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path

import ljwx_pipeline
from ljwx_pipeline.lake.atomic_parquet import write_bytes

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
    """Return whether the kept result ``name`` came from exactly ``key`` and today's code."""
    kept = tables / f"{name}.key.json"
    return kept.exists() and kept.read_bytes() == _canonical(key)


def remember(tables: Path, name: str, key: Key) -> None:
    """Note that the result ``name``, just written, came from ``key``. Call it after the result is durable."""
    write_bytes(tables / f"{name}.key.json", _canonical(key))


def forget(tables: Path, name: str) -> None:
    """Drop the note before ``name`` is rewritten, so that a crash between the two never pairs new key and old bytes."""
    (tables / f"{name}.key.json").unlink(missing_ok=True)


def _canonical(key: Key) -> bytes:
    return json.dumps({**key, "code": code_hash()}, sort_keys=True, default=str).encode()
