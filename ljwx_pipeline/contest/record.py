"""What contests were begun with and how they went on: ``tracking/contests.jsonl``, which only grows.

A contest is written down before its first session, with everything its verdict rests on, and named by a hash of it: a
line that was edited afterwards is damage, not another contest. Not here: who may begin one (``moves.py``).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any, Literal

from ljwx_pipeline.clock import Clock, SystemClock
from ljwx_pipeline.errors import LakeError
from ljwx_pipeline.tracking.journal import append_line, read_lines, stable_id

RECORD_FILE = "contests.jsonl"
Mode = Literal["shadow", "canary"]
#: ``left``: a challenger; ``decided``: the test on a challenger, once; ``ended``: the contest.
What = Literal["left", "decided", "ended"]


@dataclass(frozen=True)
class Challenger:
    """One challenger.

    Parameters
    ----------
    version, bundle_hash
        The registered version and the bundle it held at the start.
    bound_frac
        Beyond which a daily difference of net returns is clipped.
    capital_frac
        Share of the capital that its returns are reckoned on; 1 for a shadow, which has none and is judged on all.
    """

    version: str
    bundle_hash: str
    bound_frac: float
    capital_frac: float


@dataclass(frozen=True)
class Contest:
    """Everything a contest was begun with; nothing of it ever changes.

    Parameters
    ----------
    id
        Hash of all the rest.
    at
        When it was recorded: ISO, UTC.
    model
        The registered model.
    mode
        ``shadow``: scored, without capital; ``canary``: a share of it.
    champion_version, champion_bundle
        Champion at the start.
    challengers
        Those against it, each by a test of its own.
    start_session
        The first session whose scores count, ISO: both open an account at its close. The first daily return is the
        next session's.
    alpha
        Chance of any wrong verdict in the whole contest.
    min_sessions, max_behind_frac, on_breach
        Of the settings at the start.
    terms_hash
        Of strategy, costs and universe: returns under others are not those of this contest.
    rehearsal
        Whether its sessions were known before it was recorded: it shows what a contest looks like and decides nothing.
    begun_by
        The person who began it, and so approved of the capital of a canary that the gate left to a person; empty in
        contests from before this was recorded.
    """

    id: str
    at: str
    model: str
    mode: Mode
    champion_version: str
    champion_bundle: str
    challengers: tuple[Challenger, ...]
    start_session: str
    alpha: float
    min_sessions: int
    max_behind_frac: float
    on_breach: str
    terms_hash: str
    rehearsal: bool = False
    begun_by: str = ""

    @property
    def first_session(self) -> date:
        """The first session whose scores count."""
        return date.fromisoformat(self.start_session)

    @property
    def alpha_each(self) -> float:
        """Chance of a wrong verdict on one challenger: Bonferroni's share of ``alpha``."""
        return self.alpha / len(self.challengers)

    @property
    def champion_capital_frac(self) -> float:
        """Share of the capital that the champion's returns are reckoned on."""
        return 1 - math.fsum(one.capital_frac for one in self.challengers) if self.mode == "canary" else 1.0

    def as_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self)

    def named(self) -> Contest:
        """Return it with the id that its values give."""
        told = {name: value for name, value in self.as_dict().items() if name != "id"}
        if not self.begun_by:  # from before it was recorded: named without it
            del told["begun_by"]
        return replace(self, id=stable_id("contest", told)[:12])


@dataclass(frozen=True)
class Happening:
    """Something that happened in a contest.

    Parameters
    ----------
    at
        When it was written down: ISO, UTC.
    what, contest
        What, and in which.
    version
        The challenger it is about; empty for the contest as a whole.
    session
        Of a verdict or a breach, the session at whose close it came: ISO, else empty.
    outcome
        ``better`` or ``worse`` of a verdict; of a challenger that left ``breach``, ``worse``, ``unusable``, ``moved``;
        of an end ``stopped``, ``champion_changed``, ``no_challenger``.
    reason
        A sentence.
    """

    at: str
    what: What
    contest: str
    version: str
    session: str
    outcome: str
    reason: str


@dataclass(frozen=True)
class Course:
    """A contest and what happened in it, oldest first."""

    contest: Contest
    happened: tuple[Happening, ...] = ()

    @property
    def ended(self) -> Happening | None:
        """How it ended; None while it runs."""
        return next((one for one in self.happened if one.what == "ended"), None)

    def left(self, version: str) -> Happening | None:
        """Return how a challenger left; None while it is in."""
        return next((one for one in self.happened if one.what == "left" and one.version == version), None)

    def decided(self, version: str) -> Happening | None:
        """Return the verdict on a challenger as it was first written down; None while there is none."""
        return next((one for one in self.happened if one.what == "decided" and one.version == version), None)

    @property
    def remaining(self) -> tuple[Challenger, ...]:
        """The challengers that are in; none once it ended."""
        if self.ended is not None:
            return ()
        return tuple(one for one in self.contest.challengers if self.left(one.version) is None)


class ContestRecord:
    """The contests of one market; nothing is made before the first."""

    def __init__(self, folder: Path, *, clock: Clock | None = None) -> None:
        self.path = folder / RECORD_FILE
        self._clock = clock or SystemClock()

    def now(self) -> str:
        """Return the moment as lines tell it."""
        return self._clock.now().isoformat(timespec="seconds")

    def courses(self, model: str) -> list[Course]:
        """Return every contest about ``model``, oldest first.

        Raises
        ------
        LakeError
            When the file is damaged, or a line of it was edited: no share of the capital rests on it then.
        """
        found: dict[str, Course] = {}
        try:
            for line in read_lines(self.path):
                told = dict(line)
                if told.pop("what") == "started":
                    contest = self._read(told)
                    found[contest.id] = Course(contest)
                else:
                    one = Happening(**line)
                    before = found[one.contest]
                    found[one.contest] = Course(before.contest, (*before.happened, one))
        except (KeyError, TypeError, ValueError) as error:
            raise LakeError(f"{self.path} is damaged ({error!r})", "restore it from a backup") from None
        return [course for course in found.values() if course.contest.model == model]

    def running(self, model: str) -> Course | None:
        """Return the contest that runs, or None; there is one at a time."""
        running = [course for course in self.courses(model) if course.ended is None]
        return running[-1] if running else None

    def last(self, model: str) -> Course | None:
        """Return the newest contest, ended or not."""
        courses = self.courses(model)
        return courses[-1] if courses else None

    def started(self, contest: Contest) -> None:
        """Write a contest down, before its first session."""
        append_line(self.path, {"what": "started", **contest.as_dict()})

    def happened(
        self, what: What, contest: Contest, *, version: str = "", session: str = "", outcome: str, reason: str
    ) -> Happening:
        """Write down what happened, and return it."""
        one = Happening(self.now(), what, contest.id, version, session, outcome, reason)
        append_line(self.path, asdict(one))
        return one

    def _read(self, told: Mapping[str, Any]) -> Contest:
        challengers = tuple(Challenger(**one) for one in told["challengers"])
        contest = Contest(**{**told, "challengers": challengers})
        if contest.named() != contest:
            raise LakeError(
                f"contest {contest.id} in {self.path} is not what was recorded: one of its values was edited",
                "restore the file from a backup",
            )
        return contest


def capital_split(course: Course) -> dict[str, float]:
    """Return the share of the capital by bundle hash: canaries that are in, and their champion with all the rest.

    Shares add up to 1. The share of a canary that left is the champion's; a shadow or a rehearsal has none. Empty for
    a contest that ended: whoever is champion then has everything.
    """
    contest = course.contest
    if course.ended is not None:
        return {}
    canaries = course.remaining if contest.mode == "canary" and not contest.rehearsal else ()
    split = {one.bundle_hash: one.capital_frac for one in canaries}
    return {contest.champion_bundle: 1 - math.fsum(split.values()), **split}
