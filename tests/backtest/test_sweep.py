"""A sweep is its backtests, whatever runs them, however often it is killed, and every variant is one trial."""

from __future__ import annotations

import errno
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import ljwx_pipeline.backtest.sweep as sweep_module
from ljwx_pipeline.backtest.engine import run_backtest, simulate
from ljwx_pipeline.backtest.sweep import result_of, run_batch
from ljwx_pipeline.backtest.sweep_input import SweepInput, opened, shared
from ljwx_pipeline.backtest.sweep_store import SweepStore
from ljwx_pipeline.backtest.sweep_variants import Variant
from ljwx_pipeline.backtest.trial_ledger import TrialLedger
from ljwx_pipeline.errors import ConfigError, EnvironmentFault, LakeError, TradingError
from ljwx_pipeline.evaluation.metrics import backtest_summary, returns_of, sharpe
from ljwx_pipeline.trading.market_arrays import MarketArrays
from tests.fakes.sweeps import ROOT, sweep, sweep_market, sweep_variants


@pytest.fixture(scope="module")
def made() -> tuple[MarketArrays, np.ndarray]:
    return sweep_market()


@pytest.fixture
def never(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a backtest was run")

    monkeypatch.setattr(sweep_module, "simulate", refuse)


def same(one: object, two: object) -> bool:
    frames = [found.frame.drop(columns="file") for found in (one, two)]  # type: ignore[attr-defined]
    returns = [found.net_returns.tobytes() for found in (one, two)]  # type: ignore[attr-defined]
    return frames[0].equals(frames[1]) and returns[0] == returns[1]


def test_every_row_is_the_backtest_of_its_variant_to_the_last_bit(made: tuple[MarketArrays, np.ndarray]) -> None:
    market, scores = made
    variants = sweep_variants()
    found = sweep(market, scores, variants)
    assert len(found.frame) == 12
    for i, variant in enumerate(variants):
        first, last = market.sessions[0].date(), market.sessions[-1].date()
        alone = run_backtest(market, scores, strategy=variant.strategy, costs=variant.costs, first=first, last=last)
        assert found.net_returns[i].tobytes() == returns_of(alone.equity).to_numpy().tobytes()
        row = found.frame.iloc[i]
        assert row["name"] == variant.name
        assert row["strategy.top_k"] == variant.strategy.top_k
        assert row["costs.slippage_bps"] == variant.costs.slippage_bps
        summary = backtest_summary(alone)
        for name in ("annual_return", "sharpe", "sortino", "calmar", "max_drawdown", "turnover", "fees_cny"):
            assert row[name] == pytest.approx(summary[name], rel=1e-12), name
        assert row["final_equity_cny"] == alone.equity.iloc[-1]
        assert row["session_sharpe"] == pytest.approx(sharpe(returns_of(alone.equity), periods_per_year=1), rel=1e-12)
    assert list(found.sessions) == list(market.sessions[1:])


def test_threads_processes_and_any_batches_give_the_same_bits(
    made: tuple[MarketArrays, np.ndarray], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    plain = sweep(*made)
    with ThreadPoolExecutor(1) as one:
        assert same(sweep(*made, executor=one), plain)
    monkeypatch.setattr(sweep_module, "TASKS", 2)  # six variants a batch
    assert same(sweep(*made), plain)
    spawned = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(2, mp_context=spawned) as processes:
        assert same(sweep(*made, executor=processes, store=tmp_path), plain)
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith("ljwx-sweep-")] == []


@pytest.mark.slow
def test_a_dask_cluster_gives_the_same_bits_through_its_executor(made: tuple[MarketArrays, np.ndarray]) -> None:
    distributed = pytest.importorskip("distributed", reason="the extra `dask` is not installed")
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, host="127.0.0.1", dashboard_address=None
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        executor: Executor = client.get_executor()
        assert same(sweep(*made, executor=executor), sweep(*made))


def test_a_repeated_sweep_computes_nothing_and_counts_nothing(
    made: tuple[MarketArrays, np.ndarray], tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    ledger = TrialLedger(tmp_path / "trials.sqlite")
    options = {"store": tmp_path / "store", "trials": ledger.of("family", "sweep")}
    first = sweep(*made, **options)
    assert first.known == 0
    request.getfixturevalue("never")
    again = sweep(*made, **options)
    assert again.known == 12
    assert same(first, again)
    assert len(ledger.trials_of("family")) == 12
    assert {trial.returns_file for trial in ledger.trials_of("family")} == set(first.frame["file"])
    assert all((tmp_path / "store" / name).exists() for name in first.frame["file"])


def test_a_wider_grid_computes_what_is_new(made: tuple[MarketArrays, np.ndarray], tmp_path: Path) -> None:
    sweep(*made, sweep_variants({"top_k": [3, 5]}), store=tmp_path)
    wider = sweep(*made, sweep_variants({"top_k": [3, 4, 5]}), store=tmp_path)
    assert wider.known == 2
    assert wider.frame["strategy.top_k"].tolist() == [3, 4, 5]


def test_another_price_score_session_benchmark_or_code_is_another_sweep(
    made: tuple[MarketArrays, np.ndarray],
) -> None:
    market, scores = made
    first, last = market.sessions[0].date(), market.sessions[-1].date()
    plain = SweepInput(market, scores, first, last)
    close, other = market.close_e4.copy(), scores.copy()
    close[3, 4] += 100
    other[0, 0] = 1.25
    still = np.zeros(len(market.sessions) - 1)
    others = [
        replace(plain, market=replace(market, close_e4=close)),
        replace(plain, scores=other),
        replace(plain, first=market.sessions[1].date()),
        replace(plain, last=market.sessions[-2].date()),
        replace(plain, benchmark_returns=still),
    ]
    keys = [item.key() for item in (plain, *others)]
    assert len({key.folder for key in keys}) == len({key.evidence for key in keys}) == len(keys)
    recoded = replace(keys[0], code="another")
    assert recoded.folder != keys[0].folder
    assert recoded.evidence == keys[0].evidence, "other code is no other look at the data"
    assert SweepInput(replace(market), scores.copy(), first, last).key() == keys[0]


def test_the_columns_that_only_some_fills_read_are_no_other_look_at_the_data(
    made: tuple[MarketArrays, np.ndarray],
) -> None:
    market, scores = made
    plain = SweepInput(market, scores, market.sessions[0].date(), market.sessions[-1].date())
    opened_too = replace(plain, market=replace(market, open_e4=market.close_e4))
    assert opened_too.key().evidence == plain.key().evidence
    assert opened_too.key().folder != plain.key().folder


def test_a_backtest_by_hand_is_the_same_trial_as_the_variant_of_a_sweep(
    made: tuple[MarketArrays, np.ndarray], tmp_path: Path
) -> None:
    market, scores = made
    first, last = market.sessions[0].date(), market.sessions[-1].date()
    inputs, variant = SweepInput(market, scores, first, last), sweep_variants({"top_k": [5]})[0]
    ledger = TrialLedger(tmp_path / "trials.sqlite")
    run = run_backtest(market, scores, strategy=variant.strategy, costs=variant.costs, first=first, last=last)
    by_hand = result_of(inputs, variant, run)
    assert by_hand.measures == run_batch(inputs, [variant])[0].measures
    assert ledger.record("family", "manual", [by_hand], evidence=inputs.key().evidence) == 1
    sweep(market, scores, sweep_variants({"top_k": [5, 6]}), trials=ledger.of("family", "sweep"))
    assert [trial.kind for trial in ledger.trials_of("family")] == ["manual", "sweep"]


def test_a_trial_is_measured_over_the_benchmark(made: tuple[MarketArrays, np.ndarray]) -> None:
    market, scores = made
    index = np.random.default_rng(1).normal(0, 0.01, len(market.sessions) - 1)
    variants = sweep_variants({"top_k": [5]})
    found = sweep(market, scores, variants, benchmark_returns=index)
    expected = sharpe(found.net_returns[0] - index, periods_per_year=1)
    assert found.frame["session_sharpe"].iloc[0] == pytest.approx(expected, rel=1e-12)
    over_nothing = sweep(market, scores, variants)
    assert over_nothing.frame["session_sharpe"].iloc[0] != found.frame["session_sharpe"].iloc[0]
    index[7] = np.nan
    with pytest.raises(TradingError, match="misses a session"):
        sweep(market, scores, variants, benchmark_returns=index)


def test_a_strategy_that_never_trades_is_a_trial_of_no_skill(made: tuple[MarketArrays, np.ndarray]) -> None:
    market, scores = made
    found = sweep(market, np.full_like(scores, np.nan), sweep_variants({"top_k": [5]}))
    row = found.frame.iloc[0]
    assert row["session_sharpe"] == 0.0
    assert np.isnan(row["sharpe"])
    assert row["annual_return"] == 0.0


def test_progress_counts_known_variants_and_ends_at_all(made: tuple[MarketArrays, np.ndarray], tmp_path: Path) -> None:
    sweep(*made, sweep_variants({"top_k": [3, 5]}), store=tmp_path)
    told: list[tuple[int, int]] = []
    sweep(*made, sweep_variants({"top_k": [3, 4, 5]}), store=tmp_path, progress=lambda *at: told.append(at))
    assert told == [(2, 3), (3, 3)]


def test_a_variant_that_is_there_twice_or_none_at_all_is_refused(
    made: tuple[MarketArrays, np.ndarray], never: None
) -> None:
    one = sweep_variants({"top_k": [5]})
    with pytest.raises(ConfigError, match="one and the same"):
        sweep(*made, (*one, replace(one[0], name="the same again")))
    with pytest.raises(ConfigError, match="no variant"):
        sweep_module.run_sweep(*made, (), first=made[0].sessions[0].date(), last=made[0].sessions[-1].date())


def test_dates_and_axes_that_do_not_fit_are_refused(made: tuple[MarketArrays, np.ndarray], never: None) -> None:
    market, scores = made
    with pytest.raises(TradingError, match="align the axes"):
        sweep(market, scores[:, 1:])
    day = market.sessions[5].date()
    with pytest.raises(TradingError, match="no two sessions"):
        sweep_module.run_sweep(market, scores, sweep_variants(), first=day, last=day)


def test_a_fault_in_one_variant_keeps_the_others(
    made: tuple[MarketArrays, np.ndarray], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail_at_eight(*arguments: object, **options: object) -> object:
        if options["strategy"].top_k == 8:  # type: ignore[attr-defined]
            raise TradingError("cash is short", "report it")
        return simulate(*arguments, **options)  # type: ignore[arg-type]

    with monkeypatch.context() as patched:
        patched.setattr(sweep_module, "simulate", fail_at_eight)
        with ThreadPoolExecutor(1) as one, pytest.raises(TradingError, match="cash is short"):
            sweep(*made, executor=one, store=tmp_path)
    assert 0 < sweep(*made, store=tmp_path).known <= 8


def test_a_variant_that_cannot_run_is_named_wherever_it_ran(made: tuple[MarketArrays, np.ndarray]) -> None:
    market, scores = made
    lost = market.close_e4.copy()
    lost[:, 40] = 0  # traded, and no price: a held name cannot be valued
    broken = replace(market, close_e4=lost)
    one = sweep_variants({"top_k": [5]})
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as processes:
        for executor in (None, processes):
            with pytest.raises(TradingError, match=r"variant top_k=5: .*a price of that session is missing"):
                sweep(broken, scores, one, executor=executor)


def test_a_fill_that_the_market_has_no_prices_for_is_refused_before_anything_runs(
    made: tuple[MarketArrays, np.ndarray], never: None
) -> None:
    with pytest.raises(ConfigError, match="variant fill=vwap: fill = vwap reads high, low, amount"):
        sweep(*made, sweep_variants({"fill": ["close", "vwap"]}))


def test_a_killed_sweep_goes_on_where_it_was(made: tuple[MarketArrays, np.ndarray], tmp_path: Path) -> None:
    store, ledger = tmp_path / "store", tmp_path / "trials.sqlite"
    command = [sys.executable, "-m", "tests.fakes.sweeps", str(store), str(ledger), "200"]
    child = subprocess.Popen(command, cwd=ROOT)
    deadline = time.monotonic() + 120
    while not list(store.glob("*/*.parquet")) and child.poll() is None and time.monotonic() < deadline:
        time.sleep(0.002)
    child.send_signal(signal.SIGKILL)
    child.wait()
    variants = sweep_variants({"top_k": [3, 5, 8], "slippage_bps": [float(level) for level in range(200)]})
    book = TrialLedger(ledger)
    resumed = sweep(*made, variants, store=store, trials=book.of("family", "sweep"))
    assert child.returncode == -signal.SIGKILL
    assert 0 < resumed.known < len(variants), "the kill came before anything was kept or after everything was"
    assert same(resumed, sweep(*made, variants))
    assert len(book.trials_of("family")) == len(variants)


def test_two_sweeps_at_once_share_a_store_and_a_ledger(made: tuple[MarketArrays, np.ndarray], tmp_path: Path) -> None:
    store, ledger = tmp_path / "store", tmp_path / "trials.sqlite"
    command = [sys.executable, "-m", "tests.fakes.sweeps", str(store), str(ledger), "60"]
    children = [subprocess.Popen(command, cwd=ROOT) for _ in range(2)]
    assert [child.wait(timeout=300) for child in children] == [0, 0]
    variants = sweep_variants({"top_k": [3, 5, 8], "slippage_bps": [float(level) for level in range(60)]})
    found = sweep(*made, variants, store=store)
    assert found.known == 180
    assert same(found, sweep(*made, variants))
    assert len(TrialLedger(ledger).trials_of("family")) == 180


def test_a_lost_worker_is_told_plainly(made: tuple[MarketArrays, np.ndarray], tmp_path: Path) -> None:
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        pool.submit(os.getpid).result()
        for process in list(pool._processes.values()):
            process.kill()
        with pytest.raises(EnvironmentFault, match="a worker of the sweep was lost"):
            sweep(*made, executor=pool, store=tmp_path)
    assert list(tmp_path.glob("ljwx-sweep-*")) == []


def test_what_a_killed_sweep_shared_is_removed_and_what_a_living_one_shares_is_not(
    made: tuple[MarketArrays, np.ndarray], tmp_path: Path
) -> None:
    market, scores = made
    inputs = SweepInput(market, scores, market.sessions[0].date(), market.sessions[-1].date())
    left = tmp_path / "ljwx-sweep-left"
    left.mkdir()
    (left / ".lock").touch()
    with shared(inputs, below=tmp_path) as living:
        assert not left.exists()
        with shared(inputs, below=tmp_path):
            assert (living / "arrays.bin").exists()
        again = opened(str(living))
        assert again.key() == inputs.key()
        variants: list[Variant] = list(sweep_variants({"top_k": [5]}))
        assert run_batch(again, variants)[0].measures == run_batch(inputs, variants)[0].measures
    with pytest.raises(EnvironmentFault, match="cannot read the sweep's arrays"):
        opened(str(tmp_path / "gone"))


def test_a_damaged_file_is_named(made: tuple[MarketArrays, np.ndarray], tmp_path: Path) -> None:
    found = sweep(*made, store=tmp_path)
    path = tmp_path / found.frame["file"].iloc[0]
    data = bytearray(path.read_bytes())
    data[len(data) // 3] ^= 0xFF
    path.write_bytes(data)
    with pytest.raises(LakeError, match=path.name):
        sweep(*made, store=tmp_path)
    path.unlink()
    assert same(sweep(*made, store=tmp_path), found)


def test_a_folder_that_cannot_be_written_is_one_sentence(made: tuple[MarketArrays, np.ndarray], tmp_path: Path) -> None:
    (tmp_path / "store").write_text("a file where the folder should be")
    with pytest.raises(LakeError, match="cannot be written"):
        sweep(*made, store=tmp_path / "store")


def test_a_full_disk_is_one_sentence_and_leaves_no_part_of_a_file(
    made: tuple[MarketArrays, np.ndarray], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.write

    def full(descriptor: int, data: memoryview) -> int:
        if len(data) > 4000:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(descriptor, data)

    with monkeypatch.context() as patched:
        patched.setattr(os, "write", full)
        with pytest.raises(LakeError, match="No space left on device"):
            sweep(*made, store=tmp_path)
    assert list(tmp_path.rglob("*.parquet")) == []
    assert list(tmp_path.rglob("*.part")) == []
    assert sweep(*made, store=tmp_path).known == 0


def test_the_store_reads_back_what_was_written(made: tuple[MarketArrays, np.ndarray], tmp_path: Path) -> None:
    market, scores = made
    inputs = SweepInput(market, scores, market.sessions[0].date(), market.sessions[-1].date())
    store = SweepStore(tmp_path, inputs.key())
    results = run_batch(inputs, sweep_variants())
    written = store.write(results)
    read = store.read()
    assert set(read) == {result.variant_hash for result in results}
    for result in written:
        kept = read[result.variant_hash]
        assert (kept.file, kept.settings_json) == (result.file, result.settings_json)
        assert pd.Series(kept.measures).equals(pd.Series(result.measures))
        assert kept.net_returns.tobytes() == result.net_returns.tobytes()
