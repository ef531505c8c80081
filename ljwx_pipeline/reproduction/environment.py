"""Interpreter and packages that decide bits: told beside a run, compared before it is made again."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
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
