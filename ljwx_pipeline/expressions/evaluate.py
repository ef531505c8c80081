"""Evaluate expressions over a panel: the one path by which factors and labels become numbers."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ljwx_pipeline.errors import FactorError
from ljwx_pipeline.expressions.compiled import kernel
from ljwx_pipeline.expressions.machine import run
from ljwx_pipeline.expressions.nodes import Expr
from ljwx_pipeline.expressions.program import Program, compile_program
from ljwx_pipeline.market.panel import Panel

#: Symbols handed to the machine at a time: enough to hide the call, few enough to share work between threads.
BLOCK_SYMBOLS = 16


@dataclass(frozen=True)
class FactorValues:
    """Values of expressions over a panel.

    Parameters
    ----------
    names
        Expression names, first axis.
    symbols, sessions
        The panel's axes.
    values
        float32 (or as asked), shape ``(n_names, n_symbols, n_sessions)``; NaN where undefined, never infinite.
        Sessions without a bar may hold numbers too: the window behind them is known.
    """

    names: tuple[str, ...]
    symbols: tuple[str, ...]
    sessions: pd.DatetimeIndex
    values: NDArray[np.floating[Any]]

    def of(self, name: str) -> NDArray[np.floating[Any]]:
        """Return the values of one expression, shape ``(n_symbols, n_sessions)``."""
        values: NDArray[np.floating[Any]] = self.values[self.names.index(name)]
        return values

    def frame(self, present: NDArray[np.bool_]) -> pd.DataFrame:
        """Return the rows where ``present``, in (session, symbol) order.

        Parameters
        ----------
        present
            bool, shape ``(n_symbols, n_sessions)``: usually where there is a bar.

        Returns
        -------
        DataFrame
            ``symbol``, ``session_date`` and one column a name; the values stand in one block that pandas does not
            copy, so the cost is one copy of the values kept.
        """
        at_session, at_symbol = np.nonzero(np.ascontiguousarray(present.T))
        block = np.empty((len(self.names), len(at_session)), dtype=self.values.dtype)
        _gather(self.values, at_symbol, at_session, block)
        frame = pd.DataFrame(block.T, columns=list(self.names), copy=False)
        frame.insert(0, "session_date", self.sessions[at_session])
        frame.insert(0, "symbol", np.array(self.symbols, dtype=object)[at_symbol])
        return frame


def evaluate(
    expressions: Mapping[str, Expr], panel: Panel, threads: int = 1, dtype: type[np.floating[Any]] = np.float32
) -> FactorValues:
    """Return the values of ``expressions`` over ``panel``.

    Each value depends on the sessions of its window alone, bit for bit, whatever the number of threads, the other
    expressions or the length of history. Arithmetic is float64; ``dtype`` is what is stored. NaN policy: see
    ``operators``.

    Raises
    ------
    FactorError
        For an unknown field, or when there is nothing to evaluate.
    """
    if not expressions:
        raise FactorError("there is no expression to evaluate", "give at least one")
    program = compile_program(expressions, frozenset(panel.fields))
    shape = (len(expressions), len(panel.symbols), len(panel.sessions))
    values: NDArray[np.floating[Any]] = np.empty(shape, dtype=dtype)
    starts = range(0, len(panel.symbols), BLOCK_SYMBOLS)
    if threads == 1:
        for start in starts:
            _run_block(program, panel, values, start)
    else:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(lambda start: _run_block(program, panel, values, start), starts))
    return FactorValues(tuple(expressions), panel.symbols, panel.sessions, values)


def _run_block(program: Program, panel: Panel, values: NDArray[np.floating[Any]], start: int) -> None:
    stop = min(start + BLOCK_SYMBOLS, len(panel.symbols))
    fields = np.empty((len(program.fields), stop - start, len(panel.sessions)))
    for position, name in enumerate(program.fields):
        fields[position] = panel.fields[name][start:stop]
    run(program.code, program.numbers, program.rows, fields, values[:, start:stop])


@kernel
def _gather(
    values: NDArray[np.floating[Any]],
    at_symbol: NDArray[np.int64],
    at_session: NDArray[np.int64],
    block: NDArray[np.floating[Any]],
) -> None:
    for name in range(len(block)):
        source, target = values[name], block[name]
        for row in range(len(target)):
            target[row] = source[at_symbol[row], at_session[row]]
