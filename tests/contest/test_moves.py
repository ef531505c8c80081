"""Who may be in a contest, what MLflow shows of it, and how it ends; on a real registry."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pandas as pd
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ljwx_pipeline.config import ApprovalSettings, Settings
from ljwx_pipeline.contest.bound import ARTIFACT, COLUMN, MIN_SESSIONS, bound_of
from ljwx_pipeline.contest.moves import (
    CONTEST_TAG,
    Asked,
    ContestMoves,
    next_session,
    rehearsal_session,
    terms_hash,
)
from ljwx_pipeline.contest.record import ContestRecord
from ljwx_pipeline.errors import BundleError, ConfigError, LjwxError, PromotionError, RegistryError, SourceError
from ljwx_pipeline.registry import ModelVersion, Registry
from ljwx_pipeline.scoring.signing import public_key_of
from ljwx_pipeline.tracking import ChampionRecord
from tests.fakes.bundles import tiny_bundle
from tests.fakes.mlflow_home import registry_in

KEY = Ed25519PrivateKey.from_private_bytes(bytes(32))
FIRST = date(2026, 1, 6)


class House:
    """A registry with a champion, version 1, and others beside it; the record, and what may be done."""

    def __init__(self, folder: Path, settings: Settings) -> None:
        self.folder, self.settings = folder, settings
        self.registry: Registry = registry_in(folder)
        self.champions = ChampionRecord(folder / "tracking")
        self.record = ContestRecord(folder / "tracking")
        self.moves = ContestMoves(
            self.registry,
            self.record,
            model="tiny",
            folder=folder / "tracking",
            bundles=folder / "champions",
            public_key=public_key_of(KEY),
        )
        self.promote(self.registered("a"))

    def registered(self, digit: str, returns: np.ndarray | None = None, **changes: Any) -> ModelVersion:
        bundle = tiny_bundle(self.folder / "made", KEY, data_hash=digit * 64, **changes)
        run_id = self.registry.begin("research")
        if returns is not None:
            days = pd.bdate_range("2024-01-01", periods=len(returns), name="session_date")
            path = self.folder / digit / Path(ARTIFACT).name
            path.parent.mkdir()
            pd.DataFrame({"session_date": days, COLUMN: returns}).to_parquet(path)
            self.registry.log_artifacts(run_id, path, "report")
        return self.registry.register(bundle, run_id=run_id, public_key=public_key_of(KEY))

    def decide(self, version: ModelVersion, decision: str) -> None:
        self.champions.decided("tiny", version.version, version.bundle_hash, decision=decision, reasons=["r"])

    def promote(self, version: ModelVersion) -> None:
        self.decide(version, "promoted")
        self.registry.promote(version)
        self.champions.moved("tiny", version.version, version.bundle_hash)

    def begin(self, *versions: str, mode: Any = "shadow", **asked: Any) -> Any:
        told = Asked(versions, mode, FIRST, **{"bound_frac": 0.02, **asked})
        return self.moves.begin(told, self.settings)

    def aliases(self) -> dict[str, str]:
        return self.registry.aliases("tiny")


@pytest.fixture
def house(tmp_path: Path, settings: Settings) -> House:
    return House(tmp_path, settings)


def test_a_refused_version_is_a_shadow_and_shown_as_such(house: House) -> None:
    other = house.registered("b")
    house.decide(other, "refused")
    begun = house.begin("2")
    assert house.aliases() == {"champion": "1", "shadow": "2"}
    assert (begun.champion_version, begun.challengers[0].bundle_hash) == ("1", other.bundle_hash)
    assert begun.challengers[0].capital_frac == begun.champion_capital_frac == 1.0
    running = house.record.running("tiny")
    assert running is not None
    assert running.contest == begun
    assert begun.id in house.registry.version_tags(other)[CONTEST_TAG]
    assert house.moves.settle() == running, "nothing to settle, twice"


def test_only_what_the_line_promoted_is_a_canary(house: House) -> None:
    other = house.registered("b")
    with pytest.raises(PromotionError, match="may not trade as a canary: the line never decided on it"):
        house.begin("2", mode="canary")
    house.decide(other, "refused")
    with pytest.raises(PromotionError, match="may not trade as a canary: the gate's decision on it was refused"):
        house.begin("2", mode="canary")
    assert house.aliases() == {"champion": "1"}
    assert house.record.last("tiny") is None, "nothing half-written"
    house.decide(other, "promoted")
    begun = house.begin("2", mode="canary", capital_frac=0.2)
    assert house.aliases() == {"champion": "1", "canary": "2"}
    assert (begun.challengers[0].capital_frac, begun.champion_capital_frac) == (0.2, 0.8)


def test_what_awaits_approval_is_a_canary_for_whoever_may_approve_it(house: House) -> None:
    approval = ApprovalSettings(
        required="when_unassessable", role="risk", roles={"risk": ("ann", "bo")}, separation=True
    )
    house.settings = house.settings.model_copy(update={"approval": approval})
    other, now = house.registered("b"), house.registry.champion("tiny")
    assert now is not None
    house.champions.decided(
        "tiny",
        other.version,
        other.bundle_hash,
        decision="awaiting_approval",
        reasons=["six"],
        asked_by="ann",
        champion_seen=now.bundle_hash,
    )
    with pytest.raises(PromotionError, match=r"awaits approval and may not .*: joe does not have the role 'risk'"):
        house.begin("2", mode="canary", by="joe")
    with pytest.raises(PromotionError, match="ann ran the research of this model"):
        house.begin("2", mode="canary", by="ann")
    assert not house.record.path.exists()
    begun = house.begin("2", mode="canary", by="bo")
    assert begun.begun_by == "bo"
    running = house.record.running("tiny")
    assert running is not None
    assert running.contest == begun, "the name is part of what the record holds to"
    assert house.registry.version_tags(other)[CONTEST_TAG].endswith("against version 1, begun by bo")
    standing = house.champions.standing("tiny", other.bundle_hash)
    assert standing is not None
    assert standing.decision == "awaiting_approval", "a canary is no promotion"


def test_what_the_gate_never_compared_with_this_champion_is_no_canary(house: House) -> None:
    other = house.registered("b")
    house.champions.decided(
        "tiny", other.version, other.bundle_hash, decision="awaiting_approval", reasons=[], champion_seen="none"
    )
    with pytest.raises(PromotionError, match="they were never compared"):
        house.begin("2", mode="canary", by="ann")


def test_an_unknown_version_is_told_as_everywhere(house: House) -> None:
    house.registered("b")
    with pytest.raises(RegistryError, match="tiny has no version '9'"):
        house.begin("9")


def test_alpha_is_split_over_three_challengers_each_with_an_alias(house: House) -> None:
    for digit in "bcd":
        house.registered(digit)
    begun = house.begin("2", "3", "4")
    assert begun.alpha_each == begun.alpha / 3
    assert house.aliases() == {"champion": "1", "shadow": "2", "shadow-2": "3", "shadow-3": "4"}


@pytest.mark.parametrize(
    ("versions", "asked", "said"),
    [
        (("1",), {}, "is the champion's or named twice"),
        (("2", "2"), {}, "is the champion's or named twice"),
        (("2",), {"capital_frac": 0.1}, "a shadow has no capital"),
        (("2",), {"bound_frac": 0.0}, "bounds nothing"),
        (("2",), {"mode": "canary", "capital_frac": 0.6}, "contest.max_canary_frac is 50.0%"),
        (("2",), {"mode": "canary", "capital_frac": 0.0}, "contest.max_canary_frac"),
        (("2",), {"mode": "canary", "rehearsal": True}, "decides nothing"),
    ],
)
def test_what_cannot_be_asked_is_refused_and_changes_nothing(
    house: House, versions: tuple[str, ...], asked: dict[str, Any], said: str
) -> None:
    house.decide(house.registered("b"), "promoted")
    with pytest.raises(PromotionError, match=said):
        house.begin(*versions, **asked)
    assert house.aliases() == {"champion": "1"}
    assert not house.record.path.exists()


def test_a_model_trained_on_the_first_session_or_on_other_factors_is_refused(house: House) -> None:
    house.registered("b", last_session=FIRST)
    house.registered("c", factor_hash="0" * 64)
    with pytest.raises(BundleError, match="was trained up to 2026-01-06, the contest begins 2026-01-06"):
        house.begin("2")
    with pytest.raises(BundleError, match="is of factors 000000000000"):
        house.begin("3")


def test_a_damaged_bundle_begins_no_contest(house: House) -> None:
    other = house.registered("b")
    for path in Path(str(house.registry.artifact_root).removeprefix("file://")).rglob(f"{other.bundle_hash}/model.txt"):
        path.write_text("tree")
    with pytest.raises(BundleError):
        house.begin("2")
    assert house.record.last("tiny") is None


def test_a_champion_that_somebody_put_there_by_hand_is_not_contested(house: House) -> None:
    house.registry.promote(house.registered("b"))
    with pytest.raises(PromotionError, match="the line never decided on it"):
        house.begin("1")


def test_of_two_starts_at_once_one_wins_and_the_other_is_told(house: House) -> None:
    for digit in "bc":
        house.registered(digit)
    told: list[Any] = []

    def start(version: str) -> None:
        try:
            told.append(house.begin(version))
        except LjwxError as error:
            told.append(error)

    threads = [Thread(target=start, args=(version,)) for version in "23"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    refused = [one for one in told if isinstance(one, PromotionError)]
    begun = [one for one in told if not isinstance(one, Exception)]
    assert len(refused) == len(begun) == 1
    assert f"contest {begun[0].id} runs since 2026-01-06" in refused[0].fact
    assert len(house.record.courses("tiny")) == 1
    assert house.aliases()["shadow"] == begun[0].challengers[0].version
    with pytest.raises(PromotionError, match="end it first"):
        house.begin(begun[0].challengers[0].version)


def test_a_contest_that_was_stopped_may_be_followed_by_another(house: House) -> None:
    house.registered("b")
    first = house.begin("2")
    course = house.moves.stop("enough")
    assert course.ended is not None
    assert (course.ended.outcome, course.ended.reason) == ("stopped", "enough")
    assert house.aliases() == {"champion": "1"}
    with pytest.raises(PromotionError, match="no contest of tiny runs"):
        house.moves.stop("again")
    second = house.begin("2", bound_frac=0.03)
    assert second.id != first.id
    assert [one.contest.id for one in house.record.courses("tiny")] == [first.id, second.id]


def test_a_champion_that_changes_ends_the_contest(house: House) -> None:
    house.registered("b")
    begun = house.begin("2")
    house.promote(house.registered("c"))
    assert house.moves.settle() is None
    course = house.record.last("tiny")
    assert course is not None
    assert course.ended is not None
    assert course.ended.outcome == "champion_changed"
    assert course.ended.reason.startswith("champion was version 1 (")
    assert "now is version 3" in course.ended.reason
    assert house.aliases() == {"champion": "3"}
    assert begun.id == course.contest.id


def test_a_challenger_that_becomes_champion_ends_the_contest(house: House) -> None:
    other = house.registered("b")
    house.begin("2")
    house.promote(other)
    assert house.moves.settle() is None
    assert house.aliases() == {"champion": "2"}


@pytest.mark.parametrize("to", [None, "3"])
def test_a_challenger_whose_alias_was_moved_by_hand_leaves(house: House, to: str | None) -> None:
    for digit in "bcd":
        house.registered(digit)
    house.begin("2", "4")
    house.registry.drop_alias("shadow", "tiny")
    if to is not None:
        house.registry.set_alias("shadow", house.registry.version("tiny", to))
    course = house.moves.settle()
    assert course is not None
    left = course.left("2")
    assert left is not None
    assert left.outcome == "moved"
    assert [one.version for one in course.remaining] == ["4"]
    assert house.aliases() == {"champion": "1", "shadow-2": "4"}


def test_an_alias_that_a_crash_left_is_taken_off(house: House) -> None:
    other = house.registered("b")
    house.registry.set_alias("canary", other)  # killed before the contest was recorded
    assert house.moves.settle() is None
    assert house.aliases() == {"champion": "1"}


def test_a_canary_in_breach_is_demoted_once_and_may_not_trade_again(house: House) -> None:
    other, second = house.registered("b"), house.registered("c")
    for one in (other, second):
        house.decide(one, "promoted")
    house.begin("2", "3", mode="canary")
    running = house.record.running("tiny")
    assert running is not None
    for _ in range(2):
        course = house.moves.leave(
            running, running.contest.challengers[0], outcome="breach", session="2026-02-02", reason="5 % behind"
        )
    assert [one.what for one in course.happened] == ["left"]
    assert house.aliases() == {"champion": "1", "canary-2": "3"}
    refusal = house.champions.refusal("tiny", "2", other.bundle_hash)
    assert refusal is not None
    assert "demoted by the daily job (contest) at" in refusal[0]
    assert refusal[0].endswith(": 5 % behind")
    assert house.champions.refusal("tiny", "1", running.contest.champion_bundle) is None, "the champion trades on"
    course = house.moves.leave(
        course, course.contest.challengers[1], outcome="worse", session="2026-03-02", reason="worse"
    )
    assert course.ended is not None
    assert course.ended.outcome == "no_challenger"
    assert house.aliases() == {"champion": "1"}
    with pytest.raises(PromotionError, match="may not trade as a canary: it was demoted by the daily job"):
        house.begin("2", mode="canary")


def test_a_canary_that_became_champion_meanwhile_is_not_demoted(house: House) -> None:
    other = house.registered("b")
    house.decide(other, "promoted")
    house.begin("2", mode="canary")
    running = house.record.running("tiny")
    assert running is not None
    house.promote(other)
    course = house.moves.leave(
        running, running.contest.challengers[0], outcome="breach", session="2026-02-02", reason="5 % behind"
    )
    assert course.ended is not None
    assert course.ended.outcome == "champion_changed"
    assert course.left("2") is None
    assert house.champions.refusal("tiny", "2", other.bundle_hash) is None
    assert house.aliases() == {"champion": "2"}


def test_a_shadow_that_leaves_touches_no_promotion(house: House) -> None:
    other = house.registered("b")
    house.decide(other, "promoted")
    house.begin("2")
    running = house.record.running("tiny")
    assert running is not None
    house.moves.leave(running, running.contest.challengers[0], outcome="unusable", session="", reason="damaged")
    assert house.champions.refusal("tiny", "2", other.bundle_hash) is None
    assert house.aliases() == {"champion": "1"}


def test_the_bound_is_five_deviations_of_what_both_walk_forwards_differ_by(house: House) -> None:
    rng = np.random.default_rng(0)
    base = rng.normal(0, 0.01, MIN_SESSIONS + 50)
    other = base + rng.normal(0, 0.003, len(base))
    house.promote(house.registered("b", base))
    house.registered("c", other)
    begun = house.begin("3", bound_frac=None)
    expected = 5 * float(np.std((other - base)[1:], ddof=1))
    assert begun.challengers[0].bound_frac == pytest.approx(expected, rel=1e-12)


def test_two_challengers_that_are_one_model_are_refused(house: House) -> None:
    rng = np.random.default_rng(0)
    base, other = rng.normal(0, 0.01, (2, MIN_SESSIONS + 50))
    house.promote(house.registered("b", base))
    house.registered("c", other)
    house.registered("d", other)
    with pytest.raises(PromotionError, match="versions 3 and 4 earned the same on each of 169 sessions"):
        house.begin("3", "4", bound_frac=None)
    assert house.record.last("tiny") is None
    house.begin("3", bound_frac=None)


def test_without_a_walk_forward_a_bound_has_to_be_named(house: House) -> None:
    house.registered("b")
    with pytest.raises(PromotionError, match=r"no research run of version 1 holds report/returns\.parquet"):
        house.begin("2", bound_frac=None)
    assert house.record.last("tiny") is None


def test_a_bound_needs_enough_common_sessions_and_models_that_differ() -> None:
    days = pd.bdate_range("2024-01-01", periods=MIN_SESSIONS)
    base = pd.Series(np.random.default_rng(0).normal(0, 0.01, MIN_SESSIONS), index=days)
    with pytest.raises(PromotionError, match="earned the same on each of 120 sessions"):
        bound_of(base, base.copy(), deviations=5.0)
    with pytest.raises(PromotionError, match="have 119 sessions in common, a bound needs 120"):
        bound_of(base, base.iloc[1:] + 0.001, deviations=5.0)


def test_the_first_session_is_one_of_which_nothing_is_known() -> None:
    friday_morning = datetime(2026, 1, 9, 1, tzinfo=UTC)
    assert next_session(date(2026, 1, 8), friday_morning) == date(2026, 1, 12), "today's session may have begun"
    assert next_session(date(2025, 12, 31), friday_morning) == date(2026, 1, 12), "a lake that lags knows no less"
    late_in_utc = datetime(2026, 1, 11, 17, tzinfo=UTC)  # Monday in Shanghai
    assert next_session(None, late_in_utc) == date(2026, 1, 13)
    with pytest.raises(SourceError, match="no session after"):
        next_session(date(2999, 1, 1), friday_morning)


def test_a_rehearsal_begins_with_the_held_out_sessions() -> None:
    sessions = pd.bdate_range("2026-01-01", periods=30)
    assert rehearsal_session(sessions, 10) == sessions[20].date()
    with pytest.raises(PromotionError, match="2 sessions are held out"):
        rehearsal_session(sessions, 2)


@pytest.mark.parametrize(
    ("section", "change", "said"),
    [
        ("uncertainty", {"max_width_frac": 0.2}, "a contest trades every scored name"),
        ("uncertainty", {"max_loss_frac": 0.1}, "a contest trades every scored name"),
        ("strategy", {"kind": "long_short"}, "long_short is for research"),
    ],
)
def test_settings_that_trade_otherwise_begin_no_contest(
    house: House, section: str, change: dict[str, Any], said: str
) -> None:
    house.registered("b")
    changed = getattr(house.settings, section).model_copy(update=change)
    house.settings = house.settings.model_copy(update={section: changed})
    with pytest.raises(ConfigError, match=said):
        house.begin("2")
    assert house.aliases() == {"champion": "1"}
    assert house.record.last("tiny") is None


def test_the_terms_are_strategy_costs_universe_and_the_limits_alone(settings: Settings) -> None:
    base = terms_hash(settings)

    def with_uncertainty(**change: float) -> str:
        changed = settings.uncertainty.model_copy(update=change)
        return terms_hash(settings.model_copy(update={"uncertainty": changed}))

    assert with_uncertainty(step=settings.uncertainty.step / 2) == base
    assert len({base, with_uncertainty(max_width_frac=0.2), with_uncertainty(max_loss_frac=0.2)}) == 3
    assert (
        terms_hash(settings.model_copy(update={"contest": settings.contest.model_copy(update={"alpha": 0.1})})) == base
    )
    costs = settings.costs.model_copy(update={"slippage_bps": 9.0})
    assert terms_hash(settings.model_copy(update={"costs": costs})) != base
