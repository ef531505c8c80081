"""A backtest that abstains: from what the walked intervals say, in runs and sweeps alike."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ljwx_pipeline.backtest.abstained import WALKED, abstained_frac, walked_may_buy
from ljwx_pipeline.backtest.engine import run_backtest
from ljwx_pipeline.backtest.sweep import run_sweep
from ljwx_pipeline.backtest.sweep_input import SweepInput
from ljwx_pipeline.backtest.sweep_measures import net_returns
from ljwx_pipeline.backtest.sweep_variants import Variant
from ljwx_pipeline.config import Settings
from ljwx_pipeline.errors import LakeError, TradingError
from ljwx_pipeline.lake.atomic_parquet import write_parquet
from tests.fakes.backtests import small_market


def small(settings: Settings, kind: str = "topk_dropout") -> Settings:
    update = {"kind": kind, "top_k": 6, "n_drop": 2, "max_weight_frac": 0.3, "capital_cny": 400_000.0}
    return settings.model_copy(update={"strategy": settings.strategy.model_copy(update=update)})


@pytest.mark.parametrize("kind", ["topk_dropout", "score_weighted"])
def test_names_abstained_from_are_never_bought_and_off_is_as_without(settings: Settings, kind: str) -> None:
    market, scores = small_market(3)
    chosen = small(settings, kind)
    given = {
        "strategy": chosen.strategy,
        "costs": chosen.costs,
        "first": market.sessions[0].date(),
        "last": market.sessions[-1].date(),
    }
    plain = run_backtest(market, scores, **given)
    every = run_backtest(market, scores, **given, may_buy=np.ones(scores.shape, dtype=np.int8))
    pd.testing.assert_frame_equal(plain.orders, every.orders, check_exact=True)
    mask = (np.random.default_rng(0).uniform(size=scores.shape) < 0.6).astype(np.int8)
    some = run_backtest(market, scores, **given, may_buy=mask)
    bought = some.orders[some.orders["order_shares"] > 0]
    rows = pd.Index(market.symbols).get_indexer(pd.Index(bought["symbol"]))
    decided = market.sessions.get_indexer(pd.DatetimeIndex(bought["session_date"])) - 1
    assert len(bought) > 50
    assert mask[rows, decided].all()
    assert (some.orders["order_shares"] < 0).any()
    none = run_backtest(market, scores, **given, may_buy=np.zeros(scores.shape, dtype=np.int8))
    assert none.orders.empty
    assert (none.equity_fen == none.equity_fen[0]).all()
    with pytest.raises(TradingError, match="may_buy has shape"):
        run_backtest(market, scores, **given, may_buy=mask[:, :-1])


def test_a_sweep_abstains_as_the_run_does_and_is_another_look(settings: Settings) -> None:
    market, scores = small_market(3)
    chosen = small(settings)
    first, last = market.sessions[0].date(), market.sessions[-1].date()
    mask = (np.random.default_rng(0).uniform(size=scores.shape) < 0.6).astype(np.int8)
    alone = run_backtest(
        market, scores, strategy=chosen.strategy, costs=chosen.costs, first=first, last=last, may_buy=mask
    )
    variants = [Variant("as configured", chosen.strategy, chosen.costs)]
    swept = run_sweep(market, scores, variants, first=first, last=last, may_buy=mask)
    np.testing.assert_array_equal(swept.net_returns, net_returns(alone.equity_fen[np.newaxis]))
    plain = SweepInput(market, scores, first, last)
    assert replace(plain, may_buy=mask).key().evidence != plain.key().evidence
    with pytest.raises(TradingError, match="may_buy has shape"):
        replace(plain, may_buy=mask[1:]).require_sound()


def test_the_walked_intervals_say_who_may_be_bought(settings: Settings, tmp_path: Path) -> None:
    sessions, symbols = pd.bdate_range("2024-01-01", periods=2), ("A", "B", "C")
    limited = settings.uncertainty.model_copy(update={"max_width_frac": 0.2, "max_loss_frac": 0.15})
    assert walked_may_buy(tmp_path, settings.uncertainty, symbols, sessions) is None
    with pytest.raises(LakeError, match="too unsure to be bought"):
        walked_may_buy(tmp_path, limited, symbols, sessions)
    rows = pd.DataFrame(
        {
            "symbol": ["A", "B", "A", "B", "C"],
            "session_date": sessions[[0, 0, 1, 1, 1]],
            "lower": [-0.1, -0.1, np.nan, -0.16, -0.15],
            "upper": [0.1, 0.11, np.nan, 0.01, 0.05],
        }
    )
    write_parquet(tmp_path / f"{WALKED}.parquet", rows)
    found = walked_may_buy(tmp_path, limited, symbols, sessions)
    assert found is not None
    assert (found.dtype, found.tolist()) == (np.int8, [[1, 0], [0, 0], [0, 1]])


def test_the_share_abstained_from_is_of_scored_rows_of_the_sessions_looked_at() -> None:
    scores = np.array([[0.1, 0.2, np.nan, 0.4], [0.1, np.nan, 0.3, 0.4]])
    allowed = np.array([[0, 0, 0, 1], [0, 0, 1, 1]], dtype=np.int8)
    assert abstained_frac(scores, allowed, slice(1, 4)) == 0.25  # one of four scored rows
    assert abstained_frac(scores, allowed, slice(0, 4)) == 0.5
    assert abstained_frac(scores, None, slice(0, 4)) is None
    assert abstained_frac(np.full((2, 4), np.nan), allowed, slice(0, 4)) is None
