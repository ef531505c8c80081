"""What luck alone spreads: as much as trials do not share, whatever copies of them were tried beside."""

from __future__ import annotations

import numpy as np
import pytest

from ljwx_pipeline.promotion.luck import (
    MOST_ALIKE,
    as_of,
    luck_variance,
    spread_by_session,
    spread_of_ratios,
    without_copies,
)
from ljwx_pipeline.promotion.statistics import deflated_sharpe, expected_maximum_sharpe


def correlated(rng: np.random.Generator, sessions: int, trials: int, correlation: float) -> np.ndarray:
    common, own = rng.standard_normal((sessions, 1)), rng.standard_normal((sessions, trials))
    return 0.01 * (np.sqrt(correlation) * common + np.sqrt(1 - correlation) * own)


@pytest.mark.parametrize("correlation", [0.0, 0.5, 0.9])
def test_both_measures_of_luck_find_what_trials_do_not_share(correlation: float) -> None:
    rng = np.random.default_rng(8)
    by_session, of_ratios = [], []
    for _ in range(40):
        values = correlated(rng, 500, 30, correlation)
        ratios = values.mean(axis=0) / values.std(axis=0, ddof=1)
        of_ratios.append(spread_of_ratios(ratios, np.full(30, 500.0)))
        values[250:, ::2] = np.nan
        by_session.append(spread_by_session(values))
    assert np.mean(by_session) == pytest.approx(1 - correlation, abs=0.02)  # type: ignore[arg-type]
    assert np.mean(of_ratios) == pytest.approx(1 - correlation, abs=0.12)  # type: ignore[arg-type]


def test_what_is_not_known_of_luck_counts_in_full() -> None:
    assert luck_variance([0.1, 0.2], [0, 0], ["a", "a"]) == 1.0
    assert luck_variance([0.1, 0.2], [500, 500], ["a", "b"]) == 1.0
    assert luck_variance([], [], []) == 1.0
    assert luck_variance([0.1, 0.5], [500, 500], ["a", "a"]) == 1.0, "luck is never more than that"
    assert luck_variance([0.1, 0.1001], [500, 500], ["a", "a"]) < 0.01
    assert spread_by_session(np.full((100, 3), 0.01)) is None, "what never varies has no spread"
    assert spread_by_session(np.random.default_rng(0).normal(size=(59, 3))) is None


@pytest.mark.parametrize("correlation", [0.0, 0.5, 0.9])
def test_noise_chosen_among_many_passes_in_one_case_of_twenty_at_most(correlation: float) -> None:
    rng = np.random.default_rng(12)
    passed, runs, trials = 0, 300, 40
    for _ in range(runs):
        tested = correlated(rng, 600, trials, correlation)
        ratios = tested.mean(axis=0) / tested.std(axis=0, ddof=1)
        luck = luck_variance(ratios, [600] * trials, ["e"] * trials, returns=tested, columns=range(trials))
        best = tested[:, int(ratios.argmax())]
        passed += deflated_sharpe(best, ratios, luck=luck).probability >= 0.95
    assert passed / runs <= 0.05


@pytest.mark.parametrize("correlation", [0.5, 0.9])
def test_noise_chosen_after_pruning_on_short_folds_passes_as_rarely(correlation: float) -> None:
    rng = np.random.default_rng(13)
    passed, runs, trials = 0, 200, 40
    for _ in range(runs):
        inner, ran, ratios = pruned_study(correlated(rng, 240, trials, correlation))
        luck = luck_variance(ratios, ran, ["s"] * trials, returns=inner, columns=range(trials))
        # the best of the study, and of nine looks by hand at the tested sessions
        by_hand = correlated(rng, 600, 9, 0.0)
        looked = by_hand.mean(axis=0) / by_hand.std(axis=0, ddof=1)
        luck = max(luck, spread_by_session(by_hand) or 1.0)
        best = by_hand[:, int(looked.argmax())]
        passed += deflated_sharpe(best, [*ratios, *looked], luck=luck).probability >= 0.95
    assert passed / runs <= 0.05


def pruned_study(inner: np.ndarray, fold: int = 60) -> tuple[np.ndarray, list[int], list[float]]:
    """Return returns, lengths and Sharpe ratios of trials of which the worse half stopped after the first fold."""
    first = inner[:fold].mean(axis=0) / inner[:fold].std(axis=0, ddof=1)
    behind = first < np.median(first)
    whole = inner.mean(axis=0) / inner.std(axis=0, ddof=1)
    kept = inner.copy()
    kept[fold:, behind] = np.nan
    return kept, [fold if late else len(inner) for late in behind], list(np.where(behind, first, whole))


def test_pruning_does_not_cost_a_skilled_model_its_promotion() -> None:
    rng, skill, trials = np.random.default_rng(14), 0.2, 50
    probability, plain, lucks = [], [], []
    for _ in range(60):
        inner, ran, ratios = pruned_study(correlated(rng, 240, trials, 0.9) + 0.01 * skill)
        lucks.append(luck_variance(ratios, ran, ["s"] * trials, returns=inner, columns=range(trials)))
        candidate = 0.01 * (rng.standard_normal(600) + skill)
        probability.append(deflated_sharpe(candidate, ratios, luck=lucks[-1]).probability)
        plain.append(deflated_sharpe(candidate, ratios).probability)
    assert np.mean(lucks) == pytest.approx(0.1, abs=0.01), "that of complete trials which correlate 0.9"
    assert np.mean(np.array(probability) >= 0.95) >= 0.9
    assert np.mean(np.array(plain) >= 0.95) < 0.6, "Sharpe ratios of all lengths in one heap would"


# trials and their copies


def ideas_in_versions(
    rng: np.random.Generator, *, ideas: int = 50, versions: int = 10, shared: float = 0.0, sessions: int = 800
) -> tuple[np.ndarray, list[str]]:
    """Return returns of ideas without skill that correlate ``shared``, each in versions that correlate 0.99."""
    one = np.repeat(correlated(rng, sessions, ideas, shared), versions, axis=1)
    own = 0.001 * rng.standard_normal(one.shape) * (np.arange(ideas * versions) % versions > 0)
    return one + own, [f"scores {idea}" for idea in range(ideas) for _ in range(versions)]


def study_beside(rng: np.random.Generator, tested: np.ndarray) -> tuple[np.ndarray, list[bool]]:
    """Return ``tested`` with a study of 12 trials that correlate 0.9, on the 480 sessions before."""
    returns = np.full((480 + len(tested), tested.shape[1] + 12), np.nan)
    returns[480:, :-12], returns[:480, -12:] = tested, correlated(rng, 480, 12, 0.9)
    return returns, [False] * tested.shape[1] + [True] * 12


def ratios_of(returns: np.ndarray) -> np.ndarray:
    return np.asarray(np.nanmean(returns, axis=0) / np.nanstd(returns, axis=0, ddof=1))


@pytest.mark.parametrize(
    ("shared", "in_one_sweep", "kept"),
    [(0.0, False, True), (0.6, False, True), (0.0, True, True), (0.0, False, False)],
)
def test_ten_versions_of_each_idea_do_not_hide_how_many_ideas_there_were(
    shared: float, in_one_sweep: bool, kept: bool
) -> None:
    rng = np.random.default_rng(21)
    passed, runs = 0, 15
    for _ in range(runs):
        tested, evidence = ideas_in_versions(rng, shared=shared)
        returns, of_study = study_beside(rng, tested)
        tried_on = (["one sweep"] * len(evidence) if in_one_sweep else evidence) + ["the study"] * 12
        ratios, sessions = ratios_of(returns), (~np.isnan(returns)).sum(axis=0).tolist()
        stored = (returns, range(len(ratios))) if kept else (None, ())
        luck = luck_variance(ratios, sessions, tried_on, of_study=of_study, returns=stored[0], columns=stored[1])
        asked, needed = (expected_maximum_sharpe(*of) for of in ((luck, len(ratios)), (1 - shared, 50)))
        assert asked > (0.97 if kept else 0.7) * needed  # Sharpe ratios alone tell it less exactly
        best = tested[:, int(ratios[:-12].argmax())]
        passed += deflated_sharpe(best, ratios, luck=luck).probability >= 0.95
    assert passed <= 2


@pytest.mark.parametrize("copies", [0, 20, 1000])
def test_versions_of_one_idea_do_not_hide_the_others(copies: int) -> None:
    rng = np.random.default_rng(22)
    ideas = correlated(rng, 600, 50, 0.0)
    alike = ideas[:, :1] * np.sqrt(0.85) + correlated(rng, 600, copies, 0.0) * np.sqrt(0.15)
    returns = np.hstack([alike, ideas])
    trials = returns.shape[1]
    every = [f"scores {at}" for at in range(trials)]
    luck = luck_variance(ratios_of(returns), [600] * trials, every, returns=returns, columns=range(trials))
    assert expected_maximum_sharpe(luck, trials) > 0.97 * expected_maximum_sharpe(1.0, 50)


def test_five_hundred_versions_of_one_idea_are_one_idea() -> None:
    rng = np.random.default_rng(23)
    returns, _ = ideas_in_versions(rng, ideas=1, versions=500)
    luck = luck_variance(ratios_of(returns), [800] * 500, ["e"] * 500, returns=returns, columns=range(500))
    assert luck == pytest.approx(0.01, abs=0.002)
    assert expected_maximum_sharpe(luck, 500) < 0.15 * expected_maximum_sharpe(1.0, 500)


def test_a_study_of_one_edge_is_asked_no_more_for_an_odd_trial() -> None:
    rng = np.random.default_rng(24)
    returns = correlated(rng, 600, 50, 0.9)
    returns[:, -1] = correlated(rng, 600, 1, 0.0)[:, 0]
    luck = luck_variance(ratios_of(returns), [600] * 50, ["s"] * 50, returns=returns, columns=range(50))
    assert luck == pytest.approx(0.1 * 48 / 50 + 2 / 50, abs=0.02)


def test_copies_are_left_out_in_the_order_tried() -> None:
    rng = np.random.default_rng(25)
    a, b, c = correlated(rng, 600, 3, 0.0).T
    half = np.where(np.arange(600) < 300, b, np.nan)
    returns = np.column_stack([a, 3 * a + 0.001, b, np.full(600, 0.01), half, np.sqrt(0.7) * c + np.sqrt(0.3) * a, c])
    assert without_copies(returns, 0.95).tolist() == [0, 2, 5, 6]
    assert without_copies(returns, 0.6).tolist() == [0, 2, 5]
    assert without_copies(returns[:59], 0.6).tolist() == [0, 1, 2, 4, 5, 6], "too short to be called alike"
    assert without_copies(np.empty((0, 0)), 0.6).tolist() == []


@pytest.mark.parametrize("most_alike", MOST_ALIKE)
def test_no_two_that_stay_are_alike_and_each_that_goes_is_like_an_earlier_one(most_alike: float) -> None:
    rng = np.random.default_rng(26)
    returns = correlated(rng, 240, 6, 0.0) @ np.abs(rng.standard_normal((6, 700)))
    returns[:60, ::3] = np.nan
    stays = without_copies(returns, most_alike)
    among = pairwise(returns)
    assert len(stays) < 700
    assert (among[np.ix_(stays, stays)] - np.eye(len(stays))).max() <= most_alike + 1e-5
    for gone in np.setdiff1d(np.arange(700), stays):
        assert among[stays[stays < gone], gone].max() > most_alike - 1e-5


def pairwise(returns: np.ndarray) -> np.ndarray:
    """Return the mean product of every two columns in their own standard deviations, over the sessions both have."""
    unit = (returns - np.nanmean(returns, axis=0)) / np.nanstd(returns, axis=0)
    out = np.empty((unit.shape[1],) * 2)
    for at in range(len(out)):
        out[at] = np.nanmean(unit * unit[:, [at]], axis=0)
    return out


def test_the_best_of_all_is_as_lucky_as_the_best_of_those_that_differ() -> None:
    assert expected_maximum_sharpe(as_of(0.7, 50, 500), 500) == pytest.approx(expected_maximum_sharpe(0.7, 50))
    assert expected_maximum_sharpe(as_of(1.4, 50, 500), 500) == pytest.approx(expected_maximum_sharpe(1.0, 50))
