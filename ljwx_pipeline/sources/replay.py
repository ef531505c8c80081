"""The lake as a source: what a market's lake held at an instant, behind the port that providers stand behind.

A line that runs on it computes what it would have computed then. Not here: storing (``ingest/``), the lake itself.
"""

from __future__ import annotations

from datetime import date, datetime

import pandas as pd

from ljwx_pipeline.clock import SHANGHAI
from ljwx_pipeline.errors import SourceError
from ljwx_pipeline.lake import Lake, TableVersion
from ljwx_pipeline.lake.catalogue import was_known
from ljwx_pipeline.lake.store import read_versions
from ljwx_pipeline.market.tables import DATE_COLUMNS, SourceDescription, Unknown, empty_table
from ljwx_pipeline.sources.base import BarUnit, month_units

#: Table of the lake that keeps what the source said of itself, a row a statement.
DESCRIPTION = "source_description"
CALENDAR, RAW_BARS = "calendar", "raw_bars"
#: The partition of a table that is kept in one; corporate actions were, before they were kept by month.
WHOLE = "all"


class ReplaySource:
    """Canonical tables as the lake knew them at one instant.

    Parameters
    ----------
    lake
        Of the market that is replayed.
    as_of
        The instant, timezone-aware.
    """

    def __init__(self, lake: Lake, as_of: datetime) -> None:
        self._lake = lake
        self._as_of = as_of
        self._versions: dict[str, list[TableVersion]] = {}

    def describe(self) -> SourceDescription:
        """Return what the source said of itself then."""
        return description_from(self._table(DESCRIPTION))

    def sessions(self, first: date, last: date) -> pd.DatetimeIndex:
        """Return the sessions of ``[first, last]`` that the calendar held then."""
        days = pd.DatetimeIndex(self._table(CALENDAR)["session_date"], name="session_date")
        found = days[(days >= pd.Timestamp(first)) & (days <= pd.Timestamp(last))]
        if found.empty:
            raise SourceError(
                f"nothing from {first} to {last} was held at {self._as_of.isoformat()}",
                "name a later instant, or a range that was loaded by then",
            )
        return found

    def securities(self) -> pd.DataFrame:
        """Return the securities known then."""
        return self._table("securities")

    def st_spells(self, first: date, last: date) -> pd.DataFrame:  # noqa: ARG002 - the port's signature
        """Return the spells known then."""
        return self._table("st_spells")

    def industries(self, first: date, last: date) -> pd.DataFrame:  # noqa: ARG002 - the port's signature
        """Return the industries known then."""
        return self._table("industries")

    def index_members(self, first: date, last: date) -> pd.DataFrame:  # noqa: ARG002 - the port's signature
        """Return the index members known then."""
        return self._table("index_members")

    def corporate_actions(self, first: date, last: date) -> pd.DataFrame:
        """Return the corporate actions known then."""
        return self._by_month("corporate_actions", first, last)

    def bar_units(self, first: date, last: date) -> list[BarUnit]:
        """Return the months of ``[first, last]``."""
        span = self.sessions(first, last)
        return month_units(span[0].date(), span[-1].date())

    def bars_of(self, unit: BarUnit) -> pd.DataFrame:
        """Return the bars of one month as known then."""
        versions = self._known(RAW_BARS)
        return read_versions(versions, first=unit.first, last=unit.last) if versions else empty_table("bars")

    def index_bars(self, first: date, last: date) -> pd.DataFrame:
        """Return the index bars known then."""
        return self._by_session("index_bars", first, last)

    def market_values(self, first: date, last: date) -> pd.DataFrame:
        """Return the market values known then."""
        return self._by_session("market_values", first, last)

    def suspensions(self, first: date, last: date) -> pd.DataFrame:
        """Return the suspensions known then."""
        return self._by_session("suspensions", first, last)

    def price_limits(self, first: date, last: date) -> pd.DataFrame:
        """Return the price limits known then."""
        return self._by_session("price_limits", first, last)

    def financial_indicators(self, first: date, last: date) -> pd.DataFrame:
        """Return the figures known then."""
        return self._by_month("financial_indicators", first, last)

    def news(self, first: date, last: date) -> pd.DataFrame:
        """Return the news known then."""
        return self._by_month("news", first, last)

    def macro(self, first: date, last: date) -> pd.DataFrame:
        """Return the releases known then."""
        return self._by_month("macro", first, last)

    def _known(self, name: str) -> list[TableVersion]:
        """Return the versions known then, none of a table that came later; what retention removed is an error."""
        if name not in self._versions:
            known = was_known(self._lake, name, self._as_of)
            if not known and name in (DESCRIPTION, CALENDAR):
                raise SourceError(
                    f"{self._lake.root} held no {name} at {self._as_of.isoformat()}: nothing was loaded by then",
                    "name a later instant, or run the same command without --as-of first",
                )
            self._versions[name] = self._lake.current(name, as_of=self._as_of) if known else []
        return self._versions[name]

    def _table(self, name: str) -> pd.DataFrame:
        versions = self._known(name)
        return read_versions(versions) if versions else empty_table(name)

    def _by_session(self, name: str, first: date, last: date) -> pd.DataFrame:
        versions = self._known(name)
        return read_versions(versions, first=first, last=last) if versions else empty_table(name)

    def _by_month(self, name: str, first: date, last: date) -> pd.DataFrame:
        """Return the rows of ``[first, last]`` of a table without sessions, from the months they lie in."""
        start, stop = f"{first:%Y-%m}-01", f"{last:%Y-%m}-01"
        within = [item for item in self._known(name) if item.partition == WHOLE or start <= item.partition <= stop]
        if not within:
            return empty_table(name)
        table = read_versions(within)
        days = table[DATE_COLUMNS[name]]
        if isinstance(days.dtype, pd.DatetimeTZDtype):
            days = days.dt.tz_convert(SHANGHAI).dt.tz_localize(None).dt.normalize()
        return table[days.between(pd.Timestamp(first), pd.Timestamp(last))].reset_index(drop=True)


def description_table(description: SourceDescription) -> pd.DataFrame:
    """Return what a source says of itself as a table that the lake can keep; ``description_from`` reads it."""
    rows = [
        ("name", description.name, ""),
        ("simulated", str(description.simulated), ""),
        ("adjustment", description.adjustment, ""),
        *(("unknown", unknown.what, unknown.consequence) for unknown in description.unknown),
        *(("symbol", symbol, "") for symbol in description.symbols),
    ]
    return pd.DataFrame(rows, columns=["statement", "value", "consequence"])


def description_from(table: pd.DataFrame) -> SourceDescription:
    """Return the description that ``description_table`` wrote; everything is at hand in a lake."""
    said = dict(zip(table["statement"], table["value"], strict=True))
    unknown = table[table["statement"] == "unknown"]
    return SourceDescription(
        name=said["name"],
        simulated=said["simulated"] == "True",
        adjustment=said["adjustment"],
        unknown=tuple(Unknown(*pair) for pair in zip(unknown["value"], unknown["consequence"], strict=True)),
        symbols=tuple(table.loc[table["statement"] == "symbol", "value"]),
    )
