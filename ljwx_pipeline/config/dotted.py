"""Nested settings as one table by dotted key."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def dotted(tree: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    """Return the values of nested settings by dotted key; an empty table is a value."""
    found: dict[str, Any] = {}
    for key, value in tree.items():
        found |= dotted(value, f"{above}{key}.") if isinstance(value, Mapping) and value else {f"{above}{key}": value}
    return found
