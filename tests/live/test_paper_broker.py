"""The paper broker does a session once and says the same for ever; what it cannot take it rejects by name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ljwx_pipeline.config import Settings
from ljwx_pipeline.errors import LiveError
from ljwx_pipeline.live.database import connect, migrate, transaction
from ljwx_pipeline.live.feed import ReplayFeed
from ljwx_pipeline.live.orders import OrderIntent, OrderOutcome, OrderState, Side
from ljwx_pipeline.live.paper_broker import LATE, UNKNOWN_SYMBOL, PaperBroker
from ljwx_pipeline.live.paper_schema import MIGRATIONS
from tests.fakes.live_market import live_tables, write_pack

CAPITAL_FEN = 100_000_000


@pytest.fixture(scope="module")
def feed(tmp_path_factory: pytest.TempPathFactory) -> ReplayFeed:
    folder = tmp_path_factory.mktemp("pack") / "feed"
    tables = live_tables(symbols=8, sessions=80, feed_sessions=6)
    write_pack(folder, tables, feed_sessions=6, online_features=pd.DataFrame({"symbol": ["x"]}))
    return ReplayFeed.open(folder)


@pytest.fixture
def broker(tmp_path: Path, feed: ReplayFeed, settings: Settings) -> PaperBroker:
    return PaperBroker(tmp_path / "b.sqlite", market=feed.market, costs=settings.costs, capital_fen=CAPITAL_FEN)


def tradable(feed: ReplayFeed, position: int) -> str:
    """A symbol that can be bought at the close of that feed session."""
    column = feed.column(feed.sessions[position])
    return feed.symbols[int(np.flatnonzero(feed.market.can_buy[:, column])[0])]


def intent(feed: ReplayFeed, symbol: str, position: int = 0, name: str = "a") -> OrderIntent:
    return OrderIntent(name, feed.sessions[position], symbol, Side.BUY, 200, 0, 100_000)


def test_an_order_sent_twice_is_filled_once(broker: PaperBroker, feed: ReplayFeed) -> None:
    broker.session_close(feed.sessions[0])
    order = intent(feed, tradable(feed, 1))
    broker.submit([order])
    broker.submit([order])
    close = broker.session_close(feed.sessions[1])
    assert [fill.shares for fill in close.fills] == [200]
    assert close.outcomes == (OrderOutcome("a", OrderState.FILLED, "", 200),)
    assert [position.shares for position in close.positions] == [200]
    assert close.cash_fen == CAPITAL_FEN - close.fills[0].value_fen - close.fees_fen
    broker.submit([order])
    assert broker.session_close(feed.sessions[1]) == close
    assert broker.session_close(feed.sessions[2]).fills == ()


def test_shares_bought_today_are_not_sellable_today(broker: PaperBroker, feed: ReplayFeed) -> None:
    broker.session_close(feed.sessions[0])
    broker.submit([intent(feed, tradable(feed, 1))])
    (position,) = broker.session_close(feed.sessions[1]).positions
    assert (position.shares, position.sellable_shares) == (200, 0)
    (position,) = broker.session_close(feed.sessions[2]).positions
    assert position.sellable_shares == position.shares


def test_orders_it_cannot_take_are_rejected_by_name(broker: PaperBroker, feed: ReplayFeed) -> None:
    broker.submit([intent(feed, tradable(feed, 1), name="early")])
    broker.session_close(feed.sessions[0])
    broker.submit([intent(feed, "999999.SH", name="unknown"), intent(feed, tradable(feed, 1), 3, name="future")])
    found = {outcome.client_order_id: outcome for outcome in broker.session_close(feed.sessions[1]).outcomes}
    assert found["unknown"] == OrderOutcome("unknown", OrderState.REJECTED, UNKNOWN_SYMBOL, 0)
    assert found["future"].reason == LATE
    early = broker.session_close(feed.sessions[0]).outcomes
    assert early == (OrderOutcome("early", OrderState.REJECTED, LATE, 0),)


def test_a_session_it_does_not_know_or_that_is_past_is_refused(
    broker: PaperBroker, feed: ReplayFeed, settings: Settings, tmp_path: Path
) -> None:
    broker.session_close(feed.sessions[2])
    with pytest.raises(LiveError, match="cannot trade"):
        broker.session_close(feed.sessions[1])
    with pytest.raises(LiveError, match="cannot trade 1999-01-04"):
        broker.session_close(feed.sessions[0].replace(year=1999, month=1, day=4))


def test_it_goes_on_where_it_stopped(broker: PaperBroker, feed: ReplayFeed, settings: Settings, tmp_path: Path) -> None:
    broker.session_close(feed.sessions[0])
    broker.submit([intent(feed, tradable(feed, 1))])
    broker.close()
    again = PaperBroker(tmp_path / "b.sqlite", market=feed.market, costs=settings.costs, capital_fen=1)
    close = again.session_close(feed.sessions[1])
    assert len(close.positions) == 1
    assert close.equity_fen > CAPITAL_FEN // 2


def test_an_account_of_the_first_schema_is_taken_over(tmp_path: Path, feed: ReplayFeed, settings: Settings) -> None:
    path, day, symbol = tmp_path / "old.sqlite", feed.sessions[0].isoformat(), tradable(feed, 1)
    old = connect(path)
    migrate(old, MIGRATIONS[:1], "paper broker's file")
    with transaction(old) as db:
        db.execute("INSERT INTO book VALUES (?, 500, 900, 0, 0)", (day,))
        db.execute("INSERT INTO holdings VALUES (?, ?, 300, 300, 4, 100000)", (day, symbol))
    old.close()
    broker = PaperBroker(path, market=feed.market, costs=settings.costs, capital_fen=CAPITAL_FEN)
    (before,) = broker.session_close(feed.sessions[0]).positions
    assert (before.shares, before.entry_price_e4, before.peak_price_e4) == (300, 0, 0)
    after = broker.session_close(feed.sessions[1])
    assert (after.cash_fen, after.rights_paid_fen) == (500 + after.dividends_fen, 0)
    assert after.positions[0].peak_price_e4 == after.positions[0].price_e4


def test_a_position_tells_what_was_paid_and_the_highest_close_since(broker: PaperBroker, feed: ReplayFeed) -> None:
    broker.session_close(feed.sessions[0])
    broker.submit([intent(feed, tradable(feed, 1))])
    close = broker.session_close(feed.sessions[1])
    (position,), (fill,) = close.positions, close.fills
    assert position.entry_price_e4 == fill.price_e4
    assert position.peak_price_e4 == position.price_e4
    assert fill.slippage_fen > 0
    assert fill.impact_fen == 0
