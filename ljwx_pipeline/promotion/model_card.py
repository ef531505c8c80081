"""The model card: one Markdown page that says what a model is, what it showed and what it must not be used for.

It lies in the bundle under its signature, so that whoever trades the model has read what was measured, and nothing
later changes that. Not here: the decision it reports (``gate.py``), the full evaluation report
(``evaluation/report.py``), where its numbers are kept (the assets).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from ljwx_pipeline.config import LabelSettings, UniverseSettings
from ljwx_pipeline.evaluation.lint_wording import EN
from ljwx_pipeline.evaluation.performance import FRAC, Figure
from ljwx_pipeline.evaluation.wording import FIGURE_NAMES
from ljwx_pipeline.models.walk_forward import FoldRecord
from ljwx_pipeline.promotion.gate import Decision
from ljwx_pipeline.scoring.bundle import Manifest
from ljwx_pipeline.scoring.model import Model

TOP_FACTORS = 10
#: Figures of the net backtest on the card; those after a colon are against the gate's benchmark.
SHOWN = (
    "annual_return",
    "excess_annual_return:",
    "annual_volatility",
    "sharpe",
    "information_ratio:",
    "max_drawdown",
    "win_rate_months",
    "turnover",
)
#: How the outcome of a check is written.
OUTCOMES = {"passed": "passed", "failed": "**failed**", "approval": "**to be approved**", "not_asked": "not asked"}
_VERDICTS = {
    "promoted": "**Promoted** by the promotion gate",
    "refused": "**Refused** by the promotion gate",
    "awaiting_approval": "**Awaiting approval**, as the promotion gate cannot decide alone",
}
#: Fractions of the equity that are told as multiples of it.
_MULTIPLES = ("turnover",)
_SIMULATED = (
    "> **Simulated market.** This model has learned from generated prices with a planted signal. "
    "Nothing on this page says anything about a real security.\n"
)
_OUTPUTS = {"score": "score", "lower": "lower end of the band", "upper": "upper end of the band"}
_KINDS = {"lightgbm": "LightGBM", "linear": "linear"}


@dataclass(frozen=True)
class CardEvidence:
    """All that a card tells beside the manifest; everything measured is out of sample.

    Parameters
    ----------
    label, universe
        What a score is about, and who may be scored.
    rows
        Rows the model learned from.
    folds
        Of the walk forward, in order of time.
    decision
        The gate's.
    rank_ic_confidence
        One-sided level of the gate's lower bound of the rank IC.
    figures, confidence, resamples
        Figures of the net backtest by measure, the level of their bootstrap intervals and of how many resamples.
    benchmark
        The gate's, whose figures end with its name.
    terms
        What was traded and how, as label and words.
    shap_table
        ``Explanation.table``: columns factor, mean_abs_shap, share_frac, largest first.
    findings
        What the lint of the result found, most severe first.
    unknown
        What the data source does not know, and what follows.
    """

    label: LabelSettings
    universe: UniverseSettings
    rows: int
    folds: Sequence[FoldRecord]
    decision: Decision
    rank_ic_confidence: float
    figures: Mapping[str, Figure]
    confidence: float
    resamples: int
    benchmark: str
    terms: Sequence[tuple[str, str]]
    shap_table: pd.DataFrame
    findings: Sequence[str]
    unknown: Sequence[tuple[str, str]]


def model_card(manifest: Manifest, model: Model, evidence: CardEvidence) -> str:
    """Return the card as Markdown; the same inputs give the same text."""
    decision = evidence.decision
    return "\n".join(
        [
            f"# {manifest.model_name}\n",
            *([_SIMULATED] if manifest.simulated else []),
            f"{_VERDICTS[decision.decision]}: {_first_reason(decision)}\n",
            "## Intended use\n",
            _intended_use(manifest, evidence),
            "## What it learned from\n",
            _learned_from(manifest, evidence),
            "## What it showed out of sample\n",
            _showed(evidence),
            "## What the gate asked\n",
            _bullets([f"{OUTCOMES[check.outcome]}: {check.sentence}" for check in decision.checks]),
            "## What it leans on\n",
            _table(
                ("factor", "share of mean absolute SHAP"),
                [
                    (str(row.factor), f"{float(str(row.share_frac)):.1%}")
                    for row in evidence.shap_table.head(TOP_FACTORS).itertuples(index=False)
                ],
            ),
            "## Known limits\n",
            _bullets(_limits(manifest, model, evidence)),
            "## What it is made of\n",
            _made_of(manifest, model),
        ]
    )


def _first_reason(decision: Decision) -> str:
    if decision.promoted:
        return "every check asked has passed."
    more = len(decision.reasons) - 1
    return f"{decision.reasons[0]}{f' (and {more} more, below)' if more else ''}."


def _intended_use(manifest: Manifest, evidence: CardEvidence) -> str:
    label, universe = evidence.label, evidence.universe
    lag = "the next session" if label.entry_lag_sessions == 1 else f"{label.entry_lag_sessions} sessions later"
    who = f"members of {universe.index}" if universe.index else "all stocks"
    rules = [
        f"listed for {universe.min_listed_sessions} sessions or more",
        f"with a mean turnover of CNY {universe.min_mean_amount_cny:,.0f} or more over "
        f"{universe.mean_amount_window_sessions} sessions",
        *(["not under special treatment"] if universe.exclude_st else []),
    ]
    scored = f"Scored are {who} with a bar on the session, {', '.join(rules)}."
    return (
        f"Ranks the stocks of one session, at its close, by the return of a position entered at the close of {lag} and "
        f"held for {label.horizon_sessions} sessions, from {len(manifest.factor_names)} factors. {scored} "
        "A score orders stocks within one session: its size means nothing by itself, and scores of two sessions do not "
        "compare. It was judged with this strategy, and with no other:\n\n"
        f"{_table(('term', 'what was traded'), evidence.terms)}"
    )


def _learned_from(manifest: Manifest, evidence: CardEvidence) -> str:
    rows = [
        ("sessions", f"{manifest.first_session} to {manifest.last_session}"),
        ("rows", f"{evidence.rows:,}"),
        ("profile", manifest.profile),
        ("data", f"`{manifest.data_hash[:16]}`"),
        ("factors", f"`{manifest.factor_hash[:16]}`"),
        ("label", f"`{manifest.label_hash[:16]}`"),
        ("configuration", f"`{manifest.config_hash[:16]}`"),
        ("code", f"`{manifest.git_revision[:16]}`"),
    ]
    return _table(("what", "value"), rows)


def _made_of(manifest: Manifest, model: Model) -> str:
    total = "1 boosting round" if manifest.rounds == 1 else f"{manifest.rounds:,} boosting rounds"
    if len(model.members) == 1:
        boosted = f" of {total}" if manifest.rounds else ""  # a linear model has none
        members = f"One {_KINDS[model.members[0].kind]} model{boosted}.\n"
    else:
        measure = f" ({manifest.group_measure})" if model.group_by == "size" and manifest.group_measure else ""
        grouped = "" if model.group_by == "none" else f", routed by {model.group_by}{measure}"
        listed = [
            (
                f"`{member.file}`",
                _KINDS[member.kind],
                _OUTPUTS[member.output],
                f"{member.weight:g}",
                "every row" if member.group is None else f"group {member.group}",
            )
            for member in model.members
        ]
        listing = _table(("file", "kind", "output", "weight", "rows"), listed)
        sums = f"{len(listed)} members of {total} in all, whose weighted sums make the outputs{grouped}."
        members = f"{sums}\n\n{listing}"
    parameters = [(f"`{name}`", str(value)) for name, value in sorted(manifest.params.items())]
    return f"{members}\n{_table(('parameter', 'value'), parameters)}"


def _showed(evidence: CardEvidence) -> str:
    measured = evidence.decision.measured
    mean, lower = measured.get("rank_ic_mean"), measured.get("rank_ic_lower")
    rows = []
    if mean is not None and lower is not None:
        level = f"{evidence.rank_ic_confidence:.1%} one-sided, Newey-West lag {measured['rank_ic_lag']:.0f}"
        rows.append(("Rank IC of rows that could be bought, mean", f"{mean:.4f}", f"above {lower:.4f}", level))
    basis = f"{evidence.confidence:.0%}, stationary bootstrap of {evidence.resamples:,}"
    for measure in SHOWN:
        figure = evidence.figures[f"{measure}{evidence.benchmark}" if measure.endswith(":") else measure]
        name = FIGURE_NAMES[EN][measure.removesuffix(":")]
        told = f"{name} ({evidence.benchmark})" if measure.endswith(":") else name
        between = math.isfinite(figure.lower) and math.isfinite(figure.upper)
        percent = figure.unit == FRAC and measure not in _MULTIPLES
        value, lowest, highest = (_number(one, percent) for one in (figure.value, figure.lower, figure.upper))
        interval, how = (f"{lowest} to {highest}", basis) if between else ("none", "a fact of the run")
        rows.append((told, value, interval, how))
    folds = [
        (f.name, f"{f.test_first} to {f.test_last}", f"{f.rank_ic:.4f}", str(f.rounds), f"{f.train_rows:,}")
        for f in evidence.folds
    ]
    figures = _table(("measure, after costs", "value", "interval", "how"), rows)
    headers = ("fold", "test sessions", "rank IC, every scored row", "rounds", "rows trained on")
    return f"{figures}\n{_table(headers, folds)}"


def _limits(manifest: Manifest, model: Model, evidence: CardEvidence) -> list[str]:
    tested = ""
    if evidence.folds:
        first, last = evidence.folds[0].test_first, evidence.folds[-1].test_last
        tested = (
            f"What it showed is of {len(evidence.folds)} models like it, tested from {first} to {last}; this one "
            f"learned from every session to {manifest.last_session} and has been tested on none."
        )
    banded = any(member.output != "score" for member in model.members)
    trials = evidence.decision.measured.get("trials")
    return [
        "Not for other markets, holding periods or entries than the label's, nor for a single stock on its own.",
        f"It ages: the further from {manifest.last_session}, the less was tested (the runner's "
        "`live.max_bundle_age_days` refuses a model too old).",
        *([tested] if tested else []),
        *([f"Behind it stand {trials:,.0f} trials, which the gate's Sharpe ratio is deflated by."] if trials else []),
        *(["The band's ends are fitted quantiles: no interval of confidence for a score."] if banded else []),
        *(f"The result lint: {fact}" for fact in evidence.findings),
        *(f"Unknown to the data source: {what}. {consequence}" for what, consequence in evidence.unknown),
    ]


def _number(value: float, percent: bool) -> str:
    if math.isnan(value):
        return "not measured"
    return f"{value:.1%}" if percent else f"{value:.2f}"


def _bullets(sentences: Sequence[str]) -> str:
    return "\n".join(f"- {sentence}" for sentence in sentences) + "\n"


def _table(header: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = [header, ("---",) * len(header), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |" for cells in lines) + "\n"
