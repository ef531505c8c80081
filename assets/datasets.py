"""The training dataset: built from the tables, kept as one mapped array with its rows beside it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from assets.io_managers import read_json, read_table, write_json, write_table
from assets.panels import TradingTables, feature_table_of, panel_of, research_sessions, symbols_of, trading_market
from assets.resources import Line
from ljwx_pipeline.dataset import Dataset, build_dataset, scorable_mask
from ljwx_pipeline.dataset.groups import GROUP_TABLES, group_codes
from ljwx_pipeline.dataset.universe import mean_amount
from ljwx_pipeline.label import label_values
from ljwx_pipeline.market.panel import dense

MATRIX = "dataset_features.npy"
#: What makes the other files count: the dataset's hash, and what its columns and rows mean.
META = "dataset_meta"
#: Beside the tables: what LightGBM made of the features, kept for the next training.
BINNED = "binned"
#: Columns of the rows that only some settings ask for.
_OPTIONAL = ("groups", "mean_amount_cny")


def build(line: Line, labels: pd.DataFrame, tables: TradingTables, calendar: pd.DataFrame) -> Dataset:
    """Return the dataset over the sessions that research may see."""
    sessions, label = research_sessions(line, calendar), line.settings.label
    stop, symbols = len(sessions), symbols_of(tables.bars)
    panel, universe, model = panel_of(line, tables.bars, calendar), line.settings.universe, line.settings.model
    index_members = line.market_table("index_members")
    scorable = scorable_mask(panel, tables.securities, tables.st_spells, index_members, universe)[:, :stop]
    seen = panel.sessions_slice(0, stop)
    beside = {name: line.market_table(name) for name in GROUP_TABLES[model.group_by]}
    return build_dataset(
        feature_table_of(line),
        line.catalogue.names,
        forward_return=dense(labels, "forward_return", symbols, pd.DatetimeIndex(calendar["session_date"]))[:, :stop],
        can_buy=trading_market(line, tables, calendar).can_buy[:, :stop],
        scorable=scorable,
        symbols=symbols,
        sessions=sessions,
        label=label,
        further_returns={
            held: label_values(panel, label.model_copy(update={"horizon_sessions": held}))[:, :stop]
            for held in model.ensemble.label_horizons
        },
        groups=group_codes(model.group_by, seen, scorable, beside, universe),
        mean_amount_cny=mean_amount(seen, universe) if model.liquidity_weight else None,
    )


def save_dataset(tables: Path, dataset: Dataset) -> None:
    """Write the dataset; the document that names its hash goes first and comes last: in between there is none."""
    tables.mkdir(parents=True, exist_ok=True)
    (tables / f"{META}.json").unlink(missing_ok=True)
    temporary = tables / f"tmp-{MATRIX}"
    np.save(temporary, dataset.features)
    temporary.replace(tables / MATRIX)
    rows = pd.DataFrame(
        {
            "session_index": dataset.session_index,
            "symbol_index": dataset.symbol_index,
            "forward_return": dataset.forward_return,
            "label": dataset.label,
            "enterable": dataset.enterable,
            "scorable": dataset.scorable,
            **{further_column(held): values for held, values in dataset.further_returns.items()},
        }
    )
    for name, values in ((name, getattr(dataset, name)) for name in _OPTIONAL):
        if values is not None:
            rows[name] = values
    write_table(tables, "dataset_rows", rows)
    meta = {
        "hash": dataset.hash,
        "factors": len(dataset.factor_names),
        "factor_names": dataset.factor_names,
        "symbols": dataset.symbols,
        "sessions": [f"{day:%Y-%m-%d}" for day in dataset.sessions],
        "purge_sessions": dataset.purge_sessions,
        "further_horizons": list(dataset.further_returns),
        "group_names": dataset.group_names,
        "group_measure": dataset.group_measure,
    }
    write_json(tables, META, json.loads(json.dumps(meta)))


def dataset_dtypes(tables: Path) -> dict[str, str]:
    """Return name and type of every column of the dataset last saved: those of its rows, then the factors."""
    rows = pq.read_schema(tables / "dataset_rows.parquet")
    factors = read_json(tables, META)["factor_names"]
    dtype = str(np.load(tables / MATRIX, mmap_mode="r").dtype)
    return {field.name: str(field.type) for field in rows} | dict.fromkeys(factors, dtype)


def load_dataset(tables: Path) -> Dataset:
    """Return the dataset last saved, its features mapped from disk rather than read."""
    meta, rows = read_json(tables, META), read_table(tables, "dataset_rows")
    return Dataset(
        features=np.load(tables / MATRIX, mmap_mode="r"),
        factor_names=tuple(meta["factor_names"]),
        forward_return=rows["forward_return"].to_numpy(),
        label=rows["label"].to_numpy(),
        session_index=rows["session_index"].to_numpy(),
        symbol_index=rows["symbol_index"].to_numpy(),
        enterable=rows["enterable"].to_numpy(),
        scorable=rows["scorable"].to_numpy(),
        sessions=pd.DatetimeIndex(meta["sessions"]),
        symbols=tuple(meta["symbols"]),
        purge_sessions=int(meta["purge_sessions"]),
        hash=str(meta["hash"]),
        kept_in=tables.parent / BINNED,
        further_returns={held: rows[further_column(held)].to_numpy() for held in meta.get("further_horizons", [])},
        group_measure=str(meta.get("group_measure", "")),
        group_names=tuple((int(code), str(name)) for code, name in meta.get("group_names", [])),
        **{name: rows[name].to_numpy() for name in _OPTIONAL if name in rows},
    )


def further_column(horizon_sessions: int) -> str:
    """Return the column of ``dataset_rows`` that holds the forward returns of holding so long."""
    return f"forward_return_{horizon_sessions}"
