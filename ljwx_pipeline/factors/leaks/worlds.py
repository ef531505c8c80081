"""Other worlds: markets that agree with a given one in all that was known at a cut, and differ in what came after.

Whatever a factor says of a session before the cut must be the same in all of them; where it is not, it used what was
not known. Each ``Aspect`` changes one kind of event, so that the one that moves a factor names the leak.
Not here: computing factors in them (``function_checks.py``).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from enum import StrEnum

import numpy as np
import pandas as pd

from ljwx_pipeline.expressions.evaluate import MEMBERSHIP
from ljwx_pipeline.factors.leaks.market import Market
from ljwx_pipeline.market.adjustment import PRICES
from ljwx_pipeline.market.panel import Float, Panel
from ljwx_pipeline.market.panel_fields import AS_TRADED, LIMIT_FLAGS, LIMIT_PRICES, MARKET_VALUES

#: Fields by what they are, whether a panel has them or not: prices as traded, flags, codes of categories.
_AS_TRADED = frozenset((*AS_TRADED, *LIMIT_PRICES)) - {"raw_volume_shares"}
_FLAGS = frozenset((*LIMIT_FLAGS, "is_st", "is_suspended"))
_CATEGORIES = frozenset({"industry"})
_PRICES = frozenset((*PRICES, "vwap", *_AS_TRADED))
#: Fields that an adjustment, and not a price, decides.
_FACTORS = frozenset({"adj_factor"})
#: Fields known at the open of their session; all others become known during it.
KNOWN_AT_OPEN = frozenset(
    {"open", "raw_open_cny", "pre_close_cny", "adj_factor", MEMBERSHIP, "industry", "is_st", "listed_sessions"}
    | {*LIMIT_PRICES}
)
#: Symbols that exist in another world alone.
_NEW_SYMBOLS = ("999901.SH", "999902.SZ")


class Aspect(StrEnum):
    """What differs between two worlds, in words that end the sentence "... in a world with"."""

    PRICES = "other prices, volumes and limit days after the cut"
    SUSPENSIONS = "other suspensions after the cut"
    ADJUSTMENT = "other splits after the cut"
    FACTS = "other reports, restatements and industries after the cut"
    MEMBERSHIP = "other index members and market values after the cut"
    LISTINGS = "other listings after the cut"
    DELISTINGS = "other delistings after the cut"
    SAME_SESSION = "another course of the session after its open"
    NON_MEMBERS = "other symbols that were no members by the cut"
    PAST = "another past"


#: The kind of leak that an aspect proves, in the order in which causes are looked for: the plainest first.
KIND_OF = {
    Aspect.PRICES: "look-ahead",
    Aspect.ADJUSTMENT: "restatement",
    Aspect.FACTS: "restatement",
    Aspect.MEMBERSHIP: "membership",
    Aspect.LISTINGS: "membership",
    Aspect.DELISTINGS: "survivorship",
    Aspect.SUSPENSIONS: "look-ahead",
    Aspect.SAME_SESSION: "same-session",
    Aspect.NON_MEMBERS: "membership",
}
#: All that may differ after a cut.
AFTER_CUT = (
    Aspect.PRICES,
    Aspect.ADJUSTMENT,
    Aspect.FACTS,
    Aspect.MEMBERSHIP,
    Aspect.LISTINGS,
    Aspect.DELISTINGS,
    Aspect.SUSPENSIONS,
)


def other_world(market: Market, cut: int, aspects: Sequence[Aspect]) -> Market:
    """Return ``market`` with everything of ``aspects`` changed from session ``cut`` on; the same one on every call.

    Symbols that had no bar before the cut may be gone and new ones there; all others keep their rows.
    """
    out = market.copies()
    rng = np.random.default_rng(cut)
    for aspect in aspects:
        out = _CHANGES[aspect](out, cut, rng)
    return out


def known_at(market: Market, cut: int) -> Market:
    """Return what was known at the close of the session before ``cut``: no later bar, row, date or symbol."""
    last = market.panel.sessions[cut - 1]
    seen = (~np.isnan(market.panel.fields["close"][:, :cut])).any(axis=1)
    panel = _rows(market.panel, np.flatnonzero(seen)).sessions_slice(0, cut)
    tables = {name: _known_rows(name, table, last) for name, table in market.tables.items()}
    return replace(market, panel=panel, tables=tables)


def _known_rows(name: str, table: pd.DataFrame, last: pd.Timestamp) -> pd.DataFrame:
    """Return the rows of a canonical table known at ``last``, ends of ranges that lie later open."""
    begins = {
        "financial_indicators": "announced_date",
        "market_values": "session_date",
        "corporate_actions": "ex_date",
        "industries": "start_date",
        "index_members": "start_date",
        "securities": "list_date",
    }[name]
    known = table[~(table[begins] > last)].reset_index(drop=True)
    if "end_date" in known:  # inclusive: that it was the last day is known a session later
        known["end_date"] = known["end_date"].where(known["end_date"] < last)
    if "delist_date" in known:
        known["delist_date"] = known["delist_date"].where(known["delist_date"] <= last)
    return known


def _rows(panel: Panel, rows: np.ndarray) -> Panel:
    fields = {name: np.ascontiguousarray(values[rows]) for name, values in panel.fields.items()}
    return Panel(tuple(panel.symbols[row] for row in rows), panel.sessions, fields)


def _other_prices(market: Market, cut: int, rng: np.random.Generator) -> Market:
    fields = dict(market.panel.fields)
    shape = fields["close"][:, cut:].shape
    # half of the symbols rise fivefold at the cut and half fall: whatever the past was, its extremes are passed
    jump = np.where(np.arange(shape[0]) % 2, 5.0, 0.2)[:, None]
    scale = jump * np.exp(rng.normal(0, 0.08, shape))
    before = np.concatenate([np.ones((shape[0], 1)), scale[:, :-1]], axis=1)
    for name, values in fields.items():
        if name == MEMBERSHIP or name in _FACTORS:
            continue
        if name in _FLAGS:
            values[:, cut:] = np.where(rng.random(shape) < 0.3, 1 - values[:, cut:], values[:, cut:])
        elif name in _CATEGORIES:
            values[:, cut:] = np.roll(values[:, cut:], 1, axis=0)
        elif name == "pre_close_cny":
            values[:, cut:] *= before
        elif name in _PRICES:
            values[:, cut:] *= scale
        else:
            values[:, cut:] *= np.exp(rng.normal(0, 0.8, shape))
    return market


def _other_suspensions(market: Market, cut: int, rng: np.random.Generator) -> Market:
    stop = len(market.panel.sessions) - 2  # who has a bar at the very end is a matter of delistings
    if stop <= cut:
        return market
    gone = rng.random((len(market.panel.symbols), stop - cut)) < 0.2
    gone[:, 0] |= np.arange(len(gone)) % 3 == 0
    for values in market.panel.fields.values():
        values[:, cut:stop][gone] = np.nan
    return market


def _other_splits(market: Market, cut: int, rng: np.random.Generator) -> Market:
    panel, tables = market.panel, dict(market.tables)
    fields = dict(panel.fields)
    chosen = np.arange(len(panel.symbols)) % 2 == 0
    ratio = np.where(chosen, 2.0 ** rng.integers(1, 3, len(chosen)), 1.0)[:, None]
    ex = min(cut + 1, len(panel.sessions) - 1)
    for name, values in fields.items():
        if name in _AS_TRADED:
            values[:, ex:] /= ratio
        elif name in ("adj_factor", "raw_volume_shares"):
            values[:, ex:] *= ratio
        elif market.rebased and name in (*PRICES, "vwap"):
            values[:, :] /= ratio  # of all sessions, as the provider does on the ex-date
    if "corporate_actions" in tables:
        more = pd.DataFrame(
            {
                "symbol": [symbol for symbol, split in zip(panel.symbols, chosen, strict=True) if split],
                "ex_date": panel.sessions[ex],
                "cash_cny_per_share": 0.0,
                "bonus_shares_per_share": ratio[chosen, 0] - 1,
            }
        )
        tables["corporate_actions"] = pd.concat([tables["corporate_actions"], more], ignore_index=True)
    return replace(market, tables=tables)


def _other_facts(market: Market, cut: int, rng: np.random.Generator) -> Market:
    tables, last = dict(market.tables), market.panel.sessions[cut - 1]
    if "financial_indicators" in tables:
        reports = tables["financial_indicators"]
        later = (reports["announced_date"] > last).to_numpy()
        changed = reports["value"].to_numpy(dtype=np.float64).copy()
        changed[later] = rng.normal(0, 10, int(later.sum()))
        gone = later & (rng.random(len(reports)) < 0.3)
        tables["financial_indicators"] = reports.assign(value=changed)[~gone].reset_index(drop=True)
    if "industries" in tables:
        now = _known_rows("industries", tables["industries"], last)
        lasting = now["end_date"].isna()
        names = np.roll(sorted(now["industry"].unique()), 1)
        moved = dict(zip(sorted(now["industry"].unique()), names, strict=True))
        next_session = market.panel.sessions[cut]
        ended = now.assign(end_date=now["end_date"].where(~lasting, last))
        begun = now[lasting].assign(industry=now.loc[lasting, "industry"].map(moved), start_date=next_session)
        tables["industries"] = pd.concat([ended, begun], ignore_index=True)
    return replace(market, tables=tables)


def _other_members(market: Market, cut: int, rng: np.random.Generator) -> Market:
    panel, tables = market.panel, dict(market.tables)
    last, first = panel.sessions[cut - 1], panel.sessions[cut]
    swapped = rng.random(len(panel.symbols)) < 0.5
    if MEMBERSHIP in panel.fields:
        flag = panel.fields[MEMBERSHIP]
        flag[swapped, cut:] = 1 - flag[swapped, cut:]
    names = {symbol for symbol, out in zip(panel.symbols, swapped, strict=True) if out}
    if "index_members" in tables:
        now = _known_rows("index_members", tables["index_members"], last)
        current = now["end_date"].isna() & now["symbol"].isin(names)
        ended = now.assign(end_date=now["end_date"].where(~current, last))
        joining = sorted(names - set(now.loc[current, "symbol"]))
        begun = pd.DataFrame(
            {
                "index_code": now["index_code"].iloc[0] if len(now) else "",
                "symbol": joining,
                "start_date": first,
                "end_date": pd.Series(pd.NaT, index=range(len(joining)), dtype="datetime64[ns]"),
            }
        )
        tables["index_members"] = pd.concat([ended, begun], ignore_index=True)
    if "market_values" in tables:
        values = tables["market_values"]
        later = (values["session_date"] > last).to_numpy()
        scale = np.ones(len(values))
        scale[later] = np.exp(rng.normal(0, 2, int(later.sum())))
        tables["market_values"] = values.assign(
            **{name: values[name] * scale for name in MARKET_VALUES if name in values}
        )
    return replace(market, tables=tables)


def _other_listings(market: Market, cut: int, rng: np.random.Generator) -> Market:
    panel, tables = market.panel, dict(market.tables)
    close = panel.fields["close"]
    known = (~np.isnan(close[:, :cut])).any(axis=1)
    keep = np.flatnonzero(known)
    models = rng.choice(keep, len(_NEW_SYMBOLS))
    listed = min(cut + 2, close.shape[1] - 1)
    fields = {}
    for name, values in panel.fields.items():
        fresh = values[models].copy()
        fresh[:, :listed] = np.nan
        fields[name] = np.concatenate([values[keep], fresh])
    symbols = (*(panel.symbols[row] for row in keep), *_NEW_SYMBOLS)
    gone = {panel.symbols[row] for row in np.flatnonzero(~known)}
    for name, table in tables.items():
        tables[name] = table[~table["symbol"].isin(gone)].reset_index(drop=True)
    if "securities" in tables:
        fresh_rows = tables["securities"].iloc[: len(_NEW_SYMBOLS)].copy()
        fresh_rows["symbol"], fresh_rows["list_date"] = list(_NEW_SYMBOLS), panel.sessions[listed]
        fresh_rows["delist_date"] = pd.NaT
        tables["securities"] = pd.concat([tables["securities"], fresh_rows], ignore_index=True)
    return replace(market, panel=Panel(symbols, panel.sessions, fields), tables=tables)


def _other_delistings(market: Market, cut: int, rng: np.random.Generator) -> Market:
    panel, tables = market.panel, dict(market.tables)
    count = len(panel.sessions)
    has_bar = ~np.isnan(panel.fields["close"])
    last_bar = np.where(has_bar.any(axis=1), count - 1 - has_bar[:, ::-1].argmax(axis=1), -1)
    revived = np.flatnonzero((last_bar >= cut) & (last_bar < count - 1))
    alive = np.flatnonzero(last_bar == count - 1)
    dead = alive[rng.random(len(alive)) < 0.5]
    ends = {int(row): int(rng.integers(cut, count)) for row in dead}
    for values in panel.fields.values():
        for alike in revived:
            values[alike, last_bar[alike] + 1 :] = values[alike, last_bar[alike]]
        for row, end in ends.items():
            values[row, end:] = np.nan
    if "securities" in tables:
        table = tables["securities"]
        dates: dict[str, object] = {panel.symbols[row]: panel.sessions[end] for row, end in ends.items()}
        dates |= {panel.symbols[row]: pd.NaT for row in revived}
        changed = [dates.get(symbol, old) for symbol, old in zip(table["symbol"], table["delist_date"], strict=True)]
        tables["securities"] = table.assign(delist_date=pd.DatetimeIndex(changed))
    return replace(market, tables=tables)


def _other_course(market: Market, cut: int, rng: np.random.Generator) -> Market:
    """Change the last session before ``cut`` after its open: prices, volumes and whether it closed at a limit."""
    fields = market.panel.fields
    at = cut - 1
    move = np.exp(rng.normal(0, 0.05, len(market.panel.symbols)))
    for name, values in fields.items():
        if name in KNOWN_AT_OPEN:
            continue
        if name in _FLAGS:
            values[:, at] = 1 - values[:, at]
        else:
            values[:, at] *= move
    for high, low, first in (("high", "low", "open"), ("raw_high_cny", "raw_low_cny", "raw_open_cny")):
        if {high, low, first} <= set(fields):
            fields[high][:, at] = np.fmax(fields[high][:, at], fields[first][:, at])
            fields[low][:, at] = np.fmin(fields[low][:, at], fields[first][:, at])
    return market


def _other_non_members(market: Market, cut: int, rng: np.random.Generator) -> Market:
    """Change the whole life of every symbol that was never a member before ``cut``; take some of them away."""
    panel = market.panel
    if MEMBERSHIP not in panel.fields:
        return market
    outside = np.flatnonzero(~(panel.fields[MEMBERSHIP][:, :cut] == 1).any(axis=1))
    for number, row in enumerate(outside):
        for name, values in panel.fields.items():
            if name != MEMBERSHIP and name not in _FLAGS | _CATEGORIES:
                values[row] *= np.exp(rng.normal(0, 1))
            if number % 3 == 0:
                values[row, :cut] = np.nan
    return market


def _other_past(market: Market, cut: int, rng: np.random.Generator) -> Market:
    """Change everything of the panel before ``cut``: what does not move a factor then is nothing of it."""
    shape = market.panel.fields["close"][:, :cut].shape
    for name, values in market.panel.fields.items():
        if name in _PRICES:
            values[:, :cut] *= np.exp(rng.normal(0, 0.05, shape))
        elif name in _FLAGS or name == MEMBERSHIP:
            values[:, :cut] = np.where(rng.random(shape) < 0.5, 1 - values[:, :cut], values[:, :cut])
        elif name in _CATEGORIES:
            values[:, :cut] = np.roll(values[:, :cut], 1, axis=0)
        else:
            values[:, :cut] *= np.exp(rng.normal(0, 0.5, shape))
    return market


def non_members(market: Market, cut: int) -> frozenset[str]:
    """Return the symbols that ``Aspect.NON_MEMBERS`` changes: their own values may change with them."""
    flag: Float | None = market.panel.fields.get(MEMBERSHIP)
    if flag is None:
        return frozenset()
    outside = ~(flag[:, :cut] == 1).any(axis=1)
    return frozenset(symbol for symbol, out in zip(market.panel.symbols, outside, strict=True) if out)


_CHANGES: dict[Aspect, Callable[[Market, int, np.random.Generator], Market]] = {
    Aspect.PRICES: _other_prices,
    Aspect.SUSPENSIONS: _other_suspensions,
    Aspect.ADJUSTMENT: _other_splits,
    Aspect.FACTS: _other_facts,
    Aspect.MEMBERSHIP: _other_members,
    Aspect.LISTINGS: _other_listings,
    Aspect.DELISTINGS: _other_delistings,
    Aspect.SAME_SESSION: _other_course,
    Aspect.NON_MEMBERS: _other_non_members,
    Aspect.PAST: _other_past,
}
