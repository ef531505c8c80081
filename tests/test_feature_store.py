"""The Feast client over a repository of four features and a table of a few hundred rows."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ljwx_pipeline.errors import LakeError
from ljwx_pipeline.feature_store import FeatureStoreClient
from ljwx_pipeline.feature_table import feast_table
from tests.fakes.feast_repository import declare

ROOT = Path(__file__).resolve().parent.parent
NAMES = ["A", "B", "C", "D"]
SESSIONS = pd.bdate_range("2024-03-01", periods=60)
SYMBOLS = ["S00001.SIM", "S00002.SIM", "S00003.SIM"]


def features() -> pd.DataFrame:
    """Three symbols; the second is suspended from session 10 to 35, the third is missing values."""
    rng = np.random.default_rng(3)
    frame = pd.MultiIndex.from_product([SESSIONS, SYMBOLS], names=["session_date", "symbol"]).to_frame(index=False)
    for name in NAMES:
        frame[name] = rng.standard_normal(len(frame)).astype(np.float32)
    frame.loc[frame["symbol"] == SYMBOLS[2], "C"] = np.float32(np.nan)
    suspended = (frame["symbol"] == SYMBOLS[1]) & frame["session_date"].between(SESSIONS[10], SESSIONS[35])
    return frame.loc[~suspended, ["symbol", "session_date", *NAMES]].reset_index(drop=True)


@pytest.fixture
def client(tmp_path: Path) -> FeatureStoreClient:
    client = FeatureStoreClient(declare(tmp_path / "repo", NAMES), tmp_path / "home")
    client.feature_table.parent.mkdir(parents=True)
    feast_table(features()).to_parquet(client.feature_table, index=False)
    return client


def test_importing_feast_leaves_environment_and_metrics_of_the_process_alone(tmp_path: Path):
    code = (
        "import os, warnings\n"
        "from ljwx_pipeline.feature_store import repository\n"
        "before, filters = dict(os.environ), list(warnings.filters)\n"
        "repository.import_feast()\n"
        "from prometheus_client import values\n"
        "assert dict(os.environ) == before, set(os.environ) ^ set(before)\n"
        "assert warnings.filters == filters\n"
        "assert values.ValueClass.__name__ == 'MutexValue'\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_feasts_classes_are_imported_as_they_are_written_and_others_may_be_type_checked():
    code = (
        "import typeguard\n"
        "from ljwx_pipeline.feature_store import repository\n"
        "before = typeguard.typechecked\n"
        "names = repository.import_feast().FeatureView.__init__.__code__.co_names\n"
        "assert not [name for name in names if 'typeguard' in name or name.startswith('check_')], names\n"
        "assert typeguard.typechecked is before\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_apply_declares_the_service_and_can_be_repeated(client: FeatureStoreClient, tmp_path: Path):
    first = client.apply()
    assert first == client.apply()
    assert first.project == "ljwx"
    assert first.feature_service == "small_v1"
    assert first.features == tuple(NAMES)
    assert sorted(p.name for p in (tmp_path / "home" / "feast").iterdir()) == ["online.db", "registry.db"]


def test_apply_replaces_the_service_of_an_earlier_catalogue(client: FeatureStoreClient, tmp_path: Path):
    client.apply()
    client.materialize_online(SESSIONS[-1].date())
    newer = FeatureStoreClient(declare(tmp_path / "repo", ["A", "B", "C"], version="v2"), tmp_path / "home")
    with pytest.raises(LakeError, match="another version"):
        newer.online(SYMBOLS, SESSIONS[-1].date())
    newer.apply()
    assert [s.name for s in newer.feast_store.list_feature_services()] == ["small_v2"]
    newer.materialize_online(SESSIONS[-1].date())
    assert "D" not in newer.online(SYMBOLS, SESSIONS[-1].date()).columns


def test_online_gives_the_sessions_bits_back_and_counts_what_is_missing(client: FeatureStoreClient):
    client.apply()
    session = SESSIONS[-1].date()
    written = client.materialize_online(session)
    assert (written.rows, written.missing_values, written.written) == (3, 1, 3)
    assert client.materialize_online(session) == replace(written, written=0)
    asked = [SYMBOLS[2], SYMBOLS[0]]
    online = client.online(asked, session)
    want = features().query("session_date == @session").set_index("symbol").loc[asked, NAMES].to_numpy()
    got = online[NAMES].to_numpy()
    assert got.dtype == np.float32
    assert list(online["symbol"]) == asked
    assert list(online["missing_count"]) == [1, 0]
    assert np.isnan(got[0, 2])
    present = ~np.isnan(want)
    np.testing.assert_array_equal(got[present].view(np.uint32), want[present].view(np.uint32))


def test_online_refuses_a_symbol_without_a_row_and_a_row_of_another_session(client: FeatureStoreClient):
    client.apply()
    client.materialize_online(SESSIONS[20].date())
    with pytest.raises(LakeError, match=r"S00002.SIM has no row in the online store"):
        client.online(SYMBOLS, SESSIONS[20].date())
    with pytest.raises(LakeError, match=r"S00001.SIM are of 2024-03-29 .* not of 2024-04-01"):
        client.online(SYMBOLS[:1], SESSIONS[21].date())


def test_point_in_time_answers_equal_the_table_bit_for_bit(client: FeatureStoreClient):
    client.apply()
    report = client.point_in_time_check(rows=10_000, seed=1)
    assert report.passed
    assert report.max_abs_diff == 0.0
    assert (report.rows, report.columns) == (len(features()), 4)
    assert report.unanswered_rows > 0  # before the first row, and in the suspension beyond the time to live


def test_point_in_time_check_sees_one_changed_bit_and_a_row_known_too_early(
    client: FeatureStoreClient, monkeypatch: pytest.MonkeyPatch
):
    client.apply()
    historical = type(client.feast_store).get_historical_features

    class Tampered:
        def __init__(self, job: object, change) -> None:
            self._job, self._change = job, change

        def to_df(self) -> pd.DataFrame:
            return self._change(self._job.to_df())

    def one_bit(answer: pd.DataFrame) -> pd.DataFrame:
        at = answer.index[answer["B"].notna()][0]
        answer.loc[at, "B"] = np.nextafter(np.float32(answer.loc[at, "B"]), np.float32(np.inf))
        return answer

    def zero_for_missing(answer: pd.DataFrame) -> pd.DataFrame:
        return answer.fillna(0.0)

    for change, least in ((one_bit, 1), (zero_for_missing, 2)):
        monkeypatch.setattr(
            type(client.feast_store),
            "get_historical_features",
            lambda self, change=change, **asked: Tampered(historical(self, **asked), change),
        )
        report = client.point_in_time_check(rows=90, seed=1)
        assert not report.passed
        assert report.mismatches >= least
        assert report.first_mismatch is not None
        assert report.first_mismatch.split()[-1] in NAMES


def test_a_row_seen_one_microsecond_before_its_close_is_a_mismatch(
    client: FeatureStoreClient, monkeypatch: pytest.MonkeyPatch
):
    client.apply()
    historical = type(client.feast_store).get_historical_features

    def too_early(self, *, entity_df: pd.DataFrame, features: object) -> object:
        seen = entity_df.assign(event_timestamp=entity_df["event_timestamp"] + pd.Timedelta(microseconds=1))
        return historical(self, entity_df=seen, features=features)

    monkeypatch.setattr(type(client.feast_store), "get_historical_features", too_early)
    report = client.point_in_time_check(rows=120, seed=2)
    assert report.mismatches >= 120 // 3 * 3  # each third row, in at least three features of four
    assert report.max_abs_diff > 0


def test_the_newest_of_two_computed_rows_answers(client: FeatureStoreClient):
    client.apply()
    table = pd.read_parquet(client.feature_table)
    again = table.tail(30).assign(A=np.float32(9.0))
    again["created_timestamp"] += pd.Timedelta(days=1)
    pd.concat([table, again]).to_parquet(client.feature_table, index=False)
    assert client.point_in_time_check(rows=10_000, seed=1).passed


@pytest.mark.parametrize("missing", ["apply", "table"])
def test_what_was_not_made_yet_is_named_with_its_remedy(tmp_path: Path, missing: str):
    client = FeatureStoreClient(declare(tmp_path / "repo", NAMES), tmp_path / "home")
    if missing == "apply":
        with pytest.raises(LakeError, match=r"registry.db does not exist: run `feast apply`"):
            client.online(SYMBOLS, SESSIONS[-1].date())
    else:
        client.apply()
        with pytest.raises(LakeError, match=r"small.parquet does not exist"):
            client.materialize_online(SESSIONS[-1].date())
        with pytest.raises(LakeError, match=r"small.parquet does not exist"):
            client.point_in_time_check(rows=1, seed=0)


def test_a_session_without_rows_or_without_values_is_refused(client: FeatureStoreClient):
    client.apply()
    with pytest.raises(LakeError, match="no row of session 2024-03-02"):
        client.materialize_online(date(2024, 3, 2))
    empty = features().assign(**dict.fromkeys(NAMES, np.float32(np.nan)))
    feast_table(empty).to_parquet(client.feature_table, index=False)
    with pytest.raises(LakeError, match="every feature of session"):
        client.materialize_online(SESSIONS[-1].date())


def test_a_damaged_registry_is_an_error_with_a_remedy_and_stays_as_it_was(client: FeatureStoreClient, tmp_path: Path):
    client.apply()
    registry = tmp_path / "home" / "feast" / "registry.db"
    registry.write_bytes(registry.read_bytes()[: registry.stat().st_size // 2])
    damaged = registry.read_bytes()
    again = FeatureStoreClient(tmp_path / "repo", tmp_path / "home")
    with pytest.raises(LakeError, match=r"registry .* is damaged .*: delete the file and apply again"):
        again.apply()
    with pytest.raises(LakeError, match=r"registry .* is damaged"):
        again.online(SYMBOLS, SESSIONS[-1].date())
    assert registry.read_bytes() == damaged
    assert [p.name for p in registry.parent.iterdir() if p.name.startswith(".")] == []
    registry.unlink()
    assert again.apply().feature_service == "small_v1"


def test_a_damaged_online_store_is_an_error_with_a_remedy(client: FeatureStoreClient, tmp_path: Path):
    client.apply()
    (tmp_path / "home" / "feast" / "online.db").write_bytes(b"not a database" * 100)
    again = FeatureStoreClient(tmp_path / "repo", tmp_path / "home")
    with pytest.raises(LakeError, match=r"online store .* cannot be used"):
        again.materialize_online(SESSIONS[-1].date())


def test_a_folder_that_is_no_feast_repository_is_named(tmp_path: Path):
    with pytest.raises(LakeError, match=r"holds no feature_store.yaml"):
        FeatureStoreClient(tmp_path, tmp_path / "home").apply()
    two = declare(tmp_path / "repo", NAMES)
    with (two / "definitions.py").open("a") as file:
        file.write("other = FeatureService(name='other', features=[view])\n")
    with pytest.raises(LakeError, match="1 feature views and 2 feature services"):
        FeatureStoreClient(two, tmp_path / "home").apply()


def test_applying_leaves_the_environment_alone(client: FeatureStoreClient, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("LJWX_MARKET_HOME", "/elsewhere")
    client.apply()
    assert os.environ["LJWX_MARKET_HOME"] == "/elsewhere"
