"""A model's score is the weighted sum of its members, bit for bit what each says alone, whatever else is asked."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Callable

import lightgbm as lgb
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ljwx_pipeline.errors import ModelError
from ljwx_pipeline.scoring.model import NO_GROUP, Member, Model, linear_text
from tests.fakes.bundles import tiny_booster

A, B = tiny_booster(seed=0), tiny_booster(seed=1)
LINE = linear_text(np.zeros(4), np.full(4, 2.0), np.array([1.0, 0.0, -0.5, 0.25]), intercept=0.5, clip=3.0)


def rows(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((count, 4)).astype(np.float32)


def alone(text: str, features: np.ndarray) -> np.ndarray:
    return np.asarray(lgb.Booster(model_str=text).predict(features, num_threads=1))


def test_one_booster_says_what_it_says() -> None:
    features = rows(50)
    found = Model.of_booster(A).predict(features)
    assert np.array_equal(found.score, alone(A, features))
    assert found.lower is None
    assert found.upper is None


def test_members_are_summed_with_their_weights_and_bands_apart() -> None:
    members = (Member("a", weight=0.25), Member("b", weight=0.75), Member("b2", output="lower"))
    found = Model(members, {"a": A, "b": B, "b2": B}).predict(rows(30))
    assert np.array_equal(found.score, 0.25 * alone(A, rows(30)) + 0.75 * alone(B, rows(30)))
    assert found.lower is not None
    assert np.array_equal(found.lower, np.minimum(alone(B, rows(30)), found.score))
    assert found.upper is None


def test_a_band_that_would_cross_the_score_ends_at_it() -> None:
    members = (Member("a"), Member("b", output="lower"), Member("b2", output="upper"))
    found = Model(members, {"a": A, "b": B, "b2": B}).predict(rows(300))
    assert found.lower is not None
    assert found.upper is not None
    assert np.array_equal(found.score, alone(A, rows(300)))
    above = alone(B, rows(300)) > found.score
    assert 0 < above.sum() < 300
    assert np.array_equal(found.lower == found.score, above | (alone(B, rows(300)) == found.score))
    assert np.array_equal(found.upper[above], alone(B, rows(300))[above])
    assert (found.lower <= found.score).all()
    assert (found.score <= found.upper).all()


def test_a_group_s_own_members_score_its_rows_and_the_others_the_rest() -> None:
    features, groups = rows(40), np.arange(40, dtype=np.int32) % 4 - 1
    model = Model((Member("all"), Member("two", group=2)), {"all": A, "two": B}, group_by="industry")
    expected = np.where(groups == 2, alone(B, features), alone(A, features))
    assert np.array_equal(model.predict(features, groups).score, expected)
    assert (groups == NO_GROUP).any()


def test_a_grouped_model_without_groups_is_refused() -> None:
    model = Model((Member("all"), Member("two", group=2)), {"all": A, "two": B}, group_by="industry")
    with pytest.raises(ModelError, match="by industry and was given no groups"):
        model.predict(rows(3))


def test_a_linear_member_standardises_clips_and_puts_the_missing_at_their_centre() -> None:
    features = np.array([[2, 9, np.nan, 4], [-100, np.nan, np.inf, 0]], dtype=np.float32)
    found = Model((Member("line", kind="linear"),), {"line": LINE}).predict(features).score
    assert found.tolist() == [0.5 + 1.0 + 0.0 + 0.5, 0.5 - 3.0 - 1.5]


@given(st.integers(1, 30), st.integers(0, 29), st.integers(1, 2))
@settings(max_examples=30, deadline=None)
def test_a_row_s_bits_depend_on_nothing_but_the_row(count: int, at: int, threads: int) -> None:
    members = (Member("a", weight=0.3), Member("line", kind="linear", weight=0.7))
    model = Model(members, {"a": A, "line": LINE})
    features = rows(30, seed=3)
    chosen = features[at % count : at % count + 1]
    whole = model.predict(features[:count], threads=threads).score
    assert model.predict(chosen).score[0] == whole[at % count]


@pytest.mark.parametrize(
    ("members", "texts", "fact"),
    [
        ((Member("a"),), {"b": A}, "not the same"),
        ((Member("a", output="lower"),), {"a": A}, "scores every row"),
        ((Member("a", group=1),), {"a": A}, "scores every row"),
        ((Member("a"),), {"a": "tree of life"}, "not a LightGBM model"),
        ((Member("a", kind="linear"),), {"a": A}, "not a linear model"),
        ((Member("a"), Member("b")), {"a": A, "b": tiny_booster(factors=3)}, "take 3 and 4 features"),
    ],
)
def test_what_is_no_model_is_refused(members: tuple[Member, ...], texts: dict[str, str], fact: str) -> None:
    with pytest.raises(ModelError, match=fact):
        Model(members, texts)


def test_a_linear_text_with_a_scale_of_zero_is_refused() -> None:
    text = linear_text(np.zeros(2), np.array([1.0, 0.0]), np.ones(2), intercept=0.0, clip=3.0)
    with pytest.raises(ModelError, match="a scale is not positive"):
        Model((Member("line", kind="linear"),), {"line": text})


def test_features_of_another_width_are_refused() -> None:
    with pytest.raises(ModelError, match=r"shape \(2, 3\), the model expects \(rows, 4\)"):
        Model.of_booster(A).predict(np.zeros((2, 3), dtype=np.float32))


CUT_AT_EVERY_BYTE = """
import sys
from ljwx_pipeline.errors import ModelError
from ljwx_pipeline.scoring.model import Model

text, opened = sys.stdin.read(), []
for end in range(len(text)):
    try:
        opened.append((end, Model.of_booster(text[:end]).booster("model.txt").num_trees()))
    except ModelError:
        continue
print(opened)
"""


def test_a_booster_cut_anywhere_is_refused_or_has_all_its_trees_and_never_ends_the_process() -> None:
    text = tiny_booster()
    command = [sys.executable, "-c", CUT_AT_EVERY_BYTE]
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-500:]
    opened = dict(ast.literal_eval(done.stdout.splitlines()[-1]))
    assert set(opened.values()) == {5}
    assert min(opened) > text.index("end of trees")
    assert text.index("end of parameters") - 1 not in opened


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda text: text.replace("tree_sizes", "tree_size"), "counts no trees"),
        (lambda text: text.replace("Tree=3", "Tree=4"), "tree 3 of 5 is not where its size says"),
        (lambda text: text.replace("Tree=1\n", "Tree=1\n\n"), "tree 2 of 5 is not where its size says"),
        (lambda text: text.replace("end of trees", "end of tree"), "does not end after its 5 trees"),
        (lambda text: text[: text.index("[num_gpu")], "parameters do not end"),
    ],
)
def test_a_booster_of_other_trees_than_it_counts_is_refused(damage: Callable[[str], str], said: str) -> None:
    with pytest.raises(ModelError, match=rf"model\.txt is not a LightGBM model \(.*{said}"):
        Model.of_booster(damage(tiny_booster()))


def test_a_booster_of_no_tree_is_one() -> None:
    data = lgb.Dataset(rows(40), rows(40)[:, 0].copy())
    empty = lgb.Booster({"verbosity": -1}, data.construct())
    assert empty.num_trees() == 0
    assert Model.of_booster(empty.model_to_string()).width == 4
