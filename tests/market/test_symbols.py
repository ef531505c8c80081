"""A symbol is CODE.EXCHANGE and its code range tells the board."""

from __future__ import annotations

import pytest

from ljwx_pipeline.errors import SourceError
from ljwx_pipeline.market.symbols import Board, board_of, check_symbol, is_simulated


@pytest.mark.parametrize(
    ("symbol", "board"),
    [
        ("600519.SH", Board.MAIN),
        ("000001.SZ", Board.MAIN),
        ("002594.SZ", Board.MAIN),
        ("300750.SZ", Board.CHINEXT),
        ("301236.SZ", Board.CHINEXT),
        ("302132.SZ", Board.CHINEXT),
        ("688981.SH", Board.STAR),
        ("689009.SH", Board.STAR),
        ("920002.BJ", Board.BEIJING),
        ("430047.BJ", Board.BEIJING),
    ],
)
def test_the_code_range_tells_the_board(symbol: str, board: Board) -> None:
    assert board_of(symbol) == board


@pytest.mark.parametrize("symbol", ["600519", "600519.sh", "sh600519", "60051.SH", "600519.HK", "", "600519.SH\n "])
def test_what_is_no_symbol_is_refused_with_the_form_to_use(symbol: str) -> None:
    with pytest.raises(SourceError, match=r"CODE\.EXCHANGE"):
        check_symbol(symbol)


def test_simulated_symbols_are_visibly_fake_and_have_no_code_range() -> None:
    assert check_symbol("S00001.SIM") == "S00001.SIM"
    assert is_simulated("S00001.SIM")
    assert not is_simulated("600519.SH")
    with pytest.raises(SourceError, match="securities table"):
        board_of("S00001.SIM")
