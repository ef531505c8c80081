"""Why a stock stands where it stands in its session's ranking.

A rank is a comparison, so a stock's contributions are told against the session's: what a factor adds to this stock's
score beyond what it adds to the mean stock's. Not here: contributions (``explain_model.py``), the terminal
(``explain_commands.py``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ljwx_pipeline.errors import ModelError
from ljwx_pipeline.factors.catalogue import Catalogue
from ljwx_pipeline.models.explain_model import contributions
from ljwx_pipeline.scoring.model import Model


@dataclass(frozen=True)
class Reason:
    """What one factor does for a stock's place.

    Parameters
    ----------
    factor, meaning, source, unit
        Of the catalogue.
    value
        Of this stock; None where it is missing.
    percentile
        Share of the session's known values that are below it, those equal to it counted half; None where it is missing.
    contribution
        To the score.
    beyond_session
        The contribution less its mean over the session's stocks.
    """

    factor: str
    meaning: str
    source: str
    unit: str
    value: float | None
    percentile: float | None
    contribution: float
    beyond_session: float


@dataclass(frozen=True)
class Place:
    """A stock in its session's ranking, and why.

    Parameters
    ----------
    symbol, rank, ranked
        ``rank`` counts from 1, the highest score first (ties by symbol), among ``ranked`` stocks.
    score, session_score
        Its own and the session's mean.
    base_beyond_session
        What its starting point is above the session's: zero unless members are routed by group.
    reasons
        Every factor, the largest ``beyond_session`` in size first; their sum and ``base_beyond_session`` are
        ``score - session_score``.
    methods
        How contributions were computed (``explain_model.Contributions``).
    """

    symbol: str
    rank: int
    ranked: int
    score: float
    session_score: float
    base_beyond_session: float
    reasons: tuple[Reason, ...]
    methods: tuple[str, ...]


def explain_place(
    model: Model,
    features: NDArray[np.float32],
    symbols: tuple[str, ...],
    catalogue: Catalogue,
    *,
    symbol: str | None = None,
    groups: NDArray[Any] | None = None,
    threads: int = 1,
) -> Place:
    """Return why ``symbol`` stands where it stands among the rows of one session.

    Parameters
    ----------
    features
        float32, shape ``(len(symbols), len(catalogue.factors))``: the session's rows. Rows of nothing but NaN are not
        ranked, as they are not scored.
    groups
        Group code of each row, ``NO_GROUP`` where unknown; needed where members have groups.
    symbol
        None: the stock that is ranked first.

    Raises
    ------
    ModelError
        When no row has a factor, or ``symbol`` is not among those ranked.
    """
    known: NDArray[np.bool_] = np.logical_not(np.isnan(features).all(axis=1))
    if not known.any():
        raise ModelError("no stock of the session has any factor", "choose another session")
    rows = features[known]
    ranked = tuple(name for name, one in zip(symbols, known, strict=True) if one)
    if symbol is not None and symbol not in ranked:
        raise ModelError(f"{symbol} has no factor value in the session", "choose a stock that has a bar then")
    codes = None if groups is None else groups[known]
    score = model.predict(rows, codes, threads=threads).score
    order = np.lexsort((np.array(ranked), -score))
    at = int(order[0]) if symbol is None else ranked.index(symbol)
    said = contributions(model, rows, codes, threads=threads)
    beyond = said.values[at] - said.values.mean(axis=0)
    reasons = []
    for j in sorted(range(len(beyond)), key=lambda j: (-abs(beyond[j]), catalogue.names[j])):
        factor, value = catalogue.factors[j], float(rows[at, j])
        reasons.append(
            Reason(
                factor.name,
                factor.meaning,
                factor.source,
                factor.unit,
                None if np.isnan(value) else value,
                percentile(rows[:, j], value),
                float(said.values[at, j]),
                float(beyond[j]),
            )
        )
    return Place(
        ranked[at],
        int(np.flatnonzero(order == at)[0]) + 1,
        len(ranked),
        float(score[at]),
        float(score.mean()),
        float(said.base[at] - said.base.mean()),
        tuple(reasons),
        said.methods,
    )


def percentile(values: NDArray[np.floating], value: float) -> float | None:
    """Return the share of the known ``values`` below ``value``, those equal to it counted half; None of a NaN."""
    if np.isnan(value):
        return None
    known = values[~np.isnan(values)]
    return float(((known < value).sum() + 0.5 * (known == value).sum()) / len(known))
