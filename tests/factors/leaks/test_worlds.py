"""Other worlds agree with the given one in all that was known at the cut, and differ beyond it."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from ljwx_pipeline.expressions.fields import FIELDS as LANGUAGE
from ljwx_pipeline.factors.leaks.market import BAR_FIELDS, TABLES, market_of, telling_cuts
from ljwx_pipeline.factors.leaks.synthetic import CUTS, INDEX, synthetic_market
from ljwx_pipeline.factors.leaks.worlds import AFTER_CUT, Aspect, known_at, other_world
from ljwx_pipeline.market.adjustment import FACTOR_FIELDS
from ljwx_pipeline.market.panel_fields import AS_TRADED

CUT = CUTS[1]


@pytest.mark.parametrize("aspect", AFTER_CUT)
def test_a_world_differs_after_the_cut_alone(aspect: Aspect) -> None:
    market = synthetic_market()
    other = other_world(market, CUT, (aspect,))
    known, of_other = known_at(market, CUT), known_at(other, CUT)
    assert known.panel.symbols == of_other.panel.symbols
    for name, values in known.panel.fields.items():
        np.testing.assert_array_equal(values, of_other.panel.fields[name])
    for name in TABLES:
        table = known.tables[name]
        keys = list(table.columns)
        seen = of_other.tables[name]
        seen = seen[seen["symbol"].isin(known.panel.symbols)]
        mine = table[table["symbol"].isin(known.panel.symbols)]
        pd.testing.assert_frame_equal(
            mine.sort_values(keys, ignore_index=True), seen.sort_values(keys, ignore_index=True)
        )
    same = market.panel.symbols == other.panel.symbols and all(
        np.array_equal(values, other.panel.fields[name], equal_nan=True) for name, values in market.panel.fields.items()
    )
    assert not (same and all(table.equals(other.tables[name]) for name, table in market.tables.items()))


def test_every_column_of_later_market_values_is_another() -> None:
    market = synthetic_market()
    other = other_world(market, CUT, (Aspect.MEMBERSHIP,))
    before, after = market.tables["market_values"], other.tables["market_values"]
    later = before["session_date"] >= market.panel.sessions[CUT]
    for name in ("market_value_cny", "float_market_value_cny"):
        assert (before[name] == after[name]).equals(~later), name


def test_the_given_market_is_never_written_to() -> None:
    market = synthetic_market()
    before = market.copies()
    other_world(market, CUT, tuple(Aspect))
    for name, values in before.panel.fields.items():
        np.testing.assert_array_equal(values, market.panel.fields[name])
    for name, table in before.tables.items():
        pd.testing.assert_frame_equal(table, market.tables[name])


def test_the_same_session_keeps_its_open() -> None:
    market = synthetic_market()
    other = other_world(market, CUT, (Aspect.SAME_SESSION,))
    before, after = market.panel.fields, other.panel.fields
    for name in ("open", "raw_open_cny", "pre_close_cny"):
        np.testing.assert_array_equal(before[name], after[name])
    changed = before["close"] != after["close"]
    assert changed[:, CUT - 1].any()
    assert not changed[~np.isnan(before["close"])].reshape(-1).all()
    known = ~np.isnan(after["raw_close_cny"])
    assert (after["raw_high_cny"][known] >= after["raw_open_cny"][known]).all()


def test_everything_a_leak_hides_behind_happens_around_every_cut() -> None:
    market = synthetic_market()
    fields, sessions = market.panel.fields, market.panel.sessions
    assert set(fields) == {*LANGUAGE, "adj_factor"}
    assert set(BAR_FIELDS) <= set(fields)
    for name in ("is_st", "is_suspended", "limit_up", "limit_down"):
        assert set(np.unique(fields[name][~np.isnan(fields[name])])) == {0, 1}, name
    assert set(market.tables) == set(TABLES)
    has_bar = ~np.isnan(fields["close"])
    for cut in CUTS:
        gap = ~has_bar[:, cut - 1] & has_bar[:, :cut].any(axis=1) & has_bar[:, cut:].any(axis=1)
        assert gap.sum() >= 3
        assert sessions[cut - 1].week == sessions[cut].week
        assert sessions[cut - 1].month == sessions[cut].month
        dates = market.tables["securities"][["list_date", "delist_date"]]
        assert (dates > sessions[cut]).any().all()
        assert (fields["adj_factor"][:, -1] > fields["adj_factor"][:, cut])[has_bar[:, -1] & has_bar[:, cut]].any()
        reports = market.tables["financial_indicators"]
        later = reports[reports["announced_date"] > sessions[cut]]
        early = reports[reports["announced_date"] <= sessions[cut]]
        restated = later.merge(early, on=["symbol", "report_period"])
        assert len(restated) >= 3
        assert (later["report_period"] < sessions[cut]).any()
        members = market.tables["index_members"]
        assert (members["start_date"] > sessions[cut]).any()
    assert np.nansum(fields["limit_up"]) > 20
    inside = (fields["low"] <= fields["close"]) & (fields["close"] <= fields["high"])
    assert inside[has_bar].all()


def test_canonical_tables_become_a_market_again() -> None:
    market = synthetic_market()
    panel = market.panel
    bars = market.bars().rename(columns=AS_TRADED)
    made = market_of(bars, market.tables, symbols=panel.symbols, sessions=panel.sessions, adjustment="raw", index=INDEX)
    for name in (*FACTOR_FIELDS, "raw_close_cny", "in_universe"):
        np.testing.assert_allclose(made.panel.fields[name], panel.fields[name], rtol=1e-12)
    assert made.panel.fields.keys() & {"limit_up", "index_close"} == set()
    forward = market_of(
        bars, {}, symbols=panel.symbols[:5], sessions=panel.sessions[:50], adjustment="forward", index=""
    )
    assert set(forward.panel.fields) == set(FACTOR_FIELDS)


def test_cuts_lie_inside_a_week_and_across_suspensions() -> None:
    panel = synthetic_market().panel
    for cut in telling_cuts(panel):
        assert panel.sessions[cut - 1].week == panel.sessions[cut].week
        assert np.isnan(panel.fields["close"][:, cut - 1]).any()
