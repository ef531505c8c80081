"""Checks hold on good rows, name the first bad one, and block only what must not be computed from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from ljwx_pipeline.errors import DataQualityError
from ljwx_pipeline.market.calendar import sessions_between
from ljwx_pipeline.market.tables import TABLES, SourceDescription, empty_table
from ljwx_pipeline.quality.anomalies import ANOMALIES
from ljwx_pipeline.quality.checks import CHECKS
from ljwx_pipeline.quality.results import CheckResult, require_passed
from ljwx_pipeline.quality.run import checked, run_checks
from tests.fakes.bars import random_bars

Tables = dict[str, pd.DataFrame]


def description(adjustment: str = "raw") -> SourceDescription:
    return SourceDescription("test", False, adjustment, ())


@pytest.fixture
def tables() -> Tables:
    bars = random_bars(symbols=12, sessions=150, suspended_frac=0.0)
    days = pd.DatetimeIndex(sorted(bars["session_date"].unique()))
    symbols = sorted(bars["symbol"].unique())
    index = pd.DataFrame({"index_code": "000905.SH", "session_date": days})
    for name in ("open_points", "high_points", "low_points", "close_points"):
        index[name] = np.linspace(5000, 6000, len(days))
    index = index.assign(volume_shares=np.nan, amount_cny=np.nan)
    never = pd.Series([pd.NaT] * len(symbols), dtype="datetime64[ns]")
    securities = pd.DataFrame(
        {"symbol": symbols, "name": symbols, "board": 0, "list_date": days[0], "delist_date": never}
    )
    spells = pd.DataFrame({"symbol": [symbols[0]] * 2, "start_date": days[[5, 20]], "end_date": [days[10], pd.NaT]})
    return {"bars": bars, "index_bars": index, "securities": securities, "st_spells": spells}


def outcomes(
    tables: Tables, adjustment: str = "raw", sessions: pd.DatetimeIndex | None = None
) -> dict[str, CheckResult]:
    days = pd.DatetimeIndex(sorted(tables["index_bars"]["session_date"].unique())) if sessions is None else sessions
    return {result.name: result for result in run_checks(tables, description(adjustment), days)}


def test_good_tables_pass_everything_and_come_back_in_canonical_order(tables: Tables) -> None:
    results = outcomes(tables)
    assert [result.name for result in results.values() if not result.passed] == []
    assert results["bars.average_price_in_range"].measured["inside_frac"] == 1.0
    shuffled = tables["bars"].sample(frac=1, random_state=0)
    pd.testing.assert_frame_equal(checked("bars", shuffled, list(results.values())), tables["bars"])


def test_members_that_a_narrowed_source_lists_no_security_of_are_not_judged(tables: Tables) -> None:
    days, held = pd.DatetimeIndex(tables["index_bars"]["session_date"].unique()), list(tables["securities"]["symbol"])
    symbols, never = [*held[:3], "688999.SH"], pd.Series([pd.NaT] * 4, dtype="datetime64[ns]")
    members = pd.DataFrame({"index_code": "000905.SH", "symbol": symbols, "start_date": days[0], "end_date": never})

    def listed(members: pd.DataFrame, *symbols: str) -> CheckResult:
        said = replace(description(), symbols=symbols)
        results = run_checks({**tables, "index_members": members}, said, days)
        return next(result for result in results if result.name == "index_members.are_listed")

    assert not listed(members).passed, "of a whole market every member is a security"
    assert listed(members, *held).passed
    early = members.assign(
        start_date=members["start_date"].where(members["symbol"] != held[1], days[0] - pd.Timedelta(days=30))
    )
    assert not listed(early, *held).passed, "those it was narrowed to are judged"


def change(table: str, row: int, **values: object) -> Callable[[Tables], None]:
    def apply(tables: Tables) -> None:
        for column, value in values.items():
            tables[table].loc[row, column] = value

    return apply


def rescale_amount(tables: Tables) -> None:
    tables["bars"]["amount_cny"] /= 100


def adjust_prices(tables: Tables) -> None:
    for column in ("open_cny", "high_cny", "low_cny", "close_cny", "pre_close_cny"):
        tables["bars"][column] *= 0.8


def drop_a_session(tables: Tables) -> None:
    bars = tables["bars"]
    tables["bars"] = bars[bars["session_date"] != bars["session_date"].iloc[500]].reset_index(drop=True)


def thin_a_session(tables: Tables) -> None:
    bars = tables["bars"]
    day = bars["session_date"].iloc[500]
    tables["bars"] = pd.concat([bars[bars["session_date"] != day], bars[bars["session_date"] == day].head(2)])


def delist_early(tables: Tables) -> None:
    tables["securities"].loc[3, "delist_date"] = tables["index_bars"]["session_date"].iloc[50]


def overlap(tables: Tables) -> None:
    tables["st_spells"].loc[0, "end_date"] = tables["st_spells"]["start_date"].iloc[1]


def jump(tables: Tables) -> None:
    tables["index_bars"].loc[100:, ["open_points", "high_points", "low_points", "close_points"]] /= 600


@pytest.mark.parametrize(
    ("spoil", "name", "severity"),
    [
        (rescale_amount, "bars.average_price_in_range", "error"),
        (adjust_prices, "bars.average_price_in_range", "error"),
        (drop_a_session, "bars.every_session_present", "error"),
        (thin_a_session, "bars.sessions_covered", "warn"),
        (delist_early, "bars.of_listed_securities", "error"),
        (change("securities", 3, symbol="S09999.SIM"), "bars.of_listed_securities", "error"),
        (change("bars", 500, session_date=pd.Timestamp("2018-06-30")), "bars.on_known_sessions", "quarantine"),
        (change("bars", 500, pre_close_cny=1.0), "bars.reference_price_follows", "warn"),
        (change("bars", 500, adj_factor=0.5), "bars.factor_never_falls", "warn"),
        (overlap, "st_spells.do_not_overlap", "error"),
        (jump, "index_bars.moves_plausible", "error"),
        (change("bars", 500, close_cny=-1.0), "bars.schema", "quarantine"),
        (change("bars", 500, volume_shares=-1.0), "bars.schema", "quarantine"),
        (change("bars", 500, close_cny=np.nan), "bars.schema", "quarantine"),
    ],
)
def test_dirt_fails_its_check_with_the_right_severity(
    spoil: Callable[[Tables], None], name: str, severity: str, tables: Tables
) -> None:
    before = outcomes(tables)
    days = pd.DatetimeIndex(tables["index_bars"]["session_date"])
    spoil(tables)
    result = outcomes(tables, sessions=days)[name]
    assert before[name].passed
    assert (result.passed, result.severity) == (False, severity)
    assert result.blocks == (severity == "error")


def test_a_close_beyond_the_limit_is_a_warning_except_in_the_first_sessions_of_a_listing(tables: Tables) -> None:
    bars = tables["bars"]
    young = bars.index[bars["session_date"] == bars["session_date"].iloc[0]][0]
    old = bars.index[bars["session_date"] == bars["session_date"].iloc[-1]][0]
    for row, count in ((young, 0), (old, 1)):
        spoiled = bars.copy()
        spoiled.loc[row, ["close_cny", "high_cny"]] = spoiled.loc[row, "pre_close_cny"] * 1.44
        result = outcomes({**tables, "bars": spoiled})["bars.moves_within_limits"]
        assert (result.severity, result.measured["bad"]) == ("warn", count)


def test_who_was_listed_at_an_unknown_date_is_old_and_known(tables: Tables) -> None:
    tables["securities"]["list_date"] = pd.Series(pd.NaT, index=tables["securities"].index, dtype="datetime64[ns]")
    assert [result.name for result in outcomes(tables).values() if not result.passed] == []
    bars = tables["bars"]
    bars.loc[0, ["close_cny", "high_cny"]] = bars.loc[0, "pre_close_cny"] * 1.44
    assert outcomes(tables)["bars.moves_within_limits"].measured["bad"] == 1


def test_the_unit_check_is_not_applicable_under_a_declared_adjustment(tables: Tables) -> None:
    adjust_prices(tables)
    for adjustment in ("forward", "backward"):
        result = outcomes(tables, adjustment)["bars.average_price_in_range"]
        assert (result.passed, result.severity) == (True, "not_applicable")
        assert adjustment in result.message


def test_suspended_sessions_are_absent_without_complaint(tables: Tables) -> None:
    bars = tables["bars"]
    days = sorted(bars["session_date"].unique())
    halted = (bars["symbol"] == bars["symbol"].iloc[1]) & bars["session_date"].isin(days[30:90])
    results = outcomes({**tables, "bars": bars[~halted].reset_index(drop=True)})
    assert not [result.name for result in results.values() if result.blocks]
    assert results["bars.sessions_covered"].passed
    assert results["bars.every_session_present"].passed


def test_a_missing_index_session_is_a_warning_with_its_date(tables: Tables) -> None:
    days = pd.DatetimeIndex(tables["index_bars"]["session_date"])
    tables["index_bars"] = tables["index_bars"].drop(index=70).reset_index(drop=True)
    result = outcomes(tables, sessions=days)["index_bars.sessions_complete"]
    assert (result.passed, result.severity, result.measured["bad"]) == (False, "warn", 1)
    assert f"{days[70]:%Y-%m-%d}" in result.message


def test_what_is_missing_or_empty_is_not_applicable_and_never_passed_off_as_checked(tables: Tables) -> None:
    results = outcomes({**tables, "st_spells": empty_table("st_spells")})
    for name in ("st_spells.do_not_overlap", "industries.do_not_overlap"):
        assert results[name].severity == "not_applicable"
        assert "empty or not given" in results[name].message


def test_a_table_that_breaks_its_schema_is_not_looked_at_further(tables: Tables) -> None:
    results = outcomes(
        {**tables, "bars": tables["bars"].drop(columns="close_cny")},
        sessions=sessions_between(
            tables["bars"]["session_date"].min().date(), tables["bars"]["session_date"].max().date()
        ),
    )
    assert results["bars.schema"].blocks
    assert results["bars.on_known_sessions"].severity == "not_applicable"
    assert "breaks its schema" in results["bars.on_known_sessions"].message


def test_blocking_results_stop_the_line_by_name_and_warnings_do_not(tables: Tables) -> None:
    warn = CheckResult("bars.a", False, "warn", {}, "odd")
    error = CheckResult("bars.b", False, "error", {}, "broken at 600519.SH")
    require_passed([warn])
    with pytest.raises(DataQualityError, match=r"bars\.b: broken at 600519\.SH"):
        require_passed([warn, error])
    with pytest.raises(DataQualityError, match=r"bars\.b"):
        checked("bars", tables["bars"], [error])
    with pytest.raises(DataQualityError, match="never checked"):
        checked("bars", tables["bars"], [warn])


def test_rows_in_quarantine_are_left_out_of_what_is_handed_on_and_named_with_a_remedy(tables: Tables) -> None:
    clean = tables["bars"].copy()
    change("bars", 500, close_cny=-1.0)(tables)
    change("bars", 700, volume_shares=np.inf)(tables)
    results = outcomes(tables)
    assert results["bars.schema"].rows.tolist() == [500, 700]
    assert results["bars.schema"].repair
    kept = checked("bars", tables["bars"], list(results.values()))
    pd.testing.assert_frame_equal(kept, clean.drop(index=[500, 700]).reset_index(drop=True))
    with pytest.raises(DataQualityError, match="split the very frame"):
        checked("bars", kept, list(results.values()))


def test_the_same_mistake_quarantines_single_rows_and_blocks_a_whole_table(tables: Tables) -> None:
    few, many = tables["bars"].copy(), tables["bars"].copy()
    few.loc[[3, 30], "volume_shares"] /= 100
    many.loc[many.index % 10 == 0, "volume_shares"] /= 100
    for bars, severity, bad in ((few, "quarantine", 2), (many, "error", int((many.index % 10 == 0).sum()))):
        result = outcomes({**tables, "bars": bars})["bars.average_price_in_range"]
        assert (result.severity, result.measured["bad"], len(result.rows)) == (severity, bad, bad)
        assert result.measured["average_over_close"] == pytest.approx(100, rel=0.1)


def test_a_session_of_which_too_much_is_in_quarantine_blocks(tables: Tables) -> None:
    bars = tables["bars"]
    day = bars["session_date"].iloc[600]
    bars.loc[bars.index[bars["session_date"] == day][:6], "close_cny"] = np.nan
    results = outcomes(tables)
    assert results["bars.schema"].quarantines
    with pytest.raises(DataQualityError, match=f"50% of the rows of {day:%Y-%m-%d} are in quarantine"):
        checked("bars", bars, list(results.values()))


def test_future_rows_are_judged_where_the_day_they_were_known_is_given(tables: Tables) -> None:
    bars = tables["bars"]
    days = pd.DatetimeIndex(sorted(bars["session_date"].unique()))
    given = run_checks({"bars": bars}, description(), days)
    assert next(r for r in given if r.name == "bars.not_future").severity == "not_applicable"
    early = run_checks({"bars": bars}, description(), days, as_of=days[-2].date())
    result = next(r for r in early if r.name == "bars.not_future")
    assert (result.passed, result.severity, result.measured["bad"]) == (False, "quarantine", 12)


def test_every_check_has_a_name_of_its_own_a_remedy_and_a_table_it_belongs_to() -> None:
    checks = (*CHECKS, *ANOMALIES)
    assert len({check.name for check in checks}) == len(checks)
    for check in checks:
        assert check.name.split(".")[0] in TABLES
        assert check.repair
        assert check.needs
