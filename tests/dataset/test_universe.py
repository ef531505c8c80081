"""Universe rules: who may be scored, by what was known at that close."""

from __future__ import annotations

from datetime import date

import numpy as np
import pandas as pd
import pytest

from ljwx_pipeline.config import UniverseSettings
from ljwx_pipeline.dataset import scorable_mask
from ljwx_pipeline.dataset.universe import scorable_reads
from ljwx_pipeline.errors import DataQualityError, FactorError
from ljwx_pipeline.market.calendar import sessions_between
from ljwx_pipeline.market.panel import Panel
from ljwx_pipeline.market.tables import empty_table

SESSIONS = sessions_between(date(2021, 1, 4), date(2021, 6, 30))
SYMBOLS = ("600000.SH", "600001.SH")
RULES = UniverseSettings(
    index="", min_listed_sessions=20, exclude_st=True, min_mean_amount_cny=1e6, mean_amount_window_sessions=5
)
OLD = pd.Timestamp("2001-05-10")


@pytest.fixture
def panel() -> Panel:
    shape = (2, len(SESSIONS))
    return Panel(SYMBOLS, SESSIONS, {"close": np.full(shape, 10.0), "amount_cny": np.full(shape, 2e6)})


def securities(*list_dates: pd.Timestamp) -> pd.DataFrame:
    frame = {"symbol": SYMBOLS, "name": SYMBOLS, "board": 0, "list_date": list_dates, "delist_date": pd.NaT}
    return pd.DataFrame(frame)


def mask(
    panel: Panel,
    *list_dates: pd.Timestamp,
    spells: pd.DataFrame | None = None,
    members: pd.DataFrame | None = None,
    rules: UniverseSettings = RULES,
):
    return scorable_mask(
        panel,
        securities(*list_dates),
        empty_table("st_spells") if spells is None else spells,
        empty_table("index_members") if members is None else members,
        rules,
    )


def test_old_liquid_stocks_are_scored_on_every_bar_and_only_there(panel: Panel) -> None:
    panel.fields["close"][0, 30] = np.nan
    panel.fields["amount_cny"][0, 30] = np.nan
    got = mask(panel, OLD, OLD)
    assert not got[0, 30]
    assert got.sum() == got.size - 1


def test_a_new_stock_waits_for_its_sessions_since_listing(panel: Panel) -> None:
    panel.fields["close"][1, :10] = np.nan
    panel.fields["amount_cny"][1, :10] = np.nan
    got = mask(panel, OLD, SESSIONS[10])
    assert np.flatnonzero(got[1])[0] == 30
    assert got[1, 30:].all()


def test_sessions_listed_before_the_panel_count(panel: Panel) -> None:
    before = sessions_between(date(2020, 12, 1), SESSIONS[0].date())
    got = mask(panel, OLD, before[-16])  # fifteen sessions before the panel's first
    assert np.flatnonzero(got[1])[0] == 5


def test_an_unknown_listing_date_is_long_ago_even_where_the_first_sessions_were_missed(panel: Panel) -> None:
    panel.fields["close"][1, :10] = np.nan
    got = mask(panel, pd.NaT, pd.NaT)
    assert got[0].all()
    assert got[1, 10:].all()


def test_a_stock_without_any_bar_is_never_scored(panel: Panel) -> None:
    panel.fields["close"][1] = np.nan
    assert not mask(panel, OLD, pd.NaT)[1].any()


def test_special_treatment_excludes_from_first_to_last_session_inclusive(panel: Panel) -> None:
    spells = pd.DataFrame(
        {"symbol": ["600000.SH"], "start_date": [SESSIONS[40]], "end_date": [SESSIONS[50]]},
    )
    got = mask(panel, OLD, OLD, spells=spells)
    assert np.flatnonzero(~got[0]).tolist() == list(range(40, 51))
    assert got[1].all()
    lenient = RULES.model_copy(update={"exclude_st": False})
    assert mask(panel, OLD, OLD, spells=spells, rules=lenient).all()


def test_only_members_of_the_named_index_are_scored_and_only_while_they_are(panel: Panel) -> None:
    members = pd.DataFrame(
        {
            "index_code": ["000300.SH", "000905.SH"],
            "symbol": list(SYMBOLS),
            "start_date": [SESSIONS[10], SESSIONS[0]],
            "end_date": [SESSIONS[19], pd.NaT],
        }
    )
    narrow = RULES.model_copy(update={"index": "000300.SH"})
    got = mask(panel, OLD, OLD, members=members, rules=narrow)
    assert np.flatnonzero(got[0]).tolist() == list(range(10, 20))
    assert not got[1].any()


def test_an_index_whose_members_nobody_tells_is_refused(panel: Panel) -> None:
    with pytest.raises(DataQualityError, match=r"tells no member of index 000852\.SH"):
        mask(panel, OLD, OLD, rules=RULES.model_copy(update={"index": "000852.SH"}))


def test_thin_trading_excludes_by_the_mean_of_the_sessions_traded(panel: Panel) -> None:
    amount = panel.fields["amount_cny"]
    amount[0, 40:45] = [0.5e6, 0.5e6, 0.5e6, np.nan, 0.5e6]
    got = mask(panel, OLD, OLD)
    # three thin sessions of five leave 1.1 million, four of four leave half a million
    assert got[0, 41]
    assert not got[0, 44]
    assert got[0, 48:].all()


def test_the_answer_does_not_depend_on_the_sessions_that_follow(panel: Panel) -> None:
    panel.fields["amount_cny"][:] = np.random.default_rng(0).uniform(0, 2e6, panel.fields["amount_cny"].shape)
    whole = mask(panel, OLD, SESSIONS[3])
    cut = mask(panel.sessions_slice(0, 60), OLD, SESSIONS[3])
    np.testing.assert_array_equal(whole[:, :60], cut)


@pytest.mark.parametrize("index", ["", "000300.SH"])
@pytest.mark.parametrize("exclude_st", [True, False])
def test_it_reads_the_columns_it_says_and_each_of_them(panel: Panel, index: str, *, exclude_st: bool) -> None:
    rules = RULES.model_copy(update={"index": index, "exclude_st": exclude_st})
    span = {"start_date": SESSIONS[3], "end_date": SESSIONS[60]}
    tables = {
        "securities": securities(OLD, SESSIONS[10]),
        "st_spells": pd.DataFrame({"symbol": SYMBOLS[:1], **span}),
        "index_members": pd.DataFrame({"index_code": "000300.SH", "symbol": SYMBOLS, **span}),
    }
    reads = {table: ["symbol", *columns] for table, columns in scorable_reads(rules).items()}
    named = {"close_cny": "close", "amount_cny": "amount_cny"}
    fields = [named[column] for column in reads.pop("bars")[1:]]

    def scorable(kept: dict[str, list[str]], names: list[str]):
        seen = Panel(panel.symbols, panel.sessions, {name: panel.fields[name] for name in names})
        given = [tables[name][kept.get(name, [])] for name in ("securities", "st_spells", "index_members")]
        return scorable_mask(seen, given[0], given[1], given[2], rules)

    whole = scorable_mask(panel, tables["securities"], tables["st_spells"], tables["index_members"], rules)
    np.testing.assert_array_equal(scorable(reads, fields), whole)
    for table, columns in reads.items():
        for column in columns:
            with pytest.raises(KeyError):
                scorable(reads | {table: [name for name in columns if name != column]}, fields)
    for field in fields:
        with pytest.raises((KeyError, FactorError)):
            scorable(reads, [name for name in fields if name != field])
