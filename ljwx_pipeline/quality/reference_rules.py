"""Tests on the tables of dates and names: ranges, listings, members. Not here: bars and index levels."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd

from ljwx_pipeline.quality.rule import SAMPLE, Finding, Market, rows_found

#: An index whose size is the usual one on this share of its days has a fixed size.
FIXED_SIZE_MIN_FRAC = 0.88


def ranges_do_not_overlap(name: str, keys: list[str]) -> Callable[[Market], Finding]:
    """Return the test that two date ranges of one key in table ``name`` never overlap."""

    def test(market: Market) -> Finding:
        given = market.tables[name]
        table = given.assign(position=np.arange(len(given))).sort_values([*keys, "start_date"], kind="stable")
        key = table.groupby(keys, sort=False).ngroup().to_numpy()
        starts = table["start_date"].to_numpy().view(np.int64)
        ends = table["end_date"].fillna(pd.Timestamp.max.normalize()).to_numpy().view(np.int64)
        latest = pd.Series(ends).groupby(key).cummax().to_numpy()
        # the latest end so far, not only the end of the range before: a long range may hold several short ones
        later = np.r_[False, (key[1:] == key[:-1]) & (starts[1:] <= latest[:-1])] if len(key) else np.empty(0, bool)
        bad = np.zeros(len(given), dtype=bool)
        bad[table["position"].to_numpy()[later]] = True
        return rows_found(given, bad)

    return test


def ranges_within_listing(name: str) -> Callable[[Market], Finding]:
    """Return the test that the ranges of table ``name`` begin within their security's listing.

    Of a source that was narrowed to some symbols, only theirs are judged: it lists no other security.
    """

    def test(market: Market) -> Finding:
        table = market.tables[name]
        securities = market.tables["securities"].set_index("symbol")
        listed = table["symbol"].map(securities["list_date"])
        gone = table["symbol"].map(securities["delist_date"])
        # NaT compares false: who was listed before the source's first session was listed on every day of it
        bad = (table["start_date"] < listed) | (table["start_date"] > gone)
        bad |= ~table["symbol"].isin(securities.index)
        symbols = market.description.symbols
        told = table["symbol"].isin(symbols) if symbols else np.ones(len(table), dtype=bool)
        return rows_found(table, bad & told, judged=int(told.sum()))

    return test


def names_unique(market: Market) -> Finding:
    """Find listed securities that share a name with another one listed at the same time."""
    table = market.tables["securities"]
    listed = table["delist_date"].isna()
    twice = table["name"].where(listed).duplicated(keep=False) & listed & (table["name"] != table["symbol"])
    return rows_found(table, twice)


def listed_ones_trade(market: Market) -> Finding:
    """Find securities listed throughout the sessions that have no bar in any of them and no suspension."""
    securities = market.tables["securities"]
    gone = securities["delist_date"].notna() & (securities["delist_date"] <= market.sessions[-1])
    listed = ~(securities["list_date"] > market.sessions[0]) & ~gone
    seen = securities["symbol"].isin(market.tables["bars"]["symbol"].unique())
    if "suspensions" in market.tables:
        seen |= securities["symbol"].isin(market.tables["suspensions"]["symbol"].unique())
    return rows_found(securities, listed & ~seen)


def member_count_usual(market: Market) -> Finding:
    """Find sessions on which an index of fixed size has more or fewer members than it usually has."""
    judged, wrong, names = 0, 0, []
    for code, ranges in market.tables["index_members"].groupby("index_code", sort=True):
        count = member_counts(ranges, market.sessions)
        span = count[count > 0]
        if span.empty:
            continue
        usual = span.mode().iloc[0]
        if (span == usual).mean() < FIXED_SIZE_MIN_FRAC:
            continue  # sized by rule, as a whole-market index is
        off = span[span != usual]
        judged += len(span)
        wrong += len(off)
        names += [f"{code} {day:%Y-%m-%d} ({n} members, usually {usual})" for day, n in off.head(SAMPLE).items()]
    return Finding(judged, wrong, "sessions", tuple(names[:SAMPLE]))


def member_counts(ranges: pd.DataFrame, sessions: pd.DatetimeIndex) -> pd.Series:
    """Return how many members one index's ``ranges`` hold on each session."""
    starts = sessions.searchsorted(pd.DatetimeIndex(ranges["start_date"]))
    last = pd.DatetimeIndex(ranges["end_date"].fillna(pd.Timestamp.max.normalize()))
    ends = sessions.searchsorted(last, side="right")
    edges = np.bincount(starts, minlength=len(sessions) + 1) - np.bincount(ends, minlength=len(sessions) + 1)
    return pd.Series(np.cumsum(edges)[: len(sessions)], index=sessions)
