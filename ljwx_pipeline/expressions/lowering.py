"""From expressions to instructions, in which equal work appears once.

Instructions are hash-consed, so sub-expressions, windowed sums, counts and extremes shared by several factors are
computed once. How a window is put together depends on its length alone, never on what else is in the catalogue: a
factor has the same bits in every company.
"""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches

from ljwx_pipeline.errors import FactorError
from ljwx_pipeline.expressions.fields import FIELDS
from ljwx_pipeline.expressions.nodes import (
    Apply,
    Const,
    Corr,
    CrossSection,
    Ema,
    Expr,
    Field,
    Pair,
    Quantile,
    Ref,
    Rolling,
)
from ljwx_pipeline.expressions.operations import CrossStatistic, Elementwise, PairStatistic, Statistic
from ljwx_pipeline.expressions.program import Instruction, Op
from ljwx_pipeline.expressions.sections import Section

#: Statistics computed by one visit to every session of the window.
VISITING = {
    Statistic.DECAY_LINEAR: Op.DECAYED_MEAN,
    Statistic.LAST_KNOWN: Op.LAST_KNOWN,
    Statistic.SESSIONS_SINCE: Op.SINCE,
    Statistic.STREAK: Op.STREAK,
}
#: Statistics that visit every session after the mean is known.
MOMENTS = {
    Statistic.MEAN_DEVIATION: Op.MEAN_DEVIATION_OF,
    Statistic.SKEW: Op.SKEW_OF,
    Statistic.KURT: Op.KURT_OF,
}
#: Operations whose result is known where both operands are, and only there.
KNOWN_WITH_BOTH = (Op.ABOVE, Op.LARGER, Op.SMALLER)
SECTIONS = {
    CrossStatistic.RANK: Section.RANK,
    CrossStatistic.ZSCORE: Section.ZSCORE,
    CrossStatistic.DEMEAN: Section.DEMEAN,
    CrossStatistic.MEAN: Section.MEAN,
    CrossStatistic.SCALE: Section.SCALE,
    CrossStatistic.WINSORISE: Section.WINSORISE,
    CrossStatistic.WINSORISE_MAD: Section.WINSORISE_MAD,
    CrossStatistic.NEUTRALISE: Section.NEUTRALISE,
    CrossStatistic.GROUP_RANK: Section.GROUP_RANK,
    CrossStatistic.GROUP_ZSCORE: Section.GROUP_ZSCORE,
    CrossStatistic.GROUP_DEMEAN: Section.GROUP_DEMEAN,
    CrossStatistic.GROUP_MEAN: Section.GROUP_MEAN,
}


def split_window(length: int) -> tuple[int, int]:
    """Return the lengths (newer, older) that a window of ``length`` > 1 is joined from.

    Halves, else two thirds and one third, else all but one: 60, 30, 20, 10 and 5 then share all their parts.
    """
    if length % 2 == 0:
        return length // 2, length // 2
    if length % 3 == 0:
        return 2 * length // 3, length // 3
    return length - 1, 1


def instructions_of(
    expressions: Mapping[str, Expr], known_fields: frozenset[str]
) -> tuple[tuple[str, ...], list[Instruction]]:
    """Return the fields read, and the instructions that store ``expressions`` in their order.

    Raises
    ------
    FactorError
        When one reads a field that is not known; the message names both.
    """
    fields = tuple(sorted(frozenset[str]().union(*(e.inputs for e in expressions.values()))))
    for name, expression in expressions.items():
        missing = sorted(expression.inputs - known_fields)
        if missing:
            raise FactorError(f"factor {name} reads unknown field {missing[0]!r}", _remedy(missing[0], known_fields))
    builder = Builder(fields)
    for position, expression in enumerate(expressions.values()):
        builder.emit(Op.STORE, builder.series(expression), integer=position)
    return fields, builder.instructions


def _remedy(field: str, known_fields: frozenset[str]) -> str:
    """Return what to do about a field that the panel lacks."""
    known = ", ".join(sorted(known_fields))
    if field in FIELDS:
        return f"this market's tables do not tell it; they tell {known}"
    near = get_close_matches(field, sorted(known_fields), n=3, cutoff=0.5)
    return f"did you mean {', '.join(near)}?" if near else f"use one of {known}"


class Builder:
    """Turns expressions into instructions, each kept once; the expressions must outlive it."""

    def __init__(self, fields: tuple[str, ...]) -> None:
        self.instructions: list[Instruction] = []
        self._fields = {name: position for position, name in enumerate(fields)}
        self._position: dict[Instruction, int] = {}
        self._series: dict[int, int] = {}
        self._windows: dict[tuple[Op, int, int], int] = {}
        self._comoments: dict[tuple[int, int, int, int], int] = {}

    def emit(self, op: Op, *reads: int, integer: int = 0, number: float = 0.0, second: float = 0.0) -> int:
        """Return the position of the instruction, a new one only where there is no equal one."""
        instruction = Instruction(op, reads, integer, number, second)
        if instruction not in self._position:
            self._position[instruction] = len(self.instructions)
            self.instructions.append(instruction)
        return self._position[instruction]

    def series(self, expression: Expr) -> int:
        """Return the position of the instruction that computes ``expression``."""
        # by identity: equal trees become equal instructions anyway, and hashing a tree walks all of it
        if id(expression) not in self._series:
            self._series[id(expression)] = self._build(expression)
        return self._series[id(expression)]

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
                x = self.series(series)
                return self.emit(Op.QUANTILE_OF, x, self._sum(self._known(x), over), integer=over, number=level)
            case Corr(over, left, right):
                return self._corr(self.series(left), self.series(right), over)
            case Pair(over, statistic, left, right):
                return self._pair(statistic, self.series(left), self.series(right), over)
            case Ema(over, alpha, series):
                # alpha 1 weighs the newest session alone
                x = self.series(series)
                return x if alpha == 1 else self.emit(Op.DECAYED_MEAN, x, integer=over, number=1.0 - alpha)
            case CrossSection():
                return self._section(expression)
        raise FactorError(f"{type(expression).__name__} is not an expression", "build factors from operators only")

    def _apply(self, operation: Elementwise, reads: list[int]) -> int:
        match operation:
            case Elementwise.GT | Elementwise.GE:
                return self.emit(Op.ABOVE, *reads, integer=int(operation is Elementwise.GE))
            case Elementwise.LT | Elementwise.LE:
                return self.emit(Op.ABOVE, *reversed(reads), integer=int(operation is Elementwise.LE))
            case Elementwise.POWER | Elementwise.SIGNED_POWER:
                return self.emit(Op.POWER, *reads, integer=int(operation is Elementwise.SIGNED_POWER))
        plain = {
            Elementwise.ADD: Op.ADD,
            Elementwise.SUB: Op.SUB,
            Elementwise.MUL: Op.MUL,
            Elementwise.DIV: Op.DIV,
            Elementwise.GREATER: Op.LARGER,
            Elementwise.LESS: Op.SMALLER,
            Elementwise.ABS: Op.ABS,
            Elementwise.LOG: Op.LOG,
            Elementwise.EXP: Op.EXP,
            Elementwise.SQRT: Op.SQRT,
            Elementwise.SIGN: Op.SIGN,
            Elementwise.ROUND: Op.ROUND,
            Elementwise.EQUAL: Op.EQUAL,
            Elementwise.AND: Op.AND,
            Elementwise.OR: Op.OR,
            Elementwise.NOT: Op.NOT,
            Elementwise.WHERE: Op.WHERE,
            Elementwise.MASK: Op.KEEP_WHERE,
            Elementwise.IS_KNOWN: Op.KNOWN,
            Elementwise.FILL: Op.FILL,
        }
        return self.emit(plain[operation], *reads)

    def _rolling(self, statistic: Statistic, x: int, over: int) -> int:
        if statistic in (Statistic.MAX, Statistic.MIN, Statistic.IDX_MAX, Statistic.IDX_MIN):
            return self._extreme(statistic, x, over)
        if statistic in VISITING:
            return self.emit(VISITING[statistic], x, integer=over)
        count = self._sum(self._known(x), over)
        if statistic is Statistic.RANK:
            return self.emit(Op.RANK_OF, x, count, integer=over)
        if statistic is Statistic.COVERAGE:
            return self.emit(Op.COVERAGE_OF, count, integer=over)
        if statistic is Statistic.PRODUCT:
            ones = self.emit(Op.ONE_FILLED, x)
            return self.emit(Op.SUM_OF, self._joined(Op.MULTIPLY_WINDOWS, ones, over), count)
        total = self._sum(self.emit(Op.ZERO_FILLED, x), over)
        match statistic:
            case Statistic.SUM:
                return self.emit(Op.SUM_OF, total, count)
            case Statistic.MEAN:
                return self.emit(Op.DIV, total, count)
            case Statistic.STD:
                return self.emit(Op.STD_OF, self._comoment(x, x, over), count)
            case Statistic.VAR:
                return self.emit(Op.VAR_OF, self._comoment(x, x, over), count)
            case Statistic.ZSCORE:
                return self.emit(Op.ZSCORE_OF, x, total, self._comoment(x, x, over), count)
        if statistic in MOMENTS:
            return self.emit(MOMENTS[statistic], x, total, count, integer=over)
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

    def _known(self, x: int) -> int:
        """Return where the series is known, once for all series that are known where the same others are."""
        item = self.instructions[x]
        if item.op in KNOWN_WITH_BOTH or (item.op in (Op.ADD, Op.SUB) and all(map(self._finite, item.reads))):
            of = sorted({self._known(read) for read in item.reads if self.instructions[read].op is not Op.CONST})
            if of:
                return self.emit(Op.MUL, *of) if len(of) == 2 else of[0]
        return self._known(item.reads[0]) if item.op is Op.ABS else self.emit(Op.KNOWN, x)

    def _finite(self, x: int) -> bool:
        """Return whether no value of the series is infinite, so that the difference of two is not NaN of itself."""
        item = self.instructions[x]
        return item.op in (Op.LOAD, Op.CONST) or (item.op is Op.SHIFT and self._finite(item.reads[0]))

    def _sum(self, x: int, over: int) -> int:
        return self._joined(Op.ADD_WINDOWS, x, over)

    def _joined(self, op: Op, x: int, over: int) -> int:
        """Return the window put together from shorter ones by ``op``."""
        if over == 1:
            return x
        # by what is asked: without this the parts of the parts are walked again for every window that shares them
        asked = op, x, over
        if asked not in self._windows:
            newer, older = split_window(over)
            parts = self._joined(op, x, newer), self._joined(op, x, older)
            self._windows[asked] = self.emit(op, *parts, integer=newer)
        return self._windows[asked]

    def _comoment(self, x: int, y: int, over: int, *, like: int | None = None) -> int:
        """Return the sum of products of deviations; counts follow ``like``, else ``y``, which has x's NaNs."""
        if over == 1:
            return self.emit(Op.CONST, number=0.0)
        asked = x, y, over, y if like is None else like
        if asked not in self._comoments:
            self._comoments[asked] = self._joined_comoments(*asked)
        return self._comoments[asked]

    def _joined_comoments(self, x: int, y: int, over: int, like: int) -> int:
        newer, older = split_window(over)
        known = self._known(like)
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
        count = self._sum(self._known(y), over)
        parts = self._comoment(x, y, over), self._comoment(x, x, over), self._comoment(y, y, over)
        return self.emit(Op.CORR_OF, *parts, count)

    def _pair(self, statistic: PairStatistic, left: int, right: int, over: int) -> int:
        x, y = self.emit(Op.MASK_BY, left, right), self.emit(Op.MASK_BY, right, left)
        count = self._sum(self._known(y), over)
        comoment = self._comoment(x, y, over)
        if statistic is PairStatistic.COV:
            return self.emit(Op.VAR_OF, comoment, count)
        right_parts = self._comoment(y, y, over), self._sum(self.emit(Op.ZERO_FILLED, y), over)
        if statistic is PairStatistic.BETA:
            return self.emit(Op.BETA_OF, comoment, *right_parts, count)
        return self.emit(Op.RESID_STD_OF, comoment, self._comoment(x, x, over), *right_parts, count)

    def _section(self, node: CrossSection) -> int:
        section = SECTIONS[node.statistic]
        if section is Section.NEUTRALISE and node.group is not None:
            section = Section.NEUTRALISE_IN_GROUPS
        low, high = (*node.limits, 0.0, 0.0)[:2]
        reads = [self.series(child) for child in node.children]
        return self.emit(Op.SECTION, *reads, integer=section, number=low, second=high)

    def _extreme(self, statistic: Statistic, x: int, over: int) -> int:
        sign = 1.0 if statistic in (Statistic.MAX, Statistic.IDX_MAX) else -1.0
        base = self.emit(Op.LOW_FILLED, x, number=sign)
        if statistic in (Statistic.MAX, Statistic.MIN):
            return self.emit(Op.EXTREME_OF, self._max(base, over), number=sign)
        return self.emit(Op.POSITION_OF, self._max(base, over), self._index(base, over), integer=over)

    def _max(self, x: int, over: int) -> int:
        return self._joined(Op.MAX_WINDOWS, x, over)

    def _index(self, x: int, over: int) -> int:
        if over == 1:
            return self.emit(Op.SESSION_NUMBERS, x)
        newer, older = split_window(over)
        parts = (f(x, part) for part in (newer, older) for f in (self._max, self._index))
        return self.emit(Op.JOIN_INDICES, *parts, integer=newer)
