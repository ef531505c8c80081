"""What a sweep is of: the market, the newest run's out-of-sample scores and the trials before, from the market's home.

It refuses what would count in vain: other data, another label, universe or held-out end than the scores'. Not here: the
command (``sweep_commands.py``), what is found (``document.py``).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ljwx_pipeline.config import Settings, market_home, replayed
from ljwx_pipeline.errors import ConfigError, LakeError

if TYPE_CHECKING:  # pandas and numba: loaded when the command runs, not when the parser is built
    from ljwx_pipeline.backtest.sweep_input import SweepInput


@dataclass(frozen=True)
class SweepTask:
    """What is swept, the trials of the study behind its scores, and what is said of it."""

    inputs: SweepInput
    family: str
    home: Path
    study: tuple[dict[str, Any], ...]
    ledger: Path
    about: dict[str, Any]
    hashes: dict[str, str]


def sweep_task(settings: Settings) -> SweepTask:
    """Return the market, the newest run's out-of-sample scores and the gate's benchmark, from the market's home."""
    import numpy as np
    import pandas as pd

    from ljwx_pipeline.backtest.sweep_input import SweepInput
    from ljwx_pipeline.backtest.trial_ledger import LEDGER_FILE, strategy_family
    from ljwx_pipeline.dataset import sessions_for_research
    from ljwx_pipeline.evaluation.benchmarks import index_close
    from ljwx_pipeline.evaluation.metrics import returns_of
    from ljwx_pipeline.ingest.data_hash import data_hash
    from ljwx_pipeline.ingest.tables import CALENDAR, read_market_table
    from ljwx_pipeline.label import label_hash
    from ljwx_pipeline.lake import Lake
    from ljwx_pipeline.lake.atomic_parquet import read_parquet
    from ljwx_pipeline.market.panel import dense
    from ljwx_pipeline.sources.open import open_source
    from ljwx_pipeline.trading.market_arrays import OPTIONAL_COLUMNS, market_arrays

    home, span, benchmark = market_home(settings), settings.source, settings.gate.benchmark
    scored = home / "tables" / "walk_forward_predictions.parquet"
    if not scored.exists():
        raise LakeError(f"{home.name} has no walk-forward predictions to sweep over", "run `ljwx run` first")
    _require_same_scores(home, settings)
    predictions, lineage = read_parquet(scored), _lineage(home)
    lake = Lake(home / "lake")
    held = pd.DatetimeIndex(read_market_table(lake, CALENDAR)["session_date"], name="session_date")
    sessions = held[(held >= pd.Timestamp(span.first_session)) & (held <= pd.Timestamp(span.until))]
    bars = Lake(home / "checked").read("bars", first=sessions[0].date(), last=sessions[-1].date())
    if (now := data_hash(lake, bars)) != lineage["data_hash"]:
        raise LakeError(
            f"the tables of {home.name} are not those that its newest run saw (data {now[:12]}, the run's "
            f"{lineage['data_hash'][:12]})",
            "run `ljwx run` again, with the settings of the sweep, so that scores and bars are of the same data",
        )
    source = open_source(settings).describe()
    market = market_arrays(
        bars,
        *(read_market_table(lake, name) for name in ("securities", "st_spells", "corporate_actions")),
        symbols=tuple(sorted(bars["symbol"].unique())),
        sessions=sessions,
        adjustment=source.adjustment,
        # all that any fill model reads: one market, and one hash of it, whatever a grid varies
        columns=[name for name in OPTIONAL_COLUMNS if name != "amount" or source.adjustment == "raw"],
    )
    scores = dense(predictions[predictions["scorable"]], "score", market.symbols, market.sessions)
    first = predictions["session_date"].min()
    last = sessions_for_research(sessions, settings.research.held_out_sessions)[-1]
    tested = sessions[(sessions >= first) & (sessions <= last)]
    close = index_close(read_market_table(lake, "index_bars"), benchmark, tested)
    inputs = SweepInput(
        market, np.asfortranarray(scores), first.date(), last.date(), returns_of(close).to_numpy(dtype=np.float64)
    )
    inputs.require_sound()
    label = label_hash(settings.label)
    family = strategy_family(factor_hash=lineage["factor_hash"], label_hash=label, universe=settings.universe)
    about = {
        "profile": settings.profile,
        "simulated": source.simulated,
        "first_session": str(inputs.first),
        "last_session": str(inputs.last),
        "sessions": len(tested),
        "benchmark": benchmark,
    }
    hashes = {"family": family, "factor_hash": lineage["factor_hash"], "label_hash": label}
    ledger = market_home(replayed(settings)) / LEDGER_FILE  # a replay's trials are those of what it replays
    return SweepTask(inputs, family, home, _study(home), ledger, about, {**hashes, "data_hash": lineage["data_hash"]})


def _require_same_scores(home: Path, settings: Settings) -> None:
    """Raise ``ConfigError`` for settings under which the scores were not made: their trials are another family's."""
    from ljwx_pipeline.backtest.trial_ledger import SCORED_UNDER, scored_under

    path = home / "tables" / f"{SCORED_UNDER}.json"
    try:
        made: dict[str, dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))
        differ = [
            (f"{section}.{name}", made[section].get(name), value)
            for section, values in scored_under(settings).items()
            for name, value in values.items()
            if made[section].get(name) != value
        ]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise LakeError(
            f"{path} does not say under which settings the predictions were made ({error})", "run `ljwx run` again"
        ) from None
    if differ:
        name, was, now = differ[0]
        raise ConfigError(
            f"{name} = {now}, but the scores were made under {was}",
            "sweep under the settings of that run, or run `ljwx run` under these first",
        )


def _lineage(home: Path) -> dict[str, str]:
    path = home / "tables" / "lineage.json"
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return {name: str(found[name]) for name in ("factor_hash", "data_hash")}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise LakeError(
            f"{path} does not say what the predictions came from ({error})", "run `ljwx run` again"
        ) from None


def _study(home: Path) -> tuple[dict[str, Any], ...]:
    """Return the trials of the model's study and of those it was warm-started from: the promotion gate counts them."""
    from ljwx_pipeline.promotion.trial_count import study_trials

    path = home / "tables" / "tuned_hyperparameters.json"
    try:
        trials = study_trials(json.loads(path.read_text(encoding="utf-8")))
        return tuple({**trial, "session_sharpe": float(trial["session_sharpe"])} for trial in trials)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise LakeError(f"{path} does not say what the model's study tried ({error})", "run `ljwx run` again") from None


def trials_so_far(task: SweepTask) -> int:
    """Return how many trials the gate counts of the family, the model's study among them."""
    from ljwx_pipeline.backtest.trial_ledger import TrialLedger
    from ljwx_pipeline.promotion.trial_count import number_of_trials

    return number_of_trials(task.study, ledger=TrialLedger(task.ledger), family=task.family)
