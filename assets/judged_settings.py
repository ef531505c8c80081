"""The settings that a research's evidence is made under: what may not change between its first step and its champion.

Not here: what else a result names as its origin (``origin.py``), the hash of a whole configuration
(``ljwx_pipeline.config``).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ljwx_pipeline.config import Settings, dotted
from ljwx_pipeline.config.settings import LOCAL_KEYS
from ljwx_pipeline.tracking import stable_id

SECTIONS = (
    "research",
    "factors",
    "universe",
    "label",
    "model",
    "tune",
    "walk_forward",
    "strategy",
    "costs",
    "evaluation",
    "lint",
    "uncertainty",
    "gate",
)
#: Keys of other sections that a document, or the decision, depends on.
KEYS = ("monitoring.false_alarms_per_year", "approval.required")
#: How many settings an error spells out.
SAID = 3


def judged_settings(settings: Settings) -> dict[str, Any]:
    """Return every setting that evidence, decision or card depends on, as plain values by dotted key."""
    tree = dotted(settings.model_dump(mode="json"))
    local = {".".join(key) for key in LOCAL_KEYS} - set(KEYS)
    return {
        key: value
        for key, value in tree.items()
        if key in KEYS or (key.partition(".")[0] in SECTIONS and key not in local)
    }


def settings_mark(settings: Settings) -> dict[str, str]:
    """Return a short hash of every section of ``judged_settings``: what a document carries."""
    sections: dict[str, dict[str, Any]] = {}
    for key, value in judged_settings(settings).items():
        sections.setdefault(key.partition(".")[0], {})[key] = value
    return {name: stable_id("settings", values)[:16] for name, values in sections.items()}


def changed_since(began: Mapping[str, Any], settings: Settings) -> str:
    """Return which settings are no longer what they were, first those of both; empty where none has changed."""
    now = judged_settings(settings)
    changed = [
        f"{key} {began[key]!r}, now {now[key]!r}" if key in began and key in now else f"{key}, which only one knows"
        for key in sorted(now.keys() | began.keys(), key=lambda key: (key not in began or key not in now, key))
        if key not in began or key not in now or began[key] != now[key]
    ]
    more = f" and {len(changed) - SAID} more" if len(changed) > SAID else ""
    return f"{', '.join(changed[:SAID])}{more}" if changed else ""
