"""The whole rulebook as rows to read: what holds from when to when, for whom, by which notice.

``docs/rulebook.md`` and ``ljwx rules`` print these rows; a test holds the document to them. Not here: the rules.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date, timedelta

from ljwx_pipeline.market import rulebook as book
from ljwx_pipeline.market.symbols import Board

_DAY = timedelta(days=1)
_OPENED = {board: min(rule.first for rule in book.LIMIT_RULES if rule.board == board) for board in Board}


@dataclass(frozen=True)
class RuleRow:
    """One rule as people read it.

    ``exchange`` is a symbol's suffix and ``is_st`` special treatment, both None where the rule does not ask. ``last``
    is None while the rule holds. Dates of "new listing" are listing dates, of "delisting period" its first session.
    """

    topic: str
    boards: tuple[Board, ...]
    value: str
    first: date
    notice: book.Notice
    exchange: str | None = None
    is_st: bool | None = None
    last: date | None = None
    variant: str = ""  # what tells rules of one topic apart beside board, exchange and status

    @property
    def where(self) -> str:
        """Whom the rule holds for, in words."""
        names = "all boards" if self.boards == tuple(Board) else ", ".join(board.name.lower() for board in self.boards)
        status = {True: ["special treatment"], False: ["other"], None: []}[self.is_st]
        return ", ".join([f"{names} ({self.exchange})" if self.exchange else names, *status])

    def as_dict(self) -> dict[str, object]:
        """Return the row as plain values, dates as text."""
        return {
            "topic": self.topic,
            "boards": [board.name.lower() for board in self.boards],
            "exchange": self.exchange,
            "special_treatment": self.is_st,
            "first": self.first.isoformat(),
            "last": self.last.isoformat() if self.last else None,
            "value": self.value,
            "notice": self.notice.title,
            "checked_against": str(self.notice.checked),
        }


def rule_rows() -> tuple[RuleRow, ...]:
    """Return every rule of the book, by topic, board and date; each ends the day before the next of its kind."""
    rows = [*_limit_rows(), *_order_rows(), *_session_rows(), *_fee_rows()]
    return tuple(replace(row, last=row.last or _ended_by(row, rows)) for row in rows)


def rules_in_force(
    session: date, *, board: Board | None = None, exchange: str | None = None, is_st: bool | None = None
) -> tuple[RuleRow, ...]:
    """Return the rules that hold on ``session``; None leaves a question open and keeps every answer.

    Raises
    ------
    TradingError
        When the session lies outside the book.
    """
    book.check_in_book(session)
    return tuple(
        row
        for row in rule_rows()
        if row.first <= session <= (row.last or date.max)
        and (board is None or board in row.boards)
        and (exchange is None or row.exchange in (None, exchange))
        and (is_st is None or row.is_st in (None, is_st))
    )


def markdown_table() -> str:
    """Return the book as the table that ``docs/rulebook.md`` holds."""
    lines = ["| rule | holds for | from | to | value | notice | checked against |", "| --- " * 7 + "|"]
    lines += [
        f"| {row.topic} | {row.where} | {row.first} | {row.last or ''} | {row.value} | {row.notice.title} "
        f"| {row.notice.checked} |"
        for row in rule_rows()
    ]
    return "\n".join(lines)


def _ended_by(row: RuleRow, rows: list[RuleRow]) -> date | None:
    later = [
        other.first
        for other in rows
        if (other.topic, other.exchange, other.is_st, other.variant)
        == (row.topic, row.exchange, row.is_st, row.variant)
        and set(other.boards) & set(row.boards)
        and other.first > row.first
    ]
    return min(later) - _DAY if later else None


def _limit_rows() -> Iterator[RuleRow]:
    for limit in book.LIMIT_RULES:
        value = f"{_percent(limit.bps)} of the reference price, up and down"
        yield RuleRow("price limit", (limit.board,), value, limit.first, limit.notice, is_st=limit.is_st)
    for listing in book.LISTING_RULES:
        yield RuleRow("new listing", (listing.board,), _listing_value(listing), listing.listed_from, listing.notice)
    for period in book.DELISTING_RULES:
        value = f"{_percent(period.bps)} up and down, special treatment or not"
        value += "; no limit on the first session" if period.first_is_free else "; the first session too"
        yield RuleRow("delisting period", (period.board,), value, period.started_from, period.notice)
    for again in book.RELISTING_RULES:
        value = "no limit on the first session after a suspended listing or of a relisting"
        yield RuleRow("relisting", (again.board,), value, again.first, again.notice)
    for rounding in book.ROUNDING_RULES:
        value = "limit up rounded down, limit down rounded up" if rounding.inward else "half up"
        yield RuleRow("limit rounding", (rounding.board,), value, _OPENED[rounding.board], rounding.notice)
    for tick in book.TICK_RULES:
        yield RuleRow("tick", tuple(Board), f"{tick.tick_e4 / 1e4:g} CNY", tick.first, tick.notice)
    for least in book.ONE_TICK_RULES:
        boards = {"SH": (Board.MAIN, Board.STAR), "SZ": (Board.MAIN, Board.CHINEXT)}[least.exchange]
        value = "a limit is one tick from the reference price at least"
        yield RuleRow("least limit", boards, value, least.first, least.notice, exchange=least.exchange)


def _listing_value(rule: book.ListingRule) -> str:
    if rule.up_bps is None or rule.down_bps is None:
        return (
            f"no limit on the first {rule.sessions} sessions" if rule.sessions > 1 else "no limit on the first session"
        )
    value = f"first session: {_percent(rule.up_bps)} above to {_percent(rule.down_bps)} below the issue price"
    return value if rule.open_bps is None else f"{value}, opening call auction {_percent(rule.open_bps)} either way"


def _order_rows() -> Iterator[RuleRow]:
    for settlement in book.SETTLEMENT_RULES:
        value = f"what is bought may be sold {settlement.sessions} session later"
        yield RuleRow("settlement", tuple(Board), value, settlement.first, settlement.notice)
    for lot in book.LOT_RULES:
        value = (
            f"buy {lot.min_shares} shares or more, in steps of {lot.step_shares}; a remainder below it is sold whole"
        )
        yield RuleRow("lot", (lot.board,), value, _OPENED[lot.board], lot.notice)
    for size in book.ORDER_SIZE_RULES:
        value = f"{size.kind} order: {size.max_shares:,} shares at most"
        yield RuleRow("order size", (size.board,), value, size.first, size.notice, variant=size.kind)
    for cage in book.CAGE_RULES:
        value = f"limit order in continuous trading: {_percent(cage.bps)} beyond the base price at most"
        value += f", or {cage.ticks} ticks where that is more" if cage.ticks > 1 else ""
        yield RuleRow("order price", (cage.board,), value, cage.first, cage.notice)
    for cap in book.RISK_WARNING_BUY_RULES:
        value = f"one investor buys {cap.max_shares:,} shares of a stock a session at most"
        yield RuleRow("buys", (cap.board,), value, cap.first, cap.notice, exchange=cap.exchange, is_st=True)


def _session_rows() -> Iterator[RuleRow]:
    for rule in book.SESSION_RULES:
        value = "; ".join(str(phase) for phase in rule.phases)
        yield RuleRow("session", (rule.board,), value, rule.first, rule.notice, exchange=rule.exchange)
    for short in book.SHORT_SESSIONS:
        value = f"trading ended at {short.closed_at:%H:%M}"
        boards = (Board.MAIN, Board.CHINEXT)
        yield RuleRow("short session", boards, value, short.session, short.notice, last=short.session)
    for halt in book.HALT_RULES:
        steps = " and ".join(_percent(bps) for bps in halt.bps)
        value = f"on a session without limit, {halt.minutes} minutes at {steps} from the opening price"
        yield RuleRow("halt", (halt.board,), value, halt.first, halt.notice)


def _fee_rows() -> Iterator[RuleRow]:
    for fees in book.STATUTORY_FEES:
        duty = f"stamp duty buy {_rate(fees.stamp_duty_buy_e8)}, sell {_rate(fees.stamp_duty_sell_e8)}"
        value = f"{duty}; transfer fee {_rate(fees.transfer_fee_e8)} each side"
        yield RuleRow("statutory fees", fees.boards, value, fees.first, fees.notice)
    for rule in book.COMMISSION_RULES:
        value = f"{_rate(rule.max_e8)} at most, {rule.min_fen / 100:g} CNY an order at least"
        yield RuleRow("commission", tuple(Board), value, rule.first, rule.notice)


def _percent(bps: int) -> str:
    return f"{bps / 100:g} %"


def _rate(e8: int) -> str:
    return f"{e8 / 1e6:.5f}".rstrip("0").rstrip(".") + " %"
