"""Which version the line made champion and why, beside the market: what the registry's alias is compared with.

``tracking/champion.jsonl`` only grows: a line for each decision on a version, by the gate or by a person's command,
for each move of the alias by the line, for what a command then told the runner, and for each move that somebody else
made, with the old version, the new one and the moment it was noticed. What was
promoted is a bundle, named by its hash: the registry counts its versions anew when its database is made anew, and its
tags can be edited. A bundle trades only when the line's own last decision on it was to promote it: whoever may move an
alias cannot promote. Not here: the decision (``promotion/gate.py``, ``promotion/moves.py``), the alias itself
(``registry.py``).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final, Literal

from ljwx_pipeline.clock import Clock, SystemClock
from ljwx_pipeline.errors import LakeError
from ljwx_pipeline.lake.locking import exclusive
from ljwx_pipeline.registry import ModelVersion, Registry
from ljwx_pipeline.tracking.journal import append_line, read_lines

RECORD_FILE = "champion.jsonl"
#: Held by whoever changes an alias of the market's model, or a record of it.
LOCK_FILE = "promotion.lock"
#: A change takes seconds; with MLflow and the runner both at their time limits, less than this.
LOCK_TIMEOUT_S = 120.0
MOVED_TAG = "alias_moved_by_hand"
#: What was decided on a version, by the gate (all but the last) or by a person.
PROMOTED: Final = "promoted"
REFUSED: Final = "refused"
AWAITING: Final = "awaiting_approval"
DEMOTED: Final = "demoted"
#: Of a decision by the gate: there was no champion to judge it beside.
NO_CHAMPION = "none"
What = Literal["decided", "moved", "moved_by_hand", "delivered"]
#: Who decided: the gate, a contest that takes a canary back, or a person by one of the commands; empty in other lines,
#: and in those from before this was recorded, when the gate alone decided.
Via = Literal["", "gate", "contest", "promote", "rollback-model", "demote"]
#: A person's commands, which tell the runner once they have decided.
COMMANDS: frozenset[Via] = frozenset({"promote", "rollback-model", "demote"})
State = Literal[
    "challenger", "shadow", "canary", "champion", "former champion", "refused", "awaiting_approval", "demoted"
]


@dataclass(frozen=True)
class ChampionLine:
    """One line of the record.

    Parameters
    ----------
    at
        When it happened or, of a move by hand, was noticed: ISO, UTC.
    what
        ``decided``: on a version, ``via`` the gate, a contest or a command; ``moved``: the alias, by the line;
        ``moved_by_hand``: by somebody else; ``delivered``: a command told the runner, and is done.
    model, version, old
        The registered model, the version it is about, and for a move the one before; None: no champion.
    decision, reasons
        ``promoted``, ``refused``, ``awaiting_approval`` or ``demoted``, and what spoke for it; empty for a move.
    bundle_hash
        Of the bundle that ``version`` held; empty without a version, and in lines from before this was recorded.
    via
        What decided.
    by, reason
        The person who gave a command, as the machine names them, and why they said they did.
    asked_by
        Who ran the research that the gate decided on, one a line; empty in lines from before this was recorded.
    champion_seen
        Of the gate's decision: bundle of the champion that it was judged beside, ``none`` where there was none; empty
        in other lines, and in those from before this was recorded.
    returns_sha256
        Of the gate's decision: SHA-256 of the file of the bundle's out-of-sample returns (``promotion/rival.py``).
    """

    at: str
    what: What
    model: str
    version: str | None
    old: str | None = None
    decision: str = ""
    reasons: tuple[str, ...] = ()
    bundle_hash: str = ""
    via: Via = ""
    by: str = ""
    reason: str = ""
    asked_by: str = ""
    champion_seen: str = ""
    returns_sha256: str = ""

    @property
    def by_gate(self) -> bool:
        """Whether the gate decided, and no contest or person."""
        return self.via in ("", "gate")

    def said(self) -> str:
        """Return a decision in words: which, by whom, when, and why."""
        how = f"`ljwx {self.via}`" if self.via in COMMANDS else self.via
        who = "the gate" if self.by_gate else f"{self.by or 'somebody'} ({how})"
        why = " | ".join(part for part in (self.reason, *self.reasons) if part)
        return f"{self.decision} by {who} at {self.at}{f': {why}' if why else ''}"

    def sentence(self) -> str:
        """Return the line of a move as a sentence."""
        if self.version is not None and self.version == self.old:
            return (
                f"champion of {self.model}, version {self.version}, came to name another bundle by hand, "
                f"{self.bundle_hash[:12] or 'none'}, noticed {self.at}"
            )
        here, before = (f"version {one}" if one else "no version" for one in (self.version, self.old))
        who = "by hand" if self.what == "moved_by_hand" else "by the line"
        return f"champion of {self.model} was moved {who} from {before} to {here}, noticed {self.at}"


class ChampionRecord:
    """The record of one market; nothing is made before the first line."""

    def __init__(self, folder: Path, *, clock: Clock | None = None) -> None:
        self.path = folder / RECORD_FILE
        self._clock = clock or SystemClock()

    @contextmanager
    def one_at_a_time(self) -> Iterator[None]:
        """Hold the market's promotions alone for the ``with`` block; not to be taken twice by one thread.

        Raises
        ------
        LakeError
            When another process holds them for longer than a change can take.
        """
        with exclusive(self.path.with_name(LOCK_FILE), timeout_s=LOCK_TIMEOUT_S):
            yield

    def lines(self, model: str) -> list[ChampionLine]:
        """Return every line about ``model``, oldest first.

        Raises
        ------
        LakeError
            When the file is damaged: nothing is deployed then.
        """
        try:
            read = [ChampionLine(**{**one, "reasons": tuple(one["reasons"])}) for one in read_lines(self.path)]
        except (KeyError, TypeError) as error:
            raise LakeError(f"{self.path} is damaged ({error!r})", "restore it from a backup") from None
        return [line for line in read if line.model == model]

    def decided(
        self,
        model: str,
        version: str,
        bundle_hash: str,
        *,
        decision: str,
        reasons: Sequence[str],
        via: Via = "gate",
        by: str = "",
        reason: str = "",
        asked_by: str = "",
        champion_seen: str = "",
        returns_sha256: str = "",
    ) -> None:
        """Record a decision on the bundle that ``version`` holds, before any alias is moved."""
        line = ChampionLine(self._now(), "decided", model, version, None, decision, tuple(reasons), bundle_hash)
        line = replace(line, via=via, by=by, reason=reason, asked_by=asked_by)
        self._append(replace(line, champion_seen=champion_seen, returns_sha256=returns_sha256))

    def moved(self, model: str, version: str | None, bundle_hash: str) -> None:
        """Record that the line has pointed the alias at ``version``, which holds this bundle; None: taken it off."""
        before = self.last_move(model)
        old = None if before is None else before.version
        self._append(ChampionLine(self._now(), "moved", model, version, old, bundle_hash=bundle_hash))

    def delivered(self, model: str, version: str | None, bundle_hash: str, *, how: str) -> None:
        """Record that a command has told the runner: which bundle trades, None that none does, and where it went."""
        self._append(ChampionLine(self._now(), "delivered", model, version, bundle_hash=bundle_hash, reason=how))

    def last_move(self, model: str) -> ChampionLine | None:
        """Return the last known move of the alias, by whoever: its version and bundle are the champion's."""
        moves = [line for line in self.lines(model) if line.what in ("moved", "moved_by_hand")]
        return moves[-1] if moves else None

    def own_champion(self, model: str) -> ChampionLine | None:
        """Return the line's last move of the alias onto a bundle that was not demoted since; None where there is none.

        Whoever moves the alias by hand, or loses the registry's database, changes nothing of it.
        """
        moves = [line for line in self.lines(model) if line.what == "moved"]
        own = moves[-1] if moves and moves[-1].version is not None and moves[-1].bundle_hash else None
        standing = None if own is None else self.standing(model, own.bundle_hash)
        return None if standing is not None and standing.decision == DEMOTED else own

    def incumbent(self, registry: Registry, model: str) -> ModelVersion | None:
        """Return the champion that a candidate is compared with: the one that the line itself made champion last.

        Where the line made none, or took the last one off, it is what the alias names. A bundle that the registry no
        longer holds has its old number and no run.

        Raises
        ------
        RegistryError
            When MLflow cannot be reached.
        """
        now, own = registry.champion(model), self.own_champion(model)
        if own is None or (now is not None and (now.version, now.bundle_hash) == self._unfinished(model)):
            return now
        if now is not None and now.bundle_hash == own.bundle_hash:
            return now
        held = registry.version_of(model, own.bundle_hash)
        return ModelVersion(model, str(own.version), "", own.bundle_hash) if held is None else held

    def standing(self, model: str, bundle_hash: str, *, gate_alone: bool = False) -> ChampionLine | None:
        """Return the last decision on a bundle, or the gate's last one; None where there is none."""
        lines = self.lines(model) if bundle_hash else []
        found = [line for line in lines if line.what == "decided" and line.bundle_hash == bundle_hash]
        found = [line for line in found if line.by_gate or not gate_alone]
        return found[-1] if found else None

    def asked_by(self, model: str, bundle_hash: str) -> str:
        """Return everybody who ran a research that the gate decided a bundle on, one a line.

        Empty where it is not written down who ran the last one.
        """
        gate = [line for line in self.lines(model) if line.what == "decided" and line.by_gate]
        on_it = [line.asked_by for line in gate if line.bundle_hash == bundle_hash]
        return one_a_line({name for told in on_it for name in names_in(told)}) if on_it and on_it[-1] else ""

    def returns_digests(self, model: str) -> dict[str, set[str]]:
        """Return the digests of the files of out-of-sample returns that decisions told of, by bundle hash."""
        found: dict[str, set[str]] = {}
        for line in self.lines(model):
            if line.returns_sha256:
                found.setdefault(line.bundle_hash, set()).add(line.returns_sha256)
        return found

    def open_command(self, model: str) -> ChampionLine | None:
        """Return the decision of a command that was stopped before it had told the runner; None where none was.

        Whatever was decided since ends it: then somebody or something has gone on.
        """
        told = [line for line in self.lines(model) if line.what in ("decided", "delivered")]
        last = told[-1] if told else None
        return None if last is None or last.what == "delivered" or last.via not in COMMANDS else last

    def refusal(self, model: str, version: str, bundle_hash: str) -> tuple[str, str] | None:
        """Return fact and remedy of why the line may not deploy a bundle; None when its own decision was to promote it.

        Parameters
        ----------
        version, bundle_hash
            The champion in the registry and the bundle that its files are. The bundle alone decides; the version is
            named in the fact.
        """
        decided = [line for line in self.lines(model) if line.what == "decided"]
        on_it = [line for line in decided if bundle_hash and line.bundle_hash == bundle_hash]
        if on_it and on_it[-1].decision == PROMOTED:
            return None
        others = [line for line in decided if line.version == version]
        if on_it:
            reasons = " | ".join(on_it[-1].reasons) or "no reason"
            said = f"the gate's decision on it was {on_it[-1].decision} ({reasons})"
            if not on_it[-1].by_gate:
                said = f"it was {on_it[-1].said()}"
        elif others:
            held, holds = (one[:12] or "none that was recorded" for one in (others[-1].bundle_hash, bundle_hash))
            said = f"the line decided on bundle {held} as version {version}, which now is bundle {holds}"
        else:
            said = "the line never decided on it"
        return (
            f"version {version} of {model} is champion in the registry, but {said}",
            "it is not deployed; point the alias at a promoted version, or run `ljwx run` so that the line decides",
        )

    def last_by_hand(self, model: str) -> ChampionLine | None:
        """Return the last move by hand that was noticed."""
        found = [line for line in self.lines(model) if line.what == "moved_by_hand"]
        return found[-1] if found else None

    def difference(self, registry: Registry, model: str) -> ChampionLine | None:
        """Return the move that the record does not know of, as it would be written down; None when they agree.

        Raises
        ------
        RegistryError
            When MLflow cannot be reached.
        """
        now, known = registry.champion(model), self.last_move(model)
        version, bundle_hash = (None, "") if now is None else (now.version, now.bundle_hash)
        if _tells_of(known, now) or (version, bundle_hash) == self._unfinished(model):
            return None
        old = None if known is None else known.version
        return ChampionLine(self._now(), "moved_by_hand", model, version, old, bundle_hash=bundle_hash)

    def audit(self, registry: Registry, model: str) -> ChampionLine | None:
        """Write a move by hand down, once, and tag the version it is about; return it, None when there is none.

        To be called under the lock (``Desk.notice_move``): alias and record are read one after the other.

        Raises
        ------
        RegistryError
            When MLflow cannot be reached: it is noticed again next time.
        """
        found = self.difference(registry, model)
        if found is None:
            now = registry.champion(model)
            if not _tells_of(self.last_move(model), now):  # a crash came between the alias and its line
                self.moved(model, None if now is None else now.version, "" if now is None else now.bundle_hash)
            return None
        about = found.version or self._still_there(registry, model)
        if about is not None:
            registry.tag_version(model, about, MOVED_TAG, found.sentence())
        self._append(found)
        return found

    def _still_there(self, registry: Registry, model: str) -> str | None:
        """Return the last known champion's version where the registry holds it still: a database made anew does not."""
        known = self.last_move(model)
        return next((one.version for one in registry.versions(model) if _tells_of(known, one)), None)

    def _unfinished(self, model: str) -> tuple[str | None, str] | None:
        """Return where the last decision moves the alias to, its move not written down: the line was killed between."""
        lines = self.lines(model)
        last = lines[-1] if lines else None
        if last is None or last.what != "decided" or last.decision not in (PROMOTED, DEMOTED):
            return None
        return (last.version, last.bundle_hash) if last.decision == PROMOTED else (None, "")

    def _append(self, line: ChampionLine) -> None:
        append_line(self.path, asdict(line))

    def _now(self) -> str:
        return self._clock.now().isoformat(timespec="seconds")


def one_a_line(names: Iterable[str]) -> str:
    """Return names as one text; a name holds no line's end (``promotion.approval.person``)."""
    return "\n".join(sorted(names))


def names_in(text: str) -> tuple[str, ...]:
    """Return the names of a text that holds one a line."""
    return tuple(name for name in text.split("\n") if name)


def state_of(lines: Sequence[ChampionLine], version: ModelVersion, aliases: Mapping[str, str]) -> State | None:
    """Return the state of a version: by its aliases while it has one, else by the last decision on its bundle.

    Parameters
    ----------
    lines
        Of the record, every line about the model.
    aliases
        The version that each alias points at (``Registry.aliases``).

    Returns
    -------
    State or None
        None: nothing was ever decided on it. A champion is one in the registry, whether or not it may be deployed.
    """
    held = {alias for alias, number in aliases.items() if number == version.version}
    on_it = [line for line in lines if version.bundle_hash and line.bundle_hash == version.bundle_hash]
    decisions = [line.decision for line in on_it if line.what == "decided"]
    if "champion" in held:
        return "champion"
    if decisions and decisions[-1] in (DEMOTED, REFUSED):
        return "demoted" if decisions[-1] == DEMOTED else "refused"
    if "canary" in held or "shadow" in held:
        return "canary" if "canary" in held else "shadow"
    if decisions and decisions[-1] == AWAITING:
        return "awaiting_approval"
    if any(line.what == "moved" for line in on_it):
        return "former champion"
    return "challenger" if "challenger" in held or decisions else None


def _tells_of(known: ChampionLine | None, now: ModelVersion | None) -> bool:
    """Return whether the last known move is to ``now``; a line that names no bundle is to any."""
    if known is None or known.version is None or now is None:
        return (known is None or known.version is None) and now is None
    return known.version == now.version and known.bundle_hash in ("", now.bundle_hash)
