"""SESSION orders are filled as the backtest fills them: to the fen, to the share, by name of reason."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ljwx_pipeline.config import Settings
from ljwx_pipeline.trading.exchange_wire import (
    AccountReport,
    Booking,
    BookingKind,
    FillReport,
    PhaseName,
    Side,
)
from tests.fakes.exchange_world import (
    CAPITAL_FEN,
    advance_to,
    default_costs,
    opened,
    play_session,
    seeded_session_orders,
    write_market,
)
from tests.fakes.scripted_backtest import Script, assert_as_backtested, scripted

SESSIONS = 25


@pytest.fixture(scope="module", params=[0, 1])
def pack(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pack") / "feed"
    return write_market(folder, symbols=24, feed_sessions=SESSIONS, seed=request.param)


@pytest.mark.parametrize(
    "changed",
    [
        {"fill": "close"},
        {"fill": "open"},
        {"fill": "vwap"},
        {"fill": "bar_path", "limit_offset_bps": 50.0},
        {"fill": "close", "impact_coefficient": 1.0, "max_participation_frac": 0.001},
    ],
    ids=lambda changed: "-".join(map(str, changed.values())),
)
def test_a_session_is_worth_what_the_backtest_makes_of_it(
    pack: Path, tmp_path: Path, settings: Settings, changed: dict[str, object]
) -> None:
    costs = default_costs(**changed)
    script: Script = []
    played = []
    with opened(pack, tmp_path / "state", costs=costs) as exchange:
        market = exchange.market
        for session in market.sessions:
            played.append(play_session(exchange, session))
            following = market.next_session(session)
            if following is not None:
                orders = sorted(seeded_session_orders(exchange, following), key=lambda order: order.rank)
                script.append(
                    [(market.rows[one.symbol], one.shares if one.side is Side.BUY else -one.shares) for one in orders]
                )
                for order in reversed(orders):
                    assert exchange.desk.submit(order, 1)[0].reason == ""
    result = scripted(
        market.arrays, script, costs, settings.strategy, capital_cny=CAPITAL_FEN / 100, sessions=market.sessions
    )
    assert_as_backtested(played, result)
    ends = [report.reason for one in played for report in one.ended]
    assert ends.count("") > 50
    assert len(set(ends)) >= 3, f"the market is too tame: {set(ends)}"
    if changed["fill"] == "close":
        assert "LIMIT_UP" in ends


def test_shares_and_cash_of_the_account_move_by_what_is_told_alone(pack: Path, tmp_path: Path) -> None:
    with opened(pack, tmp_path) as exchange:
        kinds = set()
        cash, shares = CAPITAL_FEN, dict.fromkeys(exchange.market.symbols, 0)
        for session in exchange.market.sessions:
            for order in seeded_session_orders(exchange, session):
                exchange.desk.submit(order, 1)
            seq = exchange.last_seq
            advance_to(exchange, session, PhaseName.CLOSED)
            for one in exchange.messages(seq, 10_000):
                if isinstance(one, Booking):
                    kinds.add(one.kind)
                    cash, shares[one.symbol] = cash + one.cash_fen, shares[one.symbol] + one.shares
                elif isinstance(one, FillReport):
                    sign = 1 if one.side.value == "buy" else -1
                    cash -= sign * one.value_fen + one.fees_fen
                    shares[one.symbol] += sign * one.shares
                elif isinstance(one, AccountReport):
                    assert one.cash_fen == cash
                    assert {held.symbol: held.shares for held in one.positions} == {
                        symbol: held for symbol, held in shares.items() if held
                    }
        assert kinds >= {BookingKind.DIVIDEND, BookingKind.BONUS_SHARES}
        assert np.sum(list(shares.values())) > 0
