"""One change of the champion at a time, each finished by the same command wherever it was killed."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest

from ljwx_pipeline.clock import SystemClock
from ljwx_pipeline.config import ApprovalSettings
from ljwx_pipeline.errors import LakeError, PromotionError, RegistryError
from ljwx_pipeline.live.inbox import Inbox
from ljwx_pipeline.live.journal import Journal
from ljwx_pipeline.promotion import moves
from ljwx_pipeline.promotion.deploy import RunnerLink
from ljwx_pipeline.promotion.desk import Desk
from ljwx_pipeline.promotion.moves import Done, Verdict, carry_out, challenge, settle
from ljwx_pipeline.promotion.plans import Hand, Plan, plan_demotion, plan_promotion, plan_rollback
from ljwx_pipeline.registry import ModelVersion, Registry
from ljwx_pipeline.scoring.signing import public_key_of, signing_key
from ljwx_pipeline.scoring.withdrawal import unpack_withdrawal
from ljwx_pipeline.tracking import ChampionRecord
from ljwx_pipeline.tracking.champion import state_of
from tests.fakes.arrivals import at_once, trading
from tests.fakes.bundles import FACTOR_HASH, tiny_bundle
from tests.fakes.mlflow_home import SETTINGS, open_registry, registry_in

NOBODY = "http://127.0.0.1:9"  # the discard port: nothing listens there, so all that is told is spooled
OPEN = ApprovalSettings(required="when_unassessable", role="", roles={}, separation=False)
HAND = Hand("ann", "a reason")


class Market:
    """A home with a registry, a record, and a runner that is down: its inbox is collected when it is asked."""

    def __init__(self, home: Path, registry: Registry) -> None:
        self.home, self.registry = home, registry
        self.key = signing_key(home / "keys")
        self.desk = Desk(registry, ChampionRecord(home / "tracking"), "tiny")
        self.link = RunnerLink(self.key, NOBODY, home)
        self.said: list[str] = []

    def version(self, digit: str) -> ModelVersion:
        bundle = tiny_bundle(self.home / "made", self.key, data_hash=digit * 64)
        return self.registry.register(bundle, run_id=self.registry.begin("x"), public_key=public_key_of(self.key))

    def judged(
        self, digit: str, decision: str, *, asked_by: str = "quant", reasons: tuple[str, ...] = ()
    ) -> ModelVersion:
        version = self.version(digit)
        self.registry.set_alias("challenger", version)
        now = self.desk.champion()
        seen = None if now is None else now.bundle_hash
        settle(self.desk, Verdict(decision, reasons, version, asked_by), seen=seen)  # type: ignore[arg-type]
        return version

    def promote(self, number: str, hand: Hand = HAND, approval: ApprovalSettings = OPEN, **how: Any) -> Done:
        return self.done(lambda: plan_promotion(self.desk, number, hand, approval, **how), hand)

    def roll_back(self, to: str | None = None, hand: Hand = HAND) -> Done:
        return self.done(lambda: plan_rollback(self.desk, to), hand)

    def demote(self, hand: Hand = HAND) -> Done:
        return self.done(lambda: plan_demotion(self.desk), hand)

    def done(self, plan: Callable[[], Plan], hand: Hand) -> Done:
        self.desk.notice_move()
        return carry_out(self.desk, plan(), plan, hand, self.link, self.said.append)

    def champion(self) -> str | None:
        now = self.desk.champion()
        return None if now is None else now.version

    def runner(self) -> tuple[str | None, str | None]:
        """Return the version that the runner trades once it has looked into its inbox, and what is withdrawn."""
        clock = SystemClock()
        journal = Journal(self.home / "live" / "account" / "journal.sqlite", clock)
        inbox = Inbox(
            live_dir=self.home / "live",
            keys_dir=self.home / "keys",
            factor_hash=FACTOR_HASH,
            model_name="tiny",
            journal=journal,
            clock=clock,
            staging=at_once("tiny"),
        )
        inbox.collect()
        current, withdrawn = trading(inbox, journal), journal.withdrawn()
        journal.close()
        assert not (self.home / "live" / "refused").exists()
        return (
            None if current is None else current[0].model_version,
            None if withdrawn is None else withdrawn.model_version,
        )

    def told(self) -> list[tuple[str, str, str | None, str]]:
        return [(line.what, line.decision, line.version, line.via) for line in self.desk.record.lines("tiny")]

    def state(self, version: ModelVersion) -> str | None:
        return state_of(self.desk.record.lines("tiny"), version, self.registry.aliases("tiny"))


@pytest.fixture
def market(tmp_path: Path) -> Market:
    return Market(tmp_path, registry_in(tmp_path))


def test_the_gates_decision_names_the_file_of_the_returns_it_was_made_on(market: Market) -> None:
    one = market.version("a")
    settle(market.desk, Verdict("promoted", (), one, "quant", "d" * 64), seen=None)
    assert market.desk.record.returns_digests("tiny") == {one.bundle_hash: {"d" * 64}}


def test_what_waits_stays_challenger_until_a_person_promotes_it(market: Market) -> None:
    one = market.judged("a", "promoted")
    two = market.judged("b", "awaiting_approval", reasons=("PBO cannot be assessed",))
    assert (market.champion(), market.registry.aliases("tiny")) == ("1", {"champion": "1", "challenger": "2"})
    assert (market.state(one), market.state(two)) == ("champion", "awaiting_approval")
    assert market.desk.record.refusal("tiny", "2", two.bundle_hash) is not None
    done = market.promote("2")
    assert (market.champion(), done.told.status) == ("2", "spooled")
    assert market.registry.aliases("tiny") == {"champion": "2"}
    assert market.desk.record.refusal("tiny", "2", two.bundle_hash) is None
    assert (market.state(one), market.state(two)) == ("former champion", "champion")
    assert market.runner() == ("2", None)
    line = market.desk.record.standing("tiny", two.bundle_hash)
    assert line is not None
    assert (line.by, line.reason, line.asked_by, line.via) == ("ann", "a reason", "quant", "promote")
    tags = market.registry.version_tags(two)
    assert (tags["decision"], tags["decided_by"], tags["decision_reason"]) == ("promoted", "ann", "a reason")
    assert market.registry.version_description("tiny", "2").startswith("> **promoted by ann (`ljwx promote`) at 20")


def test_what_a_person_approved_is_not_asked_for_again(market: Market) -> None:
    two = market.judged("b", "awaiting_approval")
    market.promote("1")
    lines = len(market.told())
    verdict = Verdict("awaiting_approval", (), two, "quant")
    settled = settle(market.desk, verdict, seen=two.bundle_hash)
    assert (settled.decision, len(market.told())) == ("promoted", lines)
    market.judged("c", "promoted")
    settled = settle(market.desk, verdict, seen=None)
    assert (settled.decision, market.champion()) == ("awaiting_approval", "2"), "it does not come back by itself"


@pytest.mark.parametrize(
    ("hand", "approval", "said"),
    [
        ("quant", {"separation": True}, "quant ran the research of this model"),
        ("cy", {"role": "risk", "roles": {"risk": ("ann",)}}, "cy does not have the role 'risk'"),
    ],
)
def test_who_may_not_approve_changes_nothing(market: Market, hand: str, approval: dict[str, Any], said: str) -> None:
    market.judged("a", "awaiting_approval")
    before = market.told()
    with pytest.raises(PromotionError, match=said):
        market.promote("1", Hand(hand, ""), OPEN.model_copy(update=approval))
    assert (market.champion(), market.told()) == (None, before)
    market.promote("1", Hand("ann", ""), OPEN.model_copy(update=approval))
    assert market.champion() == "1"


def test_what_the_gate_refused_or_never_saw_is_not_promoted(market: Market) -> None:
    market.judged("a", "refused", reasons=("rank IC 0.01 below 0.02",))
    market.version("b")
    assert market.registry.aliases("tiny") == {}
    with pytest.raises(PromotionError, match=r"the gate refused version 1 of tiny at .*rank IC 0\.01 below 0\.02"):
        market.promote("1")
    with pytest.raises(PromotionError, match="the gate never decided on version 2"):
        market.promote("2")
    with pytest.raises(RegistryError, match="tiny has no version '7': choose among 2, 1"):
        market.promote("7")
    assert market.champion() is None


def test_restated_data_of_the_version_or_the_champion_need_a_word(market: Market) -> None:
    one, two = market.judged("a", "promoted"), market.judged("b", "awaiting_approval")
    market.registry.tag_version("tiny", one.version, "data_restated", "3 rows of 2024-01 restated in bars")
    said = "the champion, version 1 was made from data that were changed since"
    with pytest.raises(PromotionError, match=said):
        market.promote("2")
    with pytest.raises(PromotionError, match="--restated-data-accepted --reason TEXT"):
        market.promote("2", Hand("ann", ""), restated_accepted=True)
    market.promote("2", restated_accepted=True)
    line = market.desk.record.standing("tiny", two.bundle_hash)
    assert line is not None
    assert line.reasons[0].startswith(f"restated data accepted: {said}")


def test_a_rollback_brings_the_former_champion_back_and_demotes_the_present_one(market: Market) -> None:
    versions = [market.judged(digit, "promoted") for digit in "abc"]
    for version in versions:
        market.link.push(market.registry.download_bundle(version, market.link.champions), version.version)
        market.runner()
    assert market.runner() == ("3", None)
    done = market.roll_back()
    assert (market.champion(), done.plan.demotes) == ("2", versions[2])
    assert market.runner() == ("2", None), "the runner knows the bundle, and trades it again"
    assert [market.state(one) for one in versions] == ["former champion", "champion", "demoted"]
    assert market.registry.version_tags(versions[2])["decision"] == "demoted"
    market.roll_back()
    assert (market.champion(), market.runner()) == ("1", ("1", None))
    with pytest.raises(
        PromotionError, match=r"no former champion to go back to; version 2 .*version 3 .*`ljwx demote`"
    ):
        market.roll_back()
    assert market.champion() == "1"


def test_a_demoted_model_comes_back_by_a_person_alone(market: Market) -> None:
    market.judged("a", "promoted")
    two = market.judged("b", "promoted")
    market.roll_back()
    settled = settle(market.desk, Verdict("promoted", (), two, "quant"), seen=market.version("a").bundle_hash)
    assert (settled.decision, market.champion()) == ("awaiting_approval", "1")
    assert "demoted by ann (`ljwx rollback-model`)" in settled.reasons[-1]
    settled = settle(market.desk, Verdict("promoted", (), two, "quant"), seen=market.version("a").bundle_hash)
    assert settled.decision == "awaiting_approval", "however often the gate passes it"
    market.promote("2")
    assert (market.champion(), market.runner()) == ("2", ("2", None))
    settled = settle(market.desk, Verdict("promoted", (), two, "quant"), seen=two.bundle_hash)
    assert settled.decision == "promoted"


def test_what_a_contest_demoted_comes_back_by_a_person_alone(market: Market) -> None:
    market.judged("a", "promoted")
    two = market.judged("b", "awaiting_approval")
    market.promote("2", Hand("bo", ""))
    three = market.judged("c", "awaiting_approval")
    for version in (two, three):
        market.desk.record.decided(
            "tiny", version.version, version.bundle_hash, decision="demoted", reasons=[], via="contest", reason="breach"
        )
    settled = settle(market.desk, Verdict("promoted", (), three, "quant"), seen=two.bundle_hash)
    assert (settled.decision, market.champion()) == ("awaiting_approval", "2")
    assert "demoted by somebody (contest) at" in settled.reasons[-1]
    settled = settle(market.desk, Verdict("promoted", (), three, "quant"), seen=two.bundle_hash)
    assert settled.decision == "awaiting_approval", "however often the gate passes it"


def test_a_contest_s_demotion_is_no_decision_of_the_gate_s(market: Market) -> None:
    market.judged("a", "promoted")
    two = market.judged("b", "awaiting_approval", asked_by="quant")
    market.desk.record.decided(
        "tiny", two.version, two.bundle_hash, decision="demoted", reasons=[], via="contest", reason="breach"
    )
    separated = OPEN.model_copy(update={"separation": True})
    with pytest.raises(PromotionError, match="quant ran the research of this model"):
        market.promote("2", Hand("quant", ""), separated)
    market.promote("2", HAND, separated)
    line = market.desk.record.standing("tiny", two.bundle_hash)
    assert line is not None
    assert (line.decision, line.by, line.asked_by) == ("promoted", "ann", "quant")


def test_who_asked_for_a_model_does_not_approve_it_though_another_asked_again(market: Market) -> None:
    one = market.judged("a", "awaiting_approval", asked_by="quant")
    settle(market.desk, Verdict("awaiting_approval", (), one, "bo\ncy"), seen=None)
    separated = OPEN.model_copy(update={"separation": True})
    for asker in ("quant", "bo", "cy"):
        with pytest.raises(PromotionError, match=f"{asker} ran the research of this model"):
            market.promote("1", Hand(asker, ""), separated)
    market.promote("1", HAND, separated)
    assert market.champion() == "1"


def test_the_rules_a_model_was_judged_under_hold_though_the_options_are_forgotten(market: Market) -> None:
    one = market.version("a")
    strict = Verdict("awaiting_approval", (), one, "quant", role="risk", separation=True)
    settle(market.desk, strict, seen=None)
    with pytest.raises(PromotionError, match="ann does not have the role 'risk'"):
        market.promote("1")
    named = OPEN.model_copy(update={"roles": {"risk": ("ann", "quant")}})
    with pytest.raises(PromotionError, match="quant ran the research of this model"):
        market.promote("1", Hand("quant", ""), named)
    other = OPEN.model_copy(update={"role": "head", "roles": {"risk": ("ann",), "head": ("bo",)}})
    with pytest.raises(PromotionError, match="ann does not have the role 'head'"):
        market.promote("1", HAND, other)
    market.promote("1", HAND, named)
    assert market.champion() == "1"


def test_a_version_that_was_not_asked_to_beat_the_champion_needs_a_word(market: Market) -> None:
    market.judged("a", "promoted")
    two = market.version("b")
    seen = market.version("a").bundle_hash
    settle(market.desk, Verdict("awaiting_approval", (), two, "quant", compared=False), seen=seen)
    with pytest.raises(PromotionError, match="it is not written down that the gate compared version 2 with any"):
        market.promote("2")
    market.promote("2", changed_accepted=True)
    assert market.champion() == "2"


def test_with_no_champion_left_the_way_back_is_named(market: Market) -> None:
    market.judged("a", "promoted")
    market.demote()
    with pytest.raises(PromotionError, match="no model trades now; `ljwx promote 1` brings the last one back"):
        market.roll_back()


def test_after_a_contest_s_demotion_a_command_tells_of_its_own(market: Market) -> None:
    one = market.judged("a", "promoted")
    market.promote("1")
    two = market.judged("b", "awaiting_approval")
    for version in (one, two):  # one: somebody pointed the alias at a canary that had been demoted
        market.desk.record.decided(
            "tiny", version.version, version.bundle_hash, decision="demoted", reasons=[], via="contest", reason="breach"
        )
    done = market.demote()
    assert done.plan.demotes == one
    assert market.runner() == (None, "1"), "not version 2, which the contest took back last"


def test_a_version_that_the_gate_never_compared_with_todays_champion_needs_a_word(market: Market) -> None:
    one = market.judged("a", "promoted")
    two, three = market.judged("b", "awaiting_approval"), market.judged("c", "promoted")
    before = market.told()
    short = one.bundle_hash[:12]
    said = rf"version 3 of tiny became champion meanwhile \(when version 2 was judged, it was bundle {short}"
    with pytest.raises(PromotionError, match=rf"{said}.*--champion-changed-accepted --reason TEXT"):
        market.promote("2")
    with pytest.raises(PromotionError, match=said):
        market.promote("2", Hand("ann", ""), changed_accepted=True)
    with pytest.raises(PromotionError, match=said):
        market.promote("2", restated_accepted=True)
    assert (market.champion(), market.told()) == ("3", before)
    market.promote("2", changed_accepted=True)
    line = market.desk.record.standing("tiny", two.bundle_hash)
    assert line is not None
    assert market.champion() == "2"
    assert line.reasons[0].startswith("changed champion accepted: version 3 of tiny became champion meanwhile")
    settle(market.desk, Verdict("awaiting_approval", (), three, "quant"), seen=two.bundle_hash)
    market.promote("3")
    assert market.champion() == "3", "judged again beside the champion of now"


def test_a_version_judged_without_a_champion_or_before_that_was_recorded_needs_a_word(market: Market) -> None:
    market.judged("a", "awaiting_approval")
    two = market.version("b")
    market.desk.record.decided("tiny", two.version, two.bundle_hash, decision="awaiting_approval", reasons=[])
    market.promote("1")
    with pytest.raises(PromotionError, match="it is not written down that the gate compared version 2 with any"):
        market.promote("2")
    market.promote("2", changed_accepted=True)
    with pytest.raises(PromotionError, match=r"when version 1 was judged, there was none\): they were never compared"):
        market.promote("1")
    market.demote()
    market.promote("1")
    assert market.champion() == "1", "without a champion there is none to replace"


def test_taking_the_alias_off_by_hand_spares_nobody_the_comparison(market: Market) -> None:
    one = market.judged("a", "awaiting_approval")
    two = market.judged("b", "promoted")
    market.registry.drop_alias("champion", "tiny")
    with pytest.raises(
        PromotionError, match=r"version 2 of tiny became champion meanwhile .* they were never compared"
    ):
        market.promote("1")
    with pytest.raises(PromotionError, match="version 2 of tiny became champion meanwhile"):
        settle(market.desk, Verdict("promoted", (), one, "quant"), seen=None)
    three = market.version("c")
    settled = settle(market.desk, Verdict("promoted", (), three, "quant"), seen=two.bundle_hash)
    assert (settled.decision, market.champion()) == ("promoted", "3"), "judged beside the one that was taken off"
    market.registry.drop_alias("champion", "tiny")
    market.demote()
    market.promote("1")
    assert market.champion() == "1", "`ljwx demote` settles it"


def test_pointing_the_alias_at_an_earlier_champion_spares_nobody_the_comparison(market: Market) -> None:
    one, two = market.judged("a", "promoted"), market.judged("b", "promoted")
    market.registry.promote(one)
    three = market.version("c")
    with pytest.raises(PromotionError, match="version 2 of tiny became champion meanwhile"):
        settle(market.desk, Verdict("promoted", (), three, "quant"), seen=one.bundle_hash)
    settle(market.desk, Verdict("promoted", (), three, "quant"), seen=two.bundle_hash)
    assert market.champion() == "3"


def test_a_later_wait_for_approval_is_written_down_even_of_the_champion(market: Market) -> None:
    one = market.judged("a", "promoted")
    settled = settle(market.desk, Verdict("awaiting_approval", ("always",), one, "quant"), seen=one.bundle_hash)
    assert (settled.decision, market.champion()) == ("awaiting_approval", "1")
    assert market.desk.record.refusal("tiny", "1", one.bundle_hash) is not None
    assert market.registry.version_tags(one)["decision"] == "awaiting_approval"
    assert market.registry.aliases("tiny") == {"champion": "1"}
    market.promote("1")
    assert market.desk.record.refusal("tiny", "1", one.bundle_hash) is None
    market.judged("b", "promoted")
    market.roll_back()
    settled = settle(market.desk, Verdict("awaiting_approval", (), one, "quant"), seen=one.bundle_hash)
    assert settled.decision == "promoted", "a person approved it, and another brought it back"
    two = market.judged("c", "promoted")
    settled = settle(market.desk, Verdict("awaiting_approval", (), one, "quant"), seen=two.bundle_hash)
    assert (settled.decision, market.champion()) == ("awaiting_approval", "3")
    assert market.desk.record.refusal("tiny", "1", one.bundle_hash) is not None, "whoever points the alias there"


def test_a_registered_version_leaves_the_alias_to_the_one_that_waits(market: Market) -> None:
    market.judged("a", "promoted")
    two = market.version("b")
    challenge(market.desk, two)
    assert market.registry.aliases("tiny") == {"champion": "1", "challenger": "2"}
    settle(market.desk, Verdict("awaiting_approval", (), two, "quant"), seen=None)
    three = market.version("c")
    challenge(market.desk, three)
    assert market.registry.aliases("tiny") == {"champion": "1", "challenger": "2"}
    settle(market.desk, Verdict("refused", (), three, "quant"), seen=None)
    assert market.registry.aliases("tiny") == {"champion": "1", "challenger": "2"}
    settle(market.desk, Verdict("awaiting_approval", (), three, "quant"), seen=None)
    assert market.registry.aliases("tiny") == {"champion": "1", "challenger": "3"}, "the newest that waits"


@pytest.mark.parametrize("what", ["notice", "challenge"])
def test_alias_and_record_are_read_and_changed_while_no_promotion_runs(market: Market, what: str) -> None:
    one = market.judged("a", "promoted")
    two = market.version("b")
    act = market.desk.notice_move if what == "notice" else lambda: challenge(market.desk, two)
    done = threading.Event()

    def other() -> None:
        act()
        done.set()

    worker = threading.Thread(target=other)
    with market.desk.one_at_a_time():  # a promotion between its alias and its line
        market.registry.promote(two)
        worker.start()
        assert not done.wait(1.0)
        market.desk.record.decided("tiny", "2", two.bundle_hash, decision="promoted", reasons=[])
        market.desk.record.moved("tiny", "2", two.bundle_hash)
    worker.join(30)
    assert done.is_set()
    assert market.desk.record.last_by_hand("tiny") is None
    assert one.bundle_hash != two.bundle_hash


def test_a_rollback_names_its_version_and_why_another_is_none(market: Market) -> None:
    for digit in "abc":
        market.judged(digit, "promoted")
    market.judged("d", "awaiting_approval")
    with pytest.raises(PromotionError, match=r"version 4 .* it was awaiting_approval by the gate.*choose among 2, 1"):
        market.roll_back("4")
    with pytest.raises(PromotionError, match="version 3 of tiny is the champion now"):
        market.roll_back("3")
    market.roll_back("1")
    assert (market.champion(), market.runner()) == ("1", ("1", None))


def test_a_demotion_stops_the_runner_until_another_bundle_comes(market: Market) -> None:
    one = market.judged("a", "promoted")
    market.promote("1")
    assert market.runner() == ("1", None)
    market.demote()
    assert (market.champion(), market.runner(), market.state(one)) == (None, (None, "1"), "demoted")
    again = market.demote()
    assert again.plan.demotes is None, "the same word once more"
    assert market.runner() == (None, "1")
    market.promote("1")
    assert (market.champion(), market.runner()) == ("1", ("1", None))
    market.demote()
    assert market.runner() == (None, "1"), "a second demotion is another withdrawal"


def test_a_reason_of_old_longer_than_a_runner_takes_is_cut(market: Market) -> None:
    one = market.judged("a", "promoted")
    market.promote("1")
    long = {"via": "demote", "by": "a" * 200, "reason": "回" * 12_000}
    market.desk.record.decided("tiny", "1", one.bundle_hash, decision="demoted", reasons=[], **long)  # type: ignore[arg-type]
    market.demote()
    (spooled,) = (market.home / "live" / "inbox").glob("*.withdrawal.json")
    word = unpack_withdrawal(spooled.read_bytes(), public_key=public_key_of(market.key))
    assert (len(word.by), word.reason) == (100, "回" * 1000)
    assert market.runner() == (None, "1")


def refused(*_: object) -> NoReturn:
    raise PromotionError("the runner refuses it (the request is too large)", "mend it")


def test_a_withdrawal_that_the_runner_refuses_is_told_with_what_is_left(
    market: Market, monkeypatch: pytest.MonkeyPatch
) -> None:
    for digit in "ab":
        market.judged(digit, "promoted")
    with monkeypatch.context() as patched:
        patched.setattr(RunnerLink, "withdraw", refused)
        with pytest.raises(PromotionError, match=r"version 1 is champion in the registry, but .*too large") as found:
            market.roll_back()
        assert "the runner trades what it traded before" in found.value.fact
        assert "run `ljwx rollback-model` again, or `ljwx demote`" in found.value.remedy
    market.roll_back()
    assert (market.champion(), market.runner()) == ("1", ("1", None))
    with monkeypatch.context() as patched:
        patched.setattr(RunnerLink, "withdraw", refused)
        with pytest.raises(PromotionError, match=r"version 1 is demoted in the record, but .*too large") as found:
            market.demote()
        assert "the runner trades what it traded before, and the alias champion of tiny stays" in found.value.fact
    market.demote()
    assert (market.champion(), market.runner()) == (None, (None, "1"))


def test_without_a_champion_ever_there_is_nothing_to_demote(market: Market) -> None:
    with pytest.raises(PromotionError, match="never had one"):
        market.demote()
    with pytest.raises(PromotionError, match="no former champion"):
        market.roll_back()


def test_a_demotion_reaches_the_runner_while_mlflow_is_away(market: Market, tmp_path: Path) -> None:
    one = market.judged("a", "promoted")
    market.promote("1")
    away = Registry(tracking_uri="http://127.0.0.1:9", artifact_root=None, experiment="tests")
    real, market.desk = market.desk, Desk(away, market.desk.record, "tiny")
    with pytest.raises(RegistryError, match=r"`ljwx demote` stops the model without MLflow"):
        plan_rollback(market.desk)
    plan = plan_demotion(market.desk)
    with pytest.raises(RegistryError, match=r"the runner was told .* again when MLflow answers"):
        carry_out(market.desk, plan, lambda: plan_demotion(market.desk), HAND, market.link, market.said.append)
    assert market.runner() == (None, "1")
    market.desk = real
    assert market.champion() == "1"
    assert market.desk.record.refusal("tiny", "1", one.bundle_hash) is not None, "nothing deploys it meanwhile"
    market.demote()
    assert (market.champion(), market.runner()) == (None, (None, "1"))


def test_a_demotion_is_done_where_mlflow_lost_the_version(market: Market, tmp_path: Path) -> None:
    market.judged("a", "promoted")
    market.promote("1")
    assert market.runner() == ("1", None)
    copied = tmp_path.with_name(f"{tmp_path.name}-anew")
    shutil.copytree(tmp_path, copied)
    anew = Market(copied, registry_in(copied))
    done = anew.demote()
    (note,) = done.notes
    assert (
        note == "version 1 is demoted and the runner was told; MLflow no longer holds it, so no page of it shows that"
    )
    assert (anew.champion(), anew.runner()) == (None, (None, "1"))
    assert anew.told()[-1][0] == "delivered"
    assert anew.desk.record.open_command("tiny") is None


@pytest.mark.parametrize("command", ["promote", "rollback-model", "demote"])
def test_a_page_of_mlflow_that_cannot_be_written_fails_no_command(
    market: Market, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for digit in "abc":
        market.judged(digit, "promoted")
    market.promote("3")
    market.judged("d", "awaiting_approval")
    run = {"promote": lambda: market.promote("4"), "rollback-model": market.roll_back, "demote": market.demote}[command]

    def read_only(*_: object) -> NoReturn:
        raise RegistryError("MLflow refused (attempt to write a readonly database)", "mend it")

    with monkeypatch.context() as patched:
        patched.setattr(Registry, "tag_version", read_only)
        done = run()
    about = {"promote": ["4"], "rollback-model": ["2", "3"], "demote": ["3"]}[command]
    assert [note.split()[1] for note in done.notes] == about
    assert all("the runner was told; MLflow's page of it may not show that (MLflow refused" in x for x in done.notes)
    ends = {"promote": ("4", ("4", None)), "rollback-model": ("2", ("2", None)), "demote": (None, (None, "3"))}
    assert (market.champion(), market.runner()) == ends[command]
    assert market.told()[-1][0] == "delivered"


def test_of_two_judged_beside_the_same_champion_the_second_is_told(market: Market) -> None:
    one = market.judged("a", "promoted")
    two, three = market.version("b"), market.version("c")
    settle(market.desk, Verdict("promoted", (), two, "q"), seen=one.bundle_hash)
    with pytest.raises(PromotionError, match="version 2 of tiny became champion meanwhile"):
        settle(market.desk, Verdict("promoted", (), three, "q"), seen=one.bundle_hash)
    assert market.champion() == "2"
    assert market.desk.record.standing("tiny", three.bundle_hash) is None
    again = settle(market.desk, Verdict("promoted", (), two, "q"), seen=one.bundle_hash)
    assert again.decision == "promoted", "the same promotion again is no other one"


def test_a_rollback_given_twice_at_once_is_done_once(market: Market) -> None:
    for digit in "abc":
        market.judged(digit, "promoted")
    planned = plan_rollback(market.desk)
    market.roll_back()
    with pytest.raises(PromotionError, match="version 2 of tiny became champion meanwhile"):
        carry_out(market.desk, planned, lambda: plan_rollback(market.desk), HAND, market.link, market.said.append)
    assert market.champion() == "2"


def _promote_at_once(home: str, number: str, gate: Any, answers: Any) -> None:
    market = Market(Path(home), open_registry(SETTINGS, Path(home)))
    plan = plan_promotion(market.desk, number, HAND, OPEN)
    gate.wait(60)
    try:
        carry_out(market.desk, plan, lambda: plan_promotion(market.desk, number, HAND, OPEN), HAND, market.link, print)
    except (PromotionError, LakeError) as error:
        answers.put((number, str(error)))
    else:
        answers.put((number, ""))


@pytest.mark.slow
def test_of_two_processes_that_promote_at_once_one_wins_and_the_other_is_told(market: Market) -> None:
    for digit, decision in zip("abc", ("promoted", "awaiting_approval", "awaiting_approval"), strict=True):
        market.judged(digit, decision)
    context = multiprocessing.get_context("spawn")
    gate, answers = context.Barrier(2), context.Queue()
    workers = [
        context.Process(target=_promote_at_once, args=(str(market.home), number, gate, answers)) for number in "23"
    ]
    for worker in workers:
        worker.start()
    told = dict(answers.get(timeout=120) for _ in workers)
    for worker in workers:
        worker.join(60)
    (winner,) = [number for number, error in told.items() if not error]
    (loser,) = set(told) - {winner}
    assert f"version {winner} of tiny became champion meanwhile (when version {loser} was judged" in told[loser]
    assert (market.champion(), market.runner()) == (winner, (winner, None))


class _Killed(BaseException):
    """Nothing catches it: what comes after a kill does not happen."""


def _points(command: str) -> Iterator[tuple[str, str]]:
    """Each call that leaves something behind, by what it is called on."""
    for step in {
        "promote": ("decided", "promote", "moved", "push", "tag_version", "delivered"),
        "rollback-model": ("decided", "promote", "moved", "withdraw", "push", "tag_version", "delivered"),
        "demote": ("decided", "withdraw", "drop_alias", "moved", "tag_version", "delivered"),
    }[command]:
        yield step, "before"
        if step != "delivered":  # after that it is done: a second rollback is another one
            yield step, "after"


@pytest.mark.slow
@pytest.mark.parametrize("command", ["promote", "rollback-model", "demote"])
def test_killed_anywhere_the_same_command_finishes_it(
    command: str, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    ends = {"promote": ("4", ("4", None)), "rollback-model": ("2", ("2", None)), "demote": (None, (None, "3"))}
    for step, when in _points(command):
        home = tmp_path_factory.mktemp("killed")
        market = Market(home, registry_in(home))
        for digit in "abc":
            market.judged(digit, "promoted")
        market.judged("d", "awaiting_approval")
        market.promote("3")
        market.runner()
        run = {"promote": lambda m=market: m.promote("4"), "rollback-model": market.roll_back, "demote": market.demote}
        owner = next(o for o in (ChampionRecord, Registry, RunnerLink) if hasattr(o, step))
        with monkeypatch.context() as patched:
            patched.setattr(owner, step, _dying(getattr(owner, step), when))
            with pytest.raises(_Killed):
                run[command]()
        trades, _ = market.runner()
        if trades is not None:
            bundle = market.desk.version(trades).bundle_hash
            decided = market.desk.record.lines("tiny")
            assert any(x.decision == "promoted" and x.bundle_hash == bundle for x in decided), (step, when)
        run[command]()
        assert (market.champion(), market.runner()) == ends[command], (step, when)
        assert market.desk.record.difference(market.registry, "tiny") is None
        assert market.desk.record.last_by_hand("tiny") is None, (step, when)
        assert market.desk.record.open_command("tiny") is None
        assert [line for line in market.told() if line[0] == "moved"][-1][2] == ends[command][0]
        for version in market.registry.versions("tiny"):
            standing = market.desk.record.standing("tiny", version.bundle_hash)
            assert standing is not None
            assert market.registry.version_tags(version)["decision"] == standing.decision, (step, when)


def _dying(real: Callable[..., Any], when: str) -> Callable[..., Any]:
    def dies(*args: Any, **kwargs: Any) -> Any:
        if when == "after":
            real(*args, **kwargs)
        raise _Killed

    return dies


def _die_in_promotion(home: str) -> None:
    market = Market(Path(home), open_registry(SETTINGS, Path(home)))
    moves.intact_bundle = lambda *_args, **_how: os.kill(os.getpid(), signal.SIGKILL)  # type: ignore[assignment]
    market.promote("1")


def test_a_lock_held_by_a_process_that_was_killed_is_free(market: Market) -> None:
    market.judged("a", "awaiting_approval")
    worker = multiprocessing.get_context("spawn").Process(target=_die_in_promotion, args=(str(market.home),))
    worker.start()
    worker.join(120)
    assert worker.exitcode == -signal.SIGKILL
    market.promote("1")
    assert market.champion() == "1"
