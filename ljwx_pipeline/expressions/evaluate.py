"""Evaluate expressions over a panel: the one path by which factors and labels become numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ljwx_pipeline.compiled import kernel
from ljwx_pipeline.errors import FactorError
from ljwx_pipeline.expressions.machine import run
from ljwx_pipeline.expressions.nodes import Expr
from ljwx_pipeline.expressions.program import Program
from ljwx_pipeline.expressions.sections import ORDERED, run_section
from ljwx_pipeline.expressions.stages import Plan, SectionCall, Stage, plan_of
from ljwx_pipeline.market.panel import Float, Panel

#: Symbols handed to the machine at a time: enough to hide the call, few enough to share work between threads.
BLOCK_SYMBOLS = 8
#: Sessions handed to a cross-section at a time: whole cache lines of a symbol's row, and work for every thread.
BLOCK_SESSIONS = 32
#: What the panels of cross-sections may take together before sessions are computed in pieces.
PANEL_BYTES = 2**30
#: The flag that says who belongs to a session's cross-section; without it, every symbol with a known value does.
MEMBERSHIP = "in_universe"


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
    expressions or the length of history; one with a cross-section in it also on the members of the cross-section on
    those sessions, and on nobody else. Arithmetic is float64; ``dtype`` is what is stored. NaN policy: see
    ``operators``.

    Cross-sections need panels of all symbols beside the result. Where they would take more than ``PANEL_BYTES``,
    sessions are computed in pieces, each with the sessions before it that its windows read.

    Raises
    ------
    FactorError
        For an unknown field, or when there is nothing to evaluate.
    """
    plan = _plan(expressions, panel)
    shape = (len(expressions), len(panel.symbols), len(panel.sessions))
    values: NDArray[np.floating[Any]] = np.empty(shape, dtype=dtype)
    with _workers(threads) as each:
        for piece in _pieces(plan, panel):
            panels = _run_stages(plan, _cut_fields(panel, piece), len(panel.symbols), piece, each)
            each(partial(_store_block, plan.last, panels, values, shape[1], piece), range(0, shape[1], BLOCK_SYMBOLS))
    return FactorValues(tuple(expressions), panel.symbols, panel.sessions, values)


def evaluate_blocks(
    expressions: Mapping[str, Expr],
    panel: Panel,
    *,
    block_symbols: int = 256,
    threads: int = 1,
    dtype: type[np.floating[Any]] = np.float32,
) -> Iterator[FactorValues]:
    """Yield the values of ``expressions``, ``block_symbols`` symbols at a time, with the bits of ``evaluate``.

    The blocks share one buffer: a block's ``values`` hold until the next one is asked for. So the whole result need
    not be in memory; a cross-section that the last step still reads is, as float64 over all symbols and sessions.

    Raises
    ------
    FactorError
        For an unknown field, when there is nothing to evaluate, or when a block has no symbol.
    """
    if block_symbols < 1:
        raise FactorError(f"a block of {block_symbols} symbols is empty", "use 1 symbol or more")
    plan = _plan(expressions, panel)
    symbols, sessions = len(panel.symbols), len(panel.sessions)
    fields: dict[str, Float] = {name: panel.fields[name] for name in plan.last.fields if name in panel.fields}
    buffer: NDArray[np.floating[Any]] = np.empty((len(expressions), min(block_symbols, symbols), sessions), dtype=dtype)
    whole = _Piece(0, sessions, 0, sessions)
    with _workers(threads) as each:
        if plan.stages:
            fields |= {name: np.empty((symbols, sessions)) for name in plan.last.fields if name not in panel.fields}
            for piece in _pieces(plan, panel):
                panels = _run_stages(plan, _cut_fields(panel, piece), symbols, piece, each)
                for name in fields.keys() - panel.fields.keys():
                    fields[name][:, piece.first : piece.stop] = panels[name][:, piece.inside]
        for first in range(0, symbols, block_symbols):
            stop = min(first + block_symbols, symbols)
            block = {name: values[first:stop] for name, values in fields.items()}
            store = partial(_store_block, plan.last, block, buffer, stop - first, whole)
            each(store, range(0, stop - first, BLOCK_SYMBOLS))
            names, mine = tuple(expressions), panel.symbols[first:stop]
            yield FactorValues(names, mine, panel.sessions, buffer[:, : stop - first])


def evaluate_last_of_each(
    expressions: Mapping[str, Expr], panel: Panel, length: int, threads: int = 1
) -> NDArray[np.float32]:
    """Return the values of the last of every ``length`` sessions alone, with the bits of ``evaluate``.

    Parameters
    ----------
    expressions
        By name; none with a cross-section.
    panel
        Sessions beyond the last whole ``length`` have no value.
    length
        Sessions a value is stored of once.
    threads
        Threads that share the symbols.

    Returns
    -------
    array
        float32, shape ``(n_names, n_symbols, n_sessions // length)``; NaN as in ``evaluate``.

    Raises
    ------
    FactorError
        For an unknown field, a cross-section, or when there is nothing to evaluate.
    """
    plan = _plan(expressions, panel)
    if plan.stages:
        raise FactorError("a cross-section is not computed symbol by symbol", "use evaluate")
    symbols, sessions = len(panel.symbols), len(panel.sessions)
    values = np.empty((len(expressions), symbols, sessions // length), dtype=np.float32)

    def store(start: int) -> None:
        fields = _block_of(plan.last, panel.fields, symbols, sessions, start)
        _run(plan.last, fields, values, start, length)

    with _workers(threads) as each:
        each(store, range(0, symbols, BLOCK_SYMBOLS))
    return values


@dataclass(frozen=True)
class _Piece:
    """Sessions ``[low, high)`` are computed, of which ``[first, stop)`` are kept."""

    low: int
    high: int
    first: int
    stop: int

    @property
    def inside(self) -> slice:
        """Return where the kept sessions stand among the computed ones."""
        return slice(self.first - self.low, self.stop - self.low)

    @property
    def whole(self) -> bool:
        """Whether all that is computed is kept."""
        return (self.low, self.high) == (self.first, self.stop)


#: Calls a function for every item, on as many threads as were asked for.
_Each = Callable[[Callable[[int], None], Iterable[int]], None]


@contextmanager
def _workers(threads: int) -> Iterator[_Each]:
    if threads == 1:

        def in_turn(function: Callable[[int], None], items: Iterable[int]) -> None:
            for item in items:
                function(item)

        yield in_turn
        return
    with ThreadPoolExecutor(threads) as pool:

        def shared(function: Callable[[int], None], items: Iterable[int]) -> None:
            list(pool.map(function, items))

        yield shared


def _plan(expressions: Mapping[str, Expr], panel: Panel) -> Plan:
    if not expressions:
        raise FactorError("there is no expression to evaluate", "give at least one")
    return plan_of(expressions, frozenset(panel.fields))


def _pieces(plan: Plan, panel: Panel) -> Iterator[_Piece]:
    sessions = len(panel.sessions)
    reach = plan.before + plan.ahead
    at_once = PANEL_BYTES // (8 * max(1, len(panel.symbols) * plan.peak_panels))
    if not plan.stages or at_once >= sessions:
        yield _Piece(0, sessions, 0, sessions)
        return
    # a piece shorter than its own warm-up would be computed more than twice
    length = max(at_once - reach, reach, 1)
    for first in range(0, sessions, length):
        stop = min(first + length, sessions)
        yield _Piece(max(0, first - plan.before), min(sessions, stop + plan.ahead), first, stop)


def _cut_fields(panel: Panel, piece: _Piece) -> dict[str, Float]:
    return {name: values[:, piece.low : piece.high] for name, values in panel.fields.items()}


def _run_stages(plan: Plan, fields: dict[str, Float], symbols: int, piece: _Piece, each: _Each) -> dict[str, Float]:
    """Return ``fields`` with the panels that the last program reads."""
    panels = dict(fields)
    shape = (symbols, piece.high - piece.low)
    for stage in plan.stages:
        panels |= {name: np.empty(shape) for name in stage.panels}
        if stage.panels:
            each(partial(_keep_block, stage, panels), range(0, symbols, BLOCK_SYMBOLS))
        for call in stage.calls:
            result = panels[call.result] = np.empty(shape)
            inputs = [panels[name] for name in call.inputs]
            members = fields.get(MEMBERSHIP)
            each(partial(_run_sessions, call, inputs, members, result), range(0, shape[1], BLOCK_SESSIONS))
        for name in stage.frees:
            del panels[name]
    return panels


def _run_sessions(call: SectionCall, inputs: list[Float], members: Float | None, result: Float, first: int) -> None:
    at = slice(first, min(first + BLOCK_SESSIONS, result.shape[1]))
    stacked = np.empty((len(inputs), at.stop - at.start, len(result)))
    for position, values in enumerate(inputs):
        stacked[position] = values[:, at].T
    member = (
        np.ones(stacked.shape[1:], dtype=np.bool_) if members is None else np.equal(members[:, at].T, 1.0, order="C")
    )
    ascending = np.empty((0, 0), dtype=np.int64)
    if call.section in ORDERED:
        # infinity, not NaN, for who does not enter: with NaN in it numpy sorts at a third of the speed
        ascending = np.argsort(np.where(member & np.isfinite(stacked[0]), stacked[0], np.inf), axis=1)
    out = np.empty(stacked.shape[1:])
    run_section(int(call.section), call.low, call.high, stacked, member, ascending, out)
    result[:, at] = out.T


def _keep_block(stage: Stage, panels: dict[str, Float], start: int) -> None:
    symbols, sessions = panels[stage.panels[0]].shape
    fields = _block_of(stage.program, panels, symbols, sessions, start)
    out = np.empty((len(stage.panels), *fields.shape[1:]))
    _run(stage.program, fields, out, 0)
    for name, values in zip(stage.panels, out, strict=True):
        panels[name][start : start + len(values)] = values


def _store_block(
    program: Program,
    panels: Mapping[str, Float],
    values: NDArray[np.floating[Any]],
    symbols: int,
    piece: _Piece,
    start: int,
) -> None:
    fields = _block_of(program, panels, symbols, piece.high - piece.low, start)
    if piece.whole:
        _run(program, fields, values, start)
        return
    out = np.empty((len(values), *fields.shape[1:]), dtype=values.dtype)
    _run(program, fields, out, 0)
    values[:, start : start + fields.shape[1], piece.first : piece.stop] = out[:, :, piece.inside]


def _run(
    program: Program, fields: NDArray[np.float64], out: NDArray[np.floating[Any]], first: int, every: int = 1
) -> None:
    reg = np.empty((program.rows, fields.shape[2]))
    run(program.code, program.numbers, reg, fields, out, first, every)


def _block_of(
    program: Program, panels: Mapping[str, Float], symbols: int, sessions: int, start: int
) -> NDArray[np.float64]:
    """Return what ``program`` loads of a block of symbols, shape ``(n_fields, n_symbols, n_sessions)``."""
    fields = np.empty((len(program.fields), min(BLOCK_SYMBOLS, symbols - start), sessions))
    for position, name in enumerate(program.fields):
        fields[position] = panels[name][start : start + BLOCK_SYMBOLS]
    return fields


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
