"""Which code makes a backtest's result: a stored result counts only for the code that made it.

Not here: the hash of the whole library, by which assets are reused (``assets/reuse.py``).
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path

import ljwx_pipeline

#: Folders and files of the library that a backtest and its measures run through.
_DECIDING = (
    "backtest/engine.py",
    "backtest/result.py",
    "backtest/sweep_measures.py",
    "compiled.py",
    "units.py",
    "trading",
    "market",
)
_PACKAGES = ("numba", "numpy")


@lru_cache(maxsize=1)
def code_version() -> str:
    """Return the SHA-256 of the source files that decide a backtest's result, and of what compiles it."""
    library = Path(ljwx_pipeline.__file__).parent
    digest = hashlib.sha256()
    for name in _DECIDING:
        root = library / name
        for path in [root] if root.is_file() else sorted(root.rglob("*.py")):
            digest.update(str(path.relative_to(library)).encode())
            digest.update(path.read_bytes())
    digest.update(repr([(name, version(name)) for name in _PACKAGES]).encode())
    return digest.hexdigest()
