"""Pictures as SVG text inside a page: bars, stacked bars, lines. No library: the runner's environment holds none.

Colours are the page's own (``templates/page.css``), so that a picture looks like its page. Not here: which pictures
there are (``figures.py``).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

#: Colours of what is shown, in order.
COLOURS = ("var(--blue)", "#c9772b", "#4a9a7e", "#8a6fb0", "#8b95a1")
WIDTH = 860
_LEFT, _RIGHT, _TOP, _BOTTOM = 62, 8, 10, 26
#: About so many lines across.
_TICKS = 4
#: Width of a label's character, and what is left free between two labels.
_CHARACTER, _GAP = 6.2, 8


def bars(values: Mapping[str, float], *, unit: str, height: int = 190, colour: str = COLOURS[0]) -> str:
    """Return one bar a label, up for values above zero and down for those below."""
    columns = {label: {unit: value} for label, value in values.items()}
    return stacked(columns, unit=unit, height=height, colours=(colour,))


def stacked(
    columns: Mapping[str, Mapping[str, float]], *, unit: str, height: int = 220, colours: Sequence[str] = COLOURS
) -> str:
    """Return one bar a label, made of parts in the order of their names; parts below zero hang below the line."""
    tops = [sum(max(part, 0.0) for part in parts.values()) for parts in columns.values()]
    floors = [sum(min(part, 0.0) for part in parts.values()) for parts in columns.values()]
    frame = _Frame(min([0.0, *floors]), max([0.0, *tops]), height, unit)
    step = (WIDTH - _LEFT - _RIGHT) / max(len(columns), 1)
    drawn = [frame.grid()]
    for at, parts in enumerate(columns.values()):
        x, up, down = _LEFT + at * step, 0.0, 0.0
        for number, (name, part) in enumerate(parts.items()):
            start = up if part >= 0 else down
            top, floor = frame.y(max(start, start + part)), frame.y(min(start, start + part))
            up, down = (up + part, down) if part >= 0 else (up, down + part)
            label = f"{list(columns)[at]}, {name}: {part:,.2f}" if name != unit else f"{list(columns)[at]}: {part:,.2f}"
            drawn.append(
                f'<rect x="{x + step * 0.1:.1f}" y="{top:.1f}" width="{max(step * 0.8, 0.5):.1f}" '
                f'height="{max(floor - top, 0.0):.1f}" fill="{colours[number % len(colours)]}">'
                f"<title>{escape(label)}</title></rect>"
            )
    drawn.append(frame.labels([(_LEFT + (at + 0.5) * step, label) for at, label in enumerate(columns)]))
    return frame.svg(drawn)


def lines(labels: Sequence[str], series: Mapping[str, Sequence[float]], *, unit: str, height: int = 220) -> str:
    """Return one line a series over the same labels."""
    every = [value for values in series.values() for value in values]
    frame = _Frame(min(every), max(every), height, unit)
    step = (WIDTH - _LEFT - _RIGHT) / max(len(labels) - 1, 1)
    drawn = [frame.grid()]
    # the first one last: it lies on top
    for number, (name, values) in reversed(list(enumerate(series.items()))):
        points = " ".join(f"{_LEFT + at * step:.1f},{frame.y(value):.1f}" for at, value in enumerate(values))
        drawn.append(
            f'<polyline points="{points}" fill="none" stroke="{COLOURS[number % len(COLOURS)]}" '
            f'stroke-width="{2.0 if number == 0 else 4.0}" stroke-linejoin="round" '
            f'stroke-opacity="{1.0 if number == 0 else 0.55}"><title>{escape(name)}</title></polyline>'
        )
    drawn.append(frame.labels([(_LEFT + at * step, label) for at, label in enumerate(labels)]))
    return frame.svg(drawn)


class _Frame:
    """The plane of one picture: values upwards, grid lines at round numbers."""

    def __init__(self, low: float, high: float, height: int, unit: str) -> None:
        self._height = height
        self._unit = unit
        if high <= low:
            low, high = low - 0.5, high + 0.5
        self._step = _round_step((high - low) / _TICKS)
        self._low = math.floor(low / self._step) * self._step
        self._high = math.ceil(high / self._step) * self._step

    def y(self, value: float) -> float:
        inner = self._height - _TOP - _BOTTOM
        return _TOP + inner * (self._high - value) / (self._high - self._low)

    def grid(self) -> str:
        count = round((self._high - self._low) / self._step)
        digits = max(0, -math.floor(math.log10(self._step)))
        out = []
        for at in range(count + 1):
            value = self._low + at * self._step
            y, ink = self.y(value), "var(--muted)" if abs(value) < self._step / 2 else "var(--line)"
            said = f"{0.0 if abs(value) < self._step / 2 else value:,.{digits}f}".replace("-", "\u2212")
            out.append(
                f'<line x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}" stroke="{ink}"/>'
                f'<text x="{_LEFT - 6}" y="{y + 3.5:.1f}" text-anchor="end">{said}</text>'
            )
        return "".join(out)

    def labels(self, places: Sequence[tuple[float, str]]) -> str:
        """Write as many labels below as there is room for, the first and the last within the picture."""
        out, free = [], 0.0
        for x, label in places:
            half = len(label) * _CHARACTER / 2
            centre = min(max(x, half), WIDTH - half)
            if centre - half < free:
                continue
            free = centre + half + _GAP
            out.append(f'<text x="{centre:.1f}" y="{self._height - 8}" text-anchor="middle">{escape(label)}</text>')
        return "".join(out)

    def svg(self, drawn: Sequence[str]) -> str:
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {self._height}" role="img" '
            f'aria-label="{escape(self._unit)}" font-size="11" fill="var(--muted)">{"".join(drawn)}</svg>'
        )


def _round_step(rough: float) -> float:
    """Return 1, 2 or 5 times a power of ten, the first that is not below ``rough``."""
    power = 10.0 ** math.floor(math.log10(rough))
    return next(times * power for times in (1.0, 2.0, 5.0, 10.0) if times * power >= rough * (1 - 1e-9))
