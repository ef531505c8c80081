"""Parts of whole numbers add up, keep their proportion and never exceed what was wanted."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ljwx_pipeline.live.sleeves.parts import in_lots, prefix_floor

WEIGHTS = st.lists(st.integers(0, 10**9), min_size=1, max_size=6).filter(sum)


@given(st.integers(-(10**12), 10**12), WEIGHTS)
def test_parts_add_up_and_are_less_than_one_off_their_proportion(total: int, weights: list[int]) -> None:
    parts = prefix_floor(total, weights)
    assert sum(parts) == total
    whole = sum(weights)
    assert all(abs(part * whole - total * weight) < whole for part, weight in zip(parts, weights, strict=True))


@given(WEIGHTS, st.data())
def test_no_part_is_above_its_weight_while_the_total_is_not(weights: list[int], data: st.DataObject) -> None:
    total = data.draw(st.integers(0, sum(weights)))
    assert all(0 <= part <= weight for part, weight in zip(prefix_floor(total, weights), weights, strict=True))


@given(
    st.lists(st.integers(0, 3_000), min_size=1, max_size=6),
    st.sampled_from([1, 100, 200]),
    st.data(),
)
def test_lots_add_up_within_what_was_wanted_and_a_whole_total_gives_everybody_all(
    wanted: list[int], step: int, data: st.DataObject
) -> None:
    total = data.draw(st.integers(0, sum(wanted)))
    given_shares = in_lots(total, wanted, step)
    assert sum(given_shares) == total
    assert all(0 <= part <= want for part, want in zip(given_shares, wanted, strict=True))
    assert in_lots(sum(wanted), wanted, step) == tuple(wanted)


@given(st.lists(st.integers(0, 30), min_size=1, max_size=6), st.data())
def test_whole_lots_are_never_broken(lots: list[int], data: st.DataObject) -> None:
    total = data.draw(st.integers(0, sum(lots))) * 100
    assert all(part % 100 == 0 for part in in_lots(total, [lot * 100 for lot in lots], 100))


def test_what_lots_do_not_divide_goes_by_place() -> None:
    assert in_lots(300, [300, 200], 100) == (100, 200)
    assert in_lots(350, [150, 200], 100) == (150, 200)
    assert in_lots(0, [150, 200], 100) == (0, 0)
    assert prefix_floor(-7, [1, 1]) == (-3, -4)
