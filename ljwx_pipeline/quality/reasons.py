"""Why one row is in quarantine, in its own numbers: what a person reads beside it.

A rule whose numbers are not the row's own (a jump, a spike) gives its sentence. Not here: finding the rows
(``scan_kernel.py``, ``bar_rules.py``), what is done with them (``quarantine.py``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import numpy as np
import pandas as pd

from ljwx_pipeline.quality.bar_rules import LIMIT_SLACK_CNY
from ljwx_pipeline.quality.results import CheckResult
from ljwx_pipeline.quality.scan_kernel import ROUNDING_FRAC, TICK_CNY, TICK_ROUNDING

Row: TypeAlias = Mapping[Any, Any]
TURNOVER = ("volume_shares", "amount_cny")
PRICES = ("open", "high", "low", "close")
#: What follows a check's sentence in its message: the rows that it names.
NAMES_BEGIN = "; first at "


def row_reasons(result: CheckResult, rows: pd.DataFrame, beside: Mapping[str, pd.DataFrame]) -> list[str]:
    """Return why each of ``rows``, which ``result`` found, is in quarantine.

    Parameters
    ----------
    beside
        Tables that the rows were judged beside, by name; a rule whose table is missing gives its sentence.
    """
    sentence = result.message.partition(NAMES_BEGIN)[0]
    tell = REASONS_OF.get(result.name)
    if tell is None:
        return [sentence] * len(rows)
    given = _with_limits(rows, beside) if result.name == "bars.within_published_limits" else rows
    return [tell(row) or sentence for row in given.to_dict("records")]


def _schema(row: Row) -> str:
    numbers = {name: float(value) for name, value in row.items() if isinstance(value, int | float)}
    said = [f"{name} is missing or endless" for name, value in numbers.items() if not np.isfinite(value)]
    said += [
        f"{name} {value:,g} is not above 0" for name, value in numbers.items() if value <= 0 and name not in TURNOVER
    ]
    said += [f"{name} {numbers[name]:,g} is below 0" for name in TURNOVER if numbers[name] < 0]
    low, high = row["low_cny"], row["high_cny"]
    if high < low:
        return "; ".join([*said, f"high {high:,.2f} below low {low:,.2f}"])
    for name in ("open", "close"):
        if row[f"{name}_cny"] < low * (1 - ROUNDING_FRAC) or row[f"{name}_cny"] > high * (1 + ROUNDING_FRAC):
            said.append(f"{name} {row[f'{name}_cny']:,.2f} outside low {low:,.2f} to high {high:,.2f}")
    return "; ".join(said) or "its symbol and session are given twice"


def _average(row: Row) -> str:
    low, high, volume = row["low_cny"], row["high_cny"], row["volume_shares"]
    if not volume > 0:
        return f"amount {row['amount_cny']:,.0f} CNY without volume"
    return f"amount/volume {row['amount_cny'] / volume:,.2f} outside low {low:,.2f} to high {high:,.2f}"


def _off_tick(row: Row) -> str:
    off = [name for name in PRICES if not _on_tick(row[f"{name}_cny"])]
    said = ", ".join(f"{name} {row[f'{name}_cny']:.4f}" for name in off)
    return f"{said}: no multiple of {TICK_CNY:g} CNY" if off else ""


def _on_tick(price: float) -> bool:
    ticks = price / TICK_CNY
    return bool(abs(ticks - np.rint(ticks)) <= TICK_ROUNDING / len(PRICES))


def _untraded(row: Row) -> str:
    return f"volume 0 and amount 0 at the one price {row['close_cny']:,.2f}: nothing was traded"


def _moved_untraded(row: Row) -> str:
    low, high = row["low_cny"], row["high_cny"]
    return f"volume 0, but low {low:,.2f} to high {high:,.2f} and amount {row['amount_cny']:,.0f} CNY"


def _repeated(row: Row) -> str:
    close, volume, amount = row["close_cny"], row["volume_shares"], row["amount_cny"]
    return f"close {close:,.2f}, volume {volume:,.0f} and amount {amount:,.0f} CNY are those of the symbol's row before"


def _beyond_limits(row: Row) -> str:
    up, down = row["limit_up_cny"], row["limit_down_cny"]
    above = next((name for name in ("close", "high") if row[f"{name}_cny"] > up + LIMIT_SLACK_CNY), None)
    below = next((name for name in ("close", "low") if row[f"{name}_cny"] < down - LIMIT_SLACK_CNY), None)
    said = [] if above is None else [f"{above} {row[f'{above}_cny']:,.2f} above the limit {up:,.2f}"]
    said += [] if below is None else [f"{below} {row[f'{below}_cny']:,.2f} below the limit {down:,.2f}"]
    return " and ".join(said)


def _off_session(row: Row) -> str:
    return f"{row['session_date']:%Y-%m-%d} is no trading session"


def _future(row: Row) -> str:
    return f"{row['session_date']:%Y-%m-%d} lies after the day on which the row was known"


def _with_limits(rows: pd.DataFrame, beside: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    keys, limits = ["symbol", "session_date"], ["limit_up_cny", "limit_down_cny"]
    if (published := beside.get("price_limits")) is None:
        return rows.assign(**dict.fromkeys(limits, np.nan))
    return rows.merge(published.drop_duplicates(keys)[[*keys, *limits]], on=keys, how="left")


#: What a row breaks, by the rules of single rows whose numbers stand in the row or beside it; empty text: the sentence.
REASONS_OF: Mapping[str, Callable[[Row], str]] = {
    "bars.schema": _schema,
    "bars.average_price_in_range": _average,
    "bars.prices_on_tick": _off_tick,
    "bars.traded": _untraded,
    "bars.volume_where_prices_moved": _moved_untraded,
    "bars.not_repeated": _repeated,
    "bars.within_published_limits": _beyond_limits,
    "bars.on_known_sessions": _off_session,
    "bars.not_future": _future,
}
