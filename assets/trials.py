"""The trials behind a candidate: the backtest of a run counts as one, beside its study and whatever was swept.

Not here: the ledger (``ljwx_pipeline.backtest.trial_ledger``), what the count does to a promotion
(``ljwx_pipeline.promotion``).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from assets.io_managers import read_json
from assets.resources import Line
from ljwx_pipeline.backtest.trial_ledger import COUNTED, LEDGER_FILE, TrialLedger
from ljwx_pipeline.config import homes_of_same_data, market_home, market_name, replayed
from ljwx_pipeline.label import label_hash
from ljwx_pipeline.promotion.study_trials import count_studies, new_trial
from ljwx_pipeline.promotion.trial_count import CountedTrials, counted_trials, study_trials
from ljwx_pipeline.promotion.walk_trials import backtest_of, walk_evidence, walk_trial

if TYPE_CHECKING:  # heavy: the kernels
    import pandas as pd
    from numpy.typing import NDArray

    from ljwx_pipeline.backtest.result import BacktestResult
    from ljwx_pipeline.trading.market_arrays import MarketArrays

#: The document of the last walk forward, which names it.
WALKED = "walk_forward_folds"
#: Below a market's home: the journal of studies, and a folder a study for what is drawn of it.
STUDIES, JOURNAL = "studies", "journal.log"


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

    One that was counted on the same evidence is not counted again: a faithful replay adds nothing, one under other
    settings is a trial of the market it replays. A reproduction counts nothing.

    Parameters
    ----------
    market, scores, result, may_buy
        What ``run_backtest`` was given and made, as the configured strategy and costs say.
    benchmark_close
        Closes of the gate's benchmark on the sessions of ``result``.
    """
    from ljwx_pipeline.backtest.sweep import result_of, stored
    from ljwx_pipeline.backtest.sweep_input import SweepInput
    from ljwx_pipeline.backtest.sweep_store import RESULTS, SweepStore
    from ljwx_pipeline.backtest.sweep_variants import Variant
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
    family, key, home = family_of(line), inputs.key(), _counting_home(line)
    if not _made_again(home):
        (kept,) = stored(inputs, [tried], SweepStore(home / RESULTS, key))
        counted = backtest_of(kept, str(read_json(line.tables, WALKED).get("walk", "")))
        TrialLedger(home / LEDGER_FILE).record(family, "manual", [counted], evidence=key.evidence)
    return family, tried.variant_hash, key.evidence


def count_walk(line: Line, walk: str) -> None:
    """Count the walk forward of that name before a figure of it is shown; as ``record_trial`` what is replayed.

    Once its backtest is counted the two are one trial (``promotion/walk_trials.py``).
    """
    home = _counting_home(line)
    if not _made_again(home):
        TrialLedger(home / LEDGER_FILE).count(
            family_of(line), "manual", [walk_trial(walk)], evidence=walk_evidence(walk)
        )


def count_trial(line: Line, study: str, trial: Mapping[str, Any], *, evidence: str) -> None:
    """Count a trial of a study as soon as it is told; as ``record_trial`` what is replayed or made again.

    Parameters
    ----------
    trial
        ``models.tune.Trial`` as plain values.
    evidence
        ``study_evidence``.
    """
    home = _counting_home(line)
    if not _made_again(home):
        new = new_trial(study, trial, below=_studies_below(line))
        TrialLedger(home / LEDGER_FILE).count(family_of(line), "study", [new], evidence=evidence)


def count_studies_of(line: Line, *, dataset_hash: str) -> int:
    """Count the finished trials of every study kept where this line's are; return how many were not counted yet.

    A killed run's are among them, whether or not its study is ever gone on with. As ``record_trial`` what is replayed
    or made again.
    """
    from ljwx_pipeline.studies import Place, study_summaries

    settings, home = line.settings, _counting_home(line)
    if _made_again(home):
        return 0
    place = Place(line.home / STUDIES / JOURNAL, settings.tune.storage.get_secret_value())
    return count_studies(
        TrialLedger(home / LEDGER_FILE),
        study_summaries(place),
        market=market_name(settings),
        family=family_of(line),
        dataset_hash=dataset_hash,
        below=_studies_below(line),
    )


def trials_behind(line: Line, study: dict[str, Any], candidate: pd.Series | None = None) -> CountedTrials:
    """Return every trial of the candidate's family, and those behind its study that the ledger does not hold.

    A replay counts those of what it replays. With the ``candidate``'s net excess returns by session also trials of
    other families that are like it, those made on the same data under another profile's name among them.

    Raises
    ------
    LakeError
        When the ledger cannot be read or lacks what was counted: unknown trials are not zero trials.
    """
    home = _counting_home(line)
    return counted_trials(
        study_trials(study),
        ledger=TrialLedger(home / LEDGER_FILE),
        family=family_of(line),
        counted=_returns_of(home),
        own=line.home,
        candidate=candidate,
        beside={_returns_of(other): TrialLedger(other / LEDGER_FILE) for other in homes_of_same_data(home)},
    )


def family_of(line: Line) -> str:
    """Return the family that the configured strategy's trials count with."""
    from ljwx_pipeline.backtest.trial_ledger import strategy_family

    return strategy_family(
        factor_hash=line.catalogue.version_hash,
        label_hash=label_hash(line.settings.label),
        universe=line.settings.universe,
    )


def _counting_home(line: Line) -> Path:
    """Return the home of the market whose ledger counts this line's trials: a replay's are those of what it replays."""
    return market_home(replayed(line.settings))


def _made_again(home: Path) -> bool:
    """Whether ``home`` is of a reproduction: it repeats one run, and its copy of the ledger is thrown away with it."""
    return (home / COUNTED).is_dir()


def _returns_of(home: Path) -> Path:
    """Return where the returns of the trials that ``home`` counts are kept."""
    return home / COUNTED if _made_again(home) else home


def _studies_below(line: Line) -> str:
    """Return where this line keeps its studies, as the market that counts them sees it (``new_trial``)."""
    return f"../{market_name(line.settings)}/" if line.settings.source.as_of else ""
