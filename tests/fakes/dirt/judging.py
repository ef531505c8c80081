"""A clean market, and every check over it with a kind of dirt put in."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import pandas as pd

from ljwx_pipeline.config import SimulatedSettings
from ljwx_pipeline.ingest.rewrites import begin_ingest, history_not_restated, note_rewrites
from ljwx_pipeline.lake import Lake, split_by_month
from ljwx_pipeline.market.tables import SourceDescription
from ljwx_pipeline.quality.anomalies import ANOMALIES
from ljwx_pipeline.quality.checks import CHECKS
from ljwx_pipeline.quality.history import feed_on_time
from ljwx_pipeline.quality.quarantine import split
from ljwx_pipeline.quality.reconcile import reconcile
from ljwx_pipeline.quality.results import CheckResult
from ljwx_pipeline.quality.run import run_checks
from ljwx_pipeline.sources.simulated.source import WORLD_FIRST, WORLD_LAST, SimulatedMarket
from tests.fakes.dirt.kind import TableDirt, Tables

#: The profiles' ``quality.max_restated_frac``.
MAX_RESTATED_FRAC = 0.2


def clean_market() -> tuple[Tables, pd.DatetimeIndex]:
    """Return every table of three years of a small simulated market, and its sessions."""
    market = SimulatedMarket(SimulatedSettings(seed=11, symbols=60, oracle_rank_ic=0.11))
    first, last = date(2021, 1, 4), date(2023, 12, 29)
    tables = {
        "bars": market.bars(first, last),
        "index_bars": market.index_bars(first, last),
        "securities": market.securities(),
        "st_spells": market.st_spells(first, last),
        "industries": market.industries(first, last),
        "index_members": market.index_members(first, last),
        "corporate_actions": market.corporate_actions(WORLD_FIRST, WORLD_LAST),
        "suspensions": market.suspensions(first, last),
        "price_limits": market.price_limits(first, last),
    }
    return tables, market.sessions(first, last)


def judged(
    kind: TableDirt, clean: Tables, sessions: pd.DatetimeIndex, rng: np.random.Generator
) -> Mapping[str, CheckResult]:
    """Return the results by name of judging ``clean`` with ``kind`` put into it."""
    dirty = kind.inject({name: frame.copy() for name, frame in clean.items()}, rng)
    if kind.judge == "restated":
        results = [came_again(clean["bars"], dirty["bars"])]
    elif kind.judge == "reconcile":
        results = [reconcile(clean["bars"], dirty["bars"]).result]
    elif kind.judge == "lag":
        known = dirty["known_at"].set_index("session_date")["known_at"]
        results = [feed_on_time(sessions, known)]
    else:
        results = all_results(dirty, sessions, kind.adjustment)
    if kind.judge == "split":
        results = [split("bars", dirty["bars"], results, at=datetime(2026, 1, 2, tzinfo=UTC)).session_share]
    return {result.name: result for result in results}


def came_again(before: pd.DataFrame, after: pd.DataFrame) -> CheckResult:
    """Return the verdict on a lake that held ``before`` and was given ``after`` for the same months."""
    with tempfile.TemporaryDirectory() as folder:
        lake, noted_at = Lake(Path(folder) / "lake"), Path(folder) / "rewrites.json"
        for day, bars in enumerate((before, after), start=2):
            begin_ingest(noted_at, lake)
            lake.write_partitions("raw_bars", split_by_month(bars), known_at=datetime(2026, 1, day, tzinfo=UTC))
            noted = note_rewrites(noted_at, lake, max_frac=MAX_RESTATED_FRAC)
    return history_not_restated(noted, max_frac=MAX_RESTATED_FRAC)


def all_results(tables: Tables, sessions: pd.DatetimeIndex, adjustment: str = "raw") -> list[CheckResult]:
    """Return every check and statistic over ``tables``."""
    described = SourceDescription("corpus", False, adjustment, ())
    return run_checks(tables, described, sessions, as_of=sessions[-1].date(), checks=(*CHECKS, *ANOMALIES))
