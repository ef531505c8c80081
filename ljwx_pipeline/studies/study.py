"""One study: its trials claimed, told and read again.

Trials are numbered from 0 and proposed in batches; a batch is proposed when every trial of the batches before it has
finished. Not here: what is proposed (``proposals.py``), where it is kept (``storage.py``).
"""

from __future__ import annotations

import hashlib
import json
import re
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Literal

from ljwx_pipeline.errors import EnvironmentFault, ModelError
from ljwx_pipeline.studies.proposals import Direction, Finished, Proposer
from ljwx_pipeline.studies.space import Params, Space
from ljwx_pipeline.studies.storage import Heartbeat, Place

#: Part of every study's name and inputs: what this module keeps.
FORMAT = 2
#: Between two looks at what other processes have finished.
POLL_S = 0.5
#: Attributes of a study, and of a trial.
DECIDED, WARM, FINISHED, NOTE, PROPOSAL, KEPT = "decided", "warm_start", "finished", "note", "proposal", "kept"
#: Inputs named in the refusal of a study made under others.
_MOST_NAMED = 5
_MOST_SHOWN = 40
_HASH, _HASH_DIGITS = re.compile(r"[0-9a-f]{64}"), 12
#: What a warm start demands to be equal.
_SHARED = ("kind", "format", "space", "alike")


def _always(_: Params) -> bool:
    return True


@dataclass(frozen=True)
class StudyPlan:
    """Everything that decides a study's trials, except how many there are.

    Parameters
    ----------
    kind
        What is tried: the first part of a derived name.
    inputs
        Whatever else decides the trials and their results, as JSON values: data, folds, costs, code.
    space, sampler, directions, seed, random_trials, given, accepts
        As ``Proposer`` takes them.
    batch
        Proposals made before any of them is told: as many may run at once.
    warm_until
        None, or the last session that this study's labels and returns read: the proposal after ``given`` is then the
        best of the latest finished study of the same space that read none after it, and was made on what is ``alike``.
    alike
        What that study must share beside kind, format and space, as JSON values: market, label. Part of what decides.
    warm
        What that study was and tried, where a reproduction states it; None: it is looked for.
    called
        What a refusal calls an input: the key of the settings that it comes from, or "the ..." where it comes from no
        single one. Decides nothing.
    note
        What is kept beside the study for whoever looks at it later, as JSON values. Decides nothing.
    """

    kind: str
    inputs: Mapping[str, object]
    space: Space
    seed: int
    batch: int
    random_trials: int
    sampler: Literal["tpe", "grid"] = "tpe"
    directions: tuple[Direction, ...] = ("maximize",)
    given: tuple[Params, ...] = ()
    accepts: Callable[[Params], bool] = _always
    warm_until: date | None = None
    alike: Mapping[str, object] = field(default_factory=dict)
    warm: WarmStart | None = None
    called: Mapping[str, str] = field(default_factory=dict)
    note: Mapping[str, str] = field(default_factory=dict)

    def decided(self) -> dict[str, Any]:
        """Return what decides the trials, as JSON gives it back."""
        decided = {
            "format": FORMAT,
            "kind": self.kind,
            **self.inputs,
            "space": self.space.as_list(),
            "sampler": self.sampler,
            "directions": list(self.directions),
            "seed": self.seed,
            "batch": self.batch,
            "random_trials": self.random_trials,
            "given": [dict(params) for params in self.given],
            "warm_start": self.warm_until is not None,
            **({"alike": dict(self.alike)} if self.alike else {}),
        }
        return dict(json.loads(json.dumps(decided, sort_keys=True)))

    def name(self) -> str:
        """Return the name that follows from all that decides the trials."""
        return f"{self.kind}-{hashlib.sha256(json.dumps(self.decided(), sort_keys=True).encode()).hexdigest()[:16]}"


@dataclass(frozen=True)
class Proposal:
    """A set of parameters that this process has claimed, and its number; ``trial_id`` is the storage's."""

    number: int
    params: dict[str, float | int]
    trial_id: int = field(repr=False)


@dataclass(frozen=True)
class Told:
    """A finished trial: objectives, what it reported by step, and what was kept of it."""

    number: int
    params: dict[str, float | int]
    values: tuple[float, ...]
    steps: dict[int, float]
    pruned: bool
    kept: dict[str, Any]


@dataclass(frozen=True)
class WarmStart:
    """The finished study whose best parameters this one tries early."""

    study: str
    params: dict[str, float | int]


class Study:
    """An open study; ``opened_study`` opens one.

    Parameters
    ----------
    name
        The study's.
    warm_start
        What it tries early from an earlier study; None for nothing.
    """

    def __init__(self, place: Place, plan: StudyPlan, name: str, storage: Any, beat: Heartbeat) -> None:
        import optuna  # heavy: only when a study is opened

        self.name, self._place, self._plan, self._storage, self._beat = name, place, plan, storage, beat
        self._decided = plan.decided()
        self._mine: dict[int, Proposal] = {}
        self._proposed: tuple[int, list[dict[str, float | int]]] = (-1, [])
        with place.speaking():
            there = name in {held.study_name for held in storage.get_all_studies()}  # to make it again is a write
            self._study = (
                optuna.load_study(study_name=name, storage=storage)
                if there
                else optuna.create_study(
                    study_name=name, storage=storage, directions=list(plan.directions), load_if_exists=True
                )
            )
            self._id = storage.get_study_id_from_name(name)
            self._require_same_inputs()
            if plan.note and storage.get_study_user_attrs(self._id).get(NOTE) != plan.note:
                storage.set_study_user_attr(self._id, NOTE, dict(plan.note))
            self.warm_start = self._warm_start()
            if not place.shared:  # nobody else lives who could be running them
                self._fail(row for row in self._rows() if row.state.name == "RUNNING")
        given = (*plan.given, *([self.warm_start.params] if self.warm_start else []))
        self._proposer = Proposer(
            plan.space,
            plan.sampler,
            plan.directions,
            plan.seed,
            plan.random_trials,
            dict(enumerate(given)),
            plan.accepts,
        )

    def told(self) -> list[Told]:
        """Return the finished trials, in order."""
        with self._place.speaking():
            rows = self._numbered()
            return [_told(number, rows[number]) for number in sorted(rows) if rows[number].state.is_finished()]

    def before_batch_of(self, number: int) -> list[Told]:
        """Return the trials of the batches before the one ``number`` is in: all that its trials may know of."""
        start = number - number % self._plan.batch
        return [told for told in self.told() if told.number < start]

    def earlier(self) -> dict[str, list[Told]]:
        """Return the finished trials of the study this one was warm-started from, of that one's, and so on, by name.

        None where a reproduction states the warm start: it states those trials too.

        Raises
        ------
        ModelError
            When one of them is no longer there: its trials could not be counted.
        """
        found: dict[str, list[Told]] = {}
        name, start = self.name, self.warm_start.study if self.warm_start and not self._plan.warm else ""
        while start:
            with self._place.speaking():
                held = {other.study_name: other for other in self._storage.get_all_studies()}.get(start)
                rows = None if held is None else self._storage.get_all_trials(held._study_id, deepcopy=False)
            if held is None or rows is None:
                raise ModelError(
                    f"study {name} started from {start}, which is no longer in {self._place}: its trials cannot be "
                    "counted",
                    "restore it from a backup, or write a new name in tune.study",
                )
            told = numbered(rows)
            found[start] = [_told(number, told[number]) for number in sorted(told) if told[number].state.is_finished()]
            name, start = start, held.user_attrs.get(WARM, {}).get("study", "")
        return found

    def claim(self, trials: int) -> Proposal | None:
        """Return a proposal below ``trials`` that from now on is this process's to run.

        None when all have finished, or when what is left of the batch is being run: ask again later.
        """
        with self._place.speaking():
            rows = self._numbered()
        missing = next((n for n in range(trials) if n not in rows or not rows[n].state.is_finished()), trials)
        start = missing - missing % self._plan.batch
        numbers = list(range(missing, min(start + self._plan.batch, trials)))
        absent = [n for n in numbers if n not in rows]
        fresh = self._proposals(rows, start, absent) if absent else []
        with self._place.speaking():
            if fresh:  # of two processes that add at once, the first one's count
                for trial in fresh:
                    self._study.add_trial(trial)
                rows = self._numbered()
            for number in numbers:
                row = rows.get(number)
                if row is None or row.state.name != "WAITING":
                    continue
                self._beat.begin(row._trial_id)  # first: a claim of a process that dies here is seen to be dead
                if self._claimed(row._trial_id):
                    claimed = Proposal(number, dict(row.params), row._trial_id)
                    self._mine[row._trial_id] = claimed
                    return claimed
                self._beat.end(row._trial_id)
        return None

    def tell(
        self,
        proposal: Proposal,
        values: Sequence[float],
        *,
        kept: Mapping[str, Any] | None = None,
        steps: Mapping[int, float] | None = None,
        pruned: bool = False,
    ) -> bool:
        """Keep what a claimed proposal showed; return False when this process was taken for dead in the meantime.

        Parameters
        ----------
        values
            One number an objective; of a pruned trial nothing but its last step is kept.
        kept
            JSON values to keep beside it.
        steps
            What it had reported by step.
        """
        import optuna  # heavy: only when a study is opened

        state = optuna.trial.TrialState
        try:
            with self._place.speaking():
                try:
                    self._storage.set_trial_user_attr(proposal.trial_id, KEPT, dict(kept or {}))
                    for step, value in (steps or {}).items():
                        self._storage.set_trial_intermediate_value(proposal.trial_id, step, value)
                    number = self._storage.get_trial(proposal.trial_id).number
                    if pruned:
                        self._study.tell(number, state=state.PRUNED)
                    else:
                        self._study.tell(number, list(values))
                except optuna.exceptions.UpdateFinishedTrialError:
                    return False
        finally:
            self._mine.pop(proposal.trial_id, None)
            self._beat.end(proposal.trial_id)
        return True

    def wait(self) -> None:
        """Wait for other processes, and free what the dead among them had claimed."""
        import optuna  # heavy: only when a study is opened

        time.sleep(POLL_S)
        with self._place.speaking(), warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)  # as heartbeats are, since 2021
            optuna.storages.fail_stale_trials(self._study)

    def is_finished(self, trials: int) -> bool:
        """Return whether every proposal below ``trials`` has finished, or the grid has no more."""
        finished = {told.number for told in self.told()}
        if all(number in finished for number in range(trials)):
            return True
        if self._plan.sampler != "grid":
            return False
        first = next(number for number in range(trials) if number not in finished)
        return not self._proposer.batch((), first=first, count=1)

    def mark_finished(self, best: Params, *, until: date, at: str) -> None:
        """Note the best parameters, the last session the study's labels and returns read, and the instant.

        That is what a warm start reads.

        A study marked so already is not written to again.
        """
        noted = {"until": until.isoformat(), "params": dict(best)}
        with self._place.speaking():
            held = self._storage.get_study_user_attrs(self._id).get(FINISHED, {})
            if {name: held.get(name) for name in noted} != noted:
                self._storage.set_study_user_attr(self._id, FINISHED, {"at": at, **noted})

    def release(self) -> None:
        """Give back what is claimed and not told: it will be run again."""
        with self._place.speaking():
            self._fail(self._storage.get_trial(trial_id) for trial_id in list(self._mine))
        self._mine.clear()

    def _require_same_inputs(self) -> None:
        decided = self._decided
        held = self._storage.get_study_user_attrs(self._id).get(DECIDED)
        if held is None:
            self._storage.set_study_user_attr(self._id, DECIDED, decided)
            return
        changed = changed_inputs(held, decided, self._plan.called)
        if changed:
            told = [f"{name} was {was} and is {now}" for name, was, now in changed[:_MOST_NAMED]]
            rest = ", ".join(name for name, _, _ in changed[_MOST_NAMED:])
            raise ModelError(
                f"study {self.name} was made under other inputs: {'; '.join(told)}"
                + (f"; changed too: {rest}" if rest else ""),
                "bring them back, or write another name (or none) in tune.study: trials made under different inputs "
                "cannot be compared",
            )

    def _warm_start(self) -> WarmStart | None:
        if self._plan.warm_until is None:
            return None
        noted = self._storage.get_study_user_attrs(self._id).get(WARM)
        if noted is None:
            found = self._plan.warm or self._latest_finished(self._plan.warm_until)
            noted = {"study": found.study, "params": found.params} if found else {}
            self._storage.set_study_user_attr(self._id, WARM, noted)
        return WarmStart(noted["study"], dict(noted["params"])) if noted else None

    def _latest_finished(self, until: date) -> WarmStart | None:
        found = list[tuple[str, WarmStart]]()
        for other in self._storage.get_all_studies():
            finished, decided = other.user_attrs.get(FINISHED), other.user_attrs.get(DECIDED, {})
            if finished is None or any(decided.get(key) != self._decided.get(key) for key in _SHARED):
                continue
            if finished["until"] <= until.isoformat() and other.study_name != self.name:
                found.append((finished["at"], WarmStart(other.study_name, dict(finished["params"]))))
        return max(found, key=lambda item: (item[0], item[1].study))[1] if found else None

    def _proposals(self, rows: Mapping[int, Any], start: int, absent: Sequence[int]) -> list[Any]:
        """Return the ``absent`` trials of the batch that begins with ``start``; fewer where a grid ends."""
        import optuna  # heavy: only when a study is opened

        if self._proposed[0] != start:
            before = [_finished(rows[number]) for number in range(start)]
            self._proposed = (start, self._proposer.batch(before, first=start, count=self._plan.batch))
        distributions = self._plan.space.distributions()
        return [
            optuna.trial.create_trial(
                state=optuna.trial.TrialState.WAITING,
                params=self._proposed[1][number - start],
                distributions=distributions,
                user_attrs={PROPOSAL: number},
            )
            for number in absent
            if number - start < len(self._proposed[1])
        ]

    def _claimed(self, trial_id: int) -> bool:
        import optuna  # heavy: only when a study is opened

        try:
            return bool(self._storage.set_trial_state_values(trial_id, state=optuna.trial.TrialState.RUNNING))
        except optuna.exceptions.UpdateFinishedTrialError:
            return False  # another process has run it since

    def _fail(self, rows: Iterator[Any]) -> None:
        import optuna  # heavy: only when a study is opened

        for row in rows:
            try:
                self._storage.set_trial_state_values(row._trial_id, state=optuna.trial.TrialState.FAIL)
            except optuna.exceptions.UpdateFinishedTrialError:
                continue  # another process has freed it already
            finally:
                self._beat.end(row._trial_id)

    def _rows(self) -> list[Any]:
        return list(self._storage.get_all_trials(self._id, deepcopy=False))

    def _numbered(self) -> dict[int, Any]:
        return numbered(self._rows())


@contextmanager
def opened_study(place: Place, plan: StudyPlan, *, name: str = "") -> Iterator[Study]:
    """Open the study of ``plan``, or go on with it; what is claimed and not told at the end is given back.

    Parameters
    ----------
    name
        A study asked for by name; empty: the name follows from ``plan``.

    Raises
    ------
    ModelError
        When the study of that name was made under other inputs, which the message names, or the journal is damaged.
    LakeError
        When another process works on the journal.
    EnvironmentFault
        When the place cannot be read, written or reached.
    """
    with place.alone():
        with place.speaking():
            storage = place.opened()
        with Heartbeat(storage, shared=place.shared) as beat:
            study = Study(place, plan, name or plan.name(), storage, beat)
            try:
                yield study
            finally:
                _released(study)


def changed_inputs(
    held: Mapping[str, Any], now: Mapping[str, Any], called: Mapping[str, str]
) -> list[tuple[str, str, str]]:
    """Return which inputs differ, as names, what each was and is; keys of the settings first.

    Parameters
    ----------
    called
        As in ``StudyPlan``.
    """
    was, current = dict(_leaves("", held)), dict(_leaves("", now))
    changed = {
        (called.get(name, name), _shown(was.get(name)), _shown(current.get(name)))
        for name in was.keys() | current.keys()
        if was.get(name) != current.get(name)
    }
    return sorted(changed, key=lambda item: (item[0].startswith("the "), item))


def numbered(rows: Sequence[Any]) -> dict[int, Any]:
    """Return the storage's trials by their number in the study: of several with one, the first that did not fail."""
    found: dict[int, Any] = {}
    for row in sorted(rows, key=lambda row: row.number):
        number = row.user_attrs.get(PROPOSAL)
        if number is not None and row.state.name != "FAIL":
            found.setdefault(int(number), row)
    return found


def _released(study: Study) -> None:
    try:
        study.release()
    except EnvironmentFault:
        return  # the place is gone: whoever opens it again finds this process dead


def _told(number: int, row: Any) -> Told:
    return Told(
        number=number,
        params=dict(row.params),
        values=tuple(row.values or ()),
        steps=dict(row.intermediate_values),
        pruned=row.state.name == "PRUNED",
        kept=dict(row.user_attrs.get(KEPT, {})),
    )


def _finished(row: Any) -> Finished:
    pruned = row.state.name == "PRUNED"
    return Finished(
        params=row.params, values=tuple(row.values or ()), steps=dict(row.intermediate_values), pruned=pruned
    )


def _leaves(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping) and value:
        for key, below in value.items():
            yield from _leaves(f"{name}.{key}" if name else str(key), below)
    else:
        yield name, value


def _shown(value: Any) -> str:
    """Return a value whole, a hash by its first digits, and a long list by its length and its hash."""
    if isinstance(value, str):
        return value[:_HASH_DIGITS] if _HASH.fullmatch(value) else value
    text = "absent" if value is None else json.dumps(value, sort_keys=True)
    if len(text) <= _MOST_SHOWN:
        return text
    return f"{len(value)} entries (SHA-256 {hashlib.sha256(text.encode()).hexdigest()[:_HASH_DIGITS]})"
