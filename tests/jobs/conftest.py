"""One finished small line for the tests that look at it or add to it."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.line_runs import ROOT, SMALL, WORLD, Run
from tests.fakes.made_line import copied_line


@dataclass(frozen=True)
class SmallLine:
    """The home of a finished run, that run, and the command line in that home."""

    home: Path
    run: Run

    @property
    def summary(self) -> dict[str, Any]:
        return self.run.summary

    @property
    def market(self) -> Path:
        (found,) = (self.home / "markets").iterdir()
        return found

    def command(self, *arguments: str, settings: dict[str, Any] | None = None) -> list[str]:
        keys = [f"--set={key}={value}" for key, value in {**WORLD, **SMALL, **(settings or {})}.items()]
        return [sys.executable, "-m", "ljwx_pipeline.cli", *arguments, *keys]

    def __call__(self, *arguments: str, settings: dict[str, Any] | None = None) -> Run:
        done = subprocess.run(
            self.command(*arguments, settings=settings),
            cwd=ROOT,
            env=dict(os.environ, LJWX_HOME=str(self.home)),
            capture_output=True,
            text=True,
            timeout=900,
            check=False,
        )
        return Run(done.returncode, done.stdout, done.stderr, 0.0)


@pytest.fixture(scope="module")
def small_line(tmp_path_factory: pytest.TempPathFactory) -> SmallLine:
    """The file's own: its tests may add to it."""
    base = tmp_path_factory.getbasetemp()
    every_workers = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    return SmallLine(*copied_line(every_workers / "small-line"))
