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
from collections.abc import Mapping
from typing import Any

import dagster as dg
from sqlalchemy.exc import SQLAlchemyError

from assets.resources import Line
from ljwx_pipeline.config import Settings, ljwx_home, load_settings
from ljwx_pipeline.dataset import plan_run
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
        os.environ.update(child_environment(settings, overrides))
        # the line's own source: what is read here is not read again by the steps
        plan = plan_run(settings, Line().source(), job=arguments.job)
        if arguments.dry_run:
            print(json.dumps(plan.as_dict(), indent=2, ensure_ascii=False) if arguments.json else plan.sentence())
            return 0
        return _run(settings, overrides, arguments.job, as_json=arguments.json)
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


def _run(settings: Settings, overrides: Mapping[str, Any], job: str, *, as_json: bool) -> int:
    from jobs.session import LineRun  # heavy: Dagster and every asset

    logging.getLogger().setLevel(logging.ERROR)
    warnings.filterwarnings("ignore")
    prepare_dagster_home(ljwx_home())
    with LineRun(settings, overrides) as line_run:
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
