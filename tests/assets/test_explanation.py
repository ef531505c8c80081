"""What the explanation's asset reads and says: the folds' models as the walk forward kept them, and its tables."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from assets.explanation import leading, stability_metrics
from assets.folds import KeptFold, kept_models
from assets.io_managers import write_json
from ljwx_pipeline.errors import LakeError
from ljwx_pipeline.scoring.model import Member, Model
from tests.fakes.bundles import tiny_booster


def keep(tables: Path, fold: str, text: str) -> None:
    folder = tables / "folds" / fold
    (folder / "model").mkdir(parents=True)
    (folder / "model" / "model.txt").write_text(text)
    (folder / "members.json").write_text(json.dumps({"members": [asdict(Member("model.txt"))], "group_by": "none"}))


def join(tables: Path, *folds: str) -> None:
    """What the walk forward leaves of the folds that it joined."""
    models = {fold: KeptFold(tables / "folds" / fold, {}).model_hash() for fold in folds}
    write_json(tables, "walk_forward_folds", {"folds": [{"name": fold} for fold in folds], "models": models})


def test_the_folds_models_are_those_of_the_last_walk_forward_in_its_order(tmp_path: Path) -> None:
    for fold, seed in (("2022", 1), ("2021", 0), ("2019", 2)):
        keep(tmp_path, fold, tiny_booster(seed=seed))
    join(tmp_path, "2022", "2021")
    found = kept_models(tmp_path)
    assert list(found) == ["2022", "2021"]
    rows = np.ones((3, 4), dtype=np.float32)
    assert np.array_equal(found["2021"].predict(rows).score, Model.of_booster(tiny_booster(seed=0)).predict(rows).score)


@pytest.mark.parametrize("what", ["another text", "another member", "gone", "never told"])
def test_a_model_that_is_not_the_one_whose_scores_were_joined_is_refused(tmp_path: Path, what: str) -> None:
    keep(tmp_path, "2021", tiny_booster(seed=0))
    join(tmp_path, "2021")
    folder = tmp_path / "folds" / "2021"
    if what == "another text":
        (folder / "model" / "model.txt").write_text(tiny_booster(seed=1))
    elif what == "another member":
        members = [asdict(Member("model.txt", weight=-1.0))]
        (folder / "members.json").write_text(json.dumps({"members": members, "group_by": "none"}))
    elif what == "gone":
        shutil.rmtree(folder)
    else:
        write_json(tmp_path, "walk_forward_folds", {"folds": [{"name": "2021"}]})
    with pytest.raises(LakeError, match=r"the model of fold 2021 .* is not the one whose scores were joined"):
        kept_models(tmp_path)


def test_stability_is_said_of_two_folds_and_more_alone() -> None:
    assert stability_metrics(pd.DataFrame()) == {}
    assert stability_metrics(pd.DataFrame({"rank_correlation": [np.nan]})) == {}
    found = stability_metrics(pd.DataFrame({"rank_correlation": [0.5, 0.9]}))
    assert found == {"shap.fold_stability_mean": pytest.approx(0.7), "shap.fold_stability_min": 0.5}


def test_a_page_shows_the_leading_factors_of_every_part() -> None:
    table = pd.DataFrame({"part": ["a"] * 5 + ["b"] * 5, "rank": [1, 2, 3, 4, 5] * 2})
    assert leading(table)["part"].tolist() == ["a"] * 3 + ["b"] * 3
