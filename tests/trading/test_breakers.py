"""A tripped breaker survives a restart, is reset by its rule alone with who and why, and fails closed when lost."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ljwx_pipeline.config import Settings
from ljwx_pipeline.errors import TradingError
from ljwx_pipeline.trading.breakers import (
    RULES,
    Breaker,
    BreakerState,
    ChangeKind,
    Reset,
    ResetRule,
    Scope,
    Stops,
    Trip,
    change,
    expected_breakers,
    read_state,
    reset_by_person,
    state_text,
)

DAY = date(2025, 3, 3)


def fresh(breaker: Breaker = Breaker.LOSING_TRADES, key: str = "") -> BreakerState:
    return BreakerState(breaker, key, DAY)


def read(text: str | None, breaker: Breaker = Breaker.LOSING_TRADES, key: str = "") -> BreakerState:
    return read_state(text, breaker=breaker, key=key, session=DAY, at_ns=7)


def test_every_breaker_has_a_rule_whose_number_is_a_setting(settings: Settings) -> None:
    assert set(RULES) == set(Breaker)
    for rule in RULES.values():
        assert rule.resets
        if rule.number:
            section, key = rule.number.split(".")
            assert key in type(getattr(settings, section)).model_fields
    numbers = {rule.number for rule in RULES.values()}
    unused = {f"breakers.{key}" for key in type(settings.breakers).model_fields} - numbers
    assert unused == {
        "breakers.max_tick_jump_frac", "breakers.jump_window_s", "breakers.jump_confirmations", "breakers.recovery_s",
    }  # fmt: skip


def test_a_tripped_breaker_keeps_its_first_reason() -> None:
    once = fresh().tripped(1, "three", "3", "first")
    assert once.tripped(2, "four", "3", "second") is once
    assert once.stops is Stops.OPENING
    assert fresh().stops is None


def test_tripping_and_resetting_are_changes_for_the_journal_and_counting_is_none() -> None:
    idle = fresh(key="alpha")
    down = idle.tripped(1, "three in a row", "3", "the last is A")
    up = reset_by_person(down, person="an operator", reason="looked at it", at_ns=9)
    tripped, reset = change(idle, down), change(down, up)
    assert tripped is not None
    assert (tripped.kind, tripped.value, tripped.limit) == (ChangeKind.TRIPPED, "three in a row", "3")
    assert tripped.sentence() == "LOSING_TRADES of alpha tripped at three in a row, limit 3: the last is A"
    assert reset is not None
    assert (reset.kind, reset.rule, reset.by) == (ChangeKind.RESET, ResetRule.PERSON, "an operator")
    assert reset.sentence() == "LOSING_TRADES of alpha reset by an operator: looked at it"
    assert change(idle, replace(idle, count=1)) is None
    assert change(down, down) is None


def test_a_person_s_reset_counts_from_nothing_and_says_who_and_why() -> None:
    down = replace(fresh(Breaker.DRAWDOWN), mark_fen=5, count=2).tripped(1, "v", "l", "r")
    up = reset_by_person(down, person=" an operator ", reason=" looked ", at_ns=9)
    assert (up.trip, up.count, up.mark_fen) == (None, 0, 0)
    assert up.reset == Reset(9, ResetRule.PERSON, "an operator", "looked")


@pytest.mark.parametrize(("person", "reason"), [("", "why"), ("who", ""), ("  ", "why"), ("who", " \n")])
def test_nobody_resets_for_no_reason(person: str, reason: str) -> None:
    with pytest.raises(TradingError, match="was to be reset by"):
        reset_by_person(fresh().tripped(1, "v", "l", "r"), person=person, reason=reason, at_ns=2)


def test_what_is_not_tripped_is_not_reset() -> None:
    with pytest.raises(TradingError, match="LOSING_TRADES is not tripped"):
        reset_by_person(fresh(), person="who", reason="why", at_ns=2)


@pytest.mark.parametrize("breaker", [rule.breaker for rule in RULES.values() if ResetRule.PERSON not in rule.resets])
def test_what_recovers_or_ends_with_the_day_no_person_can_reset(breaker: Breaker) -> None:
    down = fresh(breaker).tripped(1, "v", "l", "r")
    with pytest.raises(TradingError, match="is not reset by a person"):
        reset_by_person(down, person="who", reason="why", at_ns=2)
    lost = read(None, breaker)
    assert reset_by_person(lost, person="who", reason="why", at_ns=2).trip is None


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "null",
        "{",
        "[" * 100_000,
        "{}",
        '"tripped"',
        state_text(fresh()).replace("LOSING_TRADES", "DRAWDOWN"),
        state_text(fresh()).replace('"count":0', '"count":0.5'),
        state_text(fresh()).replace('"count":0', '"count":NaN'),
        state_text(fresh()).replace('"count":0', '"count":-1'),
        state_text(fresh()).replace('"count":0,', ""),
        state_text(fresh()).replace('"count":0', '"count":0,"more":1'),
        state_text(fresh()).replace('"key":""', '"key":"another"'),
        state_text(replace(fresh(), trip=Trip(1, DAY, "v", "l", ""))),
    ],
)
def test_a_state_that_cannot_be_read_is_tripped_and_says_why(text: str | None) -> None:
    state = read(text)
    assert (state.breaker, state.key, state.stops) == (Breaker.LOSING_TRADES, "", Stops.OPENING)
    assert state.trip is not None
    assert state.trip.unreadable
    assert state.trip.reason.startswith("its state cannot be read: ")


def test_each_strategy_has_its_own_breakers_and_the_account_one_of_each() -> None:
    expected = expected_breakers(["beta", "alpha"])
    assert len(expected) == len(set(expected))
    assert {key for breaker, key in expected if RULES[breaker].scope is Scope.STRATEGY} == {"alpha", "beta"}
    assert {key for breaker, key in expected if RULES[breaker].scope is Scope.ACCOUNT} == {""}
    assert {breaker for breaker, _ in expected} == set(Breaker)


words = st.text('aé "\\\n', min_size=1, max_size=5)
instants = st.integers(0, 2**62)
trips = st.builds(Trip, instants, st.dates(), words, words, words, st.booleans())
resets = st.builds(Reset, instants, st.sampled_from(ResetRule), words, words)
states = st.builds(
    BreakerState,
    breaker=st.sampled_from(Breaker),
    key=words,
    session=st.dates(),
    count=st.integers(0, 9),
    mark_fen=instants,
    well_since_ns=instants,
    trip=st.none() | trips,
    reset=st.none() | resets,
)


@given(states)
def test_a_state_read_back_is_the_same_state(state: BreakerState) -> None:
    assert read(state_text(state), state.breaker, state.key) == state


@given(states, st.integers(0, 400), st.sampled_from(list('{}[]",:0x ')))
def test_a_damaged_state_is_another_readable_one_or_tripped(state: BreakerState, at: int, mark: str) -> None:
    text = state_text(state)
    at %= len(text)
    damaged = text[:at] + mark + text[at + 1 :]
    found = read(damaged, state.breaker, state.key)
    if found.trip is None or not found.trip.unreadable:
        json.loads(damaged)
        assert state_text(found) == damaged or json.loads(state_text(found)) == json.loads(damaged)
