"""A small market that the runner follows by ticks: pack, factors, a signed model, and the snapshots of its sessions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ljwx_pipeline.config import BreakerSettings, UniverseSettings
from ljwx_pipeline.dataset import MarketTables, input_panel
from ljwx_pipeline.expressions.evaluate import evaluate
from ljwx_pipeline.expressions.operators import cs_demean, cs_rank, field, mean, ref
from ljwx_pipeline.factors.catalogue import Catalogue, Factor, catalogue
from ljwx_pipeline.live.factor_history import FactorHistory
from ljwx_pipeline.live.feed import ReplayFeed
from ljwx_pipeline.live.online.signals import LiveSignals
from ljwx_pipeline.live.scorer import BundleScorer
from ljwx_pipeline.live.ticks.validation import SymbolFacts
from ljwx_pipeline.market.hours import MarketPhase, session_hours
from ljwx_pipeline.market.symbols import Board
from ljwx_pipeline.market.tables import BESIDE_TABLES, empty_table
from ljwx_pipeline.scoring.bundle import ModelBundle, load_bundle
from ljwx_pipeline.scoring.model import Member, Model
from ljwx_pipeline.scoring.signing import public_key_of, signing_key
from ljwx_pipeline.session_pack import write_session_pack
from ljwx_pipeline.trading.exchange_wire import Bar, SessionBars, Tick
from ljwx_pipeline.units import NS_PER_S
from tests.fakes.bars import listed_securities, random_bars
from tests.fakes.bundles import tiny_booster, tiny_bundle, tiny_linear
from tests.fakes.live_ticks import BREAKERS

HISTORY_SESSIONS = 100
UNIVERSE = UniverseSettings(
    index="", min_listed_sessions=0, exclude_st=True, min_mean_amount_cny=0, mean_amount_window_sessions=5
)
#: Prices of a random session jump as they like.
WIDE: BreakerSettings = BREAKERS.model_copy(update={"max_tick_jump_frac": 1.0})
#: Of all symbols, the one that nobody may score: it is under special treatment.
SPECIAL = "S00003.SIM"


def mixed_catalogue() -> Catalogue:
    """Factors of each sort: of one symbol, across symbols, and of a table that no tick tells."""
    moved = field("close") / ref(field("close"), 1) - 1
    made = {
        "MOVED": moved,
        "VOLUME5": field("volume") / mean(field("volume"), 5),
        "RAW": field("raw_close_cny") / field("pre_close_cny"),
        "AGE": field("listed_sessions"),
        "RANK": cs_rank(moved),
        "AGAINST": mean(cs_demean(field("close") / field("vwap")), 3),
        "VALUE": field("market_value_cny"),
    }
    return catalogue("mixed", [Factor(name, made[name], name, "a test", "fraction") for name in made])


@dataclass(frozen=True)
class World:
    """A market whose last sessions come as ticks."""

    catalogue: Catalogue
    bars: pd.DataFrame
    beside: Mapping[str, pd.DataFrame]
    securities: pd.DataFrame
    spells: pd.DataFrame
    feed: ReplayFeed
    bundle: ModelBundle

    def history(self) -> FactorHistory:
        """Factors at the closes, standing at the last research session."""
        return FactorHistory(self.feed, self.catalogue, UNIVERSE, benchmark="")

    def signals(self, *, threads: int = 1) -> LiveSignals:
        """Signals of the bundle, with no session open."""
        return LiveSignals(BundleScorer(self.bundle, self.history()), WIDE, threads=threads)

    def official(self, session: date) -> dict[str, Bar]:
        """The session's official bars by symbol."""
        rows = self.feed.bars(session).itertuples()
        return {
            str(r.symbol): Bar(
                str(r.symbol),
                *(round(price * 10_000) for price in (r.open_cny, r.high_cny, r.low_cny, r.close_cny, r.pre_close_cny)),
                int(r.volume_shares),
                round(r.amount_cny * 100),
                float(r.adj_factor),
            )
            for r in rows
        }

    def sent_bars(self, session: date) -> SessionBars:
        """The official bars as the exchange sends them."""
        return SessionBars(session, 0, tuple(self.official(session).values()))

    def facts(self, session: date) -> list[SymbolFacts]:
        """Facts with limits that hold nothing back."""
        return [
            SymbolFacts(name, bar.pre_close_e4, bar.pre_close_e4 * 3, bar.pre_close_e4 // 3, hours_of(session))
            for name, bar in self.official(session).items()
        ]

    def ticks(self, session: date, *, each: int = 4, seed: int = 0) -> dict[str, list[Tick]]:
        """Snapshots of every symbol, the last of each its official bar."""
        rng = np.random.default_rng(seed)
        return {name: _path(bar, session, each, rng) for name, bar in self.official(session).items()}

    def from_nothing(self, session: date, newest: Mapping[str, Tick]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Features of all history and of bars that are the ``newest`` ticks, and which symbols have one."""
        before = self.bars[self.bars["session_date"] < pd.Timestamp(session)]
        last = before.drop_duplicates("symbol", keep="last").set_index("symbol")
        rows = []
        for name, one in newest.items():
            close, factor = round(last.loc[name, "close_cny"] * 10_000), float(last.loc[name, "adj_factor"])
            rows.append(
                {
                    "symbol": name,
                    "session_date": pd.Timestamp(session),
                    "open_cny": one.open_e4 / 10_000,
                    "high_cny": one.high_e4 / 10_000,
                    "low_cny": one.low_e4 / 10_000,
                    "close_cny": one.last_e4 / 10_000,
                    "pre_close_cny": one.pre_close_e4 / 10_000,
                    "volume_shares": float(one.volume_shares),
                    "amount_cny": one.amount_fen / 100,
                    "adj_factor": factor * (close / one.pre_close_e4) if close != one.pre_close_e4 else factor,
                }
            )
        bars = pd.concat([before, pd.DataFrame(rows)], ignore_index=True) if rows else before
        sessions = pd.DatetimeIndex([*np.sort(before["session_date"].unique()), pd.Timestamp(session)])
        tables = MarketTables(bars, self.securities, self.spells, empty_table("index_members"), "raw", self.beside)
        panel = input_panel(
            tables,
            symbols=self.feed.symbols,
            sessions=sessions.rename("session_date"),
            reads=self.catalogue.reads,
            universe=UNIVERSE,
            benchmark="",
        )
        values = evaluate(self.catalogue.expressions, panel)
        traded = np.isfinite(panel.fields["close"][:, -1])
        return np.ascontiguousarray(values.values[:, :, -1].T), traded  # noqa: PD011 - an array's


def online_world(
    folder: Path,
    factors: Catalogue,
    *,
    symbols: int = 8,
    feed_sessions: int = 4,
    seed: int = 0,
    model: Model | None = None,
) -> World:
    """Return a market of which the first symbol is split on the first session that comes as ticks.

    Without a ``model``, it is scored by half a booster and half a line.
    """
    bars = random_bars(symbols=symbols, sessions=HISTORY_SESSIONS + feed_sessions, seed=seed, suspended_frac=0)
    securities = listed_securities(bars).assign(board=int(Board.MAIN), list_date=pd.Timestamp("2012-01-04"))
    start = np.sort(bars["session_date"].unique())[HISTORY_SESSIONS]
    spells = pd.DataFrame({"symbol": [SPECIAL], "start_date": [pd.Timestamp("2015-01-05")], "end_date": [pd.NaT]})
    spells = spells.astype({"start_date": "datetime64[ns]", "end_date": "datetime64[ns]"})
    values = bars[["symbol", "session_date"]].assign(market_value_cny=bars["close_cny"] * 1e8)
    beside = {name: empty_table(name) for name in BESIDE_TABLES} | {"market_values": values}
    early = bars["session_date"] < start
    write_session_pack(
        folder / "feed",
        history=bars[early],
        feed=bars[~early],
        securities=securities,
        st_spells=spells,
        index_members=empty_table("index_members"),
        corporate_actions=empty_table("corporate_actions"),
        online_features=pd.DataFrame({"symbol": ["x"]}),
        adjustment="raw",
        simulated=True,
        beside=beside,
    )
    key, width = signing_key(folder / "keys"), len(factors.names)
    model = model or Model(
        (Member("trees.txt", weight=0.5), Member("line.json", "linear", weight=0.5)),
        {"trees.txt": tiny_booster(factors=width), "line.json": tiny_linear(factors=width, seed=1)},
    )
    path = tiny_bundle(
        folder / "made",
        key,
        model,
        factor_names=factors.names,
        factor_hash=factors.version_hash,
        last_session=date(2018, 1, 31),
    )
    bundle = load_bundle(path, factor_hash=factors.version_hash, public_key=public_key_of(key))
    feed = ReplayFeed.open(folder / "feed")
    return World(factors, bars, beside, securities, spells, feed, bundle)


def hours_of(session: date):
    """The main board's hours."""
    return session_hours(session, Board.MAIN, "SIM")


def _path(bar: Bar, session: date, each: int, rng: np.random.Generator) -> list[Tick]:
    begins = hours_of(session).starts_of(MarketPhase.CONTINUOUS)[0]
    high = low = bar.open_e4
    shown = []
    for k in range(1, each + 1):
        final = k == each
        last = bar.close_e4 if final else int(rng.integers(bar.low_e4, bar.high_e4 + 1))
        high = bar.high_e4 if final else max(high, last)
        low = bar.low_e4 if final else min(low, last)
        shown.append(
            Tick(
                symbol=bar.symbol,
                at_ns=begins + k * 60 * NS_PER_S + int(rng.integers(60)),
                session=session,
                last_e4=last,
                volume_shares=bar.volume_shares * k // each,
                amount_fen=bar.amount_fen * k // each,
                bid_e4=last - 100,
                ask_e4=last + 100,
                bid_shares=500,
                ask_shares=500,
                open_e4=bar.open_e4,
                high_e4=high,
                low_e4=low,
                pre_close_e4=bar.pre_close_e4,
            )
        )
    return shown
