"""The body of ``ljwx check-leaks``: a user's own file, or the gallery of seeded leaks, judged and printed.

Not here: the checks (``factors/leaks/``), the rest of the command line (``cli.py``).
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ljwx_pipeline.command_output import grid, show_result
from ljwx_pipeline.config import Settings, market_home
from ljwx_pipeline.errors import ConfigError, LakeError, LjwxError

if TYPE_CHECKING:  # the checks cost pandas and numba: loaded when the command runs
    from ljwx_pipeline.factors.leaks.gallery import GalleryRun
    from ljwx_pipeline.factors.leaks.market import Market

CLEAN, LEAKS, NOT_JUDGED = 0, 1, 2
#: Options that name a market, which only ``--lake`` looks at.
MARKET_OPTIONS = ("profile", "seed", "set", "data", "index_data", "adjustment")
#: Of the line's own data: so many symbols, evenly spaced, over so many newest sessions.
SYMBOLS, SESSIONS = 200, 500
LEAST_SYMBOLS, LEAST_SESSIONS = 10, 120
#: Verdicts printed one by one; of more, the clean ones are counted.
SHOWN_VERDICTS = 20
SECONDS, MEMORY_MIB = 300.0, 4096
DESCRIPTION = """Judge the factors and pipeline steps in FILE.py: do they use what was not known at the time?

FILE.py is Python code and is run, with your rights, in a process of its own under limits of time and memory. It defines
FACTORS or catalogue(), factors(panel), factors_pandas(bars), transform, predict, choose or split; docs/leaks.md says
how.
Exit code 0: clean; 1: leaks were found; 2: the file could not be judged."""


def add_leak_commands(
    subparsers: Any,
    *,
    add_settings_options: Callable[[argparse.ArgumentParser], None],
    settings_of: Callable[[argparse.Namespace], Settings],
) -> None:
    """Add ``check-leaks`` to the command line.

    Parameters
    ----------
    subparsers
        What ``ArgumentParser.add_subparsers`` returned.
    add_settings_options, settings_of
        How the command line names a market and reads its settings.
    """
    parser: argparse.ArgumentParser = subparsers.add_parser(
        "check-leaks",
        help="judge your own factors, or the gallery of seeded leaks, by what was known at the time",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("file", nargs="?", metavar="FILE.py", help="the file to judge; it is run")
    parser.add_argument("--gallery", action="store_true", help="judge the seeded leaks and their honest twins instead")
    parser.add_argument("--json", action="store_true", help="print the machine-readable form")
    own = parser.add_argument_group(
        "the line's own data",
        "with --lake the file is judged on checked bars of the market the options name; else on a built-in seeded one",
    )
    own.add_argument("--lake", action="store_true", help="judge on this line's own data")
    own.add_argument("--symbols", type=int, default=SYMBOLS, metavar="N", help=f"evenly spaced (default {SYMBOLS})")
    own.add_argument("--sessions", type=int, default=SESSIONS, metavar="N", help=f"the newest (default {SESSIONS})")
    add_settings_options(parser)
    parser.add_argument("--seconds", type=float, default=SECONDS, metavar="S", help=f"time limit (default {SECONDS:g})")
    parser.add_argument(
        "--memory-mib", type=int, default=MEMORY_MIB, metavar="N", help=f"memory limit (default {MEMORY_MIB})"
    )
    parser.add_argument("--verbose", action="store_true", help="show what the file prints, and tracebacks, on stderr")
    parser.set_defaults(handler=lambda arguments: _check_leaks(arguments, settings_of))


def _check_leaks(arguments: argparse.Namespace, settings_of: Callable[[argparse.Namespace], Settings]) -> int:
    try:
        if arguments.gallery:
            return _gallery(arguments)
        return _file(arguments, settings_of)
    except LjwxError as error:
        sys.stderr.write(f"error: {error}\n")
        if arguments.json:
            show_result(arguments, {"error": {"fact": error.fact, "remedy": error.remedy}}, "")
        return NOT_JUDGED


def _gallery(arguments: argparse.Namespace) -> int:
    from ljwx_pipeline.factors.leaks.gallery import run_gallery

    if arguments.file is not None:
        raise ConfigError(f"--gallery judges its own files, not {arguments.file}", "leave one of the two out")
    run = run_gallery()
    text = json.dumps(run.as_dict()) if arguments.json else gallery_text(run)
    sys.stdout.write(f"{text}\n")
    return CLEAN if run.holds else LEAKS


def gallery_text(run: GalleryRun) -> str:
    """Return one line a seeded leak: name, kind, which checks found something, and whether its twin was accused."""
    lines = [
        [
            outcome.seeded.name,
            outcome.seeded.kind,
            "yes" if outcome.caught else "NO",
            ", ".join(dict.fromkeys(finding.kind for finding in outcome.found)) or "none",
            ", ".join(dict.fromkeys(finding.kind for finding in outcome.accused)) or "-",
            outcome.seeded.what,
        ]
        for outcome in run.outcomes
    ]
    counts = run.as_dict()
    said = (
        f"{counts['caught']} of {counts['seeded']} seeded leaks caught, {counts['false_accusations']} honest twins "
        f"falsely accused, in {run.seconds:.1f} s"
    )
    headers = ["seeded leak", "kind", "caught", "caught by", "twin accused of", "what it is"]
    return f"{grid(headers, lines)}\n{said}"


def _file(arguments: argparse.Namespace, settings_of: Callable[[argparse.Namespace], Settings]) -> int:
    from ljwx_pipeline.factors.leaks.sandbox import Limits, judged_apart

    if arguments.file is None:
        raise ConfigError("no file is named", "write ljwx check-leaks FILE.py, or --gallery")
    path = Path(arguments.file)
    if not path.is_file():
        raise ConfigError(f"{path} is no file", "give the path of a Python file")
    limits = Limits(arguments.seconds, arguments.memory_mib)
    named = [option for option in MARKET_OPTIONS if getattr(arguments, option)]
    if named and not arguments.lake:
        option = named[0].replace("_", "-")
        raise ConfigError(f"--{option} names a market, and the file is judged on a built-in one", "add --lake")
    market = _lake_market(settings_of(arguments), arguments) if arguments.lake else None
    verdicts = judged_apart(path.resolve(), market, limits, verbose=arguments.verbose)
    leaking = [verdict["name"] for verdict in verdicts if verdict["verdict"] == "leak"]
    body = {
        "file": str(path),
        "data": "lake" if arguments.lake else "synthetic",
        "leaking": len(leaking),
        "verdicts": verdicts,
    }
    show_result(arguments, body, file_text(verdicts))
    return LEAKS if leaking else CLEAN


def file_text(verdicts: list[dict[str, Any]]) -> str:
    """Return one line a factor or step, and below them the evidence of each finding; of many clean ones, how many."""
    clean = [v for v in verdicts if v["verdict"] == "clean" and not v["note"]]
    shown = verdicts if len(verdicts) <= SHOWN_VERDICTS else [v for v in verdicts if v not in clean]
    lines = [[v["name"], v["made_by"], v["verdict"], ", ".join(v["kinds"]) or "-"] for v in shown]
    text = [grid(["factor or step", "made by", "verdict", "kind"], lines)] if lines else []
    text += [f"{len(clean)} more are clean"] if 0 < len(shown) < len(verdicts) else []
    text += [str(finding["evidence"]) for verdict in verdicts for finding in verdict["findings"]]
    text += [f"{verdict['name']}: {verdict['note']}" for verdict in verdicts if verdict["note"]]
    leaking = sum(verdict["verdict"] == "leak" for verdict in verdicts)
    text.append(f"{leaking} of {len(verdicts)} leak" if leaking else f"{len(verdicts)} judged, none leaks")
    return "\n".join(text)


def _lake_market(settings: Settings, arguments: argparse.Namespace) -> Market:
    """Return the newest sessions of this market's checked bars that research may see, and the tables beside them.

    Raises
    ------
    LjwxError
        When nothing was ever checked, or too little is there to judge on.
    """
    import pandas as pd

    from ljwx_pipeline.dataset import sessions_for_research
    from ljwx_pipeline.factors.leaks.market import BESIDE, TABLES, market_of
    from ljwx_pipeline.ingest.tables import read_market_table
    from ljwx_pipeline.lake import Lake
    from ljwx_pipeline.sources.open import open_source

    wanted_symbols, wanted_sessions = arguments.symbols, arguments.sessions
    for name, value, least in (
        ("--symbols", wanted_symbols, LEAST_SYMBOLS),
        ("--sessions", wanted_sessions, LEAST_SESSIONS),
    ):
        if value < least:
            raise ConfigError(f"{name} {value} is too few to judge on", f"ask for {least} or more")
    home = market_home(settings)
    checked, lake = Lake(home / "checked"), Lake(home / "lake")
    if not checked.holds("bars"):
        raise LakeError(f"no bar of {home.name} was ever judged", "run `ljwx backfill` first, or leave --lake out")
    held = pd.DatetimeIndex(read_market_table(lake, "calendar")["session_date"].sort_values(), name="session_date")
    sessions = sessions_for_research(held, settings.research.held_out_sessions)[-wanted_sessions:]
    bars = checked.read("bars", first=sessions[0].date(), last=sessions[-1].date())
    every = sorted(bars["symbol"].unique())
    step = max(1, len(every) // wanted_symbols)
    symbols = tuple(every[::step][:wanted_symbols])
    if len(symbols) < LEAST_SYMBOLS or len(sessions) < LEAST_SESSIONS:
        raise LakeError(
            f"{home.name} holds {len(symbols)} symbols and {len(sessions)} sessions, fewer than {LEAST_SYMBOLS} and "
            f"{LEAST_SESSIONS}",
            "load more data, or leave --lake out",
        )
    return market_of(
        bars,
        {name: read_market_table(lake, name) for name in (*TABLES, *BESIDE)},
        symbols=symbols,
        sessions=sessions,
        adjustment=open_source(settings).describe().adjustment,
        index=settings.universe.index,
        benchmark=settings.gate.benchmark,
    )
