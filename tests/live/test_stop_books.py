"""What stops know of positions: each strategy's own book and rules, and never more to sell than is surely its own."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select

from ljwx_pipeline.config import LiveStrategySettings, Settings
from ljwx_pipeline.live.alerts import alert_once
from ljwx_pipeline.live.async_journal import AsyncJournal
from ljwx_pipeline.live.events import (
    AlertRaised,
    BreakerMoved,
    Event,
    OrderDecided,
    SessionOpened,
    SleeveBook,
    SleeveHolding,
    SleevesDecided,
    SleevesSettled,
    SleeveWant,
    StrategyChanged,
    StrategyState,
    Tier,
)
from ljwx_pipeline.live.orders import OrderState
from ljwx_pipeline.live.sleeves.attribution import OrderTotal, SessionRecord, carry
from ljwx_pipeline.live.sleeves.book import Books
from ljwx_pipeline.live.sleeves.strategies import BY_FILE, plan, specs_of
from ljwx_pipeline.live.stop_books import (
    NOT_WATCHED,
    STOP,
    OpenSale,
    StopBooks,
    Watched,
    sleeves_to_sell,
    stop_books,
)
from ljwx_pipeline.live.store import Store
from ljwx_pipeline.live.tables import outbox
from ljwx_pipeline.trading.exchange_wire import Side
from ljwx_pipeline.trading.exits import ExitParams
from tests.fakes.journal_events import DAY, NEXT, closed, decided, filled, held, reported
from tests.fakes.journals import empty_store, log_of

NAME = "S00001.SIM"
EXITS = {"core": {"stop_loss_frac": 0.05}, "fast": {"max_hold_sessions": 7}}
GIVEN = {"topk-dropout": ExitParams(300, 0, 0, 0)}


def sections(settings: Settings, *paused: str, **shares: float) -> list[Event]:
    """Return that these strategies trade, each with its own exits."""
    given = {
        name: LiveStrategySettings.model_validate(
            {
                "model": "",
                "universe": "",
                "capital_share_frac": share,
                "schedule": "close",
                "paused": name in paused,
                "strategy": {"exits": EXITS[name]},
            }
        )
        for name, share in shares.items()
    }
    specs, mistakes = specs_of(given, settings.strategy, settings.risk)
    assert not mistakes
    return list(plan((), specs, holding=(), by=BY_FILE).events)


def settled(session_shares: dict[str, int], session: object = DAY) -> SleevesSettled:
    """Return the books of one symbol by sleeve; nobody's is there, too."""
    books = []
    for name in sorted({"", *session_shares}):
        shares = session_shares.get(name, 0)
        one = SleeveHolding(
            symbol=NAME,
            shares=shares,
            held_sessions=2,
            entry_price_e4=100_000,
            peak_price_e4=110_000,
            last_price_e4=105_000,
            value_fen=0,
        )
        books.append(
            SleeveBook(
                sleeve=name,
                share_bps=0,
                cash_fen=0,
                equity_fen=0,
                owes_fen=0,
                moved_fen=0,
                holdings=(one,) if shares else (),
            )
        )
    return SleevesSettled(session=session, books=tuple(books))


def wants(order: str, side: Side = Side.SELL, **shares: int) -> SleevesDecided:
    return SleevesDecided(
        session=DAY,
        valid_session=NEXT,
        wants=tuple(
            SleeveWant(
                sleeve=name,
                symbol=NAME,
                side=side,
                shares=wanted,
                crossed_shares=0,
                client_order_id=order,
                lot_step=100,
                denial="",
            )
            for name, wanted in sorted(shares.items())
            if wanted
        ),
    )


def sale(identity: str, shares: int, strategy: str = "account", **changed: object) -> OrderDecided:
    return decided(identity, strategy=strategy, side=Side.SELL, shares=shares, **changed)


def sold(identity: str, shares: int) -> Event:
    return filled(f"e-{identity}", identity, shares, side=Side.SELL)


def account(shares: int) -> Event:
    return closed(DAY, positions=(held(NAME, shares),))


def found(folder: Path, events: Sequence[Event]) -> StopBooks:
    store = empty_store(folder)
    log_of(store).append(list(events), 0)
    try:
        with store.reading() as connection:
            return stop_books(GIVEN, connection)
    finally:
        store.close()


def by_sleeve(books: StopBooks) -> dict[str, Watched]:
    assert books.watched is not None
    return {one.held.strategy: one for one in books.watched}


def may_sell(one: Watched) -> int:
    return one.sellable_shares - one.reserved_shares


def test_each_strategy_watches_its_own_book_by_its_own_exits(tmp_path: Path, settings: Settings) -> None:
    events = [
        account(1_000),
        *sections(settings, core=0.6, fast=0.3),
        settled({"": 100, "core": 500, "core@canary": 100, "fast": 300}),
        SessionOpened(session=NEXT),
    ]
    books = found(tmp_path, events)
    one = by_sleeve(books)
    assert {name: (w.held.shares, may_sell(w), w.strategy) for name, w in one.items()} == {
        "core": (500, 500, "core"),
        "core@canary": (100, 100, "core"),
        "fast": (300, 300, "fast"),
    }
    assert one["core"].exits == one["core@canary"].exits == ExitParams(500, 0, 0, 0)
    assert one["fast"].exits == ExitParams(0, 0, 0, 7)
    assert {w.held.held_sessions for w in one.values()} == {3}
    assert books.free_shares == {NAME: 1_000}
    assert not books.faults


def test_what_a_sleeve_wanted_of_an_open_sale_cannot_be_sold_again_and_of_a_final_one_its_part_is_gone(
    tmp_path: Path, settings: Settings
) -> None:
    events = [
        account(1_000),
        *sections(settings, core=0.6, fast=0.3),
        settled({"": 100, "core": 600, "fast": 300}),
        sale("net", 500),
        wants("net", core=400, fast=100),
        SessionOpened(session=NEXT),
        sold("net", 100),
    ]
    open_now = by_sleeve(found(tmp_path / "open", events))
    assert {name: may_sell(one) for name, one in open_now.items()} == {"core": 200, "fast": 200}
    final = reported(OrderState.LAPSED, "net", 100)
    ended = by_sleeve(found(tmp_path / "ended", [*events, final]))
    assert {name: (one.held.shares, may_sell(one)) for name, one in ended.items()} == {
        "core": (600, 600),
        "fast": (200, 200),
    }


def test_shares_bought_in_the_session_are_watched_and_not_sold(tmp_path: Path, settings: Settings) -> None:
    events = [
        closed(DAY),
        *sections(settings, core=0.6, fast=0.3),
        settled({"core": 0, "fast": 0}),
        decided("net", strategy="account", shares=500),
        wants("net", Side.BUY, core=300, fast=200),
        SessionOpened(session=NEXT),
        filled("e", "net", 500),
    ]
    one = by_sleeve(found(tmp_path, events))
    assert {name: (w.held.shares, w.sellable_shares, w.held.opened) for name, w in one.items()} == {
        "core": (300, 0, NEXT),
        "fast": (200, 0, NEXT),
    }
    assert {w.held.entry_price_e4 for w in one.values()} == {100_000}


def test_books_that_lag_behind_the_newest_close_are_watched_by_nobody_and_that_is_told_once(
    tmp_path: Path, settings: Settings
) -> None:
    events = [
        account(1_000),
        *sections(settings, core=0.6, fast=0.3),
        settled({"core": 1_000}),
        SessionOpened(session=NEXT),
        closed(NEXT, positions=(held(NAME, 1_000),)),
    ]
    assert found(tmp_path / "settling", events).watched is None  # its close is about to be decided
    books = found(tmp_path / "late", [*events, SessionOpened(session=NEXT + timedelta(days=1))])
    assert books.watched == ()
    (fault,) = books.faults
    assert f"books are of {DAY}" in fault
    store = Store(tmp_path / "late" / "journal.sqlite")
    journal = AsyncJournal(store, log_of(store))

    async def told_again() -> None:
        for messages in ([fault], [fault, "another"]):
            await alert_once(journal, NOT_WATCHED, messages)

    asyncio.run(told_again())
    with store.reading() as connection:
        told = connection.execute(select(outbox.c.tier, outbox.c.code, outbox.c.message)).all()
    assert [tuple(one) for one in told] == [("critical", NOT_WATCHED, fault), ("critical", NOT_WATCHED, "another")]
    journal.close()
    store.close()


def test_a_paused_strategy_has_no_stops_and_one_that_cannot_be_read_says_so(tmp_path: Path, settings: Settings) -> None:
    events = [
        account(1_000),
        *sections(settings, "core", core=0.6, fast=0.3),
        StrategyChanged(strategy="odd", state=StrategyState.ACTIVE, settings="{}", capital_share_bps=100, by="wu"),
        settled({"core": 500, "fast": 300, "odd": 200}),
        SessionOpened(session=NEXT),
    ]
    books = found(tmp_path, events)
    assert set(by_sleeve(books)) == {"fast"}
    assert books.faults == ("strategy odd has parameters that this program cannot read: its stops are unknown",)


def test_a_strategy_that_leaves_keeps_its_stops_until_it_has_sold(tmp_path: Path, settings: Settings) -> None:
    trading = sections(settings, core=0.6, fast=0.3)
    leaving = replace(trading[1], state=StrategyState.REDUCING, capital_share_bps=0)
    events = [account(500), *trading, settled({"core": 200, "fast": 300}), leaving, SessionOpened(session=NEXT)]
    assert set(by_sleeve(found(tmp_path, events))) == {"core", "fast"}


def test_a_strategy_alone_watches_the_account_whatever_books_there_were(tmp_path: Path, settings: Settings) -> None:
    before = [account(1_000), settled({"": 400, "fast": 600}), SessionOpened(session=NEXT)]
    unnamed = by_sleeve(found(tmp_path / "unnamed", before))
    named = by_sleeve(found(tmp_path / "named", [*sections(settings, core=1.0), *before]))
    assert {name: (one.held.shares, may_sell(one)) for name, one in unnamed.items()} == {"topk-dropout": (1_000, 1_000)}
    assert {name: (one.held.shares, may_sell(one)) for name, one in named.items()} == {"core": (1_000, 1_000)}
    with_canary = [account(1_000), settled({"": 400, "core": 500, "core@canary": 100}), SessionOpened(session=NEXT)]
    parts = by_sleeve(found(tmp_path / "canary", [*sections(settings, core=1.0), *with_canary]))
    assert {name: one.held.shares for name, one in parts.items()} == {"core": 500, "core@canary": 100}


ODD = st.integers(0, 650)
PART = st.integers(0, 100)


@given(
    have=st.tuples(ODD, ODD, ODD, ODD),
    wanted=st.tuples(ODD, ODD, ODD),
    by_hand=ODD,
    stop=st.integers(0, 2),
    parts=st.tuples(PART, PART, PART),
)
def test_whatever_becomes_of_open_sales_a_stop_has_sold_of_its_own_sleeve_alone(
    have: tuple[int, ...], wanted: tuple[int, ...], by_hand: int, stop: int, parts: tuple[int, ...]
) -> None:
    names = ("core", "core@canary", "fast")
    holds = dict(zip(("", *names), have, strict=True))
    asked = {name: min(one, holds[name]) for name, one in zip(names, wanted, strict=True)}
    whole = {"net": sum(asked.values()) // 100 * 100, "by-hand": min(by_hand, holds[""])}
    done = {"net": whole["net"] * parts[0] // 100, "by-hand": whole["by-hand"] * parts[1] // 100}
    stated, decision = settled(holds).books, wants("net", **asked).wants
    so_far = record(decision, holds)
    sales = [OpenSale(name, "hand", NAME, shares, done[name] // 2) for name, shares in whole.items() if shares]
    partly = replace(so_far, totals=tuple(total(one.client_order_id, one.filled_shares) for one in sales))
    before, reserved = sleeves_to_sell(stated, partly, sales)
    sleeve = names[stop]
    sold_by_stop = max(0, before.shares(sleeve, NAME) - reserved.get((sleeve, NAME), 0)) * parts[2] // 100
    # the other orders come to whatever they come to
    ended = [total(name, shares) for name, shares in done.items() if shares]
    with_stop, without = Books(stated), Books(stated)
    both = [*ended, total("a-stop", sold_by_stop, sleeve)] if sold_by_stop else ended
    assert carry(with_stop, record(decision, holds, both)) == []
    assert carry(without, record(decision, holds, ended)) == []
    for name in holds:
        own = sold_by_stop if name == sleeve else 0
        assert with_stop.shares(name, NAME) == without.shares(name, NAME) - own
        assert with_stop.shares(name, NAME) >= 0


def total(identity: str, shares: int, strategy: str = "hand") -> OrderTotal:
    return OrderTotal(identity, strategy, NAME, Side.SELL, shares, shares * 100_000, shares * 1_000, 0)


def record(decision: tuple[SleeveWant, ...], holds: dict[str, int], totals: Sequence[OrderTotal] = ()) -> SessionRecord:
    """Return a session that sells ``totals`` of what the sleeves hold, for cash that adds up."""
    left = sum(holds.values()) - sum(one.shares for one in totals)
    positions = (held(NAME, left),) if left else ()
    return SessionRecord(NEXT, (), tuple(totals), decision, {}, sum(one.value_fen for one in totals), positions)


def test_a_sale_by_hand_may_take_of_every_sleeve_what_nobody_s_book_does_not_give() -> None:
    holds = {"": 100, "core": 400, "fast": 200}
    _, reserved = sleeves_to_sell(settled(holds).books, record((), holds), [OpenSale("x", "hand", NAME, 250, 0)])
    assert (reserved["core", NAME], reserved["fast", NAME]) == (150, 150)


def test_one_look_costs_as_much_however_old_the_journal_is(tmp_path: Path) -> None:
    def steps(old_sessions: int) -> int:
        """Return how many thousand steps the database takes for one look at what is held for two sessions."""
        store = empty_store(tmp_path / str(old_sessions))
        days = [DAY - timedelta(days=n) for n in range(old_sessions, 0, -1)]
        events: list[Event] = [SessionOpened(session=day) for day in days]
        for n in range(old_sessions):
            events.append(AlertRaised(tier=Tier.CRITICAL, code=NOT_WATCHED, message=f"position {n}"))
            events.append(BreakerMoved(breaker=STOP, scope=f"topk-dropout|{NAME}|{days[n]}", state="{}"))
        log_of(store).append([*events, account(1_000), SessionOpened(session=NEXT)], 0)
        taken = 0

        def step() -> int:
            nonlocal taken
            taken += 1
            return 0

        with store.reading() as connection:
            stop_books(GIVEN, connection)  # whatever is looked up once
            driver = connection.connection.dbapi_connection
            driver.set_progress_handler(step, 10)  # type: ignore[union-attr]
            books = stop_books(GIVEN, connection)
            driver.set_progress_handler(None, 0)  # type: ignore[union-attr]
        store.close()
        assert len(books.watched or ()) == 1
        return taken

    young, old = steps(20), steps(600)
    assert 0 < old <= young * 2
