"""Volume and amount in other units than told, of some rows, of a symbol or of all."""

from __future__ import annotations

import numpy as np

from tests.fakes.dirt.kind import TableDirt, Tables, columns, one_symbol, scaled_rows


def units_change(tables: Tables, rng: np.random.Generator) -> Tables:
    rows = one_symbol(tables)
    tables["bars"].loc[rows[-len(rows) // 3 :], "volume_shares"] /= 100
    return tables


def amount_units_change_for_all(tables: Tables, rng: np.random.Generator) -> Tables:
    bars = tables["bars"]
    late = bars["session_date"] >= bars["session_date"].iloc[len(bars) * 3 // 4]
    bars.loc[late, "amount_cny"] /= 1000
    return tables


KINDS = (
    TableDirt("lots for shares", columns(["volume_shares"], 0.01), "bars.average_price_in_range", "error"),
    TableDirt("thousands for CNY", columns(["amount_cny"], 0.001), "bars.average_price_in_range", "error"),
    TableDirt("lots on some rows", scaled_rows(0.01, ["volume_shares"]), "bars.average_price_in_range", "quarantine"),
    TableDirt("one stock's volume turns to lots", units_change, "bars.turnover_units_stable", "quarantine", "forward"),
    TableDirt(
        "amounts turn to thousands", amount_units_change_for_all, "bars.turnover_units_stable", "error", "forward"
    ),
    TableDirt("lots under adjustment", columns(["volume_shares"], 0.01), "bars.units_plausible", "error", "forward"),
    TableDirt(
        "turnover a thousandfold",
        scaled_rows(1000.0, ["volume_shares", "amount_cny"], 2),
        "bars.turnover_like_itself",
        "warn",
    ),
)
