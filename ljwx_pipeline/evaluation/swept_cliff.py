"""How much of a result is lost beside the settings it was made with, read from a sweep around them.

Not here: sweeps (``backtest/sweep.py``), falls to neighbours (``backtest/sweep_cliff.py``), from where on a fall is a
finding (``lint.py``).
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from functools import reduce
from pathlib import Path
from typing import Any

from ljwx_pipeline.backtest.sweep_cliff import cliff
from ljwx_pipeline.config import Settings
from ljwx_pipeline.errors import ConfigError
from ljwx_pipeline.lake.atomic_parquet import read_parquet

#: Below a market's home, a folder a sweep; the names that ``ljwx sweep`` gives its files.
SWEEPS, DOCUMENT, TABLE = "sweeps", "sweep.json", "sweep.parquet"
MEASURE = "information_ratio"

Fall = tuple[float | None, str]


def swept_cliff(home: Path, settings: Settings, *, hashes: Mapping[str, str], span: tuple[str, str]) -> Fall:
    """Return the worst fall to a neighbour in the sweeps around ``settings``, and the parameter that it lies along.

    Parameters
    ----------
    home
        The market's folder.
    settings
        Those that the result was made with.
    hashes
        ``data_hash`` and ``factor_hash`` of the result; a sweep of other data, factors or settings says nothing of it.
    span
        First and last session of the result, as ``YYYY-MM-DD``.

    Returns
    -------
    The fall of the information ratio as a fraction of its size and the parameter's dotted name; None and an empty name
    where no sweep holds the chosen settings with a neighbour.

    Raises
    ------
    ConfigError
        When a sweep's file is damaged.
    """
    same = {**hashes, "config_hash": settings.config_hash}
    falls: list[tuple[float, str]] = []
    for path in sorted((home / SWEEPS).glob(f"*/{DOCUMENT}")):
        swept = _document(path)
        made_of, days = swept.get("hashes", {}), (swept.get("first_session"), swept.get("last_session"))
        if any(made_of.get(name) != value for name, value in same.items()) or days != span:
            continue
        frame = read_parquet(path.parent / TABLE)
        chosen = {name: _setting(settings, name) for name in frame.columns if "." in name}
        if not all((frame[name] == value).any() for name, value in chosen.items()):
            continue
        try:
            around = cliff(frame, chosen, MEASURE)
        except ConfigError:  # proposals of Optuna need not hold the chosen settings
            continue
        if around.worst is not None and math.isfinite(around.worst_fall_frac):
            falls.append((around.worst_fall_frac, around.worst.parameter))
    return max(falls, default=(None, ""), key=lambda fall: fall[0])


def _document(path: Path) -> dict[str, Any]:
    try:
        swept: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is damaged ({error})", "delete its folder and sweep again") from None
    return swept


def _setting(settings: Settings, dotted: str) -> Any:
    return reduce(getattr, dotted.split("."), settings)
