"""akshare's frames as canonical tables: columns by their Chinese names, lots to shares, codes to symbols.

Not here: asking (``wire.py``), and what is asked for when (``source.py``).
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from ljwx_pipeline.market.symbols import Board, board_of, is_simulated
from ljwx_pipeline.sources.provider_frames import canonical, columns_of, dates, factor_on, is_a_share, numbers

SHARES_PER_LOT = 100.0
#: Dividends are announced for ten shares.
ANNOUNCED_SHARES = 10.0
_EXCHANGES = {"上海": "SH", "深圳": "SZ", "北京": "BJ"}
_HIST = {"开盘": "open_cny", "最高": "high_cny", "最低": "low_cny", "收盘": "close_cny", "成交额": "amount_cny"}
_INDEX = {f"{name}": f"{name}_points" for name in ("open", "high", "low", "close")} | {"amount": "amount_cny"}
#: Halts of minutes or hours within a session that is traded otherwise.
_WITHIN_SESSION = "盘中|小时|分钟"


def symbol_of(code: str, exchange: str) -> str | None:
    """Return a bare code of a page as a symbol, None for what is no A share; simulated codes name no exchange."""
    code = code.strip().zfill(6) if code.strip() else "?"  # a company with B shares alone
    symbol = f"{code}.{'SIM' if code.startswith('S') else exchange}"
    return symbol if is_a_share(symbol) else None


def provider_code(symbol: str) -> str:
    """Return ``600519.SH`` as ``sh600519``."""
    code, exchange = symbol.split(".")
    return f"{exchange.lower()}{code}"


def bars(symbol: str, hist: pd.DataFrame, factors: pd.DataFrame, what: str) -> pd.DataFrame:
    """Return table ``bars`` of one symbol.

    The page gives changes from the previous close as it was traded, so the reference price is that close carried over
    by the adjustment factor, to the tick. Only the first row takes its change at its word.

    Parameters
    ----------
    hist
        ``stock_zh_a_hist`` with ``adjust=""``: volume in lots, amount in CNY.
    factors
        ``adjustment`` of the symbol.
    """
    given = columns_of(hist, ("日期", *_HIST, "成交量", "涨跌额"), what)
    frame = pd.DataFrame({"symbol": symbol, "session_date": dates(given["日期"], what)})
    for name, column in _HIST.items():
        frame[column] = numbers(given[name], what)
    frame["volume_shares"] = numbers(given["成交量"], what) * SHARES_PER_LOT
    frame["change"] = numbers(given["涨跌额"], what)
    frame = frame[(frame["volume_shares"] > 0) & frame["session_date"].notna()].drop_duplicates("session_date")
    frame = frame.sort_values("session_date", ignore_index=True)
    factor = factor_on(frame["session_date"], factors["ex_date"], factors["factor"])
    before = (frame["close_cny"] * factor).shift() / factor
    reference = before.fillna(frame["close_cny"] - frame["change"])
    frame = frame.assign(adj_factor=factor, pre_close_cny=np.round(reference, 2))
    return canonical("bars", frame, by=("session_date", "symbol"))


def adjustment(frame: pd.DataFrame, what: str) -> pd.DataFrame:
    """Return ``ex_date, factor`` of ``stock_zh_a_daily(adjust="hfq-factor")``: cumulative since the listing."""
    given = columns_of(frame, ("date", "hfq_factor"), what)
    return pd.DataFrame({"ex_date": dates(given["date"], what), "factor": numbers(given["hfq_factor"], what)}).dropna()


def listed(
    frame: pd.DataFrame, names: tuple[str, str, str, str | None], place: tuple[str, Board], what: str
) -> pd.DataFrame:
    """Return a page's list of stocks in the columns of ``securities``.

    Parameters
    ----------
    names
        The page's columns of code, name, listing date and, where it lists the delisted, delisting date.
    place
        Exchange and board of the page; a real code's own range decides its board, a simulated one's the page.
    """
    code, name, since, until = names
    given = columns_of(frame, [column for column in names if column], what)
    symbols = given[code].astype(str).map(lambda text: symbol_of(text, place[0]))
    growth = frame["板块"] == "创业板" if "板块" in frame else pd.Series(False, index=frame.index)
    kept = symbols.notna()
    boards = [
        (Board.CHINEXT if growing else place[1]) if is_simulated(symbol) else board_of(symbol)
        for symbol, growing in zip(symbols[kept], growth[kept], strict=True)
    ]
    given = given[kept]
    return pd.DataFrame(
        {
            "symbol": symbols[kept],
            "name": given[name].astype(str).str.strip(),
            "board": [int(board) for board in boards],
            "list_date": dates(given[since], what),
            "delist_date": dates(given[until], what) if until else pd.NaT,
        }
    )


def index_bars(index_code: str, frame: pd.DataFrame, what: str) -> pd.DataFrame:
    """Return table ``index_bars`` of one index; the page's volume is in lots."""
    given = columns_of(frame, ("date", *_INDEX, "volume"), what)
    table = pd.DataFrame({"index_code": index_code, "session_date": dates(given["date"], what)})
    for name, column in _INDEX.items():
        table[column] = numbers(given[name], what)
    return table.assign(volume_shares=numbers(given["volume"], what) * SHARES_PER_LOT)


def index_members(index_code: str, frame: pd.DataFrame, what: str) -> pd.DataFrame:
    """Return the current members of an index, known from the page's own date on."""
    given = columns_of(frame, ("日期", "成分券代码", "交易所"), what)
    exchanges = given["交易所"].astype(str).str.slice(0, 2).map(_EXCHANGES).fillna("?")
    symbols = [symbol_of(code, at) for code, at in zip(given["成分券代码"].astype(str), exchanges, strict=True)]
    table = pd.DataFrame({"index_code": index_code, "symbol": symbols, "start_date": dates(given["日期"], what)})
    return table.assign(end_date=np.datetime64("NaT")).dropna(subset=["symbol", "start_date"])


def industries(frame: pd.DataFrame, symbols: dict[str, str], sessions: pd.DatetimeIndex, what: str) -> pd.DataFrame:
    """Return table ``industries`` from the dated Shenwan classification: first level, as ``480000``.

    Parameters
    ----------
    symbols
        Symbol by bare code; other codes are left out.
    sessions
        Every session, to end a range on the one before the next begins.
    """
    given = columns_of(frame, ("symbol", "start_date", "industry_code"), what)
    table = pd.DataFrame(
        {
            "symbol": given["symbol"].astype(str).str.zfill(6).map(symbols),
            "industry": given["industry_code"].astype(str).str.slice(0, 2) + "0000",
            "start_date": dates(given["start_date"], what),
        }
    ).dropna()
    table = table.drop_duplicates(["symbol", "start_date"], keep="last").sort_values(["symbol", "start_date"])
    same = (table["symbol"] == table["symbol"].shift()) & (table["industry"] == table["industry"].shift())
    table = table[~same]
    following = table.groupby("symbol")["start_date"].shift(-1)
    before = np.maximum(sessions.searchsorted(pd.DatetimeIndex(following.fillna(sessions[-1]))) - 1, 0)
    table = table.assign(end_date=pd.Series(sessions[before], index=table.index).where(following.notna()))
    return canonical("industries", table, by=("symbol", "start_date"))


def corporate_actions(frame: pd.DataFrame, symbols: dict[str, str], what: str) -> pd.DataFrame:
    """Return table ``corporate_actions`` of one report period: what has an ex-date was carried out."""
    given = columns_of(frame, ("代码", "送转股份-送转总比例", "现金分红-现金分红比例", "除权除息日"), what)
    table = pd.DataFrame({"symbol": given["代码"].astype(str).str.zfill(6).map(symbols)})
    table["ex_date"] = dates(given["除权除息日"], what)
    table["cash_cny_per_share"] = numbers(given["现金分红-现金分红比例"], what).fillna(0.0) / ANNOUNCED_SHARES
    table["bonus_shares_per_share"] = numbers(given["送转股份-送转总比例"], what).fillna(0.0) / ANNOUNCED_SHARES
    paid = (table["cash_cny_per_share"] > 0) | (table["bonus_shares_per_share"] > 0)
    return table[paid].dropna(subset=["symbol", "ex_date"])


def suspended(frame: pd.DataFrame, day: pd.Timestamp, symbols: dict[str, str], what: str) -> frozenset[str]:
    """Return who does not trade on ``day`` by the page of that day; halts within the session are left out."""
    given = columns_of(frame, ("代码", "停牌时间", "停牌截止时间", "停牌期限"), what)
    start, end = dates(given["停牌时间"], what), dates(given["停牌截止时间"], what)
    whole_day = ~given["停牌期限"].astype(str).str.contains(_WITHIN_SESSION, regex=True)
    in_force = (start <= day) & (end.isna() | (end >= day)) & whole_day
    found = given.loc[in_force, "代码"].astype(str).str.zfill(6).map(symbols)
    return frozenset(found.dropna())
