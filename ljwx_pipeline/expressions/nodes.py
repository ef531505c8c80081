"""Expression nodes: frozen trees over panel fields, from which window, horizon, inputs and hash are derived.

Not here: the functions people write factors with (``operators.py``), how a tree is computed (``program.py``,
``kernels.py``).
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from enum import StrEnum
from typing import NoReturn

from ljwx_pipeline.errors import FactorError


class Elementwise(StrEnum):
    """Operations on values of one session."""

    ADD = "+"
    SUB = "-"
    MUL = "*"
    DIV = "/"
    GT = ">"
    LT = "<"
    GE = ">="
    LE = "<="
    GREATER = "greater"
    LESS = "less"
    ABS = "abs"
    LOG = "log"


class Statistic(StrEnum):
    """Operations on the last ``window`` sessions of one series."""

    SUM = "sum"
    MEAN = "mean"
    STD = "std"
    SLOPE = "slope"
    RSQUARE = "rsquare"
    RESI = "resi"
    MAX = "max"
    MIN = "min"
    IDX_MAX = "idx_max"
    IDX_MIN = "idx_min"
    RANK = "rank"


@dataclass(frozen=True)
class Expr:
    """A value for every symbol and session; combine with ``+ - * / > < >= <=``, numbers and ``operators``."""

    @property
    def children(self) -> tuple[Expr, ...]:
        """Return the expressions this one is computed from."""
        return ()

    @property
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

    @property
    def inputs(self) -> frozenset[str]:
        """Return the names of the panel fields read."""
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

    def __gt__(self, other: Operand) -> Expr:
        return Apply(Elementwise.GT, (self, as_expr(other)))

    def __lt__(self, other: Operand) -> Expr:
        return Apply(Elementwise.LT, (self, as_expr(other)))

    def __ge__(self, other: Operand) -> Expr:
        return Apply(Elementwise.GE, (self, as_expr(other)))

    def __le__(self, other: Operand) -> Expr:
        return Apply(Elementwise.LE, (self, as_expr(other)))


Operand = Expr | float | int


@dataclass(frozen=True)
class Field(Expr):
    """A panel field, as it stands."""

    name: str

    @property
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

    @property
    def children(self) -> tuple[Expr, ...]:
        """Return the arguments."""
        return self.arguments

    def __str__(self) -> str:
        parts = [str(argument) for argument in self.arguments]
        if self.operation.isalpha():
            return f"{self.operation}({', '.join(parts)})"
        return f"({f' {self.operation} '.join(parts)})"


@dataclass(frozen=True)
class Ref(Expr):
    """The value ``sessions`` earlier; a negative number looks ahead, which only a label may do."""

    series: Expr
    sessions: int

    @property
    def children(self) -> tuple[Expr, ...]:
        """Return the series."""
        return (self.series,)

    @property
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
        """Refuse a window without a session."""
        if self.over < 1:
            raise FactorError(f"a window of {self.over} sessions is empty", "use a window of 1 session or more")

    @property
    def span(self) -> tuple[int, int]:
        """Return the series' span, extended back over the window."""
        low, high = super().span
        return low - self.over + 1, high


@dataclass(frozen=True)
class Rolling(Windowed):
    """A statistic of one series."""

    statistic: Statistic
    series: Expr

    @property
    def children(self) -> tuple[Expr, ...]:
        """Return the series."""
        return (self.series,)

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


def as_expr(operand: Operand) -> Expr:
    """Return ``operand`` as an expression; numbers become constants."""
    return operand if isinstance(operand, Expr) else Const(float(operand))
