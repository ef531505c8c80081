"""Two providers agree within tolerances, and every disagreement is listed by kind."""

from __future__ import annotations

import pandas as pd

from ljwx_pipeline.quality.reconcile import Tolerances, reconcile
from tests.fakes.bars import random_bars

BARS = random_bars(symbols=11, sessions=120, suspended_frac=0.0)


def test_equal_tables_agree_and_so_do_factors_equal_up_to_a_constant() -> None:
    scale = BARS["symbol"].map({symbol: 1.0 + n for n, symbol in enumerate(sorted(BARS["symbol"].unique()))})
    other = BARS.sample(frac=1, random_state=0).assign(adj_factor=lambda f: f["adj_factor"] * scale)
    found = reconcile(BARS, other)
    assert found.result.passed
    assert found.matched == len(BARS)
    assert found.disagreements.empty


def test_each_kind_of_disagreement_is_listed_with_both_numbers() -> None:
    other = BARS.copy()
    other.loc[10, "close_cny"] += 0.01
    other.loc[20, "volume_shares"] *= 1.02
    other.loc[30, "amount_cny"] *= 0.9
    last = other.index[other["symbol"] == "S00001.SIM"][-3:]
    other.loc[last, "adj_factor"] *= 1.2
    other = other.drop(index=[40])
    found = reconcile(BARS.drop(index=[50]), other, names=("one house", "another"))
    assert found.counts == {"amount": 1, "factor": 3, "missing_one": 1, "missing_other": 1, "price": 1, "volume": 1}
    price = found.disagreements[found.disagreements["kind"] == "price"].iloc[0]
    assert (price["column"], price["one"]) == ("close_cny", BARS.loc[10, "close_cny"])
    assert (found.result.severity, found.result.passed) == ("warn", False)
    assert "1 missing in one house" in found.result.message
    assert "1 missing in another" in found.result.message


def test_rounding_within_tolerances_agrees_and_tolerances_can_be_set() -> None:
    other = BARS.assign(volume_shares=BARS["volume_shares"] * 1.001)
    assert reconcile(BARS, other).result.passed
    strict = reconcile(BARS, other, tolerances=Tolerances(volume_frac=1e-4))
    assert strict.result.blocks
    assert strict.counts == {"volume": len(BARS)}


def test_a_number_only_one_side_has_is_a_disagreement() -> None:
    other = BARS.copy()
    other.loc[10, "amount_cny"] = float("nan")
    assert reconcile(BARS, other).counts == {"amount": 1}
    empty = reconcile(BARS, BARS.iloc[:0])
    assert empty.result.blocks
    assert empty.counts == {"missing_other": len(BARS)}
    assert isinstance(empty.disagreements, pd.DataFrame)


def test_a_row_that_one_side_gives_twice_is_listed_and_its_first_compared() -> None:
    twice = pd.concat([BARS, BARS.iloc[[10]].assign(close_cny=1.0), BARS.iloc[[10]]], ignore_index=True)
    found = reconcile(twice, BARS, names=("one house", "another"))
    assert found.counts == {"twice_one": 1}
    assert (found.result.severity, found.matched) == ("warn", len(BARS))
    assert "1 given twice in one house" in found.result.message
    assert reconcile(BARS, twice).counts == {"twice_other": 1}
