"""A catalogue: named factors with one version hash. The only door through which factors reach a model.

Not here: the factors themselves (a module a family, such as ``alpha158.py``).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

from ljwx_pipeline.errors import FactorError
from ljwx_pipeline.expressions.nodes import Expr
from ljwx_pipeline.expressions.program import SEMANTICS_VERSION


@dataclass(frozen=True)
class Catalogue:
    """Named factors, in their order; build with ``catalogue``.

    Parameters
    ----------
    name
        Name of the catalogue.
    expressions
        Factors by name.
    """

    name: str
    expressions: dict[str, Expr]

    @property
    def names(self) -> tuple[str, ...]:
        """Return the factor names, in order."""
        return tuple(self.expressions)

    @property
    def window(self) -> int:
        """Return the sessions needed to compute every factor of one session, itself included."""
        return max(expression.window for expression in self.expressions.values())

    @property
    def inputs(self) -> frozenset[str]:
        """Return the panel fields read."""
        return frozenset[str]().union(*(expression.inputs for expression in self.expressions.values()))

    @property
    def version_hash(self) -> str:
        """Return the SHA-256 of names, order, expressions and the version of the kernels' semantics."""
        lines = [f"semantics {SEMANTICS_VERSION}"]
        lines += [f"{name} {expression.hash}" for name, expression in self.expressions.items()]
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def catalogue(name: str, factors: Iterable[tuple[str, Expr]]) -> Catalogue:
    """Return the catalogue of ``factors``.

    Raises
    ------
    FactorError
        When there is none, when two share a name, or when one looks ahead.
    """
    expressions: dict[str, Expr] = {}
    for factor, expression in factors:
        if factor in expressions:
            raise FactorError(f"two factors are called {factor}", "give each factor a name of its own")
        if expression.horizon > 0:
            raise FactorError(
                f"factor {factor} looks {expression.horizon} sessions ahead: {expression}",
                "refer to the past only; what looks ahead is a label",
            )
        expressions[factor] = expression
    if not expressions:
        raise FactorError(f"catalogue {name} is empty", "give at least one factor")
    return Catalogue(name, expressions)
