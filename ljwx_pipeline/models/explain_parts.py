"""Which factors matter where: importance by part of the rows (sector, regime) and by fold, and how steady it is.

Not here: contributions (``explain_model.py``), pictures (``explain_figures.py``).
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ljwx_pipeline.errors import ModelError
from ljwx_pipeline.models.explain_model import contributions
from ljwx_pipeline.scoring.model import Model

#: Sessions of the market's past that its trend and its volatility are measured over.
REGIME_WINDOW_SESSIONS = 60
#: What a session is called before that much past, and a row whose sector nobody stated.
UNKNOWN = "unknown"
TRENDS = ("falling", "sideways", "rising")
VOLATILITIES = ("calm", "middling", "volatile")


def importance(values: NDArray[np.float64], names: tuple[str, ...]) -> pd.DataFrame:
    """Return columns factor, mean_abs_shap and share_frac (of the sum over factors), largest first, ties by name.

    Parameters
    ----------
    values
        Contributions, shape ``(rows, len(names))``, at least one row.
    """
    table = pd.DataFrame({"factor": names, "mean_abs_shap": np.abs(values).mean(axis=0)})
    total = float(table["mean_abs_shap"].sum())
    table["share_frac"] = table["mean_abs_shap"] / total if total > 0 else 0.0
    return table.sort_values(["mean_abs_shap", "factor"], ascending=[False, True], ignore_index=True)


def importance_by_part(values: NDArray[np.float64], parts: NDArray[np.object_], names: tuple[str, ...]) -> pd.DataFrame:
    """Return ``importance`` within each part: columns part, rows, rank (from 1), factor, mean_abs_shap, share_frac.

    Parameters
    ----------
    parts
        Name of each row's part, shape ``(rows,)``; parts come in the order of their names, ``UNKNOWN`` last.
    """
    frames = []
    for part in sorted(set(parts), key=lambda name: (name == UNKNOWN, name)):
        rows = parts == part
        table = importance(values[rows], names)
        table.insert(0, "part", part)
        table.insert(1, "rows", int(rows.sum()))
        table.insert(2, "rank", np.arange(1, len(table) + 1))
        frames.append(table)
    return pd.concat(frames, ignore_index=True)


def market_regimes(close: NDArray[np.float64], sessions: pd.DatetimeIndex) -> pd.DataFrame:
    """Return what kind of market each session stood in: columns trend and volatility, by session.

    The market is the equal-weight mean of its stocks' returns. Of the ``REGIME_WINDOW_SESSIONS`` sessions that end
    with a session, the sum of these is its trend, their standard deviation its volatility; each is cut into thirds
    over all sessions given, so the words compare within them and look back on them: they describe, and feed no model.

    Parameters
    ----------
    close
        Adjusted closes, shape ``(n_symbols, len(sessions))``; NaN where there is no bar.
    """
    with np.errstate(invalid="ignore"):
        returns = pd.DataFrame(close[:, 1:] / close[:, :-1] - 1.0).mean(axis=0).to_numpy()
    market = pd.Series(np.concatenate([[np.nan], returns]), index=sessions).rolling(REGIME_WINDOW_SESSIONS)
    return pd.DataFrame({"trend": _thirds(market.sum(), TRENDS), "volatility": _thirds(market.std(), VOLATILITIES)})


def _thirds(measured: pd.Series, names: tuple[str, ...]) -> pd.Series:
    known = measured.dropna()
    told = pd.Series(UNKNOWN, index=measured.index, dtype=object)
    if len(known) >= len(names):
        rank = known.rank(method="first").to_numpy() - 1
        told[known.index] = np.array(names, dtype=object)[(rank * len(names) // len(known)).astype(int)]
    return told


def importance_by_fold(
    models: Mapping[str, Model],
    features: NDArray[np.float32],
    names: tuple[str, ...],
    groups: NDArray[Any] | None = None,
    *,
    threads: int = 1,
) -> pd.DataFrame:
    """Return what each fold's model leans on: as ``importance_by_part``, the part being the fold.

    Every model explains the same rows, so that differences are the models' and not the rows'.

    Parameters
    ----------
    models
        Each fold's model by its name, in their order.

    Raises
    ------
    ModelError
        Without a model.
    """
    if not models:
        raise ModelError("there is no fold to explain", "run the walk forward first")
    frames = []
    for fold, model in models.items():
        table = importance(contributions(model, features, groups, threads=threads).values, names)
        table.insert(0, "part", fold)
        table.insert(1, "rows", len(features))
        table.insert(2, "rank", np.arange(1, len(table) + 1))
        frames.append(table)
    return pd.concat(frames, ignore_index=True)


def stability(by_part: pd.DataFrame) -> pd.DataFrame:
    """Return how alike the parts rank the factors: columns first, second, rank_correlation (Spearman), top_shared_frac.

    ``top_shared_frac`` is the share of the first's twenty leading factors that lead the second too. A row for each
    pair of parts, in their order; no row for fewer than two parts. NaN where a part ranks all factors alike.
    """
    columns = {
        part: by_part[by_part["part"] == part].set_index("factor")["mean_abs_shap"] for part in by_part["part"].unique()
    }
    wide = pd.DataFrame(columns)
    ranks = wide.rank()
    top = min(20, len(wide))
    leaders = {part: set(wide[part].nlargest(top).index) for part in wide}
    rows = []
    for first, second in combinations(wide, 2):
        varied = min(np.ptp(ranks[first]), np.ptp(ranks[second])) > 0
        rows.append(
            {
                "first": first,
                "second": second,
                "rank_correlation": float(ranks[first].corr(ranks[second])) if varied else np.nan,
                "top_shared_frac": len(leaders[first] & leaders[second]) / top,
            }
        )
    return pd.DataFrame(rows, columns=["first", "second", "rank_correlation", "top_shared_frac"])
