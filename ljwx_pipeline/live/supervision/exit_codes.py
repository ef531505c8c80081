"""What each exit code of ``ljwx live`` means for whoever starts it again: one table, which the unit file follows.

``docs/live-operations.md`` shows it, ``docker/ljwx-live.service`` obeys it; tests hold both to it. Not here: the errors
that carry the codes (``errors.py``), how often it may start (``starts.py``).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from ljwx_pipeline.errors import (
    ConfigError,
    CrashLoop,
    DataQualityError,
    DatasetError,
    Deposed,
    EnvironmentFault,
    FactorError,
    JournalDamaged,
    LakeError,
    LiveError,
    ModelError,
    PromotionError,
    RegistryError,
    SourceError,
    TradingError,
)


class Restart(StrEnum):
    """Whether starting again helps."""

    DONE = "not needed"
    NO = "no"
    LATER = "later"
    STANDBY = "as standby"
    YES = "yes"


@dataclass(frozen=True)
class Ending:
    """One way to end.

    Parameters
    ----------
    code
        Exit code.
    meaning
        What happened.
    restart
        Whether another start mends it.
    """

    code: int
    meaning: str
    restart: Restart


#: Every exit code of ``ljwx live``, ascending. Death by a signal that nobody asked for is a crash, too.
ENDINGS = (
    Ending(0, "finished, or stopped by SIGTERM or SIGINT", Restart.DONE),
    Ending(1, "crash: an error that nobody foresaw", Restart.YES),
    Ending(ConfigError.exit_code, "a mistake in the configuration or an option", Restart.NO),
    Ending(EnvironmentFault.exit_code, "the machine: a port in use, a folder that cannot be written", Restart.LATER),
    Ending(SourceError.exit_code, "a data source or the calendar cannot be read as declared", Restart.LATER),
    Ending(DataQualityError.exit_code, "rows break the data contract", Restart.NO),
    Ending(LakeError.exit_code, "a stored file is missing or damaged, or the disk is full", Restart.LATER),
    Ending(FactorError.exit_code, "a factor cannot be evaluated", Restart.NO),
    Ending(DatasetError.exit_code, "features and pack do not fit", Restart.NO),
    Ending(ModelError.exit_code, "a bundle is damaged, unsigned or of other factors", Restart.NO),
    Ending(TradingError.exit_code, "an account or a rule that cannot be honoured", Restart.NO),
    Ending(RegistryError.exit_code, "MLflow cannot be reached", Restart.LATER),
    Ending(PromotionError.exit_code, "the gate has too little evidence", Restart.NO),
    Ending(LiveError.exit_code, "pack, journal's database or broker not as needed; books that differ", Restart.LATER),
    Ending(Deposed.exit_code, "another runner has taken over the lease", Restart.STANDBY),
    Ending(JournalDamaged.exit_code, "the journal is damaged", Restart.NO),
    Ending(CrashLoop.exit_code, "it ended uncleanly too often and stays down", Restart.NO),
    Ending(130, "stopped by Ctrl-C before it could serve", Restart.DONE),
)


def ending(code: int) -> Ending:
    """Return what an exit code means; a code that is not in the table, or a signal's, is a crash."""
    crash = Ending(code, "crash: killed by a signal, or an end that nobody foresaw", Restart.YES)
    return next((one for one in ENDINGS if one.code == code), crash)


def codes(*restarts: Restart) -> tuple[int, ...]:
    """Return the exit codes of which one of ``restarts`` holds, ascending."""
    return tuple(one.code for one in ENDINGS if one.restart in restarts)
