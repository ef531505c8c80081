"""The newest session alone: its factors from the last ``window`` sessions, with the bits that the whole history gives.

A value depends on the sessions of its window alone, so several symbols' last sessions may stand one behind the other in
one long row: what the kernels make of a window that crosses from one symbol into the next is thrown away, and each
symbol's last session, whose window is its own, is kept. A program's cost for short rows is mostly that of starting its
thousand instructions; long rows share it, and nothing but the sessions kept is stored (``make bench ONLY=W1c``: 0.19
CPU seconds for 5,400 symbols). The program is planned once for the same expressions (``stages.plan_of``): a caller
that keeps its catalogue does not pay for that again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ljwx_pipeline.errors import FactorError
from ljwx_pipeline.expressions.evaluate import FactorValues, evaluate, evaluate_last_of_each
from ljwx_pipeline.expressions.nodes import Apply, Const, Corr, Ema, Expr, Field, Pair, Quantile, Ref, Rolling
from ljwx_pipeline.market.panel import Panel

#: About this many sessions stand in one row: rows that fit the processor's cache, and enough of them for every thread.
ROW_SESSIONS = 2_500
#: What looks at one symbol's own past and nothing else. Any other expression is computed symbol by symbol.
_OF_ONE_SYMBOL = (Field, Const, Ref, Apply, Rolling, Quantile, Corr, Pair, Ema)


def newest_session(expressions: Mapping[str, Expr], panel: Panel, threads: int = 1) -> FactorValues:
    """Return the values of the panel's last session.

    Parameters
    ----------
    expressions
        Factors by name; none may look ahead.
    panel
        At least the sessions of the longest window; more are not read, and where there are fewer, those before the
        first count as NaN.
    threads
        Threads that share the symbols.

    Returns
    -------
    FactorValues
        float32, shape ``(n_names, n_symbols, 1)``; the same bits as the last session of ``evaluate`` over the whole
        history. NaN as there.

    Raises
    ------
    FactorError
        When one reads a field that the panel lacks, looks ahead, or when there is none.
    """
    ahead = [name for name, expression in expressions.items() if expression.horizon > 0]
    if ahead:
        raise FactorError(f"{ahead[0]} looks ahead: the newest session has no value of it", "leave labels out")
    length = len(panel.sessions)
    window = max((expression.window for expression in expressions.values()), default=1)
    recent = panel.sessions_slice(max(0, length - window), length)
    if all(_of_one_symbol(expression) for expression in expressions.values()):
        values = _folded(expressions, recent, window, threads)
    else:
        result = evaluate(expressions, recent, threads)
        values = result.values[:, :, -1:]  # noqa: PD011 - an array's, no frame's
    return FactorValues(tuple(expressions), panel.symbols, panel.sessions[-1:], np.ascontiguousarray(values))


def _folded(expressions: Mapping[str, Expr], recent: Panel, window: int, threads: int) -> NDArray[np.floating[Any]]:
    """Return the last session's values of rows that each hold several symbols' sessions."""
    symbols = len(recent.symbols)
    a_row = max(1, min(symbols, ROW_SESSIONS // window))
    rows = -(-symbols // a_row)
    fields = {}
    read = frozenset[str]().union(*(expression.inputs for expression in expressions.values()))
    for name in read & recent.fields.keys():
        padded = np.full((rows * a_row, window), np.nan)
        padded[:symbols, window - len(recent.sessions) :] = recent.fields[name]
        fields[name] = padded.reshape(rows, a_row * window)
    numbered = pd.date_range("2000-01-01", periods=a_row * window, name="session_date")
    long_rows = Panel(tuple(str(row) for row in range(rows)), numbered, fields)
    last = evaluate_last_of_each(expressions, long_rows, window, threads)
    return last.reshape(len(last), rows * a_row)[:, :symbols, np.newaxis]


def _of_one_symbol(expression: Expr) -> bool:
    return type(expression) in _OF_ONE_SYMBOL and all(map(_of_one_symbol, expression.children))
