"""What a backfill would fetch, how many calls that takes and how long: asked before the first of them.

Not here: deciding what to fetch (``plan.py``), fetching (``bars.py``).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from ljwx_pipeline.clock import Clock, SystemClock
from ljwx_pipeline.config import Settings, market_home
from ljwx_pipeline.ingest.plan import RAW_BARS, held_sessions, months_of, plan_bars
from ljwx_pipeline.ingest.staging import Staging
from ljwx_pipeline.lake import Lake
from ljwx_pipeline.sources.base import MarketSource

#: A unit of bars takes a call for the prices and one for the adjustment factors, at every provider.
CALLS_A_UNIT = 2
#: Calls a session for the tables beside the bars: tushare's market values, price limits and ex-dates; two pages of
#: akshare's suspensions.
CALLS_A_SESSION = {"tushare": 3, "akshare": 2}
#: Of these, tushare asks by symbol within a month of which it wants more sessions than symbols.
BY_SYMBOL_WHERE_FEWER = ("tushare",)
#: Calls a symbol for the tables beside the bars: baostock's daily flags and dividends.
CALLS_A_SYMBOL = {"baostock": 2}
#: Questions of a month: suspensions and the factors that prove the dividends, or a sample of the industries.
CALLS_A_MONTH = {"tushare": 3, "baostock": 1}
#: Providers that are asked for the members of each index by the month.
MEMBERS_BY_MONTH = ("tushare", "baostock")


@dataclass(frozen=True)
class IngestEstimate:
    """A backfill on the market it would fill.

    Parameters
    ----------
    first_session, last_session, sessions
        What the lake is to hold.
    missing, again
        Sessions of which it holds no row; newest ones it holds that are fetched once more.
    units, units_left_over
        Pieces of a run that did not finish and of what it leaves to do, and those that it has fetched already.
    calls, calls_beside, minutes
        At least, for bars; about, for the tables beside them; about, for both. None where everything is at hand.
    """

    profile: str
    source: str
    first_session: str
    last_session: str
    sessions: int
    missing: int
    again: int
    units: int
    units_left_over: int
    calls: int | None
    calls_beside: int | None
    minutes: float | None
    home: str

    def as_dict(self) -> dict[str, Any]:
        """Return the estimate as plain values."""
        return asdict(self)

    def sentence(self) -> str:
        """Return the estimate as lines for a person."""
        lines = [
            f"would load {self.source} data of {self.first_session} to {self.last_session} into {self.home}",
            f"sessions  {self.sessions:,}, of which {self.missing:,} are missing"
            f" and {self.again:,} are fetched once more",
            f"units     {self.units - self.units_left_over:,} to fetch{self._kept()}",
        ]
        if self.calls is None or self.calls_beside is None:
            return "\n".join([*lines, "calls     none: everything is at hand"])
        said = f"{self.calls:,} at least, for bars, and about {self.calls_beside:,} for the tables beside them"
        return "\n".join([*lines, f"calls     {said}; about {duration(self.minutes or 0.0)} at the configured rate"])

    def _kept(self) -> str:
        return f", {self.units_left_over:,} kept from an unfinished run" if self.units_left_over else ""


def estimate_ingest(
    settings: Settings, source: MarketSource, staging: Path, *, clock: Clock | None = None
) -> IngestEstimate:
    """Return what bringing the lake up to ``settings.source`` takes; nothing is fetched but calendar and stock list.

    Parameters
    ----------
    staging
        Where the run keeps units on their way: one that did not finish is taken up as it was planned.

    Raises
    ------
    SourceError
        When the source cannot be read or has no session in the range.
    """
    span, home = settings.source, market_home(settings)
    now, lake, staged = (clock or SystemClock()).now(), Lake(home / "lake"), Staging(staging)
    try:
        left = staged.left_over(now)
    except ValueError:  # the run sets it aside and says so
        left = None
    taken_up = () if left is None else left.plan.units
    plan = plan_bars(
        source,
        lake,
        span.first_session,
        span.until,
        recheck_sessions=settings.ingest.recheck_sessions,
        on_their_way=None if left is None else left.plan.fetched,
    )
    todays = left is not None and left.is_todays(plan.wanted, now)
    units = taken_up if todays else (*taken_up, *plan.units)
    held = held_sessions(lake, RAW_BARS, months_of(plan.wanted))
    fetched = (plan.fetched if left is None else plan.fetched.union(left.plan.fetched)).intersection(plan.wanted)
    left_over = sum(staged.holds(unit) for unit in taken_up)
    rate, calls, beside, minutes = _calls_per_minute(settings), None, None, None
    if rate is not None:
        calls = CALLS_A_UNIT * (len(units) - left_over)
        beside = _calls_beside(settings, fetched, len(span.symbols) or len(source.securities()))
        minutes = round((calls + beside) / rate, 1)
    return IngestEstimate(
        profile=settings.profile,
        source=span.kind,
        first_session=f"{plan.wanted[0]:%Y-%m-%d}",
        last_session=f"{plan.wanted[-1]:%Y-%m-%d}",
        sessions=len(plan.wanted),
        missing=len(fetched.difference(held)),
        again=len(fetched.intersection(held)),
        units=len(units),
        units_left_over=left_over,
        calls=calls,
        calls_beside=beside,
        minutes=minutes,
        home=str(home),
    )


def _calls_beside(settings: Settings, fetched: pd.DatetimeIndex, symbols: int) -> int:
    """Return about how many calls the tables beside the bars take for the sessions ``fetched``."""
    kind, indices = settings.source.kind, len(settings.evaluation.indices)
    sessions_by_month = fetched.to_period("M").value_counts()
    most = symbols if kind in BY_SYMBOL_WHERE_FEWER else len(fetched)
    by_session = sum(min(int(sessions), most) for sessions in sessions_by_month)
    by_month = CALLS_A_MONTH.get(kind, 0) + (indices if kind in MEMBERS_BY_MONTH else 0)
    by_symbol = CALLS_A_SYMBOL.get(kind, 0) + (kind == "tushare" and settings.tushare.fundamentals == "per_stock")
    return (
        CALLS_A_SESSION.get(kind, 0) * by_session
        + by_month * len(sessions_by_month)
        + (by_symbol * symbols if len(fetched) else 0)
    )


def duration(minutes: float) -> str:
    """Return a span of time in the unit a person would choose."""
    if minutes < 1:
        return f"{minutes * 60:.0f} s"
    return f"{minutes:.0f} min" if minutes < 120 else f"{minutes / 60:.1f} h"


def _calls_per_minute(settings: Settings) -> int | None:
    """Return the provider's rate; None where data are at hand (a replay too)."""
    kind = settings.source.kind
    if settings.source.replayed_instant is not None or kind in ("simulated", "folder"):
        return None
    section = {"tushare": settings.tushare, "akshare": settings.akshare, "baostock": settings.baostock}[kind]
    return section.calls_per_minute
