"""A study as files for people: its trials and what decided them as tables, its course as pictures.

Not here: the study itself (``tune.py``), where the files are shown (``assets/tuning.py``).
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ljwx_pipeline.config import OBJECTIVES, TuneSettings
from ljwx_pipeline.lake.atomic_parquet import write_bytes, write_parquet
from ljwx_pipeline.models.tune import SPACE, StudyResult
from ljwx_pipeline.plot_style import BLUE, GREY, MUTED, ORANGE, RED, STYLE
from ljwx_pipeline.studies.importance import importances

TRIALS, IMPORTANCE, SUMMARY = "trials.parquet", "importance.parquet", "study.json"
HISTORY_PNG, IMPORTANCE_PNG, PARETO_PNG = "history.png", "importance.png", "pareto.png"
_DOTS_PER_IN = 110
_CHOSEN: dict[str, Any] = {"s": 80, "facecolors": "none", "edgecolors": RED, "label": "chosen"}
_AXIS = {"rank_ic": "mean rank IC of the inner folds", "turnover": "names replaced a session, share of the best"}


@dataclass(frozen=True)
class StudyReport:
    """What was written.

    Parameters
    ----------
    trials
        One row a trial: its numbers and its parameters.
    importance
        Columns objective, parameter, share; no row where too few trials finished to say.
    pictures
        The PNG files.
    """

    trials: pd.DataFrame
    importance: pd.DataFrame
    pictures: tuple[Path, ...]


def write_study_report(study: StudyResult, tuning: TuneSettings, folder: Path) -> StudyReport:
    """Write the study's tables, summary and pictures into ``folder``.

    Raises
    ------
    LakeError
        When the folder cannot be written.
    """
    trials, importance = trials_table(study), importance_table(study, tuning)
    write_parquet(folder / TRIALS, trials)
    write_parquet(folder / IMPORTANCE, importance)
    body = {
        "study": study.name,
        "objectives": list(tuning.objectives),
        "chosen": study.best.number,
        "params": study.best_params,
        "rank_ic": study.best.rank_ic,
        "turnover_frac": study.best.turnover_frac,
        "pareto": list(study.pareto),
        "warm_start": study.warm_start,
        "trials": len(study.trials),
        "pruned": sum(trial.state == "pruned" for trial in study.trials),
        "importance": importance.to_dict("records"),
    }
    write_bytes(folder / SUMMARY, json.dumps(body, indent=2).encode())
    pictures = [(HISTORY_PNG, history_png(study))]
    if len(importance):
        pictures.append((IMPORTANCE_PNG, importance_png(importance)))
    if len(tuning.objectives) > 1:
        pictures.append((PARETO_PNG, pareto_png(study)))
    for name in {IMPORTANCE_PNG, PARETO_PNG} - {name for name, _ in pictures}:
        (folder / name).unlink(missing_ok=True)
    for name, drawn in pictures:
        write_bytes(folder / name, drawn)
    return StudyReport(trials, importance, tuple(folder / name for name, _ in pictures))


def trials_table(study: StudyResult) -> pd.DataFrame:
    """Return one row a trial: its numbers, the rank IC of each fold it ran, and its parameters as ``param.NAME``."""
    rows = []
    for trial in study.trials:
        row = {name: value for name, value in asdict(trial).items() if name not in ("params", "fold_rank_ics")}
        row |= {f"fold_{at}_rank_ic": value for at, value in enumerate(trial.fold_rank_ics)}
        rows.append(row | {f"param.{name}": float(value) for name, value in trial.params.items()})
    return pd.DataFrame(rows)


def importance_table(study: StudyResult, tuning: TuneSettings) -> pd.DataFrame:
    """Return the share of each parameter in what decided each objective; see ``studies.importance``."""
    complete = [trial for trial in study.trials if trial.state == "complete"]
    rows = []
    for name in tuning.objectives:
        tried = [(trial.params, trial.rank_ic if name == "rank_ic" else trial.turnover_frac) for trial in complete]
        found = importances(SPACE, tried, direction=OBJECTIVES[name])
        rows += [{"objective": name, "parameter": parameter, "share": share} for parameter, share in found.items()]
    return pd.DataFrame(rows, columns=["objective", "parameter", "share"])


def history_png(study: StudyResult) -> bytes:
    """Return the rank IC of each trial in order, the best so far as a line, and the chosen one marked."""
    complete, pruned = (_where(study, state) for state in ("complete", "pruned"))
    with _drawn(7.5, 3.4) as (axes, out):
        best = np.maximum.accumulate(complete["rank_ic"].to_numpy())
        axes.step(complete["number"], best, where="post", color=BLUE, linewidth=1.2, label="best so far")
        axes.scatter(complete["number"], complete["rank_ic"], s=18, color=BLUE, label="complete")
        if len(pruned):
            given_up = {"s": 20, "color": GREY, "marker": "x", "label": "given up (its folds only)"}
            axes.scatter(pruned["number"], pruned["rank_ic"], **given_up)
        axes.scatter(study.best.number, study.best.rank_ic, **_CHOSEN)
        axes.set_xlabel("trial")
        axes.set_ylabel(_AXIS["rank_ic"])
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.set_title("Course of the study")
        axes.legend(fontsize=8, ncols=2)
    return out.getvalue()


def importance_png(importance: pd.DataFrame) -> bytes:
    """Return the share of each parameter as bars, a group of bars an objective."""
    table = importance.pivot_table(index="parameter", columns="objective", values="share")
    table = table.loc[table["rank_ic"].sort_values().index]
    with _drawn(7.5, 0.42 * len(table) + 1.1) as (axes, out):
        height = 0.8 / len(table.columns)
        for at, (name, color) in enumerate(zip(table.columns, (BLUE, ORANGE), strict=False)):
            axes.barh(np.arange(len(table)) - at * height, table[name], height=height, color=color, label=name)
        axes.set_yticks(np.arange(len(table)) - height * (len(table.columns) - 1) / 2, list(table.index))
        axes.set_xlabel("share of what sets the better trials apart (PED-ANOVA)")
        axes.set_title("Which parameters decided")
        if len(table.columns) > 1:
            axes.legend(fontsize=8)
    return out.getvalue()


def pareto_png(study: StudyResult) -> bytes:
    """Return rank IC over turnover of every complete trial, with the front and the chosen one."""
    complete = _where(study, "complete")
    front = complete.set_index("number").loc[list(study.pareto)]
    with _drawn(7.5, 4.0) as (axes, out):
        axes.scatter(complete["turnover_frac"], complete["rank_ic"], s=18, color=GREY, label="trial")
        axes.plot(
            front["turnover_frac"], front["rank_ic"], color=BLUE, marker="o", drawstyle="steps-pre", label="front"
        )
        axes.scatter(study.best.turnover_frac, study.best.rank_ic, **_CHOSEN)
        for number, turnover_frac, rank_ic in zip(front.index, front["turnover_frac"], front["rank_ic"], strict=True):
            beside = {"xytext": (4, 4), "textcoords": "offset points", "fontsize": 8, "color": MUTED}
            axes.annotate(str(number), (turnover_frac, rank_ic), **beside)
        axes.set_xlabel(_AXIS["turnover"])
        axes.set_ylabel(_AXIS["rank_ic"])
        axes.set_title("Rank IC against turnover")
        axes.legend(fontsize=8)
    return out.getvalue()


def _where(study: StudyResult, state: str) -> pd.DataFrame:
    trials = trials_table(study)
    return trials[trials["state"] == state]


@contextmanager
def _drawn(width: float, height: float) -> Iterator[tuple[Any, io.BytesIO]]:
    """Yield the axes of a figure of ``width`` by ``height`` inches, and the PNG that holds it afterwards."""
    # matplotlib takes half a second to import; no pyplot, so no global state or display
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    out = io.BytesIO()
    style: Any = STYLE
    with rc_context(style):
        figure = Figure(figsize=(width, height), layout="constrained")
        yield figure.subplots(), out
        figure.savefig(out, format="png", dpi=_DOTS_PER_IN, metadata={"Software": None})
