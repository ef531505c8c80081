"""Carries the sleeves' books over a session: what happened to the account is allotted back to its sleeves.

In this order: the session's corporate actions, by what each held before it; the fills of the account's orders, by what
each wanted of the order; what sleeves crossed among themselves, at the session's official close and without fees, if
the symbol traded; the closes. Then the books are held against the account's own statement: what nobody can explain
belongs to nobody, and shares that are missing are taken from nobody first and then from all who hold them.

- A part of an order is a function of the order's total (``parts.py``): fills may come in any pieces.
- What is not filled is taken from nobody's wish in particular: each keeps its proportion, in whole lots, and what that
  leaves over goes by name.
- An order that no sleeve asked for (a stop) belongs to the strategy that is written on it. A sale by hand takes
  nobody's shares first, then everybody's in proportion.

All of it is pure. Not here: where the numbers come from (``reading.py``), capital (``funding.py``).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from ljwx_pipeline.live.events import HeldPosition, SleeveWant
from ljwx_pipeline.live.sleeves.book import NOBODY, Books, Holding
from ljwx_pipeline.live.sleeves.parts import in_lots, prefix_floor
from ljwx_pipeline.trading.exchange_wire import Side
from ljwx_pipeline.units import E4_PER_FEN


@dataclass(frozen=True)
class Moved:
    """One corporate action on the account: cash and shares that came or, negative, went."""

    symbol: str
    cash_fen: int
    shares: int


@dataclass(frozen=True)
class OrderTotal:
    """All fills of one account order in one session.

    Parameters
    ----------
    strategy
        Written on the order; empty for one that was entered by hand.
    amount_e4
        Sum of shares times price, 1e-4 CNY.
    """

    client_order_id: str
    strategy: str
    symbol: str
    side: Side
    shares: int
    amount_e4: int
    value_fen: int
    fees_fen: int


@dataclass(frozen=True)
class SessionRecord:
    """What the journal knows of one session, and what the market said at its end.

    Parameters
    ----------
    wants
        What the sleeves wanted for this session.
    closes_e4
        Official close of every symbol that traded in it, 1e-4 CNY.
    cash_fen, positions
        The account after it, as the broker states it.
    """

    session: date
    moved: tuple[Moved, ...]
    totals: tuple[OrderTotal, ...]
    wants: tuple[SleeveWant, ...]
    closes_e4: Mapping[str, int]
    cash_fen: int
    positions: tuple[HeldPosition, ...]


def carry(books: Books, record: SessionRecord) -> list[str]:
    """Carry ``books`` over one session and return what the account holds that no order or action explains."""
    _begin(books, record.moved)
    of_order = wants_by_order(record)
    # sales first, so that a name that is sold and bought again begins anew
    for total in sorted(record.totals, key=lambda one: (one.side is Side.BUY, one.client_order_id)):
        wants = of_order.get(total.client_order_id, [])
        if total.side is Side.BUY:
            _bought(books, total, wants)
        else:
            _sold(books, total, wants)
    _cross(books, record)
    unexplained = _correct(books, record)
    _mark(books, record)
    return unexplained


def carry_sold(books: Books, record: SessionRecord, unfinished: Collection[str]) -> None:
    """Carry ``books`` to what each sleeve has left of what it held before a session that is under way.

    Final sales are taken from it; ``unfinished`` ones are not, whatever they have sold: what a sleeve has of an order
    is known once the order's total is. Nothing bought in the session counts.
    """
    _begin(books, record.moved)
    sales = [one for one in record.totals if one.side is Side.SELL and one.client_order_id not in unfinished]
    of_order = wants_by_order(record)
    for total in sorted(sales, key=lambda one: one.client_order_id):
        _sold(books, total, of_order.get(total.client_order_id, []))


def wants_by_order(record: SessionRecord) -> dict[str, list[SleeveWant]]:
    """Return what the sleeves wanted of each order; one that no sleeve asked for is not among them."""
    found: dict[str, list[SleeveWant]] = {}
    for want in record.wants:
        if want.client_order_id:
            found.setdefault(want.client_order_id, []).append(want)
    return found


def _begin(books: Books, moved: Iterable[Moved]) -> None:
    for of in books.held.values():
        for one in of.values():
            one.held_sessions += 1
    before = {symbol: {name: one.shares for name, one in of.items() if one.shares} for symbol, of in books.held.items()}
    paid_fen: dict[tuple[str, str], int] = {}
    for action in moved:
        basis = before.get(action.symbol) or {NOBODY: 1}
        names = sorted(basis)
        weights = [basis[name] for name in names]
        cash, shares = prefix_floor(action.cash_fen, weights), prefix_floor(action.shares, weights)
        for name, fen, more in zip(names, cash, shares, strict=True):
            books.add_cash(name, fen)
            books.holding(name, action.symbol).shares += more
            paid_fen[name, action.symbol] = paid_fen.get((name, action.symbol), 0) - fen
    for (name, symbol), fen in paid_fen.items():
        _adjust(books.holding(name, symbol), before.get(symbol, {}).get(name, 0), fen)


def _adjust(one: Holding, shares_before: int, paid_fen: int) -> None:
    """Adjust the prices of a holding as the exchange adjusts its own, by what this holding paid or got."""
    if one.shares <= 0:
        one.held_sessions = one.entry_price_e4 = one.peak_price_e4 = 0
        return
    paid_e4 = paid_fen * E4_PER_FEN
    one.entry_price_e4 = max(0, (one.entry_price_e4 * shares_before + paid_e4) // one.shares)
    one.peak_price_e4 = max(0, (one.peak_price_e4 * shares_before + paid_e4) // one.shares)


def _bought(books: Books, total: OrderTotal, wants: Sequence[SleeveWant]) -> None:
    names, shares = _parts(books, total, wants)
    left = total.shares - sum(shares)
    if left:  # more than all wanted: it was never theirs
        names, shares = [*names, NOBODY], [*shares, left]
    for name, part, value, fees in zip(
        names, shares, prefix_floor(total.value_fen, shares), prefix_floor(total.fees_fen, shares), strict=True
    ):
        if part:
            books.holding(name, total.symbol).buy(part, total.amount_e4 * part // total.shares)
        books.add_cash(name, -value - fees)


def _sold(books: Books, total: OrderTotal, wants: Sequence[SleeveWant]) -> None:
    names, shares = _parts(books, total, wants)
    sold = dict.fromkeys(books.sleeves, 0)
    for name, part in zip(names, shares, strict=True):
        sold[name] += min(part, books.shares(name, total.symbol))
    for name, part in _of_everybody(books, total.symbol, total.shares - sum(sold.values()), sold).items():
        sold[name] += part
    sellers = [name for name in sorted(sold) if sold[name]]
    parts = [sold[name] for name in sellers]
    for name, part, value, fees in zip(
        sellers, parts, prefix_floor(total.value_fen, parts), prefix_floor(total.fees_fen, parts), strict=True
    ):
        books.holding(name, total.symbol).shares -= part
        books.add_cash(name, value - fees)


def _parts(books: Books, total: OrderTotal, wants: Sequence[SleeveWant]) -> tuple[list[str], list[int]]:
    """Return whose the order's shares are: of those who wanted them, or of the strategy that is written on it."""
    if wants:
        wanted = [want.shares - want.crossed_shares for want in wants]
        given = in_lots(min(total.shares, sum(wanted)), wanted, wants[0].lot_step)
        return [want.sleeve for want in wants], list(given)
    if total.strategy in books.capital and total.strategy != NOBODY:
        return [total.strategy], [total.shares]
    return [], []


def _of_everybody(books: Books, symbol: str, shares: int, taken: Mapping[str, int]) -> dict[str, int]:
    """Return of whom ``shares`` are that nobody in particular gave: nobody's first, then in proportion."""
    if not shares:
        return {}
    left = {name: books.shares(name, symbol) - taken.get(name, 0) for name in books.holders(symbol)}
    of_nobody = min(shares, max(0, left.pop(NOBODY, 0)))
    others = [name for name in sorted(left) if left[name] > 0]
    weights = [left[name] for name in others]
    rest = min(shares - of_nobody, sum(weights))
    found = dict(zip(others, prefix_floor(rest, weights), strict=True))
    # what nobody holds at all is set right against the account's statement
    return {**found, NOBODY: shares - rest}


def _cross(books: Books, record: SessionRecord) -> None:
    crossing: dict[str, list[SleeveWant]] = {}
    for want in record.wants:
        if want.crossed_shares and want.symbol in record.closes_e4:
            crossing.setdefault(want.symbol, []).append(want)
    for symbol, wants in sorted(crossing.items()):
        sellers = [want for want in wants if want.side is Side.SELL]
        buyers = [want for want in wants if want.side is Side.BUY]
        # a stop may have sold what was to be given
        given = [min(want.crossed_shares, max(0, books.shares(want.sleeve, symbol))) for want in sellers]
        taken = in_lots(sum(given), [want.crossed_shares for want in buyers], wants[0].lot_step)
        price_e4 = record.closes_e4[symbol]
        value = sum(given) * price_e4 // E4_PER_FEN
        for want, part, fen in zip(sellers, given, prefix_floor(value, given), strict=True):
            books.holding(want.sleeve, symbol).shares -= part
            books.add_cash(want.sleeve, fen)
        for want, part, fen in zip(buyers, taken, prefix_floor(value, taken), strict=True):
            if part:
                books.holding(want.sleeve, symbol).buy(part, part * price_e4)
            books.add_cash(want.sleeve, -fen)


def _correct(books: Books, record: SessionRecord) -> list[str]:
    """Make the books add up to the account; return what had to be moved."""
    found = []
    stated = {one.symbol: one.shares for one in record.positions}
    for symbol in sorted(books.held.keys() | stated.keys()):
        ours = sum(books.shares(name, symbol) for name in books.sleeves)
        if ours != stated.get(symbol, 0):
            found.append(f"{symbol} is {ours} shares in the sleeves' books and {stated.get(symbol, 0)} in the account")
            books.holding(NOBODY, symbol).shares += stated.get(symbol, 0) - ours
        missing = -books.shares(NOBODY, symbol)
        if missing > 0:
            holders = [name for name in books.holders(symbol) if name != NOBODY]
            parts = prefix_floor(missing, [books.shares(name, symbol) for name in holders])
            for name, part in zip(holders, parts, strict=True):
                books.holding(name, symbol).shares -= part
            books.holding(NOBODY, symbol).shares = 0
    cash = sum(one.cash_fen for one in books.capital.values())
    if cash != record.cash_fen:
        found.append(f"cash is {cash} fen in the sleeves' books and {record.cash_fen} in the account")
        books.add_cash(NOBODY, record.cash_fen - cash)
    return found


def _mark(books: Books, record: SessionRecord) -> None:
    books.price_e4 = {one.symbol: one.last_price_e4 for one in record.positions}
    for symbol, of in list(books.held.items()):
        kept = {name: one for name, one in of.items() if one.shares}
        for one in kept.values():
            one.peak_price_e4 = max(one.peak_price_e4, record.closes_e4.get(symbol, 0))
        if kept:
            books.held[symbol] = kept
        else:
            del books.held[symbol]
