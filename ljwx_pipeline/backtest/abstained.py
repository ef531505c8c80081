"""Which names the walk forward's prediction intervals let be bought, and how many they did not.

The first is what a research backtest passes as ``may_buy``.

Not here: the rule (``uncertainty/abstain.py``), the walk (the asset ``prediction_intervals``).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ljwx_pipeline.config import UncertaintySettings
from ljwx_pipeline.errors import LakeError
from ljwx_pipeline.lake.atomic_parquet import read_parquet
from ljwx_pipeline.market.panel import dense
from ljwx_pipeline.uncertainty.abstain import may_buy

#: The table of the walked intervals below a market's ``tables``.
WALKED = "walk_forward_intervals"


def walked_may_buy(
    tables: Path, settings: UncertaintySettings, symbols: tuple[str, ...], sessions: pd.DatetimeIndex
) -> NDArray[np.int8] | None:
    """Return where a name may be bought, int8 of shape ``(n_symbols, n_sessions)``; None where no limit is set.

    A name without an interval may not, as on the first sessions of the walk: nothing has matured there yet.

    Raises
    ------
    LakeError
        When a limit is set and no intervals were walked.
    """
    if not settings.abstains:
        return None
    path = tables / f"{WALKED}.parquet"
    if not path.exists():
        raise LakeError(
            f"{path} was never made: nobody knows which names are too unsure to be bought", "run `ljwx run` first"
        )
    rows = read_parquet(path)
    lower, upper = (dense(rows, name, symbols, sessions) for name in ("lower", "upper"))
    return may_buy(settings, lower, upper)


def abstained_frac(scores: NDArray[np.float64], may_buy: NDArray[np.int8] | None, sessions: slice) -> float | None:
    """Return the share of the scored rows of ``sessions`` that may not be bought.

    None without limits (``may_buy`` is None) and where nothing is scored.

    Parameters
    ----------
    scores, may_buy
        As ``run_backtest`` takes them, ``(n_symbols, n_sessions)``; NaN: not scored.
    sessions
        Columns looked at.
    """
    if may_buy is None:
        return None
    allowed = may_buy[:, sessions][np.isfinite(scores[:, sessions])]
    return float((allowed == 0).mean()) if allowed.size else None
