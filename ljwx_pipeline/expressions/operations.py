"""What expressions are made with: kinds of values and the operations on them, by the names they are printed with.

Not here: the nodes that hold them (``nodes.py``) and the functions people write factors with (``operators.py``).
"""

from __future__ import annotations

from enum import StrEnum


class Kind(StrEnum):
    """What a value is: an amount, yes (1) or no (0), or the code of a class, of which only equality means anything."""

    NUMBER = "number"
    FLAG = "flag"
    CATEGORY = "category"


class Elementwise(StrEnum):
    """Operations on values of one session."""

    ADD = "+"
    SUB = "-"
    MUL = "*"
    DIV = "/"
    GT = ">"
    LT = "<"
    GE = ">="
    LE = "<="
    GREATER = "greater"
    LESS = "less"
    ABS = "abs"
    LOG = "log"
    EXP = "exp"
    SQRT = "sqrt"
    SIGN = "sign"
    POWER = "power"
    SIGNED_POWER = "signed_power"
    ROUND = "round"
    EQUAL = "=="
    AND = "and"
    OR = "or"
    NOT = "not"
    WHERE = "where"
    MASK = "mask"
    IS_KNOWN = "is_known"
    FILL = "fill"


class Statistic(StrEnum):
    """Operations on the last ``window`` sessions of one series."""

    SUM = "sum"
    MEAN = "mean"
    STD = "std"
    SLOPE = "slope"
    RSQUARE = "rsquare"
    RESI = "resi"
    MAX = "max"
    MIN = "min"
    IDX_MAX = "idx_max"
    IDX_MIN = "idx_min"
    RANK = "rank"
    PRODUCT = "product"
    VAR = "var"
    SKEW = "skew"
    KURT = "kurt"
    MEAN_DEVIATION = "mean_deviation"
    DECAY_LINEAR = "decay_linear"
    ZSCORE = "zscore"
    COVERAGE = "coverage"
    LAST_KNOWN = "last_known"
    SESSIONS_SINCE = "sessions_since"
    STREAK = "streak"


class PairStatistic(StrEnum):
    """Operations on the last ``window`` sessions of two series."""

    COV = "cov"
    BETA = "beta"
    RESID_STD = "resid_std"


class CrossStatistic(StrEnum):
    """Operations on one session, over the symbols of the cross-section."""

    RANK = "cs_rank"
    ZSCORE = "cs_zscore"
    DEMEAN = "cs_demean"
    MEAN = "cs_mean"
    SCALE = "cs_scale"
    WINSORISE = "winsorise"
    WINSORISE_MAD = "winsorise_mad"
    NEUTRALISE = "neutralise"
    GROUP_RANK = "group_rank"
    GROUP_ZSCORE = "group_zscore"
    GROUP_DEMEAN = "group_demean"
    GROUP_MEAN = "group_mean"
