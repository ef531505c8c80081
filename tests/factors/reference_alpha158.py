"""Alpha158 of one symbol in plain pandas, written from qlib's published definitions and from nothing of ours.

The oracle of ``test_alpha158.py``. Where qlib is wrong beside NaN (positions of extremes, counted comparisons) it
follows the intention: the position of the largest value in the full window, NaN comparisons left out.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

WINDOWS = (5, 10, 20, 30, 60)
FLAT = 2e-5


def _over(series: pd.Series, n: int, function) -> pd.Series:
    """Apply to each full-length window, padded with NaN in front."""
    padded = np.concatenate([np.full(n - 1, np.nan), series.to_numpy()])
    windows = np.lib.stride_tricks.sliding_window_view(padded, n)
    return pd.Series([function(window) for window in windows], index=series.index)


def _position(window: np.ndarray, pick) -> float:
    return np.nan if np.isnan(window).all() else float(pick(window) + 1)


def _line(window: np.ndarray) -> tuple[float, float, float]:
    """Slope, R squared and last residual of a least-squares line through the known points."""
    x, y = np.arange(len(window), dtype=float), window
    x, y = x[~np.isnan(y)], y[~np.isnan(y)]
    if len(y) < 2:
        return np.nan, np.nan, np.nan
    dx, dy = x - x.mean(), y - y.mean()
    slope = (dx @ dy) / (dx @ dx)
    flat = y.std(ddof=1) <= FLAT
    r2 = np.nan if flat else (dx @ dy) ** 2 / ((dx @ dx) * (dy @ dy))
    return slope, r2, window[-1] - (y.mean() + slope * (len(window) - 1 - x.mean()))


def _correlation(a: pd.Series, b: pd.Series, n: int) -> pd.Series:
    a, b = a.where(b.notna()), b.where(a.notna())
    flat = (a.rolling(n, min_periods=1).std() <= FLAT) | (b.rolling(n, min_periods=1).std() <= FLAT)
    out = []
    for end in range(len(a)):
        x, y = (s.iloc[max(0, end - n + 1) : end + 1].dropna().to_numpy() for s in (a, b))
        out.append(np.corrcoef(x, y)[0, 1] if len(x) > 1 and not flat.iloc[end] else np.nan)
    return pd.Series(out, index=a.index)


def alpha158_reference(bars: pd.DataFrame) -> pd.DataFrame:
    """Return the 158 columns for ``bars`` (open, high, low, close, vwap, volume), one row a session."""
    o, h, lo, c, v = (bars[name] for name in ("open", "high", "low", "close", "volume"))
    body_high, body_low = np.maximum(o, c), np.minimum(o, c)
    spread = h - lo + 1e-12
    out = {
        "KMID": (c - o) / o,
        "KLEN": (h - lo) / o,
        "KMID2": (c - o) / spread,
        "KUP": (h - body_high) / o,
        "KUP2": (h - body_high) / spread,
        "KLOW": (body_low - lo) / o,
        "KLOW2": (body_low - lo) / spread,
        "KSFT": (2 * c - h - lo) / o,
        "KSFT2": (2 * c - h - lo) / spread,
    }
    out |= {f"{name.upper()}0": bars[name] / c for name in ("open", "high", "low", "vwap")}
    c1, v1 = c.shift(1), v.shift(1)
    both = c.notna() & c1.notna()
    up, down = (c > c1).astype(float).where(both), (c < c1).astype(float).where(both)
    weighted = (c / c1 - 1).abs() * v
    log_volume, log_change = np.log(v + 1), np.log(v / v1 + 1)

    def roll(series: pd.Series, n: int):
        return series.rolling(n, min_periods=1)

    def rank(window: np.ndarray) -> float:
        seen = window[~np.isnan(window)]
        if np.isnan(window[-1]):
            return np.nan
        return ((seen < window[-1]).sum() + ((seen == window[-1]).sum() + 1) / 2) / len(seen)

    families = {
        "ROC": lambda n: c.shift(n) / c,
        "MA": lambda n: roll(c, n).mean() / c,
        "STD": lambda n: roll(c, n).std() / c,
        "BETA": lambda n: _over(c, n, lambda w: _line(w)[0]) / c,
        "RSQR": lambda n: _over(c, n, lambda w: _line(w)[1]),
        "RESI": lambda n: _over(c, n, lambda w: _line(w)[2]) / c,
        "MAX": lambda n: roll(h, n).max() / c,
        "MIN": lambda n: roll(lo, n).min() / c,
        "QTLU": lambda n: roll(c, n).quantile(0.8) / c,
        "QTLD": lambda n: roll(c, n).quantile(0.2) / c,
        "RANK": lambda n: _over(c, n, rank),
        "RSV": lambda n: (c - roll(lo, n).min()) / (roll(h, n).max() - roll(lo, n).min() + 1e-12),
        "IMAX": lambda n: _over(h, n, lambda w: _position(w, np.nanargmax)) / n,
        "IMIN": lambda n: _over(lo, n, lambda w: _position(w, np.nanargmin)) / n,
        "IMXD": lambda n: (
            (_over(h, n, lambda w: _position(w, np.nanargmax)) - _over(lo, n, lambda w: _position(w, np.nanargmin))) / n
        ),
        "CORR": lambda n: _correlation(c, log_volume, n),
        "CORD": lambda n: _correlation(c / c1, log_change, n),
        "CNTP": lambda n: roll(up, n).mean(),
        "CNTN": lambda n: roll(down, n).mean(),
        "CNTD": lambda n: roll(up, n).mean() - roll(down, n).mean(),
        "SUMP": lambda n: roll((c - c1).clip(lower=0), n).sum() / (roll((c - c1).abs(), n).sum() + 1e-12),
        "SUMN": lambda n: roll((c1 - c).clip(lower=0), n).sum() / (roll((c - c1).abs(), n).sum() + 1e-12),
        "SUMD": lambda n: (
            (roll((c - c1).clip(lower=0), n).sum() - roll((c1 - c).clip(lower=0), n).sum())
            / (roll((c - c1).abs(), n).sum() + 1e-12)
        ),
        "VMA": lambda n: roll(v, n).mean() / (v + 1e-12),
        "VSTD": lambda n: roll(v, n).std() / (v + 1e-12),
        "WVMA": lambda n: roll(weighted, n).std() / (roll(weighted, n).mean() + 1e-12),
        "VSUMP": lambda n: roll((v - v1).clip(lower=0), n).sum() / (roll((v - v1).abs(), n).sum() + 1e-12),
        "VSUMN": lambda n: roll((v1 - v).clip(lower=0), n).sum() / (roll((v - v1).abs(), n).sum() + 1e-12),
        "VSUMD": lambda n: (
            (roll((v - v1).clip(lower=0), n).sum() - roll((v1 - v).clip(lower=0), n).sum())
            / (roll((v - v1).abs(), n).sum() + 1e-12)
        ),
    }
    for name, family in families.items():
        out |= {f"{name}{n}": family(n) for n in WINDOWS}
    return pd.DataFrame(out)
