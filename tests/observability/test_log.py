"""A log line is an event with named fields."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from ljwx_pipeline.observability.log import ROOT_LOGGER, configure_logging, event, get_logger


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    root = logging.getLogger(ROOT_LOGGER)
    before = (list(root.handlers), root.level, root.propagate)
    yield io.StringIO()
    root.handlers[:], root.propagate = before[0], before[2]
    root.setLevel(before[1])


def test_machines_get_one_json_object_a_line(stream: io.StringIO) -> None:
    configure_logging(stream, as_json=True)
    event(get_logger("lake"), "version written", rows=3, path=Path("x"))
    line = json.loads(stream.getvalue())
    assert (line["event"], line["rows"], line["path"], line["logger"]) == ("version written", 3, "x", "ljwx.lake")
    assert datetime.fromisoformat(line["at"]).tzinfo == UTC


def test_people_get_text_with_the_fields_behind_it(stream: io.StringIO) -> None:
    configure_logging(stream, as_json=False)
    event(get_logger("lake"), "版本 written", level=logging.WARNING, rows=3)
    assert stream.getvalue().endswith("WARNING ljwx.lake: 版本 written rows=3\n")


@pytest.mark.parametrize("as_json", [True, False])
def test_an_exception_is_logged_with_its_cause(stream: io.StringIO, as_json: bool) -> None:
    configure_logging(stream, as_json=as_json)
    try:
        raise ValueError("broken")
    except ValueError:
        get_logger("lake").exception("failed")
    assert "ValueError: broken" in stream.getvalue()


def test_configuring_again_replaces_the_stream_and_the_level_filters(stream: io.StringIO) -> None:
    configure_logging(stream, as_json=False)
    second = io.StringIO()
    configure_logging(second, as_json=False, level=logging.ERROR)
    event(get_logger("a"), "quiet")
    event(get_logger("a"), "loud", level=logging.ERROR)
    assert stream.getvalue() == ""
    assert second.getvalue().count("\n") == 1
