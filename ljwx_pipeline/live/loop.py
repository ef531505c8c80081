"""The loop: takes in bundles and packs, steps the runner session by session, beats after each piece of work.

A deliberate error (`LjwxError`) halts trading, is noted once as an event and looked at again at the next poll; any
other exception ends the process, because a loop that is dead while its server answers is the worst of states. Not here:
HTTP (``api.py``), processes and signals (``main.py``).
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path

from ljwx_pipeline.config import CostSettings, UniverseSettings
from ljwx_pipeline.errors import LiveError, LjwxError
from ljwx_pipeline.factors.catalogue import Catalogue
from ljwx_pipeline.live.account_files import ACCOUNT_DIR, account_misfit
from ljwx_pipeline.live.feed import ReplayFeed
from ljwx_pipeline.live.inbox import Inbox
from ljwx_pipeline.live.journal import Journal, RunnerState
from ljwx_pipeline.live.paper_broker import PAPER_NAME, PaperBroker
from ljwx_pipeline.live.progress import Mode, Progress
from ljwx_pipeline.live.runner import Model, Runner, RunnerSettings, SilentScorer
from ljwx_pipeline.live.scorer import BundleScorer, FactorHistory
from ljwx_pipeline.session_pack import MANIFEST
from ljwx_pipeline.trading.market_arrays import optional_columns

FEED_DIR = "feed"
#: An idle runner says that it is there at most this often: whoever reads the journal tells it from a stopped one.
KEEP_ALIVE_S = 10.0


@dataclass(frozen=True)
class LoopSettings:
    """What the loop needs besides the runner's own settings."""

    runner: RunnerSettings
    costs: CostSettings
    universe: UniverseSettings
    catalogue: Catalogue
    benchmark: str


@dataclass(frozen=True)
class _Trading:
    """Everything opened for one session pack."""

    pack_stamp: bytes
    feed: ReplayFeed
    factors: FactorHistory
    broker: PaperBroker
    runner: Runner


class TradingLoop:
    """Trades whatever lies in ``live_dir``; used by one thread.

    Parameters
    ----------
    live_dir
        The runner's folder.
    settings
        Strategy, costs, universe, limits.
    journal, inbox
        Of the loop's own thread.
    progress
        Beats go there.
    """

    def __init__(
        self, live_dir: Path, settings: LoopSettings, *, journal: Journal, inbox: Inbox, progress: Progress
    ) -> None:
        self._live_dir = live_dir
        self._settings = settings
        self._journal = journal
        self._inbox = inbox
        self._progress = progress
        self._trading: _Trading | None = None
        self._model: Model | None = None
        self._last_fault = ""

    def close(self) -> None:
        """Let go of the broker."""
        if self._trading is not None:
            self._trading.broker.close()
            self._trading = None

    def run_forever(self, stop: threading.Event) -> None:
        """Work and poll until ``stop`` is set."""
        while not stop.is_set():
            try:
                self._journal.keep_alive(KEEP_ALIVE_S)
                self.run_pass(stop)
            except LjwxError as error:
                self._halt(str(error))
            stop.wait(self._settings.runner.live.poll_seconds)

    def run_pass(self, stop: threading.Event) -> None:
        """Take in what has arrived and trade every session that is due; return early when ``stop`` is set.

        Raises
        ------
        LjwxError
            When trading cannot go on; nothing is sent after it.
        """
        self._inbox.collect()
        trading = self._opened()
        for session in trading.runner.pending():
            self._inbox.collect()
            model = self._current_model(trading) or self._silent_model(trading)
            if model is None:
                self._say(Mode.WAITING, self._and_no_model("no model has been deployed yet"))
                return
            self._say(Mode.TRADING, self._and_no_model(f"session {session}"))
            trading.runner.step(session, model)
            self._say(Mode.TRADING, self._and_no_model(f"session {session} is done"))
            if stop.wait(self._settings.runner.live.seconds_per_session):
                return
        self._current_model(trading)
        self._say(Mode.FINISHED, self._and_no_model("every session of the pack is done"))

    def _opened(self) -> _Trading:
        """Return what is open for the pack that lies there now, opening it anew when it changed."""
        folder = self._live_dir / FEED_DIR
        manifest = folder / MANIFEST
        stamp = manifest.read_bytes() if manifest.is_file() else b""
        if self._trading is not None and self._trading.pack_stamp == stamp:
            return self._trading
        self.close()
        self._model = None
        feed = ReplayFeed.open(folder, columns=optional_columns(self._settings.costs))
        misfit = account_misfit(self._journal, feed, capital_fen=self._settings.runner.capital_fen)
        if misfit:
            raise LiveError(misfit, "start the runner again: it then keeps the old account aside and opens a new one")
        factors = FactorHistory(
            feed, self._settings.catalogue, self._settings.universe, benchmark=self._settings.benchmark
        )
        factors.check_against_online_store()
        broker = PaperBroker(
            self._live_dir / ACCOUNT_DIR / PAPER_NAME,
            market=feed.market,
            costs=self._settings.costs,
            capital_fen=self._settings.runner.capital_fen,
        )
        runner = Runner(journal=self._journal, feed=feed, broker=broker, settings=self._settings.runner)
        self._trading = _Trading(stamp, feed, factors, broker, runner)
        runner.recover()
        return self._trading

    def _current_model(self, trading: _Trading) -> Model | None:
        newest = next(reversed(self._journal.tradable_bundles()), None)
        if newest is None:
            self._model = None
        elif self._model is None or self._model.deployed.bundle_hash != newest:
            current = self._inbox.current()
            if current is not None and (
                self._model is None or current[0].bundle_hash != self._model.deployed.bundle_hash
            ):
                deployed, bundle = current
                scorer = BundleScorer(bundle, trading.factors)
                self._model = Model(deployed, scorer)
                named = f"version {deployed.model_version}, bundle {deployed.bundle_hash[:12]}"
                self._journal.record_event("model_trades", named)
                if scorer.interval_fault:
                    self._journal.record_event("no_intervals", f"{named}: {scorer.interval_fault}")
        return self._model

    def _silent_model(self, trading: _Trading) -> Model | None:
        """Return the withdrawn bundle without a voice: nothing is bought, nothing sold but what an exit forces out."""
        if self._journal.withdrawn() is None:
            return None
        last = next(reversed(self._journal.bundles().values()), None)
        return None if last is None else Model(last, SilentScorer(len(trading.feed.symbols)))

    def _and_no_model(self, message: str) -> str:
        withdrawn = self._journal.withdrawn()
        return message if withdrawn is None else f"{message}; {withdrawn.sentence()}"

    def _say(self, mode: Mode, message: str) -> None:
        """Beat; make the journal's own row say the same if it does not yet."""
        self._progress.beat(mode, message)
        self._last_fault = ""
        state = self._state(mode, message)
        if state != self._journal.runner_state():
            self._journal.record_state(state)

    def _state(self, mode: Mode, message: str) -> RunnerState:
        sessions = list(self._journal.sessions())
        trading = self._trading
        return RunnerState(
            mode=mode.value,
            simulated=trading is not None and trading.feed.pack.manifest.simulated,
            opening_capital_fen=self._settings.runner.capital_fen,
            bundle_hash=None if self._model is None else self._model.deployed.bundle_hash,
            session=sessions[-1].isoformat() if sessions else None,
            sessions_done=len(sessions),
            sessions_total=len(sessions) + (0 if trading is None else len(trading.runner.pending())),
            message=message,
        )

    def _halt(self, fault: str) -> None:
        # waiting for the pipeline's first pack is not a fault
        missing = not (self._live_dir / FEED_DIR / MANIFEST).is_file()
        mode = Mode.WAITING if missing else Mode.HALTED
        self._progress.beat(mode, fault)
        if fault != self._last_fault:
            self._last_fault = fault
            self._journal.record_event(mode.value, fault)
            self._journal.record_state(self._state(mode, fault))
