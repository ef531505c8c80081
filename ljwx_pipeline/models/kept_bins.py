"""Binned rows kept as LightGBM's own binary files, so that the next training on the same features reads them.

A file is named by what decided it and by its own content, ``KEY.SHA256.bin``: a damaged or foreign one does not hold to
its name, is removed and made anew. At most ``KEPT_FILES`` of a folder are kept, those used last. A file takes about one
byte a row and factor. Not here: how rows are binned (``binned.py``).
"""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
from contextlib import suppress
from pathlib import Path

import lightgbm as lgb

#: A run uses three (tuning, walk forward, the final model); the others are of the catalogues tried before.
KEPT_FILES = 8
#: A temporary this much older than the newest file belongs to a process that was killed.
_ABANDONED_S = 3600.0
#: Free bytes a row and factor below which nothing is kept: LightGBM does not say when a disk fills.
_ROOM_BYTES = 4


def read_bins(folder: Path, key: str, params: dict[str, object]) -> lgb.Dataset | None:
    """Return the kept bins ``key``, or None when there are none that can be read; what is damaged is removed."""
    for path in sorted(folder.glob(f"{key}.*.bin")):
        try:
            if path.name == _name(key, path):
                found = lgb.Dataset(str(path), params=params).construct()
                os.utime(path)
                return found
        except (FileNotFoundError, lgb.basic.LightGBMError):
            pass  # pruned by another process meanwhile, or written by another LightGBM: made anew
        path.unlink(missing_ok=True)
    return None


def keep_bins(folder: Path, key: str, handle: lgb.Dataset) -> None:
    """Keep bins under ``key``, whole or not at all, and remove what was not used for longest.

    A folder that cannot be written, or a disk without room, keeps nothing: the next training bins again.
    """
    temporary = folder / f".{key}.{secrets.token_hex(8)}.part"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if shutil.disk_usage(folder).free < _ROOM_BYTES * handle.num_data() * handle.num_feature():
            return
        handle.save_binary(temporary)
        kept = temporary.replace(folder / _name(key, temporary))
        _prune(folder, kept)
    except (OSError, lgb.basic.LightGBMError):
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def _name(key: str, path: Path) -> str:
    with path.open("rb") as file:
        return f"{key}.{hashlib.file_digest(file, 'sha256').hexdigest()[:32]}.bin"


def _prune(folder: Path, newest: Path) -> None:
    written = newest.stat().st_mtime
    used = {path: _used(path) for path in folder.glob("*.bin") if path != newest}
    stale = sorted(used, key=lambda path: used[path], reverse=True)[KEPT_FILES - 1 :]
    stale += [path for path in folder.glob(".*.part") if _used(path) < written - _ABANDONED_S]
    for path in stale:
        path.unlink(missing_ok=True)


def _used(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:  # another process prunes too
        return 0.0
