"""The explanation finds the planted factor, adds up to the score, repeats itself and draws real pictures."""

from __future__ import annotations

import struct
from pathlib import Path

import lightgbm as lgb
import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

from ljwx_pipeline.errors import ModelError
from ljwx_pipeline.models.explain import DOTS_PER_IN, HEIGHT_IN, LETTERS_PT, WIDTH_IN, Explanation, explain
from tests.fakes.bundles import tiny_booster

NAMES = ("A", "B", "C", "D")
FEATURES = np.random.default_rng(0).standard_normal((300, 4)).astype(np.float32)


def explained(**more: object) -> Explanation:
    options = {"sample_rows": 100, "seed": 7, "threads": 1, **more}
    return explain(tiny_booster(), FEATURES, NAMES, **options)  # type: ignore[arg-type]


def test_the_factor_that_was_planted_leads_the_table() -> None:
    found = explained()
    assert found.table["factor"].iloc[0] == "A"
    assert found.table["share_frac"].iloc[0] > 0.9
    assert found.table["share_frac"].sum() == pytest.approx(1.0)
    assert found.table["mean_abs_shap"].is_monotonic_decreasing
    assert set(found.table["factor"]) == set(NAMES)
    assert (found.sample_rows, found.images) == (100, ())


def test_the_values_are_those_of_the_tree_explainer() -> None:
    import shap

    booster = lgb.Booster(model_str=tiny_booster())
    values = shap.TreeExplainer(booster).shap_values(FEATURES)
    found = explained(sample_rows=1000).table.set_index("factor")["mean_abs_shap"]
    assert found[list(NAMES)].to_numpy() == pytest.approx(np.abs(values).mean(axis=0), abs=1e-12)


def test_the_sample_is_seeded() -> None:
    assert explained().table.equals(explained().table)
    assert not explained().table.equals(explained(seed=8).table)


def test_a_model_that_learned_nothing_shares_nothing() -> None:
    flat = lgb.train({"verbosity": -1, "min_data_in_leaf": 1000}, lgb.Dataset(FEATURES, np.ones(300)), 1)
    found = explain(flat.model_to_string(), FEATURES, NAMES, sample_rows=50, seed=0, threads=1)
    assert found.table["share_frac"].tolist() == [0.0] * 4
    assert found.table["factor"].tolist() == list(NAMES)


def test_pictures_are_written_whole(tmp_path: Path) -> None:
    found = explained(images_dir=tmp_path / "shap")
    assert [path.name for path in found.images] == ["shap_bar.png", "shap_beeswarm.png"]
    assert sorted(p.name for p in (tmp_path / "shap").iterdir()) == ["shap_bar.png", "shap_beeswarm.png"]
    for path in found.images:
        assert path.read_bytes().startswith(b"\x89PNG")
        assert path.stat().st_size > 5000
        width, height = struct.unpack(">II", path.read_bytes()[16:24])
        assert (width, height) == (round(WIDTH_IN * DOTS_PER_IN), round(HEIGHT_IN * DOTS_PER_IN)), "one scale for all"


def test_every_letter_of_a_picture_has_one_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[set[float]] = []

    def saved(figure: Figure, *_: object, **__: object) -> None:
        sizes.append({text.get_fontsize() for text in figure.findobj(Text)})  # type: ignore[attr-defined]

    monkeypatch.setattr(Figure, "savefig", saved)
    explained(images_dir=tmp_path)
    assert sizes == [{LETTERS_PT}, {LETTERS_PT}]


@pytest.mark.parametrize("features", [FEATURES[:, :3], FEATURES[:0], FEATURES[0]])
def test_rows_of_another_width_or_none_are_refused(features: np.ndarray) -> None:
    with pytest.raises(ModelError, match="cannot be explained"):
        explain(tiny_booster(), features, NAMES, sample_rows=10, seed=0, threads=1)
