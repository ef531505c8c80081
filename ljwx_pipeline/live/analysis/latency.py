"""How long the steps of an order's life took, by the runner's own clock: when it wrote each of them down.

A broker's stamps are of its own clock, and a replayed market's of another year: differences are taken of one clock
alone. Not here: where the instants come from (``ledger.py``).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ljwx_pipeline.live.analysis.ledger import TradedOrder
from ljwx_pipeline.units import NS_PER_MS

#: Upper ends of the histogram's bins, milliseconds; the last bin is open.
BIN_ENDS_MS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 5_000, 60_000)
STAGES = ("decided to sent", "sent to acknowledged", "acknowledged to filled", "decided to filled")


@dataclass(frozen=True)
class Latency:
    """One stage of all orders that passed it.

    Parameters
    ----------
    orders
        How many did.
    p50_ms, p95_ms, max_ms
        Quantiles by rank (the smallest value that so many do not exceed); None without orders.
    counts
        Orders by bin of ``BIN_ENDS_MS``, one more for what is longer.
    stepped
        Orders left out as the machine's clock was set back meanwhile.
    """

    stage: str
    orders: int
    p50_ms: float | None
    p95_ms: float | None
    max_ms: float | None
    counts: tuple[int, ...]
    stepped: int


def latencies(traded: Iterable[TradedOrder]) -> tuple[Latency, ...]:
    """Return the stages in their order."""
    instants = [one.instants for one in traded]
    pairs = {
        STAGES[0]: [(one.decided_ns, one.sent_ns) for one in instants],
        STAGES[1]: [(one.sent_ns, one.acknowledged_ns) for one in instants],
        STAGES[2]: [(one.acknowledged_ns, one.filled_ns) for one in instants],
        STAGES[3]: [(one.decided_ns, one.filled_ns) for one in instants],
    }
    return tuple(_latency(stage, [_between(start, end) for start, end in some]) for stage, some in pairs.items())


def _between(start: int | None, end: int | None) -> int | None:
    return None if start is None or end is None else end - start


def _latency(stage: str, spans_ns: Sequence[int | None]) -> Latency:
    known = [one for one in spans_ns if one is not None]
    spans_ms = sorted(one / NS_PER_MS for one in known if one >= 0)
    counts = [0] * (len(BIN_ENDS_MS) + 1)
    for span in spans_ms:
        counts[next((at for at, end in enumerate(BIN_ENDS_MS) if span <= end), len(BIN_ENDS_MS))] += 1
    return Latency(
        stage=stage,
        orders=len(spans_ms),
        p50_ms=_quantile(spans_ms, 0.5),
        p95_ms=_quantile(spans_ms, 0.95),
        max_ms=spans_ms[-1] if spans_ms else None,
        counts=tuple(counts),
        stepped=len(known) - len(spans_ms),
    )


def _quantile(ascending: Sequence[float], part: float) -> float | None:
    if not ascending:
        return None
    # the nearest rank, counted in whole numbers: 0.95 x 20 must not become 19.000000000000004
    rank = -(-len(ascending) * round(part * 100) // 100)
    return ascending[max(rank, 1) - 1]
