"""What a run leaves of its study is enough to make the study again where the earlier ones are not."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from assets.made import warm_start_of
from assets.tuning import earlier_trials
from ljwx_pipeline.models.tune import StudyResult, tune
from ljwx_pipeline.studies import WarmStart
from tests.fakes.planted import planted_dataset
from tests.fakes.tuning import MODEL, TUNING, best_minus_mean, two_folds

DATASET = planted_dataset(sessions=200, symbols=20)
WARM = TUNING.model_copy(update={"warm_start": True, "seed": 9, "trials": 3})


def study(**options: Any) -> StudyResult:
    options = {"tuning": WARM, **options}
    return tune(DATASET, two_folds(DATASET), net_returns=best_minus_mean, model=MODEL, top_k=5, **options)


def recorded(made: StudyResult) -> dict[str, Any]:
    """Return what is recorded of the warm start, as JSON gives it back."""
    document = {
        "warm_start": made.warm_start,
        "trials": [asdict(trial) for trial in made.trials],
        "earlier_trials": earlier_trials(made.earlier),
    }
    found: dict[str, Any] = json.loads(json.dumps(warm_start_of(document)))
    return found


def tried(made: StudyResult) -> list[tuple[Any, ...]]:
    return [(trial.params, trial.rank_ic, trial.origin, trial.returns_sha256) for trial in made.trials]


def test_a_study_with_a_warm_start_is_made_again_without_the_study_it_came_from(tmp_path: Path) -> None:
    earlier = study(tuning=TUNING, journal=tmp_path / "journal.log")
    made = study(journal=tmp_path / "journal.log")
    warm = recorded(made)
    assert (warm["study"], warm["params"]) == (earlier.name, earlier.best_params)
    assert [trial["session_sharpe"] for trial in warm["earlier_trials"]] == [
        trial.session_sharpe for trial in earlier.trials
    ]
    again = study(journal=tmp_path / "another.log", warm=WarmStart(warm["study"], warm["params"]))
    assert tried(again) == tried(made)
    assert (again.name, again.warm_start) == (made.name, earlier.name)
    assert tried(study(journal=tmp_path / "third.log")) != tried(made)


def test_a_study_of_one_trial_has_no_time_for_its_warm_start(tmp_path: Path) -> None:
    earlier = study(tuning=TUNING, journal=tmp_path / "journal.log")
    one = WARM.model_copy(update={"trials": 1})
    made = study(tuning=one, journal=tmp_path / "journal.log")
    warm = recorded(made)
    assert (warm["study"], warm["params"], len(warm["earlier_trials"])) == (earlier.name, {}, len(earlier.trials))
    again = study(tuning=one, journal=tmp_path / "another.log", warm=WarmStart(warm["study"], warm["params"]))
    assert tried(again) == tried(made)


def test_a_study_without_a_warm_start_records_none(tmp_path: Path) -> None:
    assert recorded(study(tuning=TUNING, journal=tmp_path / "journal.log")) == {}
    assert recorded(study(journal=tmp_path / "new.log")) == {}
