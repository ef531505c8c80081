from __future__ import annotations

import base64
from pathlib import Path

import pandas as pd

from assets.metadata import embedded, frame_metadata, preview


def test_a_preview_shows_the_last_rows_as_markdown() -> None:
    frame = pd.DataFrame({"symbol": list("abcdefg"), "value": [0.123456789] * 7, "day": pd.Timestamp("2024-01-02")})
    lines = preview(frame).splitlines()
    assert lines[0] == "| symbol | value | day |"
    assert len(lines) == 2 + 5
    assert lines[-1] == "| g | 0.123457 | 2024-01-02 |"


def test_a_table_tells_rows_span_and_symbols() -> None:
    frame = pd.DataFrame({"symbol": ["a", "b"], "session_date": pd.to_datetime(["2024-01-02", "2024-01-03"])})
    found = frame_metadata(frame)
    assert found["dagster/row_count"] == 2
    assert (found["first_session"], found["last_session"], found["symbols"]) == ("2024-01-02", "2024-01-03", 2)


def test_an_empty_table_has_no_span() -> None:
    found = frame_metadata(pd.DataFrame({"symbol": [], "session_date": pd.to_datetime([])}))
    assert found["dagster/row_count"] == 0
    assert "first_session" not in found


def test_a_picture_travels_inside_the_metadata(tmp_path: Path) -> None:
    image = tmp_path / "shap_bar.png"
    image.write_bytes(b"\x89PNG")
    encoded = base64.b64encode(image.read_bytes()).decode()
    assert embedded(image) == f"![shap_bar](data:image/png;base64,{encoded})"
