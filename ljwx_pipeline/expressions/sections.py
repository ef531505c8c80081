"""Compiled kernels of cross-sections: one session's values of all symbols in, one value a symbol out.

The members of a session are gathered first, in the order of the panel's symbols, and every sum runs over them alone in
that order: a value does not depend on who else stands in the panel, on how categories are numbered, or on threads.
Not here: which sessions and symbols are asked for (``stages.py``).
"""

from __future__ import annotations

import math
from enum import IntEnum, auto

import numpy as np
from numpy.typing import NDArray

from ljwx_pipeline.compiled import kernel

Values = NDArray[np.float64]
Places = NDArray[np.int64]
#: A median absolute deviation times this estimates a normal standard deviation.
NORMAL_MAD = 1.4826
#: Deviations below this share of the mean are rounding: the cross-section is flat.
FLAT_FRAC = 1e-14
#: A regressor of which no larger share is left beside the groups and the earlier regressors tells nothing new.
COLLINEAR_FRAC = 1e-9


class Section(IntEnum):
    """What a cross-section computes; from ``GROUP_RANK`` on the second input is a category."""

    RANK = auto()
    ZSCORE = auto()
    DEMEAN = auto()
    MEAN = auto()
    SCALE = auto()
    WINSORISE = auto()
    WINSORISE_MAD = auto()
    NEUTRALISE = auto()
    GROUP_RANK = auto()
    GROUP_ZSCORE = auto()
    GROUP_DEMEAN = auto()
    GROUP_MEAN = auto()
    NEUTRALISE_IN_GROUPS = auto()


#: Statistics of the values in their order, whoever holds them: numpy sorts with vector instructions, we do not.
ORDERED = (Section.RANK, Section.WINSORISE, Section.WINSORISE_MAD)


@kernel
def mean_of(x: Values) -> float:
    """Return the mean, summed in order."""
    total = 0.0
    for i in range(len(x)):
        total += x[i]
    return total / len(x)


@kernel
def percentiles(out: Values, ordered: Values) -> None:
    """Write ranks of ascending values over their number, in (0, 1]; equals share their mean rank."""
    n = len(ordered)
    first = 0
    while first < n:
        last = first
        while last + 1 < n and ordered[last + 1] == ordered[first]:
            last += 1
        out[first : last + 1] = ((first + last) / 2.0 + 1.0) / n
        first = last + 1


@kernel
def standard_scores(out: Values, x: Values) -> None:
    """Write distances from the mean in sample standard deviations; NaN for one value, or where all are equal."""
    n, mean = len(x), mean_of(x)
    squares = 0.0
    for i in range(n):
        squares += (x[i] - mean) * (x[i] - mean)
    edge = FLAT_FRAC * mean
    flat = n < 2 or squares <= n * edge * edge
    for i in range(n):
        out[i] = np.nan if flat else (x[i] - mean) / math.sqrt(squares / (n - 1.0))


@kernel
def sorted_quantile(ordered: Values, level: float) -> float:
    """Return the quantile of ascending values, linear between order statistics."""
    place = level * (len(ordered) - 1)
    low = int(place)
    found: float = ordered[low]
    if low + 1 < len(ordered):
        found += (ordered[low + 1] - ordered[low]) * (place - low)
    return found


@kernel
def clip_between(out: Values, x: Values, low: float, high: float) -> None:
    """Write ``x`` held between two bounds."""
    for i in range(len(x)):
        out[i] = min(max(x[i], low), high)


@kernel
def winsorised(out: Values, ordered: Values, lower: float, upper: float) -> None:
    """Write ascending values held between two of their quantiles."""
    clip_between(out, ordered, sorted_quantile(ordered, lower), sorted_quantile(ordered, upper))


@kernel
def winsorised_by_mad(out: Values, ordered: Values, deviations: float) -> None:
    """Write ascending values held within so many scaled MADs of their median; as they are where the MAD is 0."""
    median = sorted_quantile(ordered, 0.5)
    reach = deviations * NORMAL_MAD * sorted_quantile(np.sort(np.abs(ordered - median)), 0.5)
    if reach > 0.0:
        clip_between(out, ordered, median - reach, median + reach)
    else:
        out[:] = ordered


@kernel
def absolute_shares(out: Values, x: Values) -> None:
    """Write ``x`` over the sum of its absolute values; NaN where that is 0."""
    total = 0.0
    for i in range(len(x)):
        total += abs(x[i])
    for i in range(len(x)):
        out[i] = x[i] / total if total > 0.0 else np.nan


@kernel
def demean_groups(x: Values, order: Places, starts: Places) -> None:
    """Take each group's mean out of ``x``, in place; a group is ``order[starts[g]:starts[g + 1]]``."""
    for group in range(len(starts) - 1):
        first, stop = starts[group], starts[group + 1]
        total = 0.0
        for i in range(first, stop):
            total += x[order[i]]
        for i in range(first, stop):
            x[order[i]] -= total / (stop - first)


@kernel
def dot(x: Values, y: Values) -> float:
    """Return the sum of products, in order."""
    total = 0.0
    for i in range(len(x)):
        total += x[i] * y[i]
    return total


@kernel
def residuals(out: Values, x: Values, regressors: Values, order: Places, starts: Places) -> None:
    """Write what least squares on group intercepts and ``regressors``, shape ``(k, n)``, leaves of ``x``.

    Regressors are made orthogonal in their order, twice for the sake of rounding; one that is collinear with what came
    before it, or for which no degree of freedom is left, is left out.
    """
    out[:] = x
    demean_groups(out, order, starts)
    free = len(x) - (len(starts) - 1)
    kept = np.empty(regressors.shape)
    lengths = np.empty(len(regressors))
    count = 0
    for k in range(len(regressors)):
        if free < 2:
            break
        z = kept[count]
        z[:] = regressors[k]
        whole = math.sqrt(dot(z, z))
        for _ in range(2):
            demean_groups(z, order, starts)
            for j in range(count):
                share = dot(z, kept[j]) / lengths[j]
                for i in range(len(z)):
                    z[i] -= share * kept[j, i]
        length = dot(z, z)
        if math.sqrt(length) > COLLINEAR_FRAC * whole:
            lengths[count] = length
            count += 1
            free -= 1
    for j in range(count):
        share = dot(out, kept[j]) / lengths[j]
        for i in range(len(out)):
            out[i] -= share * kept[j, i]


@kernel
def one_group(code: int, out: Values, x: Values) -> None:
    """Write a statistic that needs nothing but the values of one group, which may be all."""
    if code == Section.GROUP_RANK:
        order = np.argsort(x)
        ranks = np.empty(len(x))
        percentiles(ranks, x[order])
        out[order] = ranks
    elif code == Section.ZSCORE or code == Section.GROUP_ZSCORE:
        standard_scores(out, x)
    elif code == Section.DEMEAN or code == Section.GROUP_DEMEAN:
        out[:] = x - mean_of(x)
    elif code == Section.MEAN or code == Section.GROUP_MEAN:
        out[:] = mean_of(x)
    elif code == Section.SCALE:
        absolute_shares(out, x)


@kernel
def gather_known(rows: Places, inputs: Values, member: NDArray[np.bool_]) -> int:
    """Write the members of which every input, shape ``(n_inputs, n_symbols)``, is finite; return how many there are."""
    n = 0
    for symbol in range(len(member)):
        known = member[symbol]
        for i in range(len(inputs)):
            known = known and abs(inputs[i, symbol]) < np.inf
        if known:
            rows[n] = symbol
            n += 1
    return n


@kernel
def group_starts(codes: Values, order: Places) -> Places:
    """Return where each group begins in ``order``, and its end; ``order`` sorts the codes."""
    starts = np.empty(len(codes) + 1, dtype=np.int64)
    groups = 0
    for i in range(len(codes)):
        if i == 0 or codes[order[i]] != codes[order[i - 1]]:
            starts[groups] = i
            groups += 1
    starts[groups] = len(codes)
    return starts[: groups + 1]


@kernel
def each_group(code: int, out: Values, x: Values, order: Places, starts: Places) -> None:
    """Write a statistic of each group."""
    for group in range(len(starts) - 1):
        mine = order[starts[group] : starts[group + 1]]
        part = np.empty(len(mine))
        one_group(code, part, x[mine])
        out[mine] = part


@kernel
def run_section(
    code: int, low: float, high: float, inputs: Values, member: NDArray[np.bool_], ascending: Places, out: Values
) -> None:
    """Compute one cross-section statistic over some sessions.

    Parameters
    ----------
    code
        A ``Section``.
    low, high
        Its numbers, where it has any.
    inputs
        float64, shape ``(n_inputs, n_sessions, n_symbols)``: the series, the category where the statistic has one,
        the regressors.
    member
        Who belongs, shape ``(n_sessions, n_symbols)``.
    ascending
        For a statistic of ``ORDERED`` each session's symbols, those that enter it first and by their value; of that
        shape. Else empty.
    out
        float64 of that shape: NaN for who does not belong and where an input is unknown or infinite.
    """
    places = np.empty(out.shape[1], dtype=np.int64)
    grouped = code >= Section.GROUP_RANK
    for session in range(out.shape[0]):
        here = inputs[:, session]
        out[session] = np.nan
        rows = places[: gather_known(places, here, member[session])]
        n = len(rows)
        if n == 0:
            continue
        if len(ascending) > 0:
            rows = ascending[session, :n]
        x, y = here[0][rows], np.empty(n)
        order, starts = np.arange(n), np.array([0, n])
        if grouped:
            codes = here[1][rows]
            order = np.argsort(codes, kind="mergesort")  # stable: within a group the symbols keep their order
            starts = group_starts(codes, order)
        if code == Section.RANK:
            percentiles(y, x)
        elif code == Section.WINSORISE:
            winsorised(y, x, low, high)
        elif code == Section.WINSORISE_MAD:
            winsorised_by_mad(y, x, low)
        elif code == Section.NEUTRALISE or code == Section.NEUTRALISE_IN_GROUPS:
            first = 2 if grouped else 1
            regressors = np.empty((len(here) - first, n))
            for k in range(len(regressors)):
                regressors[k] = here[first + k][rows]
            residuals(y, x, regressors, order, starts)
        else:
            each_group(code, y, x, order, starts)
        out[session][rows] = y
