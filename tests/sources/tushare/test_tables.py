"""Rows as the provider's documents show them, and the dirt they are known for."""

from __future__ import annotations

import pandas as pd
import pytest

from ljwx_pipeline.errors import SourceError
from ljwx_pipeline.sources.tushare import events, members, prices, securities

DAILY_ROW = {
    "ts_code": "000001.SZ",
    "trade_date": "20180718",
    "open": 8.75,
    "high": 8.85,
    "low": 8.69,
    "close": 8.70,
    "pre_close": 8.72,
    "vol": 525152.77,
    "amount": 460697.377,
}


def rows(*cells: dict[str, object]) -> pd.DataFrame:
    return pd.DataFrame(list(cells), dtype=object)


def factor(**changes: object) -> pd.DataFrame:
    return rows({"ts_code": "000001.SZ", "trade_date": "20180718", "adj_factor": 108.031, **changes})


def listed(*, delisted: str | None = None) -> pd.DataFrame:
    return pd.DataFrame({"symbol": ["002005.SZ"], "delist_date": pd.to_datetime([delisted])})


def names(*spans: tuple[str, str | None, str | None]) -> pd.DataFrame:
    keys = {"ts_code": "002005.SZ"}
    return rows(*(keys | {"name": name, "start_date": a, "end_date": b, "ann_date": a} for name, a, b in spans))


def spells(found: pd.DataFrame) -> list[tuple[str, str]]:
    text = found[["start_date", "end_date"]].map(lambda day: "" if pd.isna(day) else f"{day:%Y-%m-%d}")
    return list(zip(text["start_date"], text["end_date"], strict=True))


def weights(**days: dict[str, float]) -> pd.DataFrame:
    return rows(
        *(
            {"con_code": code, "trade_date": day.removeprefix("d"), "weight": weight}
            for day, held in days.items()
            for code, weight in held.items()
        )
    )


def dividend(**changes: object) -> dict[str, object]:
    whole = {"ts_code": "600848.SH", "end_date": "20171231", "div_proc": "实施", "ex_date": "20180523"}
    return {**whole, "stk_div": 0.0, "cash_div_tax": 0.0, **changes}


def test_lots_become_whole_shares_and_thousands_cny() -> None:
    bar = prices.bars(rows(DAILY_ROW), factor()).iloc[0]
    assert (bar["volume_shares"], bar["amount_cny"]) == (52_515_277.0, 460_697_377.0)
    assert (bar["pre_close_cny"], bar["adj_factor"]) == (8.72, 108.031)


def test_a_cell_that_is_no_number_is_named_with_its_row() -> None:
    with pytest.raises(SourceError, match=r"daily, column close: 'n/a' is no number .*000001.SZ"):
        prices.bars(rows({**DAILY_ROW, "close": "n/a"}), factor())


def test_a_cell_that_is_no_date_is_named() -> None:
    with pytest.raises(SourceError, match="column trade_date: '2018-07-18' is no date"):
        prices.bars(rows({**DAILY_ROW, "trade_date": "2018-07-18"}), factor())


def test_two_unlike_bars_of_one_session_are_refused() -> None:
    with pytest.raises(SourceError, match=r"000001\.SZ twice on 2018-07-18"):
        prices.bars(rows(DAILY_ROW, {**DAILY_ROW, "close": 8.71}), factor())


def test_a_bar_without_a_factor_is_refused() -> None:
    with pytest.raises(SourceError, match="adj_factor lacks 1 of 1 bars"):
        prices.bars(rows(DAILY_ROW), factor(ts_code="000002.SZ"))


@pytest.mark.parametrize(("up", "down"), [(None, None), (999999999.9999, 0.001)])
def test_a_session_without_limits_has_none(up: float | None, down: float | None) -> None:
    row = {"ts_code": "688001.SH", "trade_date": "20190722", "up_limit": up, "down_limit": down}
    assert prices.price_limits(rows(row))[["limit_up_cny", "limit_down_cny"]].isna().all(axis=None)


def test_an_index_is_read_by_name_and_in_lots() -> None:
    row = {"ts_code": "399300.SZ", "trade_date": "20180718", "close": 3431.3, "open": 3446.2, "high": 3455.1}
    found = prices.index_bars(rows({**row, "low": 3423.9, "vol": 87_912_307.0, "amount": 99_614_721.5})).iloc[0]
    assert (found["volume_shares"], found["amount_cny"]) == (8_791_230_700.0, 99_614_721_500.0)
    assert (found["open_points"], found["close_points"]) == (3446.2, 3431.3)


@pytest.mark.parametrize(
    "name", ["ST德豪", "*ST德豪", "＊ＳＴ德豪", "SST自仪", "S*ST集琦", "G*ST甲", "GST甲", "XDST中葡"]
)
def test_special_treatment_is_told_from_the_name(name: str) -> None:
    assert securities.is_st_name(name)


@pytest.mark.parametrize("name", ["德豪润达", "S前锋", "G德豪", "退市德豪", "TCL科技", "", None])
def test_other_names_tell_none(name: str | None) -> None:
    assert not securities.is_st_name(name)


def test_the_documented_history_of_names_gives_one_spell() -> None:
    told = names(
        ("德豪润达", "20260714", None),
        ("ST德豪", "20201102", "20260713"),
        ("*ST德豪", "20190430", "20201101"),
        ("德豪润达", "20051201", "20190429"),
        ("G德豪", "20051104", "20051130"),
        ("德豪润达", "20040625", "20051103"),
    )
    assert spells(securities.st_spells(told, listed())) == [("2019-04-30", "2026-07-13")]


def test_a_spell_that_lasts_has_no_end_and_one_of_a_delisted_stock_ends_before() -> None:
    told = names(("*ST甲", "20200506", None), ("甲", "20040625", "20200505"))
    assert spells(securities.st_spells(told, listed())) == [("2020-05-06", "")]
    assert spells(securities.st_spells(told, listed(delisted="2020-07-31"))) == [("2020-05-06", "2020-07-30")]


def test_spells_with_a_recovery_between_stay_apart_and_lie_on_sessions() -> None:
    told = names(("ST甲", "20200613", "20200621"), ("甲", "20200622", "20200628"), ("ST甲", "20200629", None))
    found = spells(securities.st_spells(told, listed()))
    assert found == [("2020-06-15", "2020-06-19"), ("2020-06-29", "")]


def test_an_end_that_reaches_into_the_next_name_is_cut() -> None:
    told = names(("ST甲", "20200601", "20200630"), ("甲", "20200615", None))
    assert spells(securities.st_spells(told, listed())) == [("2020-06-01", "2020-06-12")]


def test_a_name_without_a_start_counts_from_its_announcement() -> None:
    told = names(("ST甲", None, None)).assign(ann_date="20200601")
    assert spells(securities.st_spells(told, listed())) == [("2020-06-01", "")]


def test_names_without_special_treatment_give_an_empty_table() -> None:
    assert securities.st_spells(names(("甲", "20200601", None)), listed()).empty


def test_a_stock_that_leaves_between_two_calls_counts_as_gone_and_one_never_listed_not_at_all() -> None:
    stock = {"ts_code": "600001.SH", "name": "甲", "industry": "x", "market": "主板", "list_date": "20000104"}
    there = rows({**stock, "delist_date": None}, {**stock, "ts_code": "600002.SH", "list_date": None})
    gone = rows({**stock, "delist_date": "20240105"})
    found = securities.securities(securities.stock_list({"L": there, "P": there.iloc[:0], "D": gone}))
    assert found["symbol"].tolist() == ["600001.SH"]
    assert found["delist_date"].tolist() == [pd.Timestamp("2024-01-05")]


def test_boards_of_real_stocks_follow_their_codes() -> None:
    codes = ["000001.SZ", "300750.SZ", "688981.SH", "689009.SH", "920002.BJ"]
    stock = {"name": "甲", "industry": None, "market": None, "list_date": "20200104", "delist_date": None}
    there = rows(*({"ts_code": code, **stock} for code in codes))
    none = there.iloc[:0]
    found = securities.securities(securities.stock_list({"L": there, "P": none, "D": none}))
    assert found["board"].tolist() == [0, 1, 2, 2, 3]


def test_members_leave_before_the_snapshot_without_them_and_may_come_back() -> None:
    told = weights(d20200601={"A": 60, "B": 40}, d20200630={"A": 100}, d20200731={"A": 50, "B": 50})
    found = members.index_members("000300.SH", told, pd.bdate_range("2020-06-01", "2020-07-31"))
    assert list(zip(found["symbol"], spells(found), strict=True)) == [
        ("A", ("2020-06-01", "")),
        ("B", ("2020-06-01", "2020-06-29")),
        ("B", ("2020-07-31", "")),
    ]


def test_a_snapshot_whose_weights_do_not_add_up_is_refused() -> None:
    with pytest.raises(SourceError, match=r"add up to 60\.00 %"):
        members.index_members("000300.SH", weights(d20200601={"A": 60}), pd.bdate_range("2020-06-01", "2020-06-30"))


def test_only_dividends_carried_out_count_and_two_on_one_day_add_up() -> None:
    found = events.corporate_actions(
        rows(
            dividend(cash_div_tax=0.5),
            dividend(cash_div_tax=0.5),
            dividend(cash_div_tax=0.25, end_date="20180331"),
            dividend(stk_div=0.1, ex_date="20190607"),
            dividend(ex_date="20200607"),
            dividend(div_proc="预案", cash_div_tax=9.0, ex_date=None),
            dividend(div_proc="股东大会通过", cash_div_tax=9.0),
        )
    )
    assert found["cash_cny_per_share"].tolist() == [0.75, 0.0]
    assert found["bonus_shares_per_share"].tolist() == [0.0, 0.1]


def test_halts_within_a_session_are_no_suspension() -> None:
    found = events.suspensions(
        rows(
            {"ts_code": "000029.SZ", "trade_date": "20200312", "suspend_timing": None, "suspend_type": "S"},
            {"ts_code": "300819.SZ", "trade_date": "20200312", "suspend_timing": "09:30-10:00", "suspend_type": "S"},
            {"ts_code": "300070.SZ", "trade_date": "20200312", "suspend_timing": None, "suspend_type": "R"},
        )
    )
    assert found["symbol"].tolist() == ["000029.SZ"]


def test_figures_count_from_their_announcement_as_first_published() -> None:
    report = {"ts_code": "600000.SH", "end_date": "20191231", **dict.fromkeys(events.INDICATORS)}
    found = events.financial_indicators(
        rows(
            {**report, "ann_date": "20200425", "update_flag": "1", "roe": 9.0},
            {**report, "ann_date": "20200425", "update_flag": "0", "roe": 8.0},
            {**report, "ann_date": "20200828", "update_flag": "1", "roe": 9.5, "eps": 1.25},
            {**report, "ann_date": None, "update_flag": "0", "roe": 7.0},
        )
    )
    told = list(zip(found["announced_date"].dt.strftime("%m%d"), found["indicator"], found["value"], strict=True))
    assert told == [("0425", "roe_percent", 8.0), ("0828", "eps_cny", 1.25), ("0828", "roe_percent", 9.5)]
