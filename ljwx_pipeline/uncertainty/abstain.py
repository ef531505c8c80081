"""Who is too unsure to be traded on: the rule, and why each row falls under it.

Not here: what becomes of a row that is abstained from (``trading/``).
"""

from __future__ import annotations

import math
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from ljwx_pipeline.config import UncertaintySettings
from ljwx_pipeline.errors import ModelError
from ljwx_pipeline.uncertainty.state import Float


class Abstention(IntEnum):
    """Why a row is abstained from; ``NONE`` where it may be traded."""

    NONE = 0
    NO_INTERVAL = 1
    TOO_WIDE = 2
    TOO_DEEP = 3


def abstentions(lower: Float, upper: Float, *, max_width: float, max_loss: float) -> NDArray[np.int8]:
    """Return the ``Abstention`` of each row, int8 of the ends' shape.

    ``NO_INTERVAL``: an end is no finite number or the ends have changed sides, as of a NaN score or an unknown group.
    ``TOO_WIDE``: ``upper - lower > max_width``. ``TOO_DEEP``: ``lower < -max_loss``. The first that holds is told.

    Parameters
    ----------
    lower, upper
        In the outcome's unit, any one shape.
    max_width, max_loss
        In the outcome's unit, above 0; infinite asks for an interval alone.

    Raises
    ------
    ModelError
        For a limit that is NaN or not above 0, or ends of two shapes.
    """
    for name, limit in (("max_width", max_width), ("max_loss", max_loss)):
        if not limit > 0:
            raise ModelError(f"{name} = {limit} would abstain from everything", "choose a limit above 0")
    if lower.shape != upper.shape:
        raise ModelError(f"ends of shapes {lower.shape} and {upper.shape}", "pass one of each a row")
    told = np.where(lower < -max_loss, Abstention.TOO_DEEP, Abstention.NONE)
    known = np.isfinite(lower) & np.isfinite(upper)
    width = np.where(known, upper, 0.0) - np.where(known, lower, 0.0)
    told = np.where(width > max_width, Abstention.TOO_WIDE, told)
    return np.where(known & (width >= 0), told, Abstention.NO_INTERVAL).astype(np.int8)


def may_buy(settings: UncertaintySettings, lower: Float, upper: Float) -> NDArray[np.int8]:
    """Return 1 where the settings' limits let a name be bought and 0 where it is abstained from, of the ends' shape.

    ``trading/decide.py`` reads it. Without limits everything may be bought, whether or not it has an interval.
    """
    if not settings.abstains:
        return np.ones(lower.shape, dtype=np.int8)
    told = abstentions(
        lower, upper, max_width=settings.max_width_frac or math.inf, max_loss=settings.max_loss_frac or math.inf
    )
    allowed: NDArray[np.int8] = (told == Abstention.NONE).astype(np.int8)
    return allowed
