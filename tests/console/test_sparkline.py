"""The line goes from left to right and up where the numbers do."""

from __future__ import annotations

import pytest

from ljwx_pipeline.console.sparkline import HEIGHT, MARGIN, WIDTH, sparkline


@pytest.mark.parametrize("values", [[], [1.0]])
def test_too_few_numbers_make_no_line(values: list[float]) -> None:
    assert sparkline(values) is None


def test_it_spans_the_width_and_the_height() -> None:
    drawn = sparkline([2.0, 1.0, 3.0])
    assert drawn is not None
    points = [tuple(float(x) for x in point.split(",")) for point in drawn.line.split()]
    assert [x for x, _ in points] == [0, WIDTH / 2, WIDTH]
    assert [y for _, y in points] == [HEIGHT / 2, HEIGHT - MARGIN, MARGIN]
    assert (drawn.low, drawn.high, drawn.base_y) == (1.0, 3.0, HEIGHT / 2)


def test_a_flat_line_is_drawn() -> None:
    drawn = sparkline([5.0, 5.0])
    assert drawn is not None
    assert "nan" not in drawn.line
