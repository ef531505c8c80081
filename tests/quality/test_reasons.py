"""Why a row is in quarantine is said in its own numbers, and never names another row."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pandas as pd
import pytest

from ljwx_pipeline.market.tables import SourceDescription
from ljwx_pipeline.quality.anomalies import ANOMALIES
from ljwx_pipeline.quality.checks import CHECKS
from ljwx_pipeline.quality.quarantine import split
from ljwx_pipeline.quality.run import run_checks
from tests.fakes.bars import random_bars

AT = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)
REAL = SourceDescription("x", simulated=False, adjustment="raw", unknown=())
PLAIN = {
    "open_cny": 20.0,
    "high_cny": 20.4,
    "low_cny": 19.8,
    "close_cny": 20.1,
    "pre_close_cny": 20.0,
    "volume_shares": 1000.0,
    "amount_cny": 20_100.0,
}


@pytest.fixture
def bars() -> pd.DataFrame:
    return random_bars(symbols=10, sessions=80, suspended_frac=0.0)


def reasons(bars: pd.DataFrame, check: str, **beside: pd.DataFrame) -> list[str]:
    sessions = pd.DatetimeIndex(sorted(bars["session_date"].unique()))
    results = run_checks({"bars": bars}, REAL, sessions, beside=beside, checks=(*CHECKS, *ANOMALIES))
    held = split("bars", bars, results, at=AT, beside=beside).quarantined
    return list(held.loc[held["check"] == check, "reason"])


@pytest.mark.parametrize(
    ("changes", "check", "said"),
    [
        ({"close_cny": 21.0}, "bars.schema", "close 21.00 outside low 19.80 to high 20.40"),
        ({"close_cny": float("nan")}, "bars.schema", "close_cny is missing or endless"),
        (
            {"amount_cny": -5.0, "pre_close_cny": 0.0},
            "bars.schema",
            "pre_close_cny 0 is not above 0; amount_cny -5 is below 0",
        ),
        ({"high_cny": 19.0}, "bars.schema", "high 19.00 below low 19.80"),
        (
            {"amount_cny": 63_210.0},
            "bars.average_price_in_range",
            "amount/volume 63.21 outside low 19.80 to high 20.40",
        ),
        ({"volume_shares": 0.0}, "bars.average_price_in_range", "amount 20,100 CNY without volume"),
        (
            {"volume_shares": 0.0},
            "bars.volume_where_prices_moved",
            "volume 0, but low 19.80 to high 20.40 and amount 20,100 CNY",
        ),
        (
            dict.fromkeys(("open_cny", "high_cny", "low_cny", "close_cny"), 20.1)
            | {"volume_shares": 0.0, "amount_cny": 0.0},
            "bars.traded",
            "volume 0 and amount 0 at the one price 20.10: nothing was traded",
        ),
    ],
)
def test_a_row_says_its_own_numbers(bars: pd.DataFrame, changes: dict[str, Any], check: str, said: str) -> None:
    changed = PLAIN | changes
    bars.loc[200, list(changed)] = list(changed.values())
    bars.loc[205, ["volume_shares", "high_cny"]] = [0.0, bars.loc[205, "high_cny"] + 1]
    own, *others = reasons(bars, check)
    assert own == said
    assert all(other != said for other in others)


def test_a_row_beyond_its_limit_says_which_price_and_limit(bars: pd.DataFrame) -> None:
    limits = bars[["symbol", "session_date"]].assign(limit_up_cny=1e6, limit_down_cny=0.01)
    for row, changes in ((200, {"high_cny": 22.05, "close_cny": 22.05}), (210, {"low_cny": 17.0})):
        changed = PLAIN | changes
        bars.loc[row, list(changed)] = list(changed.values())
        limits.loc[row, ["limit_up_cny", "limit_down_cny"]] = [20.40, 18.0]
    assert reasons(bars, "bars.within_published_limits", price_limits=limits) == [
        "close 22.05 above the limit 20.40",
        "low 17.00 below the limit 18.00",
    ]


def test_a_repeated_row_says_what_repeats(bars: pd.DataFrame) -> None:
    own = bars.index[bars["symbol"] == bars.loc[0, "symbol"]]
    values = ["open_cny", "high_cny", "low_cny", "close_cny", "volume_shares", "amount_cny"]
    bars.loc[own[41], values] = bars.loc[own[40], values]
    (said,) = reasons(bars, "bars.not_repeated")
    assert said.startswith(f"close {bars.loc[own[40], 'close_cny']:,.2f}, volume ")
    assert said.endswith("are those of the symbol's row before")


def test_a_rule_whose_numbers_are_not_the_rows_gives_its_sentence_without_naming_rows() -> None:
    bars = random_bars(symbols=4, sessions=300, suspended_frac=0.0)
    symbol = bars["symbol"].iloc[0]
    own = bars.index[bars["symbol"] == symbol][290:]
    bars.loc[own, ["open_cny", "high_cny", "low_cny", "close_cny", "pre_close_cny"]] *= 0.4
    said = reasons(bars, "bars.jumps_are_explained")
    assert len(said) == len(own)
    assert set(said) == {"the price moves as on an ex-date, and the adjustment factor does not"}


def test_a_row_that_is_given_twice_says_so(bars: pd.DataFrame) -> None:
    twice = pd.concat([bars, bars.iloc[[200]].assign(amount_cny=bars["amount_cny"].iloc[200] + 1)], ignore_index=True)
    assert reasons(twice, "bars.schema") == ["its symbol and session are given twice"] * 2
