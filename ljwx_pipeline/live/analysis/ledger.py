"""What the journal says of orders and fills, as frozen rows: the one place where the analysis reads the journal."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from dataclasses import dataclass
from datetime import date

from sqlalchemy import Connection, RowMapping, func, select

from ljwx_pipeline.live.events import FillReported, OrderDecided, OrderReported, OrderSent
from ljwx_pipeline.live.orders import OrderState
from ljwx_pipeline.live.tables import account, events_log, fills, orders, runner, signals
from ljwx_pipeline.trading.exchange_wire import Side


@dataclass(frozen=True)
class TradedFill:
    """One trade; ``value_fen`` holds slippage and impact already, fees come on top."""

    session: date
    shares: int
    price_e4: int
    value_fen: int
    commission_fen: int
    stamp_duty_fen: int
    transfer_fee_fen: int
    slippage_fen: int
    impact_fen: int

    @property
    def fees_fen(self) -> int:
        """All fees of the trade."""
        return self.commission_fen + self.stamp_duty_fen + self.transfer_fee_fen


@dataclass(frozen=True)
class Instants:
    """When the runner wrote each step of an order's life down, by its own clock; None where it never came."""

    decided_ns: int | None = None
    sent_ns: int | None = None
    acknowledged_ns: int | None = None
    filled_ns: int | None = None


@dataclass(frozen=True)
class TradedOrder:
    """One order with all its fills.

    Parameters
    ----------
    session, valid_session
        The session at whose close it was decided, and the one it was good for.
    decision_e4
        The price it was decided on; 0 for an order that somebody else placed.
    is_open
        Whether it may still trade.
    """

    client_order_id: str
    strategy: str
    session: date
    valid_session: date
    symbol: str
    side: Side
    shares: int
    decision_e4: int
    state: OrderState
    reason: str
    is_open: bool = False
    fills: tuple[TradedFill, ...] = ()
    instants: Instants = Instants()

    @property
    def filled_shares(self) -> int:
        """Shares that were traded."""
        return sum(one.shares for one in self.fills)

    @property
    def value_fen(self) -> int:
        """What was paid or got for them, fees left aside."""
        return sum(one.value_fen for one in self.fills)

    @property
    def fees_fen(self) -> int:
        """Fees of all its fills."""
        return sum(one.fees_fen for one in self.fills)

    @property
    def sign(self) -> int:
        """1 for a purchase, -1 for a sale: times a price's rise it is what the rise cost."""
        return 1 if self.side is Side.BUY else -1


@dataclass(frozen=True)
class AccountDay:
    """The account at a session's close."""

    session: date
    cash_fen: int
    equity_fen: int


@dataclass(frozen=True)
class Ledger:
    """All that the journal holds of trading.

    Parameters
    ----------
    orders
        By the session they were good for, then by id; denied ones too.
    account
        By session.
    scores
        Of the model that decided: by session, then by symbol.
    strategies
        Names of the strategies that decided.
    simulated
        Whether the runner said that its market is.
    """

    orders: tuple[TradedOrder, ...]
    account: tuple[AccountDay, ...]
    scores: dict[date, dict[str, float]]
    strategies: tuple[str, ...]
    simulated: bool = False

    def between(self, first: date | None, last: date | None) -> tuple[TradedOrder, ...]:
        """Return the orders that were good for a session from ``first`` to ``last``, both included."""
        return tuple(
            one
            for one in self.orders
            if (first is None or one.valid_session >= first) and (last is None or one.valid_session <= last)
        )


def read_ledger(connection: Connection) -> Ledger:
    """Return what the journal holds, as of one state of it."""
    rows = connection.execute(select(account).order_by(account.c.session)).mappings()
    days = tuple(
        AccountDay(date.fromisoformat(row["session"]), int(row["cash_fen"]), int(row["equity_fen"])) for row in rows
    )
    found, written = _fills(connection), _instants(connection)
    sessions = [day.session for day in days]
    traded = [
        _order(row, tuple(found[row["client_order_id"]]), written.get(row["client_order_id"], Instants()), sessions)
        for row in connection.execute(select(orders)).mappings()
    ]
    scores: dict[date, dict[str, float]] = defaultdict(dict)
    said = select(signals.c.session, signals.c.strategy, signals.c.symbol, signals.c.score)
    names = {one.strategy for one in traded if one.strategy}
    for session, strategy, symbol, score in connection.execute(said):
        names.add(strategy)
        scores[date.fromisoformat(session)][symbol] = float(score)
    return Ledger(
        orders=tuple(sorted(traded, key=lambda one: (one.valid_session, one.client_order_id))),
        account=days,
        scores=dict(scores),
        strategies=tuple(sorted(name for name in names if name)),
        simulated=bool(connection.execute(select(runner.c.simulated)).scalar()),
    )


def _order(row: RowMapping, traded: tuple[TradedFill, ...], instants: Instants, sessions: list[date]) -> TradedOrder:
    session = date.fromisoformat(row["session"])
    if row["valid_session"] is not None:
        valid = date.fromisoformat(row["valid_session"])
    elif traded:
        valid = traded[0].session
    else:
        # the paper broker inside the runner: good for the session that came next, the last one's is not known yet
        after = bisect_right(sessions, session)
        valid = sessions[after] if after < len(sessions) else session
    return TradedOrder(
        client_order_id=row["client_order_id"],
        strategy=row["strategy"],
        session=session,
        valid_session=valid,
        symbol=row["symbol"],
        side=Side(row["side"]),
        shares=int(row["shares"]),
        decision_e4=int(row["reference_price_e4"]),
        state=OrderState(row["state"]),
        reason=row["reason"],
        is_open=bool(row["is_open"]),
        fills=traded,
        instants=instants,
    )


def _fills(connection: Connection) -> dict[str, list[TradedFill]]:
    found: dict[str, list[TradedFill]] = defaultdict(list)
    rows = connection.execute(select(fills).order_by(fills.c.session, fills.c.filled_at_ns, fills.c.exec_id))
    for row in rows.mappings():
        found[row["client_order_id"]].append(
            TradedFill(
                session=date.fromisoformat(row["session"]),
                shares=int(row["shares"]),
                price_e4=int(row["price_e4"]),
                value_fen=int(row["value_fen"]),
                commission_fen=int(row["commission_fen"]),
                stamp_duty_fen=int(row["stamp_duty_fen"]),
                transfer_fee_fen=int(row["transfer_fee_fen"]),
                slippage_fen=int(row["slippage_fen"]),
                impact_fen=int(row["impact_fen"]),
            )
        )
    return found


def _instants(connection: Connection) -> dict[str, Instants]:
    """Return the instants at which each order's steps were first logged; of its fills the last one."""
    first = {
        kind.__name__: {
            key: int(at_ns)
            for key, at_ns in connection.execute(
                select(events_log.c.key, func.min(events_log.c.at_ns))
                .where(events_log.c.kind == kind.__name__)
                .group_by(events_log.c.key)
            )
        }
        for kind in (OrderDecided, OrderSent, OrderReported)
    }
    filled = select(fills.c.client_order_id, func.max(events_log.c.at_ns)).join(
        events_log, (events_log.c.key == fills.c.exec_id) & (events_log.c.kind == FillReported.__name__)
    )
    last = {key: int(at_ns) for key, at_ns in connection.execute(filled.group_by(fills.c.client_order_id))}
    decided, sent, acknowledged = (first[kind.__name__] for kind in (OrderDecided, OrderSent, OrderReported))
    return {
        key: Instants(decided.get(key), sent.get(key), acknowledged.get(key), last.get(key))
        for key in decided.keys() | sent.keys() | acknowledged.keys() | last.keys()
    }
