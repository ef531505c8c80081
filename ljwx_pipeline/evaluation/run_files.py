"""What lies beside a report for machines: ``run.json``, the figures as JSON and Parquet, ``returns.parquet``.

The same bytes for the same numbers: no clock, no order that changes. Not here: the page (``report.py``), the figures'
own files (``performance_file.py``).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from ljwx_pipeline.errors import ConfigError
from ljwx_pipeline.evaluation.comparison import STRATEGY
from ljwx_pipeline.evaluation.lint import Finding
from ljwx_pipeline.evaluation.metrics import drawdowns, returns_of
from ljwx_pipeline.evaluation.performance import Figure
from ljwx_pipeline.evaluation.performance_file import JSON_NAME, PARQUET_NAME, read_performance, write_performance
from ljwx_pipeline.lake.atomic_parquet import read_parquet, write_bytes, write_parquet

RUN_JSON, RETURNS_PARQUET = "run.json", "returns.parquet"
FILES = (RUN_JSON, JSON_NAME, PARQUET_NAME, RETURNS_PARQUET)
#: Of the layout of ``run.json``; another number is not read.
SCHEMA = 1
_SUFFIX = "_return_frac"
#: What a list and a comparison of runs read.
_ABOUT = ("profile", "decision", "first_session", "last_session", "gate_benchmark", "simulated", "confidence")
_FIGURES = ("annual_return", "sharpe")


@dataclass(frozen=True)
class RunNumbers:
    """The numbers of one run.

    Parameters
    ----------
    run
        Its name: the folder of its report.
    about
        What was run: profile, source, simulated, model, decision, first and last session.
    hashes, settings
        What it came from, and every configured value by dotted key.
    figures
        Of the strategy, from ``performance``.
    findings
        Of the result lint, as ``Finding.as_dict`` gives them.
    curves
        Equity of the strategy, first, and of everything it is compared with; a column a curve, ``session_date`` index.
    """

    run: str
    about: Mapping[str, Any]
    hashes: Mapping[str, str]
    settings: Mapping[str, Any]
    figures: Mapping[str, Figure]
    findings: Sequence[Mapping[str, Any]]
    curves: pd.DataFrame


def numbers_of_findings(findings: Sequence[Finding]) -> tuple[Mapping[str, Any], ...]:
    """Return findings as ``RunNumbers`` keeps them."""
    return tuple(finding.as_dict() for finding in findings)


def write_numbers(folder: Path, numbers: RunNumbers) -> None:
    """Write ``FILES`` into ``folder``, each replaced in one step."""
    folder.mkdir(parents=True, exist_ok=True)
    document = {
        "schema": SCHEMA,
        "run": numbers.run,
        "about": dict(numbers.about),
        "findings": [dict(finding) for finding in numbers.findings],
        "hashes": dict(numbers.hashes),
        "settings": dict(numbers.settings),
    }
    text = json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    write_parquet(folder / RETURNS_PARQUET, returns_frame(numbers.curves))
    write_performance(folder, numbers.run, numbers.figures)
    write_bytes(folder / RUN_JSON, text.encode())


def returns_frame(curves: pd.DataFrame) -> pd.DataFrame:
    """Return a row a session: equity and drawdown of the strategy, then the return of every curve, 0 on the first."""
    moves = curves.pct_change().fillna(0.0).rename(columns=lambda name: f"{name}{_SUFFIX}")
    moves.insert(0, "equity_cny", curves[STRATEGY])
    moves.insert(1, "drawdown_frac", drawdowns(returns_of(curves[STRATEGY])))
    return moves.rename_axis("session_date").reset_index()


def read_numbers(folder: Path) -> RunNumbers:
    """Return the numbers that lie in ``folder``; curves come back as growth of 1.

    Raises
    ------
    ConfigError
        When ``run.json`` is not there, damaged, or of another layout, or what a list of runs shows is missing.
    LakeError
        When another of the files is missing or damaged.
    """
    path = folder / RUN_JSON
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"{folder} holds no {RUN_JSON}", "name a folder that `ljwx report list` shows") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is damaged ({error})", "run `ljwx run` again") from None
    found = document.get("schema") if isinstance(document, dict) else None
    if found != SCHEMA:
        raise ConfigError(f"{path} is of layout {found}, this version reads {SCHEMA}", "run `ljwx run` again")
    try:
        ((run, figures),) = read_performance(folder / JSON_NAME).items()
        frame = read_parquet(folder / RETURNS_PARQUET).set_index("session_date")
        moves = frame[[name for name in frame.columns if name.endswith(_SUFFIX)]]
        numbers = RunNumbers(
            run=run,
            about=dict(document["about"]),
            hashes=dict(document["hashes"]),
            settings=dict(document["settings"]),
            figures=figures,
            findings=tuple({**one, "severity": one["severity"]} for one in document["findings"]),
            curves=(1 + moves.rename(columns=lambda name: name.removesuffix(_SUFFIX))).cumprod(),
        )
        missing = [name for name in _ABOUT if name not in numbers.about]
        missing += [name for name in _FIGURES if name not in numbers.figures]
    except (KeyError, TypeError, ValueError) as error:
        raise ConfigError(f"{folder} is damaged ({type(error).__name__}: {error})", "run `ljwx run` again") from None
    if missing:
        raise ConfigError(f"{folder} lacks {', '.join(missing)}", "run `ljwx run` again")
    return numbers
