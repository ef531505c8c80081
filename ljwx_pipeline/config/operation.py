"""The sections on operation: tracking, stores, pages, the runner, its limits and the schedule.

Not here: the folders all of it lives in (``homes.py``).
"""

from __future__ import annotations

from ipaddress import ip_address
from urllib.parse import urlsplit

from pydantic import Field, field_validator

from ljwx_pipeline.config.live_strategies import LiveStrategySettings
from ljwx_pipeline.config.section import Section
from ljwx_pipeline.config.stages import StageSettings


class MlflowSettings(Section):
    """Where runs and models are recorded; empty addresses mean SQLite and a folder under ``LJWX_HOME``.

    An object store's credentials come from the environment alone: an address is shown and stored.
    """

    tracking_uri: str
    artifact_root: str
    experiment: str
    model_name: str

    @field_validator("artifact_root")
    @classmethod
    def _a_url_without_credentials(cls, value: str) -> str:
        parts = urlsplit(value)
        if value and (not parts.scheme or parts.username is not None or parts.password is not None):
            msg = "write a URL without credentials, such as s3://bucket/prefix or file:///srv/artifacts"
            raise ValueError(msg)
        return value


class FeastSettings(Section):
    """How much of the offline store is compared with the feature table."""

    parity_rows: int = Field(ge=1)
    parity_seed: int = Field(ge=0)


class UiSettings(Section):
    """Loopback ports of what ``make up`` starts."""

    host: str
    dagster_port: int = Field(ge=1024, le=65535)
    mlflow_port: int = Field(ge=1024, le=65535)
    runner_port: int = Field(ge=1024, le=65535)
    console_port: int = Field(ge=1024, le=65535)

    def address(self, port: int) -> str:
        """Return the URL of a service, as this machine reaches it: one that listens everywhere is asked on loopback."""
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)  # noqa: S104 - compared, not bound
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    def page(self, port: int) -> str:
        """Return the URL a person opens: as ``address``, but a name is another container's, published on loopback."""
        try:
            ip_address(self.host)
        except ValueError:
            return f"http://127.0.0.1:{port}"
        return self.address(port)


class LiveSettings(Section):
    """The runner's loop, its exchange and its journal.

    ``exchange_url`` is empty for a paper exchange that the runner starts for itself. ``database_url`` is empty for a
    SQLite file in the market's home. A password comes from PGPASSWORD or PGPASSFILE alone: an address is shown and
    stored. ``stages``: how a pushed model comes to trade; ``strategies`` is empty where ``[strategy]`` alone trades.
    """

    exchange_url: str
    tick_seconds: int = Field(ge=0, le=600)
    answer_seconds: float = Field(gt=0)
    reconcile_seconds: float = Field(gt=0)
    seconds_per_session: float = Field(ge=0)
    max_bundle_age_days: int = Field(ge=1)
    poll_seconds: float = Field(gt=0)
    max_stall_seconds: float = Field(gt=0)
    database_url: str
    backup_keep_days: int = Field(ge=1)
    backup_keep_months: int = Field(ge=1)
    stages: StageSettings
    strategies: dict[str, LiveStrategySettings]

    @field_validator("exchange_url")
    @classmethod
    def _an_address(cls, value: str) -> str:
        parts = urlsplit(value)
        if value and (parts.scheme not in ("http", "https") or not parts.hostname or parts.username is not None):
            msg = "write http://HOST:PORT, or leave it empty"
            raise ValueError(msg)
        return value

    @field_validator("database_url")
    @classmethod
    def _a_url_without_password(cls, value: str) -> str:
        parts = urlsplit(value)
        if value and (not parts.scheme.startswith("postgresql") or parts.password is not None):
            msg = "write postgresql+psycopg2://USER@HOST:PORT/DATABASE without a password, or leave it empty"
            raise ValueError(msg)
        return value


class RiskSettings(Section):
    """Limits an order must pass before it may leave the runner."""

    max_order_cny: float = Field(gt=0)
    max_orders_per_session: int = Field(ge=1)
    max_orders_per_minute: int = Field(ge=1)
    max_weight_per_name_frac: float = Field(gt=0, le=1)
    max_weight_per_industry_frac: float = Field(gt=0, le=1)
    max_gross_exposure_frac: float = Field(gt=0, le=1)
    max_price_deviation_frac: float = Field(gt=0, le=1)
    max_day_loss_frac: float = Field(gt=0, le=1)


class ScheduleSettings(Section):
    """When the daily run starts, Asia/Shanghai, on sessions only."""

    daily_at: str = Field(pattern=r"^([01]\d|2[0-3]):[0-5]\d$")
