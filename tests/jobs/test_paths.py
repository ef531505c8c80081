"""`ljwx models paths` in a small home: what it trains, counts, records, keeps, prints and refuses."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from jobs.paths import paths
from ljwx_pipeline.backtest.trial_ledger import LEDGER_FILE, TrialLedger
from ljwx_pipeline.config import ljwx_home, load_settings, market_name, registered_model
from ljwx_pipeline.errors import ConfigError, DatasetError, LjwxError
from ljwx_pipeline.experiment_commands import MAIN_METRICS
from ljwx_pipeline.label import label_hash
from ljwx_pipeline.registry import Registry, open_registry
from ljwx_pipeline.reproduction.record import CONFIG, ENVIRONMENT, MADE, SETTINGS
from ljwx_pipeline.scoring.signing import public_key_of
from ljwx_pipeline.tracking import SHARED_TAGS, open_tracker
from tests.fakes.bundles import tiny_bundle
from tests.fakes.paths_home import STUDY, TUNED, finished_home
from tests.fakes.sweeps import STUDY_SHARPES

KEY = Ed25519PrivateKey.from_private_bytes(bytes(32))
Asked = Callable[..., dict[str, Any]]


@pytest.fixture
def market(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return finished_home(tmp_path / "home", monkeypatch)


@pytest.fixture
def asked(market: Path, capsys: pytest.CaptureFixture[str]) -> Asked:
    """What the command prints as JSON."""

    def ask(version: str | None = None, *, groups: int = 4, tested: int = 2, dry_run: bool = False) -> dict[str, Any]:
        assert paths(load_settings(profile="simulated"), options(version, groups, tested, dry_run)) == 0
        found: dict[str, Any] = json.loads(capsys.readouterr().out)
        return found

    return ask


def options(
    version: str | None = None, groups: int = 4, tested: int = 2, dry_run: bool = False, as_json: bool = True
) -> argparse.Namespace:
    return argparse.Namespace(version=version, groups=groups, tested=tested, dry_run=dry_run, json=as_json)


def counted(market: Path) -> list[str]:
    return [trial.kind for trial in TrialLedger(market / LEDGER_FILE).trials()]


def registry() -> Registry:
    return open_registry(load_settings(profile="simulated").mlflow, home=ljwx_home())


def test_paths_are_measured_counted_recorded_and_kept(market: Path, asked: Asked) -> None:
    body = asked()
    assert (body["splits"], body["number_of_paths"], body["trained_now"]) == (6, 3, 6)
    assert [row["name"] for row in body["paths"]] == ["path 1", "path 2", "path 3"]
    for row in (body["walk_forward"], *body["paths"]):
        assert row["rank_ic_lower"] < row["rank_ic"] < row["rank_ic_upper"]
        assert row["rank_ic"] > 0.2, "of the planted factor"
    rank_ics = sorted(row["rank_ic"] for row in body["paths"])
    assert len(set(rank_ics)) == 3
    assert body["spread"] == {
        "least": rank_ics[0],
        "median": rank_ics[1],
        "most": rank_ics[2],
        "at_or_below_zero_frac": 0.0,
    }
    assert {row["sessions"] for row in body["paths"]} == {480 - 6}, "every session whose label is known"
    assert body["walk_forward"]["sessions"] < 480 - 6
    # the walk forward and each path: a trial each, with the returns it was counted by
    trials = TrialLedger(market / LEDGER_FILE).trials_of(body["hashes"]["family"])
    assert [trial.kind for trial in trials] == ["compare"] * 4
    assert len({trial.evidence for trial in trials}) == 4
    assert all((market / "sweeps" / "results" / trial.returns_file).exists() for trial in trials)
    assert body["trials_of_family"] == 4 + len(STUDY_SHARPES)

    page = Path(body["page"]).read_text(encoding="utf-8")
    assert page.count("<svg") == 2
    assert "SIMULATED" in page
    assert "no path is a forecast" in page

    runs = {kind: registry().views(kind=kind, limit=20) for kind in ("paths", "path", "fold")}
    assert [len(found) for found in runs.values()] == [1, 3, 6]
    for found in runs.values():
        for run in found:
            assert {name for name in SHARED_TAGS if run.tags.get(name)} == set(SHARED_TAGS), run.name
            assert set(MAIN_METRICS[run.kind]) <= set(run.metrics)
    (outer,) = runs["paths"]
    assert outer.run_id == body["mlflow_run_id"]
    assert outer.params["tuned.num_leaves"] == "7"
    assert {run.tags["evidence"] for run in runs["path"]} < {trial.evidence for trial in trials}
    assert all(run.started_ms <= run.ended_ms for run in runs["fold"])

    again = asked()
    assert again["trained_now"] == 0
    assert (again["paths"], again["spread"]) == (body["paths"], body["spread"])
    assert again["mlflow_run_id"] == body["mlflow_run_id"]
    assert len(counted(market)) == 4, "the same look again is no new trial"


def test_it_tells_a_person_what_each_number_says_and_nothing_before_it_is_counted(
    market: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert paths(load_settings(profile="simulated"), options(groups=3, tested=1, as_json=False)) == 0
    said = capsys.readouterr()
    assert "1 of 3 groups tested in 3 splits" in said.out
    assert "rank IC over 1 path: least " in said.out
    assert "of the walk forward: 0." in said.out
    assert "what the gate judges" in said.out
    assert "no path is a forecast" in said.out
    assert "   3 of 3  groups 3: " in said.err
    assert "IC" not in said.err


def test_a_dry_run_says_what_would_be_done_and_does_nothing(market: Path, asked: Asked) -> None:
    before = sorted(path for path in market.rglob("*") if path.is_file())
    plan = asked(dry_run=True)
    assert (plan["splits"], plan["number_of_paths"], plan["kept"], plan["group_sessions"]) == (6, 3, 0, 120)
    assert (plan["purge_sessions"], plan["gap_sessions"], plan["tuned"]) == (6, 6, TUNED)
    assert plan["train_sessions"] == [480 - 2 * 120 - 4 * 6 + 6, 480 - 2 * 120 - 6]
    assert sorted(path for path in market.rglob("*") if path.is_file()) == before
    assert asked(groups=3, tested=1)["splits"] == 3
    assert asked(groups=3, tested=1, dry_run=True)["kept"] == 3


@pytest.mark.parametrize(
    ("groups", "tested", "told"),
    [
        (80, 1, "480 sessions in 80 groups are 6 each, not longer than the purge and embargo of 6"),
        (5, 4, "would train on .* sessions, fewer than 100"),
    ],
)
def test_groups_that_leave_too_little_are_refused_with_the_number(
    market: Path, groups: int, tested: int, told: str
) -> None:
    with pytest.raises(DatasetError, match=told):
        paths(load_settings(profile="simulated"), options(groups=groups, tested=tested))
    assert counted(market) == []


def registered(tmp_path: Path, *, factor_hash: str = "f" * 64, made: bool = True) -> str:
    """Register a version of another seed and other hyperparameters, with what its run recorded; return its number."""
    settings = load_settings(profile="simulated", overrides={"model.seed": 11})
    tags = {
        "known_at": "2024-01-01T00:00:00+00:00",
        "study": "ljwx-9999",
        "factor_hash": factor_hash,
        "label_hash": label_hash(settings.label),
    }
    tracker = open_tracker(settings)
    with tracker.run("research", kind="research", tags=tags) as run:
        bundle = tiny_bundle(tmp_path / "bundle", KEY, model_name=registered_model(settings))
        version = tracker.registry.register(bundle, run_id=run.run_id, public_key=public_key_of(KEY))
        documents: dict[str, Any] = {
            SETTINGS: settings.model_dump(mode="json"),
            ENVIRONMENT: {"market": market_name(settings)},
        }
        if made:
            documents[MADE] = {"best_params": {**TUNED, "num_leaves": 5}, "bundle_hash": version.bundle_hash}
        for name, document in documents.items():
            (tmp_path / name).write_text(json.dumps(document), encoding="utf-8")
            run.artifacts(tmp_path / name, CONFIG)
    return version.version


def test_a_registered_version_is_fitted_with_its_own_settings_and_hyperparameters(
    market: Path, asked: Asked, tmp_path: Path
) -> None:
    number = registered(tmp_path)
    configured, version = asked(dry_run=True), asked(number, dry_run=True)
    assert (configured["model"], configured["study"]) == ("the configured model", STUDY)
    assert (version["model"], version["study"]) == (f"version {number}", "ljwx-9999")
    assert version["tuned"] == {**TUNED, "num_leaves": 5}
    assert version["hashes"]["config_hash"] != configured["hashes"]["config_hash"]
    assert version["hashes"]["dataset_hash"] == configured["hashes"]["dataset_hash"]


def test_a_version_of_other_factors_or_none_is_refused(market: Path, tmp_path: Path) -> None:
    number = registered(tmp_path, factor_hash="0" * 64)
    with pytest.raises(ConfigError, match=f"version {number}.* is of the family 000000000000-"):
        paths(load_settings(profile="simulated"), options(number))
    with pytest.raises(ConfigError, match="has no version 77"):
        paths(load_settings(profile="simulated"), options("77"))


def test_a_version_whose_run_did_not_end_is_refused(market: Path, tmp_path: Path) -> None:
    number = registered(tmp_path, made=False)
    with pytest.raises(LjwxError, match="recorded no hyperparameters: it did not reach its end"):
        paths(load_settings(profile="simulated"), options(number))
