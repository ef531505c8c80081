"""The online store: what one run leaves, what a crash leaves, and that no answer is of another session or catalogue."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ljwx_pipeline.errors import LakeError
from ljwx_pipeline.feature_store import FeatureStoreClient
from ljwx_pipeline.feature_table import feast_table
from tests.fakes.feast_repository import declare

ROOT = Path(__file__).resolve().parent.parent
NAMES = ["A", "B", "C"]
SESSIONS = pd.bdate_range("2024-03-01", periods=40)
#: Trades always; suspended from session 10 to 35; listed at session 20; delisted after session 5.
ALWAYS, SUSPENDED, LISTED, DELISTED = SYMBOLS = ["S00001.SIM", "S00002.SIM", "S00003.SIM", "S00004.SIM"]


def features() -> pd.DataFrame:
    """Seeded features with a zero, a missing value and a stock that has none in its first session."""
    frame = pd.MultiIndex.from_product([SESSIONS, SYMBOLS], names=["session_date", "symbol"]).to_frame(index=False)
    rng = np.random.default_rng(8)
    for name in NAMES:
        frame[name] = rng.standard_normal(len(frame)).astype(np.float32)
    number = SESSIONS.get_indexer(frame["session_date"])
    frame.loc[(frame["symbol"] == LISTED) & (number == 20), NAMES] = np.float32(np.nan)
    frame.loc[frame["symbol"] == ALWAYS, "B"] = np.float32(0.0)
    frame.loc[(frame["symbol"] == ALWAYS) & (number % 2 == 0), "C"] = np.float32(np.nan)
    gone = (
        ((frame["symbol"] == SUSPENDED) & (number >= 10) & (number <= 35))
        | ((frame["symbol"] == LISTED) & (number < 20))
        | ((frame["symbol"] == DELISTED) & (number > 5))
    )
    return frame.loc[~gone, ["symbol", "session_date", *NAMES]].reset_index(drop=True)


@pytest.fixture
def client(tmp_path: Path) -> FeatureStoreClient:
    client = FeatureStoreClient(declare(tmp_path / "repo", NAMES), tmp_path / "home")
    client.feature_table.parent.mkdir(parents=True)
    feast_table(features()).to_parquet(client.feature_table, index=False)
    client.apply()
    return FeatureStoreClient(tmp_path / "repo", tmp_path / "home")  # as the next process meets what was applied


def by_feast(client: FeatureStoreClient, symbols: list[str]) -> pd.DataFrame:
    service = client.feast_store.get_feature_service(client.feature_service)
    answer = client.feast_store.get_online_features(service, [{"symbol": symbol} for symbol in symbols])
    return answer.to_df(include_event_timestamps=True).set_index("symbol")


def expected(symbol: str, number: int) -> np.ndarray:
    table = features()
    row = table[(table["symbol"] == symbol) & (table["session_date"] == SESSIONS[number])]
    return row[NAMES].to_numpy(dtype=np.float32)[0]


def test_the_values_are_feasts_own_a_zero_stays_zero_and_a_missing_value_missing(client: FeatureStoreClient):
    session = SESSIONS[38].date()
    client.materialize_online(session)
    asked = [LISTED, ALWAYS, SUSPENDED, ALWAYS]
    online = client.online(asked, session)
    assert list(online["symbol"]) == asked
    assert list(online["missing_count"]) == [0, 1, 0, 1]
    feast = by_feast(client, sorted(set(asked))).loc[asked, NAMES].to_numpy(dtype=np.float32)
    np.testing.assert_array_equal(online[NAMES].to_numpy(), feast)
    assert list(online["B"])[1] == 0.0
    assert np.isnan(online["C"].iloc[1])
    assert str(online.dtypes["event_timestamp"]) == "datetime64[us, UTC]"
    assert client.online_check(session).passed


def test_newest_rows_are_carried_until_their_time_to_live_and_then_told_and_served_no_more(client: FeatureStoreClient):
    fresh = client.materialize_online(SESSIONS[9].date())
    assert (fresh.rows, fresh.carried, fresh.late, fresh.written) == (2, 1, (), 3)
    carried = client.materialize_online(SESSIONS[15].date())  # the delisted stock's last row is exactly 14 days old
    assert (carried.rows, carried.carried, carried.late, carried.written) == (1, 2, (), 1)
    with pytest.raises(LakeError, match=rf"{SUSPENDED} are of 2024-03-14 .* not of 2024-03-22"):
        client.online([ALWAYS, SUSPENDED], SESSIONS[15].date())
    assert by_feast(client, [SUSPENDED])["A"].iloc[0] == expected(SUSPENDED, 9)[0]  # Feast's own answer: the newest
    late = client.materialize_online(SESSIONS[25].date())
    assert (late.rows, late.carried, late.late) == (2, 0, (SUSPENDED, DELISTED))
    with pytest.raises(LakeError, match=rf"{SUSPENDED} has no row in the online store"):
        client.online([SUSPENDED], SESSIONS[25].date())
    assert by_feast(client, [SUSPENDED, DELISTED])[NAMES].isna().all(axis=None)
    back = client.materialize_online(SESSIONS[36].date())
    assert back.late == (DELISTED,)
    np.testing.assert_array_equal(
        client.online([SUSPENDED], SESSIONS[36].date())[NAMES].to_numpy()[0], expected(SUSPENDED, 36)
    )


def test_only_what_changed_is_written_and_an_earlier_session_takes_later_rows_out(client: FeatureStoreClient):
    first = client.materialize_online(SESSIONS[25].date())
    assert first.written == 2
    assert client.materialize_online(SESSIONS[25].date()) == replace(first, written=0)
    table = pd.read_parquet(client.feature_table)
    revised = (table["symbol"] == LISTED) & (table["session_date"] == SESSIONS[25])
    table.loc[revised, "A"] = np.float32(7.0)
    table.to_parquet(client.feature_table, index=False)
    assert client.materialize_online(SESSIONS[25].date()).written == 1
    assert client.online([LISTED], SESSIONS[25].date())["A"].iloc[0] == 7.0
    client.materialize_online(SESSIONS[9].date())
    assert by_feast(client, [LISTED])[NAMES].isna().all(axis=None)  # not listed yet at that session
    with pytest.raises(LakeError, match=f"{LISTED} has no row"):
        client.online([LISTED], SESSIONS[9].date())
    assert client.online_check(SESSIONS[9].date()).passed


def test_a_row_of_missing_values_only_is_served_as_such(client: FeatureStoreClient):
    client.materialize_online(SESSIONS[20].date())
    online = client.online([LISTED], SESSIONS[20].date())
    assert list(online["missing_count"]) == [3]
    assert online[NAMES].isna().all(axis=None)


def test_rows_of_another_catalogue_with_the_same_names_are_refused(client: FeatureStoreClient, tmp_path: Path):
    session = SESSIONS[25].date()
    client.materialize_online(session)
    newer = FeatureStoreClient(declare(tmp_path / "repo", NAMES, version="v2"), tmp_path / "home")
    for _ in range(2):
        with pytest.raises(LakeError, match=f"{ALWAYS} are of another version of the catalogue: apply"):
            newer.online([ALWAYS], session)
        newer.apply()
    assert newer.materialize_online(session).written == 2
    assert len(newer.online([ALWAYS], session)) == 1


def test_materialising_before_a_newer_repository_is_applied_is_refused(client: FeatureStoreClient, tmp_path: Path):
    newer = FeatureStoreClient(declare(tmp_path / "repo", NAMES, version="v2"), tmp_path / "home")
    with pytest.raises(LakeError, match=r"registry is of another version .*: apply the repository"):
        newer.materialize_online(SESSIONS[25].date())


def test_applying_another_catalogue_removes_the_view_its_source_and_its_rows(
    client: FeatureStoreClient, tmp_path: Path
):
    client.materialize_online(SESSIONS[25].date())
    other = FeatureStoreClient(declare(tmp_path / "repo", NAMES, name="large"), tmp_path / "home")
    other.apply()
    store = other.feast_store
    assert [view.name for view in store.list_feature_views()] == ["large"]
    assert [source.name for source in store.list_data_sources()] == ["large_table"]
    with closing(sqlite3.connect(tmp_path / "home" / "feast" / "online.db")) as connection:
        assert connection.execute("SELECT count(*) FROM ljwx_packed_rows").fetchone() == (0,)


def test_a_feature_that_is_not_float32_is_refused(tmp_path: Path):
    client = FeatureStoreClient(declare(tmp_path / "repo", NAMES, dtype="Float64"), tmp_path / "home")
    with pytest.raises(LakeError, match="declares feature A as Float64: declare every feature as Float32"):
        client.apply()


def test_what_feast_writes_itself_is_read_by_the_line_too(client: FeatureStoreClient):
    start, end = (SESSIONS[number].tz_localize("UTC").to_pydatetime() for number in (24, 27))
    client.feast_store.materialize(start, end)
    session = SESSIONS[26].date()
    online = client.online([ALWAYS, LISTED], session)
    np.testing.assert_array_equal(online[NAMES].to_numpy()[0], expected(ALWAYS, 26))
    assert client.online_check(session).passed
    assert client.materialize_online(session).written == 0  # Feast left what the line would have written


def test_the_check_sees_one_changed_bit_in_feasts_records_and_in_the_packed_rows(client: FeatureStoreClient):
    session = SESSIONS[25].date()
    online = client.feature_table.parent.parent / "feast" / "online.db"
    for change in (
        "UPDATE ljwx_small SET value = x'350000803f' WHERE feature_name = 'B'",
        "UPDATE ljwx_packed_rows SET features = zeroblob(12) WHERE symbol = 'S00003.SIM'",
        "UPDATE ljwx_small SET event_ts = event_ts - 86400",
    ):
        online.unlink()
        client.apply()
        client.materialize_online(session)
        assert client.online_check(session).passed
        with closing(sqlite3.connect(online)) as connection, connection:
            connection.execute(change)
        report = client.online_check(session)
        assert not report.passed, change
        assert report.first_mismatch is not None


KILLED = """
import os, signal, sys
from datetime import date
from pathlib import Path
from ljwx_pipeline.feature_store import FeatureStoreClient, packed
from ljwx_pipeline.feature_store.repository import import_feast

import_feast()
from ljwx_pipeline.feature_store import online_store

def die(*arguments, **options):
    os.kill(os.getpid(), signal.SIGKILL)

moment, repo, home, session = sys.argv[1:]
if moment == "before Feast's records":
    online_store.SqliteOnlineStore.online_write_batch = die
elif moment == "between Feast's records and ours":
    packed.write = die
elif moment == "before the obsolete rows go":
    packed.forget = die
elif moment == "after half of Feast's records":
    left, text_of = [4], sys.modules["feast.infra.online_stores.sqlite"].extract_text_and_num
    def dying(*arguments):
        left[0] -= 1
        return text_of(*arguments) if left[0] else die()
    sys.modules["feast.infra.online_stores.sqlite"].extract_text_and_num = dying
FeatureStoreClient(Path(repo), Path(home)).materialize_online(date.fromisoformat(session))
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    "moment",
    [
        "before Feast's records",
        "after half of Feast's records",
        "between Feast's records and ours",
        "before the obsolete rows go",
    ],
)
def test_a_killed_run_leaves_the_earlier_session_whole_and_the_next_run_does_the_rest(
    client: FeatureStoreClient, tmp_path: Path, moment: str
):
    before, after = SESSIONS[9].date(), SESSIONS[26].date()
    client.materialize_online(before)
    command = [sys.executable, "-c", KILLED, moment, tmp_path / "repo", tmp_path / "home", after.isoformat()]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    killed = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert client.online_check(before).passed
    with pytest.raises(LakeError, match=f"{ALWAYS} are of 2024-03-14 .* not of 2024-04-08"):
        client.online([ALWAYS], after)
    done = client.materialize_online(after)
    assert (done.rows, done.late, done.written) == (2, (SUSPENDED, DELISTED), 2)
    assert client.online_check(after).passed
