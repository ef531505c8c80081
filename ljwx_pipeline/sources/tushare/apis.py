"""What is asked of tushare: each interface's columns and the rows one call gives, as data.

The figures are those of the provider's interface documents (tushare.pro/document/2); where a document names no cap,
the comment says so. Not here: what the columns mean in canonical tables (the mapping modules).
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Api:
    """One interface.

    Parameters
    ----------
    name
        As the provider calls it.
    fields
        Columns asked for by name; further ones in an answer are ignored, a missing one is an error.
    cap
        Rows a call gives at most; more are paged.
    """

    name: str
    fields: tuple[str, ...]
    cap: int


DAILY = Api("daily", ("ts_code", "trade_date", "open", "high", "low", "close", "pre_close", "vol", "amount"), 6000)
#: No cap documented: a factor missing for a bar is an error, so a shorter answer cannot pass.
ADJ_FACTOR = Api("adj_factor", ("ts_code", "trade_date", "adj_factor"), 6000)
DAILY_BASIC = Api("daily_basic", ("ts_code", "trade_date", "total_mv"), 6000)
#: No cap documented: every calendar day must be answered, so a shorter answer cannot pass.
TRADE_CAL = Api("trade_cal", ("cal_date", "is_open"), 2000)
#: ``delist_date`` is left out of the default answer, so it must be named.
STOCK_BASIC = Api(
    "stock_basic", ("ts_code", "name", "industry", "market", "list_status", "list_date", "delist_date"), 6000
)
NAMECHANGE = Api("namechange", ("ts_code", "name", "start_date", "end_date", "ann_date"), 10000)
SUSPEND_D = Api("suspend_d", ("ts_code", "trade_date", "suspend_timing", "suspend_type"), 5000)
STK_LIMIT = Api("stk_limit", ("ts_code", "trade_date", "up_limit", "down_limit"), 5800)
INDEX_DAILY = Api("index_daily", ("ts_code", "trade_date", "open", "high", "low", "close", "vol", "amount"), 8000)
#: No cap documented: a snapshot's weights must add up, so a shorter answer cannot pass.
INDEX_WEIGHT = Api("index_weight", ("index_code", "con_code", "trade_date", "weight"), 5000)
DIVIDEND = Api("dividend", ("ts_code", "end_date", "div_proc", "stk_div", "cash_div_tax", "ex_date"), 2000)

#: Indicators taken from periodic reports, by their canonical names, which carry the unit.
INDICATORS = {
    "eps": "eps_cny",
    "bps": "book_value_per_share_cny",
    "ocfps": "operating_cash_flow_per_share_cny",
    "roe": "roe_percent",
    "roa": "roa_percent",
    "grossprofit_margin": "gross_margin_percent",
    "netprofit_margin": "net_margin_percent",
    "debt_to_assets": "debt_to_assets_percent",
    "netprofit_yoy": "net_profit_yoy_percent",
    "or_yoy": "revenue_yoy_percent",
}
FINA_INDICATOR = Api("fina_indicator", ("ts_code", "ann_date", "end_date", "update_flag", *INDICATORS), 100)
#: The same columns of all stocks' reports of one period; no cap documented.
FINA_INDICATOR_VIP = Api("fina_indicator_vip", FINA_INDICATOR.fields, 5000)
