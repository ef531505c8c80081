"""Results of two research runs, of two datasets or of two walk forwards are never joined, bundled or promoted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from assets.bundle import model_bundle
from assets.datasets import save_dataset
from assets.evaluation import champion_model, evaluation_report, promotion_decision
from assets.io_managers import read_json, write_json
from assets.judged_settings import settings_mark
from assets.left_behind import backtest_mark
from assets.origin import decision_hash, origin_of, origin_of_predictions, require_one_decision, require_same_origin
from assets.resources import Line
from assets.tracking import SHARED_TAGS, begin_research_run, champion_record
from ljwx_pipeline.errors import PromotionError
from ljwx_pipeline.lake.content_hash import content_hash
from tests.fakes.left_backtest import TOLD, leave_backtest
from tests.fakes.mlflow_home import registry_in
from tests.fakes.planted import planted_dataset

ROOT = Path(__file__).resolve().parents[2]
TAGS = dict.fromkeys(SHARED_TAGS, "of the test")
PREDICTIONS = pd.DataFrame({"symbol": ["600000.SH"], "score": [0.5]})
Documents = dict[str, dict[str, Any]]


@pytest.fixture
def line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Line:
    """A line with a dataset and a walk forward on it, in a research run."""
    monkeypatch.setenv("LJWX_HOME", str(tmp_path))
    monkeypatch.setenv("LJWX_CONFIG", str(ROOT / "ljwx.toml"))
    registry_in(tmp_path)
    line = Line()
    dataset = planted_dataset(sessions=30)
    save_dataset(line.tables, dataset)
    begin_research_run(line, tags={**TAGS, "dataset_hash": dataset.hash}, params={})
    walked = {"folds": [], "dataset_hash": dataset.hash, "predictions_hash": content_hash(PREDICTIONS)}
    write_json(line.tables, "walk_forward_folds", {**walked, "settings": settings_mark(line.settings)})
    leave_backtest(line.tables, origin_of_predictions(line, PREDICTIONS))
    return line


@pytest.fixture
def made(line: Line) -> Documents:
    """What training, decision and bundle leave of one research."""
    origin = origin_of(line)
    judged = {**origin, **backtest_mark(line.tables, TOLD)}
    decision = {"decision": "promoted", "reasons": [], "measured": {"rank_ic_mean": 0.05}, **judged}
    bundle = {"bundle_hash": "b" * 64, "version": "1", **origin, "decision": "promoted"}
    trained = {"model_hash": "m", **{mark: origin[mark] for mark in ("research", "dataset_hash", "settings")}}
    return {
        "trained_model": trained,
        "promotion_decision": decision,
        "prediction_intervals": {"rows": 0, "reason": "too little history", **origin_of_predictions(line, PREDICTIONS)},
        "model_bundle": {**bundle, "decision_hash": decision_hash(decision)},
    }


def test_results_of_one_research_are_joined(line: Line, made: Documents) -> None:
    origin = origin_of_predictions(line, PREDICTIONS)
    assert origin_of(line) == {"research": made["trained_model"]["research"], **origin}
    require_same_origin(origin, promotion_decision=made["promotion_decision"])
    require_one_decision(line, made["promotion_decision"], made["model_bundle"])


@pytest.mark.parametrize("mark", ["research", "dataset_hash", "predictions_hash"])
@pytest.mark.parametrize("other", ["b", None])
def test_a_result_of_another_origin_is_named(line: Line, made: Documents, mark: str, other: str | None) -> None:
    foreign = {name: value for name, value in made["promotion_decision"].items() if name != mark}
    if other is not None:
        foreign[mark] = other
    with pytest.raises(PromotionError, match=rf"promotion_decision is of .* {other}, not of") as caught:
        require_same_origin(origin_of(line), promotion_decision=foreign)
    assert "ljwx run --job research" in caught.value.remedy


def test_predictions_that_the_walk_forward_did_not_leave_are_not_tested(line: Line) -> None:
    with pytest.raises(PromotionError, match="walk_forward_predictions is of walk-forward predictions"):
        origin_of_predictions(line, PREDICTIONS.assign(score=[0.6]))


def test_a_walk_forward_on_an_earlier_dataset_is_not_judged(line: Line) -> None:
    dataset = planted_dataset(sessions=30, seed=1)
    save_dataset(line.tables, dataset)
    for ask in (lambda: origin_of(line), lambda: origin_of_predictions(line, PREDICTIONS)):
        with pytest.raises(PromotionError, match="walk_forward_predictions is of training dataset"):
            ask()


def decide(line: Line, **changed: Any) -> None:
    origin = origin_of_predictions(line, PREDICTIONS)
    given = {"net_backtest": TOLD, "prediction_intervals": origin, "monitoring_reference": origin, **changed}
    promotion_decision(line=line, walk_forward_predictions=PREDICTIONS, tuned_hyperparameters={}, **given)


def test_a_backtest_of_earlier_predictions_is_not_decided_on(line: Line) -> None:
    leave_backtest(line.tables, {**origin_of_predictions(line, PREDICTIONS), "predictions_hash": "e" * 64})
    with pytest.raises(PromotionError, match="net_backtest is of walk-forward predictions eeeeeeeeeeee"):
        decide(line)


@pytest.fixture
def without_costs(line: Line) -> Line:
    """The same line where slippage costs nothing, as a page started under other settings sees it."""
    settings = line.settings
    other = Line()
    other._settings = settings.model_copy(update={"costs": settings.costs.model_copy(update={"slippage_bps": 0.0})})
    return other


def test_nothing_is_made_under_other_settings_than_the_research_began_with(line: Line, without_costs: Line) -> None:
    for ask in (lambda: origin_of(without_costs), lambda: origin_of_predictions(without_costs, PREDICTIONS)):
        with pytest.raises(PromotionError, match=r"began under other settings \(costs\.slippage_bps .*, now 0") as told:
            ask()
        assert "ljwx run --job research" in told.value.remedy
    assert origin_of(line)["settings"] == settings_mark(line.settings)


def test_evidence_made_under_other_settings_is_not_decided_on(line: Line, without_costs: Line) -> None:
    origin = origin_of_predictions(line, PREDICTIONS)
    other = {**origin, "settings": settings_mark(without_costs.settings)}
    leave_backtest(line.tables, other)
    with pytest.raises(PromotionError, match="net_backtest was made under other settings of costs"):
        decide(line)
    leave_backtest(line.tables, origin)
    for name in ("prediction_intervals", "monitoring_reference"):
        with pytest.raises(PromotionError, match=f"{name} was made under other settings of costs"):
            decide(line, **{name: other})


def test_halves_of_two_backtests_are_not_decided_on(line: Line, made: Documents) -> None:
    earlier = read_json(line.tables, "backtest_summary")
    leave_backtest(line.tables, origin_of_predictions(line, PREDICTIONS), said="two")
    write_json(line.tables, "backtest_summary", earlier)
    with pytest.raises(PromotionError, match="is not the one that net_backtest left"):
        decide(line)
    with pytest.raises(PromotionError, match="is not the one that net_backtest left"):
        require_one_decision(line, made["promotion_decision"], made["model_bundle"])


def test_a_decision_on_an_earlier_backtest_is_not_carried_out(line: Line, made: Documents) -> None:
    leave_backtest(line.tables, origin_of_predictions(line, PREDICTIONS), said="two")
    with pytest.raises(PromotionError, match="promotion_decision judged another net_backtest"):
        require_one_decision(line, made["promotion_decision"], made["model_bundle"])


def test_what_the_intervals_learned_is_theirs_or_makes_no_bundle(line: Line, made: Documents) -> None:
    given = {one: made[one] for one in ("trained_model", "promotion_decision", "prediction_intervals")}
    (line.tables / "interval_state.json").write_text("{}")
    with pytest.raises(PromotionError, match=r"interval_state\.json is not the one that prediction_intervals left"):
        model_bundle(line=line, monitoring_reference=origin_of_predictions(line, PREDICTIONS), **given)


@pytest.mark.parametrize(
    "name", ["trained_model", "promotion_decision", "prediction_intervals", "monitoring_reference"]
)
def test_a_bundle_is_made_under_one_configuration(line: Line, without_costs: Line, made: Documents, name: str) -> None:
    given = {one: made[one] for one in ("trained_model", "promotion_decision", "prediction_intervals")}
    given["monitoring_reference"] = origin_of_predictions(line, PREDICTIONS)
    given[name] = given[name] | {"settings": settings_mark(without_costs.settings)}
    with pytest.raises(PromotionError, match=f"{name} was made under other settings of costs"):
        model_bundle(line=line, **given)


@pytest.mark.parametrize(
    "name", ["trained_model", "promotion_decision", "prediction_intervals", "monitoring_reference"]
)
def test_a_bundle_is_made_of_one_dataset(line: Line, made: Documents, name: str) -> None:
    given = {one: made[one] for one in ("trained_model", "promotion_decision", "prediction_intervals")}
    given["monitoring_reference"] = origin_of_predictions(line, PREDICTIONS)
    given[name] = given[name] | {"dataset_hash": "e" * 64}
    with pytest.raises(PromotionError, match=f"{name} is of training dataset eeeeeeeeeeee"):
        model_bundle(line=line, **given)
    assert not (line.home / "bundles").exists()


def changed(made: Documents, what: str) -> Documents:
    """A decision and a bundle that do not belong together."""
    decision, bundle = made["promotion_decision"], made["model_bundle"]
    if what == "decision":
        return {"promotion_decision": decision | {"decision": "refused"}, "model_bundle": bundle}
    if what == "measured":
        return {"promotion_decision": decision | {"measured": {"rank_ic_mean": np.pi}}, "model_bundle": bundle}
    if what == "bundle of another research":
        return {"promotion_decision": decision, "model_bundle": bundle | {"research": "b"}}
    return {"promotion_decision": decision | {"research": "b"}, "model_bundle": bundle}


@pytest.mark.parametrize("what", ["decision", "measured", "bundle of another research", "decision of another research"])
def test_no_bundle_is_promoted_or_reported_by_another_decision(line: Line, made: Documents, what: str) -> None:
    import dagster as dg

    given = changed(made, what)
    with pytest.raises(PromotionError, match=r"model_bundle carries a decision|is of research b"):
        champion_model(dg.build_asset_context(), line=line, **given)
    assert champion_record(line).lines(line.registered_model) == []
    with pytest.raises(PromotionError, match=r"model_bundle carries a decision|is of research b"):
        evaluation_report(
            line=line,
            walk_forward_predictions=PREDICTIONS,
            net_backtest=pd.DataFrame(),
            checked_bars=pd.DataFrame(),
            **given,
        )
    assert not (line.home / "report").exists()
