"""What people want to see beside an asset: counts, spans, hashes and a preview."""

from __future__ import annotations

import base64
import io
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any
from urllib.parse import quote

import dagster as dg
import pandas as pd

from assets.column_lineage import MEANINGS, Column, Lineage
from assets.resources import Line
from ljwx_pipeline.config import report_folders

PREVIEW_ROWS = 5
#: A number from here on is shown without decimals: money and volumes.
LARGE = 100_000
#: Columns of one asset that a description names.
NAMED_COLUMNS = 10
#: Width of a picture that Dagster's dialogue shows whole on a screen of 1,280 dots.
DIALOGUE_PX = 900
UNKNOWN_LINEAGE: Lineage = MappingProxyType({})
NO_FORMULAS: Mapping[str, str] = MappingProxyType({})


def report_url(line: Line, path: Path) -> str:
    """Return the address at which the console serves the page ``path`` of this line's reports.

    Raises
    ------
    ValueError
        When the console serves no folder that holds ``path``.
    """
    for name, folder in report_folders(line.home, line.reports).items():
        if path.is_relative_to(folder):
            ui = line.settings.ui
            return f"{ui.page(ui.console_port)}/reports/{name}/{quote(path.relative_to(folder).as_posix())}"
    msg = f"{path} is in no folder that the console serves: add it to report_folders"
    raise ValueError(msg)


def report_links(line: Line, name: str, path: Path) -> dict[str, dg.MetadataValue[Any]]:
    """Return metadata ``name``, the address of a page, and ``name_path``, its file where no console runs."""
    return {
        name: dg.MetadataValue.url(report_url(line, path)),
        f"{name}_path": dg.MetadataValue.path(path.absolute()),
    }


def frame_metadata(
    frame: pd.DataFrame, lineage: Lineage = UNKNOWN_LINEAGE, formulas: Mapping[str, str] = NO_FORMULAS
) -> dict[str, Any]:
    """Return row count, columns and where they come from, date span, number of symbols and a preview of ``frame``.

    ``lineage`` and ``formulas`` as for ``column_metadata``.
    """
    found: dict[str, Any] = {
        "dagster/row_count": len(frame),
        **column_metadata({str(name): str(dtype) for name, dtype in frame.dtypes.items()}, lineage, formulas),
        "preview": preview(frame),
    }
    if "session_date" in frame and len(frame):
        found["first_session"] = f"{frame['session_date'].min():%Y-%m-%d}"
        found["last_session"] = f"{frame['session_date'].max():%Y-%m-%d}"
    if "symbol" in frame:
        found["symbols"] = int(frame["symbol"].nunique())
    return found


def column_metadata(
    dtypes: Mapping[str, str], lineage: Lineage = UNKNOWN_LINEAGE, formulas: Mapping[str, str] = NO_FORMULAS
) -> dict[str, Any]:
    """Return the columns of a table as its page lists them, and their lineage.

    The free Dagster page keeps a lineage of columns without drawing it, so each column's description says it too.

    Parameters
    ----------
    dtypes
        Type by column, in order.
    lineage
        Of a column, those it is computed from.
    formulas
        Of a column, how; of one without, what it means (``MEANINGS``).
    """
    columns = []
    for name, dtype in dtypes.items():
        said = [formulas.get(name, MEANINGS.get(name, "")), said_of(lineage.get(name, ()))]
        columns.append(
            dg.TableColumn(name, "string" if dtype == "object" else dtype, "; ".join(filter(None, said)) or None)
        )
    found: dict[str, Any] = {"dagster/column_schema": dg.TableSchema(columns)}
    if lineage:
        deps = {
            name: [dg.TableColumnDep(dg.AssetKey(asset), column) for asset, column in sources]
            for name, sources in lineage.items()
        }
        found["dagster/column_lineage"] = dg.TableColumnLineage(deps)
    return found


def said_of(sources: Sequence[Column]) -> str:
    """Return a sentence that names the columns something is computed from; of many of one asset, how many."""
    by_asset: dict[str, list[str]] = {}
    for asset, column in sources:
        by_asset.setdefault(asset, []).append(column)
    told = [
        f"{asset}: {', '.join(columns)}" if len(columns) <= NAMED_COLUMNS else f"{asset}: {len(columns)} columns"
        for asset, columns in by_asset.items()
    ]
    return f"from {'; '.join(told)}" if told else ""


def preview(frame: pd.DataFrame, columns: int = 12, rows: int = PREVIEW_ROWS) -> dg.TableMetadataValue:
    """Return the last ``rows`` of ``frame`` as a table, at most ``columns`` wide; what is unknown is empty."""
    shown = frame.iloc[-rows:, :columns]
    names = [str(name) for name in shown.columns]
    records = [dg.TableRecord(dict(zip(names, map(_cell, row), strict=True))) for row in shown.itertuples(index=False)]
    return dg.MetadataValue.table(records, schema=dg.TableSchema([dg.TableColumn(name) for name in names]))


def _cell(value: Any) -> str:
    if pd.isna(value):
        return ""
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= LARGE else f"{value:.6g}"
    if isinstance(value, pd.Timestamp):
        return f"{value:%Y-%m-%d}" if value == value.normalize() else f"{value:%Y-%m-%d %H:%M %Z}".rstrip()
    return str(value)


def embedded(image: Path) -> str:
    """Return a PNG or SVG as Markdown that shows it in place, wherever the page is opened.

    Dagster's dialogue cuts off what is wider than itself, so a PNG of more dots is drawn smaller, with all of them.
    """
    content = image.read_bytes()
    kind = "svg+xml" if image.suffix == ".svg" else "png"
    address = f"data:image/{kind};base64,{base64.b64encode(content).decode()}"
    if kind == "png":
        width, height = struct.unpack(">II", content[16:24])  # of the header chunk, which comes first
        if width > DIALOGUE_PX:
            address = _shrunk(address, width, height)
    return f"![{image.stem}]({address})"


def _shrunk(address: str, width: int, height: int) -> str:
    """Return an SVG, as wide as the dialogue, that shows the picture at ``address``."""
    drawn = (
        f"<svg xmlns='http://www.w3.org/2000/svg' width='{DIALOGUE_PX}' height='{height * DIALOGUE_PX // width}'>"
        f"<image href='{address}' width='100%' height='100%'/></svg>"
    )
    return f"data:image/svg+xml,{quote(drawn, safe='/:;,=+')}"


def line_plot(frame: pd.DataFrame, title: str) -> str:
    """Return the columns of ``frame`` over its dates as a small picture inside Markdown."""
    # heavy: only when a picture is drawn
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(8, 3))
    for name in frame:
        axes.plot(frame.index, frame[name], label=str(name), linewidth=1)
    axes.set_title(title, loc="left", fontsize=10)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=8)
    out = io.BytesIO()
    figure.savefig(out, format="png", dpi=90, bbox_inches="tight")
    plt.close(figure)
    return f"![{title}](data:image/png;base64,{base64.b64encode(out.getvalue()).decode()})"
