"""Which units volume and amount come in, settled by the data itself: amount / volume is a price.

Raw prices answer exactly: the average price lies within [low, high] under one pair of units and no other, as the pairs
differ by a factor of ten or more. Forward-adjusted prices answer near their end, where they equal raw ones.
Backward-adjusted prices do not answer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NoReturn

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ljwx_pipeline.config import FolderSettings
from ljwx_pipeline.errors import DataQualityError, SourceError
from ljwx_pipeline.market.traded_price import average_price_in_range
from ljwx_pipeline.sources.folder.reference import ex_date_rows
from ljwx_pipeline.sources.folder.spellings import AmountUnit, Provider, VolumeUnit

SHARES: Mapping[VolumeUnit, float] = {"shares": 1.0, "lots": 100.0}
CNY: Mapping[AmountUnit, float] = {"cny": 1.0, "thousand_cny": 1000.0}
#: Raw bars of real providers pass on all but a few bars (volumes rounded to lots); adjusted ones on a fifth.
RAW_MIN_FRAC = 0.98
RAW_MIN_FRAC_OF_SYMBOL = 0.90
MIN_BARS_OF_SYMBOL = 20
#: Near the end of a forward-adjusted series amount / volume equals the close within this factor.
NEAR_FACTOR = 2.0
NEAR_BARS = 20
NEAR_MIN_FRAC = 0.5
#: Forward-adjusted prices show no ex-dates; this many of them on bars that pass as raw are raw prices.
MIN_EX_DATES = 20


@dataclass(frozen=True)
class Units:
    """The units settled on, and how."""

    volume: VolumeUnit
    amount: AmountUnit
    how: str

    def __str__(self) -> str:
        """Name both."""
        return f"volume in {self.volume} and amount in {self.amount}"


def settle_units(bars: pd.DataFrame, folder: FolderSettings, provider: Provider | None) -> Units:
    """Return the units of ``bars`` (columns symbol, low, high, close, volume, amount; by symbol, then date).

    The optional columns pre_close, change and adj_factor tell raw prices from prices declared forward-adjusted.

    Raises
    ------
    DataQualityError
        When the data contradicts the declared units, the declared raw prices are adjusted ones, or
        the declared forward-adjusted ones are raw.
    SourceError
        When the units are not declared and cannot be inferred.
    """
    if folder.adjustment == "raw":
        return _settle_raw(bars, folder)
    if folder.adjustment == "forward":
        return _settle_forward(bars, folder, provider)
    return _settle_unseen(folder, provider, "backward-adjusted prices")


def _allowed(folder: FolderSettings) -> list[tuple[VolumeUnit, AmountUnit]]:
    return [
        (volume, amount)
        for volume in SHARES
        for amount in CNY
        if folder.volume_unit in ("auto", volume) and folder.amount_unit in ("auto", amount)
    ]


def _every() -> list[tuple[VolumeUnit, AmountUnit]]:
    return [(volume, amount) for volume in SHARES for amount in CNY]


def _inside(bars: pd.DataFrame) -> dict[tuple[VolumeUnit, AmountUnit], NDArray[np.bool_]]:
    """Return per pair of units which bars have amount / volume within [low, high]."""
    return {
        pair: average_price_in_range(
            low_cny=bars["low"].to_numpy(),
            high_cny=bars["high"].to_numpy(),
            volume_shares=bars["volume"].to_numpy() * SHARES[pair[0]],
            amount_cny=bars["amount"].to_numpy() * CNY[pair[1]],
        )
        for pair in _every()
    }


def _settle_raw(bars: pd.DataFrame, folder: FolderSettings) -> Units:
    inside = _inside(bars)
    frac = {pair: float(flags.mean()) for pair, flags in inside.items()}
    best = max(_every(), key=lambda pair: frac[pair])
    if frac[best] < RAW_MIN_FRAC:
        raise DataQualityError(
            f"{folder.data}: amount / volume lies within [low, high] on {frac[best]:.1%} of bars at best "
            f"({best[0]}, {best[1]}), on raw prices it does on nearly all: these prices are adjusted, not raw",
            "pass --adjustment forward or backward (folder.adjustment), or give the unadjusted prices; volume in other "
            "units than shares or lots, or amount in others than CNY or thousand CNY, must be converted first",
        )
    if best not in _allowed(folder):
        _contradicted(folder, best, f"amount / volume lies within [low, high] on {frac[best]:.1%} of bars")
    by_symbol = pd.Series(inside[best]).groupby(bars["symbol"].to_numpy()).agg(["mean", "size"])
    adjusted = by_symbol[(by_symbol["mean"] < RAW_MIN_FRAC_OF_SYMBOL) & (by_symbol["size"] >= MIN_BARS_OF_SYMBOL)]
    if len(adjusted):
        raise DataQualityError(
            f"{folder.data}: {adjusted.index[0]} ({len(adjusted)} symbols in all) has amount / volume within "
            f"[low, high] on {adjusted['mean'].iloc[0]:.1%} of its bars while the others are raw: "
            "its prices are adjusted or its units differ",
            "give the unadjusted prices of every symbol in the same units",
        )
    return Units(*best, f"amount / volume lies within [low, high] on {frac[best]:.2%} of bars")


def _settle_forward(bars: pd.DataFrame, folder: FolderSettings, provider: Provider | None) -> Units:
    _refuse_raw(bars, folder)
    last = bars.groupby("symbol", sort=False).tail(NEAR_BARS)
    last = last[(last["volume"] > 0) & (last["amount"] > 0)]
    quotient = last["amount"] / last["volume"] / last["close"]
    distance = pd.Series(np.log10(quotient.to_numpy()), index=last.index)
    of_symbol = distance.groupby(last["symbol"]).median().to_numpy()
    near = {
        pair: float(np.mean(np.abs(of_symbol - np.log10(SHARES[pair[0]] / CNY[pair[1]])) < np.log10(NEAR_FACTOR)))
        if len(of_symbol)
        else 0.0
        for pair in _every()
    }
    best = max(_every(), key=lambda pair: near[pair])
    if near[best] < NEAR_MIN_FRAC:
        return _settle_unseen(folder, provider, "prices whose last bars lie far from amount / volume")
    said = f"amount / volume is close to the last closes of {near[best]:.0%} of the symbols"
    if best not in _allowed(folder):
        _contradicted(folder, best, said)
    return Units(*best, said)


def _refuse_raw(bars: pd.DataFrame, folder: FolderSettings) -> None:
    """Refuse raw prices declared forward-adjusted: amount / volume fits all of them, and ex-dates show."""
    ex_dates = ex_date_rows(bars)
    if ex_dates < MIN_EX_DATES:
        return
    frac = max(float(flags.mean()) for flags in _inside(bars).values())
    if frac < RAW_MIN_FRAC:
        return
    raise DataQualityError(
        f"{folder.data}: declared forward-adjusted, but amount / volume lies within [low, high] on {frac:.1%} of bars "
        f"and pre_close or adj_factor shows an ex-date in {ex_dates} rows: these prices are raw",
        "pass --adjustment raw (folder.adjustment), or give the forward-adjusted prices",
    )


def _settle_unseen(folder: FolderSettings, provider: Provider | None, why: str) -> Units:
    allowed = _allowed(folder)
    if len(allowed) == 1:
        return Units(*allowed[0], "they are declared")
    if provider is not None and (provider.volume_unit, provider.amount_unit) in allowed:
        return Units(provider.volume_unit, provider.amount_unit, f"the columns are spelt as {provider.name} does")
    raise SourceError(
        f"{folder.data}: the units of volume and amount cannot be inferred from {why}",
        'declare them: folder.volume_unit = "shares" or "lots", folder.amount_unit = "cny" or "thousand_cny"',
    )


def _contradicted(folder: FolderSettings, best: tuple[VolumeUnit, AmountUnit], why: str) -> NoReturn:
    raise DataQualityError(
        f"{folder.data}: declared folder.volume_unit = {folder.volume_unit}, folder.amount_unit = "
        f"{folder.amount_unit}, but with volume in {best[0]} and amount in {best[1]} {why}",
        f'set folder.volume_unit = "{best[0]}" and folder.amount_unit = "{best[1]}"',
    )
