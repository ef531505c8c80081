"""No bench: a process that opens a journal as a runner does at its start, and tells what it then knows."""

from __future__ import annotations

import json
import resource
import sys
import time
from pathlib import Path

from ljwx_pipeline.clock import SystemClock
from ljwx_pipeline.live.journal import Journal
from ljwx_pipeline.live.state import load_state


def main(path: Path) -> None:
    """Open the journal at ``path``, read its state, print it as JSON."""
    since = time.perf_counter()
    journal = Journal(path, SystemClock())
    state = load_state(journal.store)
    told = {
        "open_s": time.perf_counter() - since,
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "seq": state.seq,
        "open_orders": len(state.open_orders),
        "positions": len(state.positions),
        "cash_fen": state.cash_fen,
    }
    print(json.dumps(told))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
