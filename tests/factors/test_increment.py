"""The newest session computed alone: every bit of what the whole history gives, from the last window of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ljwx_pipeline.errors import FactorError
from ljwx_pipeline.expressions.evaluate import FactorValues, evaluate
from ljwx_pipeline.expressions.nodes import Apply, Expr
from ljwx_pipeline.expressions.operators import (
    beta,
    corr,
    cs_rank,
    ema,
    field,
    idx_max,
    mean,
    quantile,
    rank,
    ref,
    resi,
    std,
    streak,
)
from ljwx_pipeline.factors import increment
from ljwx_pipeline.factors.alpha158 import alpha158
from ljwx_pipeline.factors.increment import newest_session
from ljwx_pipeline.market.panel import Panel
from tests.fakes.panels import random_panel

FACTORS = alpha158()


@pytest.fixture(scope="module")
def history() -> Panel:
    return random_panel(symbols=90, sessions=130, suspended=0.1)


@pytest.fixture(scope="module")
def whole(history: Panel) -> FactorValues:
    return evaluate(FACTORS.expressions, history)


def same_bits(left: FactorValues, values: np.ndarray) -> bool:
    mine = left.values[:, :, 0]
    return bool(np.array_equal(mine.view(np.uint32) * ~np.isnan(mine), values.view(np.uint32) * ~np.isnan(values)))


@given(session=st.integers(0, 129), symbols=st.integers(1, 90), threads=st.sampled_from([1, 2]))
@settings(max_examples=25, deadline=None)
def test_any_session_has_the_bits_of_the_whole_history(
    history: Panel, whole: FactorValues, session: int, symbols: int, threads: int
) -> None:
    first = max(0, session + 1 - FACTORS.window)
    held = history.sessions_slice(first, session + 1)
    held = Panel(held.symbols[:symbols], held.sessions, {name: rows[:symbols] for name, rows in held.fields.items()})
    newest = newest_session(FACTORS.expressions, held, threads)
    assert newest.values.shape == (158, symbols, 1)
    assert newest.symbols == held.symbols
    assert list(newest.sessions) == [history.sessions[session]]
    assert same_bits(newest, np.ascontiguousarray(whole.values[:, :symbols, session]))


def test_sessions_before_the_window_are_not_read(history: Panel, whole: FactorValues) -> None:
    fields = {name: values.copy() for name, values in history.fields.items()}
    for values in fields.values():
        values[:, : -FACTORS.window] = 7.0
    newest = newest_session(FACTORS.expressions, Panel(history.symbols, history.sessions, fields))
    assert same_bits(newest, np.ascontiguousarray(whole.values[:, :, -1]))


@given(
    lookback=st.integers(2, 40), lag=st.integers(1, 25), seed=st.integers(0, 2**16), row_sessions=st.integers(1, 500)
)
@settings(max_examples=15, deadline=None)
def test_factors_that_a_user_wrote_have_them_too(lookback: int, lag: int, seed: int, row_sessions: int) -> None:
    close, volume = field("close"), field("volume")
    mine = {
        "nested": std(mean(close, lookback) / ref(close, lag), lookback),
        "place": idx_max(rank(volume, lookback), lag + 1),
        "line": resi(quantile(close, lookback, 0.3), lag + 2),
        "pair": corr(close, ref(volume, lag), lookback + 1),
        "slope": beta(close, volume, lookback + 1),
        "fading": ema(close / ref(close, lag), lookback),
        "streak": streak(close > ref(close, 1), lookback),
    }
    panel = random_panel(symbols=23, sessions=60, seed=seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(increment, "ROW_SESSIONS", row_sessions)
        newest = newest_session(mine, panel)
    assert same_bits(newest, np.ascontiguousarray(evaluate(mine, panel).values[:, :, -1]))


@dataclass(frozen=True, eq=False)
class Unknown(Apply):
    """An expression of a later kind, of which it is not known that it sees one symbol alone."""


def test_an_expression_of_another_kind_is_computed_symbol_by_symbol(monkeypatch: pytest.MonkeyPatch) -> None:
    close = field("close")
    total = close + mean(close, 5)
    assert isinstance(total, Apply)
    other = {"sum": mean(Unknown(total.operation, total.arguments), 3)}
    panel = random_panel(symbols=5, sessions=40)
    monkeypatch.setattr(increment, "_folded", lambda *arguments: pytest.fail("folded what may see other symbols"))
    newest = newest_session(other, panel)
    assert same_bits(newest, np.ascontiguousarray(evaluate(other, panel).values[:, :, -1]))


def test_a_cross_section_is_that_of_its_session_and_members() -> None:
    panel = random_panel(symbols=12, sessions=40)
    members = np.random.default_rng(2).random((12, 40)) < 0.7
    panel = panel.with_fields({"in_universe": members.astype(np.float64)})
    ranked = {"rank": mean(cs_rank(field("close") / ref(field("close"), 5)), 3)}
    assert same_bits(newest_session(ranked, panel), np.ascontiguousarray(evaluate(ranked, panel).values[:, :, -1]))


def test_a_field_that_the_panel_lacks_is_named(history: Panel) -> None:
    without = Panel(history.symbols, history.sessions, {"close": history.fields["close"]})
    with pytest.raises(FactorError, match="reads unknown field 'open'"):
        newest_session(FACTORS.expressions, without)


@pytest.mark.parametrize(
    ("expressions", "said"),
    [({"label": ref(field("close"), -1) / field("close")}, "label looks ahead"), ({}, "no expression")],
)
def test_what_has_no_value_yet_is_refused(expressions: dict[str, Expr], said: str, history: Panel) -> None:
    with pytest.raises(FactorError, match=said):
        newest_session(expressions, history)
