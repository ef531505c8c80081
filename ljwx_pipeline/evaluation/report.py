"""The report: one self-contained HTML page, readable on screen and on paper.

Everything on it is handed in; nothing is measured here and nothing is fetched. Not here: the figures (``figures.py``),
the page's markup (``templates/report.html.j2``).
"""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ljwx_pipeline.evaluation.figures import equity_figure, monthly_figure, quantile_figure, rank_ic_figure
from ljwx_pipeline.market.tables import SourceDescription

TEMPLATE = "report.html.j2"


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
        ``rank_ic_mean``, ``rank_icir``, ``ic_mean``, and what else belongs beside them.
    quantiles
        From ``ic.quantile_returns``.
    folds
        A row a fold, shown as it is.
    costs
        Label to CNY: commission, stamp duty and so on.
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
    costs: Mapping[str, float]
    shap: Sequence[Picture]


def percent(value: float | None, digits: int = 1) -> str:
    """Return a fraction as a percentage; a dash for what could not be measured."""
    return _dash(f"{{:.{digits}%}}", value)


def number(value: float | None, digits: int = 2) -> str:
    """Return a number with thousands separated; a dash for what could not be measured."""
    return _dash(f"{{:,.{digits}f}}", value)


def _dash(pattern: str, value: float | None) -> str:
    if value is None or not math.isfinite(value):
        return "–"
    return pattern.format(value).replace("-", "\u2212")


def spoken(label: str) -> str:
    """Return a column or measure name as words: ``rank_ic_mean`` as "rank IC mean"."""
    return " ".join(word.upper() if word in {"ic", "icir"} else word for word in label.split("_"))


def _cell(value: Any) -> str:
    """Return a value of a table of unknown columns as a person would write it."""
    if isinstance(value, (pd.Timestamp, date)):
        return f"{value:%Y-%m-%d}"
    if isinstance(value, (float, np.floating)):
        measured = float(value)
        return number(measured, 4 if abs(measured) < 10 else 1)
    if isinstance(value, (int, np.integer)):
        return f"{int(value):,}" if int(value) > 9999 else str(value)
    return str(value)


def render_report(inputs: ReportInputs) -> str:
    """Return the page as one HTML text, the same bytes for the same inputs."""
    # only a report needs jinja2
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=PackageLoader("ljwx_pipeline.evaluation", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(percent=percent, number=number, cell=_cell, spoken=spoken)
    sessions = pd.DatetimeIndex(inputs.equity.index)
    return environment.get_template(TEMPLATE).render(
        r=inputs,
        promoted=inputs.decision == "promoted",
        failed=sum(not line.passed for line in inputs.gate),
        backtest_first=sessions[0].date(),
        backtest_last=sessions[-1].date(),
        capital=float(inputs.equity.iloc[0]),
        final=float(inputs.equity.iloc[-1]),
        total_costs=sum(inputs.costs.values()),
        equity_svg=Markup(equity_figure(inputs.equity, inputs.index_closes)),  # noqa: S704 - our own SVG
        monthly_svg=Markup(monthly_figure(inputs.monthly_excess)),  # noqa: S704
        rank_ic_svg=Markup(rank_ic_figure(inputs.rank_ic)),  # noqa: S704
        quantile_svg=Markup(quantile_figure(inputs.quantiles)),  # noqa: S704
        shap=[(picture.caption, base64.b64encode(picture.png).decode("ascii")) for picture in inputs.shap],
    )
