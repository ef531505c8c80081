"""The newest orders of a market, as its runner's journals hold them: what can be named to be made again.

Not here: one order with all that its run recorded (``target.py``).
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from ljwx_pipeline.errors import LakeError
from ljwx_pipeline.reproduction.target import journals

_NEWEST = (
    "SELECT o.client_order_id, o.session, o.symbol, o.side, o.shares, o.state, b.model_version "
    "FROM orders o JOIN bundles b USING (bundle_hash) ORDER BY o.session DESC, o.side DESC, o.rank LIMIT ?"
)


@dataclass(frozen=True)
class ListedOrder:
    """One order: its id, the session at whose close it was decided, what it asked for, and what became of it."""

    order_id: str
    session: str
    symbol: str
    side: str
    shares: int
    state: str
    model_version: str


def newest_orders(home: Path, limit: int) -> list[ListedOrder]:
    """Return the ``limit`` newest orders of the market whose home is ``home``, the newest session first.

    Raises
    ------
    LakeError
        When a journal cannot be read.
    """
    found: dict[str, ListedOrder] = {}  # an account kept aside holds orders of the one that was made from it
    for path in journals(home):
        try:
            with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=5)) as connection:
                rows = connection.execute(_NEWEST, (limit,)).fetchall()
        except sqlite3.Error as error:
            raise LakeError(f"the journal {path} cannot be read ({error})", "restore it, or move it away") from None
        found |= {row[0]: ListedOrder(*row) for row in rows}
    return sorted(found.values(), key=lambda order: order.session, reverse=True)[:limit]
