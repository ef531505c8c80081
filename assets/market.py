"""Layer 1, market: what the source says, stored as it said it.

Not here: checks (``quality.py``) and anything computed from prices.
"""

from collections.abc import Iterator

import dagster as dg
import pandas as pd

from assets.metadata import frame_metadata
from assets.resources import Line
from ljwx_pipeline.lake.content_hash import content_hash
from ljwx_pipeline.sources.base import bars

GROUP = "market"
OWNERS = ["team:data"]


@dg.asset(group_name=GROUP, owners=OWNERS, kinds={"pandas"})
def calendar(line: Line) -> dg.Output[pd.DataFrame]:
    """Trading sessions of the source inside the configured range."""
    source = line.settings.source
    sessions = line.source().sessions(source.first_session, source.last_session)
    frame = pd.DataFrame({"session_date": sessions})
    return dg.Output(frame, metadata=frame_metadata(frame))


@dg.multi_asset(
    group_name=GROUP,
    outs={
        "securities": dg.AssetOut(
            description="Every security ever listed: name, board, listing and delisting dates.",
            owners=OWNERS,
            kinds={"pandas"},
        ),
        "st_spells": dg.AssetOut(
            description="Spells under special treatment, by date.", owners=OWNERS, kinds={"pandas"}
        ),
        "industries": dg.AssetOut(description="Industry of each security, by date.", owners=OWNERS, kinds={"pandas"}),
        "index_members": dg.AssetOut(description="Members of each index, by date.", owners=OWNERS, kinds={"pandas"}),
        "corporate_actions": dg.AssetOut(
            description="Cash dividends and bonus shares by ex-date.", owners=OWNERS, kinds={"pandas"}
        ),
    },
)
def reference_tables(line: Line) -> Iterator[dg.Output[pd.DataFrame]]:
    """Read the slowly changing tables of the source; what it does not know is an empty table, never a guess."""
    source = line.source()
    tables = {
        "securities": source.securities(),
        "st_spells": source.st_spells(),
        "industries": source.industries(),
        "index_members": source.index_members(),
        "corporate_actions": source.corporate_actions(),
    }
    for name, frame in tables.items():
        yield dg.Output(frame, output_name=name, metadata=frame_metadata(frame))


@dg.multi_asset(
    group_name=GROUP,
    outs={
        "market_values": dg.AssetOut(
            description="Total market value at each close, CNY.", owners=OWNERS, kinds={"pandas"}
        ),
        "news": dg.AssetOut(
            description="News items with the instant they were published.", owners=OWNERS, kinds={"pandas"}
        ),
        "macro": dg.AssetOut(
            description="Macro releases with the month they describe and the instant they were known.",
            owners=OWNERS,
            kinds={"pandas"},
        ),
    },
)
def context_tables(line: Line) -> Iterator[dg.Output[pd.DataFrame]]:
    """Read market values, news and macro releases inside the configured range."""
    source, span = line.source(), line.settings.source
    tables = {
        "market_values": source.market_values(span.first_session, span.last_session),
        "news": source.news(span.first_session, span.last_session),
        "macro": source.macro(span.first_session, span.last_session),
    }
    for name, frame in tables.items():
        yield dg.Output(frame, output_name=name, metadata=frame_metadata(frame))


@dg.asset(group_name=GROUP, owners=OWNERS, kinds={"pandas"})
def index_bars(line: Line) -> dg.Output[pd.DataFrame]:
    """Daily bars of the benchmark indices, in points."""
    span = line.settings.source
    frame = line.source().index_bars(span.first_session, span.last_session)
    return dg.Output(frame, metadata=frame_metadata(frame))


def raw_bars_asset(partitions: dg.MonthlyPartitionsDefinition) -> dg.AssetsDefinition:
    """Return the one partitioned asset: raw daily bars, a version a month in the lake."""

    @dg.asset(
        name="raw_bars",
        group_name=GROUP,
        owners=OWNERS,
        kinds={"parquet"},
        partitions_def=partitions,
        backfill_policy=dg.BackfillPolicy.single_run(),
        io_manager_key="lake_io_manager",
    )
    def raw_bars(context: dg.AssetExecutionContext, line: Line) -> dg.Output[pd.DataFrame]:
        """Daily bars as the source gave them, appended to the lake with the instant they became known."""
        span, window = line.settings.source, context.partition_time_window
        first = max(span.first_session, window.start.date())
        last = min(span.last_session, (window.end - pd.Timedelta(days=1)).date())
        frame = bars(line.source(), first, last)
        return dg.Output(frame, metadata=frame_metadata(frame) | {"content_hash": content_hash(frame)})

    return raw_bars
