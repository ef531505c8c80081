"""Which version the line made champion and why, beside the market: what the registry's alias is compared with.

``tracking/champion.jsonl`` only grows: a line for each decision on a version, for each move of the alias by the line,
and for each move that somebody else made, with the old version, the new one and the moment it was noticed. What was
promoted is a bundle, named by its hash: the registry counts its versions anew when its database is made anew, and its
tags can be edited. A bundle trades only when the line's own last decision on it was to promote it: whoever may move an
alias cannot promote. Not here: the decision (``promotion/gate.py``), the alias itself (``registry.py``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from ljwx_pipeline.clock import Clock, SystemClock
from ljwx_pipeline.errors import LakeError
from ljwx_pipeline.registry import ModelVersion, Registry
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
    bundle_hash
        Of the bundle that ``version`` held; empty without a version, and in lines from before this was recorded.
    """

    at: str
    what: What
    model: str
    version: str | None
    old: str | None = None
    decision: str = ""
    reasons: tuple[str, ...] = ()
    bundle_hash: str = ""

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

    def decided(self, model: str, version: str, bundle_hash: str, *, decision: str, reasons: Sequence[str]) -> None:
        """Record the gate's decision on the bundle that ``version`` holds, before any alias is moved."""
        self._append(
            ChampionLine(
                self._now(), "decided", model, version, None, decision, tuple(reasons), bundle_hash=bundle_hash
            )
        )

    def moved(self, model: str, version: str, bundle_hash: str) -> None:
        """Record that the line has pointed the alias at ``version``, which holds this bundle."""
        before = self.last_move(model)
        old = None if before is None else before.version
        self._append(ChampionLine(self._now(), "moved", model, version, old, bundle_hash=bundle_hash))

    def last_move(self, model: str) -> ChampionLine | None:
        """Return the last known move of the alias, by whoever: its version and bundle are the champion's."""
        moves = [line for line in self.lines(model) if line.what != "decided"]
        return moves[-1] if moves else None

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
        if _tells_of(known, now) or (now is not None and (version, bundle_hash) == self._unfinished(model)):
            return None
        old = None if known is None else known.version
        return ChampionLine(self._now(), "moved_by_hand", model, version, old, bundle_hash=bundle_hash)

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
            if now is not None and not _tells_of(self.last_move(model), now):
                self.moved(model, now.version, now.bundle_hash)  # a crash came between the alias and its line
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
        """Return the promoted version and bundle whose move was not written down: the line was killed in between."""
        lines = self.lines(model)
        last = lines[-1] if lines else None
        if last is None or last.what != "decided" or last.decision != PROMOTED:
            return None
        return last.version, last.bundle_hash

    def _append(self, line: ChampionLine) -> None:
        append_line(self.path, asdict(line))

    def _now(self) -> str:
        return self._clock.now().isoformat(timespec="seconds")


def _tells_of(known: ChampionLine | None, now: ModelVersion | None) -> bool:
    """Return whether the last known move is to ``now``; a line that names no bundle is to any."""
    if known is None or known.version is None or now is None:
        return (known is None or known.version is None) and now is None
    return known.version == now.version and known.bundle_hash in ("", now.bundle_hash)
