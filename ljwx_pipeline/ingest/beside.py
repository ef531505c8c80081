"""The tables that bars are judged beside, as one lake knew them at one instant.

Small ones are read whole and once, dated ones a block's sessions at a time. Not here: judging (``judged.py``).
"""

from __future__ import annotations

from datetime import datetime
from functools import cached_property

import pandas as pd

from ljwx_pipeline.lake import Lake, TableVersion
from ljwx_pipeline.lake.content_hash import combined_hash
from ljwx_pipeline.lake.store import read_versions
from ljwx_pipeline.market.tables import DATE_COLUMNS

#: Tables that a bar is judged beside: small ones whole, dated ones of the block.
BESIDE = ("securities", "st_spells")
BESIDE_BY_DATE = ("price_limits", "suspensions", "corporate_actions")


class Beside:
    """The tables of ``lake`` known at ``as_of`` (now, when None); one that was not known then is left out."""

    def __init__(self, lake: Lake, as_of: datetime | None) -> None:
        self._versions = {name: lake.known(name, as_of=as_of) for name in (*BESIDE, *BESIDE_BY_DATE)}

    def hashes(self, months: tuple[str, ...]) -> dict[str, str]:
        """Return what the tables say of a block of months, as one hash a table: no row is read for it."""
        within = {name: self._within(name, months) for name in self._versions}
        return {name: combined_hash({item.partition: item.content_hash for item in within[name]}) for name in within}

    def tables(self, months: tuple[str, ...], sessions: pd.DatetimeIndex) -> dict[str, pd.DataFrame]:
        """Return the whole tables, and of the dated ones the rows of ``sessions``."""
        found = dict(self._whole)
        for name in BESIDE_BY_DATE:
            if versions := self._within(name, months):
                first, last = (None, None) if name in DATE_COLUMNS else (sessions[0].date(), sessions[-1].date())
                found[name] = read_versions(versions, first=first, last=last)
        return found

    @cached_property
    def _whole(self) -> dict[str, pd.DataFrame]:
        return {name: read_versions(self._versions[name]) for name in BESIDE if self._versions[name]}

    def _within(self, name: str, months: tuple[str, ...]) -> list[TableVersion]:
        versions = self._versions[name]
        if name in BESIDE:
            return versions
        return [item for item in versions if months[0] <= item.partition <= months[-1]]
