"""The research run that the assets of one Dagster run share in MLflow, and the runs below it.

One for each trial, fold, training, evaluation and promotion, under one scheme of tags (``docs/experiments.md``).
``training_dataset`` begins it, the assets between add to it, ``champion_model`` ends it. A run that failed, or whose
process was killed, goes on as the same one when the line runs again on the same data, settings and code. Not here: how
what happened reaches MLflow (``ljwx_pipeline.tracking``).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from uuid import uuid4

from assets import reuse
from assets.io_managers import read_json, write_json
from assets.judged_settings import judged_settings
from assets.made import record_environment
from assets.resources import Line
from ljwx_pipeline.clock import utc_now
from ljwx_pipeline.config import Settings, dotted, market_name
from ljwx_pipeline.errors import LiveError, RegistryError
from ljwx_pipeline.promotion.approval import person
from ljwx_pipeline.promotion.desk import Desk
from ljwx_pipeline.registry import RunStatus
from ljwx_pipeline.tracking import (
    SHARED_TAGS,
    ChampionRecord,
    Flushed,
    JournaledRun,
    Kind,
    Tracker,
    open_tracker,
    stable_id,
)
from ljwx_pipeline.tracking.champion import ChampionLine, names_in, one_a_line
from ljwx_pipeline.tracking.inputs import (
    changed_settings,
    changed_shown,
    changed_text,
    environment_tags,
    requirements_text,
    settings_text,
)
from ljwx_pipeline.tracking.tracker import PID_TAG

DOCUMENT = "research_run"
#: Dagster's tag of the process that executes a run, its steps' own processes with it.
RUN_PID_TAG = "ljwx/pid"


def tracker_of(line: Line) -> Tracker:
    """Return the tracker of this line's market; a process opens it once."""
    return _opened_tracker(line.settings.model_dump_json(), str(line.home))


@lru_cache(maxsize=2)
def _opened_tracker(settings_json: str, _home: str) -> Tracker:
    return open_tracker(Settings.model_validate_json(settings_json))


def begin_research_run(
    line: Line,
    *,
    tags: Mapping[str, Any],
    params: Mapping[str, Any],
    inputs: Sequence[Mapping[str, str]] = (),
    pid: str | None = None,
) -> str:
    """Record a new research run, or go on with the last one if it did not finish; return its id.

    Who asks for it is written down with it, beside those who asked for it before where it goes on (`asked_by`). One
    that somebody deleted in MLflow is left deleted. One that was left open by a process that no longer lives ends
    as failed; another's that lives is left alone.

    Parameters
    ----------
    tags
        Hashes and names of ``SHARED_TAGS``, and any others.
    params
        Every configured value.
    inputs
        Datasets that are read (``inputs.dataset_input``).
    pid
        The process that the whole research goes on in, where it is not this one: a step may have one of its own.
    """
    tracker, settings = tracker_of(line), line.settings
    known = {"market": market_name(settings), "strategy": settings.strategy.kind, "model_kind": model_kind(settings)}
    texts = dict.fromkeys(SHARED_TAGS, "") | {name: str(value) for name, value in {**known, **tags}.items()}
    identity = stable_id("research", {name: texts[name] for name in SHARED_TAGS}, reuse.code_hash())
    last = _document(line)
    resumed = bool(last) and last["identity"] == identity and last["status"] != "FINISHED"
    resumed = resumed and not tracker.is_deleted(last["event"])
    if last and not resumed and last["status"] == "RUNNING" and tracker.abandoned(last["event"], own=True):
        tracker.find(last["event"]).end("FAILED")
    event = str(last["event"]) if resumed else uuid4().hex
    number = int(last.get("number", 0)) + (not resumed)
    written = {
        "event": event,
        "identity": identity,
        "status": "RUNNING",
        "number": number,
        "tags": texts,
        "settings": judged_settings(settings),
        "asked_by": one_a_line({*names_in(str(last.get("asked_by", "")) if resumed else ""), person()}),
    }
    sent_as = None
    if resumed:
        run, sent_as = tracker.find(event), tracker.journals.read(event).run_id
        run.resume(pid)
    else:
        changed = changed_settings(settings)
        # what differs comes first: MLflow's table cuts names off
        parts = (texts["model_kind"], changed_shown(changed), texts["factors"], texts["dataset_hash"][:8])
        named = " ".join([f"#{number}", *(part for part in parts if part), settings.profile])
        owner = {} if pid is None else {PID_TAG: pid}
        tracker.begin(
            named,
            kind="research",
            event=event,
            tags={
                **texts,
                "changed": changed_text(changed),
                **environment_tags(),
                **_shown(line, texts),
                **owner,
            },
            eager=False,
        )
        run = tracker.find(event)
    write_json(line.tables, DOCUMENT, written)  # before anything is sent: a kill from here on leaves one run, not two
    story = tracker.journals.read(event)
    if not story.params or sent_as not in (None, story.run_id):  # the second: MLflow lost the run with its files
        run.inputs(inputs)
        _record_environment(run, settings)
        record_environment(line, run)
    if not story.params:
        run.params(params)  # last: a run with parameters has recorded all of its beginning
    tracker.end_abandoned()
    tracker.flush()
    return research_run_id(line)


def end_research_run(line: Line) -> None:
    """Close the research run as finished, and send whatever MLflow still lacks."""
    _close(line, "FINISHED")
    tracker_of(line).flush()


def fail_research_run(line: Line, reason: str) -> None:
    """Close the research run as failed, if one is open."""
    if _document(line).get("status") != "RUNNING":
        return
    with research_run(line) as run:
        run.tags({"failure": reason})
    _close(line, "FAILED")


def _close(line: Line, status: RunStatus) -> None:
    tracker, document = tracker_of(line), read_json(line.tables, DOCUMENT)
    tracker.find(document["event"]).end(status)
    write_json(line.tables, DOCUMENT, {**document, "status": status})


@contextmanager
def research_run(line: Line) -> Iterator[JournaledRun]:
    """Give the research run of this line, to add to."""
    yield tracker_of(line).find(read_json(line.tables, DOCUMENT)["event"])


def research_run_id(line: Line) -> str:
    """Return MLflow's id of the last research run, or, while MLflow has not heard of it, the id of its event."""
    event = str(read_json(line.tables, DOCUMENT)["event"])
    try:
        return tracker_of(line).run_id_of(event)
    except RegistryError:
        return event


def research_event(line: Line) -> str:
    """Return the id of the last research run that stays the same whether or not MLflow has heard of it."""
    return str(read_json(line.tables, DOCUMENT)["event"])


def asked_by(line: Line) -> str:
    """Return who asked for the last research run, and for each time that it went on, one a line; empty: not kept."""
    return str(read_json(line.tables, DOCUMENT).get("asked_by", ""))


def research_settings(line: Line) -> dict[str, Any]:
    """Return the settings that the last research run began under (``judged_settings``); none where it kept none."""
    settings: dict[str, Any] = read_json(line.tables, DOCUMENT).get("settings", {})
    return settings


def flush_tracking(line: Line) -> Flushed:
    """Send whatever MLflow still lacks of this market."""
    return tracker_of(line).flush()


def model_kind(settings: Settings) -> str:
    """Return the kind of model that the settings ask for."""
    return str(settings.model.model_dump().get("kind", "regression"))


def track_trial(line: Line, study: str, trial: Mapping[str, Any]) -> None:
    """Record a trial of ``study`` unless it was: its parameters, its mean rank IC and each inner fold's by step.

    ``trial`` is ``models.tune.Trial`` as plain values; with ``state`` it may be pruned, without a mean then.
    """
    number, folds = int(trial["number"]), trial.get("fold_rank_ics") or ()
    measured = {name: trial.get(name) for name in ("rank_ic", "session_sharpe", "turnover_frac", "seconds")}
    about = {name: trial[name] for name in ("origin", "pruned_after_fold") if trial.get(name)}
    with _step(
        line,
        "trial",
        f"trial {number:03d}",
        event=stable_id("trial", market_name(line.settings), study, number),
        tags={"study": study, "trial": number, "state": trial.get("state", "complete"), **about},
        seconds=trial.get("seconds"),
    ) as run:
        if run is None:
            return
        run.params(trial["params"])
        run.metrics({name: float(value) for name, value in measured.items() if value is not None})
        run.series([{"fold.rank_ic": value} for value in folds])


def track_fold(line: Line, key: str, record: Mapping[str, Any]) -> None:
    """Record a fold of the walk forward unless it was.

    Parameters
    ----------
    key
        Names all that decided the fold's model: the same key and name are the same fold.
    record
        ``models.walk_forward.FoldRecord`` as plain values.
    """
    numbers = {name: float(value) for name, value in record.items() if isinstance(value, int | float)}
    with _step(
        line,
        "fold",
        f"fold {record['name']}",
        event=stable_id("fold", market_name(line.settings), key, record["name"]),
        tags={"fold": record["name"]},
        seconds=record.get("seconds"),
    ) as run:
        if run is not None:
            run.params({name: record[name] for name in ("train_first", "train_last", "test_first", "test_last")})
            run.metrics(numbers)


def track_training(line: Line, model_hash: str, params: Mapping[str, Any], numbers: Mapping[str, float]) -> None:
    """Record the training of the final model, unless it was."""
    with _step(
        line,
        "training",
        f"model {model_hash[:8]}",
        event=stable_id("training", market_name(line.settings), model_hash),
        tags={"model_hash": model_hash},
        seconds=numbers.get("seconds"),
    ) as run:
        if run is not None:
            run.params(params)
            run.metrics(numbers)


def track_evaluation(line: Line, counted_as: Sequence[str], numbers: Mapping[str, float], *, seconds: float) -> None:
    """Record the net backtest unless it was; ``counted_as`` is the key of its row in the ledger of trials."""
    strategy = line.settings.strategy
    with _step(
        line,
        "evaluation",
        f"backtest {strategy.kind}",
        event=stable_id("evaluation", market_name(line.settings), *counted_as),
        tags={"evidence": counted_as[-1], "benchmark": line.settings.gate.benchmark},
        seconds=seconds,
    ) as run:
        if run is not None:
            run.params(dotted({"strategy": strategy.model_dump(mode="json")}))
            run.metrics(numbers)


def track_promotion(
    line: Line, decision: Mapping[str, Any], version: str, champion: str, *, figures: Mapping[str, Any] | None = None
) -> None:
    """Record the gate's decision on a version and what it did to the alias.

    ``figures`` are the version's own: the research run, which may come to make several, holds those of the last.
    """
    event = read_json(line.tables, DOCUMENT)["event"]
    with _step(
        line,
        "promotion",
        f"{decision['decision']} version {version}",
        event=stable_id("promotion", event, version),
        tags={
            "decision": decision["decision"],
            "reasons": " | ".join(decision["reasons"]),
            "model_version": version,
            "champion": champion,
            "bundle_hash": decision["bundle_hash"],
        },
    ) as run:
        if run is not None:
            run.params({f"threshold.{name}": value for name, value in decision["thresholds"].items()})
            measured = {**(figures or {}), **{f"gate.{name}": value for name, value in decision["measured"].items()}}
            run.metrics({name: float(value) for name, value in measured.items() if value is not None})


def champion_record(line: Line) -> ChampionRecord:
    """Return this market's record of what the line decided and where the champion's alias pointed."""
    return ChampionRecord(line.home / "tracking")


def promotion_desk(line: Line) -> Desk:
    """Return where this market's promotions are settled."""
    return Desk(line.registry(), champion_record(line), line.registered_model)


def notice_moved_alias(line: Line) -> ChampionLine | None:
    """Write down, once, that somebody else moved the champion's alias; return it, None when nobody did."""
    return promotion_desk(line).notice_move()


def require_promoted(line: Line, version: str, bundle_hash: str) -> None:
    """Refuse to deploy a bundle that the line's own decision did not promote, wherever the alias points.

    Raises
    ------
    LiveError
        With the decision, or that there is none.
    """
    refusal = champion_record(line).refusal(line.registered_model, version, bundle_hash)
    if refusal is not None:
        raise LiveError(*refusal)


@contextmanager
def _step(
    line: Line, kind: Kind, name: str, *, event: str, tags: Mapping[str, Any], seconds: float | None = None
) -> Iterator[JournaledRun | None]:
    """Open a run below the research run; None when it was recorded before, whoever made it."""
    tracker, document = tracker_of(line), read_json(line.tables, DOCUMENT)
    if tracker.recorded(event):
        yield None
        return
    shared = {name: document["tags"][name] for name in SHARED_TAGS}
    with tracker.run(
        name,
        kind=kind,
        event=event,
        parent=document["event"],
        tags={**shared, **tags},
        started_at=None if seconds is None else _ago(seconds),
    ) as run:
        yield run


def _ago(seconds: float) -> datetime:
    return utc_now() - timedelta(seconds=float(seconds))


def _document(line: Line) -> dict[str, Any]:
    """Return what is kept of the last research run; nothing where there was none, none of this release, or damage."""
    if not (line.tables / f"{DOCUMENT}.json").exists():
        return {}
    document = read_json(line.tables, DOCUMENT)
    tracker = tracker_of(line)
    known = "event" in document and tracker.journals.exists(document["event"])
    return document if known and tracker.story(document["event"]) is not None else {}


def _shown(line: Line, texts: Mapping[str, str]) -> dict[str, str]:
    """Return the tags that MLflow's own pages read: the description, where the run came from, the commit."""
    settings = line.settings
    span = f"{settings.source.first_session} to {settings.source.until}"
    note = (
        f"{'**Simulated market.** ' if texts['simulated'] == 'True' else ''}Profile `{settings.profile}`, market "
        f"`{texts['market']}`, {span}. Factors `{texts['factors']}`, label: return of "
        f"{settings.label.horizon_sessions} sessions, entered {settings.label.entry_lag_sessions} after the score; "
        f"model `{texts['model_kind']}`, strategy `{texts['strategy']}`. Trials, folds, the final training, the "
        "backtest and the gate's decision are runs below this one."
    )
    return {
        "mlflow.note.content": note,
        "mlflow.source.name": "ljwx run",
        "mlflow.source.type": "JOB",
        "mlflow.source.git.commit": texts["git_revision"].removesuffix("-dirty"),
    }


def _record_environment(run: JournaledRun, settings: Settings) -> None:
    with TemporaryDirectory(prefix="ljwx-tracking-") as folder:
        for place, text in (
            ("environment/requirements.txt", requirements_text()),
            ("config/settings.json", settings_text(settings)),
        ):
            path = Path(folder) / place
            path.parent.mkdir()
            path.write_text(text, encoding="utf-8")
            run.artifacts(path, path.parent.name)
