"""Groups: one code for an industry whatever is looked at, terciles of who may be scored, nothing of later."""

from __future__ import annotations

from datetime import date

import numpy as np
import pandas as pd
import pytest

from ljwx_pipeline.config import UniverseSettings
from ljwx_pipeline.dataset.groups import GROUP_TABLES, Groups, group_codes, group_measure
from ljwx_pipeline.errors import DataQualityError, DatasetError
from ljwx_pipeline.market.calendar import session_closes, sessions_between
from ljwx_pipeline.market.panel import Panel
from ljwx_pipeline.market.tables import empty_table
from ljwx_pipeline.scoring.model import NO_GROUP

SESSIONS = sessions_between(date(2021, 1, 4), date(2021, 3, 31))
SYMBOLS = tuple(f"{600000 + number}.SH" for number in range(9))
SHAPE = (len(SYMBOLS), len(SESSIONS))
RULES = UniverseSettings(
    index="", min_listed_sessions=0, exclude_st=True, min_mean_amount_cny=0, mean_amount_window_sessions=5
)
EVERYBODY = np.ones(SHAPE, dtype=bool)
MEASURED = "float_market_value_cny"
#: Day 30 is the first of 600001.SH as a bank.
MOVED = SESSIONS[30]
INDUSTRIES = pd.DataFrame(
    [
        ("600000.SH", "bank", "2001-01-01", None),
        ("600001.SH", "steel", "2001-01-01", f"{SESSIONS[29]:%Y-%m-%d}"),
        ("600001.SH", "bank", f"{MOVED:%Y-%m-%d}", None),
        ("600002.SH", "steel", "2001-01-01", None),
    ],
    columns=["symbol", "industry", "start_date", "end_date"],
).astype({"start_date": "datetime64[ns]", "end_date": "datetime64[ns]"})


@pytest.fixture
def panel() -> Panel:
    amount = np.random.default_rng(0).uniform(1e6, 1e8, SHAPE)
    return Panel(SYMBOLS, SESSIONS, {"close": np.full(SHAPE, 10.0), "amount_cny": amount})


def market_values(float_values: np.ndarray) -> pd.DataFrame:
    """Return the table that tells ``float_values``, shape ``SHAPE``, known at each session's close."""
    rows, columns = np.nonzero(np.isfinite(float_values))
    table = {
        "symbol": np.array(SYMBOLS, dtype=object)[rows],
        "session_date": SESSIONS[columns],
        "market_value_cny": 2 * float_values[rows, columns],
        "float_market_value_cny": float_values[rows, columns],
        "known_at": session_closes(SESSIONS)[columns],
    }
    return pd.DataFrame(table)


def industries(panel: Panel, scorable: np.ndarray = EVERYBODY, table: pd.DataFrame = INDUSTRIES) -> Groups:
    groups = group_codes("industry", panel, scorable, {"industries": table}, RULES)
    assert groups is not None
    return groups


def sizes(panel: Panel, scorable: np.ndarray = EVERYBODY, values: np.ndarray | None = None) -> Groups:
    table = empty_table("market_values") if values is None else market_values(values)
    groups = group_codes("size", panel, scorable, {"market_values": table}, RULES)
    assert groups is not None
    return groups


def test_none_has_no_groups_and_reads_no_table(panel: Panel) -> None:
    assert group_codes("none", panel, EVERYBODY, {}, RULES) is None
    assert GROUP_TABLES["none"] == ()


def test_an_industry_is_that_of_the_session_and_unknown_ones_have_no_group(panel: Panel) -> None:
    found = industries(panel)
    names = dict(found.names)
    assert sorted(names.values()) == ["bank", "steel"]
    assert [names[code] for code in found.codes[1, [0, 29, 30, -1]]] == ["steel", "steel", "bank", "bank"]
    assert (found.codes[3:] == NO_GROUP).all()
    assert found.codes.dtype == np.int32


def test_an_industry_has_one_code_whichever_sessions_and_stocks_are_looked_at(panel: Panel) -> None:
    whole = industries(panel)
    live = panel.sessions_slice(40, len(SESSIONS))
    some = Panel(SYMBOLS[:2], live.sessions, {name: values[:2] for name, values in live.fields.items()})
    cut = industries(some, np.ones((2, len(live.sessions)), dtype=bool))
    assert [name for _, name in cut.names] == ["bank"]
    np.testing.assert_array_equal(cut.codes, whole.codes[:2, 40:])


def test_who_may_not_be_scored_has_no_group(panel: Panel) -> None:
    scorable = EVERYBODY.copy()
    scorable[0, 10] = False
    assert industries(panel, scorable).codes[0, 10] == NO_GROUP
    assert sizes(panel, scorable).codes[0, 10] == NO_GROUP


def test_a_source_without_industries_is_refused_with_the_remedy(panel: Panel) -> None:
    with pytest.raises(DatasetError, match='group_by = "industry" and the source tells no industry'):
        industries(panel, table=INDUSTRIES.iloc[:0])


def test_two_industries_at_once_are_refused(panel: Panel) -> None:
    again = INDUSTRIES.iloc[[0]].assign(industry="steel")
    with pytest.raises(DataQualityError, match=r"600000.SH has two values of industry"):
        industries(panel, table=pd.concat([INDUSTRIES, again], ignore_index=True))


def test_sizes_are_terciles_of_the_sessions_market_values(panel: Panel) -> None:
    values = np.random.default_rng(1).uniform(1e9, 1e11, SHAPE)
    found = sizes(panel, values=values)
    assert found.names == ((0, "small by market value"), (1, "middle by market value"), (2, "large by market value"))
    for session in (0, 17, SHAPE[1] - 1):
        order = np.argsort(values[:, session])
        assert found.codes[order, session].tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]


def test_terciles_are_of_those_that_may_be_scored_and_whose_value_is_known(panel: Panel) -> None:
    values = np.tile(np.arange(1.0, 10.0)[:, None] * 1e9, SHAPE[1])
    values[8] = np.nan
    scorable = EVERYBODY.copy()
    scorable[:2] = False
    assert sizes(panel, scorable, values).codes[:, 5].tolist() == [-1, -1, 0, 0, 1, 1, 2, 2, -1]


def test_equal_sizes_share_a_group(panel: Panel) -> None:
    values = np.tile(np.array([1.0, 5, 5, 5, 5, 5, 5, 5, 9])[:, None] * 1e9, SHAPE[1])
    assert sizes(panel, values=values).codes[:, 3].tolist() == [0, 1, 1, 1, 1, 1, 1, 1, 2]


def test_without_market_values_sizes_are_by_mean_amount_and_the_names_say_so(panel: Panel) -> None:
    found = sizes(panel)
    assert [name for _, name in found.names] == [
        "small by mean amount",
        "middle by mean amount",
        "large by mean amount",
    ]
    amount = panel.fields["amount_cny"]
    order = np.argsort(amount[:, 16:21].mean(axis=1))
    assert found.codes[order, 20].tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]


def test_what_groups_are_made_by_is_told_by_the_tables_and_kept_with_the_codes(panel: Panel) -> None:
    values = market_values(np.full(SHAPE, 1e9))
    assert group_measure("none", {}) == ""
    assert group_measure("industry", {"industries": INDUSTRIES}) == industries(panel).measure == "industry"
    assert group_measure("size", {"market_values": values}) == sizes(panel, values=np.full(SHAPE, 1e9)).measure
    assert group_measure("size", {"market_values": values}) == "market value"
    for untold in ({}, {"market_values": values.iloc[:0]}, {"market_values": values.drop(columns=MEASURED)}):
        assert group_measure("size", untold) == "mean amount"
    assert sizes(panel).measure == "mean amount"


def test_the_newest_session_of_a_live_panel_has_the_groups_of_research(panel: Panel) -> None:
    values = np.random.default_rng(1).uniform(1e9, 1e11, SHAPE)
    live = panel.sessions_slice(SHAPE[1] - RULES.mean_amount_window_sessions, SHAPE[1])
    everybody = np.ones((SHAPE[0], len(live.sessions)), dtype=bool)
    for whole, cut in (
        (sizes(panel), sizes(live, everybody)),
        (sizes(panel, values=values), sizes(live, everybody, values)),
        (industries(panel), industries(live, everybody)),
    ):
        np.testing.assert_array_equal(cut.codes[:, -1], whole.codes[:, -1])


def test_what_comes_later_changes_no_group(panel: Panel) -> None:
    values = np.random.default_rng(1).uniform(1e9, 1e11, SHAPE)
    later = values.copy()
    later[:, 30:] = values[::-1, 30:]
    np.testing.assert_array_equal(sizes(panel, values=values).codes[:, :30], sizes(panel, values=later).codes[:, :30])
    amount = panel.fields["amount_cny"].copy()
    amount[:, 30:] = amount[::-1, 30:]
    other = panel.with_fields({"amount_cny": amount})
    np.testing.assert_array_equal(sizes(panel).codes[:, :30], sizes(other).codes[:, :30])
