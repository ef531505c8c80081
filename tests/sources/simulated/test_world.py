"""The walk: the tick, the limits, ex-dates, suspensions, special treatment, listings; and nothing known too early."""

from __future__ import annotations

from dataclasses import fields
from datetime import date

import numpy as np
import pandas as pd
import pytest

from ljwx_pipeline.market.calendar import sessions_between
from ljwx_pipeline.market.rulebook import TICK_E4, price_limit_bps, rounded_limits_e4
from ljwx_pipeline.market.symbols import Board
from ljwx_pipeline.sources.simulated.roster import draw_roster
from ljwx_pipeline.sources.simulated.shocks import draw_shocks
from ljwx_pipeline.sources.simulated.source import SimulatedMarket
from ljwx_pipeline.sources.simulated.world import World, build_world
from tests.sources.simulated.measures import WHOLE, wide

PRICES = ["open_cny", "high_cny", "low_cny", "close_cny", "pre_close_cny"]


@pytest.fixture(scope="module")
def marked(market: SimulatedMarket, bars: pd.DataFrame) -> pd.DataFrame:
    """Bars with board, special treatment and limit prices (CNY)."""
    boards = market.securities().set_index("symbol")["board"]
    frame = bars.assign(board=bars["symbol"].map(boards), is_st=False)
    for spell in market.st_spells(*WHOLE).itertuples():
        inside = (frame["symbol"] == spell.symbol) & (frame["session_date"] >= spell.start_date)
        if not pd.isna(spell.end_date):
            inside &= frame["session_date"] <= spell.end_date
        frame.loc[inside, "is_st"] = True
    bps = price_limit_bps(frame["board"].to_numpy(), frame["is_st"].to_numpy(), frame["session_date"].to_numpy())
    reference = (frame["pre_close_cny"] * 100).round().to_numpy(dtype=np.int64) * TICK_E4
    up, down = rounded_limits_e4(reference, bps, bps)
    return frame.assign(limit_up=up / 1e4, limit_down=down / 1e4, bps=bps)


def test_prices_lie_on_the_tick(bars: pd.DataFrame) -> None:
    ticks = bars[PRICES].to_numpy() * 100
    assert np.abs(ticks - np.rint(ticks)).max() < 1e-6
    assert ticks.min() >= 1


def test_bars_are_consistent(bars: pd.DataFrame) -> None:
    assert (bars["high_cny"] >= bars[["open_cny", "close_cny"]].max(axis=1)).all()
    assert (bars["low_cny"] <= bars[["open_cny", "close_cny"]].min(axis=1)).all()


def test_amount_over_volume_lies_between_low_and_high(bars: pd.DataFrame) -> None:
    average = bars["amount_cny"] / bars["volume_shares"]
    assert (average >= bars["low_cny"] - 1e-9).all()
    assert (average <= bars["high_cny"] + 1e-9).all()
    assert (bars["volume_shares"] % 100 == 0).all()


def test_no_price_leaves_the_limits_of_its_board_status_and_date(marked: pd.DataFrame) -> None:
    assert (marked["high_cny"] <= marked["limit_up"] + 1e-9).all()
    assert (marked["low_cny"] >= marked["limit_down"] - 1e-9).all()


def test_every_limit_of_the_rulebook_is_met_and_used(marked: pd.DataFrame) -> None:
    main, chinext, star = (marked["board"] == int(board) for board in (Board.MAIN, Board.CHINEXT, Board.STAR))
    early = marked["session_date"] < "2020-08-24"
    groups = {
        500: main & marked["is_st"],
        1000: chinext & early,
        2000: (chinext & ~early) | star,
    }
    for bps, rows in groups.items():
        assert (marked.loc[rows, "bps"] == bps).all()
        assert (marked.loc[rows, "close_cny"] == marked.loc[rows, "limit_up"]).sum() > 5
        assert (marked.loc[rows, "close_cny"] == marked.loc[rows, "limit_down"]).sum() > 5


def test_adjusted_prices_are_continuous_through_ex_dates(market: SimulatedMarket, bars: pd.DataFrame) -> None:
    by_symbol = bars.sort_values(["symbol", "session_date"]).groupby("symbol")
    before = by_symbol[["close_cny", "adj_factor"]].shift(1).dropna()
    after = bars.loc[before.index]
    np.testing.assert_allclose(
        after["pre_close_cny"] * after["adj_factor"], before["close_cny"] * before["adj_factor"], rtol=1e-12
    )


def test_the_ex_right_reference_is_what_the_declared_action_leaves(market: SimulatedMarket, bars: pd.DataFrame) -> None:
    actions = market.corporate_actions(*WHOLE).rename(columns={"ex_date": "session_date"})
    ordered = bars.sort_values(["symbol", "session_date"])
    ordered["last_close"] = ordered.groupby("symbol")["close_cny"].shift(1)
    ex = actions.merge(ordered, on=["symbol", "session_date"], how="left").dropna(subset=["last_close"])
    assert len(ex) >= len(actions) - 3  # an action on a stock's very first bar has no last close
    exact = (ex["last_close"] - ex["cash_cny_per_share"]) / (1 + ex["bonus_shares_per_share"])
    assert (exact - ex["pre_close_cny"]).abs().max() <= 0.005 + 1e-9
    assert (ex["bonus_shares_per_share"] > 0).mean() > 0.03


def test_the_factor_moves_on_ex_dates_and_on_no_other(market: SimulatedMarket, bars: pd.DataFrame) -> None:
    ordered = bars.sort_values(["symbol", "session_date"])
    previous = ordered.groupby("symbol")["adj_factor"].shift(1)
    moved = ordered.loc[previous.notna() & (ordered["adj_factor"] != previous), ["symbol", "session_date"]]
    declared = market.corporate_actions(*WHOLE)
    pairs = set(zip(declared["symbol"], declared["ex_date"], strict=True))
    assert set(zip(moved["symbol"], moved["session_date"], strict=True)) <= pairs
    assert len(moved) >= 0.99 * len(declared)


def test_suspended_sessions_are_absent_rows_in_spells(market: SimulatedMarket, bars: pd.DataFrame) -> None:
    present = wide(bars, "close_cny").notna()
    listed = wide(market.market_values(*WHOLE), "market_value_cny").notna()
    absent = listed & ~present.reindex_like(listed)
    assert 0.018 < absent.to_numpy().sum() / listed.to_numpy().sum() < 0.032
    starts = (absent & ~absent.shift(1, fill_value=False)).to_numpy().sum()
    assert absent.to_numpy().sum() / starts > 4


def test_no_bar_stands_before_the_listing_or_from_the_delisting_on(market: SimulatedMarket, bars: pd.DataFrame) -> None:
    listed = bars.merge(market.securities(), on="symbol")
    assert (listed["session_date"] >= listed["list_date"]).all()
    assert not (listed["session_date"] >= listed["delist_date"]).any()


def test_newcomers_list_during_the_period_and_the_star_board_not_before_it_opened(market: SimulatedMarket) -> None:
    securities = market.securities()
    assert (securities["list_date"] > "2018-01-02").sum() >= 20
    star = securities[securities["board"] == int(Board.STAR)]
    assert len(star) >= 10
    assert (star["list_date"] >= "2019-07-22").all()
    assert set(securities["board"]) == {int(Board.MAIN), int(Board.CHINEXT), int(Board.STAR)}


def test_the_delisted_had_fallen_and_were_under_special_treatment(market: SimulatedMarket, bars: pd.DataFrame) -> None:
    securities = market.securities().dropna(subset=["delist_date"])
    assert len(securities) >= 5
    spells = market.st_spells(*WHOLE).set_index("symbol")
    falls = []
    for stock in securities.itertuples():
        spell = spells.loc[[stock.symbol]].iloc[-1]
        assert spell["end_date"] < stock.delist_date
        assert (stock.delist_date - spell["start_date"]).days > 300
        own = bars[(bars["symbol"] == stock.symbol) & (bars["session_date"] < spell["start_date"])].tail(250)
        value = own["close_cny"] * own["adj_factor"]
        falls.append(value.iloc[-1] / value.iloc[0] - 1)
    assert np.median(falls) < -0.2


def test_special_treatment_comes_and_goes(market: SimulatedMarket) -> None:
    spells = market.st_spells(*WHOLE)
    assert len(spells) >= 20
    assert spells["end_date"].notna().any()
    assert (spells["end_date"].dropna() >= spells.loc[spells["end_date"].notna(), "start_date"]).all()


def test_ending_the_world_earlier_changes_nothing_before(small: SimulatedMarket) -> None:
    sessions = sessions_between(*WHOLE)
    roster = draw_roster(small.settings, sessions)
    month_day = (sessions.month * 100 + sessions.day).to_numpy(dtype=np.int64)
    shocks = draw_shocks(small.settings.seed, roster, len(sessions), month_day)
    cut = 700
    whole, part = (build_world(roster, shocks, days, 0.11) for days in (sessions, sessions[:cut]))
    for field in fields(World):
        values = getattr(whole, field.name)
        if isinstance(values, np.ndarray) and values.ndim == 2:
            np.testing.assert_array_equal(values[:cut], getattr(part, field.name), err_msg=field.name)
    assert [action for action in whole.actions if action[0] < cut] == part.actions


def test_a_cached_world_cannot_be_changed(small: SimulatedMarket) -> None:
    world = small._parts()[1]
    with pytest.raises(ValueError, match="read-only"):
        world.close_ticks[0, 0] = 1


def test_the_first_and_last_session_are_those_of_the_exchange(all_sessions: pd.DatetimeIndex) -> None:
    assert all_sessions.equals(sessions_between(date(2018, 1, 2), date(2025, 12, 31)))
