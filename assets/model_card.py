"""What a model card tells, gathered from the tables of the assets before it.

Not here: how the card looks (``ljwx_pipeline.promotion.model_card``) or how a number is computed.
"""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Any

from assets.io_managers import read_json, read_table
from assets.report import FIGURES, INTERVALS
from assets.resources import Line
from assets.result_lint import findings
from ljwx_pipeline.evaluation.lint_wording import EN
from ljwx_pipeline.evaluation.performance_file import PARQUET_NAME, read_performance
from ljwx_pipeline.evaluation.terms import terms
from ljwx_pipeline.evaluation.wording import TEXT

if TYPE_CHECKING:  # heavy: LightGBM
    from ljwx_pipeline.models.walk_forward import FoldRecord
    from ljwx_pipeline.promotion.model_card import CardEvidence


def card_evidence(line: Line, decision: dict[str, Any], *, rows: int) -> CardEvidence:
    """Return everything the card of the line's trained model tells beside its manifest.

    Parameters
    ----------
    decision
        What ``promotion_decision`` left.
    rows
        Rows the model learned from.
    """
    from ljwx_pipeline.promotion.gate import Check, Decision
    from ljwx_pipeline.promotion.model_card import CardEvidence

    settings = line.settings
    (figures,) = read_performance(line.tables / FIGURES / PARQUET_NAME).values()
    abstained = read_json(line.tables, "backtest_summary")["backtest"].get("abstained_frac")
    traded = terms(settings.strategy, settings.costs, settings.uncertainty, abstained_frac=abstained)
    return CardEvidence(
        label=settings.label,
        universe=settings.universe,
        rows=rows,
        folds=walked_folds(line),
        decision=Decision(
            decision["decision"],
            tuple(decision["reasons"]),
            decision["measured"],
            decision["thresholds"],
            tuple(Check(**check) for check in decision["checks"]),
        ),
        rank_ic_confidence=settings.gate.rank_ic_confidence,
        figures=figures,
        confidence=INTERVALS.confidence,
        resamples=INTERVALS.resamples,
        benchmark=settings.gate.benchmark,
        terms=[(TEXT[EN][label], told[0]) for label, told in traded],
        shap_table=read_table(line.tables, "shap_explanation"),
        findings=[found.fact for found in findings(line)],
        unknown=[(item.what, item.consequence) for item in line.source().describe().unknown],
    )


def walked_folds(line: Line) -> list[FoldRecord]:
    """Return how each fold of the line's last walk forward went."""
    from ljwx_pipeline.models.walk_forward import FoldRecord

    dates = ("train_first", "train_last", "test_first", "test_last")
    records = read_json(line.tables, "walk_forward_folds")["folds"]
    return [
        FoldRecord(**{**record, **{name: date.fromisoformat(record[name]) for name in dates}}) for record in records
    ]
