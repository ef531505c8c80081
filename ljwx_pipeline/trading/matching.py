"""Matching: which part of each order fills in a session, at what price, and why the rest does not.

The rules: no bar, no fill; no buy at the upper limit, no sale at the lower one (the queue there is not ours to jump);
no sale of what was bought today; whole lots (a sell order may take the odd rest along when it sells everything
sellable); no more than a share of the session's volume; no more than the cash there is. Sells go first, then buys, each
in the order's rank; proceeds of a sale are good for buying at once, as on the exchange, but along a bar those of a sale
after the open buy nothing on that session. The price is the fill model's
(``fill_model.py``), moved against the trader by slippage and impact (``costs.py``).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ljwx_pipeline.compiled import trading_kernel
from ljwx_pipeline.errors import TradingError
from ljwx_pipeline.trading.costs import (
    FILL,
    IMPACT,
    LIMIT_OFFSET,
    PARTICIPATION,
    SLIPPAGE,
    CostRates,
    fees_kernel,
    fill_price_e4,
    impact_e8_of,
    trade_value_fen,
)
from ljwx_pipeline.trading.fill_model import FillModel, Reject, base_price
from ljwx_pipeline.trading.opening_limits import OpeningLimits
from ljwx_pipeline.units import E8

__all__ = [
    "FILL_FIELDS",
    "FillModel",
    "Fills",
    "Reject",
    "SessionQuotes",
    "affordable_shares",
    "floor_to_lot",
    "match",
    "match_kernel",
]

Int = NDArray[np.int64]
Int32 = NDArray[np.int32]

_NONE, _T_PLUS_1, _LOT, _PARTICIPATION, _CASH = 0, 4, 5, 6, 7
_BAR_PATH = int(FillModel.BAR_PATH)

#: Columns of a row that ``match_kernel`` writes; it leaves SESSION and REASON to its caller.
FILL_FIELDS = (
    "session",
    "name",
    "order_shares",
    "fill_shares",
    "price_e4",
    "value_fen",
    "commission_fen",
    "stamp_duty_fen",
    "transfer_fee_fen",
    "reject",
    "slippage_fen",
    "impact_fen",
    "base_price_e4",
    "order_reason",
)
(
    SESSION,
    NAME,
    ORDERED,
    FILLED,
    PRICE,
    VALUE,
    COMMISSION_FEN,
    STAMP_FEN,
    TRANSFER_FEN,
    REJECT,
    SLIPPAGE_FEN,
    IMPACT_FEN,
    BASE,
    REASON,
) = range(14)


@dataclass(frozen=True)
class SessionQuotes:
    """What matching needs of one session, arrays of shape ``(n_symbols,)``.

    ``close_e4`` is 0 where there is no bar; ``lot_min`` and ``lot_step`` come from ``rulebook.lot_sizes``. The fields
    from ``open_e4`` on are read by the fill models that name them (``FillModel.reads``), ``reference_e4`` by limit
    orders along the bar, ``volatility_e8`` by the impact; None where they are not known. ``opening_limits`` are rows of
    ``opening_limits.OPENING_FIELDS``; None: at the open the session's limits hold.
    """

    close_e4: Int
    limit_up_e4: Int
    limit_down_e4: Int
    volume_shares: Int
    lot_min: Int
    lot_step: Int
    reference_e4: Int | None = None
    open_e4: Int | None = None
    high_e4: Int | None = None
    low_e4: Int | None = None
    amount_fen: Int | None = None
    volatility_e8: Int | None = None
    opening_limits: Int | None = None


@dataclass(frozen=True)
class Fills:
    """Result of matching, arrays of shape ``(n_symbols,)``.

    ``shares`` is signed (sells negative), ``value_fen`` is never negative, ``reject`` holds ``Reject`` codes (with
    ``shares`` not zero: of the part that did not fill), ``cash_after_fen`` is the cash left. ``slippage_fen`` and
    ``impact_fen`` are what the price's distance from ``base_price_e4`` cost; ``value_fen`` holds both already. ``rows``
    is the same by order, in queue order and ``FILL_FIELDS``: what ``Account.settle`` books.
    """

    shares: Int
    price_e4: Int
    value_fen: Int
    commission_fen: Int
    stamp_duty_fen: Int
    transfer_fee_fen: Int
    reject: Int
    cash_after_fen: int
    slippage_fen: Int
    impact_fen: Int
    base_price_e4: Int
    rows: Int

    @property
    def fees_fen(self) -> Int:
        """All fees of each fill."""
        return self.commission_fen + self.stamp_duty_fen + self.transfer_fee_fen


@trading_kernel
def floor_to_lot(shares: int, lot_min: int, lot_step: int) -> int:
    """Return the most shares up to ``shares`` that make a valid order; 0 below the smallest order."""
    if shares < lot_min:
        return 0
    return lot_min + (shares - lot_min) // lot_step * lot_step


@trading_kernel
def affordable_shares(wanted: int, price_e4: int, cash_fen: int, lot_min: int, lot_step: int, rates: Int) -> int:
    """Return the most shares, in lots, up to ``wanted``, whose value and fees the cash covers."""
    low, high = -1, (wanted - lot_min) // lot_step  # steps beyond the smallest order; -1 is no order
    while low < high:
        middle = (low + high + 1) // 2
        if _cost_fen(lot_min + middle * lot_step, price_e4, rates) <= cash_fen:
            low = middle
        else:
            high = middle - 1
    return lot_min + low * lot_step if low >= 0 else 0


@trading_kernel(inline=True)
def _cost_fen(shares: int, price_e4: int, rates: Int) -> int:
    value: int = trade_value_fen(shares, price_e4, True)
    fees: tuple[int, int, int] = fees_kernel(value, True, rates)
    return value + fees[0] + fees[1] + fees[2]


@trading_kernel(inline=True)
def _sellable_part(order: int, sellable: int, volume: int, lot_min: int, lot_step: int, rates: Int) -> tuple[int, int]:
    reason, shares = _NONE, order
    if shares > sellable:
        shares, reason = sellable, _T_PLUS_1
    room = volume * rates[PARTICIPATION] // E8
    if shares > room:
        shares, reason = room, _PARTICIPATION
    if shares != sellable:
        whole = floor_to_lot(shares, lot_min, lot_step)
        if whole < shares and reason == _NONE:
            reason = _LOT
        shares = whole
    return shares, reason


@trading_kernel(inline=True)
def _buyable_part(order: int, volume: int, lot_min: int, lot_step: int, rates: Int) -> tuple[int, int]:
    reason, shares = _NONE, floor_to_lot(order, lot_min, lot_step)
    if shares < order:
        reason = _LOT
    room = floor_to_lot(volume * rates[PARTICIPATION] // E8, lot_min, lot_step)
    if shares > room:
        shares, reason = room, _PARTICIPATION
    return shares, reason


@trading_kernel(inline=True)
def _priced(
    base_e4: int, bound_e4: int, shares: int, volatility_e8: int, volume: int, buying: bool, rates: Int
) -> tuple[int, int]:
    """Return the price after slippage and impact, and that after slippage alone.

    The impact is that of what goes to the market, cash or not: a price that is known before the cash is counted.
    """
    slippage = int(rates[SLIPPAGE])
    slipped = fill_price_e4(base_e4, bound_e4, bound_e4, slippage, buying)
    if rates[IMPACT] == 0:
        return slipped, slipped
    impact = impact_e8_of(int(rates[IMPACT]), volatility_e8, shares, volume)
    return fill_price_e4(base_e4, bound_e4, bound_e4, slippage + impact, buying), slipped


@trading_kernel(inline=True)
def _book(
    rows: Int,
    k: int,
    shares: int,
    base_e4: int,
    slipped_e4: int,
    price_e4: int,
    buying: bool,
    cash_fen: int,
    rates: Int,
) -> int:
    """Write a fill of ``shares`` into row k and return the cash after it; none for a dust sale that cash cannot pay."""
    if shares == 0:
        return cash_fen
    value: int = trade_value_fen(shares, price_e4, buying)
    commission, stamp, transfer = fees_kernel(value, buying, rates)
    fees: int = commission + stamp + transfer
    if not buying and cash_fen + value < fees:  # its fees exceed proceeds and cash
        rows[k, REJECT] = _CASH
        return cash_fen
    rows[k, FILLED] = shares if buying else -shares
    rows[k, PRICE], rows[k, BASE], rows[k, VALUE] = price_e4, base_e4, value
    rows[k, COMMISSION_FEN], rows[k, STAMP_FEN], rows[k, TRANSFER_FEN] = commission, stamp, transfer
    if price_e4 != base_e4:
        at_slipped = value if price_e4 == slipped_e4 else trade_value_fen(shares, slipped_e4, buying)
        rows[k, SLIPPAGE_FEN] = abs(at_slipped - trade_value_fen(shares, base_e4, buying))
        rows[k, IMPACT_FEN] = abs(value - at_slipped)
    return cash_fen - value - fees if buying else cash_fen + value - fees


@trading_kernel(inline=True)
def _limit_at_open(name: int, buying: bool, limit_e4: int, opening_limits: Int) -> int:
    """Return the opening auction's limit: ``limit_e4``, the session's, unless the list says otherwise."""
    for j in range(opening_limits.shape[0]):
        if opening_limits[j, 0] == name:
            return int(opening_limits[j, 1 if buying else 2])
    return limit_e4


@trading_kernel
def match_kernel(
    order_names: Int32,
    order_shares: Int,
    n_orders: int,
    open_e4: Int,
    high_e4: Int,
    low_e4: Int,
    close_e4: Int,
    reference_e4: Int,
    limit_up_e4: Int,
    limit_down_e4: Int,
    volume_shares: Int,
    amount_fen: Int,
    volatility_e8: Int,
    lot_min: Int,
    lot_step: Int,
    opening_limits: Int,
    sellable_shares: Int,
    cash_fen: int,
    rates: Int,
    rows: Int,
) -> int:
    """Match one session's orders, sells before buys, each in list order; returns the cash left.

    Quotes are dense arrays of the session; those that the fill model does not read may be any array. Row k of
    ``rows`` is written with what became of order k, in ``FILL_FIELDS``.
    """
    # along the bar, what is sold after the open comes too late for purchases, which may fill at the open
    cash, late, model = cash_fen, 0, int(rates[FILL])
    for buying in (False, True):
        for k in range(n_orders):
            order = int(order_shares[k])
            if (order > 0) != buying:
                continue
            i = int(order_names[k])
            for field in range(NAME, REASON):
                rows[k, field] = 0
            rows[k, NAME], rows[k, ORDERED] = i, order
            volume = int(volume_shares[i])
            base, bound, reject = base_price(
                model,
                buying,
                int(open_e4[i]),
                int(high_e4[i]),
                int(low_e4[i]),
                int(close_e4[i]),
                int(reference_e4[i]),
                int(limit_up_e4[i]),
                int(limit_down_e4[i]),
                _limit_at_open(i, buying, int(limit_up_e4[i] if buying else limit_down_e4[i]), opening_limits),
                volume,
                int(amount_fen[i]),
                int(rates[LIMIT_OFFSET]),
            )
            rows[k, REJECT] = reject
            if base == 0:
                continue
            if buying:
                done, reject = _buyable_part(order, volume, int(lot_min[i]), int(lot_step[i]), rates)
            else:
                done, reject = _sellable_part(
                    -order, int(sellable_shares[i]), volume, int(lot_min[i]), int(lot_step[i]), rates
                )
            rows[k, REJECT] = reject
            if done == 0:
                continue
            price, slipped = _priced(base, bound, done, int(volatility_e8[i]), volume, buying, rates)
            if buying and _cost_fen(done, price, rates) > cash:
                done, rows[k, REJECT] = (
                    affordable_shares(done, price, cash, int(lot_min[i]), int(lot_step[i]), rates),
                    _CASH,
                )
            after = _book(rows, k, done, base, slipped, price, buying, cash, rates)
            if model == _BAR_PATH and not buying and base != open_e4[i] and after > cash:
                late += after - cash
            else:
                cash = after
    return cash + late


def match(
    *,
    order_shares: Int,
    order_rank: Int,
    quotes: SessionQuotes,
    sellable_shares: Int,
    cash_fen: int,
    rates: CostRates,
) -> Fills:
    """Return the fills of one session's orders.

    Parameters
    ----------
    order_shares, order_rank
        Shape ``(n_symbols,)``: signed shares (0 is no order) and the order's place in the queue, distinct numbers from
        0 to n_symbols - 1 among the orders; both as ``decide`` gives them.
    quotes
        The session's prices, limits, volumes and lots.
    sellable_shares
        Shares held since before this session.
    cash_fen
        Cash before the session's trades, not negative.
    rates
        The session's rates, with the fill model.

    Raises
    ------
    TradingError
        When ranks repeat or lie outside the range, cash is negative, quotes lack what the fill model reads, or a price
        that it reads is missing of a name that traded.
    """
    ordered = np.flatnonzero(order_shares)
    ranks = order_rank[ordered]
    if len(np.unique(ranks)) != len(ranks) or ((ranks < 0) | (ranks >= len(order_shares))).any():
        raise TradingError("two orders share a rank or a rank is out of range", "pass orders as decide() ranks them")
    if cash_fen < 0:
        raise TradingError(f"cash is {cash_fen} fen before matching", "find where the account went negative")
    names = ordered[np.argsort(ranks)]
    rows = np.zeros((len(names), len(FILL_FIELDS)), dtype=np.int64)
    cash = match_kernel(
        names.astype(np.int32),
        order_shares[names].astype(np.int64),
        len(names),
        *_quote_arrays(quotes, rates),
        OpeningLimits.none(0).rows if quotes.opening_limits is None else quotes.opening_limits,
        np.ascontiguousarray(sellable_shares, dtype=np.int64),
        cash_fen,
        rates.as_array(),
        rows,
    )
    refuse_missing_prices(rows)
    return _dense_fills(rows, len(order_shares), int(cash))


def refuse_missing_prices(rows: Int, where: str = "the session") -> None:
    """Raise when an order met a name that traded but lacks a price of the fill model."""
    missing = np.flatnonzero(rows[:, REJECT] == int(Reject.NO_PRICE))
    if len(missing):
        raise TradingError(
            f"on {where} name {rows[missing[0], NAME]} traded, but a price that the fill model reads is missing",
            "complete the bar, leave the row out (the name is then suspended), or fill at the close",
        )


def _quote_arrays(quotes: SessionQuotes, rates: CostRates) -> list[Int]:
    given = {"open": quotes.open_e4, "high": quotes.high_e4, "low": quotes.low_e4, "amount": quotes.amount_fen}
    needed = {name: given[name] for name in FillModel(rates.fill).reads}
    if rates.fill == FillModel.BAR_PATH:
        needed["reference"] = quotes.reference_e4
    if rates.impact_e8:
        needed["volatility"] = quotes.volatility_e8
    for name, column in needed.items():
        if column is None:
            raise TradingError(
                f"fills of model {FillModel(rates.fill).name.lower()} need {name}, which the quotes lack",
                "build the market arrays with optional_columns(costs)",
            )
    columns = (
        *(quotes.open_e4, quotes.high_e4, quotes.low_e4, quotes.close_e4, quotes.reference_e4),
        *(quotes.limit_up_e4, quotes.limit_down_e4, quotes.volume_shares, quotes.amount_fen, quotes.volatility_e8),
        *(quotes.lot_min, quotes.lot_step),
    )
    return [np.ascontiguousarray(quotes.close_e4 if one is None else one, dtype=np.int64) for one in columns]


def _dense_fills(rows: Int, n: int, cash_fen: int) -> Fills:
    def column(field: int) -> Int:
        out = np.zeros(n, dtype=np.int64)
        out[rows[:, NAME]] = rows[:, field]
        return out

    return Fills(
        shares=column(FILLED),
        price_e4=column(PRICE),
        value_fen=column(VALUE),
        commission_fen=column(COMMISSION_FEN),
        stamp_duty_fen=column(STAMP_FEN),
        transfer_fee_fen=column(TRANSFER_FEN),
        reject=column(REJECT),
        cash_after_fen=cash_fen,
        slippage_fen=column(SLIPPAGE_FEN),
        impact_fen=column(IMPACT_FEN),
        base_price_e4=column(BASE),
        rows=rows,
    )
