"""Any runs side by side: the figures with their intervals, growth in one picture, and what differs between them.

Runs are the folders below the reports that hold ``run.json`` (``run_files.py``). Not here: the command
(``report_commands.py``), the page's markup (``templates/compare.html.j2``).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ljwx_pipeline.errors import ConfigError, LakeError
from ljwx_pipeline.evaluation import figures
from ljwx_pipeline.evaluation.comparison import STRATEGY
from ljwx_pipeline.evaluation.lint import SEVERITIES
from ljwx_pipeline.evaluation.run_files import RUN_JSON, SHOWN_OF_A_RUN, RunNumbers, read_numbers

TEMPLATE = "compare.html.j2"
#: Fewer characters of an MLflow run id name no run.
LEAST_ID = 6
#: What of a run's hashes may differ without meaning anything.
_ALWAYS_DIFFER = ("known_at",)


@dataclass(frozen=True)
class ComparedRuns:
    """Runs side by side, in the order they were asked for.

    Parameters
    ----------
    runs
        Their numbers.
    measures
        Names of figures that at least one run has: of the strategy, then against the gate's index.
    settings, hashes
        Of each key that differs, the value of every run (None where a run lacks it).
    """

    runs: tuple[RunNumbers, ...]
    measures: tuple[str, ...]
    settings: Mapping[str, tuple[Any, ...]]
    hashes: Mapping[str, tuple[Any, ...]]

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {
            "runs": [{"run": one.run, **one.about, "findings": counted_findings(one)} for one in self.runs],
            "figures": {
                name: [_plain(one.figures[name]) if name in one.figures else None for one in self.runs]
                for name in self.measures
            },
            "settings": {key: list(values) for key, values in self.settings.items()},
            "hashes": {key: list(values) for key, values in self.hashes.items()},
        }


def run_folders(reports: Path) -> list[Path]:
    """Return the folders below ``reports`` that hold a run's numbers, the one written last first."""
    found = [path.parent for path in reports.glob(f"*/{RUN_JSON}") if not path.parent.is_symlink()]
    return sorted(found, key=lambda folder: (-(folder / RUN_JSON).stat().st_mtime_ns, folder.name))


def find_run(reports: Path, name: str) -> Path:
    """Return the folder of the run ``name``.

    Parameters
    ----------
    reports
        Folder of all reports.
    name
        A folder's name below it (``latest`` too), the beginning of an MLflow run id, or a path.

    Raises
    ------
    ConfigError
        When nothing, or more than one run, is named so.
    """
    for folder in (reports / name, Path(name)):
        if (folder / RUN_JSON).is_file():
            return folder
    folders = run_folders(reports)
    by_id = [folder for folder in folders if len(name) >= LEAST_ID and (_run_id(folder) or "").startswith(name)]
    if len(by_id) == 1:
        return by_id[0]
    if by_id:
        raise ConfigError(f"{name} begins the ids of {len(by_id)} runs", "write more of it")
    unread = [folder.name for folder in folders if _run_id(folder) is None]
    known = ", ".join(folder.name for folder in folders[:5]) or "none: run `ljwx run` first"
    aside = f"; {', '.join(unread)} cannot be read" if unread else ""
    raise ConfigError(f"no run is called {name}", f"name one that `ljwx report list` shows ({known}{aside})")


def compare_runs(folders: Sequence[Path]) -> ComparedRuns:
    """Return the runs in ``folders`` side by side.

    Raises
    ------
    ConfigError
        For fewer than two runs, or as ``read_numbers``.
    """
    if len(folders) < 2:
        raise ConfigError(f"{len(folders)} run cannot be compared", "name two runs or more")
    runs = tuple(read_numbers(folder) for folder in folders)
    benchmark = runs[0].about["gate_benchmark"]
    measures = dict.fromkeys(name for run in runs for name in run.figures if ":" not in name)
    measures |= dict.fromkeys(name for run in runs for name in run.figures if name.endswith(f":{benchmark}"))
    hashes = {key: row for key, row in _differing([run.hashes for run in runs]) if key not in _ALWAYS_DIFFER}
    return ComparedRuns(runs, tuple(measures), dict(_differing([run.settings for run in runs])), hashes)


def counted_findings(run: RunNumbers) -> dict[str, int]:
    """Return how many findings of the lint a run has, by severity."""
    return {severity: sum(one["severity"] == severity for one in run.findings) for severity in SEVERITIES}


def listed_run(folder: Path) -> dict[str, Any]:
    """Return what ``ljwx report list`` says of a run; of one that cannot be read its name and why (``unreadable``)."""
    try:
        run = read_numbers(folder)
    except (ConfigError, LakeError) as error:
        return {"run": folder.name, "unreadable": str(error)}
    return {
        "run": folder.name,
        **{key: run.about[key] for key in SHOWN_OF_A_RUN},
        "annual_return": _plain(run.figures["annual_return"])["value"],
        "sharpe": _plain(run.figures["sharpe"])["value"],
        "lint_errors": counted_findings(run)["error"],
    }


def render_comparison(compared: ComparedRuns) -> str:
    """Return the page as one HTML text, the same bytes for the same runs."""
    from markupsafe import Markup  # only a page needs it

    from ljwx_pipeline.evaluation.report import figure_rows, report_environment

    names = [run.run for run in compared.runs]
    curves = {f"{place}": run.curves[STRATEGY] for place, run in enumerate(compared.runs)}
    rows = []
    for name in compared.measures:
        shown = [figure_rows(run.figures, [name]) for run in compared.runs]
        rows.append((name, [(cells[0][1], cells[0][2]) if cells else ("–", "") for cells in shown]))
    page: str = (
        report_environment()
        .get_template(TEMPLATE)
        .render(
            c=compared,
            names=names,
            simulated=any(run.about["simulated"] for run in compared.runs),
            confidence=f"{compared.runs[0].about['confidence']:.0%}",
            benchmark=compared.runs[0].about["gate_benchmark"],
            colours=list(figures.curve_colours(curves).values()),
            rows=rows,
            findings=[counted_findings(run) for run in compared.runs],
            picture=Markup(figures.comparison_figure(curves)),  # noqa: S704 - our own SVG
        )
    )
    return page


def _run_id(folder: Path) -> str | None:
    """Return the MLflow run of a folder; None where its numbers cannot be read, as ``listed_run`` says."""
    said = listed_run(folder)
    return None if "unreadable" in said else str(said["mlflow_run_id"] or "")


def _differing(tables: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, tuple[Any, ...]]]:
    for key in dict.fromkeys(key for table in tables for key in table):
        values = tuple(table.get(key) for table in tables)
        if any(value != values[0] for value in values[1:]):
            yield key, values


def _plain(figure: Any) -> dict[str, Any]:
    return {
        name: value if math.isfinite(value) else None
        for name, value in (("value", figure.value), ("lower", figure.lower), ("upper", figure.upper))
    } | {"unit": figure.unit}
