"""What a person is shown of a runner: mode and why, breakers, positions, open orders, stops, alerts.

One shape, whether a runner says it or it is read from the journal of one that does not answer. Not here: changing
anything (``control.py``), the page (``console/``).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import Connection, select

from ljwx_pipeline.live.guard_book import GuardBook
from ljwx_pipeline.live.tables import account_now, modes, orders, outbox, positions_now, runner, stops_queued
from ljwx_pipeline.trading.breakers import BreakerState
from ljwx_pipeline.trading.modes import Standing, TradingMode

#: How many alerts are shown, the newest first.
ALERTS_SHOWN = 20


def standing_view(standing: Standing) -> dict[str, Any]:
    """Return a standing as plain JSON: mode, what it allows, every reason."""
    return {
        "mode": standing.mode.value,
        "allows": sorted(action.value for action in standing.allows),
        "reasons": [{"code": one.code, "mode": one.mode.value, "sentence": one.sentence} for one in standing.reasons],
    }


def breakers_view(states: Iterable[BreakerState]) -> list[dict[str, Any]]:
    """Return every breaker as plain JSON, those that are tripped first."""
    said = [
        {
            "breaker": one.breaker.value,
            "strategy": one.key,
            "tripped": one.trip is not None,
            "session": None if one.trip is None else one.trip.session.isoformat(),
            "value": "" if one.trip is None else one.trip.value,
            "limit": "" if one.trip is None else one.trip.limit,
            "reason": "" if one.trip is None else one.trip.reason,
            "reset_by": [rule.value for rule in one.rule.resets],
        }
        for one in states
    ]
    return sorted(said, key=lambda one: not one["tripped"])


def book_view(book: GuardBook) -> dict[str, Any]:
    """Return mode, reasons, strategies and breakers of ``book``."""
    return {
        **standing_view(book.standing()),
        "wrong": {one.value: why for one, why in sorted(book.wrong.items())},
        "session": None if book.begun_session is None else book.begun_session.isoformat(),
        "strategies": {name: standing_view(book.standing(name)) for name in sorted(book.in_force)},
        "breakers": breakers_view(one for one in book.states.values() if not one.key or one.key in book.in_force),
    }


def journal_view(connection: Connection) -> dict[str, Any]:
    """Return what the journal holds: the runner's last words, what a person chose, cash, positions, orders, alerts."""
    open_orders = select(orders).where(orders.c.is_open == 1).order_by(orders.c.decided_at_ns, orders.c.rank)
    shown = (
        *("client_order_id", "strategy", "leg", "symbol", "side", "shares", "filled_shares", "state"),
        "valid_session",
    )
    alerts = select(outbox.c.tier, outbox.c.code, outbox.c.message, outbox.c.at).order_by(outbox.c.id.desc())
    word = connection.execute(select(runner.c.mode, runner.c.message)).mappings().first()
    return {
        "runner": None if word is None else dict(word),
        "chosen": [
            dict(row)
            for row in connection.execute(
                select(modes).where(modes.c.mode != TradingMode.ACTIVE.value).order_by(modes.c.scope)
            ).mappings()
        ],
        "cash_fen": connection.execute(select(account_now.c.cash_fen)).scalar(),
        "positions": [
            dict(row) for row in connection.execute(select(positions_now).order_by(positions_now.c.symbol)).mappings()
        ],
        "open_orders": [{name: row[name] for name in shown} for row in connection.execute(open_orders).mappings()],
        "queued_stops": [dict(row) for row in connection.execute(select(stops_queued)).mappings()],
        "alerts": [dict(row) for row in connection.execute(alerts.limit(ALERTS_SHOWN)).mappings()],
    }
