"""A small seeded market in which everything happens that a leak can hide behind; the same bits on every call.

Splits, dividends, suspensions, listings, delistings, limit days, index changes, changes of industry, and reports that
are announced late and restated later. Prices have no memory: nothing honest foretells them. Not here: the market the
line is shown on (``sources/simulated/``), which does have an edge and costs more to make.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import pandas as pd

from ljwx_pipeline.factors.leaks.market import Market, market_of
from ljwx_pipeline.market.panel import Float
from ljwx_pipeline.market.panel_fields import LIMIT_FLAGS

SYMBOLS, SESSIONS = 40, 300
#: Where this market is cut: in mid-week and mid-month, with symbols suspended across each.
CUTS = (123, 203, 268)
INDEX = "SIM20"
INDICATOR = "eps_cny"
INDUSTRIES = ("banks", "chips", "drinks", "power")
_FIRST_SESSION = "2021-03-01"
_MEMBERS, _CHANGES_EVERY, _CHANGED = 20, 45, 3
_LIMIT_FRAC, _FREE_FLOAT_FRAC = 0.1, 0.6
#: First sessions of the late listings and last ones of the delisted, by symbol.
_LISTED = {7: 70, 15: 150, 23: 215, 31: 262, 39: 276}
_DELISTED = {3: 90, 10: 140, 17: 190, 21: 225, 28: 255, 34: 274, 37: 285}


@cache
def synthetic_market() -> Market:
    """Return the market: ``SYMBOLS`` symbols, ``SESSIONS`` sessions, fields and tables of ``market.py``.

    It is shared: what is handed to anybody who may write to it is ``Market.copies``.
    """
    rng = np.random.default_rng(2021)
    sessions = pd.bdate_range(_FIRST_SESSION, periods=SESSIONS, name="session_date")
    symbols = tuple(f"{600000 + 7 * number}.SH" for number in range(SYMBOLS))
    present = _presence(rng)
    factor = _adjustment(rng)
    raw = _raw_prices(rng, present, factor)
    volume = np.round(rng.lognormal(13.5, 0.7, present.shape), -2)
    amount = volume * (raw["open_cny"] + raw["close_cny"] + raw["high_cny"] + raw["low_cny"]) / 4
    bars = raw | {"volume_shares": volume, "amount_cny": amount, "adj_factor": factor}
    limits = {
        f"{name}_cny": _limit(raw["pre_close_cny"], 1 + frac)
        for name, frac in zip(LIMIT_FLAGS, (_LIMIT_FRAC, -_LIMIT_FRAC), strict=True)
    }
    members = _membership(rng, symbols, sessions, present)
    tables = {
        "securities": _securities(symbols, sessions),
        "industries": _industries(rng, symbols, sessions),
        "index_members": members,
        "market_values": _market_values(rng, symbols, sessions, present, raw["close_cny"]),
        "corporate_actions": _corporate_actions(symbols, sessions, factor),
        "financial_indicators": _reports(rng, symbols, sessions),
        "price_limits": _rows(symbols, sessions, present, limits),
        "st_spells": _special_treatment(symbols, sessions),
        "suspensions": _rows(symbols, sessions, _listed(present) & ~present, {}),
        "index_bars": _index_bars(sessions, raw["close_cny"], raw["pre_close_cny"]),
    }
    rows = _rows(symbols, sessions, present, bars)
    return market_of(rows, tables, symbols=symbols, sessions=sessions, adjustment="raw", index=INDEX, benchmark=INDEX)


def _rows(
    symbols: tuple[str, ...], sessions: pd.DatetimeIndex, present: np.ndarray, columns: dict[str, Float]
) -> pd.DataFrame:
    """Return a table with one row a symbol and session that is present."""
    at_symbol, at_session = np.nonzero(present)
    keys = {"symbol": np.array(symbols, dtype=object)[at_symbol], "session_date": sessions[at_session]}
    return pd.DataFrame({**keys, **{name: values[at_symbol, at_session] for name, values in columns.items()}})


def _presence(rng: np.random.Generator) -> np.ndarray:
    present = rng.random((SYMBOLS, SESSIONS)) > 0.01
    for symbol in range(SYMBOLS):
        start = int(rng.integers(0, SESSIONS - 20))
        present[symbol, start : start + int(rng.integers(4, 16))] = False
    for number, cut in enumerate(CUTS):
        present[4 + number : SYMBOLS : 9, cut - 3 : cut + 2] = False
    for symbol, first in _LISTED.items():
        present[symbol, :first] = False
    for symbol, last in _DELISTED.items():
        present[symbol, last + 1 :] = False
    return present


def _adjustment(rng: np.random.Generator) -> Float:
    """Return the cumulative factor: about one small dividend a symbol a year, a split for a third of them."""
    steps = np.ones((SYMBOLS, SESSIONS))
    for symbol in range(SYMBOLS):
        steps[symbol, rng.integers(1, SESSIONS, 2)] = 1 + np.round(rng.uniform(0.01, 0.04, 2), 3)
        if symbol % 3 == 0:
            steps[symbol, int(rng.integers(20, SESSIONS))] = 1.5
    return np.asarray(np.cumprod(steps, axis=1))


def _raw_prices(rng: np.random.Generator, present: np.ndarray, factor: Float) -> dict[str, Float]:
    shape = present.shape
    drawn = 0.01 * rng.standard_normal(SESSIONS) + 0.017 * rng.standard_t(3, shape)
    prices = {name: np.empty(shape) for name in ("open_cny", "high_cny", "low_cny", "close_cny", "pre_close_cny")}
    last = np.round(rng.uniform(5, 60, SYMBOLS), 2)
    for t in range(SESSIONS):
        reference = np.round(last * (factor[:, t - 1] / factor[:, t] if t else 1.0), 2)
        low, high = _limit(reference, 1 - _LIMIT_FRAC), _limit(reference, 1 + _LIMIT_FRAC)
        close = np.clip(np.round(reference * np.exp(drawn[:, t]), 2), low, high)
        first = np.clip(np.round(reference * np.exp(drawn[:, t] * rng.uniform(-0.2, 0.6, SYMBOLS)), 2), low, high)
        spread = np.abs(rng.normal(0, 0.006, (2, SYMBOLS)))
        prices["pre_close_cny"][:, t], prices["open_cny"][:, t], prices["close_cny"][:, t] = reference, first, close
        prices["high_cny"][:, t] = np.clip(np.round(np.maximum(first, close) * (1 + spread[0]), 2), low, high)
        prices["low_cny"][:, t] = np.clip(np.round(np.minimum(first, close) * (1 - spread[1]), 2), low, high)
        last = np.where(present[:, t], close, reference)
    return prices


def _limit(reference: Float, share: float) -> Float:
    return np.asarray(np.round(reference * share, 2))


def _membership(
    rng: np.random.Generator, symbols: tuple[str, ...], sessions: pd.DatetimeIndex, present: np.ndarray
) -> pd.DataFrame:
    inside = [int(symbol) for symbol in rng.permutation(np.flatnonzero(present[:, :5].any(axis=1)))[:_MEMBERS]]
    since = dict.fromkeys(inside, 0)
    rows: list[tuple[int, object, object]] = []
    for change in range(_CHANGES_EVERY, SESSIONS, _CHANGES_EVERY):
        leaving = [int(symbol) for symbol in rng.choice(sorted(since), _CHANGED, replace=False)]
        leaving += [symbol for symbol in since if not present[symbol, change:].any() and symbol not in leaving]
        outside = sorted({int(symbol) for symbol in np.flatnonzero(present[:, change])} - set(since))
        rows += [(symbol, sessions[since.pop(symbol)], sessions[change - 1]) for symbol in leaving]
        since |= {int(symbol): change for symbol in rng.choice(outside, min(len(leaving), len(outside)), replace=False)}
    rows += [(symbol, sessions[first], pd.NaT) for symbol, first in since.items()]
    return pd.DataFrame(
        {
            "index_code": INDEX,
            "symbol": [symbols[row[0]] for row in rows],
            "start_date": pd.Series([row[1] for row in rows], dtype="datetime64[ns]"),
            "end_date": pd.Series([row[2] for row in rows], dtype="datetime64[ns]"),
        }
    ).sort_values(["start_date", "symbol"], ignore_index=True)


def _securities(symbols: tuple[str, ...], sessions: pd.DatetimeIndex) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "symbol": symbols,
            "name": [f"company {number}" for number in range(SYMBOLS)],
            "board": 0,
            "list_date": pd.DatetimeIndex([sessions[_LISTED[n]] if n in _LISTED else pd.NaT for n in range(SYMBOLS)]),
            "delist_date": pd.DatetimeIndex(
                [sessions[_DELISTED[n] + 1] if n in _DELISTED else pd.NaT for n in range(SYMBOLS)]
            ),
        }
    )


def _industries(rng: np.random.Generator, symbols: tuple[str, ...], sessions: pd.DatetimeIndex) -> pd.DataFrame:
    rows: list[tuple[str, str, object, object]] = []
    for number, symbol in enumerate(symbols):
        name, first = INDUSTRIES[number % len(INDUSTRIES)], sessions[0]
        if number % 8 == 0:
            change = int(rng.integers(60, SESSIONS - 10))
            rows.append((symbol, name, first, sessions[change - 1]))
            name, first = INDUSTRIES[(number + 1) % len(INDUSTRIES)], sessions[change]
        rows.append((symbol, name, first, pd.NaT))
    frame = pd.DataFrame(rows, columns=["symbol", "industry", "start_date", "end_date"])
    return frame.astype({"end_date": "datetime64[ns]"})


def _market_values(
    rng: np.random.Generator,
    symbols: tuple[str, ...],
    sessions: pd.DatetimeIndex,
    present: np.ndarray,
    close_cny: Float,
) -> pd.DataFrame:
    shares = np.round(rng.lognormal(20, 1, SYMBOLS))
    value = close_cny * shares[:, None]
    columns = {"market_value_cny": value, "float_market_value_cny": _FREE_FLOAT_FRAC * value}
    return _rows(symbols, sessions, present, columns)


def _listed(present: np.ndarray) -> np.ndarray:
    """Return the sessions from the first with a bar to the last."""
    return np.asarray(
        np.logical_or.accumulate(present, axis=1) & np.logical_or.accumulate(present[:, ::-1], axis=1)[:, ::-1]
    )


def _special_treatment(symbols: tuple[str, ...], sessions: pd.DatetimeIndex) -> pd.DataFrame:
    """Return spells of every fifth symbol, each of 60 sessions, begun one after the other."""
    marked = range(0, SYMBOLS, 5)
    starts = [sessions[30 * number] for number in range(len(marked))]
    ends = [sessions[30 * number + 59] for number in range(len(marked))]
    return pd.DataFrame({"symbol": [symbols[row] for row in marked], "start_date": starts, "end_date": ends})


def _index_bars(sessions: pd.DatetimeIndex, close_cny: Float, pre_close_cny: Float) -> pd.DataFrame:
    points = 1000 * np.cumprod((close_cny / pre_close_cny).mean(axis=0))
    return pd.DataFrame({"index_code": INDEX, "session_date": sessions, "close_points": points})


def _corporate_actions(symbols: tuple[str, ...], sessions: pd.DatetimeIndex, factor: Float) -> pd.DataFrame:
    step = factor[:, 1:] / factor[:, :-1]
    at_symbol, at_session = np.nonzero(step > 1)
    return pd.DataFrame(
        {
            "symbol": np.array(symbols, dtype=object)[at_symbol],
            "ex_date": sessions[at_session + 1],
            "cash_cny_per_share": 0.0,
            "bonus_shares_per_share": step[at_symbol, at_session] - 1,
        }
    )


def _reports(rng: np.random.Generator, symbols: tuple[str, ...], sessions: pd.DatetimeIndex) -> pd.DataFrame:
    """Return quarterly reports, announced 20 to 85 days after their period; two in five are restated."""
    periods = pd.date_range(sessions[0] - pd.Timedelta(days=200), sessions[-1], freq="QE")
    rows = []
    for symbol in symbols:
        for period in periods:
            value, announced = rng.normal(0.3, 0.2), period + pd.Timedelta(days=int(rng.integers(20, 85)))
            rows.append((symbol, period, announced, value))
            if rng.random() < 0.4:
                later = announced + pd.Timedelta(days=int(rng.integers(30, 200)))
                rows.append((symbol, period, later, value + rng.normal(0, 0.2)))
    frame = pd.DataFrame(rows, columns=["symbol", "report_period", "announced_date", "value"])
    frame = frame[frame["announced_date"] <= sessions[-1]]
    frame.insert(3, "indicator", INDICATOR)
    return frame.sort_values(["announced_date", "symbol", "report_period"], ignore_index=True)
