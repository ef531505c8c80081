"""Code, interpreter and packages that decide bits: told beside a run, compared before it is made again."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

#: Packages whose version can change a result or its bytes on disk.
PACKAGES = ("lightgbm", "numba", "llvmlite", "numpy", "optuna", "pandas", "pyarrow", "scikit-learn", "scipy", "xgboost")


def environment() -> dict[str, Any]:
    """Return the interpreter's version, the machine's kind and the version of each of ``PACKAGES`` that is there."""
    packages = {}
    for name in PACKAGES:
        try:
            packages[name] = version(name)
        except PackageNotFoundError:
            continue
    return {"python": platform.python_version(), "machine": platform.machine(), "packages": packages}


def environment_differences(was: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Return a sentence for each thing in which two environments differ, interpreter first."""
    said = [
        f"{name} {was.get(name)} then, {now.get(name)} now"
        for name in ("python", "machine")
        if was.get(name) != now.get(name)
    ]
    before, after = was.get("packages", {}), now.get("packages", {})
    return said + [
        f"{name} {before.get(name, 'absent')} then, {after.get(name, 'absent')} now"
        for name in sorted({*before, *after})
        if before.get(name) != after.get(name)
    ]


def revision_of(root: Path) -> str:
    """Return the commit of the checkout at ``root``, with ``-dirty`` when tracked files differ from it.

    An image holds no checkout: there ``LJWX_GIT_REVISION``, set when it was built, says it, or else ``unknown``.
    """
    git = shutil.which("git")
    if git is None or not (root / ".git").exists():
        return os.environ.get("LJWX_GIT_REVISION", "unknown")
    command = [git, "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    described = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)  # noqa: S603
    return described.stdout.strip() if described.returncode == 0 else "unknown"
