"""The evidence the gate is shown, gathered from what the assets before it left.

Not here: what is asked of it (``ljwx_pipeline.promotion``), the asset (``evaluation.py``).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from assets.features import LEAKS_FOUND
from assets.io_managers import read_json, read_table
from assets.report import FIGURES
from assets.resources import Line
from assets.restatements import restatement_of
from assets.result_lint import findings
from assets.tracking import champion_record, promotion_desk
from assets.trials import trials_behind
from ljwx_pipeline.backtest.trial_ledger import COUNTED
from ljwx_pipeline.config import market_home, replayed
from ljwx_pipeline.errors import PromotionError
from ljwx_pipeline.evaluation.metrics import returns_of
from ljwx_pipeline.evaluation.performance_file import PARQUET_NAME, read_performance
from ljwx_pipeline.tracking import AlarmJournal

if TYPE_CHECKING:  # heavy: scipy
    from ljwx_pipeline.promotion.evidence import Calibration, Drift, Evidence, Rival
    from ljwx_pipeline.promotion.rival import Named, ReturnsOfBundles
    from ljwx_pipeline.promotion.trial_count import CountedTrials


@dataclass(frozen=True)
class Gathered:
    """A candidate's evidence, the trials it rests on, the champion it was gathered beside and its rival (``rival.py``).

    The champion is read once: whoever becomes it meanwhile was not compared with.
    """

    evidence: Evidence
    trials: CountedTrials
    champion: Named | None
    rival: Named | None


def gathered(
    line: Line,
    predictions: pd.DataFrame,
    backtest: pd.DataFrame,
    *,
    tuned: dict[str, Any],
    intervals: Mapping[str, Any],
    reference: Mapping[str, Any],
) -> Gathered:
    """Return the candidate's evidence, and what it was gathered beside.

    Parameters
    ----------
    predictions, backtest
        ``walk_forward_predictions`` and ``net_backtest``.
    tuned, intervals, reference
        What ``tuned_hyperparameters``, ``prediction_intervals`` and ``monitoring_reference`` left.

    Raises
    ------
    PromotionError
        When the benchmark is not among the backtest's, or the champion's returns are damaged.
    """
    from ljwx_pipeline.evaluation.benchmarks import monthly_excess, session_excess
    from ljwx_pipeline.promotion.evidence import Evidence
    from ljwx_pipeline.promotion.rival import ReturnsOfBundles, choose_rival
    from ljwx_pipeline.promotion.trial_count import selection

    settings, counted = line.settings, trials_behind(line, tuned)
    equity, close = curves_of_gate(line, backtest)
    digests = champion_record(line).returns_digests(line.registered_model)
    returns, kept = returns_of(equity), ReturnsOfBundles(line.home / "tracking", digests)
    champion, origin, back = champion_of(line), made_again_of(line), read_json(line.tables, "backtest_summary")
    if origin is None:
        rival = choose_rival(returns, champion, kept)
    else:  # its registry is empty: what it was compared with then stands with the returns
        kept = ReturnsOfBundles(origin / "tracking")
        judged = kept.judged(returns)
        rival = None if judged is None else judged.rival
    (figures,) = read_performance(line.tables / FIGURES / PARQUET_NAME).values()
    evidence = Evidence(
        rank_ic=rank_ic_of(predictions),
        net_excess_returns=session_excess(equity, close).to_numpy(),
        monthly_net_excess_returns=monthly_excess(equity, close).to_numpy(),
        trade_returns=read_table(line.tables, "closed_trades")["return_frac"].to_numpy(dtype=np.float64),
        trial_sharpes=counted.sharpes,
        trials=len(counted.sharpes),
        trial_variance=counted.variance,
        trial_returns=counted.returns,
        related=counted.related,
        study=selection(counted, f"study {tuned['study']}", tuned["evidence"]),
        strategies=selection(counted, "strategies tried on its scores", back["evidence"]),
        purge_sessions=settings.purge_sessions,
        lint_errors=tuple(f"{found.code}: {found.fact}" for found in findings(line) if found.severity == "error"),
        leaks=leaks_of(line),
        strategy=settings.strategy.kind,
        turnover=figures["turnover"].value,
        capacity_cny=figures["capacity_median"].value,
        capital_cny=settings.strategy.capital_cny,
        drift=drift_of(reference),
        calibration=calibration_of(intervals),
        rival=rival_of(line, returns, rival, kept, made_again=origin is not None),
    )
    return Gathered(evidence, counted, champion, rival)


def curves_of_gate(line: Line, backtest: pd.DataFrame) -> tuple[pd.Series, pd.Series]:
    """Return equity and the benchmark's close by session.

    Raises
    ------
    PromotionError
        When the backtest was made beside other indices.
    """
    indexed, column = backtest.set_index("session_date"), f"{line.settings.gate.benchmark}_points"
    if column not in indexed:
        raise PromotionError(
            f"net_backtest has no closes of {line.settings.gate.benchmark}, the benchmark of the gate",
            "run the research whole: `ljwx run --job research`",
        )
    return indexed["equity_cny"], indexed[column]


def rank_ic_of(predictions: pd.DataFrame) -> np.ndarray:
    """Return the rank IC by session of rows that could be bought, in session order, no NaN."""
    from ljwx_pipeline.evaluation.ic import ic_of_rows

    return ic_of_rows(predictions[predictions["enterable"] & predictions["scorable"]])["rank_ic"].dropna().to_numpy()


def made_again_of(line: Line) -> Path | None:
    """Return the home of the market that a reproduction makes a run of again; None for any other run."""
    origin = market_home(replayed(line.settings)) / COUNTED
    return origin if origin.is_dir() else None


def leaks_of(line: Line) -> tuple[str, ...] | None:
    """Return what the leak checks of the configured factors found; None where these were never checked.

    A reproduction makes no checks: those of the market it makes a run of are asked, where they were of these factors.
    """
    origin = made_again_of(line)
    for tables in (line.tables, *([] if origin is None else [origin / "tables"])):
        if (tables / f"{LEAKS_FOUND}.json").exists():
            told = read_json(tables, LEAKS_FOUND)
            if told["factor_hash"] == line.catalogue.version_hash:
                return tuple(told["findings"])
    return None


def drift_of(reference: Mapping[str, Any]) -> Drift:
    """Return the drift that ``monitoring_reference`` judged."""
    from ljwx_pipeline.promotion.evidence import Drift

    ratio = reference["drift_ratio"]
    return Drift(
        ratio=math.nan if ratio is None else float(ratio),
        factors=tuple(reference["drifted_factors"]),
        reason=reference["reason"] or "",
        sessions=f"{reference['newest_first']} to {reference['newest_last']}" if reference["newest_last"] else "",
    )


def calibration_of(intervals: Mapping[str, Any]) -> Calibration:
    """Return the coverage that ``prediction_intervals`` measured."""
    from ljwx_pipeline.promotion.evidence import Calibration

    if not intervals["rows"]:
        return Calibration(math.nan, reason=str(intervals["reason"]))
    shares = (intervals[name] for name in ("coverage_frac", "least_group_frac", "most_group_frac"))
    return Calibration(
        *(math.nan if share is None else float(share) for share in shares),
        rows=int(intervals["rows"]),
        groups=int(intervals["groups_judged"]),
        nominal_frac=float(intervals["nominal_frac"]),
    )


def champion_of(line: Line) -> Named | None:
    """Return the champion that the candidate is compared with (``Desk.incumbent``)."""
    from ljwx_pipeline.promotion.rival import Named

    champion = promotion_desk(line).incumbent()
    return None if champion is None else Named(champion.version, champion.bundle_hash)


def rival_of(
    line: Line, returns: pd.Series, rival: Named | None, kept: ReturnsOfBundles, *, made_again: bool
) -> Rival | None:
    """Return the rival as the gate takes it; a run that is made again knew of no later restatement."""
    from ljwx_pipeline.promotion.rival import against

    def restated(named: Named) -> str:
        return "" if made_again else restatement_of(line, line.registered_model, named.bundle_hash)

    found = against(returns, rival, kept, restated=restated)
    if found is None or rival is None:
        return None
    newest = line.held_sessions()[-1].date()
    lost = AlarmJournal(line.home / "tracking").skill_lost_since(rival.bundle_hash, newest=newest)
    return replace(found, skill_lost_since="" if lost is None else lost.isoformat())
