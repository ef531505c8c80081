"""What names quote at one instant: the form in which ticks are matched, sent and asked for.

Not here: where they come from (``tick_path.py``, ``recorded_ticks.py``).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ljwx_pipeline.exchange.timeline import Step, Timeline

Int = NDArray[np.int64]


@dataclass(frozen=True)
class Quotes:
    """Snapshots of some names, int64 of shape ``(n,)``, ascending by ``rows``, their positions among all symbols.

    The other fields are those of ``exchange_wire.Tick``. A name that has not traded yet has ``last_e4`` 0.
    """

    rows: Int
    last_e4: Int
    volume_shares: Int
    amount_fen: Int
    bid_e4: Int
    ask_e4: Int
    bid_shares: Int
    ask_shares: Int
    open_e4: Int
    high_e4: Int
    low_e4: Int

    def of(self, row: int) -> Quote | None:
        """Return the snapshot of one name, None when it is not among these or has not traded."""
        at = int(np.searchsorted(self.rows, row))
        if at == len(self.rows) or self.rows[at] != row or self.last_e4[at] <= 0:
            return None
        return Quote(
            last_e4=int(self.last_e4[at]),
            volume_shares=int(self.volume_shares[at]),
            bid_e4=int(self.bid_e4[at]),
            ask_e4=int(self.ask_e4[at]),
            bid_shares=int(self.bid_shares[at]),
            ask_shares=int(self.ask_shares[at]),
        )

    def tick_rows(self, *, symbols: tuple[str, ...], at_ns: int, session: date, pre_close_e4: Int) -> list[list[Any]]:
        """Return the snapshots as `Tick` rows of the wire."""
        day = session.isoformat()
        columns = (
            *(self.last_e4, self.volume_shares, self.amount_fen, self.bid_e4, self.ask_e4),
            *(self.bid_shares, self.ask_shares, self.open_e4, self.high_e4, self.low_e4, pre_close_e4[self.rows]),
        )
        values = zip(*(column.tolist() for column in columns), strict=True)
        return [[symbols[row], at_ns, day, *one] for row, one in zip(self.rows.tolist(), values, strict=True)]


@dataclass(frozen=True)
class Quote:
    """What matching reads of one name's snapshot."""

    last_e4: int
    volume_shares: int
    bid_e4: int
    ask_e4: int
    bid_shares: int
    ask_shares: int


class TickSource(Protocol):
    """One session's ticks."""

    @property
    def timeline(self) -> Timeline:
        """Return the steps of the session."""
        ...

    def batch(self, step: Step, only: Int | None = None) -> Quotes:
        """Return what ticks at ``step``, one without a phase; of the names at ``only``, ascending, if given."""
        ...

    def standing(self, position: int, only: Int | None = None) -> Quotes:
        """Return the last snapshot of every name as of the step at ``position``, or of the names at ``only``."""
        ...


def sided(
    *, last_e4: Int, before_e4: Int, size_shares: Int, up_e4: Int, down_e4: Int, tick_e4: int
) -> tuple[Int, Int, Int, Int]:
    """Return ``(bid_e4, ask_e4, bid_shares, ask_shares)`` around the last trades.

    A rise traded at the ask, a fall at the bid, and the other side stands a tick off; at a limit the side that would
    have to sell (or buy) is gone. ``up_e4`` and ``down_e4`` are the limits.
    """
    rose = last_e4 >= before_e4
    bid = np.where(rose, last_e4 - tick_e4, last_e4)
    ask = np.where(rose, last_e4, last_e4 + tick_e4)
    at_up, at_down = last_e4 >= up_e4, last_e4 <= down_e4
    bid = np.where(at_up, last_e4, np.maximum(bid, np.maximum(down_e4, 1)))
    ask = np.where(at_down, last_e4, np.minimum(ask, up_e4))
    bid, ask = np.where(at_down, 0, bid), np.where(at_up, 0, ask)
    return bid, ask, np.where(bid > 0, size_shares, 0), np.where(ask > 0, size_shares, 0)
