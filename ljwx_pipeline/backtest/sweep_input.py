"""The arrays a sweep runs on: hashed once, and handed once to other processes as files they map into memory.

Not here: the variants (``sweep_variants.py``), the loop over them (``sweep.py``).
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields
from datetime import date
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ljwx_pipeline.backtest.sweep_store import SweepKey, sweep_key
from ljwx_pipeline.errors import EnvironmentFault, TradingError
from ljwx_pipeline.trading.market_arrays import MarketArrays

Float = NDArray[np.float64]

_PREFIX, _LOCK, _AXES, _SCORES, _BENCHMARK = "ljwx-sweep-", ".lock", "axes.json", "scores", "benchmark"


@dataclass(frozen=True)
class SweepInput:
    """What every variant of a sweep is run on.

    Parameters
    ----------
    market, scores
        As ``run_backtest`` takes them.
    first, last
        First decision and last valuation, both sessions of ``market``.
    benchmark_returns
        Return of the benchmark on each session after ``first`` up to ``last``; None: trials are measured over zero.
    """

    market: MarketArrays
    scores: Float
    first: date
    last: date
    benchmark_returns: Float | None = None

    def require_sound(self) -> None:
        """Raise ``TradingError`` for scores or a benchmark on other axes, or dates that are no sessions."""
        if self.scores.shape != self.market.close_e4.shape:
            raise TradingError(
                f"scores have shape {self.scores.shape}, the market {self.market.close_e4.shape}", "align the axes"
            )
        begin, end = (
            int(self.market.sessions.get_indexer(pd.DatetimeIndex([pd.Timestamp(day)]))[0])
            for day in (self.first, self.last)
        )
        if min(begin, end) < 0 or end <= begin:
            raise TradingError(
                f"{self.first} to {self.last} are no two sessions of the market, the first before the last",
                f"choose among {self.market.sessions[0]:%Y-%m-%d} to {self.market.sessions[-1]:%Y-%m-%d}",
            )
        if self.benchmark_returns is not None:
            if self.benchmark_returns.shape != (end - begin,):
                raise TradingError(
                    f"the benchmark has {len(self.benchmark_returns)} returns, the sweep {end - begin} sessions",
                    "pass one for each session after the first",
                )
            if not np.isfinite(self.benchmark_returns).all():
                raise TradingError("the benchmark misses a session's return", "complete its history")

    def key(self) -> SweepKey:
        """Return what decides the results beside the variants."""
        return sweep_key(
            market_hash=_hash_of(market_fields(self.market)),
            scores_hash=_hash_of({_SCORES: self.scores}),
            benchmark_hash="" if self.benchmark_returns is None else _hash_of({_BENCHMARK: self.benchmark_returns}),
            first=self.first,
            last=self.last,
        )


def market_fields(market: MarketArrays) -> dict[str, Any]:
    """Return the market's arrays, symbols and sessions by the name of their field."""
    return {field.name: getattr(market, field.name) for field in fields(market)}


@contextlib.contextmanager
def shared(inputs: SweepInput, *, below: Path | None) -> Iterator[Path]:
    """Write the arrays into a folder for the ``with`` block, one ``.npy`` each, for ``opened`` in other processes.

    Folders that killed sweeps left beside it are removed: nobody holds their lock any more.

    Parameters
    ----------
    below
        Where the folder is made; None: where temporary files go. Processes on other machines must see it too.

    Raises
    ------
    EnvironmentFault
        When the disk is full or the place cannot be written.
    """
    place = below or Path(tempfile.gettempdir())
    try:
        place.mkdir(parents=True, exist_ok=True)
        _remove_abandoned(place)
        folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=place))
    except OSError as error:
        raise _cannot_share(place, error) from error
    lock = os.open(folder / f"{_LOCK}.new", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        (folder / f"{_LOCK}.new").replace(folder / _LOCK)  # held before anyone can find it
        try:
            _write(inputs, folder)
        except OSError as error:
            raise _cannot_share(folder, error) from error
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


@lru_cache(maxsize=1)
def opened(folder: str) -> SweepInput:
    """Return the arrays in a folder made by ``shared``, mapped into memory once a process.

    They are mapped privately: what a kernel compiled for is a writable array, and a write would stay in the process.

    Raises
    ------
    EnvironmentFault
        When the folder cannot be read here.
    """
    place = Path(folder)
    try:
        axes = json.loads((place / _AXES).read_text(encoding="utf-8"))
        arrays: dict[str, Any] = {
            name: np.asarray(np.load(place / f"{name}.npy", mmap_mode="c")) for name in axes["arrays"]
        }
    except (OSError, ValueError) as error:
        raise EnvironmentFault(
            f"a worker cannot read the sweep's arrays in {place} ({error})",
            "give workers on other machines a folder that both see",
        ) from None
    scores, benchmark = arrays.pop(_SCORES), arrays.pop(_BENCHMARK, None)
    sessions = pd.DatetimeIndex(arrays.pop("sessions"), name="session_date")
    arrays |= {"symbols": tuple(axes["symbols"]), "sessions": sessions}
    market = MarketArrays(**arrays)
    return SweepInput(market, scores, date.fromisoformat(axes["first"]), date.fromisoformat(axes["last"]), benchmark)


def _write(inputs: SweepInput, folder: Path) -> None:
    arrays = market_fields(inputs.market)
    symbols, sessions = arrays.pop("symbols"), arrays.pop("sessions")
    arrays |= {_SCORES: np.ascontiguousarray(inputs.scores, dtype=np.float64), "sessions": sessions.to_numpy()}
    if inputs.benchmark_returns is not None:
        arrays[_BENCHMARK] = inputs.benchmark_returns
    for name, values in arrays.items():
        np.save(folder / f"{name}.npy", values)
    axes = {
        "symbols": list(symbols),
        "arrays": sorted(arrays),
        "first": inputs.first.isoformat(),
        "last": inputs.last.isoformat(),
    }
    (folder / _AXES).write_text(json.dumps(axes), encoding="utf-8")


def _remove_abandoned(place: Path) -> None:
    for folder in place.glob(f"{_PREFIX}*"):
        try:
            lock = os.open(folder / _LOCK, os.O_RDWR)
        except OSError:
            continue  # being made, being removed, or somebody else's
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
        except BlockingIOError:
            continue  # its sweep lives
        finally:
            os.close(lock)


def _hash_of(values: dict[str, Any]) -> str:
    """Return one SHA-256 of names, dtypes, shapes and bytes; arrays are hashed beside one another."""
    with ThreadPoolExecutor(max_workers=2) as pool:
        digests = list(pool.map(_array_hash, values.values()))
    return hashlib.sha256(json.dumps(list(zip(values, digests, strict=True))).encode()).hexdigest()


def _array_hash(value: Any) -> str:
    if isinstance(value, tuple):
        return hashlib.sha256(json.dumps(value).encode()).hexdigest()
    array = np.ascontiguousarray(value.to_numpy().astype("datetime64[ns]") if hasattr(value, "to_numpy") else value)
    digest = hashlib.sha256(f"{array.dtype.str}{array.shape}".encode())
    digest.update(array.data if array.dtype.kind != "M" else array.view(np.int64).data)
    return digest.hexdigest()


def _cannot_share(place: Path, error: OSError) -> EnvironmentFault:
    return EnvironmentFault(
        f"the sweep's arrays cannot be written to {place} ({error.strerror or error})",
        "free some space or make the folder writable",
    )
