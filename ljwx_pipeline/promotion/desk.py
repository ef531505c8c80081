"""Where one market's promotions are settled: its registry, the record of its champions, and the one lock on both.

Not here: what is done under it (``moves.py``), what a command is about to do (``plans.py``).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from ljwx_pipeline.errors import RegistryError
from ljwx_pipeline.registry import ModelVersion, Registry
from ljwx_pipeline.tracking.champion import ChampionLine, ChampionRecord


@dataclass(frozen=True)
class Desk:
    """One market's registered model: the registry that holds it and the record of its champions."""

    registry: Registry
    record: ChampionRecord
    model: str

    @contextmanager
    def one_at_a_time(self) -> Iterator[None]:
        """Hold the market's promotions alone for the ``with`` block.

        Raises
        ------
        LakeError
            When another process holds them for longer than a change can take.
        """
        with self.record.one_at_a_time():
            yield

    def notice_move(self) -> ChampionLine | None:
        """Write down, once, that somebody else moved the champion's alias; return it, None when nobody did.

        Raises
        ------
        RegistryError
            When MLflow cannot be reached.
        LakeError
            When another process holds the market's promotions for longer than a change can take.
        """
        with self.one_at_a_time():  # alias and record are read in turn: a promotion in between is nobody's hand
            return self.record.audit(self.registry, self.model)

    def champion(self) -> ModelVersion | None:
        """Return what the registry's alias names."""
        return self.registry.champion(self.model)

    def incumbent(self) -> ModelVersion | None:
        """Return the champion that a candidate is compared with, wherever the alias points (``ChampionRecord``)."""
        return self.record.incumbent(self.registry, self.model)

    def version(self, number: str) -> ModelVersion:
        """Return the version of this number.

        Raises
        ------
        RegistryError
            When there is none; those that there are are named.
        """
        found = {version.version: version for version in self.registry.versions(self.model)}
        if number not in found:
            there = f"choose among {', '.join(found)}" if found else "register one: `ljwx run`"
            raise RegistryError(f"{self.model} has no version {number!r}", there)
        return found[number]


def became(model: str, now: ModelVersion | None) -> str:
    """Return the sentence that the champion is another one than it was; None: there is none now."""
    if now is None:
        return f"the champion of {model} was taken off meanwhile"
    return f"version {now.version} of {model} became champion meanwhile"


def hash_of(version: ModelVersion | None) -> str | None:
    """Return the bundle hash of a version; None without one."""
    return None if version is None else version.bundle_hash
