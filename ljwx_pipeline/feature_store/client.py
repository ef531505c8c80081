"""The line's view of Feast: apply, point-in-time questions, the online store, and how ours compare with Feast's own.

Training reads the feature table directly. Feast's own join and online read are many times slower than the same answers
found in the table (decision 015), so ``historical`` and ``online`` find them there; Feast is asked for samples of both,
which must be the same bits. The objects themselves (entity, view, service) are defined in ``feature_repo/``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from ljwx_pipeline.clock import SystemClock
from ljwx_pipeline.errors import LakeError
from ljwx_pipeline.feature_store.as_of import TableKeys, gather, question_instants
from ljwx_pipeline.feature_store.repository import AppliedRepository, FeastRepository
from ljwx_pipeline.feature_table import ParityReport, compare, sample_questions, session_close


@dataclass(frozen=True)
class Materialized:
    """What ``materialize_online`` wrote: rows (one a symbol) and how many of their values are missing."""

    session: date
    rows: int
    missing_values: int


class FeatureStoreClient:
    """The line's view of Feast.

    Parameters
    ----------
    repo_dir
        The Feast repository: ``feature_store.yaml`` and ``definitions.py``, with one feature service over one view.
    home
        Folder of one market: the registry, the online store and the feature table lie under it.
    """

    def __init__(self, repo_dir: Path, home: Path) -> None:
        self._repository = FeastRepository(repo_dir, home)

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

        Services of earlier catalogue versions are removed, as ``feast apply`` does. The registry file is replaced in
        one step, so that a process killed half-way leaves the earlier one.

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
        return pd.concat([questions.assign(missing_count=missing), answers], axis=1, copy=False)

    def materialize_online(self, session: date) -> Materialized:
        """Write one session's rows of the feature table into the online store; repeating it changes nothing.

        Raises
        ------
        LakeError
            When the table is missing or holds no row, or no value at all, of that session.
        """
        instant = session_close(pd.Series([pd.Timestamp(session)])).iloc[0]
        table = self._require_table()
        rows = pq.read_table(table, filters=[("event_timestamp", "==", instant)]).to_pandas()
        if rows.empty:
            raise LakeError(f"{table} holds no row of session {session}", "materialise the feature table first")
        missing = int(rows[list(self.features)].isna().to_numpy().sum())
        if missing == len(rows) * len(self.features):
            raise LakeError(f"every feature of session {session} is missing", "choose a session past the warm-up")
        with self._repository.explained():
            self.feast_store.write_to_online_store(self._repository.definitions.view.name, rows)
        return Materialized(session=session, rows=len(rows), missing_values=missing)

    def online(self, symbols: Sequence[str], session: date) -> pd.DataFrame:
        """Return the online features of ``symbols``, one row each in the order asked.

        Columns ``symbol``, ``session_date``, ``event_timestamp``, ``missing_count`` and the features as float32; a
        missing value is NaN, counted in ``missing_count``, and never zero.

        Raises
        ------
        LakeError
            When a symbol has no row in the online store, or its row is of another session than ``session``.
        """
        names = list(self.features)
        store = self.feast_store
        with self._repository.explained():
            service = store.get_feature_service(self.feature_service)
            answer = store.get_online_features(service, [{"symbol": symbol} for symbol in symbols])
        found = answer.to_df(include_event_timestamps=True)
        seconds = found[f"{names[0]}__ts"].to_numpy(dtype=np.int64)
        want = session_close(pd.Series([pd.Timestamp(session)])).iloc[0]
        for symbol, second in zip(symbols, seconds, strict=True):
            if second == 0:
                remedy = f"materialise session {session}, or leave the symbol out"
                raise LakeError(f"{symbol} has no row in the online store", remedy)
            if second != want.timestamp():
                at = pd.Timestamp(second, unit="s", tz="UTC")
                raise LakeError(f"online features of {symbol} are of {at}, not of {want}", f"materialise {session}")
        values = found[names].astype(np.float32)
        keys = pd.DataFrame(
            {
                "symbol": list(symbols),
                "session_date": pd.Timestamp(session),
                "event_timestamp": want,
                "missing_count": values.isna().sum(axis=1).to_numpy(dtype=np.int64),
            }
        )
        return pd.concat([keys, values.reset_index(drop=True)], axis=1)

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

    def _require_table(self) -> Path:
        if not self.feature_table.is_file():
            raise LakeError(f"the feature table {self.feature_table} does not exist", "materialise it first")
        return self.feature_table
