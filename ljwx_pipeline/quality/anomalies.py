"""Statistics on bars: what no rule forbids and yet is hardly true, judged against the symbol's own past and its peers.

Everything is robust (medians and median absolute deviations), so that the dirt itself does not set the scale. These
checks are data like those of ``checks.py`` and run the same way: ``run_checks(..., checks=(*CHECKS, *ANOMALIES))``.
With ``before`` holding some sixty earlier sessions, a single session is judged too. Not here: rows that came late
(``history.py``), other providers' rows (``reconcile.py``).
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ljwx_pipeline.market.symbols import Board
from ljwx_pipeline.quality.rule import SAMPLE, SINGLE_FRAC, Check, Finding, Market, at_positions, rows_found

Float = NDArray[np.float64]

#: Providers mix up lots and shares (100) and thousands and units (1,000): between the two lies this factor, and no
#: corporate action moves the quotient of amount, volume and price so far at once.
UNIT_BREAK_LOG10 = 0.8
#: Median of log10(amount / volume / close) over the newest rows of a forward-adjusted table, beyond which units are
#: wrong: its factor is one there.
UNITS_OFF_LOG10 = 0.5
#: A spike is a close this far (log) from both neighbours, in the same direction.
SPIKE_LOG = 0.2
#: A move is a jump beyond so many median absolute deviations of the symbol and this far (log) from its peers' median.
JUMP_MADS, JUMP_LOG = 10.0, 0.13
MAD_TO_SD = 1.4826
#: Volume or amount this far (log10) from the symbol's running median and from its median.
TURNOVER_LOG10 = 2.0
TURNOVER_WINDOW_SESSIONS = 41
#: A listing's first rows have their own rules.
YOUNG_ROWS = 6
#: Share of a session's symbols that jump together: a halved feed, a session in another adjustment.
TOGETHER_FRAC, TOGETHER_MIN = 0.3, 10
#: A price this far (log) from the close before, with the same factor, looks like an ex-date that the factor misses.
MISSING_FACTOR_LOG = 0.12
SAME_FACTOR_FRAC = 1e-3
#: Two factors nearer than this are one.
SAME_REL = 1e-9
#: How far (fraction) a row moves at most even after a long halt, on the main board and on those with wider limits.
MAIN_MOST_FRAC, WIDE_MOST_FRAC = 0.25, 0.45
#: Fewer rows of a symbol say nothing of its scale.
SCALE_MIN_ROWS = 20


def turnover_unit_breaks(market: Market) -> Finding:
    """Find rows whose volume or amount is in another unit than most of the symbol's rows.

    The quotient amount / volume / close is one under raw prices and moves slowly under adjusted ones; a unit mixed up
    is a step of two or three powers of ten that lasts until it is undone.
    """
    bars, ordered = market.tables["bars"], market.bars_in_order
    symbol = ordered["symbol"]
    quotient = _implied_log10(ordered)
    step = quotient.groupby(symbol, sort=False).diff()
    level = step.where(step.abs() > UNIT_BREAK_LOG10, 0.0).groupby(symbol, sort=False).cumsum()
    # under raw prices the quotient itself says which side of a break is right, even where the wrong one has more rows
    right = level - quotient if market.description.adjustment == "raw" else level
    bad = (level - right.groupby(symbol, sort=False).transform("median")).abs() > UNIT_BREAK_LOG10
    return rows_found(bars, at_positions(ordered, bad, len(bars)))


def units_plausible(market: Market) -> Finding:
    """Find a forward-adjusted table whose newest rows, with a factor of one, do not hold the unit identity."""
    bars = market.tables["bars"]
    if market.description.adjustment != "forward":
        return Finding(len(bars), 0, "rows", ())
    newest = market.bars_in_order.drop_duplicates("symbol", keep="last")
    off = float(_implied_log10(newest).median())
    return rows_found(bars, np.full(len(bars), abs(off) > UNITS_OFF_LOG10), average_over_close=10.0**off)


def jumps_explained(market: Market) -> Finding:
    """Find prices that move as on an ex-date against the previous close, with the same factor.

    The exchange moved the reference price, or the move is beyond any limit, and the factor does not know. Every later
    row of the symbol stands on the wrong factor, and all are taken out.
    """
    bars, ordered = market.tables["bars"], market.bars_in_order
    grouped = ordered.groupby("symbol", sort=False)
    before = _log(grouped["close_cny"].shift())
    opened, settled, referenced = (
        np.abs(_log(ordered[column]) - before) for column in ("open_cny", "close_cny", "pre_close_cny")
    )
    same_factor = (ordered["adj_factor"] / grouped["adj_factor"].shift() - 1).abs() < SAME_FACTOR_FRAC
    # a reference price moved as far says ex-date outright; where it was not moved, only a move beyond any limit does
    ex_date = (referenced > MISSING_FACTOR_LOG / 2) | (settled > np.log1p(_most_move_frac(market, ordered)))
    bad = same_factor & (np.minimum(opened, settled) > MISSING_FACTOR_LOG) & ex_date & ~_young(market)
    spike = _spikes(market)
    bad &= ~(spike | spike.groupby(ordered["symbol"], sort=False).shift(fill_value=False))
    tail = bad.groupby(ordered["symbol"], sort=False).cummax()
    return rows_found(bars, at_positions(ordered, bad, len(bars)), taken_out=at_positions(ordered, tail, len(bars)))


def actions_in_factor(market: Market) -> Finding:
    """Find corporate actions on whose ex-date, or the first session after it, the factor stays what it was."""
    bars, ordered = market.tables["bars"], market.bars_in_order
    actions = market.tables["corporate_actions"]
    earlier = ordered.groupby("symbol", sort=False)["adj_factor"].shift().to_numpy()
    same = np.abs(ordered["adj_factor"].to_numpy() / earlier - 1) < SAME_REL
    paid = (actions["cash_cny_per_share"] > 0) | (actions["bonus_shares_per_share"] > 0)
    first, last = market.sessions[0], market.sessions[-1]
    due = actions[paid & actions["ex_date"].between(first, last)].sort_values("ex_date")
    days = ordered[["symbol", "session_date"]].assign(row=np.arange(len(ordered))).sort_values("session_date")
    at = pd.merge_asof(due, days, left_on="ex_date", right_on="session_date", by="symbol", direction="forward")
    rows = at["row"].dropna().to_numpy(dtype=np.int64)
    bad = np.zeros(len(ordered), dtype=bool)
    bad[rows] = same[rows]
    return rows_found(bars, at_positions(ordered, bad, len(bars)), judged=len(due))


def spikes_revert(market: Market) -> Finding:
    """Find closes far from both neighbours in one direction: a slipped digit, a foreign row."""
    bars, ordered = market.tables["bars"], market.bars_in_order
    return rows_found(bars, at_positions(ordered, _spikes(market), len(bars)))


def moves_like_peers(market: Market) -> Finding:
    """Find moves beyond the symbol's own scale and far from its peers' median of the session."""
    bars, ordered = market.tables["bars"], market.bars_in_order
    move = pd.Series(_log(ordered["close_cny"]) - _log(ordered["pre_close_cny"]), index=ordered.index)
    excess = (move - move.groupby(ordered["session_date"]).transform("median")).abs()
    by_symbol = excess.groupby(ordered["symbol"], sort=False)
    scale = by_symbol.transform("median") * MAD_TO_SD
    enough = by_symbol.transform("size") >= SCALE_MIN_ROWS
    bad = (excess > JUMP_LOG) & (excess > JUMP_MADS * scale) & enough & ~_young(market)
    return rows_found(bars, at_positions(ordered, bad, len(bars)))


def sessions_not_torn(market: Market) -> Finding:
    """Find sessions on which a large share of the symbols leaves the close before."""
    ordered = market.bars_in_order
    level = pd.Series(_log(ordered["close_cny"] * ordered["adj_factor"]), index=ordered.index)
    jumped = level.groupby(ordered["symbol"], sort=False).diff().abs() > JUMP_LOG
    own = ordered["position"] >= 0
    by_session = jumped[own].groupby(ordered.loc[own, "session_date"]).agg(["sum", "mean"])
    bad = by_session.index[((by_session["mean"] > TOGETHER_FRAC) & (by_session["sum"] >= TOGETHER_MIN)).to_numpy()]
    return Finding(len(by_session), len(bad), "sessions", tuple(f"{day:%Y-%m-%d}" for day in bad[:SAMPLE]))


def turnover_like_itself(market: Market) -> Finding:
    """Find volumes or amounts a hundredfold from the symbol's running median of the sessions around."""
    bars, ordered = market.tables["bars"], market.bars_in_order
    bad = np.zeros(len(ordered), dtype=bool)
    for column in ("volume_shares", "amount_cny"):
        level = pd.Series(_log(ordered[column]) / np.log(10.0), index=ordered.index)
        own = level.groupby(ordered["symbol"], sort=False).transform("median")
        odd = (level - own).abs() > TURNOVER_LOG10
        if odd.any():
            # it runs over the whole column, so rows near a symbol's ends see some of its neighbour's: the symbol's own
            # median has to agree
            around = level.rolling(TURNOVER_WINDOW_SESSIONS, center=True, min_periods=1).median()
            bad |= (((level - around).abs() > TURNOVER_LOG10) & odd).to_numpy()
    return rows_found(bars, at_positions(ordered, bad, len(bars)))


def _implied_log10(bars: pd.DataFrame) -> pd.Series:
    quotient = _log(bars["amount_cny"]) - _log(bars["volume_shares"]) - _log(bars["close_cny"])
    return pd.Series(quotient / np.log(10.0), index=bars.index)


def _spikes(market: Market) -> pd.Series:
    return market.once("spikes", lambda: _spikes_of(market))


def _spikes_of(market: Market) -> pd.Series:
    ordered = market.bars_in_order
    level = pd.Series(_log(ordered["close_cny"] * ordered["adj_factor"]), index=ordered.index)
    grouped = level.groupby(ordered["symbol"], sort=False)
    from_before, from_after = level - grouped.shift(), level - grouped.shift(-1)
    far = (from_before.abs() > SPIKE_LOG) & (from_after.abs() > SPIKE_LOG) & (from_before * from_after > 0)
    return pd.Series(far & ~_young(market), index=ordered.index)


def _young(market: Market) -> pd.Series:
    """Return the first rows of those listed within the table; without securities, of every symbol."""
    return market.once("young", lambda: _young_of(market))


def _young_of(market: Market) -> pd.Series:
    ordered = market.bars_in_order
    grouped = ordered.groupby("symbol", sort=False)
    row = grouped.cumcount()
    if "securities" not in market.tables:
        return row < YOUNG_ROWS
    listed = ordered["symbol"].map(market.tables["securities"].set_index("symbol")["list_date"])
    first = grouped["session_date"].transform("first")
    return (row < YOUNG_ROWS) & (listed >= first)


def _most_move_frac(market: Market, ordered: pd.DataFrame) -> Float:
    if "securities" not in market.tables:
        return np.full(len(ordered), WIDE_MOST_FRAC)
    board = ordered["symbol"].map(market.tables["securities"].set_index("symbol")["board"]).fillna(-1)
    return np.where(board.to_numpy() == int(Board.MAIN), MAIN_MOST_FRAC, WIDE_MOST_FRAC)


def _log(values: pd.Series) -> Float:
    numbers = values.to_numpy(dtype=np.float64)
    return np.log(np.where(numbers > 0, numbers, np.nan))


COMPARE = "compare the rows with a second provider; release them if they are true"

#: Every statistical check, in the order in which results are reported.
ANOMALIES = (
    Check(
        "bars.turnover_units_stable",
        "error",
        ("bars",),
        turnover_unit_breaks,
        "volume or amount changes its unit: lots for shares (100), thousands for CNY (1,000)",
        "find the session on which the provider changed units, and load one side of it again in the other",
        SINGLE_FRAC,
    ),
    Check(
        "bars.units_plausible",
        "error",
        ("bars",),
        units_plausible,
        "amount / volume of the newest rows is nowhere near the close: the units are mixed up",
        "declare the true units (lots or shares, thousand CNY or CNY) of the source",
    ),
    Check(
        "bars.jumps_are_explained",
        "quarantine",
        ("bars",),
        jumps_explained,
        "the price moves as on an ex-date, and the adjustment factor does not",
        "add the missing ex-date to the factor, or release the rows if the move was traded",
    ),
    Check(
        "bars.actions_in_factor",
        "warn",
        ("bars", "corporate_actions"),
        actions_in_factor,
        "a corporate action's ex-date leaves the adjustment factor unchanged",
        "load the factor again from the ex-date on, or correct the corporate action",
    ),
    Check(
        "bars.spikes_do_not_revert",
        "quarantine",
        ("bars",),
        spikes_revert,
        "the close lies far from both neighbours and comes back",
        COMPARE,
    ),
    Check(
        "bars.moves_like_peers",
        "warn",
        ("bars",),
        moves_like_peers,
        "the move is beyond the symbol's own scale and far from its peers'",
        COMPARE,
    ),
    Check(
        "bars.sessions_not_torn",
        "error",
        ("bars",),
        sessions_not_torn,
        "a large share of the symbols leaves its previous close at once: a session in another adjustment or scale",
        "load the session again; adjusted and raw prices may have been stacked",
    ),
    Check(
        "bars.turnover_like_itself",
        "warn",
        ("bars",),
        turnover_like_itself,
        "volume or amount is a hundredfold from the symbol's usual",
        COMPARE,
    ),
)
