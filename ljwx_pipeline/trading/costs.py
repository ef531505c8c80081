"""What a fill costs: trade value, slippage, market impact, commission, stamp duty and transfer fee, in whole fen.

Statutory rates come from the dated rulebook, the broker's from ``CostSettings``. Rates are integers of 1e-8 of trade
value, prices of 1e-4 CNY. Every rounding of a price or a value is against the trader; each fee is rounded half up to
the fen, as brokers' statements do.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from datetime import date
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from ljwx_pipeline.compiled import trading_kernel
from ljwx_pipeline.config import CostSettings
from ljwx_pipeline.market.rulebook import statutory_fees
from ljwx_pipeline.trading.fill_model import FillModel
from ljwx_pipeline.units import BPS, E4_PER_FEN, E8, FEN_PER_CNY

Int = NDArray[np.int64]


@dataclass(frozen=True)
class CostRates:
    """All rates of one session as integers; the form in which kernels take them.

    Parameters
    ----------
    commission_e8, slippage_e8, max_participation_e8
        Of trade value, of price and of the session's volume.
    commission_min_fen
        Least commission of an order that is filled.
    stamp_buy_e8, stamp_sell_e8, transfer_e8
        Statutory fees on the session; zero when they are switched off.
    impact_e8
        Coefficient of the square-root impact (``impact_e8_of``), 1e-8; zero leaves it out.
    fill
        ``FillModel`` code.
    limit_offset_bps
        How far from the session's reference price an order's limit stands; read by ``FillModel.BAR_PATH`` only.
    """

    commission_e8: int
    commission_min_fen: int
    slippage_e8: int
    max_participation_e8: int
    stamp_buy_e8: int
    stamp_sell_e8: int
    transfer_e8: int
    impact_e8: int = 0
    fill: int = int(FillModel.CLOSE)
    limit_offset_bps: int = 0

    def as_array(self) -> Int:
        """Return the rates in declared order, int64, shape (10,): what kernels index with the positions below."""
        return np.array(astuple(self), dtype=np.int64)


(
    COMMISSION,
    COMMISSION_MIN,
    SLIPPAGE,
    PARTICIPATION,
    STAMP_BUY,
    STAMP_SELL,
    TRANSFER,
    IMPACT,
    FILL,
    LIMIT_OFFSET,
) = range(10)


def cost_rates(settings: CostSettings, session: date) -> CostRates:
    """Return the rates of ``session``.

    Raises
    ------
    TradingError
        When statutory fees are charged and the session lies outside the rulebook.
    """
    stamp_buy, stamp_sell, transfer = _statutory(session) if settings.charge_statutory_fees else (0, 0, 0)
    fill = FillModel.of(settings.fill)
    return CostRates(
        commission_e8=round(settings.commission_frac * E8),
        commission_min_fen=round(settings.commission_min_cny * FEN_PER_CNY),
        slippage_e8=round(settings.slippage_bps * E8 / BPS),
        max_participation_e8=round(settings.max_participation_frac * E8),
        stamp_buy_e8=stamp_buy,
        stamp_sell_e8=stamp_sell,
        transfer_e8=transfer,
        impact_e8=round(settings.impact_coefficient * E8),
        fill=int(fill),
        limit_offset_bps=round(settings.limit_offset_bps) if fill is FillModel.BAR_PATH else 0,
    )


def rates_table(settings: CostSettings, sessions: Sequence[date] | NDArray[np.datetime64]) -> Int:
    """Return the rates of every session, int64, shape ``(n_sessions, 10)``; errors as ``cost_rates``."""
    own = cost_rates(settings.model_copy(update={"charge_statutory_fees": False}), date.min).as_array()
    table = np.tile(own, (len(sessions), 1))
    if settings.charge_statutory_fees and len(sessions):
        table[:, STAMP_BUY : TRANSFER + 1] = _statutory_table(np.asarray(sessions, dtype="datetime64[D]").tobytes())
    return table


def _statutory(session: date) -> tuple[int, int, int]:
    fees = statutory_fees(session)
    return fees.stamp_duty_buy_e8, fees.stamp_duty_sell_e8, fees.transfer_fee_e8


@lru_cache(maxsize=16)
def _statutory_table(days: bytes) -> Int:
    """Return stamp duty of a buy and a sale and transfer fee by day; kept, as every variant of a sweep asks for it."""
    sessions: list[date] = np.frombuffer(days, dtype="datetime64[D]").tolist()
    table = np.array([_statutory(day) for day in sessions], dtype=np.int64)
    table.flags.writeable = False
    return table


@trading_kernel(inline=True)
def trade_value_fen(shares: int, price_e4: int, buying: bool) -> int:
    """Return what the shares are worth in fen: rounded up for a buyer, down for a seller."""
    value_e4 = shares * price_e4
    return (value_e4 + E4_PER_FEN - 1) // E4_PER_FEN if buying else value_e4 // E4_PER_FEN


@trading_kernel(inline=True)
def fill_price_e4(price_e4: int, limit_up_e4: int, limit_down_e4: int, slippage_e8: int, buying: bool) -> int:
    """Return the price after slippage against the trader, kept inside the session's limits."""
    if buying:
        slipped = price_e4 + (price_e4 * slippage_e8 + E8 - 1) // E8
        return max(price_e4, min(slipped, limit_up_e4))
    slipped = price_e4 - (price_e4 * slippage_e8 + E8 - 1) // E8
    return min(price_e4, max(slipped, limit_down_e4, 1))


@trading_kernel
def impact_e8_of(coefficient_e8: int, volatility_e8: int, shares: int, volume_shares: int) -> int:
    """Return the impact on an order's price, 1e-8 of it, rounded up: coefficient x daily volatility x sqrt(X / V).

    ``shares`` (X) over the session's ``volume_shares`` (V) is the order's part of the session's turnover at one and the
    same price. The square root is the one that Almgren, Thum, Hauptmann and Li, "Direct estimation of equity market
    impact" (Risk, July 2005) test against (they estimate a power of 0.6) and that the Barra market impact model
    (Torre, 1997) uses; coefficients near one are usual. Each step is one IEEE operation in a fixed order: the same
    bits everywhere.
    """
    if coefficient_e8 == 0 or volume_shares <= 0:
        return 0
    share_of_volume = float(shares) / float(volume_shares)
    moved = float(coefficient_e8) * float(volatility_e8)
    return math.ceil(moved / E8 * math.sqrt(share_of_volume))


@trading_kernel(inline=True)
def fees_kernel(value_fen: int, buying: bool, rates: Int) -> tuple[int, int, int]:
    """Return ``(commission, stamp duty, transfer fee)`` in fen on a trade of ``value_fen``."""
    if value_fen <= 0:
        return 0, 0, 0
    stamp_rate = rates[STAMP_BUY] if buying else rates[STAMP_SELL]
    commission = max((value_fen * rates[COMMISSION] + E8 // 2) // E8, rates[COMMISSION_MIN])
    stamp = (value_fen * stamp_rate + E8 // 2) // E8
    transfer = (value_fen * rates[TRANSFER] + E8 // 2) // E8
    return commission, stamp, transfer


def fees_fen(value_fen: int, *, buying: bool, rates: CostRates) -> tuple[int, int, int]:
    """Return ``(commission, stamp duty, transfer fee)`` in fen on a trade worth ``value_fen``."""
    commission, stamp, transfer = fees_kernel(value_fen, buying, rates.as_array())
    return int(commission), int(stamp), int(transfer)
