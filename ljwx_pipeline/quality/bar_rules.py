"""Tests on bars: those of single rows, which read the bits of the scan, and those of sessions and gaps.

Not here: the pass over the rows (``scan_kernel.py``), statistics (``anomalies.py``), severities (``checks.py``).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ljwx_pipeline.quality import scan_kernel
from ljwx_pipeline.quality.rule import SAMPLE, Finding, Market, rows_found, sessions_found
from ljwx_pipeline.quality.scan import symbol_codes

#: A session with this share of its neighbours' rows was probably loaded in part.
COVERAGE_MIN_FRAC = 0.5
COVERAGE_WINDOW_SESSIONS = 20
#: Published limits are on the tick.
LIMIT_SLACK_CNY = 0.005


def rows_with(*bits: int) -> Callable[[Market], Finding]:
    """Return the test that no bar has any of the scan's ``bits``."""
    wanted = np.uint32(np.bitwise_or.reduce(bits))

    def test(market: Market) -> Finding:
        return rows_found(market.tables["bars"], (market.bar_bits & wanted) != 0)

    return test


def unit_check(market: Market) -> Finding:
    """Find bars whose amount / volume lies outside [low, high], and say what such rows look like."""
    bars = market.tables["bars"]
    bad = (market.bar_bits & np.uint32(scan_kernel.AVERAGE_OUTSIDE)) != 0
    inside = float(1.0 - bad.mean())
    wrong = bars[bad & (bars["volume_shares"] > 0).to_numpy()] if bad.any() else bars.iloc[:0]
    if wrong.empty:
        return rows_found(bars, bad, inside_frac=inside)
    times = wrong["amount_cny"] / wrong["volume_shares"] / wrong["close_cny"]
    return rows_found(bars, bad, inside_frac=inside, average_over_close=float(times.median()))


def sessions_present(market: Market) -> Finding:
    """Find sessions of the range without a single bar."""
    traded = pd.DatetimeIndex(market.tables["bars"]["session_date"].unique())
    return sessions_found(market.sessions, market.sessions.difference(traded))


def sessions_covered(market: Market) -> Finding:
    """Find sessions that hold far fewer rows than the sessions around them."""
    counts, usual = session_coverage(market)
    thin = counts.index[(counts < COVERAGE_MIN_FRAC * usual).to_numpy()]
    return sessions_found(counts.index, thin, least_coverage_frac=float((counts / usual).min()))


def session_coverage(market: Market) -> tuple[pd.Series, pd.Series]:
    """Return rows by session of the table, and how many are usual: the median of the sessions up to it.

    Earlier rows of ``market.before`` count as far as they hold whole sessions; where they hold each symbol's last row
    alone, a session is at least compared with how many symbols there are.
    """
    counts = market.tables["bars"].groupby("session_date").size().sort_index()
    before = market.before.get("bars")
    if before is None or before.empty:
        return counts, counts.rolling(COVERAGE_WINDOW_SESSIONS, min_periods=1).median()
    recent = before["session_date"] >= counts.index[0] - pd.Timedelta(days=2 * COVERAGE_WINDOW_SESSIONS)
    earlier = before[recent].groupby("session_date").size().sort_index()
    if earlier.index.size < 2 or earlier.median() < earlier.max() / 2:
        # last rows alone: most stand on the last session, stragglers before it
        earlier = pd.Series([int(earlier.sum())] * COVERAGE_WINDOW_SESSIONS)
    both = pd.concat([earlier.reset_index(drop=True), counts.reset_index(drop=True)], ignore_index=True)
    usual = both.rolling(COVERAGE_WINDOW_SESSIONS, min_periods=1).median().iloc[len(earlier) :]
    return counts, pd.Series(usual.to_numpy(), index=counts.index)


def within_published_limits(market: Market) -> Finding:
    """Find bars that trade beyond the limits published for their session."""
    bars, limits = market.tables["bars"], market.tables["price_limits"]
    cells = _Cells(bars, limits)
    row = np.full(cells.size, -1, dtype=np.int64)
    row[cells.of_second[::-1]] = np.arange(len(limits) - 1, -1, -1)  # of a key given twice the first counts
    at = row[cells.of_first]
    up = np.where(at >= 0, limits["limit_up_cny"].to_numpy()[at], np.nan)
    down = np.where(at >= 0, limits["limit_down_cny"].to_numpy()[at], np.nan)
    bad = (bars["high_cny"].to_numpy() > up + LIMIT_SLACK_CNY) | (bars["low_cny"].to_numpy() < down - LIMIT_SLACK_CNY)
    return rows_found(bars, bad, judged=int((at >= 0).sum()))


def gaps_are_suspensions(market: Market) -> Finding:
    """Find sessions that a listed symbol misses without being suspended."""
    bars, days = market.tables["bars"], market.sessions.to_numpy()
    cells = _Cells(bars, market.tables["suspensions"])
    explained = np.zeros((cells.size // len(cells.symbols), len(cells.symbols)), dtype=bool)
    explained.reshape(-1)[cells.of_first] = True
    explained.reshape(-1)[cells.of_second] = True
    securities = market.tables["securities"]
    code = pd.Index(cells.symbols).get_indexer(pd.Index(securities["symbol"]))
    traded = np.zeros(len(cells.symbols) + 1, dtype=bool)
    traded[cells.codes_of_first] = True
    securities, code = securities[traded[code]], code[traded[code]]
    starts = days.searchsorted(securities["list_date"].fillna(market.sessions[0]).to_numpy())
    stops = days.searchsorted(securities["delist_date"].fillna(pd.Timestamp.max.normalize()).to_numpy())
    place = cells.place_of(days)
    missing, expected = [], 0
    for symbol, column, start, stop in zip(securities["symbol"], code, starts, stops, strict=True):
        expected += max(int(stop - start), 0)
        inside = place[start:stop]
        silent = np.flatnonzero((inside < 0) | ~explained[inside, column])
        missing.append((symbol, start + silent))
    found = [f"{symbol} {market.sessions[at]:%Y-%m-%d}" for symbol, places in missing for at in places[:SAMPLE]][
        :SAMPLE
    ]
    return Finding(expected, sum(len(places) for _, places in missing), "rows", tuple(found))


class _Cells:
    """The keys of two tables as cells of one grid of days and symbols: comparing them is then a lookup.

    ``of_first`` and ``of_second`` are each row's cell, ``size`` the number of cells.
    """

    def __init__(self, first: pd.DataFrame, second: pd.DataFrame) -> None:
        names = np.concatenate([first["symbol"].to_numpy(), second["symbol"].to_numpy()])
        codes, self.symbols = symbol_codes(names)
        instants = np.concatenate([first["session_date"].to_numpy(), second["session_date"].to_numpy()])
        place, self._instants = pd.factorize(instants)
        cells = place.astype(np.int64) * len(self.symbols) + codes
        self.of_first, self.of_second = cells[: len(first)], cells[len(first) :]
        self.codes_of_first = codes[: len(first)]
        self.size = len(self._instants) * len(self.symbols)

    def place_of(self, days: NDArray[np.datetime64]) -> NDArray[np.int64]:
        """Return each day's row of the grid, -1 where neither table has it."""
        return pd.Index(self._instants).get_indexer(pd.Index(days))


def suspended_do_not_trade(market: Market) -> Finding:
    """Find suspensions on sessions that have a traded bar."""
    bars, suspensions = market.tables["bars"], market.tables["suspensions"]
    traded = pd.MultiIndex.from_frame(bars.loc[bars["volume_shares"] > 0, ["symbol", "session_date"]])
    return rows_found(suspensions, pd.MultiIndex.from_frame(suspensions[["symbol", "session_date"]]).isin(traded))
