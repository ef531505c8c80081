"""Progress is shown to those who wait, and only to them."""

from __future__ import annotations

import io
from threading import Event

import pytest

from ljwx_pipeline.observability.progress import progress


class Stream(io.StringIO):
    """A stream that says when something was written; a terminal if told so."""

    def __init__(self, *, terminal: bool) -> None:
        super().__init__()
        self.terminal = terminal
        self.written = Event()

    def isatty(self) -> bool:
        return self.terminal

    def write(self, text: str) -> int:
        count = super().write(text)
        self.written.set()
        return count


@pytest.fixture(autouse=True)
def _able_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")


def test_a_dumb_terminal_gets_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    stream = Stream(terminal=True)
    with progress("loading", 10, stream=stream, quiet_s=0.0) as advance:
        assert stream.written.wait(5)
        advance(10)
    assert stream.getvalue().splitlines() == ["loading: 0 of 10", "loading: 10 of 10"]


@pytest.mark.parametrize("terminal", [True, False])
def test_quick_work_shows_nothing(terminal: bool) -> None:
    stream = Stream(terminal=terminal)
    with progress("loading", 3, stream=stream) as advance:
        for _ in range(3):
            advance()
    assert stream.getvalue() == ""


def test_slow_work_writes_a_line_a_tenth_when_nobody_sits_at_a_terminal() -> None:
    stream = Stream(terminal=False)
    with progress("loading", 100, stream=stream, quiet_s=0.0) as advance:
        assert stream.written.wait(5)
        for _ in range(100):
            advance()
    lines = stream.getvalue().splitlines()
    assert lines[0] == "loading: 0 of 100"
    assert lines[-1] == "loading: 100 of 100"
    assert len(lines) == 11


def test_work_of_unknown_length_says_that_it_goes_on() -> None:
    stream = Stream(terminal=False)
    with progress("thinking", stream=stream, quiet_s=0.0) as advance:
        assert stream.written.wait(5)
        advance(7)
    assert stream.getvalue() == "thinking: ...\n"


def test_a_terminal_gets_a_bar() -> None:
    stream = Stream(terminal=True)
    with progress("loading", 4, stream=stream, quiet_s=0.0) as advance:
        assert stream.written.wait(5)
        advance(4)
    assert "loading" in stream.getvalue()


def test_an_error_in_the_work_passes_through() -> None:
    with pytest.raises(ValueError, match="broken"), progress("loading", 1, stream=Stream(terminal=False)):
        raise ValueError("broken")
