"""From expressions to a program: a flat list of row instructions in which equal work appears once.

Instructions are hash-consed, so sub-expressions, windowed sums, counts and extremes shared by several factors are
computed once; rows are reused as soon as nothing reads them any more. How a window is put together depends on its
length alone, never on what else is in the catalogue: a factor has the same bits in every company.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum, auto

import numpy as np
from numpy.typing import NDArray

from ljwx_pipeline.errors import FactorError
from ljwx_pipeline.expressions.nodes import (
    Apply,
    Const,
    Corr,
    Elementwise,
    Expr,
    Field,
    Quantile,
    Ref,
    Rolling,
    Statistic,
)

#: Raise by one when a kernel or a rule below changes any value: it is part of every factor hash.
SEMANTICS_VERSION = 1
#: Columns of an instruction: operation, row written, six rows read, one integer.
MAX_ROWS_READ = 6
COLUMNS = 2 + MAX_ROWS_READ + 1


class Op(IntEnum):
    """What an instruction does; ``machine.py`` says with which kernel."""

    LOAD = auto()
    CONST = auto()
    STORE = auto()
    ADD = auto()
    SUB = auto()
    MUL = auto()
    DIV = auto()
    ABOVE = auto()
    LARGER = auto()
    SMALLER = auto()
    ABS = auto()
    LOG = auto()
    SHIFT = auto()
    MASK_BY = auto()
    KNOWN = auto()
    ZERO_FILLED = auto()
    SESSION_NUMBERS = auto()
    ADD_WINDOWS = auto()
    JOIN_WEIGHTS = auto()
    MEAN_GAPS = auto()
    JOIN_COMOMENTS = auto()
    SUM_OF = auto()
    STD_OF = auto()
    SLOPE_OF = auto()
    RESI_OF = auto()
    RSQUARE_OF = auto()
    CORR_OF = auto()
    LOW_FILLED = auto()
    MAX_WINDOWS = auto()
    EXTREME_OF = auto()
    JOIN_INDICES = auto()
    POSITION_OF = auto()
    RANK_OF = auto()
    QUANTILE_OF = auto()


@dataclass(frozen=True)
class Instruction:
    """One operation on rows; ``reads`` are positions of the instructions whose rows it reads."""

    op: Op
    reads: tuple[int, ...] = ()
    integer: int = 0
    number: float = 0.0


@dataclass(frozen=True)
class Program:
    """Instructions in the form the machine takes.

    Parameters
    ----------
    fields
        Panel fields in the order ``LOAD`` numbers them.
    code
        int64, shape ``(n_instructions, COLUMNS)``.
    numbers
        float64, shape ``(n_instructions,)``.
    rows
        Rows the machine needs; the last one is scratch.
    """

    fields: tuple[str, ...]
    code: NDArray[np.int64]
    numbers: NDArray[np.float64]
    rows: int


def split_window(length: int) -> tuple[int, int]:
    """Return the lengths (newer, older) that a window of ``length`` > 1 is joined from.

    Halves, else two thirds and one third, else all but one: 60, 30, 20, 10 and 5 then share all their parts.
    """
    if length % 2 == 0:
        return length // 2, length // 2
    if length % 3 == 0:
        return 2 * length // 3, length // 3
    return length - 1, 1


def compile_program(expressions: Mapping[str, Expr], known_fields: frozenset[str]) -> Program:
    """Return the program that stores ``expressions`` in their order.

    Raises
    ------
    FactorError
        When one reads a field that is not known; the message names both.
    """
    fields = tuple(sorted(frozenset[str]().union(*(e.inputs for e in expressions.values()))))
    for name, expression in expressions.items():
        missing = sorted(expression.inputs - known_fields)
        if missing:
            raise FactorError(
                f"factor {name} reads unknown field {missing[0]!r}", f"use one of {', '.join(sorted(known_fields))}"
            )
    builder = _Builder(fields)
    for position, expression in enumerate(expressions.values()):
        builder.emit(Op.STORE, builder.series(expression), integer=position)
    return _allocate(fields, builder.instructions)


class _Builder:
    """Turns expressions into instructions, each kept once."""

    def __init__(self, fields: tuple[str, ...]) -> None:
        self.instructions: list[Instruction] = []
        self._fields = {name: position for position, name in enumerate(fields)}
        self._position: dict[Instruction, int] = {}
        self._series: dict[Expr, int] = {}

    def emit(self, op: Op, *reads: int, integer: int = 0, number: float = 0.0) -> int:
        instruction = Instruction(op, reads, integer, number)
        if instruction not in self._position:
            self._position[instruction] = len(self.instructions)
            self.instructions.append(instruction)
        return self._position[instruction]

    def series(self, expression: Expr) -> int:
        if expression not in self._series:
            self._series[expression] = self._build(expression)
        return self._series[expression]

    def _build(self, expression: Expr) -> int:
        match expression:
            case Field(name):
                return self.emit(Op.LOAD, integer=self._fields[name])
            case Const(value):
                return self.emit(Op.CONST, number=value)
            case Ref(series, sessions):
                return self.emit(Op.SHIFT, self.series(series), integer=sessions)
            case Apply(operation, arguments):
                return self._apply(operation, [self.series(argument) for argument in arguments])
            case Rolling(over, statistic, series):
                return self._rolling(statistic, self.series(series), over)
            case Quantile(over, level, series):
                return self.emit(Op.QUANTILE_OF, self.series(series), integer=over, number=level)
            case Corr(over, left, right):
                return self._corr(self.series(left), self.series(right), over)
        raise FactorError(f"{type(expression).__name__} is not an expression", "build factors from operators only")

    def _apply(self, operation: Elementwise, reads: list[int]) -> int:
        match operation:
            case Elementwise.GT | Elementwise.GE:
                return self.emit(Op.ABOVE, *reads, integer=int(operation is Elementwise.GE))
            case Elementwise.LT | Elementwise.LE:
                return self.emit(Op.ABOVE, *reversed(reads), integer=int(operation is Elementwise.LE))
        plain = {
            Elementwise.ADD: Op.ADD,
            Elementwise.SUB: Op.SUB,
            Elementwise.MUL: Op.MUL,
            Elementwise.DIV: Op.DIV,
            Elementwise.GREATER: Op.LARGER,
            Elementwise.LESS: Op.SMALLER,
            Elementwise.ABS: Op.ABS,
            Elementwise.LOG: Op.LOG,
        }
        return self.emit(plain[operation], *reads)

    def _rolling(self, statistic: Statistic, x: int, over: int) -> int:
        if statistic in (Statistic.MAX, Statistic.MIN, Statistic.IDX_MAX, Statistic.IDX_MIN):
            return self._extreme(statistic, x, over)
        count = self._sum(self.emit(Op.KNOWN, x), over)
        if statistic is Statistic.RANK:
            return self.emit(Op.RANK_OF, x, count, integer=over)
        total = self._sum(self.emit(Op.ZERO_FILLED, x), over)
        match statistic:
            case Statistic.SUM:
                return self.emit(Op.SUM_OF, total, count)
            case Statistic.MEAN:
                return self.emit(Op.DIV, total, count)
            case Statistic.STD:
                return self.emit(Op.STD_OF, self._comoment(x, x, over), count)
        return self._regression(statistic, x, over, total, count)

    def _regression(self, statistic: Statistic, x: int, over: int, total: int, count: int) -> int:
        time = self.emit(Op.SESSION_NUMBERS, x)
        slope_parts = self._comoment(time, x, over), self._comoment(time, time, over, like=x)
        match statistic:
            case Statistic.SLOPE:
                return self.emit(Op.SLOPE_OF, *slope_parts, count)
            case Statistic.RSQUARE:
                return self.emit(Op.RSQUARE_OF, *slope_parts, self._comoment(x, x, over), count)
        return self.emit(Op.RESI_OF, x, total, *slope_parts, self._sum(time, over), count)

    def _sum(self, x: int, over: int) -> int:
        if over == 1:
            return x
        newer, older = split_window(over)
        return self.emit(Op.ADD_WINDOWS, self._sum(x, newer), self._sum(x, older), integer=newer)

    def _comoment(self, x: int, y: int, over: int, *, like: int | None = None) -> int:
        """Return the sum of products of deviations; counts follow ``like``, else ``y``, which has x's NaNs."""
        if over == 1:
            return self.emit(Op.CONST, number=0.0)
        newer, older = split_window(over)
        known = self.emit(Op.KNOWN, y if like is None else like)
        counts = self._sum(known, newer), self._sum(known, older)
        gaps = []
        for series in (x, y):
            base = self.emit(Op.ZERO_FILLED, series)
            sums = self._sum(base, newer), self._sum(base, older)
            gaps.append(self.emit(Op.MEAN_GAPS, *sums, *counts, integer=newer))
        parts = self._comoment(x, y, newer, like=like), self._comoment(x, y, older, like=like)
        weights = self.emit(Op.JOIN_WEIGHTS, *counts, integer=newer)
        return self.emit(Op.JOIN_COMOMENTS, *parts, *gaps, weights, integer=newer)

    def _corr(self, left: int, right: int, over: int) -> int:
        x, y = self.emit(Op.MASK_BY, left, right), self.emit(Op.MASK_BY, right, left)
        count = self._sum(self.emit(Op.KNOWN, y), over)
        parts = self._comoment(x, y, over), self._comoment(x, x, over), self._comoment(y, y, over)
        return self.emit(Op.CORR_OF, *parts, count)

    def _extreme(self, statistic: Statistic, x: int, over: int) -> int:
        sign = 1.0 if statistic in (Statistic.MAX, Statistic.IDX_MAX) else -1.0
        base = self.emit(Op.LOW_FILLED, x, number=sign)
        if statistic in (Statistic.MAX, Statistic.MIN):
            return self.emit(Op.EXTREME_OF, self._max(base, over), number=sign)
        return self.emit(Op.POSITION_OF, self._max(base, over), self._index(base, over), integer=over)

    def _max(self, x: int, over: int) -> int:
        if over == 1:
            return x
        newer, older = split_window(over)
        return self.emit(Op.MAX_WINDOWS, self._max(x, newer), self._max(x, older), integer=newer)

    def _index(self, x: int, over: int) -> int:
        if over == 1:
            return self.emit(Op.SESSION_NUMBERS, x)
        newer, older = split_window(over)
        parts = (f(x, part) for part in (newer, older) for f in (self._max, self._index))
        return self.emit(Op.JOIN_INDICES, *parts, integer=newer)


def _allocate(fields: tuple[str, ...], instructions: list[Instruction]) -> Program:
    """Give each instruction a row, reusing rows after their last reader."""
    last_reader = {read: reader for reader, item in enumerate(instructions) for read in item.reads}
    row_of: dict[int, int] = {}
    free: list[int] = []
    rows = 0
    code = np.zeros((len(instructions), COLUMNS), dtype=np.int64)
    for position, item in enumerate(instructions):
        if not free:
            free.append(rows)
            rows += 1
        row_of[position] = free.pop()
        code[position, :2] = item.op, row_of[position]
        code[position, 2 : 2 + len(item.reads)] = [row_of[read] for read in item.reads]
        code[position, -1] = item.integer
        free += [row_of[read] for read in set(item.reads) if last_reader[read] == position]
        if item.op is Op.STORE:
            free.append(row_of[position])
    numbers = np.array([item.number for item in instructions], dtype=np.float64)
    return Program(fields, code, numbers, rows + 1)
