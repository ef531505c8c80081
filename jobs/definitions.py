"""The one code location: every asset, check, job, schedule and sensor, as plain lists.

Loaded lazily by Dagster through ``defs``; nothing is read at import.
"""

from __future__ import annotations

from datetime import date

import dagster as dg

from assets import (
    bundle,
    contest,
    evaluation,
    explanation,
    features,
    gate_checks,
    intervals,
    live,
    market,
    model,
    monitoring,
    quality,
    research,
    result_lint,
    scoring,
    tear_sheet,
    tuning,
    walk_forward,
)
from assets.io_managers import LakeIOManager, TableIOManager
from assets.partitions import month_partitions
from assets.resources import Line
from jobs.daily import daily_job, daily_schedule
from jobs.ingest import ingest_job
from jobs.market_lock import one_writer_executor
from jobs.research import PARALLEL_JOB_NAME, parallel_research_job, research_job
from jobs.retraining import retraining_sensor
from jobs.sensors import champion_sensor, deploy_job
from ljwx_pipeline.config import Settings, load_settings, market_home
from ljwx_pipeline.ingest.held import last_session_held
from ljwx_pipeline.lake import Lake

MAIN_JOB_NAME = "main"

INGEST_GROUPS = (market.GROUP, quality.GROUP)
DAILY_GROUPS = (*INGEST_GROUPS, features.GROUP, scoring.GROUP)
RESEARCH_GROUPS = (research.GROUP, evaluation.GROUP)
DEPLOY_GROUPS = (live.GROUP,)


def build_definitions(settings: Settings, line: Line | None = None) -> dg.Definitions:
    """Return the code location for ``settings``; only the partitions and the schedule's hour depend on them."""
    line = line or Line()
    partitions = month_partitions(settings.source)
    daily_selection = dg.AssetSelection.groups(*DAILY_GROUPS)
    # no job learns from broken input, whoever starts it: the check blocks what reads the feature table
    unbroken = dg.AssetSelection.checks(monitoring.inputs_unbroken)
    research_selection = dg.AssetSelection.groups(*RESEARCH_GROUPS) | unbroken
    daily = daily_job(daily_selection)
    ingest = ingest_job(dg.AssetSelection.groups(*INGEST_GROUPS))
    training = research_job(research_selection)
    deploy = deploy_job(dg.AssetSelection.groups(*DEPLOY_GROUPS))
    main = dg.define_asset_job(
        MAIN_JOB_NAME,
        selection=daily_selection | research_selection,
        description="The whole line: data to promoted (or refused) model. What `ljwx run` executes.",
    )

    def last_held() -> date | None:
        return last_session_held(Lake(market_home(settings) / "lake"))

    return dg.Definitions(
        assets=[
            market.calendar,
            market.reference_tables,
            market.context_tables,
            market.index_bars,
            market.raw_bars_asset(partitions),
            quality.checked_bars,
            quality.quarantined_bars,
            quality.data_quality,
            features.factor_values,
            features.forward_return_label,
            features.feature_table,
            features.feast_offline_store,
            features.feast_online_store,
            research.training_dataset,
            tear_sheet.factor_tear_sheet,
            tuning.tuned_hyperparameters,
            walk_forward.walk_forward_predictions,
            model.trained_model,
            explanation.shap_explanation,
            intervals.prediction_intervals,
            evaluation.net_backtest,
            monitoring.monitoring_reference,
            evaluation.promotion_decision,
            bundle.model_bundle,
            evaluation.evaluation_report,
            evaluation.champion_model,
            scoring.daily_scores,
            monitoring.live_scores,
            monitoring.model_monitoring,
            scoring.session_pack,
            contest.challenger_scores,
            contest.model_contest,
            live.deployment,
            live.live_account,
        ],
        asset_checks=[
            market.horizon,
            quality.history_not_restated,
            quality.symbols_still_given,
            quality.on_time,
            quality.market_checks,
            quality.great_expectations_suite,
            features.leak_checks,
            features.feast_parity,
            features.feast_online_parity,
            features.feature_parity,
            result_lint.result_lint,
            gate_checks.gate_checks,
            intervals.interval_coverage,
            monitoring.inputs_unbroken,
            monitoring.skill_kept,
            monitoring.inputs_not_drifted,
            monitoring.intervals_calibrated,
            contest.contest_in_order,
        ],
        jobs=[
            main,
            daily,
            ingest,
            training,
            parallel_research_job(research_selection, settings),
            deploy,
        ],
        schedules=[daily_schedule(daily, settings.schedule, partitions, last_held)],
        sensors=[champion_sensor(deploy), retraining_sensor(training, settings.monitoring)],
        resources={
            "line": line,
            "io_manager": TableIOManager(line=line),
            "lake_io_manager": LakeIOManager(line=line),
        },
        executor=one_writer_executor(settings, dg.in_process_executor),
    )


@dg.definitions
def defs() -> dg.Definitions:
    """Return the definitions of the profile that the environment names."""
    return build_definitions(load_settings())


def parallel_research() -> dg.JobDefinition:
    """Return the parallel research job of the profile that the environment names; its processes ask for it."""
    return build_definitions(load_settings()).resolve_job_def(PARALLEL_JOB_NAME)
