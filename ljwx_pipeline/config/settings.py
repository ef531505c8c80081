"""All sections together, the rules between two of them, and the hash of what can change a result."""

from __future__ import annotations

import hashlib
import json

from pydantic import model_validator

from ljwx_pipeline.config.approval import ApprovalSettings
from ljwx_pipeline.config.breakers import BreakerSettings, StopSettings
from ljwx_pipeline.config.contest import ContestSettings
from ljwx_pipeline.config.data import (
    AkshareSettings,
    BaostockSettings,
    FolderSettings,
    IngestSettings,
    QualitySettings,
    SimulatedSettings,
    SourceSettings,
    TushareSettings,
)
from ljwx_pipeline.config.gate import GateSettings
from ljwx_pipeline.config.lint import LintSettings
from ljwx_pipeline.config.monitoring import MonitoringSettings
from ljwx_pipeline.config.operation import (
    FeastSettings,
    LiveSettings,
    MlflowSettings,
    RiskSettings,
    ScheduleSettings,
    UiSettings,
)
from ljwx_pipeline.config.research import (
    CostSettings,
    EvaluationSettings,
    FactorSettings,
    LabelSettings,
    ModelSettings,
    ResearchSettings,
    StrategySettings,
    TuneSettings,
    UniverseSettings,
    WalkForwardSettings,
)
from ljwx_pipeline.config.section import Section
from ljwx_pipeline.config.uncertainty import UncertaintySettings

#: Sections that say where things run or who may do what, not what is computed: left out of the configuration hash.
LOCAL_SECTIONS = ("mlflow", "ui", "tushare", "akshare", "baostock", "ingest", "approval", "contest")
#: Keys of other sections that say by how many, where and when work is done, and change no number: left out as well.
LOCAL_KEYS = (
    ("tune", "workers"),
    ("tune", "storage"),
    ("walk_forward", "workers"),
    ("live", "database_url"),
    ("live", "backup_keep_days"),
    ("live", "backup_keep_months"),
    ("live", "stages"),
    ("live", "strategies"),
    *(("monitoring", key) for key in MonitoringSettings.model_fields if key != "false_alarms_per_year"),
)


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
    factors: FactorSettings
    universe: UniverseSettings
    label: LabelSettings
    model: ModelSettings
    tune: TuneSettings
    walk_forward: WalkForwardSettings
    strategy: StrategySettings
    costs: CostSettings
    evaluation: EvaluationSettings
    lint: LintSettings
    uncertainty: UncertaintySettings
    gate: GateSettings
    monitoring: MonitoringSettings
    approval: ApprovalSettings
    contest: ContestSettings
    mlflow: MlflowSettings
    feast: FeastSettings
    ui: UiSettings
    live: LiveSettings
    risk: RiskSettings
    breakers: BreakerSettings
    stops: StopSettings
    schedule: ScheduleSettings

    @model_validator(mode="after")
    def _gate_benchmark_is_compared(self) -> Settings:
        if self.gate.benchmark not in self.evaluation.indices:
            msg = f"gate.benchmark {self.gate.benchmark} is not among evaluation.indices"
            raise ValueError(msg)
        return self

    @model_validator(mode="after")
    def _strategy_fits_risk(self) -> Settings:
        strategy, weight = self.strategy, self.strategy.largest_weight_frac
        if weight > self.risk.max_weight_per_name_frac:
            key, value = (
                ("max_weight_frac", strategy.max_weight_frac)
                if strategy.kind == "score_weighted"
                else ("top_k", strategy.top_k)
            )
            msg = (
                f"strategy.{key} = {value} puts {weight:.1%} into a name, above "
                f"risk.max_weight_per_name_frac = {self.risk.max_weight_per_name_frac:.1%}: every buy would be denied"
            )
            raise ValueError(msg)
        return self

    @property
    def purge_sessions(self) -> int:
        """Sessions between a row and the last price its label reads."""
        return self.label.entry_lag_sessions + self.label.horizon_sessions

    @property
    def training_purge_sessions(self) -> int:
        """Sessions between a row and the last price that any label learned from it reads."""
        horizons = (self.label.horizon_sessions, *self.model.ensemble.label_horizons)
        return self.label.entry_lag_sessions + max(horizons)

    @property
    def config_hash(self) -> str:
        """SHA-256 over every key that can change a result (ports, addresses and how many work on it cannot)."""
        kept = self.model_dump(mode="json", exclude=set(LOCAL_SECTIONS))
        del kept["source"]["as_of"]  # a replay asks for the same result
        for section, key in LOCAL_KEYS:
            del kept[section][key]
        return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()


def replayed(settings: Settings) -> Settings:
    """Return the settings of the market that a replay replays."""
    return settings.model_copy(update={"source": settings.source.model_copy(update={"as_of": ""})})
