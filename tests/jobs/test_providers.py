"""Ingest from each provider's stub process through the command a person types: whole, again, and over an outage."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import dagster as dg
import numpy as np
import pandas as pd
import pytest

from ljwx_pipeline.lake import Lake
from ljwx_pipeline.market.calendar import sessions_between
from tests.fakes.line_runs import Run, ljwx
from tests.fakes.provider_stubs.market import SimulatedTables, relabelled, simulated_tables
from tests.fakes.provider_stubs.process import last_session_before_today
from tests.fakes.provider_stubs.started import PROVIDERS, StubProcess, started_stubs
from tests.fakes.provider_stubs.tushare import TOKEN

pytestmark = pytest.mark.slow

SYMBOLS, WORLD_FIRST, WORLD_LAST = 20, date(2025, 1, 2), date(2025, 12, 31)
UNTIL = last_session_before_today()
SESSIONS = sessions_between(date(UNTIL.year - 1, UNTIL.month, 1), UNTIL)[-70:]
#: Sessions published while the provider was down, and held ones that are asked for again.
MISSED, RECHECKED = 3, 5
#: How far a provider's rounding moves a cell: tushare's amounts are CNY 1,000 with three decimals and its factors have
#: four, akshare's volumes are whole lots and its reference prices are derived from a rounded close.
ROUNDING = {
    "tushare": {"amount_cny": 0.51, "adj_factor": 5.1e-5},
    "akshare": {"volume_shares": 50.0, "amount_cny": 0.0051, "pre_close_cny": 0.0101},
    "baostock": {"amount_cny": 5.1e-5, "adj_factor": 5.1e-7},
}


@pytest.fixture(scope="module")
def stubs() -> Iterator[dict[str, StubProcess]]:
    options = ["--symbols", f"{SYMBOLS}", "--first", f"{WORLD_FIRST}", "--last", f"{WORLD_LAST}", "--until", f"{UNTIL}"]
    with started_stubs(options) as started:
        yield started


@pytest.fixture(scope="module")
def world() -> SimulatedTables:
    return relabelled(simulated_tables(7, SYMBOLS, WORLD_FIRST, WORLD_LAST), UNTIL)


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_provider_is_ingested_whole_then_only_what_is_new_also_after_an_outage(
    provider: str,
    stubs: dict[str, StubProcess],
    world: SimulatedTables,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TUSHARE_TOKEN", TOKEN)
    stub, home = stubs[provider], tmp_path / "home"

    first = ingest(home, provider, stub, SESSIONS[-1 - MISSED])
    assert first.code == 0, first.err
    asked_at_first = stub.calls()
    assert first.summary["added"] == first.summary["rows"]
    assert sessions_fetched(home) == len(SESSIONS) - MISSED

    stub.toggle_outage()
    down = ingest(home, provider, stub, SESSIONS[-1])
    stub.toggle_outage()
    assert down.code == 4, down.err
    (message,) = [line for line in down.err.splitlines() if line.startswith("error: ")]
    assert provider in message
    assert "again" in message, "it says what to do"
    assert "Traceback" not in down.err

    asked_before = stub.calls()
    healed = ingest(home, provider, stub, SESSIONS[-1])
    assert healed.code == 0, healed.err
    assert sessions_fetched(home) == RECHECKED + MISSED
    assert stub.calls() - asked_before < asked_at_first
    assert healed.summary["restated"] == 0
    assert healed.summary["quarantined"] == 0
    assert healed.summary["last_session"] == f"{UNTIL}"

    assert_same_bars(checked_bars(home), world, ROUNDING[provider])
    assert_nowhere(TOKEN, home, (first, down, healed))


def ingest(home: Path, provider: str, stub: StubProcess, last: pd.Timestamp) -> Run:
    span = {"source.first_session": f"{SESSIONS[0]:%F}", "source.last_session": f"{last:%F}"}
    patience = {f"{provider}.calls_per_minute": 100_000, f"{provider}.attempts": 2}
    settings = {**span, **patience, **stub.settings}
    return ljwx(home, "--job", "ingest", "--json", "--profile", provider, settings=settings, world=False)


def sessions_fetched(home: Path) -> int:
    (market,) = (home / "markets").iterdir()
    with dg.DagsterInstance.from_config(str(market / "dagster")) as instance:
        said = instance.get_latest_materialization_event(dg.AssetKey("raw_bars"))
    assert said is not None
    assert said.asset_materialization is not None
    value = said.asset_materialization.metadata["sessions_fetched"].value
    assert isinstance(value, int)
    return value


def checked_bars(home: Path) -> pd.DataFrame:
    (market,) = (home / "markets").iterdir()
    return Lake(market / "checked").read("bars")


def assert_same_bars(found: pd.DataFrame, world: SimulatedTables, rounding: dict[str, float]) -> None:
    bars = world["bars"]
    expected = bars[bars["session_date"] >= SESSIONS[0]].sort_values(["session_date", "symbol"], ignore_index=True)
    found = found.sort_values(["session_date", "symbol"], ignore_index=True)
    keys = ["symbol", "session_date"]
    pd.testing.assert_frame_equal(found[keys], expected[keys])
    for column in expected.columns.difference(keys):
        apart = np.abs(found[column] - expected[column]).max()
        assert apart <= rounding.get(column, 1e-9), f"{column} strays by {apart}"


def assert_nowhere(secret: str, home: Path, runs: tuple[Run, ...]) -> None:
    """Neither in what was printed nor in any file: logs, Dagster's event log, MLflow's database, the lake."""
    for run in runs:
        assert secret not in run.out + run.err
    files = [path for path in home.rglob("*") if path.is_file()]
    assert any(path.suffix == ".db" and "dagster" in path.parts for path in files)
    assert not [path for path in files if secret.encode() in path.read_bytes()]
    assert secret in os.environ["TUSHARE_TOKEN"], "it was there to be spilled"
