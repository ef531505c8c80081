"""Frozen settings: ``ljwx.toml``, then a profile, then environment variables, then command-line overrides.

Every number a person may change lives in ``ljwx.toml`` with its unit in a comment; the classes here give it a
type, a bound and a name, and no default, so that a missing number is an error and never a guess. Functions take the
smallest section they need, never the whole ``Settings``. Import from here.

``data``, ``research``, ``ensemble``, ``lint``, ``gate``, ``approval``, ``uncertainty``, ``monitoring``, ``contest``,
``breakers``, ``stages``, ``live_strategies`` and ``operation`` hold the sections, ``settings`` all of them together,
``load`` reads them, ``dotted`` flattens them, ``homes`` says where state lies. Not here: reading data files
(``sources/``), the dated exchange rules (``market/rulebook.py``).
"""

from ljwx_pipeline.config.approval import ApprovalSettings
from ljwx_pipeline.config.breakers import BreakerSettings, StopSettings
from ljwx_pipeline.config.contest import ContestSettings
from ljwx_pipeline.config.data import (
    OPEN,
    Adjustment,
    AkshareSettings,
    BaostockSettings,
    ColumnRole,
    FolderSettings,
    IngestSettings,
    ProviderSettings,
    QualitySettings,
    SimulatedSettings,
    SourceKind,
    SourceSettings,
    TushareSettings,
)
from ljwx_pipeline.config.dotted import dotted
from ljwx_pipeline.config.ensemble import DoubleEnsembleSettings, EnsembleSettings
from ljwx_pipeline.config.gate import GateSettings
from ljwx_pipeline.config.homes import (
    artifact_root,
    dagster_home,
    homes_of_same_data,
    ljwx_home,
    market_home,
    market_name,
    registered_model,
    report_folders,
    tracking_uri,
    without_password,
)
from ljwx_pipeline.config.lint import LintSettings
from ljwx_pipeline.config.live_strategies import LiveStrategySettings
from ljwx_pipeline.config.load import DEFAULT_PROFILE, load_settings, parse_value
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
    OBJECTIVES,
    TRADABLE_STRATEGIES,
    CostSettings,
    EvaluationSettings,
    ExitSettings,
    FactorSettings,
    LabelSettings,
    ModelSettings,
    ResearchSettings,
    SizingSettings,
    StrategySettings,
    TuneSettings,
    UniverseSettings,
    WalkForwardSettings,
)
from ljwx_pipeline.config.settings import Settings, replayed
from ljwx_pipeline.config.stages import StageSettings
from ljwx_pipeline.config.uncertainty import UncertaintySettings

__all__ = [
    "DEFAULT_PROFILE",
    "OBJECTIVES",
    "OPEN",
    "TRADABLE_STRATEGIES",
    "Adjustment",
    "AkshareSettings",
    "ApprovalSettings",
    "BaostockSettings",
    "BreakerSettings",
    "ColumnRole",
    "ContestSettings",
    "CostSettings",
    "DoubleEnsembleSettings",
    "EnsembleSettings",
    "EvaluationSettings",
    "ExitSettings",
    "FactorSettings",
    "FeastSettings",
    "FolderSettings",
    "GateSettings",
    "IngestSettings",
    "LabelSettings",
    "LintSettings",
    "LiveSettings",
    "LiveStrategySettings",
    "MlflowSettings",
    "ModelSettings",
    "MonitoringSettings",
    "ProviderSettings",
    "QualitySettings",
    "ResearchSettings",
    "RiskSettings",
    "ScheduleSettings",
    "Settings",
    "SimulatedSettings",
    "SizingSettings",
    "SourceKind",
    "SourceSettings",
    "StageSettings",
    "StopSettings",
    "StrategySettings",
    "TuneSettings",
    "TushareSettings",
    "UiSettings",
    "UncertaintySettings",
    "UniverseSettings",
    "WalkForwardSettings",
    "artifact_root",
    "dagster_home",
    "dotted",
    "homes_of_same_data",
    "ljwx_home",
    "load_settings",
    "market_home",
    "market_name",
    "parse_value",
    "registered_model",
    "replayed",
    "report_folders",
    "tracking_uri",
    "without_password",
]
