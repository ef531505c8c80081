"""Whether a model's scores can be traded: it answers in time, for enough names, with finite numbers that differ.

A model is somebody else's code over somebody else's numbers: whatever it raises, and however long it takes, is said as
one `ModelFailed` and ends neither the process nor another model's scoring. Not here: what follows (``stages.py``), the
features (``factor_history.py``), which are ours and whose errors are not the model's.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from ljwx_pipeline.clock import Clock
from ljwx_pipeline.coefficients import MIN_PAIRS, by_session, panel_rank_ic
from ljwx_pipeline.errors import LiveError, LjwxError

T = TypeVar("T")
Float = NDArray[np.float64]
#: A score beyond it is an overflow, no forecast of a return or a rank.
MAX_SCORE = 1e6
_REMEDY = "the former champion trades on; look at the bundle's card, train again or deploy another version"


class ModelFailed(LiveError):
    """A model cannot be trusted with this session; nothing else is wrong."""


def in_time(limit_s: float, work: Callable[[], T], clock: Clock) -> tuple[T, float]:
    """Return what ``work`` returns, and the seconds it took.

    It runs in a thread of its own, which is left behind when it takes longer: no thread can be ended from outside.

    Raises
    ------
    ModelFailed
        When it raises anything, or takes longer than ``limit_s``.
    """
    answers: queue.SimpleQueue[tuple[T | None, BaseException | None]] = queue.SimpleQueue()

    def run() -> None:
        try:
            answers.put((work(), None))
        except BaseException as error:  # a thread that ends without an answer would be waited for
            answers.put((None, error))

    began_s = clock.monotonic_s()
    threading.Thread(target=run, name="model", daemon=True).start()
    try:
        answer, error = answers.get(timeout=limit_s)
    except queue.Empty:
        raise ModelFailed(f"no answer within {limit_s:g} s", _REMEDY) from None
    seconds = clock.monotonic_s() - began_s
    if error is not None:
        said = error.fact if isinstance(error, LjwxError) else repr(error)
        raise ModelFailed(f"it raised an error: {said}"[:500], _REMEDY) from error
    if seconds > limit_s:
        raise ModelFailed(f"it took {seconds:.1f} s, limit {limit_s:g} s", _REMEDY)
    return answer, seconds  # type: ignore[return-value]  # T, as there was no error


def unscored_frac(scores: Float, scorable: NDArray[np.bool_], *, limit: float) -> float:
    """Return the share of the names that may be scored which have no score; 0 where none may be.

    Parameters
    ----------
    scores
        One a symbol, NaN for none.
    limit
        The largest share that is still traded.

    Raises
    ------
    ModelFailed
        For another shape, a share above ``limit``, an infinite or absurd score, or at least five that are all the same.
    """
    if scores.shape != scorable.shape:
        raise ModelFailed(f"{scores.shape} scores came for {scorable.shape} symbols", _REMEDY)
    given = scores[scorable]
    known = given[~np.isnan(given)]
    absurd = known[np.abs(known) > MAX_SCORE]
    if len(absurd):
        raise ModelFailed(f"{len(absurd)} of {len(known)} scores are beyond {MAX_SCORE:g}, one is {absurd[0]}", _REMEDY)
    share = 1.0 - len(known) / len(given) if len(given) else 0.0
    if share > limit:
        raise ModelFailed(
            f"{len(given) - len(known)} of {len(given)} names have no score ({share:.0%}), limit {limit:.0%}", _REMEDY
        )
    if len(known) >= MIN_PAIRS and (known == known[0]).all():
        raise ModelFailed(f"all {len(known)} scores are {known[0]:g}", _REMEDY)
    return share


def rank_correlation(one: Float, other: Float) -> float | None:
    """Return Spearman's correlation over the names known in both; None below five, or where either is constant.

    Parameters
    ----------
    one, other
        Shape ``(n,)``; NaN for unknown.
    """
    found = float(panel_rank_ic(by_session(one[:, None]), by_session(other[:, None]))[0])
    return None if np.isnan(found) else found


def require_alike(correlation: float | None, least: float) -> None:
    """Refuse scores whose rank correlation with the champion's is below ``least``; -1 refuses nothing.

    Raises
    ------
    ModelFailed
        Also when there is none to be had although one is asked for.
    """
    if least <= -1:
        return
    if correlation is None or correlation < least:
        said = "cannot be told" if correlation is None else f"is {correlation:.2f}"
        raise ModelFailed(f"its rank correlation with the champion {said}, limit {least:.2f}", _REMEDY)
