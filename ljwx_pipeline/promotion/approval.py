"""Who may promote a model by hand: the rules of ``[approval]``, pure, and who somebody is.

A person is whom ``LJWX_USER`` names, else the login name. On one machine that is a statement, not a proof: whoever may
run the command may set the variable. It is written down with every decision, so that a false one is found, not
prevented. Not here: what is done once a person may (``moves.py``).
"""

from __future__ import annotations

import getpass
import os
from collections.abc import Mapping

from ljwx_pipeline.config import ApprovalSettings
from ljwx_pipeline.errors import ConfigError

USER_VARIABLE = "LJWX_USER"
MAX_NAME = 100


def person(environ: Mapping[str, str] | None = None) -> str:
    """Return who gives a command, or runs the research: ``LJWX_USER``, else the login name, else the user's number.

    Raises
    ------
    ConfigError
        When ``LJWX_USER`` is no printable name of at most 100 characters.
    """
    stated = (os.environ if environ is None else environ).get(USER_VARIABLE, "").strip()
    if len(stated) > MAX_NAME or not stated.isprintable():
        raise ConfigError(f"{USER_VARIABLE} is {stated[:40]!r}", f"set it to a name of at most {MAX_NAME} characters")
    if stated:
        return stated
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):  # a container's user number without a name
        return f"uid {os.getuid()}"


def approval_refusal(settings: ApprovalSettings, name: str, *, asked_by: str, awaiting: bool) -> tuple[str, str] | None:
    """Return fact and remedy of why somebody may not promote a model by hand; None when they may.

    Parameters
    ----------
    name
        Who wants to (`person`).
    asked_by
        Everybody who ran a research of the model, one a line; empty: nobody wrote it down.
    awaiting
        Whether the gate asks for approval. What it promoted by itself needs no second pair of eyes: a role, where one
        is configured, is asked for all the same.
    """
    from ljwx_pipeline.tracking.champion import names_in  # pandas comes with it: not to read a command's words

    if settings.role and name not in settings.roles.get(settings.role, ()):
        held = sorted(role for role, names in settings.roles.items() if name in names)
        return (
            f"{name} does not have the role {settings.role!r} (has: {', '.join(held) or 'none'})",
            f"ask somebody of approval.roles.{settings.role}, or mend [approval]",
        )
    if settings.separation and awaiting and not asked_by:
        return (
            "it is not written down who ran the research of this model, and approval.separation is on",
            "run the research again: who runs it is written down then",
        )
    if settings.separation and awaiting and name in names_in(asked_by):
        return (
            f"{name} ran the research of this model, and approval.separation is on: nobody approves their own",
            "let somebody else run `ljwx promote`",
        )
    return None
