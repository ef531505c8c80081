"""Where results of variants are kept: small Parquet files, each whole or absent, in a folder a set of inputs.

A file is named by what is in it, so two sweeps that work on one store at once write different files, or the same bytes
under the same name. Each page of a file carries a checksum. Not here: what is computed (``sweep.py``), counting trials
(``trial_ledger.py``).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ljwx_pipeline.backtest.sweep_measures import MEASURES
from ljwx_pipeline.errors import LakeError
from ljwx_pipeline.lake.atomic_parquet import read_bytes, write_bytes

#: Below a market's home: the results of its sweeps, comparisons and runs.
RESULTS = "sweeps/results"
#: Part of every key: another layout of the files is another store.
_LAYOUT = 1
_BENCHMARK = "benchmark.json"
_SCHEMA = pa.schema(
    [
        ("variant_hash", pa.string()),
        ("settings", pa.string()),
        ("seconds", pa.float64()),
        *((name, pa.float64()) for name in MEASURES),
        ("net_return", pa.list_(pa.float64())),
    ]
)


@dataclass(frozen=True)
class SweepKey:
    """Everything beside the variant that decides a result.

    Parameters
    ----------
    market_hash, scores_hash, benchmark_hash
        Of the arrays; ``benchmark_hash`` is empty without a benchmark.
    seen_hash
        Of the market without the columns that only some fill models read.
    first, last
        First decision and last valuation.
    code
        ``code_version``.
    """

    market_hash: str
    seen_hash: str
    scores_hash: str
    benchmark_hash: str
    first: date
    last: date
    code: str

    @property
    def evidence(self) -> str:
        """Hash of the data alone: the same look at them by other code, or with opening prices, is the same trial."""
        return self._digest("seen_hash", "scores_hash", "benchmark_hash", "first", "last")

    @property
    def folder(self) -> str:
        """Name of the folder in a store."""
        return self._digest("market_hash", "scores_hash", "benchmark_hash", "first", "last", "code")[:24]

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {name: str(value) for name, value in vars(self).items()}

    def _digest(self, *names: str) -> str:
        stated = {name: str(getattr(self, name)) for name in names}
        return hashlib.sha256(json.dumps({**stated, "layout": _LAYOUT}, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True)
class VariantResult:
    """What one variant came to.

    Parameters
    ----------
    variant_hash, settings_json
        Which variant.
    measures
        ``sweep_measures.MEASURES`` by name; NaN for one that does not exist.
    net_returns
        After all costs, by session, shape ``(n_sessions - 1,)``: none on the session the account opened.
    seconds
        Time the backtest took, its share of the batch it ran in.
    file
        Name of the file it is kept in, empty before it is kept.
    """

    variant_hash: str
    settings_json: str
    measures: Mapping[str, float]
    net_returns: NDArray[np.float64]
    seconds: float
    file: str = ""


class SweepStore:
    """The results of one ``SweepKey`` below ``root``."""

    def __init__(self, root: Path, key: SweepKey) -> None:
        self.key = key
        self.folder = root / key.folder

    def read(self) -> dict[str, VariantResult]:
        """Return every result kept, by variant hash.

        Raises
        ------
        LakeError
            For a damaged file; the remedy is to remove it, and its variants are computed again.
        """
        found: dict[str, VariantResult] = {}
        for path in sorted(self.folder.glob("*.parquet")):
            for result in _read(path):
                found.setdefault(result.variant_hash, result)
        return found

    def keep_benchmark(self, sessions: pd.DatetimeIndex, returns: NDArray[np.float64] | None) -> None:
        """Keep what the results are held against: whoever asks for their excess needs no market for it.

        Parameters
        ----------
        sessions
            Those of every result's ``net_returns``.
        returns
            The benchmark's on them; None: 0.

        Raises
        ------
        LakeError
            As ``write``.
        """
        path = self.folder / _BENCHMARK
        if not path.exists():
            over = np.zeros(len(sessions)) if returns is None else returns
            stated = {"sessions": [str(day.date()) for day in sessions], "returns": [float(value) for value in over]}
            write_bytes(path, json.dumps(stated).encode())

    def write(self, results: Sequence[VariantResult]) -> list[VariantResult]:
        """Keep ``results`` in one new file, on disk when this returns; return them with the file's name.

        Raises
        ------
        LakeError
            When the disk is full or the folder cannot be written; no part of the file is then there.
        """
        ordered = sorted(results, key=lambda result: result.variant_hash)
        digest = hashlib.sha256("".join(result.variant_hash for result in ordered).encode()).hexdigest()
        about = self.folder / "about.json"
        if not about.exists():
            write_bytes(about, json.dumps(self.key.as_dict(), indent=1).encode())
        path = self.folder / f"{digest[:24]}.parquet"
        write_bytes(path, _encoded(ordered))
        name = f"{self.folder.name}/{path.name}"
        return [VariantResult(**{**vars(result), "file": name}) for result in results]


def excess_returns(root: Path, file: str) -> tuple[pd.DatetimeIndex, dict[str, NDArray[np.float64]]]:
    """Return the sessions of a kept file, and by variant hash the net returns over the benchmark on them.

    Parameters
    ----------
    root, file
        The store, and ``VariantResult.file``.

    Raises
    ------
    LakeError
        When the file or what its results are held against is missing or damaged.
    """
    path = root / file
    over = path.with_name(_BENCHMARK)
    try:
        stated = json.loads(read_bytes(over))
        sessions = pd.DatetimeIndex(stated["sessions"]).as_unit("ns")
        benchmark = np.array(stated["returns"], dtype=np.float64)
        if len(benchmark) != len(sessions):
            raise ValueError(f"{len(sessions)} sessions and {len(benchmark)} returns")
    except (ValueError, KeyError, TypeError) as error:
        raise LakeError(f"{over} is damaged ({error})", "delete its folder: its variants are computed again") from None
    table = _table(path)
    hashes, lists = table.column("variant_hash").to_pylist(), table.column("net_return").combine_chunks()
    flat, ends = lists.flatten().to_numpy(), lists.offsets.to_numpy()
    if (np.diff(ends) != len(sessions)).any():
        raise LakeError(f"{path} is damaged: not {len(sessions)} returns a variant", "delete its folder")
    excess = flat[ends[0] : ends[-1]].reshape(len(hashes), len(sessions)) - benchmark
    return sessions, dict(zip(hashes, excess, strict=True))


def _encoded(results: Sequence[VariantResult]) -> pa.Buffer:
    columns: dict[str, Any] = {
        "variant_hash": [result.variant_hash for result in results],
        "settings": [result.settings_json for result in results],
        "seconds": [result.seconds for result in results],
        **{name: [result.measures[name] for result in results] for name in MEASURES},
    }
    lengths = np.cumsum([0, *(len(result.net_returns) for result in results)])
    flat = np.concatenate([result.net_returns for result in results])
    arrays = [pa.array(columns[name], _SCHEMA.field(name).type) for name in columns]
    arrays.append(pa.ListArray.from_arrays(pa.array(lengths, pa.int32()), pa.array(flat, pa.float64())))
    sink = pa.BufferOutputStream()
    pq.write_table(
        pa.Table.from_arrays(arrays, schema=_SCHEMA),
        sink,
        compression="lz4",
        use_dictionary=False,
        write_page_checksum=True,
    )
    return sink.getvalue()


def _table(path: Path) -> pa.Table:
    data = read_bytes(path)
    try:
        table = pq.read_table(pa.BufferReader(data), page_checksum_verification=True)
        if not table.schema.equals(_SCHEMA):
            raise pa.ArrowInvalid("other columns than a sweep writes")
        return table
    except (pa.ArrowInvalid, OSError) as error:
        raise LakeError(
            f"{path} is damaged ({str(error).splitlines()[0]})", "delete the file: its variants are computed again"
        ) from error


def _read(path: Path) -> list[VariantResult]:
    table = _table(path)
    plain = {name: table.column(name).to_pylist() for name in _SCHEMA.names if name != "net_return"}
    lists = table.column("net_return").combine_chunks()
    flat, ends = lists.flatten().to_numpy(), lists.offsets.to_numpy()
    return [
        VariantResult(
            variant_hash=plain["variant_hash"][i],
            settings_json=plain["settings"][i],
            measures={name: plain[name][i] for name in MEASURES},
            net_returns=flat[ends[i] : ends[i + 1]],
            seconds=plain["seconds"][i],
            file=f"{path.parent.name}/{path.name}",
        )
        for i in range(table.num_rows)
    ]
