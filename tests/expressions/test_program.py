"""Programs: equal work appears once, rows are reused, windows are joined from shared parts."""

from __future__ import annotations

import pytest

from ljwx_pipeline.expressions.lowering import split_window
from ljwx_pipeline.expressions.operators import absolute, field, greater, log, mean, ref, rolling_max, rolling_sum, std
from ljwx_pipeline.expressions.program import Op
from ljwx_pipeline.expressions.stages import plan_of
from ljwx_pipeline.factors.alpha158 import alpha158

FIELDS = frozenset({"close", "high", "low", "open", "vwap", "volume"})
CLOSE = field("close")


def count(expressions, op: Op) -> int:
    return int((plan_of(expressions, FIELDS).last.code[:, 0] == op).sum())


@pytest.mark.parametrize("length", range(2, 130))
def test_a_window_is_joined_from_two_shorter_ones(length: int) -> None:
    newer, older = split_window(length)
    assert newer + older == length
    assert newer > 0
    assert older > 0


def test_a_shared_sub_expression_is_computed_once() -> None:
    ratio = mean(CLOSE, 20) / CLOSE
    assert count({"a": ratio + 1, "b": ratio - 1}, Op.DIV) == count({"a": ratio + 1}, Op.DIV)


def test_the_five_windows_share_their_parts() -> None:
    sums = {f"s{n}": rolling_sum(CLOSE, n) for n in (5, 10, 20, 30, 60)}
    # 2, 4, 5, 10, 15, 20, 30 and 60 sessions, of values and of counts
    assert count(sums, Op.ADD_WINDOWS) == 2 * 8


def test_maximum_and_its_position_share_their_parts() -> None:
    catalogue = alpha158().expressions
    alone = count({"MAX60": catalogue["MAX60"]}, Op.MAX_WINDOWS)
    both = count({"MAX60": catalogue["MAX60"], "IMAX60": catalogue["IMAX60"]}, Op.MAX_WINDOWS)
    assert alone == both == count({"m": rolling_max(field("high"), 60)}, Op.MAX_WINDOWS)


def test_no_instruction_writes_a_row_it_reads() -> None:
    program = plan_of(alpha158().expressions, FIELDS).last
    reads_by_op = {
        Op.JOIN_COMOMENTS: 5,
        Op.MEAN_GAPS: 4,
        Op.ADD: 2,
        Op.DIV: 2,
        Op.ADD_WINDOWS: 2,
        Op.RESI_OF: 6,
        Op.JOIN_INDICES: 4,
    }
    for step in program.code:
        reads = step[2 : 2 + reads_by_op.get(Op(step[0]), 0)]
        assert step[1] not in reads


def test_rows_are_reused() -> None:
    program = plan_of(alpha158().expressions, FIELDS).last
    assert program.rows < len(program.code) / 10


def test_the_program_of_std_needs_no_division_by_the_window() -> None:
    assert count({"s": std(CLOSE, 8)}, Op.JOIN_COMOMENTS) == 3


def test_a_quotient_that_is_only_stored_is_written_where_it_is_stored() -> None:
    ratio = mean(CLOSE, 20) / CLOSE
    assert count({"a": ratio}, Op.STORE_QUOTIENT) == 1
    assert count({"a": ratio}, Op.STORE) == 0
    # one row for both readers, and one for what is stored twice
    for also in ({"b": ratio + 1}, {"b": mean(CLOSE, 20) / CLOSE}):
        assert count({"a": ratio, **also}, Op.STORE_QUOTIENT) == 0
        assert count({"a": ratio, **also}, Op.STORE) == 2


def test_a_plan_is_made_once_for_the_same_expressions_and_fields() -> None:
    made = {"a": mean(CLOSE, 7)}
    assert plan_of(made, FIELDS) is plan_of(dict(made), FIELDS)
    assert plan_of(made, FIELDS) is not plan_of(made, FIELDS | {"amount"})
    assert plan_of({"a": mean(CLOSE, 8)}, FIELDS) is not plan_of({"a": mean(CLOSE, 9)}, FIELDS)


def test_series_known_on_the_same_sessions_are_counted_once() -> None:
    change = CLOSE - ref(CLOSE, 1)
    moves = (greater(change, 0), greater(-1 * change, 0), absolute(change), ref(CLOSE, 1) < CLOSE)
    one = count({"n0": rolling_sum(moves[0], 8)}, Op.ADD_WINDOWS)
    # values and counts of 2, 4 and 8 sessions; a product may overflow, so it is counted by itself
    assert one == 2 * 3
    shared = {f"n{number}": rolling_sum(move, 8) for number, move in enumerate((moves[0], *moves[2:]))}
    assert count(shared, Op.ADD_WINDOWS) == one + 2 * 3
    assert count(shared | {"n9": rolling_sum(moves[1], 8)}, Op.ADD_WINDOWS) == one + 4 * 3


def test_a_difference_that_may_be_unknown_of_itself_is_counted_by_itself() -> None:
    difference = log(CLOSE) - log(ref(CLOSE, 1))
    both = {"n0": rolling_sum(difference, 8), "n1": rolling_sum(CLOSE - ref(CLOSE, 1), 8)}
    assert count(both, Op.ADD_WINDOWS) == 4 * 3
