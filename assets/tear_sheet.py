"""Layer 4, research: what each factor is worth alone, beside the model that is made of all of them.

Not here: the measures and pages (``ljwx_pipeline.research``), the same for any catalogue (``ljwx tear-sheet``).
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from assets import reuse
from assets.features import features_key
from assets.io_managers import read_table
from assets.lineage import lineage_of
from assets.metadata import preview, report_links
from assets.panels import factor_tables, load_factors
from assets.research import GROUP, OWNERS
from assets.resources import Line
from assets.tracking import research_run, research_run_id
from ljwx_pipeline.dataset import MarketTables
from ljwx_pipeline.errors import FactorError
from ljwx_pipeline.factors.catalogue import Factor
from ljwx_pipeline.lake.content_hash import content_hash
from ljwx_pipeline.research.market import ResearchMarket, research_market

#: Factors named beside the asset.
TOP_FACTORS = 15
SHOWN = ["factor", "rank_ic_mean", "rank_icir", "rank_ic_t", "half_life_sessions", "turnover_frac", "coverage_frac"]


@dg.asset(
    group_name=GROUP,
    owners=OWNERS,
    kinds={"html", "numba"},
    deps=["factor_values", "training_dataset", "securities", "st_spells", "index_members"],
)
def factor_tear_sheet(
    context: dg.AssetExecutionContext,
    line: Line,
    checked_bars: pd.DataFrame,
    calendar: pd.DataFrame,
) -> dg.MaterializeResult[None]:
    """The set's tear sheet: rank IC, decay, spread, turnover and capacity of every factor alone, and who is alike."""
    tables = factor_tables(line, checked_bars)
    folder = line.home / "tear_sheet"
    index, key = folder / "index.html", sheet_key(line, tables, calendar)
    if not reuse.is_current(line.tables, "factor_tear_sheet", key):
        reuse.forget(line.tables, "factor_tear_sheet")
        market = research_market(tables, pd.DatetimeIndex(calendar["session_date"]), line.settings)
        write_sheet(context, line, market, folder)
        reuse.remember(line.tables, "factor_tear_sheet", key, [path for path in folder.iterdir() if path.is_file()])
    with research_run(line) as run:
        run.artifacts(folder, "tear_sheet")
    table = read_table(folder, "summary")
    strongest = table.reindex(table["rank_ic_t"].abs().sort_values(ascending=False, kind="stable").index)[SHOWN]
    return dg.MaterializeResult(
        metadata={
            **report_links(line, "tear_sheet", index),
            "factors": len(table),
            "strongest": preview(strongest.head(TOP_FACTORS), rows=TOP_FACTORS),
            "one_factor": "`ljwx tear-sheet --factor NAME` writes a factor's own page",
            "mlflow_run_id": research_run_id(line),
        }
    )


def write_sheet(context: dg.AssetExecutionContext, line: Line, market: ResearchMarket, folder: Path) -> None:
    """Measure every stored factor and write the set's files into ``folder``."""
    from ljwx_pipeline.research.files import write_tear_sheet
    from ljwx_pipeline.research.page import PageContext
    from ljwx_pipeline.research.tear_sheet import measure_set, yardstick

    done: list[str] = []

    def said(name: str) -> None:
        done.append(name)
        if len(done) % 20 == 0:
            context.log.info(f"{len(done)} factors measured")

    source = line.source().describe()
    found = measure_set(
        line.catalogue.name,
        stored_factors(line, market),
        yardstick(market, line.settings.label),
        threads=line.settings.model.threads,
        on_factor=said,
    )
    about = PageContext(
        profile=line.settings.profile,
        source=f"{source.name}, {source.adjustment} prices",
        simulated=source.simulated,
        hashes=lineage_of(line),
    )
    write_tear_sheet(found, folder, about, with_pages=())


def stored_factors(line: Line, market: ResearchMarket) -> Iterator[tuple[Factor, NDArray[np.floating[Any]]]]:
    """Yield each stored factor on the market's symbols and sessions.

    Raises
    ------
    FactorError
        When one of them is not among those stored.
    """
    stored, declared = load_factors(line), {factor.name: factor for factor in line.catalogue.factors}
    rows = pd.Index(stored.symbols).get_indexer(pd.Index(market.panel.symbols))
    columns = stored.sessions.get_indexer(market.panel.sessions)
    if (rows < 0).any() or (columns < 0).any():
        raise FactorError("factors are not stored of every symbol and session", "materialise factor_values again")
    for name in stored.names:
        yield declared[name], stored.of(name)[np.ix_(rows, columns)]


def sheet_key(line: Line, tables: MarketTables, calendar: pd.DataFrame) -> reuse.Key:
    """Return all that decides the sheet's numbers."""
    settings = line.settings
    return {
        **features_key(line, tables.bars, calendar),
        "universe": settings.universe.model_dump(),
        "label": settings.label.model_dump(),
        "held_out_sessions": settings.research.held_out_sessions,
        "securities": content_hash(tables.securities),
        "st_spells": content_hash(tables.st_spells),
        "index_members": content_hash(tables.index_members),
        "lineage": dict(lineage_of(line)),
    }
