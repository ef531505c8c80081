"""Each rule of the lint finds the result that was spoilt for it, and nothing in the clean one."""

from __future__ import annotations

import argparse
import json
import math
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from string import Formatter
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ljwx_pipeline.backtest.engine import run_backtest
from ljwx_pipeline.backtest.result import BacktestResult
from ljwx_pipeline.cli import build_parser
from ljwx_pipeline.config import Settings
from ljwx_pipeline.errors import ConfigError, LakeError, TradingError
from ljwx_pipeline.evaluation.holdings import Holdings, holdings_of
from ljwx_pipeline.evaluation.lint import RULES, Finding, lint
from ljwx_pipeline.evaluation.lint_evidence import LintEvidence, measure_evidence
from ljwx_pipeline.evaluation.lint_wording import EN, LOOKS_FOR, SENTENCES, ZH, fact_text
from ljwx_pipeline.evaluation.performance import performance
from ljwx_pipeline.evaluation.swept_cliff import swept_cliff
from ljwx_pipeline.market.symbols import Board
from ljwx_pipeline.trading.corporate_actions import ActionList
from ljwx_pipeline.trading.market_arrays import MarketArrays, market_arrays
from tests.fakes.backtests import small_market
from tests.fakes.bars import random_bars

SYMBOLS, SESSIONS = 60, 300


@dataclass(frozen=True)
class Case:
    """A backtest with all that the lint looks at."""

    settings: Settings
    market: MarketArrays
    scores: np.ndarray
    result: BacktestResult
    closes: dict[str, pd.Series]

    @property
    def holdings(self) -> Holdings:
        return holdings_of(self.result, self.market)

    def evidence(self, **over: Any) -> LintEvidence:
        given: dict[str, Any] = {
            "label": self.settings.label,
            "closes": self.closes,
            "benchmark": "000905.SH",
            "stale_after_sessions": self.settings.lint.stale_after_sessions,
            "capacity_cny": 5e7,
            "holdings": over.pop("holdings", None) or self.holdings,
        } | over
        holdings = given.pop("holdings")
        return measure_evidence(self.result, self.market, self.scores, holdings, **given)


def backtest(market: MarketArrays, scores: np.ndarray, settings: Settings) -> BacktestResult:
    first, last = market.sessions[0].date(), market.sessions[-1].date()
    return run_backtest(market, scores, strategy=settings.strategy, costs=settings.costs, first=first, last=last)


def log_moves(market: MarketArrays) -> np.ndarray:
    known = market.has_bar & (market.pre_close_e4 > 0)
    return np.log(np.where(known, market.close_e4 / np.maximum(market.pre_close_e4, 1), 1))


@pytest.fixture(scope="module")
def market() -> MarketArrays:
    bars = random_bars(symbols=SYMBOLS, sessions=SESSIONS, seed=3, suspended_frac=0.03)
    names = tuple(sorted(bars["symbol"].unique()))
    sessions = pd.DatetimeIndex(sorted(bars["session_date"].unique()), name="session_date")
    gone = sessions[200]
    securities = pd.DataFrame(
        {
            "symbol": names,
            "name": names,
            "board": int(Board.MAIN),
            "list_date": pd.Timestamp("2015-01-05"),
            "delist_date": [gone if place == 5 else pd.NaT for place in range(SYMBOLS)],
        }
    )
    bars = bars[(bars["symbol"] != names[5]) | (bars["session_date"] <= gone)]
    actions = pd.DataFrame(
        {
            "symbol": names[::3],
            "ex_date": [sessions[30 + 7 * place] for place in range(len(names[::3]))],
            "cash_cny_per_share": 0.2345,
            "bonus_shares_per_share": 0.05,
        }
    )
    spells = pd.DataFrame({"symbol": [names[1]], "start_date": [sessions[20]], "end_date": [sessions[50]]})
    return market_arrays(bars, securities, spells, actions, symbols=names, sessions=sessions, adjustment="raw")


@pytest.fixture
def clean(market: MarketArrays, settings: Settings) -> Case:
    rng = np.random.default_rng(8)
    # scores with some knowledge of the return after the entry, and none of anything before it
    logs = log_moves(market)
    level = np.cumsum(logs, axis=1)
    ahead = np.zeros_like(level)
    ahead[:, :-6] = level[:, 6:] - level[:, 1:-5]
    scores = 0.1 * ahead / ahead.std() + rng.normal(size=ahead.shape)
    scores[5] += 1.0  # the name that will be delisted is held at times
    update = {"top_k": 10, "n_drop": 2, "capital_cny": 1_000_000.0}
    small = settings.model_copy(update={"strategy": settings.strategy.model_copy(update=update)})
    result = backtest(market, scores, small)
    held = (result.equity / result.equity.iloc[0]).to_numpy()
    noise = np.exp(np.cumsum(rng.normal(0, 0.002, (3, len(held))), axis=1))
    codes = ("000300.SH", "000905.SH", "399006.SZ")
    closes = {code: pd.Series(4000 * held * one, index=result.sessions) for code, one in zip(codes, noise, strict=True)}
    return Case(small, market, scores, result, closes)


def test_measures_that_the_report_shows_too_are_the_report_s(clean: Case, market: MarketArrays) -> None:
    late = clean.scores.copy()
    late[:, :60] = np.nan  # nothing is held for a while: all cash
    case = replace(clean, scores=late, result=backtest(market, late, clean.settings))
    evidence = case.evidence()
    figures = performance(case.result, market, costs=clean.settings.costs, benchmarks=case.closes)
    assert evidence.unwanted_cash_frac == figures["cash_frac"].value > 0.1
    assert evidence.turnover == figures["turnover"].value
    # positions that went back to nothing are fewer than trades closed first in, first out: they have another name
    assert 0 < evidence.positions_closed < figures["closed_trades"].value
    few = clean.settings.lint.model_copy(update={"min_closed_trades": evidence.positions_closed + 1})
    (found,) = [found for found in lint(evidence, few) if found.code == "too_few_trades"]
    assert found.fact == (
        f"{evidence.positions_closed:,} positions were closed, fewer than {evidence.positions_closed + 1:,}"
    )


def test_holdings_add_up_to_equity_on_every_session_and_profit_to_its_gain(clean: Case) -> None:
    holdings, result = clean.holdings, clean.result
    value = result.equity_fen - result.cash_fen
    difference = value - holdings.value_fen.sum(axis=1)
    assert (difference >= 0).all()
    assert difference.max() < len(holdings.symbols)  # each name's value is rounded down to the fen
    assert abs(int(holdings.profit_fen.sum()) - int(result.equity_fen[-1] - result.equity_fen[0])) < len(
        holdings.symbols
    )
    assert result.dividends_fen.sum() > 0
    assert (holdings.shares.astype(bool).sum(axis=1) == result.names_held).all()


def test_holdings_follow_rights_issues_splits_and_delistings_to_the_share(settings: Settings) -> None:
    market, scores = small_market(3)
    update = {"top_k": 6, "n_drop": 2, "capital_cny": 400_000.0}
    result = backtest(
        market, scores, settings.model_copy(update={"strategy": settings.strategy.model_copy(update=update)})
    )
    holdings = holdings_of(result, market)
    assert result.rights_paid_fen.sum() > 0
    assert result.written_off_fen.sum() > 0
    difference = result.equity_fen - result.cash_fen - holdings.value_fen.sum(axis=1)
    assert (difference >= 0).all()
    assert difference.max() < len(holdings.symbols)
    assert (holdings.value_fen.max(axis=1) == result.largest_position_fen).all()
    assert abs(int(holdings.profit_fen.sum() - (result.equity_fen[-1] - result.equity_fen[0]))) < len(holdings.symbols)


def test_holdings_of_another_market_are_refused(clean: Case) -> None:
    none = replace(clean.market, actions=ActionList.none(SESSIONS))
    with pytest.raises(TradingError, match="the fills lead to"):
        holdings_of(clean.result, none)


def test_the_clean_result_gives_no_finding_but_what_could_not_be_judged(clean: Case) -> None:
    found = lint(clean.evidence(), clean.settings.lint)
    assert [(one.code, one.severity) for one in found] == [("parameter_cliff", "info")]
    assert lint(replace(clean.evidence(), cliff_frac=0.2), clean.settings.lint) == ()


def spoil_prices(case: Case, column: str, change: Callable[[np.ndarray, np.ndarray], np.ndarray], **of: Any) -> Case:
    """Return ``case`` with the price of its first buys changed by their limits."""
    orders = case.result.orders.copy()
    bought = np.flatnonzero(orders["fill_shares"].to_numpy() > 0)[:20]
    rows = pd.Index(case.market.symbols).get_indexer(pd.Index(orders["symbol"].iloc[bought]))
    at = (rows, case.market.sessions.get_indexer(pd.DatetimeIndex(orders["session_date"].iloc[bought])))
    limit = case.market.limit_up_e4[at]
    orders.loc[orders.index[bought], column] = change(orders[column].to_numpy()[bought], limit)
    market = case.market
    if of.get("locked"):
        close = market.close_e4.copy()
        close[at] = limit
        market = replace(market, close_e4=close)
    return replace(case, result=replace(case.result, orders=orders), market=market)


def test_fills_above_the_limit_are_an_error(clean: Case) -> None:
    bad = spoil_prices(clean, "price_e4", lambda price, limit: limit + 100)
    (found,) = [one for one in lint(bad.evidence(), bad.settings.lint) if one.severity == "error"]
    assert (found.code, found.value, found.threshold) == ("fills_beyond_limit", 20, 0)
    first = clean.result.trades.iloc[0]
    assert f"first {first['symbol']} {first['session_date']:%Y-%m-%d}" in found.fact


def test_a_sale_into_a_close_locked_at_the_upper_limit_is_no_finding(clean: Case) -> None:
    trades = clean.result.trades
    sold = trades[trades["fill_shares"] < 0].iloc[:20]
    at = (
        pd.Index(clean.market.symbols).get_indexer(pd.Index(sold["symbol"])),
        clean.market.sessions.get_indexer(pd.DatetimeIndex(sold["session_date"])),
    )
    up = clean.market.limit_up_e4.copy()
    up[at] = clean.market.close_e4[at] - 5  # under an adjustment the limit lies inside the true one
    locked = replace(clean, market=replace(clean.market, limit_up_e4=up))
    assert locked.evidence(holdings=clean.holdings).fills_beyond_limit == 0
    orders = clean.result.orders.copy()
    orders.loc[sold.index, "price_e4"] += 1_000  # but nobody sold above every price there was
    above = replace(locked, result=replace(clean.result, orders=orders))
    assert above.evidence(holdings=clean.holdings).fills_beyond_limit == 20


def test_fills_at_a_locked_limit_are_an_error_and_slippage_up_to_a_limit_is_none(clean: Case) -> None:
    touched = spoil_prices(clean, "price_e4", lambda price, limit: limit)
    assert touched.evidence().fills_at_limit == 0
    locked = spoil_prices(clean, "price_e4", lambda price, limit: limit, locked=True)
    errors = {one.code: one for one in lint(locked.evidence(holdings=clean.holdings), clean.settings.lint)}
    assert errors["fills_at_limit"].value == pytest.approx(20 / len(clean.result.trades))


def test_equity_that_moves_without_any_bar_is_an_error(clean: Case) -> None:
    quiet = clean.market.close_e4.copy()
    quiet[:, 150] = 0  # a session on which nothing traded, and the equity of the session moves all the same
    bad = replace(clean, market=replace(clean.market, close_e4=quiet, actions=ActionList.none(SESSIONS)))
    found = {one.code: one for one in lint(bad.evidence(holdings=clean.holdings), bad.settings.lint)}
    assert found["moved_without_data"].severity == "error"
    assert f"first {clean.market.sessions[150]:%Y-%m-%d}" in found["moved_without_data"].fact


def test_prices_older_than_a_month_are_a_warning(clean: Case) -> None:
    ages = np.where(clean.holdings.shares > 0, 21, 0)
    stale = replace(clean.holdings, price_age_sessions=ages)
    found = {one.code: one for one in lint(clean.evidence(holdings=stale), clean.settings.lint)}
    assert found["stale_prices"].severity == "warning"
    assert found["stale_prices"].value > 0.9


def test_one_name_that_earns_most_and_one_that_weighs_most_are_warnings(clean: Case) -> None:
    profit = np.full_like(clean.holdings.profit_fen, 1_000)
    profit[3] = 10_000_000
    value = clean.holdings.value_fen.copy()
    value[40, 3] = clean.result.equity_fen[40] // 2
    found = {
        one.code: one
        for one in lint(
            clean.evidence(holdings=replace(clean.holdings, profit_fen=profit, value_fen=value)), clean.settings.lint
        )
    }
    assert clean.holdings.symbols[3] in found["profit_from_one_name"].fact
    assert found["weight_of_one_name"].value == pytest.approx(0.5, abs=1e-6)


def test_a_loss_has_no_name_that_earned_it(clean: Case) -> None:
    loss = replace(clean.holdings, profit_fen=-np.abs(clean.holdings.profit_fen) - 1)
    assert clean.evidence(holdings=loss).top_name_profit_frac is None


def test_scores_that_hold_the_entry_sessions_return_are_an_error(clean: Case) -> None:
    market = clean.market
    peeked = np.zeros(market.close_e4.shape)
    logs = log_moves(market)
    peeked[:, :-1] = logs[:, 1:]  # tomorrow's return, which ends where the entry begins
    bad = replace(clean, scores=peeked, result=backtest(market, peeked, clean.settings))
    found = {one.code: one for one in lint(bad.evidence(), bad.settings.lint)}
    assert found["knows_the_entry"].severity == "error"
    assert found["knows_the_entry"].value > 0.99


def test_scores_that_hold_the_first_session_held_vanish_when_delayed(clean: Case) -> None:
    market = clean.market
    logs = log_moves(market)
    peeked = np.zeros(market.close_e4.shape)
    peeked[:, :-2] = logs[:, 2:]  # the first return after the entry, and nothing of the four that follow
    bad = replace(clean, scores=peeked, result=backtest(market, peeked, clean.settings))
    found = {one.code: one for one in lint(bad.evidence(), bad.settings.lint)}
    assert found["vanishes_when_delayed"].severity == "error"
    assert found["vanishes_when_delayed"].value < 0.2
    assert found["rank_ic_too_good"].severity == "error"
    assert found["sharpe_too_good"].severity == "error"


def test_scores_that_are_the_sessions_own_return_are_a_warning(clean: Case) -> None:
    market = clean.market
    logs = log_moves(market)
    momentum = logs
    bad = replace(clean, scores=momentum, result=backtest(market, momentum, clean.settings))
    found = {one.code: one for one in lint(bad.evidence(), bad.settings.lint)}
    assert found["is_the_session_itself"].severity == "warning"
    assert found["is_the_session_itself"].value > 0.99


def test_few_trades_are_an_error_and_few_months_a_warning(market: MarketArrays, clean: Case) -> None:
    first, last = market.sessions[0].date(), market.sessions[10].date()
    strategy, costs = clean.settings.strategy, clean.settings.costs
    short = run_backtest(market, clean.scores, strategy=strategy, costs=costs, first=first, last=last)
    closes = {code: close.loc[short.sessions] for code, close in clean.closes.items()}
    found = {one.code: one for one in lint(replace(clean, result=short, closes=closes).evidence(), clean.settings.lint)}
    assert found["too_few_trades"].severity == "error"
    assert found["too_few_months"].severity == "warning"


def test_a_capacity_below_the_capital_is_an_error_and_an_unknown_one_is_said(clean: Case) -> None:
    def of(capacity_cny: float) -> Finding | None:
        found = {one.code: one for one in lint(clean.evidence(capacity_cny=capacity_cny), clean.settings.lint)}
        return found.get("capacity_below_capital")

    assert of(1_000_000.0) is None
    below, unknown = of(999_999.0), of(math.nan)
    assert below is not None
    assert (below.severity, below.value, below.threshold) == ("error", 999_999.0, 1_000_000.0)
    assert unknown is not None
    assert (unknown.severity, unknown.value) == ("info", None)


def test_a_benchmark_that_moves_less_alike_than_another_index_is_a_warning(clean: Case) -> None:
    rng = np.random.default_rng(1)
    other = pd.Series(4000 * np.exp(np.cumsum(rng.normal(0, 0.02, SESSIONS))), index=clean.result.sessions)
    found = {
        one.code: one for one in lint(clean.evidence(closes={**clean.closes, "000905.SH": other}), clean.settings.lint)
    }
    assert re.search("with (000300.SH|399006.SZ) 0.9", found["benchmark_mismatch"].fact)


@pytest.mark.parametrize(
    ("code", "spoilt"),
    [
        ("turnover_absurd", {"turnover": 60.1}),
        ("cash_drag", {"unwanted_cash_frac": 0.26}),
        ("parameter_cliff", {"cliff_frac": 0.51, "cliff_parameter": "top_k"}),
        ("rank_ic_too_good", {"rank_ic_earned": 0.21}),
        ("sharpe_too_good", {"session_sharpe": 4.1}),
    ],
)
def test_a_figure_beyond_its_threshold_is_found_and_one_on_it_is_not(
    clean: Case, code: str, spoilt: dict[str, Any]
) -> None:
    evidence = replace(clean.evidence(), cliff_frac=0.0, rank_ic_delayed=0.2)
    (found,) = [one for one in lint(replace(evidence, **spoilt), clean.settings.lint) if one.code == code]
    assert found.threshold is not None
    (name,) = [name for name, value in spoilt.items() if isinstance(value, float)]
    on_it = lint(replace(evidence, **{name: found.threshold}), clean.settings.lint)
    assert code not in [one.code for one in on_it]


def test_the_gravest_finding_comes_first(clean: Case) -> None:
    bad = replace(clean.evidence(), turnover=99.0, session_sharpe=9.0)
    assert [one.severity for one in lint(bad, clean.settings.lint)] == ["error", "warning", "info"]


def test_every_rule_and_every_sentence_is_written_in_both_languages() -> None:
    codes = [rule.code for rule in RULES]
    assert len(set(codes)) == len(codes)
    assert set(LOOKS_FOR[EN]) == set(LOOKS_FOR[ZH]) == set(codes)
    assert set(SENTENCES[EN]) == set(SENTENCES[ZH])
    for case, sentence in SENTENCES[EN].items():
        english, chinese = (
            {field for _, field, _, _ in Formatter().parse(one.fact) if field}
            for one in (sentence, SENTENCES[ZH][case])
        )
        assert english == chinese, case


def test_every_command_that_a_remedy_names_exists() -> None:
    sentences = [sentence for language in (EN, ZH) for sentence in SENTENCES[language].values()]
    named = {word for one in sentences for word in re.findall(r"`ljwx ([a-z-]+)", one.fact + one.remedy)}
    (commands,) = (one.choices for one in build_parser()._actions if isinstance(one, argparse._SubParsersAction))
    assert "sweep" in named
    assert named <= set(commands)


def test_a_finding_and_its_evidence_survive_json(clean: Case) -> None:
    evidence = clean.evidence()
    assert LintEvidence.from_dict(evidence.as_dict()) == evidence
    with pytest.raises(LakeError, match="other fields than this version"):
        LintEvidence.from_dict({"fills": 3})
    (finding,) = lint(evidence, clean.settings.lint)
    assert Finding.from_dict(finding.as_dict()) == finding
    assert "sweep" in finding.as_dict()["remedy"]
    assert "扫描" in fact_text(ZH, finding.case, finding.values)


def write_sweep(folder: Path, settings: Settings, **over: Any) -> None:
    """Write what ``ljwx sweep --grid top_k=15,20,25`` leaves, with an information ratio that halves at 25."""
    folder.mkdir(parents=True)
    frame = pd.DataFrame(
        {
            "name": ["top_k=15", "top_k=20", "top_k=25"],
            "variant_hash": ["a", "b", "c"],
            "strategy.top_k": [15, 20, 25],
            "information_ratio": [1.8, 2.0, 0.6],
        }
    )
    frame.to_parquet(folder / "sweep.parquet")
    hashes = {"data_hash": "d", "factor_hash": "f", "config_hash": settings.config_hash}
    document = {"first_session": "2021-01-04", "last_session": "2025-11-05", "hashes": hashes} | over
    (folder / "sweep.json").write_text(json.dumps(document), encoding="utf-8")


def test_the_fall_beside_the_chosen_settings_is_read_from_their_sweep(tmp_path: Path, settings: Settings) -> None:
    def fall() -> tuple[float | None, str]:
        return swept_cliff(
            tmp_path,
            settings,
            hashes={"data_hash": "d", "factor_hash": "f"},
            span=("2021-01-04", "2025-11-05"),
        )

    assert fall() == (None, "")
    write_sweep(tmp_path / "sweeps" / "other", settings, hashes={"data_hash": "another", "factor_hash": "f"})
    write_sweep(tmp_path / "sweeps" / "earlier", settings, last_session="2025-11-04")
    assert fall() == (None, "")
    write_sweep(tmp_path / "sweeps" / "around", settings)
    lost, parameter = fall()
    assert (lost, parameter) == (pytest.approx(0.7), "strategy.top_k")
    wider = settings.model_copy(update={"strategy": settings.strategy.model_copy(update={"top_k": 21})})
    write_sweep(tmp_path / "sweeps" / "without", wider)  # varies other values than the chosen one
    assert swept_cliff(
        tmp_path, wider, hashes={"data_hash": "d", "factor_hash": "f"}, span=("2021-01-04", "2025-11-05")
    ) == (None, "")
    (tmp_path / "sweeps" / "around" / "sweep.json").write_text("{", encoding="utf-8")
    with pytest.raises(ConfigError, match="is damaged"):
        fall()
