"""Tests on index levels: jumps, gaps, a stock in an index's place. Not here: index members (``reference_rules.py``)."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ljwx_pipeline.market.traded_price import average_price_in_range
from ljwx_pipeline.quality.rule import SAMPLE, Finding, Market, Mask, at_positions, in_order, rows_found

#: An index made of limited stocks cannot move further in a session.
INDEX_MAX_MOVE_FRAC = 0.22
#: A stock's amount / volume lies within [low, high] on nearly all bars; an index level has nothing to do with it.
STOCK_MIN_FRAC = 0.9
#: A-share indices start at 100 points or 1,000; no level has been near this one.
INDEX_MIN_POINTS = 50.0
#: Levels equal to one stock's closes on this share of the common sessions, and on so many of them, are that stock's.
SAME_MIN_FRAC, SAME_MIN_SESSIONS = 0.3, 5
SAME_REL = 1e-6


def moves_plausible(market: Market) -> Finding:
    """Find index levels that jump as only another security can; all that follows the jump is in question."""
    given = market.tables["index_bars"]
    ordered = in_order(given, market.before.get("index_bars"), "index_code")
    close = ordered["close_points"].where(ordered["close_points"] > 0)
    before = close.groupby(ordered["index_code"], sort=False).shift()
    jumped = (close / before - 1).abs().where(close > before, (before / close - 1).abs()) > INDEX_MAX_MOVE_FRAC
    after = jumped.groupby(ordered["index_code"], sort=False).cummax()
    tail = at_positions(ordered, after, len(given))
    return rows_found(given, at_positions(ordered, jumped, len(given)), taken_out=tail)


def sessions_complete(market: Market) -> Finding:
    """Find sessions that an index misses between its own first and last bar."""
    judged, missing = 0, []
    for _, days in market.tables["index_bars"].groupby("index_code")["session_date"]:
        span = market.sessions[(market.sessions >= days.min()) & (market.sessions <= days.max())]
        judged += len(span)
        missing.extend(span.difference(pd.DatetimeIndex(days)))
    first = tuple(f"{day:%Y-%m-%d}" for day in sorted(missing)[:SAMPLE])
    return Finding(judged, len(missing), "sessions", first)


def is_no_stock(market: Market) -> Finding:
    """Find index series whose amount / volume lies within [low, high], as only a traded security's does."""
    table = market.tables["index_bars"]
    known = table["amount_cny"].notna() & (table["volume_shares"] > 0)
    inside = average_price_in_range(
        low_cny=table["low_points"].to_numpy(),
        high_cny=table["high_points"].to_numpy(),
        volume_shares=table["volume_shares"].to_numpy(),
        amount_cny=table["amount_cny"].to_numpy(),
    )
    counts = pd.DataFrame({"known": known, "inside": known & inside}).groupby(table["index_code"]).sum()
    stocks = counts.index[(counts["inside"] > STOCK_MIN_FRAC * counts["known"]).to_numpy()]
    return _series_found(table, table["index_code"].isin(stocks).to_numpy())


def level_plausible(market: Market) -> Finding:
    """Find rows whose level is a price, not an index level."""
    table = market.tables["index_bars"]
    return rows_found(table, table["close_points"] < INDEX_MIN_POINTS)


def equals_no_stock(market: Market) -> Finding:
    """Find index series whose levels are one stock's closes."""
    table, bars = market.tables["index_bars"], market.tables["bars"]
    bad = np.zeros(len(table), dtype=bool)
    lowest, highest = bars["close_cny"].min(), bars["close_cny"].max()
    for _, part in table.groupby("index_code"):
        enough = max(SAME_MIN_SESSIONS, SAME_MIN_FRAC * len(part))
        levels = part[part["close_points"].between(lowest * (1 - SAME_REL), highest * (1 + SAME_REL))]
        if len(levels) < enough:
            continue  # no price of any stock is near the level: nothing to join
        joined = bars[["symbol", "session_date", "close_cny"]].merge(levels, on="session_date")
        same = (joined["close_cny"] - joined["close_points"]).abs() <= SAME_REL * joined["close_points"]
        equal = same.groupby(joined["symbol"]).sum()
        if len(equal) and equal.max() >= enough:
            bad[table.index.get_indexer(part.index)] = True
    return _series_found(table, bad)


def not_flat_untraded(market: Market) -> Finding:
    """Find bars with one price and no volume: a level carried forward over a session, or history filled in later."""
    table = market.tables["index_bars"]
    one_price = (table["high_points"] == table["low_points"]) & (table["open_points"] == table["close_points"])
    return rows_found(table, one_price & (table["volume_shares"] == 0))


def not_repeated(market: Market) -> Finding:
    """Find bars that repeat the levels and turnover of the session before."""
    given = market.tables["index_bars"]
    ordered = in_order(given, market.before.get("index_bars"), "index_code")
    columns = ["open_points", "high_points", "low_points", "close_points", "amount_cny"]
    before = ordered.groupby("index_code", sort=False)[columns].shift()
    same = (ordered[columns] == before).all(axis=1) & (ordered["amount_cny"] > 0)
    return rows_found(given, at_positions(ordered, same, len(given)))


def _series_found(table: pd.DataFrame, bad: Mask) -> Finding:
    codes = tuple(dict.fromkeys(table.loc[bad, "index_code"]))
    return Finding(len(table), int(bad.sum()), "rows", codes[:SAMPLE], {"series": len(codes)}, np.flatnonzero(bad))
