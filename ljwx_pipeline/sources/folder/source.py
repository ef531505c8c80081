"""The folder source: the user's own files behind the market-source port, read once and then served by date."""

from __future__ import annotations

from datetime import date
from functools import cached_property

import pandas as pd

from ljwx_pipeline.config import FolderSettings
from ljwx_pipeline.errors import SourceError
from ljwx_pipeline.market.calendar import sessions_between
from ljwx_pipeline.market.tables import SourceDescription, empty_table
from ljwx_pipeline.sources.base import BarUnit, month_units
from ljwx_pipeline.sources.folder.bars import LoadedBars, load_bars
from ljwx_pipeline.sources.folder.index_bars import load_index_bars
from ljwx_pipeline.sources.folder.unknowns import unknowns


class FolderSource:
    """Daily bars and index bars from CSV or Parquet files.

    Nothing is read before the first table is asked for; then the files are read once and kept.

    Parameters
    ----------
    folder
        Paths, adjustment, columns and units.
    required_indices
        Index codes that the line will compare with; their absence is reported before anything is computed.
    """

    def __init__(self, folder: FolderSettings, *, required_indices: tuple[str, ...] = ()) -> None:
        self._folder = folder
        self._required_indices = required_indices

    @cached_property
    def _loaded(self) -> LoadedBars:
        return load_bars(self._folder)

    @cached_property
    def _index(self) -> tuple[pd.DataFrame, SourceDescription]:
        table, notes = load_index_bars(self._folder)
        present = sorted(table["index_code"].unique())
        missing = [code for code in self._required_indices if code not in present]
        if missing:
            raise SourceError(
                f"folder.index_data holds {', '.join(present)} but not {', '.join(missing)}",
                "add that index's file to --index-data, or take it out of evaluation.indices "
                "(and name one of those present as gate.benchmark)",
            )
        loaded = self._loaded
        base = unknowns(self._folder.adjustment, st_known=len(loaded.st_spells) > 0)
        description = SourceDescription("folder", False, self._folder.adjustment, (*base, *loaded.notes, *notes))
        return table, description

    def describe(self) -> SourceDescription:
        """Return the declared adjustment, what the files cannot say, and what was inferred from them."""
        return self._index[1]

    def sessions(self, first: date, last: date) -> pd.DatetimeIndex:
        """Return the exchange's sessions of ``[first, last]`` from the first bar to the last."""
        days = self._loaded.bars["session_date"]
        start, end = max(first, days.iloc[0].date()), min(last, days.iloc[-1].date())
        if start > end:
            raise SourceError(*self._outside(first, last))
        return sessions_between(start, end)

    def securities(self) -> pd.DataFrame:
        """Return one row a symbol; its name may be its code.

        It counts as listed on its first bar, or at an unknown date before the files where those begin with that bar.
        """
        return self._loaded.securities.copy()

    def st_spells(self, first: date, last: date) -> pd.DataFrame:  # noqa: ARG002 - the port's signature
        """Return every spell that an ST column shows; empty without one."""
        return self._loaded.st_spells.copy()

    def industries(self, first: date, last: date) -> pd.DataFrame:  # noqa: ARG002 - the port's signature
        """Return an empty table: files of bars do not say."""
        return empty_table("industries")

    def index_members(self, first: date, last: date) -> pd.DataFrame:  # noqa: ARG002 - the port's signature
        """Return an empty table: files of bars do not say."""
        return empty_table("index_members")

    def corporate_actions(self, first: date, last: date) -> pd.DataFrame:  # noqa: ARG002 - the port's signature
        """Return an empty table: the reference price carries their effect, not their kind."""
        return empty_table("corporate_actions")

    def bar_units(self, first: date, last: date) -> list[BarUnit]:
        """Return the months of ``[first, last]`` that the files reach."""
        span = self.sessions(first, last)
        return month_units(span[0].date(), span[-1].date())

    def bars_of(self, unit: BarUnit) -> pd.DataFrame:
        """Return the bars of one month; none where it lies within the files and they miss it."""
        return self.bars(unit.first, unit.last)

    def bars(self, first: date, last: date) -> pd.DataFrame:
        """Return daily bars of ``[first, last]`` by session and symbol.

        Raises
        ------
        SourceError, DataQualityError
            When the files cannot be read as declared, break a hard rule, or the range lies before or after them.
        """
        return self._between(self._loaded.bars, first, last)

    def index_bars(self, first: date, last: date) -> pd.DataFrame:
        """Return daily index bars of ``[first, last]`` by session and code; errors as for ``bars``."""
        return self._between(self._index[0], first, last)

    def market_values(self, first: date, last: date) -> pd.DataFrame:  # noqa: ARG002 - the port's signature
        """Return an empty table: files of bars do not say."""
        return empty_table("market_values")

    def suspensions(self, first: date, last: date) -> pd.DataFrame:  # noqa: ARG002 - the port's signature
        """Return an empty table: an absent row may be a suspension or a gap in the file."""
        return empty_table("suspensions")

    def price_limits(self, first: date, last: date) -> pd.DataFrame:  # noqa: ARG002 - the port's signature
        """Return an empty table: files of bars do not say."""
        return empty_table("price_limits")

    def financial_indicators(self, first: date, last: date) -> pd.DataFrame:  # noqa: ARG002 - the port's signature
        """Return an empty table: files of bars do not say."""
        return empty_table("financial_indicators")

    def news(self, first: date, last: date) -> pd.DataFrame:  # noqa: ARG002 - the port's signature
        """Return an empty table: files of bars do not say."""
        return empty_table("news")

    def macro(self, first: date, last: date) -> pd.DataFrame:  # noqa: ARG002 - the port's signature
        """Return an empty table: files of bars do not say."""
        return empty_table("macro")

    def _between(self, table: pd.DataFrame, first: date, last: date) -> pd.DataFrame:
        days = table["session_date"]
        start, stop = days.searchsorted(pd.Timestamp(first)), days.searchsorted(pd.Timestamp(last), side="right")
        # a hole between two rows is told by the checks, which know the calendar and what was held before
        if start >= stop and (start == 0 or stop == len(days)):
            raise SourceError(*self._outside(first, last, days))
        return table.iloc[start:stop].reset_index(drop=True)

    def _outside(self, first: date, last: date, days: pd.Series | None = None) -> tuple[str, str]:
        held = self._loaded.bars["session_date"] if days is None else days
        span = f"{held.iloc[0]:%Y-%m-%d} to {held.iloc[-1]:%Y-%m-%d}"
        return (
            f"the files hold no row from {first} to {last}; they hold {span}",
            "correct source.first_session and source.last_session",
        )
