"""The A-share factors in plain pandas: frames of sessions by symbols, windows of their known values.

The oracle of ``test_ashare.py``, written from what the factors are said to mean.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from ljwx_pipeline.market.panel import Panel

NAN = float("nan")


def over(frame: pd.DataFrame, n: int):
    return frame.rolling(n, min_periods=1)


def flags(condition: pd.DataFrame, known: pd.DataFrame) -> pd.DataFrame:
    return condition.astype(float).where(known.notna())


def since(window: np.ndarray) -> float:
    true = np.flatnonzero(window == 1)
    return float(len(window) - 1 - true[-1]) if len(true) else NAN


def run(window: np.ndarray) -> float:
    false = np.flatnonzero(window[~np.isnan(window)] == 0)
    length = (~np.isnan(window)).sum()
    return NAN if np.isnan(window[-1]) else float(length - 1 - false[-1] if len(false) else length)


def whole(frame: pd.DataFrame, n: int, function) -> pd.DataFrame:
    padded = pd.concat([pd.DataFrame(np.full((n - 1, frame.shape[1]), NAN)), frame], ignore_index=True)
    return padded.rolling(n, min_periods=0).apply(function, raw=True).iloc[n - 1 :].reset_index(drop=True)


def regression(change: pd.DataFrame, market: pd.DataFrame, n: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Slope and residual deviation of each column on the market's, session by session."""
    slope, spread = change * NAN, change * NAN
    for column in change:
        for t in range(len(change)):
            y, x = (s[column].to_numpy()[max(0, t - n + 1) : t + 1] for s in (change, market))
            both = ~np.isnan(x) & ~np.isnan(y)
            if both.sum() < 2:
                continue
            dx, dy = x[both] - x[both].mean(), y[both] - y[both].mean()
            slope.loc[t, column] = dx @ dy / (dx @ dx)
            if both.sum() > 2:
                left = dy - slope.loc[t, column] * dx
                spread.loc[t, column] = np.sqrt(left @ left / (both.sum() - 2))
    return slope, spread


def ashare_reference(panel: Panel) -> dict[str, np.ndarray]:
    """Return every factor by its name, float64 of shape ``(n_symbols, n_sessions)``."""
    f = {name: pd.DataFrame(values.T) for name, values in panel.fields.items()}
    opened, high, low, close = (f[f"raw_{name}_cny"] for name in ("open", "high", "low", "close"))
    before, amount, value = f["pre_close_cny"], f["amount_cny"], f["market_value_cny"]
    up, down, st = f["limit_up"], f["limit_down"], f["is_st"]
    member, industry = f["in_universe"] == 1, f["industry"]

    def by_industry(frame: pd.DataFrame) -> pd.DataFrame:
        inside = frame.where(member & industry.notna())
        rows = [inside.loc[t].groupby(industry.loc[t]).transform("mean") for t in inside.index]
        return pd.DataFrame(rows).where(inside.notna())

    change = close / before - 1
    market = f["index_close"] / f["index_close"].shift(1) - 1
    turnover, share = amount / value, amount.where(member).div(amount.where(member).sum(axis=1), axis=0)
    touched = flags(high > f["limit_up_price_cny"] - 0.005, up)
    one_price = high - low < 0.005
    gap, night, day = opened / before - 1, np.log(opened / before), np.log(close / opened)

    changed = flags(st != st.shift(1), st.shift(1))
    total = {n: over(np.log(close / before), n).sum() for n in (5, 20)}
    size = np.log(value)
    wanted = {
        "UP_STREAK20": whole(up, 20, run),
        "SINCE_UP60": whole(up, 60, since),
        "SINCE_DOWN60": whole(down, 60, since),
        "UP_COUNT20": over(up, 20).sum(),
        "DOWN_COUNT20": over(down, 20).sum(),
        "ONE_PRICE_UP20": over(flags(one_price & (up == 1), up), 20).sum(),
        "ONE_PRICE_DOWN20": over(flags(one_price & (down == 1), down), 20).sum(),
        "OPENED_SHARE20": over(touched * (1 - up), 20).sum() / over(touched, 20).sum(),
        "UP_DISTANCE": f["limit_up_price_cny"] / close - 1,
        "DOWN_DISTANCE": 1 - f["limit_down_price_cny"] / close,
        "LIMIT_WIDTH": f["limit_up_price_cny"] / before - 1,
        "INDUSTRY_UP": by_industry(up),
        "TURNOVER": turnover,
        "TURNOVER20": over(turnover, 20).mean(),
        **{f"TURNOVER_Z{n}": (turnover - over(turnover, n).mean()) / over(turnover, n).std() for n in (20, 60)},
        "ABNORMAL_TURNOVER": over(turnover, 20).mean() / over(turnover, 250).mean(),
        "AMOUNT_SHARE": share,
        "AMOUNT_SHARE_RISE20": share / over(share, 20).mean() - 1,
        "ILLIQ20": over(change.abs() / (amount / 1e8), 20).mean(),
        "GAP": gap,
        **{f"GAP_MEAN{n}": over(gap, n).mean() for n in (5, 20)},
        "OVERNIGHT20": over(night, 20).sum(),
        "INTRADAY20": over(day, 20).sum(),
        "NIGHT_OVER_DAY20": over(night, 20).sum() - over(day, 20).sum(),
        "ST": st,
        "SINCE_ST_CHANGE250": whole(changed, 250, since),
        "SUSPENDED60": over(f["is_suspended"].fillna(0), 60).sum(),
        "LISTED": f["listed_sessions"],
        "NEW60": flags(f["listed_sessions"] < 60, f["listed_sessions"]),
        "MAX_RETURN20": over(change, 20).max(),
        "MIN_RETURN20": over(change, 20).min(),
        "VOLATILITY20": over(change, 20).std(),
        "IVOL20": regression(change, market, 20)[1],
        "MARKET_BETA60": regression(change, market, 60)[0],
        **{f"REVERSAL{n}": by_industry(total[n]) - total[n] for n in (5, 20)},
        "AMPLITUDE20": over((high - low) / before, 20).mean(),
        "SIZE": size,
        "SIZE_NEUTRAL": size - by_industry(size),
        "LOW_PRICE": -np.log(close),
    }
    return {name: frame.to_numpy().T for name, frame in wanted.items()}
