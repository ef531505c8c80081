"""Many backtests of one market and one set of scores: a row a variant, on threads, processes or other machines.

A sweep that was interrupted goes on where it was, one that was finished computes nothing, and every variant it holds is
counted as a trial. Not here: the backtest itself (``engine.py``), what is kept how (``sweep_store.py``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Executor, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ljwx_pipeline.backtest.engine import BOUGHT, EQUITY, FEES, NAMES_HELD, SOLD, simulate
from ljwx_pipeline.backtest.result import BacktestResult
from ljwx_pipeline.backtest.sweep_input import SweepInput, opened, shared
from ljwx_pipeline.backtest.sweep_measures import MEASURES, measures, net_returns
from ljwx_pipeline.backtest.sweep_store import SweepKey, SweepStore, VariantResult
from ljwx_pipeline.backtest.sweep_variants import Variant
from ljwx_pipeline.clock import Clock, SystemClock
from ljwx_pipeline.errors import ConfigError, EnvironmentFault, TradingError
from ljwx_pipeline.trading.market_arrays import MarketArrays

Float = NDArray[np.float64]

#: Variants a task runs at most, and tasks a sweep is cut into where it is large enough.
BATCH, TASKS = 16, 64
#: Results are kept at least this often: what a killed sweep loses.
KEEP_EVERY_S = 1.0


#: Rows of a simulation's figures that a sweep reads, in the order ``run_batch`` takes them.
_READ = [EQUITY, BOUGHT, SOLD, FEES, NAMES_HELD]
#: Hands one batch to the executor.
Submit = Callable[[Sequence[Variant]], "Future[list[VariantResult]]"]


class Counts(Protocol):
    """Who counts trials; ``trial_ledger.FamilyTrials`` does."""

    def record(self, results: Sequence[VariantResult], *, evidence: str) -> None:
        """Count each of ``results`` that was not counted before."""
        ...


@dataclass(frozen=True)
class Sweep:
    """What a sweep found.

    Parameters
    ----------
    frame
        One row a variant in the order given: ``name``, ``variant_hash``, the parameters by dotted name, the measures,
        ``file`` (where its returns are kept, empty without a store).
    net_returns
        Shape ``(n_variants, n_sessions - 1)``: returns after all costs, on ``sessions``.
    sessions
        The sessions after the first, on which a return is known.
    known
        How many of the variants were known before and not computed.
    """

    frame: pd.DataFrame
    net_returns: Float
    sessions: pd.DatetimeIndex
    known: int

    @property
    def parameters(self) -> list[str]:
        """Dotted names of what was varied."""
        return [name for name in self.frame.columns if "." in name]


def run_sweep(
    market: MarketArrays,
    scores: Float,
    variants: Sequence[Variant],
    *,
    first: date,
    last: date,
    benchmark_returns: Float | None = None,
    executor: Executor | None = None,
    store: Path | None = None,
    trials: Counts | None = None,
    progress: Callable[[int, int], None] | None = None,
    clock: Clock | None = None,
) -> Sweep:
    """Run every variant that is not known yet and return all of them.

    Parameters
    ----------
    market, scores, first, last
        As ``run_backtest`` takes them.
    benchmark_returns
        The benchmark's return on every session after ``first``: what trials are measured over.
    executor
        Anything with the interface of ``concurrent.futures.Executor``; threads of this process when None. A pool of
        processes or a distributed engine is handed the arrays once, as files to map into memory.
    store
        Folder of kept results; None keeps nothing, and every variant is computed.
    trials
        Counts every variant as a trial, known ones too; None: nobody does, as in a benchmark.
    progress
        Called with the number of variants done and of all.

    Raises
    ------
    ConfigError
        For no variant, or one that is there twice; nothing has run.
    TradingError
        As ``run_backtest``.
    LakeError, EnvironmentFault
        When results cannot be kept or read, or the executor lost a worker; what was kept before stays.
    """
    _require_distinct(variants)
    inputs = SweepInput(market, np.asfortranarray(scores), first, last, benchmark_returns)
    with sweeping(inputs, executor=executor, store=store, trials=trials, clock=clock) as session:
        results = session.run(variants, progress)
    return swept(inputs, variants, results, known=len(variants) - session.computed)


class SweepSession:
    """An open sweep: what is known of it, and the means to learn the rest; ``sweeping`` opens one.

    ``computed`` counts the variants that were not known.
    """

    def __init__(
        self,
        inputs: SweepInput,
        submit: Submit,
        *,
        store: SweepStore | None,
        trials: Counts | None,
        key: SweepKey | None,
        clock: Clock,
    ) -> None:
        self._inputs, self._submit, self._store, self._trials = inputs, submit, store, trials
        self._key, self._clock = key, clock
        self._results = store.read() if store else {}
        self.computed = 0
        self._count(list(self._results.values()))

    def run(
        self, variants: Sequence[Variant], progress: Callable[[int, int], None] | None = None
    ) -> list[VariantResult]:
        """Return the result of each of ``variants``, computing those that are not known; errors as ``run_sweep``."""
        for variant in variants:
            self._inputs.require_columns(variant)
        hashes = [variant.hash for variant in variants]
        missing = list(
            {digest: v for digest, v in zip(hashes, variants, strict=True) if digest not in self._results}.values()
        )
        total = len(set(hashes))
        done = total - len(missing)
        _tell(progress, done, total)
        waiting: list[VariantResult] = []
        kept_at_s = self._clock.monotonic_s()
        try:
            for found in _completed(self._submit, _batches(missing)):
                waiting += found
                done += len(found)
                if self._clock.monotonic_s() - kept_at_s >= KEEP_EVERY_S:
                    waiting, full = [], waiting
                    self._keep(full)
                    kept_at_s = self._clock.monotonic_s()
                _tell(progress, done, total)
        finally:  # an interrupted sweep keeps what it has
            self._keep(waiting)
        return [self._results[digest] for digest in hashes]

    def _keep(self, results: list[VariantResult]) -> None:
        if results:
            done = stored(self._inputs, results, self._store) if self._store else results
            self.computed += len(done)
            self._count(done)
            self._results |= {result.variant_hash: result for result in done}

    def _count(self, results: Sequence[VariantResult]) -> None:
        if self._trials is not None and self._key is not None and results:
            self._trials.record(results, evidence=self._key.evidence)


@contextmanager
def sweeping(
    inputs: SweepInput,
    *,
    executor: Executor | None = None,
    store: Path | None = None,
    trials: Counts | None = None,
    clock: Clock | None = None,
) -> Iterator[SweepSession]:
    """Open a sweep on ``inputs`` for the ``with`` block; parameters and errors as ``run_sweep``."""
    inputs.require_sound()
    key = inputs.key() if store is not None or trials is not None else None
    kept = SweepStore(store, key) if store is not None and key is not None else None
    with _submitter(inputs, executor, store) as submit:
        yield SweepSession(inputs, submit, store=kept, trials=trials, key=key, clock=clock or SystemClock())


def run_batch(inputs: SweepInput, variants: Sequence[Variant]) -> list[VariantResult]:
    """Return the results of ``variants``, one after the other: what a worker does."""
    clock = SystemClock()
    began_s = clock.monotonic_s()
    runs = [_figures(inputs, variant) for variant in variants]
    equity, bought, sold, fees, names_held = np.array(runs).transpose(1, 0, 2)
    returns = net_returns(equity)
    measured = measures(returns, equity, bought + sold, fees, names_held, benchmark=inputs.benchmark_returns)
    seconds = (clock.monotonic_s() - began_s) / len(variants)
    return [
        VariantResult(
            variant_hash=variant.hash,
            settings_json=variant.settings_json,
            measures={name: float(measured[name][i]) for name in MEASURES},
            net_returns=returns[i],
            seconds=seconds,
        )
        for i, variant in enumerate(variants)
    ]


def _figures(inputs: SweepInput, variant: Variant) -> NDArray[np.int64]:
    try:
        done = simulate(
            inputs.market,
            inputs.scores,
            strategy=variant.strategy,
            costs=variant.costs,
            first=inputs.first,
            last=inputs.last,
            ranking=inputs.ranking,
        )
    except TradingError as error:
        raise TradingError(f"variant {variant.name}: {error.fact}", error.remedy) from error
    return np.asarray(done.figures[_READ], dtype=np.int64)


def stored(inputs: SweepInput, results: Sequence[VariantResult], store: SweepStore) -> list[VariantResult]:
    """Keep results made on ``inputs`` with what they are held against; return them with their file."""
    store.keep_benchmark(inputs.sessions_after_first, inputs.benchmark_returns)
    return store.write(results)


def result_of(inputs: SweepInput, variant: Variant, run: BacktestResult) -> VariantResult:
    """Return a backtest made by hand as a sweep would keep it, so that it counts as the trial it is.

    ``run`` is what ``run_backtest`` made of ``variant`` on ``inputs``; its time is not known.
    """
    equity = run.equity_fen[np.newaxis]
    returns = net_returns(equity)
    traded = (run.bought_fen + run.sold_fen)[np.newaxis]
    fees, held = run.fees_fen[np.newaxis], run.names_held[np.newaxis]
    measured = measures(returns, equity, traded, fees, held, benchmark=inputs.benchmark_returns)
    return VariantResult(
        variant_hash=variant.hash,
        settings_json=variant.settings_json,
        measures={name: float(values[0]) for name, values in measured.items()},
        net_returns=returns[0],
        seconds=0.0,
    )


def run_shared_batch(folder: str, variants: Sequence[Variant]) -> list[VariantResult]:
    """Do ``run_batch`` in another process, on the arrays in ``folder``."""
    return run_batch(opened(folder), variants)


@contextmanager
def _submitter(inputs: SweepInput, executor: Executor | None, store: Path | None) -> Iterator[Submit]:
    """Yield how a batch is handed to the executor."""
    with ExitStack() as stack:
        if executor is None:
            executor = stack.enter_context(ThreadPoolExecutor())
        pool = executor
        if isinstance(pool, ThreadPoolExecutor):
            yield lambda batch: pool.submit(run_batch, inputs, batch)
        else:
            folder = str(stack.enter_context(shared(inputs, below=store)))
            yield lambda batch: pool.submit(run_shared_batch, folder, batch)


def _completed(submit: Submit, batches: Sequence[Sequence[Variant]]) -> Iterator[list[VariantResult]]:
    """Yield results as they come; when the sweep ends early, batches that nobody has begun are taken back."""
    waiting: set[Future[list[VariantResult]]] = set()
    try:
        waiting |= {submit(batch) for batch in batches}
        while waiting:
            done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
            for future in done:
                yield future.result()
    except Exception as error:
        if not _lost_worker(error):
            raise
        raise EnvironmentFault(
            f"a worker of the sweep was lost ({error or type(error).__name__})",
            "see that no worker is killed or out of memory and run again: what was kept is not computed again",
        ) from error
    finally:
        for future in waiting:
            future.cancel()


def _tell(progress: Callable[[int, int], None] | None, done: int, total: int) -> None:
    if progress is not None:
        progress(done, total)


def _lost_worker(error: Exception) -> bool:
    """Return whether the executor failed, not the work it was given."""
    broken = isinstance(error, BrokenExecutor | ConnectionError)
    return broken or type(error).__module__.partition(".")[0] == "distributed"


def _batches(variants: Sequence[Variant]) -> list[Sequence[Variant]]:
    size = max(1, min(BATCH, len(variants) // TASKS))
    return [variants[start : start + size] for start in range(0, len(variants), size)]


def _require_distinct(variants: Sequence[Variant]) -> None:
    if not variants:
        raise ConfigError("the sweep has no variant", "give the grid a value")
    by_hash: dict[str, str] = {}
    for variant in variants:
        if variant.hash in by_hash:
            raise ConfigError(
                f"variants {by_hash[variant.hash]} and {variant.name} are one and the same", "leave one of them out"
            )
        by_hash[variant.hash] = variant.name


def swept(inputs: SweepInput, variants: Sequence[Variant], results: Sequence[VariantResult], *, known: int) -> Sweep:
    """Return the results of ``variants``, in the same order, as a table."""
    names = list(dict.fromkeys(name for variant in variants for name, _ in variant.parameters))
    given = [dict(variant.parameters) for variant in variants]
    frame = pd.DataFrame(
        {
            "name": [variant.name for variant in variants],
            "variant_hash": [result.variant_hash for result in results],
            **{name: [parameters.get(name) for parameters in given] for name in names},
            **{name: [result.measures[name] for result in results] for name in MEASURES},
            "file": [result.file for result in results],
        }
    )
    return Sweep(frame, np.array([result.net_returns for result in results]), inputs.sessions_after_first, known)
