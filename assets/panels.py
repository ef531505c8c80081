"""Dense views that several assets build from the tables, and the factor values' place on disk."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from assets.resources import Line
from ljwx_pipeline.dataset import MarketTables, input_panel, sessions_for_research, tables_beside
from ljwx_pipeline.errors import LakeError
from ljwx_pipeline.expressions.evaluate import FactorValues
from ljwx_pipeline.feature_table import CATALOGUE_HASH
from ljwx_pipeline.lake.atomic_parquet import write_bytes
from ljwx_pipeline.market.adjustment import factor_panel
from ljwx_pipeline.market.panel import Panel, dense
from ljwx_pipeline.trading.market_arrays import MarketArrays, market_arrays, optional_columns

_AGAIN = "compute the factors again: `ljwx run`, or its part `--job daily_pipeline`"


@dataclass(frozen=True)
class TradingTables:
    """The canonical tables that the trading view of a market is made of."""

    bars: pd.DataFrame
    securities: pd.DataFrame
    st_spells: pd.DataFrame
    corporate_actions: pd.DataFrame


def panel_of(line: Line, bars: pd.DataFrame, calendar: pd.DataFrame) -> Panel:
    """Return the adjusted panel of ``bars`` over the calendar's sessions: what labels and the universe are made of."""
    return factor_panel(
        bars,
        symbols=symbols_of(bars),
        sessions=pd.DatetimeIndex(calendar["session_date"]),
        adjustment=line.source().describe().adjustment,
    )


def factor_tables(line: Line, bars: pd.DataFrame) -> MarketTables:
    """Return the tables that this line's factors are made from."""
    return MarketTables(
        bars,
        line.market_table("securities"),
        line.market_table("st_spells"),
        line.market_table("index_members"),
        line.source().describe().adjustment,
        {name: line.market_table(name) for name in tables_beside(line.catalogue.reads)},
    )


def factor_inputs(line: Line, bars: pd.DataFrame, calendar: pd.DataFrame) -> Panel:
    """Return the panel of all that this line's factors read, over the calendar's sessions."""
    return input_panel(
        factor_tables(line, bars),
        symbols=symbols_of(bars),
        sessions=pd.DatetimeIndex(calendar["session_date"]),
        reads=line.catalogue.reads,
        universe=line.settings.universe,
        benchmark=line.settings.gate.benchmark,
    )


def feature_table_path(line: Line) -> Path:
    """Return where the feature table of this market lies; Feast's view reads the same file."""
    return line.home / "feature_table" / f"{line.catalogue.name}.parquet"


def symbols_of(bars: pd.DataFrame) -> tuple[str, ...]:
    """Return the symbols of ``bars``, ascending."""
    return tuple(sorted(bars["symbol"].unique()))


def bar_mask(panel: Panel) -> NDArray[np.bool_]:
    """Return where there is a bar, shape ``(n_symbols, n_sessions)``."""
    return ~np.isnan(panel.fields["close"])


def research_sessions(line: Line, calendar: pd.DataFrame) -> pd.DatetimeIndex:
    """Return the sessions research may see: all but the held-out ones at the end."""
    return sessions_for_research(pd.DatetimeIndex(calendar["session_date"]), line.settings.research.held_out_sessions)


def factor_files(tables: Path) -> list[Path]:
    """Return the files that hold the factor values."""
    return [tables / "factor_values.npy", tables / "factor_values.axes.json"]


def save_factors(tables: Path, values: FactorValues, *, factor_hash: str) -> None:
    """Write factor values as one array file and its axes, with the version of the catalogue they are of."""
    tables.mkdir(parents=True, exist_ok=True)
    temporary = tables / "factor_values.tmp.npy"
    np.save(temporary, values.values)
    (tables / "factor_values.axes.json").unlink(missing_ok=True)  # killed here, no axes say what these values are
    temporary.replace(tables / "factor_values.npy")
    axes = {
        "names": values.names,
        "symbols": values.symbols,
        "sessions": [f"{day:%Y-%m-%d}" for day in values.sessions],
        "factor_hash": factor_hash,
    }
    write_bytes(tables / "factor_values.axes.json", json.dumps(axes).encode())


def load_factors(line: Line) -> FactorValues:
    """Return the stored factor values, mapped from disk rather than read.

    Raises
    ------
    LakeError
        When none were stored, or those of another version of the catalogue than the configured one.
    """
    try:
        axes = json.loads((line.tables / "factor_values.axes.json").read_text(encoding="utf-8"))
        values = np.load(line.tables / "factor_values.npy", mmap_mode="r")
    except FileNotFoundError as error:
        raise LakeError(f"{error.filename} was never made", _AGAIN) from None
    _refuse_another_version(line, "factor values", axes.get("factor_hash"))
    return FactorValues(tuple(axes["names"]), tuple(axes["symbols"]), pd.DatetimeIndex(axes["sessions"]), values)


def feature_table_of(line: Line) -> Path:
    """Return the feature table's file, which is of the configured catalogue's version.

    Raises
    ------
    LakeError
        When it was never made, is damaged, or is of another version of the catalogue.
    """
    path = feature_table_path(line)
    try:
        metadata = pq.read_schema(path).metadata or {}
    except FileNotFoundError:
        raise LakeError(f"{path} was never made", _AGAIN) from None
    except (OSError, pa.ArrowInvalid) as error:
        raise LakeError(f"{path} is damaged ({str(error).splitlines()[0]})", _AGAIN) from None
    _refuse_another_version(line, "features", metadata.get(CATALOGUE_HASH, b"").decode() or None)
    return path


def _refuse_another_version(line: Line, what: str, found: str | None) -> None:
    """Same names may stand for other formulas: a model must never learn from one version and be signed for another."""
    expected = line.catalogue.version_hash
    if found != expected:
        version = f"version {found[:12]}" if found else "an unknown version"
        raise LakeError(
            f"the {what} stored are of {version}, the catalogue {line.catalogue.name} is now {expected[:12]}", _AGAIN
        )


def trading_market(line: Line, tables: TradingTables, calendar: pd.DataFrame) -> MarketArrays:
    """Return the trading view of the market over the calendar's sessions."""
    return market_arrays(
        tables.bars,
        tables.securities,
        tables.st_spells,
        tables.corporate_actions,
        symbols=symbols_of(tables.bars),
        sessions=pd.DatetimeIndex(calendar["session_date"]),
        adjustment=line.source().describe().adjustment,
        columns=optional_columns(line.settings.costs),
    )


def dense_scores(
    predictions: pd.DataFrame, symbols: tuple[str, ...], sessions: pd.DatetimeIndex
) -> NDArray[np.float64]:
    """Return the scores of scorable rows, shape ``(n_symbols, n_sessions)``; NaN elsewhere: outside the universe."""
    return dense(predictions[predictions["scorable"]], "score", symbols, sessions)
