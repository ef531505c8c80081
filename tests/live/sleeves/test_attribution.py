"""What happens to the account is allotted to its sleeves: exactly, fairly, and never more than they hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from ljwx_pipeline.live.events import HeldPosition, SleeveBook, SleeveHolding, SleeveWant
from ljwx_pipeline.live.orders import Leg, OrderIntent
from ljwx_pipeline.live.sleeves.attribution import Moved, OrderTotal, SessionRecord, carry
from ljwx_pipeline.live.sleeves.book import NOBODY, Books
from ljwx_pipeline.live.sleeves.funding import Funding, fund
from ljwx_pipeline.live.sleeves.netting import Lot, SleeveIntent, net
from ljwx_pipeline.trading.exchange_wire import Side

DAY = date(2025, 11, 3)
SYMBOLS = ("A", "B", "C")
LOTS = {"A": Lot(100, 100), "B": Lot(200, 1), "C": Lot(100, 100)}
CAPITAL_FEN = 1_000_000_00


def holding(symbol: str, shares: int, entry_e4: int = 100_000) -> SleeveHolding:
    return SleeveHolding(
        symbol=symbol,
        shares=shares,
        held_sessions=3,
        entry_price_e4=entry_e4,
        peak_price_e4=entry_e4,
        last_price_e4=entry_e4,
        value_fen=0,
    )


def book(sleeve: str, cash_fen: int = 0, *held: SleeveHolding) -> SleeveBook:
    return SleeveBook(
        sleeve=sleeve, share_bps=0, cash_fen=cash_fen, equity_fen=0, owes_fen=0, moved_fen=0, holdings=held
    )


def position(symbol: str, shares: int, price_e4: int = 100_000) -> HeldPosition:
    return HeldPosition(
        symbol=symbol,
        shares=shares,
        sellable_shares=shares,
        held_sessions=0,
        entry_price_e4=0,
        peak_price_e4=0,
        last_price_e4=price_e4,
    )


def want(sleeve: str, shares: int, side: Side = Side.BUY, *, crossed: int = 0, order: str = "o") -> SleeveWant:
    return SleeveWant(
        sleeve=sleeve,
        symbol="A",
        side=side,
        shares=shares,
        crossed_shares=crossed,
        client_order_id=order,
        lot_step=100,
        denial="",
    )


def total(
    shares: int, side: Side = Side.BUY, *, order: str = "o", strategy: str = "account", fees: int = 0
) -> OrderTotal:
    return OrderTotal(order, strategy, "A", side, shares, shares * 100_000, shares * 1_000, fees)


def session(
    cash_fen: int,
    positions: Sequence[HeldPosition],
    *,
    wants: Sequence[SleeveWant] = (),
    totals: Sequence[OrderTotal] = (),
    moved: Sequence[Moved] = (),
    closes: Mapping[str, int] | None = None,
) -> SessionRecord:
    given_closes = {"A": 100_000} if closes is None else closes
    return SessionRecord(DAY, tuple(moved), tuple(totals), tuple(wants), given_closes, cash_fen, tuple(positions))


def held(books: Books, symbol: str = "A") -> dict[str, int]:
    return {name: books.shares(name, symbol) for name in books.holders(symbol)}


def cash(books: Books) -> dict[str, int]:
    return {name: one.cash_fen for name, one in books.capital.items()}


def test_a_partial_fill_is_shared_in_lots_with_value_and_fees() -> None:
    books = Books([book("a", 1_000_000), book("b", 1_000_000)])
    record = session(
        2_000_000 - 300_001, [position("A", 300)], wants=[want("a", 300), want("b", 200)], totals=[total(300, fees=1)]
    )
    assert carry(books, record) == []
    assert held(books) == {"a": 100, "b": 200}
    assert cash(books) == {NOBODY: 0, "a": 900_000, "b": 799_999}


def test_crossed_shares_change_hands_at_the_close_without_fees() -> None:
    books = Books([book("a", 0, holding("A", 500)), book("b", 1_000_000)])
    wants = [want("a", 500, Side.SELL, crossed=300), want("b", 300, crossed=300, order="")]
    record = session(
        1_000_000 + 199_900,
        [position("A", 300, 110_000)],
        wants=wants,
        totals=[total(200, Side.SELL, fees=100)],
        closes={"A": 110_000},
    )
    assert carry(books, record) == []
    assert held(books) == {"b": 300}
    assert cash(books) == {NOBODY: 0, "a": 199_900 + 330_000, "b": 670_000}
    one = books.holding("b", "A")
    assert (one.entry_price_e4, one.peak_price_e4, one.held_sessions) == (110_000, 110_000, 0)


def test_nothing_is_crossed_while_the_symbol_does_not_trade() -> None:
    books = Books([book("a", 0, holding("A", 300)), book("b", 1_000_000)])
    wants = [want("a", 300, Side.SELL, crossed=300, order=""), want("b", 300, crossed=300, order="")]
    assert carry(books, session(1_000_000, [position("A", 300)], wants=wants, closes={})) == []
    assert held(books) == {"a": 300}


def test_what_a_stop_sold_before_is_not_given_away_again() -> None:
    books = Books([book("a", 0, holding("A", 300)), book("b", 1_000_000)])
    wants = [want("a", 300, Side.SELL, crossed=300, order=""), want("b", 300, crossed=300, order="")]
    stop = total(200, Side.SELL, order="stop", strategy="a")
    assert carry(books, session(1_200_000, [position("A", 100)], wants=wants, totals=[stop])) == []
    assert held(books) == {"b": 100}
    assert cash(books) == {NOBODY: 0, "a": 300_000, "b": 900_000}


def test_a_dividend_bonus_and_rights_go_by_what_was_held_before_them() -> None:
    books = Books([book("a", 1_000_000, holding("A", 100)), book("b", 1_000_000, holding("A", 200))])
    moved = [Moved("A", 301, 0), Moved("A", 0, 90), Moved("A", -60_000, 30)]
    assert carry(books, session(2_000_301 - 60_000, [position("A", 420)], moved=moved)) == []
    assert held(books) == {"a": 140, "b": 280}
    assert cash(books) == {NOBODY: 0, "a": 1_000_100 - 20_000, "b": 1_000_201 - 40_000}
    # 100 shares at 10.00 less 1.00 of dividend and with 200.00 for rights are 140 shares now
    assert books.holding("a", "A").entry_price_e4 == (100 * 100_000 - 100 * 100 + 20_000 * 100) // 140


def test_a_delisted_name_is_written_off_in_every_book() -> None:
    books = Books([book("a", 0, holding("A", 100)), book("b", 0, holding("A", 250))])
    assert carry(books, session(0, [], moved=[Moved("A", 0, -350)], closes={})) == []
    assert held(books) == {}


def test_a_sale_by_hand_takes_nobody_s_shares_first_and_then_everybody_s_in_proportion() -> None:
    books = Books(
        [book(NOBODY, 0, holding("A", 100)), book("a", 0, holding("A", 300)), book("b", 0, holding("A", 100))]
    )
    record = session(300_000, [position("A", 200)], totals=[total(300, Side.SELL, order="external|1", strategy="")])
    assert carry(books, record) == []
    assert held(books) == {"a": 150, "b": 50}
    assert cash(books) == {NOBODY: 100_000, "a": 150_000, "b": 50_000}


def test_what_nobody_can_explain_is_said_and_belongs_to_nobody() -> None:
    books = Books([book("a", 500, holding("A", 100))])
    said = carry(books, session(700, [position("A", 60), position("B", 10)]))
    assert said == [
        "A is 100 shares in the sleeves' books and 60 in the account",
        "B is 0 shares in the sleeves' books and 10 in the account",
        "cash is 500 fen in the sleeves' books and 700 in the account",
    ]
    assert held(books) == {"a": 60}
    assert held(books, "B") == {NOBODY: 10}
    assert cash(books) == {NOBODY: 200, "a": 500}


@dataclass
class Market:
    """A small account at a broker, beside the sleeves' books: what the sessions of a property are made of."""

    cash_fen: int = CAPITAL_FEN
    shares: dict[str, int] = field(default_factory=lambda: dict.fromkeys(SYMBOLS, 0))
    price_e4: dict[str, int] = field(default_factory=lambda: dict.fromkeys(SYMBOLS, 100_000))

    def positions(self) -> tuple[HeldPosition, ...]:
        return tuple(position(name, self.shares[name], self.price_e4[name]) for name in SYMBOLS if self.shares[name])


Life = tuple[Market, tuple[SleeveBook, ...], tuple[SleeveBook, ...]]


@st.composite
def lives(draw: st.DrawFn, names: tuple[str, ...]) -> list[Life]:
    """Sessions of an account traded by ``names``: account and books after each, before and after capital moves."""
    market, found = Market(), []
    share = draw(st.integers(1, 10_000 // len(names)))
    funding = Funding(dict.fromkeys(names, 10_000 if len(names) == 1 else share), {})
    books = Books([book(NOBODY, CAPITAL_FEN)])
    fund(books, funding, lots=LOTS, cash_fen=CAPITAL_FEN, positions=())
    stated = books.stated()
    for number in range(draw(st.integers(1, 4))):
        wanted = _wanted(draw, names, stated)
        netted = net(DAY, wanted, lots=LOTS, held_shares=market.shares)
        moved = _actions(draw, market)
        totals = [one for order in netted.orders if (one := _filled(draw, market, order.intent)) is not None]
        closes = {name: draw(st.integers(50_000, 200_000)) for name in SYMBOLS if draw(st.booleans())}
        market.price_e4.update(closes)
        books = Books(stated)
        record = SessionRecord(
            DAY + timedelta(days=number),
            tuple(moved),
            tuple(totals),
            netted.wants,
            closes,
            market.cash_fen,
            market.positions(),
        )
        assert carry(books, record) == []
        carried = books.stated()
        fund(books, funding, lots=LOTS, cash_fen=market.cash_fen, positions=record.positions)
        stated = books.stated()
        after = replace(market, shares=dict(market.shares), price_e4=dict(market.price_e4))
        found.append((after, carried, stated))
    return found


def _wanted(draw: st.DrawFn, names: tuple[str, ...], stated: tuple[SleeveBook, ...]) -> list[SleeveIntent]:
    wanted = []
    for one in stated:
        if one.sleeve not in names:
            continue
        have = {held_one.symbol: held_one.shares for held_one in one.holdings}
        for rank, symbol in enumerate(SYMBOLS):
            signed = draw(st.sampled_from([0, 1, -1]))
            shares = LOTS[symbol].floor(draw(st.integers(200, 2_000)))
            if signed < 0:
                shares = draw(st.integers(0, have.get(symbol, 0)))
            if signed and shares:
                side = Side.BUY if signed > 0 else Side.SELL
                intent = OrderIntent(f"{one.sleeve}|{symbol}", DAY, symbol, side, shares, rank, 100_000)
                wanted.append(SleeveIntent(one.sleeve, intent, Leg.DECIDE, None))
    return wanted


def _actions(draw: st.DrawFn, market: Market) -> list[Moved]:
    found = []
    for name in SYMBOLS:
        if market.shares[name] and draw(st.integers(0, 3)) == 0:
            fen, bonus = draw(st.integers(0, 5_000)), market.shares[name] * draw(st.integers(0, 3)) // 10
            found += [Moved(name, fen, 0), Moved(name, 0, bonus)]
            market.cash_fen += fen
            market.shares[name] += bonus
    return found


def _filled(draw: st.DrawFn, market: Market, intent: OrderIntent) -> OrderTotal | None:
    lot = LOTS[intent.symbol]
    part = intent.shares if draw(st.booleans()) else lot.floor(draw(st.integers(0, intent.shares)))
    if part == 0:
        return None
    price_e4, fees = draw(st.integers(50_000, 200_000)), draw(st.integers(0, 999))
    value = part * price_e4 // 100
    buying = intent.side is Side.BUY
    market.cash_fen += -value - fees if buying else value - fees
    market.shares[intent.symbol] += part if buying else -part
    return OrderTotal(intent.client_order_id, "account", intent.symbol, intent.side, part, part * price_e4, value, fees)


@settings(max_examples=60, deadline=None)
@given(lives(("a", "b", "c")))
def test_the_books_add_up_to_the_account_after_every_session_and_nobody_is_short(life: list[Life]) -> None:
    for market, *both in life:
        for books in both:
            assert sum(one.cash_fen for one in books) == market.cash_fen
            value = sum(market.shares[name] * market.price_e4[name] // 100 for name in SYMBOLS)
            assert sum(one.equity_fen for one in books) == market.cash_fen + value
            for name in SYMBOLS:
                shares = [mine.shares for one in books for mine in one.holdings if mine.symbol == name]
                assert sum(shares) == market.shares[name]
                assert all(some > 0 for some in shares)
            assert not next(one for one in books if one.sleeve == NOBODY).holdings, "everything has an owner"


@settings(max_examples=40, deadline=None)
@given(lives(("a",)))
def test_one_sleeve_with_all_of_the_capital_is_the_account_by_what_is_allotted_to_it_alone(life: list[Life]) -> None:
    for market, (nobody, alone), _ in life:
        assert (nobody.cash_fen, nobody.holdings, nobody.equity_fen) == (0, (), 0)
        assert alone.cash_fen == market.cash_fen
        assert {one.symbol: one.shares for one in alone.holdings} == {k: v for k, v in market.shares.items() if v}
