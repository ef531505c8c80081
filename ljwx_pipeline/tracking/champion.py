"""Which version the line made champion and why, beside the market: what the registry's alias is compared with.

``tracking/champion.jsonl`` only grows: a line for each decision on a version, for each move of the alias by the line,
and for each move that somebody else made, with the old version, the new one and the moment it was noticed. A version
trades only when the line's own last decision on it was to promote it: whoever may move an alias cannot promote. Not
here: the decision (``promotion/gate.py``), the alias itself (``registry.py``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal

from ljwx_pipeline.clock import Clock, SystemClock
from ljwx_pipeline.errors import LakeError
from ljwx_pipeline.registry import Registry
from ljwx_pipeline.tracking.journal import append_line, read_lines

RECORD_FILE = "champion.jsonl"
MOVED_TAG = "alias_moved_by_hand"
PROMOTED = "promoted"
What = Literal["decided", "moved", "moved_by_hand"]


@dataclass(frozen=True)
class ChampionLine:
    """One line of the record.

    Parameters
    ----------
    at
        When it happened or, of a move by hand, was noticed: ISO, UTC.
    what
        ``decided``: the gate on a version; ``moved``: the alias, by the line; ``moved_by_hand``: by somebody else.
    model, version, old
        The registered model, the version it is about, and for a move the one before; None: no champion.
    decision, reasons
        The gate's answer, empty for a move.
    """

    at: str
    what: What
    model: str
    version: str | None
    old: str | None = None
    decision: str = ""
    reasons: tuple[str, ...] = ()

    def sentence(self) -> str:
        """Return the line of a move as a sentence."""
        here, before = (f"version {one}" if one else "no version" for one in (self.version, self.old))
        who = "by hand" if self.what == "moved_by_hand" else "by the line"
        return f"champion of {self.model} was moved {who} from {before} to {here}, noticed {self.at}"


class ChampionRecord:
    """The record of one market; nothing is made before the first line."""

    def __init__(self, folder: Path, *, clock: Clock | None = None) -> None:
        self.path = folder / RECORD_FILE
        self._clock = clock or SystemClock()

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

    def decided(self, model: str, version: str, decision: str, reasons: Sequence[str]) -> None:
        """Record the gate's decision on a version, before any alias is moved."""
        self._append("decided", model, version, decision=decision, reasons=tuple(reasons))

    def moved(self, model: str, version: str) -> None:
        """Record that the line has pointed the alias at ``version``."""
        self._append("moved", model, version, old=self.champion(model))

    def champion(self, model: str) -> str | None:
        """Return the version that the alias was last known to point at, by whoever."""
        moves = [line for line in self.lines(model) if line.what != "decided"]
        return moves[-1].version if moves else None

    def decision_on(self, model: str, version: str) -> ChampionLine | None:
        """Return the line's last decision on a version; None when it never made one."""
        found = [line for line in self.lines(model) if line.what == "decided" and line.version == version]
        return found[-1] if found else None

    def refusal(self, model: str, version: str) -> str | None:
        """Return why the line may not deploy ``version``; None when its own decision on it was to promote it."""
        decision = self.decision_on(model, version)
        if decision is not None and decision.decision == PROMOTED:
            return None
        said = (
            "the line never decided on it"
            if decision is None
            else f"the gate's decision on it was {decision.decision} ({' | '.join(decision.reasons) or 'no reason'})"
        )
        return (
            f"version {version} of {model} is champion in the registry, but {said}: it is not deployed; point the "
            "alias at a promoted version, or run `ljwx run` so that the line decides"
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
        now = registry.champion(model)
        version, known = (None if now is None else now.version), self.champion(model)
        if version == known or (version is not None and version == self._unfinished(model)):
            return None
        return ChampionLine(self._now().isoformat(timespec="seconds"), "moved_by_hand", model, version, known)

    def audit(self, registry: Registry, model: str) -> ChampionLine | None:
        """Write a move by hand down, once, and tag the version it is about; return it, None when there is none.

        Raises
        ------
        RegistryError
            When MLflow cannot be reached: it is noticed again next time.
        """
        found = self.difference(registry, model)
        if found is None:
            now = registry.champion(model)
            if now is not None and now.version != self.champion(model):
                self.moved(model, now.version)  # a crash came between the alias and its line
            return None
        about = found.version or found.old
        if about is not None:
            registry.tag_version(model, about, MOVED_TAG, found.sentence())
        append_line(self.path, asdict(found))
        return found

    def _unfinished(self, model: str) -> str | None:
        """Return the promoted version whose move was not written down any more: the line was killed in between."""
        lines = self.lines(model)
        last = lines[-1] if lines else None
        return last.version if last is not None and last.what == "decided" and last.decision == PROMOTED else None

    def _append(
        self,
        what: What,
        model: str,
        version: str,
        *,
        old: str | None = None,
        decision: str = "",
        reasons: tuple[str, ...] = (),
    ) -> None:
        line = ChampionLine(self._now().isoformat(timespec="seconds"), what, model, version, old, decision, reasons)
        append_line(self.path, asdict(line))

    def _now(self) -> datetime:
        return self._clock.now()
