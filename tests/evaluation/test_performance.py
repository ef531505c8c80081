"""The figures of a real backtest: complete, consistent with the plain functions, and the same from every file."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ljwx_pipeline.backtest.engine import run_backtest
from ljwx_pipeline.backtest.result import BacktestResult
from ljwx_pipeline.config import Settings
from ljwx_pipeline.errors import DataQualityError, LakeError
from ljwx_pipeline.evaluation import metrics
from ljwx_pipeline.evaluation.benchmarks import against_index
from ljwx_pipeline.evaluation.bootstrap import BootstrapParams
from ljwx_pipeline.evaluation.closed_trades import closed_trades
from ljwx_pipeline.evaluation.comparison import MEASURES, comparison, every_benchmark, levels
from ljwx_pipeline.evaluation.performance import Figure, performance
from ljwx_pipeline.evaluation.performance_file import COLUMNS, performance_frame, read_performance, write_performance
from ljwx_pipeline.trading.market_arrays import MarketArrays
from tests.fakes.backtests import a_result, flat_market, small_market

CODES = ("000300.SH", "000905.SH", "399006.SZ")
QUICK = BootstrapParams(resamples=200)


@dataclass(frozen=True)
class Case:
    market: MarketArrays
    scores: np.ndarray
    result: BacktestResult
    index_bars: pd.DataFrame
    settings: Settings


@pytest.fixture
def tested(settings: Settings) -> Case:
    market, scores = small_market(2, sessions=400)
    strategy = settings.strategy.model_copy(update={"top_k": 6, "n_drop": 2, "capital_cny": 4e5})
    chosen = settings.model_copy(update={"strategy": strategy})
    first, last = market.sessions[245].date(), market.sessions[-1].date()
    result = run_backtest(market, scores, strategy=strategy, costs=chosen.costs, first=first, last=last)
    rng = np.random.default_rng(1)
    bars = pd.concat(
        pd.DataFrame(
            {
                "index_code": code,
                "session_date": market.sessions,
                "close_points": 4000 * np.cumprod(1 + rng.normal(0.0002, 0.01, len(market.sessions))),
            }
        )
        for code in CODES
    )
    return Case(market, scores, result, bars, chosen)


def curves(tested: Case) -> dict[str, pd.Series | BacktestResult]:
    return every_benchmark(
        tested.result,
        tested.market,
        np.isfinite(tested.scores),
        tested.index_bars,
        indices=CODES,
        strategy=tested.settings.strategy,
        costs=tested.settings.costs,
    )


def figures_of(tested: Case) -> dict[str, Figure]:
    return performance(
        tested.result,
        tested.market,
        costs=tested.settings.costs,
        benchmarks=levels(curves(tested)),
        capacity_against=CODES[1],
        bootstrap=QUICK,
    )


def test_the_figures_are_those_of_the_summary_and_of_the_indices(tested: Case) -> None:
    figures = figures_of(tested)
    names = {"win_rate": "win_rate_months", "profit_factor": "profit_factor_months", "fees_cny": "fees"}
    for name, value in metrics.backtest_summary(tested.result).items():
        found = figures[names.get(name, name)].value
        assert (found == pytest.approx(value, rel=1e-12)) if value is not None else not math.isfinite(found), name
    close = levels(curves(tested))[CODES[0]]
    for name, value in against_index(tested.result.equity, close).items():
        assert figures[f"{name}:{CODES[0]}"].value == pytest.approx(value, rel=1e-9), name


def test_intervals_lie_around_the_mean_measures_and_only_where_they_mean_something(tested: Case) -> None:
    figures = figures_of(tested)
    for name in ("annual_return", "sharpe", "annual_volatility", f"information_ratio:{CODES[2]}", "beta:momentum"):
        figure = figures[name]
        assert figure.lower < figure.value < figure.upper, name
    for name in ("turnover", "fees", "best_session", "win_rate_trades", "capacity_median"):
        assert math.isnan(figures[name].lower), name
        assert math.isnan(figures[name].upper), name
        assert math.isfinite(figures[name].value), name
    assert {figure.unit for figure in figures.values()} == {"frac", "ratio", "CNY", "count", "sessions"}


def test_trades_are_measured_in_money_and_counted(tested: Case) -> None:
    figures, trades = figures_of(tested), closed_trades(tested.result, tested.market)
    profit = trades["profit_fen"]
    assert figures["closed_trades"].value == len(trades)
    assert figures["profit_factor_trades"].value == pytest.approx(profit[profit > 0].sum() / -profit[profit < 0].sum())
    assert figures["win_rate_trades"].value == pytest.approx((profit > 0).mean())


def test_every_benchmark_stands_beside_the_strategy_with_the_same_measures(tested: Case) -> None:
    table = comparison(tested.result, curves(tested))
    assert list(table.columns) == ["strategy", *CODES, "equal_weight", "momentum", "low_volatility"]
    assert tuple(table.index) == MEASURES
    figures = figures_of(tested)
    for measure in ("sharpe", "max_drawdown", "turnover", "win_rate_months", "expected_shortfall"):
        assert table.loc[measure, "strategy"] == pytest.approx(figures[measure].value)
    for measure in ("excess_annual_return", "information_ratio", "tracking_error", "beta", "alpha"):
        assert table.loc[measure, "momentum"] == pytest.approx(figures[f"{measure}:momentum"].value)
        assert math.isnan(table.loc[measure, "strategy"])
    assert table.loc["turnover", ["momentum", "low_volatility"]].gt(0).all()
    assert table.loc["turnover", [*CODES, "equal_weight"]].isna().all()
    whole = tested.result.equity.iloc[-1] / tested.result.equity.iloc[0] - 1
    assert table.loc["total_return", "strategy"] == pytest.approx(whole)


def test_a_benchmark_without_a_session_is_an_error_not_a_zero(tested: Case) -> None:
    close = levels(curves(tested))[CODES[0]].drop(tested.result.sessions[5])
    for measure in (
        lambda: comparison(tested.result, {"gap": close}),
        lambda: performance(tested.result, tested.market, costs=tested.settings.costs, benchmarks={"gap": close}),
    ):
        with pytest.raises(DataQualityError, match=f"no close on {tested.result.sessions[5]:%Y-%m-%d}"):
            measure()
    gap = replace(tested, index_bars=tested.index_bars[tested.index_bars["index_code"] != CODES[2]])
    with pytest.raises(DataQualityError, match=r"index 399006\.SZ has no bar"):
        curves(gap)


def test_capacity_asks_for_a_benchmark_it_has(tested: Case) -> None:
    with pytest.raises(DataQualityError, match="is no benchmark here"):
        performance(
            tested.result, tested.market, costs=tested.settings.costs, benchmarks={}, capacity_against="000905.SH"
        )


def test_an_account_that_never_trades_has_figures_that_do_not_exist(settings: Settings) -> None:
    market = flat_market(sessions=30)
    figures = performance(a_result(market, []), market, costs=settings.costs, benchmarks={}, bootstrap=QUICK)
    assert figures["total_return"].value == figures["max_drawdown"].value == figures["closed_trades"].value == 0.0
    for name in ("sharpe", "calmar", "tail_ratio", "win_rate_trades", "mean_trade_return", "capacity_median"):
        assert math.isnan(figures[name].value), name
    assert math.isnan(figures["sharpe"].lower)


def test_json_and_parquet_give_back_the_same_figures(tmp_path: Path, tested: Case) -> None:
    figures = figures_of(tested) | {
        "endless": Figure(math.inf, math.nan, math.inf, "ratio", "months"),
        "unknown": Figure(math.nan, math.nan, math.nan, "frac", "sessions"),
    }
    paths = write_performance(tmp_path, "csi500-2024", figures)
    assert [path.name for path in paths] == ["performance.json", "performance.parquet"]
    first = [path.read_bytes() for path in paths]
    for path in paths:
        runs = read_performance(path)
        assert list(runs) == ["csi500-2024"]
        assert repr(runs["csi500-2024"]) == repr(figures)  # NaN included
    write_performance(tmp_path, "csi500-2024", figures)
    assert [path.read_bytes() for path in paths] == first
    frame = performance_frame({"a": figures, "b": figures})
    assert list(frame.columns) == list(COLUMNS)
    assert len(frame) == 2 * len(figures)
    assert list(pd.read_parquet(paths[1]).columns) == list(COLUMNS)


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(LakeError, match=r"performance\.json is missing"):
        read_performance(tmp_path / "performance.json")
    broken = tmp_path / "performance.json"
    for text in ("{", "[{}]", '[{"value": "much"}]', "3"):
        broken.write_text(text, encoding="utf-8")
        with pytest.raises(LakeError, match="holds no table of figures"):
            read_performance(broken)
