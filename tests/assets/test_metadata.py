from __future__ import annotations

import base64
from pathlib import Path

import pandas as pd
import pytest

from assets.metadata import embedded, frame_metadata, preview, report_links, report_url
from assets.resources import Line


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


@pytest.fixture
def line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Line:
    monkeypatch.setenv("LJWX_HOME", str(tmp_path))
    return Line()


@pytest.mark.parametrize(
    ("host", "origin"),
    [("127.0.0.1", "127.0.0.1"), ("::1", "[::1]"), ("0.0.0.0", "127.0.0.1"), ("runner", "127.0.0.1")],
)
def test_a_report_is_linked_over_http_as_a_browser_reaches_it_and_named_as_a_file(
    line: Line, monkeypatch: pytest.MonkeyPatch, host: str, origin: str
) -> None:
    monkeypatch.setenv("LJWX_UI__HOST", host)
    path = line.home / "report" / "a b.html"
    found = report_links(line, "report", path)
    assert found["report"].value == f"http://{origin}:{line.settings.ui.console_port}/reports/report/a%20b.html"
    assert found["report_path"].value == str(path)


def test_a_page_that_no_console_serves_is_not_linked(line: Line) -> None:
    with pytest.raises(ValueError, match="in no folder that the console serves"):
        report_url(line, line.home / "keys" / "signing.key")
