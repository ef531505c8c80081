"""Jumps that reach beyond the block they happen in: a factor that missed an ex-date spoils every later row.

A block is judged with some sixty earlier sessions; a jump further back is carried from block to block by name. Not
here: finding a jump (``quality/anomalies.py``), judging blocks (``judged.py``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from ljwx_pipeline.quality.quarantine import row_hashes
from ljwx_pipeline.quality.results import CheckResult

JUMPS = "bars.jumps_are_explained"


def with_open_jumps(result: CheckResult, rows: pd.DataFrame, symbols: tuple[str, ...]) -> CheckResult:
    """Return the result on jumps with every row of ``symbols``, which an earlier block left on a wrong factor."""
    if result.name != JUMPS or not symbols:
        return result
    carried = np.flatnonzero(rows["symbol"].isin(symbols))
    every = np.union1d(result.rows, carried)
    if not len(every):
        return result
    measured = {**result.measured, "judged": len(rows), "bad": len(every), "since_earlier": len(carried)}
    said = result.message if not result.passed else f"{len(carried)} rows follow a jump that nothing explained"
    return replace(result, passed=False, severity="quarantine", measured=measured, message=said, rows=every)


def with_later_rows(
    releases: pd.DataFrame, rows: pd.DataFrame, found: Sequence[CheckResult], carried: tuple[str, ...]
) -> pd.DataFrame:
    """Return the releases with those of a jump extended to the rows it spoiled, up to the symbol's next jump.

    A release whose row was restated since has lapsed: its symbol is among ``carried`` when the jump lies before
    ``rows``, and its hash is none of theirs when it lies among them.
    """
    mine = releases[releases["check"] == JUMPS]
    broken = [result for result in found if result.name == JUMPS and len(result.rows)]
    if mine.empty or not broken:
        return releases
    jumps = broken[0]
    days, symbols = rows["session_date"], rows["symbol"]
    at_fault = rows.iloc[jumps.faults]
    hashes = row_hashes("bars", rows)
    more = [releases]
    for release in mine.to_dict("records"):
        before = release["session_date"] < days.iloc[0]
        if release["symbol"] in carried if before else release["row_hash"] not in hashes:
            continue
        later = at_fault.loc[
            (at_fault["symbol"] == release["symbol"]) & (at_fault["session_date"] > release["session_date"]),
            "session_date",
        ]
        until = later.min() if len(later) else pd.Timestamp.max
        spoiled = (symbols == release["symbol"]) & (days > release["session_date"]) & (days < until)
        same = zip(days[spoiled], hashes[spoiled.to_numpy()], strict=True)
        copies = [{**release, "session_date": day, "row_hash": row_hash} for day, row_hash in same]
        more.append(pd.DataFrame(copies, columns=releases.columns))
    return pd.concat([part for part in more if len(part)], ignore_index=True)


def left_open(rows: pd.DataFrame, quarantined: pd.DataFrame, before: tuple[str, ...]) -> tuple[str, ...]:
    """Return the symbols whose last row, of this block or of one before, is out for an unexplained jump."""
    out = quarantined.loc[quarantined["check"] == JUMPS].groupby("symbol")["session_date"].max()
    if out.empty and not before:
        return ()
    last = rows.drop_duplicates("symbol", keep="last").set_index("symbol")["session_date"]
    still = out.index[out.to_numpy() == last.reindex(out.index).to_numpy()]
    return tuple(sorted({*still, *(symbol for symbol in before if symbol not in last.index)}))
