"""Expression nodes: frozen, typed trees over panel fields, from which kind, window, horizon, inputs and hash follow.

A node cannot hold itself: it is frozen, and its parts exist before it does. Not here: the functions people write
factors with (``operators.py``), which fields there are (``fields.py``), how a tree is computed (``lowering.py``).
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from functools import cached_property
from numbers import Integral
from typing import NoReturn

from ljwx_pipeline.errors import FactorError
from ljwx_pipeline.expressions.operations import CrossStatistic, Elementwise, Kind, PairStatistic, Statistic

#: Decimals that ``rounded`` may keep.
MAX_DECIMALS = 15


@dataclass(frozen=True)
class Expr:
    """A value for every symbol and session; combine with ``+ - * / > < >= <= & | ~``, numbers and ``operators``."""

    @property
    def children(self) -> tuple[Expr, ...]:
        """Return the expressions this one is computed from."""
        return ()

    @property
    def kind(self) -> Kind:
        """Return what the values are."""
        return Kind.NUMBER

    @cached_property
    def span(self) -> tuple[int, int]:
        """Return the first and last session read, relative to the session computed: ``(-59, 0)`` for 60 sessions."""
        spans = [child.span for child in self.children]
        return (min(low for low, _ in spans), max(high for _, high in spans)) if spans else (0, 0)

    @property
    def window(self) -> int:
        """Return the sessions needed to compute one value, the session itself included; at least 1."""
        return 1 + max(0, -self.span[0])

    @property
    def horizon(self) -> int:
        """Return the sessions looked ahead: 0 for everything that may be called a factor."""
        return max(0, self.span[1])

    @cached_property
    def inputs(self) -> frozenset[str]:
        """Return the names of the panel fields read; who belongs to a cross-section is not among them."""
        return frozenset[str]().union(*(child.inputs for child in self.children))

    @property
    def hash(self) -> str:
        """Return the SHA-256 of the printed tree: equal for equal trees, on every machine."""
        return hashlib.sha256(str(self).encode()).hexdigest()

    def __bool__(self) -> NoReturn:
        raise FactorError(f"{self} has no truth value", "write comparisons of expressions one at a time")

    def __add__(self, other: Operand) -> Expr:
        return Apply(Elementwise.ADD, (self, as_expr(other)))

    def __radd__(self, other: Operand) -> Expr:
        return Apply(Elementwise.ADD, (as_expr(other), self))

    def __sub__(self, other: Operand) -> Expr:
        return Apply(Elementwise.SUB, (self, as_expr(other)))

    def __rsub__(self, other: Operand) -> Expr:
        return Apply(Elementwise.SUB, (as_expr(other), self))

    def __mul__(self, other: Operand) -> Expr:
        return Apply(Elementwise.MUL, (self, as_expr(other)))

    def __rmul__(self, other: Operand) -> Expr:
        return Apply(Elementwise.MUL, (as_expr(other), self))

    def __truediv__(self, other: Operand) -> Expr:
        return Apply(Elementwise.DIV, (self, as_expr(other)))

    def __rtruediv__(self, other: Operand) -> Expr:
        return Apply(Elementwise.DIV, (as_expr(other), self))

    def __neg__(self) -> Expr:
        return Apply(Elementwise.MUL, (Const(-1.0), self))

    def __gt__(self, other: Operand) -> Expr:
        return Apply(Elementwise.GT, (self, as_expr(other)))

    def __lt__(self, other: Operand) -> Expr:
        return Apply(Elementwise.LT, (self, as_expr(other)))

    def __ge__(self, other: Operand) -> Expr:
        return Apply(Elementwise.GE, (self, as_expr(other)))

    def __le__(self, other: Operand) -> Expr:
        return Apply(Elementwise.LE, (self, as_expr(other)))

    def __and__(self, other: Expr) -> Expr:
        return Apply(Elementwise.AND, (self, as_expr(other)))

    def __or__(self, other: Expr) -> Expr:
        return Apply(Elementwise.OR, (self, as_expr(other)))

    def __invert__(self) -> Expr:
        return Apply(Elementwise.NOT, (self,))


Operand = Expr | float | int


@dataclass(frozen=True)
class Field(Expr):
    """A panel field, as it stands."""

    name: str
    of_kind: Kind = Kind.NUMBER

    @property
    def kind(self) -> Kind:
        """Return what the field holds."""
        return self.of_kind

    @cached_property
    def inputs(self) -> frozenset[str]:
        """Return the field's own name."""
        return frozenset({self.name})

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True)
class Const(Expr):
    """A finite number, the same for every symbol and session."""

    value: float

    def __post_init__(self) -> None:
        """Refuse a number that is not finite: it would make every value NaN."""
        if not math.isfinite(self.value):
            raise FactorError(f"the constant {self.value} is not finite", "use a finite number")

    def __str__(self) -> str:
        return repr(self.value)


@dataclass(frozen=True)
class Apply(Expr):
    """An elementwise operation."""

    operation: Elementwise
    arguments: tuple[Expr, ...]

    def __post_init__(self) -> None:
        """Refuse an argument of the wrong kind."""
        _require_kinds(self)

    @property
    def children(self) -> tuple[Expr, ...]:
        """Return the arguments."""
        return self.arguments

    @property
    def kind(self) -> Kind:
        """Return a flag for comparisons and logic, what is chosen from for choices, else a number."""
        if self.operation in FLAG_RESULT:
            return Kind.FLAG
        if self.operation in (Elementwise.MASK, Elementwise.FILL):
            return self.arguments[0].kind
        if self.operation is Elementwise.WHERE and self.arguments[1].kind is self.arguments[2].kind:
            return self.arguments[1].kind
        return Kind.NUMBER

    def __str__(self) -> str:
        parts = [str(argument) for argument in self.arguments]
        if self.operation.isidentifier():
            return f"{self.operation}({', '.join(parts)})"
        return f"({f' {self.operation} '.join(parts)})"


@dataclass(frozen=True)
class Ref(Expr):
    """The value ``sessions`` earlier; a negative number looks ahead, which only a label may do."""

    series: Expr
    sessions: int

    def __post_init__(self) -> None:
        """Refuse a part of a session."""
        _require_whole(self.sessions, "a reference")

    @property
    def children(self) -> tuple[Expr, ...]:
        """Return the series."""
        return (self.series,)

    @property
    def kind(self) -> Kind:
        """Return the series' kind."""
        return self.series.kind

    @cached_property
    def span(self) -> tuple[int, int]:
        """Return the series' span moved back by ``sessions``."""
        low, high = self.series.span
        return low - self.sessions, high - self.sessions

    def __str__(self) -> str:
        return f"ref({self.series}, {self.sessions})"


@dataclass(frozen=True)
class Windowed(Expr):
    """Base of everything computed over the last ``over`` sessions, the current one included."""

    over: int

    def __post_init__(self) -> None:
        """Refuse a window without a session, and classes where numbers are wanted."""
        _require_whole(self.over, "a window")
        if self.over < 1:
            raise FactorError(f"a window of {self.over} sessions is empty", "use a window of 1 session or more")
        self._require_series()

    def _require_series(self) -> None:
        for child in self.children:
            require_numeric(child, self._word)

    @property
    def _word(self) -> str:
        return type(self).__name__.lower()

    @cached_property
    def span(self) -> tuple[int, int]:
        """Return the series' span, extended back over the window."""
        low, high = super().span
        return low - self.over + 1, high


@dataclass(frozen=True)
class Rolling(Windowed):
    """A statistic of one series."""

    statistic: Statistic
    series: Expr

    def _require_series(self) -> None:
        if self.statistic in (Statistic.SESSIONS_SINCE, Statistic.STREAK):
            require_flag(self.series, self.statistic)
        elif self.statistic is not Statistic.LAST_KNOWN:
            require_numeric(self.series, self.statistic)

    @property
    def children(self) -> tuple[Expr, ...]:
        """Return the series."""
        return (self.series,)

    @property
    def kind(self) -> Kind:
        """Return a number, or the series' kind where one of its values is repeated."""
        return self.series.kind if self.statistic is Statistic.LAST_KNOWN else Kind.NUMBER

    def __str__(self) -> str:
        return f"{self.statistic}({self.series}, {self.over})"


@dataclass(frozen=True)
class Quantile(Windowed):
    """The ``level`` quantile of one series, linear between order statistics."""

    level: float
    series: Expr

    def __post_init__(self) -> None:
        """Refuse a level outside [0, 1]."""
        super().__post_init__()
        if not 0 <= self.level <= 1:
            raise FactorError(f"quantile level {self.level} is outside [0, 1]", "use a level between 0 and 1")

    @property
    def children(self) -> tuple[Expr, ...]:
        """Return the series."""
        return (self.series,)

    def __str__(self) -> str:
        return f"quantile({self.series}, {self.over}, {self.level!r})"


@dataclass(frozen=True)
class Corr(Windowed):
    """Pearson correlation of two series over the sessions where both are known."""

    left: Expr
    right: Expr

    @property
    def children(self) -> tuple[Expr, ...]:
        """Return both series."""
        return (self.left, self.right)

    def __str__(self) -> str:
        return f"corr({self.left}, {self.right}, {self.over})"


@dataclass(frozen=True)
class Pair(Windowed):
    """A statistic of two series over the sessions where both are known."""

    statistic: PairStatistic
    left: Expr
    right: Expr

    @property
    def _word(self) -> str:
        return self.statistic

    @property
    def children(self) -> tuple[Expr, ...]:
        """Return both series."""
        return (self.left, self.right)

    def __str__(self) -> str:
        return f"{self.statistic}({self.left}, {self.right}, {self.over})"


@dataclass(frozen=True)
class Ema(Windowed):
    """The exponentially weighted mean of the window: weight ``(1 - alpha) ** age``, over the known values."""

    alpha: float
    series: Expr

    def __post_init__(self) -> None:
        """Refuse a weight outside (0, 1]."""
        super().__post_init__()
        if not 0 < self.alpha <= 1:
            raise FactorError(f"ema's alpha {self.alpha} is outside (0, 1]", "use 2 / (sessions + 1), or 1 / sessions")

    @property
    def children(self) -> tuple[Expr, ...]:
        """Return the series."""
        return (self.series,)

    def __str__(self) -> str:
        return f"ema({self.series}, {self.over}, {self.alpha!r})"


@dataclass(frozen=True)
class CrossSection(Expr):
    """A statistic of one session over the symbols of the cross-section; it reads no other session.

    Parameters
    ----------
    statistic
        Which one.
    series
        What it is about.
    group
        Category within which it is taken, if any.
    regressors
        What ``neutralise`` takes out.
    limits
        The numbers of ``winsorise`` (lower and upper level) and ``winsorise_mad`` (deviations).
    """

    statistic: CrossStatistic
    series: Expr
    group: Expr | None = None
    regressors: tuple[Expr, ...] = ()
    limits: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        """Refuse a series that is no number, a group that is no category, and limits that mean nothing."""
        for child in (self.series, *self.regressors):
            require_numeric(child, self.statistic)
        if self.group is not None and self.group.kind is not Kind.CATEGORY:
            raise FactorError(
                f"{self.statistic} wants a category to group by, and {self.group} is a {self.group.kind}",
                "group by a category, such as industry",
            )
        if self.statistic is CrossStatistic.WINSORISE and not 0 <= self.limits[0] < self.limits[1] <= 1:
            raise FactorError(
                f"winsorise levels {self.limits[0]} and {self.limits[1]} are no range", "use levels such as 0.01, 0.99"
            )
        if self.statistic is CrossStatistic.WINSORISE_MAD and not 0 < self.limits[0] < math.inf:
            raise FactorError(
                f"winsorise_mad at {self.limits[0]} deviations leaves nothing", "use a number of deviations such as 3"
            )
        if self.statistic is CrossStatistic.NEUTRALISE and self.group is None and not self.regressors:
            raise FactorError(
                f"neutralise({self.series}) names nothing to take out", "give by=, a regressor, or use cs_demean"
            )

    @property
    def children(self) -> tuple[Expr, ...]:
        """Return the series, the group where there is one, and the regressors."""
        return (self.series, *(() if self.group is None else (self.group,)), *self.regressors)

    def __str__(self) -> str:
        parts = [str(self.series)]
        parts += [] if self.group is None else [f"by={self.group}"]
        parts += [*map(str, self.regressors), *map(repr, self.limits)]
        return f"{self.statistic}({', '.join(parts)})"


#: Operations whose result is a flag.
FLAG_RESULT = frozenset(
    {
        *(Elementwise.GT, Elementwise.LT, Elementwise.GE, Elementwise.LE, Elementwise.EQUAL),
        *(Elementwise.AND, Elementwise.OR, Elementwise.NOT, Elementwise.IS_KNOWN),
    }
)


def as_expr(operand: Operand) -> Expr:
    """Return ``operand`` as an expression; numbers become constants.

    Raises
    ------
    FactorError
        When it is neither.
    """
    if isinstance(operand, Expr):
        return operand
    try:
        return Const(float(operand))
    except (TypeError, ValueError):
        raise FactorError(
            f"{operand!r} is neither an expression nor a number", "name a field with field('...')"
        ) from None


def require_numeric(expression: Expr, word: str) -> None:
    """Refuse a category where ``word`` computes with numbers; a flag counts as 0 or 1."""
    if expression.kind is Kind.CATEGORY:
        raise FactorError(
            f"{word} wants numbers, and {expression} is a category", "group by it, or compare it with equal()"
        )


def require_flag(expression: Expr, word: str) -> None:
    """Refuse anything but a flag where ``word`` asks yes or no."""
    if expression.kind is not Kind.FLAG:
        raise FactorError(
            f"{word} wants a flag, and {expression} is a {expression.kind}", "compare it first, as in volume > 0"
        )


def _require_whole(sessions: int, what: str) -> None:
    if isinstance(sessions, bool) or not isinstance(sessions, Integral):
        raise FactorError(f"{what} of {sessions!r} sessions is no whole number", "use 1, 2, 3 and so on")


def _require_kinds(node: Apply) -> None:
    word, arguments = node.operation, node.arguments
    match word:
        case Elementwise.AND | Elementwise.OR | Elementwise.NOT:
            for argument in arguments:
                require_flag(argument, word)
        case Elementwise.WHERE | Elementwise.EQUAL:
            if word is Elementwise.WHERE:
                require_flag(arguments[0], word)
            if {argument.kind for argument in arguments[-2:]} != {Kind.CATEGORY}:
                for argument in arguments[-2:]:
                    require_numeric(argument, word)
        case Elementwise.MASK:
            require_flag(arguments[1], word)
        case Elementwise.FILL:
            _require_filling(*arguments)
        case Elementwise.ROUND:
            _require_decimals(*arguments)
        case Elementwise.IS_KNOWN:
            pass
        case _:
            for argument in arguments:
                require_numeric(argument, word)


def _require_filling(series: Expr, constant: Expr) -> None:
    require_numeric(series, Elementwise.FILL)
    if not isinstance(constant, Const):
        raise FactorError(
            f"fill wants a constant, and {constant} is none", "use where(is_known(...), ...), or last_known"
        )
    if series.kind is Kind.FLAG and constant.value not in (0.0, 1.0):
        raise FactorError(f"{series} is a flag and cannot be {constant}", "fill it with 0 or 1")


def _require_decimals(series: Expr, decimals: Expr) -> None:
    require_numeric(series, Elementwise.ROUND)
    if not isinstance(decimals, Const) or decimals.value not in range(MAX_DECIMALS + 1):
        raise FactorError(
            f"{series} cannot be rounded to {decimals} decimals", f"use a whole number from 0 to {MAX_DECIMALS}"
        )
