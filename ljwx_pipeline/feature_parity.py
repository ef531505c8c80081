"""One session's factors by several ways, compared bit for bit: what research tested must be what is served and traded.

Not here: the ways themselves (``expressions/``, ``feature_store/``, ``factors/increment.py``), Feast's answers of
other instants (``feature_table.py``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ljwx_pipeline.errors import FactorError


@dataclass(frozen=True)
class Disagreement:
    """How one way's values differ from the batch's.

    Parameters
    ----------
    way
        The way's name.
    values
        Number of values with another bit, or missing on one side alone.
    symbol, factor
        Of the first of them.
    batch_value, way_value
        The two values there; NaN is a missing one.
    """

    way: str
    values: int
    symbol: str
    factor: str
    batch_value: float
    way_value: float

    def __str__(self) -> str:
        """Return it as one sentence."""
        return (
            f"{self.values} values of {self.way} differ from the batch's, first {self.factor} of {self.symbol}: "
            f"{self.way_value!r} instead of {self.batch_value!r}"
        )


def disagreements(
    batch: NDArray[np.float32],
    ways: Mapping[str, NDArray[np.float32]],
    *,
    symbols: Sequence[str],
    factors: Sequence[str],
) -> tuple[Disagreement, ...]:
    """Return the ways whose values are not the batch's, bit for bit; two NaN of any bits are equal.

    Parameters
    ----------
    batch
        float32, shape ``(n_symbols, n_factors)``: as research computed it.
    ways
        The same by other ways, by name.
    symbols, factors
        The axes.

    Raises
    ------
    FactorError
        When a way is of another shape or not float32.
    """
    found = []
    for way, values in ways.items():
        if values.shape != batch.shape or values.dtype != np.float32:
            raise FactorError(
                f"{way} has {values.dtype} values of shape {values.shape}, the batch float32 of {batch.shape}",
                "ask every way for the same symbols and factors",
            )
        both_missing = np.isnan(batch) & np.isnan(values)
        differs = (_bits(batch) != _bits(values)) & ~both_missing
        if differs.any():
            row, column = (int(at) for at in np.argwhere(differs)[0])
            first = float(batch[row, column]), float(values[row, column])
            found.append(Disagreement(way, int(differs.sum()), symbols[row], factors[column], *first))
    return tuple(found)


def _bits(values: NDArray[np.float32]) -> NDArray[Any]:
    return np.ascontiguousarray(values).view(np.uint32)
