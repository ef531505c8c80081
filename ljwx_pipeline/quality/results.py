"""The outcome of one check, and the one place where outcomes block."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from ljwx_pipeline.errors import DataQualityError

Severity = Literal["error", "warn", "not_applicable"]
Measured = Mapping[str, float | int | str]


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
        ``error`` blocks the line when not passed, ``warn`` is shown, ``not_applicable`` was not judged.
    measured
        The figures behind the verdict.
    message
        One sentence with the fact, naming the first offending row.
    """

    name: str
    passed: bool
    severity: Severity
    measured: Measured
    message: str

    @property
    def blocks(self) -> bool:
        """Whether nothing may be computed from this table."""
        return self.severity == "error" and not self.passed


def require_passed(results: Sequence[CheckResult]) -> None:
    """Return if no result blocks.

    Raises
    ------
    DataQualityError
        Naming every blocking check with its message.
    """
    blocking = [result for result in results if result.blocks]
    if blocking:
        said = "; ".join(f"{result.name}: {result.message}" for result in blocking)
        raise DataQualityError(said, "correct the rows in the source and load it again")
