"""News, quarterly figures and macro releases of the simulated market, each with the instant it became known.

News tells what a session's price has already shown, published after the close, so it is no alpha. Macro figures follow
the market's own turbulence of the month they describe and are released in the month after.

Not here: prices (``world.py``).
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ljwx_pipeline.clock import SHANGHAI
from ljwx_pipeline.sources.simulated.roster import Roster
from ljwx_pipeline.sources.simulated.streams import stream
from ljwx_pipeline.sources.simulated.world import World

Float = NDArray[np.float64]

#: A move this large (log return) is written about, and a quiet session with the chance below.
NEWSWORTHY, QUIET_NEWS_CHANCE = 0.07, 0.01
CLOSE_SECONDS, NEWS_SPREAD_SECONDS = 15 * 3600 + 600, 6 * 3600
#: Series, level, standard deviation, month's persistence, and the day of the next month on which it is released.
MACRO_SERIES = (
    ("cpi_yoy_percent", 1.8, 0.7, 0.90, 10),
    ("ppi_yoy_percent", 0.5, 2.5, 0.93, 10),
    ("manufacturing_pmi", 50.2, 0.8, 0.70, 1),
    ("m2_yoy_percent", 8.8, 0.9, 0.92, 12),
)
RELEASE_SECONDS = 9 * 3600 + 1800


def news_table(seed: int, roster: Roster, world: World) -> pd.DataFrame:
    """Return news sorted by publication; ``sentiment`` lies in [-1, 1] and follows the session's own return."""
    rng = stream(seed, "news")
    moved = np.zeros(world.has_bar.shape)
    moved[world.has_bar] = np.log(world.close_ticks[world.has_bar] / world.pre_close_ticks[world.has_bar])
    written = world.has_bar & ((np.abs(moved) > NEWSWORTHY) | (rng.random(moved.shape) < QUIET_NEWS_CHANCE))
    at, who = np.nonzero(written)
    returns = moved[at, who]
    seconds = CLOSE_SECONDS + rng.integers(0, NEWS_SPREAD_SECONDS, len(at))
    published = (world.sessions[at] + pd.to_timedelta(seconds, unit="s")).tz_localize(SHANGHAI).tz_convert("UTC")
    kind = np.select([returns > NEWSWORTHY, returns < -NEWSWORTHY], ["rises sharply", "falls sharply"], "in focus")
    frame = pd.DataFrame(
        {
            "symbol": np.asarray(roster.symbols, dtype=object)[who],
            "published_at": published.as_unit("ns"),
            "title": [f"Simulated {roster.symbols[i]} {what}" for i, what in zip(who, kind, strict=True)],
            "sentiment": np.tanh(returns / 0.05 + rng.normal(0.0, 0.4, len(at))).round(4),
        }
    )
    return frame.sort_values(["published_at", "symbol"], ignore_index=True)


def macro_table(seed: int, sessions: pd.DatetimeIndex) -> pd.DataFrame:
    """Return macro releases sorted by release: one row a series and month, released the month after."""
    rng = stream(seed, "macro")
    months = pd.date_range(sessions[0].replace(day=1), sessions[-1], freq="MS")
    parts = []
    for name, level, sd, persistence, day in MACRO_SERIES:
        shock = rng.standard_normal(len(months)) * np.sqrt(1.0 - persistence**2)
        state, path = rng.standard_normal(), []
        for step in shock:
            state = persistence * state + step
            path.append(round(level + sd * state, 1))
        local = months + pd.DateOffset(months=1) + pd.Timedelta(days=day - 1, seconds=RELEASE_SECONDS)
        released = pd.DatetimeIndex(local).tz_localize(SHANGHAI).tz_convert("UTC").as_unit("ns")
        parts.append(pd.DataFrame({"series": name, "reference_month": months, "released_at": released, "value": path}))
    return pd.concat(parts).sort_values(["released_at", "series"], ignore_index=True)


def financial_indicators_table(seed: int, roster: Roster, world: World) -> pd.DataFrame:
    """Return return on equity and net profit growth by quarter, announced 20 to 90 days after it, while listed."""
    rng = stream(seed, "financials")
    quarters = pd.date_range(world.sessions[0], world.sessions[-1], freq="QE")
    shape = (len(quarters), len(roster.symbols))
    level = rng.normal(2.2, 1.0, shape[1])
    values = {
        "roe_percent": (level + rng.normal(0.0, 0.5, shape)).round(4),
        "net_profit_yoy_percent": rng.normal(8.0, 25.0, shape).round(4),
    }
    announced = quarters.to_numpy()[:, None] + rng.integers(20, 91, shape).astype("timedelta64[D]")
    position = np.minimum(world.sessions.searchsorted(announced.ravel()), len(world.sessions) - 1)
    known = (announced.ravel() <= world.sessions[-1].to_numpy()).reshape(shape)
    known &= world.listed[position, np.tile(np.arange(shape[1]), shape[0])].reshape(shape)
    at, who = np.nonzero(known)
    symbols = np.asarray(roster.symbols, dtype=object)
    parts = [
        pd.DataFrame(
            {
                "symbol": symbols[who],
                "report_period": quarters[at],
                "announced_date": pd.DatetimeIndex(announced[at, who]),
                "indicator": name,
                "value": figures[at, who],
            }
        )
        for name, figures in values.items()
    ]
    return pd.concat(parts).sort_values(["announced_date", "symbol", "indicator"], ignore_index=True)
