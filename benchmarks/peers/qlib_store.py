"""Writes a panel as the folder qlib reads its daily data from: calendar, instruments, one float32 file a field.

Not here: anything of qlib; the layout is that of its ``FileFeatureStorage``.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ljwx_pipeline.market.panel import Panel


def write_qlib_store(panel: Panel, folder: Path) -> None:
    """Write ``panel`` under ``folder``; every symbol spans every session, a session without a bar is NaN.

    A field's file is the position of its first session in the calendar, then the values, all little-endian float32.
    """
    (folder / "calendars").mkdir(parents=True)
    (folder / "instruments").mkdir()
    days = [f"{day:%Y-%m-%d}" for day in panel.sessions]
    (folder / "calendars" / "day.txt").write_text("\n".join(days) + "\n", encoding="utf-8")
    spans = [f"{symbol}\t{days[0]}\t{days[-1]}\n" for symbol in panel.symbols]
    (folder / "instruments" / "all.txt").write_text("".join(spans), encoding="utf-8")
    for row, symbol in enumerate(panel.symbols):
        files = folder / "features" / symbol.lower()
        files.mkdir(parents=True)
        for name, values in panel.fields.items():
            np.concatenate([[0.0], values[row]]).astype("<f4").tofile(files / f"{name}.day.bin")
