"""A study of strategies repeats itself, resumes after a crash at any point, and runs each variant once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import ljwx_pipeline.backtest.sweep as sweep_module
import ljwx_pipeline.studies.proposals as proposals_module
from ljwx_pipeline.backtest.sweep import Sweep
from ljwx_pipeline.backtest.sweep_tune import tune_strategy
from ljwx_pipeline.backtest.trial_ledger import TrialLedger
from ljwx_pipeline.config import Settings
from ljwx_pipeline.errors import ConfigError, LakeError, ModelError
from ljwx_pipeline.lake.locking import exclusive
from ljwx_pipeline.trading.market_arrays import MarketArrays
from tests.fakes.sweeps import sweep_market

GRID = {"top_k": [2, 3, 4, 5, 6, 8], "n_drop": [1, 2, 3], "slippage_bps": [0.0, 5.0, 10.0]}


@pytest.fixture(scope="module")
def made() -> tuple[MarketArrays, np.ndarray]:
    return sweep_market()


def tune(made: tuple[MarketArrays, np.ndarray], settings: Settings, **options: object) -> Sweep:
    market, scores = made
    given = {
        "strategy": settings.strategy.model_copy(update={"capital_cny": 400_000.0}),
        "costs": settings.costs,
        "first": market.sessions[0].date(),
        "last": market.sessions[-1].date(),
        "proposals": 22,
        "seed": 5,
        **options,
    }
    return tune_strategy(market, scores, GRID, **given)  # type: ignore[arg-type]


def test_the_same_seed_proposes_the_same_and_another_something_else(
    made: tuple[MarketArrays, np.ndarray], settings: Settings
) -> None:
    one, two = tune(made, settings), tune(made, settings)
    assert one.frame.equals(two.frame)
    assert len(one.frame) == one.frame["variant_hash"].nunique() <= 22
    assert (one.frame["strategy.n_drop"] <= one.frame["strategy.top_k"]).all()
    assert not tune(made, settings, seed=6).frame["name"].equals(one.frame["name"])


def test_the_sampler_learns_more_than_chance_finds(made: tuple[MarketArrays, np.ndarray], settings: Settings) -> None:
    found = tune(made, settings, proposals=40).frame["session_sharpe"]
    assert found.iloc[16:].mean() > found.iloc[:16].mean()


@pytest.mark.parametrize("crash_at", ["a backtest", "an answer", "a proposal"])
def test_a_killed_study_goes_on_as_if_it_had_not_been(
    made: tuple[MarketArrays, np.ndarray],
    settings: Settings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    crash_at: str,
) -> None:
    import optuna

    class KilledError(BaseException):
        pass

    left = 13 if crash_at == "a proposal" else 11

    def dying(real):  # type: ignore[no-untyped-def]
        def call(*arguments, **options):  # type: ignore[no-untyped-def]
            nonlocal left
            left -= 1
            if left < 0:
                raise KilledError
            return real(*arguments, **options)

        return call

    whole = tune(made, settings)
    options = {"store": tmp_path / "store", "journal": tmp_path / "study.log"}
    with monkeypatch.context() as patched:
        if crash_at == "a backtest":
            patched.setattr(sweep_module, "simulate", dying(sweep_module.simulate))
        elif crash_at == "an answer":
            patched.setattr(optuna.Study, "tell", dying(optuna.Study.tell))
        else:
            kept = optuna.storages.JournalStorage
            patched.setattr(kept, "create_new_trial", dying(kept.create_new_trial))
        with pytest.raises(KilledError):
            tune(made, settings, **options)
    resumed = tune(made, settings, **options)
    assert resumed.frame.drop(columns="file").equals(whole.frame.drop(columns="file"))


def test_a_finished_study_is_only_read(
    made: tuple[MarketArrays, np.ndarray], settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = TrialLedger(tmp_path / "trials.sqlite")
    options = {"store": tmp_path / "s", "journal": tmp_path / "study.log", "trials": ledger.of("f", "tune")}
    first = tune(made, settings, **options)
    assert {trial.kind for trial in ledger.trials_of("f")} == {"tune"}
    monkeypatch.setattr(sweep_module, "simulate", None)
    again = tune(made, settings, **options)
    assert again.frame.equals(first.frame)
    assert again.known == len(first.frame) == len(ledger.trials_of("f"))


def test_a_space_without_valid_variants_is_refused(
    made: tuple[MarketArrays, np.ndarray], settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(proposals_module, "MOST_INVALID", 5)
    market, scores = made
    for grid, words in (({"top_k": [1], "n_drop": [2, 3]}, "no valid variants"), ({}, "is empty")):
        with pytest.raises(ConfigError, match=words):
            tune_strategy(
                market,
                scores,
                grid,
                strategy=settings.strategy,
                costs=settings.costs,
                first=market.sessions[0].date(),
                last=market.sessions[-1].date(),
                proposals=3,
                seed=1,
            )
    with pytest.raises(ConfigError, match="0 proposals are none"):
        tune(made, settings, proposals=0)


def test_one_process_at_a_time_works_on_a_journal_and_a_damaged_one_is_named(
    made: tuple[MarketArrays, np.ndarray], settings: Settings, tmp_path: Path
) -> None:
    journal = tmp_path / "study.log"
    with exclusive(tmp_path / ".study.log.lock", timeout_s=1), pytest.raises(LakeError, match="another process"):
        tune(made, settings, journal=journal)
    journal.write_text("no journal\n")
    with pytest.raises(ModelError, match="is damaged"):
        tune(made, settings, journal=journal)
