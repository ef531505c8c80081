"""Two providers' bars for the same sessions, side by side. Not here: two versions of one provider (``history.py``)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ljwx_pipeline.quality.results import CheckResult, Severity
from ljwx_pipeline.quality.rule import SAMPLE

Float = NDArray[np.float64]

KEYS = ["symbol", "session_date"]
#: Kind of disagreement by column.
KINDS = {
    "open_cny": "price",
    "high_cny": "price",
    "low_cny": "price",
    "close_cny": "price",
    "pre_close_cny": "price",
    "volume_shares": "volume",
    "amount_cny": "amount",
    "adj_factor": "factor",
}
MISSING_ONE, MISSING_OTHER = "missing_one", "missing_other"
TWICE_ONE, TWICE_OTHER = "twice_one", "twice_other"


@dataclass(frozen=True)
class Tolerances:
    """How far two providers may differ and still agree.

    Parameters
    ----------
    price_cny
        Absolute: half a tick, as both give prices as traded.
    volume_frac, amount_frac
        Relative: providers round to lots and thousands.
    factor_frac
        Relative, of the quotient of the two factors to its median over the symbol: factors are equal only up to a
        constant a symbol.
    block_beyond_frac
        Share of rows that disagree or are missing beyond which the result blocks.
    """

    price_cny: float = 0.005
    volume_frac: float = 0.005
    amount_frac: float = 0.005
    factor_frac: float = 1e-3
    block_beyond_frac: float = 0.05


@dataclass(frozen=True)
class Reconciliation:
    """What two providers say otherwise.

    Parameters
    ----------
    disagreements
        ``symbol, session_date, kind, column, one, other, difference``; ``missing_one`` and ``missing_other`` are rows
        that this side lacks, ``twice_one`` and ``twice_other`` rows that it gives more than once, without a column and
        numbers.
    matched
        Rows both have.
    result
        The verdict: ``warn`` where anything differs, ``error`` beyond ``block_beyond_frac`` of the rows.
    """

    disagreements: pd.DataFrame
    matched: int
    result: CheckResult

    @property
    def counts(self) -> Mapping[str, int]:
        """Rows by kind of disagreement."""
        return _counts(self.disagreements)


def reconcile(
    one: pd.DataFrame,
    other: pd.DataFrame,
    *,
    names: tuple[str, str] = ("one", "other"),
    tolerances: Tolerances | None = None,
) -> Reconciliation:
    """Return where two tables of bars of the same sessions disagree.

    Parameters
    ----------
    one, other
        Canonical bars; of a row given more than once the first is compared.
    names
        The providers, for the message.
    tolerances
        None takes the defaults.
    """
    within = tolerances or Tolerances()
    left, right = one.set_index(KEYS), other.set_index(KEYS)
    again = [
        _keys_alone(table.index[table.index.duplicated()].unique(), kind)
        for table, kind in ((left, TWICE_ONE), (right, TWICE_OTHER))
    ]
    left, right = left[~left.index.duplicated()], right[~right.index.duplicated()]
    both = left.index.intersection(right.index)
    a, b = left.loc[both], right.loc[both]
    parts = [
        *again,
        _keys_alone(right.index.difference(left.index), MISSING_ONE),
        _keys_alone(left.index.difference(right.index), MISSING_OTHER),
    ]
    for column, kind in KINDS.items():
        mine, theirs = a[column].to_numpy(dtype=np.float64), b[column].to_numpy(dtype=np.float64)
        difference, far = _compared(kind, mine, theirs, both, within)
        far |= np.isnan(mine) != np.isnan(theirs)
        part = both[far].to_frame(index=False)
        parts.append(
            part.assign(kind=kind, column=column, one=mine[far], other=theirs[far], difference=difference[far])
        )
    table = pd.concat([part for part in parts if len(part)] or parts[:1], ignore_index=True)
    table = table.sort_values([*KEYS, "kind", "column"], ignore_index=True)
    judged = len(both) + int(table["kind"].isin([MISSING_ONE, MISSING_OTHER]).sum())
    return Reconciliation(table, len(both), _verdict(table, judged, names, within))


def _compared(
    kind: str, mine: Float, theirs: Float, keys: pd.Index, within: Tolerances
) -> tuple[Float, NDArray[np.bool_]]:
    if kind == "price":
        difference = mine - theirs
        return difference, np.abs(difference) > within.price_cny
    with np.errstate(divide="ignore", invalid="ignore"):
        quotient = np.where(mine == theirs, 1.0, mine / theirs)
    if kind == "factor":
        usual = pd.Series(quotient).groupby(keys.get_level_values("symbol")).transform("median").to_numpy()
        difference = quotient / usual - 1.0
        return difference, np.abs(difference) > within.factor_frac
    difference = quotient - 1.0
    return difference, np.abs(difference) > (within.volume_frac if kind == "volume" else within.amount_frac)


def _keys_alone(keys: pd.Index, kind: str) -> pd.DataFrame:
    return keys.to_frame(index=False).assign(kind=kind, column="", one=np.nan, other=np.nan, difference=np.nan)


def _counts(table: pd.DataFrame) -> dict[str, int]:
    by_kind = table.drop_duplicates([*KEYS, "kind"])["kind"].value_counts().sort_index()
    return {str(kind): int(n) for kind, n in by_kind.items()}


def _verdict(table: pd.DataFrame, judged: int, names: tuple[str, str], within: Tolerances) -> CheckResult:
    rows = table.drop_duplicates(KEYS)
    bad, counts = len(rows), _counts(table)
    measured = {"judged": judged, "bad": bad, **counts}
    name = "bars.agree_with_second_source"
    repair = "ask a third source about the rows listed, and correct the wrong side"
    if bad == 0:
        return CheckResult(name, True, "error", measured, f"{' and '.join(names)} agree on all {judged} rows", repair)
    severity: Severity = "error" if bad > within.block_beyond_frac * judged else "warn"
    said = ", ".join(
        f"{symbol} {day:%Y-%m-%d} ({kind})"
        for symbol, day, kind in rows[[*KEYS, "kind"]].head(SAMPLE).itertuples(index=False)
    )
    sides = {
        MISSING_ONE: f"missing in {names[0]}",
        MISSING_OTHER: f"missing in {names[1]}",
        TWICE_ONE: f"given twice in {names[0]}",
        TWICE_OTHER: f"given twice in {names[1]}",
    }
    kinds = ", ".join(f"{n} {sides.get(kind, kind)}" for kind, n in counts.items())
    message = f"{names[0]} and {names[1]} disagree on {bad} of {judged} rows ({kinds}); first {said}"
    return CheckResult(name, False, severity, measured, message, repair)
