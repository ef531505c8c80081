"""The sections on data: which source, how each provider is asked, what bad rows may cost.

Not here: reading data files (``sources/``).
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Literal

from pydantic import Field, field_validator, model_validator

from ljwx_pipeline.clock import SESSION_CLOSE, SHANGHAI, utc_now
from ljwx_pipeline.config.section import Section

#: A ``last_session`` that moves with the clock.
OPEN: Literal["today"] = "today"

SourceKind = Literal["simulated", "folder", "tushare", "akshare", "baostock"]
Adjustment = Literal["raw", "forward", "backward"]
#: What a column of a user's file may be declared to be, without its unit (that is declared beside it).
ColumnRole = Literal[
    "symbol",
    "session_date",
    "open",
    "high",
    "low",
    "close",
    "pre_close",
    "change",
    "volume",
    "amount",
    "adj_factor",
    "name",
    "traded",
    "is_st",
]


class SourceSettings(Section):
    """Which data source feeds the line, and the first and last session asked of it (inclusive).

    ``symbols`` narrows a real provider to those; none named means every stock that ever listed. With ``as_of`` nothing
    is fetched: the line runs on what its lake held at that instant, beside the market it replays. A ``last_session`` of
    ``today`` is open: ``until`` says what it is now.
    """

    kind: SourceKind
    first_session: date
    last_session: date | Literal["today"]
    symbols: tuple[str, ...]
    as_of: str

    @field_validator("last_session", mode="before")
    @classmethod
    def _a_day_or_today(cls, given: object) -> object:
        if isinstance(given, str) and given != OPEN:
            try:
                return date.fromisoformat(given)
            except ValueError:
                given = None
        if given != OPEN and not isinstance(given, date):
            msg = f"write a date such as 2026-12-31, or {OPEN} for the newest finished session"
            raise ValueError(msg)
        return given

    @field_validator("as_of")
    @classmethod
    def _an_instant(cls, text: str) -> str:
        if not text:
            return text
        try:
            instant = datetime.fromisoformat(text)
            zoned = instant.tzinfo is not None and bool(instant.astimezone(UTC))
        except (ValueError, OverflowError):
            zoned = False
        if not zoned:
            msg = f"{text} is no instant with a time zone: write 2026-01-05T18:00:00+08:00"
            raise ValueError(msg)
        return text

    @property
    def replayed_instant(self) -> datetime | None:
        """The instant whose knowledge is replayed; None when the source is asked."""
        return datetime.fromisoformat(self.as_of).astimezone(UTC) if self.as_of else None

    @property
    def until(self) -> date:
        """The last day asked of the source: ``last_session``, or while that is open the last day whose close is past.

        A replay's clock stands at the instant it replays. This is the one place that resolves an open end, anew each
        time it is asked: a process that runs for weeks moves on with the days.
        """
        if self.last_session != OPEN:
            return self.last_session
        local = (self.replayed_instant or utc_now()).astimezone(SHANGHAI)
        return local.date() if local.time() >= SESSION_CLOSE else local.date() - timedelta(days=1)

    @model_validator(mode="after")
    def _ordered(self) -> SourceSettings:
        if self.first_session >= self.until:
            said = f"{self.last_session}" if self.last_session != OPEN else f"{OPEN} ({self.until})"
            msg = f"first_session {self.first_session} is not before last_session {said}"
            raise ValueError(msg)
        return self


class SimulatedSettings(Section):
    """The simulated market: its seed, its size and the strength of the alpha planted in it."""

    seed: int = Field(ge=0)
    symbols: int = Field(ge=20, le=6000)
    oracle_rank_ic: float = Field(ge=0.0, le=0.5)


class FolderSettings(Section):
    """The user's own files: what their columns are called, their units and how their prices are adjusted.

    ``columns`` maps a role to the file's own column name; a role left out is recognised by the spellings of tushare,
    akshare and baostock. The units are those of the bars; of index files they are recognised.
    """

    data: str
    index_data: tuple[str, ...]
    adjustment: Adjustment
    columns: dict[ColumnRole, str]
    volume_unit: Literal["auto", "shares", "lots"]
    amount_unit: Literal["auto", "cny", "thousand_cny"]


class ProviderSettings(Section):
    """How often and how patiently a provider is asked: calls a minute, seconds a call, attempts a call."""

    calls_per_minute: int = Field(ge=1)
    timeout_s: float = Field(gt=0)
    attempts: int = Field(ge=1, le=20)


class TushareSettings(ProviderSettings):
    """Tushare's address, and the file that holds the token (empty: the environment's ``TUSHARE_TOKEN``).

    ``fundamentals``: figures of periodic reports not at all, a call a stock, or a call a quarter for all stocks.
    """

    endpoint: str
    token_file: str
    fundamentals: Literal["off", "per_stock", "vip"]


class AkshareSettings(ProviderSettings):
    """An address that answers for every page akshare reads; empty means the public pages themselves."""

    endpoint: str


class BaostockSettings(ProviderSettings):
    """Baostock's server."""

    host: str
    port: int = Field(ge=1, le=65535)


class IngestSettings(Section):
    """How far back a provider is asked again, so that a restatement is noticed."""

    recheck_sessions: int = Field(ge=0)


class QualitySettings(Section):
    """What bad rows may cost before a session counts as bad."""

    max_quarantine_frac: float = Field(ge=0, le=1)
    max_restated_frac: float = Field(ge=0, le=1)
