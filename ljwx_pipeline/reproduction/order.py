"""One session of the runner made again up to the order asked for: features, scores, rank, decision, risk gate.

The account as the journal's log states it at the session's close is what the decision starts from. Not here: the model
and the bars (the replay of the run), how a close is traded (``live/close_trading.py``).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ljwx_pipeline.config import Settings
from ljwx_pipeline.errors import LakeError
from ljwx_pipeline.factors.catalogues import open_catalogue
from ljwx_pipeline.live.close_books import portfolio_at
from ljwx_pipeline.live.decision import Decider, DecidingModel, Portfolio, RunnerSettings
from ljwx_pipeline.live.factor_history import FactorHistory
from ljwx_pipeline.live.feed import ReplayFeed
from ljwx_pipeline.live.main import KEYS_DIR
from ljwx_pipeline.live.orders import DecidedOrder
from ljwx_pipeline.live.places import LIVE_DIR
from ljwx_pipeline.live.scorer import BundleScorer
from ljwx_pipeline.live.store import Store
from ljwx_pipeline.live.trading import FEED_DIR
from ljwx_pipeline.reproduction.stages import Remade, Stage
from ljwx_pipeline.reproduction.target import RecordedOrder
from ljwx_pipeline.scoring.bundle import load_bundle
from ljwx_pipeline.scoring.signing import public_key
from ljwx_pipeline.trading.market_arrays import optional_columns
from ljwx_pipeline.uncertainty.abstain import may_buy
from ljwx_pipeline.units import E4


def order_stages(
    order: RecordedOrder, settings: Settings, remade: Remade, pack: Remade, *, folder: Path
) -> Iterator[Stage]:
    """Yield the verdict of each stage from the session's bars to the order itself.

    Parameters
    ----------
    settings
        Those of the run: strategy, limits and costs that the order is decided under.
    remade
        What made the model again.
    pack
        What made the session pack again, as known when the order was decided; often the same.
    folder
        The replay's home: the key of its bundle lies there.

    Raises
    ------
    LakeError
        When the pack made again does not hold the order's session, or the account's files are not whole.
    """
    feed = ReplayFeed.open(pack.home / LIVE_DIR / FEED_DIR, columns=optional_columns(settings.costs))
    if order.session not in feed.sessions:
        raise LakeError(
            f"the session pack made again replays {feed.sessions[0]} to {feed.sessions[-1]}, the order is of "
            f"{order.session}",
            "the runner ran under another research.held_out_sessions than the run: make that setting's run again",
        )
    bars_hash, signals = _journalled(order)
    yield _hash_stage("bars of the session", f"{order.session}", bars_hash, feed.bars_hash(order.session))
    catalogue = open_catalogue(settings.factors.catalogue)
    factors = FactorHistory(feed, catalogue, settings.universe, benchmark=settings.gate.benchmark)
    row = feed.symbols.index(order.symbol)
    yield _features(order, catalogue.names, factors.features(order.session)[row], pack)
    bundle = load_bundle(
        remade.home / remade.made["bundle"],
        factor_hash=catalogue.version_hash,
        public_key=public_key(folder / KEYS_DIR),
    )
    scorer = BundleScorer(bundle, factors)
    scores = scorer.scores(order.session)
    yield from _scores(order, signals, dict(zip(feed.symbols, scores.tolist(), strict=True)))
    deciding = DecidingModel(order.model_version, bundle.manifest.last_session)
    decider = Decider(feed, RunnerSettings(settings.strategy, settings.risk, settings.live, settings.uncertainty))
    buyable = None
    if decider.abstains:
        ends = scorer.interval_ends(order.session)
        buyable = may_buy(settings.uncertainty, ends.lower, ends.upper)
    decided = decider.orders(order.session, _books(order), scores, buyable, deciding)
    yield _decision(order, next((one for one in decided if one.intent.client_order_id == order.order_id), None))


def _books(order: RecordedOrder) -> Portfolio:
    """Return the account at the session's close, as the journal's log states it."""
    store = Store(order.journal)
    try:
        with store.reading() as connection:
            return portfolio_at(order.session, connection)
    finally:
        store.close()


def _journalled(order: RecordedOrder) -> tuple[str, dict[str, float]]:
    """Return the hash of the session's bars and every score as the journal holds them."""
    day = (order.session.isoformat(),)
    with closing(sqlite3.connect(f"{order.journal.as_uri()}?mode=ro", uri=True, timeout=5)) as journal:
        bars = journal.execute("SELECT bars_hash FROM sessions WHERE session = ?", day).fetchone()[0]
        return str(bars), dict(journal.execute("SELECT symbol, score FROM signals WHERE session = ?", day).fetchall())


def _features(order: RecordedOrder, names: tuple[str, ...], live: NDArray[np.float32], pack: Remade) -> Stage:
    """Compare the runner's factors of the order's symbol with the row of the feature table made again."""
    path = pack.home / pack.made["artifacts"]["feature_table"]["path"]
    batch = _row_of(path, order.symbol, order.session, names)
    name = f"features of {order.symbol} on {order.session}"
    if batch is None:
        return Stage(name, "unknown", "the feature table made again has no such row")
    differ = np.flatnonzero(~((live == batch) | (np.isnan(live) & np.isnan(batch))))
    if len(differ) == 0:
        return Stage(name, "equal", f"{len(names)} factors, in the runner's way and in the table's, bit for bit")
    said = tuple(f"{names[i]}: {batch[i]:.9g} in the table, {live[i]:.9g} in the runner's way" for i in differ[:5])
    return Stage(name, "differs", f"{len(differ)} of {len(names)} factors differ, first {said[0]}", differences=said)


def _row_of(path: Path, symbol: str, session: date, names: tuple[str, ...]) -> NDArray[np.float32] | None:
    import pandas as pd

    wanted = [("symbol", "==", symbol), ("session_date", "==", pd.Timestamp(session))]
    found = pq.read_table(path, columns=list(names), filters=wanted).to_pandas()
    return None if len(found) != 1 else found[list(names)].to_numpy(dtype=np.float32)[0]


def _scores(order: RecordedOrder, was: Mapping[str, float], every: Mapping[str, float]) -> Iterator[Stage]:
    now = {symbol: score for symbol, score in every.items() if np.isfinite(score)}
    differ = [symbol for symbol in sorted({*was, *now}) if was.get(symbol) != now.get(symbol)]
    before, after = was.get(order.symbol), now.get(order.symbol)
    name = f"score of {order.symbol}"
    if before == after:
        yield Stage(name, "equal", _number(after))
    else:
        yield Stage(name, "differs", f"{_number(before)} then, {_number(after)} now")
    ranks = _rank(order.symbol, was), _rank(order.symbol, now)
    name, of = f"rank of {order.symbol}", f"{ranks[1] or '-'} of {len(now)}"
    if not differ:
        yield Stage(name, "equal", f"{of}, every score of the session bit for bit")
        return
    said = tuple(f"{s}: {_number(was.get(s))} then, {_number(now.get(s))} now" for s in differ[:5])
    verdict = f"{ranks[0] or '-'} of {len(was)} then, {of} now; {len(differ)} scores differ, first {said[0]}"
    yield Stage(name, "differs", verdict, differences=said)


def _rank(symbol: str, scores: Mapping[str, float]) -> int | None:
    """Return the place of ``symbol``, 1 the best; equal scores stay in order of symbols."""
    order = sorted(scores, key=lambda name: (-scores[name], name))
    return order.index(symbol) + 1 if symbol in scores else None


def _decision(was: RecordedOrder, made: DecidedOrder | None) -> Stage:
    name = "decision"
    if made is None:
        return Stage(name, "differs", "the same account and these scores ask for no such order")
    now = made.intent
    said = {
        "side": (was.side, now.side.value),
        "shares": (was.shares, now.shares),
        "rank": (was.rank, now.rank),
        "reference_price_e4": (was.reference_price_e4, now.reference_price_e4),
        "denial": (was.denial, made.denial),
    }
    differ = tuple(f"{field} was {then}, is {here}" for field, (then, here) in said.items() if then != here)
    told = f"{now.side} {now.shares} at a reference price of {now.reference_price_e4 / E4:.4f} CNY, place {now.rank}"
    if differ:
        return Stage(name, "differs", f"{'; '.join(differ)}", differences=differ)
    return Stage(name, "equal", told + (f", denied: {made.denial}" if made.denial else ""))


def _hash_stage(name: str, what: str, was: str, now: str) -> Stage:
    if was == now:
        return Stage(name, "equal", what, was, now)
    return Stage(name, "differs", f"{what}: the runner decided on other bars", was, now)


def _number(value: float | None) -> str:
    return "none" if value is None else f"{value:.17g}"
