"""What is chosen about prediction intervals, and what they have learned so far: two frozen records, the second as JSON.

Not here: how a state is used and goes on (``conformal.py``).
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ljwx_pipeline.config import UncertaintySettings
from ljwx_pipeline.errors import ModelError

Float = NDArray[np.float64]
Int = NDArray[np.int64]

FORMAT = 1
#: Normalised residuals beyond this many scales count as this.
MOST_SCALES = 50.0
#: Bin edges of normalised residuals, even steps of asinh(2 x): 0.013 scales about zero, 2.7 % of the value far out.
EDGES: Float = np.sinh(np.linspace(-math.asinh(2 * MOST_SCALES), math.asinh(2 * MOST_SCALES), 401)) / 2
BINS = len(EDGES) - 1


@dataclass(frozen=True)
class IntervalParams:
    """What is chosen.

    Parameters
    ----------
    coverage
        Share of outcomes the interval shall hold; each end shall be missed by half of the rest.
    reach_sessions
        Sessions from a score to the close that makes its outcome known: entry lag plus horizon.
    half_life_sessions
        Sessions after which a matured session weighs half in the distribution of residuals and in the score's slope.
    least_sessions
        Matured sessions with a known outcome before there is any interval, and of a group before it has one.
    step
        How far the logarithm of an end's distance moves, per unit of excess misses of a session.
    group_step
        The same for what a group has beyond all.
    group_prior_rows
        A group of so many rows in a session moves by half of ``group_step``, a smaller one by less.

    Raises
    ------
    ModelError
        For a value out of range.
    """

    coverage: float
    reach_sessions: int
    half_life_sessions: float
    least_sessions: int
    step: float
    group_step: float
    group_prior_rows: float

    def __post_init__(self) -> None:
        ranges = {
            "coverage": (0.0 < self.coverage < 1.0, "between 0 and 1"),
            "reach_sessions": (self.reach_sessions >= 1, "at least 1"),
            "half_life_sessions": (0.0 < self.half_life_sessions < math.inf, "above 0"),
            "least_sessions": (self.least_sessions >= 1, "at least 1"),
            "step": (0.0 <= self.step <= 1.0, "from 0 to 1"),
            "group_step": (0.0 <= self.group_step <= 1.0, "from 0 to 1"),
            "group_prior_rows": (0.0 <= self.group_prior_rows < math.inf, "0 or more"),
        }
        for name, (holds, allowed) in ranges.items():
            if not holds:
                raise ModelError(f"interval parameter {name} = {getattr(self, name)}", f"choose one {allowed}")

    @classmethod
    def of(cls, settings: UncertaintySettings, *, reach_sessions: int) -> IntervalParams:
        """Return the parameters that ``settings`` stand for, of outcomes known after ``reach_sessions``."""
        return cls(
            coverage=settings.coverage,
            reach_sessions=reach_sessions,
            half_life_sessions=settings.half_life_sessions,
            least_sessions=settings.least_sessions,
            step=settings.step,
            group_step=settings.group_step,
            group_prior_rows=settings.group_prior_rows,
        )

    @property
    def tail(self) -> float:
        """Share of outcomes that may lie beyond one end."""
        return (1.0 - self.coverage) / 2


@dataclass(frozen=True, eq=False)
class GroupState:
    """What is learned of the groups of one grouping, by code.

    Parameters
    ----------
    codes
        int64, ascending, never negative.
    offsets
        Shape ``(n_codes, 2)``: logarithm by which the lower and the upper end stand further out than those of all.
    sessions
        int64, shape ``(n_codes,)``: matured sessions with a row of the group.
    """

    codes: Int = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    offsets: Float = field(default_factory=lambda: np.empty((0, 2)))
    sessions: Int = field(default_factory=lambda: np.empty(0, dtype=np.int64))


@dataclass(frozen=True, eq=False)
class IntervalState:
    """What matured sessions have taught, all of it: handed on from session to session.

    Parameters
    ----------
    params
        What was chosen; a state of other parameters is another state.
    groups
        By name of the grouping (``industry``, ``volatility``), in the order they were declared.
    session
        Number of the newest session that has matured; -1 before the first.
    sessions
        Matured sessions with a known outcome.
    counts
        Shape ``(BINS,)``: decayed count of normalised residuals by bin of ``EDGES``.
    rank_outcome, rank_rank
        Decayed sums of rank times normalised outcome and of squared ranks: the slope is their ratio.
    offsets
        Shape ``(2,)``: logarithm by which the lower and the upper end stand further out than the residuals' quantiles.
    """

    params: IntervalParams
    groups: Mapping[str, GroupState]
    session: int = -1
    sessions: int = 0
    counts: Float = field(default_factory=lambda: np.zeros(BINS))
    rank_outcome: float = 0.0
    rank_rank: float = 0.0
    offsets: Float = field(default_factory=lambda: np.zeros(2))

    @classmethod
    def begin(cls, params: IntervalParams, groupings: tuple[str, ...] = ()) -> IntervalState:
        """Return the state that knows nothing, for groups by ``groupings``."""
        return cls(params, {name: GroupState() for name in groupings})

    @property
    def slope(self) -> float:
        """Normalised outcome per unit of rank; 0 while nothing is known."""
        return self.rank_outcome / self.rank_rank if self.rank_rank > 0 else 0.0

    def to_json(self) -> str:
        """Return the state as JSON text, the same for the same state; ``of_json`` gives the same bits back."""
        filled = np.flatnonzero(self.counts)
        tree = {
            "format": FORMAT,
            "params": asdict(self.params),
            "session": self.session,
            "sessions": self.sessions,
            "bins": BINS,
            "counts": [filled.tolist(), self.counts[filled].tolist()],
            "rank_outcome": self.rank_outcome,
            "rank_rank": self.rank_rank,
            "offsets": self.offsets.tolist(),
            "groups": [
                [name, group.codes.tolist(), group.offsets.tolist(), group.sessions.tolist()]
                for name, group in self.groups.items()
            ],
        }
        return json.dumps(tree, sort_keys=True, allow_nan=False) + "\n"

    @classmethod
    def of_json(cls, text: str) -> IntervalState:
        """Return the state that ``to_json`` wrote.

        Raises
        ------
        ModelError
            For text of another format, or damaged.
        """
        try:
            return _read(json.loads(text))
        except (ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError) as error:
            raise ModelError(
                f"the state of the prediction intervals cannot be read ({error})",
                "restore its last copy, or build it again from matured sessions",
            ) from None


def _read(tree: dict[str, Any]) -> IntervalState:
    if tree["format"] != FORMAT or tree["bins"] != BINS:
        raise ValueError(f"it is of format {tree['format']} with {tree['bins']} bins, not {FORMAT} with {BINS}")
    counts = np.zeros(BINS)
    places, values = tree["counts"]
    if any(not 0 <= place < BINS for place in places):
        raise ValueError(f"a count is of no bin from 0 to {BINS - 1}")
    counts[np.asarray(places, dtype=np.int64)] = np.asarray(values, dtype=np.float64)
    groups = {}
    for name, codes, offsets, sessions in tree["groups"]:
        group = GroupState(
            np.asarray(codes, dtype=np.int64),
            np.asarray(offsets, dtype=np.float64).reshape(len(codes), 2),
            np.asarray(sessions, dtype=np.int64).reshape(len(codes)),
        )
        if (np.diff(group.codes) <= 0).any() or (group.codes < 0).any() or not np.isfinite(group.offsets).all():
            raise ValueError(f"its groups by {name} are not codes in order with finite offsets")
        groups[str(name)] = group
    state = IntervalState(
        params=IntervalParams(**tree["params"]),
        groups=groups,
        session=int(tree["session"]),
        sessions=int(tree["sessions"]),
        counts=counts,
        rank_outcome=float(tree["rank_outcome"]),
        rank_rank=float(tree["rank_rank"]),
        offsets=np.asarray(tree["offsets"], dtype=np.float64).reshape(2),
    )
    numbers = (counts, state.offsets, np.array([state.rank_outcome, state.rank_rank]))
    if not all(np.isfinite(array).all() for array in numbers) or (counts < 0).any() or state.rank_rank < 0:
        raise ValueError("its sums are not finite, or negative where they cannot be")
    return state
