"""The process behind ``ljwx run``: one job in process with progress, then the real sensor and the run it requests.

``python -m jobs.run`` is started by ``ljwx run`` from the checkout; it holds what needs both Dagster and a terminal.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import signal
import sys
import warnings
from collections.abc import Mapping
from typing import Any

import dagster as dg
from sqlalchemy.exc import SQLAlchemyError

from assets.resources import Line
from jobs.ingest import JOB_NAME as INGEST_JOB
from jobs.ingest import ingest_outcome, outcome_table
from jobs.requirements import require_to_train
from jobs.research import JOB_NAME as RESEARCH_JOB
from jobs.research import PARALLEL_JOB_NAME as PARALLEL_JOB
from ljwx_pipeline.clock import SystemClock, utc_now
from ljwx_pipeline.command_output import forget_colour_reset
from ljwx_pipeline.config import Settings, dagster_home, ljwx_home, load_settings, market_name, replayed
from ljwx_pipeline.dataset import RunPlan, plan_on_lake, plan_run
from ljwx_pipeline.dataset.plan import DAILY_JOB
from ljwx_pipeline.disk_space import full_disk
from ljwx_pipeline.errors import ConfigError, EnvironmentFault, LakeError, LjwxError
from ljwx_pipeline.evaluation.replayed_run import compare_with_replayed
from ljwx_pipeline.failures import Failure, record_failure
from ljwx_pipeline.ingest.estimate import IngestEstimate, estimate_ingest
from ljwx_pipeline.job_process import let_signals_through
from ljwx_pipeline.known_markets import record_market
from ljwx_pipeline.supervisor import child_environment, prepare_dagster_home


def main() -> int:
    """Parse, run, print; a user's mistake is one line and an exit code."""
    parser = argparse.ArgumentParser(prog="python -m jobs.run")
    parser.add_argument("--profile", required=True)
    parser.add_argument("--overrides-json", default="{}")
    parser.add_argument("--job", default="main")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--dry-run", action="store_true")
    arguments = parser.parse_args()
    overrides = json.loads(arguments.overrides_json)
    try:
        let_signals_through()
        settings = load_settings(profile=arguments.profile, overrides=overrides)
        os.environ.update(child_environment(settings, overrides))
        plan = _plan(settings, arguments.job)
        if arguments.dry_run:
            print(json.dumps(plan.as_dict(), indent=2, ensure_ascii=False) if arguments.json else plan.sentence())
            return 0
        return _run(settings, overrides, arguments.job, as_json=arguments.json)
    except (KeyboardInterrupt, dg.DagsterExecutionInterruptedError):
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second Ctrl-C finds a process that is ending
        print("stopped; what was finished is kept, run again to go on", file=sys.stderr)
        return 130
    except (OSError, SQLAlchemyError, dg.DagsterError, LjwxError) as error:
        told = _told(error, arguments.profile, overrides)
        print(f"error: {told}", file=sys.stderr)
        if not arguments.dry_run:
            _record(Failure(utc_now().isoformat(timespec="seconds"), arguments.profile, arguments.job, str(told)))
        return told.exit_code
    finally:
        forget_colour_reset()


def _record(failure: Failure) -> None:
    try:
        record_failure(ljwx_home(), failure)
    except (OSError, LjwxError) as error:
        print(f"the failure could not be noted for `ljwx doctor` ({error})", file=sys.stderr)


def _told(error: Exception, profile: str, overrides: Mapping[str, Any]) -> LjwxError:
    """Return what a person is told of ``error``."""
    full = full_disk(error, ljwx_home(), profile=profile, overrides=overrides)
    if full is not None or isinstance(error, LjwxError):
        return full or error
    fact = (str(error).strip() or type(error).__name__).splitlines()[0]
    remedy = f"check that {ljwx_home()} can be written, or move the dagster folder of the market away if it is damaged"
    return EnvironmentFault(fact, remedy)


def _plan(settings: Settings, job: str) -> RunPlan | IngestEstimate:
    # the line's own source: what is read here is not read again by the steps
    line = Line()
    if job == INGEST_JOB:
        return estimate_ingest(settings, line.source(), line.home / "ingest" / "staging")
    if job != DAILY_JOB:
        require_to_train(settings)
    factors = line.catalogue  # before anything is fetched: a name that is none, or a file that does not run
    if job in (RESEARCH_JOB, PARALLEL_JOB):
        return _research_plan(settings, line, job)
    plan = plan_run(settings, line.source(), job=job)
    needed = factors.window + settings.universe.mean_amount_window_sessions - 1
    if plan.first_test_year is not None and plan.sessions - settings.research.held_out_sessions < needed:
        raise ConfigError(
            f"factors and universe of catalogue {factors.name} look back {needed} sessions, and "
            f"{plan.sessions - settings.research.held_out_sessions} are there before the held-out ones",
            "shorten its windows, or load a longer history",
        )
    return plan


def _research_plan(settings: Settings, line: Line, job: str) -> RunPlan:
    """Plan on what the job reads: the lake, and what the daily steps computed from it."""
    from assets.panels import feature_table_path, symbols_of  # heavy: the factors' kernels

    sessions = line.sessions()
    computed = (line.tables / "forward_return_label.parquet", feature_table_path(line))
    missing = [path for path in computed if not path.is_file()]
    if missing:
        raise LakeError(f"{missing[0]} was never made", "run `ljwx run` once before its parts")
    line.source().describe()  # reads the files of a source that has some
    symbols = len(symbols_of(line.checked_bars())) if len(sessions) else 0
    return plan_on_lake(settings, sessions, symbols, job=job)


def _run(settings: Settings, overrides: Mapping[str, Any], job: str, *, as_json: bool) -> int:
    from jobs.session import LineRun  # heavy: Dagster and every asset

    logging.getLogger().setLevel(logging.ERROR)
    warnings.filterwarnings("ignore")
    prepare_dagster_home(dagster_home(settings))
    clock = SystemClock()
    started_s = clock.monotonic_s()
    with LineRun(settings, overrides) as line_run:
        record_market(settings, overrides)
        if job == PARALLEL_JOB:
            line_run.execute_apart(job)
        else:
            result = line_run.execute(job)
        if job == INGEST_JOB:
            seconds, as_of = clock.monotonic_s() - started_s, settings.source.as_of
            outcome = ingest_outcome(result, settings.profile, overrides, seconds, as_of=as_of)
            print(json.dumps(outcome, indent=2, ensure_ascii=False) if as_json else outcome_table(outcome))
            return 0
        if job == "daily_pipeline":
            print(line_run.daily_report(as_json=as_json))
            return 0
        line_run.deploy_requested()
        summary = line_run.summary()
    verdict = _verdict(settings, summary)
    if as_json:
        print(json.dumps({**summary, **verdict}, indent=2, ensure_ascii=False, default=str))
        return 0
    from ljwx_pipeline.evaluation.run_summary import summary_table

    print(summary_table(summary))
    if verdict:
        print(f"\n replay of {verdict['replay']['as_of']}: {verdict['replay']['sentence']}")
    return 0


def _verdict(settings: Settings, summary: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a replay adds to its summary: how it compares with the run it replays; nothing for another run."""
    instant = settings.source.replayed_instant
    if instant is None:
        return {}
    market, as_of = market_name(replayed(settings)), instant.isoformat()
    found = compare_with_replayed(summary, ljwx_home() / "reports", market=market, instant=instant)
    if found is None:
        sentence = f"nothing to compare with: no report of {market} from what was known at {as_of}"
        return {"replay": {"as_of": as_of, "run": None, "equal": None, "sentence": sentence}}
    return {"replay": {"as_of": as_of, **found.as_dict(), "sentence": found.sentence()}}


if __name__ == "__main__":
    sys.exit(main())
