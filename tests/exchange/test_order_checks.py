"""A limit order is taken or refused by the first rule it breaks, as the rulebook has it on its date."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import Any

import pytest

from ljwx_pipeline.exchange.entries import Entry
from ljwx_pipeline.exchange.order_checks import LimitOrderFacts, limit_order_fault
from ljwx_pipeline.exchange.quotes import Quote
from ljwx_pipeline.market.symbols import Board
from ljwx_pipeline.trading.exchange_wire import OrderStatus, PhaseName, Reason
from tests.exchange.test_tick_matching import RATES
from tests.fakes.exchange_world import limit_order

FACTS = LimitOrderFacts(
    traded=True,
    on_tick=True,
    limit_up_e4=110_000,
    limit_down_e4=90_000,
    board=Board.MAIN,
    exchange="SH",
    is_st=False,
    lot_min=100,
    lot_step=100,
    quote=Quote(100_000, 10**6, 99_900, 100_000, 1_000, 1_000),
    pre_close_e4=100_000,
    phase=PhaseName.CONTINUOUS,
    cash_fen=10**10,
    sellable_shares=1_050,
    bought_shares=0,
    rates=RATES.as_array(),
)
EARLY, CAGED = date(2019, 1, 3), date(2024, 1, 3)


@pytest.mark.parametrize(
    ("session", "signed_shares", "limit_e4", "changed", "reason"),
    [
        (CAGED, 100, 102_000, {}, Reason.NONE),
        (CAGED, 100, 102_100, {}, Reason.PRICE_CAGE),
        (CAGED, -100, 97_900, {}, Reason.NONE),
        (CAGED, -100, 97_800, {}, Reason.PRICE_CAGE),
        (EARLY, 100, 110_000, {}, Reason.NONE),
        (CAGED, 100, 110_000, {"phase": PhaseName.OPENING_AUCTION}, Reason.NONE),
        (CAGED, 100, 102_100, {"quote": None, "pre_close_e4": 105_000}, Reason.NONE),
        (CAGED, 100, 110_100, {}, Reason.PRICE_LIMIT),
        (CAGED, 100, 89_900, {}, Reason.PRICE_LIMIT),
        (CAGED, 100, 100_050, {}, Reason.PRICE_LIMIT),
        (CAGED, 100, 100_050, {"on_tick": False}, Reason.NONE),
        (CAGED, 100, 100_000, {"traded": False}, Reason.SUSPENDED),
        (CAGED, 1_000_100, 100_000, {}, Reason.ORDER_SIZE),
        (CAGED, 150, 100_000, {}, Reason.LOT),
        (CAGED, 100, 100_000, {"cash_fen": 100_000}, Reason.CASH),
        (CAGED, 500_000, 100_000, {"is_st": True}, Reason.NONE),
        (CAGED, 500_000, 100_000, {"is_st": True, "bought_shares": 100}, Reason.ST_BUY_CAP),
        (CAGED, -1_050, 100_000, {}, Reason.NONE),
        (CAGED, -1_000, 100_000, {}, Reason.NONE),
        (CAGED, -50, 100_000, {}, Reason.LOT),
        (CAGED, -1_100, 100_000, {}, Reason.T_PLUS_1),
    ],
)
def test_the_rule_that_is_broken(
    session: date, signed_shares: int, limit_e4: int, changed: dict[str, Any], reason: Reason
) -> None:
    entry = Entry(1, limit_order(session, "600000.SH", signed_shares, limit_e4), OrderStatus.ACCEPTED)
    assert limit_order_fault(entry, replace(FACTS, **changed)) is reason
