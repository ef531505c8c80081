"""Smoke predictions: a bundle scores the last sessions before it may be given any stage.

Signature, hashes and factors were verified before (``scoring/bundle.py``). A bundle carries no predictions of its own
to compare with: its answers are compared with themselves, the same rows in another order being the same bits. Not here:
what is asked of a session's scores (``score_checks.py``), where bundles come from (``inbox.py``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from ljwx_pipeline.clock import Clock
from ljwx_pipeline.config import StageSettings
from ljwx_pipeline.errors import BundleError, LjwxError
from ljwx_pipeline.live.factor_history import FactorHistory, PastSession
from ljwx_pipeline.live.score_checks import ModelFailed, in_time, rank_correlation, require_alike, unscored_frac
from ljwx_pipeline.live.scorer import predicted
from ljwx_pipeline.scoring.bundle import ModelBundle

Float = NDArray[np.float64]
_REMEDY = "the model that trades stays; train again, or deploy another version"


@dataclass(frozen=True)
class Smoke:
    """What a bundle showed.

    Parameters
    ----------
    sessions, names
        Scored; the names over all of them.
    unscored_frac, slowest_s
        The largest share without a score, and the longest a session took.
    rank_correlation
        Mean with the champion's scores; None without a champion, or where no session has one.
    """

    sessions: int
    names: int
    unscored_frac: float
    slowest_s: float
    rank_correlation: float | None


def smoke(
    bundle: ModelBundle,
    factors: FactorHistory,
    settings: StageSettings,
    clock: Clock,
    champion: ModelBundle | None = None,
) -> Smoke:
    """Return what ``bundle`` says of the last sessions of ``factors``, or refuse it.

    Any thread may ask: the factors stay where they are.

    Raises
    ------
    BundleError
        When the bundle was made for another kind of market or universe, or its groups cannot be told here; when no name
        of the last sessions may be scored, so that nothing shows; or for the first thing wrong with its scores: an
        error, too slow, too few, infinite, constant, other bits for the same rows in another order, too far from the
        champion's.
    """
    manifest, pack = bundle.manifest, factors.feed.pack.manifest
    if manifest.simulated != pack.simulated:
        theirs, ours = ("simulated" if told else "real" for told in (manifest.simulated, pack.simulated))
        raise _refusal(bundle, f"it was trained on a {theirs} market, the session pack is of a {ours} one")
    try:
        factors.require_universe(manifest.universe)
        factors.require_groups(manifest.group_by, manifest.group_measure)
        inputs = {manifest.group_by: factors.last_inputs(settings.smoke_sessions, manifest.group_by)}
        found = [_session(bundle, one, settings, clock) for one in inputs[manifest.group_by]]
        names = sum(int(np.isfinite(one.scores).sum()) for one in found)
        if not names:
            raise ModelFailed("no name may be scored in the last sessions of the pack, so that nothing shows", _REMEDY)
        alike = None
        if champion is not None:
            by = champion.manifest.group_by
            beside = inputs[by] if by in inputs else factors.last_inputs(settings.smoke_sessions, by)
            alike = _alike(champion, beside, settings, clock, [one.scores for one in found])
        if alike is not None:
            require_alike(alike, settings.min_rank_correlation)
    except LjwxError as error:
        raise _refusal(bundle, error.fact) from error
    return Smoke(
        sessions=len(found),
        names=names,
        unscored_frac=max(one.unscored_frac for one in found),
        slowest_s=max(one.seconds for one in found),
        rank_correlation=alike,
    )


@dataclass(frozen=True, eq=False)
class _Scored:
    scores: Float
    unscored_frac: float
    seconds: float


def _session(bundle: ModelBundle, inputs: PastSession, settings: StageSettings, clock: Clock) -> _Scored:
    said, seconds = in_time(settings.max_latency_s, partial(predicted, bundle, inputs), clock)
    share = unscored_frac(said.score, inputs.scorable, limit=settings.max_unscored_frac)
    again, _ = in_time(settings.max_latency_s, partial(predicted, bundle, _reversed(inputs)), clock)
    if not np.array_equal(again.score[::-1], said.score, equal_nan=True):
        raise ModelFailed("the same rows in another order have other scores", _REMEDY)
    return _Scored(said.score, share, seconds)


def _alike(
    champion: ModelBundle,
    inputs: Sequence[PastSession],
    settings: StageSettings,
    clock: Clock,
    scores: Sequence[Float],
) -> float | None:
    """Return the mean rank correlation with what the champion says; None where it says nothing comparable."""
    try:
        theirs = [in_time(settings.max_latency_s, partial(predicted, champion, one), clock)[0].score for one in inputs]
    except ModelFailed:
        return None  # the champion's own failure is told when it is to trade
    found = [rank_correlation(one, other) for one, other in zip(scores, theirs, strict=True)]
    known = [one for one in found if one is not None]
    return float(np.mean(known)) if known else None


def _reversed(inputs: PastSession) -> PastSession:
    return replace(
        inputs,
        features=np.ascontiguousarray(inputs.features[::-1]),
        scorable=inputs.scorable[::-1],
        groups=None if inputs.groups is None else inputs.groups[::-1],
    )


def _refusal(bundle: ModelBundle, fact: str) -> BundleError:
    return BundleError(f"bundle {bundle.bundle_hash[:12]} fails its smoke predictions: {fact}", _REMEDY)
