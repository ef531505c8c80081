"""kill -9 at every named point and faults of the network: the books stay the exchange's, nothing is lost or doubled."""

from __future__ import annotations

import pytest

from benchmarks.live_crash import killed
from benchmarks.live_faults import disturbed


@pytest.mark.slow
def test_killed_at_every_named_point_nothing_is_lost_and_nothing_doubled() -> None:
    told = killed(60)
    assert told["kills"] >= 60
    assert not told["points_never_hit"]
    assert told["books_held_against_the_exchange"] >= 50
    assert (told["lost"], told["doubled"]) == (0, 0)


@pytest.mark.slow
def test_every_kind_of_network_fault_leaves_the_books_of_an_undisturbed_run() -> None:
    told = disturbed(21)
    assert told["faults"] >= 21
    assert len(told["by_kind"]) == 7
