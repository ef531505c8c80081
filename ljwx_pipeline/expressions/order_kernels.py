"""Compiled kernels of order statistics: what a window is once it is sorted. NaN policy: see ``operators``.

Order statistics are values of the window themselves, so that no history enters a result. A sorted window is kept from
session to session: the value that leaves is taken out, the one that comes is put in. One window after the other, that
is a chain of comparisons the processor guesses wrong; so a row is cut in ``LANES`` parts whose windows advance
together, one vector instruction for all (measured: 15 to 40 instead of 45 to 150 microseconds for 2,500 sessions and
windows of 5 to 60). Each part warms up on the sessions before it. Not here: anything that adds up (``kernels.py``).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, cast

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils as untyped_cgutils
from numba.extending import intrinsic
from numpy.typing import NDArray

from ljwx_pipeline.compiled import kernel
from ljwx_pipeline.expressions.kernels import Row

#: Parts of a row that advance together: float64 in the widest vector register.
LANES = 8
#: Rows of fewer windows than this are sorted one window after the other: warming up would cost more than it saves.
MIN_WINDOWS = 6

Windows = NDArray[np.float64]
#: numba's helpers for writing instructions, which carry no types.
cgutils: Any = untyped_cgutils


def _advance(
    _typing: Any, ordered: Any, window: Any, series: Any, leaving: Any, coming: Any
) -> tuple[Any, Callable[..., Any]]:
    """Return the type of ``advance`` and what writes its instructions, as numba wants an intrinsic to."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        lanes = ir.VectorType(ir.DoubleType(), LANES)

        def rows_of(position: int) -> Any:
            array = context.make_array(signature.args[position])(context, builder, arguments[position])
            return builder.bitcast(array.data, lanes.as_pointer())

        def load(rows: Any, index: Any) -> Any:
            return builder.load(builder.gep(rows, [index]), align=8)

        rows, given = rows_of(0), rows_of(2)
        out, new = load(given, arguments[3]), load(given, arguments[4])
        here = cgutils.alloca_once_value(builder, builder.load(rows, align=8))
        last = cgutils.alloca_once_value(builder, ir.Constant(lanes, [-math.inf] * LANES))
        with cgutils.for_range(builder, arguments[1]) as loop:
            above = load(rows, cgutils.increment_index(builder, loop.index))
            value, below = builder.load(here), builder.load(last)
            # from where the leaving value stands, everything moves one place down ...
            kept = builder.select(builder.fcmp_ordered(">=", value, out), above, value)
            # ... and from where the coming one belongs, one place up
            capped = builder.select(builder.fcmp_ordered("<", kept, new), kept, new)
            placed = builder.select(builder.fcmp_ordered(">", below, capped), below, capped)
            builder.store(placed, builder.gep(rows, [loop.index]), align=8)
            builder.store(kept, last)
            builder.store(above, here)
        return context.get_dummy_value()

    return types.void(ordered, window, series, leaving, coming), codegen


#: Take row ``leaving`` of a series out of ascending windows and put row ``coming`` in, in place; infinity stands for a
#: value that is none. ``ordered`` has shape ``(window + 1, LANES)`` and infinity in its last row, ``series`` has
#: ``LANES`` columns; nothing is tested.
advance = cast("Callable[[Windows, int, Windows, int, int], None]", intrinsic(_advance))


@kernel
def replace_sorted(ordered: Row, size: int, old: float, new: float) -> int:
    """Take ``old`` out of ``size`` ascending values and put ``new`` in, in place; NaN is neither. Return the new size.

    There must be room for one value more.
    """
    place = size
    if not math.isnan(old):
        low, high = 0, size
        while low < high:
            middle = (low + high) // 2
            if ordered[middle] < old:
                low = middle + 1
            else:
                high = middle
        place = low
        size -= 1
    if math.isnan(new):
        for k in range(place, size):
            ordered[k] = ordered[k + 1]
        return size
    while place < size and ordered[place + 1] < new:
        ordered[place] = ordered[place + 1]
        place += 1
    while place > 0 and ordered[place - 1] > new:
        ordered[place] = ordered[place - 1]
        place -= 1
    ordered[place] = new
    return size + 1


@kernel
def between(value: float, above: float, frac: float) -> float:
    """Return the value ``frac`` of the way to the one above, which need not be there where that is none."""
    return value if frac == 0.0 else value + (above - value) * frac


@kernel
def quantile_of(out: Row, x: Row, n: Row, window: int, level: float) -> None:
    """Write the quantile of the window's ``n`` known values."""
    if len(out) >= MIN_WINDOWS * window:
        quantile_in_lanes(out, x, n, window, level)
        return
    ordered = np.empty(window + 1)
    size = 0
    for t in range(len(out)):
        size = replace_sorted(ordered, size, x[t - window] if t >= window else np.nan, x[t])
        place = level * (size - 1)
        low = int(place)
        out[t] = between(ordered[low], ordered[low + 1], place - low) if size > 0 else np.nan


@kernel
def quantile_in_lanes(out: Row, x: Row, n: Row, window: int, level: float) -> None:
    """Write the quantile of the window's ``n`` known values, ``LANES`` parts of the row together."""
    sessions = len(out)
    part = (sessions + LANES - 1) // LANES
    warm_up = window - 1
    # a column a part, its warm-up before it; the last row stands for values that are none
    series = np.full((warm_up + part + 1, LANES), np.inf)
    for lane in range(LANES):
        first = lane * part - warm_up
        for row in range(max(0, -first), min(warm_up + part, sessions - first)):
            series[row, lane] = np.inf if math.isnan(x[first + row]) else x[first + row]
    ordered = np.full((window + 1, LANES), np.inf)
    for row in range(warm_up + part):
        advance(ordered, window, series, row - window if row >= window else warm_up + part, row)
        if row >= warm_up:
            for lane in range(LANES):
                t = lane * part + row - warm_up
                if t < sessions:
                    place = level * (n[t] - 1.0)
                    low = int(place)
                    value = between(ordered[low, lane], ordered[low + 1, lane], place - low)
                    out[t] = value if n[t] > 0.0 else np.nan


@kernel
def rank_of(out: Row, x: Row, below: Row, n: Row, window: int) -> None:
    """Write the current value's rank over the count ``n``; ``below`` is scratch. NaN compares false, so is skipped."""
    below[:] = 0.5
    for lag in range(min(window, len(out))):
        tail, x_tail = below[lag:], x[lag:]
        for i in range(len(tail)):
            tail[i] += (0.5 if x[i] < x_tail[i] else 0.0) + (0.5 if x[i] <= x_tail[i] else 0.0)
    for t in range(len(out)):
        out[t] = np.nan if math.isnan(x[t]) else below[t] / n[t]
