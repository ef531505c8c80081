"""Whether a step between factors and scores uses what was not known when training ended.

A label of session ``s`` is known ``purge_sessions`` later, so what is fitted or chosen at ``train_stop`` may use labels
of sessions up to ``train_stop - purge_sessions`` and no later ones, and features of earlier sessions alone. Rows and
labels beyond that are changed, the step runs again, and what it said before must stand.
Not here: factors (``function_checks.py``), the line's own folds and models (``dataset/``, ``models/``).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ljwx_pipeline.errors import FactorError
from ljwx_pipeline.factors.leaks.findings import Finding, differing
from ljwx_pipeline.factors.leaks.market import FIRST_ROW, Market
from ljwx_pipeline.label import forward_returns
from ljwx_pipeline.market.ranges import UNKNOWN, range_labels

Bool = NDArray[np.bool_]
#: The label of the table: entered this many sessions later, held that many.
ENTRY, HORIZON = 1, 5
PURGE_SESSIONS = ENTRY + HORIZON
#: Sessions before the first row: the features' longest window.
WARM_UP = 21
TRAIN_SHARE = 0.6
#: Training rows whose own label is changed, one at a time.
OWN_LABELS = 5
KEYS = ("symbol", "session_date")


@dataclass(frozen=True)
class Table:
    """What steps are handed: features and labels, row by row, and where training stops.

    Parameters
    ----------
    features
        ``symbol``, ``session_date``, five numbers a row and its ``industry``; by session, then symbol.
    labels
        ``symbol``, ``session_date``, ``forward_return`` and ``label`` (its rank in the session, -0.5 to 0.5), row for
        row as ``features``; NaN past the data.
    sessions
        Sessions of the rows, ascending.
    stop
        Position in ``sessions`` of ``train_stop``, the first session that is not trained on.
    """

    features: pd.DataFrame
    labels: pd.DataFrame
    sessions: pd.DatetimeIndex
    stop: int

    @property
    def positions(self) -> NDArray[np.int64]:
        """Return each row's position in ``sessions``."""
        return np.asarray(self.sessions.searchsorted(pd.DatetimeIndex(self.features["session_date"])), dtype=np.int64)

    def offered(self) -> dict[str, Any]:
        """Return what a step may ask for, in copies it may write to."""
        return {
            "features": self.features.copy(),
            "labels": self.labels.copy(),
            "train_stop": self.sessions[self.stop],
            "purge_sessions": PURGE_SESSIONS,
            "sessions": self.sessions,
        }

    def with_labels(self, rows: Bool, values: NDArray[np.float64]) -> Table:
        """Return the table with other forward returns in ``rows``, ranked anew where they changed."""
        changed = self.labels["forward_return"].to_numpy(dtype=np.float64).copy()
        changed[rows] = values[rows]
        return Table(self.features, _ranked(self.labels.assign(forward_return=changed)), self.sessions, self.stop)

    def with_features(self, rows: Bool) -> Table:
        """Return the table with other features in ``rows``: numbers beyond any known, industries moved on."""
        rng = np.random.default_rng(7)
        out = self.features.copy()
        for name in out.columns.difference(list(KEYS)):
            if out[name].dtype == object:
                known = sorted(out[name].unique())
                moved = out[name].map(dict(zip(known, [*known[1:], known[0]], strict=True)))
                out[name] = out[name].where(~rows, moved)
            else:
                noise = pd.Series(rng.normal(3, 5, len(out)) * float(out[name].std()), index=out.index)
                out[name] = out[name].where(~rows, out[name] * 5 + noise)
        return Table(out, self.labels, self.sessions, self.stop)


#: A step with what the table offers, in; what the author returns, out.
Step = Callable[[Mapping[str, Any]], Any]


def sample_table(market: Market) -> Table:
    """Return the table of a market: plain features and the five-session return entered at the next close."""
    panel = market.panel
    close, volume = panel.fields["close"], panel.fields["volume"]
    prices = pd.DataFrame(close.T)
    ret = prices.pct_change(fill_method=None)
    numbers: dict[str, pd.DataFrame] = {
        "return_1": ret,
        "return_5": prices / prices.shift(5) - 1,
        "return_20": prices / prices.shift(20) - 1,
        "volatility_20": ret.rolling(20, min_periods=10).std(),
        "log_volume": pd.DataFrame(np.log(volume.T)),
    }
    forward = forward_returns(close, entry=ENTRY, horizon=HORIZON)
    at_session, at_symbol = np.nonzero(~np.isnan(close[:, WARM_UP:]).T)
    at_session = at_session + WARM_UP
    keys: dict[str, Any] = {
        "symbol": np.array(panel.symbols, dtype=object)[at_symbol],
        "session_date": panel.sessions[at_session],
    }
    rows = pd.RangeIndex(FIRST_ROW, FIRST_ROW + len(at_symbol))
    columns = {name: frame.to_numpy()[at_session, at_symbol] for name, frame in numbers.items()}
    features = pd.DataFrame(keys | columns, index=rows)
    features["industry"] = _industry(market, features)
    labels = _ranked(pd.DataFrame(keys | {"forward_return": forward[at_symbol, at_session]}, index=rows))
    sessions = pd.DatetimeIndex(sorted(features["session_date"].unique()))
    return Table(features, labels, sessions, int(len(sessions) * TRAIN_SHARE))


def judge_transform(name: str, step: Step, table: Table, *, scores: bool = False) -> list[Finding]:
    """Return what a step that makes columns of rows may not have used.

    Parameters
    ----------
    name
        What to call it.
    step
        Returns a frame (or series) with the rows of ``features`` or some of them.
    table
        From ``sample_table``.
    scores
        Whether it gives scores of tested rows: then what it says of training rows is not judged, since a model has
        seen their labels.
    """
    at, stop = table.positions, table.stop
    middle = (stop + len(table.sessions)) // 2
    base = _Rows(name, table, step)
    base.require_repeatable()
    flipped = -10 * table.labels["forward_return"].to_numpy(dtype=np.float64)
    tested = at >= stop
    found = [
        base.against(
            table.with_features(at >= middle),
            at < middle if not scores else tested & (at < middle),
            "full-sample-fit",
            "in a table whose later rows are different",
            middle,
        ),
        base.against(
            table.with_labels(tested, flipped),
            (at < stop + PURGE_SESSIONS) & (tested | (not scores)),
            "test-rows",
            "in a table whose labels from train_stop on are different",
            stop,
        ),
        base.against(
            table.with_labels((at > stop - PURGE_SESSIONS) & (at < stop), flipped),
            at == stop,
            "label-overlap",
            "in a table whose labels not yet known at train_stop are different",
            stop,
        ),
    ]
    if not scores:
        found.append(
            base.against(
                table.with_features(tested),
                ~tested,
                "full-sample-fit",
                "in a table whose tested rows are different",
                stop,
            )
        )
        found.append(base.own_labels(~tested))
    return _one_a_kind(found)


def judge_choice(name: str, step: Step, table: Table) -> list[Finding]:
    """Return what a step that chooses (parameters, features, rounds) may not have used.

    A choice is coarse: it may look at a label and not move. So the labels are changed in many ways, most of them so
    that one feature or another foretells them well.
    """
    chosen = step(table.offered())
    if not _same(chosen, step(table.offered())):
        raise FactorError(f"{name} chooses differently on the same table", "seed its random numbers")
    at, stop = table.positions, table.stop
    findings = []
    for kind, rows, said in (
        ("test-rows", at >= stop, "labels from train_stop on"),
        ("label-overlap", (at > stop - PURGE_SESSIONS) & (at < stop), "labels not yet known at train_stop"),
    ):
        for labels in _other_labels(table):
            other = step(table.with_labels(rows, labels).offered())
            if not _same(chosen, other):
                findings.append(_choice_finding(name, kind, table, chosen, other, int(rows.sum()), said))
                break
    other = step(table.with_features(at >= stop).offered())
    if not findings and not _same(chosen, other):
        findings.append(
            _choice_finding(name, "test-rows", table, chosen, other, int((at >= stop).sum()), "rows from train_stop on")
        )
    return findings


def judge_split(name: str, step: Step, table: Table) -> list[Finding]:
    """Return the first training session of each kind whose label is known too late for a tested one, or the reverse.

    The step returns pairs (training sessions, tested sessions), as dates or as positions in ``sessions``.
    """
    pairs = step(table.offered())
    found: dict[str, Finding] = {}
    cells: dict[str, int] = {}
    for number, (train, test) in enumerate(_pairs(name, pairs, table.sessions)):
        gap = np.abs(train[:, None] - test[None, :]).min(axis=1)
        for kind, wrong in (("test-rows", gap == 0), ("label-overlap", (gap > 0) & (gap < PURGE_SESSIONS))):
            cells[kind] = cells.get(kind, 0) + int(wrong.sum())
            if wrong.any() and kind not in found:
                first = int(train[wrong][0])
                found[kind] = Finding(
                    kind=kind,
                    factor=name,
                    symbol="",
                    session=table.sessions[first].date(),
                    before=float(gap[wrong][0]),
                    after=float(PURGE_SESSIONS),
                    cells=0,
                    world=f"as the least sessions from it to a tested one (split {number})",
                )
    return [Finding(**{**finding.__dict__, "cells": cells[kind]}) for kind, finding in found.items()]


class _Rows:
    """What a step says of the table as it is, row by row."""

    def __init__(self, name: str, table: Table, step: Step) -> None:
        self._name = name
        self._table = table
        self._step = step
        self._columns = _columns(name, step(table.offered()), table)

    def require_repeatable(self) -> None:
        again = _columns(self._name, self._step(self._table.offered()), self._table)
        for name, values in self._columns.items():
            if name not in again or differing(values, again[name]).any():
                raise FactorError(f"{self._name} gives other values on the same table", "seed its random numbers")

    def against(self, other: Table, rows: Bool, kind: str, said: str, cut: int) -> Finding | None:
        """Return the first of ``rows`` that the step says otherwise of in another table."""
        there = _columns(self._name, self._step(other.offered()), other)
        first: Finding | None = None
        cells = 0
        for name, before in self._columns.items():
            after = there.get(name, np.full_like(before, np.nan))
            unlike = differing(before, after, rounding=True) & rows
            cells += int(unlike.sum())
            if unlike.any() and first is None:
                at = int(np.flatnonzero(unlike)[0])
                key = self._table.features.iloc[at]
                first = Finding(
                    kind=kind,
                    factor=f"{self._name}: {name}",
                    symbol=str(key["symbol"]),
                    session=key["session_date"].date(),
                    before=float(before[at]),
                    after=float(after[at]),
                    cells=0,
                    cut=self._table.sessions[cut].date(),
                    world=said,
                )
        return None if first is None else Finding(**{**first.__dict__, "cells": cells})

    def own_labels(self, rows: Bool) -> Finding | None:
        """Return the first of a few training rows whose own label, changed alone, changes what is said of the row."""
        forward = self._table.labels["forward_return"].to_numpy(dtype=np.float64)
        candidates = np.flatnonzero(rows & ~np.isnan(forward))
        for at in candidates[np.linspace(0, len(candidates) - 1, OWN_LABELS).astype(np.int64)]:
            alone = np.arange(len(forward)) == at
            other = self._table.with_labels(alone, forward + 10 * float(np.nanstd(forward)))
            cut = int(self._table.positions[at])
            finding = self.against(other, alone, "own-label", "in a table where this row's label is different", cut)
            if finding is not None:
                return finding
        return None


def _one_a_kind(found: Iterable[Finding | None]) -> list[Finding]:
    kept: dict[str, Finding] = {}
    for finding in found:
        if finding is not None:
            kept.setdefault(finding.kind, finding)
    if "full-sample-fit" not in kept and "test-rows" in kept:
        kept.pop("label-overlap", None)  # whoever uses tested labels uses those before them too
    return list(kept.values())


def _columns(name: str, answer: Any, table: Table) -> dict[str, NDArray[np.float64]]:
    frame = answer.to_frame(name=answer.name or "value") if isinstance(answer, pd.Series) else answer
    if not isinstance(frame, pd.DataFrame):
        raise FactorError(
            f"{name} returns a {type(answer).__name__}", "return a DataFrame or Series with rows of features"
        )
    if set(KEYS) <= set(frame.columns):
        wanted = pd.MultiIndex.from_frame(table.features[list(KEYS)])
        frame = frame.set_index(list(KEYS))
        if frame.index.has_duplicates:
            raise FactorError(f"{name} returns two rows of one symbol and session", "return one")
        frame = frame.reindex(wanted)
    elif frame.index.isin(table.features.index).all() and frame.index.is_unique:
        frame = frame.reindex(table.features.index)
    else:
        raise FactorError(
            f"{name} returns rows that are not those of features", "keep the index, or the columns symbol, session_date"
        )
    numbers = frame.select_dtypes(include=["number", "bool"]).astype(np.float64)
    if numbers.columns.empty:
        raise FactorError(f"{name} returns no column of numbers", "return what the model learns from")
    return {str(column): numbers[column].to_numpy() for column in numbers.columns}


def _industry(market: Market, features: pd.DataFrame) -> NDArray[np.object_]:
    """Return each row's industry on its session, ``unknown`` where no table says."""
    panel = market.panel
    if "industries" not in market.tables:
        return np.full(len(features), UNKNOWN, dtype=object)
    dense = range_labels(market.tables["industries"], "industry", panel.symbols, panel.sessions)
    at_symbol = pd.Index(panel.symbols).get_indexer(pd.Index(features["symbol"]))
    return np.asarray(dense[at_symbol, panel.sessions.searchsorted(pd.DatetimeIndex(features["session_date"]))])


def _ranked(labels: pd.DataFrame) -> pd.DataFrame:
    by_session = labels.groupby("session_date")["forward_return"]
    rank, count = by_session.rank(), by_session.transform("count")
    return labels.assign(label=((rank - 1) / (count - 1).clip(lower=1) - 0.5))


def _other_labels(table: Table) -> Iterable[NDArray[np.float64]]:
    """Yield other forward returns for every row: turned over, noise, and each feature, either way up."""
    forward = table.labels["forward_return"].to_numpy(dtype=np.float64)
    spread = 20 * float(np.nanstd(forward))
    yield -20 * forward
    for name, sign in itertools.product(table.features.columns.difference([*KEYS, "industry"]), (1.0, -1.0)):
        values = table.features[name].to_numpy(dtype=np.float64)
        yield sign * spread * np.nan_to_num((values - np.nanmean(values)) / np.nanstd(values))
    yield np.random.default_rng(11).normal(0, spread, len(forward))
    yield np.zeros(len(forward))


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return list(one) == list(other) and all(_same(one[key], other[key]) for key in one)
    if isinstance(one, np.ndarray | pd.Series | pd.DataFrame) or isinstance(other, np.ndarray | pd.Series):
        return type(one) is type(other) and np.array_equal(np.asarray(one), np.asarray(other))
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(_same, one, other))
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=1e-9, abs_tol=1e-12) or (math.isnan(one) and math.isnan(other))
    return bool(one == other)


def _choice_finding(name: str, kind: str, table: Table, chosen: Any, other: Any, cells: int, said: str) -> Finding:
    before, after = _number(chosen, other)
    return Finding(
        kind=kind,
        factor=name,
        symbol="",
        session=table.sessions[table.stop].date(),
        before=before,
        after=after,
        cells=cells,
        cut=table.sessions[table.stop].date(),
        world=f"in a table with other {said}, where {other!r:.80} is chosen and not {chosen!r:.80}",
    )


def _number(one: Any, other: Any) -> tuple[float, float]:
    """Return the first pair of numbers that differ, NaN where the choices hold none."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        pairs = [_number(one[key], other.get(key)) for key in one if not _same(one[key], other.get(key))]
        return pairs[0] if pairs else (math.nan, math.nan)
    if isinstance(one, int | float) and isinstance(other, int | float):
        return float(one), float(other)
    return math.nan, math.nan


def _pairs(name: str, pairs: Any, sessions: pd.DatetimeIndex) -> Iterable[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    try:
        listed: Sequence[Any] = list(pairs)
        halves = [(train, test) for train, test in listed]
    except (TypeError, ValueError):
        raise FactorError(f"{name} returns no pairs", "return [(training sessions, tested sessions), ...]") from None
    if not halves:
        raise FactorError(f"{name} returns no split", "return at least one pair")
    return [(_session_numbers(name, train, sessions), _session_numbers(name, test, sessions)) for train, test in halves]


def _session_numbers(name: str, half: Any, sessions: pd.DatetimeIndex) -> NDArray[np.int64]:
    values = np.asarray(half)
    if values.dtype.kind in "iu":
        numbers = values.astype(np.int64)
    else:
        numbers = np.asarray(sessions.get_indexer(pd.DatetimeIndex(half)), dtype=np.int64)
    if not len(numbers) or (numbers < 0).any() or (numbers >= len(sessions)).any():
        raise FactorError(f"{name} returns an empty half or one off the sessions", "split the sessions it is given")
    return np.unique(numbers)
