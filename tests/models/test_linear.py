"""The ridge baseline is the minimiser it says it is, to the same byte whatever adds up its sums."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from ljwx_pipeline.config import ModelSettings
from ljwx_pipeline.models import linear
from ljwx_pipeline.models.fit import fit_one
from ljwx_pipeline.models.linear import CLIP_SIGMAS, SIGMA_OF_IQR
from tests.fakes.model_settings import model_settings
from tests.fakes.planted import planted_dataset

EVERYTHING = slice(0, None)
#: Prints the SHA-256 of a ridge regression over 60 factors: wide enough for a BLAS to share out.
SCRIPT = """
import hashlib
from ljwx_pipeline.models.fit import fit_one
from tests.fakes.model_settings import model_settings
from tests.fakes.planted import planted_dataset
model = model_settings(kind="linear", recency_half_life_sessions=100)
trained = fit_one(planted_dataset(factors=60), slice(0, None), {}, model, rounds=1)
print(hashlib.sha256(trained.model.texts["model.json"].encode()).hexdigest())
"""


@pytest.fixture
def model() -> ModelSettings:
    return model_settings(kind="linear", early_stopping_tail_sessions=60)


def test_it_is_the_closed_form_of_the_definition(model: ModelSettings) -> None:
    dataset = planted_dataset()
    weight = np.random.default_rng(4).uniform(0.5, 1.5, len(dataset.label))
    known = np.isfinite(dataset.label)
    fitted = fit_one(dataset, EVERYTHING, {}, model, weight=weight, rounds=1)
    features = dataset.features[known].astype(np.float64)
    low, center, high = np.nanquantile(features, [0.25, 0.5, 0.75], axis=0)
    standard = np.nan_to_num((features - center) / ((high - low) * SIGMA_OF_IQR))
    standard = np.clip(standard, -CLIP_SIGMAS, CLIP_SIGMAS)
    w, y = weight[known] / weight[known].sum(), dataset.label[known].astype(np.float64)
    mean, mean_y = w @ standard, w @ y
    x = standard - mean
    slopes = np.linalg.solve(
        (x * w[:, None]).T @ x + model.ridge_penalty * np.eye(6), (x * w[:, None]).T @ (y - mean_y)
    )
    expected = standard @ slopes + mean_y - mean @ slopes
    got = fitted.model.predict(dataset.features[known]).score
    np.testing.assert_allclose(got, expected, atol=2e-4)  # features, targets and weights stand on a grid


def test_a_larger_penalty_gives_smaller_coefficients(model: ModelSettings) -> None:
    spans = []
    for penalty in (1e-6, 1.0, 1e6):
        changed = model.model_copy(update={"ridge_penalty": penalty})
        scores = fit_one(planted_dataset(), EVERYTHING, {}, changed).model.predict(planted_dataset().features).score
        spans.append(scores.max() - scores.min())
    assert spans[0] > 1.5 * spans[1] > spans[1] > 1000 * spans[2]


@pytest.mark.parametrize("threads", ["1", "2"])
def test_the_bytes_do_not_depend_on_the_threads_of_the_blas(threads: str) -> None:
    limits = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), threads)
    command = [sys.executable, "-c", SCRIPT]
    said = subprocess.run(command, env={**os.environ, **limits}, capture_output=True, text=True, check=True)
    namespace: dict[str, object] = {}
    code = SCRIPT.replace("print(", "found = (")
    exec(code, namespace)  # the same few lines, with however many threads this process has
    assert said.stdout.strip() == namespace["found"]


def test_the_bytes_do_not_depend_on_the_order_of_the_sums(
    model: ModelSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = fit_one(planted_dataset(), EVERYTHING, {}, model)
    monkeypatch.setattr(linear, "_CHUNK_ROWS", 997)
    assert fit_one(planted_dataset(), EVERYTHING, {}, model) == whole


def test_a_missing_value_stands_at_the_median_and_an_outlier_is_cut_off(model: ModelSettings) -> None:
    dataset = planted_dataset()
    fitted = fit_one(dataset, EVERYTHING, {}, model)
    median = np.nanmedian(dataset.features[np.isfinite(dataset.label)].astype(np.float64), axis=0)
    rows = np.stack([np.full(6, np.nan), median, np.full(6, 50.0), np.full(6, np.inf)]).astype(np.float32)
    missing, middle, far, infinite = fitted.model.predict(rows).score
    assert missing == pytest.approx(middle, abs=1e-6)
    assert far == infinite


def test_a_feature_that_never_varies_or_is_never_known_has_no_say(model: ModelSettings) -> None:
    dataset = planted_dataset()
    features = dataset.features.copy()
    features[:, 3], features[:, 4] = 7.0, np.nan
    fitted = fit_one(replace(dataset, features=features), EVERYTHING, {}, model)
    other = features[:200].copy()
    other[:, 3:5] = -1.0
    np.testing.assert_array_equal(fitted.model.predict(other).score, fitted.model.predict(features[:200]).score)


def test_a_feature_mostly_of_one_value_is_scaled_by_its_deviation(model: ModelSettings) -> None:
    dataset = planted_dataset()
    rare = (np.random.default_rng(9).uniform(size=len(dataset.label)) < 0.05).astype(np.float32)
    features = dataset.features.copy()
    features[:, 5] = rare
    label = np.where(rare > 0, np.float32(0.4), dataset.label)
    fitted = fit_one(replace(dataset, features=features, label=label), EVERYTHING, {}, model)
    rows = np.zeros((2, 6), dtype=np.float32)
    rows[1, 5] = 1.0
    without, having = fitted.model.predict(rows).score
    assert having - without > 0.2
