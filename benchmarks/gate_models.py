"""No bench: one seeded market, what a quant tries on it, and what the gate says of the model that is presented.

The market is the shipped simulator's: fat tails, volatility clusters, a common market, industries and styles, limits,
suspensions, dividends; ``simulated.oracle_rank_ic`` says how much its planted score moves returns, 0 makes noise of it.
Everything from its tables to the gate is the line's own code at the level of functions: factors, dataset, study, walk
forward, backtest, ledger, lint, gate. Not here: how many models there are and what is counted of them
(``gate_noise.py``, ``gate_planted.py``), the log they are kept in (``gate_log.py``).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from assets.gate_evidence import calibration_of as measured_calibration
from assets.gate_evidence import rank_ic_of
from assets.intervals import judged_intervals
from ljwx_pipeline.backtest.engine import run_backtest
from ljwx_pipeline.backtest.result import BacktestResult
from ljwx_pipeline.backtest.sweep import result_of, run_sweep, stored
from ljwx_pipeline.backtest.sweep_input import SweepInput
from ljwx_pipeline.backtest.sweep_store import RESULTS, SweepStore
from ljwx_pipeline.backtest.sweep_variants import Variant, expand_grid
from ljwx_pipeline.backtest.trial_ledger import LEDGER_FILE, TrialLedger, strategy_family
from ljwx_pipeline.config import ModelSettings, Settings, StrategySettings, load_settings, market_name
from ljwx_pipeline.dataset import Dataset, Fold, build_dataset, folds, inner_folds, scorable_mask, sessions_for_research
from ljwx_pipeline.dataset.groups import industry_codes
from ljwx_pipeline.dataset.interval_inputs import begun_intervals
from ljwx_pipeline.evaluation.benchmarks import index_close, monthly_excess, session_excess
from ljwx_pipeline.evaluation.capacity import capacity
from ljwx_pipeline.evaluation.closed_trades import closed_trades
from ljwx_pipeline.evaluation.holdings import holdings_of
from ljwx_pipeline.evaluation.lint import lint
from ljwx_pipeline.evaluation.lint_evidence import LintEvidence, measure_evidence
from ljwx_pipeline.evaluation.metrics import annual_return, annual_turnover, returns_of
from ljwx_pipeline.evaluation.net_excess import NetExcess
from ljwx_pipeline.expressions.evaluate import evaluate
from ljwx_pipeline.factors.catalogues import open_catalogue
from ljwx_pipeline.label import label_hash, label_values
from ljwx_pipeline.market.adjustment import factor_panel
from ljwx_pipeline.market.calendar import session_positions
from ljwx_pipeline.market.panel import dense
from ljwx_pipeline.models.task import Params
from ljwx_pipeline.models.tune import StudyResult, fold_rows, tune
from ljwx_pipeline.models.walk_forward import walk_forward
from ljwx_pipeline.monitoring.reference import inputs_reference
from ljwx_pipeline.promotion.evidence import Calibration, Drift, Evidence
from ljwx_pipeline.promotion.gate import Decision, decide
from ljwx_pipeline.promotion.study_trials import count_studies, study_evidence, study_note
from ljwx_pipeline.promotion.trial_count import CountedTrials, counted_trials, selection, study_trials
from ljwx_pipeline.sources.simulated.source import WORLD_FIRST, WORLD_LAST, SimulatedMarket
from ljwx_pipeline.studies import Place, study_summaries
from ljwx_pipeline.trading.market_arrays import MarketArrays, market_arrays
from ljwx_pipeline.uncertainty.carried import SessionArrays, walked_on
from ljwx_pipeline.uncertainty.scale import daily_returns

Float = NDArray[np.float64]

CONFIG = Path(__file__).resolve().parent.parent / "ljwx.toml"
_NOT_JUDGED = "the bench leaves it out"
#: Alpha158's names: those that the planted score is made of (ROC20, STD20, RSV20, VMA30), their neighbours, and others.
FACTORS = (
    "KMID", "KLEN", "ROC5", "ROC20", "ROC60", "MA5", "MA20", "STD5", "STD20", "STD60",
    "BETA20", "RSQR20", "MAX20", "RSV5", "RSV20", "CORR20", "SUMP20", "VMA5", "VMA30", "VSTD20",
)  # fmt: skip


def bench_settings(**changes: Any) -> Settings:
    """Return the shipped settings with one thread, and ``changes`` laid over them: ``simulated__seed=3``."""
    dotted = {name.replace("__", "."): value for name, value in changes.items()}
    return load_settings(profile="simulated", config_file=CONFIG, environ={}, overrides={"model.threads": 1, **dotted})


@dataclass(frozen=True, eq=False)
class SeededMarket:
    """One market and all that is computed of it before anybody looks for a model.

    Parameters
    ----------
    trading
        The trading view, whose sessions go beyond the dataset's.
    dataset
        Rows of the sessions that research may see.
    outer, inner
        The folds of the walk forward, and those of tuning, which all end before the first of them.
    closes
        Closes of every index on every session, by code.
    oracle
        The planted score, shape ``(n_symbols, n_sessions)``; NaN where unknown.
    returns
        Adjusted daily returns of that shape.
    """

    settings: Settings
    trading: MarketArrays
    dataset: Dataset
    outer: tuple[Fold, ...]
    inner: tuple[Fold, ...]
    closes: Mapping[str, pd.Series]
    oracle: Float
    returns: Float

    @property
    def benchmark(self) -> pd.Series:
        """Close of the gate's index."""
        return self.closes[self.settings.gate.benchmark]

    @property
    def span(self) -> tuple[pd.Timestamp, pd.Timestamp]:
        """First session tested and last one that research may see."""
        return pd.Timestamp(self.outer[0].test_first), self.dataset.sessions[-1]

    @property
    def family(self) -> str:
        """Name that all trials on this market count under."""
        settings = self.settings
        return strategy_family(
            factor_hash=open_catalogue(settings.factors.catalogue).version_hash,
            label_hash=label_hash(settings.label),
            universe=settings.universe,
        )


def seeded_market(settings: Settings, factors: Sequence[str] = FACTORS) -> SeededMarket:
    """Return the market that ``settings.simulated`` describes, with ``factors`` of the configured catalogue."""
    source, span = SimulatedMarket(settings.simulated), (WORLD_FIRST, WORLD_LAST)
    bars, sessions = source.bars(*span), source.sessions(*span)
    securities, spells = source.securities(), source.st_spells(*span)
    symbols = tuple(sorted(bars["symbol"].unique()))
    trading = market_arrays(
        bars,
        securities,
        spells,
        source.corporate_actions(*span),
        symbols=symbols,
        sessions=sessions,
        adjustment=source.describe().adjustment,
    )
    panel = factor_panel(bars, symbols=symbols, sessions=sessions, adjustment=source.describe().adjustment)
    expressions = open_catalogue(settings.factors.catalogue).expressions
    values = evaluate({name: expressions[name] for name in factors}, panel)
    seen = sessions_for_research(sessions, settings.research.held_out_sessions)
    stop = len(seen)
    dataset = build_dataset(
        values.frame(trading.has_bar),
        list(factors),
        forward_return=label_values(panel, settings.label)[:, :stop],
        can_buy=trading.can_buy[:, :stop],
        scorable=scorable_mask(panel, securities, spells, source.index_members(*span), settings.universe)[:, :stop],
        symbols=symbols,
        sessions=seen,
        label=settings.label,
    )
    outer, walk = folds(dataset, settings.walk_forward), settings.walk_forward
    index_bars = source.index_bars(*span)
    return SeededMarket(
        settings=settings,
        trading=trading,
        dataset=dataset,
        outer=tuple(outer),
        inner=tuple(inner_folds(dataset, outer[0].train_rows, settings.tune.inner_folds, walk.embargo_sessions)),
        closes={code: index_close(index_bars, code, sessions) for code in settings.evaluation.indices},
        oracle=dense(source.truth(), "oracle_score", symbols, sessions),
        returns=daily_returns(panel.fields["close"]),
    )


@dataclass(frozen=True, eq=False)
class Scored:
    """Scores out of sample.

    Parameters
    ----------
    rows
        As ``Dataset.with_outcomes`` gives them.
    scores
        Shape ``(n_symbols, n_sessions)`` over the trading view's axes; NaN where there is none.
    """

    name: str
    rows: pd.DataFrame
    scores: Float


@dataclass(frozen=True, eq=False)
class Candidate:
    """What is presented: scores and the strategy that trades them."""

    scored: Scored
    strategy: StrategySettings

    @property
    def name(self) -> str:
        """Which model and which strategy."""
        return f"{self.scored.name}, top_k={self.strategy.top_k} n_drop={self.strategy.n_drop}"


class Search:
    """What one quant tries on one market, every try counted in a ledger below ``home``, as the line counts it."""

    def __init__(self, market: SeededMarket, home: Path) -> None:
        self.market, self.home = market, home
        self.ledger = TrialLedger(home / LEDGER_FILE)
        self.document: dict[str, Any] = {"study": "", "evidence": "", "trials": []}

    def tune(self) -> StudyResult:
        """Run the study on the inner folds and count its trials."""
        market, settings = self.market, self.market.settings
        journal, named, family = self.home / "studies" / "journal.log", market_name(settings), market.family
        study = tune(
            market.dataset,
            market.inner,
            net_returns=NetExcess(market.trading, market.benchmark, settings.strategy, settings.costs),
            tuning=settings.tune,
            model=settings.model,
            top_k=settings.strategy.top_k,
            journal=journal,
            note=study_note(market=named, family=family),
        )
        count_studies(
            self.ledger,
            study_summaries(Place(journal, "")),
            market=named,
            family=family,
            dataset_hash=market.dataset.hash,
        )
        self.document = {
            "study": study.name,
            "evidence": study_evidence(study.name, dataset_hash=market.dataset.hash, folds=fold_rows(market.inner)),
            "trials": [asdict(trial) for trial in study.trials],
        }
        return study

    def walk(self, name: str, tuned: Params, model: ModelSettings) -> Scored:
        """Return the scores out of sample of a model; they count once a strategy is tried on them."""
        market = self.market
        predictions = walk_forward(market.dataset, market.outer, tuned, model).predictions
        return _scored(market, name, market.dataset.with_outcomes(predictions))

    def sweep(self, scored: Scored, grid: Mapping[str, Sequence[Any]]) -> list[tuple[float, Candidate]]:
        """Try a grid of strategies on the scores; return each with its Sharpe ratio over the index, a session's."""
        settings, inputs = self.market.settings, _inputs(self.market, scored)
        variants = expand_grid(grid, strategy=settings.strategy, costs=settings.costs)
        swept = run_sweep(
            inputs.market,
            inputs.scores,
            variants,
            first=inputs.first,
            last=inputs.last,
            benchmark_returns=inputs.benchmark_returns,
            store=self.home / RESULTS,
            trials=self.ledger.of(self.market.family, "sweep"),
        )
        sharpes = swept.frame["session_sharpe"].tolist()
        return [(one, Candidate(scored, made.strategy)) for one, made in zip(sharpes, variants, strict=True)]

    def by_hand(self, candidate: Candidate) -> None:
        """Count the backtest of a candidate as one trial, as a run of the line does."""
        settings, inputs = self.market.settings, _inputs(self.market, candidate.scored)
        made = Variant("as configured", candidate.strategy, settings.costs)
        key, tried = inputs.key(), result_of(inputs, made, backtested(self.market, candidate))
        kept = stored(inputs, [tried], SweepStore(self.home / RESULTS, key))
        self.ledger.record(self.market.family, "manual", kept, evidence=key.evidence)

    def counted(self, candidate: pd.Series) -> CountedTrials:
        """Return every trial made, as the gate counts them beside a candidate's net excess returns."""
        return counted_trials(
            study_trials(self.document),
            ledger=self.ledger,
            family=self.market.family,
            counted=self.home,
            own=self.home,
            candidate=candidate,
        )


def oracle_candidate(market: SeededMarket, scored: Scored) -> Candidate:
    """Return the planted score on the rows that ``scored`` has, under the configured strategy."""
    position = session_positions(scored.rows["session_date"], market.trading.sessions)
    symbol = pd.Index(market.trading.symbols).get_indexer(pd.Index(scored.rows["symbol"]))
    rows = scored.rows.assign(score=market.oracle[symbol, position])
    known = rows[rows["score"].notna()].reset_index(drop=True)
    return Candidate(_scored(market, "oracle", known), market.settings.strategy)


def backtested(market: SeededMarket, candidate: Candidate) -> BacktestResult:
    """Return the backtest of a candidate over the tested sessions, under the configured costs."""
    inputs = _inputs(market, candidate.scored)
    return run_backtest(
        market.trading,
        candidate.scored.scores,
        strategy=candidate.strategy,
        costs=market.settings.costs,
        first=inputs.first,
        last=inputs.last,
    )


def evidence_of(search: Search, candidate: Candidate) -> Evidence:
    """Return what the gate is asked about: the one place that knows what evidence is made of."""
    market = search.market
    left_out = market.settings.gate.left_out
    result = backtested(market, candidate)
    close = market.benchmark.loc[result.sessions]
    excess = session_excess(result.equity, close)
    counted = search.counted(excess)
    lint_evidence = _lint_evidence(market, candidate, result)
    return Evidence(
        rank_ic=rank_ic(candidate.scored),
        net_excess_returns=excess.to_numpy(),
        monthly_net_excess_returns=monthly_excess(result.equity, close).to_numpy(),
        trade_returns=closed_trades(result, market.trading)["return_frac"].to_numpy(dtype=np.float64),
        trial_sharpes=counted.sharpes,
        trials=len(counted.sharpes),
        trial_variance=counted.variance,
        trial_returns=counted.returns,
        related=counted.related,
        study=selection(counted, f"study {search.document['study']}", search.document["evidence"]),
        strategies=selection(counted, "strategies", _inputs(market, candidate.scored).key().evidence),
        purge_sessions=market.settings.purge_sessions,
        lint_errors=tuple(
            f"{found.code}: {found.fact}"
            for found in lint(lint_evidence, market.settings.lint)
            if found.severity == "error"
        ),
        leaks=(),
        strategy=candidate.strategy.kind,
        turnover=annual_turnover(result),
        capacity_cny=math.nan if lint_evidence.capacity_cny is None else lint_evidence.capacity_cny,
        capital_cny=candidate.strategy.capital_cny,
        drift=Drift(math.nan, reason=_NOT_JUDGED) if "drift" in left_out else drift_of(market),
        calibration=(
            Calibration(math.nan, reason=_NOT_JUDGED)
            if "calibration" in left_out
            else calibration_of(market, candidate.scored)
        ),
        rival=None,
    )


def drift_of(market: SeededMarket) -> Drift:
    """Return how far the newest sessions' factors are from those before, as the line judges it."""
    dataset, longest = market.dataset, open_catalogue(market.settings.factors.catalogue).window
    rows = slice(int(np.searchsorted(dataset.session_index, longest)), len(dataset.session_index))
    _, _, newest = inputs_reference(
        dataset.factor_names,
        dataset.features[rows],
        dataset.session_index[rows],
        dataset.symbol_index[rows],
        threads=market.settings.model.threads,
    )
    ratio = math.nan if newest.ratio is None else newest.ratio
    return Drift(ratio, tuple(newest.factors), newest.reason or "")


def calibration_of(market: SeededMarket, scored: Scored) -> Calibration:
    """Return what prediction intervals of the scores held, as the gate reads it."""
    return measured_calibration(intervals_of(market, scored))


def intervals_of(market: SeededMarket, scored: Scored, industries: pd.DataFrame | None = None) -> dict[str, Any]:
    """Return what prediction intervals of the scores held, as the line walks and judges them.

    ``industries`` is the canonical table; without it they are no groups.
    """
    settings, stop = market.settings, len(market.dataset.sessions)
    trading, entered = market.trading, scored.rows[scored.rows["enterable"] & scored.rows["scorable"]]
    sessions = trading.sessions[:stop]
    codes, names = (None, {}) if industries is None else industry_codes(industries, trading.symbols, sessions)
    arrays = SessionArrays(
        trading.symbols,
        sessions,
        scored.scores[:, :stop],
        market.returns[:, :stop],
        dense(entered, "forward_return", trading.symbols, sessions),
        codes,
    )
    begun = begun_intervals(settings.uncertainty, settings.label, trading.symbols, industries=codes is not None)
    return judged_intervals(arrays, walked_on(begun, arrays), names)


def alone(evidence: Evidence) -> Evidence:
    """Return the evidence of somebody who declares the winner alone: one trial, and nobody knows of the others."""
    own = evidence.net_excess_returns
    sharpe = float(own.mean() / own.std(ddof=1))
    return replace(evidence, trial_sharpes=(sharpe,), trials=1, trial_variance=None)


def verdict(decision: Decision) -> dict[str, Any]:
    """Return what the log keeps of a decision: the answer, each check's, and every number measured."""
    return {
        "decision": decision.decision,
        "checks": {check.name: check.passed for check in decision.checks if check.outcome != "not_asked"},
        "measured": {name: None if value is None else round(value, 6) for name, value in decision.measured.items()},
    }


def judged(market: SeededMarket, evidence: Evidence) -> dict[str, Any]:
    """Return ``verdict`` of the gate under the market's settings."""
    return verdict(decide(evidence, market.settings.gate))


def rank_ic(scored: Scored) -> Float:
    """Return the rank IC by session of the rows that could be bought, as the gate reads it."""
    return rank_ic_of(scored.rows)


def _scored(market: SeededMarket, name: str, rows: pd.DataFrame) -> Scored:
    trading = market.trading
    scores = dense(rows[rows["scorable"]], "score", trading.symbols, trading.sessions)
    return Scored(name, rows, np.asfortranarray(scores))


def _inputs(market: SeededMarket, scored: Scored) -> SweepInput:
    first, last = market.span
    returns = returns_of(market.benchmark.loc[first:last]).to_numpy(dtype=np.float64)
    return SweepInput(market.trading, scored.scores, first.date(), last.date(), returns)


def _lint_evidence(market: SeededMarket, candidate: Candidate, result: BacktestResult) -> LintEvidence:
    settings = market.settings
    closes = {code: close.loc[result.sessions] for code, close in market.closes.items()}
    excess = annual_return(returns_of(result.equity)) - annual_return(returns_of(closes[settings.gate.benchmark]))
    able = capacity(
        result,
        market.trading,
        max_participation_frac=settings.costs.max_participation_frac,
        excess_annual_return=excess,
    )
    return measure_evidence(
        result,
        market.trading,
        candidate.scored.scores,
        holdings_of(result, market.trading),
        label=settings.label,
        closes=closes,
        benchmark=settings.gate.benchmark,
        stale_after_sessions=settings.lint.stale_after_sessions,
        capacity_cny=able.median_capital_cny,
    )
