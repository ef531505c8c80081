"""The line's view of Feast: apply, point-in-time questions, the online store, and how ours compare with Feast's own.

Training reads the feature table directly. Feast's own join and online read are many times slower than the same answers
found in the table (decision 015), so ``historical`` and ``online`` find them there; Feast is asked for samples of both,
which must be the same bits. The objects themselves (entity, view, service) are defined in ``feature_repo/``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ljwx_pipeline.clock import SystemClock
from ljwx_pipeline.errors import LakeError
from ljwx_pipeline.feature_store import packed
from ljwx_pipeline.feature_store.as_of import TableKeys, gather, question_instants
from ljwx_pipeline.feature_store.repository import AppliedRepository, FeastRepository
from ljwx_pipeline.feature_table import ParityReport, Sample, close_of, compare, sample_questions


@dataclass(frozen=True)
class Materialized:
    """What the online store holds after ``materialize_online``.

    Parameters
    ----------
    session
        The session the store stands at.
    rows, missing_values
        Symbols with a row of that session, and how many of those rows' values are missing.
    carried
        Symbols without a bar in that session whose newest row is still valid; ``online`` refuses them for the session.
    late
        Symbols whose newest row is older than the time to live (suspended, delisted): not served by any call.
    written
        Rows written now; zero when the store held them already.
    """

    session: date
    rows: int
    missing_values: int
    carried: int
    late: tuple[str, ...]
    written: int


class FeatureStoreClient:
    """The line's view of Feast.

    Parameters
    ----------
    repo_dir, home, catalogue
        As in ``FeastRepository``.
    """

    def __init__(self, repo_dir: Path, home: Path, *, catalogue: str = "alpha158") -> None:
        self._repository = FeastRepository(repo_dir, home, catalogue)

    @property
    def feature_service(self) -> str:
        """Name of the service: the catalogue's name and the beginning of its version hash."""
        return str(self._repository.definitions.service.name)

    @property
    def features(self) -> tuple[str, ...]:
        """Feature names in the view's order."""
        return self._repository.definitions.features

    @property
    def feature_table(self) -> Path:
        """The Parquet file that the view reads."""
        return Path(self._repository.definitions.view.batch_source.path)

    @property
    def feast_store(self) -> Any:
        """Feast's own ``FeatureStore`` over the applied registry, for what this client does not offer."""
        return self._repository.store

    def apply(self) -> AppliedRepository:
        """Bring the registry and the online store's tables to what the repository declares; safe to repeat.

        Services of earlier catalogue versions, and views of other catalogues, are removed as ``feast apply`` does. The
        registry file is replaced in one step, so that a process killed half-way leaves the earlier one.

        Raises
        ------
        LakeError
            When the registry file is damaged.
        """
        return self._repository.apply()

    def historical(self, questions: pd.DataFrame, *, threads: int = 2) -> pd.DataFrame:
        """Return the features that were valid for each symbol at each instant asked about, as Feast defines it.

        Feast's ``get_historical_features`` gives the same bits in another order (``feature_store/as_of.py`` states
        the rule); here the answer's rows and index are the questions'.

        Parameters
        ----------
        questions
            Columns ``symbol`` and ``event_timestamp`` (with a time zone; finer than a microsecond is cut off), in any
            order, also twice; other columns are kept.
        threads
            How many features are read at a time.

        Returns
        -------
        pandas.DataFrame
            The questions' columns, ``missing_count`` and the features as float32. A value is NaN where the row has
            none, and in the whole row where no row was valid or the symbol is unknown; ``missing_count`` counts them.

        Raises
        ------
        LakeError
            When the feature table is absent, lacks a feature or holds one that is not float32; when a question has no
            instant or one without a time zone, or a column with the name of an answer.
        """
        names = self.features
        instants = question_instants(questions, names)
        table = self._require_table()
        keys = TableKeys.read(table)
        rows = keys.rows_as_of(questions["symbol"], instants, self._repository.definitions.time_to_live)
        values, missing = gather(table, rows, names, threads=threads)
        answers = pd.DataFrame(values.T, columns=list(names), index=questions.index)
        for position, (name, column) in enumerate(questions.items()):  # pd.concat would copy the features
            answers.insert(position, name, column)
        answers.insert(len(questions.columns), "missing_count", missing)
        return answers

    def materialize_online(self, session: date) -> Materialized:
        """Bring the online store to the close of ``session``: the newest row of every symbol that is still valid then.

        Only what the store does not hold yet is written, in one transaction: repeating it changes nothing, and after
        a process killed half-way the store is as before and the next run does the whole. An earlier session than the
        store holds takes the later rows out again.

        Raises
        ------
        LakeError
            When the table is missing or holds no row, or no value at all, of that session; when the repository is not
            applied; when the online store is damaged.
        """
        names, table = list(self.features), self._require_table()
        keys = TableKeys.read(table)
        close = close_of(session)
        instants = np.full(len(keys.symbols), _microseconds(close), dtype=np.int64)
        symbols = keys.symbols.to_series()
        newest = keys.rows_as_of(symbols, instants, None)
        valid = keys.rows_as_of(symbols, instants, self._repository.definitions.time_to_live)
        served = keys.symbols[valid >= 0]
        rows = valid[valid >= 0]
        events = keys.event_us[rows]
        of_session = events == instants[valid >= 0]
        if not of_session.any():
            raise LakeError(f"{table} holds no row of session {session}", "materialise the feature table first")
        values, missing = gather(table, rows, names, threads=1)
        if (missing[of_session] == len(names)).all():
            raise LakeError(f"every feature of session {session} is missing", "choose a session past the warm-up")
        late = [str(symbol) for symbol in keys.symbols[(newest >= 0) & (valid < 0)]]
        written = self._replace_online([str(symbol) for symbol in served], events, values.T, late)
        return Materialized(
            session=session,
            rows=int(of_session.sum()),
            missing_values=int(missing[of_session].sum()),
            carried=int((~of_session).sum()),
            late=tuple(sorted(late)),
            written=written,
        )

    def online(self, symbols: Sequence[str], session: date) -> pd.DataFrame:
        """Return the online features of ``symbols``, one row each in the order asked.

        Columns ``symbol``, ``session_date``, ``event_timestamp``, ``missing_count`` and the features as float32; a
        missing value is NaN, counted in ``missing_count``, and never zero. The values are Feast's (``online_check``).

        Raises
        ------
        LakeError
            When a symbol has no row in the online store, or its row is of another session than ``session`` or of
            another version of the catalogue; when the repository was never applied or the store is damaged.
        """
        definitions = self._repository.definitions
        names, want_us = list(definitions.features), _microseconds(close_of(session))
        _ = self.feast_store  # a registry that is absent or damaged is said first
        with self._repository.explained():
            held = packed.read(self._repository.online_path, definitions.view.name, symbols)
        rows = [held[symbol] for symbol in symbols if symbol in held]
        version = definitions.version
        if len(rows) < len(symbols) or any(row.version != version or row.event_us != want_us for row in rows):
            raise _refused_row(symbols, held, version, session)
        values = packed.unpack(rows, len(names))
        frame = pd.DataFrame(values, columns=names)
        frame.insert(0, "symbol", list(symbols))
        frame.insert(1, "session_date", np.full(len(rows), np.datetime64(session, "s")))
        frame.insert(2, "event_timestamp", pd.DatetimeIndex(np.full(len(rows), want_us).view("M8[us]"), tz="UTC"))
        frame.insert(3, "missing_count", np.isnan(values).sum(axis=1, dtype=np.int64))
        return frame

    def online_check(self, session: date) -> ParityReport:
        """Compare every online row of a session with Feast's own answer and with the feature table, bit for bit.

        Returns
        -------
        ParityReport
            Of the one of the two that differs in more cells; the rows are the session's symbols in the feature table.

        Raises
        ------
        LakeError
            As ``online`` does.
        """
        clock = SystemClock()
        started = clock.monotonic_s()
        names, close = list(self.features), close_of(session)
        table = self._require_table()
        keys = TableKeys.read(table)
        instants = np.full(len(keys.symbols), _microseconds(close), dtype=np.int64)
        rows = keys.rows_as_of(keys.symbols.to_series(), instants, timedelta(0))
        symbols = [str(symbol) for symbol in keys.symbols[rows >= 0]]
        served = self.online(symbols, session)
        questions, ours = served[["symbol", "event_timestamp"]], served[names].to_numpy(dtype=np.float32)
        in_table, _ = gather(table, rows[rows >= 0], names, threads=1)
        with self._repository.explained():
            service = self.feast_store.get_feature_service(self.feature_service)
            answer = self.feast_store.get_online_features(service, [{"symbol": symbol} for symbol in symbols])
        found = answer.to_df(include_event_timestamps=True)
        theirs = found[names].to_numpy(dtype=np.float32)
        theirs[found[f"{names[0]}__ts"].to_numpy() != close.timestamp()] = np.nan  # of another session: no answer
        seconds = clock.monotonic_s() - started
        sample = Sample(questions, ours, unanswered_rows=0)
        reports = [compare(sample, np.ascontiguousarray(v), names, seconds=seconds) for v in (theirs, in_table.T)]
        return max(reports, key=lambda report: report.mismatches)

    def point_in_time_check(self, *, rows: int, seed: int) -> ParityReport:
        """Ask Feast and ``historical`` for a sample of the feature table as of given instants; compare every bit.

        Parameters
        ----------
        rows
            Sample size; the whole table if it is smaller.
        seed
            Of the sample.

        Returns
        -------
        ParityReport
            Of the one of the two that differs in more cells.
        """
        clock = SystemClock()
        started = clock.monotonic_s()
        names, view = list(self.features), self._repository.definitions.view
        sample = sample_questions(self._require_table(), names, rows=rows, seed=seed, time_to_live=view.ttl)
        ours = self.historical(sample.questions)[names].to_numpy(dtype=np.float32)
        store = self.feast_store
        with self._repository.explained():
            service = store.get_feature_service(self.feature_service)
            answer = store.get_historical_features(entity_df=sample.questions, features=service).to_df()
        ordered = answer.set_index("sample_id").reindex(sample.questions["sample_id"])
        theirs = ordered[names].to_numpy(dtype=np.float32)
        seconds = clock.monotonic_s() - started
        reports = [compare(sample, values, names, seconds=seconds) for values in (theirs, ours)]
        return max(reports, key=lambda report: report.mismatches)

    def _replace_online(
        self, symbols: list[str], events: NDArray[np.int64], values: NDArray[np.float32], late: list[str]
    ) -> int:
        """Write the rows the online store does not hold, take out the symbols it must not serve; return rows written.

        ``events`` are microseconds of UTC and ``values`` has shape ``(len(symbols), n_features)``.
        """
        from ljwx_pipeline.feature_store.online_store import PackedSqliteOnlineStore

        version = self._repository.definitions.version
        with self._repository.explained():
            self.feast_store.get_feature_service(self.feature_service)  # an older registry is refused
            view = self.feast_store.get_feature_view(self._repository.definitions.view.name)  # applied: with its keys
            held = packed.read(self._repository.online_path, view.name)
            rows = [
                packed.PackedRow(symbol, int(event), version, packed.pack(row))
                for symbol, event, row in zip(symbols, events, values, strict=True)
            ]
            new = [position for position, row in enumerate(rows) if held.get(row.symbol) != row]
            instants = pd.to_datetime(events[new], unit="us", utc=True).to_pydatetime()
            store = PackedSqliteOnlineStore()
            try:
                store.replace_rows(
                    self._repository.config,
                    view,
                    symbols=[symbols[position] for position in new],
                    events=list(instants),
                    values=values[new],
                    obsolete=sorted((held.keys() | set(late)) - set(symbols)),
                )
            finally:
                store.release()
        return len(new)

    def _require_table(self) -> Path:
        if not self.feature_table.is_file():
            raise LakeError(f"the feature table {self.feature_table} does not exist", "materialise it first")
        return self.feature_table


def _microseconds(instant: pd.Timestamp) -> int:
    return int(instant.value) // 1000


def _refused_row(
    symbols: Sequence[str], held: Mapping[str, packed.PackedRow], version: str, session: date
) -> LakeError:
    """Return why the first symbol without a row of the session and the catalogue's version is refused."""
    want = close_of(session)
    for symbol in symbols:
        row = held.get(symbol)
        if row is None:
            remedy = f"materialise session {session}, or leave the symbol out"
            return LakeError(f"{symbol} has no row in the online store", remedy)
        if row.version != version:
            fact = f"online features of {symbol} are of another version of the catalogue"
            return LakeError(fact, f"apply the repository and materialise {session}")
        if row.event_us != _microseconds(want):
            at = pd.Timestamp(row.event_us, unit="us", tz="UTC")
            return LakeError(f"online features of {symbol} are of {at}, not of {want}", f"materialise {session}")
    raise AssertionError("every row is of the session")
