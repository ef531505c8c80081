"""The arrays a sweep runs on: ranked and hashed once, and handed once to other processes as a file mapped into memory.

Not here: the variants (``sweep_variants.py``), the loop over them (``sweep.py``).
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ljwx_pipeline.backtest.code_version import code_version
from ljwx_pipeline.backtest.sweep_store import SweepKey
from ljwx_pipeline.backtest.sweep_variants import Variant
from ljwx_pipeline.errors import ConfigError, TradingError
from ljwx_pipeline.mapped_object import handed_over, taken_over
from ljwx_pipeline.trading.decide import ranked
from ljwx_pipeline.trading.market_arrays import MarketArrays, optional_columns

Float = NDArray[np.float64]

_WHAT = "the sweep's arrays"
#: Columns of the market that are there only where a fill model reads them.
_SOMETIMES = frozenset({"open_e4", "high_e4", "low_e4", "amount_fen", "opening_limits"})


@dataclass(frozen=True)
class SweepInput:
    """What every variant of a sweep is run on.

    Parameters
    ----------
    market, scores
        As ``run_backtest`` takes them; scores best in Fortran order, then no backtest copies them.
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

    @cached_property
    def ranking(self) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """Return ``decide.ranked(scores)``, made once for all variants."""
        return ranked(self.scores)

    @property
    def sessions_after_first(self) -> pd.DatetimeIndex:
        """Return the sessions on which a return is known."""
        sessions = self.market.sessions
        return sessions[(sessions > pd.Timestamp(self.first)) & (sessions <= pd.Timestamp(self.last))]

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

    def require_columns(self, variant: Variant) -> None:
        """Raise ``ConfigError`` for a variant whose fills read what the market was built without."""
        held = {
            "open": self.market.open_e4,
            "high": self.market.high_e4,
            "low": self.market.low_e4,
            "amount": self.market.amount_fen,
        }
        missing = [name for name in optional_columns(variant.costs) if held[name] is None]
        if missing:
            raise ConfigError(
                f"variant {variant.name}: fill = {variant.costs.fill} reads {', '.join(missing)}, which are not there",
                "choose another fill; amounts are known beside raw prices only",
            )

    def key(self) -> SweepKey:
        """Return what decides the results beside the variants."""
        market = _hashes(self.market)
        seen = {name: digest for name, digest in market.items() if name.split(".")[1] not in _SOMETIMES}
        return SweepKey(
            market_hash=_joined(market),
            seen_hash=_joined(seen),
            scores_hash=_joined(_hashes(self.scores)),
            benchmark_hash="" if self.benchmark_returns is None else _joined(_hashes(self.benchmark_returns)),
            first=self.first,
            last=self.last,
            code=code_version(),
        )


@contextlib.contextmanager
def shared(inputs: SweepInput, *, below: Path | None) -> Iterator[Path]:
    """Write the arrays into a folder for the ``with`` block, for ``opened`` in other processes; as ``handed_over``."""
    inputs.ranking  # noqa: B018 - made before it is handed over, not by every worker
    with handed_over(inputs, below=below, what=_WHAT) as folder:
        yield folder


def opened(folder: str) -> SweepInput:
    """Return the arrays in a folder made by ``shared``, mapped into memory once a process; errors as ``taken_over``."""
    inputs: SweepInput = taken_over(folder, _WHAT)
    return inputs


def _hashes(value: Any) -> dict[str, str]:
    """Return the SHA-256 of each array and plain value that ``value`` holds, of its name, type, shape and bytes."""
    leaves = dict(_leaves("", value))
    with ThreadPoolExecutor(max_workers=2) as pool:
        return dict(zip(leaves, pool.map(_leaf_hash, leaves, leaves.values()), strict=True))


def _joined(digests: Mapping[str, str]) -> str:
    return hashlib.sha256("".join(digests.values()).encode()).hexdigest()


def _leaves(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Yield the arrays and plain values of ``value`` by dotted name; of a dataclass those of its fields."""
    if dataclasses.is_dataclass(value):
        for field in dataclasses.fields(value):
            yield from _leaves(f"{name}.{field.name}", getattr(value, field.name))
    elif isinstance(value, pd.DatetimeIndex):
        yield name, value.to_numpy(dtype="datetime64[ns]").view(np.int64)
    else:
        yield name, value


def _leaf_hash(name: str, value: Any) -> str:
    digest = hashlib.sha256(name.encode())
    if isinstance(value, np.ndarray):
        # a Fortran array is hashed as it lies; which order it has is no difference in what it says
        array = value.T if value.flags.f_contiguous else np.ascontiguousarray(value.T)
        digest.update(f"{array.dtype.str}{array.shape}".encode())
        digest.update(array.data)
    else:
        digest.update(json.dumps(value).encode())
    return digest.hexdigest()
