"""Strategies, exits and money management through whole backtests: same bits, a plain ledger, and what they promise."""

from __future__ import annotations

import math
from datetime import date

import numpy as np
import pandas as pd
import pytest

from ljwx_pipeline.backtest import engine
from ljwx_pipeline.backtest.engine import run_backtest
from ljwx_pipeline.backtest.result import BacktestResult
from ljwx_pipeline.config import Settings, StrategySettings
from ljwx_pipeline.errors import TradingError
from ljwx_pipeline.trading import account, costs, decide, exits, fill_model, holdings, matching, score_weighted, sizing
from ljwx_pipeline.trading import topk_dropout as topk_dropout_module
from ljwx_pipeline.trading.market_arrays import MarketArrays
from ljwx_pipeline.trading.order_reason import OrderReason
from tests.fakes.random_market import random_market, random_scores

NAMES, SESSIONS = 40, 250
KINDS = ["topk_dropout", "score_weighted"]
MODULES = (
    *(engine, decide, matching, costs, account, fill_model, holdings),
    *(topk_dropout_module, score_weighted, exits, sizing),
)


@pytest.fixture(scope="module")
def market() -> MarketArrays:
    return random_market(11, names=NAMES, sessions=SESSIONS, suspended_frac=0.05)


@pytest.fixture(scope="module")
def scores(market: MarketArrays) -> np.ndarray:
    """Scores that last a few weeks, so that positions do too."""
    drawn = random_scores(11, market)
    smooth = pd.DataFrame(np.nan_to_num(drawn)).T.rolling(15, min_periods=1).mean().T.to_numpy().round(2)
    return np.where(np.isnan(drawn), np.nan, smooth)


@pytest.fixture
def strategy(settings: Settings) -> StrategySettings:
    plain = {"top_k": 8, "n_drop": 2, "capital_cny": 400_000.0, "max_weight_frac": 0.25}
    return settings.strategy.model_copy(update=plain)


def with_exits(strategy: StrategySettings, **rules: float) -> StrategySettings:
    return strategy.model_copy(update={"exits": strategy.exits.model_copy(update=rules)})


def with_sizing(strategy: StrategySettings, **rules: object) -> StrategySettings:
    return strategy.model_copy(update={"sizing": strategy.sizing.model_copy(update=rules)})


def backtest(
    market: MarketArrays, scores: np.ndarray, strategy: StrategySettings, settings: Settings, last: date | None = None
) -> BacktestResult:
    return run_backtest(
        market,
        scores,
        strategy=strategy,
        costs=settings.costs,
        first=market.sessions[0].date(),
        last=last or market.sessions[-1].date(),
    )


@pytest.mark.parametrize("kind", KINDS)
def test_with_everything_on_compiled_and_interpreted_kernels_give_the_same_bits(
    market: MarketArrays,
    scores: np.ndarray,
    strategy: StrategySettings,
    settings: Settings,
    kind: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    full = with_sizing(strategy, kind="volatility_target", window_sessions=10, half_life_sessions=5.0)
    full = with_exits(full, stop_loss_frac=0.05, take_profit_frac=0.1, trailing_stop_frac=0.07, max_hold_sessions=15)
    full = full.model_copy(update={"kind": kind})
    last = market.sessions[60].date()
    compiled = backtest(market, scores, full, settings, last)
    for module in MODULES:
        for name, value in list(vars(module).items()):
            if hasattr(value, "py_func"):
                monkeypatch.setattr(module, name, value.py_func)
    interpreted = backtest(market, scores, full, settings, last)
    assert interpreted.equity_fen.tobytes() == compiled.equity_fen.tobytes()
    assert interpreted.exposure_bps.tobytes() == compiled.exposure_bps.tobytes()
    pd.testing.assert_frame_equal(interpreted.orders, compiled.orders, check_exact=True)
    reasons = {OrderReason(code).name for code in compiled.orders["order_reason"]}
    assert {"SCORE", "STOP_LOSS", "TAKE_PROFIT", "TRAILING", "TIME", "SIZING"} == reasons


@pytest.mark.parametrize("kind", KINDS)
def test_stops_are_ordered_exactly_when_a_plain_ledger_says_so(
    market: MarketArrays, scores: np.ndarray, strategy: StrategySettings, settings: Settings, kind: str
) -> None:
    result = backtest(
        market, scores, with_exits(strategy.model_copy(update={"kind": kind}), stop_loss_frac=0.06), settings
    )
    orders = result.orders.assign(
        name=pd.Index(market.symbols).get_indexer(pd.Index(result.orders["symbol"])),
        at=market.sessions.get_indexer(pd.DatetimeIndex(result.orders["session_date"])),
    )
    plain_names = sorted(set(range(NAMES)) - set(market.actions.rows[:, 0].tolist()))
    assert len(plain_names) > NAMES // 3
    expected: set[tuple[int, int]] = set()
    for name in plain_names:
        held, entry = 0, 0
        trades = orders[orders["name"] == name].set_index("at")
        for t in range(SESSIONS - 1):
            if not market.listed[name, t]:
                held = 0
            if t in trades.index:
                fill, price = int(trades.loc[t, "fill_shares"]), int(trades.loc[t, "price_e4"])
                if fill > 0:
                    entry = (entry * held + price * fill) // (held + fill)
                held += fill
            close = int(market.close_e4[name, t])
            if held > 0 and close > 0 and close * 100 <= entry * 94:
                expected.add((t + 1, name))
    stops = orders[(orders["order_reason"] == OrderReason.STOP_LOSS) & orders["name"].isin(plain_names)]
    assert set(zip(stops["at"], stops["name"], strict=True)) == expected
    assert len(expected) > 10
    assert (stops["order_shares"] < 0).all()


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_sold_on_the_session_it_was_bought_and_no_name_goes_both_ways(
    strategy: StrategySettings, settings: Settings, kind: str
) -> None:
    market = random_market(12, names=NAMES, sessions=100, odd=False)
    eager = with_exits(strategy.model_copy(update={"kind": kind, "min_hold_sessions": 1}), max_hold_sessions=1)
    result = backtest(market, random_scores(12, market), eager, settings)
    assert not result.orders.duplicated(["session_date", "symbol"]).any()
    assert (result.orders["reject"] != int(matching.Reject.T_PLUS_1)).all()
    timed = result.trades[result.trades["order_reason"] == OrderReason.TIME]
    assert len(timed) > 100


def test_a_position_is_sold_at_its_age_limit_wherever_it_can_be(
    market: MarketArrays, scores: np.ndarray, strategy: StrategySettings, settings: Settings
) -> None:
    unlimited = settings.model_copy(update={"costs": settings.costs.model_copy(update={"max_participation_frac": 1.0})})
    calm = random_market(3, names=NAMES, sessions=80, suspended_frac=0.0)
    result = backtest(calm, random_scores(3, calm), with_exits(strategy, max_hold_sessions=5), unlimited)
    bought: dict[str, pd.Timestamp] = {}
    ages = []
    for order in result.trades.itertuples():
        if order.fill_shares > 0:
            bought.setdefault(order.symbol, order.session_date)
        elif order.order_reason == OrderReason.TIME:
            at = calm.sessions.get_indexer([bought.pop(order.symbol), order.session_date])
            ages.append(int(at[1] - at[0]))
        else:
            bought.pop(order.symbol, None)
    assert min(ages) == 5
    assert np.mean(np.array(ages) == 5) > 0.8  # later only after a lower limit or a thin session


def test_the_volatility_target_is_about_met_and_everything_invested_is_not(
    strategy: StrategySettings, settings: Settings
) -> None:
    liquid = random_market(5, names=NAMES, sessions=500, suspended_frac=0.0, odd=False)
    scores = random_scores(5, liquid)
    kept = strategy.model_copy(update={"kind": "score_weighted", "rebalance_band_frac": 0.0, "max_weight_frac": 0.15})
    aimed = with_sizing(kept, kind="volatility_target", target_annual_volatility=0.08, window_sessions=20)

    def volatility(chosen: StrategySettings) -> float:
        equity = backtest(liquid, scores, chosen, settings).equity
        return float(equity.pct_change().iloc[30:].std() * math.sqrt(252))

    assert volatility(kept) > 0.12
    assert volatility(aimed) == pytest.approx(0.08, rel=0.2)


def test_exposure_sees_nothing_of_later_sessions(
    market: MarketArrays, scores: np.ndarray, strategy: StrategySettings, settings: Settings
) -> None:
    aimed = with_sizing(strategy, kind="volatility_target", target_annual_volatility=0.1, window_sessions=10)
    whole = backtest(market, scores, aimed, settings)
    half = backtest(market, scores, aimed, settings, market.sessions[120].date())
    assert whole.exposure_bps[:121].tolist() == half.exposure_bps.tolist()
    assert len(set(half.exposure_bps.tolist())) > 50


def test_a_fixed_fraction_keeps_the_rest_in_cash(
    market: MarketArrays, scores: np.ndarray, strategy: StrategySettings, settings: Settings
) -> None:
    half = with_sizing(strategy.model_copy(update={"rebalance_band_frac": 0.02}), kind="fixed_fraction", fraction=0.5)
    result = backtest(market, scores, half, settings)
    invested = 1 - result.cash_fen / result.equity_fen
    assert invested[20:].mean() == pytest.approx(0.5 * 0.98, abs=0.06)
    # a suspended or locked holding cannot be cut, so that single sessions may stand above target and band
    assert np.quantile(invested, 0.9) < 0.5 * 0.98 + 0.02 + 0.03


def test_a_wider_band_trades_less(
    market: MarketArrays, scores: np.ndarray, strategy: StrategySettings, settings: Settings
) -> None:
    weighted = strategy.model_copy(update={"kind": "score_weighted"})
    turnover = [
        backtest(
            market, scores, weighted.model_copy(update={"rebalance_band_frac": band}), settings
        ).turnover_frac.sum()
        for band in (0.0, 0.01, 0.05)
    ]
    assert turnover[0] > turnover[1] > turnover[2] > 0


def test_foresight_pays_more_where_weights_follow_it(strategy: StrategySettings, settings: Settings) -> None:
    liquid = random_market(6, names=NAMES, sessions=200, suspended_frac=0.0, odd=False)
    close = np.where(liquid.close_e4 > 0, liquid.close_e4, np.nan)
    ahead = np.full(close.shape, np.nan)
    ahead[:, :-6] = close[:, 6:] / close[:, 1:-5] - 1
    weighted = strategy.model_copy(update={"kind": "score_weighted"})
    seer, fool = (backtest(liquid, sign * ahead, weighted, settings).equity_fen[-1] for sign in (1, -1))
    assert seer > 1.5 * 40_000_000
    assert fool < 0.8 * 40_000_000


def test_long_short_makes_no_orders(
    market: MarketArrays, scores: np.ndarray, strategy: StrategySettings, settings: Settings
) -> None:
    with pytest.raises(TradingError, match=r"long_short makes no orders: no account can sell A-shares short"):
        backtest(market, scores, strategy.model_copy(update={"kind": "long_short"}), settings)
