"""Capital moves by changes of shares alone, in cash, and nothing is lost on the way."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ljwx_pipeline.live.events import HeldPosition, SleeveBook, SleeveHolding
from ljwx_pipeline.live.sleeves.book import NOBODY, Books
from ljwx_pipeline.live.sleeves.funding import Funding, fund, gone
from ljwx_pipeline.live.sleeves.netting import Lot

LOTS = {"A": Lot(100, 100)}
PRICE_E4 = 100_000


def books_of(cash: dict[str, int], held: dict[str, int] | None = None, *, share_bps: int = 0) -> Books:
    held = held or {}
    return Books(_book(name, fen, held.get(name, 0), 0 if name == NOBODY else share_bps) for name, fen in cash.items())


def _book(name: str, fen: int, shares: int, share_bps: int) -> SleeveBook:
    held = SleeveHolding(
        symbol="A",
        shares=shares,
        held_sessions=1,
        entry_price_e4=PRICE_E4,
        peak_price_e4=PRICE_E4,
        last_price_e4=PRICE_E4,
        value_fen=0,
    )
    return SleeveBook(
        sleeve=name,
        share_bps=share_bps,
        cash_fen=fen,
        equity_fen=0,
        owes_fen=0,
        moved_fen=0,
        holdings=(held,) if shares else (),
    )


def funded(books: Books, shares: dict[str, int], heirs: dict[str, str] | None = None) -> dict[str, SleeveBook]:
    shares_held = sum(books.shares(name, "A") for name in books.sleeves)
    position = HeldPosition(
        symbol="A",
        shares=shares_held,
        sellable_shares=shares_held,
        held_sessions=9,
        entry_price_e4=90_000,
        peak_price_e4=120_000,
        last_price_e4=PRICE_E4,
    )
    cash = sum(one.cash_fen for one in books.capital.values())
    fund(books, Funding(shares, heirs or {}), lots=LOTS, cash_fen=cash, positions=(position,) if shares_held else ())
    return {one.sleeve: one for one in books.stated()}


def test_new_sleeves_get_their_share_of_the_account_and_the_rest_is_nobody_s() -> None:
    found = funded(books_of({NOBODY: 1_000_001}), {"a": 6_000, "b": 3_000})
    assert {name: one.cash_fen for name, one in found.items()} == {NOBODY: 100_001, "a": 600_000, "b": 300_000}
    assert {name: one.moved_fen for name, one in found.items()} == {NOBODY: -900_000, "a": 600_000, "b": 300_000}


def test_without_a_change_nothing_moves_whatever_they_earned() -> None:
    books = books_of({NOBODY: 0, "a": 900_000, "b": 100_000}, share_bps=5_000)
    found = funded(books, {"a": 5_000, "b": 5_000})
    assert {name: one.cash_fen for name, one in found.items()} == {NOBODY: 0, "a": 900_000, "b": 100_000}
    assert {one.moved_fen for one in found.values()} == {0}


def test_what_a_sleeve_has_to_give_and_has_in_shares_it_owes_until_it_has_cash() -> None:
    books = books_of({NOBODY: 0, "a": 100_000}, {"a": 900}, share_bps=10_000)
    found = funded(books, {"a": 5_000, "b": 5_000})
    assert (found["a"].cash_fen, found["a"].owes_fen) == (0, 400_000)
    assert (found["b"].cash_fen, found["b"].owes_fen) == (100_000, -400_000)
    again = Books(found.values())
    again.add_cash("a", 500_000)
    later = funded(again, {"a": 5_000, "b": 5_000})
    assert (later["a"].cash_fen, later["a"].owes_fen) == (100_000, 0)
    assert (later["b"].cash_fen, later["b"].owes_fen) == (500_000, 0)


def test_a_sleeve_that_leaves_gives_cash_as_it_has_it_and_is_gone_without_holdings() -> None:
    books = books_of({NOBODY: 0, "a": 100_000, "b": 0}, {"a": 900, "b": 100}, share_bps=5_000)
    found = funded(books, {"a": 0, "b": 5_000})
    assert (found["a"].cash_fen, found[NOBODY].cash_fen) == (0, 100_000)
    assert not gone(books, "a")
    sold = Books(found.values())
    sold.holding("a", "A").shares = 0
    sold.add_cash("a", -7)
    assert funded(sold, {"a": 0, "b": 5_000})[NOBODY].cash_fen == 99_993, "its debt is nobody's, too"
    assert gone(sold, "a")


def test_odd_shares_of_a_sleeve_that_leaves_go_to_nobody_unless_they_are_all_there_is() -> None:
    books = books_of({NOBODY: 0, "a": 0, "b": 0}, {"a": 50, "b": 100}, share_bps=5_000)
    found = funded(books, {"a": 0, "b": 5_000})
    assert found[NOBODY].holdings[0].shares == 50
    assert gone(books, "a")
    alone = books_of({NOBODY: 0, "a": 0, "b": 0}, {"a": 50}, share_bps=5_000)
    assert funded(alone, {"a": 0, "b": 5_000})["a"].holdings[0].shares == 50


def test_a_canary_that_ends_leaves_everything_to_its_champion_untraded() -> None:
    books = books_of({NOBODY: 0, "s": 400_000, "s@canary": 100_000}, {"s": 300, "s@canary": 200}, share_bps=2_500)
    found = funded(books, {"s": 5_000}, {"s@canary": "s"})
    assert set(found) == {NOBODY, "s"}
    assert (found["s"].cash_fen, found["s"].holdings[0].shares, found["s"].owes_fen) == (500_000, 500, 0)


def test_the_only_sleeve_with_everything_is_the_account_as_the_broker_states_it() -> None:
    books = books_of({NOBODY: 5, "a": 100}, {NOBODY: 30, "a": 300}, share_bps=10_000)
    found = funded(books, {"a": 10_000})
    one = found["a"].holdings[0]
    assert (found["a"].cash_fen, one.shares, one.entry_price_e4, one.peak_price_e4) == (105, 330, 90_000, 120_000)
    assert (found[NOBODY].cash_fen, found[NOBODY].holdings) == (0, ())


@given(
    st.dictionaries(st.sampled_from(["a", "b", "c"]), st.integers(0, 10**9), min_size=1),
    st.dictionaries(st.sampled_from(["a", "b", "c"]), st.integers(1, 30).map(lambda lots: lots * 100)),
    st.lists(st.dictionaries(st.sampled_from(["a", "b", "c"]), st.integers(0, 3_333)), min_size=1, max_size=4),
)
def test_whatever_changes_cash_and_shares_add_up_and_nobody_gives_what_it_has_not(
    cash: dict[str, int], held: dict[str, int], changes: list[dict[str, int]]
) -> None:
    held = {name: shares for name, shares in held.items() if name in cash}
    stated = books_of({NOBODY: 0, **cash}, held, share_bps=3_333).stated()
    for shares in changes:
        found = funded(Books(stated), shares)
        assert sum(one.cash_fen for one in found.values()) == sum(cash.values())
        assert sum(mine.shares for one in found.values() for mine in one.holdings) == sum(held.values())
        assert all(one.cash_fen >= 0 for one in found.values())
        stated = tuple(found.values())
