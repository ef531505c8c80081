"""The report: one self-contained HTML page, readable on screen and on paper.

Everything on it is handed in; nothing is measured here and nothing is fetched. Not here: the figures (``figures.py``),
the page's markup (``templates/report.html.j2``).
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ljwx_pipeline.evaluation.figures import equity_figure, monthly_figure, quantile_figure, rank_ic_figure
from ljwx_pipeline.market.tables import SourceDescription
from ljwx_pipeline.page import heading, number, page_environment, percent

TEMPLATE = "report.html.j2"

#: What a check of the gate measures, how it must stand to its threshold, and how both are written.
GATE_MEASURES = {
    "months": ("Months of evidence", "≥", "whole"),
    "lint_errors": ("Errors that the result lint found", "≤", "whole"),
    "rank_ic_lower": ("Rank IC of rows that could be bought, lower bound", ">", "number"),
    "net_excess_annual_return": ("Net monthly excess, compounded, a year", ">", "percent"),
    "deflated_sharpe_probability": ("Deflated Sharpe probability", ">", "number"),
    "sharpe": ("Sharpe ratio of monthly net excess", ">", "number"),
    "max_drawdown": ("Maximum drawdown of monthly net excess", "<", "percent"),
    "win_rate": ("Months ahead of the index", ">", "percent"),
    "profit_factor": ("Profit factor of monthly net excess", ">", "number"),
}


@dataclass(frozen=True)
class GateLine:
    """One requirement of the promotion gate: what was measured, what was asked."""

    name: str
    passed: bool
    measured: float | None
    threshold: float
    sentence: str


@dataclass(frozen=True)
class Picture:
    """A PNG with its caption."""

    caption: str
    png: bytes


@dataclass(frozen=True)
class ReportInputs:
    """All that the page shows.

    Parameters
    ----------
    profile, source
        Configuration profile and what the data source says of itself (watermark, unknowns).
    first, last
        Data interval.
    counts
        Label to number: symbols, sessions, rows, factors.
    hashes
        Label to hash or revision: data, factors, configuration, git, bundle.
    model, decision, gate
        Model name and version (or empty), ``promoted`` or ``refused``, and every requirement.
    gate_benchmark
        Index whose return the gate subtracts.
    performance, benchmarks
        Sections of the run summary: ``metrics.backtest_summary``, ``benchmarks.benchmark_summary``.
    equity, index_closes
        Equity in CNY by session, opening capital first, and each index on the same sessions.
    monthly_excess
        Net return minus ``gate_benchmark``'s, by month.
    rank_ic
        ``session_date``, ``rank_ic``, ``fold``; rows that could be entered.
    rank_ic_summary
        ``rank_ic_mean``, ``rank_icir``, ``ic_mean`` of every scored row; where known, the same with ``_enterable`` of
        the rows that could be bought, and ``oracle_rank_ic``, what the planted truth itself reaches.
    quantiles
        From ``ic.quantile_returns``.
    folds
        A row a fold, shown as it is: its columns are headings.
    fees
        Label to CNY: commission, stamp duty and so on.
    slippage_cny
        What fills lost against the close; it stands in their prices, not beside them.
    shap
        Pictures that explain the model; may be empty.
    """

    profile: str
    source: SourceDescription
    first: date
    last: date
    counts: Mapping[str, int]
    hashes: Mapping[str, str]
    model: str
    decision: str
    gate: Sequence[GateLine]
    gate_benchmark: str
    performance: Mapping[str, float | None]
    benchmarks: Mapping[str, Mapping[str, float | None]]
    equity: pd.Series
    index_closes: Mapping[str, pd.Series]
    monthly_excess: pd.Series
    rank_ic: pd.DataFrame
    rank_ic_summary: Mapping[str, float | None]
    quantiles: NDArray[np.float64]
    folds: pd.DataFrame
    fees: Mapping[str, float]
    slippage_cny: float
    shap: Sequence[Picture]


def gate_row(line: GateLine) -> tuple[str, str, str]:
    """Return what a check measured, the value, and what was asked for, as a person reads them."""
    label, relation, unit = GATE_MEASURES.get(line.name, (heading(line.name), "", "number"))

    def written(value: float | None) -> str:
        if unit == "percent":
            return percent(value, 2)
        return number(value, 0 if unit == "whole" or value == 0 else 3)

    return label, written(line.measured), f"{relation} {written(line.threshold)}".strip()


def rank_ic_rows(summary: Mapping[str, float | None]) -> list[tuple[str, list[float | None]]]:
    """Return mean rank IC, rank ICIR and mean IC by the rows they were measured on; None for what was not."""
    bases = [
        ("every scored row", ["rank_ic_mean", "rank_icir", "ic_mean"]),
        (
            "rows that could be bought: what the gate looks at",
            ["rank_ic_mean_enterable", "rank_icir_enterable", "ic_mean_enterable"],
        ),
        ("every scored row, by the planted truth itself", ["oracle_rank_ic", "", ""]),
    ]
    return [(basis, [summary.get(key) for key in keys]) for basis, keys in bases if keys[0] in summary]


def _cell(value: Any) -> str:
    """Return a value of a table of unknown columns as a person would write it."""
    if isinstance(value, (pd.Timestamp, date)):
        return f"{value:%Y-%m-%d}"
    if isinstance(value, (float, np.floating)):
        measured = float(value)
        return number(measured, 4 if abs(measured) < 10 else 1)
    if isinstance(value, (int, np.integer)):
        return f"{int(value):,}"
    return str(value)


def render_report(inputs: ReportInputs) -> str:
    """Return the page as one HTML text, the same bytes for the same inputs."""
    from markupsafe import Markup  # only a page needs it

    environment = page_environment("ljwx_pipeline.evaluation")
    environment.filters["cell"] = _cell
    sessions = pd.DatetimeIndex(inputs.equity.index)
    page: str = environment.get_template(TEMPLATE).render(
        r=inputs,
        promoted=inputs.decision == "promoted",
        failed=sum(not line.passed for line in inputs.gate),
        backtest_first=sessions[0].date(),
        backtest_last=sessions[-1].date(),
        capital=float(inputs.equity.iloc[0]),
        final=float(inputs.equity.iloc[-1]),
        total_fees=sum(inputs.fees.values()),
        number_columns=set(inputs.folds.select_dtypes("number").columns),
        gate_rows=[(line, *gate_row(line)) for line in inputs.gate],
        rank_ic_rows=rank_ic_rows(inputs.rank_ic_summary),
        equity_svg=Markup(equity_figure(inputs.equity, inputs.index_closes)),  # noqa: S704 - our own SVG
        monthly_svg=Markup(monthly_figure(inputs.monthly_excess)),  # noqa: S704
        rank_ic_svg=Markup(rank_ic_figure(inputs.rank_ic)),  # noqa: S704
        quantile_svg=Markup(quantile_figure(inputs.quantiles)),  # noqa: S704
        shap=[(picture.caption, base64.b64encode(picture.png).decode("ascii")) for picture in inputs.shap],
    )
    return page
