"""Pictures of quality over time as SVG text that can stand inside HTML: no script, nothing to fetch.

Not here: the numbers (``score.py``, ``trend.py``).
"""

from __future__ import annotations

import pandas as pd

from ljwx_pipeline.plot_style import BLUE, GREY, MUTED, ORANGE, RED, canvas, inline

COLOURS = {"error": RED, "quarantine": ORANGE, "warn": GREY}
#: Apart from the evaluation's figures, which may stand on the same page.
SALT = "quality "
#: Checks that get a bar of their own; the rest share one.
CHECKS_SHOWN = 12
#: Inches: Dagster shows a picture about a hand wide, and letters keep their size beside it.
WIDTH = 4.6
DATES_SHOWN = 5


def score_figure(scores: pd.DataFrame) -> str:
    """Return the score by session, a line a source, over the rows that broke a check.

    Parameters
    ----------
    scores
        As ``score.scores`` gives them, of one or several sources.
    """
    with canvas(WIDTH, 3.4, salt=SALT, nrows=2, sharex=True, height_ratios=[2, 1]) as (axes, out):
        line, found = axes
        for number, (source, part) in enumerate(scores.groupby("source", sort=True)):
            style = ("-", "--", ":", "-.")[number % 4]
            line.plot(part["session_date"], part["score"], color=BLUE, linewidth=1.4, linestyle=style, label=source)
        line.set_ylim(min(90.0, float(scores["score"].min()) - 2.0) if len(scores) else 0.0, 100.5)
        line.set_title("Score by session: 100 is clean, complete, in time")
        if len(scores["source"].unique()) > 1:
            line.legend(loc="lower left")
        by_day = scores.groupby("session_date")[[f"{severity}_rows" for severity in COLOURS]].sum()
        base = pd.Series(0, index=by_day.index)
        for severity, colour in COLOURS.items():
            rows = by_day[f"{severity}_rows"]
            found.bar(by_day.index, rows, bottom=base, color=colour, width=1.0, label=severity)
            base = base + rows
        found.set_title("Rows that broke a check")
        found.legend(
            loc="lower right", bbox_to_anchor=(1.0, 0.98), ncols=3, fontsize=7, handlelength=0.8, borderpad=0.1
        )
        found.yaxis.get_major_locator().set_params(integer=True)
        dates = found.xaxis.get_major_locator()
        dates.maxticks = dict.fromkeys(dates.maxticks, DATES_SHOWN)
    return inline(out)


def breach_figure(counts: pd.DataFrame) -> str:
    """Return offending rows by check, the most frequent first, coloured by severity.

    Parameters
    ----------
    counts
        As ``score.breach_counts`` gives them.
    """
    by_check = counts.groupby(["check", "severity"])["rows"].sum().sort_values(ascending=False).reset_index()
    shown, rest = by_check.head(CHECKS_SHOWN), by_check.iloc[CHECKS_SHOWN:]
    labels = shown["check"].tolist() + [f"{len(rest)} others"] * (len(rest) > 0)
    rows = shown["rows"].tolist() + [int(rest["rows"].sum())] * (len(rest) > 0)
    colours = [COLOURS[severity] for severity in shown["severity"]] + [MUTED] * (len(rest) > 0)
    with canvas(WIDTH, 0.9 + 0.26 * max(len(labels), 1), salt=SALT) as (axis, out):
        axis.barh(labels or ["none"], rows or [0], color=colours or [MUTED], height=0.65)
        axis.invert_yaxis()
        axis.grid(visible=False, axis="y")
        for place, value in enumerate(rows):
            axis.annotate(f"{value:,}", (value, place), (3, 0), textcoords="offset points", va="center", fontsize=8)
        axis.margins(x=0.1)
        axis.xaxis.get_major_locator().set_params(integer=True)
        axis.set_title("Rows that broke each check")
    return inline(out)


def suite_figure(history: pd.DataFrame) -> str:
    """Return the share of expectations met and the unexpected values found, by run.

    Parameters
    ----------
    history
        As ``trend.read_history`` gives it.
    """
    with canvas(9.2, 3.2, salt=SALT, nrows=2, sharex=True) as (axes, out):
        met, values = axes
        share = 100.0 * (1.0 - history["failed"] / history["expectations"])
        line = {"linewidth": 1.4, "marker": "o", "markersize": 3}
        met.plot(history["ran_at"], share, color=BLUE, **line)
        met.set_ylim(min(95.0, float(share.min()) - 1), 100.5)
        met.set_title("Expectations met, % of those judged")
        values.plot(history["ran_at"], history["unexpected"], color=COLOURS["error"], **line)
        values.set_ylim(bottom=0)
        values.set_title("Unexpected values")
    return inline(out)
