"""The lake against a plain dictionary: whatever is done to it, in whatever order, both give the same answers."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ljwx_pipeline.errors import LakeError
from ljwx_pipeline.lake import Catalogue, Lake
from ljwx_pipeline.lake.compaction import compact
from ljwx_pipeline.lake.retention import retain

START = datetime(2024, 1, 1, tzinfo=UTC)
DAYS = pd.date_range("2024-01-01", periods=4)
State = dict[tuple[int, int], float]  # (day, symbol) -> close


@dataclass
class Model:
    """What the lake must say: of each partition every state and the hour it became known."""

    histories: dict[str, list[tuple[int, State]]] = field(default_factory=dict)
    pins: dict[str, int] = field(default_factory=dict)  # dataset -> hour
    cleared_before: int = -1  # answers of earlier hours may have been removed

    def state(self, partition: str, hour: int) -> State | None:
        known = [state for at, state in self.histories.get(partition, []) if at <= hour]
        return known[-1] if known else None

    def rows(self, hour: int) -> State | None:
        known = [state for name in self.histories if (state := self.state(name, hour)) is not None]
        return {key: value for state in known for key, value in state.items()} if known else None


def frame(state: State) -> pd.DataFrame:
    """Return the state as rows, in the order of their keys."""
    keys = sorted(state)
    return pd.DataFrame(
        {
            "symbol": pd.Series([f"S{symbol}.SIM" for _, symbol in keys], dtype=object),
            "session_date": pd.to_datetime([DAYS[day] for day, _ in keys]).astype("datetime64[ns]"),
            "close_cny": pd.Series([state[key] for key in keys], dtype=float),
        }
    )


# a partition holds its own symbols, as months hold their own sessions
KEYS = {"a": [(day, symbol) for day in range(4) for symbol in (0, 1)], "b": [(day, 2) for day in range(4)]}
VALUES = st.sampled_from([1.0, 2.0, float("nan")])


def changes() -> st.SearchStrategy[tuple[str, str, State]]:
    return st.sampled_from("ab").flatmap(
        lambda name: st.tuples(
            st.sampled_from(["write", "append", "revise"]),
            st.just(name),
            st.dictionaries(st.sampled_from(KEYS[name]), VALUES, max_size=4),
        )
    )


upkeep = st.sampled_from([("compact", "a"), ("compact", "b"), ("retain", 0), ("retain", 3), ("pin", "")])
operations = st.lists(st.one_of(changes(), upkeep), min_size=1, max_size=14)


def same(one: State, other: State) -> bool:
    return frame(one).equals(frame(other))


@given(steps=operations)
@settings(max_examples=60, deadline=None)
def test_the_lake_answers_as_a_dictionary_would(
    steps: list[tuple[object, ...]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    lake = Lake(tmp_path_factory.mktemp("lake"))
    catalogue, model = Catalogue(lake), Model()
    for hour, step in enumerate(steps):
        now = START + timedelta(hours=hour)
        if step[0] in ("write", "append", "revise"):
            _change(lake, model, hour, *step)  # type: ignore[arg-type]
        elif step[0] == "compact" and step[1] in model.histories:
            compact(lake, "bars", str(step[1]))
        elif step[0] == "retain":
            for path in lake.root.rglob("*.parquet"):
                os.utime(path, (now.timestamp() - 7200,) * 2)
            retain(lake, keep_days=int(str(step[1])) / 24, dry_run=False, now=now)
            model.cleared_before = max(model.cleared_before, hour - int(str(step[1])))
        elif step[0] == "pin" and model.histories:
            catalogue.create(f"d{hour}", ["bars"], as_of=now)
            model.pins[f"d{hour}"] = hour
        _agree(lake, catalogue, model, hour)


def _change(lake: Lake, model: Model, hour: int, operation: str, partition: str, rows: State) -> None:
    before = model.state(partition, hour)
    known_at = START + timedelta(hours=hour)
    after = rows if before is None or operation == "write" else before | rows
    overlap = {} if before is None else {key: before[key] for key in rows if key in before}
    call = getattr(lake, operation)
    if operation == "append" and overlap and not same(overlap, rows):
        with pytest.raises(LakeError, match="keys already"):
            call("bars", frame(rows), partition=partition, known_at=known_at)
        return
    call("bars", frame(rows), partition=partition, known_at=known_at)
    if before is None or not same(before, after):
        model.histories.setdefault(partition, []).append((hour, after))


def _answer(lake: Lake, hour: int) -> pd.DataFrame | str:
    try:
        return lake.read("bars", as_of=START + timedelta(hours=hour))
    except LakeError as error:
        return error.fact


def _agree(lake: Lake, catalogue: Catalogue, model: Model, now: int) -> None:
    for hour in range(now + 1):
        expected, answer = model.rows(hour), _answer(lake, hour)
        if isinstance(answer, str):
            gone = "retention removed" in answer and hour < model.cleared_before
            assert expected is None or gone, answer
        else:
            assert expected is not None
            pd.testing.assert_frame_equal(answer, frame(expected))
    for name, hour in model.pins.items():
        expected = model.rows(hour)
        assert expected is not None
        pd.testing.assert_frame_equal(catalogue.read(name, "bars"), frame(expected))
    for partition, history in model.histories.items():
        newest = next(version for version in lake.current("bars") if version.partition == partition)
        assert (newest.version, newest.rows) == (len(history), len(history[-1][1]))
