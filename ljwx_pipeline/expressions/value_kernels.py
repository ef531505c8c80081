"""Compiled kernels of one session's values: powers, logic, choices. NaN policy: see ``operators``.

Not here: the arithmetic of the first machine (``kernels.py``), anything that looks back (``lag_kernels.py``).
"""

from __future__ import annotations

import math

import numpy as np

from ljwx_pipeline.compiled import kernel
from ljwx_pipeline.expressions.kernels import Row

#: From here on a float64 has no fraction to round.
EXACT = 2.0**52


@kernel
def exponential(out: Row, x: Row) -> None:
    """Write e to the power, NaN where it is not finite."""
    for t in range(len(out)):
        value = math.exp(x[t])
        out[t] = value if value < np.inf else np.nan


@kernel
def square_root(out: Row, x: Row) -> None:
    """Write the square root, NaN below zero."""
    for t in range(len(out)):
        out[t] = math.sqrt(x[t]) if x[t] >= 0.0 else np.nan


@kernel
def sign_of(out: Row, x: Row) -> None:
    """Write -1, 0 or 1."""
    for t in range(len(out)):
        if math.isnan(x[t]):
            out[t] = np.nan
        else:
            out[t] = (1.0 if x[t] > 0.0 else 0.0) - (1.0 if x[t] < 0.0 else 0.0)


@kernel
def power_of(out: Row, x: Row, exponent: Row, signed: int) -> None:
    """Write the power (of the absolute value, with the sign of ``x``, if asked); NaN where it is not finite."""
    for t in range(len(out)):
        base = abs(x[t]) if signed != 0 else x[t]
        value = np.nan
        if not math.isnan(base) and not math.isnan(exponent[t]):
            value = base ** exponent[t]
        if signed != 0:
            value = 0.0 if base == 0.0 and exponent[t] > 0.0 else math.copysign(value, x[t])
        out[t] = value if abs(value) < np.inf else np.nan


@kernel
def rounded_to(out: Row, x: Row, decimals: Row) -> None:
    """Write the value rounded to the constant's decimals, half to even; as it is where it has no such decimals."""
    scale = 10.0 ** decimals[0] if len(out) > 0 else 1.0
    for t in range(len(out)):
        scaled = x[t] * scale
        out[t] = np.rint(scaled) / scale if abs(scaled) < EXACT else x[t]


@kernel
def equals(out: Row, a: Row, b: Row) -> None:
    """Write 1.0 where both are the same, else 0.0; NaN where either is."""
    for t in range(len(out)):
        if math.isnan(a[t]) or math.isnan(b[t]):
            out[t] = np.nan
        else:
            out[t] = 1.0 if a[t] == b[t] else 0.0


@kernel
def both(out: Row, a: Row, b: Row) -> None:
    """Write 1.0 where both are true, 0.0 where one is false, else NaN."""
    for t in range(len(out)):
        if a[t] == 0.0 or b[t] == 0.0:
            out[t] = 0.0
        else:
            out[t] = np.nan if math.isnan(a[t]) or math.isnan(b[t]) else 1.0


@kernel
def either(out: Row, a: Row, b: Row) -> None:
    """Write 1.0 where one is true, 0.0 where both are false, else NaN."""
    for t in range(len(out)):
        true = (a[t] != 0.0 and not math.isnan(a[t])) or (b[t] != 0.0 and not math.isnan(b[t]))
        if true:
            out[t] = 1.0
        else:
            out[t] = np.nan if math.isnan(a[t]) or math.isnan(b[t]) else 0.0


@kernel
def negation(out: Row, a: Row) -> None:
    """Write 1.0 for false and 0.0 for true."""
    for t in range(len(out)):
        if math.isnan(a[t]):
            out[t] = np.nan
        else:
            out[t] = 1.0 if a[t] == 0.0 else 0.0


@kernel
def choose(out: Row, condition: Row, a: Row, b: Row) -> None:
    """Write ``a`` where the condition is true and ``b`` where it is false; NaN where it is unknown."""
    for t in range(len(out)):
        if math.isnan(condition[t]):
            out[t] = np.nan
        else:
            out[t] = a[t] if condition[t] != 0.0 else b[t]


@kernel
def keep_where(out: Row, x: Row, condition: Row) -> None:
    """Write ``x`` where the condition is true, NaN elsewhere."""
    for t in range(len(out)):
        out[t] = x[t] if condition[t] != 0.0 and not math.isnan(condition[t]) else np.nan


@kernel
def filled(out: Row, x: Row, constant: Row) -> None:
    """Write ``x`` with the constant for NaN."""
    for t in range(len(out)):
        out[t] = constant[t] if math.isnan(x[t]) else x[t]
