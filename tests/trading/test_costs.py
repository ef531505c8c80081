"""What a fill costs, by date and to the fen."""

from __future__ import annotations

from datetime import date

import pytest

from ljwx_pipeline.config import Settings
from ljwx_pipeline.errors import TradingError
from ljwx_pipeline.trading.costs import CostRates, cost_rates, fees_fen, rates_table


def test_rates_follow_settings_and_the_rulebook(settings: Settings) -> None:
    rates = cost_rates(settings.costs, date(2024, 1, 2))
    assert rates == CostRates(
        commission_e8=25_000,
        commission_min_fen=500,
        slippage_e8=20_000,
        max_participation_e8=5_000_000,
        stamp_buy_e8=0,
        stamp_sell_e8=50_000,
        transfer_e8=1_000,
    )


@pytest.mark.parametrize(
    ("session", "buying", "expected"),
    [
        (date(2010, 1, 4), True, (2_500, 0, 255)),  # 100,000 CNY: 25.00, none, 2.55
        (date(2010, 1, 4), False, (2_500, 10_000, 255)),
        (date(2016, 1, 4), False, (2_500, 10_000, 200)),
        (date(2023, 8, 28), False, (2_500, 5_000, 100)),
        (date(2008, 9, 18), True, (2_500, 10_000, 255)),
    ],
)
def test_fees_of_a_hundred_thousand_yuan(
    settings: Settings, session: date, buying: bool, expected: tuple[int, int, int]
) -> None:
    assert fees_fen(10_000_000, buying=buying, rates=cost_rates(settings.costs, session)) == expected


def test_a_small_order_pays_the_least_commission_and_no_trade_pays_nothing(settings: Settings) -> None:
    rates = cost_rates(settings.costs, date(2024, 1, 2))
    assert fees_fen(100_000, buying=True, rates=rates) == (500, 0, 1)
    assert fees_fen(0, buying=True, rates=rates) == (0, 0, 0)


def test_statutory_fees_can_be_switched_off(settings: Settings) -> None:
    free = settings.costs.model_copy(update={"charge_statutory_fees": False, "commission_frac": 0.0})
    rates = cost_rates(free, date(2024, 1, 2))
    assert fees_fen(10_000_000, buying=False, rates=rates) == (500, 0, 0)


def test_a_session_outside_the_book_is_refused_only_when_its_fees_are_charged(settings: Settings) -> None:
    with pytest.raises(TradingError, match="outside the rulebook"):
        rates_table(settings.costs, [date(2005, 1, 4)])
    off = settings.costs.model_copy(update={"charge_statutory_fees": False})
    assert rates_table(off, [date(2005, 1, 4)]).shape == (1, 10)
