"""Where assets keep what they return: one Parquet, JSON or dataset folder an asset, replaced atomically.

Raw bars go to the lake instead, a version per month, known at the time of the run.
"""

import json
from pathlib import Path
from typing import Any

import dagster as dg
import pandas as pd

from assets.resources import Line
from ljwx_pipeline.clock import utc_now
from ljwx_pipeline.errors import LakeError
from ljwx_pipeline.lake.atomic_parquet import read_parquet, write_bytes, write_parquet


class TableIOManager(dg.ConfigurableIOManager):
    """Keeps a DataFrame as Parquet and a dict as JSON under the market's ``tables`` folder."""

    line: dg.ResourceDependency[Line]

    def handle_output(self, context: dg.OutputContext, obj: pd.DataFrame | dict[str, Any] | None) -> None:
        """Write ``obj`` under the asset's name."""
        if obj is None:
            return
        name = context.asset_key.path[-1]
        if isinstance(obj, pd.DataFrame):
            write_table(self.line.tables, name, obj)
            context.add_output_metadata(
                {"rows": len(obj), "path": dg.MetadataValue.path(self.line.tables / f"{name}.parquet")}
            )
        else:
            write_json(self.line.tables, name, obj)

    def load_input(self, context: dg.InputContext) -> pd.DataFrame | dict[str, Any]:
        """Read what the asset of this name last wrote."""
        name = context.asset_key.path[-1]
        parquet = self.line.tables / f"{name}.parquet"
        return read_parquet(parquet) if parquet.exists() else read_json(self.line.tables, name)


class LakeIOManager(dg.ConfigurableIOManager):
    """Appends raw bars to the lake, one version a month; reads the latest version of every month asked for."""

    line: dg.ResourceDependency[Line]

    def handle_output(self, context: dg.OutputContext, obj: pd.DataFrame) -> None:
        """Write one version for each month of the run's partition range."""
        lake = self.line.lake()
        known_at = utc_now()
        months = obj["session_date"].dt.strftime("%Y-%m-01")
        grouped = dict(tuple(obj.groupby(months.to_numpy(), sort=True)))
        table = context.asset_key.path[-1]
        known = {version.partition for version in lake.current(table)} if lake.holds(table) else set()
        written = 0
        for month in context.asset_partition_keys:
            # a month the source no longer gives becomes an empty version: its old rows must not be read as today's
            rows = grouped.get(month, obj.iloc[:0] if month in known else None)
            if rows is not None:
                lake.write(table, rows, partition=month, known_at=known_at)
                written += 1
        context.add_output_metadata({"rows": len(obj), "months_written": written})

    def load_input(self, context: dg.InputContext) -> pd.DataFrame:
        """Read the whole table as it is known now."""
        return self.line.lake().read(context.asset_key.path[-1])


def write_table(tables: Path, name: str, frame: pd.DataFrame) -> None:
    """Write ``frame`` as the table ``name``, replacing it atomically."""
    tables.mkdir(parents=True, exist_ok=True)
    write_parquet(tables / f"{name}.parquet", frame)


def read_table(tables: Path, name: str) -> pd.DataFrame:
    """Read the table ``name``."""
    return read_parquet(tables / f"{name}.parquet")


def write_json(tables: Path, name: str, value: dict[str, Any]) -> None:
    """Write ``value`` as the document ``name``, replacing it atomically."""
    tables.mkdir(parents=True, exist_ok=True)
    write_bytes(tables / f"{name}.json", json.dumps(value, indent=1, default=str).encode())


def read_json(tables: Path, name: str) -> dict[str, Any]:
    """Read the document ``name``.

    Raises
    ------
    LakeError
        When no run has made it yet, or it is damaged.
    """
    path = tables / f"{name}.json"
    try:
        loaded: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise LakeError(f"{path} was never made", "run `ljwx run` once before its parts") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise LakeError(f"{path} is damaged ({error})", "delete it and run `ljwx run` again") from None
    return loaded
