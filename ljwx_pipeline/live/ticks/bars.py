"""Ticks to bars: the session's running bar and the bars of its minutes, from snapshots that hold the session so far.

The running bar is the newest snapshot's own open, high, low, volume and amount, so that it equals the exchange's bar at
the close whatever was let go before. A minute's bar is named by its end and holds ``(end - 1 minute, end]``: the
opening auction belongs to the first minute, what comes in lunch or after the close to the minute before. Its volume and
amount are differences of the snapshots, so that the minutes add up to the session; its high and low hold every believed
price and every new extreme of the session. What snapshots do not show, it cannot: where ticks were let go, a price that
was no extreme of the session may be missing from a minute's range, and trades of minutes without a tick count in the
next minute that has one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ljwx_pipeline.market.hours import MarketPhase, SessionHours
from ljwx_pipeline.trading.exchange_wire import Bar, Tick
from ljwx_pipeline.units import NS_PER_MINUTE

_IN_MINUTES = (MarketPhase.CONTINUOUS, MarketPhase.CLOSING_AUCTION)


@dataclass(frozen=True, slots=True)
class MinuteBar:
    """One minute of one symbol.

    ``whole`` is False where trades before the first tick seen cannot be told from the minute's own (the runner came
    late), or a correction moved volume backwards: its volume and amount are then of what was seen.
    """

    symbol: str
    ends_ns: int
    open_e4: int
    high_e4: int
    low_e4: int
    close_e4: int
    volume_shares: int
    amount_fen: int
    ticks: int
    whole: bool


class _Running:
    """The minute of one symbol that is being built, and the session so far."""

    __slots__ = (
        "amount_before", "close", "ends_ns", "high", "hours", "last", "low", "open", "seen_untraded", "ticks",
        "told_ns", "volume_before", "whole",
    )  # fmt: skip

    def __init__(self, hours: SessionHours) -> None:
        self.hours = hours
        self.last: Tick | None = None
        self.ends_ns = self.told_ns = 0
        self.open = self.high = self.low = self.close = 0
        self.volume_before = self.amount_before = self.ticks = 0
        self.seen_untraded = self.whole = False

    def begin_session(self, tick: Tick) -> None:
        """Begin with the first tick that has a price."""
        self.ends_ns = minute_end_ns(tick.at_ns, self.hours)
        self.whole = self.seen_untraded or self.ends_ns == minute_end_ns(0, self.hours)
        if self.whole:  # all that was traded so far was traded in this minute
            self.open, self.high, self.low = tick.open_e4, tick.high_e4, tick.low_e4
        else:
            self.open = self.high = self.low = tick.last_e4
            self.volume_before, self.amount_before = tick.volume_shares, tick.amount_fen

    def begin_minute(self, tick: Tick, before: Tick, ends_ns: int) -> None:
        """Begin the next minute, which ends at ``ends_ns``, with its first tick."""
        self.ends_ns, self.ticks, self.whole = ends_ns, 0, True
        self.open = self.high = self.low = tick.last_e4
        self.volume_before, self.amount_before = before.volume_shares, before.amount_fen

    def widen(self, tick: Tick, before: Tick) -> None:
        """Take what a further tick adds to the minute's range, or corrects in its volume."""
        price = tick.last_e4
        self.high = max(self.high, price, tick.high_e4 if tick.high_e4 > before.high_e4 else 0)
        self.low = min(self.low, price, tick.low_e4 if tick.low_e4 < before.low_e4 else price)
        if tick.volume_shares < self.volume_before or tick.amount_fen < self.amount_before:
            self.volume_before = min(self.volume_before, tick.volume_shares)
            self.amount_before = min(self.amount_before, tick.amount_fen)
            self.whole = False

    def tell(self) -> MinuteBar | None:
        """Return the minute as it stands and count it as told; None where it has no tick."""
        last = self.last
        if last is None or not self.ticks:
            return None
        self.told_ns, self.ticks, ticks = self.ends_ns, 0, self.ticks
        return MinuteBar(
            symbol=last.symbol,
            ends_ns=self.ends_ns,
            open_e4=self.open,
            high_e4=self.high,
            low_e4=self.low,
            close_e4=self.close,
            volume_shares=last.volume_shares - self.volume_before,
            amount_fen=last.amount_fen - self.amount_before,
            ticks=ticks,
            whole=self.whole,
        )


class SessionBarsBuilder:
    """Builds the bars of one session from believed ticks, each symbol's in order of time.

    Parameters
    ----------
    hours
        Of every symbol, on the session.
    """

    def __init__(self, hours: Mapping[str, SessionHours]) -> None:
        self._running = {symbol: _Running(of_symbol) for symbol, of_symbol in hours.items()}

    def saw_no_trade(self, symbol: str) -> None:
        """Take note that nothing of ``symbol`` has traded yet: its first trades are then all its minute's own."""
        self._running[symbol].seen_untraded = True

    def add(self, tick: Tick) -> MinuteBar | None:
        """Take a believed tick with a price; returns the minute before it where this tick ends it, else None."""
        running = self._running[tick.symbol]
        before, ended = running.last, None
        if before is None:
            running.begin_session(tick)
        else:
            if tick.at_ns > running.ends_ns or not running.ticks:
                ends_ns = max(minute_end_ns(tick.at_ns, running.hours), _end_after(running.told_ns, running.hours))
                if ends_ns > running.ends_ns:
                    ended = running.tell()
                    running.begin_minute(tick, before, ends_ns)
                elif not running.ticks:  # the session's minutes were told: what is said now is the session's alone
                    running.last = tick
                    return None
            running.widen(tick, before)
        running.close = tick.last_e4
        running.ticks += 1
        running.last = tick
        return ended

    def end_minutes(self, at_ns: int) -> tuple[MinuteBar, ...]:
        """Return the minutes that are over at ``at_ns`` and were not told yet, by symbol.

        A tick of such a minute that comes later counts in the next one. The last minute before lunch is told when
        trading goes on and the session's last by ``end_session``: their last snapshots come in the silence after them.
        """
        ended = [
            running.tell()
            for running in self._running.values()
            if running.ends_ns <= at_ns and running.hours.is_trading(at_ns)
        ]
        return tuple(sorted((bar for bar in ended if bar is not None), key=lambda bar: bar.symbol))

    def end_session(self) -> tuple[MinuteBar, ...]:
        """Return every minute that was not told yet, by symbol: the exchange has said its last word.

        A tick that comes later still changes the session's bar.
        """
        ended = [running.tell() for running in self._running.values()]
        return tuple(sorted((bar for bar in ended if bar is not None), key=lambda bar: bar.symbol))

    def session_bar(self, symbol: str) -> Bar | None:
        """Return the session so far of ``symbol``, its adjustment factor 0 (not known); None before its first trade."""
        last = self._running[symbol].last
        if last is None:
            return None
        return Bar(
            symbol=symbol,
            open_e4=last.open_e4,
            high_e4=last.high_e4,
            low_e4=last.low_e4,
            close_e4=last.last_e4,
            pre_close_e4=last.pre_close_e4,
            volume_shares=last.volume_shares,
            amount_fen=last.amount_fen,
            adj_factor=0.0,
        )


_COMPARED = ("open_e4", "high_e4", "low_e4", "close_e4", "pre_close_e4", "volume_shares", "amount_fen")


def bar_differences(running: Bar, official: Bar) -> tuple[str, ...]:
    """Return a sentence for every figure in which the running bar is not the official one; what that says 0 is open."""
    return tuple(
        f"{running.symbol}: {name} is {getattr(running, name)} by the ticks and {getattr(official, name)} officially"
        for name in _COMPARED
        if getattr(official, name) and getattr(running, name) != getattr(official, name)
    )


def _end_after(told_ns: int, hours: SessionHours) -> int:
    """Return the end of the minute after the one that ended at ``told_ns``: where a tick of a told minute counts."""
    if hours.phase_at(told_ns) in _IN_MINUTES:
        return told_ns + NS_PER_MINUTE
    later = [starts_ns for starts_ns in hours.starts_of(MarketPhase.CONTINUOUS) if starts_ns >= told_ns]
    return later[0] + NS_PER_MINUTE if later else told_ns


def minute_end_ns(at_ns: int, hours: SessionHours) -> int:
    """Return the end of the minute that a tick of ``at_ns`` belongs to.

    Before the first minute it is the first one's, in lunch and after the close the one's before.
    """
    mornings = hours.starts_of(MarketPhase.CONTINUOUS)
    if at_ns <= mornings[0]:
        return mornings[0] + NS_PER_MINUTE
    if hours.phase_at(at_ns) in _IN_MINUTES:
        return -(-at_ns // NS_PER_MINUTE) * NS_PER_MINUTE + (NS_PER_MINUTE if at_ns in mornings else 0)
    return max(
        after.starts_ns
        for span, after in zip(hours.spans, hours.spans[1:], strict=False)
        if span.phase.trades and after.starts_ns <= at_ns
    )
