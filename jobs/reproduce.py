"""The process behind ``ljwx reproduce``: what a run made, made again in the home it is started in, and its hashes.

``python -m jobs.reproduce`` runs the line's own steps up to the bundle, as known at ``source.as_of``; it registers and
promotes nothing outside that home. Not here: comparing (``ljwx_pipeline.reproduction``).
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import signal
import sys
import warnings
from pathlib import Path
from typing import Any

import dagster as dg
from sqlalchemy.exc import SQLAlchemyError

from assets.lineage import lineage_of
from assets.made import made, made_features
from assets.resources import Line
from ljwx_pipeline.config import dagster_home, load_settings
from ljwx_pipeline.errors import LjwxError
from ljwx_pipeline.job_process import let_signals_through
from ljwx_pipeline.lake.atomic_parquet import write_bytes
from ljwx_pipeline.supervisor import child_environment, prepare_dagster_home

#: What is made again: the model with what it was judged by, and the runner's session pack.
MODEL, PACK = "model", "pack"
#: The assets that come last of each.
MADE_LAST = {MODEL: ("model_bundle", "net_backtest"), PACK: ("session_pack",)}


def main() -> int:
    """Make it again and write ``--out``; of an error the fact and the remedy, and its exit code."""
    parser = argparse.ArgumentParser(prog="python -m jobs.reproduce")
    parser.add_argument("--profile", required=True)
    parser.add_argument("--overrides-file", type=Path, required=True)
    parser.add_argument("--make", action="append", choices=(MODEL, PACK), required=True)
    parser.add_argument("--model-name", default="", help="that the manifest states, as the original's does")
    parser.add_argument("--git-revision", default="", help="likewise")
    parser.add_argument("--warm-start", default="", help="file of what its study started from")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    overrides = json.loads(arguments.overrides_file.read_text(encoding="utf-8"))
    try:
        let_signals_through()
        line = Line(
            made_again_model=arguments.model_name,
            made_again_revision=arguments.git_revision,
            made_again_warm_start=arguments.warm_start,
        )
        found = _made_again(arguments.profile, overrides, arguments.make, line)
        write_bytes(arguments.out, json.dumps(found, default=str).encode())
    except (KeyboardInterrupt, dg.DagsterExecutionInterruptedError):
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second Ctrl-C finds a process that is ending
        return 130
    except (OSError, SQLAlchemyError, dg.DagsterError, LjwxError) as error:
        told = error if isinstance(error, LjwxError) else None
        fact = told.fact if told else str(error).strip().partition("\n")[0] or type(error).__name__
        remedy = told.remedy if told else "see that its folder can be written and has space, then try again"
        try:  # who started it tells it: one message, with one remedy
            write_bytes(arguments.out, json.dumps({"fact": fact, "remedy": remedy}).encode())
        except (OSError, LjwxError):
            sys.stderr.write(f"error: {fact}: {remedy}\n")
        return told.exit_code if told else 3
    return 0


def _made_again(profile: str, overrides: dict[str, Any], make: list[str], line: Line) -> dict[str, Any]:
    from jobs.session import LineRun  # heavy: Dagster and every asset

    settings = load_settings(profile=profile, overrides=overrides)
    os.environ.update(child_environment(settings, overrides))
    logging.getLogger().setLevel(logging.ERROR)
    warnings.filterwarnings("ignore")
    prepare_dagster_home(dagster_home(settings))
    wanted = [name for what in make for name in MADE_LAST[what]]
    # what a replay makes is judged by its hashes: the checks judged the run it repeats
    selection = dg.AssetSelection.keys(*wanted).upstream().required_multi_asset_neighbors().without_checks()
    job = dg.define_asset_job("reproduction", selection=selection)
    with LineRun(settings, overrides, jobs=[job], line=line) as run:
        run.execute(job.name)
    lineage = lineage_of(line) if MODEL in make else {}
    return {
        "home": str(line.home),
        "lineage": {**lineage, "as_of": settings.source.as_of},
        "made": made(line) if MODEL in make else {"artifacts": made_features(line)},
    }


if __name__ == "__main__":
    sys.exit(main())
