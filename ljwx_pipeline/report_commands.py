"""The bodies of ``ljwx report``: which runs there are, and any of them side by side.

Not here: what is compared (``evaluation/run_comparison.py``), the report of one run (a run makes it).
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ljwx_pipeline.command_output import grid, show_result
from ljwx_pipeline.config import ljwx_home

if TYPE_CHECKING:  # pandas: loaded when a command runs, not when the parser is built
    from ljwx_pipeline.evaluation.run_comparison import ComparedRuns

#: Figures shown on the terminal; the page and ``--json`` hold all.
SHOWN = (
    "annual_return", "annual_volatility", "sharpe", "sortino", "calmar", "max_drawdown", "win_rate_months", "turnover",
    "closed_trades", "fees", "capacity_median", "excess_annual_return", "information_ratio", "alpha", "beta",
)  # fmt: skip


def add_report_commands(subparsers: Any) -> None:
    """Add ``report`` to the command line; ``subparsers`` is what ``ArgumentParser.add_subparsers`` returned."""
    text = "the reports there are, and any runs side by side"
    parser = subparsers.add_parser("report", help=text, description=text)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    listing = commands.add_parser("list", help="every run whose report is kept, the newest first")
    listing.add_argument("--json", action="store_true", help="print the machine-readable form")
    listing.set_defaults(handler=_list)
    comparing = commands.add_parser("compare", help="figures with intervals, and what differs, of two runs or more")
    comparing.add_argument(
        "runs", nargs="+", metavar="RUN", help="a name that `ljwx report list` shows, latest, an MLflow run id, a path"
    )
    comparing.add_argument("--html", metavar="PATH", help="also write the comparison as one self-contained page")
    comparing.add_argument("--json", action="store_true", help="print the machine-readable form")
    comparing.set_defaults(handler=_compare)


def _reports() -> Path:
    return ljwx_home() / "reports"


def _list(arguments: argparse.Namespace) -> int:
    from ljwx_pipeline.evaluation.run_comparison import listed_run, run_folders

    runs = [listed_run(folder) for folder in run_folders(_reports())]
    if not runs:
        return show_result(arguments, {"runs": runs}, f"no report lies below {_reports()}: run `ljwx run` first")
    headers = ("run", "decision", "backtest", "annual return", "Sharpe", "lint errors")
    lines = [
        (
            run["run"],
            run["decision"],
            f"{run['first_session']} to {run['last_session']}",
            _as(run["annual_return"], "+.1%"),
            _as(run["sharpe"], ".2f"),
            str(run["lint_errors"]),
        )
        for run in runs
        if "unreadable" not in run
    ]
    unread = [f"{run['run']} cannot be read: {run['unreadable']}" for run in runs if "unreadable" in run]
    parts = ([grid(headers, lines)] if lines else []) + (["\n".join(unread)] if unread else [])
    return show_result(arguments, {"runs": runs}, "\n\n".join(parts))


def _compare(arguments: argparse.Namespace) -> int:
    from ljwx_pipeline.evaluation.run_comparison import compare_runs, find_run, render_comparison
    from ljwx_pipeline.lake.atomic_parquet import write_bytes

    compared = compare_runs([find_run(_reports(), name) for name in arguments.runs])
    body = compared.as_dict()
    text = _text(compared)
    if arguments.html:
        path = Path(arguments.html).absolute()
        write_bytes(path, render_comparison(compared).encode())
        body["page"], text = str(path), f"{text}\n\npage  {path}"
    return show_result(arguments, body, text)


def _text(compared: ComparedRuns) -> str:
    from ljwx_pipeline.evaluation.lint_wording import EN
    from ljwx_pipeline.evaluation.report import figure_rows
    from ljwx_pipeline.evaluation.wording import FIGURE_NAMES

    names = [run.run for run in compared.runs]
    lines = []
    for measure in compared.measures:
        base, _, benchmark = measure.partition(":")
        if base not in SHOWN:
            continue
        shown = [figure_rows(run.figures, [measure]) for run in compared.runs]
        cells = [f"{row[0][1]} [{row[0][2]}]" if row and row[0][2] else row[0][1] if row else "-" for row in shown]
        lines.append([f"{FIGURE_NAMES[EN][base]}{f' ({benchmark})' if benchmark else ''}", *cells])
    parts = [grid(["", *names], lines)]
    for title, table in (("settings that differ", compared.settings), ("hashes that differ", compared.hashes)):
        rows = [[key, *("-" if value is None else str(value)[:40] for value in row)] for key, row in table.items()]
        parts.append(grid([title, *names], rows) if rows else f"{title}: none")
    return "\n\n".join(parts)


def _as(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)
