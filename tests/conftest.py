"""Fixtures every test may use."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

# before anything loads OpenMP: idle threads that spin take the processor from the other test workers
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from ljwx_pipeline.config import Settings, load_settings

# a start in the background hands down ignored signals, to every process the tests start, too
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)

ROOT = Path(__file__).resolve().parent.parent
MAKES_THE_LINE = "test_line.py"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the files with slow tests first: a worker takes file by file, and none should end on the longest.

    Before them all comes one that makes the small line: a worker that asks for it meanwhile would wait.
    """
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: (item.path.name != MAKES_THE_LINE, item.path not in slow))


@pytest.fixture
def real_data_dir() -> Path:
    """The folder of real A-share data beside the checkout; the test skips where it is absent."""
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("no real A-share data beside this checkout (../shared/data): the test needs it")
    return folder


@pytest.fixture
def settings() -> Settings:
    """The shipped default settings, untouched by the environment."""
    return load_settings(profile="simulated", config_file=ROOT / "ljwx.toml", environ={})
