"""Steps of a pipeline: what is known when training stops, and the edges of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ljwx_pipeline.factors.leaks.pipeline_checks import (
    PURGE_SESSIONS,
    Table,
    judge_choice,
    judge_split,
    judge_transform,
    sample_table,
)
from ljwx_pipeline.factors.leaks.synthetic import synthetic_market


@pytest.fixture(scope="module")
def table() -> Table:
    return sample_table(synthetic_market())


def test_labels_are_the_five_session_return_entered_at_the_next_close(table: Table) -> None:
    panel = synthetic_market().panel
    row = table.labels.dropna().iloc[1000]
    at, day = panel.symbols.index(row["symbol"]), int(panel.sessions.get_loc(row["session_date"]))
    close = panel.fields["close"]
    assert row["forward_return"] == close[at, day + 6] / close[at, day + 1] - 1
    assert table.labels["label"].between(-0.5, 0.5).sum() == table.labels["forward_return"].notna().sum()


@pytest.mark.parametrize(("gap", "caught"), [(PURGE_SESSIONS - 1, {"label-overlap"}), (PURGE_SESSIONS, set())])
def test_a_model_may_learn_from_labels_known_when_training_stops_and_from_no_later_one(
    gap: int, caught: set[str], table: Table
) -> None:
    def predict(given: Mapping[str, Any]) -> pd.Series:
        features, labels = given["features"], given["labels"]
        last = table.sessions[table.stop - gap]
        learned = float(labels.loc[labels["session_date"] <= last, "forward_return"].mean())
        tested = features[features["session_date"] >= given["train_stop"]]
        return (tested["return_5"] * learned).rename("score")

    found = judge_transform("predict", predict, table, scores=True)
    assert {finding.kind for finding in found} == caught


def test_a_choice_between_parameters_is_seen_to_move_with_tested_labels(table: Table) -> None:
    def choose(given: Mapping[str, Any]) -> dict[str, float]:
        labels = given["labels"]
        tested = labels[labels["session_date"] >= given["train_stop"]]
        return {"shrinkage": 0.1 if tested["forward_return"].mean() > 0 else 0.9}

    (finding,) = judge_choice("choose", choose, table)
    assert finding.kind == "test-rows"
    assert {finding.before, finding.after} == {0.1, 0.9}


def test_a_choice_that_looks_at_nothing_later_stands(table: Table) -> None:
    def choose(given: Mapping[str, Any]) -> dict[str, float]:
        labels = given["labels"]
        known = labels[labels["session_date"] <= table.sessions[table.stop - PURGE_SESSIONS]]
        return {"mean": float(known["forward_return"].mean())}

    assert judge_choice("choose", choose, table) == []


@pytest.mark.parametrize(("purge", "caught"), [(0, {"label-overlap"}), (5, {"label-overlap"}), (6, set())])
def test_a_walk_forward_split_needs_the_labels_whole_reach_between_training_and_test(
    purge: int, caught: set[str], table: Table
) -> None:
    def split(given: Mapping[str, Any]) -> list[tuple[Any, Any]]:
        sessions = given["sessions"]
        # the last training label must be known at the first tested session
        return [(sessions[: 100 - purge + 1], sessions[100:150])] if purge else [(np.arange(100), np.arange(100, 150))]

    found = judge_split("split", split, table)
    assert {finding.kind for finding in found} == caught
    if found:
        assert found[0].before < PURGE_SESSIONS


def test_a_session_on_both_sides_is_named(table: Table) -> None:
    found = judge_split("split", lambda given: [(np.arange(50), np.arange(40, 60))], table)
    assert {finding.kind for finding in found} == {"test-rows", "label-overlap"}
