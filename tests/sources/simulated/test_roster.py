"""The roster scales with the configuration and keeps its promises for any seed."""

from __future__ import annotations

import pytest

from ljwx_pipeline.config import SimulatedSettings
from ljwx_pipeline.market.calendar import sessions_between
from ljwx_pipeline.market.symbols import check_symbol
from ljwx_pipeline.sources.simulated.roster import draw_roster
from tests.sources.simulated.measures import WHOLE


@pytest.mark.parametrize("symbols", [20, 120, 400])
def test_as_many_stocks_as_configured_are_listed_throughout(symbols: int) -> None:
    sessions = sessions_between(*WHOLE)
    roster = draw_roster(SimulatedSettings(seed=1, symbols=symbols, oracle_rank_ic=0.1), sessions)
    assert int(((roster.listed_from == 0) & ~roster.fragile).sum()) == symbols
    assert len(roster.symbols) > symbols
    assert all(check_symbol(symbol) for symbol in roster.symbols)
    assert (roster.list_dates[roster.listed_from == 0] < sessions[0]).all()


def test_some_stocks_change_industry_once_and_to_another_one() -> None:
    sessions = sessions_between(*WHOLE)
    roster = draw_roster(SimulatedSettings(seed=1, symbols=120, oracle_rank_ic=0.1), sessions)
    moves = roster.industry_changes_at < len(sessions)
    assert 3 <= moves.sum() <= 30
    assert (roster.industry[moves] != roster.second_industry[moves]).all()
    assert (roster.industry_changes_at[moves] > roster.listed_from[moves]).all()
