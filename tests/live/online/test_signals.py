"""Signals are those of a computation from nothing, bit for bit, whatever order ticks and looks came in."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from ljwx_pipeline.clock import SystemClock
from ljwx_pipeline.errors import LiveError
from ljwx_pipeline.factors.alpha158 import alpha158
from ljwx_pipeline.factors.increment import newest_session
from ljwx_pipeline.live.online.facts import session_facts
from ljwx_pipeline.live.online.live_factors import LiveFactors
from ljwx_pipeline.live.online.signals import LiveSignals, SessionEnd, Signal
from ljwx_pipeline.live.scorer import BundleScorer
from ljwx_pipeline.live.ticks.validation import Verdict
from ljwx_pipeline.scoring.model import Member, Model
from ljwx_pipeline.trading.exchange_wire import PhaseName, Tick
from ljwx_pipeline.trading.strict_json import from_row
from tests.fakes.bundles import tiny_linear
from tests.fakes.exchange_world import opened
from tests.fakes.live_ticks import BREAKERS
from tests.fakes.online_world import HISTORY_SESSIONS, SPECIAL, World, mixed_catalogue, online_world

#: Split on the first session that comes as ticks.
SPLIT = "S00000.SIM"
#: Of a market whose split is no whole number once its reference price is rounded to a fen: 9.95 becomes 4.98.
SEED = 2


@pytest.fixture(scope="module", params=[alpha158, mixed_catalogue], ids=["alpha158", "mixed"])
def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> World:
    made: Callable[[], object] = request.param
    return online_world(tmp_path_factory.mktemp("online"), made(), seed=SEED)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> World:
    return online_world(tmp_path_factory.mktemp("mixed"), mixed_catalogue())


def bits(values: np.ndarray) -> np.ndarray:
    return np.where(np.isnan(values), values.dtype.type(np.nan), values).view(f"u{values.dtype.itemsize}")


def played(live: LiveSignals, ticks: dict[str, list[Tick]], order: np.random.Generator) -> dict[str, Tick]:
    """Play ticks, each symbol's in order and symbols in any, with looks in between; return the newest of each."""
    waiting = {name: list(each) for name, each in ticks.items()}
    newest: dict[str, Tick] = {}
    while waiting:
        name = str(order.choice(sorted(waiting)))
        one = waiting[name].pop(0)
        assert live.on_tick(one, one.at_ns).verdict is Verdict.ACCEPTED
        newest[name] = one
        if not waiting[name]:
            del waiting[name]
        match order.integers(6):
            case 0 | 1:
                live.step(int(order.integers(1, 4)))
            case 2 if order.random() < 0.3:
                live.rescore()
    return newest


@examples(max_examples=12, deadline=None)
@given(seed=st.integers(0, 10_000), each=st.integers(1, 5), absent=st.integers(0, 7), day=st.integers(0, 1))
def test_when_nothing_waits_features_and_scores_are_those_of_a_computation_from_nothing(
    world: World, seed: int, each: int, absent: int, day: int
) -> None:
    live, session = world.signals(), world.feed.sessions[day]
    live.open(session, world.facts(session))
    before, ticks = live._features.copy(), world.ticks(session, each=each, seed=seed)
    for name in sorted(ticks)[:absent]:
        del ticks[name]
    newest = played(live, ticks, np.random.default_rng(seed))
    live.rescore()
    expected, traded = world.from_nothing(session, newest)
    held = [world.catalogue.names.index(name) for name in live.held]
    expected[:, held] = before[:, held]
    np.testing.assert_array_equal(bits(live._features[traded]), bits(expected[traded]))
    scores = world.bundle.predict(expected).score
    told = {one.symbol: one for one in live.signals()}
    assert set(told) == set(newest) - {SPECIAL}
    for row, name in enumerate(world.feed.symbols):
        if name in told:
            assert told[name].score == scores[row]
            assert told[name].at_ns == newest[name].at_ns


@pytest.mark.parametrize("threads", [1, 2])
def test_when_the_last_tick_is_the_official_bar_the_features_are_the_closes(world: World, threads: int) -> None:
    live, closes = world.signals(threads=threads), BundleScorer(world.bundle, world.history())
    for session in world.feed.sessions:
        live.open(session, world.facts(session))
        played(live, world.ticks(session, seed=session.day), np.random.default_rng(0))
        live.rescore()
        before_close = live._features.copy()
        end = live.close(session, world.sent_bars(session))
        expected = closes.history.inputs(session, *closes.groups_read)
        np.testing.assert_array_equal(bits(end.scores), bits(closes.scores(session)))
        assert np.isfinite(end.scores).sum() == len(world.feed.symbols) - 1
        assert end.alerts == ()
        live_columns = [c for c, name in enumerate(world.catalogue.names) if name not in live.held]
        rows = [r for r, name in enumerate(world.feed.symbols) if name != SPLIT]
        same = np.ix_(rows, live_columns)
        np.testing.assert_array_equal(bits(before_close[same]), bits(expected.features[same]))


def test_prices_across_a_split_are_near_before_the_close_and_exact_at_it(world: World) -> None:
    live, session = world.signals(), world.feed.sessions[0]
    of_split = world.bars[world.bars["symbol"] == SPLIT].set_index("session_date")
    last, reference = of_split["close_cny"].iloc[HISTORY_SESSIONS - 1], of_split.loc[str(session), "pre_close_cny"]
    assert (last, reference) == (9.95, 4.98), "exactly half of it would make the provisional prices exact"
    live.open(session, world.facts(session))
    played(live, world.ticks(session), np.random.default_rng(1))
    live.rescore()
    row = world.feed.symbols.index(SPLIT)
    column = world.catalogue.names.index("ROC5" if "ROC5" in world.catalogue.names else "MOVED")
    provisional = live._features[row, column]
    live.close(session)
    exact = world.history().features(session)[row, column]
    assert provisional != exact
    assert provisional == pytest.approx(exact, abs=2e-3), "the reference price is rounded to a fen, and no more"


def test_a_session_that_was_begun_late_ends_up_where_the_others_do(world: World) -> None:
    session = world.feed.sessions[0]
    whole, late = world.signals(), world.signals()
    ticks = world.ticks(session)
    for live in (whole, late):
        live.open(session, world.facts(session))
    played(whole, ticks, np.random.default_rng(2))
    for each in ticks.values():
        late.on_tick(each[-1], each[-1].at_ns)
    assert whole.rescore() != ()
    late.rescore()
    assert late.signals() == whole.signals()


def test_ticks_that_were_judged_elsewhere_make_the_same_signals(mixed: World) -> None:
    session, judged, handed = mixed.feed.sessions[0], mixed.signals(), mixed.signals()
    ticks = mixed.ticks(session)
    for live in (judged, handed):
        live.open(session, mixed.facts(session)[1:])
    for each in list(ticks.values())[1:]:
        for one in each:
            minute = judged.on_tick(one, one.at_ns).minute
            assert handed.on_believed(one) == minute
    assert handed.step() == judged.step()
    assert handed.signals() == judged.signals() != ()
    assert handed.counts == judged.counts
    stranger, first = ticks["S00000.SIM"][0], ticks["S00001.SIM"][0]
    for wrong in (stranger, replace(first, session=mixed.feed.sessions[1])):
        with pytest.raises(LiveError, match="was not opened with"):
            handed.on_believed(wrong)
    handed.close(session)
    handed.on_believed(first)
    assert handed.step() == ()
    assert handed.counts.late == 1
    with pytest.raises(LiveError, match="no session is open"):
        mixed.signals().on_believed(first)


def test_a_burst_costs_one_computation_a_symbol_and_every_tick_is_accounted_for(mixed: World) -> None:
    live, session = mixed.signals(), mixed.feed.sessions[0]
    live.open(session, mixed.facts(session))
    ticks = mixed.ticks(session, each=10)
    for each in ticks.values():
        for one in each:
            live.on_tick(one, one.at_ns)
    assert (live.counts.waiting, live.counts.conflated) == (8, 72)
    told = live.step()
    assert {one.symbol: one.at_ns for one in told} == {
        name: each[-1].at_ns for name, each in ticks.items() if name != SPECIAL
    }
    assert live.step() == ()
    counts = live.counts
    assert (counts.ticks, counts.signals, counts.waiting, counts.deepest) == (80, 7, 0, 8)


def test_ticks_that_are_not_believed_change_no_signal_and_are_counted(mixed: World) -> None:
    live, session = mixed.signals(), mixed.feed.sessions[0]
    live.open(session, mixed.facts(session))
    first = mixed.ticks(session)["S00001.SIM"][0]
    live.on_tick(first, first.at_ns)
    live.step()
    before = live.signals()
    stranger = replace(first, symbol="S99999.SIM")
    before_e4 = mixed.official(session)["S00002.SIM"].pre_close_e4
    untraded = replace(
        first, symbol="S00002.SIM", volume_shares=0, amount_fen=0, pre_close_e4=before_e4, last_e4=0, bid_e4=0, ask_e4=0
    )
    assert live.on_tick(stranger, first.at_ns).verdict is Verdict.UNKNOWN_SYMBOL
    assert live.on_tick(untraded, first.at_ns).verdict is Verdict.NO_TRADE
    assert live.on_tick(first, first.at_ns).verdict is Verdict.DUPLICATE
    assert live.step() == ()
    assert live.signals() == before
    counts = live.counts
    assert (counts.ticks, counts.refused, counts.untraded, counts.signals) == (4, 2, 1, 1)


def test_a_price_in_quarantine_is_counted_and_makes_no_signal(mixed: World) -> None:
    live = LiveSignals(BundleScorer(mixed.bundle, mixed.history()), BREAKERS)
    session = mixed.feed.sessions[0]
    live.open(session, mixed.facts(session))
    first = mixed.ticks(session)["S00001.SIM"][0]
    live.on_tick(first, first.at_ns)
    assert len(live.step()) == 1
    wild = first.last_e4 * 2
    jump = replace(
        first, at_ns=first.at_ns + 1, last_e4=wild, high_e4=wild, bid_e4=wild - 100, ask_e4=wild + 100,
        volume_shares=first.volume_shares + 100, amount_fen=first.amount_fen + wild,
    )  # fmt: skip
    assert live.on_tick(jump, jump.at_ns).verdict is Verdict.QUARANTINED
    assert live.step() == ()
    assert live.counts.quarantined == 1


def test_ranks_count_who_is_better_and_equal_scores_share_one(mixed: World) -> None:
    live, session = mixed.signals(), mixed.feed.sessions[0]
    live.open(session, mixed.facts(session))
    played(live, mixed.ticks(session), np.random.default_rng(3))
    live.rescore()
    told = live.signals()
    assert [one.score for one in told] == sorted((one.score for one in told), reverse=True)
    for one in told:
        assert one.rank == 1 + sum(other.score > one.score for other in told)
        assert one.ranked == len(told)


def test_held_factors_and_shared_ones_wait_and_own_ones_do_not(mixed: World) -> None:
    live, session = mixed.signals(), mixed.feed.sessions[1]
    live.open(session, mixed.facts(session))
    assert live.held == ("VALUE",)
    names, row = mixed.catalogue.names, mixed.feed.symbols.index("S00001.SIM")
    before = live._features[row].copy()
    one = mixed.ticks(session)["S00001.SIM"][0]
    live.on_tick(one, one.at_ns)
    live.step()
    moved = {name for name, was, now in zip(names, before, live._features[row], strict=True) if was != now}
    assert moved == {"MOVED", "VOLUME5", "RAW", "AGE"}
    live.rescore()
    moved = {name for name, was, now in zip(names, before, live._features[row], strict=True) if was != now}
    assert moved == {"MOVED", "VOLUME5", "RAW", "AGE", "RANK", "AGAINST"}


def test_official_bars_that_the_ticks_do_not_add_up_to_are_told_in_one_sentence(mixed: World) -> None:
    live, session = mixed.signals(), mixed.feed.sessions[0]
    live.open(session, mixed.facts(session))
    ticks = mixed.ticks(session)
    missing = ticks.pop("S00005.SIM")
    for each in ticks.values():
        live.on_tick(each[0], each[0].at_ns)
    assert missing
    end = live.close(session, mixed.sent_bars(session))
    assert len(end.alerts) == 1
    assert "do not add up to the official bars" in end.alerts[0]
    assert np.isfinite(end.scores).sum() == 7, "the close is scored by the official bars"
    assert live.signals() == ()


def test_a_close_in_a_thread_is_the_close_and_what_runs_beside_it_finds_nothing(mixed: World) -> None:
    session = mixed.feed.sessions[0]
    ticks, plain, live = mixed.ticks(session), mixed.signals(), mixed.signals()
    told = list[tuple[Signal, ...]]()

    async def closed() -> SessionEnd:
        running = asyncio.create_task(live.run(told.append, SystemClock()))
        end = await live.close_aside(session, mixed.sent_bars(session))
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running
        return end

    for one in (plain, live):
        one.open(session, mixed.facts(session))
        for each in ticks.values():
            for tick in each:
                one.on_tick(tick, tick.at_ns)
    end, expected = asyncio.run(closed()), plain.close(session, mixed.sent_bars(session))
    np.testing.assert_array_equal(bits(end.scores), bits(expected.scores))
    assert (end.session, end.alerts, end.minutes) == (session, (), expected.minutes)
    assert live.counts == plain.counts
    assert (live.session, told, live.counts.late) == (None, [], len(ticks))


def test_kernels_that_went_another_way_are_told_at_the_close(mixed: World, monkeypatch: pytest.MonkeyPatch) -> None:
    live, session = mixed.signals(), mixed.feed.sessions[0]
    live.open(session, mixed.facts(session))
    honest = LiveFactors.own
    monkeypatch.setattr(LiveFactors, "own", lambda *given: honest(*given) + np.float32(1e-3))
    alerts = live.close(session).alerts
    assert len(alerts) == 1
    assert "the online own factors differ from the batch's, first MOVED" in alerts[0]


def test_own_factors_of_any_rows_are_those_of_the_newest_session(world: World) -> None:
    history, session = world.history(), world.feed.sessions[-1]
    panel = history.panel(session)
    factors = LiveFactors(world.catalogue, "raw")
    own = {world.catalogue.names[c]: world.catalogue.expressions[world.catalogue.names[c]] for c in factors.own_columns}
    whole = newest_session(own, panel).values[:, :, 0].T
    for rows in ([3], [0, 1, 2], [7, 2], list(range(8)), []):
        ours = factors.own(panel.fields, np.array(rows, dtype=np.intp))
        np.testing.assert_array_equal(bits(ours), bits(np.ascontiguousarray(whole[rows])))


def test_another_model_scores_what_has_traded_at_once(mixed: World) -> None:
    live, session = mixed.signals(), mixed.feed.sessions[0]
    live.open(session, mixed.facts(session))
    played(live, mixed.ticks(session), np.random.default_rng(4))
    live.rescore()
    before = {one.symbol: one.score for one in live.signals()}
    model = Model((Member("m.json", "linear"),), {"m.json": tiny_linear(factors=len(mixed.catalogue.names), seed=9)})
    other = replace(mixed.bundle, model=model)
    told = live.use(BundleScorer(other, live._history))
    assert {one.symbol for one in told} == set(before)
    expected = other.predict(live._features).score
    assert all(one.score == expected[mixed.feed.symbols.index(one.symbol)] for one in told)
    assert all(one.score != before[one.symbol] for one in told)
    with pytest.raises(LiveError, match="another history"):
        live.use(BundleScorer(other, mixed.history()))


def test_a_session_is_opened_before_its_ticks_and_closed_once(mixed: World) -> None:
    live, session = mixed.signals(), mixed.feed.sessions[0]
    one = mixed.ticks(session)["S00001.SIM"][0]
    for ask in (lambda: live.on_tick(one, one.at_ns), live.rescore, lambda: live.close(session)):
        with pytest.raises(LiveError, match="open"):
            ask()
    assert live.signals() == ()
    live.open(session, mixed.facts(session))
    live.close(session)
    with pytest.raises(LiveError, match="cannot be closed, no session is open"):
        live.close(session)
    live.on_tick(one, one.at_ns)
    assert live.step() == ()
    assert live.counts.late == 1


def test_facts_of_a_stranger_are_refused(mixed: World) -> None:
    live, session = mixed.signals(), mixed.feed.sessions[0]
    stranger = replace(mixed.facts(session)[0], symbol="S99999.SIM")
    with pytest.raises(LiveError, match=r"S99999.SIM is told .* not among the 8 symbols"):
        live.open(session, [stranger])


def test_beside_the_feed_every_symbol_is_told_of_and_shared_factors_come_by_the_clock(mixed: World) -> None:
    session = mixed.feed.sessions[0]
    ticks = mixed.ticks(session)

    expected, _ = mixed.from_nothing(session, {name: each[-1] for name, each in ticks.items()})
    rank = mixed.catalogue.names.index("RANK")
    live, told = mixed.signals(), list[tuple[Signal, ...]]()

    def arrived() -> bool:
        return bool((bits(live._features[:, rank].copy()) == bits(expected[:, rank].copy())).all())

    async def followed() -> None:
        live.open(session, mixed.facts(session))
        running = asyncio.create_task(live.run(told.append, SystemClock(), rescore_seconds=0.0))
        for k in range(4):
            for each in ticks.values():
                live.on_tick(each[k], each[k].at_ns)
            await asyncio.sleep(0.01)
        async with asyncio.timeout(10):
            while not arrived():
                await asyncio.sleep(0.01)
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running

    asyncio.run(followed())
    assert {one.symbol for each in told for one in each} == set(ticks) - {SPECIAL}
    assert live.counts.waiting == 0


def test_a_date_that_the_factors_have_passed_is_refused(mixed: World) -> None:
    live = mixed.signals()
    first, second = mixed.feed.sessions[:2]
    live._history.features(second)
    with pytest.raises(LiveError, match="stands at"):
        live.open(first, mixed.facts(first))
    assert isinstance(second, date)


def test_the_exchanges_own_ticks_are_believed_and_add_up_to_its_bars(tmp_path: Path) -> None:
    played = online_world(tmp_path, mixed_catalogue(), seed=SEED)
    live, closes = LiveSignals(BundleScorer(played.bundle, played.history()), BREAKERS), played.history()
    with opened(tmp_path / "feed", tmp_path / "exchange", tick_seconds=60) as exchange:
        for session in played.feed.sessions[:2]:
            live.open(session, session_facts(played.feed.market, session, raw_prices=True))
            before, seen = live.counts, 0
            while (exchange.clock(0).session, exchange.clock(0).phase) != (session, PhaseName.CLOSED):
                for one in [from_row(Tick, row) for row in exchange.advance(ticks=True)]:
                    live.on_tick(one, one.at_ns)
                    seen += 1
                live.step()
            live.rescore()
            counts = live.counts
            assert counts.ticks - before.ticks == seen > 8 * 200
            assert (counts.refused, counts.quarantined) == (0, 0)
            assert len(live.signals()) == 7
            end = live.close(session, exchange.session_bars(session))
            assert end.alerts == ()
            np.testing.assert_array_equal(bits(end.scores), bits(BundleScorer(played.bundle, closes).scores(session)))
