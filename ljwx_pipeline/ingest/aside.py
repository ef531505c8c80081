"""Files that only spare questions: a damaged one is set aside and said, and what it spared is asked for again.

Not here: records that cannot be made again (``rewrites.py``, ``lake/``), whose damage stops the line.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ljwx_pipeline.observability.log import get_logger

#: Receives the sentence that says what was damaged.
Warn = Callable[[str], None]
warn: Warn = get_logger("ingest").warning


def set_aside(path: Path, error: Exception, consequence: str, say: Warn, *, at: Path | None = None) -> None:
    """Rename a damaged file, to ``at`` or with ``.damaged`` behind its name, and say what follows from it."""
    kept = at or path.with_name(f"{path.name}.damaged")
    path.replace(kept)
    say(f"{path} is damaged ({error}): kept as {kept.name}, {consequence}")
