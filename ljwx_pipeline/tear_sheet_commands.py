"""The body of ``ljwx tear-sheet``: what each factor is worth alone, measured on the line's own lake.

Not here: the measures and the pages (``research/``), the rest of the command line (``cli.py``).
"""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Callable, Collection, Iterator, Sequence
from datetime import date
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ljwx_pipeline.command_output import day_of, grid, show_result
from ljwx_pipeline.config import Settings, market_home
from ljwx_pipeline.errors import ConfigError, FactorError, LakeError

if TYPE_CHECKING:  # pandas and numba: loaded when the command runs, not when the parser is built
    import pandas as pd

    from ljwx_pipeline.factors.catalogue import Catalogue, Factor
    from ljwx_pipeline.research.market import ResearchMarket

#: Factors printed on the terminal; the files hold all of them.
SHOWN_FACTORS = 20
#: Factors that get a page of their own unless ``--pages`` says otherwise: a page takes a second.
PAGES = 20


def add_tear_sheet_command(
    subparsers: Any,
    *,
    add_settings_options: Callable[[argparse.ArgumentParser], None],
    settings_of: Callable[[argparse.Namespace], Settings],
) -> None:
    """Add ``tear-sheet`` to the command line.

    Parameters
    ----------
    subparsers
        What ``ArgumentParser.add_subparsers`` returned.
    add_settings_options, settings_of
        How the command line names a profile and reads it; a profile is a market, and a market has one lake.
    """
    text = "what each factor is worth alone: rank IC, decay, quantiles, turnover, capacity, as pages and as tables"
    parser = subparsers.add_parser("tear-sheet", help=text, description=text)
    add_settings_options(parser)
    parser.add_argument(
        "--catalogue",
        metavar="NAME|FILE.py",
        help="a name that `ljwx factors list` says, or a Python file of your own, which is run "
        "(default: factors.catalogue of the configuration)",
    )
    parser.add_argument("--factor", nargs="+", metavar="NAME", help="only these (default: every one)")
    parser.add_argument(
        "--from", dest="first", metavar="D", help="first session measured (default: the first there is)"
    )
    parser.add_argument(
        "--to", dest="last", metavar="D", help="last session measured; held-out sessions are never read"
    )
    parser.add_argument("--out", metavar="DIR", help="folder for the files (default: tear_sheets/ in the market's own)")
    parser.add_argument(
        "--pages",
        type=int,
        metavar="N",
        help=f"a page for each of the N factors with the largest |t| (default: {PAGES}, or all that --factor names)",
    )
    parser.add_argument("--json", action="store_true", help="print the machine-readable form")
    parser.set_defaults(handler=lambda arguments: _tear_sheet(settings_of(arguments), arguments))


def _tear_sheet(settings: Settings, arguments: argparse.Namespace) -> int:
    # numba, pandas, matplotlib: only when a sheet is made
    from ljwx_pipeline.factors.catalogues import open_catalogue
    from ljwx_pipeline.research.files import summary_document, write_tear_sheet
    from ljwx_pipeline.research.page import PageContext
    from ljwx_pipeline.research.tear_sheet import evaluated, measure_set, yardstick

    first, last = _day(arguments.first, "--from"), _day(arguments.last, "--to")
    catalogue = open_catalogue(arguments.catalogue or settings.factors.catalogue)
    factors = _chosen(catalogue, arguments.factor)
    folder = Path(arguments.out) if arguments.out else market_home(settings) / "tear_sheets" / catalogue.name
    market, context_of = _market(settings, frozenset[str]().union(*(one.expression.inputs for one in factors)))
    _require_seen(market.panel.sessions, first, last, settings.research.held_out_sessions)
    stick = yardstick(market, settings.label, first=first, last=last)
    threads = settings.model.threads
    pages = len(factors) if arguments.factor and arguments.pages is None else arguments.pages
    pages = min(PAGES if pages is None else pages, len(factors))
    if pages < 0:
        raise ConfigError(f"--pages {pages} is less than none", "write 0 for no page but the set's")
    with _progress(len(factors), pages) as (measured, written):
        found = measure_set(
            catalogue.name,
            evaluated(factors, market, threads=threads),
            stick,
            threads=threads,
            on_factor=measured,
        )
        context = PageContext(**context_of, hashes=_hashes(settings, catalogue, market))
        index = write_tear_sheet(found, folder, context, with_pages=found.strongest(pages), on_page=written)
    body = {**summary_document(found, context), "page": str(index.absolute())}
    return show_result(arguments, body, _text(body))


def _chosen(catalogue: Catalogue, names: Sequence[str] | None) -> tuple[Factor, ...]:
    unknown = [name for name in names or () if name not in catalogue.names]
    if unknown:
        near = get_close_matches(unknown[0], catalogue.names, n=8, cutoff=0.5) or catalogue.names[:8]
        known = ", ".join(near) + (", ..." if len(catalogue.names) > len(near) else "")
        raise FactorError(f"{catalogue.name} has no factor {', '.join(unknown)}", f"choose among {known}")
    return tuple(factor for factor in catalogue.factors if not names or factor.name in names)


def _market(settings: Settings, reads: Collection[str]) -> tuple[ResearchMarket, dict[str, Any]]:
    """Return the market in the line's lake with the fields that factors read, and what a page says of its source."""
    import pandas as pd

    from ljwx_pipeline.dataset import MarketTables, tables_beside
    from ljwx_pipeline.ingest.tables import CALENDAR, read_market_table
    from ljwx_pipeline.lake import Lake
    from ljwx_pipeline.research.market import research_market
    from ljwx_pipeline.sources.open import open_source

    home, span = market_home(settings), settings.source
    lake, checked = Lake(home / "lake"), Lake(home / "checked")
    held = pd.DatetimeIndex(read_market_table(lake, CALENDAR)["session_date"], name="session_date")
    sessions = held[(held >= pd.Timestamp(span.first_session)) & (held <= pd.Timestamp(span.last_session))]
    if not len(sessions) or not checked.holds("bars"):
        raise LakeError(f"no bar of {home.name} was ever checked", "run `ljwx backfill` first")
    source = open_source(settings).describe()
    tables = MarketTables(
        bars=checked.read("bars", first=sessions[0].date(), last=sessions[-1].date()),
        securities=read_market_table(lake, "securities"),
        st_spells=read_market_table(lake, "st_spells"),
        index_members=read_market_table(lake, "index_members"),
        adjustment=source.adjustment,
        beside={name: read_market_table(lake, name) for name in tables_beside(reads)},
    )
    said = {"profile": settings.profile, "source": f"{source.name}, {source.adjustment} prices"}
    return research_market(tables, sessions, settings, reads), {**said, "simulated": source.simulated}


def _require_seen(sessions: pd.DatetimeIndex, first: date | None, last: date | None, held_out: int) -> None:
    begin, end = sessions[0].date(), sessions[-1].date()
    if last is not None and last > end:
        raise ConfigError(
            f"--to {last} lies past the last research session {end}",
            f"choose {end} at most: the {held_out} sessions after it are held out, and research never reads them",
        )
    if first is not None and last is not None and first > last:
        raise ConfigError(f"--from {first} lies after --to {last}", "exchange them")
    if first is not None and not begin <= first <= end:
        raise ConfigError(f"--from {first} lies outside the research sessions", f"choose {begin} to {end}")


def _hashes(settings: Settings, catalogue: Catalogue, market: ResearchMarket) -> dict[str, str]:
    from ljwx_pipeline.label import label_hash

    return {
        "catalogue": catalogue.name,
        "factor_hash": catalogue.version_hash,
        "label_hash": label_hash(settings.label),
        "config_hash": settings.config_hash,
        "panel": f"{len(market.panel.symbols)} symbols x {len(market.panel.sessions)} research sessions",
    }


@contextlib.contextmanager
def _progress(factors: int, pages: int) -> Iterator[tuple[Callable[[str], None], Callable[[str], None]]]:
    """Yield what is called for each factor measured and for each page written; a bar on a terminal, or nothing."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    console = Console(stderr=True, highlight=False)
    columns = (TextColumn("{task.description}"), BarColumn(bar_width=24), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_interactive) as progress:
        measuring = progress.add_task("measuring factors", total=factors)
        writing = progress.add_task("writing pages", total=pages)
        yield lambda _: progress.advance(measuring), lambda _: progress.advance(writing)


def _text(body: dict[str, Any]) -> str:
    rows = sorted(body["factors"], key=lambda row: (-abs(row["rank_ic_t"] or 0.0), row["factor"]))
    headers = ["factor", "rank IC", "ICIR", "t", "half-life", "spread/yr", "turnover", "coverage", "capacity m CNY"]
    lines = [
        [
            row["factor"],
            _shown(row["rank_ic_mean"], "{:.4f}"),
            _shown(row["rank_icir"], "{:.3f}"),
            _shown(row["rank_ic_t"], "{:.1f}"),
            _shown(row["half_life_sessions"], "{:.1f}"),
            _shown(row["spread_per_year_frac"], "{:.1%}"),
            _shown(row["turnover_frac"], "{:.1%}"),
            _shown(row["coverage_frac"], "{:.1%}"),
            _shown(None if row["capacity_cny"] is None else row["capacity_cny"] / 1e6, "{:,.1f}"),
        ]
        for row in rows[:SHOWN_FACTORS]
    ]
    over = f"{body['first_session']} to {body['last_session']}, {body['horizon_sessions']} sessions held"
    left = len(rows) - len(lines)
    more = [f"{left} more: see the page"] if left > 0 else []
    return "\n".join([f"{body['set']}, {over}, largest |t| first", "", grid(headers, lines), *more, "", body["page"]])


def _shown(value: float | None, pattern: str) -> str:
    return "-" if value is None else pattern.format(value)


def _day(text: str | None, option: str) -> date | None:
    return None if text is None else day_of(text, option)
