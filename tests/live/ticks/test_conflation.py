"""A burst leaves the newest tick of each symbol; every tick is read or counted, and no session's last one is lost."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ljwx_pipeline.errors import LiveError
from ljwx_pipeline.live.ticks.conflation import ConflatingQueue
from ljwx_pipeline.trading.exchange_wire import Tick
from ljwx_pipeline.units import NS_PER_S
from tests.fakes.live_ticks import SESSION, at, tick


def nth(symbol: str, k: int, days: int = 0) -> Tick:
    return replace(tick(), symbol=symbol, at_ns=at("10:00") + k * NS_PER_S, session=SESSION + timedelta(days=days))


def drained(queue: ConflatingQueue) -> list[Tick]:
    read = []
    while (one := queue.pop()) is not None:
        read.append(one)
    return read


def test_a_reader_that_keeps_up_gets_every_tick() -> None:
    queue = ConflatingQueue(2)
    for k in range(10):
        assert queue.put(nth("A", k)) is False
        assert queue.pop() == nth("A", k)
    assert (queue.conflated, queue.deepest) == (0, 1)


def test_a_burst_leaves_the_newest_of_each_symbol_at_the_oldest_s_place() -> None:
    queue = ConflatingQueue(3)
    for one in (nth("A", 0), nth("B", 0), nth("A", 1), nth("C", 0), nth("A", 2)):
        queue.put(one)
    assert drained(queue) == [nth("A", 2), nth("B", 0), nth("C", 0)]
    assert queue.conflated == 2


def test_the_last_tick_of_a_session_is_not_replaced_by_the_next_session_s_first() -> None:
    queue = ConflatingQueue(2)
    queue.put(nth("A", 5))
    queue.put(nth("A", 0, days=1))
    assert drained(queue) == [nth("A", 5), nth("A", 0, days=1)]


def test_an_older_tick_never_replaces_a_newer_one() -> None:
    queue = ConflatingQueue(1)
    queue.put(nth("A", 5))
    assert queue.put(nth("A", 4)) is True
    assert drained(queue) == [nth("A", 5)]


def test_more_symbols_than_there_is_room_for_are_refused_and_nothing_is_lost() -> None:
    queue = ConflatingQueue(1)
    queue.put(nth("A", 0))
    with pytest.raises(LiveError, match="as many as there is room for"):
        queue.put(nth("B", 0))
    assert drained(queue) == [nth("A", 0)]


def test_who_waits_for_a_tick_is_woken_by_the_next_one() -> None:
    async def read_two() -> list[Tick]:
        queue = ConflatingQueue(2)
        reader = asyncio.gather(queue.get(), queue.get())
        await asyncio.sleep(0)
        queue.put(nth("A", 0))
        await asyncio.sleep(0)
        queue.put(nth("B", 0))
        return await asyncio.wait_for(reader, 5)

    assert asyncio.run(read_two()) == [nth("A", 0), nth("B", 0)]


# a letter puts the next tick of that symbol, None reads one
doings = st.lists(st.one_of(st.sampled_from("ABCD"), st.none()), max_size=200)


@given(doings)
def test_every_tick_is_read_or_counted_and_the_newest_is_always_read(doing: list[str | None]) -> None:
    queue, put, read = ConflatingQueue(4), [], []
    for k, symbol in enumerate(doing):
        if symbol is None:
            one = queue.pop()
            read += [] if one is None else [one]
        else:
            put.append(nth(symbol, k))
            queue.put(put[-1])
        assert len(queue) <= 4
    read += drained(queue)
    assert len(put) == len(read) + queue.conflated
    for symbol in "ABCD":
        mine = [one for one in read if one.symbol == symbol]
        assert mine == sorted(mine, key=lambda one: one.at_ns)
        assert mine[-1:] == [one for one in put if one.symbol == symbol][-1:]
