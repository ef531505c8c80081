"""A source that answers like a provider: it counts calls, fails when told to, restates and publishes by the day."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from typing import Literal

import pandas as pd

from ljwx_pipeline.config import SimulatedSettings
from ljwx_pipeline.errors import SourceError
from ljwx_pipeline.market.tables import SourceDescription
from ljwx_pipeline.sources.base import BarUnit, month_units
from ljwx_pipeline.sources.simulated.source import SimulatedMarket

WORLD = SimulatedSettings(seed=5, symbols=20, oracle_rank_ic=0.1)


@dataclass
class RemoteSource:
    """The simulated market behind a provider's habits.

    Parameters
    ----------
    published
        The last session it has published.
    fetches
        What a question costs it.
    fail_after
        Calls for bars that succeed before every other one fails; None never fails.
    silent
        Sessions of which it gives no row.
    days_beyond
        Days before and after those asked for whose rows it gives too.
    """

    published: date
    fetches: Literal["at_hand", "by_session", "by_symbol"] = "by_session"
    fail_after: int | None = None
    silent: tuple[str, ...] = ()
    days_beyond: int = 0
    without_values: tuple[str, ...] = ()
    paid_more_cny: float = 0.0
    calls: list[str] = field(default_factory=list)
    restated: dict[tuple[str, str], float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.market = SimulatedMarket(WORLD)

    def describe(self) -> SourceDescription:
        return replace(self.market.describe(), name="remote", fetches=self.fetches)

    def sessions(self, first: date, last: date) -> pd.DatetimeIndex:
        return self.market.sessions(first, min(last, self.published))

    def bar_units(self, first: date, last: date) -> list[BarUnit]:
        if self.fetches == "by_symbol":
            return [BarUnit(symbol, first, last, symbol) for symbol in self.securities()["symbol"]]
        if self.fetches == "at_hand":
            span = self.sessions(first, last)
            return month_units(span[0].date(), span[-1].date())
        return [BarUnit(f"{day:%Y-%m-%d}", day.date(), day.date()) for day in self.sessions(first, last)]

    def bars_of(self, unit: BarUnit) -> pd.DataFrame:
        if self.fail_after is not None and len(self.calls) >= self.fail_after:
            raise SourceError("the provider is out of order", "wait")
        self.calls.append(unit.key)
        beyond = timedelta(days=self.days_beyond)
        frame = self.market.bars(unit.first - beyond, min(unit.last + beyond, self.published))
        if unit.symbol is not None:
            frame = frame[frame["symbol"] == unit.symbol]
        frame = frame[~frame["session_date"].isin(pd.DatetimeIndex(self.silent))].copy()
        for (symbol, day), close in self.restated.items():
            frame.loc[(frame["symbol"] == symbol) & (frame["session_date"] == day), "close_cny"] = close
        return frame.reset_index(drop=True)

    def securities(self) -> pd.DataFrame:
        return self.market.securities()

    def market_values(self, first: date, last: date) -> pd.DataFrame:
        self.calls.append(f"market_values {first} {last}")
        frame = self.market.market_values(first, min(last, self.published))
        silent = frame["session_date"].dt.strftime("%Y-%m").isin(self.without_values)
        return frame[~silent].reset_index(drop=True)

    def corporate_actions(self, first: date, last: date) -> pd.DataFrame:
        self.calls.append(f"corporate_actions {first} {last}")
        frame = self.market.corporate_actions(first, min(last, self.published))
        return frame.assign(cash_cny_per_share=frame["cash_cny_per_share"] + self.paid_more_cny)

    def news(self, first: date, last: date) -> pd.DataFrame:
        self.calls.append(f"news {first} {last}")
        return self.market.news(first, last)
