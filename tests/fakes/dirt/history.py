"""The same rows at another time or of another provider: restated, contradicted, early, late."""

from __future__ import annotations

import numpy as np
import pandas as pd

from tests.fakes.dirt.kind import PRICES, Inject, TableDirt, Tables, columns, scaled_rows


def known_at(hours: float) -> Inject:
    """Let the rows of the last session become known so many hours after its close."""

    def inject(tables: Tables, rng: np.random.Generator) -> Tables:
        days = np.sort(tables["bars"]["session_date"].unique())
        known = pd.DatetimeIndex(days).tz_localize("UTC") + pd.Timedelta(hours=7 + 2)
        known = known[:-1].append(pd.DatetimeIndex([days[-1]]).tz_localize("UTC") + pd.Timedelta(hours=7 + hours))
        tables["known_at"] = pd.DataFrame({"session_date": days, "known_at": known})
        return tables

    return inject


KINDS = (
    TableDirt(
        "rows are restated",
        scaled_rows(1.01, ["amount_cny"]),
        "bars.history_not_restated",
        "warn",
        judge="restated",
    ),
    TableDirt("history is rewritten", columns(PRICES, 0.9), "bars.history_not_restated", "error", judge="restated"),
    TableDirt(
        "two providers differ",
        scaled_rows(1.01, ["close_cny"]),
        "bars.agree_with_second_source",
        "warn",
        judge="reconcile",
    ),
    TableDirt(
        "two providers are in other units",
        columns(["volume_shares"], 100.0),
        "bars.agree_with_second_source",
        "error",
        judge="reconcile",
    ),
    TableDirt("rows known before the close", known_at(-3.0), "bars.on_time", "error", judge="lag"),
    TableDirt("rows known days later", known_at(90.0), "bars.on_time", "warn", judge="lag"),
)
