"""What the age of the runner's last word in the journal means to a person: at work, idle, or not running."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

#: What a runner that is alive does in each mode; a mode of a later release shows as it is.
_DOING = {
    "starting": "starting",
    "waiting": "idle, waiting",
    "trading": "trading",
    "finished": "idle",
    "halted": "halted",
}


@dataclass(frozen=True)
class Heartbeat:
    """Whether the runner still speaks, and a few words that say so."""

    alive: bool
    words: str


def heartbeat(mode: str, updated_at: str, *, now: datetime, max_age_s: float) -> Heartbeat:
    """Return what the runner's last word means.

    Parameters
    ----------
    mode
        What it said it was doing.
    updated_at
        When it said so, ISO 8601 with its zone.
    max_age_s
        Age of the last word beyond which no runner is at work.
    """
    age_s = (now - datetime.fromisoformat(updated_at)).total_seconds()
    alive = age_s <= max_age_s
    doing = _DOING.get(mode, mode) if alive else "not running"
    return Heartbeat(alive, f"{doing}, last seen {spoken_age(age_s)} ago")


def spoken_age(seconds: float) -> str:
    """Return an age in its largest whole unit: ``12 s``, ``5 min``, ``3 h``, ``2 days``."""
    for size_s, unit in ((86_400, "day"), (3_600, "h"), (60, "min")):
        if seconds >= size_s:
            count = int(seconds // size_s)
            return f"{count} {unit}{'s' if unit == 'day' and count > 1 else ''}"
    return f"{max(0, int(seconds))} s"
