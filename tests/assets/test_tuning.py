"""What the log says of a trial: the number it has everywhere, of as many as are really made."""

from __future__ import annotations

from types import SimpleNamespace

from assets.tuning import trial_line
from ljwx_pipeline.models.tune import trials_asked
from tests.fakes.tuning import MODEL, TUNING


def test_a_trial_is_told_by_its_number_from_0_of_those_that_are_made() -> None:
    trial = SimpleNamespace(number=2, state="complete", rank_ic=0.1, pruned_after_fold=None)
    assert trial_line(trial, 12) == "trial 2, of 0 to 11: rank IC 0.1000"
    pruned = SimpleNamespace(number=0, state="pruned", rank_ic=0.1, pruned_after_fold="a")
    assert trial_line(pruned, 1) == "trial 0, the only one: rank IC 0.1000, given up after fold a"


def test_a_linear_model_is_tried_once() -> None:
    assert trials_asked(MODEL, TUNING) == TUNING.trials > 1
    assert trials_asked(MODEL.model_copy(update={"kind": "linear"}), TUNING) == 1
