"""Folders whose entries survive a power cut."""

from __future__ import annotations

import os
from pathlib import Path


def make_folder(folder: Path) -> list[Path]:
    """Make ``folder``; return the folders to force to disk, or a power cut may take a new folder with all it holds."""
    if folder.is_dir():
        return []
    above = make_folder(folder.parent)
    folder.mkdir(exist_ok=True)
    return [*above, folder.parent]


def sync_folder(folder: Path) -> None:
    """Force renames and removals in ``folder`` to disk: without it a power cut may bring the old names back."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
