"""Checks as data: a name, a severity, the tables it needs, and the test that measures.

A test returns how much offends and what it measured; the verdict and the sentence are made in ``run.py``. Not here:
columns and bounds of a single table (``schemas.py``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ljwx_pipeline.market.rulebook import BOOK_FIRST, BOOK_LAST, price_limit_frac
from ljwx_pipeline.market.tables import SourceDescription
from ljwx_pipeline.market.traded_price import average_price_in_range

Mask = NDArray[np.bool_]

#: Raw bars of real providers hold the identity on nearly all bars, adjusted ones on a fifth.
UNIT_CHECK_MIN_FRAC = 0.98
#: Adjusted prices are rounded, so previous close and reference price differ a little everywhere; measured on 736,976
#: real bars, one row lies beyond this.
REFERENCE_TOLERANCE_FRAC = 0.002
#: Rounding of limit prices to the tick, and of adjusted prices to four decimals.
LIMIT_TOLERANCE_FRAC = 0.01
TICK_CNY = 0.01
#: The longest stretch without limits that any board gives a new listing.
LISTING_SESSIONS = 5
#: An index made of limited stocks cannot move further in a session.
INDEX_MAX_MOVE_FRAC = 0.22
#: A session with this share of its neighbours' rows was probably loaded in part.
COVERAGE_MIN_FRAC = 0.5
COVERAGE_WINDOW_SESSIONS = 20


@dataclass(frozen=True)
class Market:
    """What the checks look at: the tables present, what their source says of itself, and the sessions asked for."""

    tables: Mapping[str, pd.DataFrame]
    description: SourceDescription
    sessions: pd.DatetimeIndex


@dataclass(frozen=True)
class Finding:
    """What a test found.

    Parameters
    ----------
    judged, bad
        How many were looked at, and how many offend.
    unit
        Of what: ``rows`` or ``sessions``.
    first
        The first that offends, as a person would name it; empty when none does.
    measured
        Further figures.
    """

    judged: int
    bad: int
    unit: str
    first: str
    measured: Mapping[str, float | int | str]


@dataclass(frozen=True)
class Check:
    """One rule.

    Parameters
    ----------
    name
        ``TABLE.what_holds``.
    severity
        Whether a breach blocks.
    needs
        Tables without which it is not applicable.
    test
        Measures.
    says
        What a breach means, for the message.
    min_good_frac
        Share that must hold for the check to pass; 1 tolerates none.
    raw_only
        Not applicable under a declared adjustment.
    """

    name: str
    severity: Literal["error", "warn"]
    needs: tuple[str, ...]
    test: Callable[[Market], Finding]
    says: str
    min_good_frac: float = 1.0
    raw_only: bool = False


def sessions_known(market: Market) -> Finding:
    """Find bars on days that are no session."""
    bars = market.tables["bars"]
    return _rows(bars, ~bars["session_date"].isin(market.sessions))


def sessions_present(market: Market) -> Finding:
    """Find sessions of the range without a single bar."""
    traded = pd.DatetimeIndex(market.tables["bars"]["session_date"].unique())
    return _sessions(market.sessions, market.sessions.difference(traded))


def unit_check(market: Market) -> Finding:
    """Find bars whose amount / volume lies outside [low, high]."""
    bars = market.tables["bars"]
    inside = average_price_in_range(
        low_cny=bars["low_cny"].to_numpy(),
        high_cny=bars["high_cny"].to_numpy(),
        volume_shares=bars["volume_shares"].to_numpy(),
        amount_cny=bars["amount_cny"].to_numpy(),
    )
    return _rows(bars, ~inside, inside_frac=float(inside.mean()))


def bars_of_known_securities(market: Market) -> Finding:
    """Find bars of unknown symbols, before their listing or after their delisting."""
    bars, securities = market.tables["bars"], market.tables["securities"].set_index("symbol")
    listed = bars["symbol"].map(securities["list_date"])
    delisted = bars["symbol"].map(securities["delist_date"])
    day = bars["session_date"]
    # NaT compares false: who was listed before the source's first session was listed on every day of it
    return _rows(bars, ~bars["symbol"].isin(securities.index) | (day < listed) | (day > delisted))


def reference_price_follows(market: Market) -> Finding:
    """Find bars whose reference price is not the previous close carried over by the adjustment factor."""
    bars = market.tables["bars"].sort_values(["symbol", "session_date"], kind="stable")
    grouped = bars.groupby("symbol", sort=False)
    expected = grouped["close_cny"].shift() * grouped["adj_factor"].shift() / bars["adj_factor"]
    distance = (bars["pre_close_cny"] - expected).abs()
    bad = distance > REFERENCE_TOLERANCE_FRAC * expected + TICK_CNY * (market.description.adjustment == "raw")
    return _rows(bars, bad)


def factor_never_falls(market: Market) -> Finding:
    """Find bars whose adjustment factor is below the one before."""
    bars = market.tables["bars"].sort_values(["symbol", "session_date"], kind="stable")
    before = bars.groupby("symbol", sort=False)["adj_factor"].shift()
    return _rows(bars, bars["adj_factor"] < before)


def moves_within_limits(market: Market) -> Finding:
    """Find closes beyond their board's dated limit, the first sessions of a listing left out."""
    bars, securities = market.tables["bars"], market.tables["securities"].set_index("symbol")
    day = bars["session_date"]
    board = bars["symbol"].map(securities["board"])
    listed = bars["symbol"].map(securities["list_date"])
    age = market.sessions.searchsorted(pd.DatetimeIndex(day)) - market.sessions.searchsorted(pd.DatetimeIndex(listed))
    judged = ((day >= pd.Timestamp(BOOK_FIRST)) & (day <= pd.Timestamp(BOOK_LAST)) & board.notna()).to_numpy()
    judged &= (age >= LISTING_SESSIONS) | listed.isna()
    bad = np.zeros(len(bars), dtype=bool)
    if judged.any():
        limit = price_limit_frac(
            board[judged].to_numpy(dtype=np.int64), np.zeros(int(judged.sum()), dtype=bool), day[judged].to_numpy()
        )
        reference = bars["pre_close_cny"].to_numpy()[judged]
        move = np.abs(bars["close_cny"].to_numpy()[judged] / reference - 1.0)
        bad[judged] = (limit > 0) & (move > limit + LIMIT_TOLERANCE_FRAC + TICK_CNY / reference)
    return _rows(bars, bad)


def sessions_covered(market: Market) -> Finding:
    """Find sessions that hold far fewer rows than the sessions around them."""
    bars = market.tables["bars"]
    counts = bars.groupby("session_date").size().sort_index()
    usual = counts.rolling(COVERAGE_WINDOW_SESSIONS, min_periods=1).median()
    thin = counts.index[(counts < COVERAGE_MIN_FRAC * usual).to_numpy()]
    least = float((counts / usual).min())
    return _sessions(counts.index, thin, least_coverage_frac=least)


def index_moves_plausible(market: Market) -> Finding:
    """Find index levels that jump as only another security can."""
    table = market.tables["index_bars"].sort_values(["index_code", "session_date"], kind="stable")
    before = table.groupby("index_code", sort=False)["close_points"].shift()
    bad = np.abs(np.log(table["close_points"] / before)) > np.log1p(INDEX_MAX_MOVE_FRAC)
    return _rows(table, bad)


def index_sessions_complete(market: Market) -> Finding:
    """Find sessions that an index misses between its own first and last bar."""
    judged, missing = 0, []
    for _, days in market.tables["index_bars"].groupby("index_code")["session_date"]:
        span = market.sessions[(market.sessions >= days.min()) & (market.sessions <= days.max())]
        judged += len(span)
        missing.extend(span.difference(pd.DatetimeIndex(days)))
    first = f"{min(missing):%Y-%m-%d}" if missing else ""
    return Finding(judged, len(missing), "sessions", first, {})


def ranges_do_not_overlap(name: str, keys: list[str]) -> Callable[[Market], Finding]:
    """Return the test that two date ranges of one key in table ``name`` never overlap."""

    def test(market: Market) -> Finding:
        table = market.tables[name].sort_values([*keys, "start_date"], kind="stable")
        last = table["end_date"].fillna(pd.Timestamp.max.normalize())
        bad = table["start_date"] <= last.groupby([table[key] for key in keys]).shift()
        return _rows(table, bad)

    return test


def _rows(table: pd.DataFrame, bad: pd.Series | Mask, **measured: float) -> Finding:
    flags = np.asarray(bad, dtype=bool)
    first = ""
    if flags.any():
        row = table.iloc[int(np.argmax(flags))]
        parts = [row[key] for key in ("symbol", "index_code", "session_date", "start_date") if key in table]
        first = " ".join(f"{part:%Y-%m-%d}" if isinstance(part, pd.Timestamp) else str(part) for part in parts)
    return Finding(len(table), int(flags.sum()), "rows", first, measured)


def _sessions(judged: pd.Index, bad: pd.Index, **measured: float) -> Finding:
    return Finding(len(judged), len(bad), "sessions", f"{bad[0]:%Y-%m-%d}" if len(bad) else "", measured)


CHECKS = (
    Check("bars.on_known_sessions", "error", ("bars",), sessions_known, "the day is no trading session"),
    Check("bars.every_session_present", "error", ("bars",), sessions_present, "a whole session is missing"),
    Check(
        "bars.average_price_in_range",
        "error",
        ("bars",),
        unit_check,
        "amount / volume lies outside [low, high]: units mixed up, or adjusted prices passed off as raw",
        min_good_frac=UNIT_CHECK_MIN_FRAC,
        raw_only=True,
    ),
    Check(
        "bars.of_listed_securities",
        "error",
        ("bars", "securities"),
        bars_of_known_securities,
        "the security was not listed then",
    ),
    Check(
        "bars.reference_price_follows",
        "warn",
        ("bars",),
        reference_price_follows,
        "the reference price is not the previous close carried over by the adjustment factor",
    ),
    Check("bars.factor_never_falls", "warn", ("bars",), factor_never_falls, "the adjustment factor falls"),
    Check(
        "bars.moves_within_limits",
        "warn",
        ("bars", "securities"),
        moves_within_limits,
        "the close lies beyond the board's daily limit",
    ),
    Check(
        "bars.sessions_covered",
        "warn",
        ("bars",),
        sessions_covered,
        "the session holds less than half of the usual rows",
    ),
    Check(
        "index_bars.moves_plausible",
        "error",
        ("index_bars",),
        index_moves_plausible,
        "the level jumps as no index does: another security of the same code",
    ),
    Check(
        "index_bars.sessions_complete",
        "warn",
        ("index_bars",),
        index_sessions_complete,
        "the index misses sessions between its first and last bar",
    ),
    Check(
        "st_spells.do_not_overlap",
        "error",
        ("st_spells",),
        ranges_do_not_overlap("st_spells", ["symbol"]),
        "two spells of one stock overlap",
    ),
    Check(
        "industries.do_not_overlap",
        "error",
        ("industries",),
        ranges_do_not_overlap("industries", ["symbol"]),
        "a stock is in two industries at once",
    ),
    Check(
        "index_members.do_not_overlap",
        "error",
        ("index_members",),
        ranges_do_not_overlap("index_members", ["index_code", "symbol"]),
        "a membership is stated twice for the same days",
    ),
)
