"""Which bundle holds which stage follows from the events alone, and never leaves a strategy without a champion."""

from __future__ import annotations

from datetime import date, timedelta

import hypothesis
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from ljwx_pipeline.config import Settings, StageSettings
from ljwx_pipeline.live.events import (
    AlertRaised,
    BundleReleased,
    BundleStaged,
    BundleWithdrawn,
    Event,
    ModelScored,
    Stage,
    Tier,
)
from ljwx_pipeline.live.journal import DeployedBundle
from ljwx_pipeline.live.stages import Line, arrived, due, failed
from ljwx_pipeline.units import BPS

FIRST = date(2026, 1, 5)


def bundle(name: str) -> DeployedBundle:
    return DeployedBundle(name * 64, name, date(2025, 12, 31))


A, B, C, D = (bundle(name) for name in "abcd")


@pytest.fixture
def rules(settings: Settings) -> StageSettings:
    return settings.live.stages


def staged(rules: StageSettings, **changed: object) -> StageSettings:
    return rules.model_copy(update={"shadow_sessions": 3, "canary_sessions": 2, "canary_share_frac": 0.25, **changed})


def after(line: Line, events: tuple[Event, ...]) -> Line:
    for event in events:
        line = line.after(event)
    return line


def scored(line: Line, stage: Stage, number: int) -> Line:
    holder = line.at(stage)
    assert holder is not None
    return line.after(
        ModelScored(
            session=FIRST + timedelta(days=number),
            strategy=line.strategy,
            stage=stage,
            bundle_hash=holder.bundle.bundle_hash,
            champion_hash="x",
            rank_correlation=None,
            unscored_frac=0.0,
            latency_s=0.0,
            scores={},
        )
    )


def versions(line: Line) -> tuple[str | None, str | None, str | None]:
    held = (line.champion, line.canary, line.shadow)
    return tuple(None if one is None else one.bundle.model_version for one in held)


def line_of(rules: StageSettings, *pushed: DeployedBundle) -> Line:
    line = Line("")
    for one in pushed:
        line = after(line, arrived(line, one, rules))
    return line


def test_as_shipped_a_pushed_bundle_is_champion_at_once_and_all_of_the_capital(rules: StageSettings) -> None:
    line = line_of(rules, A, B)
    assert versions(line) == ("b", None, None)
    assert line.former == (A,)
    assert [(one.stage, one.capital_share_bps) for one in line.sleeves()] == [(Stage.CHAMPION, BPS)]
    (event,) = arrived(Line(""), A, rules)
    assert event == BundleStaged(
        strategy="",
        stage=Stage.CHAMPION,
        bundle_hash=A.bundle_hash,
        model_version="a",
        last_train_session=A.last_train_session,
        capital_share_bps=BPS,
    )


def test_a_bundle_goes_through_shadow_and_canary_and_the_capital_is_always_whole(rules: StageSettings) -> None:
    rules = staged(rules)
    line = line_of(rules, A, B)
    assert versions(line) == ("a", None, "b"), "the first is champion, nobody could trade in its place"
    for number in range(3):
        assert due(line, rules, {}) == ()
        line = scored(line, Stage.SHADOW, number)
    line = after(line, due(line, rules, {}))
    assert versions(line) == ("a", "b", None)
    assert [one.capital_share_bps for one in line.sleeves()] == [7_500, 2_500]
    for number in range(3, 5):
        assert due(line, rules, {}) == ()
        line = scored(line, Stage.CANARY, number)
    line = after(line, due(line, rules, {}))
    assert (versions(line), line.former) == (("b", None, None), (A,))
    assert sum(one.capital_share_bps for one in line.sleeves()) == BPS


def test_a_session_scored_twice_counts_once(rules: StageSettings) -> None:
    line = line_of(staged(rules), A, B)
    line = scored(scored(line, Stage.SHADOW, 1), Stage.SHADOW, 1)
    assert line.shadow is not None
    assert line.shadow.scored_sessions == 1


@pytest.mark.parametrize(
    ("changed", "stages"),
    [
        ({"shadow_sessions": 0}, ("a", "b", None)),
        ({"canary_sessions": 0}, ("a", None, "b")),
        ({"shadow_sessions": 0, "canary_sessions": 0}, ("b", None, None)),
    ],
)
def test_stages_of_no_sessions_are_passed_over(
    rules: StageSettings, changed: dict[str, int], stages: tuple[str | None, ...]
) -> None:
    rules = staged(rules, **changed)
    line = line_of(rules, A, B)
    assert versions(line) == stages
    if changed == {"canary_sessions": 0}:
        for number in range(3):
            line = scored(line, Stage.SHADOW, number)
        assert versions(after(line, due(line, rules, {}))) == ("b", None, None)


def test_a_newer_bundle_takes_the_place_of_those_that_have_come_no_further(rules: StageSettings) -> None:
    rules = staged(rules)
    line = line_of(rules, A, B)
    for number in range(3):
        line = scored(line, Stage.SHADOW, number)
    line = after(line, due(line, rules, {}))
    line = after(line, arrived(line, C, rules))
    assert versions(line) == ("a", "b", "c")
    assert versions(after(line, arrived(line, D, rules))) == ("a", "b", "d")
    assert versions(after(line, arrived(line, D, staged(rules, shadow_sessions=0)))) == ("a", "d", None)
    at_once = staged(rules, shadow_sessions=0, canary_sessions=0)
    assert versions(after(line, arrived(line, D, at_once))) == ("d", None, None)


def test_a_shadow_that_is_done_waits_for_the_canary_s_place(rules: StageSettings) -> None:
    rules = staged(rules)
    line = line_of(rules, A, B)
    for number in range(3):
        line = scored(line, Stage.SHADOW, number)
    line = after(line, due(line, rules, {}))
    line = after(line, arrived(line, C, rules))
    for number in range(3, 6):
        line = scored(line, Stage.SHADOW, number)
    assert due(line, rules, {}) == ()
    line = scored(scored(line, Stage.CANARY, 3), Stage.CANARY, 4)
    assert versions(after(line, due(line, rules, {}))) == ("b", "c", None)


def test_a_former_champion_pushed_again_is_champion_at_once_and_ends_the_candidates(rules: StageSettings) -> None:
    line = line_of(rules, A, B)
    line = after(line, arrived(line, C, staged(rules)))
    assert versions(line) == ("b", None, "c")
    back = after(line, arrived(line, A, staged(rules)))
    assert (versions(back), back.former) == (("a", None, None), (B,))
    kept = after(line, arrived(line, B, staged(rules)))
    assert versions(kept) == ("b", None, None), "the champion told once more is a rollback from its candidates"
    assert arrived(kept, B, staged(rules)) == ()
    assert arrived(line, C, staged(rules)) == (), "a candidate told once more changes nothing"


def test_a_champion_that_fails_gives_its_place_to_the_former_one_and_begins_anew(rules: StageSettings) -> None:
    line = line_of(rules, A, B, C)
    events = failed(line, Stage.CHAMPION, FIRST, "it raised an error")
    line = after(line, events)
    assert (versions(line), line.former) == (("b", None, None), (A,))
    (alert,) = [event for event in events if isinstance(event, AlertRaised)]
    assert (alert.tier, alert.code) == (Tier.CRITICAL, "MODEL_FELL_BACK")
    assert alert.message == (
        f"version c, bundle {C.bundle_hash[:12]} as champion failed, version b is champion again: it raised an error"
    )
    line = after(line, failed(line, Stage.CHAMPION, FIRST, "this one, too"))
    assert versions(line) == ("a", None, None)
    alone = failed(line, Stage.CHAMPION, FIRST, "and this one")
    assert [type(event) for event in alone] == [AlertRaised], "nobody else could trade: it keeps its place"
    assert versions(after(line, arrived(line, C, staged(rules)))) == ("a", None, "c")


def test_a_candidate_that_fails_or_is_worse_ends_and_the_champion_trades_everything(rules: StageSettings) -> None:
    rules = staged(rules, shadow_sessions=0)
    line = line_of(rules, A, B)
    events = failed(line, Stage.CANARY, FIRST, "no answer within 60 s")
    (alert,) = [event for event in events if isinstance(event, AlertRaised)]
    assert (alert.tier, alert.code) == (Tier.WARNING, "CANDIDATE_ENDED")
    ended = after(line, events)
    assert (versions(ended), ended.former) == (("a", None, None), ())
    assert versions(after(line, due(line, rules, {B.bundle_hash: "champion"}))) == ("a", None, None)
    assert due(line, rules, {B.bundle_hash: "challenger"}) == (), "a better one waits for its sessions all the same"
    assert failed(ended, Stage.CANARY, FIRST, "again") == ()


def test_a_withdrawal_empties_the_line_and_its_sleeve_stays_for_the_exits(rules: StageSettings) -> None:
    line = line_of(staged(rules), A, B)
    taken = BundleWithdrawn(identity="w", strategy="", model_version="a", reason="")
    line = line.after(taken)
    assert (versions(line), line.withdrawn, line.former) == ((None, None, None), A, ())
    assert [one.bundle_hash for one in line.sleeves()] == [A.bundle_hash]
    assert line.after(taken) == line
    line = after(line, arrived(line, C, staged(rules)))
    assert (versions(line), line.withdrawn) == (("c", None, None), None)


def test_what_is_told_of_another_strategy_changes_nothing(rules: StageSettings) -> None:
    line = line_of(rules, A)
    (event,) = arrived(Line("other"), B, rules)
    assert line.after(event) == line


class Life(RuleBasedStateMachine):
    """Bundles that come, score, fail and are taken back, in any order, under rules that change on the way."""

    def __init__(self) -> None:
        super().__init__()
        self.line, self.session = Line(""), 0
        self.rules = StageSettings(
            shadow_sessions=0,
            canary_sessions=0,
            canary_share_frac=0.1,
            smoke_sessions=1,
            max_latency_s=1.0,
            max_unscored_frac=0.2,
            min_rank_correlation=-1.0,
            alpha=0.05,
            rank_ic_bound=0.2,
        )

    def take(self, events: tuple[Event, ...]) -> None:
        for event in events:
            before = self.line
            self.line = self.line.after(event)
            if isinstance(event, BundleReleased):
                assert before.at(event.stage) is not None
                assert self.line != before, "a release that changes nothing would not be in the log"
            if isinstance(event, BundleStaged):
                assert self.line.at(event.stage).bundle.bundle_hash == event.bundle_hash

    @rule(shadow=st.integers(0, 2), canary=st.integers(0, 2), share=st.sampled_from([0.0001, 0.1, 0.5, 0.9999]))
    def change_rules(self, shadow: int, canary: int, share: float) -> None:
        self.rules = self.rules.model_copy(
            update={"shadow_sessions": shadow, "canary_sessions": canary, "canary_share_frac": share}
        )

    @rule(one=st.sampled_from([A, B, C, D]))
    def push(self, one: DeployedBundle) -> None:
        self.take(arrived(self.line, one, self.rules))
        assert self.line.champion is not None
        held = {holder.bundle for holder in (self.line.champion, self.line.canary, self.line.shadow) if holder}
        assert one in held
        assert arrived(self.line, one, self.rules) == () or self.line.champion.bundle == one
        self.take(arrived(self.line, one, self.rules))
        assert arrived(self.line, one, self.rules) == (), "told a third time, nothing is left to change"

    @precondition(lambda self: self.line.champion is not None)
    @rule(worse=st.sets(st.sampled_from([B.bundle_hash, C.bundle_hash])))
    def close(self, worse: set[str]) -> None:
        self.take(due(self.line, self.rules, dict.fromkeys(worse, "champion")))
        self.session += 1
        for stage in Stage:
            if self.line.at(stage) is not None:
                self.line = scored(self.line, stage, self.session)

    @precondition(lambda self: self.line.champion is not None)
    @rule(stage=st.sampled_from(Stage))
    def fail(self, stage: Stage) -> None:
        holder, former = self.line.at(stage), self.line.former
        self.take(failed(self.line, stage, None, "for a reason"))
        assert self.line.champion is not None, "a failure alone never leaves a strategy without a champion"
        if holder is not None and (stage is not Stage.CHAMPION or former):
            assert holder.bundle not in self.line.former
            assert self.line.champion.bundle != holder.bundle

    @rule()
    def withdraw(self) -> None:
        self.take((BundleWithdrawn(identity="w", strategy="", model_version="v", reason=""),))
        assert versions(self.line) == (None, None, None)

    @invariant()
    def no_bundle_is_in_two_places(self) -> None:
        held = [one.bundle for one in (self.line.champion, self.line.canary, self.line.shadow) if one is not None]
        places = [*held, *self.line.former]
        assert len({one.bundle_hash for one in places}) == len(places)

    @invariant()
    def the_sleeves_are_the_whole_capital(self) -> None:
        shares = [one.capital_share_bps for one in self.line.sleeves()]
        assert all(share > 0 for share in shares)
        assert sum(shares) == (BPS if self.line.champion or self.line.withdrawn else 0)

    @invariant()
    def a_candidate_never_stands_alone(self) -> None:
        if self.line.champion is None:
            assert (self.line.canary, self.line.shadow) == (None, None)


TestLife = Life.TestCase
TestLife.settings = hypothesis.settings(max_examples=60, stateful_step_count=25, deadline=None)


@given(st.permutations([A, B, C]), st.integers(0, 2), st.integers(0, 2))
def test_whatever_the_stages_the_last_one_pushed_ends_as_champion_if_nothing_fails(
    order: list[DeployedBundle], shadow: int, canary: int
) -> None:
    rules = Life().rules.model_copy(update={"shadow_sessions": shadow, "canary_sessions": canary})
    line, last = line_of(rules, *order), order[-1]
    for number in range(shadow + canary + 2):
        line = after(line, due(line, rules, {}))
        for stage in Stage:
            if line.at(stage) is not None:
                line = scored(line, stage, number)
    line = after(line, due(line, rules, {}))
    assert line.champion is not None
    assert line.champion.bundle == last
    assert (line.canary, line.shadow) == (None, None)
