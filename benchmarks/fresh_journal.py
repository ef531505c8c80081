"""No bench: a process that opens a journal as a runner does at its start, and tells what is held and open in it."""

from __future__ import annotations

import json
import resource
import sys
import time
from pathlib import Path

from sqlalchemy import select

from ljwx_pipeline.clock import SystemClock
from ljwx_pipeline.live.journal import Journal
from ljwx_pipeline.live.outstanding import open_orders
from ljwx_pipeline.live.tables import account_now, positions_now


def main(path: Path) -> None:
    """Open the journal at ``path``, read what is held and open, print it as JSON."""
    since = time.perf_counter()
    journal = Journal(path, SystemClock())
    with journal.store.reading() as connection:
        left = open_orders(connection)
        held = connection.execute(select(positions_now)).all()
        cash_fen = connection.execute(select(account_now.c.cash_fen)).scalar()
    told = {
        "open_s": time.perf_counter() - since,
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "seq": journal.log.last_seq(),
        "open_orders": len(left),
        "positions": len(held),
        "cash_fen": cash_fen,
    }
    print(json.dumps(told))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
