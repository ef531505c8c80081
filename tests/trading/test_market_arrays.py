"""The trading view of canonical tables: limits by date, listing days, ST spells, actions, delisting."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ljwx_pipeline.config import Settings
from ljwx_pipeline.errors import TradingError
from ljwx_pipeline.market.calendar import sessions_between
from ljwx_pipeline.market.rulebook import NO_LIMIT_DOWN_E4
from ljwx_pipeline.market.symbols import Board
from ljwx_pipeline.market.tables import empty_table
from ljwx_pipeline.trading.market_arrays import (
    CAN_BUY_READS,
    UNLIMITED_E4,
    MarketArrays,
    backtest_reads,
    market_arrays,
    optional_columns,
)
from tests.fakes.market_views import can_sell, going_ex

DAYS = sessions_between(date(2020, 8, 18), date(2020, 9, 30))


def bars_of(symbol: str, closes: list[float], *, first: int = 0, pre_close: list[float] | None = None) -> pd.DataFrame:
    close = np.array(closes)
    reference = np.r_[close[0], close[:-1]] if pre_close is None else np.array(pre_close)
    return pd.DataFrame(
        {
            "symbol": symbol,
            "session_date": DAYS[first : first + len(closes)],
            "open_cny": close,
            "high_cny": close,
            "low_cny": close,
            "close_cny": close,
            "pre_close_cny": reference,
            "volume_shares": 1e6,
            "amount_cny": close * 1e6,
            "adj_factor": 1.0,
        }
    )


def security(
    symbol: str, board: Board, listed: str | None = "2015-01-05", delisted: str | None = None
) -> dict[str, object]:
    return {
        "symbol": symbol,
        "name": symbol,
        "board": int(board),
        "list_date": pd.Timestamp(listed) if listed else pd.NaT,
        "delist_date": pd.Timestamp(delisted) if delisted else pd.NaT,
    }


def build(
    bars: pd.DataFrame,
    securities: list[dict[str, object]],
    *,
    spells: pd.DataFrame | None = None,
    actions: pd.DataFrame | None = None,
    adjustment: str = "raw",
    sessions: pd.DatetimeIndex = DAYS,
    columns: tuple[str, ...] = (),
) -> MarketArrays:
    return market_arrays(
        bars,
        pd.DataFrame(securities),
        empty_table("st_spells") if spells is None else spells,
        empty_table("corporate_actions") if actions is None else actions,
        symbols=tuple(sorted(str(row["symbol"]) for row in securities)),
        sessions=sessions,
        adjustment=adjustment,
        columns=columns,
    )


def test_limits_change_on_the_day_the_rule_changes() -> None:
    market = build(bars_of("300001.SZ", [10.0] * 8), [security("300001.SZ", Board.CHINEXT)])
    day = list(DAYS).index(pd.Timestamp("2020-08-24"))
    assert market.limit_up_e4[0, day - 1] == 110_000
    assert market.limit_up_e4[0, day] == 120_000
    assert market.limit_down_e4[0, day] == 80_000


def test_a_close_at_the_limit_can_be_sold_but_not_bought_and_the_other_way_round() -> None:
    market = build(bars_of("600000.SH", [10.0, 11.0, 9.9, 9.5]), [security("600000.SH", Board.MAIN)])
    assert market.can_buy[0, :5].tolist() == [True, False, True, True, False]
    assert can_sell(market)[0, :5].tolist() == [True, True, False, True, False]


def test_a_session_without_bar_is_zero_and_closed() -> None:
    market = build(bars_of("600000.SH", [10.0, 10.0], first=3), [security("600000.SH", Board.MAIN)])
    assert market.has_bar[0, :6].tolist() == [False, False, False, True, True, False]
    assert market.volume_shares[0, 2] == market.limit_up_e4[0, 2] == 0
    assert not market.can_buy[0, 2]
    assert not can_sell(market)[0, 2]


def test_special_treatment_narrows_the_limit_between_its_dates() -> None:
    spells = pd.DataFrame({"symbol": ["600000.SH"], "start_date": [DAYS[2]], "end_date": [DAYS[3]]})
    market = build(bars_of("600000.SH", [10.0] * 6), [security("600000.SH", Board.MAIN)], spells=spells)
    assert market.limit_up_e4[0, 1:5].tolist() == [110_000, 105_000, 105_000, 110_000]
    open_ended = spells.assign(end_date=pd.NaT)
    market = build(bars_of("600000.SH", [10.0] * 6), [security("600000.SH", Board.MAIN)], spells=open_ended)
    assert market.is_st[0, 2:].all()
    assert not market.is_st[0, :2].any()


def test_listing_days_are_counted_in_sessions_also_across_the_panels_start() -> None:
    day = list(DAYS).index(pd.Timestamp("2020-08-24"))
    listed_there = security("300900.SZ", Board.CHINEXT, "2020-08-24")
    market = build(bars_of("300900.SZ", [10.0] * 8, first=day), [listed_there])
    free = market.limit_up_e4[0, day : day + 6] == UNLIMITED_E4
    assert free.tolist() == [True] * 5 + [False]
    assert market.limit_down_e4[0, day] == NO_LIMIT_DOWN_E4
    later = DAYS[day + 3 :]
    market = build(bars_of("300900.SZ", [10.0] * 8, first=day), [listed_there], sessions=later)
    assert (market.limit_up_e4[0, :3] == UNLIMITED_E4).tolist() == [True, True, False]


def test_delisting_ends_the_listing_after_its_date() -> None:
    rows = [security("600000.SH", Board.MAIN, "2020-08-20", f"{DAYS[5]:%Y-%m-%d}")]
    market = build(bars_of("600000.SH", [10.0], first=2), rows)
    assert market.listed[0].tolist() == [2 <= i <= 5 for i in range(len(DAYS))]


def test_actions_fall_on_the_first_session_not_before_the_ex_date() -> None:
    saturday = pd.Timestamp("2020-08-22")
    actions = pd.DataFrame(
        {
            "symbol": ["600000.SH", "600000.SH", "600000.SH", "999999.SH"],
            "ex_date": [saturday, DAYS[1], pd.Timestamp("2020-01-02"), DAYS[1]],
            "cash_cny_per_share": [0.1234, 0.0, 5.0, 1.0],
            "bonus_shares_per_share": [0.3, 1.0, 0.0, 0.0],
        }
    )
    market = build(bars_of("600000.SH", [10.0] * 6), [security("600000.SH", Board.MAIN)], actions=actions)
    monday = list(DAYS).index(pd.Timestamp("2020-08-24"))
    assert (going_ex(market, "cash_e4")[0, monday], going_ex(market, "bonus_e4")[0, monday]) == (1_234, 3_000)
    assert going_ex(market, "bonus_e4")[0, 1] == 10_000
    assert going_ex(market, "cash_e4").sum() == 1_234


def test_without_known_actions_the_gap_to_the_reference_price_is_credited() -> None:
    bars = bars_of("600000.SH", [10.0, 9.6, 12.0], pre_close=[10.0, 9.5, 12.8])
    market = build(bars, [security("600000.SH", Board.MAIN)])
    assert going_ex(market, "cash_e4")[0, :3].tolist() == [0, 5_000, 0]
    assert going_ex(market, "bonus_e4")[0, :3].tolist() == [0, 0, -2_500]
    assert len(build(bars, [security("600000.SH", Board.MAIN)], adjustment="forward").actions.rows) == 0


def test_adjusted_limits_stand_inside_the_true_ones() -> None:
    market = build(
        bars_of("600000.SH", [7.8797, 8.6612, 8.70]), [security("600000.SH", Board.MAIN)], adjustment="forward"
    )
    assert 7.8797 * 1.0985 * 10_000 - 1 <= market.limit_up_e4[0, 1] <= 7.8797 * 1.0985 * 10_000
    assert market.can_buy[0, :3].tolist() == [True, False, True]
    down = build(bars_of("600000.SH", [10.0, 9.0051, 8.3]), [security("600000.SH", Board.MAIN)], adjustment="forward")
    assert can_sell(down)[0, :3].tolist() == [True, False, True]


def test_an_unknown_reference_price_closes_the_session() -> None:
    bars = bars_of("600000.SH", [10.0, 10.1], pre_close=[np.nan, 10.0])
    market = build(bars, [security("600000.SH", Board.MAIN, None)])
    assert market.can_buy[0, :2].tolist() == can_sell(market)[0, :2].tolist() == [False, True]


def test_faults_are_named() -> None:
    with pytest.raises(TradingError, match=r"600001\.SH is not in the securities table"):
        market_arrays(
            bars_of("600001.SH", [10.0]),
            pd.DataFrame([security("600000.SH", Board.MAIN)]),
            empty_table("st_spells"),
            empty_table("corporate_actions"),
            symbols=("600001.SH",),
            sessions=DAYS,
            adjustment="raw",
        )
    with pytest.raises(TradingError, match="BEIJING stock has a bar on 2020-08-18"):
        build(bars_of("830001.BJ", [10.0]), [security("830001.BJ", Board.BEIJING)])


def test_beijings_limits_are_rounded_inward() -> None:
    days = sessions_between(date(2023, 3, 1), date(2023, 3, 10))
    bars = bars_of("830001.BJ", [2.85, 3.70]).assign(session_date=days[:2])
    market = build(bars, [security("830001.BJ", Board.BEIJING, "2022-01-05")], sessions=days)
    assert (market.limit_up_e4[0, 1], market.limit_down_e4[0, 1]) == (37_000, 20_000)  # 3.705 and 1.995
    assert market.can_buy[0, :2].tolist() == [True, False]


def test_quotes_are_one_column_of_the_arrays() -> None:
    rows = [security("600000.SH", Board.MAIN), security("688001.SH", Board.STAR)]
    market = build(pd.concat([bars_of("600000.SH", [10.0] * 3), bars_of("688001.SH", [20.0] * 3)]), rows)
    quotes = market.quotes(1)
    assert quotes.close_e4.tolist() == [100_000, 200_000]
    assert quotes.limit_up_e4.tolist() == [110_000, 240_000]
    assert (quotes.lot_min.tolist(), quotes.lot_step.tolist()) == ([100, 200], [100, 1])


@pytest.mark.real_data
def test_real_forward_adjusted_bars_lock_as_often_as_they_did(real_data_dir: Path) -> None:
    """About 1.2 % of stock-days closed locked at the upper limit from 2010 to 2020, fewer at the lower one."""
    panel = real_data_dir / "licensed" / "qbot" / "daily_qfq_2010_2020.parquet"
    raw = pd.read_parquet(panel, columns=["ts_code", "trade_date", "open", "high", "low", "close", "pre_close", "vol"])
    names = tuple(sorted(raw["ts_code"].unique())[::5])
    raw = raw[raw["ts_code"].isin(names)].rename(columns={"ts_code": "symbol", "trade_date": "session_date"})
    prices = {name: f"{name}_cny" for name in ("open", "high", "low", "close", "pre_close")}
    bars = raw.rename(columns=prices).assign(volume_shares=raw["vol"] * 100)
    boards = [Board.CHINEXT if name.startswith("300") else Board.MAIN for name in names]
    market = build(
        bars,
        [security(name, board, None) for name, board in zip(names, boards, strict=True)],
        adjustment="forward",
        sessions=pd.DatetimeIndex(np.sort(bars["session_date"].unique()), name="session_date"),
    )
    up, down = ((market.has_bar & ~can).sum() / market.has_bar.sum() for can in (market.can_buy, can_sell(market)))
    assert 0.009 < up < 0.014
    assert 0.005 < down < 0.011
    assert market.close_e4[market.can_buy].min() > 0


#: What the backtest's kernel is given of the market, beside what goes ex.
TRADED = ("close_e4", "limit_up_e4", "limit_down_e4", "volume_shares", "listed", "lot_min", "lot_step")


def traded_differently(one: MarketArrays, other: MarketArrays) -> bool:
    """Return whether a backtest could come to another result."""
    same = all(np.array_equal(getattr(one, name), getattr(other, name)) for name in TRADED)
    return not (same and all(np.array_equal(one.actions.on(t), other.actions.on(t)) for t in range(len(DAYS))))


@pytest.mark.parametrize("rights", [{}, {"rights_shares_per_share": [0.3], "rights_price_cny": [6.0]}])
@pytest.mark.parametrize("adjustment", ["raw", "forward"])
def test_what_trading_sees_changes_with_the_columns_it_is_said_to_read_and_with_no_other(
    adjustment: str, rights: dict[str, list[float]]
) -> None:
    symbol, closes = "600001.SH", [10.0] * 20
    closes[0] = 11.0  # no limit on the first session of a listing
    closes[5] = closes[7] = 10.5  # locked while under special treatment
    tables = {
        "bars": bars_of(symbol, closes, pre_close=[10.0] * 20),
        "securities": pd.DataFrame([security(symbol, Board.MAIN, f"{DAYS[0]:%F}", "2020-09-25")]).assign(
            delisting_period_date=DAYS[8]  # three days earlier it widens the limit of day 7
        ),
        "st_spells": pd.DataFrame({"symbol": [symbol], "start_date": [DAYS[6]], "end_date": [DAYS[7]]}),
        "corporate_actions": pd.DataFrame(
            {"symbol": [symbol], "ex_date": [DAYS[9]], "cash_cny_per_share": [0.5], "bonus_shares_per_share": [0.25]}
            | rights
        ),
    }

    def seen(**changed: pd.DataFrame) -> MarketArrays:
        given = tables | changed
        return market_arrays(*(given[name] for name in tables), symbols=(symbol,), sessions=DAYS, adjustment=adjustment)

    before, can_buy, traded = seen(), set(), set()
    for table, frame in tables.items():
        for column in frame.columns.difference(["symbol", "session_date"]):
            after = seen(**{table: frame.assign(**{column: other_values(frame[column])})})
            if not np.array_equal(before.can_buy, after.can_buy):
                can_buy.add((table, column))
            if traded_differently(before, after):
                traded.add((table, column))
    assert can_buy == {(table, column) for table, columns in CAN_BUY_READS.items() for column in columns}
    reads = backtest_reads(adjustment, action_columns=tables["corporate_actions"].columns)
    assert traded == {(table, column) for table, columns in reads.items() for column in columns}


def other_values(column: pd.Series) -> pd.Series:
    """Return the column with other values of its kind."""
    if pd.api.types.is_datetime64_any_dtype(column):
        return column - pd.Timedelta(days=1 if column.name == "end_date" else 3)
    if column.name == "board":
        return column * 0 + int(Board.CHINEXT)
    return column * 1.25 if pd.api.types.is_float_dtype(column) else column + "x"


def test_prices_are_small_and_lie_session_after_session() -> None:
    market = build(bars_of("600000.SH", [10.0] * 8), [security("600000.SH", Board.MAIN)])
    for values in (market.close_e4, market.pre_close_e4, market.limit_up_e4, market.limit_down_e4):
        assert values.dtype == np.int32
        assert values.flags.f_contiguous
    assert market.open_e4 is market.amount_fen is None


def test_columns_of_a_fill_model_are_built_when_asked_for(settings: Settings) -> None:
    bars = bars_of("600000.SH", [10.0, 10.5]).assign(open_cny=9.9, high_cny=11.0, low_cny=9.5, amount_cny=1.05e7)
    rows = [security("600000.SH", Board.MAIN)]
    vwap = settings.costs.model_copy(update={"fill": "vwap"})
    market = build(bars, rows, columns=optional_columns(vwap))
    assert market.high_e4[0, :3].tolist() == [110_000, 110_000, 0]
    assert market.amount_fen[0, :3].tolist() == [1_050_000_000, 1_050_000_000, 0]
    assert market.open_e4 is None
    assert optional_columns(settings.costs) == ()
    with pytest.raises(TradingError, match="these are forward-adjusted"):
        build(bars, rows, columns=optional_columns(vwap), adjustment="forward")


def test_categorical_symbols_and_rows_in_any_order_are_the_same_market() -> None:
    bars = pd.concat([bars_of("600000.SH", [10.0] * 6), bars_of("600001.SH", [20.0] * 6)], ignore_index=True)
    rows = [security("600000.SH", Board.MAIN), security("600001.SH", Board.MAIN)]
    plain = build(bars, rows)
    mixed = build(bars.sample(frac=1, random_state=1).astype({"symbol": "category"}), rows)
    assert np.array_equal(plain.close_e4, mixed.close_e4)
    assert np.array_equal(plain.limit_up_e4, mixed.limit_up_e4)


def test_a_price_that_does_not_fit_is_refused() -> None:
    with pytest.raises(TradingError, match="does not fit trading's"):
        build(bars_of("600000.SH", [300_000.0]), [security("600000.SH", Board.MAIN)], adjustment="backward")


def test_rights_are_read_where_the_table_has_them_and_need_a_price() -> None:
    rows = [security("600000.SH", Board.MAIN)]
    actions = pd.DataFrame(
        {
            "symbol": "600000.SH",
            "ex_date": [DAYS[1], DAYS[2]],
            "cash_cny_per_share": [0.1, 0.2],
            "bonus_shares_per_share": 0.0,
            "rights_shares_per_share": [0.3, np.nan],
            "rights_price_cny": [8.0, np.nan],
        }
    )
    market = build(bars_of("600000.SH", [10.0] * 6), rows, actions=actions)
    assert market.actions.on(1).tolist() == [[0, 1_000, 0, 3_000, 80_000]]
    assert market.actions.on(2).tolist() == [[0, 2_000, 0, 0, 0]]
    with pytest.raises(TradingError, match=r"600000.SH offers 0.3 shares a share on 2020-08-19 without a price"):
        build(bars_of("600000.SH", [10.0]), rows, actions=actions.assign(rights_price_cny=np.nan))


def test_two_actions_of_a_name_on_one_session_are_one() -> None:
    actions = pd.DataFrame(
        {
            "symbol": "600000.SH",
            "ex_date": DAYS[1],
            "cash_cny_per_share": [0.1, 0.2],
            "bonus_shares_per_share": [0.0, 0.5],
            "rights_shares_per_share": [0.1, 0.3],
            "rights_price_cny": [4.0, 8.0],
        }
    )
    market = build(bars_of("600000.SH", [10.0] * 6), [security("600000.SH", Board.MAIN)], actions=actions)
    assert market.actions.on(1).tolist() == [[0, 3_000, 5_000, 4_000, 70_000]]


def test_limits_of_the_opening_auction_are_listed_where_they_are_not_the_sessions() -> None:
    day = DAYS[2]
    stocks = [
        security("300001.SZ", Board.CHINEXT, f"{day:%F}"),  # the last days of the rules of 2014
        security("600001.SH", Board.MAIN, f"{day:%F}"),
        security("600002.SH", Board.MAIN),
    ]
    bars = pd.concat(
        [bars_of(str(stock["symbol"]), [10.0] * 5, first=2) for stock in stocks], ignore_index=True
    ).sort_values(["session_date", "symbol"], ignore_index=True)
    made = build(bars, stocks, columns=("open",))
    assert made.opening_limits is not None
    assert made.opening_limits.on(2).tolist() == [[0, 120_000, 80_000], [1, 120_000, 80_000]]
    assert made.limit_up_e4[:2, 2].tolist() == [144_000, 144_000]
    assert len(made.opening_limits.rows) == 2
    assert made.quotes(2).opening_limits is not None
    assert build(bars, stocks).opening_limits is None, "nothing reads them when the open is not read"
