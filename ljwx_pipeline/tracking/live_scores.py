"""The champion's scores as they stood when they were first made: what monitoring judges, and nobody rewrites.

``tables/live_scores/<bundle>/<session>.parquet`` is written once, whole, and never again: ``daily_scores`` is made anew
every day over the same sessions, on bars that may have been restated since, and would judge a model by scores that it
never gave. A symbol whose bar came after its session was scored has no row here: nobody could have traded it.

Not here: which of them count as live (``monitoring/live.py``).
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import pandas as pd
import pyarrow as pa

from ljwx_pipeline.clock import SHANGHAI
from ljwx_pipeline.errors import DataQualityError
from ljwx_pipeline.lake.atomic_parquet import draft_bytes, encoded, publish, read_parquet

FOLDER = "live_scores"
KEYS = ["symbol", "session_date"]
#: The ends of a prediction interval of the forward return, where a model has one.
INTERVAL = ["interval_lower", "interval_upper"]
KEPT = [*KEYS, "score", "scorable", "version", "bundle_hash"]


class LiveScores:
    """All first scores of one market."""

    def __init__(self, tables: Path) -> None:
        self.folder = tables / FOLDER

    def record(self, scores: pd.DataFrame, *, now: datetime) -> int:
        """Keep the rows of sessions that were not scored by their bundle before; return how many sessions those are.

        Parameters
        ----------
        scores
            ``symbol, session_date, score, scorable, version, bundle_hash`` and, where there are any, the interval's
            ends, of sessions after the training.
        now
            The instant they were made, which every row is kept with.

        Raises
        ------
        DataQualityError
            When a session has not begun by the clock.
        LakeError
            When the disk is full or the folder cannot be written.
        """
        new = [
            (path, rows)
            for (bundle, _), rows in scores.groupby(["bundle_hash", "session_date"], sort=True)
            if not (path := self._path(str(bundle), rows["session_date"].iloc[0])).exists()
        ]
        if not new:
            return 0
        newest = max(rows["session_date"].iloc[0] for _, rows in new)
        if now < newest.tz_localize(SHANGHAI):
            raise DataQualityError(
                f"session {newest:%Y-%m-%d} is scored while the clock says {now.astimezone(SHANGHAI):%Y-%m-%d %H:%M}",
                "set the clock: no session is scored before it",
            )
        columns = [*KEPT, *(name for name in INTERVAL if name in scores)]
        at = pd.Timestamp(now).tz_convert("UTC").as_unit("us")
        publish(
            draft_bytes(path, encoded(pa.Table.from_pandas(rows[columns].assign(scored_at=at), preserve_index=False)))
            for path, rows in new
        )
        return len(new)

    def of(self, bundle_hash: str) -> pd.DataFrame:
        """Return every first score of a bundle with ``scored_at``, by session; no rows where there is none."""
        found = sorted(self._path(bundle_hash, pd.Timestamp(0)).parent.glob("*.parquet"))
        if not found:
            kinds = {"session_date": "datetime64[us]", "score": "float64", "scorable": "bool"}
            none = pd.DataFrame({name: pd.Series(dtype=kinds.get(name, "object")) for name in KEPT})
            return none.assign(scored_at=pd.Series(dtype="datetime64[us, UTC]"))
        return pd.concat([read_parquet(path) for path in found], ignore_index=True)

    def _path(self, bundle_hash: str, session: pd.Timestamp) -> Path:
        return self.folder / bundle_hash[:16] / f"{session:%Y-%m-%d}.parquet"
