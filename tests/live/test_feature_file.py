"""The session's features are read as they were written, or passed over with a reason; nothing damaged is ever used."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from ljwx_pipeline.errors import LiveError
from ljwx_pipeline.live.feature_file import KEPT_SESSIONS, SET_ASIDE, FeatureReading, read_features, write_features
from tests.fakes.live_ticks import BREAKERS

NAMES = ("A", "B", "C")
HASH = "a" * 64
NOW = datetime(2025, 3, 3, 18, tzinfo=UTC)
SESSIONS = [date(2025, 3, day) for day in (3, 4, 5, 6, 7, 10, 11)]


def frame(session: date, symbols: int = 5) -> pd.DataFrame:
    values = np.random.default_rng(session.toordinal()).standard_normal((symbols, len(NAMES))).astype(np.float32)
    values[0, 1] = np.nan
    made = pd.DataFrame(values, columns=list(NAMES))
    made.insert(0, "symbol", [f"S{k:05d}.SIM" for k in range(symbols)])
    return made


def written(folder: Path, session: date, **changes: object) -> Path:
    said = {"session": session, "factor_hash": HASH, "written_at": NOW, **changes}
    return folder / write_features(folder, frame(session), **said).file  # type: ignore[arg-type]


def read(folder: Path, decided: date, factor_hash: str = HASH) -> FeatureReading:
    return read_features(
        folder, decided=decided, sessions=SESSIONS, factor_hash=factor_hash, factors=NAMES, settings=BREAKERS
    )


def test_what_was_written_is_read_to_the_bit(tmp_path: Path) -> None:
    written(tmp_path, SESSIONS[0])
    found = read(tmp_path, SESSIONS[0])
    assert found.features is not None
    expected = frame(SESSIONS[0])
    assert found.features.symbols == tuple(expected["symbol"])
    np.testing.assert_array_equal(found.features.values, expected[list(NAMES)].to_numpy())
    assert (found.features.session, found.features.written_at) == (SESSIONS[0], NOW)
    assert (found.age_sessions, found.fault, found.notes) == (0, None, ())


def test_the_newest_up_to_the_session_decided_on_is_read_and_a_later_one_is_not_known_yet(tmp_path: Path) -> None:
    for session in SESSIONS[:3]:
        written(tmp_path, session)
    found = read(tmp_path, SESSIONS[1])
    assert found.features is not None
    assert found.features.session == SESSIONS[1]
    assert found.notes == ()


def test_features_that_are_too_old_trip_the_breaker_and_say_by_how_much(tmp_path: Path) -> None:
    written(tmp_path, SESSIONS[0])
    fresh, old = read(tmp_path, SESSIONS[1]), read(tmp_path, SESSIONS[3])
    assert (fresh.age_sessions, fresh.fault) == (1, None)
    assert old.age_sessions == 3
    assert old.features is not None
    assert old.fault is not None
    assert (old.fault.value, old.fault.limit) == ("features of 3 sessions before", "1 sessions")


def test_without_a_file_the_breaker_trips(tmp_path: Path) -> None:
    for folder in (tmp_path / "never", tmp_path):
        found = read(folder, SESSIONS[0])
        assert (found.features, found.age_sessions, found.notes) == (None, None, ())
        assert found.fault is not None
        assert "no features up to 2025-03-03" in found.fault.value


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def flipped(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("damage", "reason"),
    [(cut, "is damaged"), (emptied, "is damaged"), (flipped, "is damaged"), (Path.unlink, "is missing")],
)
def test_a_damaged_file_is_set_aside_and_the_last_good_one_is_used_and_that_is_said(
    damage: Callable[[Path], None], reason: str, tmp_path: Path
) -> None:
    written(tmp_path, SESSIONS[0])
    path = written(tmp_path, SESSIONS[1])
    damage(path)
    found = read(tmp_path, SESSIONS[1])
    assert found.features is not None
    assert (found.features.session, found.age_sessions, found.fault) == (SESSIONS[0], 1, None)
    assert reason in found.notes[0]
    assert "set aside" in found.notes[0]
    assert found.notes[1] == "the features of 2025-03-03 are used instead, 1 sessions old"
    aside = {one.name for one in (tmp_path / SET_ASIDE).iterdir()}
    assert {"2025-03-04.json", "2025-03-04.txt"} <= aside
    assert reason in (tmp_path / SET_ASIDE / "2025-03-04.txt").read_text()
    assert read(tmp_path, SESSIONS[1]).notes == (), "it is set aside once"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[1]",
        "null",
        '{"format": 1}',
        "[" * 100_000,
        lambda said: said | {"surprise": 1},
        lambda said: said | {"rows": "5"},
        lambda said: said | {"rows": 6},
        lambda said: said | {"factors": "ABC"},
        lambda said: said | {"session": "2025-03-05"},
        lambda said: said | {"written_at": "2025-03-03T18:00:00"},
        lambda said: said | {"file": "../../secret"},
        lambda said: said | {"sha256": "0" * 64},
    ],
)
def test_a_manifest_that_is_none_or_lies_is_set_aside(text: object, tmp_path: Path) -> None:
    written(tmp_path, SESSIONS[0])
    written(tmp_path, SESSIONS[1])
    path = tmp_path / "2025-03-04.json"
    path.write_text(json.dumps(text(json.loads(path.read_text()))) if callable(text) else str(text))
    found = read(tmp_path, SESSIONS[1])
    assert found.features is not None
    assert found.features.session == SESSIONS[0]
    assert "set aside" in found.notes[0]
    assert not path.exists()


@examples(max_examples=60, deadline=None)
@given(data=st.data())
def test_no_damage_is_ever_read_as_features(data: st.DataObject, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("damage")
    paths = [written(folder, SESSIONS[0]), folder / "2025-03-03.json"]
    path = data.draw(st.sampled_from(paths))
    content = bytearray(path.read_bytes())
    place = data.draw(st.integers(0, len(content) - 1))
    if data.draw(st.booleans()):
        content[place] ^= data.draw(st.integers(1, 255))
    else:
        del content[place:]
    path.write_bytes(content)
    found = read(folder, SESSIONS[0]).features
    # a manifest's bytes may change without its meaning (blanks), or in its date of writing, which nothing depends on
    if found is not None:
        assert path.suffix == ".json"
        np.testing.assert_array_equal(found.values, frame(SESSIONS[0])[list(NAMES)].to_numpy())
        assert found.session == SESSIONS[0]


def test_features_of_another_catalogue_are_passed_over_and_stay_for_the_release_that_reads_them(tmp_path: Path) -> None:
    written(tmp_path, SESSIONS[0])
    path = written(tmp_path, SESSIONS[1], factor_hash="b" * 64)
    found = read(tmp_path, SESSIONS[1])
    assert found.features is not None
    assert found.features.session == SESSIONS[0]
    assert "is of factors bbbbbbbbbbbb, the runner's are aaaaaaaaaaaa: passed over" in found.notes[0]
    assert path.exists()
    other = read(tmp_path, SESSIONS[1], factor_hash="b" * 64)
    assert other.features is not None
    assert other.features.session == SESSIONS[1]


def test_a_newer_format_is_passed_over_and_stays(tmp_path: Path) -> None:
    written(tmp_path, SESSIONS[0])
    path = tmp_path / "2025-03-03.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"format": 2}))
    found = read(tmp_path, SESSIONS[0])
    assert found.features is None
    assert "is of format 2" in found.notes[0]
    assert path.exists()


def test_a_file_that_no_manifest_names_is_never_read(tmp_path: Path) -> None:
    path = written(tmp_path, SESSIONS[0])
    (tmp_path / "2025-03-03.json").unlink()
    (tmp_path / "notes.json").write_text("{}")
    assert read(tmp_path, SESSIONS[0]).features is None
    assert path.exists()


def test_a_writer_killed_before_its_manifest_leaves_the_session_before(tmp_path: Path) -> None:
    written(tmp_path, SESSIONS[0])
    code = (
        "import os, signal\n"
        "from pathlib import Path\n"
        "from ljwx_pipeline.live import feature_file\n"
        "from tests.live.test_feature_file import written, SESSIONS\n"
        "def die(path, data): os.kill(os.getpid(), signal.SIGKILL)\n"
        "feature_file.write_bytes = die\n"
        f"written(Path({str(tmp_path)!r}), SESSIONS[1])\n"
    )
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, check=False)
    assert done.returncode == -9
    assert len(list(tmp_path.glob("2025-03-04-*.arrow"))) == 1
    found = read(tmp_path, SESSIONS[1])
    assert found.features is not None
    assert (found.features.session, found.notes) == (SESSIONS[0], ())
    written(tmp_path, SESSIONS[2])
    assert list(tmp_path.glob("2025-03-04-*")) == [], "the next writer clears up"


def test_writing_a_session_again_leaves_one_file_of_it(tmp_path: Path) -> None:
    written(tmp_path, SESSIONS[0])
    write_features(tmp_path, frame(SESSIONS[1]), session=SESSIONS[0], factor_hash=HASH, written_at=NOW)
    assert len(list(tmp_path.glob("*.arrow"))) == 1
    found = read(tmp_path, SESSIONS[0])
    assert found.features is not None
    np.testing.assert_array_equal(found.features.values, frame(SESSIONS[1])[list(NAMES)].to_numpy())


def test_the_newest_sessions_are_kept(tmp_path: Path) -> None:
    for session in SESSIONS:
        written(tmp_path, session)
    kept = sorted(path.stem for path in tmp_path.glob("*.json"))
    assert kept == [session.isoformat() for session in SESSIONS[-KEPT_SESSIONS:]]
    assert len(list(tmp_path.glob("*.arrow"))) == KEPT_SESSIONS


@pytest.mark.parametrize(
    "change",
    [
        lambda made: made[:0],
        lambda made: made.assign(symbol="twice"),
        lambda made: made.assign(A=made["A"].astype(np.float64)),
        lambda made: made[["symbol"]],
    ],
)
def test_what_is_no_feature_table_is_not_written(change: Callable, tmp_path: Path) -> None:
    with pytest.raises(LiveError, match="one row a symbol, float32"):
        write_features(
            tmp_path / "features", change(frame(SESSIONS[0])), session=SESSIONS[0], factor_hash=HASH, written_at=NOW
        )
    assert not (tmp_path / "features").exists()


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser writes where nobody may")
def test_a_folder_where_nothing_can_be_set_aside_is_an_error_that_says_so(tmp_path: Path) -> None:
    flipped(written(tmp_path, SESSIONS[0]))
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(LiveError, match=r"cannot be used .* and not be moved away"):
            read(tmp_path, SESSIONS[0])
    finally:
        tmp_path.chmod(0o700)
