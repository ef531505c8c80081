"""Tables beside the bars judged by month say what judging them whole says."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path

import pandas as pd
import pytest

from ljwx_pipeline.config import SimulatedSettings
from ljwx_pipeline.ingest.judged_tables import BY_MONTH, TABLE_CHECKS, judge_tables
from ljwx_pipeline.ingest.tables import CALENDAR, SECURITIES
from ljwx_pipeline.lake import Lake, split_by_month
from ljwx_pipeline.market.tables import RANGE_TABLES, TABLES
from ljwx_pipeline.quality.run import run_checks
from ljwx_pipeline.sources.simulated.source import SimulatedMarket
from tests.fakes.increments import DATED_TABLES

FIRST, LAST = date(2024, 1, 2), date(2024, 3, 29)
NOW = datetime(2024, 4, 1, tzinfo=UTC)
Tables = dict[str, pd.DataFrame]


@pytest.fixture(scope="module")
def market() -> SimulatedMarket:
    return SimulatedMarket(SimulatedSettings(seed=5, symbols=20, oracle_rank_ic=0.1))


@pytest.fixture
def tables(market: SimulatedMarket) -> Tables:
    found = {SECURITIES: market.securities()}
    found |= {name: getattr(market, name)(FIRST, LAST) for name in ("bars", *RANGE_TABLES, *DATED_TABLES)}
    return {name: found[name] for name in TABLES}


def stored(tables: Tables, folder: Path, sessions: pd.DatetimeIndex) -> Lake:
    lake = Lake(folder)
    lake.write(CALENDAR, pd.DataFrame({"session_date": sessions}), known_at=NOW)
    for name, frame in tables.items():
        if name in ("bars", *BY_MONTH):
            parts = split_by_month(frame)
            lake.write_partitions("raw_bars" if name == "bars" else name, parts, known_at=NOW)
        elif len(frame):
            lake.write(name, frame, known_at=NOW)
    return lake


def outcome(tables: Tables, market: SimulatedMarket, folder: Path) -> tuple[dict[str, object], dict[str, object]]:
    """Return name to verdict, severity and counts, by month and as a whole."""
    sessions = market.sessions(FIRST, LAST)
    by_month = judge_tables(stored(tables, folder, sessions), market.describe(), sessions)
    beside = {name: frame for name, frame in tables.items() if name != "bars"}
    whole = run_checks(beside, market.describe(), sessions, beside={"bars": tables["bars"]}, checks=TABLE_CHECKS)
    assert len({result.name for result in by_month}) == len(by_month)
    return tuple(
        {
            found.name: (found.passed, found.severity, found.measured.get("bad", found.measured.get("failures")))
            for found in results
        }
        for results in (by_month, whole)
    )  # type: ignore[return-value]


def test_clean_tables_are_judged_alike(tables: Tables, market: SimulatedMarket, tmp_path: Path) -> None:
    by_month, whole = outcome(tables, market, tmp_path)
    assert by_month == whole


def test_dirt_in_any_month_is_found_as_in_the_whole(tables: Tables, market: SimulatedMarket, tmp_path: Path) -> None:
    bars = tables["bars"]
    suspended = pd.concat([tables["suspensions"], bars[["symbol", "session_date"]].iloc[[10, -10]]])
    tables["suspensions"] = suspended.sort_values(["session_date", "symbol"], ignore_index=True)
    tables["market_values"].loc[[3, 700], "market_value_cny"] = -1.0
    tables["index_bars"] = tables["index_bars"].assign(close_points=tables["index_bars"]["close_points"])
    tables["securities"].loc[0, "list_date"] = pd.NaT
    by_month, whole = outcome(tables, market, tmp_path)
    assert by_month == whole
    assert by_month["suspensions.did_not_trade"] == (False, "warn", 2)
    assert by_month["market_values.schema"] == (False, "error", 2)


def test_an_index_that_is_a_stock_is_found_among_the_bars_that_are_near_it(
    tables: Tables, market: SimulatedMarket, tmp_path: Path
) -> None:
    bars = tables["bars"]
    dear = bars.groupby("symbol")["close_cny"].max().idxmax()
    one = bars[bars["symbol"] == dear]
    index = pd.DataFrame(
        {
            "index_code": "000300.SH",
            "session_date": one["session_date"],
            **{f"{name}_points": one[f"{name}_cny"] for name in ("open", "high", "low", "close")},
            "volume_shares": 1.0,
            "amount_cny": 1.0,
        }
    ).reset_index(drop=True)
    tables["index_bars"] = index
    by_month, whole = outcome(tables, market, tmp_path)
    assert by_month == whole
    assert by_month["index_bars.equals_no_stock"] == (False, "error", len(index))


def test_a_listed_security_without_a_bar_is_named(tables: Tables, market: SimulatedMarket, tmp_path: Path) -> None:
    silent = tables["bars"]["symbol"].iloc[0]
    tables["bars"] = tables["bars"][tables["bars"]["symbol"] != silent].reset_index(drop=True)
    tables["suspensions"] = tables["suspensions"][tables["suspensions"]["symbol"] != silent].reset_index(drop=True)
    by_month, whole = outcome(tables, market, tmp_path)
    assert by_month == whole
    assert by_month["securities.listed_ones_trade"] == (False, "warn", 1)


def test_tables_never_spoken_of_are_not_applicable(tables: Tables, market: SimulatedMarket, tmp_path: Path) -> None:
    for name in ("suspensions", "price_limits", "index_bars", "news"):
        tables[name] = tables[name].iloc[:0]
    by_month, whole = outcome(tables, market, tmp_path)
    assert by_month == whole
    assert by_month["suspensions.did_not_trade"] == (True, "not_applicable", None)
