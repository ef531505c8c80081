"""The feature table: one row a symbol and session, the instants it is joined on, and the exact comparison with it.

Not here: computing features (``factors/``) and asking Feast (``feature_store/``); this module knows no Feast.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ljwx_pipeline.clock import SESSION_CLOSE, SHANGHAI
from ljwx_pipeline.errors import LakeError
from ljwx_pipeline.market.calendar import session_closes

#: Columns of the feature table that are not features.
KEY_COLUMNS = ("symbol", "session_date", "event_timestamp", "created_timestamp")
#: Key of the file's metadata under which the version of the catalogue stands whose values the table holds.
CATALOGUE_HASH = b"ljwx.catalogue_hash"
#: Rows of a block (a Parquet row group): 40 MB for 158 float32 columns.
_BLOCK_ROWS = 65_536
_MICROSECOND = pd.Timedelta(microseconds=1)
_MICROSECONDS = pa.timestamp("us", tz="UTC")


@dataclass(frozen=True)
class ParityReport:
    """Feast's point-in-time answer against the feature table, bit for bit.

    Parameters
    ----------
    rows, columns
        Size of the sample; every feature of the service is compared.
    unanswered_rows
        Rows of the sample for which no features were valid at the instant asked; Feast must say so too.
    max_abs_diff
        Largest difference between two present values; 0.0 when every bit agrees.
    mismatches
        Cells that differ in any bit, or are missing on one side only.
    first_mismatch
        Symbol, instant and feature of the first of them; None when there is none.
    seconds
        Wall time of the whole check.
    """

    rows: int
    columns: int
    unanswered_rows: int
    max_abs_diff: float
    mismatches: int
    first_mismatch: str | None
    seconds: float

    @property
    def passed(self) -> bool:
        """Whether no cell differs."""
        return self.mismatches == 0


def session_close(session_dates: pd.Series) -> pd.Series:
    """Return the instant each session closes (15:00 Asia/Shanghai) as UTC, in microseconds.

    Microseconds, because duckdb refuses to cast nanoseconds with a time zone and ``feast materialize`` asks it to.
    """
    closes = session_closes(pd.DatetimeIndex(session_dates)).tz_convert("UTC").as_unit("us")
    return pd.Series(closes, index=session_dates.index, name=session_dates.name)


def close_of(session: date) -> pd.Timestamp:
    """Return the instant one session closes, as ``session_close`` does."""
    return pd.Timestamp(datetime.combine(session, SESSION_CLOSE, SHANGHAI)).tz_convert("UTC").as_unit("us")


def feast_table(features: pd.DataFrame, *, created_at: datetime | None = None) -> pd.DataFrame:
    """Return the feature table's frame: the features with the two instants that Feast joins on.

    Parameters
    ----------
    features
        Columns ``symbol``, ``session_date`` (midnight, no time zone) and one float32 column a feature; NaN where a
        value is unknown.
    created_at
        When the rows were computed; the close of each row's own session if None, which keeps the table's bytes the
        same from run to run.

    Raises
    ------
    LakeError
        When two rows share a symbol and session, or a feature column is not float32.
    """
    names = [name for name in features.columns if name not in KEY_COLUMNS]
    wrong = [name for name in names if features[name].dtype != np.float32]
    if wrong:
        fact = f"feature {wrong[0]} is {features[wrong[0]].dtype}, not float32"
        raise LakeError(fact, "write the features as the factor kernels yield them")
    days, day_of = np.unique(features["session_date"].to_numpy(), return_inverse=True)
    doubled = pd.Series(pd.factorize(features["symbol"])[0] * len(days) + day_of).duplicated().to_numpy()
    if doubled.any():
        row = features.loc[doubled].iloc[0]
        fact = f"two feature rows share {row['symbol']} {row['session_date']:%Y-%m-%d}"
        raise LakeError(fact, "compute the features once a symbol and session")
    close = session_close(pd.Series(days)).take(day_of).set_axis(features.index)
    created = close if created_at is None else pd.Series(pd.Timestamp(created_at), index=features.index)
    keys = {
        "symbol": features["symbol"],
        "session_date": features["session_date"],
        "event_timestamp": close,
        "created_timestamp": created.dt.tz_convert("UTC").dt.as_unit("us"),
    }
    return pd.concat([pd.DataFrame(keys), features[names]], axis=1)


def write_feature_table(table: pd.DataFrame, path: Path, *, catalogue_hash: str = "") -> None:
    """Write the feature table as Parquet, a block of rows at a time; ``path`` is replaced only by a complete file.

    ``catalogue_hash`` is noted in the file: the same column names may be other formulas in another version.

    Raises
    ------
    LakeError
        When the disk is full or the folder cannot be written; ``path`` is then unchanged.
    """
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        schema = _schema(table)
        if catalogue_hash:
            schema = schema.with_metadata({CATALOGUE_HASH: catalogue_hash.encode()})
        # only the symbols repeat: a dictionary of float32 values costs six times the time and a third more room
        with pq.ParquetWriter(draft, schema, compression="lz4", use_dictionary=["symbol"]) as writer:
            for start in range(0, len(table), _BLOCK_ROWS):
                block = table.iloc[start : start + _BLOCK_ROWS]
                writer.write_table(pa.Table.from_arrays([_column(block[f.name], f) for f in schema], schema=schema))
        with draft.open("rb") as written:
            os.fsync(written.fileno())
        draft.replace(path)
    except OSError as error:
        fact = f"the feature table {path} cannot be written ({error.strerror or error})"
        raise LakeError(fact, "free some space or correct the folder's permissions and run again") from error
    finally:
        if draft.exists():
            draft.unlink()


def _schema(table: pd.DataFrame) -> pa.Schema:
    """Return the file's schema; a missing feature is NaN in a column without nulls, which reads four times as fast."""
    schema = pa.Schema.from_pandas(table.head(0), preserve_index=False).remove_metadata()
    schema = schema.set(schema.get_field_index("symbol"), pa.field("symbol", pa.string()))
    return pa.schema([field if field.name in KEY_COLUMNS else field.with_nullable(False) for field in schema])


def _column(values: pd.Series, field: pa.Field) -> pa.Array:
    return pa.array(values, type=field.type, from_pandas=field.nullable)


@dataclass(frozen=True)
class Sample:
    """Point-in-time questions and what the table itself answers.

    Parameters
    ----------
    questions
        Columns ``sample_id``, ``symbol`` and ``event_timestamp``, the instant asked about.
    expected
        float32, shape ``(len(questions), n_features)``; NaN where a value is missing or no row was valid.
    unanswered_rows
        Questions at whose instant no row was valid.
    """

    questions: pd.DataFrame
    expected: NDArray[np.float32]
    unanswered_rows: int


def sample_questions(path: Path, names: Sequence[str], *, rows: int, seed: int, time_to_live: pd.Timedelta) -> Sample:
    """Return a sample of the table at ``path`` with the answers, found without Feast and without duckdb.

    A third is asked at a row's own close, a third at an instant up to three weeks later (between sessions, in a
    suspension), a third one microsecond before the close, when the row must not be seen yet.

    Parameters
    ----------
    path
        The feature table; rows in any order. Of two rows with one symbol and close the later created one counts.
    names
        Features to read.
    rows, seed
        Sample size (the whole table if that is smaller) and its seed.
    time_to_live
        How long after its close a row is valid.
    """
    keys = pq.read_table(path, columns=["symbol", "event_timestamp", "created_timestamp"], read_dictionary=["symbol"])
    symbol = keys["symbol"].combine_chunks().indices.to_numpy()
    event = keys["event_timestamp"].cast(_MICROSECONDS).cast(pa.int64()).to_numpy()
    created = keys["created_timestamp"].cast(_MICROSECONDS).cast(pa.int64()).to_numpy()
    rng = np.random.default_rng(seed)
    picked = np.sort(rng.choice(len(event), size=min(rows, len(event)), replace=False))
    later = rng.integers(1, pd.Timedelta(weeks=3) // _MICROSECOND, len(picked))
    instant = event[picked] + np.choose(np.arange(len(picked)) % 3, [np.zeros_like(later), later, -np.ones_like(later)])
    order = np.lexsort((created, event, symbol))
    by_symbol = symbol[order]
    answer = np.full(len(picked), -1, dtype=np.int64)
    for i, row in enumerate(picked):
        start = np.searchsorted(by_symbol, symbol[row], side="left")
        stop = np.searchsorted(by_symbol, symbol[row], side="right")
        at = start + np.searchsorted(event[order[start:stop]], instant[i], side="right") - 1
        if at >= start and instant[i] <= event[order[at]] + time_to_live // _MICROSECOND:
            answer[i] = order[at]
    questions = pd.DataFrame(
        {
            "sample_id": np.arange(len(picked)),
            "symbol": keys["symbol"].take(pa.array(picked)).to_pandas().astype(str),
            "event_timestamp": pd.to_datetime(instant, unit="us", utc=True),
        }
    )
    return Sample(questions, _rows_at(path, answer, names), int((answer < 0).sum()))


def compare(sample: Sample, answers: NDArray[np.float32], names: Sequence[str], *, seconds: float) -> ParityReport:
    """Return how far ``answers``, in the order of the questions, are from the table; two missing values agree."""
    expected = sample.expected
    same_bits = answers.view(np.uint32) == expected.view(np.uint32)
    differs = ~(same_bits | (np.isnan(answers) & np.isnan(expected)))
    both = np.isfinite(answers) & np.isfinite(expected)
    gaps = np.abs(answers[both].astype(np.float64) - expected[both].astype(np.float64))
    first = None
    if differs.any():
        row, column = np.argwhere(differs)[0]
        question = sample.questions.iloc[row]
        first = f"{question['symbol']} {question['event_timestamp']} {names[column]}"
    return ParityReport(
        rows=len(expected),
        columns=len(names),
        unanswered_rows=sample.unanswered_rows,
        max_abs_diff=float(gaps.max(initial=0.0)),
        mismatches=int(differs.sum()),
        first_mismatch=first,
        seconds=seconds,
    )


def _rows_at(path: Path, positions: NDArray[np.int64], names: Sequence[str]) -> NDArray[np.float32]:
    """Return rows of a Parquet file as float32, shape ``(len(positions), len(names))``; NaN where position is -1."""
    out = np.full((len(positions), len(names)), np.nan, dtype=np.float32)
    answered = positions >= 0
    taken = pa.array(positions[answered])
    with pq.ParquetFile(path) as file:
        for column, name in enumerate(names):  # one at a time: a quarter of the memory of reading them together
            values = file.read(columns=[name]).column(name).take(taken)
            out[answered, column] = values.to_numpy().astype(np.float32)
    return out
