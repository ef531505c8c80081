"""What changes an account between its trades."""

from __future__ import annotations

import numpy as np
import pytest

from ljwx_pipeline.errors import TradingError
from ljwx_pipeline.trading.account import Account
from ljwx_pipeline.trading.costs import CostRates
from ljwx_pipeline.trading.matching import SessionQuotes, match


def held(shares: int, *, price_e4: int = 100_000, cash: int = 1_000) -> Account:
    account = Account.opened(cash, 2)
    account.shares[0], account.last_price_e4[0] = shares, price_e4
    return account


def begin(
    account: Account, *, cash_e4: int = 0, bonus_e4: int = 0, rights: tuple[int, int] = (0, 0), listed: bool = True
) -> tuple[int, int, int]:
    """Return dividends, what is written off and what rights cost."""
    return account.open_session(
        actions=np.array([[0, cash_e4, bonus_e4, *rights], [1, 7, 7, 0, 0]]), listed=np.array([listed, True])
    )


def test_overnight_shares_become_sellable_and_a_session_older() -> None:
    account = held(300)
    assert account.sellable_shares[0] == 0
    begin(account)
    assert (account.sellable_shares[0], account.held_sessions[0]) == (300, 1)


def test_a_dividend_and_bonus_shares_leave_equity_where_it_was_while_suspended() -> None:
    account = held(1_000, price_e4=130_000)
    before = account.equity_fen
    assert begin(account, cash_e4=10_000, bonus_e4=5_000) == (100_000, 0, 0)
    assert (account.shares[0], account.sellable_shares[0], account.last_price_e4[0]) == (1_500, 1_500, 80_000)
    assert account.mark(np.zeros(2, dtype=np.int64)) == before


def test_a_fraction_of_a_bonus_share_is_dropped() -> None:
    account = held(33)
    begin(account, bonus_e4=1_000)
    assert account.shares[0] == 36


def test_a_delisted_holding_is_written_off_at_zero() -> None:
    account = held(500)
    assert begin(account, listed=False) == (0, 500_000, 0)
    assert (account.shares[0], account.sellable_shares[0], account.equity_fen) == (0, 0, 1_000)


def test_a_name_without_a_bar_keeps_its_last_close() -> None:
    account = held(500)
    assert account.mark(np.array([0, 0])) == 501_000
    assert account.mark(np.array([110_000, 0])) == 551_000
    assert account.mark(np.array([0, 0])) == 551_000


def test_rights_are_subscribed_when_cash_covers_them() -> None:
    account = held(1_000, price_e4=100_000, cash=240_000)
    account.entry_price_e4[0] = account.peak_price_e4[0] = 120_000
    before = account.equity_fen
    # three for ten at 8.00: 300 shares for 2,400.00 CNY; ex-price (10 + 0.3 x 8) / 1.3
    assert begin(account, rights=(3_000, 80_000)) == (0, 0, 240_000)
    assert (account.shares[0], account.sellable_shares[0], account.cash_fen) == (1_300, 1_300, 0)
    assert account.last_price_e4[0] == 124_000 * 10_000 // 13_000
    assert account.entry_price_e4[0] == account.peak_price_e4[0] == 144_000 * 10_000 // 13_000
    assert before - 13 <= account.equity_fen <= before  # 1e-4 CNY a share of rounding


def test_rights_lapse_without_the_cash_and_the_loss_shows() -> None:
    account = held(1_000, price_e4=100_000, cash=239_999)
    before = account.equity_fen
    assert begin(account, rights=(3_000, 80_000)) == (0, 0, 0)
    assert (account.shares[0], account.cash_fen) == (1_000, 239_999)
    assert account.last_price_e4[0] == 95_384
    assert account.equity_fen == before - 1_000 * (100_000 - 95_384) // 100


def test_the_sessions_dividends_pay_for_its_rights_in_symbol_order() -> None:
    account = Account.opened(0, 3)
    account.shares[:] = 1_000
    account.last_price_e4[:] = 100_000
    actions = np.array([[0, 0, 0, 3_000, 80_000], [1, 0, 0, 3_000, 80_000], [2, 24_000, 0, 0, 0]])
    dividends, _, paid = account.open_session(actions=actions, listed=np.ones(3, dtype=bool))
    assert (dividends, paid, account.cash_fen) == (240_000, 240_000, 0)
    assert account.shares.tolist() == [1_300, 1_000, 1_000]


def test_a_name_that_traded_without_a_close_is_an_error_while_it_is_held() -> None:
    account = held(500)
    with pytest.raises(TradingError, match="name 0 is held and traded 700 shares, but has no close"):
        account.mark(np.array([0, 0]), np.array([700, 0]))
    assert account.mark(np.array([0, 0]), np.array([0, 700])) == 501_000


def test_entry_price_is_the_average_paid_and_peak_the_highest_close_since() -> None:
    account = Account.opened(10**8, 1)

    def trade(shares: int, price: int, close: int) -> tuple[int, int]:
        account.open_session(actions=np.zeros((0, 5), dtype=np.int64), listed=np.ones(1, dtype=bool))
        quotes = SessionQuotes(*(np.array([value]) for value in (price, 10 * price, 0, 10**7, 100, 100)))
        account.settle(
            match(
                order_shares=np.array([shares]),
                order_rank=np.array([0]),
                quotes=quotes,
                sellable_shares=account.sellable_shares,
                cash_fen=account.cash_fen,
                rates=CostRates(0, 0, 0, 10**8, 0, 0, 0),
            )
        )
        account.mark(np.array([close]))
        return int(account.entry_price_e4[0]), int(account.peak_price_e4[0])

    assert trade(300, 100_000, 101_000) == (100_000, 101_000)
    assert trade(100, 120_000, 99_000) == (105_000, 101_000)
    assert trade(-200, 90_000, 90_000) == (105_000, 101_000)
    assert trade(-200, 90_000, 90_000) == (0, 0)
    assert trade(100, 50_000, 50_000) == (50_000, 50_000)
