"""The backtest replays the rules faithfully: against the plain ledger, the live path and itself."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest

from ljwx_pipeline.backtest import engine
from ljwx_pipeline.backtest.engine import run_backtest
from ljwx_pipeline.backtest.result import BacktestResult
from ljwx_pipeline.config import Settings
from ljwx_pipeline.errors import TradingError
from ljwx_pipeline.market.symbols import Board
from ljwx_pipeline.trading import account as account_module
from ljwx_pipeline.trading import costs, fill_model, holdings, matching, topk_dropout
from ljwx_pipeline.trading import decide as decide_module
from ljwx_pipeline.trading.account import Account
from ljwx_pipeline.trading.costs import cost_rates
from ljwx_pipeline.trading.decide import DecisionParams, decide
from ljwx_pipeline.trading.market_arrays import MarketArrays, market_arrays
from ljwx_pipeline.trading.matching import match
from ljwx_pipeline.units import E8
from tests.fakes.bars import random_bars
from tests.fakes.market_views import can_sell, going_ex
from tests.trading import reference_ledger as ref

SYMBOLS, SESSIONS = 24, 90


@pytest.fixture(scope="module")
def market() -> MarketArrays:
    bars = random_bars(symbols=SYMBOLS, sessions=SESSIONS, seed=3, suspended_frac=0.05)
    names = tuple(sorted(bars["symbol"].unique()))
    sessions = pd.DatetimeIndex(sorted(bars["session_date"].unique()), name="session_date")
    # small volumes, a dividend and bonus in each third name, one delisted on the way, ST spells
    bars["volume_shares"] = bars["volume_shares"] // 40
    securities = pd.DataFrame(
        {
            "symbol": names,
            "name": names,
            "board": [int(Board.MAIN if i % 3 else Board.CHINEXT) for i in range(SYMBOLS)],
            "list_date": pd.Timestamp("2015-01-05"),
            "delist_date": [sessions[60] if i == 5 else pd.NaT for i in range(SYMBOLS)],
        }
    )
    bars = bars[(bars["symbol"] != names[5]) | (bars["session_date"] <= sessions[60])]
    spells = pd.DataFrame({"symbol": [names[1]], "start_date": [sessions[20]], "end_date": [sessions[50]]})
    actions = pd.DataFrame(
        {
            "symbol": names[::3],
            "ex_date": [sessions[30 + i] for i in range(len(names[::3]))],
            "cash_cny_per_share": 0.2345,
            "bonus_shares_per_share": 0.05,
        }
    )
    return market_arrays(bars, securities, spells, actions, symbols=names, sessions=sessions, adjustment="raw")


@pytest.fixture(scope="module")
def scores(market: MarketArrays) -> np.ndarray:
    rng = np.random.default_rng(8)
    drawn = np.round(rng.normal(size=market.close_e4.shape), 1)  # ties on purpose
    drawn[rng.uniform(size=drawn.shape) < 0.1] = np.nan
    drawn[5] = 9.0  # the name that will be delisted is held
    return drawn


@pytest.fixture
def small(settings: Settings) -> Settings:
    strategy = settings.strategy.model_copy(update={"top_k": 6, "n_drop": 2, "capital_cny": 400_000.0})
    return settings.model_copy(update={"strategy": strategy})


def backtest(market: MarketArrays, scores: np.ndarray, chosen: Settings, **over: date) -> BacktestResult:
    first, last = over.get("first", market.sessions[0].date()), over.get("last", market.sessions[-1].date())
    return run_backtest(market, scores, strategy=chosen.strategy, costs=chosen.costs, first=first, last=last)


def test_two_runs_give_the_same_bits(market: MarketArrays, scores: np.ndarray, small: Settings) -> None:
    one, two = backtest(market, scores, small), backtest(market, scores, small)
    assert one.equity_fen.tobytes() == two.equity_fen.tobytes()
    pd.testing.assert_frame_equal(one.orders, two.orders, check_exact=True)


def test_the_account_opens_with_the_capital_and_trades_on_the_session_after(
    market: MarketArrays, scores: np.ndarray, small: Settings
) -> None:
    first = market.sessions[10].date()
    result = backtest(market, scores, small, first=first)
    assert result.equity_fen[0] == result.cash_fen[0] == 40_000_000
    assert result.equity.index[0] == pd.Timestamp(first)
    assert result.orders["session_date"].min() == market.sessions[11]
    assert result.turnover_frac.iloc[0] == 0


def test_compiled_and_interpreted_kernels_give_the_same_bits(
    market: MarketArrays, scores: np.ndarray, small: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiled = backtest(market, scores, small)
    modules = (engine, decide_module, matching, costs, account_module, fill_model, holdings, topk_dropout)
    for module in modules:
        for name, value in list(vars(module).items()):
            if hasattr(value, "py_func"):
                monkeypatch.setattr(module, name, value.py_func)
    interpreted = backtest(market, scores, small)
    assert interpreted.equity_fen.tobytes() == compiled.equity_fen.tobytes()
    pd.testing.assert_frame_equal(interpreted.orders, compiled.orders, check_exact=True)
    pd.testing.assert_frame_equal(interpreted.positions, compiled.positions, check_exact=True)


def test_the_live_path_makes_the_same_account(market: MarketArrays, scores: np.ndarray, small: Settings) -> None:
    """Session by session through the plain wrappers, as the runner goes."""
    result = backtest(market, scores, small)
    account = Account.opened(40_000_000, SYMBOLS)
    params, orders = DecisionParams.of(small.strategy), None
    for t, day in enumerate(market.sessions):
        account.open_session(actions=market.actions.on(t), listed=market.listed[:, t])
        quotes = market.quotes(t)
        if orders is not None:
            fills = match(
                order_shares=orders.shares,
                order_rank=orders.rank,
                quotes=quotes,
                sellable_shares=account.sellable_shares,
                cash_fen=account.cash_fen,
                rates=cost_rates(small.costs, day.date()),
            )
            account.settle(fills)
        equity = account.mark(quotes.close_e4)
        assert (equity, account.cash_fen) == (result.equity_fen[t], result.cash_fen[t])
        orders = decide(
            scores=scores[:, t],
            holdings_shares=account.shares,
            held_sessions=account.held_sessions,
            price_e4=quotes.close_e4,
            lot_min=market.lot_min,
            lot_step=market.lot_step,
            cash_fen=account.cash_fen,
            equity_fen=equity,
            params=params,
        )
    held = account.shares > 0
    assert result.positions["shares"].tolist() == account.shares[held].tolist()


def test_the_plain_ledger_comes_to_the_same_fen(market: MarketArrays, scores: np.ndarray, small: Settings) -> None:
    result = backtest(market, scores, small)
    ledger, age, marks = ref.ReferenceLedger(40_000_000), [0] * SYMBOLS, [0] * SYMBOLS
    queue: list[tuple[int, int]] = []
    cash_by_session, bonus_by_session = going_ex(market, "cash_e4"), going_ex(market, "bonus_e4")
    lots = list(zip(market.lot_min.tolist(), market.lot_step.tolist(), strict=True))
    for t, day in enumerate(market.sessions):
        for i in range(SYMBOLS):
            if not market.listed[i, t]:
                ledger.purchases.pop(i, None)
            cash_e4, bonus_e4 = int(cash_by_session[i, t]), int(bonus_by_session[i, t])
            ledger.corporate_action(i, cash_e4, bonus_e4)
            marks[i] = max(0, (marks[i] - cash_e4) * 10_000 // (10_000 + bonus_e4))
            age[i] = age[i] + 1 if ledger.held(i) else 0
        rates = cost_rates(small.costs, day.date())
        plain = ref.Rates(
            Fraction(rates.commission_e8, E8),
            rates.commission_min_fen,
            Fraction(rates.slippage_e8, E8),
            Fraction(rates.max_participation_e8, E8),
            Fraction(rates.stamp_buy_e8, E8),
            Fraction(rates.stamp_sell_e8, E8),
            Fraction(rates.transfer_e8, E8),
        )
        for i, order in queue:
            close, up, down, volume = (
                int(field[i, t])
                for field in (market.close_e4, market.limit_up_e4, market.limit_down_e4, market.volume_shares)
            )
            act = ledger.buy if order > 0 else ledger.sell
            fresh = ledger.held(i) == 0
            act(i, abs(order), ref.Quote(close, up, down, volume, *lots[i]), t, plain)
            if fresh or ledger.held(i) == 0:
                age[i] = 0
        closes = market.close_e4[:, t].tolist()
        marks = [close or mark for close, mark in zip(closes, marks, strict=True)]
        equity = ledger.equity_fen(dict(enumerate(marks)))
        assert (equity, ledger.cash_fen) == (result.equity_fen[t], result.cash_fen[t])
        queue = ref.reference_orders(
            scores=scores[:, t].tolist(),
            holdings=[ledger.held(i) for i in range(SYMBOLS)],
            held_sessions=age,
            price_e4=closes,
            lots=lots,
            cash_fen=ledger.cash_fen,
            equity_fen=equity,
            top_k=small.strategy.top_k,
            n_drop=small.strategy.n_drop,
            min_hold=small.strategy.min_hold_sessions,
            reserve_bps=200,
        )


def test_the_history_holds_every_kind_of_event(market: MarketArrays, scores: np.ndarray, small: Settings) -> None:
    """So that the agreement above is worth something."""
    result = backtest(market, scores, small)
    assert result.dividends_fen.sum() > 0
    assert result.written_off_fen.sum() > 0
    assert {"SUSPENDED", "PARTICIPATION"} <= {name for name, count in result.rejects.items() if count}
    assert len(result.trades) > 100
    charged = result.orders[["commission_fen", "stamp_duty_fen", "transfer_fee_fen"]]
    assert result.fees_fen.sum() == charged.to_numpy().sum()


def test_a_fill_never_happens_without_bar_or_at_a_limit(
    market: MarketArrays, scores: np.ndarray, small: Settings
) -> None:
    trades = backtest(market, scores, small).trades
    rows = pd.Index(market.symbols).get_indexer(pd.Index(trades["symbol"]))
    days = market.sessions.get_indexer(pd.DatetimeIndex(trades["session_date"]))
    buys = trades["fill_shares"].to_numpy() > 0
    assert market.has_bar[rows, days].all()
    assert market.can_buy[rows[buys], days[buys]].all()
    assert can_sell(market)[rows[~buys], days[~buys]].all()


def test_costs_only_ever_lower_the_result_of_the_same_orders(
    market: MarketArrays, scores: np.ndarray, small: Settings
) -> None:
    free = small.costs.model_copy(
        update={"commission_frac": 0.0, "commission_min_cny": 0.0, "slippage_bps": 0.0, "charge_statutory_fees": False}
    )
    gross = backtest(market, scores, small.model_copy(update={"costs": free}))
    assert gross.fees_fen.sum() == 0
    assert gross.equity_fen[-1] > backtest(market, scores, small).equity_fen[-1]


def test_perfect_foresight_makes_money_and_its_mirror_loses_it(market: MarketArrays, small: Settings) -> None:
    close = np.where(market.close_e4 > 0, market.close_e4, np.nan)
    ahead = np.full(close.shape, np.nan)
    ahead[:, :-6] = close[:, 6:] / close[:, 1:-5] - 1
    seer, fool = backtest(market, ahead, small), backtest(market, -ahead, small)
    assert seer.equity_fen[-1] > 1.2 * 40_000_000
    assert fool.equity_fen[-1] < 0.9 * 40_000_000


def test_a_decision_never_sees_the_session_it_trades_on(
    market: MarketArrays, scores: np.ndarray, small: Settings
) -> None:
    later = scores.copy()
    later[:, 40:] = -later[:, 40:]
    one, two = backtest(market, scores, small), backtest(market, later, small)
    # scores of session 40 first move the trades of session 41
    assert (one.equity_fen[:41] == two.equity_fen[:41]).all()
    assert (one.equity_fen[41:] != two.equity_fen[41:]).any()


def test_bad_input_is_refused(market: MarketArrays, scores: np.ndarray, small: Settings) -> None:
    with pytest.raises(TradingError, match="align the axes"):
        backtest(market, scores[:, 1:], small)
    with pytest.raises(TradingError, match="2019-06-01 is not a session"):
        backtest(market, scores, small, last=date(2019, 6, 1))
    with pytest.raises(TradingError, match="no session lies between"):
        backtest(market, scores, small, first=market.sessions[5].date(), last=market.sessions[5].date())


def test_an_account_that_does_not_add_up_stops_the_run(
    market: MarketArrays, scores: np.ndarray, small: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = engine._run

    def one_too_many(row: int) -> None:
        def run(*arguments: np.ndarray) -> bool:
            ended = bool(honest(*arguments))
            arguments[-2][row, 7] = 1
            return ended

        monkeypatch.setattr(engine, "_run", run)

    day = f"{market.sessions[7]:%Y-%m-%d}"
    one_too_many(engine.CASH_GAP)
    with pytest.raises(TradingError, match=f"on {day} .* 1 more than its orders explain"):
        backtest(market, scores, small)
    one_too_many(engine.EQUITY_GAP_E4)
    with pytest.raises(TradingError, match=f"on {day} .* 1 1e-4 CNY more than prices"):
        backtest(market, scores, small)


def test_a_session_outside_the_rulebook_is_refused(market: MarketArrays, scores: np.ndarray, small: Settings) -> None:
    early = replace(market, sessions=market.sessions - pd.Timedelta(days=365 * 12))
    with pytest.raises(TradingError, match="outside the rulebook"):
        backtest(early, scores, small)
