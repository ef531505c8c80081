"""A program: a flat list of row instructions, and the rows they are given.

Not here: which instructions an expression becomes (``lowering.py``), how cross-sections cut a program in stages
(``stages.py``), what an instruction computes (the kernels, which ``machine.py`` calls).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from enum import IntEnum, auto

import numpy as np
from numpy.typing import NDArray

#: Raise by one when a kernel, a rule below or a field's definition (``market/panel_fields.py``, ``dataset/inputs.py``)
#: changes any value: it is part of every factor hash.
SEMANTICS_VERSION = 2
#: Columns of an instruction: operation, row written, six rows read, one integer.
MAX_ROWS_READ = 6
COLUMNS = 2 + MAX_ROWS_READ + 1


class Op(IntEnum):
    """What an instruction does; ``machine.py`` says with which kernel, and takes them in groups that stand together."""

    LOAD = auto()
    STORE = auto()
    STORE_QUOTIENT = auto()  # of a division that nobody else reads; only ``allocate`` makes it
    CONST = auto()
    ADD = auto()
    SUB = auto()
    MUL = auto()
    DIV = auto()
    ABOVE = auto()
    LARGER = auto()
    SMALLER = auto()
    ABS = auto()
    LOG = auto()
    SHIFT = auto()
    MASK_BY = auto()
    KNOWN = auto()
    ZERO_FILLED = auto()
    SESSION_NUMBERS = auto()
    ADD_WINDOWS = auto()
    JOIN_WEIGHTS = auto()
    SUM_OF = auto()
    STD_OF = auto()
    LOW_FILLED = auto()
    MAX_WINDOWS = auto()
    EXTREME_OF = auto()
    POSITION_OF = auto()
    RANK_OF = auto()
    QUANTILE_OF = auto()
    MEAN_GAPS = auto()
    JOIN_COMOMENTS = auto()
    SLOPE_OF = auto()
    RESI_OF = auto()
    RSQUARE_OF = auto()
    CORR_OF = auto()
    JOIN_INDICES = auto()
    EXP = auto()
    SQRT = auto()
    SIGN = auto()
    POWER = auto()
    ROUND = auto()
    EQUAL = auto()
    AND = auto()
    OR = auto()
    NOT = auto()
    WHERE = auto()
    KEEP_WHERE = auto()
    FILL = auto()
    ONE_FILLED = auto()
    MULTIPLY_WINDOWS = auto()
    VAR_OF = auto()
    ZSCORE_OF = auto()
    BETA_OF = auto()
    RESID_STD_OF = auto()
    COVERAGE_OF = auto()
    DECAYED_MEAN = auto()
    MEAN_DEVIATION_OF = auto()
    SKEW_OF = auto()
    KURT_OF = auto()
    LAST_KNOWN = auto()
    SINCE = auto()
    STREAK = auto()
    SECTION = auto()  # a cross-section: never in a program, it stands between two of them


@dataclass(frozen=True)
class Instruction:
    """One operation on rows; ``reads`` are positions of the instructions whose rows it reads.

    ``number`` of a ``LOAD`` or ``STORE`` other than 0 leaves infinite values alone: rows that pass between stages.
    """

    op: Op
    reads: tuple[int, ...] = ()
    integer: int = 0
    number: float = 0.0
    second: float = 0.0


@dataclass(frozen=True)
class Program:
    """Instructions in the form the machine takes.

    Parameters
    ----------
    fields
        Panel fields (or results of an earlier stage) in the order ``LOAD`` numbers them.
    code
        int64, shape ``(n_instructions, COLUMNS)``.
    numbers
        float64, shape ``(n_instructions,)``.
    rows
        Rows the machine needs; the last one is scratch.
    """

    fields: tuple[str, ...]
    code: NDArray[np.int64]
    numbers: NDArray[np.float64]
    rows: int


def allocate(fields: tuple[str, ...], instructions: list[Instruction]) -> Program:
    """Return the program of ``instructions``: each is given a row, and rows are reused after their last reader."""
    instructions = _with_quotients_stored_at_once(instructions)
    last_reader = {read: reader for reader, item in enumerate(instructions) for read in item.reads}
    row_of: dict[int, int] = {}
    free: list[int] = []
    rows = 0
    code = np.zeros((len(instructions), COLUMNS), dtype=np.int64)
    for position, item in enumerate(instructions):
        if not free:
            free.append(rows)
            rows += 1
        row_of[position] = free.pop()
        code[position, :2] = item.op, row_of[position]
        code[position, 2 : 2 + len(item.reads)] = [row_of[read] for read in item.reads]
        code[position, -1] = item.integer
        free += [row_of[read] for read in set(item.reads) if last_reader[read] == position]
        if item.op in (Op.STORE, Op.STORE_QUOTIENT):
            free.append(row_of[position])
    numbers = np.array([item.number for item in instructions], dtype=np.float64)
    return Program(fields, code, numbers, rows + 1)


def _with_quotients_stored_at_once(instructions: list[Instruction]) -> list[Instruction]:
    """Return the instructions in which a division whose only reader is a ``STORE`` is written where it is stored.

    The processor waits for divisions as it waits for memory: together they take little more than one of the two.
    """
    readers = Counter(read for item in instructions for read in item.reads)
    merged = {
        item.reads[0]
        for item in instructions
        if item.op is Op.STORE
        and item.number == 0.0
        and instructions[item.reads[0]].op is Op.DIV
        and readers[item.reads[0]] == 1
    }
    kept: list[Instruction] = []
    at: dict[int, int] = {}
    for position, item in enumerate(instructions):
        if position in merged:
            continue
        source = item.reads[0] if item.op is Op.STORE else -1
        if source in merged:
            reads = tuple(at[read] for read in instructions[source].reads)
            kept.append(Instruction(Op.STORE_QUOTIENT, reads, item.integer))
        else:
            reads = tuple(at[read] for read in item.reads)
            kept.append(replace(item, reads=reads))
        at[position] = len(kept) - 1
    return kept
