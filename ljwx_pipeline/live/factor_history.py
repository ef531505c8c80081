"""The factors of a session pack as they are known at each close, by research's kernels, rolled forward over the feed.

Not here: what a factor is (``factors/``), who may be scored (``dataset/universe.py``), what a model makes of them
(``scorer.py``), factors on ticks (``online/live_factors.py``).
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ljwx_pipeline.config import UniverseSettings
from ljwx_pipeline.dataset import MarketTables, lookback_sessions, scorable_mask, tables_beside, with_inputs
from ljwx_pipeline.dataset.groups import GROUP_TABLES, group_codes, group_measure
from ljwx_pipeline.errors import LiveError
from ljwx_pipeline.expressions.evaluate import evaluate
from ljwx_pipeline.factors.catalogue import Catalogue
from ljwx_pipeline.factors.increment import newest_session
from ljwx_pipeline.feature_parity import disagreements
from ljwx_pipeline.live.feed import ReplayFeed
from ljwx_pipeline.market.adjustment import factor_panel
from ljwx_pipeline.market.panel import Panel
from ljwx_pipeline.scoring.model import GroupBy


@dataclass(frozen=True, eq=False)
class PastSession:
    """What a model scores a session by: a row a symbol of features, who may be scored, and groups if it has any.

    Not of every symbol where only some are asked about.
    """

    features: NDArray[np.float32]
    scorable: NDArray[np.bool_]
    groups: NDArray[np.int32] | None


class FactorHistory:
    """A panel of the last sessions that moves on with the feed, and the factors of its newest one.

    Parameters
    ----------
    feed
        Its history fills the panel first.
    catalogue
        The factors.
    universe
        Who may be scored, and who belongs to a cross-section.
    benchmark
        Index whose close is the field ``index_close``.

    Raises
    ------
    LiveError
        When the history is shorter than what factors and universe look back, or the pack lacks a table they read.
    """

    def __init__(self, feed: ReplayFeed, catalogue: Catalogue, universe: UniverseSettings, *, benchmark: str) -> None:
        self._feed = feed
        self._universe = universe
        self._catalogue = catalogue
        self._benchmark = benchmark
        self._reads = catalogue.reads
        self._kept = lookback_sessions(catalogue, universe)
        if len(feed.history_sessions) < self._kept:
            raise LiveError(
                f"the session pack's history has {len(feed.history_sessions)} sessions, factors and universe look "
                f"back {self._kept}",
                "write the pack with a longer history",
            )
        lacking = sorted(set(tables_beside(self._reads)) - feed.pack.beside.keys())
        if lacking:
            raise LiveError(
                f"the session pack lacks {lacking[0]}, which factors of {catalogue.name} read",
                "run the pipeline's deployment again to write the pack anew",
            )
        bars = feed.pack.history
        sessions = feed.history_sessions[-self._kept :]
        self._bars = bars[bars["session_date"] >= sessions[0]]
        self._panel = self._panel_of(self._bars, sessions)
        self._at = sessions[-1].date()
        self._features = self._newest_features(self._panel, self._bars, self._at)
        self._turn = threading.Lock()

    @property
    def feed(self) -> ReplayFeed:
        """What the panel moves on with."""
        return self._feed

    @property
    def at(self) -> date:
        """The session that the panel stands at."""
        return self._at

    @property
    def catalogue(self) -> Catalogue:
        """The factors."""
        return self._catalogue

    def panel(self, session: date) -> Panel:
        """Return what the factors of ``session`` are computed on: the last sessions, every field that they read.

        Sessions are asked for as with ``features``.
        """
        self.features(session)
        return self._with_inputs(self._panel, self._bars, self._at)

    def adjusted_closes(self, session: date, count: int) -> NDArray[np.float64]:
        """Return the last ``count`` adjusted closes up to ``session``, shape ``(n_symbols, count)``; NaN without a bar.

        Fewer where the panel is shorter; sessions are asked for as in ``features``.
        """
        self.features(session)
        return self._panel.fields["close"][:, -count:].astype(np.float64)

    def inputs(self, session: date, by: GroupBy, measure: str = "") -> PastSession:
        """Return what a model of groups by ``by`` scores ``session`` by; errors as ``groups``."""
        return PastSession(self.features(session), self.scorable(session), self.groups(session, by, measure))

    def last_inputs(self, count: int, by: GroupBy) -> tuple[PastSession, ...]:
        """Return the inputs of the last ``count`` sessions up to `at`, oldest first; fewer where the pack is shorter.

        Nothing moves: any thread may ask while another one scores.
        """
        until, feed = self._at, [day for day in self._feed.sessions if day <= self._at]
        axis = pd.DatetimeIndex(self._feed.history_sessions.append(pd.DatetimeIndex(feed)))
        first = max(self._kept - 1, len(axis) - count)
        return tuple(self.past(axis[first].date() - timedelta(days=1), until, by))

    def features(self, session: date) -> NDArray[np.float32]:
        """Return the factors of ``session``, float32 of shape ``(n_symbols, n_factors)``; NaN where undefined.

        Sessions are asked for in order; one may be asked for again, an earlier one may not. A session whose factors
        could not be told is tried anew, and a thread that was left behind at one is waited for.
        """
        with self._turn:
            for following in self._feed.sessions:
                if self._at < following <= session:
                    self._append(following)
            if self._at != session:
                raise LiveError(f"the factor history stands at {self._at}, not at {session}", "start the runner again")
            return self._features

    def scorable(self, session: date) -> NDArray[np.bool_]:
        """Return who may be scored at ``session``, bool of shape ``(n_symbols,)``: the rule of research."""
        self.features(session)
        pack = self._feed.pack
        mask = scorable_mask(self._panel, pack.securities, pack.st_spells, pack.index_members, self._universe)
        newest: NDArray[np.bool_] = mask[:, -1]
        return newest

    def groups(self, session: date, by: GroupBy, measure: str = "") -> NDArray[np.int32] | None:
        """Return each symbol's group at ``session``, int32, shape ``(n_symbols,)``, by research's rule, or None.

        Parameters
        ----------
        measure
            What the model's groups were made by (``Manifest.group_measure``); empty asks for none.

        Raises
        ------
        LiveError
            When the pack lacks the table that tells the groups, or tells them by another measure.
        """
        pack = self._feed.pack
        self.features(session)
        self.require_groups(by, measure)
        mask = scorable_mask(self._panel, pack.securities, pack.st_spells, pack.index_members, self._universe)
        tables = {name: _until(pack.beside[name], session) for name in GROUP_TABLES[by]}
        groups = group_codes(by, self._panel, mask, tables, self._universe)
        return None if groups is None else groups.codes[:, -1]

    def require_groups(self, by: GroupBy, measure: str = "") -> None:
        """Refuse a pack without the tables that groups are made of; arguments and errors as ``groups``."""
        beside = self._feed.pack.beside
        lacking = sorted(set(GROUP_TABLES[by]) - beside.keys())
        if lacking:
            raise LiveError(
                f"the session pack lacks {lacking[0]}, which tells the groups of a model by {by}",
                f'run the pipeline\'s deployment again with model.group_by = "{by}" to write the pack anew',
            )
        told = group_measure(by, {name: _until(beside[name], self._at) for name in GROUP_TABLES[by]})
        if measure and told != measure:
            raise LiveError(
                f"the model's groups by {by} were made by {measure}, the session pack tells {told} at {self._at}",
                f"write the pack anew from a source that tells {measure}, or train and deploy a model on this one",
            )

    def require_universe(self, trained_on: Mapping[str, Any] | None) -> None:
        """Refuse a model that learned from other names than ``[universe]`` lets in; one that does not tell is taken.

        Raises
        ------
        LiveError
            Naming each key that is another.
        """
        ours = self._universe.model_dump(mode="json")
        theirs = ours if trained_on is None else trained_on
        differ = [
            f"universe.{key} was {theirs.get(key)!r} in training, is {ours.get(key)!r} here"
            for key in sorted(ours.keys() | theirs.keys())
            if ours.get(key) != theirs.get(key)
        ]
        if differ:
            raise LiveError(
                f"the model learned from another universe: {', '.join(differ)}",
                "train and deploy a model on this universe, or write [universe] as it was in training",
            )

    def past(self, after: date, until: date, by: GroupBy) -> Iterator[PastSession]:
        """Yield the sessions of pack and feed after ``after`` up to ``until``, for a model of groups by ``by``.

        Of history and feed at once, wherever this history stands: a session already passed can be asked about here.

        Raises
        ------
        LiveError
            When the pack's history is too short to warm the first of them up.
        """
        pack, feed = self._feed.pack, [day for day in self._feed.sessions if day <= until]
        axis = pd.DatetimeIndex(self._feed.history_sessions.append(pd.DatetimeIndex(feed)), name="session_date")
        first = int(axis.searchsorted(pd.Timestamp(after), side="right"))
        if (lacking := self._kept - 1 - first) > 0:
            raise LiveError(
                f"the session pack's history begins {lacking} sessions too late to score the sessions since {after}",
                "run the pipeline's deployment again to write the pack anew with a longer history",
            )
        sessions = axis[first + 1 - self._kept :]
        bars = pd.concat([pack.history, *(self._feed.bars(day) for day in feed)], ignore_index=True)
        bars = bars[(bars["session_date"] >= sessions[0]) & (bars["session_date"] <= sessions[-1])]
        own = self._panel_of(bars, sessions)
        panel = self._with_inputs(own, bars, until)
        values = evaluate(self._catalogue.expressions, panel)
        mask = scorable_mask(own, pack.securities, pack.st_spells, pack.index_members, self._universe)
        tables = {name: _until(pack.beside[name], until) for name in GROUP_TABLES[by]}
        groups = group_codes(by, own, mask, tables, self._universe)
        for column in range(self._kept - 1, len(sessions)):
            yield PastSession(
                features=np.ascontiguousarray(values.values[:, :, column].T, dtype=np.float32),  # noqa: PD011
                scorable=mask[:, column],
                groups=None if groups is None else groups.codes[:, column],
            )

    def check_against_online_store(self) -> None:
        """Compare the factors of the last research session with the online feature store's answer, bit by bit.

        Names without a bar on that session are left out: the store answers for them with an older session.

        Raises
        ------
        LiveError
            When a name is missing there, or one bit differs: live would then trade other factors than research tested.
        """
        session = self._feed.pack.last_research_session
        ours = self.features(session)
        names = list(self._catalogue.names)
        online = self._feed.pack.online_features
        absent = [name for name in ["symbol", *names] if name not in online.columns]
        if absent:
            raise LiveError(f"the online features of {session} lack column {absent[0]}", "write the session pack again")
        traded = np.isfinite(self._panel.fields["close"][:, -1])
        theirs = online.set_index("symbol")[names].reindex(pd.Index(self._feed.symbols))
        table = theirs.to_numpy(dtype=np.float32)
        missing = traded & ~pd.Index(self._feed.symbols).isin(online["symbol"])
        if missing.any():
            symbol = self._feed.symbols[int(np.flatnonzero(missing)[0])]
            raise LiveError(f"the online features of {session} lack {symbol}", "write the session pack again")
        symbols = [self._feed.symbols[row] for row in np.flatnonzero(traded)]
        found = disagreements(ours[traded], {"online": table[traded]}, symbols=symbols, factors=names)
        if found:
            first, count = found[0], found[0].values  # noqa: PD011 - a number, no frame's
            raise LiveError(
                f"factor {first.factor} of {first.symbol} on {session} is {first.batch_value!r} here and "
                f"{first.way_value!r} in the online feature store ({count} values differ)",
                "materialise the features and write the session pack again with the code that the runner runs",
            )

    def _append(self, session: date) -> None:
        bars = self._feed.bars(session)
        newest = self._panel_of(bars, pd.DatetimeIndex([session], name="session_date"))
        fields = {
            name: np.concatenate([values[:, 1:], newest.fields[name]], axis=1)
            for name, values in self._panel.fields.items()
        }
        sessions = pd.DatetimeIndex(self._panel.sessions[1:].append(newest.sessions))
        panel, kept = Panel(self._feed.symbols, sessions, fields), self._bars
        if tables_beside(self._reads):  # adjusted prices roll in the panel; other fields are made of the rows
            kept = pd.concat([kept[kept["session_date"] >= sessions[0]], bars], ignore_index=True)
        features = self._newest_features(panel, kept, session)
        # last, and together: what failed on the way has not moved on with the features of the session before
        self._panel, self._bars, self._at, self._features = panel, kept, session, features

    def _panel_of(self, bars: pd.DataFrame, sessions: pd.DatetimeIndex) -> Panel:
        adjustment = self._feed.pack.manifest.adjustment
        return factor_panel(bars, symbols=self._feed.symbols, sessions=sessions, adjustment=adjustment)

    def _with_inputs(self, panel: Panel, bars: pd.DataFrame, until: date) -> Panel:
        """Return ``panel`` of ``bars`` with all that the factors read beside them, as known at ``until``."""
        pack = self._feed.pack
        tables = MarketTables(
            bars,
            pack.securities,
            pack.st_spells,
            pack.index_members,
            pack.manifest.adjustment,
            {name: _until(table, until) for name, table in pack.beside.items()},
        )
        return with_inputs(panel, tables, reads=self._reads, universe=self._universe, benchmark=self._benchmark)

    def _newest_features(self, panel: Panel, bars: pd.DataFrame, until: date) -> NDArray[np.float32]:
        newest = newest_session(self._catalogue.expressions, self._with_inputs(panel, bars, until))
        return np.ascontiguousarray(newest.values[:, :, 0].T)  # noqa: PD011 - an array's, no frame's


def _until(table: pd.DataFrame, session: date) -> pd.DataFrame:
    """Return the rows up to ``session``: later ones lie in a replayed pack and were not known."""
    return table[table["session_date"] <= pd.Timestamp(session)] if "session_date" in table else table
