"""The command line ``ljwx``: parses, calls, prints. Every body lives elsewhere.

A user's mistake ends in one line on stderr and the exit code of its error class, never in a traceback.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ljwx_pipeline import __version__
from ljwx_pipeline.clock import utc_now
from ljwx_pipeline.command_options import require_meaning
from ljwx_pipeline.command_output import forget_colour_reset
from ljwx_pipeline.config import Settings, ljwx_home, load_settings, market_home, parse_value
from ljwx_pipeline.contest_commands import add_contest_commands
from ljwx_pipeline.data_commands import add_data_commands
from ljwx_pipeline.dataset_commands import instant_of
from ljwx_pipeline.errors import ConfigError, LakeError, LjwxError
from ljwx_pipeline.exchange_commands import add_exchange_command
from ljwx_pipeline.experiment_commands import add_experiment_commands
from ljwx_pipeline.explain_commands import add_explain_command
from ljwx_pipeline.factor_commands import add_factor_commands
from ljwx_pipeline.leak_commands import add_leak_commands
from ljwx_pipeline.live_commands import add_live_commands
from ljwx_pipeline.model_commands import add_models_command
from ljwx_pipeline.monitor_commands import add_monitor_command
from ljwx_pipeline.promotion_commands import add_promotion_commands
from ljwx_pipeline.report_commands import add_report_commands
from ljwx_pipeline.reproduce_commands import add_reproduce_command
from ljwx_pipeline.rulebook_commands import add_rules_command
from ljwx_pipeline.study_commands import add_study_commands
from ljwx_pipeline.sweep_commands import add_sweep_command
from ljwx_pipeline.tear_sheet_commands import add_tear_sheet_command
from ljwx_pipeline.trial_commands import add_trials_command


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    parser = build_parser()
    arguments = parser.parse_args(argv)
    handler: Callable[[argparse.Namespace], int] = arguments.handler
    try:
        return handler(arguments)
    except LjwxError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except BrokenPipeError:
        # whoever read our output has gone (`| head`): nothing is left to say, and nobody to say it to
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 130
    finally:
        forget_colour_reset()


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    parser = argparse.ArgumentParser(
        prog="ljwx", description="The production line for quantitative A-share strategies."
    )
    parser.add_argument("--version", action="version", version=f"ljwx {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    run = commands.add_parser("run", help="run the whole line: data to promoted model to paper account")
    _add_settings_options(run)
    run.add_argument(
        "--job",
        choices=("main", "daily_pipeline", "research", "research_parallel", "ingest"),
        default="main",
        help="main (the default): the whole line; daily_pipeline: data to scores and monitoring, trains nothing; "
        "research: dataset to promotion, on the tables of an earlier run; research_parallel: the same with folds in "
        "parallel; ingest: data to checked bars (ljwx backfill)",
    )
    run.add_argument(
        "--as-of",
        metavar="INSTANT",
        help="replay what the lake held then, beside the market; a date means its end in Asia/Shanghai",
    )
    run.add_argument("--json", action="store_true", help="print the summary (or the plan) as JSON")
    run.add_argument("--dry-run", action="store_true", help="open the data, say what would run on them, and stop")
    run.set_defaults(handler=_run)

    backfill = commands.add_parser(
        "backfill", help="fetch what the lake lacks and check it; stopped at any instant, it goes on where it was"
    )
    _add_settings_options(backfill)
    backfill.add_argument("--from", dest="first", metavar="D", help="first session (source.first_session)")
    backfill.add_argument("--to", dest="last", metavar="D", help="last session (source.last_session)")
    backfill.add_argument("--json", action="store_true", help="print the outcome (or the plan) as JSON")
    backfill.add_argument("--dry-run", action="store_true", help="say what is missing and how long it takes, and stop")
    backfill.set_defaults(handler=_backfill)

    add_data_commands(
        commands,
        add_settings_options=_add_settings_options,
        settings_of=_settings,
        other_settings_of=_other_settings,
    )
    add_factor_commands(commands)
    add_leak_commands(commands, add_settings_options=_add_settings_options, settings_of=_settings)
    add_tear_sheet_command(commands, add_settings_options=_add_settings_options, settings_of=_settings)
    add_explain_command(commands, add_settings_options=_add_settings_options, settings_of=_settings)
    add_rules_command(commands)
    add_study_commands(commands, add_settings_options=_add_settings_options, settings_of=_settings)
    add_sweep_command(commands, add_settings_options=_add_settings_options, settings_of=_settings)
    add_trials_command(commands, add_settings_options=_add_settings_options, settings_of=_settings)
    add_report_commands(commands)
    add_experiment_commands(commands, add_settings_options=_add_settings_options, settings_of=_settings)
    add_models_command(
        commands, add_settings_options=_add_settings_options, settings_of=_settings, overrides_of=overrides_of
    )
    add_promotion_commands(commands, add_settings_options=_add_settings_options, settings_of=_settings)
    add_contest_commands(commands, add_settings_options=_add_settings_options, settings_of=_settings)
    add_reproduce_command(
        commands, add_settings_options=_add_settings_options, settings_of=_settings, overrides_of=overrides_of
    )

    add_monitor_command(commands, add_settings_options=_add_settings_options, settings_of=_settings)

    summary = commands.add_parser("summary", help="what the last run found")
    summary.add_argument("--json", action="store_true", help="print the machine-readable form")
    summary.set_defaults(handler=_summary)

    up = commands.add_parser(
        "up", help="start Dagster, MLflow, the runner and its console on loopback; Ctrl-C stops all"
    )
    _add_settings_options(up)
    up.set_defaults(handler=_up)

    live = commands.add_parser(
        "live",
        help="the live runner on a paper account, its journal, and what trading cost",
        description="without a command: the live runner on the market's paper account, until Ctrl-C",
    )
    _add_settings_options(live)
    live.add_argument("--once", action="store_true", help="replay the held-out sessions, print the account and stop")
    live.set_defaults(handler=_live)
    add_live_commands(live, add_settings_options=_add_settings_options, settings_of=_settings)

    add_exchange_command(commands, add_settings_options=_add_settings_options, settings_of=_settings)

    console = commands.add_parser("console", help="the page that shows account, positions and orders")
    _add_settings_options(console)
    console.set_defaults(handler=_console)

    doctor = commands.add_parser(
        "doctor", help="what is installed, reachable, writable and configured, and how to mend it"
    )
    _add_settings_options(doctor)
    doctor.add_argument("--json", action="store_true", help="print the machine-readable form")
    doctor.set_defaults(handler=_doctor)
    return parser


def _add_settings_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--profile", metavar="NAME", help="profiles/NAME.toml over ljwx.toml (default: simulated)")
    parser.add_argument("--seed", type=int, help="seed of the simulated world")
    parser.add_argument("--set", action="append", metavar="SECTION.KEY=VALUE", help="override one key; may be repeated")
    files = parser.add_argument_group("the user's own files (--profile folder)")
    files.add_argument("--data", metavar="PATH", help="daily bars: a CSV or Parquet file, or a folder of them")
    files.add_argument("--index-data", nargs="+", metavar="PATH", help="daily index bars: CSV or Parquet files")
    files.add_argument(
        "--adjustment", choices=("raw", "forward", "backward"), help="how the prices in --data were adjusted"
    )


def overrides_of(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the dotted overrides that the options stand for."""
    found: dict[str, Any] = {}
    if arguments.seed is not None:
        found["simulated.seed"] = arguments.seed
    if arguments.data is not None:
        found["folder.data"] = arguments.data
    if arguments.index_data is not None:
        found["folder.index_data"] = arguments.index_data
    if arguments.adjustment is not None:
        found["folder.adjustment"] = arguments.adjustment
    for item in arguments.set or ():
        key, separator, value = item.partition("=")
        if not separator:
            raise ConfigError(f"--set {item!r} has no '='", "write --set section.key=value")
        found[key.strip()] = parse_value(value.strip())
    return found


def _passed_instant(text: str) -> str:
    try:
        instant, now = instant_of(text), utc_now()
    except LakeError:
        raise ConfigError(f"--as-of {text!r} is no instant", "write 2024-01-31, 2024-01-31T18:00 or now") from None
    if instant > now:
        raise ConfigError(
            f"--as-of {text} means {instant.isoformat(timespec='seconds')}, which has not passed",
            "write an earlier instant, or now",
        )
    return instant.isoformat()


def _settings(arguments: argparse.Namespace) -> Settings:
    return _loaded(arguments.profile, overrides_of(arguments))


def _loaded(profile: str | None, overrides: Mapping[str, Any]) -> Settings:
    settings = load_settings(profile=profile, overrides=overrides)
    require_meaning(settings, overrides)
    return settings


def _other_settings(arguments: argparse.Namespace, profile: str) -> Settings:
    """Return another profile's settings under the same options; those about files are the first profile's alone."""
    overrides = {key: value for key, value in overrides_of(arguments).items() if not key.startswith("folder.")}
    return load_settings(profile=profile, overrides=overrides)


def _run(arguments: argparse.Namespace) -> int:
    as_of = {} if arguments.as_of is None else {"source.as_of": _passed_instant(arguments.as_of)}
    return _run_job(arguments, arguments.job, as_of)


def _backfill(arguments: argparse.Namespace) -> int:
    span = {"source.first_session": arguments.first, "source.last_session": arguments.last}
    return _run_job(arguments, "ingest", {key: day for key, day in span.items() if day is not None})


def _run_job(arguments: argparse.Namespace, job: str, options: Mapping[str, Any]) -> int:
    from ljwx_pipeline.supervisor import run_job

    overrides = {**overrides_of(arguments), **options}
    return run_job(
        _loaded(arguments.profile, overrides),
        overrides,
        job=job,
        as_json=arguments.json,
        dry_run=arguments.dry_run,
        root=Path.cwd(),
    )


def _summary(arguments: argparse.Namespace) -> int:
    from ljwx_pipeline.evaluation.run_summary import read_summary, summary_table

    summary = read_summary(ljwx_home() / "reports" / "latest" / "summary.json")
    print(json.dumps(summary, indent=2, ensure_ascii=False) if arguments.json else summary_table(summary))
    return 0


def _up(arguments: argparse.Namespace) -> int:
    from ljwx_pipeline.supervisor import up

    return up(_settings(arguments), overrides_of(arguments), root=Path.cwd())


def _live(arguments: argparse.Namespace) -> int:
    from ljwx_pipeline.live.main import run_replay, serve

    settings = _settings(arguments)
    home = market_home(settings)
    if not arguments.once:
        print(f"the runner of {home.name}: `ljwx live status` says how it stands, Ctrl-C ends it", file=sys.stderr)
        return serve(
            home,
            settings,
            reread=lambda: _settings(arguments),
            told=lambda words: print(words, file=sys.stderr, flush=True),
        )
    account = run_replay(home, settings)
    print(json.dumps(account.as_dict(), indent=2))
    return 0


def _console(arguments: argparse.Namespace) -> int:
    from ljwx_pipeline.console.main import serve

    settings = _settings(arguments)
    return serve(market_home(settings), settings)


def _doctor(arguments: argparse.Namespace) -> int:
    from ljwx_pipeline.doctor import examine, findings_table

    findings = examine(profile=arguments.profile, overrides=overrides_of(arguments), root=Path.cwd())
    if arguments.json:
        print(json.dumps([finding.as_dict() for finding in findings], indent=2))
    else:
        print(findings_table(findings))
    return 0 if all(finding.ok or finding.only_warns for finding in findings) else 1


if __name__ == "__main__":
    sys.exit(main())
