"""The markets below ``LJWX_HOME`` and the options that chose them: for whoever looks into one that holds nothing.

Not here: what names a market (``config/homes.py``), what is in its lake (``data_commands.py``).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ljwx_pipeline.command_options import command_line, market_overrides
from ljwx_pipeline.config import Settings, market_home
from ljwx_pipeline.lake import Lake
from ljwx_pipeline.lake.atomic_parquet import write_bytes

CHOSEN_BY = "chosen_by.json"


@dataclass(frozen=True)
class KnownMarket:
    """A market that holds tables; ``command`` shows them, and is None where no option was recorded."""

    name: str
    tables: int
    command: str | None


def record_market(settings: Settings, overrides: Mapping[str, Any]) -> None:
    """Write into the market's folder which profile and options chose it."""
    said = {"profile": settings.profile, "overrides": market_overrides(settings, overrides)}
    write_bytes(market_home(settings) / CHOSEN_BY, json.dumps(said, default=str, ensure_ascii=False).encode())


def markets_beside(market: Path) -> list[KnownMarket]:
    """Return the other markets of the same home that hold tables, by name."""
    found = []
    for home in sorted(market.parent.iterdir()) if market.parent.is_dir() else []:
        tables = Lake(home / "lake").tables() if home != market and (home / "lake").is_dir() else []
        if tables:
            found.append(KnownMarket(home.name, len(tables), _command(home)))
    return found


def nothing_held(market: Path) -> str:
    """Return what is said of a market without tables: its name, and which ones beside it hold some."""
    lines = [f"the lake holds no table yet: market {market.name}"]
    beside = markets_beside(market)
    if beside:
        lines += ["", "other markets, which other options choose, hold tables:"]
        width = max(len(other.name) for other in beside)
        for other in beside:
            lines.append(f"  {other.name:<{width}}  {other.command or 'its options were not recorded'}")
    return "\n".join(lines)


def _command(home: Path) -> str | None:
    try:
        said = json.loads((home / CHOSEN_BY).read_text(encoding="utf-8"))
        return command_line("data tables", said["profile"], said["overrides"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None  # filled by an earlier version, or damaged: the name alone is told
