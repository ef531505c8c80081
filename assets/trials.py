"""The trials behind a candidate: the backtest of a run counts as one, beside its study and whatever was swept.

Not here: the ledger (``ljwx_pipeline.backtest.trial_ledger``), what the count does to a promotion
(``ljwx_pipeline.promotion``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from assets.resources import Line
from ljwx_pipeline.config import market_home, replayed
from ljwx_pipeline.label import label_hash
from ljwx_pipeline.promotion.trial_count import CountedTrials, counted_trials, study_trials

if TYPE_CHECKING:  # heavy: the kernels
    import pandas as pd
    from numpy.typing import NDArray

    from ljwx_pipeline.backtest.result import BacktestResult
    from ljwx_pipeline.trading.market_arrays import MarketArrays


def record_trial(
    line: Line,
    market: MarketArrays,
    scores: NDArray[np.float64],
    result: BacktestResult,
    benchmark_close: pd.Series,
    *,
    may_buy: NDArray[np.int8] | None = None,
) -> tuple[str, str, str]:
    """Count a run's backtest as a trial by hand; return the key of its row: family, variant and evidence.

    One that was counted on the same evidence is not counted again; a replay repeats what was tried and counts nothing.

    Parameters
    ----------
    market, scores, result, may_buy
        What ``run_backtest`` was given and made, as the configured strategy and costs say.
    benchmark_close
        Closes of the gate's benchmark on the sessions of ``result``.
    """
    from ljwx_pipeline.backtest.sweep import result_of
    from ljwx_pipeline.backtest.sweep_input import SweepInput
    from ljwx_pipeline.backtest.sweep_variants import Variant
    from ljwx_pipeline.backtest.trial_ledger import LEDGER_FILE, TrialLedger
    from ljwx_pipeline.evaluation.metrics import returns_of

    settings = line.settings
    inputs = SweepInput(
        market,
        np.asfortranarray(scores),
        result.sessions[0].date(),
        result.sessions[-1].date(),
        returns_of(benchmark_close).to_numpy(dtype=np.float64),
        may_buy,
    )
    inputs.require_sound()
    tried = result_of(inputs, Variant("as configured", settings.strategy, settings.costs), result)
    family, evidence = family_of(line), inputs.key().evidence
    if not settings.source.as_of:
        TrialLedger(market_home(settings) / LEDGER_FILE).record(family, "manual", [tried], evidence=evidence)
    return family, tried.variant_hash, evidence


def trials_behind(line: Line, study: dict[str, Any]) -> CountedTrials:
    """Return the trials of the study and of those it was warm-started from, and every strategy tried on its family.

    A replay counts those of what it replays.
    """
    from ljwx_pipeline.backtest.trial_ledger import LEDGER_FILE, TrialLedger

    ledger = TrialLedger(market_home(replayed(line.settings)) / LEDGER_FILE)
    return counted_trials(study_trials(study), ledger=ledger, family=family_of(line))


def family_of(line: Line) -> str:
    """Return the family that the configured strategy's trials count with."""
    from ljwx_pipeline.backtest.trial_ledger import strategy_family

    return strategy_family(
        factor_hash=line.catalogue.version_hash,
        label_hash=label_hash(line.settings.label),
        universe=line.settings.universe,
    )
