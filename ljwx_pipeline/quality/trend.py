"""The published suite over time: a line a run in a history file, and a page that shows it.

Not here: the suite (``suite.py``), the page of its last run (``suite_page.py``).
"""

from __future__ import annotations

import html
import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime
from pathlib import Path

import pandas as pd

from ljwx_pipeline.errors import DataQualityError
from ljwx_pipeline.quality.figures import suite_figure
from ljwx_pipeline.quality.pages import write_page

HISTORY_FILE, TREND_PAGE = "suite-history.jsonl", "suite-trend.html"
#: Runs shown as rows of the page's table; the chart shows all.
ROWS_SHOWN = 60

_BODY = """<p>{runs} runs; the <a href="{report}">report of the last one</a> names every expectation.</p>
{figure}
<table><thead><tr><th>Run</th><th>Last session</th><th class="n">Rows</th><th class="n">Expectations</th>
<th class="n">Not met</th><th class="n">Unexpected values</th><th>First not met</th></tr></thead><tbody>
{rows}
</tbody></table>"""


@dataclass(frozen=True)
class SuiteRun:
    """One run of the suite, as its history keeps it.

    Parameters
    ----------
    ran_at
        Instant of the run, timezone-aware.
    session
        Last session judged.
    rows
        Bars judged.
    expectations, failed, unexpected
        Expectations judged, those not met, and the values that broke them.
    first_failed
        A sentence on the first that is not met; empty when all are.
    """

    ran_at: datetime
    session: date
    rows: int
    expectations: int
    failed: int
    unexpected: int
    first_failed: str


def append_run(folder: Path, run: SuiteRun) -> Path:
    """Append ``run`` to the history in ``folder`` and return its file; the line is on disk when this returns."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / HISTORY_FILE
    fields = asdict(run) | {"ran_at": run.ran_at.isoformat(), "session": run.session.isoformat()}
    line = json.dumps(fields, ensure_ascii=False) + "\n"
    with path.open("ab+") as out:
        if out.tell():
            out.seek(-1, os.SEEK_END)
            if out.read(1) != b"\n":
                line = "\n" + line  # what a writer that died left behind stays a line of its own
        out.write(line.encode())
        out.flush()
        os.fsync(out.fileno())
    return path


def read_history(folder: Path) -> pd.DataFrame:
    """Return the runs in ``folder`` by time, a column a field of ``SuiteRun``; lines cut short are left out.

    Raises
    ------
    DataQualityError
        When there is no run.
    """
    path = folder / HISTORY_FILE
    runs: list[dict[str, object]] = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else ():
        try:
            fields = json.loads(line)
        except json.JSONDecodeError:
            continue
        runs.append(fields)
    if not runs:
        raise DataQualityError(f"{path} holds no run of the suite", "run the suite once with its history")
    table = pd.DataFrame(runs)
    table["ran_at"] = pd.to_datetime(table["ran_at"], utc=True, format="ISO8601")
    table["session"] = pd.to_datetime(table["session"])
    return table.sort_values("ran_at", kind="stable", ignore_index=True)


def write_trend_page(folder: Path, last_report: Path) -> Path:
    """Write the page that shows the history in ``folder`` and links to ``last_report``; return it."""
    history = read_history(folder)
    body = _BODY.format(
        runs=len(history),
        report=html.escape(os.path.relpath(last_report, folder)),
        figure=suite_figure(history),
        rows="\n".join(_rows(history)),
    )
    return write_page(folder / TREND_PAGE, title="Data contract over time", body=body)


def _rows(history: pd.DataFrame) -> Sequence[str]:
    rows = []
    for run in history.tail(ROWS_SHOWN).iloc[::-1].to_dict("records"):
        tone = ' class="no"' if run["failed"] else ""
        counts = (run["rows"], run["expectations"], run["failed"], run["unexpected"])
        numbers = "".join(f'<td class="n">{value:,}</td>' for value in counts)
        rows.append(
            f'<tr{tone}><td class="d">{run["ran_at"]:%Y-%m-%d %H:%M} UTC</td>'
            f'<td class="d">{run["session"]:%Y-%m-%d}</td>{numbers}'
            f"<td>{html.escape(str(run['first_failed']))}</td></tr>"
        )
    return rows
