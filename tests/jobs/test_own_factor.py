"""The page "Your own factor, in five minutes", word for word, in a home where a model of other factors traded."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from ljwx_pipeline.errors import BundleError
from ljwx_pipeline.factors.catalogues import open_catalogue
from tests.fakes.line_runs import ROOT, SMALL, WORLD, ljwx
from tests.jobs.conftest import SmallLine

PAGE = ROOT / "docs" / "factors.md"


def on_the_page() -> str:
    """Return the file that the page writes."""
    found = re.search(r"<!-- own factor -->\n```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert found is not None
    return found[1]


@pytest.mark.slow
def test_an_own_factor_goes_from_the_page_to_the_paper_account(small_line: SmallLine, tmp_path: Path) -> None:
    mine, home = tmp_path / "mine.py", small_line.home
    mine.write_text(on_the_page(), encoding="utf-8")

    def said(*words: str) -> dict:
        command = [sys.executable, "-m", "ljwx_pipeline.cli", *words, "--json"]
        environment = dict(os.environ, LJWX_HOME=str(home))
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    (shown,) = said("factors", "show", "FALL20", "--catalogue", str(mine))["factors"]
    assert (shown["unit"], shown["window_sessions"]) == ("rank", 60)
    assert said("check-leaks", str(mine))["leaking"] == 0

    assert small_line.summary["promotion"]["decision"] == "promoted"
    chosen = {"factors.catalogue": str(mine)}
    stopped = ljwx(home, "--job", "daily_pipeline", settings=chosen)
    assert stopped.code == BundleError.exit_code
    assert "the champion, version 1, was trained on factors" in stopped.err
    assert "Traceback" not in stopped.err

    # on forty stocks two more factors earn less: the champion is not asked
    left_out = '["overfitting", "drift", "calibration", "champion"]'
    run = ljwx(home, "--json", settings={**chosen, "gate.left_out": left_out})
    assert run.code == 0, run.err
    catalogue = open_catalogue(str(mine))
    assert run.summary["factors"] == {"count": 160, "hash": catalogue.version_hash}
    assert run.summary["promotion"]["decision"] == "promoted"
    assert run.summary["account"]["fills"] > 0
    for check in ("feast_parity", "feature_parity", "factor_leak_checks"):
        assert check in run.err

    market = [f"--set={key}={value}" for key, value in {**WORLD, **SMALL}.items()]
    sheet = said("tear-sheet", "--catalogue", str(mine), "--factor", "FALL5", "FALL20", *market)
    assert {row["factor"] for row in sheet["factors"]} == {"FALL5", "FALL20"}
