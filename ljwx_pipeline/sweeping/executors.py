"""What runs a sweep's variants: threads, processes, or the workers of a dask cluster, behind one interface.

Not here: what they run (``backtest/sweep.py``).
"""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor

from ljwx_pipeline.errors import EnvironmentFault


@contextlib.contextmanager
def sweep_executor(kind: str, workers: int, *, scheduler: str | None) -> Iterator[Executor]:
    """Yield an executor of ``workers``: ``threads``, ``processes``, or ``dask`` (of ``scheduler``, or of this machine).

    Raises
    ------
    EnvironmentFault
        When dask is not installed, or no cluster answers.
    """
    if kind == "dask":
        with _dask(scheduler, workers) as executor:
            yield executor
        return
    if kind == "threads":
        pool: Executor = ThreadPoolExecutor(workers)
    else:
        from multiprocessing import get_context  # not fork: threads of the parent may hold locks

        # Ctrl-C is for this process to answer
        quiet = (signal.SIGINT, signal.SIG_IGN)
        pool = ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=signal.signal, initargs=quiet)
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


@contextlib.contextmanager
def _dask(scheduler: str | None, workers: int) -> Iterator[Executor]:
    try:
        import distributed
    except ImportError:
        raise EnvironmentFault(
            "the package distributed is not installed", "`make dask` adds it, or choose --executor processes"
        ) from None
    with contextlib.ExitStack() as stack:
        try:
            place = scheduler or stack.enter_context(
                distributed.LocalCluster(
                    n_workers=workers, threads_per_worker=1, host="127.0.0.1", dashboard_address=None
                )
            )
            client = stack.enter_context(distributed.Client(place, timeout="10s"))
        except (OSError, ValueError, RuntimeError) as error:
            raise EnvironmentFault(
                f"no dask cluster answers at {scheduler or 'this machine'} ({error})", "start it, or mend --scheduler"
            ) from None
        yield client.get_executor()
