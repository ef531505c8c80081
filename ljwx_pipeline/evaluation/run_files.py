"""The numbers of a report as files beside it: ``figures.json``, ``figures.parquet``, ``returns.parquet``.

The same bytes for the same numbers: no clock, no order that changes. Not here: the page (``report.py``), what is in
them (``scoreboard.py``).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from ljwx_pipeline.errors import ConfigError
from ljwx_pipeline.evaluation.lint import Finding
from ljwx_pipeline.evaluation.metrics import drawdowns, returns_of
from ljwx_pipeline.evaluation.scoreboard import Figure, own_figures
from ljwx_pipeline.lake.atomic_parquet import read_parquet, write_bytes, write_parquet

FIGURES_JSON, FIGURES_PARQUET, RETURNS_PARQUET = "figures.json", "figures.parquet", "returns.parquet"
FILES = (FIGURES_JSON, FIGURES_PARQUET, RETURNS_PARQUET)
#: Of the layout of ``figures.json``; another number is not read.
SCHEMA = 1
STRATEGY = "strategy"


@dataclass(frozen=True)
class RunNumbers:
    """The numbers of one run.

    Parameters
    ----------
    about
        What was run: profile, source, simulated, model, decision, first and last session.
    hashes, settings
        What it came from, and every configured value by dotted key.
    figures
        Of the strategy.
    findings
        Of the result lint.
    curves
        Equity of the strategy, first, and of everything it is compared with; a column a curve, ``session_date`` index.
    """

    about: Mapping[str, Any]
    hashes: Mapping[str, str]
    settings: Mapping[str, Any]
    figures: Sequence[Figure]
    findings: Sequence[Finding]
    curves: pd.DataFrame


def write_numbers(folder: Path, numbers: RunNumbers) -> None:
    """Write the three files into ``folder``, each replaced in one step."""
    folder.mkdir(parents=True, exist_ok=True)
    document = {
        "schema": SCHEMA,
        "about": dict(numbers.about),
        "figures": {
            figure.name: {"value": figure.value, "lower": figure.lower, "upper": figure.upper, "unit": figure.unit}
            for figure in numbers.figures
        },
        "compared_with": {
            name: own_figures(numbers.curves[name]) for name in numbers.curves.columns if name != STRATEGY
        },
        "findings": [finding.as_dict() for finding in numbers.findings],
        "hashes": dict(numbers.hashes),
        "settings": dict(numbers.settings),
    }
    text = json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    write_bytes(folder / FIGURES_JSON, text.encode())
    write_parquet(folder / FIGURES_PARQUET, figures_frame(numbers))
    write_parquet(folder / RETURNS_PARQUET, returns_frame(numbers.curves))


def figures_frame(numbers: RunNumbers) -> pd.DataFrame:
    """Return a row a figure: ``curve``, ``against``, ``figure``, ``value``, ``lower``, ``upper``, ``unit``."""
    rows = []
    for figure in numbers.figures:
        name, _, against = figure.name.partition(":")
        rows.append({"curve": STRATEGY, "against": against, **asdict(figure), "name": name, "unit": figure.unit})
    for curve in numbers.curves.columns:
        if curve != STRATEGY:
            own = (Figure(name, value) for name, value in own_figures(numbers.curves[curve]).items())
            rows += [{"curve": curve, "against": "", **asdict(figure), "unit": figure.unit} for figure in own]
    frame = pd.DataFrame(rows).rename(columns={"name": "figure"})
    numeric = dict.fromkeys(("value", "lower", "upper"), "float64")
    return frame[["curve", "against", "figure", "value", "lower", "upper", "unit"]].astype(numeric)


def returns_frame(curves: pd.DataFrame) -> pd.DataFrame:
    """Return a row a session: return of every curve (0 on the first), the strategy's equity and its drawdown."""
    moves = pd.DataFrame({name: returns_of(curves[name]) for name in curves.columns})
    moves = moves.reindex(curves.index, fill_value=0.0)
    moves.insert(0, "equity_cny", curves[STRATEGY])
    moves.insert(1, "drawdown_frac", drawdowns(returns_of(curves[STRATEGY])))
    moves = moves.rename(columns={name: f"{name}_return_frac" for name in curves.columns})
    return moves.rename_axis("session_date").reset_index()


def read_document(folder: Path) -> dict[str, Any]:
    """Return ``figures.json`` of ``folder``.

    Raises
    ------
    ConfigError
        When it is not there, damaged, or of another layout.
    """
    path = folder / FIGURES_JSON
    try:
        document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(
            f"{folder} holds no {FIGURES_JSON}", "a run writes it beside its report: run `ljwx run` again"
        ) from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is damaged ({error})", "run `ljwx run` again") from None
    if not isinstance(document, dict) or document.get("schema") != SCHEMA:
        found = document.get("schema") if isinstance(document, dict) else None
        raise ConfigError(f"{path} is of layout {found}, this version reads {SCHEMA}", "run `ljwx run` again")
    return document


def read_curves(folder: Path) -> pd.DataFrame:
    """Return growth of 1 by session of the strategy and everything it was compared with, from ``returns.parquet``."""
    frame = read_parquet(folder / RETURNS_PARQUET).set_index("session_date")
    moves = frame[[name for name in frame.columns if name.endswith("_return_frac")]]
    return (1 + moves.rename(columns=lambda name: name.removesuffix("_return_frac"))).cumprod()
