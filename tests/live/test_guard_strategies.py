"""The guard of several strategies: those in force, each with its breakers; a shared order counts for all behind it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ljwx_pipeline.errors import TradingError
from ljwx_pipeline.live.events import (
    Event,
    OrderDecided,
    OrderUnknown,
    SessionOpened,
    SleeveBook,
    SleeveHolding,
    SleevesDecided,
    SleevesSettled,
    SleeveWant,
    StrategyChanged,
    StrategyState,
)
from ljwx_pipeline.live.guard_trades import OrderFacts, Part, StrategyTrades, read_trades, trades_text
from ljwx_pipeline.live.orders import Leg, OrderState
from ljwx_pipeline.live.outstanding import Outstanding
from ljwx_pipeline.live.sleeves.netting import ACCOUNT
from ljwx_pipeline.live.sleeves.parts import in_lots
from ljwx_pipeline.live.tables import breakers, outbox
from ljwx_pipeline.trading.breakers import Breaker
from ljwx_pipeline.trading.exchange_wire import Execution, NewOrder, Side
from ljwx_pipeline.trading.modes import Action, TradingMode
from tests.fakes.journal_events import DAY, NEXT, decided, filled, reported
from tests.fakes.live_ticks import BREAKERS
from tests.live.test_guard import FIRST, World, lost_trade, run

SYMBOL = "S00001.SIM"


def changed(name: str, state: StrategyState = StrategyState.ACTIVE) -> StrategyChanged:
    return StrategyChanged(strategy=name, state=state, settings="{}", capital_share_bps=4_000, by="ljwx.toml")


def of(events: list[Event], strategy: str) -> list[Event]:
    return [replace(one, strategy=strategy) if isinstance(one, OrderDecided) else one for one in events]


def shared(
    identity: str, wants: dict[str, int], side: Side = Side.BUY, crossed: dict[str, int] | None = None
) -> list[Event]:
    """One order of the account, and what the sleeves behind it want of it."""
    there = [
        SleeveWant(
            sleeve=sleeve,
            symbol=SYMBOL,
            side=side,
            shares=shares,
            crossed_shares=(crossed or {}).get(sleeve, 0),
            client_order_id=identity,
            lot_step=100,
            denial="",
        )
        for sleeve, shares in sorted(wants.items())
    ]
    whole = sum(wants.values()) - sum((crossed or {}).values())
    order = decided(identity, strategy=ACCOUNT, symbol=SYMBOL, side=side, shares=whole)
    return [SleevesDecided(session=DAY, valid_session=NEXT, wants=tuple(there)), order]


def book_of(sleeve: str, shares: int, entry_price_e4: int) -> SleeveBook:
    held = SleeveHolding(
        symbol=SYMBOL, shares=shares, held_sessions=1, entry_price_e4=entry_price_e4, peak_price_e4=entry_price_e4,
        last_price_e4=entry_price_e4, value_fen=0,
    )  # fmt: skip
    return SleeveBook(
        sleeve=sleeve,
        share_bps=1,
        cash_fen=0,
        equity_fen=0,
        owes_fen=0,
        moved_fen=0,
        holdings=(held,) if shares else (),
    )


async def _two(one: World) -> None:
    await one.tell(SessionOpened(session=FIRST), changed("core"), changed("fast"))


def count(one: World, breaker: Breaker, strategy: str) -> int:
    return one.guard.book.states[breaker, strategy].count


def test_it_watches_who_is_in_force_and_a_person_halts_one_of_them(tmp_path: Path) -> None:
    async def act(one: World) -> None:
        assert one.guard.strategies == ("s",)  # the journal names nobody yet
        await one.journal.append([changed("core"), changed("fast")], one.lease.epoch)
        await one.guard.choose(TradingMode.HALTED, "core", by="wu", reason="odd")  # it came a moment ago
        assert one.guard.standing("core").mode is TradingMode.HALTED
        assert one.guard.standing("fast").mode is TradingMode.ACTIVE
        assert one.guard.standing().mode is TradingMode.ACTIVE
        assert await one.guard.own_denial("core", NEXT, Action.REDUCE) == "CHOSEN"
        assert await one.guard.own_denial("fast", NEXT, Action.OPEN) == ""
        await one.guard.kill(by="wu", reason="fire")  # the account's reason is told with the account's orders
        assert await one.guard.own_denial("fast", NEXT, Action.OPEN) == ""
        assert (await one.guard.restraint("", NEXT, 0)).opening_denied == Breaker.KILL_SWITCH
        with pytest.raises(TradingError, match="name one of core, fast"):
            await one.guard.choose(TradingMode.HALTED, "typo", by="wu", reason="odd")
        assert not [row for row in one.rows(outbox) if row["tier"] == "critical" and row["code"] != "KILL_SWITCH"]

    run(tmp_path, act)

    async def again(one: World) -> None:
        assert one.guard.strategies == ("core", "fast")
        assert one.guard.standing("core").denial(Action.CANCEL) == ""
        assert one.guard.book.modes["core"] is TradingMode.HALTED

    run(tmp_path, again)


def test_a_strategy_that_comes_back_finds_its_breakers_as_they_were(tmp_path: Path) -> None:
    async def act(one: World) -> None:
        await _two(one)
        for n in range(BREAKERS.max_failures):
            failed = [decided(f"o{n}", strategy="fast"), OrderUnknown(client_order_id=f"o{n}", reason="no answer")]
            await one.tell(*failed)
        assert await one.guard.own_denial("fast", NEXT, Action.OPEN) == Breaker.FAILURES
        await one.tell(changed("fast", StrategyState.REMOVED))
        assert "fast" not in one.guard.strategies

    run(tmp_path, act)

    async def again(one: World) -> None:
        assert one.guard.strategies == ("core",)
        await one.tell(changed("fast"))
        assert await one.guard.own_denial("fast", NEXT, Action.OPEN) == Breaker.FAILURES
        assert await one.guard.own_denial("core", NEXT, Action.OPEN) == ""

    run(tmp_path, again)


def test_losing_trades_of_a_canary_are_its_strategy_s(tmp_path: Path) -> None:
    async def act(one: World) -> None:
        await _two(one)
        for n, sleeve in enumerate(("core", "core@canary", "core@canary")):
            await one.tell(*of(lost_trade(n), sleeve))
        assert one.guard.standing("core").denial(Action.OPEN) == Breaker.LOSING_TRADES
        assert one.guard.standing("fast").mode is TradingMode.ACTIVE
        assert [(row["breaker"], row["scope"]) for row in one.rows(breakers)] == [("LOSING_TRADES", "core")]

    run(tmp_path, act)


def test_failures_of_a_shared_order_are_of_all_behind_it(tmp_path: Path) -> None:
    async def act(one: World) -> None:
        await _two(one)
        await one.tell(changed("third"))
        for n in range(BREAKERS.max_failures):
            day = {"session": DAY - timedelta(days=n)}
            said, order = shared(f"o{n}", {"core": 100, "core@canary": 100, "fast": 200})
            events = [replace(said, **day), replace(order, **day)]
            await one.tell(*events, reported(OrderState.REJECTED, f"o{n}", reason="CASH"))
        assert one.guard.standing("core").mode is one.guard.standing("fast").mode is TradingMode.HALTED
        assert one.guard.standing("third").mode is TradingMode.ACTIVE

    run(tmp_path, act)


def test_each_behind_a_shared_sale_has_its_part_of_the_loss_once_the_order_is_final(tmp_path: Path) -> None:
    async def act(one: World) -> None:
        await _two(one)
        await one.tell(*shared("b", {"core": 300, "fast": 200}), filled("e0", "b", 500, session=FIRST))
        assert one.guard.book.trades["core"].book.shares_of(SYMBOL) == 300
        later = {"session": NEXT}
        said, order = shared("s", {"core": 300, "fast": 200}, Side.SELL)
        await one.tell(replace(said, **later), replace(order, **later))
        part = {"side": Side.SELL, "session": FIRST}
        await one.tell(filled("e1", "s", 200, value_fen=180_000, **part))
        assert count(one, Breaker.LOSING_TRADES, "core") == count(one, Breaker.LOSING_TRADES, "fast") == 0
        await one.tell(reported(OrderState.LAPSED, "s", 300))
        await one.tell(filled("e2", "s", 100, value_fen=90_000, **part))
        assert count(one, Breaker.LOSING_TRADES, "core") == count(one, Breaker.LOSING_TRADES, "fast") == 1
        given = in_lots(300, [300, 200], 100)
        left = [one.guard.book.trades[name].book.shares_of(SYMBOL) for name in ("core", "fast")]
        assert left == [300 - given[0], 200 - given[1]]
        assert all(not of.shared and not of.ended for of in one.guard.book.trades.values())

    run(tmp_path, act)


def test_what_strategies_cross_comes_from_the_books_of_the_close(tmp_path: Path) -> None:
    async def act(one: World) -> None:
        await _two(one)
        await one.tell(*of([decided("b"), filled("e", "b", 300, session=FIRST)], "core"))
        books = (book_of("", 0, 0), book_of("core", 100, 100_000), book_of("fast", 200, 80_000))
        await one.tell(SleevesSettled(session=FIRST, books=books))
        held = {name: of.book.shares_of(SYMBOL) for name, of in one.guard.book.trades.items()}
        assert held == {"core": 100, "fast": 200, "s": 0}
        # bought at 8.00 by crossing, sold at 10.00: nobody saw an order, and still it is no losing trade
        sale = [decided("s", side=Side.SELL, shares=200, session=NEXT), filled("e2", "s", 200, side=Side.SELL)]
        await one.tell(*of(sale, "fast"))
        assert count(one, Breaker.LOSING_TRADES, "fast") == 0

    run(tmp_path, act)


def test_an_order_that_several_share_is_denied_by_what_denies_any_of_them(tmp_path: Path) -> None:
    async def act(one: World) -> None:
        await _two(one)
        await one.guard.choose(TradingMode.REDUCING, "fast", by="wu", reason="odd")
        assert one.guard.may_send(outstanding(("core", "fast"))) == "CHOSEN"
        assert one.guard.may_send(outstanding(("core", "core@canary"))) == ""
        assert one.guard.may_send(outstanding((), strategy="fast")) == "CHOSEN"
        assert one.guard.may_send(outstanding(("core", "fast"), side=Side.SELL)) == ""
        await one.guard.kill(by="wu", reason="fire")
        assert one.guard.may_send(outstanding(("core", "core@canary"))) == Breaker.KILL_SWITCH
        assert one.guard.may_send(outstanding((), strategy="hand")) == Breaker.KILL_SWITCH

    run(tmp_path, act)


def outstanding(behind: tuple[str, ...], *, strategy: str = ACCOUNT, side: Side = Side.BUY) -> Outstanding:
    order = NewOrder("x", NEXT, SYMBOL, side, 100, 0, Execution.SESSION, 0)
    return Outstanding(order, strategy, Leg.DECIDE, OrderState.INTENDED, 1, 1, behind)


def test_trades_of_an_earlier_release_know_no_shared_orders() -> None:
    assert read_trades('{"book":{"lots":[],"selling":[]},"ended":[]}') == StrategyTrades()
    assert read_trades(trades_text(StrategyTrades())) == StrategyTrades()
    with pytest.raises(TradingError):
        read_trades("{}")


@given(
    st.lists(st.tuples(st.sampled_from(["a", "b", "c"]), st.integers(1, 900)), min_size=2, max_size=4),
    st.lists(st.integers(1, 400), min_size=1, max_size=5),
    st.sampled_from(Side),
    st.booleans(),
)
def test_a_part_of_a_shared_order_does_not_depend_on_its_pieces(
    wants: list[tuple[str, int]], pieces: list[int], side: Side, first: bool
) -> None:
    whole = sum(shares for _, shares in wants)
    done = min(whole, sum(pieces))
    facts = OrderFacts(side, whole, tuple(Part(*want) for want in wants), 100)

    def after(*sizes: int) -> dict[str, Any]:
        found = {}
        for name in facts.strategies:
            trades = StrategyTrades()
            if first and done:
                trades, _ = trades.shared_finished("x", done, name, facts)
            left = done
            for n, size in enumerate(sizes):
                size = min(size, left)
                left -= size
                if size:
                    fill = filled(f"e{n}", "x", size, side=side, commission_fen=0, transfer_fee_fen=size)
                    trades, _ = trades.shared_filled(fill, name, facts)
            if not first and done < whole:
                trades, _ = trades.shared_finished("x", done, name, facts)
            found[name] = trades
        return found

    split = after(*pieces)
    assert split == after(done)
    assert all(not one.shared and not one.ended for one in split.values())
    if side is Side.BUY:
        given = in_lots(done, [shares for _, shares in wants], 100)
        for name in facts.strategies:
            mine = sum(part for (of, _), part in zip(wants, given, strict=True) if of == name)
            assert split[name].book.shares_of(SYMBOL) == mine
