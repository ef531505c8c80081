"""The outcome of one check with the rows it found, and the one place where outcomes block.

Not here: what is done with rows in quarantine (``quarantine.py``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ljwx_pipeline.errors import DataQualityError

Severity = Literal["error", "quarantine", "warn", "not_applicable"]
Measured = Mapping[str, float | int | str]
Positions = NDArray[np.int64]

NO_ROWS: Positions = np.empty(0, dtype=np.int64)


@dataclass(frozen=True)
class CheckResult:
    """What one check found.

    Parameters
    ----------
    name
        ``TABLE.what_holds``.
    passed
        Whether it holds; True when not applicable.
    severity
        What a breach does: ``error`` blocks the line, ``quarantine`` takes ``rows`` out of the table, ``warn`` is
        shown; ``not_applicable`` was not judged. Of a check that passed: the worst that a breach of it can do.
    measured
        The figures behind the verdict.
    message
        One sentence with the fact, naming the first offending rows.
    repair
        What the reader can do about a breach.
    rows
        Positions (``iloc``) of the offending rows in the table as it was given, ascending; empty where none is to
        blame alone (a missing session, a missing column).
    faults
        Those of them that are at fault, where one fault spoils later rows; a fault may lie before the table.
    """

    name: str
    passed: bool
    severity: Severity
    measured: Measured
    message: str
    repair: str = ""
    rows: Positions = field(default_factory=lambda: NO_ROWS, compare=False, repr=False)
    faults: Positions = field(default_factory=lambda: NO_ROWS, compare=False, repr=False)

    @property
    def table(self) -> str:
        """Name of the canonical table that was judged."""
        return self.name.split(".")[0]

    @property
    def blocks(self) -> bool:
        """Whether nothing may be computed from this table."""
        return self.severity == "error" and not self.passed

    @property
    def quarantines(self) -> bool:
        """Whether ``rows`` are to be taken out of the table."""
        return self.severity == "quarantine" and not self.passed


def require_passed(results: Sequence[CheckResult]) -> None:
    """Return if no result blocks.

    Raises
    ------
    DataQualityError
        Naming every blocking check with its message, and what can be done about each.
    """
    blocking = [result for result in results if result.blocks]
    if blocking:
        said = "; ".join(f"{result.name}: {result.message}" for result in blocking)
        repairs = dict.fromkeys(result.repair for result in blocking if result.repair)
        raise DataQualityError(said, "; ".join(repairs) or "correct the rows in the source and load it again")
