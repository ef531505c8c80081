"""A change of the strategies is refused with every mistake in it, or becomes exactly the events that it means."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from ljwx_pipeline.config import LiveStrategySettings, Settings
from ljwx_pipeline.errors import LiveError
from ljwx_pipeline.live.events import StrategyChanged
from ljwx_pipeline.live.sleeves.strategies import (
    BY_FILE,
    InForce,
    Plan,
    StrategySpec,
    plan,
    read_keys,
    sole_strategy,
    specs_of,
)

KEYS = {"model": "", "universe": "", "capital_share_frac": 0.5, "schedule": "close", "paused": False}


def specs(settings: Settings, **given_keys: dict[str, object]) -> tuple[StrategySpec, ...]:
    sections = {name: LiveStrategySettings.model_validate({**KEYS, **changed}) for name, changed in given_keys.items()}
    found, mistakes = specs_of(sections, settings.strategy, settings.risk)
    assert mistakes == ()
    return found


def mistakes(settings: Settings, name: str = "a", **changed: object) -> str:
    section = LiveStrategySettings.model_validate({**KEYS, **changed})
    return "; ".join(specs_of({name: section}, settings.strategy, settings.risk, indices={"000016.SH"})[1])


def after(planned: Plan, before: tuple[InForce, ...] = ()) -> tuple[InForce, ...]:
    """What the journal holds once the plan is carried out."""
    assert planned.refusals == ()
    held = {one.name: one for one in before}
    for event in planned.events:
        held[event.strategy] = InForce(event.strategy, event.state, event.capital_share_bps, event.settings, event.by)
    return tuple(held[name] for name in sorted(held))


def states(events: tuple[StrategyChanged, ...]) -> dict[str, str]:
    return {event.strategy: event.state.value for event in events}


def test_without_a_section_there_is_one_strategy_with_everything(settings: Settings) -> None:
    (only,), found = specs_of({}, settings.strategy, settings.risk)
    assert found == ()
    assert (only, only.name, only.share_bps) == (sole_strategy(settings.strategy), "topk-dropout", 10_000)


def test_the_market_s_own_model_written_out_is_the_same_as_left_empty_and_indices_are_the_pack_s(
    settings: Settings,
) -> None:
    section = {
        name: LiveStrategySettings.model_validate({**KEYS, "model": model, "universe": "000016.SH"})
        for name, model in (("a", "ours"), ("b", ""), ("c", "other-0123"))
    }
    for indices in ({"000016.SH", "000300.SH"}, None):  # None: no pack lies there yet
        found, wrong = specs_of(section, settings.strategy, settings.risk, market_model="ours", indices=indices)
        assert wrong == ()
        assert [(one.model, one.universe) for one in found] == [
            ("", "000016.SH"),
            ("", "000016.SH"),
            ("other-0123", "000016.SH"),
        ]
    assert "tells: write one of none, or" in "; ".join(
        specs_of(section, settings.strategy, settings.risk, market_model="ours", indices=())[1]
    )


def test_what_the_journal_keeps_is_the_whole_strategy(settings: Settings) -> None:
    (read,) = specs(settings, a={"strategy": {"top_k": 12, "exits": {"stop_loss_frac": 0.1}}})
    one = replace(read, model="another", universe="000300.SH")
    assert one.strategy.top_k == 12
    assert one.strategy.exits == settings.strategy.exits.model_copy(update={"stop_loss_frac": 0.1})
    (kept,) = after(plan((), (one,), holding=(), by=BY_FILE))
    assert kept.spec == one
    assert replace(kept, settings="{}").spec is None


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"model": "../other"}, "a.model = '../other' is no name of a registered model"),
        (
            {"universe": "000300.SH"},
            "a.universe = '000300.SH' is no index whose members the session pack tells: write one of 000016.SH, or",
        ),
        (
            {"schedule": "open"},
            "live.strategies.a.schedule = 'open' is not possible: write 'close' or 'weekly' or 'monthly'",
        ),
        ({"strategy": {"top_kk": 3}}, "unknown key live.strategies.a.strategy.top_kk, did you mean top_k?"),
        ({"strategy": {"top_k": "many"}}, "live.strategies.a.strategy.top_k = 'many' is refused"),
        ({"strategy": {"capital_cny": 1}}, "capital_cny is the account's, not a strategy's"),
        ({"strategy": {"kind": "long_short"}}, "makes no orders: no account can sell A-shares short"),
        ({"strategy": {"top_k": 3}}, "puts 32.7% of its capital into a name, above risk.max_weight_per_name_frac = 10"),
        ({"capital_share_frac": 0.00001}, "is less than 0.0001, the smallest share"),
    ],
)
def test_a_mistake_is_named_with_its_key_its_value_and_what_to_write(
    settings: Settings, changed: dict[str, object], words: str
) -> None:
    assert words in mistakes(settings, **changed)


@pytest.mark.parametrize(
    ("schedule", "session", "valid_session", "due"),
    [
        ("close", date(2026, 1, 6), date(2026, 1, 7), True),
        ("weekly", date(2026, 1, 8), date(2026, 1, 9), False),
        ("weekly", date(2026, 1, 9), date(2026, 1, 12), True),
        ("weekly", date(2025, 12, 31), date(2026, 1, 5), True),
        ("weekly", date(2025, 12, 29), date(2026, 1, 2), False),  # one ISO week over the turn of the year
        ("weekly", date(2025, 9, 30), date(2025, 10, 9), True),  # a holiday in the middle of weeks
        ("weekly", date(2026, 1, 7), date(2027, 1, 6), True),  # the same weekday of week 1, a year later
        ("monthly", date(2026, 1, 29), date(2026, 1, 30), False),
        ("monthly", date(2026, 1, 30), date(2026, 2, 2), True),
        ("monthly", date(2026, 1, 30), date(2027, 1, 4), True),
    ],
)
def test_a_schedule_is_due_at_the_last_close_of_its_week_or_month(
    settings: Settings, schedule: str, session: date, valid_session: date, due: bool
) -> None:
    (one,) = specs(settings, a={"schedule": schedule})
    assert one.is_due(session, valid_session) is due


def test_a_schedule_that_this_release_does_not_know_makes_a_strategy_unreadable(settings: Settings) -> None:
    (one,) = after(plan((), specs(settings, a={"schedule": "weekly"}), holding=(), by=BY_FILE))
    assert one.spec is not None
    assert replace(one, settings=one.settings.replace("weekly", "hourly")).spec is None


@pytest.mark.parametrize("name", ["account", "A", "1st", "a@canary", "", "a" * 33, "a b"])
def test_a_name_that_an_order_cannot_carry_is_refused(settings: Settings, name: str) -> None:
    assert "is no name of a strategy" in mistakes(settings, name)


def test_keys_that_are_unknown_missing_or_out_of_range_are_told_at_once() -> None:
    with pytest.raises(LiveError) as told:
        read_keys("a", {"modell": "", "universe": "", "capital_share_frac": 1.5, "schedule": "close"})
    for words in (
        "unknown key live.strategies.a.modell, did you mean model?",
        "missing key live.strategies.a.model",
        "missing key live.strategies.a.paused",
        "live.strategies.a.capital_share_frac = 1.5 is refused",
        "nothing was changed",
    ):
        assert words in str(told.value)
    with pytest.raises(LiveError, match="is refused"):
        read_keys("a", ["no", "keys"])


def test_shares_above_the_whole_are_refused_and_nothing_is_planned(settings: Settings) -> None:
    wanted = specs(settings, a={"capital_share_frac": 0.6}, b={"capital_share_frac": 0.5})
    planned = plan((), wanted, holding=(), by=BY_FILE)
    assert planned.events == ()
    assert planned.refusals == ("the strategies' shares are 110.00% of the capital (a 60.00%, b 50.00%): 100% is all",)
    with pytest.raises(LiveError, match=r"110\.00%.*nothing was changed"):
        planned.require_accepted()


def test_what_goes_sells_first_when_it_holds_something(settings: Settings) -> None:
    old = after(plan((), specs(settings, a={}, b={}), holding=(), by=BY_FILE))
    planned = plan(old, specs(settings, c={}), holding=("b",), by=BY_FILE)
    assert states(planned.events) == {"a": "removed", "b": "reducing", "c": "active"}
    assert planned.said == (
        "a is removed",
        "b sells what it holds at the next close, then it is removed",
        "c is added with 50.00% of the capital",
    )
    gone = after(planned, old)
    assert plan(gone, specs(settings, c={}), holding=("b",), by=BY_FILE).events == (), "asked again, nothing changes"
    back = plan(gone, specs(settings, b={}, c={}), holding=("b",), by=BY_FILE)
    assert states(back.events) == {"b": "active"}


def test_a_change_says_what_changed(settings: Settings) -> None:
    old = after(plan((), specs(settings, a={}), holding=(), by=BY_FILE))
    changed = {"capital_share_frac": 0.4, "paused": True, "strategy": {"top_k": 15}}
    planned = plan(old, specs(settings, a=changed), holding=(), by=BY_FILE)
    (said,) = planned.said
    assert said == "a is paused (was active) and has 40.00% of the capital (had 50.00%) and has other parameters"


def test_what_was_changed_by_hand_stays_and_still_counts(settings: Settings) -> None:
    by_hand = after(plan((), specs(settings, a={"capital_share_frac": 0.7}), holding=(), by="ada"))
    kept = plan(by_hand, specs(settings, a={}, b={"capital_share_frac": 0.3}), holding=(), by=BY_FILE, keep=("a",))
    assert states(kept.events) == {"b": "active"}
    too_much = plan(by_hand, specs(settings, a={}, b={}), holding=(), by=BY_FILE, keep=("a",))
    assert too_much.refusals == ("the strategies' shares are 120.00% of the capital (b 50.00%, a 70.00%): 100% is all",)


NAMES = st.sampled_from(["a", "b", "c"])


@examples(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(old=st.sets(NAMES), new=st.sets(NAMES), later=st.sets(NAMES), holding=st.sets(NAMES))
def test_a_plan_that_is_carried_out_is_what_was_asked_for(
    settings: Settings, old: set[str], new: set[str], later: set[str], holding: set[str]
) -> None:
    held: tuple[InForce, ...] = ()
    for names in (old, new, later):
        wanted = specs(settings, **{name: {"capital_share_frac": 0.3} for name in names}) if names else ()
        held = after(plan(held, wanted, holding=holding, by=BY_FILE), held)
        assert {one.name for one in held if one.state.value == "active"} == names
        assert all(one.share_bps == 0 for one in held if one.name not in names)
        assert plan(held, wanted, holding=holding, by=BY_FILE).events == ()
