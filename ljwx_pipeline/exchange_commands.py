"""The body of ``ljwx exchange``: the paper exchange in this process, until a signal.

Not here: the rest of the command line (``cli.py``), the process (``exchange/main.py``).
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ljwx_pipeline.config import Settings, market_home
from ljwx_pipeline.errors import ConfigError
from ljwx_pipeline.units import FEN_PER_CNY

#: Below the market's home.
PACK_DIR = Path("live") / "feed"
STATE_DIR = Path("exchange")


def add_exchange_command(
    subparsers: Any,
    *,
    add_settings_options: Callable[[argparse.ArgumentParser], None],
    settings_of: Callable[[argparse.Namespace], Settings],
) -> None:
    """Add ``exchange`` to the command line.

    Parameters
    ----------
    subparsers
        What ``ArgumentParser.add_subparsers`` returned.
    add_settings_options, settings_of
        How the command line names a profile and reads it.
    """
    text = "the paper exchange: plays a session pack as a market and keeps an account, in a process of its own"
    parser = subparsers.add_parser("exchange", help=text, description=text)
    add_settings_options(parser)
    parser.add_argument("--pack", metavar="FOLDER", type=Path, help="the session pack (default: the market's own)")
    parser.add_argument("--state", metavar="FOLDER", type=Path, help="account and journal (default: in the market's)")
    parser.add_argument("--port", type=int, default=0, metavar="N", help="0 (the default): a free one, which is said")
    parser.add_argument(
        "--speed", type=float, default=0.0, metavar="S", help="market seconds a second; 0 (the default): lockstep"
    )
    parser.add_argument(
        "--tick-seconds", type=int, default=3, metavar="N", help="market seconds between a name's ticks (default: 3)"
    )
    parser.add_argument(
        "--night", type=float, default=2.0, metavar="S", help="seconds between sessions at a speed (default: 2)"
    )
    parser.add_argument("--tick-seed", type=int, default=0, metavar="N", help="another one makes other ticks")
    parser.add_argument("--allow-faults", action="store_true", help="commit faults that are asked for; for tests")
    parser.add_argument("--json", action="store_true", help="say where it is as one line of JSON")
    parser.set_defaults(handler=lambda arguments: _exchange(settings_of(arguments), arguments))


def _exchange(settings: Settings, arguments: argparse.Namespace) -> int:
    from ljwx_pipeline.exchange.main import Opened, ServeSettings, serve
    from ljwx_pipeline.exchange.opening import ExchangeSettings

    _check(arguments)
    pack = arguments.pack or market_home(settings) / PACK_DIR
    state = arguments.state or market_home(settings) / STATE_DIR

    def ready(opened: Opened) -> None:
        address = settings.ui.address(opened.port)
        sessions, clock = opened.exchange.market.sessions, opened.exchange.clock(arguments.speed)
        said = {
            "url": address,
            "port": opened.port,
            "pack": str(pack),
            "state": str(state),
            "speed": arguments.speed,
            "first_session": sessions[0].isoformat(),
            "last_session": sessions[-1].isoformat(),
            "session": None if clock.session is None else clock.session.isoformat(),
            "last_seq": clock.last_seq,
        }
        how = "in lockstep" if arguments.speed == 0 else f"at {arguments.speed:g} market seconds a second"
        stands = "before its first session" if clock.session is None else f"in {clock.session} ({clock.phase})"
        text = f"paper exchange on {address} {how}: {sessions[0]} to {sessions[-1]}, {stands}; account in {state}"
        print(json.dumps(said) if arguments.json else text, flush=True)

    return serve(
        pack,
        state,
        ExchangeSettings(
            costs=settings.costs,
            capital_fen=round(settings.strategy.capital_cny * FEN_PER_CNY),
            seed=arguments.tick_seed,
            tick_seconds=arguments.tick_seconds,
        ),
        ServeSettings(
            host=settings.ui.host,
            port=arguments.port,
            speed=arguments.speed,
            allow_faults=arguments.allow_faults,
            night_s=arguments.night,
        ),
        ready=ready,
    )


def _check(arguments: argparse.Namespace) -> None:
    if not 0 <= arguments.port <= 65_535:
        raise ConfigError(f"--port is {arguments.port}", "give 0 to 65535; 0 takes a free one")
    if not (math.isfinite(arguments.speed) and arguments.speed >= 0):
        raise ConfigError(f"--speed is {arguments.speed}", "give market seconds a second, or 0 for lockstep")
    if not 1 <= arguments.tick_seconds <= 600:
        raise ConfigError(f"--tick-seconds is {arguments.tick_seconds}", "give 1 to 600")
    if not (math.isfinite(arguments.night) and 0 <= arguments.night <= 86_400):
        raise ConfigError(f"--night is {arguments.night}", "give 0 to 86400 seconds")
    if arguments.tick_seed < 0:
        raise ConfigError(f"--tick-seed is {arguments.tick_seed}", "give a whole number from 0 on")
