"""The session's reference price and the cumulative adjustment factor, taken from the file or derived.

On a raw series the reference price (``pre_close``) differs from the previous close on ex-dates only, so the quotient of
the two is the step of the adjustment factor. Source: ex-right reference price, trading rules of SSE and SZSE. Which
differences count as ex-dates is decided in ``ex_dates.py``.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ljwx_pipeline.errors import SourceError
from ljwx_pipeline.market.tables import Unknown
from ljwx_pipeline.sources.folder.ex_dates import Prices, not_believed, steps, undone
from ljwx_pipeline.sources.folder.rows import Rows

#: Two prices rounded to the tick differ by no more than this when they are the same price.
ROUNDED_PRICE_CNY = 0.0101
#: Providers print the same factor with three or four decimals; a real dividend moves it by more than this.
SAME_FACTOR_FRAC = 1e-4

Float = NDArray[np.float64]


def reference_prices(rows: Rows, *, raw: bool) -> tuple[Float, Float, list[Unknown]]:
    """Return ``pre_close``, ``adj_factor`` and what had to be assumed.

    Parameters
    ----------
    rows
        Checked bars by symbol, then date, with ``close`` and, where the file has them, ``pre_close``, ``change`` and
        ``adj_factor``.
    raw
        Whether prices are as traded; otherwise the factor is 1 throughout, as the prices carry it already.

    Raises
    ------
    SourceError
        When raw prices come with nothing that shows ex-dates.
    """
    frame = rows.frame
    notes: list[Unknown] = []
    symbol_codes = pd.factorize(frame["symbol"])[0]
    close = frame["close"].to_numpy()
    previous = _shifted(close, symbol_codes)
    reference = _given_reference(rows)
    factor = np.ones(len(frame))
    if raw and "adj_factor" in frame:
        rows.refuse(
            ~(frame["adj_factor"] > 0),
            "adj_factor is {adj_factor:g}, not above zero",
            "correct the factor",
        )
        factor, more = _given_factor(rows, previous, symbol_codes)
        notes.extend(more)
        if reference is None:
            reference = np.round(previous * _shifted(factor, symbol_codes) / factor, 2)
            notes.append(
                Unknown("reference prices (pre_close)", "derived from the previous close and the adjustment factor")
            )
    elif raw:
        if reference is None:
            raise SourceError(
                f"{rows.paths[0]} holds raw prices without pre_close, change or adj_factor: ex-dates cannot be seen, "
                "so every dividend and split would count as a loss",
                "add one of these columns, or give forward-adjusted prices with --adjustment forward",
            )
        factor, more = _derived_factor(rows, previous, reference)
        notes.extend(more)
    elif reference is None:
        reference = previous.copy()
        notes.append(
            Unknown("reference prices (pre_close)", "the previous close under the declared adjustment is used")
        )
    missing = np.isnan(reference)
    reference = np.where(missing, previous, reference)
    first = np.isnan(reference)
    if first.any():
        reference = np.where(first, frame["open"].to_numpy(), reference)
        notes.append(
            Unknown(
                f"reference price of {int(first.sum())} first bars", "their own open is used: no limit is judged there"
            )
        )
    return reference, factor, notes


def ex_date_rows(bars: pd.DataFrame) -> int:
    """Return on how many rows ``adj_factor`` steps or the reference price leaves the previous close.

    ``bars`` stand by symbol, then date. A blank cell shows nothing.
    """
    symbol_codes = pd.factorize(bars["symbol"])[0]
    close = bars["close"].to_numpy()
    shown = np.zeros(len(bars), dtype=np.bool_)
    if "pre_close" in bars or "change" in bars:
        reference = bars["pre_close"].to_numpy() if "pre_close" in bars else close - bars["change"].to_numpy()
        # a tick of rounding on either side; NaN compares false
        shown |= np.abs(reference - _shifted(close, symbol_codes)) > ROUNDED_PRICE_CNY
    if "adj_factor" in bars:
        factor = bars["adj_factor"].to_numpy()
        before = _shifted(factor, symbol_codes)
        shown |= np.abs(factor - before) > SAME_FACTOR_FRAC * np.abs(before)
    return int(shown.sum())


def _given_reference(rows: Rows) -> Float | None:
    frame = rows.frame
    if "pre_close" in frame:
        reference = frame["pre_close"].to_numpy()
    elif "change" in frame:
        reference = frame["close"].to_numpy() - frame["change"].to_numpy()
    else:
        return None
    rows.refuse(
        reference <= 0,
        "the reference price (pre_close, or close - change) beside close {close:g} is not above zero",
        "correct the row or delete it",
    )
    return reference


def _derived_factor(rows: Rows, previous: Float, reference: Float) -> tuple[Float, list[Unknown]]:
    frame = rows.frame
    symbol = frame["symbol"].to_numpy()
    prices = Prices(symbol, frame["session_date"].to_numpy(), frame["close"].to_numpy(), previous, reference)
    step = steps(prices)
    odd = not_believed(prices, step)
    notes = [
        Unknown(
            "adjustment factors",
            "derived from pre_close against the previous close, exact to the 0.01 tick of pre_close",
        )
    ]
    if odd.any():
        at = int(np.argmax(odd))
        notes.append(
            _left_flat("reference prices", odd, rows, f"pre_close {reference[at]:g} after a close of {previous[at]:g}")
        )
    return _cumulated(np.where(odd, 1.0, step), pd.factorize(symbol)[0]), notes


def _given_factor(rows: Rows, previous: Float, symbol_codes: NDArray[np.int64]) -> tuple[Float, list[Unknown]]:
    """Return the file's factor without its noise, and without steps that are undone while the price goes with them."""
    factor, close = rows.frame["adj_factor"].to_numpy(), rows.frame["close"].to_numpy()
    before = _shifted(factor, symbol_codes)
    first = np.isnan(before)
    step = factor / np.where(first, 1.0, before)
    same = ~first & (np.abs(step - 1.0) < SAME_FACTOR_FRAC)
    back = undone(np.where(first | same, 1.0, step), rows.frame["symbol"].to_numpy())
    log_step, log_move = np.log(step), np.log(close / np.where(first, close, previous))
    # a factor that comes back alone is a spike of the adjusted price and seen; beside a spike of the price it hides it
    hides = back & (np.abs(log_step + log_move) < np.abs(log_step) / 2)
    flat = same | hides
    notes = []
    if hides.any():
        at = int(np.argmax(hides))
        said = f"adj_factor {factor[at]:g} after {before[at]:g} beside a close of {close[at]:g} after {previous[at]:g}"
        notes.append(_left_flat("adjustment factors", hides, rows, said))
    if (step[flat] == 1.0).all():
        return factor, notes
    return _cumulated(np.where(flat, 1.0, step), symbol_codes), notes


def _left_flat(what: str, odd: NDArray[np.bool_], rows: Rows, first: str) -> Unknown:
    return Unknown(
        f"{int(odd.sum())} {what} that no dividend or bonus explains",
        "the adjustment factor is left as it was there, for the checks to judge the jump; first "
        f"{rows.where(int(np.argmax(odd)))}: {first}",
    )


def _cumulated(step: Float, symbol_codes: NDArray[np.int64]) -> Float:
    return np.asarray(pd.Series(step).groupby(symbol_codes).cumprod(), dtype=np.float64)


def _shifted(values: Float, symbol_codes: NDArray[np.int64]) -> Float:
    """Return each row's predecessor of the same symbol, NaN on its first."""
    out = np.full(len(values), np.nan)
    same = symbol_codes[1:] == symbol_codes[:-1]
    out[1:][same] = values[:-1][same]
    return out
