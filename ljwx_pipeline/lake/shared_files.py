"""Files that two lakes share: adoption gives a month one file under two names, so damage to one is damage to both.

Not here: linking them (``adoption.py``), reading them (``scan.py``).
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from ljwx_pipeline.errors import LakeError


def damage_told(path: Path, *, sha256: str) -> LakeError | None:
    """Return the error that names every file damaged with ``path``; None unless it is damaged and has other names.

    Parameters
    ----------
    path
        A data file that could not be read.
    sha256
        Hash of the bytes that were written to it.
    """
    try:
        if hashlib.sha256(path.read_bytes()).hexdigest() == sha256:
            return None
        others = _other_names(path)
    except OSError:
        return None
    if not others:
        return None
    folders = ", ".join(str(name.parent) for name in (path, *others))
    return LakeError(
        f"{path} is damaged: its bytes are not the ones that were written; so is {', '.join(map(str, others))}, "
        "which is the same file under another name",
        f"restore each of them from a backup; without one, delete the folders {folders} and load the data again",
    )


def _other_names(path: Path) -> list[Path]:
    """Return the names that the file at ``path`` has in the lakes beside its own."""
    if path.stat().st_nlink < 2:
        return []
    table, partition = path.parent.parent, path.parent.name
    beside = table.parent.parent.glob(f"*/*/{partition}/*.parquet")
    return sorted(other for other in beside if other != path and other.samefile(path))
