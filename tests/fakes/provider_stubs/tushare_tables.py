"""The simulated market in tushare's spelling, units, rounding and order: newest first, everything as cells of JSON.

Written from the provider's documents, not from the adapter: what both got wrong would not show.
"""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import pandas as pd

from ljwx_pipeline.market.calendar import last_known_session, sessions_between
from tests.fakes.provider_stubs.market import SimulatedTables

MARKETS = {0: "主板", 1: "创业板", 2: "科创板", 3: "北交所"}
OLDEST = date(1999, 1, 4)


def tushare_tables(market: SimulatedTables) -> dict[str, pd.DataFrame]:
    """Return every interface's rows, all columns of its document that the market can fill."""
    return {
        "daily": _daily(market),
        "adj_factor": _adj_factor(market),
        "daily_basic": _daily_basic(market),
        "stk_limit": _stk_limit(market),
        "suspend_d": _suspend_d(market),
        "stock_basic": _stock_basic(market),
        "namechange": _namechange(market),
        "index_daily": _index_daily(market),
        "index_weight": _index_weight(market),
        "dividend": _dividend(market),
        "fina_indicator": _fina_indicator(market),
        "fina_indicator_vip": _fina_indicator(market),
    }


def trade_cal(first: date, last: date) -> pd.DataFrame:
    """Return the calendar of a range; past what the exchange has published, every weekday is open."""
    days = pd.date_range(first, last)
    horizon = pd.Timestamp(last_known_session())
    known = sessions_between(OLDEST, last_known_session())
    is_open = days.isin(known) | ((days > horizon) & (days.weekday < 5))
    table = pd.DataFrame({"exchange": "SSE", "cal_date": _text(days), "is_open": is_open.astype(int)})
    return table.iloc[::-1].reset_index(drop=True)


def _text(days: pd.Series | pd.DatetimeIndex) -> np.ndarray:
    return np.array([None if pd.isna(day) else f"{day:%Y%m%d}" for day in days], dtype=object)


def _newest_first(table: pd.DataFrame) -> pd.DataFrame:
    return table.sort_values(["trade_date", "ts_code"], ascending=[False, True], ignore_index=True)


def _keys(table: pd.DataFrame) -> dict[str, object]:
    return {"ts_code": table["symbol"].to_numpy(), "trade_date": _text(table["session_date"])}


def _daily(market: SimulatedTables) -> pd.DataFrame:
    bars = market["bars"]
    table = pd.DataFrame(_keys(bars))
    for name in ("open", "high", "low", "close", "pre_close"):
        table[name] = bars[f"{name}_cny"]
    table["change"] = (table["close"] - table["pre_close"]).round(2)
    table["pct_chg"] = (100 * table["change"] / table["pre_close"]).round(4)
    table["vol"] = (bars["volume_shares"] / 100).round(2)
    table["amount"] = (bars["amount_cny"] / 1000).round(3)
    return _newest_first(table)


def _adj_factor(market: SimulatedTables) -> pd.DataFrame:
    keys = ["symbol", "session_date"]
    held = pd.concat([market["bars"][[*keys, "adj_factor"]], market["suspensions"][keys]]).sort_values(keys)
    held["adj_factor"] = held.groupby("symbol")["adj_factor"].transform(lambda one: one.ffill().bfill()).round(4)
    # factors, unlike bars, are told of the session before the market's first too
    first = held[held["session_date"] == market.sessions[0]]
    earlier = sessions_between(market.first - timedelta(days=20), market.first)
    held = pd.concat([first.assign(session_date=earlier[earlier < market.sessions[0]][-1]), held])
    return _newest_first(pd.DataFrame(_keys(held) | {"adj_factor": held["adj_factor"].to_numpy()}))


def _daily_basic(market: SimulatedTables) -> pd.DataFrame:
    keys = ["symbol", "session_date"]
    traded = market["market_values"].merge(market["bars"][[*keys, "close_cny"]], on=keys)
    table = pd.DataFrame(_keys(traded) | {"close": traded["close_cny"].to_numpy()})
    table["total_mv"] = (traded["market_value_cny"] / 1e4).round(4)
    return _newest_first(table)


def _stk_limit(market: SimulatedTables) -> pd.DataFrame:
    limits = market["price_limits"]
    table = pd.DataFrame(_keys(limits))
    table["up_limit"], table["down_limit"] = limits["limit_up_cny"], limits["limit_down_cny"]
    fund = table[table["ts_code"] == table["ts_code"].iloc[0]].assign(ts_code="510300.SH")
    return _newest_first(pd.concat([table, fund]))


def _suspend_d(market: SimulatedTables) -> pd.DataFrame:
    whole = pd.DataFrame(_keys(market["suspensions"])).assign(suspend_timing=None, suspend_type="S")
    some = market["bars"].iloc[::101]
    halted = pd.DataFrame(_keys(some)).assign(suspend_timing="09:30-10:00", suspend_type="S")
    resumed = pd.DataFrame(_keys(some)).assign(suspend_timing=None, suspend_type="R")
    return _newest_first(pd.concat([whole, halted, resumed]))


def _stock_basic(market: SimulatedTables) -> pd.DataFrame:
    stocks = market["securities"]
    last = market["industries"].drop_duplicates("symbol", keep="last").set_index("symbol")["industry"]
    return pd.DataFrame(
        {
            "ts_code": stocks["symbol"],
            "symbol": stocks["symbol"].str[:6],
            "name": stocks["name"],
            "area": "深圳",
            "industry": stocks["symbol"].map(last),
            "market": stocks["board"].map(MARKETS),
            "list_status": np.where(stocks["delist_date"].isna(), "L", "D"),
            "list_date": _text(stocks["list_date"]),
            "delist_date": _text(stocks["delist_date"]),
        }
    )


def _namechange(market: SimulatedTables) -> pd.DataFrame:
    rows = []
    spells = market["st_spells"].groupby("symbol")
    for symbol, name, listed in market["securities"][["symbol", "name", "list_date"]].itertuples(index=False):
        changes = [(listed, name, "其他")]
        for _, start, end in spells.get_group(symbol).itertuples(index=False) if symbol in spells.groups else ():
            changes.append((start, f"*ST{symbol[:6]}", "*ST"))
            if not pd.isna(end):
                after = sessions_between(end.date(), end.date() + timedelta(days=20))[1]
                changes.append((after, name, "撤销*ST"))
        starts = [change[0] for change in changes]
        for (start, called, reason), following in zip(changes, [*starts[1:], pd.NaT], strict=True):
            end_date = following - timedelta(days=1)
            announced = start - timedelta(days=1)
            rows.append((symbol, called, *_text(pd.Series([start, end_date, announced])), reason))
    columns = ["ts_code", "name", "start_date", "end_date", "ann_date", "change_reason"]
    return pd.DataFrame(rows, columns=columns).iloc[::-1].reset_index(drop=True)


def _index_daily(market: SimulatedTables) -> pd.DataFrame:
    bars = market["index_bars"]
    table = pd.DataFrame({"ts_code": bars["index_code"], "trade_date": _text(bars["session_date"])})
    for name in ("close", "open", "high", "low"):  # not the order of ``daily``
        table[name] = bars[f"{name}_points"]
    table["vol"] = (bars["volume_shares"] / 100).round(2)
    table["amount"] = (bars["amount_cny"] / 1000).round(4)
    return _newest_first(table)


def _index_weight(market: SimulatedTables) -> pd.DataFrame:
    """Snapshots of the first and the last session of each month."""
    months = market.sessions.to_period("M")
    days = sorted({*market.sessions[~months.duplicated()], *market.sessions[~months.duplicated(keep="last")]})
    parts = []
    for day in days:
        spans = market["index_members"]
        held = spans[(spans["start_date"] <= day) & ~(spans["end_date"] < day)]
        for code, members in held.groupby("index_code"):
            weight = round(100 / len(members), 4)
            keys = {"index_code": code, "con_code": members["symbol"].to_numpy(), "trade_date": f"{day:%Y%m%d}"}
            parts.append(pd.DataFrame(keys | {"weight": weight}))
    whole = pd.concat(parts)
    return whole.sort_values(["trade_date", "con_code"], ascending=[False, True], ignore_index=True)


def _dividend(market: SimulatedTables) -> pd.DataFrame:
    actions = market["corporate_actions"]
    done = pd.DataFrame(
        {
            "ts_code": actions["symbol"],
            "end_date": [f"{day.year - 1}1231" for day in actions["ex_date"]],
            "div_proc": "实施",
            "stk_div": actions["bonus_shares_per_share"],
            "cash_div": (0.9 * actions["cash_cny_per_share"]).round(4),
            "cash_div_tax": actions["cash_cny_per_share"],
            "ex_date": _text(actions["ex_date"]),
        }
    )
    proposed = done.iloc[::5].assign(div_proc="预案", ex_date=None)
    twice = done.iloc[::7]  # the provider repeats some rows
    return pd.concat([proposed, done, twice], ignore_index=True).iloc[::-1].reset_index(drop=True)


def _fina_indicator(market: SimulatedTables) -> pd.DataFrame:
    names = {"roe_percent": "roe", "net_profit_yoy_percent": "netprofit_yoy"}
    keys = ["symbol", "announced_date", "report_period"]
    wide = market["financial_indicators"].pivot_table(index=keys, columns="indicator", values="value").reset_index()
    table = pd.DataFrame(
        {
            "ts_code": wide["symbol"],
            "ann_date": _text(wide["announced_date"]),
            "end_date": _text(wide["report_period"]),
            "update_flag": "0",
        }
    )
    for canonical, name in names.items():
        table[name] = wide[canonical]
    for name in ("eps", "bps", "ocfps", "roa", "grossprofit_margin", "netprofit_margin", "debt_to_assets", "or_yoy"):
        table[name] = None
    corrected = table.iloc[::3].assign(update_flag="1", roe=table["roe"] + 1.0)
    both = pd.concat([table, corrected])
    return both.sort_values(["end_date", "update_flag"], ascending=[False, False], ignore_index=True)
