"""The report: one self-contained HTML page in two languages, readable on screen and on paper.

Everything on it is handed in; nothing is measured here and nothing is fetched. Not here: the figures
(``performance.py``), the pictures (``figures.py``), the words (``wording.py``), the markup
(``templates/report.html.j2``).
"""

from __future__ import annotations

import base64
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ljwx_pipeline.evaluation import figures, wording
from ljwx_pipeline.evaluation.comparison import STRATEGY
from ljwx_pipeline.evaluation.conventions import CALENDAR_SESSIONS_PER_YEAR
from ljwx_pipeline.evaluation.drawdown_table import drawdown_table
from ljwx_pipeline.evaluation.lint import RULES, SEVERITIES, Finding
from ljwx_pipeline.evaluation.lint_wording import EN, LOOKS_FOR, ZH, fact_text, remedy_text
from ljwx_pipeline.evaluation.metrics import monthly_returns, returns_of
from ljwx_pipeline.evaluation.performance import CNY, COUNT, FRAC, SESSIONS, Figure
from ljwx_pipeline.evaluation.wording import both, named, said
from ljwx_pipeline.market.calendar import SESSIONS_PER_YEAR
from ljwx_pipeline.market.tables import SourceDescription
from ljwx_pipeline.page import number, page_environment, percent

if TYPE_CHECKING:  # only a page needs it
    from markupsafe import Markup

TEMPLATE = "report.html.j2"
#: Window of the rolling pictures: half a year.
ROLLING_SESSIONS = 126
#: Rows of the tables that show only the outermost.
WORST_DRAWDOWNS, OUTER_NAMES, OUTER_TRADES = 5, 8, 5
#: Figures of a curve by itself that all curves are compared by, and those of the strategy against another.
SIDE_OWN = (
    "total_return", "annual_return", "annual_volatility", "sharpe", "sortino", "calmar", "max_drawdown",
    "win_rate_months", "value_at_risk", "turnover", "cash_frac",
)  # fmt: skip
SIDE_RELATIVE = ("excess_annual_return", "information_ratio", "alpha", "beta", "tracking_error")
#: What figures are measured on that say how the account was run.
_TRADING_BASES = ("orders", "closed trades")
_TRADING = ("turnover", "cash_frac", "dividends", "written_off")
#: Turnover is a multiple of equity, not a part of it.
_MULTIPLES = ("turnover",)
#: A figure whose absolute value is below this is written with more digits.
_SMALL = 10

#: How what a check of the gate measures must stand to its threshold, and how both are written.
GATE_MEASURES = {
    "months": ("≥", "whole"),
    "lint_errors": ("≤", "whole"),
    "leak_checks": ("≤", "whole"),
    "rank_ic_lower": (">", "number"),
    "net_excess_annual_return": (">", "percent"),
    "deflated_sharpe_probability": (">", "number"),
    "overfitting": ("≤", "number"),
    "sharpe": (">", "number"),
    "max_drawdown": ("<", "percent"),
    "win_rate": (">", "percent"),
    "profit_factor": (">", "number"),
    "turnover": ("≤", "number"),
    "capacity": ("≥", "number"),
    "drift": ("≤", "number"),
    "calibration": ("", "percent"),
    "champion": ("≥", "number"),
    "approval": ("", "whole"),
}
#: How the outcome of a check of the gate is shown.
CHIPS = {"passed": "good", "failed": "bad", "approval": "", "not_asked": ""}


@dataclass(frozen=True)
class GateLine:
    """One requirement of the promotion gate: its outcome (a key of ``CHIPS``), what was measured, what was asked."""

    name: str
    outcome: str
    measured: float | None
    threshold: float | None
    sentence: str


@dataclass(frozen=True)
class Picture:
    """A PNG and the key of its caption in ``wording.LABELS``."""

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
        ``symbols``, ``sessions``, ``rows``, ``factors``.
    hashes
        Key of ``wording.LABELS`` to hash or revision: data, factors, configuration, git, bundle.
    model, decision, gate
        Model name and version (or empty), ``promoted`` or ``refused``, and every requirement.
    terms
        What was traded and how, from ``terms.terms``.
    gate_benchmark
        Index whose return the gate subtracts; one of ``curves``.
    figures, confidence, resamples
        From ``performance``, with bootstrap intervals made so.
    comparison
        From ``comparison.comparison``: measures by row, the strategy and each of ``curves`` by column.
    findings
        Of the result lint.
    equity, curves
        Equity in CNY by session, opening capital first, and what it is compared with on the same sessions, by name:
        index closes by code, ``equal_weight`` and the plain strategies.
    account
        ``invested_frac``, ``largest_weight_frac`` and ``turnover_frac`` by session.
    monthly_excess
        Net return minus ``gate_benchmark``'s, by month.
    fees, inside_prices
        CNY by key of ``wording.LABELS``: commission, stamp duty, transfer fee; what fills lost against the price they
        are measured by (slippage, impact), which stands in their prices.
    traded_cny
        Value of all fills.
    rejects
        Orders refused, wholly or in part, by reason.
    names
        ``symbol``, ``name``, ``profit_cny``, ``trades`` of every name ever held.
    trades
        From ``closed_trades.closed_trades``.
    rank_ic
        ``session_date``, ``rank_ic``, ``fold``; rows that could be entered.
    rank_ic_summary
        ``rank_ic_mean``, ``rank_icir``, ``ic_mean`` of every scored row; where known, the same with ``_enterable`` of
        the rows that could be bought, and ``oracle_rank_ic``, what the planted truth itself reaches.
    quantiles
        From ``ic.quantile_returns``.
    folds
        A row a fold; its columns are keys of ``wording.LABELS``.
    shap
        Pictures that explain the model; may be empty.
    files
        Names of the files beside the page that hold its numbers.
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
    terms: Sequence[tuple[str, tuple[str, str]]]
    gate_benchmark: str
    figures: Mapping[str, Figure]
    comparison: pd.DataFrame
    confidence: float
    resamples: int
    findings: Sequence[Finding]
    equity: pd.Series
    curves: Mapping[str, pd.Series]
    account: pd.DataFrame
    monthly_excess: pd.Series
    fees: Mapping[str, float]
    inside_prices: Mapping[str, float]
    traded_cny: float
    rejects: Mapping[str, int]
    names: pd.DataFrame
    trades: pd.DataFrame
    rank_ic: pd.DataFrame
    rank_ic_summary: Mapping[str, float | None]
    quantiles: NDArray[np.float64]
    folds: pd.DataFrame
    shap: Sequence[Picture]
    files: Sequence[str] = ()


def written(value: float, name: str, unit: str) -> str:
    """Return the value of the figure ``name`` as a person reads it; a dash for what could not be measured."""
    if unit == FRAC and name not in _MULTIPLES:
        return percent(value, 2)
    return number(value, 0 if unit in {CNY, COUNT} or (unit == SESSIONS and float(value).is_integer()) else 2)


def interval_text(name: str, figure: Figure) -> str:
    """Return the ends of a figure's interval; empty without one."""
    if math.isnan(figure.lower) or math.isnan(figure.upper):
        return ""
    return f"{written(figure.lower, name, figure.unit)} … {written(figure.upper, name, figure.unit)}"


def figure_rows(figures: Mapping[str, Figure], names: Iterable[str]) -> list[tuple[str, str, str]]:
    """Return name, value and interval of the figures among ``names`` that there are."""
    return [
        (name, written(figures[name].value, name, figures[name].unit), interval_text(name, figures[name]))
        for name in names
        if name in figures
    ]


def gate_row(line: GateLine) -> tuple[tuple[str, str], str, str]:
    """Return what a check measured (in both languages), the value, and what was asked for, as a person reads them."""
    relation, unit = GATE_MEASURES.get(line.name, ("", "number"))

    def shown(value: float | None) -> str:
        if unit == "percent":
            return percent(value, 2)
        return number(value, 0 if unit == "whole" or value == 0 else 3)

    english, chinese = named(wording.LABELS, line.name)
    label = (_words(english), _words(chinese))
    asked = "" if line.threshold is None else f"{relation} {shown(line.threshold)}".strip()
    return label, shown(line.measured), asked


def rank_ic_rows(summary: Mapping[str, float | None]) -> list[tuple[str, list[float | None]]]:
    """Return mean rank IC, rank ICIR and mean IC by the rows they were measured on; None for what was not."""
    bases = [
        ("every_row", ["rank_ic_mean", "rank_icir", "ic_mean"]),
        ("enterable_rows", ["rank_ic_mean_enterable", "rank_icir_enterable", "ic_mean_enterable"]),
        ("truth_rows", ["oracle_rank_ic", "", ""]),
    ]
    return [(basis, [summary.get(key) for key in keys]) for basis, keys in bases if keys[0] in summary]


def render_report(inputs: ReportInputs) -> str:
    """Return the page as one HTML text, the same bytes for the same inputs."""
    environment = report_environment()
    sessions = pd.DatetimeIndex(inputs.equity.index)
    relative = [name for name in inputs.figures if name.endswith(f":{inputs.gate_benchmark}")]
    trading = [name for name, one in inputs.figures.items() if one.basis in _TRADING_BASES or name in _TRADING]
    own = [name for name in inputs.figures if name not in trading and ":" not in name]
    counts = {severity: sum(one.severity == severity for one in inputs.findings) for severity in SEVERITIES}
    page: str = environment.get_template(TEMPLATE).render(
        r=inputs,
        promoted=inputs.decision == "promoted",
        failed=sum(line.outcome == "failed" for line in inputs.gate),
        asked=sum(line.outcome != "not_asked" for line in inputs.gate),
        chips=CHIPS,
        backtest_first=sessions[0].date(),
        backtest_last=sessions[-1].date(),
        capital=float(inputs.equity.iloc[0]),
        final=float(inputs.equity.iloc[-1]),
        total_fees=sum(inputs.fees.values()),
        all_costs=sum(inputs.fees.values()) + sum(inputs.inside_prices.values()),
        confidence=f"{inputs.confidence:.0%}",
        tiles=_tiles(inputs),
        year=_year(inputs.figures),
        own=figure_rows(inputs.figures, own),
        relative=figure_rows(inputs.figures, relative),
        trading=figure_rows(inputs.figures, trading),
        lint_counts=counts,
        rules=[(rule, both(LOOKS_FOR[EN][rule.code], LOOKS_FOR[ZH][rule.code])) for rule in RULES],
        side=_side_by_side(inputs),
        colours=figures.curve_colours(inputs.curves),
        strategy_colour=figures.STRATEGY,
        exposure_keys=list(zip(("invested", "largest_weight"), figures.EXPOSURE, strict=True)),
        drawdowns=drawdown_table(inputs.equity, WORST_DRAWDOWNS).to_dict("records"),
        best_names=_names(inputs.names, best=True),
        worst_names=_names(inputs.names, best=False),
        profit=float(inputs.names["profit_cny"].sum()),
        outer_trades=_outer_trades(inputs.trades),
        number_columns=set(inputs.folds.select_dtypes("number").columns),
        gate_rows=[
            (line, both(*label), measured, said("asked_of_a_person") if line.name == "approval" else asked)
            for line in inputs.gate
            for label, measured, asked in [gate_row(line)]
        ],
        rank_ic_rows=rank_ic_rows(inputs.rank_ic_summary),
        rolling_sessions=ROLLING_SESSIONS,
        pictures=_pictures(inputs),
        shap=[(picture.caption, base64.b64encode(picture.png).decode("ascii")) for picture in inputs.shap],
    )
    return page


def report_environment() -> Any:
    """Return the jinja2 environment of the report's templates, with what they write words and numbers by."""
    environment = page_environment("ljwx_pipeline.evaluation")
    environment.filters.update(cell=_cell, day=_day, reasons=_reasons)
    environment.globals.update(
        t=said,
        both=both,
        label=lambda key: both(*named(wording.LABELS, key)),
        figure_name=lambda name: both(*named(wording.FIGURE_NAMES, name.partition(":")[0])),
        curve_name=lambda name: both(*named(wording.CURVE_NAMES, name)),
        lint_count=lambda counts: said("lint_count", **{key: _counted(key, count) for key, count in counts.items()}),
        unknown=lambda sentence: both(sentence, wording.UNKNOWNS_ZH.get(sentence, sentence)),
        finding_fact=lambda one: _in_both(
            *(fact_text(language, one.case, one.values) for language in wording.LANGUAGES)
        ),
        finding_remedy=lambda one: _in_both(*(remedy_text(language, one.case) for language in wording.LANGUAGES)),
    )
    return environment


def _year(measured: Mapping[str, Figure]) -> dict[str, str]:
    """Return the sessions by which figures are annualised, those of the calendar, and what they would make of two."""
    share = CALENDAR_SESSIONS_PER_YEAR / SESSIONS_PER_YEAR
    return {
        "sessions": str(SESSIONS_PER_YEAR),
        "calendar": str(CALENDAR_SESSIONS_PER_YEAR),
        "annual_return": percent((1 + measured["annual_return"].value) ** share - 1, 2),
        "sharpe": number(measured["sharpe"].value * math.sqrt(share)),
    }


def _tiles(inputs: ReportInputs) -> list[tuple[Markup, str, str]]:
    """Return label, value and interval of what stands first on the page."""
    benchmark = inputs.gate_benchmark
    shown = [
        ("tile_annual_return", "annual_return"),
        ("tile_excess", f"excess_annual_return:{benchmark}"),
        ("tile_information_ratio", f"information_ratio:{benchmark}"),
        ("tile_sharpe", "sharpe"),
        ("tile_max_drawdown", "max_drawdown"),
    ]
    tiles = []
    for key, name in shown:
        figure = inputs.figures[name]
        value = percent(figure.value) if figure.unit == FRAC else number(figure.value)
        tiles.append((said(key, benchmark=benchmark), value, interval_text(name, figure)))
    rank_ic = number(inputs.rank_ic_summary.get("rank_ic_mean"), 3)
    return [*tiles, (said("tile_rank_ic"), rank_ic, "")]


def _side_by_side(inputs: ReportInputs) -> dict[str, list[tuple[str, list[str]]]]:
    """Return rows of figures, a column for the strategy and each curve: of each by itself, and of it against each."""
    table = inputs.comparison[[STRATEGY, *inputs.curves]]
    values = dict(zip(table.index, table.to_numpy(dtype=np.float64).tolist(), strict=True))

    def rows(names: Sequence[str]) -> list[tuple[str, list[str]]]:
        units = {name: _unit_of(name, inputs) for name in names}
        return [(name, [written(value, name, units[name]) for value in values[name]]) for name in names]

    return {"own": rows(SIDE_OWN), "relative": rows(SIDE_RELATIVE)}


def _unit_of(name: str, inputs: ReportInputs) -> str:
    return (inputs.figures.get(name) or inputs.figures[f"{name}:{inputs.gate_benchmark}"]).unit


def _names(names: pd.DataFrame, *, best: bool) -> list[dict[str, Any]]:
    ordered = names.sort_values(["profit_cny", "symbol"], ascending=[not best, True], kind="stable")
    outer = ordered[ordered["profit_cny"] > 0] if best else ordered[ordered["profit_cny"] < 0]
    return [{str(key): value for key, value in row.items()} for row in outer.head(OUTER_NAMES).to_dict("records")]


def _outer_trades(trades: pd.DataFrame) -> list[dict[str, Any]]:
    ordered = trades.sort_values(["profit_fen", "symbol", "entry_date"], ascending=[False, True, True], kind="stable")
    outer = (
        ordered if len(ordered) <= 2 * OUTER_TRADES else pd.concat([ordered[:OUTER_TRADES], ordered[-OUTER_TRADES:]])
    )
    return [{str(key): value for key, value in row.items()} for row in outer.to_dict("records")]


def _pictures(inputs: ReportInputs) -> dict[str, Markup | None]:
    from markupsafe import Markup

    benchmark = inputs.curves[inputs.gate_benchmark]
    drawn = {
        "equity": figures.equity_figure(inputs.equity, inputs.curves),
        "monthly_return": figures.monthly_figure(monthly_returns(inputs.equity), salt="return"),
        "monthly_excess": figures.monthly_figure(inputs.monthly_excess, salt="excess"),
        "distribution": figures.distribution_figure(
            returns_of(inputs.equity),
            value_at_risk=inputs.figures["value_at_risk"].value,
            expected_shortfall=inputs.figures["expected_shortfall"].value,
        ),
        "exposure": figures.exposure_figure(inputs.account),
        "rank_ic": figures.rank_ic_figure(inputs.rank_ic),
        "quantile": figures.quantile_figure(inputs.quantiles),
    }
    if len(inputs.equity) > ROLLING_SESSIONS + 1:
        drawn["rolling"] = figures.rolling_figure(inputs.equity, benchmark, sessions=ROLLING_SESSIONS)
    shown: dict[str, Markup | None] = {name: Markup(svg) for name, svg in drawn.items()}  # noqa: S704 - our own SVG
    return {"rolling": None, **shown}


def _reasons(rejects: Mapping[str, int]) -> tuple[str, str]:
    """Return how many orders were refused for what, in both languages, the most first."""
    ordered = sorted(((count, name) for name, count in rejects.items() if count), key=lambda one: (-one[0], one[1]))
    told = [(f"{count:,}", *named(wording.LABELS, name)) for count, name in ordered]
    return (
        ", ".join(f"{_words(english)} {count}" for count, english, _ in told),
        "，".join(f"{_words(chinese)} {count}" for count, _, chinese in told),
    )


def _counted(severity: str, count: int) -> tuple[str, str]:
    """Return how many findings are of a severity, in both languages: "1 error", "错误 1"."""
    english, chinese = (wording.TEXT[language][f"severity_{severity}"] for language in wording.LANGUAGES)
    return f"{count} {english}{'' if count == 1 else 's'}", f"{chinese} {count}"


def _in_both(english: str, chinese: str) -> Markup:
    return both(_with_code(english[:1].upper() + english[1:]), _with_code(chinese))


def _with_code(sentence: str) -> Markup:
    """Return a sentence with what stands between backticks as code."""
    from markupsafe import Markup, escape

    return Markup(re.sub(r"`([^`]*)`", r"<code>\1</code>", str(escape(sentence))))  # noqa: S704 - escaped before


def _words(key: str) -> str:
    """Return a key without a wording as words."""
    return key if " " in key or "_" not in key else key.replace("_", " ").capitalize()


def _day(value: Any) -> str:
    return "–" if pd.isna(value) else f"{value:%Y-%m-%d}"


def _cell(value: Any) -> str:
    """Return a value of a table of unknown columns as a person would write it."""
    if isinstance(value, (pd.Timestamp, date)):
        return f"{value:%Y-%m-%d}"
    if isinstance(value, (float, np.floating)):
        measured = float(value)
        return number(measured, 4 if abs(measured) < _SMALL else 1)
    if isinstance(value, (int, np.integer)):
        return f"{int(value):,}"
    return str(value)
