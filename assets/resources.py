"""Dagster resources: thin wrappers that give assets the settings and the places state lives in.

Not here: any logic. A resource opens what the library offers and hands it over.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg
from pydantic import PrivateAttr

from ljwx_pipeline.config import (
    ModelSettings,
    Settings,
    ljwx_home,
    load_settings,
    market_home,
    registered_model,
    replayed,
)

if TYPE_CHECKING:
    import pandas as pd

    from ljwx_pipeline.factors.catalogue import Catalogue
    from ljwx_pipeline.lake import Lake
    from ljwx_pipeline.registry import Registry
    from ljwx_pipeline.sources.base import MarketSource


class Line(dg.ConfigurableResource):
    """One production line: the settings of the profile that the environment names, and the stores opened from them.

    Parameters
    ----------
    made_again_model, made_again_revision
        Name of the model and git revision that a reproduction states in place of its own: those of what it makes
        again. Empty for every other run.
    made_again_warm_start
        File of what its study tried early and the trials before it (``warm_start`` of ``made.json``), likewise.
    """

    made_again_model: str = ""
    made_again_revision: str = ""
    made_again_warm_start: str = ""
    _settings: Settings | None = PrivateAttr(default=None)
    _catalogue: Catalogue | None = PrivateAttr(default=None)

    @property
    def settings(self) -> Settings:
        """The frozen settings of this line, read once."""
        if self._settings is None:
            self._settings = load_settings()
        return self._settings

    def under(self, model: ModelSettings) -> Line:
        """Return this line under another ``[model]``: what the dataset of a candidate to compare is built on."""
        other = Line()
        other._settings = self.settings.model_copy(update={"model": model})
        return other

    @property
    def home(self) -> Path:
        """The folder of this line's market."""
        return market_home(self.settings)

    @property
    def tables(self) -> Path:
        """Where assets keep their tables."""
        return self.home / "tables"

    @property
    def reports(self) -> Path:
        """Where reports of all markets are kept."""
        return ljwx_home() / "reports"

    @property
    def registered_model(self) -> str:
        """The name in the model registry: a champion is the champion of one market."""
        return self.made_again_model or registered_model(self.settings)

    @property
    def catalogue(self) -> Catalogue:
        """The factors that models of this line are made of, read once."""
        if self._catalogue is None:
            from ljwx_pipeline.factors.catalogues import open_catalogue

            self._catalogue = open_catalogue(self.settings.factors.catalogue)
        return self._catalogue

    def lake(self) -> Lake:
        """Open this market's lake: what its source said."""
        from ljwx_pipeline.lake import Lake

        return Lake(self.home / "lake")

    def checked_lake(self) -> Lake:
        """Open the lake of what passed the checks, and of what did not."""
        from ljwx_pipeline.lake import Lake

        return Lake(self.home / "checked")

    def market_table(self, name: str) -> pd.DataFrame:
        """Return a table of this market's lake as known now; empty when the source never said anything of it."""
        from ljwx_pipeline.ingest.tables import read_market_table

        return read_market_table(self.lake(), name)

    def releases(self) -> pd.DataFrame:
        """Return the rows that somebody let out of quarantine; in a replay, those let out by its instant."""
        from ljwx_pipeline.ingest.released import read_releases
        from ljwx_pipeline.lake import Lake

        settings = self.settings
        origin = Lake(market_home(replayed(settings)) / "lake")
        return read_releases(origin, as_of=settings.source.replayed_instant)

    def checked_bars(self) -> pd.DataFrame:
        """Return every bar of this line's sessions that passed the checks, in canonical order."""
        sessions = self.sessions()
        return self.checked_lake().read("bars", first=sessions[0].date(), last=sessions[-1].date())

    def sessions(self) -> pd.DatetimeIndex:
        """Return the sessions this line works on: those of the calendar in the lake inside the configured range."""
        import pandas as pd

        held, span = self.held_sessions(), self.settings.source
        return held[(held >= pd.Timestamp(span.first_session)) & (held <= pd.Timestamp(span.until))]

    def held_sessions(self) -> pd.DatetimeIndex:
        """Return every session that was ever asked for: what is stored is judged whole, whatever range is at work."""
        import pandas as pd

        return pd.DatetimeIndex(self.market_table("calendar")["session_date"], name="session_date")

    def source(self) -> MarketSource:
        """Return the data source the settings name; a process reads its files once."""
        return _opened_source(self.settings.model_dump_json())

    def registry(self) -> Registry:
        """Open the model registry."""
        from ljwx_pipeline.registry import open_registry

        return open_registry(self.settings.mlflow, home=ljwx_home())


@lru_cache(maxsize=1)
def _opened_source(settings_json: str) -> MarketSource:
    from ljwx_pipeline.sources.open import open_source

    return open_source(Settings.model_validate_json(settings_json))
