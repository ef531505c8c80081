"""Symbols and boards.

A symbol is ``CODE.EXCHANGE`` with a six-character code: ``600519.SH``, ``000001.SZ``, ``920002.BJ``. Simulated
securities live in the exchange ``SIM`` with codes ``S00001`` and on, a range no exchange uses.
"""

from __future__ import annotations

import re
from enum import IntEnum

from ljwx_pipeline.errors import SourceError

_SYMBOL = re.compile(r"[0-9A-Z]{6}\.(SH|SZ|BJ|SIM)")
SIMULATED_SUFFIX = ".SIM"


class Board(IntEnum):
    """Listing board; the price-limit and lot rules differ by it."""

    MAIN = 0
    CHINEXT = 1
    STAR = 2
    BEIJING = 3


def check_symbol(symbol: str) -> str:
    """Return ``symbol`` unchanged if it is well formed.

    Raises
    ------
    SourceError
        When it is not ``CODE.EXCHANGE``.
    """
    if not _SYMBOL.fullmatch(symbol):
        raise SourceError(f"{symbol!r} is not a symbol", "write it as CODE.EXCHANGE, for example 600519.SH")
    return symbol


def is_simulated(symbol: str) -> bool:
    """Return whether ``symbol`` lies in the reserved simulated range."""
    return symbol.endswith(SIMULATED_SUFFIX)


def board_of(symbol: str) -> Board:
    """Return the board that a real symbol's code range belongs to.

    Code ranges: 688/689 STAR, 300/301/302 ChiNext, everything on BJ Beijing, the rest main board. Simulated
    symbols carry their board in the securities table; asking for it here is an error.
    """
    check_symbol(symbol)
    if is_simulated(symbol):
        raise SourceError(f"{symbol} is simulated and has no code range", "read its board from the securities table")
    if symbol.endswith(".BJ"):
        return Board.BEIJING
    if symbol.endswith(".SH") and symbol.startswith(("688", "689")):
        return Board.STAR
    if symbol.endswith(".SZ") and symbol.startswith(("300", "301", "302")):
        return Board.CHINEXT
    return Board.MAIN
