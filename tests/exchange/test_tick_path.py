"""The ticks made from a bar are that bar, whatever the bar is; they are the same each time, and seal at the limits."""

from __future__ import annotations

from datetime import date
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ljwx_pipeline.exchange.market import DayBars
from ljwx_pipeline.exchange.tick_path import TickPaths
from ljwx_pipeline.exchange.timeline import timeline

SESSION = date(2018, 4, 3)
#: Few ticks a session, so that hypothesis sees many bars.
TIMELINE = timeline(SESSION, tick_seconds=300)


@st.composite
def day_bars(draw: st.DrawFn) -> DayBars:
    n = draw(st.integers(1, 7))
    fields: dict[str, list[int]] = {name: [] for name in DayBars.__dataclass_fields__}
    for _ in range(n):
        tick = draw(st.sampled_from([100, 1]))
        pre_close = draw(st.integers(100, 50_000)) * 100
        up, down = pre_close * 11 // 10, pre_close * 9 // 10
        low = draw(st.integers(down // tick + 1, up // tick)) * tick
        high = draw(st.integers(low // tick, up // tick)) * tick
        traded = draw(st.integers(0, 5)) > 0
        volume = draw(st.integers(0, 10**10)) * traded
        mean = draw(st.integers(low, high))
        within = st.integers(low // tick, high // tick)
        values = {
            "open_e4": draw(within) * tick,
            "high_e4": high,
            "low_e4": low,
            "close_e4": draw(within) * tick,
            "pre_close_e4": pre_close,
            "limit_up_e4": up,
            "limit_down_e4": down,
            "open_up_e4": up,
            "open_down_e4": down,
        }
        for name, value in values.items():
            fields[name].append(value * traded)
        fields["volume_shares"].append(volume)
        fields["amount_fen"].append(volume * mean // 100)
    return DayBars(**{name: np.array(values, dtype=np.int64) for name, values in fields.items()})


def played(bars: DayBars, seed: int = 0) -> dict[int, list[dict[str, int]]]:
    """Every tick by row, in order."""
    source = TickPaths(TIMELINE, bars, symbols=tuple(f"S{i:05d}.SIM" for i in range(len(bars.close_e4))), seed=seed)
    found: dict[int, list[dict[str, int]]] = {}
    for step in TIMELINE.steps:
        if step.phase is None:
            quotes = vars(source.batch(step))
            for at, row in enumerate(quotes["rows"].tolist()):
                found.setdefault(row, []).append({name: int(values[at]) for name, values in quotes.items()})
    return found


@given(day_bars(), st.integers(0, 100))
def test_the_bar_of_the_path_is_the_recorded_bar(bars: DayBars, seed: int) -> None:
    ticks = played(bars, seed)
    assert sorted(ticks) == np.flatnonzero(bars.close_e4 > 0).tolist(), "a suspended name does not tick"
    for row, path in ticks.items():
        prices = [tick["last_e4"] for tick in path]
        assert (prices[0], max(prices), min(prices), prices[-1]) == (
            *(bars.open_e4[row], bars.high_e4[row], bars.low_e4[row], bars.close_e4[row]),
        )
        assert path[-1]["volume_shares"] == bars.volume_shares[row]
        assert path[-1]["amount_fen"] == bars.amount_fen[row]
        for before, after in pairwise(path):
            assert before["volume_shares"] <= after["volume_shares"]
            assert before["amount_fen"] <= after["amount_fen"]
        for so_far, tick in enumerate(path, start=1):
            assert (tick["open_e4"], tick["high_e4"], tick["low_e4"]) == (
                *(prices[0], max(prices[:so_far]), min(prices[:so_far])),
            )


@given(day_bars())
def test_no_quote_lies_beyond_a_limit_and_a_sealed_side_is_gone(bars: DayBars) -> None:
    for row, path in played(bars).items():
        up, down = int(bars.limit_up_e4[row]), int(bars.limit_down_e4[row])
        for tick in path:
            assert (tick["ask_e4"] == 0) == (tick["last_e4"] >= up)
            assert (tick["bid_e4"] == 0) == (tick["last_e4"] <= down)
            assert tick["ask_e4"] == 0 or tick["last_e4"] <= tick["ask_e4"] <= tick["last_e4"] + 100
            assert tick["bid_e4"] == 0 or tick["last_e4"] - 100 <= tick["bid_e4"] <= tick["last_e4"]
            assert tick["ask_e4"] == 0 or tick["bid_e4"] < tick["ask_e4"]
            assert (tick["ask_shares"] > 0) <= (tick["ask_e4"] > 0)
            assert (tick["bid_shares"] > 0) <= (tick["bid_e4"] > 0)


@given(day_bars(), st.integers(0, len(TIMELINE.steps) - 1))
def test_what_stands_at_a_step_is_the_last_tick_up_to_it(bars: DayBars, position: int) -> None:
    source = TickPaths(TIMELINE, bars, symbols=tuple(f"S{i:05d}.SIM" for i in range(len(bars.close_e4))), seed=1)
    last: dict[int, tuple[int, ...]] = {}
    for step in TIMELINE.steps[: position + 1]:
        if step.phase is None:
            quotes = list(vars(source.batch(step)).values())
            last.update({int(one[0]): tuple(int(value) for value in one) for one in zip(*quotes, strict=True)})
    standing = zip(*vars(source.standing(position)).values(), strict=True)
    assert [tuple(int(value) for value in one) for one in standing] == [last[row] for row in sorted(last)]


def one_bar(**changed: int) -> DayBars:
    values = {"open_e4": 100_000, "high_e4": 105_000, "low_e4": 98_000, "close_e4": 101_000, "pre_close_e4": 100_000}
    values |= {"limit_up_e4": 110_000, "limit_down_e4": 90_000, "open_up_e4": 110_000, "open_down_e4": 90_000}
    values |= {"volume_shares": 1_000_000, "amount_fen": 1_000_000_000, **changed}
    return DayBars(**{name: np.array([value], dtype=np.int64) for name, value in values.items()})


def test_the_path_of_a_symbol_hangs_on_seed_session_and_name_alone() -> None:
    assert played(one_bar(), 7) == played(one_bar(), 7)
    assert played(one_bar(), 7) != played(one_bar(), 8)


def test_most_is_traded_after_the_open_and_before_the_close() -> None:
    path = played(one_bar())[0]
    traded = np.diff([0] + [tick["volume_shares"] for tick in path])[1:-1]
    third = len(traded) // 3
    middle = traded[third : 2 * third].sum()
    assert traded[:third].sum() > 1.5 * middle
    assert traded[-third:].sum() > 1.5 * middle


@pytest.mark.parametrize(("open_up_e4", "sealed"), [(110_000, False), (100_000, True)])
def test_at_the_open_the_auction_s_own_limits_seal(open_up_e4: int, sealed: bool) -> None:
    path = played(one_bar(open_up_e4=open_up_e4))[0]
    assert (path[0]["ask_e4"] == 0) is sealed
    assert all(tick["ask_e4"] > 0 for tick in path[1:])
