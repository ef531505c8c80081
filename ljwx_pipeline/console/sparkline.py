"""A line of numbers as inline SVG: no script, no library, no outside file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

WIDTH, HEIGHT, MARGIN = 1000, 180, 6


@dataclass(frozen=True)
class Sparkline:
    """Polyline and area in an SVG of ``WIDTH`` x ``HEIGHT``; ``base_y`` is the height of the first value."""

    line: str
    area: str
    base_y: float
    low: float
    high: float


def sparkline(values: Sequence[float]) -> Sparkline | None:
    """Return the drawing of ``values``, left to right; None for fewer than two."""
    if len(values) < 2:
        return None
    low, high = min(values), max(values)
    spread = (high - low) or 1.0
    inner = HEIGHT - 2 * MARGIN

    def height(value: float) -> float:
        return round(MARGIN + inner * (high - value) / spread, 1)

    step = WIDTH / (len(values) - 1)
    line = " ".join(f"{i * step:.1f},{height(value)}" for i, value in enumerate(values))
    return Sparkline(line, f"0,{HEIGHT} {line} {WIDTH},{HEIGHT}", height(values[0]), low, high)
