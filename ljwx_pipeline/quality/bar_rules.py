"""Tests on bars: those of single rows, which read the bits of the scan, and those of sessions and gaps.

Not here: the pass over the rows (``scan_kernel.py``), statistics (``anomalies.py``), severities (``checks.py``).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pandas as pd

from ljwx_pipeline.quality import scan_kernel
from ljwx_pipeline.quality.cells import Cells
from ljwx_pipeline.quality.days import days_of
from ljwx_pipeline.quality.rule import SAMPLE, Finding, Market, rows_found, sessions_found

#: A session with this share of its neighbours' rows was probably loaded in part.
COVERAGE_MIN_FRAC = 0.5
COVERAGE_WINDOW_SESSIONS = 20
#: Published limits are on the tick.
LIMIT_SLACK_CNY = 0.005


def rows_with(*bits: int) -> Callable[[Market], Finding]:
    """Return the test that no bar has any of the scan's ``bits``."""
    wanted = np.uint32(np.bitwise_or.reduce(bits))

    def test(market: Market) -> Finding:
        return _found(market, wanted)

    return test


def unit_check(market: Market) -> Finding:
    """Find bars whose amount / volume lies outside [low, high], and say what such rows look like."""
    bars = market.tables["bars"]
    found = _found(market, np.uint32(scan_kernel.AVERAGE_OUTSIDE))
    inside = {"inside_frac": 1.0 - found.bad / len(bars)}
    wrong = bars.take(found.rows)
    wrong = wrong[wrong["volume_shares"] > 0]
    if wrong.empty:
        return replace(found, measured=inside)
    times = wrong["amount_cny"] / wrong["volume_shares"] / wrong["close_cny"]
    times = times[np.isfinite(times)]  # an amount without end says nothing of units
    if times.empty:
        return replace(found, measured=inside)
    return replace(found, measured={**inside, "average_over_close": float(times.median())})


def _found(market: Market, wanted: np.uint32) -> Finding:
    bars = market.tables["bars"]
    if not market.any_bar_bits & wanted:
        return Finding(len(bars), 0, "rows", ())
    return rows_found(bars, (market.bar_bits & wanted) != 0)


def sessions_present(market: Market) -> Finding:
    """Find sessions of the range without a single bar."""
    traded = pd.DatetimeIndex(market.bar_days.instants)
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
    counts = market.bar_days.rows
    before = market.before.get("bars")
    if before is None or before.empty:
        return counts, counts.rolling(COVERAGE_WINDOW_SESSIONS, min_periods=1).median()
    recent = before["session_date"] >= counts.index[0] - pd.Timedelta(days=2 * COVERAGE_WINDOW_SESSIONS)
    earlier = days_of(before.loc[recent, "session_date"]).rows
    if earlier.index.size < 2 or earlier.median() < earlier.max() / 2:
        # last rows alone: most stand on the last session, stragglers before it
        earlier = pd.Series([int(earlier.sum())] * COVERAGE_WINDOW_SESSIONS)
    both = pd.concat([earlier.reset_index(drop=True), counts.reset_index(drop=True)], ignore_index=True)
    usual = both.rolling(COVERAGE_WINDOW_SESSIONS, min_periods=1).median().iloc[len(earlier) :]
    return counts, pd.Series(usual.to_numpy(), index=counts.index)


def within_published_limits(market: Market) -> Finding:
    """Find bars that trade beyond the limits published for their session."""
    bars, limits = market.tables["bars"], market.tables["price_limits"]
    cells = Cells(market.bar_days, market.bar_symbols, limits)
    row = np.full(cells.size, -1, dtype=np.int64)
    row[cells.of_other[::-1]] = np.arange(len(limits) - 1, -1, -1)  # of a key given twice the first counts
    at = row[cells.of_bars]
    up = np.append(limits["limit_up_cny"].to_numpy() + LIMIT_SLACK_CNY, np.nan)[at]  # -1 is the last
    down = np.append(limits["limit_down_cny"].to_numpy() - LIMIT_SLACK_CNY, np.nan)[at]
    bad = (bars["high_cny"].to_numpy() > up) | (bars["low_cny"].to_numpy() < down)
    return rows_found(bars, bad, judged=int(np.count_nonzero(at >= 0)))


def gaps_are_suspensions(market: Market) -> Finding:
    """Find sessions that a listed symbol misses without being suspended."""
    days = market.sessions.to_numpy()
    cells = Cells(market.bar_days, market.bar_symbols, market.tables["suspensions"])
    explained = np.zeros(cells.size, dtype=bool)
    explained[cells.of_bars] = explained[cells.of_other] = True
    by_day = cells.by_day(explained)
    securities = market.tables["securities"]
    code = pd.Index(cells.symbols).get_indexer(pd.Index(securities["symbol"]))
    traded = (code >= 0) & (code < len(market.bar_symbols[1]))
    securities, code = securities[traded], code[traded]
    starts = days.searchsorted(securities["list_date"].fillna(market.sessions[0]).to_numpy())
    stops = days.searchsorted(securities["delist_date"].fillna(pd.Timestamp.max.normalize()).to_numpy())
    place = pd.Index(cells.days).get_indexer(market.sessions)
    at = np.arange(len(days))
    listed = (at >= starts[:, None]) & (at < stops[:, None])
    silent = listed & ~(by_day[place].T[code] & (place >= 0))
    of, when = np.nonzero(silent)
    names = securities["symbol"].to_numpy()
    sample = [f"{names[one]} {market.sessions[int(day)]:%Y-%m-%d}" for one, day in zip(of[:SAMPLE], when, strict=False)]
    return Finding(int(np.count_nonzero(listed)), len(of), "rows", tuple(sample))


def suspended_do_not_trade(market: Market) -> Finding:
    """Find suspensions on sessions that have a traded bar."""
    bars, suspensions = market.tables["bars"], market.tables["suspensions"]
    traded = pd.MultiIndex.from_frame(bars.loc[bars["volume_shares"] > 0, ["symbol", "session_date"]])
    return rows_found(suspensions, pd.MultiIndex.from_frame(suspensions[["symbol", "session_date"]]).isin(traded))
