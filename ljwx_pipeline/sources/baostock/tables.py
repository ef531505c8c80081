"""Baostock's answers as canonical tables: text to types, units and codes settled, suspended sessions told apart.

Volumes are shares and amounts CNY already; prices asked for with ``adjustflag="3"`` are raw, and ``preclose`` is the
ex-right reference price. An empty string is a missing value.

Not here: asking (``wire.py``), and what is asked for when (``source.py``).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import pandas as pd

from ljwx_pipeline.market.symbols import Board, board_of
from ljwx_pipeline.sources.provider_frames import (
    canonical,
    columns_of,
    dates,
    factor_on,
    is_a_share,
    numbers,
    true_runs,
)

PRICES = ("open", "high", "low", "close", "preclose")
BAR_FIELDS = ("date", *PRICES, "volume", "amount", "tradestatus", "isST")
STATUS_FIELDS = ("date", "volume", "tradestatus", "isST")
INDEX_FIELDS = ("date", "open", "high", "low", "close", "volume", "amount")
#: The exchange as baostock writes it: two letters before the code. Simulated codes carry their board there, as no code
#: range tells it.
_EXCHANGES = {"sh": "SH", "sz": "SZ", "bj": "BJ"} | {f"s{board.value}": "SIM" for board in Board}


def provider_code(symbol: str) -> str:
    """Return ``600519.SH`` as ``sh.600519``."""
    code, exchange = symbol.split(".")
    return f"{exchange.lower()[:2]}.{code.lower()}"


def symbol_of(code: str) -> str | None:
    """Return ``sh.600519`` as ``600519.SH``; None for what is no A share."""
    prefix, _, digits = code.partition(".")
    symbol = f"{digits.upper()}.{_EXCHANGES.get(prefix.lower(), '?')}"
    return symbol if is_a_share(symbol) else None


def _board(code: str, symbol: str) -> int:
    return int(code[1]) if symbol.endswith(".SIM") else int(board_of(symbol))


@dataclass(frozen=True)
class Days:
    """What one symbol's daily rows say about each session: parsed, the suspended ones included, ascending."""

    frame: pd.DataFrame  # session_date, traded (bool), is_st (bool) and, if asked for, the bar's figures

    def between(self, first: date, last: date) -> Days:
        """Return the rows of ``[first, last]``."""
        inside = self.frame["session_date"].between(pd.Timestamp(first), pd.Timestamp(last))
        return Days(self.frame[inside].reset_index(drop=True))

    def suspended(self) -> pd.Series:
        """Return the sessions without trading."""
        return self.frame.loc[~self.frame["traded"], "session_date"]

    def st_spells(self, *, open_end: bool) -> list[tuple[pd.Timestamp, pd.Timestamp]]:
        """Return the runs under special treatment; with ``open_end`` one that reaches the last row goes on."""
        return true_runs(self.frame["session_date"], self.frame["is_st"].to_numpy(dtype=bool), open_end=open_end)


def days(rows: pd.DataFrame, fields: tuple[str, ...], what: str) -> Days:
    """Return a symbol's daily rows parsed.

    A session counts as traded when ``tradestatus`` says so and there was volume; an empty ``isST`` takes the value of
    the row before.
    """
    given = columns_of(rows, fields, what)
    frame = pd.DataFrame({"session_date": dates(given["date"], what)})
    for field in fields:
        if field not in ("date", "tradestatus", "isST"):
            frame[field] = numbers(given[field], what)
    frame["traded"] = (given["tradestatus"].str.strip() == "1") & (frame["volume"] > 0)
    flag = numbers(given["isST"], what)
    frame["is_st"] = flag.ffill().fillna(0.0) == 1.0
    frame = frame.dropna(subset="session_date").drop_duplicates("session_date", keep="last")
    return Days(frame.sort_values("session_date", ignore_index=True))


def bars(symbol: str, traded: pd.DataFrame, factors: pd.DataFrame) -> pd.DataFrame:
    """Return table ``bars`` of one symbol from its traded days and its ``adjustment``."""
    frame = traded.rename(
        columns={
            "open": "open_cny",
            "high": "high_cny",
            "low": "low_cny",
            "close": "close_cny",
            "preclose": "pre_close_cny",
            "volume": "volume_shares",
            "amount": "amount_cny",
        }
    )
    frame = frame.assign(
        symbol=symbol, adj_factor=factor_on(frame["session_date"], factors["ex_date"], factors["factor"])
    )
    return canonical("bars", frame, by=("session_date", "symbol"))


def adjustment(rows: pd.DataFrame, what: str) -> pd.DataFrame:
    """Return ``ex_date, factor``: the cumulative factor (1 at the listing) from each ex-date on, to six decimals."""
    given = columns_of(rows, ("dividOperateDate", "backAdjustFactor"), what)
    return pd.DataFrame(
        {"ex_date": dates(given["dividOperateDate"], what), "factor": numbers(given["backAdjustFactor"], what)}
    ).dropna()


def securities(rows: pd.DataFrame, what: str) -> pd.DataFrame:
    """Return table ``securities`` with the provider's code beside it (column ``code``): A shares only."""
    given = columns_of(rows, ("code", "code_name", "ipoDate", "outDate", "type"), what)
    given = given[given["type"].str.strip() == "1"]
    symbols = given["code"].map(symbol_of)
    given, symbols = given[symbols.notna()], symbols[symbols.notna()]
    frame = pd.DataFrame(
        {
            "symbol": symbols,
            "name": given["code_name"],
            "board": [_board(code, symbol) for code, symbol in zip(given["code"], symbols, strict=True)],
            "list_date": dates(given["ipoDate"], what),
            "delist_date": dates(given["outDate"], what),
        }
    )
    return canonical("securities", frame.dropna(subset="list_date"), by=("symbol",))


def index_bars(index_code: str, rows: pd.DataFrame, what: str) -> pd.DataFrame:
    """Return table ``index_bars`` of one index."""
    given = columns_of(rows, INDEX_FIELDS, what)
    frame = pd.DataFrame({"index_code": index_code, "session_date": dates(given["date"], what)})
    for field in ("open", "high", "low", "close"):
        frame[f"{field}_points"] = numbers(given[field], what)
    frame["volume_shares"] = numbers(given["volume"], what)
    frame["amount_cny"] = numbers(given["amount"], what)
    return frame


def members(rows: pd.DataFrame, what: str) -> frozenset[str]:
    """Return the A shares that an index answer names."""
    given = columns_of(rows, ("code",), what)
    return frozenset(symbol for symbol in given["code"].map(symbol_of) if symbol is not None)


def industries(rows: pd.DataFrame, asked: pd.Timestamp, what: str) -> dict[str, str]:
    """Return each symbol's industry as it stood on ``asked``; rows updated later are hindsight and left out."""
    given = columns_of(rows, ("updateDate", "code", "industry"), what)
    known = (dates(given["updateDate"], what) <= asked) & (given["industry"].str.strip() != "")
    symbols = given["code"].map(symbol_of)
    kept = known & symbols.notna()
    return dict(zip(symbols[kept], given.loc[kept, "industry"].str.strip(), strict=True))


def corporate_actions(symbol: str, rows: pd.DataFrame, what: str) -> pd.DataFrame:
    """Return table ``corporate_actions`` of one symbol; bonus shares are those given and those from reserves."""
    given = columns_of(
        rows, ("dividOperateDate", "dividCashPsBeforeTax", "dividStocksPs", "dividReserveToStockPs"), what
    )
    frame = pd.DataFrame({"symbol": symbol, "ex_date": dates(given["dividOperateDate"], what)})
    frame["cash_cny_per_share"] = numbers(given["dividCashPsBeforeTax"], what).fillna(0.0)
    given_away, from_reserves = (numbers(given[name], what).fillna(0.0) for name in given.columns[2:])
    frame["bonus_shares_per_share"] = given_away + from_reserves
    paid = (frame["cash_cny_per_share"] > 0) | (frame["bonus_shares_per_share"] > 0)
    return frame[paid & frame["ex_date"].notna()]
