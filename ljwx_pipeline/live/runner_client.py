"""Asking the runner that runs, over its interface: as the commands do, each for the market of its profile.

Not here: what is asked (``live_control_commands.py``, ``strategy_commands.py``), bundles (``promotion/deploy.py``).
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

import httpx

from ljwx_pipeline.config import Settings, market_name
from ljwx_pipeline.errors import LiveError
from ljwx_pipeline.live.own_market import MARKET_HEADER, MISDIRECTED, written

#: How long a runner may take: a close waits for the broker's answers.
_ANSWER_S = 60.0
_NOT_FOUND = 404


def asked(
    settings: Settings, method: str, path: str, body: Mapping[str, Any] | None, *, market: str = ""
) -> dict[str, Any] | None:
    """Return the runner's answer, with its ``market``; None where no runner answers.

    Parameters
    ----------
    market
        Whose runner is meant; empty for the market of ``settings``.

    Raises
    ------
    LiveError
        When it trades another market, refuses, does not know the request, or breaks off within an answer.
    """
    address, meant = settings.ui.address(settings.ui.runner_port), market or market_name(settings)
    try:
        with httpx.Client(base_url=address, timeout=_ANSWER_S, trust_env=False) as client:
            answer = client.request(method, path, json=body, headers={MARKET_HEADER: written(meant)})
    except (httpx.ConnectError, httpx.ConnectTimeout):
        return None
    except httpx.HTTPError as error:
        raise LiveError(
            f"the runner at {address} broke off ({type(error).__name__})",
            "whether it did what was asked is not known: look at `ljwx live status`",
        ) from None
    if answer.status_code == _NOT_FOUND:
        raise LiveError(f"what answers at {address} takes no commands", "run a runner of this release there")
    theirs = unquote(answer.headers.get(MARKET_HEADER, ""))
    if answer.status_code == MISDIRECTED and theirs:
        raise _other_market(settings, theirs, meant)
    try:
        said = answer.json()
    except ValueError:
        said = None
    if not isinstance(said, dict):
        raise LiveError(f"what answers at {address} is no runner", "look at ui.runner_port, and at what listens there")
    if not answer.is_success:
        fact, _, remedy = str(said.get("detail", said)).rpartition(": ")
        raise LiveError(
            str(said.get("fact", fact or remedy)), str(said.get("remedy", remedy if fact else "see its log"))
        )
    return {**said, "market": theirs}


def nobody(settings: Settings, remedy: str) -> LiveError:
    """Return the error of a command that needs a runner where none answers."""
    return LiveError(f"no runner answers at {settings.ui.address(settings.ui.runner_port)}", remedy)


def _other_market(settings: Settings, theirs: str, meant: str) -> LiveError:
    ui = settings.ui
    kill = (
        f"ljwx live kill --market {shlex.quote(theirs)} --set ui.host={ui.host} --set ui.runner_port={ui.runner_port}"
    )
    return LiveError(
        f"the runner at {ui.address(ui.runner_port)} trades {theirs}, this command is for {meant}; nothing was changed",
        f"for {theirs}, name its profile with --profile; for {meant}, name the port of its own runner (where "
        f"none runs, a free one) with --set ui.runner_port=PORT; `{kill} --reason TEXT` kills the runner that answered",
    )
