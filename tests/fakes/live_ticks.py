"""A small honest market of ticks: facts, single ticks, and the snapshots of whole sessions of trades."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, time

from hypothesis import strategies as st

from ljwx_pipeline.config import BreakerSettings
from ljwx_pipeline.live.ticks.validation import SymbolFacts, TickValidator
from ljwx_pipeline.market.hours import session_hours, shanghai_ns
from ljwx_pipeline.market.symbols import Board
from ljwx_pipeline.trading.exchange_wire import Tick
from ljwx_pipeline.units import NS_PER_S

SESSION = date(2025, 3, 3)
HOURS = session_hours(SESSION, Board.MAIN, "SIM")
PRE_CLOSE_E4 = 100_000
BREAKERS = BreakerSettings(
    max_tick_jump_frac=0.03,
    jump_window_s=60,
    jump_confirmations=3,
    max_losing_trades=3,
    max_day_drawdown_frac=0.05,
    max_day_loss_cny=500_000,
    max_failures=5,
    max_feed_silence_s=60,
    max_features_age_sessions=1,
    max_clock_skew_s=2,
    recovery_s=10,
)

Trade = tuple[int, int, int]  # instant, price in 1e-4 CNY, shares


def at(text: str) -> int:
    """Return the instant of the session at which Shanghai's clocks show ``text``."""
    return shanghai_ns(SESSION, time.fromisoformat(text))


def facts(symbol: str = "A", limit_frac: float = 0.1) -> SymbolFacts:
    up, down = round(PRE_CLOSE_E4 * (1 + limit_frac)), round(PRE_CLOSE_E4 * (1 - limit_frac))
    return SymbolFacts(symbol, PRE_CLOSE_E4, up, down, HOURS)


def validator(
    *symbols: str, limit_frac: float = 0.1, settings: BreakerSettings = BREAKERS, raw_prices: bool = True
) -> TickValidator:
    return TickValidator(
        SESSION, [facts(symbol, limit_frac) for symbol in symbols or ("A",)], settings, raw_prices=raw_prices
    )


def tick(last_e4: int = PRE_CLOSE_E4, **said: object) -> Tick:
    """Return a tick that is fine at 10:00 unless ``said`` otherwise."""
    fine = {
        "symbol": "A",
        "at_ns": at("10:00"),
        "session": SESSION,
        "last_e4": last_e4,
        "volume_shares": 1_000,
        "amount_fen": 1_000_000,
        "bid_e4": last_e4 - 100,
        "ask_e4": last_e4 + 100,
        "bid_shares": 500,
        "ask_shares": 500,
        "open_e4": PRE_CLOSE_E4,
        "high_e4": max(PRE_CLOSE_E4, last_e4),
        "low_e4": min(PRE_CLOSE_E4, last_e4),
        "pre_close_e4": PRE_CLOSE_E4,
    }
    return Tick(**{**fine, **said})  # type: ignore[arg-type]


def snapshots(trades: Iterable[Trade], symbol: str = "A") -> list[Tick]:
    """Return what the exchange shows after each trade of a session, from its first on."""
    shown, volume, amount, opened, high, low = [], 0, 0, 0, 0, 0
    for at_ns, price, shares in trades:
        opened, high, low = opened or price, max(high, price), min(low or price, price)
        volume, amount = volume + shares, amount + price * shares // 100
        shown.append(
            Tick(symbol, at_ns, SESSION, price, volume, amount, price, price, 100, 100, opened, high, low, PRE_CLOSE_E4)
        )
    return shown


_NAMED = ("09:30", "09:31", "09:32", "11:30", "13:00", "13:01", "14:57", "15:00")
_SECONDS = st.one_of(
    st.integers(at("09:25") // NS_PER_S, at("11:30:05") // NS_PER_S),
    st.integers(at("13:00") // NS_PER_S, at("15:00:05") // NS_PER_S),
    st.sampled_from([at(text) // NS_PER_S for text in _NAMED]),
)


@st.composite
def sessions_of_trades(draw: st.DrawFn, within: int = 100) -> list[Trade]:
    """Draw the trades of one symbol at rising instants, at most ``within`` basis points from the previous close."""
    seconds = sorted(draw(st.sets(_SECONDS, min_size=1, max_size=60)))
    n = len(seconds)
    prices = draw(st.lists(st.integers(1_000 - within // 10, 1_000 + within // 10), min_size=n, max_size=n))
    shares = draw(st.lists(st.integers(1, 50), min_size=n, max_size=n))
    return [(s * NS_PER_S, p * 100, k * 100) for s, p, k in zip(seconds, prices, shares, strict=True)]
