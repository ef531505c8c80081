"""Layers 5 and 6, monitoring: what a model is watched by, kept in its bundle, and how the one that trades fares.

Not here: formulas and limits (``ljwx_pipeline.monitoring``), the files that only grow (``ljwx_pipeline.tracking``), who
asks for a training (``jobs/retraining.py``).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import dagster as dg
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from assets.datasets import load_dataset
from assets.evaluation import GROUP as EVALUATION
from assets.evaluation import OWNERS
from assets.features import feature_table
from assets.metadata import line_plot
from assets.origin import origin_of_predictions
from assets.panels import load_factors
from assets.resources import Line
from assets.scoring import GROUP, loaded_champion
from ljwx_pipeline.clock import utc_now
from ljwx_pipeline.errors import BundleError
from ljwx_pipeline.label import label_hash
from ljwx_pipeline.monitoring.decay import LabelTiming
from ljwx_pipeline.monitoring.drift import DriftReference, DriftVerdict
from ljwx_pipeline.monitoring.live import INPUT_SESSIONS, Fared, fared, judged_inputs
from ljwx_pipeline.monitoring.reference import NewestDrift, Reference, inputs_reference, skill_chart
from ljwx_pipeline.monitoring.retrain import AlarmKind
from ljwx_pipeline.scoring.bundle import MONITORING
from ljwx_pipeline.tracking import AlarmJournal, LiveScores

#: Tag of a version in the registry: the last alarm about it.
ALARM_TAG = "last_alarm"
#: Findings that a sentence names.
TOLD_FINDINGS = 5


@dg.asset(group_name=EVALUATION, owners=OWNERS, kinds={"numpy"}, deps=["training_dataset"])
def monitoring_reference(line: Line, walk_forward_predictions: pd.DataFrame) -> dg.Output[dict[str, Any]]:
    """What the model will be watched by: the alarm of lost skill, training's inputs; and whether these drifted of late.

    Its document goes into the bundle as ``monitoring.json``.
    """
    settings, origin = line.settings, origin_of_predictions(line, walk_forward_predictions)
    chart, chart_reason = skill_chart(
        in_control_rank_ic(walk_forward_predictions),
        reach_sessions=settings.purge_sessions,
        false_alarms_per_year=settings.monitoring.false_alarms_per_year,
    )
    dataset = load_dataset(line.tables)
    # before it the longest window is not full, and what is unknown then tells nothing of a later session
    rows = slice(int(np.searchsorted(dataset.session_index, line.catalogue.window)), len(dataset.session_index))
    drift, drift_reason, newest = inputs_reference(
        dataset.factor_names,
        dataset.features[rows],
        dataset.session_index[rows],
        dataset.symbol_index[rows],
        threads=settings.model.threads,
    )
    document = Reference(chart, chart_reason, drift, drift_reason).to_json()
    made = {
        **newest_told(newest, dataset.sessions),
        "chart": None if chart is None else chart.as_dict(),
        "chart_reason": chart_reason or None,
        "document": document,
        **origin,
    }
    told: dict[str, Any] = {
        "lost_skill": chart_reason if chart is None else f"alarm above {chart.level:.2f} deviations",
        "inputs": drift_reason if drift is None else f"{len(drift.names)} factors over {drift.sessions} sessions",
        "newest_inputs": newest.reason
        or f"{made['newest_first']} to {made['newest_last']}: {newest.ratio:.2f} of the limit",
        "document_bytes": len(document),
    }
    if chart is not None:
        told |= {"icir": chart.icir, "false_alarms_per_year": chart.false_alarms_per_year}
    return dg.Output(made, metadata=told)


def newest_told(newest: NewestDrift, sessions: pd.DatetimeIndex) -> dict[str, Any]:
    """Return the verdict on the newest sessions as the gate reads it, with the first and last of them as ISO dates.

    They are the newest of research: the last ``research.held_out_sessions`` of the market come after them.
    """
    first, last = (None, None) if newest.sessions is None else (str(sessions[at].date()) for at in newest.sessions)
    return {
        "drift_ratio": newest.ratio,
        "drifted_factors": list(newest.factors),
        "reason": newest.reason,
        "newest_first": first,
        "newest_last": last,
    }


def in_control_rank_ic(predictions: pd.DataFrame) -> NDArray[np.float64]:
    """Return the rank IC of every session that the walk forward scored, over those who may be scored, in order."""
    from ljwx_pipeline.evaluation.ic import ic_of_rows

    return ic_of_rows(predictions[predictions["scorable"].astype(bool)])["rank_ic"].to_numpy(dtype=np.float64)


@dataclass(frozen=True)
class Watched:
    """The champion and what it is watched by."""

    model: str
    version: str
    bundle_hash: str
    reference: Reference
    same_label: bool


def watched_champion(line: Line) -> Watched | str:
    """Return the champion that is watched, or why there is none.

    Raises
    ------
    RegistryError
        When MLflow cannot be reached.
    """
    registry = line.registry()
    champion = registry.champion(line.registered_model)
    if champion is None:
        return "none yet"
    try:
        bundle = loaded_champion(line, registry, champion)
    except BundleError as error:  # said and stopped at where it is scored
        return error.fact
    return Watched(
        champion.name,
        champion.version,
        bundle.bundle_hash,
        Reference.of(bundle.documents.get(MONITORING)),
        bundle.manifest.label_hash == label_hash(line.settings.label),
    )


def alarms_of(line: Line) -> AlarmJournal:
    """Return this market's record of alarms."""
    return AlarmJournal(line.home / "tracking")


def newest_inputs(
    line: Line, reference: DriftReference, sessions: int
) -> tuple[date, list[tuple[NDArray[np.object_], NDArray[np.floating]]]]:
    """Return the last session, and symbols with a bar and their factors on each of the newest ``sessions``."""
    stored = load_factors(line)
    newest = stored.sessions[-sessions:]
    bars = line.checked_lake().read("bars", first=newest[0].date(), last=newest[-1].date())
    at = [stored.names.index(name) for name in reference.names]
    block = np.asarray(stored.values[:, :, -len(newest) :])  # noqa: PD011 - an array's own field
    found = []
    for column, session in enumerate(newest):
        symbols = np.sort(bars.loc[bars["session_date"] == session, "symbol"].to_numpy(dtype=object))
        rows = pd.Index(stored.symbols).get_indexer(pd.Index(symbols))
        found.append((symbols, block[:, rows, column][at].T))
    return newest[-1].date(), found


@dg.asset_check(asset=feature_table, blocking=True)
def inputs_unbroken(context: dg.AssetCheckExecutionContext, line: Line) -> dg.AssetCheckResult:
    """The newest session's inputs are no symbols missing, nothing constant, stale, unknown or of another scale.

    Judged by what the champion was trained on. What is broken is neither scored nor learned from: the run stops here,
    until the data is mended or ``monitoring.accepted_inputs`` names the session, whose values are true. What cannot be
    judged is told as a warning, which stops nothing.
    """
    champion = watched_champion(line)
    if isinstance(champion, str):
        return _not_judged(f"champion: {champion}")
    reference = champion.reference.drift
    if reference is None:
        return _not_judged(champion.reference.drift_reason)
    session, inputs = newest_inputs(line, reference, 2)
    findings = [finding for finding in judged_inputs(reference, inputs).findings if finding.broken]
    said = _listed([finding.sentence for finding in findings])
    accepted = session in line.settings.monitoring.accepted_inputs
    _settle(context, line, champion, "broken_input", now=bool(findings) and not accepted, session=session, said=said)
    if accepted and findings:
        return dg.AssetCheckResult(
            passed=False, severity=dg.AssetCheckSeverity.WARN, description=f"{session} is accepted as true: {said}"
        )
    return dg.AssetCheckResult(
        passed=not findings,
        description=f"{session}: {said}; mend the data and run again, or where it is true add the session to "
        "monitoring.accepted_inputs"
        if findings
        else f"{len(reference.names)} factors of {session} are as in training",
        metadata={"session": str(session), "findings": [finding.sentence for finding in findings]},
    )


@dg.asset(group_name=GROUP, owners=OWNERS, kinds={"parquet"})
def live_scores(line: Line, daily_scores: pd.DataFrame) -> dg.MaterializeResult[None]:
    """The champion's scores of sessions after its training as they were first made; grows, and is never rewritten."""
    kept = LiveScores(line.tables)
    if daily_scores.empty:
        return dg.MaterializeResult(metadata={"new_sessions": 0})
    rows = daily_scores[daily_scores["after_training"].astype(bool)]
    new = kept.record(rows, now=utc_now())
    return dg.MaterializeResult(metadata={"new_sessions": new, "path": dg.MetadataValue.path(kept.folder)})


@dg.asset(group_name=GROUP, owners=OWNERS, kinds={"pandas"}, deps=[live_scores])
def model_monitoring(
    context: dg.AssetExecutionContext,
    line: Line,
    daily_scores: pd.DataFrame,
    forward_return_label: pd.DataFrame,
    calendar: pd.DataFrame,
) -> dg.Output[dict[str, Any]]:
    """How the champion fares: skill, calibration and coverage of its first scores, and whether its inputs drifted.

    An alarm is written down at its onset, tagged to the version, and told by the checks of this asset.
    """
    champion = "none yet" if daily_scores.empty else watched_champion(line)
    if isinstance(champion, str):
        return dg.Output({"champion": False, "matured_sessions": 0}, metadata={"champion": champion})
    settings, journal = line.settings, alarms_of(line)
    sessions = pd.DatetimeIndex(calendar["session_date"])
    today, reference = sessions[-1].date(), champion.reference
    chart = reference.chart if champion.same_label else None
    raised = sorted(date.fromisoformat(one.session) for one in journal.about(champion.bundle_hash, "skill_lost"))
    found = fared(
        LiveScores(line.tables).of(champion.bundle_hash),
        forward_return_label,
        sessions,
        timing=LabelTiming(settings.label.entry_lag_sessions, settings.label.horizon_sessions),
        chart=chart,
        raised=raised,
        settings=settings.monitoring,
    )
    for session in found.alarms:
        at = found.skill.loc[found.skill["matured_date"] == pd.Timestamp(session)].iloc[0]
        said = f"lost skill: {at['statistic']:.2f} deviations, alarm above {chart.level if chart else 0:.2f}"
        _note(context, line, journal.raised("skill_lost", *_about(champion), session=session, sentence=said))
    if found.miscalibrated is not None and found.calibration is not None:
        said = (
            f"intervals of {found.calibration.sessions} sessions cover {found.calibration.coverage_frac:.1%}, "
            f"at least {settings.monitoring.min_coverage_frac:.1%} is asked"
        )
        _settle(context, line, champion, "miscalibrated", now=found.miscalibrated, session=today, said=said)
    verdict = None
    if reference.drift is not None:
        _, inputs = newest_inputs(line, reference.drift, INPUT_SESSIONS)
        verdict = judged_inputs(reference.drift, inputs)
        said = _listed([finding.sentence for finding in verdict.findings if not finding.broken])
        _settle(context, line, champion, "drift", now=verdict.drifted, session=today, said=said)
    document = _document(champion, found, verdict, today)
    document["coverage_reason"] = _coverage_reason(found, settings.monitoring.coverage_window_sessions)
    document["score_spread"] = float(daily_scores["score"].std())
    document["alarms"] = [
        {"kind": one.kind, "session": one.session, "sentence": one.sentence}
        for one in journal.in_force(champion.bundle_hash)
    ]
    shown = {name: value for name, value in document.items() if value is not None and not isinstance(value, list)}
    return dg.Output(document, metadata=shown | _picture(champion, found) | {"alarms": len(document["alarms"])})


def _about(champion: Watched) -> tuple[str, str, str]:
    return champion.model, champion.version, champion.bundle_hash


def _listed(sentences: Sequence[str]) -> str:
    more = len(sentences) - TOLD_FINDINGS
    return "; ".join(sentences[:TOLD_FINDINGS]) + (f"; and {more} more" if more > 0 else "")


def _settle(
    context: Any, line: Line, champion: Watched, kind: AlarmKind, *, now: bool, session: date, said: str
) -> None:
    journal = alarms_of(line)
    _note(context, line, journal.settle(kind, *_about(champion), now=now, session=session, sentence=said))


def _note(context: Any, line: Line, alarm: Any) -> None:
    """Tell an alarm that begins: in the log, and as a tag of its version."""
    if alarm is None:
        return
    said = f"{alarm.kind} on {alarm.session}: {alarm.sentence}"
    context.log.warning(f"version {alarm.version}: {said}")
    line.registry().tag_version(alarm.model, alarm.version, ALARM_TAG, said)


def _document(champion: Watched, found: Fared, verdict: DriftVerdict | None, today: date) -> dict[str, Any]:
    skill, judged, reference = found.skill, found.calibration, champion.reference
    last = skill.iloc[-1] if len(skill) else None
    drift = reference.drift
    ratio = None if verdict is None or drift is None else float((verdict.psi / drift.psi_limit).max())
    no_chart = reference.chart_reason if champion.same_label else "it learned another label than the configured one"
    return {
        "champion": True,
        "version": champion.version,
        "bundle_hash": champion.bundle_hash,
        "last_session": today.isoformat(),
        "matured_sessions": len(skill),
        "live_sessions": found.live_sessions,
        "scored_afterwards_sessions": len(skill) - found.live_sessions,
        "unscored_sessions": found.unscored_sessions,
        "sessions_to_next_label": found.sessions_to_next,
        "rank_ic_mean": _number(skill["rank_ic"].mean()),
        "hit_frac": _number(skill["hit_frac"].mean()),
        "rolling_rank_ic": None if last is None else _number(last["rolling_rank_ic"]),
        "rolling_hit_frac": None if last is None else _number(last["rolling_hit_frac"]),
        "in_control_rank_ic": None if reference.chart is None else reference.chart.mean,
        "cusum": None if last is None else _number(last["statistic"]),
        "cusum_level": None if reference.chart is None else reference.chart.level,
        "cusum_reason": no_chart or None,
        "slope": None if judged is None else _number(judged.slope),
        "decile_returns": None if judged is None else [_number(value) for value in judged.decile_returns],
        "coverage_frac": None if judged is None else judged.coverage_frac,
        "interval_width": None if judged is None else judged.mean_width,
        "drift_ratio": None if ratio is None else _number(ratio),
        "drift_reason": reference.drift_reason or None,
        "drifted": None if verdict is None else [one.factor for one in verdict.findings if not one.broken],
    }


def _coverage_reason(found: Fared, window_sessions: int) -> str | None:
    """Return why live coverage cannot be judged, None where it was."""
    if found.miscalibrated is not None:
        return None
    if found.calibration is None or found.calibration.coverage_frac is None:
        return "no interval has matured"
    return f"intervals of {found.calibration.sessions} sessions have matured, {window_sessions} are needed"


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _picture(champion: Watched, found: Fared) -> dict[str, Any]:
    chart = champion.reference.chart
    if chart is None or found.skill.empty:
        return {}
    drawn = found.skill.set_index("matured_date")
    shown = pd.DataFrame(
        {
            "rank IC over that of the walk forward": drawn["rank_ic"] / chart.mean,
            "rolling": drawn["rolling_rank_ic"] / chart.mean,
            "CUSUM over its alarm level": drawn["statistic"] / chart.level,
        }
    )
    return {"skill": dg.MetadataValue.md(line_plot(shown, "Live skill: alarm where the CUSUM passes 1"))}


@dg.asset_check(asset=model_monitoring)
def skill_kept(model_monitoring: dict[str, Any]) -> dg.AssetCheckResult:
    """No alarm of lost skill stands about the champion."""
    statistic, reason = model_monitoring.get("cusum"), model_monitoring.get("cusum_reason")
    kept, unjudged = "", reason or ("no label has matured yet" if statistic is None else "")
    if not unjudged:
        matured, level = model_monitoring["matured_sessions"], model_monitoring["cusum_level"]
        kept = f"CUSUM {statistic:.2f} after {matured} matured sessions, alarm above {level:.2f}"
    return _stands(model_monitoring, "skill_lost", dg.AssetCheckSeverity.ERROR, kept=kept, unjudged=unjudged)


@dg.asset_check(asset=model_monitoring)
def inputs_not_drifted(model_monitoring: dict[str, Any]) -> dg.AssetCheckResult:
    """No factor's distribution over the newest sessions is beyond every year of training."""
    ratio, reason = model_monitoring.get("drift_ratio"), model_monitoring.get("drift_reason")
    unjudged = (reason or "too few sessions") if ratio is None else ""
    kept = "" if ratio is None else f"the most drifted is at {ratio:.2f} of its limit"
    return _stands(model_monitoring, "drift", dg.AssetCheckSeverity.WARN, kept=kept, unjudged=unjudged)


@dg.asset_check(asset=model_monitoring)
def intervals_calibrated(model_monitoring: dict[str, Any]) -> dg.AssetCheckResult:
    """Live intervals cover as much as is asked, over the newest matured sessions."""
    covered, unjudged = model_monitoring.get("coverage_frac"), model_monitoring.get("coverage_reason") or ""
    kept = "" if covered is None else f"{covered:.1%} covered"
    return _stands(model_monitoring, "miscalibrated", dg.AssetCheckSeverity.WARN, kept=kept, unjudged=unjudged)


def _stands(
    document: dict[str, Any], kind: AlarmKind, severity: dg.AssetCheckSeverity, *, kept: str, unjudged: str
) -> dg.AssetCheckResult:
    """Return the check that no alarm of ``kind`` stands; ``kept`` is said where none does, if that was judged."""
    alarms = [f"since {one['session']}: {one['sentence']}" for one in document.get("alarms", []) if one["kind"] == kind]
    if alarms:
        return dg.AssetCheckResult(passed=False, severity=severity, description="; ".join(alarms))
    if not document["champion"]:
        return _not_judged("there is no champion to watch")
    return _not_judged(unjudged) if unjudged else dg.AssetCheckResult(passed=True, severity=severity, description=kept)


def _not_judged(reason: str) -> dg.AssetCheckResult:
    """Return a check that could not be judged: not passed, and a warning, so that nothing is stopped by it."""
    return dg.AssetCheckResult(
        passed=False,
        severity=dg.AssetCheckSeverity.WARN,
        description=f"not judged: {reason}",
        metadata={"judged": False},
    )
