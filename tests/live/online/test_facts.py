"""The facts that ticks are judged by are those of the market's own arrays."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from ljwx_pipeline.live.guard_ticks import days_of_pack
from ljwx_pipeline.live.online.facts import LOWEST_PRICE_E4, session_facts
from ljwx_pipeline.live.ticks.validation import TickValidator
from ljwx_pipeline.trading.market_arrays import ADJUSTED_TOLERANCE_BPS
from ljwx_pipeline.units import BPS
from tests.fakes.live_ticks import BREAKERS
from tests.fakes.online_world import SPECIAL, hours_of, mixed_catalogue, online_world


def test_facts_are_of_every_name_with_a_reference_price_and_a_validator_takes_them(tmp_path: Path) -> None:
    world = online_world(tmp_path, mixed_catalogue(), symbols=5)
    market, session = world.feed.market, world.feed.sessions[1]
    found, official = session_facts(market, session, raw_prices=True), world.official(session)
    assert [one.symbol for one in found] == list(world.feed.symbols)
    for one in found:
        assert one.pre_close_e4 == official[one.symbol].pre_close_e4
        percent = 105 if one.symbol == SPECIAL else 110  # half of the main board's under special treatment
        assert one.limit_up_e4 == (one.pre_close_e4 // 100 * percent + 50) // 100 * 100
        assert one.limit_down_e4 == (one.pre_close_e4 // 100 * (200 - percent) + 50) // 100 * 100
        assert one.hours == hours_of(session)
    TickValidator(session, found, BREAKERS, raw_prices=True)


def test_a_name_without_a_reference_price_is_a_stranger_and_one_without_limits_is_not(tmp_path: Path) -> None:
    world = online_world(tmp_path, mixed_catalogue(), symbols=5)
    market, session = world.feed.market, world.feed.sessions[1]
    column = world.feed.column(session)
    before, up, down = market.pre_close_e4.copy(), market.limit_up_e4.copy(), market.limit_down_e4.copy()
    before[1, column], up[1, column], down[1, column] = 0, 0, 2**31 - 1
    up[2, column], down[2, column] = 2**31 - 1, 0
    found = session_facts(
        replace(market, pre_close_e4=before, limit_up_e4=up, limit_down_e4=down), session, raw_prices=True
    )
    assert [one.symbol for one in found] == [f"S{k:05d}.SIM" for k in (0, 2, 3, 4)]
    assert found[1].limit_down_e4 == LOWEST_PRICE_E4
    TickValidator(session, found, BREAKERS, raw_prices=True)


def test_whoever_judges_ticks_and_whoever_scores_them_know_the_same_symbols(tmp_path: Path) -> None:
    world = online_world(tmp_path, mixed_catalogue(), symbols=5)
    market, session = world.feed.market, world.feed.sessions[1]
    before = market.pre_close_e4.copy()
    before[1, world.feed.column(session)] *= 2  # a corrected close, above the limits of the one before
    world.feed.market = replace(market, pre_close_e4=before)
    judged = days_of_pack(world.feed, session)
    scored = session_facts(world.feed.market, session, raw_prices=True)
    assert len(judged) == 5
    assert [one.facts for one in judged.values()] == list(scored)
    assert scored[1].pre_close_e4 == scored[1].limit_up_e4


def test_adjusted_prices_are_held_to_limits_outside_the_true_ones(tmp_path: Path) -> None:
    world = online_world(tmp_path, mixed_catalogue(), symbols=5)
    market, session = world.feed.market, world.feed.sessions[1]
    column = world.feed.column(session)
    before = market.pre_close_e4.astype(np.int64)
    up = before * (BPS + 1_000 - ADJUSTED_TOLERANCE_BPS) // BPS  # as ``market_arrays`` draws them inside ten per cent
    down = -(-before * (BPS - 1_000 + ADJUSTED_TOLERANCE_BPS) // BPS)
    found = session_facts(replace(market, limit_up_e4=up, limit_down_e4=down), session, raw_prices=False)
    assert len(found) == 5
    for row, one in enumerate(found):
        reference = int(before[row, column])
        assert reference * 1.1 <= one.limit_up_e4 <= reference * 1.1 * 1.003
        assert reference * 0.9 * 0.997 <= one.limit_down_e4 <= reference * 0.9
    TickValidator(session, found, BREAKERS, raw_prices=False)
