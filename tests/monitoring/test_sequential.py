"""The comparison keeps its error under daily peeking, has power, and its interval holds at every session at once."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest

from ljwx_pipeline.errors import DataQualityError
from ljwx_pipeline.monitoring.sequential import STAKES, block_means, compare, compare_differences, evidence

ALPHA, SPREAD = 0.05, 0.004
BOUND = 5 * SPREAD


def test_the_capital_is_that_of_each_bet_by_hand() -> None:
    scaled = np.array([0.5, -0.2])
    after = [sum(1 + a * 0.5 for a in STAKES), sum((1 + a * 0.5) * (1 - a * 0.2) for a in STAKES)]
    assert evidence(scaled) == pytest.approx(np.array(after) / len(STAKES))
    against = sum((1 + a * 0.4 / 1.1) * (1 - a * 0.3 / 1.1) for a in STAKES) / len(STAKES)
    assert evidence(scaled, 0.1)[-1] == pytest.approx(against)


@pytest.mark.parametrize("mean", [-0.9, -0.3, 0.0, 0.4])
def test_a_bet_against_the_true_mean_earns_nothing_in_expectation(mean: float) -> None:
    # all two-valued paths of three sessions, exactly
    high, low = 1.0, -1.0
    chance = (mean - low) / (high - low)
    expected = 0.0
    for path in np.ndindex(2, 2, 2):
        ups = sum(path)
        weight = chance**ups * (1 - chance) ** (3 - ups)
        expected += weight * evidence(np.where(np.array(path) == 1, high, low), mean)[-1]
    assert expected == pytest.approx(1.0, abs=1e-12)


def test_no_session_ruins_a_bet_and_a_higher_mean_to_beat_leaves_less() -> None:
    rng = np.random.default_rng(0)
    for scaled in (np.full(50, -1.0), rng.choice([-1.0, 1.0], 50), rng.uniform(-1, 1, 50)):
        capital = [evidence(scaled, mean) for mean in (-0.99, -0.5, 0.0, 0.5, 1.0)]
        assert all((one > 0).all() for one in capital)
        assert all((lower >= higher).all() for lower, higher in pairwise(capital))


@pytest.mark.parametrize("kind", ["normal", "fat tails", "two values", "clustered"])
def test_with_no_difference_a_daily_look_over_1000_sessions_errs_less_than_alpha(kind: str) -> None:
    rng, shape = np.random.default_rng(1), (1500, 1000)
    drawn = {
        "normal": lambda: rng.standard_normal(shape),
        "fat tails": lambda: rng.standard_t(3, shape) / math.sqrt(3),
        "two values": lambda: rng.choice([-1.0, 1.0], shape) * 5,  # the worst that the bound lets through
        "clustered": lambda: rng.standard_normal(shape) * np.repeat(rng.choice([0.3, 2.0], (1500, 50)), 20, axis=1),
    }[kind]()
    scaled = np.clip(drawn * SPREAD / BOUND, -1, 1)
    named = ((evidence(scaled) >= 2 / ALPHA) | (evidence(-scaled) >= 2 / ALPHA)).any(axis=1)
    assert named.mean() <= ALPHA
    # the same looks by a t-test err several times as often
    sums = np.cumsum(drawn, axis=1)[:, 20:]
    peeked = np.abs(sums / np.sqrt(np.cumsum(drawn**2, axis=1)[:, 20:])) > 1.96
    assert peeked.any(axis=1).mean() > 3 * ALPHA


def test_a_difference_of_sharpe_3_is_decided_within_two_years_mostly_for_the_better_one() -> None:
    rng, found = np.random.default_rng(2), []
    for _ in range(100):
        earned = SPREAD * (rng.standard_normal(504) + 3 / math.sqrt(252))
        found.append(compare_differences(earned, bound=BOUND, alpha=ALPHA))
    verdicts = [one.verdict for one in found]
    assert verdicts.count("challenger") >= 75
    assert verdicts.count("champion") <= 2


def test_the_interval_holds_the_mean_at_every_session_at_once() -> None:
    rng, missed = np.random.default_rng(3), 0
    mean = 0.05
    for _ in range(150):
        scaled = rng.choice([-1.0, 1.0], 400, p=[(1 - mean) / 2, (1 + mean) / 2])
        last = compare_differences(scaled, bound=1.0, alpha=0.2)  # its ends are the tightest of all sessions so far
        missed += not last.lower <= mean <= last.upper
    assert missed / 150 <= 0.2


def test_the_interval_narrows_about_the_mean_and_excludes_zero_when_decided() -> None:
    rng = np.random.default_rng(4)
    earned = SPREAD * (rng.standard_normal(4000) + 0.2)
    short, long = (compare_differences(earned[:n], bound=BOUND) for n in (200, 4000))
    assert long.upper - long.lower < (short.upper - short.lower) / 2
    assert long.verdict == "challenger"
    assert 0 < long.lower < 0.2 * SPREAD < long.upper
    assert long.decided_at is not None
    before = compare_differences(earned[: long.decided_at], bound=BOUND)
    assert (before.verdict, before.decided_at) == ("undecided", None)


def test_what_was_decided_first_stays_decided() -> None:
    better = np.full(60, 0.01)
    decided = compare_differences(better, bound=0.01)
    turned = compare_differences(np.concatenate([better, np.full(500, -0.01)]), bound=0.01)
    assert decided.verdict == turned.verdict == "challenger"
    assert decided.decided_at == turned.decided_at


def test_swapping_the_two_swaps_the_verdict_and_mirrors_the_interval() -> None:
    earned = SPREAD * (np.random.default_rng(5).standard_normal(1500) + 0.15)
    one, other = compare_differences(earned, bound=BOUND), compare_differences(-earned, bound=BOUND)
    assert (one.verdict, other.verdict) == ("challenger", "champion")
    assert (other.lower, other.upper, other.mean) == pytest.approx((-one.upper, -one.lower, -one.mean))
    assert one.evidence_challenger == other.evidence_champion


def test_differences_beyond_the_bound_are_clipped_and_counted() -> None:
    calm = compare_differences(np.array([0.01, -0.01, 0.01, 0.0]), bound=0.01)
    wild = compare_differences(np.array([0.50, -0.01, 0.01, 0.0]), bound=0.01)
    assert wild.clipped_frac == 0.25
    assert (wild.mean, wild.lower, wild.evidence_challenger) == (calm.mean, calm.lower, calm.evidence_challenger)


def test_paired_returns_are_compared_session_by_session() -> None:
    sessions = pd.bdate_range("2026-01-05", periods=80)
    paired = pd.DataFrame({"session_date": sessions, "champion": 0.001, "challenger": 0.011})
    found = compare(paired, bound=0.01)
    assert (found.verdict, found.sessions, found.mean) == ("challenger", 80, pytest.approx(0.01))
    for wrong, told in (
        (paired[::-1], "not ascending"),
        (pd.concat([paired, paired[-1:]]), "not ascending"),
        (paired.assign(challenger=np.nan), "2026-01-05 are 0.001 and nan"),
    ):
        with pytest.raises(DataQualityError, match=told):
            compare(wrong, bound=0.01)


def test_a_comparison_without_bound_level_or_session_is_refused() -> None:
    for bound, alpha in ((0.0, 0.05), (math.nan, 0.05), (0.01, 0.0), (0.01, 1.0)):
        with pytest.raises(DataQualityError, match="decide nothing"):
            compare_differences(np.array([0.1]), bound=bound, alpha=alpha)
    with pytest.raises(DataQualityError, match="of 0 differences"):
        compare_differences(np.array([]), bound=0.01)


def test_overlapping_values_are_compared_by_means_of_blocks() -> None:
    assert block_means(np.arange(7.0), 3) == pytest.approx([1.0, 4.0])
    with pytest.raises(DataQualityError, match="0 sessions"):
        block_means(np.arange(7.0), 0)
    # labels of five sessions: day by day the error exceeds alpha, block by block it does not
    shocks = np.random.default_rng(6).standard_normal((800, 1004))
    overlapping = np.apply_along_axis(lambda row: np.convolve(row, np.ones(5), mode="valid"), 1, shocks) / 5**0.5
    scaled = np.clip(overlapping / 5, -1, 1)
    blocks = scaled.reshape(800, -1, 5).mean(axis=2)
    naive, blocked = (
        ((evidence(x) >= 2 / ALPHA) | (evidence(-x) >= 2 / ALPHA)).any(axis=1).mean() for x in (scaled, blocks)
    )
    assert naive > 2 * ALPHA
    assert blocked <= ALPHA
