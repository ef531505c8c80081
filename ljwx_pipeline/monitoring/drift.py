"""The alarm of drift: whether features and scores of a session are still those the model was trained on.

Two questions, two kinds of finding, one reference kept with the model:

- **broken input**, from the newest session alone: symbols missing, a factor unknown, constant, on another scale, or
  still that of the session before. Each has a limit beyond everything seen in training, by a margin.
- **drift**, from the newest sessions together: the population stability index ``PSI = Σ (p - q) ln(p / q)`` of each
  factor over the deciles of training and a bucket of its own for the unknown (Siddiqi 2006; twice the mean of the two
  Kullback-Leibler divergences). Markets move whole cross-sections, so 0.1 and 0.25, the usual limits for loan books,
  mean nothing here: a factor is measured against its own PSI over as many sessions of training.

Many factors are judged every session, and one alarm is raised for all. A PSI is divided by the median of the factor's
yearly largest in training; the largest of these ratios over a year and all factors is the year's score, taken by the
median of the other years. The limit is the ``k``-th largest score of ``Y`` years: factors move together, and ranks of
years need no assumption about how (a max statistic as Westfall and Young's, 1993). If the years are alike, the next one
passes it by chance ``k / (Y + 1)``, and ``k`` is the largest that keeps this within ``YEARLY_CHANCE``.

Not here: how a session is counted (``cross_section.py``), single wrong cells (``quality/``), the same factors computed
two ways (``feature_parity.py``).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ljwx_pipeline.errors import DataQualityError
from ljwx_pipeline.market.calendar import SESSIONS_PER_YEAR
from ljwx_pipeline.monitoring.cross_section import BUCKETS, DECILES, Profile

Float = NDArray[np.float64]
Kind = Literal["symbols_missing", "unknown", "constant", "scaled", "stale", "drift"]

#: Sessions whose rows are counted together for drift.
WINDOW_SESSIONS = 20
#: An empty bucket counts as this share: one row in ten thousand.
LEAST_SHARE = 1e-4
#: Beyond the most seen in training: share of rows unknown, share of symbols missing.
UNKNOWN_MARGIN, MISSING_MARGIN = 0.10, 0.05
#: Beyond the range seen in training, as a factor of scale either way.
SCALE_MARGIN = 3.0
#: A factor is stale when it agrees with the last session's more than ever in training, by half of what is left.
AGREEMENT_PART = 0.5
#: One that agreed more than this in training is too slow to be called stale.
SLOW_AGREEMENT = 0.99
#: Smaller values of PSI count as this: less is chance of sampling.
LEAST_PSI = 0.01
#: Chance of an alarm of drift in a year like training's that is allowed, and the years it takes to keep it.
YEARLY_CHANCE, MIN_YEARS = 0.25, 3


@dataclass(frozen=True)
class DriftReference:
    """What training looked like; kept with the model.

    Parameters
    ----------
    names
        Of the factors, scores among them, in order.
    edges
        From ``decile_edges``, shape ``(n_factors, 9)``; equal edges leave a bucket empty.
    shares
        Share of training's rows by bucket, shape ``(n_factors, 11)``.
    unknown_most, log_scale_least, log_scale_most, agreement_most
        Extremes over training's sessions, shape ``(n_factors,)``; NaN where never measured.
    constant_seen
        Factors that were constant on some session of training: not judged for it.
    missing_most
        Largest share of symbols missing from one session to the next.
    psi_limit
        PSI over ``WINDOW_SESSIONS`` beyond which a factor has drifted, shape ``(n_factors,)``.
    false_alarms_per_year
        Chance that a year like training's has an alarm of drift, ``k / (Y + 1)``.
    sessions
        Of training.
    """

    names: tuple[str, ...]
    edges: Float
    shares: Float
    unknown_most: Float
    log_scale_least: Float
    log_scale_most: Float
    agreement_most: Float
    constant_seen: NDArray[np.bool_]
    missing_most: float
    psi_limit: Float
    false_alarms_per_year: float
    sessions: int

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON values, NaN as None; ``reference_of`` reads them."""
        return {
            name: _plain(value) if isinstance(value := getattr(self, name), np.ndarray) else value
            for name in self.__dataclass_fields__
        } | {"names": list(self.names)}


@dataclass(frozen=True)
class Finding:
    """One thing that is not as in training.

    Parameters
    ----------
    kind
        What; ``drift`` is a change of distribution, all others are broken input.
    factor
        Whose; empty for symbols.
    measured, limit
        The number and the one it went beyond.
    sentence
        Fact and value, for people.
    """

    kind: Kind
    factor: str
    measured: float
    limit: float
    sentence: str

    @property
    def broken(self) -> bool:
        """Whether the input is broken, rather than the market another."""
        return self.kind != "drift"


@dataclass(frozen=True)
class DriftVerdict:
    """What one session's judgement found.

    Parameters
    ----------
    findings
        Broken input first, then drifted factors by how far they are beyond their level.
    psi
        PSI over the window by factor, shape ``(n_factors,)``; NaN before ``WINDOW_SESSIONS`` sessions are there.
    """

    findings: tuple[Finding, ...]
    psi: Float

    @property
    def broken(self) -> bool:
        """Whether the newest session's input is broken."""
        return any(finding.broken for finding in self.findings)

    @property
    def drifted(self) -> bool:
        """Whether some factor's distribution is beyond all of training."""
        return any(not finding.broken for finding in self.findings)


def drift_reference(names: Sequence[str], edges: Float, profiles: Sequence[Profile]) -> DriftReference:
    """Return the reference of a model from the profiles of its training sessions.

    Parameters
    ----------
    names
        Of the factors, in the order of ``edges``.
    profiles
        One a session, consecutive, ascending.

    Raises
    ------
    DataQualityError
        For fewer than 756 sessions, a session without rows, or names and edges that do not fit.
    """
    if len(names) != len(edges) or len(set(names)) != len(names):
        raise DataQualityError(f"{len(names)} names stand beside {len(edges)} factors", "name each factor once")
    if len(profiles) < MIN_YEARS * SESSIONS_PER_YEAR or min(profile.rows for profile in profiles) == 0:
        raise DataQualityError(
            f"{len(profiles)} sessions of training are no reference, or one has no rows",
            f"take at least {MIN_YEARS * SESSIONS_PER_YEAR}, each with rows",
        )
    counts = np.stack([profile.counts for profile in profiles])
    shares = _shares(counts.sum(axis=0))
    psi_limit, chance = _psi_limit(counts)
    missing = np.array([profile.missing_frac for profile in profiles])
    return DriftReference(
        names=tuple(names),
        edges=edges,
        shares=shares,
        unknown_most=(counts[:, :, DECILES] / counts.sum(axis=2)).max(axis=0),
        log_scale_least=_extreme(np.stack([profile.log_scale for profile in profiles]), np.fmin),
        log_scale_most=_extreme(np.stack([profile.log_scale for profile in profiles]), np.fmax),
        agreement_most=_extreme(np.stack([profile.agreement for profile in profiles]), np.fmax),
        constant_seen=np.asarray(np.stack([profile.constant for profile in profiles]).any(axis=0)),
        missing_most=float(np.nan_to_num(_extreme(missing, np.fmax))),
        psi_limit=psi_limit,
        false_alarms_per_year=chance,
        sessions=len(profiles),
    )


def _shares(counts: NDArray[np.int64]) -> Float:
    out: Float = counts / counts.sum(axis=-1, keepdims=True)
    return out


def _windowed(counts: NDArray[np.int64]) -> Float:
    """Return the shares of every ``WINDOW_SESSIONS`` together, shape ``(sessions - WINDOW_SESSIONS + 1, ...)``."""
    summed = np.cumsum(np.concatenate([np.zeros((1, *counts.shape[1:]), dtype=np.int64), counts]), axis=0)
    return _shares(summed[WINDOW_SESSIONS:] - summed[:-WINDOW_SESSIONS])


def _psi_limit(counts: NDArray[np.int64]) -> tuple[Float, float]:
    """Return each factor's limit, shape ``(n_factors,)``, and the chance that a year like these passes one."""
    sessions, windows = len(counts), _windowed(counts)
    n_years, first, total = sessions // SESSIONS_PER_YEAR, np.arange(len(windows)), counts.sum(axis=0)
    largest = np.empty((n_years, counts.shape[1]))
    for at, year in enumerate(np.array_split(np.arange(sessions), n_years)):
        # against the other years, as live years are: one that is part of its own reference looks calmer
        others = _shares(total - counts[year].sum(axis=0))
        inside = (first >= year[0]) & (first + WINDOW_SESSIONS - 1 <= year[-1])
        largest[at] = np.maximum(population_stability(windows[inside], others).max(axis=0), LEAST_PSI)
    scores = [float((largest[at] / np.median(np.delete(largest, at, axis=0), axis=0)).max()) for at in range(n_years)]
    rank = max(1, math.floor(YEARLY_CHANCE * (n_years + 1)))
    limit: Float = max(1.0, sorted(scores)[-rank]) * np.median(largest, axis=0)
    return limit, rank / (n_years + 1)


def population_stability(shares: Float, expected: Float) -> Float:
    """Return ``Σ (p - q) ln(p / q)`` over the last axis; a share below ``LEAST_SHARE`` counts as that."""
    p, q = np.maximum(shares, LEAST_SHARE), np.maximum(expected, LEAST_SHARE)
    out: Float = ((p - q) * np.log(p / q)).sum(axis=-1)
    return out


def judge_drift(reference: DriftReference, profiles: Sequence[Profile]) -> DriftVerdict:
    """Return what is not as in training on the newest session.

    Parameters
    ----------
    profiles
        Of the newest live sessions, ascending, the session judged last; those before the last ``WINDOW_SESSIONS`` are
        not looked at. Drift is judged from ``WINDOW_SESSIONS`` on, broken input at once.

    Raises
    ------
    DataQualityError
        Without a profile, or for one of other factors.
    """
    if not profiles or any(profile.counts.shape != reference.shares.shape for profile in profiles):
        raise DataQualityError(
            f"{len(profiles)} profiles are not all of the reference's {len(reference.names)} factors",
            "profile each session with the reference's own edges",
        )
    broken = _broken_input(reference, profiles[-1])
    psi = np.full(len(reference.names), np.nan)
    counts = np.sum([profile.counts for profile in profiles[-WINDOW_SESSIONS:]], axis=0)
    if len(profiles) < WINDOW_SESSIONS or counts.sum() == 0:
        return DriftVerdict(tuple(broken), psi)
    psi = population_stability(_shares(counts), reference.shares)
    limit = reference.psi_limit
    drifted = [
        _finding("drift", reference.names[at], psi[at], limit[at], "has PSI {:.3f} over the window, limit {:.3f}")
        for at in np.argsort(-psi / limit, kind="stable")
        if psi[at] > limit[at]
    ]
    return DriftVerdict((*broken, *drifted), psi)


def _broken_input(reference: DriftReference, newest: Profile) -> list[Finding]:
    missing_limit = reference.missing_most + MISSING_MARGIN
    missing = 1.0 if newest.rows == 0 else newest.missing_frac
    found = []
    if missing > missing_limit:
        sentence = "{:.1%} of the last session's symbols are missing, limit {:.1%}"
        found.append(_finding("symbols_missing", "", missing, missing_limit, sentence))
    if newest.rows == 0:
        return found
    unknown = newest.counts[:, DECILES] / newest.rows
    unknown_limit = reference.unknown_most + UNKNOWN_MARGIN
    agreement_limit = reference.agreement_most + AGREEMENT_PART * (1 - reference.agreement_most)
    slow = ~(reference.agreement_most <= SLOW_AGREEMENT)
    low = reference.log_scale_least - math.log(SCALE_MARGIN)
    high = reference.log_scale_most + math.log(SCALE_MARGIN)
    for at, name in enumerate(reference.names):
        scale, agreement = newest.log_scale[at], newest.agreement[at]
        if unknown[at] > unknown_limit[at]:
            sentence = "is unknown on {:.1%} of the symbols, limit {:.1%}"
            found.append(_finding("unknown", name, unknown[at], unknown_limit[at], sentence))
        if newest.constant[at] and not reference.constant_seen[at]:
            found.append(_finding("constant", name, 1.0, 0.0, "has one value on every symbol, never in training"))
        if scale > high[at] or scale < low[at]:
            limit = high[at] if scale > high[at] else low[at]
            sentence = "has typical size {:.3g}, limit {:.3g}"
            found.append(_finding("scaled", name, math.exp(scale), math.exp(limit), sentence))
        if not slow[at] and agreement > agreement_limit[at]:
            sentence = "is that of the last session: agreement {:.3f}, limit {:.3f}"
            found.append(_finding("stale", name, agreement, agreement_limit[at], sentence))
    return found


def _finding(kind: Kind, factor: str, measured: float, limit: float, sentence: str) -> Finding:
    said = sentence.format(measured, limit)
    return Finding(kind, factor, float(measured), float(limit), f"{factor} {said}" if factor else said)


def reference_of(kept: Mapping[str, Any]) -> DriftReference:
    """Return the reference that ``DriftReference.as_dict`` wrote.

    Raises
    ------
    DataQualityError
        For a missing or unknown name, a value of another shape, or one unknown where it must be known.
    """
    wanted = set(DriftReference.__dataclass_fields__)
    if set(kept) != wanted:
        odd = ", ".join(sorted(wanted ^ set(kept)))
        raise DataQualityError(f"the kept reference lacks or has besides {odd}", "make it again from training")
    names = kept["names"]
    if not isinstance(names, list | tuple) or not all(isinstance(name, str) for name in names):
        raise DataQualityError(f"names of the kept reference are {names!r}", "make it again from training")
    n_factors = len(names)
    shapes = {"edges": (n_factors, DECILES - 1), "shares": (n_factors, BUCKETS)}
    arrays: dict[str, Any] = {}
    found: Any
    for name in wanted - {"names", "sessions", "missing_most", "false_alarms_per_year"}:
        try:
            found = np.array(kept[name], dtype=np.bool_ if name == "constant_seen" else np.float64)
        except (TypeError, ValueError) as error:
            raise DataQualityError(
                f"{name} of the kept reference is no table", "make it again from training"
            ) from error
        sound = found.shape == shapes.get(name, (n_factors,))
        if not sound or (name not in _MAY_BE_UNKNOWN and np.isnan(found).any()):
            raise DataQualityError(
                f"{name} of the kept reference has shape {found.shape} for {n_factors} factors, or gaps",
                "make it again from training",
            )
        arrays[name] = found
    numbers = (kept["missing_most"], kept["false_alarms_per_year"], kept["sessions"])
    if not all(isinstance(value, int | float) and math.isfinite(value) for value in numbers):
        raise DataQualityError(
            f"the kept reference says {numbers} of symbols missing, false alarms and sessions",
            "make it again from training",
        )
    return DriftReference(
        names=tuple(names),
        missing_most=float(kept["missing_most"]),
        false_alarms_per_year=float(kept["false_alarms_per_year"]),
        sessions=int(kept["sessions"]),
        **arrays,
    )


#: What a factor may never have shown in training.
_MAY_BE_UNKNOWN = ("log_scale_least", "log_scale_most", "agreement_most")


def _plain(values: NDArray[Any]) -> Any:
    if values.dtype == np.bool_:
        return values.tolist()
    plain = values.astype(object)
    plain[np.isnan(values)] = None
    return plain.tolist()


def _extreme(values: Float, reduce: np.ufunc) -> Float:
    """Return the extreme over sessions, NaN where never measured."""
    out: Float = reduce.reduce(values, axis=0)
    return out
