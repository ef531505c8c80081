"""Intervals that are carried on: all that a later process needs, as JSON, and the way on over further sessions.

Research walks from nothing over a whole history; the daily job and the runner go on from what research left in the
bundle, over the sessions since. The same sessions in any number of pieces give the same bits. Not here: where scores
and outcomes come from (``dataset/interval_inputs.py``), the loop (``walk.py``), one session (``conformal.py``).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ljwx_pipeline.errors import ModelError
from ljwx_pipeline.uncertainty.conformal import Intervals
from ljwx_pipeline.uncertainty.scale import ScaleState, terciles
from ljwx_pipeline.uncertainty.state import Float, IntervalParams, IntervalState
from ljwx_pipeline.uncertainty.walk import SessionInputs, steps

FORMAT = 1
INDUSTRY, VOLATILITY = "industry", "volatility"
_ENDS = ("lower", "upper", "centre", "scale", "rank")


@dataclass(frozen=True)
class ScaleParams:
    """How a stock's volatility over the horizon is reckoned; as in ``scale.return_scale``."""

    horizon: int
    floor: float
    least_returns: int


@dataclass(frozen=True, eq=False)
class CarriedIntervals:
    """What is known after a session.

    Parameters
    ----------
    session
        The last session it knows; None before the first.
    number
        Of that session, counted from the first ever walked; -1 before it.
    symbols
        Of the rows of ``scale`` and ``pending``.
    scales
        How volatility is reckoned.
    scale
        What is known of it.
    state
        What matured sessions have taught.
    pending
        Intervals that have not matured, oldest first.
    """

    session: date | None
    number: int
    symbols: tuple[str, ...]
    scales: ScaleParams
    scale: ScaleState
    state: IntervalState
    pending: tuple[Intervals, ...]

    @classmethod
    def begin(
        cls, params: IntervalParams, scales: ScaleParams, symbols: tuple[str, ...], *, industries: bool
    ) -> CarriedIntervals:
        """Return what is known before the first session: nothing; with ``industries`` these are groups as well."""
        groupings = (INDUSTRY, VOLATILITY) if industries else (VOLATILITY,)
        state = IntervalState.begin(params, groupings)
        return cls(None, -1, symbols, scales, ScaleState.begin(len(symbols)), state, ())

    @property
    def by_industry(self) -> bool:
        """Whether industries are groups."""
        return INDUSTRY in self.state.groups

    def of_symbols(self, symbols: tuple[str, ...]) -> CarriedIntervals:
        """Return the same over other symbols: of new ones nothing is known, what is left out is forgotten."""
        if symbols == self.symbols:
            return self
        at = pd.Index(self.symbols).get_indexer(pd.Index(symbols))
        known = at >= 0

        def rows(values: NDArray[Any], absent: float) -> NDArray[Any]:
            return np.where(known, values[..., np.maximum(at, 0)], np.asarray(absent, dtype=values.dtype))

        scale = ScaleState(rows(self.scale.sums, 0), rows(self.scale.weights, 0), rows(self.scale.seen, 0))
        pending = tuple(
            Intervals(
                session=one.session,
                groups={name: rows(codes, -1) for name, codes in one.groups.items()},
                **{name: rows(getattr(one, name), np.nan) for name in _ENDS},
            )
            for one in self.pending
        )
        return replace(self, symbols=symbols, scale=scale, pending=pending)

    def to_json(self) -> str:
        """Return it as JSON text, the same for the same; ``of_json`` gives the same bits back."""
        if self.session is None:
            raise ModelError("no session has been walked: there is nothing to carry on", "walk a history first")
        tree = {
            "format": FORMAT,
            "session": self.session.isoformat(),
            "number": self.number,
            "symbols": self.symbols,
            "horizon_sessions": self.scales.horizon,
            "min_daily_volatility_frac": self.scales.floor,
            "least_returns": self.scales.least_returns,
            "scale": [self.scale.sums.tolist(), self.scale.weights.tolist(), self.scale.seen.tolist()],
            "state": json.loads(self.state.to_json()),
            "pending": [_written(one) for one in self.pending],
        }
        return json.dumps(tree, sort_keys=True, allow_nan=False) + "\n"

    @classmethod
    def of_json(cls, text: str) -> CarriedIntervals:
        """Return what ``to_json`` wrote.

        Raises
        ------
        ModelError
            For text of another format, or damaged.
        """
        try:
            return _read(json.loads(text))
        except (ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError) as error:
            raise ModelError(
                f"the prediction intervals of a model cannot be read ({error!r})",
                "take the bundle again from the registry or train a new model",
            ) from None


@dataclass(frozen=True, eq=False)
class SessionArrays:
    """Sessions to go on over, arrays of shape ``(n_symbols, n_sessions)``; NaN is unknown.

    Parameters
    ----------
    symbols, sessions
        Axes. Sessions follow each other without a gap; those that have not matured yet must be among them.
    scores
        NaN for whoever may not be scored.
    returns
        ``scale.daily_returns``.
    outcomes
        Forward return where the name was scored and could be entered. Of a session it is read where it has matured by
        a later one of these, and never before.
    industries
        Integer codes, negative where unknown; None without.
    """

    symbols: tuple[str, ...]
    sessions: pd.DatetimeIndex
    scores: Float
    returns: Float
    outcomes: Float
    industries: NDArray[np.integer] | None = None

    def __post_init__(self) -> None:
        """Refuse arrays on other axes."""
        arrays = [self.scores, self.returns, self.outcomes, *([] if self.industries is None else [self.industries])]
        want = (len(self.symbols), len(self.sessions))
        if any(array.shape != want for array in arrays):
            raise ModelError(
                f"scores, returns, outcomes and industries have shapes {[array.shape for array in arrays]}, not {want}",
                "pass them on the same axes",
            )


@dataclass(frozen=True, eq=False)
class WalkedOn:
    """Intervals of the sessions gone over, and what is known after the last.

    ``lower``, ``upper`` and ``thirds`` (by volatility, int8) have the arrays' shape: NaN where there is no interval and
    -1 where no volatility is known, as on sessions that were known before.
    """

    lower: Float
    upper: Float
    thirds: NDArray[np.int8]
    carried: CarriedIntervals


def walked_on(before: CarriedIntervals, arrays: SessionArrays) -> WalkedOn:
    """Return the intervals of every session of ``arrays`` after the last that ``before`` knows.

    Raises
    ------
    ModelError
        When that session is not among ``arrays``, or one is missing whose outcomes mature; or where industries are
        groups and none are given.
    """
    before = before.of_symbols(arrays.symbols)
    first = _first(before, arrays)
    industries = arrays.industries
    if before.by_industry and industries is None:
        raise ModelError("the intervals differ by industry, and no industry is told", "give each name's industry")
    lower, upper = np.full(arrays.scores.shape, np.nan), np.full(arrays.scores.shape, np.nan)
    thirds = np.full(arrays.scores.shape, -1, dtype=np.int8)
    state, scale, pending, number = before.state, before.scale, before.pending, before.number

    def inputs() -> Iterator[SessionInputs]:
        nonlocal scale
        params = before.scales
        for column in range(first, len(arrays.sessions)):
            scale = scale.after(arrays.returns[:, column])
            scores = np.ascontiguousarray(arrays.scores[:, column])
            scales = scale.scales(horizon=params.horizon, floor=params.floor, least_returns=params.least_returns)
            # thirds are those of the names scored, as ranks are
            scales = np.where(np.isfinite(scores), scales, np.nan)
            groups: dict[str, NDArray[np.integer]] = {VOLATILITY: terciles(scales[:, None])[:, 0]}
            if before.by_industry and industries is not None:
                groups[INDUSTRY] = industries[:, column]
            yield SessionInputs(scores, scales, groups)

    def outcomes(issued: int) -> Float:
        return arrays.outcomes[:, first + issued - before.number - 1]

    for column, step in enumerate(steps(state, pending, number, inputs(), outcomes), start=first):
        lower[:, column], upper[:, column] = step.issued.lower, step.issued.upper
        thirds[:, column] = step.issued.groups[VOLATILITY]
        state, pending, number = step.state, step.pending, step.issued.session
    session = before.session if first == len(arrays.sessions) else arrays.sessions[-1].date()
    carried = replace(before, session=session, number=number, scale=scale, state=state, pending=pending)
    return WalkedOn(lower, upper, thirds, carried)


def _first(before: CarriedIntervals, arrays: SessionArrays) -> int:
    """Return the position of the first session to go over."""
    if before.session is None:
        return 0
    at = int(arrays.sessions.get_indexer(pd.DatetimeIndex([pd.Timestamp(before.session)]))[0])
    oldest = before.pending[0].session if before.pending else before.number
    if at < 0 or at < before.number - oldest:
        span = f"{arrays.sessions[0]:%Y-%m-%d} to {arrays.sessions[-1]:%Y-%m-%d}" if len(arrays.sessions) else "none"
        raise ModelError(
            f"the intervals stand at {before.session} and wait for the outcomes of {len(before.pending)} sessions up "
            f"to it, the sessions at hand are {span}",
            "give earlier sessions, or train a new model",
        )
    return at + 1


def _written(issued: Intervals) -> dict[str, Any]:
    """Return the rows that will teach something: scored, with a known scale."""
    rows = np.flatnonzero(np.isfinite(issued.rank))
    ends = {name: [None if np.isnan(v) else v for v in getattr(issued, name)[rows].tolist()] for name in _ENDS}
    groups = {name: codes[rows].tolist() for name, codes in issued.groups.items()}
    return {"session": issued.session, "rows": rows.tolist(), **ends, "groups": groups}


def _read(tree: Mapping[str, Any]) -> CarriedIntervals:
    if tree["format"] != FORMAT:
        raise ValueError(f"it is of format {tree['format']}, not {FORMAT}")
    symbols = tuple(str(symbol) for symbol in tree["symbols"])
    n = len(symbols)
    sums, weights, seen = tree["scale"]
    scale = ScaleState(
        np.asarray(sums, dtype=np.float64).reshape(-1, n),
        np.asarray(weights, dtype=np.float64).reshape(-1, n),
        np.asarray(seen, dtype=np.int64).reshape(n),
    )
    shapes_hold = scale.sums.shape == scale.weights.shape == ScaleState.begin(n).sums.shape
    if not shapes_hold or not (np.isfinite(scale.sums).all() and np.isfinite(scale.weights).all()):
        raise ValueError("its volatilities are not finite sums by half-life")
    scales = ScaleParams(
        int(tree["horizon_sessions"]), float(tree["min_daily_volatility_frac"]), int(tree["least_returns"])
    )
    state, number = IntervalState.of_json(json.dumps(tree["state"])), int(tree["number"])
    pending = tuple(_read_issued(one, n, state) for one in tree["pending"])
    numbers = [state.session, *(one.session for one in pending), number + 1]
    if any(later <= earlier for earlier, later in pairwise(numbers)):
        raise ValueError(f"its sessions are numbered {numbers[:-1]} up to {number}")
    return CarriedIntervals(date.fromisoformat(tree["session"]), number, symbols, scales, scale, state, pending)


def _read_issued(tree: Mapping[str, Any], n: int, state: IntervalState) -> Intervals:
    rows = np.asarray(tree["rows"], dtype=np.int64)
    if ((rows < 0) | (rows >= n)).any() or (np.diff(rows) <= 0).any() or set(tree["groups"]) != set(state.groups):
        raise ValueError("its pending intervals are of no rows and groups that it knows")

    def spread(values: list[Any], absent: float, dtype: type[np.generic]) -> NDArray[Any]:
        out = np.full(n, absent, dtype=dtype)
        out[rows] = np.array([absent if value is None else value for value in values], dtype=dtype).reshape(len(rows))
        return out

    ends = {name: spread(tree[name], np.nan, np.float64) for name in _ENDS}
    groups = {str(name): spread(codes, -1, np.int64) for name, codes in tree["groups"].items()}
    return Intervals(session=int(tree["session"]), groups=groups, **ends)
