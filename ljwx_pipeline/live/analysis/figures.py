"""The pictures of the analysis. Not here: how one is drawn (``svg.py``), the page around them (``page.py``)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from ljwx_pipeline.live.analysis.against_backtest import Comparison
from ljwx_pipeline.live.analysis.analysis import TradeAnalysis, cny
from ljwx_pipeline.live.analysis.latency import BIN_ENDS_MS, Latency
from ljwx_pipeline.live.analysis.measures import OrderCost, Shortfall
from ljwx_pipeline.live.analysis.svg import COLOURS, bars, lines, stacked
from ljwx_pipeline.units import FEN_PER_CNY

#: Bins of the histogram of slippage; what lies beyond the ends is in the outer ones.
SLIPPAGE_BINS_BPS = (-500, -200, -100, -50, -20, -10, 0, 10, 20, 50, 100, 200, 500)


def figures(found: TradeAnalysis) -> dict[str, str]:
    """Return the pictures by name; one that has nothing to show is left out."""
    drawn: dict[str, str] = {}
    if found.costs:
        drawn["parts"] = parts_figure(found.shortfalls)
        drawn["slippage"] = slippage_figure(found.costs)
    if found.daily_costs:
        drawn["costs"] = stacked(
            {
                day.isoformat(): {name: fen / FEN_PER_CNY for name, fen in split.parts.items()}
                for day, split in found.daily_costs.items()
            },
            unit="CNY by session",
        )
    for number, one in enumerate(found.latencies):
        if one.max_ms:
            drawn[f"latency_{number}"] = latency_figure(one)
    if found.comparison is not None and len(found.comparison.days) > 1:
        drawn["equity"] = equity_figure(found.comparison)
    return drawn


def parts_figure(rows: Sequence[Shortfall]) -> str:
    """Return the parts of the shortfall for purchases, sales and all, CNY."""
    return stacked({row.group: parts(row) for row in rows}, unit="CNY")


def parts(row: Shortfall) -> Mapping[str, float]:
    """Return the parts of a shortfall by name, CNY."""
    return {
        "delay": cny(row.delay_e4),
        "trading": cny(row.trading_e4),
        "opportunity": cny(row.opportunity_e4),
        "fees": cny(row.fees_e4),
    }


def slippage_figure(costs: Sequence[OrderCost]) -> str:
    """Return how many orders slipped by how much against the price they were decided on."""
    counts: Counter[int] = Counter()
    for one in costs:
        if one.slippage_bps is not None:
            counts[sum(one.slippage_bps > edge for edge in SLIPPAGE_BINS_BPS)] += 1
    edges = [f"{edge:+d}".replace("-", "\u2212") if edge else "0" for edge in SLIPPAGE_BINS_BPS]
    names = [f"\u2264 {edges[0]}", *(f"\u2264 {edge}" for edge in edges[1:]), f"> {edges[-1]}"]
    return bars({name: float(counts[at]) for at, name in enumerate(names)}, unit="orders")


def latency_figure(one: Latency) -> str:
    """Return how many orders took how long."""
    names = [*(f"\u2264 {_span(end)}" for end in BIN_ENDS_MS), f"> {_span(BIN_ENDS_MS[-1])}"]
    return bars(
        {name: float(count) for name, count in zip(names, one.counts, strict=True)},
        unit="orders",
        height=130,
        colour=COLOURS[2],
    )


def equity_figure(found: Comparison) -> str:
    """Return both accounts by session, million CNY."""
    return lines(
        [day.session.isoformat() for day in found.days],
        {
            "live": [day.live_fen / 1e8 for day in found.days],
            "backtest": [day.backtest_fen / 1e8 for day in found.days],
        },
        unit="million CNY",
    )


def _span(milliseconds: int) -> str:
    return f"{milliseconds} ms" if milliseconds < 1_000 else f"{milliseconds // 1_000} s"
