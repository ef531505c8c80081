"""The catalogue: refusals, and a version hash that follows every change."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from ljwx_pipeline.errors import FactorError
from ljwx_pipeline.expressions.evaluate import evaluate
from ljwx_pipeline.expressions.operators import field, mean, ref
from ljwx_pipeline.factors import catalogue as module
from ljwx_pipeline.factors.alpha158 import alpha158
from ljwx_pipeline.factors.catalogue import catalogue
from tests.fakes.panels import random_panel

CLOSE = field("close")


def test_a_factor_that_looks_ahead_is_refused_by_name() -> None:
    with pytest.raises(FactorError, match="factor TOMORROW looks 1 sessions ahead"):
        catalogue("mine", [("MA5", mean(CLOSE, 5)), ("TOMORROW", ref(CLOSE, -1) / CLOSE)])


def test_a_look_ahead_hidden_under_a_window_is_refused() -> None:
    with pytest.raises(FactorError, match="CENTRED"):
        catalogue("mine", [("CENTRED", ref(mean(CLOSE, 5), -2))])


def test_two_factors_of_one_name_are_refused() -> None:
    with pytest.raises(FactorError, match="two factors are called MA5"):
        catalogue("mine", [("MA5", mean(CLOSE, 5)), ("MA5", mean(CLOSE, 6))])


def test_an_empty_catalogue_is_refused() -> None:
    with pytest.raises(FactorError, match="empty"):
        catalogue("mine", [])


def test_window_and_inputs_are_the_widest_of_all_factors() -> None:
    mine = catalogue("mine", [("MA5", mean(CLOSE, 5)), ("V", mean(field("volume"), 9))])
    assert mine.window == 9
    assert mine.inputs == {"close", "volume"}


def test_the_version_hash_follows_name_order_expression_and_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = ("A", mean(CLOSE, 5)), ("B", mean(CLOSE, 6))
    hashes = {
        catalogue("mine", pairs).version_hash
        for pairs in ([one, two], [two, one], [one], [("C", one[1]), two], [one, ("B", mean(CLOSE, 7))])
    }
    before = catalogue("mine", [one, two]).version_hash
    monkeypatch.setattr(module, "SEMANTICS_VERSION", module.SEMANTICS_VERSION + 1)
    hashes.add(catalogue("mine", [one, two]).version_hash)
    assert len(hashes) == 6
    assert before in hashes


def test_the_shipped_catalogue_keeps_its_hash() -> None:
    # another hash is another factor version: every bundle trained before it is refused
    assert alpha158().version_hash[:16] == "0103c755e43adc33"


def test_the_kernels_give_the_bits_of_this_semantics_version() -> None:
    values = evaluate(alpha158().expressions, random_panel(symbols=3, sessions=130))
    # the logarithm may differ in its last bit between C libraries: factors of it are left out
    kept = [values.of(name) for name in values.names if not name.startswith("COR")]
    digest = hashlib.sha256(b"".join(np.where(np.isnan(v), np.float32(-1e30), v).tobytes() for v in kept)).hexdigest()
    assert digest[:16] == "eb9f9a3c73aa193f", (
        "the kernels changed a value: raise SEMANTICS_VERSION, then pin the new digest"
    )
