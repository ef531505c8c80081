"""Every exception this project raises on purpose, and nothing else.

The tree (each message states the fact, the value and the remedy)::

    LjwxError                 anything a user or operator can mend; the CLI prints it without a traceback
    ├── ConfigError           ljwx.toml, a profile, an environment override or a command-line option
    ├── EnvironmentFault      the machine: a port in use, a folder that cannot be written, a missing program
    ├── SourceError           a data source cannot be read: missing file, missing column, wrong units, refused token
    ├── DataQualityError      rows were read but break a hard rule (duplicates, negative prices, high below low)
    ├── LakeError             a stored table is missing, damaged or would be overwritten
    ├── FactorError           a factor that cannot be defined or evaluated
    ├── DatasetError          features and label do not make a trainable dataset
    ├── ModelError            training or tuning cannot proceed
    │   └── BundleError       a model bundle is damaged, unsigned, or of another factor hash
    ├── TradingError          an order, account or rule that cannot be honoured; new orders stop
    ├── RegistryError         MLflow cannot be reached or refuses
    ├── PromotionError        the gate has too little evidence to decide
    └── LiveError             the runner refuses to start or to go on
        ├── Misdirected       what was sent is meant for the runner of another market
        ├── Deposed           another runner holds the lease: this one must not write or send any more
        ├── JournalDamaged    the journal cannot be trusted: a person restores it
        └── CrashLoop         it ended uncleanly too often in a short time: a person looks before it starts again
"""

from __future__ import annotations


class LjwxError(Exception):
    """Base of every deliberate error: one message with the fact, the value and the remedy.

    Parameters
    ----------
    fact
        What is wrong, with the offending value, file, row or key.
    remedy
        What the reader can do about it.
    """

    exit_code = 2

    def __init__(self, fact: str, remedy: str) -> None:
        self.fact = fact
        self.remedy = remedy
        super().__init__(f"{fact}: {remedy}")

    def __reduce__(self) -> tuple[type[LjwxError], tuple[str, str]]:
        """Be told from one process to another with both its parts."""
        return type(self), (self.fact, self.remedy)


class ConfigError(LjwxError):
    """A configuration key, value, profile or option is wrong."""


class EnvironmentFault(LjwxError):
    """The machine lacks something: a port, a writable folder, a program."""

    exit_code = 3


class SourceError(LjwxError):
    """A data source cannot be read as declared."""

    exit_code = 4


class DataQualityError(LjwxError):
    """Rows break a hard rule of the data contract."""

    exit_code = 5


class LakeError(LjwxError):
    """A stored table is missing, damaged or would be overwritten."""

    exit_code = 6


class FactorError(LjwxError):
    """A factor cannot be defined or evaluated."""

    exit_code = 7


class DatasetError(LjwxError):
    """Features and label do not make a trainable dataset."""

    exit_code = 8


class ModelError(LjwxError):
    """Training, tuning or prediction cannot proceed."""

    exit_code = 9


class BundleError(ModelError):
    """A model bundle is damaged, unsigned, or was built for another factor hash."""


class TradingError(LjwxError):
    """An order, account or trading rule cannot be honoured; no new order leaves."""

    exit_code = 10


class RegistryError(LjwxError):
    """MLflow cannot be reached or refuses the request."""

    exit_code = 11


class PromotionError(LjwxError):
    """The promotion gate has too little evidence to decide."""

    exit_code = 12


class LiveError(LjwxError):
    """The live runner refuses to start or to go on."""

    exit_code = 13


class Misdirected(LiveError):
    """What was sent is meant for the runner of another market."""


class Deposed(LiveError):
    """Another runner has taken over the lease: this one must not write or send any more."""

    exit_code = 14


class JournalDamaged(LiveError):
    """The journal is not what was written: no restart mends it."""

    exit_code = 15


class CrashLoop(LiveError):
    """The runner ended uncleanly too often in a short time, and does not start again by itself."""

    exit_code = 16
