"""The machine that runs a program over rows, one symbol after the other; compiled as a whole.

Not here: what an operation computes (the modules called ``*_kernels.py`` and ``kernels.py``), which instructions there
are (``program.py``).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ljwx_pipeline.compiled import borrowed, kernel_over
from ljwx_pipeline.expressions import kernels as k
from ljwx_pipeline.expressions import lag_kernels as lag
from ljwx_pipeline.expressions import order_kernels as order
from ljwx_pipeline.expressions import program
from ljwx_pipeline.expressions import value_kernels as value
from ljwx_pipeline.expressions.program import Op

Rows = NDArray[np.float64]


@kernel_over(k, program)
def _elementwise(step: NDArray[np.int64], number: float, reg: Rows) -> None:  # noqa: C901 - a dispatch table
    op, integer = step[0], step[-1]
    out, a, b = reg[step[1]], reg[step[2]], reg[step[3]]
    if op == Op.CONST:
        out[:] = number
    elif op == Op.ADD:
        for t in range(len(out)):
            out[t] = a[t] + b[t]
    elif op == Op.SUB:
        for t in range(len(out)):
            out[t] = a[t] - b[t]
    elif op == Op.MUL:
        for t in range(len(out)):
            out[t] = a[t] * b[t]
    elif op == Op.DIV:
        k.divide(out, a, b)
    elif op == Op.ABOVE:
        k.compare(out, a, b, integer)
    elif op == Op.LARGER:
        k.larger(out, a, b)
    elif op == Op.SMALLER:
        k.smaller(out, a, b)
    elif op == Op.ABS:
        for t in range(len(out)):
            out[t] = abs(a[t])
    elif op == Op.LOG:
        k.logarithm(out, a)
    elif op == Op.SHIFT:
        k.shift(out, a, integer)
    elif op == Op.MASK_BY:
        k.mask_by(out, a, b)
    elif op == Op.KNOWN:
        k.known(out, a)
    elif op == Op.ZERO_FILLED:
        k.zero_filled(out, a)
    elif op == Op.SESSION_NUMBERS:
        k.session_numbers(out, a)


@kernel_over(k, order, program)
def _windowed(step: NDArray[np.int64], number: float, reg: Rows) -> None:
    op, integer = step[0], step[-1]
    # no row is taken that is not read: each costs as much as ten values
    out, a, b = reg[step[1]], reg[step[2]], reg[step[3]]
    if op == Op.ADD_WINDOWS:
        k.add_windows(out, a, b, integer)
    elif op == Op.JOIN_WEIGHTS:
        k.join_weights(out, a, b, integer)
    elif op == Op.SUM_OF:
        k.sum_of(out, a, b)
    elif op == Op.STD_OF:
        k.std_of(out, a, b)
    elif op == Op.LOW_FILLED:
        k.low_filled(out, a, number)
    elif op == Op.MAX_WINDOWS:
        k.max_windows(out, a, b, integer)
    elif op == Op.EXTREME_OF:
        k.extreme_of(out, a, number)
    elif op == Op.POSITION_OF:
        k.position_of(out, a, b, integer)
    elif op == Op.RANK_OF:
        order.rank_of(out, a, reg[-1], b, integer)
    elif op == Op.QUANTILE_OF:
        order.quantile_of(out, a, b, integer, number)


@kernel_over(k, program)
def _joined(step: NDArray[np.int64], reg: Rows) -> None:
    op, integer = step[0], step[-1]
    out, a, b, c, d = reg[step[1]], reg[step[2]], reg[step[3]], reg[step[4]], reg[step[5]]
    if op == Op.MEAN_GAPS:
        k.mean_gaps(out, a, b, c, d, integer)
    elif op == Op.JOIN_COMOMENTS:
        k.join_comoments(out, a, b, c, d, reg[step[6]], integer)
    elif op == Op.SLOPE_OF:
        k.slope_of(out, a, b, c)
    elif op == Op.RESI_OF:
        k.resi_of(out, a, b, c, d, reg[step[6]], reg[step[7]])
    elif op == Op.RSQUARE_OF:
        k.rsquare_of(out, a, b, c, d)
    elif op == Op.CORR_OF:
        k.corr_of(out, a, b, c, d)
    elif op == Op.JOIN_INDICES:
        k.join_indices(out, a, b, c, d, integer)


@kernel_over(value, program)
def _chosen(step: NDArray[np.int64], reg: Rows) -> None:  # noqa: C901 - a dispatch table
    op = step[0]
    out, a, b, c = reg[step[1]], reg[step[2]], reg[step[3]], reg[step[4]]
    if op == Op.EXP:
        value.exponential(out, a)
    elif op == Op.SQRT:
        value.square_root(out, a)
    elif op == Op.SIGN:
        value.sign_of(out, a)
    elif op == Op.POWER:
        value.power_of(out, a, b, step[-1])
    elif op == Op.ROUND:
        value.rounded_to(out, a, b)
    elif op == Op.EQUAL:
        value.equals(out, a, b)
    elif op == Op.AND:
        value.both(out, a, b)
    elif op == Op.OR:
        value.either(out, a, b)
    elif op == Op.NOT:
        value.negation(out, a)
    elif op == Op.WHERE:
        value.choose(out, a, b, c)
    elif op == Op.KEEP_WHERE:
        value.keep_where(out, a, b)
    elif op == Op.FILL:
        value.filled(out, a, b)


@kernel_over(lag, program)
def _visiting(step: NDArray[np.int64], number: float, reg: Rows) -> None:  # noqa: C901 - a dispatch table
    op, integer = step[0], step[-1]
    out, a, b, c = reg[step[1]], reg[step[2]], reg[step[3]], reg[step[4]]
    d, e = reg[step[5]], reg[step[6]]
    if op == Op.ONE_FILLED:
        lag.one_filled(out, a)
    elif op == Op.MULTIPLY_WINDOWS:
        lag.multiply_windows(out, a, b, integer)
    elif op == Op.VAR_OF:
        lag.var_of(out, a, b)
    elif op == Op.ZSCORE_OF:
        lag.zscore_of(out, a, b, c, d)
    elif op == Op.BETA_OF:
        lag.beta_of(out, a, b, c, d)
    elif op == Op.RESID_STD_OF:
        lag.resid_std_of(out, a, b, c, d, e)
    elif op == Op.COVERAGE_OF:
        lag.coverage_of(out, a, integer)
    elif op == Op.DECAYED_MEAN:
        lag.decayed_mean(out, a, integer, number)
    elif op == Op.MEAN_DEVIATION_OF:
        lag.mean_deviation_of(out, a, b, c, integer)
    elif op == Op.SKEW_OF:
        lag.skew_of(out, a, b, c, integer)
    elif op == Op.KURT_OF:
        lag.kurt_of(out, a, b, c, integer)
    elif op == Op.LAST_KNOWN:
        lag.last_known_of(out, a, integer)
    elif op == Op.SINCE:
        lag.since_of(out, a, integer)
    elif op == Op.STREAK:
        lag.streak_of(out, a, integer)


@kernel_over(k, program)
def _write(op: int, number: float, a: k.Row, b: k.Row, stored: NDArray[np.floating[Any]]) -> None:
    if op == Op.STORE_QUOTIENT:
        k.divide(stored, a, b)
    elif number != 0.0:
        stored[:] = a
    else:
        k.finite(stored, a)


@kernel_over(k, program)
def _store(step: NDArray[np.int64], number: float, reg: Rows, stored: NDArray[np.floating[Any]], every: int) -> None:
    a, b = reg[step[2]], reg[step[3]]
    if every == 1:
        _write(step[0], number, a, b, stored)
    else:
        _write(step[0], number, a[every - 1 :: every], b[every - 1 :: every], stored)


@kernel_over(k, lag, order, value, program)
def run(
    code: NDArray[np.int64],
    numbers: NDArray[np.float64],
    reg: Rows,
    fields: Rows,
    out: NDArray[np.floating[Any]],
    first: int,
    every: int,
) -> None:
    """Run a program over a block of symbols.

    Parameters
    ----------
    code, numbers
        As in ``Program``.
    reg
        Memory for the rows of ``Program``, shape ``(rows, n_sessions)``; one a thread.
    fields
        float64, shape ``(n_fields, n_symbols, n_sessions)``.
    out
        float32 or float64, C-ordered so that it is compiled once, shape
        ``(n_expressions, n_all_symbols, n_sessions // every)``.
    first
        Row of ``out`` of the block's first symbol. Every element of the block's rows is written, infinite ones as NaN
        unless the instruction says otherwise.
    every
        The last of so many sessions is stored; 1 stores all.
    """
    code, reg, fields, out = borrowed(code), borrowed(reg), borrowed(fields), borrowed(out)
    for symbol in range(fields.shape[1]):
        for position in range(len(code)):
            step = code[position]
            op = step[0]
            if op == Op.LOAD:
                if numbers[position] != 0.0:
                    reg[step[1]][:] = fields[step[-1], symbol]
                else:
                    k.finite(reg[step[1]], fields[step[-1], symbol])
            elif op <= Op.STORE_QUOTIENT:
                _store(step, numbers[position], reg, out[step[-1], first + symbol], every)
            elif op < Op.ADD_WINDOWS:
                _elementwise(step, numbers[position], reg)
            elif op < Op.MEAN_GAPS:
                _windowed(step, numbers[position], reg)
            elif op < Op.EXP:
                _joined(step, reg)
            elif op < Op.ONE_FILLED:
                _chosen(step, reg)
            else:
                _visiting(step, numbers[position], reg)
