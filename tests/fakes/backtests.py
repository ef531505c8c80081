"""Small markets to trade on, and results made by hand of a few fills."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from datetime import date

import numpy as np
import pandas as pd

from ljwx_pipeline.backtest.result import ORDER_COLUMNS, BacktestResult
from ljwx_pipeline.market.calendar import sessions_between
from ljwx_pipeline.market.symbols import Board
from ljwx_pipeline.trading.corporate_actions import ActionList
from ljwx_pipeline.trading.market_arrays import MarketArrays, market_arrays
from tests.fakes.bars import random_bars


def flat_market(*, symbols: int = 1, sessions: int = 10) -> MarketArrays:
    """Names that trade 1,000,000 shares at 10 CNY on every session; arrays may be changed by the test."""
    days = sessions_between(date(2018, 1, 2), date(2025, 12, 31))[:sessions]
    names = tuple(f"S{i:05d}.SIM" for i in range(symbols))
    price = pd.DataFrame({"symbol": np.repeat(names, sessions), "session_date": np.tile(days, symbols)})
    bars = price.assign(volume_shares=1e6, amount_cny=1e7, adj_factor=1.0)
    bars = bars.assign(**{f"{name}_cny": 10.0 for name in ("open", "high", "low", "close", "pre_close")})
    return market_arrays(
        bars, _securities(names), _NO_SPELLS, _NO_ACTIONS, symbols=names, sessions=days, adjustment="raw"
    )


def small_market(seed: int, *, symbols: int = 24, sessions: int = 160) -> tuple[MarketArrays, np.ndarray]:
    """A random market with suspensions, everything that goes ex, thin volumes and a delisting, and scores on it."""
    bars = random_bars(symbols=symbols, sessions=sessions, seed=seed, suspended_frac=0.05)
    names = tuple(sorted(bars["symbol"].unique()))
    days = pd.DatetimeIndex(sorted(bars["session_date"].unique()), name="session_date")
    bars["volume_shares"] = bars["volume_shares"] // 40
    gone = sessions * 2 // 3
    bars = bars[(bars["symbol"] != names[5]) | (bars["session_date"] <= days[gone])]
    market = market_arrays(
        bars,
        _securities(names).assign(delist_date=[days[gone] if i == 5 else pd.NaT for i in range(symbols)]),
        _NO_SPELLS,
        _NO_ACTIONS,
        symbols=names,
        sessions=days,
        adjustment="raw",
    )
    rng = np.random.default_rng(seed)
    shape = market.close_e4.shape
    ex = np.argwhere(rng.uniform(size=shape) < 0.02)
    cash, bonus = rng.integers(1, 3000, len(ex)), rng.choice([0, 0, 333, 5000, -2500], len(ex))
    offered = rng.choice([0, 0, 3000], len(ex))
    going = [
        (int(t), int(name), *(int(figure) for figure in figures))
        for (name, t), *figures in zip(ex, cash, bonus, offered, offered * 15, strict=True)
    ]
    scores = np.round(rng.normal(size=shape), 1)
    scores[rng.uniform(size=shape) < 0.1] = np.nan
    scores[5] = 9.0  # the name that will be delisted is held
    return with_actions(market, *going), scores


def with_actions(market: MarketArrays, *going: tuple[int, ...]) -> MarketArrays:
    """Return ``market`` where this goes ex: (session, row, cash_e4, bonus_e4[, rights_e4, rights_price_e4])."""
    rows = sorted((t, name, *figures, *(0,) * (4 - len(figures))) for t, name, *figures in going)
    start = np.searchsorted([row[0] for row in rows], np.arange(len(market.sessions) + 1)).astype(np.int64)
    return replace(market, actions=ActionList(np.array(rows, dtype=np.int64).reshape(-1, 6)[:, 1:].copy(), start))


def fill(
    market: MarketArrays, session: int, shares: int, value_fen: int, *, fees: int = 0, row: int = 0
) -> dict[str, object]:
    """One filled order as a row of ``BacktestResult.orders``; ``fees`` in fen, as commission."""
    return {
        "session_date": market.sessions[session],
        "symbol": market.symbols[row],
        "order_shares": shares,
        "fill_shares": shares,
        "price_e4": round(value_fen * 100 / abs(shares)),
        "value_fen": value_fen,
        "commission_fen": fees,
        "stamp_duty_fen": 0,
        "transfer_fee_fen": 0,
        "reject": 0,
        "order_reason": 0,
    }


def a_result(
    market: MarketArrays, fills: Sequence[dict[str, object]], *, equity_cny: Sequence[float] | None = None
) -> BacktestResult:
    """A backtest with these orders, and an equity curve (flat at 100,000 CNY by default) of its own."""
    n = len(market.sessions)
    equity = np.full(n, 100_000.0) if equity_cny is None else np.asarray(equity_cny)
    known: dict[str, object] = {
        "sessions": market.sessions,
        "equity_fen": np.round(equity * 100).astype(np.int64),
        "orders": pd.DataFrame(list(fills), columns=["session_date", "symbol", *ORDER_COLUMNS]),
        "positions": pd.DataFrame(columns=["symbol", "shares", "held_sessions", "last_price_e4", "value_fen"]),
    }
    per_session = {field.name: np.zeros(n, np.int64) for field in fields(BacktestResult) if field.name.endswith("_fen")}
    return BacktestResult(**(per_session | {"names_held": np.zeros(n, np.int64)} | known))  # type: ignore[arg-type]


def _securities(names: Sequence[str]) -> pd.DataFrame:
    return pd.DataFrame(
        {"symbol": names, "name": names, "board": int(Board.MAIN)}
        | {"list_date": pd.Timestamp("2015-01-05"), "delist_date": pd.NaT}
    )


_NO_SPELLS = pd.DataFrame({"symbol": [], "start_date": [], "end_date": []})
_NO_ACTIONS = pd.DataFrame({"symbol": [], "ex_date": [], "cash_cny_per_share": [], "bonus_shares_per_share": []})
