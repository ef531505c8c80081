"""Capital between the sleeves: who gets how much, who gives back what it has, and when a sleeve is gone.

A share is a part of the account's equity at the close at which it takes effect. Only cash moves, and only by a change:
sleeves drift apart by what they earn, and nobody is topped up. What a sleeve has to give and does not have in cash it
owes: it decides on so much less equity and gives cash at each close until it is even. What it has to get it gets, by
name, as nobody's book has cash. A sleeve that leaves sells, gives everything and is gone once it holds nothing; odd
shares that make no order by themselves go to nobody's book. A stage that ends (a canary) leaves its holdings to its
strategy's champion, untraded. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ljwx_pipeline.live.events import HeldPosition
from ljwx_pipeline.live.sleeves.book import NOBODY, Books, Capital, Holding
from ljwx_pipeline.live.sleeves.netting import Lot
from ljwx_pipeline.units import BPS


@dataclass(frozen=True)
class Funding:
    """Who trades from this close on.

    Parameters
    ----------
    shares_bps
        Part of the account by sleeve, 10,000 together or less; 0 for sleeves that leave.
    heirs
        To whom a sleeve's book goes that is not among them.
    """

    shares_bps: Mapping[str, int]
    heirs: Mapping[str, str]

    @property
    def sole(self) -> str | None:
        """The one sleeve whose book is the account itself; None where there are several, or a rest of capital."""
        whole = [name for name, share in self.shares_bps.items() if share == BPS]
        return whole[0] if whole and len(self.shares_bps) == 1 else None


def fund(
    books: Books,
    funding: Funding,
    *,
    lots: Mapping[str, Lot],
    cash_fen: int,
    positions: tuple[HeldPosition, ...],
) -> None:
    """Move capital in ``books`` to what ``funding`` says; what each got or gave stands in its ``moved_fen``.

    Parameters
    ----------
    lots
        Of every symbol held.
    cash_fen, positions
        The account as the broker states it: the book of a sole sleeve.
    """
    before = books.equities_fen()
    account_fen = sum(before.values())
    for one in books.capital.values():
        one.moved_fen = 0
    for name in books.sleeves:
        if name != NOBODY and name not in funding.shares_bps:
            _bequeath(books, name, funding.heirs.get(name, NOBODY))
    sole = funding.sole
    if sole is not None:
        _all_to(books, sole, cash_fen, positions)
    else:
        _leave_odd(books, funding, lots)
        _by_shares(books, funding, account_fen)
    for name, equity in books.equities_fen().items():
        books.capital[name].moved_fen = equity - before.get(name, 0)


def _by_shares(books: Books, funding: Funding, account_fen: int) -> None:
    for name, share in sorted(funding.shares_bps.items()):
        one = books.capital.setdefault(name, Capital())
        one.owes_fen += one.share_bps * account_fen // BPS - share * account_fen // BPS
        one.share_bps = share
    equities = books.equities_fen()
    for name, share in funding.shares_bps.items():
        if share == 0:
            books.capital[name].owes_fen = max(0, equities[name])
    nobody = books.capital[NOBODY]
    for name in sorted(funding.shares_bps):
        one = books.capital[name]
        given = max(0, min(one.owes_fen, one.cash_fen))
        if one.share_bps == 0 and not books.symbols_of(name):
            given = one.cash_fen  # whatever is left of it, a debt too
            one.owes_fen = given
        one.cash_fen -= given
        one.owes_fen -= given
        nobody.cash_fen += given
    for name in sorted(funding.shares_bps):
        one = books.capital[name]
        got = max(0, min(-one.owes_fen, nobody.cash_fen))
        one.cash_fen += got
        one.owes_fen += got
        nobody.cash_fen -= got


def _leave_odd(books: Books, funding: Funding, lots: Mapping[str, Lot]) -> None:
    for name, share in funding.shares_bps.items():
        if share or name not in books.capital:
            continue
        for symbol in books.symbols_of(name):
            # all that the account holds may be sold whatever it is
            if books.shares(name, symbol) < lots[symbol].smallest and len(books.holders(symbol)) > 1:
                _join(books.holding(NOBODY, symbol), books.held[symbol].pop(name))


def _bequeath(books: Books, name: str, heir: str) -> None:
    gone = books.capital.pop(name)
    to = books.capital.setdefault(heir, Capital())
    to.cash_fen += gone.cash_fen
    if heir != NOBODY:
        to.owes_fen += gone.owes_fen
        to.share_bps += gone.share_bps
    for symbol in list(books.held):
        one = books.held[symbol].pop(name, None)
        if one is not None and one.shares:
            _join(books.holding(heir, symbol), one)


def _join(to: Holding, other: Holding) -> None:
    shares = to.shares + other.shares
    paid_e4 = to.entry_price_e4 * to.shares + other.entry_price_e4 * other.shares
    to.entry_price_e4 = paid_e4 // shares
    to.held_sessions = max(to.held_sessions, other.held_sessions)
    to.peak_price_e4 = max(to.peak_price_e4, other.peak_price_e4)
    to.shares = shares


def _all_to(books: Books, sole: str, cash_fen: int, positions: tuple[HeldPosition, ...]) -> None:
    books.capital = {NOBODY: Capital(), sole: Capital(cash_fen, BPS)}
    books.held = {
        one.symbol: {sole: Holding(one.shares, one.held_sessions, one.entry_price_e4, one.peak_price_e4)}
        for one in positions
        if one.shares
    }
    books.price_e4 = {one.symbol: one.last_price_e4 for one in positions}


def gone(books: Books, name: str) -> bool:
    """Return whether a sleeve that leaves holds nothing any more."""
    one = books.capital.get(name)
    return one is None or (one.share_bps == 0 and one.cash_fen == 0 and not books.symbols_of(name))
