"""Who read what of the lake is on record, beside the bars too."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd

from assets.lineage import record_reads
from ljwx_pipeline.lake import Lake
from ljwx_pipeline.lake.diff import diff_as_of

NOW = datetime(2024, 3, 1, 10, tzinfo=UTC)


class Line:
    """The part of a line that recording reads needs."""

    def __init__(self, home: Path) -> None:
        self._home = home

    def lake(self) -> Lake:
        return Lake(self._home / "lake")


def test_a_difference_of_a_table_beside_the_bars_names_who_saw_the_old_rows(tmp_path: Path) -> None:
    line = Line(tmp_path)
    spells = pd.DataFrame({"symbol": ["S00001.SIM"], "start_date": [NOW.replace(tzinfo=None)], "end_date": [pd.NaT]})
    line.lake().write("st_spells", spells, known_at=NOW)
    record_reads(line, "training_dataset", "run-1")
    line.lake().write("st_spells", spells.assign(symbol="S00002.SIM"), known_at=NOW + timedelta(hours=1))
    record_reads(line, "training_dataset", "run-2")
    found = diff_as_of(line.lake(), "st_spells", NOW)
    assert [(read.reader, read.run_id) for read in found.readers] == [("training_dataset", "run-1")]
