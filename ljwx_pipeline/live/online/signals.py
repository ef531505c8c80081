"""Tick in, signal out: a symbol's provisional score and rank, with the instant of the tick that it came from.

A tick is judged and waits in a queue that holds one a symbol (``live/ticks/conflation.py``): a model that falls behind
gets the newest of each, the rest are counted. Ticks that wait are taken together, because the factors of twenty symbols
cost little more than those of one. What is exact: once nothing waits and ``rescore`` was called, features and scores
are, bit for bit, those of a computation from nothing over the same running bars. What is provisional: that bars run
until the close; prices of a name that goes ex (``running_bars.py``); membership and groups, which are the last close's;
held factors, and shared ones between two rescorings (``live_factors.py``). Orders at the close are decided on
``close``'s scores or the scorer's own, which are the same; nothing provisional is traded on by this module.

All methods are called from one thread; ``open`` may run in another while no tick comes and nothing waits. Not here:
whose orders, breakers and stops ticks lead to.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
from numpy.typing import NDArray

from ljwx_pipeline.clock import Clock
from ljwx_pipeline.config import BreakerSettings
from ljwx_pipeline.errors import LiveError
from ljwx_pipeline.feature_parity import disagreements
from ljwx_pipeline.live.factor_history import PastSession
from ljwx_pipeline.live.online.live_factors import LiveFactors, RunningWindow
from ljwx_pipeline.live.online.running_bars import Rows, RunningBars
from ljwx_pipeline.live.scorer import BundleScorer
from ljwx_pipeline.live.ticks.bars import MinuteBar, SessionBarsBuilder, bar_differences
from ljwx_pipeline.live.ticks.conflation import ConflatingQueue
from ljwx_pipeline.live.ticks.validation import SymbolFacts, TickValidator, Verdict
from ljwx_pipeline.market.panel import Panel
from ljwx_pipeline.trading.exchange_wire import SessionBars, Tick

#: Most symbols that are computed together while others wait: a few milliseconds, so that nothing else starves.
BATCH_SYMBOLS = 40
#: Seconds between two computations of the shared factors while ticks come.
RESCORE_SECONDS = 60.0
_OPEN = "call open(session, facts) when the session begins"


@dataclass(frozen=True, slots=True)
class Signal:
    """What the model says of a symbol now.

    Parameters
    ----------
    at_ns
        The exchange's instant of the tick that the score is of.
    score
        Provisional until the close.
    rank
        1 is the best; equal scores share it.
    ranked
        How many names have a score: those that may be scored and have traded in the session.
    """

    symbol: str
    session: date
    at_ns: int
    score: float
    rank: int
    ranked: int


@dataclass(frozen=True, slots=True)
class TickTaken:
    """What became of a tick: its verdict, and the minute that it ended, if it ended one."""

    verdict: Verdict
    minute: MinuteBar | None = None


@dataclass(frozen=True, slots=True)
class SignalCounts:
    """Since the start: ticks by what became of them, signals, and how deep the queue ever was.

    Every tick is refused, quarantined or untraded, or it was queued; of the queued, ``conflated`` were replaced before
    they were read, ``late`` were of a session that was over, the others became signals or were of names that may not
    be scored.
    """

    ticks: int
    quarantined: int
    refused: int
    untraded: int
    conflated: int
    late: int
    signals: int
    waiting: int
    deepest: int


@dataclass(frozen=True, eq=False)
class SessionEnd:
    """A session's close.

    Parameters
    ----------
    scores
        Of every symbol in the feed's order, the bits of ``BundleScorer.scores``.
    alerts
        A sentence each: what the ticks said otherwise than the official bars, and what the online kernels compute
        otherwise than the close's. Either is for a person to look into; the scores are the close's.
    minutes
        The minutes that no tick had ended.
    """

    session: date
    scores: NDArray[np.float64]
    alerts: tuple[str, ...]
    minutes: tuple[MinuteBar, ...]


class LiveSignals:
    """The signals of one model.

    Parameters
    ----------
    scorer
        Of the model; its history is moved on by ``open`` and ``close``, and may be shared with other scorers.
    settings
        What ticks are judged by.
    threads
        Threads that share the symbols of a batch.
    """

    def __init__(self, scorer: BundleScorer, settings: BreakerSettings, *, threads: int = 1) -> None:
        history = self._history = scorer.history
        self._scorer = scorer
        self._settings = settings
        self._adjustment = history.feed.pack.manifest.adjustment
        self._factors = LiveFactors(history.catalogue, self._adjustment, threads=threads)
        self._running = RunningBars(history.feed)
        self._symbols = history.feed.symbols
        self._rows = {symbol: row for row, symbol in enumerate(self._symbols)}
        # two sessions may wait at once: the last ticks of one while the next begins
        self._queue = ConflatingQueue(2 * len(self._symbols))
        self._session: date | None = None
        self._validator: TickValidator | None = None
        self._bars = SessionBarsBuilder({})
        self._counted = dict.fromkeys(("ticks", "quarantined", "refused", "untraded", "late", "signals"), 0)

    @property
    def session(self) -> date | None:
        """The running session; None between two."""
        return self._session

    @property
    def validator(self) -> TickValidator:
        """What judges the running session's ticks: it knows the newest instant and which prices are suspect."""
        if self._validator is None:
            raise LiveError("no session is open for ticks", _OPEN)
        return self._validator

    @property
    def held(self) -> tuple[str, ...]:
        """Names of the factors that keep the last close's value until the next."""
        return self._factors.held

    @property
    def counts(self) -> SignalCounts:
        """What was counted since the start."""
        queue = self._queue
        return SignalCounts(**self._counted, conflated=queue.conflated, waiting=len(queue), deepest=queue.deepest)

    def open(self, session: date, facts: Iterable[SymbolFacts]) -> None:
        """Begin ``session`` with nothing traded; also after a restart in its midst, as a snapshot holds it so far.

        Parameters
        ----------
        facts
            Of the symbols whose ticks are believed (``facts.session_facts``).

        Raises
        ------
        LiveError
            When the factors have passed the session already, or a fact is of a symbol that the feed does not know.
        """
        known = list(facts)
        strangers = [one.symbol for one in known if one.symbol not in self._rows]
        if strangers:
            raise LiveError(
                f"{strangers[0]} is told for {session} and is not among the {len(self._symbols)} symbols of the feed",
                "run the pipeline's deployment again to write the pack anew",
            )
        feed = self._history.feed
        before = max([feed.history_sessions[-1].date(), *(day for day in feed.sessions if day < session)])
        inputs = self._history.inputs(before, *self._scorer.groups_read)
        self._running.move_to(before)
        panel = self._history.panel(before)
        self._window = RunningWindow(panel, self._factors, session, may_be_member=inputs.scorable)
        self._inputs = inputs
        self._features = inputs.features.copy()
        self._scores = np.full(len(self._symbols), np.nan)
        self._at_ns = np.zeros(len(self._symbols), dtype=np.int64)
        hours = self._hours = {one.symbol: one.hours for one in known}
        self._validator = TickValidator(session, known, self._settings, raw_prices=self._adjustment == "raw")
        self._bars = SessionBarsBuilder(hours)
        self._session = session

    def use(self, scorer: BundleScorer) -> tuple[Signal, ...]:
        """Go on with another model of the same factors; returns the signals of all that has traded.

        Raises
        ------
        LiveError
            When it scores another history.
        """
        if scorer.history is not self._history:
            raise LiveError("the model scores another history of factors", "make its scorer of the one that is open")
        self._scorer = scorer
        if self._session is None:
            return ()
        self._inputs = self._history.inputs(self._history.at, *scorer.groups_read)
        self._scores[:] = np.nan
        return self._score(np.flatnonzero(self._at_ns), self._session)

    def on_tick(self, tick: Tick, now_ns: int) -> TickTaken:
        """Judge ``tick`` at our instant ``now_ns`` and let it wait if it is believed; costs microseconds.

        Raises
        ------
        LiveError
            When no session is open.
        """
        verdict = self.validator.judge(tick, now_ns)
        counted = self._counted
        counted["ticks"] += 1
        if verdict.moves_prices:
            return TickTaken(verdict, self._queued(tick))
        if verdict is Verdict.NO_TRADE:
            self._bars.saw_no_trade(tick.symbol)
            counted["untraded"] += 1
        else:
            counted["quarantined" if verdict is Verdict.QUARANTINED else "refused"] += 1
        return TickTaken(verdict)

    def on_believed(self, tick: Tick) -> MinuteBar | None:
        """Let a tick wait that somebody else has judged, by facts of the same symbols; returns the minute it ended.

        For a runner that judges ticks once for all who trade on them. Ticks of one session come all this way, or all
        through ``on_tick``; after its close they are ``late`` either way.

        Raises
        ------
        LiveError
            When no session was opened, or the tick is of another one or of a symbol without facts.
        """
        opened = self.validator.session
        if tick.session != opened or tick.symbol not in self._hours:
            raise LiveError(
                f"a believed tick is of {tick.symbol} and {tick.session}, which {opened} was not opened with",
                "hand on the ticks of the session that was opened, judged by the same facts",
            )
        self._counted["ticks"] += 1
        return self._queued(tick)

    async def run(
        self, told: Callable[[tuple[Signal, ...]], None], clock: Clock, *, rescore_seconds: float = RESCORE_SECONDS
    ) -> None:
        """Turn what waits into signals for ``told`` until cancelled; runs beside whoever calls ``on_tick``.

        Shared factors are computed in a thread every ``rescore_seconds`` while ticks come, where there are any; until
        they are there, ticks wait and conflate.
        """
        due_s = clock.monotonic_s() + rescore_seconds
        while True:
            first = await self._queue.get()
            told(self._scored([first, *self._taken(BATCH_SYMBOLS - 1)]))
            if len(self._factors.shared_columns) and clock.monotonic_s() >= due_s and self._session is not None:
                told(await self._rescored_aside(self._session))
                due_s = clock.monotonic_s() + rescore_seconds
            await asyncio.sleep(0)

    def step(self, most: int = BATCH_SYMBOLS) -> tuple[Signal, ...]:
        """Return the signals of at most ``most`` symbols, those whose ticks have waited longest; empty when none do."""
        return self._scored(self._taken(most))

    def rescore(self) -> tuple[Signal, ...]:
        """Take all that waits, compute the shared factors, score every name that has traded and return the signals.

        Raises
        ------
        LiveError
            When no session is open.
        """
        self._require_open()
        self._apply(self._taken(len(self._queue)))
        return self._with_shared(self._factors.shared(self._window.panel()))

    def signals(self) -> tuple[Signal, ...]:
        """Return the newest signal of every name that has one, the best first; empty between two sessions."""
        if self._session is None:
            return ()
        rows = np.flatnonzero(np.isfinite(self._scores))
        return self._signals_of(rows[np.argsort(-self._scores[rows], kind="stable")], self._session)

    def close(self, session: date, official: SessionBars | None = None) -> SessionEnd:
        """End ``session``: its official bar takes the running one's place; return the scores of the close.

        Parameters
        ----------
        official
            The bars that the exchange sent, to be compared with the ticks' where they are given.

        Raises
        ------
        LiveError
            When another session is open, or none.
        """
        self._let_go(session)
        return self._end_of(session, official)

    async def close_aside(self, session: date, official: SessionBars | None = None) -> SessionEnd:
        """Do as ``close``, in a thread: a whole market takes a third of a second, in which a lease is renewed.

        Until it returns, no tick is handed on, nothing is opened and no other thread moves the history.
        """
        self._let_go(session)
        return await asyncio.to_thread(self._end_of, session, official)

    def _let_go(self, session: date) -> None:
        """Let nothing more become a signal of ``session``; ``run`` finds nothing from here on."""
        if self._session != session:
            raise LiveError(f"{session} cannot be closed, {self._session or 'no session'} is open", _OPEN)
        self._counted["late"] += len(self._taken(len(self._queue)))  # the official bars say more
        self._session = None

    def _end_of(self, session: date, official: SessionBars | None) -> SessionEnd:
        alerts = [] if official is None else self._told_otherwise(official)
        inputs = self._history.inputs(session, *self._scorer.groups_read)
        alerts += self._computed_otherwise(self._history.panel(session), inputs.features)
        return SessionEnd(session, self._scorer.predict(inputs).score, tuple(alerts), self._bars.end_session())

    def _queued(self, tick: Tick) -> MinuteBar | None:
        minute = self._bars.add(tick)
        self._queue.put(tick)
        return minute

    def _taken(self, most: int) -> list[Tick]:
        taken: list[Tick] = []
        while len(taken) < most and (tick := self._queue.pop()) is not None:
            taken.append(tick)
        return taken

    def _scored(self, ticks: Sequence[Tick]) -> tuple[Signal, ...]:
        rows, session = self._apply(ticks), self._session
        return () if session is None or not len(rows) else self._score(rows, session)

    def _apply(self, ticks: Sequence[Tick]) -> Rows:
        """Bring window and own factors to the newest bars of the ticks' symbols; return their rows."""
        current = [tick for tick in ticks if tick.session == self._session]
        self._counted["late"] += len(ticks) - len(current)
        rows = np.array([self._rows[tick.symbol] for tick in current], dtype=np.intp)
        if not current:
            return rows
        # the newest tick of a symbol is the one that waits: both are of ``on_tick``
        bars = [bar for tick in current if (bar := self._bars.session_bar(tick.symbol)) is not None]
        self._window.write(rows, self._running.fields(rows, bars))
        self._features[np.ix_(rows, self._factors.own_columns)] = self._factors.own(self._window.fields, rows)
        self._at_ns[rows] = [tick.at_ns for tick in current]
        return rows

    def _score(self, rows: Rows, session: date) -> tuple[Signal, ...]:
        groups = self._inputs.groups
        asked = PastSession(self._features[rows], self._inputs.scorable[rows], None if groups is None else groups[rows])
        self._scores[rows] = self._scorer.predict(asked).score
        found = self._signals_of(rows, session)
        self._counted["signals"] += len(found)
        return found

    async def _rescored_aside(self, session: date) -> tuple[Signal, ...]:
        """Compute the shared factors in a thread on a copy; ticks taken meanwhile wait for the next time."""
        shared = await asyncio.to_thread(self._factors.shared, self._window.panel())
        return self._with_shared(shared) if self._session == session else ()

    def _with_shared(self, shared: NDArray[np.float32]) -> tuple[Signal, ...]:
        session = self._require_open()
        traded = np.flatnonzero(self._at_ns)
        self._features[np.ix_(traded, self._factors.shared_columns)] = shared[traded]
        return self._score(traded, session)

    def _require_open(self) -> date:
        if self._session is None:
            raise LiveError("no session is open for ticks", _OPEN)
        return self._session

    def _signals_of(self, rows: Rows, session: date) -> tuple[Signal, ...]:
        ascending = np.sort(self._scores[np.isfinite(self._scores)])
        scores = self._scores[rows]
        ranked = len(ascending)
        ranks = ranked + 1 - np.searchsorted(ascending, scores, side="right")
        numbers = zip(rows.tolist(), self._at_ns[rows].tolist(), scores.tolist(), ranks.tolist(), strict=True)
        return tuple(
            Signal(self._symbols[row], session, at_ns, score, rank, ranked)
            for row, at_ns, score, rank in numbers
            if score == score  # NaN: may not be scored
        )

    def _told_otherwise(self, official: SessionBars) -> list[str]:
        """Return a sentence where the ticks' bars are not the official ones."""
        found: list[str] = []
        for bar in official.bars:
            running = self._bars.session_bar(bar.symbol) if bar.symbol in self._hours else None
            if running is None:
                found.append(f"{bar.symbol}: there is an official bar and no tick was believed")
            else:
                found += bar_differences(running, bar)
        return _summed_up(found, f"the ticks of {official.session} do not add up to the official bars")

    def _computed_otherwise(self, panel: Panel, features: NDArray[np.float32]) -> list[str]:
        """Return a sentence where the online kernels make other factors of the official bars than the close's."""
        rows = np.arange(len(self._symbols))
        window = {name: values[:, -self._factors.window :] for name, values in panel.fields.items()}
        ways = (
            ("own", self._factors.own_columns, self._factors.own(window, rows)),
            ("shared", self._factors.shared_columns, self._factors.shared(panel)),
        )
        names = self._history.catalogue.names
        return [
            f"{one}: the runner's online factors are not those of its closes"
            for way, columns, values in ways
            for one in disagreements(
                np.ascontiguousarray(features[:, columns]),
                {f"the online {way} factors": values},
                symbols=self._symbols,
                factors=[names[column] for column in columns],
            )
        ]


def _summed_up(sentences: Sequence[str], what: str) -> list[str]:
    """Return one sentence for many of one cause: how many, and the first three."""
    if not sentences:
        return []
    return [f"{what}, {len(sentences)} differences: {'; '.join(sentences[:3])}"]
