"""The bodies of ``ljwx factors list | show | language``: which factors there are, and the words they are written in.

Not here: the factors (``factors/``), the operators and fields themselves (``expressions/``).
"""

from __future__ import annotations

import argparse
import inspect
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from ljwx_pipeline.command_output import grid, show_result
from ljwx_pipeline.errors import FactorError

if TYPE_CHECKING:  # expressions cost numba: loaded when a command runs, not when the parser is built
    from ljwx_pipeline.factors.catalogue import Catalogue, Factor


def add_factor_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``factors`` and what it can be asked."""
    factors = commands.add_parser("factors", help="which factors there are, and the language they are written in")
    asked = factors.add_subparsers(required=True, metavar="QUESTION")
    listed = asked.add_parser("list", help="every factor: catalogue, name, window, unit, meaning")
    listed.add_argument("--catalogue", metavar="NAME|FILE.py", help="only this catalogue's, such as alpha158")
    shown = asked.add_parser("show", help="one factor: formula, window, fields read, unit, meaning, source")
    shown.add_argument("name", metavar="FACTOR")
    shown.add_argument("--catalogue", metavar="NAME|FILE.py", help="only of this one")
    language = asked.add_parser("language", help="every operator and field that a factor may be written with")
    for parser, body in ((listed, _list), (shown, _show), (language, _language)):
        parser.add_argument("--json", action="store_true", help="print the machine-readable form")
        parser.set_defaults(handler=body)


def operator_table() -> list[tuple[str, str]]:
    """Return every operator as it is called, and the first sentence said of it, in the order they are defined."""
    from ljwx_pipeline.expressions import operators

    rows = []
    for name, function in vars(operators).items():
        if inspect.isfunction(function) and function.__module__ == operators.__name__ and not name.startswith("_"):
            parameters = [str(p.replace(annotation=p.empty)) for p in inspect.signature(function).parameters.values()]
            said = " ".join((inspect.getdoc(function) or "").split("\n\n")[0].split())
            rows.append((f"{name}({', '.join(parameters)})", said.removeprefix("Return ").rstrip(".")))
    return rows


def _catalogues(name: str | None) -> list[Catalogue]:
    from ljwx_pipeline.factors.catalogues import CATALOGUES, open_catalogue

    return [open_catalogue(each) for each in (CATALOGUES if name is None else [name])]


def _told(catalogue: Catalogue, factor: Factor) -> dict[str, Any]:
    return {
        "catalogue": catalogue.name,
        "name": factor.name,
        "formula": str(factor.expression),
        "window_sessions": factor.expression.window,
        "inputs": sorted(factor.expression.inputs),
        "unit": factor.unit,
        "meaning": factor.meaning,
        "source": factor.source,
    }


def _list(arguments: argparse.Namespace) -> int:
    catalogues = _catalogues(arguments.catalogue)
    rows = [_told(catalogue, factor) for catalogue in catalogues for factor in catalogue.factors]
    body = {
        "catalogues": [
            {"name": c.name, "factors": len(c.factors), "window_sessions": c.window, "version_hash": c.version_hash}
            for c in catalogues
        ],
        "factors": rows,
    }
    lines = [
        f"{c.name}: {len(c.factors)} factors, {c.window} sessions, version {c.version_hash[:12]}" for c in catalogues
    ]
    keys = ("catalogue", "name", "window_sessions", "unit", "meaning")
    table = grid(("catalogue", "name", "window", "unit", "meaning"), [[str(row[key]) for key in keys] for row in rows])
    return show_result(arguments, body, "\n".join([*lines, "", table]))


def _show(arguments: argparse.Namespace) -> int:
    catalogues = _catalogues(arguments.catalogue)
    every = [(catalogue, factor) for catalogue in catalogues for factor in catalogue.factors]
    found = [_told(*pair) for pair in every if pair[1].name.lower() == arguments.name.lower()]
    if not found:
        near = get_close_matches(arguments.name.upper(), sorted({factor.name.upper() for _, factor in every}))
        raise FactorError(
            f"no catalogue has a factor {arguments.name!r}",
            f"did you mean {', '.join(near)}?" if near else "ask `ljwx factors list`",
        )
    texts = ["\n".join(f"{key:16} {_text(value)}" for key, value in each.items()) for each in found]
    return show_result(arguments, {"factors": found}, "\n\n".join(texts))


def _language(arguments: argparse.Namespace) -> int:
    from ljwx_pipeline.expressions.fields import FIELDS

    operators = operator_table()
    fields = [(f.name, str(f.kind), f.unit, f.meaning, f.levels) for f in FIELDS.values()]
    names = ("name", "kind", "unit", "meaning", "levels")
    body = {
        "operators": [{"call": call, "returns": said} for call, said in operators],
        "fields": [dict(zip(names, row, strict=True)) for row in fields],
    }
    text = f"{grid(('operator', 'returns'), operators)}\n\n{grid(('field', *names[1:]), fields)}"
    return show_result(arguments, body, text)


def _text(value: Any) -> str:
    return ", ".join(value) if isinstance(value, list) else str(value)
