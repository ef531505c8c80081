"""Prices that are possible and wrong: adjusted, off the reference price, beside the factor, beyond a limit."""

from __future__ import annotations

import numpy as np
import pandas as pd

from tests.fakes.dirt.kind import PRICES, Inject, TableDirt, Tables, one_symbol, scaled_rows, some_rows


def adjusted(direction: str, *, volume: bool = False) -> Inject:
    """Adjust prices, or the volume alone, as a provider does; the table still says raw."""

    def inject(tables: Tables, rng: np.random.Generator) -> Tables:
        bars = tables["bars"]
        newest = bars.groupby("symbol")["adj_factor"].transform("last")
        factor = bars["adj_factor"] / (newest if direction == "forward" else 1.0)
        factor = factor * 1.5 if direction == "backward" else factor
        if volume:
            bars["volume_shares"] = (bars["volume_shares"] / factor).round()
        else:
            bars[PRICES] = bars[PRICES].mul(factor, axis=0).round(4)
        return tables

    return inject


def largest_step(bars: pd.DataFrame) -> tuple[pd.Index, float]:
    """Return the rows of a symbol from its largest factor step on, and the step's ratio."""
    ordered = bars.sort_values(["symbol", "session_date"])
    ratio = ordered["adj_factor"] / ordered.groupby("symbol")["adj_factor"].shift()
    at = ratio.idxmax()
    symbol, day = bars.loc[at, "symbol"], bars.loc[at, "session_date"]
    return bars.index[(bars["symbol"] == symbol) & (bars["session_date"] >= day)], float(ratio[at])


def split_missing(tables: Tables, rng: np.random.Generator) -> Tables:
    rows, ratio = largest_step(tables["bars"])
    bars = tables["bars"]
    if ratio < 1.2:  # no split in the panel: make one, and leave the factor as it is
        rows = one_symbol(tables)
        rows = rows[len(rows) // 2 :]
        bars.loc[rows, PRICES] = (bars.loc[rows, PRICES] / 2).round(2)
        bars.loc[rows, "volume_shares"] = (bars.loc[rows, "amount_cny"] / bars.loc[rows, "close_cny"]).round()
    else:
        bars.loc[rows, "adj_factor"] /= ratio
    return tables


def dividend_missing(tables: Tables, rng: np.random.Generator) -> Tables:
    bars, actions = tables["bars"], tables["corporate_actions"]
    inside = actions[actions["ex_date"].between(bars["session_date"].iloc[0], bars["session_date"].iloc[-1])]
    action = inside.iloc[len(inside) // 2]
    mine = bars["symbol"] == action["symbol"]
    before = bars.loc[mine & (bars["session_date"] < action["ex_date"]), "adj_factor"]
    after = mine & (bars["session_date"] >= action["ex_date"])
    bars.loc[after, "adj_factor"] *= before.iloc[-1] / bars.loc[after, "adj_factor"].iloc[0]
    return tables


def factor_noise(tables: Tables, rng: np.random.Generator) -> Tables:
    bars = tables["bars"]
    same = bars.groupby("symbol")["adj_factor"].transform("nunique") == 1
    symbol = bars.loc[same, "symbol"].iloc[0] if same.any() else bars["symbol"].iloc[0]
    rows = bars.index[bars["symbol"] == symbol]
    step = rows[len(rows) // 2]
    changed = bars.loc[rows, "adj_factor"].diff().abs() > 0
    while changed.get(step, False):
        step = rows[rows.get_loc(step) + 1]
    bars.loc[rows[rows >= step], "adj_factor"] *= 5.7142 / 5.714
    return tables


def factor_falls(tables: Tables, rng: np.random.Generator) -> Tables:
    rows = one_symbol(tables)
    tables["bars"].loc[rows[len(rows) // 2 :], "adj_factor"] *= 0.8
    return tables


def reference_wrong(tables: Tables, rng: np.random.Generator) -> Tables:
    rows = some_rows(tables, rng, 1)
    tables["bars"].loc[rows, "pre_close_cny"] = (tables["bars"].loc[rows, "pre_close_cny"] * 1.03).round(2)
    return tables


def beyond_limit(factor: float) -> Inject:
    """Let some rows close at a multiple of their reference price, traded there."""

    def inject(tables: Tables, rng: np.random.Generator) -> Tables:
        bars, rows = tables["bars"], some_rows(tables, rng, 3)
        close = (bars.loc[rows, "pre_close_cny"] * factor).round(2)
        bars.loc[rows, "close_cny"] = close
        bars.loc[rows, "high_cny"] = np.maximum(bars.loc[rows, "high_cny"], close)
        bars.loc[rows, "low_cny"] = np.minimum(bars.loc[rows, "low_cny"], close)
        return tables

    return inject


KINDS = (
    TableDirt("forward-adjusted sold as raw", adjusted("forward"), "bars.average_price_in_range", "error"),
    TableDirt("back-adjusted sold as raw", adjusted("backward"), "bars.average_price_in_range", "error"),
    TableDirt("volume forward-adjusted", adjusted("forward", volume=True), "bars.average_price_in_range", "error"),
    TableDirt("adjusted prices off the tick", adjusted("backward"), "bars.prices_on_tick", "error"),
    TableDirt("pre_close is no previous close", reference_wrong, "bars.reference_price_follows", "warn"),
    TableDirt("a split the factor misses", split_missing, "bars.jumps_are_explained", "quarantine"),
    TableDirt("a dividend the factor misses", dividend_missing, "bars.actions_in_factor", "warn", real=False),
    TableDirt("the factor falls", factor_falls, "bars.factor_never_falls", "warn"),
    TableDirt("the factor's float noise", factor_noise, "bars.factor_steps_are_real", "warn"),
    TableDirt(
        "a price spike", scaled_rows(1.6, [*PRICES[:4], "amount_cny"], 3), "bars.spikes_do_not_revert", "quarantine"
    ),
    TableDirt("closes beyond the board's limit", beyond_limit(1.5), "bars.moves_within_limits", "warn"),
    TableDirt(
        "trades beyond published limits", beyond_limit(0.6), "bars.within_published_limits", "quarantine", real=False
    ),
    TableDirt("a jump no peer makes", beyond_limit(1.55), "bars.moves_like_peers", "warn"),
)
