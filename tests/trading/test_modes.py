"""What may be done is what every reason allows: one more thing wrong never allows more."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ljwx_pipeline.trading.breakers import RULES, Breaker, BreakerState, Scope, expected_breakers, read_state
from ljwx_pipeline.trading.modes import ALLOWED, Action, Condition, Standing, TradingMode, both, standing

DAY = date(2025, 3, 3)
STRATEGIES = ("alpha", "beta")
EVERY = expected_breakers(STRATEGIES)


def states(*tripped: tuple[Breaker, str]) -> list[BreakerState]:
    return [
        BreakerState(breaker, key, DAY).tripped(1, "a value", "a limit", "a reason")
        if (breaker, key) in tripped
        else BreakerState(breaker, key, DAY)
        for breaker, key in EVERY
    ]


def of(*tripped: tuple[Breaker, str], strategy: str = "alpha", wrong: tuple[Condition, ...] = ()) -> Standing:
    return standing(states(*tripped), wrong, strategy=strategy)


def test_with_nothing_wrong_everything_is_allowed() -> None:
    found = of()
    assert (found.mode, found.allows, found.reasons) == (TradingMode.ACTIVE, frozenset(Action), ())
    assert found.denial(Action.OPEN) == ""


@pytest.mark.parametrize("breaker", [Breaker.DRAWDOWN, Breaker.DAY_LOSS])
def test_a_loss_of_the_account_stops_opening_for_everybody_and_lets_positions_be_reduced(breaker: Breaker) -> None:
    for strategy in ("", *STRATEGIES):
        found = of((breaker, ""), strategy=strategy)
        assert found.mode is TradingMode.REDUCING
        assert found.denial(Action.OPEN) == breaker
        assert found.denial(Action.REDUCE) == ""


@pytest.mark.parametrize("breaker", [Breaker.LOSING_TRADES, Breaker.STALE_FEATURES, Breaker.STALE_MODEL])
def test_what_is_wrong_with_one_strategy_stops_its_opening_and_no_other_s(breaker: Breaker) -> None:
    assert of((breaker, "alpha")).mode is TradingMode.REDUCING
    assert of((breaker, "alpha"), strategy="beta").mode is TradingMode.ACTIVE
    assert of((breaker, "alpha"), strategy="").mode is TradingMode.ACTIVE


def test_a_strategy_whose_orders_fail_sends_nothing_more_by_itself() -> None:
    found = of((Breaker.FAILURES, "alpha"))
    assert (found.mode, found.allows) == (TradingMode.HALTED, {Action.CANCEL, Action.CLOSE_BY_HAND})
    assert of((Breaker.FAILURES, "alpha"), strategy="beta").mode is TradingMode.ACTIVE


@pytest.mark.parametrize("breaker", [Breaker.STALE_FEED, Breaker.CLOCK_SKEW])
def test_doubtful_data_stop_orders_of_both_sides(breaker: Breaker) -> None:
    found = of((breaker, ""))
    assert (found.mode, found.allows) == (TradingMode.READ_ONLY, {Action.CANCEL})


def test_the_kill_switch_leaves_cancelling_and_closing_by_hand() -> None:
    found = of((Breaker.KILL_SWITCH, ""))
    assert (found.mode, found.allows) == (TradingMode.HALTED, {Action.CANCEL, Action.CLOSE_BY_HAND})


@pytest.mark.parametrize("condition", list(Condition))
def test_an_outage_is_read_only(condition: Condition) -> None:
    found = of(wrong=(condition,))
    assert found.mode is TradingMode.READ_ONLY
    assert found.denial(Action.OPEN) == found.denial(Action.REDUCE) == found.denial(Action.CLOSE_BY_HAND) == condition


@pytest.mark.parametrize("condition", [Condition.NO_LEASE, Condition.JOURNAL_UNWRITABLE, Condition.BROKER_UNREACHABLE])
def test_who_does_not_lead_cannot_write_or_reaches_nobody_sends_nothing_at_all(condition: Condition) -> None:
    assert of(wrong=(condition,)).allows == frozenset()


def test_a_halted_runner_that_is_not_reconciled_closes_nothing_by_hand_either() -> None:
    found = of((Breaker.KILL_SWITCH, ""), wrong=(Condition.NOT_RECONCILED,))
    assert (found.mode, found.allows) == (TradingMode.HALTED, {Action.CANCEL})


@pytest.mark.parametrize(("breaker", "key"), EVERY)
def test_a_breaker_without_a_state_or_with_a_lost_one_halts_its_scope(breaker: Breaker, key: str) -> None:
    known = [state for state in states() if (state.breaker, state.key) != (breaker, key)]
    lost = read_state("{", breaker=breaker, key=key, session=DAY, at_ns=1)
    for found in (standing(known, (), strategy=key), standing([*known, lost], (), strategy=key)):
        assert found.mode is TradingMode.HALTED
        assert found.denial(Action.OPEN) == breaker


@pytest.mark.parametrize("mode", list(TradingMode))
def test_a_person_may_be_stricter_for_the_account_or_for_a_strategy(mode: TradingMode) -> None:
    assert standing(states(), (), chosen=mode, strategy="alpha").allows == ALLOWED[mode]
    assert standing(states(), (), strategy="alpha", strategy_chosen=mode).mode is mode


def test_the_strictest_reason_is_named_first() -> None:
    found = of((Breaker.DRAWDOWN, ""), (Breaker.KILL_SWITCH, ""), wrong=(Condition.BROKER_UNREACHABLE,))
    assert [reason.code for reason in found.reasons] == ["KILL_SWITCH", "BROKER_UNREACHABLE", "DRAWDOWN"]
    assert found.reasons[2].sentence == "DRAWDOWN: a value on 2025-03-03: a reason"


some = st.sets(st.sampled_from(EVERY))
conditions = st.sets(st.sampled_from(Condition))
modes = st.sampled_from(TradingMode)
asked = st.sampled_from(["", *STRATEGIES])


@given(some, conditions, modes, some, conditions, asked)
def test_one_more_thing_wrong_never_allows_more(
    tripped: set[tuple[Breaker, str]],
    wrong: set[Condition],
    chosen: TradingMode,
    more_tripped: set[tuple[Breaker, str]],
    more_wrong: set[Condition],
    strategy: str,
) -> None:
    few = standing(states(*tripped), wrong, chosen=chosen, strategy=strategy)
    many = standing(states(*tripped | more_tripped), wrong | more_wrong, chosen=chosen, strategy=strategy)
    order = list(TradingMode)
    assert many.allows <= few.allows
    assert order.index(many.mode) >= order.index(few.mode)


@given(some, conditions, some, conditions, asked)
def test_two_standings_together_are_the_standing_of_all_that_is_wrong(
    tripped: set[tuple[Breaker, str]],
    wrong: set[Condition],
    also_tripped: set[tuple[Breaker, str]],
    also_wrong: set[Condition],
    strategy: str,
) -> None:
    found = both(
        standing(states(*tripped), wrong, strategy=strategy),
        standing(states(*also_tripped), also_wrong, strategy=strategy),
    )
    whole = standing(states(*tripped | also_tripped), wrong | also_wrong, strategy=strategy)
    assert (found.mode, found.allows, set(found.reasons)) == (whole.mode, whole.allows, set(whole.reasons))
    assert [reason.mode for reason in found.reasons] == [reason.mode for reason in whole.reasons]


@given(some, conditions, asked)
def test_the_mode_agrees_with_what_is_allowed_and_every_denial_has_a_reason(
    tripped: set[tuple[Breaker, str]], wrong: set[Condition], strategy: str
) -> None:
    found = standing(states(*tripped), wrong, strategy=strategy)
    assert found.allows <= ALLOWED[found.mode]
    for action in Action:
        assert (found.denial(action) == "") == (action in found.allows)
        assert type(found.denial(action)) is str  # it is written into the journal, which takes no other type
    relevant = {each for each in tripped if each[1] in ("", strategy)}
    assert (Action.OPEN in found.allows) == (not relevant and not wrong)
    closed_to_reducing = {
        (breaker, key) for breaker, key in relevant
        if RULES[breaker].stops == "everything" and (RULES[breaker].scope is Scope.ACCOUNT or key == strategy)
    }  # fmt: skip
    assert (Action.REDUCE in found.allows) == (not closed_to_reducing and not wrong)
