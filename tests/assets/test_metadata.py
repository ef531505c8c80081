from __future__ import annotations

import base64
from pathlib import Path
from urllib.parse import unquote
from xml.etree import ElementTree as ET

import numpy as np
import pandas as pd
import pytest
from matplotlib.image import imsave

from assets.metadata import column_metadata, embedded, frame_metadata, preview, report_links, report_url
from assets.resources import Line


def test_a_preview_shows_the_last_rows_as_a_table() -> None:
    frame = pd.DataFrame({"symbol": list("abcdefg"), "value": [0.123456789] * 7, "day": pd.Timestamp("2024-01-02")})
    shown = preview(frame)
    assert [column.name for column in shown.schema.columns] == ["symbol", "value", "day"]
    assert [record.data["symbol"] for record in shown.records] == list("cdefg")
    assert shown.records[-1].data == {"symbol": "g", "value": "0.123457", "day": "2024-01-02"}


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (9_884_000.0, "9,884,000"),
        (-250_000.4, "-250,000"),
        (float("nan"), ""),
        (pd.NaT, ""),
        (None, ""),
        (pd.Timestamp("2024-01-02T07:00", tz="UTC"), "2024-01-02 07:00 UTC"),
        (True, "True"),
        (0, "0"),
    ],
)
def test_a_cell_is_read_without_an_exponent_and_empty_where_nothing_is_known(value: object, text: str) -> None:
    frame = pd.DataFrame({"cell": pd.Series([value])})
    assert preview(frame).records[0].data == {"cell": text}


def test_a_table_without_rows_still_has_its_columns() -> None:
    shown = preview(pd.DataFrame({"symbol": [], "value": []}))
    assert (shown.records, [column.name for column in shown.schema.columns]) == ([], ["symbol", "value"])


def test_the_page_lists_columns_with_their_types_and_what_is_said_of_them() -> None:
    frame = pd.DataFrame({"symbol": ["a"], "value": [0.5]})
    listed = frame_metadata(frame)["dagster/column_schema"].columns
    assert [(column.name, column.type) for column in listed] == [("symbol", "string"), ("value", "float64")]
    assert "dagster/column_lineage" not in frame_metadata(frame)


def test_the_description_of_a_column_is_its_formula_and_what_it_comes_from() -> None:
    lineage = {
        "KMID": [("bars", "open_cny"), ("bars", "close_cny")],
        "score": [("factors", f"F{n}") for n in range(11)],
    }
    found = column_metadata(
        dict.fromkeys(["KMID", "score", "unheard_of"], "float32"), lineage, {"KMID": "(close - open)"}
    )
    assert [column.description for column in found["dagster/column_schema"].columns] == [
        "(close - open); from bars: open_cny, close_cny",
        "the model's forecast: it orders the stocks of one session; from factors: 11 columns",
        None,
    ]


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
    imsave(image, np.zeros((30, 900)))
    encoded = base64.b64encode(image.read_bytes()).decode()
    assert embedded(image) == f"![shap_bar](data:image/png;base64,{encoded})"


def test_a_picture_wider_than_the_dialogue_is_drawn_smaller_with_all_its_dots(tmp_path: Path) -> None:
    image = tmp_path / "shap_bar.png"
    imsave(image, np.zeros((900, 1800)))
    shown = embedded(image)
    assert " " not in shown, "Markdown ends an address at a blank"
    address = shown.removeprefix("![shap_bar](data:image/svg+xml,").removesuffix(")")
    drawn = ET.fromstring(unquote(address))
    assert (drawn.get("width"), drawn.get("height")) == ("900", "450")
    encoded = base64.b64encode(image.read_bytes()).decode()
    assert drawn[0].get("href") == f"data:image/png;base64,{encoded}"


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
