"""The bound of a contest's daily differences, from what both walk forwards earned: fixed before the first session.

Not here: the test that it is a bound of (``monitoring/sequential.py``).
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from itertools import combinations

import pandas as pd

from ljwx_pipeline.errors import PromotionError
from ljwx_pipeline.evaluation.comparison import STRATEGY
from ljwx_pipeline.evaluation.run_files import RETURNS_PARQUET
from ljwx_pipeline.registry import ModelVersion, Registry

#: Of the research run that made a version: its walk forward's net returns by session.
ARTIFACT = f"report/{RETURNS_PARQUET}"
COLUMN = f"{STRATEGY}_return_frac"
#: Common sessions below which a standard deviation says too little.
MIN_SESSIONS = 120
#: Differences that never differ by more than this are none.
_LEAST = 1e-9


def walk_forward_returns(registry: Registry, version: ModelVersion) -> pd.Series:
    """Return the daily net returns of the version's walk forward, as its research run recorded them, by session.

    Raises
    ------
    PromotionError
        When no research run of it holds any.
    RegistryError
        When MLflow cannot be reached.
    """
    for run in registry.researches_of(version):
        content = registry.artifact_bytes(run.run_id, ARTIFACT)
        if content is not None:
            table = pd.read_parquet(io.BytesIO(content))
            if COLUMN in table and "session_date" in table:
                # the first one is of the session on which the account opened
                return table.set_index("session_date")[COLUMN].iloc[1:]
    raise PromotionError(
        f"no research run of version {version.version} holds {ARTIFACT}: how far its daily returns lie from the "
        "champion's is unknown",
        "give the bound yourself, --bound-frac 0.02 for two per cent a day, or run the research that made it again",
    )


def bound_of(champion: pd.Series, challenger: pd.Series, *, deviations: float) -> float:
    """Return ``deviations`` standard deviations of the differences of daily net returns on common sessions.

    Raises
    ------
    PromotionError
        When fewer than ``MIN_SESSIONS`` are common, or the two never differed.
    """
    both = pd.concat([champion, challenger], axis=1, join="inner").dropna()
    if len(both) < MIN_SESSIONS:
        raise PromotionError(
            f"the walk forwards of champion and challenger have {len(both)} sessions in common, a bound needs "
            f"{MIN_SESSIONS}",
            "give the bound yourself: --bound-frac 0.02 for two per cent a day",
        )
    spread = float((both.iloc[:, 1] - both.iloc[:, 0]).std(ddof=1))
    if not spread > _LEAST:
        raise PromotionError(
            f"champion and challenger earned the same on each of {len(both)} sessions of their walk forwards",
            "there is nothing to decide between them: choose another challenger",
        )
    return deviations * spread


def require_different(challengers: Mapping[str, pd.Series]) -> None:
    """Refuse challengers, daily net returns by version, of which two earned the same on every common session.

    Raises
    ------
    PromotionError
        Naming the two: they are one model, and would share the chance of a wrong verdict.
    """
    for one, other in combinations(challengers, 2):
        both = pd.concat([challengers[one], challengers[other]], axis=1, join="inner").dropna()
        if len(both) and not float((both.iloc[:, 1] - both.iloc[:, 0]).abs().max()) > _LEAST:
            raise PromotionError(
                f"versions {one} and {other} earned the same on each of {len(both)} sessions of their walk forwards",
                "they are the same model: name one of them",
            )
