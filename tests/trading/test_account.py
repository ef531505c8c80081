"""What changes an account between its trades."""

from __future__ import annotations

import numpy as np

from ljwx_pipeline.trading.account import Account


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
