"""Frozen settings: ``ljwx.toml``, then a profile, then environment variables, then command-line overrides.

Every number a person may change lives in ``ljwx.toml`` with its unit in a comment; the classes here give it a
type, a bound and a name, and no default, so that a missing number is an error and never a guess. Functions take the
smallest section they need, never the whole ``Settings``.

Not here: reading data files (``sources/``), the dated exchange rules (``market/rulebook.py``).
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import tomllib
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from ljwx_pipeline.errors import ConfigError

ENV_PREFIX = "LJWX_"
ENV_SEPARATOR = "__"
#: Sections that say where things run, not what they compute: left out of the configuration hash.
LOCAL_SECTIONS = ("mlflow", "ui", "tushare", "akshare", "baostock", "ingest")

DEFAULT_PROFILE = "simulated"
#: Years that may be tested first.
FIRST_YEAR, LAST_YEAR = 1990, 2100

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


class Section(BaseModel):
    """Base of all sections: frozen, and a key nobody declared is refused by name."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class SourceSettings(Section):
    """Which data source feeds the line, and the first and last session asked of it (inclusive).

    ``symbols`` narrows a real provider to those; none named means every stock that ever listed. With ``as_of`` nothing
    is fetched: the line runs on what its lake held at that instant, beside the market it replays.
    """

    kind: SourceKind
    first_session: date
    last_session: date
    symbols: tuple[str, ...]
    as_of: str

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

    @model_validator(mode="after")
    def _ordered(self) -> SourceSettings:
        if self.first_session >= self.last_session:
            msg = f"first_session {self.first_session} is not before last_session {self.last_session}"
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


class UniverseSettings(Section):
    """Who may be scored on a session; with ``index``, only its members of that session."""

    index: str
    min_listed_sessions: int = Field(ge=0)
    exclude_st: bool
    min_mean_amount_cny: float = Field(ge=0)
    mean_amount_window_sessions: int = Field(ge=1)


class LabelSettings(Section):
    """Adjusted close[t + entry_lag + horizon] / adjusted close[t + entry_lag] - 1."""

    entry_lag_sessions: int = Field(ge=1, le=5)
    horizon_sessions: int = Field(ge=1, le=60)


class ModelSettings(Section):
    """LightGBM's fixed parameters; the tuned ones are in ``tune``."""

    seed: int = Field(ge=0)
    threads: int = Field(ge=1)
    max_rounds: int = Field(ge=1)
    early_stopping_rounds: int = Field(ge=1)
    early_stopping_tail_sessions: int = Field(ge=20)
    refit_on_tail: bool
    max_bin: int = Field(ge=15, le=255)


class TuneSettings(Section):
    """The Optuna study: trials, inner purged folds, and rounds per trial."""

    trials: int = Field(ge=1)
    inner_folds: int = Field(ge=1, le=10)
    rounds: int = Field(ge=1)
    seed: int = Field(ge=0)


class WalkForwardSettings(Section):
    """Outer test folds: one a calendar year, training window expanding, purge from the label plus an embargo.

    ``first_test_year`` may be ``auto``: ``dataset.folds.first_test_year`` then takes it from the data.
    """

    first_test_year: int | Literal["auto"]
    embargo_sessions: int = Field(ge=0)
    min_train_sessions: int = Field(ge=60)

    @field_validator("first_test_year", mode="before")
    @classmethod
    def _a_year_or_auto(cls, value: object) -> object:
        if value != "auto" and not (isinstance(value, int) and FIRST_YEAR <= value <= LAST_YEAR):
            msg = f"write auto, or a year from {FIRST_YEAR} to {LAST_YEAR}"
            raise ValueError(msg)
        return value


class StrategySettings(Section):
    """TopkDropout: hold the ``top_k`` best, replace at most ``n_drop`` a session."""

    top_k: int = Field(ge=1)
    n_drop: int = Field(ge=1)
    min_hold_sessions: int = Field(ge=1)
    capital_cny: float = Field(gt=0)
    cash_reserve_frac: float = Field(ge=0, lt=1)


class CostSettings(Section):
    """What a broker and the market charge beyond the statutory fees of the rulebook."""

    commission_frac: float = Field(ge=0, le=0.01)
    commission_min_cny: float = Field(ge=0)
    slippage_bps: float = Field(ge=0, le=200)
    max_participation_frac: float = Field(gt=0, le=1)
    charge_statutory_fees: bool


class EvaluationSettings(Section):
    """Indices every result is compared with; each must cover every tested session."""

    indices: tuple[str, ...] = Field(min_length=1)


class GateSettings(Section):
    """Thresholds a model must clear; KPI figures are on monthly net excess returns over ``benchmark``."""

    benchmark: str
    rank_ic_confidence: float = Field(gt=0.5, lt=1)
    min_rank_ic_lower: float
    min_net_excess_annual_return: float
    min_deflated_sharpe_probability: float = Field(ge=0, le=1)
    kpi_enabled: bool
    min_sharpe: float
    max_drawdown_frac: float = Field(gt=0, le=1)
    min_win_rate_frac: float = Field(ge=0, le=1)
    min_profit_factor: float = Field(ge=0)
    min_months: int = Field(ge=1)


class ResearchSettings(Section):
    """Sessions at the end of the data that research never sees: the runner replays them as live."""

    held_out_sessions: int = Field(ge=5)


class MlflowSettings(Section):
    """Where runs and models are recorded; an empty URI means SQLite under ``LJWX_HOME``."""

    tracking_uri: str
    experiment: str
    model_name: str


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


class LiveSettings(Section):
    """The runner's loop."""

    seconds_per_session: float = Field(ge=0)
    max_bundle_age_days: int = Field(ge=1)
    poll_seconds: float = Field(gt=0)
    max_stall_seconds: float = Field(gt=0)


class RiskSettings(Section):
    """Limits an order must pass before it may leave the runner."""

    max_order_cny: float = Field(gt=0)
    max_orders_per_session: int = Field(ge=1)
    max_weight_per_name_frac: float = Field(gt=0, le=1)
    max_gross_exposure_frac: float = Field(gt=0, le=1)
    max_price_deviation_frac: float = Field(gt=0, le=1)
    max_day_loss_frac: float = Field(gt=0, le=1)


class ScheduleSettings(Section):
    """When the daily run starts, Asia/Shanghai, on sessions only."""

    daily_at: str = Field(pattern=r"^([01]\d|2[0-3]):[0-5]\d$")


class Settings(Section):
    """The whole configuration, frozen. Pass sections down, not this."""

    profile: str
    source: SourceSettings
    simulated: SimulatedSettings
    folder: FolderSettings
    tushare: TushareSettings
    akshare: AkshareSettings
    baostock: BaostockSettings
    ingest: IngestSettings
    quality: QualitySettings
    research: ResearchSettings
    universe: UniverseSettings
    label: LabelSettings
    model: ModelSettings
    tune: TuneSettings
    walk_forward: WalkForwardSettings
    strategy: StrategySettings
    costs: CostSettings
    evaluation: EvaluationSettings
    gate: GateSettings
    mlflow: MlflowSettings
    feast: FeastSettings
    ui: UiSettings
    live: LiveSettings
    risk: RiskSettings
    schedule: ScheduleSettings

    @model_validator(mode="after")
    def _gate_benchmark_is_compared(self) -> Settings:
        if self.gate.benchmark not in self.evaluation.indices:
            msg = f"gate.benchmark {self.gate.benchmark} is not among evaluation.indices"
            raise ValueError(msg)
        return self

    @model_validator(mode="after")
    def _strategy_fits_risk(self) -> Settings:
        weight = (1 - self.strategy.cash_reserve_frac) / self.strategy.top_k
        if weight > self.risk.max_weight_per_name_frac:
            msg = (
                f"strategy.top_k = {self.strategy.top_k} puts {weight:.1%} into a name, above "
                f"risk.max_weight_per_name_frac = {self.risk.max_weight_per_name_frac:.1%}: every buy would be denied"
            )
            raise ValueError(msg)
        return self

    @property
    def purge_sessions(self) -> int:
        """Sessions between a row and the last price its label reads."""
        return self.label.entry_lag_sessions + self.label.horizon_sessions

    @property
    def config_hash(self) -> str:
        """SHA-256 over every key that can change a result (ports and addresses cannot)."""
        kept = self.model_dump(mode="json", exclude=set(LOCAL_SECTIONS))
        del kept["source"]["as_of"]  # a replay asks for the same result
        return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()


def market_name(settings: Settings) -> str:
    """Return the name of the market a profile works on: the profile and eight digits of what identifies its data.

    Two seeds, two folders, two providers or two lists of symbols are two markets; a real provider's later
    ``last_session`` is the same one. A replay is named by the market and the instant.
    """
    identity: dict[str, Any] = {"kind": settings.source.kind}
    if settings.source.kind == "simulated":
        stated = settings.source.model_dump(mode="json", include={"kind", "first_session", "last_session"})
        identity |= {"source": stated, "world": settings.simulated.model_dump()}
    elif settings.source.kind == "folder":
        identity |= {"data": str(Path(settings.folder.data).absolute()), "adjustment": settings.folder.adjustment}
    elif settings.source.symbols:
        identity |= {"symbols": sorted(settings.source.symbols)}
    digits = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:8]
    instant = settings.source.replayed_instant
    return f"{settings.profile}-{digits}" + ("" if instant is None else f"-as-of-{instant:%Y%m%dT%H%M%S%fZ}")


def replayed(settings: Settings) -> Settings:
    """Return the settings of the market that a replay replays."""
    return settings.model_copy(update={"source": settings.source.model_copy(update={"as_of": ""})})


def market_home(settings: Settings) -> Path:
    """Return the folder below ``LJWX_HOME`` that holds one market's lake, features, bundles and trading journal."""
    return ljwx_home() / "markets" / market_name(settings)


def tracking_uri(mlflow: MlflowSettings, home: Path) -> str:
    """Return MLflow's tracking address: the configured one, or SQLite under ``home`` (``LJWX_HOME``)."""
    return mlflow.tracking_uri or f"sqlite:///{home / 'mlflow' / 'mlflow.db'}"


def ljwx_home() -> Path:
    """Return the one directory all state lives in: ``LJWX_HOME``, or ``.ljwx`` in the working directory."""
    return Path(os.environ.get("LJWX_HOME") or ".ljwx").absolute()


def load_settings(
    *,
    profile: str | None = None,
    config_file: Path | None = None,
    overrides: Mapping[str, Any] | None = None,
    environ: Mapping[str, str] | None = None,
) -> Settings:
    """Return the settings of one profile.

    Parameters
    ----------
    profile
        Name of ``profiles/NAME.toml`` beside the configuration file; ``LJWX_PROFILE`` and then ``simulated`` if None.
    config_file
        The base file; ``LJWX_CONFIG`` and then ``ljwx.toml`` in the working directory if None.
    overrides
        Dotted keys (``"simulated.seed"``) laid over everything else.
    environ
        Environment to read ``LJWX_SECTION__KEY`` from; the process's own if None.

    Raises
    ------
    ConfigError
        For a missing file, an unknown key, a value of the wrong type or out of range; the message names the key.
    """
    env = os.environ if environ is None else environ
    base = config_file or Path(env.get("LJWX_CONFIG", "ljwx.toml"))
    name = profile or env.get("LJWX_PROFILE") or DEFAULT_PROFILE
    base_keys = _read_toml(base, "run from the project's folder or point LJWX_CONFIG at the file")
    if not re.fullmatch(r"[\w-]+", name):
        raise ConfigError(f"profile {name!r} is no name", "choose one without slashes or dots, such as simulated")
    profile_file = base.parent / "profiles" / f"{name}.toml"
    if not profile_file.is_file():
        known = ", ".join(sorted(p.stem for p in profile_file.parent.glob("*.toml"))) or "none"
        raise ConfigError(f"profile {name!r} has no file {profile_file}", f"choose one of: {known}")
    profile_keys, from_env = _read_toml(profile_file, "restore the file"), _environment_overrides(env)
    merged: dict[str, Any] = {}
    _merge(merged, base_keys)
    _merge(merged, profile_keys)
    merged["profile"] = name
    for key, value in [*from_env.items(), *(overrides or {}).items()]:
        _set_dotted(merged, key, value)
    try:
        return Settings.model_validate(merged)
    except ValidationError as error:
        layers = [
            {key: f"{key} on the command line" for key in overrides or {}},
            {key: f"the environment variable {variable_name(key)}" for key in from_env},
            dict.fromkeys(_dotted_keys(profile_keys), str(profile_file)),
            dict.fromkeys(_dotted_keys(base_keys), str(base)),
        ]
        origins = dict.fromkeys(origin for key in _keys_in(error) for origin in _origins(key, layers))
        raise ConfigError(_explain(error), f"correct {' or '.join(origins) or base}") from None


def _read_toml(path: Path, remedy: str) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"configuration file {path} does not exist", remedy) from None
    except OSError as error:
        raise ConfigError(f"configuration file {path} cannot be read ({error.strerror})", remedy) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not valid TOML ({error})", "correct the line it names") from None


def _merge(base: dict[str, Any], over: Mapping[str, Any]) -> None:
    for key, value in over.items():
        if isinstance(value, dict) and isinstance(base.get(key), dict):
            _merge(base[key], value)
        else:
            base[key] = value


def variable_name(key: str) -> str:
    """Return the environment variable that sets the dotted ``key``."""
    return ENV_PREFIX + key.upper().replace(".", ENV_SEPARATOR)


def _environment_overrides(env: Mapping[str, str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, text in env.items():
        if name.startswith(ENV_PREFIX) and ENV_SEPARATOR in name:
            key = name.removeprefix(ENV_PREFIX).lower().replace(ENV_SEPARATOR, ".")
            found[key] = parse_value(text)
    return found


def parse_value(text: str) -> Any:
    """Read ``text`` as a TOML value, as JSON (a table), or as a bare string when it is neither."""
    try:
        return tomllib.loads(f"x = {text}")["x"]
    except tomllib.TOMLDecodeError:
        pass
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


def _set_dotted(tree: dict[str, Any], dotted: str, value: Any) -> None:
    *parents, leaf = dotted.split(".")
    node = tree
    for parent in parents:
        child = node.setdefault(parent, {})
        if not isinstance(child, dict):
            raise ConfigError(f"{dotted} names a key below {parent}, which is a value", "check the spelling")
        node = child
    node[leaf] = value


def _dotted_keys(tree: Mapping[str, Any]) -> list[str]:
    below = {key: _dotted_keys(value) if isinstance(value, dict) else [] for key, value in tree.items()}
    return [f"{key}.{rest}" if rest else key for key, keys in below.items() for rest in keys or [""]]


def _keys_in(error: ValidationError) -> list[str]:
    """Return the keys that the error is about; a rule between two sections names them in its message."""
    keys: list[str] = []
    for item in error.errors():
        at = ".".join(map(str, item["loc"]))
        keys += [at] if at else re.findall(r"\b[a-z_]+\.[a-z_]+\b", item["msg"])
    return keys


def _origins(key: str, layers: Sequence[Mapping[str, str]]) -> list[str]:
    """Return where ``key``, or what lies below it, was set: in the topmost of ``layers`` that sets it."""
    for layer in layers:
        found = [
            origin
            for name, origin in layer.items()
            if name == key or name.startswith(f"{key}.") or key.startswith(f"{name}.")
        ]
        if found:
            return found
    return []


def _explain(error: ValidationError) -> str:
    parts = []
    for item in error.errors():
        key = ".".join(map(str, item["loc"])) or "settings"
        said = item["msg"].removeprefix("Value error, ")
        if item["type"] == "extra_forbidden":
            parts.append(f"unknown key {key}")
        elif item["type"] == "missing":
            parts.append(f"missing key {key}")
        elif isinstance(item["input"], dict):
            parts.append(f"{key}: {said}")
        else:
            parts.append(f"{key} = {item['input']!r} is refused ({said})")
    return "; ".join(parts)
