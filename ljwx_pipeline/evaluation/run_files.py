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

from ljwx_pipeline.errors import ConfigError, LakeError
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
#: Of ``RunNumbers.about``: what a list of runs shows, and what a comparison says beside it.
SHOWN_OF_A_RUN = ("profile", "decision", "first_session", "last_session", "mlflow_run_id")
SHOWN_BESIDE = ("simulated", "gate_benchmark", "confidence")


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
    except OSError as error:
        raise ConfigError(f"{path} cannot be read ({error.strerror})", "check the disk and permissions") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise _damaged(path, error) from None
    found = document.get("schema") if isinstance(document, dict) else None
    if found != SCHEMA:
        raise ConfigError(f"{path} is of layout {found}, this version reads {SCHEMA}", "run `ljwx run` again")
    try:
        about, findings = {**document["about"]}, tuple({**finding} for finding in document["findings"])
        missing = {*SHOWN_OF_A_RUN, *SHOWN_BESIDE} - about.keys()
        if missing or not all("severity" in finding for finding in findings):
            raise KeyError(*sorted(missing))
        hashes, settings = {**document["hashes"]}, {**document["settings"]}
    except (KeyError, TypeError) as error:
        raise _damaged(path, error) from None
    runs = read_performance(folder / JSON_NAME)
    if len(runs) != 1 or not all({"annual_return", "sharpe"} <= figures.keys() for figures in runs.values()):
        raise LakeError(f"{folder / JSON_NAME} does not hold the figures of one run", "run `ljwx run` again")
    ((run, figures),) = runs.items()
    frame = read_parquet(folder / RETURNS_PARQUET)
    if "session_date" not in frame or f"{STRATEGY}{_SUFFIX}" not in frame:
        raise LakeError(f"{folder / RETURNS_PARQUET} holds no returns by session", "run `ljwx run` again")
    frame = frame.set_index("session_date")
    moves = frame[[name for name in frame.columns if name.endswith(_SUFFIX)]]
    return RunNumbers(
        run=run,
        about=about,
        hashes=hashes,
        settings=settings,
        figures=figures,
        findings=findings,
        curves=(1 + moves.rename(columns=lambda name: name.removesuffix(_SUFFIX))).cumprod(),
    )


def _damaged(path: Path, error: Exception) -> ConfigError:
    return ConfigError(f"{path} is damaged ({error})", "run `ljwx run` again, or delete its folder")
