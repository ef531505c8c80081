"""The process behind ``ljwx run``: one job in process with progress, then the real sensor and the run it requests.

``python -m jobs.run`` is started by ``ljwx run`` from the checkout; it holds what needs both Dagster and a terminal.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
import warnings

import dagster as dg
from sqlalchemy.exc import SQLAlchemyError

from ljwx_pipeline.config import Settings, ljwx_home, load_settings, market_home
from ljwx_pipeline.errors import EnvironmentFault, LjwxError
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
        settings = load_settings(profile=arguments.profile, overrides=overrides)
        if arguments.dry_run:
            print(_plan(settings, arguments.job))
            return 0
        os.environ.update(child_environment(settings, overrides))
        return _run(settings, arguments.job, as_json=arguments.json)
    except KeyboardInterrupt:
        print("stopped; what was finished is kept, run again to go on", file=sys.stderr)
        return 130
    except (OSError, SQLAlchemyError, dg.DagsterError) as error:
        fact = (str(error).strip() or type(error).__name__).splitlines()[0]
        remedy = f"check that {ljwx_home()} is writable and has room, or move its dagster folder away if it is damaged"
        print(f"error: {fact}: {remedy}", file=sys.stderr)
        return EnvironmentFault.exit_code
    except LjwxError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code


def _plan(settings: Settings, job: str) -> str:
    source = settings.source
    return (
        f"would run job {job} of profile {settings.profile} on {source.kind} data, "
        f"{source.first_session} to {source.last_session}, into {market_home(settings)}"
    )


def _run(settings: Settings, job: str, *, as_json: bool) -> int:
    from jobs.session import LineRun  # heavy: Dagster and every asset

    logging.getLogger().setLevel(logging.ERROR)
    warnings.filterwarnings("ignore")
    prepare_dagster_home(ljwx_home())
    with LineRun(settings) as line_run:
        line_run.execute(job)
        if job == "daily_pipeline":
            print(line_run.daily_report(as_json=as_json))
            return 0
        line_run.deploy_requested()
        summary = line_run.summary()
    from ljwx_pipeline.evaluation.run_summary import summary_table

    print(json.dumps(summary, indent=2, ensure_ascii=False) if as_json else summary_table(summary))
    return 0


if __name__ == "__main__":
    sys.exit(main())
