"""The bodies of ``ljwx live strategies|reload``: who trades the account, and the file read again by the runner.

Not here: what a change means (``sleeves/``), the runner's end of it (``strategies_api.py``).
"""

from __future__ import annotations

import argparse

from ljwx_pipeline.command_output import cell, grid, show_result
from ljwx_pipeline.config import Settings, market_home
from ljwx_pipeline.errors import LiveError
from ljwx_pipeline.live.migrate import HEAD, revision_of
from ljwx_pipeline.live.places import journal_place, require_journal
from ljwx_pipeline.live.runner_client import asked, nobody
from ljwx_pipeline.live.sleeves.overview import Shown, overview
from ljwx_pipeline.live.store import Store
from ljwx_pipeline.live.strategies_api import RELOAD_PATH, as_json
from ljwx_pipeline.units import FEN_PER_CNY

_HEADERS = (
    *("strategy", "state", "mode", "share %", "schedule", "model", "equity CNY", "cash CNY", "positions", "result CNY"),
    "set by",
)


def show_strategies(settings: Settings, arguments: argparse.Namespace) -> int:
    """Print the strategies of the market's journal, whether or not a runner is at work."""
    place, _ = journal_place(settings, market_home(settings))
    require_journal(place)
    store = Store(place)
    try:
        with store.reading() as connection:
            revision = revision_of(connection, store.name)
            if revision != HEAD:
                raise LiveError(
                    f"the journal {store.name} is of revision {revision}, strategies are kept since {HEAD}",
                    "start the runner once: `ljwx live` brings it up to date after a backup",
                )
            found = overview(connection)
    finally:
        store.close()
    body = {"journal": store.name, "strategies": [as_json(one) for one in found]}
    text = grid(_HEADERS, [_line(one) for one in found]) if found else "no strategy has traded this account yet"
    text = "\n".join([text, *(f"{one.sleeve}: {one.note}" for one in found if one.note)])
    return show_result(arguments, body, text)


def reload_strategies(settings: Settings, arguments: argparse.Namespace) -> int:
    """Ask the runner to read the file again, and print what changed.

    Raises
    ------
    LiveError
        With what speaks against it, in the runner's words: the strategies in force trade on. Or when no runner answers.
    """
    said = asked(settings, "POST", RELOAD_PATH, {})
    if said is None:
        raise nobody(settings, "start it (`ljwx live`): it reads the file as it starts")
    changed = [str(line) for line in said["changed"]]
    text = "\n".join([*changed, "in effect from the next close on"]) if changed else "nothing has changed"
    return show_result(arguments, {"changed": changed}, text)


def _line(one: Shown) -> list[str]:
    name = one.sleeve
    return [
        name,
        one.state or "-",
        one.mode or "-",
        f"{one.share_bps / 100:.2f}" if one.strategy else "-",
        one.schedule or "-",
        (one.model or "the market's") if one.strategy else "-",
        _cny(one.equity_fen),
        _cny(one.cash_fen),
        cell(one.positions),
        "-" if one.result_fen is None else _cny(one.result_fen),
        one.by or "-",
    ]


def _cny(fen: int) -> str:
    return f"{fen / FEN_PER_CNY:,.2f}"
