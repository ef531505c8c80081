"""A restatement is a new version, flagged on the model made before it; a replay of that day gives that day's bytes."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
import pandas as pd
import pytest

from assets.restatements import dataset_name
from ljwx_pipeline.config import SimulatedSettings
from ljwx_pipeline.lake import Catalogue, Lake
from ljwx_pipeline.sources.base import bars
from ljwx_pipeline.sources.simulated.source import WORLD_FIRST, WORLD_LAST, SimulatedMarket
from tests.fakes.line_runs import Run, ljwx

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Story:
    """The files, and three runs over them: before the restatement, after it, and the first one replayed."""

    home: Path
    first: Run
    second: Run
    replay: Run
    symbol: str
    day: str

    @property
    def market(self) -> Path:
        (found,) = (path for path in (self.home / "markets").iterdir() if "as-of" not in path.name)
        return found


def code_of(symbol: str) -> str:
    """Give a simulated stock a code of the main board, as the folder source wants one."""
    return f"{600000 + int(symbol[1:6])}.SH"


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Story:
    files, home = tmp_path_factory.mktemp("files"), tmp_path_factory.mktemp("home")
    market = SimulatedMarket(SimulatedSettings(seed=11, symbols=40, oracle_rank_ic=0.2))
    frame = bars(market, pd.Timestamp("2022-01-04").date(), WORLD_LAST)
    frame["symbol"] = frame["symbol"].map(code_of)
    market.index_bars(WORLD_FIRST, WORLD_LAST).to_csv(files / "index.csv", index=False)
    row = frame.index[(frame["symbol"] == frame["symbol"].iloc[0])][300]
    symbol, day = str(frame.loc[row, "symbol"]), f"{frame.loc[row, 'session_date']:%Y-%m-%d}"
    options = ("--json", "--profile", "folder", "--data", str(files / "bars.csv"))
    options += ("--index-data", str(files / "index.csv"), "--adjustment", "raw")
    frame.to_csv(files / "bars.csv", index=False)
    first = ljwx(home, *options, world=False)
    assert first.code == 0, first.err
    frame.loc[row, ["volume_shares", "amount_cny"]] *= 3  # the average price stays: a correction, no dirt
    frame.to_csv(files / "bars.csv", index=False)
    second = ljwx(home, *options, world=False)
    assert second.code == 0, second.err
    instant = first.summary["lineage"]["known_at"]
    replay = ljwx(home, *options, settings={"source.as_of": f'"{instant}"'}, world=False)
    assert replay.code == 0, replay.err
    return Story(home, first, second, replay, symbol, day)


def test_a_replay_leaves_no_trace_in_the_dagster_of_the_market_it_replays(story: Story) -> None:
    (replayed,) = (path for path in (story.home / "markets").iterdir() if "as-of" in path.name)
    counts = []
    for market in (story.market, replayed):
        with dg.DagsterInstance.from_config(str(market / "dagster")) as instance:
            counts.append(len(instance.get_runs(dg.RunsFilter(job_name="main"))))
    assert counts == [2, 1]
    assert not (story.home / "dagster").exists()


def test_the_restated_row_changes_the_data_and_what_is_made_of_them(story: Story) -> None:
    before, after = story.first.summary, story.second.summary
    assert after["lineage"]["data_hash"] != before["lineage"]["data_hash"]
    assert after["artifacts"]["feature_table"] != before["artifacts"]["feature_table"]
    assert int(after["model"]["version"]) > int(before["model"]["version"])


def test_a_replay_gives_the_bytes_of_the_day_it_replays(story: Story) -> None:
    before, again = story.first.summary, story.replay.summary
    assert again["artifacts"] == before["artifacts"]
    assert again["lineage"]["data_hash"] == before["lineage"]["data_hash"]
    assert again["walk_forward"] == before["walk_forward"]
    assert again["backtest"] == before["backtest"]


def test_the_replay_leaves_the_market_it_replays_alone(story: Story) -> None:
    held = Lake(story.market / "lake").read("raw_bars")
    restated = held[(held["symbol"] == story.symbol) & (held["session_date"] == story.day)]
    assert len(restated) == 1
    latest = json.loads((story.market / "tables" / "model_bundle.json").read_text())
    assert int(latest["version"]) == int(story.second.summary["model"]["version"])


def test_the_lake_tells_both_versions_of_the_row(story: Story) -> None:
    from ljwx_pipeline.lake.row_history import row_history

    lake = Lake(story.market / "lake")
    told = row_history(lake, "raw_bars", symbol=story.symbol, session=pd.Timestamp(story.day).date())
    volumes = [version.rows[0]["volume_shares"] for version in told]
    assert len(volumes) == 2
    assert volumes[1] == pytest.approx(3 * volumes[0])


def test_the_model_made_before_is_flagged_and_what_it_saw_stays_pinned(story: Story) -> None:
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{story.home / 'mlflow' / 'mlflow.db'}")
    model = story.first.summary["model"]
    flagged = client.get_model_version(model["name"], str(model["version"])).tags
    assert f"rows of {story.day[:7]} restated" in flagged["data_restated"]
    after = story.second.summary["model"]
    assert "data_restated" not in client.get_model_version(after["name"], str(after["version"])).tags
    pinned = Catalogue(Lake(story.market / "lake")).show(dataset_name(model["name"], flagged["bundle_hash"]))
    assert {reference.kind for reference in pinned.references} == {"model", "run"}
