"""Critical alerts that are told once: rows of the outbox for whoever is on call, however often the same is found.

Not here: what is worth an alert (whoever finds it), delivery, alerts that belong to a transition and its transaction.
"""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import Connection, select

from ljwx_pipeline.live.async_journal import AsyncJournal
from ljwx_pipeline.live.events import AlertRaised, Tier
from ljwx_pipeline.live.tables import outbox


async def alert_once(journal: AsyncJournal, code: str, messages: Collection[str]) -> None:
    """Write a critical alert of ``code`` for each of ``messages`` that none of it has told yet; it needs no lease.

    Raises
    ------
    LiveError
        When the journal cannot be read or written.
    """
    if not messages:
        return

    def told(connection: Connection) -> frozenset[str]:
        known = select(outbox.c.message).where(outbox.c.code == code, outbox.c.message.in_(messages))
        return frozenset(connection.execute(known).scalars())

    before = await journal.read(told)
    alerts = [AlertRaised(tier=Tier.CRITICAL, code=code, message=one) for one in messages if one not in before]
    if alerts:
        await journal.append(alerts, None)
