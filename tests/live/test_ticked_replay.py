"""A runner that listens to ticks trades as one that does not, as long as no stop is judged on them."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from ljwx_pipeline.config import Settings
from ljwx_pipeline.live.main import run_replay
from tests.fakes.live_home import live_home, live_settings
from tests.fakes.runner_books import Books, runner_books
from tests.fakes.sqlite_file import connect


@pytest.mark.slow
def test_ticks_and_a_tripped_breaker_of_the_day_leave_the_account_as_it_is(tmp_path: Path, settings: Settings) -> None:
    found: dict[int, Books] = {}
    for tick_seconds in (0, 60):
        home = live_home(tmp_path / str(tick_seconds), symbols=16, feed_sessions=6)
        home.spool(home.bundle(), "1")
        chosen = live_settings(settings)
        live = chosen.live.model_copy(update={"tick_seconds": tick_seconds})
        # any loss trips what guards the day: orders of the next session are not of that day
        breakers = chosen.breakers.model_copy(update={"max_day_loss_cny": 1.0, "max_day_drawdown_frac": 1e-6})
        run_replay(home.home, chosen.model_copy(update={"live": live, "breakers": breakers}), keys_dir=home.keys)
        journal = home.live / "account" / "journal.sqlite"
        found[tick_seconds] = runner_books(journal)
        with closing(connect(journal)) as db:
            tripped = {row[0] for row in db.execute("SELECT code FROM outbox WHERE tier = 'warning'")}
            denied = db.execute("SELECT count(*) FROM orders WHERE state = 'denied'").fetchone()[0]
        assert {"DAY_LOSS", "DRAWDOWN"} <= tripped
        assert denied == 0
    assert found[0] == found[60]
