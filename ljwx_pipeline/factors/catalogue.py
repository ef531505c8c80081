"""Factors and catalogues: named, explained expressions with one version hash. The only door through which factors pass.

Not here: the factors themselves (a module a family, such as ``alpha158.py``), which catalogues there are
(``catalogues.py``).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from ljwx_pipeline.errors import FactorError
from ljwx_pipeline.expressions.evaluate import MEMBERSHIP
from ljwx_pipeline.expressions.fields import FIELDS, nearest_fields
from ljwx_pipeline.expressions.nodes import Apply, Const, CrossSection, Expr, Field, Ref
from ljwx_pipeline.expressions.operations import Elementwise, Kind
from ljwx_pipeline.expressions.program import SEMANTICS_VERSION

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
#: Sessions that a factor may read at most: more than the exchanges have held since they opened in 1990.
LONGEST_WINDOW = 10_000
#: Columns that stand beside factors in the tables they go into; no factor may be called so, in whatever letter case.
RESERVED = (
    "symbol",
    "session_date",
    "event_timestamp",
    "created_timestamp",
    "missing_count",
    "forward_return",
    "label",
    "score",
    "sample_id",
)


@dataclass(frozen=True)
class Factor:
    """One factor as it is declared.

    Parameters
    ----------
    name
        Letters, digits and underscores: a column's name wherever the factor goes.
    expression
        Its formula.
    meaning
        What it says, in words.
    source
        The paper, book or library it is taken from.
    unit
        Unit of its values, such as ``fraction``, ``CNY``, ``sessions`` or ``rank``.
    """

    name: str
    expression: Expr
    meaning: str
    source: str
    unit: str

    def __post_init__(self) -> None:
        """Refuse a name that is none, and a factor nobody explains."""
        if not _NAME.fullmatch(self.name):
            raise FactorError(
                f"{self.name!r} is no name for a factor", "use letters, digits and underscores, a letter first"
            )
        if self.name.lower() in RESERVED:
            raise FactorError(
                f"a factor cannot be called {self.name}: a column of the feature table has that name",
                "call it otherwise",
            )
        for what in ("meaning", "source", "unit"):
            if not getattr(self, what).strip():
                raise FactorError(f"factor {self.name} has no {what}", f"say its {what}")


@dataclass(frozen=True)
class Catalogue:
    """Factors in their order; build with ``catalogue``.

    Parameters
    ----------
    name
        Name of the catalogue.
    factors
        The factors.
    """

    name: str
    factors: tuple[Factor, ...]

    @cached_property
    def expressions(self) -> dict[str, Expr]:
        """Return the expressions by factor name, in order."""
        return {factor.name: factor.expression for factor in self.factors}

    @property
    def names(self) -> tuple[str, ...]:
        """Return the factor names, in order."""
        return tuple(factor.name for factor in self.factors)

    @property
    def window(self) -> int:
        """Return the sessions needed to compute every factor of one session, itself included."""
        return max(factor.expression.window for factor in self.factors)

    @property
    def inputs(self) -> frozenset[str]:
        """Return the panel fields read."""
        return frozenset[str]().union(*(factor.expression.inputs for factor in self.factors))

    @property
    def reads(self) -> frozenset[str]:
        """Return all that values depend on: ``inputs``, and who belongs to a cross-section where one is compared."""
        return frozenset[str]().union(*(reads_of(factor.expression) for factor in self.factors))

    @property
    def version_hash(self) -> str:
        """Return the SHA-256 of names, order, expressions and the version of the kernels' semantics."""
        lines = [f"semantics {SEMANTICS_VERSION}"]
        lines += [f"{factor.name} {factor.expression.hash}" for factor in self.factors]
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def reads_of(expression: Expr) -> frozenset[str]:
    """Return the fields that values of ``expression`` depend on: its inputs, and a cross-section's membership."""
    todo, compares = [expression], False
    while todo and not compares:
        node = todo.pop()
        compares = isinstance(node, CrossSection)
        todo += node.children
    return expression.inputs | ({MEMBERSHIP} if compares else frozenset())


def family(
    prefix: str,
    formula: Callable[[int], Expr],
    windows: Sequence[int],
    *,
    meaning: str,
    source: str,
    unit: str,
) -> list[Factor]:
    """Return one factor a window, named ``prefix`` and the window.

    Parameters
    ----------
    prefix
        What the names begin with.
    formula
        The expression for a window.
    windows
        The windows, in sessions.
    meaning
        What they say; ``{n}`` stands for the window.
    source, unit
        As in ``Factor``.

    Raises
    ------
    FactorError
        When the formula refers to itself or cannot be written; the message names the factor.
    """
    factors = []
    for n in windows:
        name = f"{prefix}{n}"
        try:
            expression = formula(n)
        except RecursionError:
            raise _self_reference(name) from None
        except FactorError as error:
            raise FactorError(f"factor {name}: {error.fact}", error.remedy) from error
        factors.append(Factor(name, expression, meaning.format(n=n), source, unit))
    return factors


def catalogue(name: str, factors: Iterable[Factor], max_window: int = LONGEST_WINDOW) -> Catalogue:
    """Return the catalogue of ``factors``.

    Parameters
    ----------
    name
        Name of the catalogue.
    factors
        The factors, in order.
    max_window
        Sessions that a factor may read at most.

    Raises
    ------
    FactorError
        When there is none, when two share a name (letter case does not tell them apart), or when one looks ahead,
        refers to the future at all, reads a field that ``expressions/fields.py`` does not know or reads it as another
        kind, reads no field, is a category, divides by a constant zero, needs more sessions than ``max_window``, or
        refers to itself. The message names the factor.
    """
    kept: dict[str, Factor] = {}
    for factor in _declared(name, factors):
        twin = kept.get(factor.name.lower())
        if twin is not None and twin.name == factor.name:
            raise FactorError(f"two factors are called {factor.name}", "give each factor a name of its own")
        if twin is not None:
            raise FactorError(
                f"factors {twin.name} and {factor.name} differ by letter case only", "give each a name of its own"
            )
        _check(factor, max_window)
        kept[factor.name.lower()] = factor
    if not kept:
        raise FactorError(f"catalogue {name} is empty", "give at least one factor")
    if not _NAME.fullmatch(name):
        raise FactorError(
            f"{name!r} is no name for a catalogue",
            "use letters, digits and underscores, a letter first (or so its file)",
        )
    return Catalogue(name, tuple(kept.values()))


def _declared(name: str, factors: Iterable[Factor]) -> Iterator[Factor]:
    """Yield the factors; a family function that calls itself for ever becomes an error that says after which factor."""
    last = None
    try:
        for factor in factors:
            last = factor.name
            yield factor
    except RecursionError:
        where = "the first factor" if last is None else f"the factor after {last}"
        raise _self_reference(f"{where} of catalogue {name}") from None


def _self_reference(name: str) -> FactorError:
    return FactorError(f"{name} refers to itself", "write it in terms of fields and of factors defined before it")


def _check(factor: Factor, max_window: int) -> None:
    """Refuse a factor that must not be computed; cycles first, because everything else walks the tree."""
    name, expression = factor.name, factor.expression
    if not isinstance(expression, Expr):
        raise FactorError(f"factor {name} is {expression!r}, no expression", "build it from field('...')")
    nodes = _nodes(name, expression)
    try:
        text, window, horizon = str(expression), expression.window, expression.horizon
    except RecursionError:
        raise FactorError(
            f"factor {name} of {len(nodes)} parts is nested deeper than Python can follow",
            "use windows instead of repeating an operation",
        ) from None
    if horizon > 0:
        raise FactorError(
            f"factor {name} looks {horizon} sessions ahead: {text}",
            "refer to the past only; what looks ahead is a label",
        )
    for node in nodes:
        _check_node(name, node)
    if not expression.inputs:
        raise FactorError(f"factor {name} is the constant {text}", "read at least one field")
    if expression.kind is Kind.CATEGORY:
        raise FactorError(f"factor {name} is a category: {text}", "compare or group by it")
    if window > max_window:
        raise FactorError(
            f"factor {name} needs {window} sessions, and {max_window} are allowed: {text}",
            "shorten its windows or raise max_window",
        )


def _check_node(name: str, node: Expr) -> None:
    match node:
        case Ref(_, sessions) if sessions < 0:
            raise FactorError(
                f"factor {name} refers {-sessions} sessions ahead in {node}", "only a label may look ahead"
            )
        case Field(field, kind):
            if field not in FIELDS:
                raise FactorError(
                    f"factor {name} reads unknown field {field!r}", f"did you mean {', '.join(nearest_fields(field))}?"
                )
            if kind is not FIELDS[field].kind:
                raise FactorError(
                    f"factor {name} reads {field} as a {kind}, and it is a {FIELDS[field].kind}",
                    f"write field('{field}') and leave its kind out",
                )
        case Apply(Elementwise.DIV, (_, divisor)) if constant_value(divisor) == 0:
            raise FactorError(f"factor {name} divides by zero in {node}", "it would be NaN everywhere: correct it")


def _nodes(name: str, expression: Expr) -> list[Expr]:
    """Return every node once.

    A frozen tree cannot hold itself, because its parts exist before it does; one that was tampered with can, and would
    never end.
    """
    found: dict[int, Expr] = {}
    open_: set[int] = set()
    todo: list[tuple[Expr, bool]] = [(expression, False)]
    while todo:
        node, done = todo.pop()
        if done:
            open_.discard(id(node))
            continue
        if id(node) in open_:
            raise _self_reference(f"factor {name}")
        if id(node) in found:
            continue
        found[id(node)] = node
        open_.add(id(node))
        todo.append((node, True))
        todo += [(child, False) for child in node.children]
    return list(found.values())


def constant_value(expression: Expr) -> float | None:
    """Return what an expression of constants and arithmetic amounts to, None where it reads a field or divides by 0."""
    match expression:
        case Const(value):
            return value
        case Apply(operation, (left, right)):
            a, b = constant_value(left), constant_value(right)
            if a is None or b is None:
                return None
            match operation:
                case Elementwise.ADD:
                    return a + b
                case Elementwise.SUB:
                    return a - b
                case Elementwise.MUL:
                    return a * b
                case Elementwise.DIV:
                    return a / b if b else None
    return None
