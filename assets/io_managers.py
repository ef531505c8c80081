"""Where assets keep what they return: one Parquet, JSON or dataset folder an asset, replaced atomically.

What a source said, and the bars that passed the checks, are in the lakes instead.
"""

import json
from pathlib import Path
from typing import Any

import dagster as dg
import pandas as pd

from assets.resources import Line
from ljwx_pipeline.errors import LakeError
from ljwx_pipeline.ingest.tables import CALENDAR
from ljwx_pipeline.lake.atomic_parquet import read_parquet, write_bytes, write_parquet

#: The asset whose table is in the lake of checked rows.
CHECKED_BARS_ASSET = "checked_bars"


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
    """Loads what a table of the lake says now. Writing is the assets' own: they know what is new and what restated."""

    line: dg.ResourceDependency[Line]

    def handle_output(self, context: dg.OutputContext, obj: None) -> None:
        """Refuse a value: an asset of the lake stores its months itself."""
        if obj is not None:
            raise LakeError(f"{context.asset_key} returned a value", "write it to the lake and return its metadata")

    def load_input(self, context: dg.InputContext) -> pd.DataFrame:
        """Read the whole table as it is known now."""
        name = context.asset_key.path[-1]
        if name == CHECKED_BARS_ASSET:
            return self.line.checked_bars()
        if name == CALENDAR:  # the lake may hold more than this line works on
            return pd.DataFrame({"session_date": self.line.sessions()})
        return self.line.market_table(name)


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
