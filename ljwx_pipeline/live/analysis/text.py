"""The analysis as tables on a terminal."""

from __future__ import annotations

from ljwx_pipeline.command_output import grid
from ljwx_pipeline.live.analysis.analysis import TradeAnalysis, cny
from ljwx_pipeline.units import FEN_PER_CNY

#: Rows of the table of differing orders that are printed; the JSON holds all.
SHOWN_GAPS = 10


def analysis_text(found: TradeAnalysis) -> str:
    """Return the tables."""
    parts = [f"{found.first} to {found.last}: {found.orders:,} orders, {len(found.costs):,} held against prices"]
    parts += [f"  {count:,} not: {why}" for why, count in found.unmeasured.items()]
    if found.simulated:
        parts.append("SIMULATED market: what is missing here is what a real market adds")
    parts += ["", _shortfall(found), "", _fill_ratios(found), "", _costs(found), "", _latency(found), ""]
    return "\n".join([*parts, *_against_backtest(found)])


def _shortfall(found: TradeAnalysis) -> str:
    headers = ["shortfall, CNY", "orders", "decided on", "delay", "trading", "opportunity", "fees", "total", "bps"]
    lines = [
        [
            one.group,
            str(one.orders),
            *(f"{cny(value):,.2f}" for value in (one.ordered_e4, one.delay_e4, one.trading_e4)),
            *(f"{cny(value):,.2f}" for value in (one.opportunity_e4, one.fees_e4, one.total_e4)),
            _bps(one.total_bps),
        ]
        for one in found.shortfalls
    ]
    slipped = [[one.group, *map(_bps, (one.slippage_bps, one.open_bps, one.vwap_bps))] for one in found.shortfalls]
    against = grid(["slippage, bps, against", "decision", "open", "VWAP"], slipped)
    return f"{grid(headers, lines)}\n\n{against}"


def _fill_ratios(found: TradeAnalysis) -> str:
    lines = [
        [one.side, one.outcome, str(one.orders), f"{one.shares:,}", f"{one.filled_shares:,}", f"{one.ratio:.1%}"]
        for one in found.fill_ratios
    ]
    return grid(["side", "ended", "orders", "shares", "filled", "ratio"], lines)


def _costs(found: TradeAnalysis) -> str:
    names = list(found.cost_splits[0].parts)
    lines = [
        [
            one.group,
            str(one.fills),
            f"{one.value_fen / FEN_PER_CNY:,.2f}",
            *(f"{fen / FEN_PER_CNY:,.2f}" for fen in one.parts.values()),
            f"{one.total_fen / FEN_PER_CNY:,.2f}",
            _bps(one.total_bps),
        ]
        for one in found.cost_splits
    ]
    return grid(["costs, CNY", "fills", "traded", *names, "all", "bps"], lines)


def _latency(found: TradeAnalysis) -> str:
    lines = [
        [one.stage, str(one.orders), *(_ms(value) for value in (one.p50_ms, one.p95_ms, one.max_ms))]
        for one in found.latencies
    ]
    stepped = sum(one.stepped for one in found.latencies)
    said = [f"{stepped} spans left out: the machine's clock was set back meanwhile"] if stepped else []
    return "\n".join([grid(["latency", "orders", "p50 ms", "p95 ms", "max ms"], lines), *said])


def _against_backtest(found: TradeAnalysis) -> list[str]:
    compared = found.comparison
    if compared is None:
        return [f"not compared with a backtest: {found.not_compared}"]
    if not compared.days:
        return ["no session of the account to compare with a backtest"]
    same = not compared.gaps and compared.first_gap is None
    verdict = "the same to the fen" if same else f"{len(compared.gaps):,} differ"
    parts = [f"against the backtest: {len(compared.days)} sessions, {compared.orders:,} orders, {verdict}"]
    if compared.first_gap is not None:
        gap = compared.days[-1].gap_fen / FEN_PER_CNY
        parts.append(f"equity differs from {compared.first_gap} on, by {gap:+,.2f} CNY at {compared.days[-1].session}")
    if compared.gaps:
        lines = [
            [
                *(str(one.session), one.symbol, f"{one.live_shares:,}", f"{one.live_filled:,}", one.live_said or "-"),
                *(f"{one.backtest_shares:,}", f"{one.backtest_filled:,}", one.backtest_said or "-"),
            ]
            for one in compared.gaps[:SHOWN_GAPS]
        ]
        headers = ["session", "symbol", "live", "filled", "ended", "backtest", "filled", "ended"]
        parts += [grid(headers, lines)]
        left = len(compared.gaps) - SHOWN_GAPS
        parts += [f"{left:,} more: --json shows all"] if left > 0 else []
    return parts


def _bps(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:,.1f}"
