"""The fields a panel may carry, stated once: name, kind, unit, meaning, and whether levels compare over time.

A factor may read these and nothing else. The adjustment factor is not among them: today's level of it counts dividends
that were paid after the company listed and differs between providers, so it may only enter through adjusted prices.
Not here: how a field is made from the tables (``market/adjustment.py``, ``market/panel_fields.py``).
"""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches

from ljwx_pipeline.expressions.operations import Kind

ADJUSTED = "adjusted by the cumulative factor: ratios over time mean something, the level does not"
AS_TRADED = "as on the day: compare with the same day only, a dividend or split moves it"
COMPARABLE = "comparable over time"


@dataclass(frozen=True)
class FieldSpec:
    """One field.

    Parameters
    ----------
    name
        As ``field(name)`` says it.
    kind
        Number, flag (0 or 1) or category (a code; only equality means anything).
    unit
        Unit of a number; empty for the other kinds.
    meaning
        What it is, at the session's close.
    levels
        Whether its levels may be compared over time.
    """

    name: str
    kind: Kind
    unit: str
    meaning: str
    levels: str


def _number(name: str, unit: str, meaning: str, levels: str) -> FieldSpec:
    return FieldSpec(name, Kind.NUMBER, unit, meaning, levels)


def _flag(name: str, meaning: str) -> FieldSpec:
    return FieldSpec(name, Kind.FLAG, "", meaning, COMPARABLE)


_SPECS = (
    _number("open", "CNY", "opening price", ADJUSTED),
    _number("high", "CNY", "highest price", ADJUSTED),
    _number("low", "CNY", "lowest price", ADJUSTED),
    _number("close", "CNY", "closing price", ADJUSTED),
    _number("vwap", "CNY", "volume-weighted average price", ADJUSTED),
    _number("volume", "shares", "shares traded, over the adjustment factor", ADJUSTED),
    _number("amount_cny", "CNY", "money traded", COMPARABLE),
    _number("turnover_frac", "fraction", "shares traded over free-float shares; no source tells these yet", COMPARABLE),
    _number("raw_open_cny", "CNY", "opening price as traded", AS_TRADED),
    _number("raw_high_cny", "CNY", "highest price as traded", AS_TRADED),
    _number("raw_low_cny", "CNY", "lowest price as traded", AS_TRADED),
    _number("raw_close_cny", "CNY", "closing price as traded", AS_TRADED),
    _number("pre_close_cny", "CNY", "reference price: previous close after ex-right adjustment", AS_TRADED),
    _number("raw_volume_shares", "shares", "shares traded", AS_TRADED),
    _number("market_value_cny", "CNY", "total market value at the close", COMPARABLE),
    _number(
        "float_market_value_cny", "CNY", "value of the free float at the close; no source tells it yet", COMPARABLE
    ),
    _number("limit_up_price_cny", "CNY", "the session's upper price limit; NaN where there is none", AS_TRADED),
    _number("limit_down_price_cny", "CNY", "the session's lower price limit; NaN where there is none", AS_TRADED),
    _number("listed_sessions", "sessions", "sessions since listing, 0 on the first", COMPARABLE),
    _number("index_close", "points", "close of the benchmark index, the same for every symbol", COMPARABLE),
    _flag("limit_up", "closed at its upper price limit"),
    _flag("limit_down", "closed at its lower price limit"),
    _flag("is_st", "under special treatment"),
    _flag("is_suspended", "listed and did not trade all day"),
    _flag("in_universe", "member of the cross-section on that session"),
    FieldSpec("industry", Kind.CATEGORY, "", "industry on that session", COMPARABLE),
)
#: Every field by name.
FIELDS = {spec.name: spec for spec in _SPECS}


def nearest_fields(name: str) -> tuple[str, ...]:
    """Return up to three names that ``name`` may have been meant for, the likeliest first; all if none is near."""
    return tuple(get_close_matches(name, FIELDS, n=3, cutoff=0.5)) or tuple(FIELDS)
