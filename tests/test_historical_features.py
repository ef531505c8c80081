"""``FeatureStoreClient.historical`` against Feast's own ``get_historical_features``, bit for bit."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ljwx_pipeline.errors import LakeError
from ljwx_pipeline.feature_store import FeatureStoreClient
from tests.fakes.feast_repository import declare

NAMES = ["A", "B"]
SYMBOLS = ["S00001.SIM", "S00002.SIM", "600519.SH"]
TTL = pd.Timedelta(days=14)
CLOSE = pd.Timestamp("2024-03-01 07:00", tz="UTC")
MICROSECOND = pd.Timedelta(microseconds=1)


def applied(folder: Path, time_to_live: timedelta) -> FeatureStoreClient:
    """Return a client over an applied repository of two features, its table's folder made."""
    declare(folder / "repo", ["A", "B"], time_to_live=time_to_live)
    client = FeatureStoreClient(folder / "repo", folder / "home")
    client.feature_table.parent.mkdir(parents=True)
    write(client, [(SYMBOLS[0], CLOSE, CLOSE, 1.0, 2.0)])
    client.apply()
    return client


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> FeatureStoreClient:
    return applied(tmp_path_factory.mktemp("fortnight"), timedelta(days=14))


@pytest.fixture(scope="module")
def unlimited(tmp_path_factory: pytest.TempPathFactory) -> FeatureStoreClient:
    return applied(tmp_path_factory.mktemp("unlimited"), timedelta(0))


def write(client: FeatureStoreClient, rows: list[tuple], *, row_group_size: int = 3) -> None:
    """Write the feature table: rows of (symbol, event, created, A, B), several row groups."""
    symbols, events, created, a, b = zip(*rows, strict=True)
    instants = pa.timestamp("us", tz="UTC")
    table = pa.table(
        {
            "symbol": pa.array(symbols, pa.string()),
            "event_timestamp": pa.array(events, instants),
            "created_timestamp": pa.array([None if pd.isna(c) else c for c in created], instants),
            "A": pa.array(a, pa.float32(), from_pandas=True),
            "B": pa.array(b, pa.float32()),
        }
    )
    pq.write_table(table, client.feature_table, row_group_size=row_group_size)


def ask(asked: list[tuple[str | None, pd.Timestamp]], *, zone: str = "UTC", unit: str = "us") -> pd.DataFrame:
    instants = pd.Series([instant for _, instant in asked], dtype=f"datetime64[{unit}, UTC]")
    frame = pd.DataFrame({"symbol": [symbol for symbol, _ in asked], "event_timestamp": instants})
    frame["event_timestamp"] = frame["event_timestamp"].dt.tz_convert(zone)
    return frame.assign(question=np.arange(len(frame)))


def assert_equals_feast(client: FeatureStoreClient, questions: pd.DataFrame) -> pd.DataFrame:
    """Return our answer after comparing each bit with Feast's; two missing values agree."""
    ours = client.historical(questions)
    service = client.feast_store.get_feature_service(client.feature_service)
    job = client.feast_store.get_historical_features(entity_df=questions.copy(), features=service)
    feast = job.to_df().set_index("question").loc[questions["question"]]
    for name in NAMES:
        got, want = ours[name].to_numpy(), feast[name].to_numpy(dtype=np.float32)
        assert got.dtype == np.float32
        np.testing.assert_array_equal(np.isnan(got), np.isnan(want))
        present = ~np.isnan(got)
        np.testing.assert_array_equal(got[present].view(np.uint32), want[present].view(np.uint32))
    np.testing.assert_array_equal(ours["missing_count"], ours[NAMES].isna().sum(axis=1))
    pd.testing.assert_frame_equal(ours[list(questions.columns)], questions)
    return ours


#: Few instants, so that rows often stand on each other's and on the ends of each other's validity.
events = st.builds(
    lambda days, microseconds: CLOSE + pd.Timedelta(days=days) + microseconds * MICROSECOND,
    st.sampled_from([0, 1, 14]),
    st.integers(0, 1),
)
values = st.one_of(st.just(float("nan")), st.floats(width=32, allow_nan=False))
rows = st.builds(
    lambda symbol, event, delay, a, b: (symbol, event, None if delay is None else event + delay, a, b),
    st.sampled_from(SYMBOLS[:2]),
    events,
    st.sampled_from([None, pd.Timedelta(hours=-1), pd.Timedelta(0), pd.Timedelta(hours=2)]),
    values,
    values,
)
instants = st.builds(
    lambda event, offset, microseconds: event + offset + microseconds * MICROSECOND,
    events,
    st.sampled_from([pd.Timedelta(0), TTL, -TTL, pd.Timedelta(hours=5), pd.Timedelta(days=40)]),
    st.integers(-1, 1),
)
#: Each instant is asked about every symbol of the table, one it does not hold, and a missing one.
EVERYBODY = [*SYMBOLS[:2], "S99999.SIM", None]


@settings(max_examples=50, deadline=None)
@given(
    table=st.lists(rows, min_size=4, max_size=25, unique_by=lambda row: row[:3]),
    asked=st.lists(instants, min_size=8, max_size=30),
    zone=st.sampled_from(["UTC", "Asia/Shanghai", "America/New_York"]),
    unit=st.sampled_from(["us", "ns"]),
    limited=st.booleans(),
)
def test_any_table_and_any_questions_give_feasts_bits(
    client: FeatureStoreClient,
    unlimited: FeatureStoreClient,
    table: list[tuple],
    asked: list[pd.Timestamp],
    zone: str,
    unit: str,
    limited: bool,
):
    chosen = client if limited else unlimited
    write(chosen, table)
    questions = [(symbol, instant) for instant in asked for symbol in EVERYBODY]
    # each second question twice: Feast answers duplicates too
    assert_equals_feast(chosen, ask([*questions, *questions[::2]], zone=zone, unit=unit))


def test_a_row_holds_from_its_instant_to_its_time_to_live_both_included(client: FeatureStoreClient):
    write(client, [(SYMBOLS[0], CLOSE, CLOSE, 1.0, 2.0)])
    at = [CLOSE - MICROSECOND, CLOSE, CLOSE + TTL, CLOSE + TTL + MICROSECOND]
    answer = assert_equals_feast(client, ask([(SYMBOLS[0], instant) for instant in at]))
    np.testing.assert_array_equal(answer["A"], np.float32([np.nan, 1.0, 1.0, np.nan]))
    assert list(answer["missing_count"]) == [2, 0, 0, 2]


def test_an_instant_finer_than_a_microsecond_does_not_see_a_row_too_early(client: FeatureStoreClient):
    write(client, [(SYMBOLS[0], CLOSE, CLOSE, 1.0, 2.0)])
    nanosecond = pd.Timedelta(1, unit="ns")
    border = CLOSE.as_unit("ns")
    questions = ask([(SYMBOLS[0], border - nanosecond), (SYMBOLS[0], border + nanosecond)], unit="ns")
    # Feast itself stops: "Casting from timestamp[ns] to timestamp[us, tz=UTC] would lose data"
    np.testing.assert_array_equal(client.historical(questions)["A"], np.float32([np.nan, 1.0]))


def test_a_missing_value_in_the_valid_row_is_not_filled_from_an_earlier_one(client: FeatureStoreClient):
    day = pd.Timedelta(days=1)
    write(client, [(SYMBOLS[0], CLOSE, CLOSE, 1.0, 2.0), (SYMBOLS[0], CLOSE + day, CLOSE + day, np.nan, 4.0)])
    answer = assert_equals_feast(client, ask([(SYMBOLS[0], CLOSE + day)]))
    assert np.isnan(answer["A"].iloc[0])
    assert (answer["B"].iloc[0], answer["missing_count"].iloc[0]) == (4.0, 1)


def test_of_two_rows_with_one_instant_the_later_created_answers_even_if_created_after_the_question(
    client: FeatureStoreClient,
):
    later = CLOSE + pd.Timedelta(days=30)
    write(client, [(SYMBOLS[0], CLOSE, later, 9.0, 9.0), (SYMBOLS[0], CLOSE, CLOSE, 1.0, 2.0)])
    assert assert_equals_feast(client, ask([(SYMBOLS[0], CLOSE)]))["A"].iloc[0] == 9.0


def test_of_two_rows_with_one_instant_and_one_creation_the_later_in_the_table_answers(client: FeatureStoreClient):
    write(client, [(SYMBOLS[0], CLOSE, CLOSE, number, number) for number in range(40)])
    assert client.historical(ask([(SYMBOLS[0], CLOSE)]))["A"].iloc[0] == 39.0


def test_an_unknown_or_missing_symbol_has_no_features_and_an_extra_column_and_the_index_stay(
    client: FeatureStoreClient,
):
    write(client, [(SYMBOLS[0], CLOSE, CLOSE, 0.0, 2.0)])
    questions = ask([("S99999.SIM", CLOSE), (None, CLOSE), (SYMBOLS[0], CLOSE)]).set_index(pd.Index([7, 3, 7]))
    questions["weight"] = [0.5, 0.25, 0.125]
    answer = client.historical(questions)
    assert list(answer.columns) == ["symbol", "event_timestamp", "question", "weight", "missing_count", *NAMES]
    assert list(answer.index) == [7, 3, 7]
    assert list(answer["weight"]) == [0.5, 0.25, 0.125]
    assert list(answer["missing_count"]) == [2, 2, 0]
    np.testing.assert_array_equal(answer["A"], np.float32([np.nan, np.nan, 0.0]))


def test_symbols_may_be_categories_and_no_question_gives_no_row(client: FeatureStoreClient):
    write(client, [(symbol, CLOSE, CLOSE, 1.0, 2.0) for symbol in SYMBOLS[:2]])
    questions = ask([(symbol, CLOSE) for symbol in (SYMBOLS[1], SYMBOLS[2], SYMBOLS[0])])
    questions["symbol"] = questions["symbol"].astype("category")
    assert list(client.historical(questions)["missing_count"]) == [0, 2, 0]
    nothing = client.historical(questions.head(0))
    assert (len(nothing), list(nothing.columns)[-2:]) == (0, NAMES)


def test_the_questions_are_left_as_they_were(client: FeatureStoreClient):
    write(client, [(SYMBOLS[0], CLOSE, CLOSE, 1.0, 2.0)])
    questions = ask([(SYMBOLS[0], CLOSE)])
    before = questions.copy()
    answer = client.historical(questions)
    answer.loc[0, "question"] = 99
    pd.testing.assert_frame_equal(questions, before)


@pytest.mark.parametrize(
    ("change", "fact"),
    [
        (lambda q: q.drop(columns="symbol"), "lack column symbol"),
        (lambda q: q.assign(event_timestamp=q["event_timestamp"].dt.tz_localize(None)), r"datetime64\[us\], not"),
        (lambda q: q.assign(event_timestamp=["2024-03-01 07:00"]), "object, not an instant with a time zone"),
        (lambda q: q.assign(event_timestamp=pd.Series([pd.NaT], dtype="datetime64[us, UTC]")), "1 questions have no"),
        (lambda q: q.assign(A=1.0), "have a column A, as the answer does"),
        (lambda q: pd.concat([q, q[["symbol"]]], axis=1), "have column symbol twice"),
        (lambda q: q.assign(missing_count=0), "have a column missing_count"),
    ],
)
def test_a_question_that_cannot_be_answered_is_refused(client: FeatureStoreClient, change, fact: str):
    with pytest.raises(LakeError, match=fact):
        client.historical(change(ask([(SYMBOLS[0], CLOSE)])))


def test_a_table_without_a_feature_or_of_another_type_or_without_an_instant_is_refused(client: FeatureStoreClient):
    write(client, [(SYMBOLS[0], CLOSE, CLOSE, 1.0, 2.0)])
    good = pq.read_table(client.feature_table)
    wide = good.set_column(good.column_names.index("B"), "B", good["B"].cast(pa.float64()))
    undated = good.set_column(1, "event_timestamp", pa.array([None], pa.timestamp("us", tz="UTC")))
    for table, fact in [
        (good.drop_columns(["B"]), "lacks column B"),
        (wide, "column B .* is double, not float32"),
        (undated, "1 rows .* have no event_timestamp"),
    ]:
        pq.write_table(table, client.feature_table)
        with pytest.raises(LakeError, match=fact):
            client.historical(ask([(SYMBOLS[0], CLOSE)]))


def test_a_table_without_rows_answers_that_everything_is_missing(client: FeatureStoreClient):
    write(client, [(SYMBOLS[0], CLOSE, CLOSE, 1.0, 2.0)])
    pq.write_table(pq.read_table(client.feature_table).slice(0, 0), client.feature_table)
    assert list(client.historical(ask([(SYMBOLS[0], CLOSE)]))["missing_count"]) == [2]
