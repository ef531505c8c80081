"""A small market with scores for sweeps, seeded; also as a program of its own, for tests that kill it."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd

import ljwx_pipeline.backtest.sweep as sweep_module
from ljwx_pipeline.backtest.sweep import Sweep, run_sweep
from ljwx_pipeline.backtest.sweep_variants import Variant, expand_grid
from ljwx_pipeline.backtest.trial_ledger import SCORED_UNDER, TrialLedger, scored_under
from ljwx_pipeline.config import load_settings
from ljwx_pipeline.ingest.data_hash import data_hash
from ljwx_pipeline.lake import Lake
from ljwx_pipeline.lake.atomic_parquet import write_bytes, write_parquet
from ljwx_pipeline.market.tables import empty_table
from ljwx_pipeline.trading.market_arrays import MarketArrays, market_arrays
from tests.fakes.bars import listed_securities, random_bars, store_bars

ROOT = Path(__file__).resolve().parent.parent.parent
#: Of the trials of the model's study behind the scores of ``store_scored_market``.
STUDY_SHARPES = (0.02, -0.05, 0.11)
GRID = {"top_k": [3, 5, 8], "n_drop": [1, 2], "costs.slippage_bps": [0.0, 10.0]}


def sweep_market(symbols: int = 24, sessions: int = 90) -> tuple[MarketArrays, np.ndarray]:
    """Return a market and scores that know a little of the next sessions, some of them missing."""
    bars = random_bars(symbols=symbols, sessions=sessions, seed=3, suspended_frac=0.04)
    names = tuple(sorted(bars["symbol"].unique()))
    days = pd.DatetimeIndex(sorted(bars["session_date"].unique()), name="session_date")
    nothing = (empty_table("st_spells"), empty_table("corporate_actions"))
    market = market_arrays(bars, listed_securities(bars), *nothing, symbols=names, sessions=days, adjustment="raw")
    rng = np.random.default_rng(8)
    scores = np.round(rng.normal(size=market.close_e4.shape), 1)
    scores[rng.uniform(size=scores.shape) < 0.1] = np.nan
    return market, scores


def sweep_variants(grid: dict[str, list[float]] | None = None) -> tuple[Variant, ...]:
    """Return the variants of ``grid`` around the shipped settings, on an account of 400,000 CNY."""
    settings = load_settings(profile="simulated", config_file=ROOT / "ljwx.toml", environ={})
    strategy = settings.strategy.model_copy(update={"capital_cny": 400_000.0})
    return expand_grid(grid or GRID, strategy=strategy, costs=settings.costs)


def sweep(
    market: MarketArrays, scores: np.ndarray, variants: tuple[Variant, ...] | None = None, **options: object
) -> Sweep:
    """Run a sweep over all sessions of ``market``."""
    first, last = market.sessions[0].date(), market.sessions[-1].date()
    return run_sweep(market, scores, variants or sweep_variants(), first=first, last=last, **options)  # type: ignore[arg-type]


def store_scored_market(home: Path, *, benchmark: str = "000905.SH", symbols: int = 24, sessions: int = 160) -> None:
    """Fill a market's home with what ``ljwx sweep`` reads: checked bars, tables, an index, a run's predictions."""
    bars = random_bars(symbols=symbols, sessions=sessions, seed=3)
    store_bars(home, bars)
    days = sorted(bars["session_date"].unique())
    rng = np.random.default_rng(4)
    points = 5000 * np.cumprod(1 + rng.normal(0, 0.008, len(days)))
    index = pd.DataFrame({"index_code": benchmark, "session_date": days, "close_points": points})
    lake, known_at = Lake(home / "lake"), datetime(2024, 1, 1, tzinfo=UTC)
    lake.write("index_bars", index, partition="all", known_at=known_at)
    lake.write("corporate_actions", empty_table("corporate_actions"), partition="all", known_at=known_at)
    tested = bars[(bars["session_date"] >= days[60]) & (bars["session_date"] < days[-40])]
    predictions = tested[["symbol", "session_date"]].assign(score=rng.normal(size=len(tested)), scorable=True)
    write_parquet(home / "tables" / "walk_forward_predictions.parquet", predictions)
    checked = Lake(home / "checked").read("bars")
    lineage = {"factor_hash": "f" * 64, "data_hash": data_hash(lake, checked)}
    write_bytes(home / "tables" / "lineage.json", json.dumps(lineage).encode())
    study = {"trials": [{"number": i, "session_sharpe": sharpe} for i, sharpe in enumerate(STUDY_SHARPES)]}
    write_bytes(home / "tables" / "tuned_hyperparameters.json", json.dumps(study).encode())
    made_under = scored_under(load_settings(profile="simulated"))
    write_bytes(home / "tables" / f"{SCORED_UNDER}.json", json.dumps(made_under).encode())


def main(store: str, ledger: str, levels: str) -> None:
    """Sweep three widths under ``levels`` slippages into ``store``, keeping every batch at once."""
    sweep_module.KEEP_EVERY_S = 0.0  # on a slow machine and a fast one alike, a kill finds something kept
    market, scores = sweep_market()
    variants = sweep_variants({"top_k": [3, 5, 8], "slippage_bps": [float(level) for level in range(int(levels))]})
    book = TrialLedger(Path(ledger)).of("family", "sweep")
    sweep(market, scores, variants, store=Path(store), trials=book)


if __name__ == "__main__":
    main(*sys.argv[1:])
