"""A stack's weights are those that were planted, come from no row a base has learned, and fall back to equal."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from ljwx_pipeline.config import ModelSettings
from ljwx_pipeline.errors import ModelError
from ljwx_pipeline.models import ensemble_stacking
from ljwx_pipeline.models.ensemble_stacking import stack_weights
from ljwx_pipeline.models.fit import Trained, fit_one
from ljwx_pipeline.models.task import split_tail
from ljwx_pipeline.models.train import train
from tests.fakes.model_settings import model_settings
from tests.fakes.planted import fold, planted_dataset

TUNED = {"learning_rate": 0.1, "num_leaves": 7, "min_data_in_leaf": 20}
EVERYTHING = slice(0, None)
BASES = ("regression", "linear")


def settings(**changed: Any) -> ModelSettings:
    """Return settings of a stack; ``changed`` are keys of ``[model.ensemble]``."""
    base = model_settings(max_rounds=20, early_stopping_rounds=5, early_stopping_tail_sessions=40)
    ensemble = {**base.ensemble.model_dump(), "kind": "stacking", "bases": BASES, **changed}
    return ModelSettings.model_validate({**base.model_dump(), "ensemble": ensemble})


def planted_scores(*, count: int, seed: int = 0) -> tuple[list[np.ndarray], np.ndarray]:
    """Return independent scores of spread 1 over 50 sessions of 40 rows, and the sessions."""
    rng = np.random.default_rng(seed)
    sessions = np.repeat(np.arange(50), 40)
    return [rng.standard_normal(2000) for _ in range(count)], sessions


def test_planted_weights_are_found() -> None:
    scores, sessions = planted_scores(count=3)
    outcome = 0.05 * (0.6 * scores[0] + 0.3 * scores[1] + 0.1 * scores[2])
    assert stack_weights(scores, outcome, sessions) == pytest.approx((0.6, 0.3, 0.1), rel=1e-9)
    noisy = outcome + 0.02 * np.random.default_rng(9).standard_normal(2000)
    assert stack_weights(scores, noisy, sessions) == pytest.approx((0.6, 0.3, 0.1), abs=0.03)


def test_the_level_of_a_session_counts_nothing() -> None:
    scores, sessions = planted_scores(count=2)
    outcome = 0.75 * scores[0] + 0.25 * scores[1]
    market = np.random.default_rng(2).standard_normal(50)[sessions] * 10
    assert stack_weights([scores[0] + market, scores[1]], outcome - market, sessions) == pytest.approx(
        (0.75, 0.25), rel=1e-9
    )


def test_a_score_that_foretells_the_opposite_weighs_nothing() -> None:
    scores, sessions = planted_scores(count=2)
    assert stack_weights(scores, scores[0] - 0.5 * scores[1], sessions) == (1.0, 0.0)


def test_without_skill_all_weigh_the_same() -> None:
    scores, sessions = planted_scores(count=2)
    assert stack_weights(scores, -scores[0] - scores[1], sessions) == (0.5, 0.5)
    assert stack_weights(scores, np.full(2000, np.nan), sessions) == (0.5, 0.5)


def test_one_score_given_twice_shares_its_weight() -> None:
    scores, sessions = planted_scores(count=1)
    assert sum(stack_weights([scores[0], scores[0]], scores[0], sessions)) == pytest.approx(1.0)


def test_weights_are_those_of_non_negative_least_squares() -> None:
    from scipy.optimize import nnls

    rng = np.random.default_rng(3)
    for _ in range(20):
        scores, sessions = planted_scores(count=4, seed=int(rng.integers(1000)))
        scores[1] = scores[0] + 0.3 * scores[1]  # far from orthogonal
        outcome = np.stack(scores).T @ rng.uniform(-0.5, 1, 4) + rng.standard_normal(2000)
        centred = [one - one.reshape(50, 40).mean(axis=1)[sessions] for one in (*scores, outcome)]
        expected, _ = nnls(np.stack(centred[:-1]).T, centred[-1])
        assert stack_weights(scores, outcome, sessions) == pytest.approx(expected / expected.sum(), abs=1e-7)


def test_a_row_that_is_not_known_everywhere_counts_nothing() -> None:
    scores, sessions = planted_scores(count=2)
    outcome = 0.5 * scores[0] + 0.5 * scores[1]
    scores[0][::3], outcome[1::3] = np.nan, np.nan
    assert stack_weights(scores, outcome, sessions) == pytest.approx((0.5, 0.5), rel=1e-9)


def test_bases_are_weighed_on_rows_they_have_not_learned_from(monkeypatch: pytest.MonkeyPatch) -> None:
    dataset, model = planted_dataset(sessions=400), settings()
    seen: list[tuple[str, slice, int]] = []

    def watched(dataset: Any, rows: slice, tuned: Any, settings: ModelSettings, **more: Any) -> Trained:
        seen.append((settings.kind, rows, settings.early_stopping_tail_sessions))
        return fit_one(dataset, rows, tuned, settings, **more)

    monkeypatch.setattr(ensemble_stacking, "fit_one", watched)
    train(dataset, EVERYTHING, TUNED, model)
    edges = [0, 133, 266, 400]  # three parts of 400 sessions; the first only trains
    inner = [slice(0, 30 * (edges[k] - 6)) for k in (1, 2)]
    assert [one[:2] for one in seen[:4]] == [(base, rows) for base in BASES for rows in inner]
    assert [one[2] for one in seen[:2]] == [int(40 * 127 / 400), int(40 * 260 / 400)]
    assert all(rows == slice(0, 30 * 400) and tail == 40 for _, rows, tail in seen[4:])


def test_labels_of_the_outer_purge_and_test_change_nothing() -> None:
    dataset, model = planted_dataset(sessions=400), settings()
    window = fold(dataset, "f", test_first=360, test_stop=400).train_rows
    label, forward = dataset.label.copy(), dataset.forward_return.copy()
    label[window.stop :], forward[window.stop :] = 5.0, -5.0
    poisoned = replace(dataset, label=label, forward_return=forward)
    assert train(dataset, window, TUNED, model) == train(poisoned, window, TUNED, model)


def test_what_lies_in_the_tail_does_not_reach_the_stack_without_a_refit() -> None:
    dataset = planted_dataset(sessions=400)
    model = settings().model_copy(update={"refit_on_tail": False, "max_rounds": 1, "threads": 1})
    head, tail = split_tail(dataset, slice(0, len(dataset.label)), 40)
    label, forward = dataset.label.copy(), dataset.forward_return.copy()
    label[head.stop :], forward[head.stop :] = -label[head.stop :], 3 - forward[head.stop :]
    poisoned = replace(dataset, label=label, forward_return=forward)
    one, two = (train(values, EVERYTHING, TUNED, model) for values in (dataset, poisoned))
    assert one.model == two.model
    assert one.tail_rank_ic == pytest.approx(-two.tail_rank_ic)
    assert tail.start > head.stop


def test_a_tail_over_every_inner_test_is_refused() -> None:
    model = settings(inner_folds=1).model_copy(update={"early_stopping_tail_sessions": 194})
    with pytest.raises(ModelError, match="the tail of 194 sessions leaves no inner test row"):
        train(planted_dataset(sessions=400), EVERYTHING, TUNED, model)


def test_the_linear_base_wins_where_the_truth_is_linear_and_the_stack_is_as_good_as_its_best() -> None:
    dataset = planted_dataset(sessions=400)
    stack = train(dataset, EVERYTHING, TUNED, settings())
    alone = {
        base: train(
            dataset, EVERYTHING, TUNED, model_settings(**{**settings().model_dump(), "kind": base, "ensemble": NONE})
        )
        for base in BASES
    }
    weights = {member.file.split("-")[0]: member.weight for member in stack.model.members}
    assert set(weights) <= set(BASES)
    assert stack.tail_rank_ic > max(one.tail_rank_ic for one in alone.values()) - 0.01
    for base in weights:
        name = next(iter(alone[base].model.texts))
        assert stack.model.texts[f"{base}-{name}"] == alone[base].model.texts[name]


def test_the_same_bytes_again_and_on_two_threads() -> None:
    dataset, model = planted_dataset(sessions=300), settings()
    one, again = (train(dataset, EVERYTHING, TUNED, model) for _ in range(2))
    two = train(dataset, EVERYTHING, TUNED, model.model_copy(update={"threads": 2}))
    assert one == again
    assert one == two


def test_a_window_too_short_for_the_inner_folds_is_refused_by_its_own_key() -> None:
    with pytest.raises(ModelError, match=r"lower model\.ensemble\.inner_folds"):
        train(planted_dataset(sessions=110), EVERYTHING, TUNED, settings(inner_folds=10))


NONE = model_settings().ensemble.model_dump()
