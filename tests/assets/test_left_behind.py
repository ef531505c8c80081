"""A backtest is what its document, its files and its table tell together; a killed step's halves are never joined."""

from __future__ import annotations

from pathlib import Path

import pytest

from assets.io_managers import read_json, write_json
from assets.left_behind import BACKTEST_FILES, FILES, backtest_mark, files_left, require_files_of
from ljwx_pipeline.errors import PromotionError
from tests.fakes.left_backtest import TOLD, leave_backtest


def test_a_whole_backtest_has_one_mark_and_another_one_another(tmp_path: Path) -> None:
    leave_backtest(tmp_path, {})
    mark = backtest_mark(tmp_path, TOLD)
    leave_backtest(tmp_path, {})
    assert backtest_mark(tmp_path, TOLD) == mark
    leave_backtest(tmp_path, {}, said="two")
    assert backtest_mark(tmp_path, TOLD) != mark


@pytest.mark.parametrize("name", BACKTEST_FILES)
def test_a_file_of_another_backtest_or_none_is_refused(tmp_path: Path, name: str) -> None:
    leave_backtest(tmp_path, {})
    (tmp_path / name).write_text("of a backtest that was killed")
    with pytest.raises(PromotionError, match=f"{name} is not the one that net_backtest left"):
        backtest_mark(tmp_path, TOLD)
    (tmp_path / name).unlink()
    with pytest.raises(PromotionError, match=f"{name} is not the one that net_backtest left"):
        backtest_mark(tmp_path, TOLD)


def test_a_table_of_another_backtest_is_refused(tmp_path: Path) -> None:
    leave_backtest(tmp_path, {})
    with pytest.raises(PromotionError, match="net_backtest is not the table that backtest_summary tells of"):
        backtest_mark(tmp_path, TOLD.assign(equity_cny=[1.0, 9.0]))


def test_a_document_that_tells_of_no_files_is_refused(tmp_path: Path) -> None:
    leave_backtest(tmp_path, {})
    told = read_json(tmp_path, "backtest_summary")
    write_json(tmp_path, "backtest_summary", {name: value for name, value in told.items() if name != FILES})
    with pytest.raises(PromotionError, match="is not the one that net_backtest left"):
        backtest_mark(tmp_path, TOLD)


def test_what_was_left_out_is_told_and_may_not_appear_later(tmp_path: Path) -> None:
    document = {FILES: files_left(tmp_path, ["state.json"])}
    assert document[FILES] == {"state.json": None}
    require_files_of(tmp_path, "prediction_intervals", document, "state.json")
    (tmp_path / "state.json").write_text("{}")
    with pytest.raises(PromotionError, match=r"state\.json is not the one that prediction_intervals left"):
        require_files_of(tmp_path, "prediction_intervals", document, "state.json")
