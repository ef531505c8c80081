"""The bodies of ``ljwx live status|close|halt|resume|reduce|read-only|kill|reset``: the trader's hand on the runner.

They ask the runner that runs, over its loopback interface. Where none answers, what only looks or forbids is done on
the journal itself. Not here: what is done (``live/control.py``, ``live/control_offline.py``).
"""

from __future__ import annotations

import argparse
import getpass
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ljwx_pipeline.clock import SystemClock
from ljwx_pipeline.command_output import cell, grid, show_result
from ljwx_pipeline.config import Settings, market_home, market_name
from ljwx_pipeline.errors import ConfigError, LiveError
from ljwx_pipeline.units import E4, FEN_PER_CNY

if TYPE_CHECKING:  # the runner costs SQLAlchemy: loaded when a command runs, not when the parser is built
    from ljwx_pipeline.live.control_offline import OfflineControl

Body = Callable[[Settings, argparse.Namespace], int]
Add = Callable[[str, Body, str], argparse.ArgumentParser]

_MODES = {
    "halt": ("halted", "stop everything but closing by hand, until somebody says otherwise"),
    "resume": ("active", "take back a person's halt, reduce or read-only; breakers stay as they are"),
    "reduce": ("reducing", "close, never open"),
    "read-only": ("read_only", "send no new order, cancel alone"),
}
#: What the loop says of itself while nothing is decided, whatever mode the account is in.
_STANDS_STILL = ("halted", "outage", "waiting")


def add_live_control_commands(add: Add) -> None:
    """Add the commands by ``add(name, body, help)``, which returns the command's parser."""
    add("status", _status, "mode and why, breakers, positions, open orders, stops and alerts")
    close = add("close", _close, "close a position by hand, now or at the next open")
    what = close.add_mutually_exclusive_group(required=True)
    what.add_argument("symbol", nargs="?", default=None, help="whose position")
    what.add_argument("--all", action="store_true", default=False, help="every position and every open order")
    close.add_argument("--shares", type=int, default=0, metavar="N", help="as many; default: all of the position")
    close.add_argument("--dry-run", action="store_true", default=False, help="say what would be sent, and stop")
    close.add_argument("--yes", action="store_true", default=False, help="send it; without it this is a dry run")
    _add_words(close, required=False)
    for name, (_, text) in _MODES.items():
        mode = add(name, _mode(name), text)
        mode.add_argument("--strategy", default="", metavar="NAME", help="that strategy alone; default: the account")
        _add_words(mode)
    kill = add("kill", _kill, "pull the kill switch: cancel what is open, send nothing more")
    kill.add_argument("--market", default="", metavar="NAME", help="the runner's market; default: the profile's")
    _add_words(kill)
    reset = add("reset", _reset, "reset a breaker that a person may reset")
    reset.add_argument("breaker", metavar="BREAKER", help="its code, as `ljwx live status` shows it")
    reset.add_argument("--strategy", default="", metavar="NAME", help="whose breaker; default: the account's")
    _add_words(reset)


def _add_words(parser: argparse.ArgumentParser, *, required: bool = True) -> None:
    parser.add_argument(
        "--reason", type=_words, required=required, default="", metavar="TEXT", help="why; kept in the journal"
    )
    parser.add_argument(
        "--by", type=_words, default="", metavar="NAME", help="who asks; default: the user of this machine"
    )


def _words(given: str) -> str:
    """Return the words, bytes that are no UTF-8 as codes: no kill switch fails for a terminal's encoding."""
    return given.encode(errors="backslashreplace").decode()


def _status(settings: Settings, arguments: argparse.Namespace) -> int:
    said = _asked(settings, "GET", "/standing", None)
    if said is None:
        with _offline(settings) as offline:
            said = {**offline.standing(), "market": market_name(settings)}
    return show_result(arguments, said, _status_text(said, market_name(settings)))


def _close(settings: Settings, arguments: argparse.Namespace) -> int:
    dry_run = arguments.dry_run or not arguments.yes
    if not dry_run and not arguments.reason:
        raise ConfigError("a close needs a reason", 'add --reason "..."')
    asked = {
        "symbol": "" if arguments.all else arguments.symbol,
        "shares": arguments.shares,
        "dry_run": dry_run,
        "by": _who(arguments),
        "reason": arguments.reason or "a dry run",
    }
    said = _asked(settings, "POST", "/close", asked)
    if said is None:
        raise _nobody(settings, "start it (`ljwx live`), or close at the broker's own terminal: it is taken over then")
    return show_result(arguments, said, _close_text(said, repeat=not arguments.dry_run))


def _mode(name: str) -> Body:
    mode = _MODES[name][0]

    def body(settings: Settings, arguments: argparse.Namespace) -> int:
        who, reason, strategy = _who(arguments), arguments.reason, arguments.strategy
        said = _asked(settings, "POST", "/mode", {"mode": mode, "strategy": strategy, "by": who, "reason": reason})
        if said is None:
            if mode != "halted":
                raise _nobody(settings, "start it (`ljwx live`): only a runner that looks first allows more")
            with _offline(settings) as offline:
                said = offline.halt(strategy, by=who, reason=reason)
        return show_result(arguments, said, _mode_text(said, strategy))

    return body


def _kill(settings: Settings, arguments: argparse.Namespace) -> int:
    who, reason, market = _who(arguments), arguments.reason, arguments.market or market_name(settings)
    said = _asked(settings, "POST", "/kill", {"by": who, "reason": reason}, market=market)
    if said is None:
        if market != market_name(settings):
            raise _nobody(settings, f"name the profile of {market} with --profile: its journal is written then")
        with _offline(settings) as offline:
            said = offline.kill(by=who, reason=reason)
    text = _mode_text(said, "")
    if said.get("not_written"):
        text += f"\nNOT IN THE JOURNAL YET, in force in this runner alone while it runs: {said['not_written']}"
    if "cancelled" in said:
        text += f"\n{len(said['cancelled'])} open orders cancelled"
        text += "".join(f"\nNOT CANCELLED {identity}: {why}" for identity, why in said["not_cancelled"].items())
    else:
        text += "\nno runner answered: written into the journal, which the next one reads; nothing was cancelled"
    return show_result(arguments, said, text)


def _reset(settings: Settings, arguments: argparse.Namespace) -> int:
    from ljwx_pipeline.trading.breakers import Breaker

    code = arguments.breaker.upper().replace("-", "_")
    if code not in set(Breaker):
        raise ConfigError(f"{arguments.breaker!r} is no breaker", f"name one of {', '.join(Breaker)}")
    asked = {"breaker": code, "strategy": arguments.strategy, "by": _who(arguments), "reason": arguments.reason}
    said = _asked(settings, "POST", "/reset", asked)
    if said is None:
        raise _nobody(settings, "start it (`ljwx live`): a breaker is reset by a runner that looks first")
    return show_result(arguments, said, _mode_text(said, arguments.strategy))


def _who(arguments: argparse.Namespace) -> str:
    if arguments.by:
        return str(arguments.by)
    try:
        return _words(getpass.getuser())
    except (KeyError, OSError, ImportError):
        raise ConfigError("this machine's user has no name", "say who asks with --by NAME") from None


def _asked(
    settings: Settings, method: str, path: str, body: Mapping[str, Any] | None, *, market: str = ""
) -> dict[str, Any] | None:
    from ljwx_pipeline.live.runner_client import asked

    return asked(settings, method, path, body, market=market)


def _nobody(settings: Settings, remedy: str) -> LiveError:
    from ljwx_pipeline.live.runner_client import nobody

    return nobody(settings, remedy)


@contextmanager
def _offline(settings: Settings) -> Iterator[OfflineControl]:
    from ljwx_pipeline.live.control_offline import OfflineControl
    from ljwx_pipeline.live.places import LIVE_DIR, journal_place, require_journal
    from ljwx_pipeline.live.store import Store

    home = market_home(settings)
    place, _ = journal_place(settings, home)
    require_journal(place)
    store = Store(place)
    try:
        yield OfflineControl(
            home / LIVE_DIR,
            store,
            SystemClock(),
            strategies=(settings.strategy.kind.replace("_", "-"),),
            capital_fen=round(settings.strategy.capital_cny * FEN_PER_CNY),
        )
    finally:
        store.close()


def _mode_text(said: Mapping[str, Any], strategy: str) -> str:
    of = said["strategies"].get(strategy, said)
    lines = [f"{strategy or 'the account'} is {of['mode']}"]
    for one in of["reasons"]:
        named = one["sentence"].startswith(one["code"])
        lines.append(f"  {one['sentence']}" if named else f"  {one['code']}: {one['sentence']}")
    return "\n".join(lines)


def _close_text(said: Mapping[str, Any], *, repeat: bool) -> str:
    lines = [f"{'would cancel' if said['dry_run'] else 'cancelled'} {one}" for one in said["cancelled"]]
    lines += [f"NOT CANCELLED {identity}: {why}" for identity, why in said["not_cancelled"].items()]
    for one in said["orders"]:
        price = f" at {one['limit_price_e4'] / E4:.2f} CNY or better" if one["limit_price_e4"] else ""
        ended = one["state"] in ("rejected", "cancelled", "unknown")
        verb = "would send" if said["dry_run"] else f"{one['state'].upper()} {one['reason']}" if ended else "sent"
        lines.append(f"{verb}: sell {one['shares']} {one['symbol']} on {one['session']}{price} ({one['execution']})")
    lines += [f"{symbol}: {why}" for symbol, why in said["left"].items()]
    if not lines:
        lines.append("the account holds nothing and no order is open: nothing to close")
    elif said["dry_run"] and repeat:
        lines.append("a dry run: repeat with --yes and --reason to send it")
    return "\n".join(lines)


def _status_text(said: Mapping[str, Any], meant: str) -> str:
    market = said["market"] or "a market that it does not name"
    source = "the runner" if said["source"] == "runner" else "no runner answers; by the journal"
    blocks = [f"{source} of {market}: session {said['session'] or 'none yet'}", _mode_text(said, "")]
    word = said.get("runner")
    if word is not None and word["mode"] in _STANDS_STILL:
        blocks.insert(1, f"{word['mode']}: {word['message']}")
    if said["market"] != meant:
        blocks.insert(0, f"NOT {meant}: another market's runner answers; see --profile and ui.runner_port")
    blocks += [_mode_text(said, name) for name in said["strategies"]]
    blocks += [
        f"{one['by']} set {one['scope'] or 'the account'} to {one['mode']} at {one['at'][:19]} UTC: {one['reason']}"
        for one in said.get("chosen", ())
    ]
    tripped = [
        [one["breaker"], one["strategy"] or "the account", one["value"], one["reason"]]
        for one in said["breakers"]
        if one["tripped"]
    ]
    blocks.append(grid(["breaker", "of", "tripped at", "because"], tripped) if tripped else "no breaker is tripped")
    valued = said["valuation"]
    rows = valued["positions"] if valued else said["positions"]
    if valued:
        closing = valued["closing_cash_fen"]
        after = "if all were closed at these prices, after fees"
        left = "" if closing is None else f"; {closing / FEN_PER_CNY:,.2f} CNY {after}"
        blocks.append(f"equity {valued['equity_fen'] / FEN_PER_CNY:,.2f} CNY by the last good prices{left}")
    elif said["cash_fen"] is not None:
        blocks.append(f"cash {said['cash_fen'] / FEN_PER_CNY:,.2f} CNY")
    price = "price_e4" if valued else "last_price_e4"
    held = [[one["symbol"], cell(one["shares"]), cell(one["sellable_shares"]), _price(one[price])] for one in rows]
    blocks.append(grid(["position", "shares", "sellable", "price"], held) if held else "no position")
    shown = ("symbol", "side", "shares", "filled_shares", "state", "leg", "valid_session")
    open_orders = [[cell(one[name]) for name in shown] for one in said["open_orders"]]
    heads = ["open order", "side", "shares", "filled", "state", "leg", "session"]
    blocks.append(grid(heads, open_orders) if open_orders else "no open order")
    blocks += [*said["stops"]]
    alerts = [[one["at"][:19], one["tier"], one["message"]] for one in said["alerts"]]
    blocks += [grid(["alert (UTC)", "tier", ""], alerts)] if alerts else []
    return "\n\n".join(block for block in blocks if block)


def _price(price_e4: int) -> str:
    return f"{price_e4 / E4:.2f}" if price_e4 else "?"
