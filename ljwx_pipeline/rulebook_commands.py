"""The body of ``ljwx rules``: the exchange and fee rules in force on a day, each with its notice.

Not here: the rules (``market/rulebook.py``), the rest of the command line (``cli.py``).
"""

from __future__ import annotations

import argparse
import sys
from typing import Any

from ljwx_pipeline.clock import SHANGHAI, utc_now
from ljwx_pipeline.command_output import day_of, grid, show_result

BOARDS = ("main", "chinext", "star", "beijing")
HEADERS = ("rule", "holds for", "since", "until", "value", "checked against", "notice")


def add_rules_command(subparsers: Any) -> None:
    """Add ``rules`` to the command line.

    Parameters
    ----------
    subparsers
        What ``ArgumentParser.add_subparsers`` returned.
    """
    text = "the exchange and fee rules in force on a day, each with its notice and what it was checked against"
    parser = subparsers.add_parser("rules", help=text, description=text)
    parser.add_argument("--date", metavar="D", help="YYYY-MM-DD (default: today in Shanghai)")
    stock = parser.add_mutually_exclusive_group()
    stock.add_argument("--symbol", metavar="S", help="only what holds for this stock's board, such as 600519.SH")
    stock.add_argument("--board", choices=BOARDS, help="only what holds for this board")
    parser.add_argument("--st", action="store_true", help="for a stock under special treatment")
    shape = parser.add_mutually_exclusive_group()
    shape.add_argument("--json", action="store_true", help="print the machine-readable form")
    shape.add_argument("--markdown", action="store_true", help="print the whole book as the table of docs/rulebook.md")
    parser.set_defaults(handler=_rules)


def _rules(arguments: argparse.Namespace) -> int:
    # numpy: only when the command runs
    from ljwx_pipeline.market.rulebook_rows import markdown_table, rules_in_force
    from ljwx_pipeline.market.symbols import Board, board_of

    if arguments.markdown:
        sys.stdout.write(f"{markdown_table()}\n")
        return 0
    day = day_of(arguments.date, "--date") if arguments.date is not None else utc_now().astimezone(SHANGHAI).date()
    board = Board[arguments.board.upper()] if arguments.board else None
    exchange = None
    if arguments.symbol is not None:
        board, exchange = board_of(arguments.symbol), arguments.symbol.rpartition(".")[2]
    rows = rules_in_force(day, board=board, exchange=exchange, is_st=arguments.st)
    body = {
        "date": day.isoformat(),
        "board": board.name.lower() if board is not None else None,
        "exchange": exchange,
        "special_treatment": arguments.st,
        "rules": [row.as_dict() for row in rows],
    }
    lines = [
        (row.topic, row.where, f"{row.first}", str(row.last or ""), row.value, row.notice.checked, row.notice.title)
        for row in rows
    ]
    return show_result(arguments, body, grid(HEADERS, lines))
