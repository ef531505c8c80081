"""The table of exit codes, the page that shows it and the unit that obeys it say the same."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from ljwx_pipeline import errors
from ljwx_pipeline.errors import CrashLoop, Deposed, JournalDamaged, LiveError, LjwxError
from ljwx_pipeline.live.supervision.exit_codes import ENDINGS, Restart, codes, ending
from ljwx_pipeline.live.supervision.starts import BackOff
from ljwx_pipeline.supervisor import REFUSALS

ROOT = Path(__file__).resolve().parents[3]
UNITS = ("ljwx-live.service",)


def unit(name: str) -> dict[str, str]:
    """The settings of a unit file; a key that comes twice keeps its last value."""
    lines = (ROOT / "docker" / name).read_text(encoding="utf-8").splitlines()
    return dict(line.split("=", 1) for line in lines if re.match(r"[A-Za-z]+=", line))


def numbers(text: str) -> tuple[int, ...]:
    return tuple(int(word) for word in text.split())


def tree(base: type[LjwxError]) -> list[type[LjwxError]]:
    return [cls for child in base.__subclasses__() for cls in (child, *tree(child))]


def test_every_error_has_a_row_and_no_code_has_two() -> None:
    listed = [one.code for one in ENDINGS]
    assert listed == sorted(set(listed))
    raised = {kind.exit_code for kind in tree(LjwxError) if kind.__module__ == errors.__name__}
    assert raised <= set(listed)
    assert set(listed) - raised == {0, 1, 130}


def test_whoever_was_deposed_damaged_or_crashed_too_often_is_told_apart_from_a_runner_that_waits() -> None:
    assert [ending(kind.exit_code).restart for kind in (LiveError, Deposed, JournalDamaged, CrashLoop)] == [
        *(Restart.LATER, Restart.STANDBY, Restart.NO, Restart.NO)
    ]
    assert [ending(code).restart for code in (0, 1, 130, -9, 134, 99)] == [
        *(Restart.DONE, Restart.YES, Restart.DONE, Restart.YES, Restart.YES, Restart.YES)
    ]


def test_all_refusals_leave_the_other_services_of_up_alone() -> None:
    refusals = {one.code for one in ENDINGS} - {0, 1, 130}
    assert refusals == set(REFUSALS)


def test_the_unit_obeys_the_table() -> None:
    live = unit("ljwx-live.service")
    assert live["Restart"] == "on-failure"
    assert numbers(live["RestartPreventExitStatus"]) == codes(Restart.NO)
    assert (0, *numbers(live["SuccessExitStatus"])) == codes(Restart.DONE)


def test_the_unit_lets_the_runner_wait_and_refuse_first() -> None:
    live, policy = unit("ljwx-live.service"), BackOff()
    assert int(live["TimeoutStartSec"]) > policy.longest_wait_s
    assert int(live["StartLimitBurst"]) > policy.most_ends
    assert int(live["StartLimitIntervalSec"]) == policy.window_s
    spent = sum(policy.wait_s(ends) or 0 for ends in range(policy.most_ends))
    assert spent + policy.most_ends * int(live["RestartSec"]) < policy.window_s, "the loop is over within its window"


def test_the_unit_watches_and_confines_the_runner() -> None:
    live = unit("ljwx-live.service")
    assert (live["Type"], live["KillSignal"], live["MemoryMax"]) == ("notify", "SIGTERM", "1000M")
    assert int(live["WatchdogSec"]) > 0
    for name in UNITS:
        asked = unit(name)
        assert (asked["NoNewPrivileges"], asked["ProtectSystem"]) == ("yes", "strict")
        assert asked["ReadWritePaths"] == "/var/lib/ljwx"
        assert "MemoryDenyWriteExecute" not in asked, "numba makes code"


def test_the_page_shows_the_table() -> None:
    page = (ROOT / "docs" / "live-operations.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\d+) \| (.+?) \| (.+?) \|", page, re.MULTILINE)
    assert rows == [(str(one.code), one.meaning, str(one.restart)) for one in ENDINGS]


@pytest.mark.parametrize("name", UNITS)
def test_systemd_has_nothing_to_say(name: str, tmp_path: Path) -> None:
    analyser = shutil.which("systemd-analyze")
    if analyser is None:
        pytest.skip("systemd-analyze is not installed")
    # the programs of a real installation are not here
    for one in UNITS:
        text = (ROOT / "docker" / one).read_text(encoding="utf-8").replace("/opt/ljwx/.venv/bin/ljwx", "/bin/true")
        (tmp_path / one).write_text(text, encoding="utf-8")
    verified = subprocess.run(
        [analyser, "verify", "--man=no", str(tmp_path / name)],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": "/usr/bin:/bin", "SYSTEMD_UNIT_PATH": f"{tmp_path}:"},
    )
    said = [line for line in verified.stderr.splitlines() if "ljwx" in line]
    assert (verified.returncode, said) == (0, []), verified.stderr
