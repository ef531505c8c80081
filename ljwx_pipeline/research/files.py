"""A set's tear sheet as files: pages for people, JSON and Parquet for programs. Each file is whole or absent.

``index.html``, ``factors/NAME.html``, ``summary.json``, ``summary.parquet``, ``sessions.parquet``,
``quantiles.parquet``, ``correlations.parquet``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ljwx_pipeline.lake.atomic_parquet import write_bytes, write_parquet
from ljwx_pipeline.research.page import PageContext, render_factor, render_set
from ljwx_pipeline.research.tear_sheet import FactorSheet, SetSheet, Yardstick

INDEX = "index.html"
FACTOR_FOLDER = "factors"
SUMMARY = "summary.json"


def write_tear_sheet(
    found: SetSheet,
    folder: Path,
    context: PageContext,
    *,
    with_pages: Collection[str] | None = None,
    on_page: Callable[[str], None] = lambda _: None,
) -> Path:
    """Write the set's files into ``folder`` and return its index page, which is written last.

    Parameters
    ----------
    with_pages
        Names of the factors that get a page of their own; all of them if None. Other pages that an earlier sheet says
        it wrote into the folder are removed, and nothing else is.
    on_page
        Called with the name of each factor whose page is written.

    Raises
    ------
    LakeError
        When the folder cannot be written.
    """
    chosen = [sheet for sheet in found.sheets if with_pages is None or sheet.factor.name in with_pages]
    pages = {sheet.factor.name: f"{FACTOR_FOLDER}/{sheet.factor.name}.html" for sheet in chosen}
    for sheet in chosen:
        html = render_factor(sheet, found.yardstick, context, set_page=f"../{INDEX}")
        write_bytes(folder / pages[sheet.factor.name], html.encode())
        on_page(sheet.factor.name)
    for stale in _earlier_pages(folder) - set(pages.values()):
        (folder / stale).unlink(missing_ok=True)
    table = found.table()
    document = {**summary_document(found, context), "pages": pages}
    write_bytes(folder / SUMMARY, json.dumps(document, indent=1).encode())
    write_parquet(folder / "summary.parquet", table)
    write_parquet(folder / "sessions.parquet", session_table(found))
    write_parquet(folder / "quantiles.parquet", quantile_table(found))
    write_parquet(folder / "correlations.parquet", correlation_table(found))
    write_bytes(folder / INDEX, render_set(found, context, pages=pages).encode())
    return folder / INDEX


def summary_document(found: SetSheet, context: PageContext) -> dict[str, Any]:
    """Return the summary as plain values: what was measured on what, and a row a factor."""
    stick = found.yardstick
    return {
        "set": found.name,
        "profile": context.profile,
        "simulated": context.simulated,
        "first_session": str(stick.sessions[0].date()),
        "last_session": str(stick.sessions[-1].date()),
        "sessions": len(stick.sessions),
        "symbols": len(stick.symbols),
        "entry_lag_sessions": stick.label.entry_lag_sessions,
        "horizon_sessions": stick.label.horizon_sessions,
        "hashes": dict(context.hashes),
        "factors": [sheet.summary(stick) for sheet in found.sheets],
    }


def session_table(found: SetSheet) -> pd.DataFrame:
    """Return a row a factor and session: rank IC by horizon, spread, turnover, autocorrelation, coverage, capacity."""
    return pd.concat([_sessions(sheet, found.yardstick) for sheet in found.sheets], ignore_index=True)


def quantile_table(found: SetSheet) -> pd.DataFrame:
    """Return a row a factor, horizon and quantile (1 the lowest): mean return over the universe's, as a fraction."""
    horizons, quantiles = len(found.yardstick.horizons), found.sheets[0].quantile_excess.shape[1]
    return pd.DataFrame(
        {
            "factor": np.repeat([sheet.factor.name for sheet in found.sheets], horizons * quantiles),
            "horizon_sessions": np.tile(np.repeat(found.yardstick.horizons, quantiles), len(found.sheets)),
            "quantile": np.tile(np.arange(1, quantiles + 1), horizons * len(found.sheets)),
            "mean_excess_frac": np.concatenate([sheet.quantile_excess.ravel() for sheet in found.sheets]),
        }
    )


def correlation_table(found: SetSheet) -> pd.DataFrame:
    """Return a row a factor and a column a factor, in the set's order."""
    names = [sheet.factor.name for sheet in found.sheets]
    table = pd.DataFrame(found.correlations, columns=names)
    table.insert(0, "factor", names)
    return table


def _sessions(sheet: FactorSheet, stick: Yardstick) -> pd.DataFrame:
    by_horizon = {f"rank_ic_{horizon}": sheet.rank_ic[:, place] for place, horizon in enumerate(stick.horizons)}
    return pd.DataFrame(
        {
            "factor": sheet.factor.name,
            "session_date": stick.sessions,
            **by_horizon,
            "ic": sheet.ic,
            "spread_frac": sheet.spread,
            "turnover_lowest_frac": sheet.turnover[:, 0],
            "turnover_highest_frac": sheet.turnover[:, 1],
            "autocorrelation": sheet.autocorrelation,
            "coverage_frac": sheet.coverage,
            "capacity_cny": sheet.capacity,
        }
    )


def _earlier_pages(folder: Path) -> set[str]:
    """Return the pages that the sheet in ``folder`` says it wrote; none where there is no sheet, or a damaged one."""
    try:
        said = json.loads((folder / SUMMARY).read_text(encoding="utf-8"))["pages"].values()
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return set()
    return {page for page in map(str, said) if re.fullmatch(rf"{FACTOR_FOLDER}/\w+\.html", page)}
