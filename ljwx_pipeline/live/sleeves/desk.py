"""Changes of the strategies while the runner works: from the file at the start and on demand, or one by one by hand.

A change is planned against what the journal holds, refused whole or appended whole, and takes effect at the next close;
nothing else is touched. The file wins when a person asks for it (`StrategyDesk.reload`); a start leaves alone what was
last changed by hand. Not here: what a change means (``strategies.py``), the way in (``strategies_api.py``).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection

from ljwx_pipeline.config import LiveStrategySettings, RiskSettings, Settings, StrategySettings, registered_model
from ljwx_pipeline.errors import LiveError, LjwxError
from ljwx_pipeline.live.async_journal import AsyncJournal
from ljwx_pipeline.live.events import Noted, StrategyState
from ljwx_pipeline.live.sleeves.book import NOBODY
from ljwx_pipeline.live.sleeves.overview import Shown, overview
from ljwx_pipeline.live.sleeves.reading import last_books, strategies_in_force
from ljwx_pipeline.live.sleeves.strategies import (
    BY_FILE,
    InForce,
    Plan,
    StrategySpec,
    plan,
    read_keys,
    specs_of,
    strategy_of,
)
from ljwx_pipeline.session_pack import told_indices


@dataclass(frozen=True)
class Configured:
    """What the configuration says: the sections by name, and what they are read beside.

    Parameters
    ----------
    market_model
        Registered name of the market's own model.
    pack
        Folder of the session pack, which tells the members of indices; None where there is none to ask.
    """

    sections: Mapping[str, LiveStrategySettings]
    base: StrategySettings
    risk: RiskSettings
    market_model: str = ""
    pack: Path | None = None

    @classmethod
    def of(cls, settings: Settings, pack: Path | None = None) -> Configured:
        """Return what ``settings`` say."""
        return cls(settings.live.strategies, settings.strategy, settings.risk, registered_model(settings), pack)

    def specs(self, sections: Mapping[str, LiveStrategySettings]) -> tuple[tuple[StrategySpec, ...], tuple[str, ...]]:
        """Return the strategies of ``sections`` and every mistake in them; reads the pack where one names an index.

        Raises
        ------
        LiveError
            For a pack that cannot be read.
        """
        asks = any(keys.universe for keys in sections.values())
        indices = told_indices(self.pack) if asks and self.pack is not None else None
        return specs_of(sections, self.base, self.risk, market_model=self.market_model, indices=indices)


class StrategyDesk:
    """The strategies of one journal, changed from one event loop.

    Parameters
    ----------
    journal
        Where they are kept.
    epoch
        Returns the epoch of the lease that is held.
    configured
        Reads the configuration anew; raises `LjwxError` for a file that cannot be read.

    Attributes
    ----------
    turn
        Held while something is changed; whoever decides a close holds it, too.
    """

    def __init__(
        self, *, journal: AsyncJournal, epoch: Callable[[], int], configured: Callable[[], Configured]
    ) -> None:
        self._journal = journal
        self._epoch = epoch
        self._configured = configured
        self.turn = asyncio.Lock()

    async def start(self) -> tuple[str, ...]:
        """Take over the file where nobody has changed a strategy by hand; return what changed, in words.

        Raises
        ------
        LjwxError
            With every mistake in the file: the runner does not start on half a configuration.
        """
        return await self._follow_file(lambda old: [one.name for one in old if one.by != BY_FILE])

    async def reload(self) -> tuple[str, ...]:
        """Make the strategies what the file says; return what changed, in words.

        Raises
        ------
        LjwxError
            With every mistake in the file: nothing was changed, and the journal has a note that says so.
        """
        try:
            return await self._follow_file(lambda _: [])
        except LjwxError as error:
            await self._journal.append([Noted(topic="strategies_refused", message=str(error), session=None)], None)
            raise

    async def put(self, name: str, body: object, *, by: str) -> tuple[str, ...]:
        """Add the strategy ``name`` or change it to ``body``, the keys of its section; return what changed.

        Raises
        ------
        LiveError
            With every mistake: nothing was changed.
        """
        _require_person(by)
        configured = await asyncio.to_thread(self._configured)
        specs, mistakes = await asyncio.to_thread(configured.specs, {name: read_keys(name, body)})
        Plan((), (), mistakes).require_accepted()
        async with self.turn:
            old, holding = await self._journal.read(_standing)
            others = [one.name for one in old if one.name != name]
            return await self._carry_out(plan(old, specs, holding=holding, by=by, keep=others))

    async def remove(self, name: str, *, by: str) -> tuple[str, ...]:
        """Take the strategy out: at once when it holds nothing, else once it has sold; return what changed.

        Raises
        ------
        LiveError
            When there is no such strategy.
        """
        _require_person(by)
        async with self.turn:
            old, holding = await self._journal.read(_standing)
            there = [one.name for one in old if one.state is not StrategyState.REMOVED]
            if name not in there:
                raise LiveError(
                    f"there is no strategy {name!r}", f"name one of: {', '.join(there) or 'none trades this account'}"
                )
            others = [one.name for one in old if one.name != name]
            return await self._carry_out(plan(old, (), holding=holding, by=by, keep=others))

    async def shown(self) -> tuple[Shown, ...]:
        """Return the strategies as people read them."""
        return await self._journal.read(overview)

    async def _follow_file(self, keep: Callable[[tuple[InForce, ...]], list[str]]) -> tuple[str, ...]:
        configured = await asyncio.to_thread(self._configured)
        specs, mistakes = await asyncio.to_thread(configured.specs, configured.sections)
        Plan((), (), mistakes).require_accepted()
        async with self.turn:
            old, holding = await self._journal.read(_standing)
            if not configured.sections:
                holding = frozenset()  # [strategy] takes the account over as it stands, unsold
            return await self._carry_out(plan(old, specs, holding=holding, by=BY_FILE, keep=keep(old)))

    async def _carry_out(self, planned: Plan) -> tuple[str, ...]:
        planned.require_accepted()
        if planned.events:
            await self._journal.append(planned.events, self._epoch())
        return planned.said


def _require_person(by: str) -> None:
    if not by.strip() or by == BY_FILE:
        raise LiveError(f"{by!r} is nobody's name", "say who asks for the change: nothing was changed")


def _standing(connection: Connection) -> tuple[tuple[InForce, ...], frozenset[str]]:
    """Return the strategies, and those with anything in their books."""
    _, books = last_books(connection)
    holding = {
        strategy_of(book.sleeve)
        for book in books
        if book.sleeve != NOBODY and (book.holdings or book.cash_fen or book.share_bps)
    }
    return strategies_in_force(connection), frozenset(holding)
