"""A single bit that one way has different is found and named; NaN equals NaN and nothing else."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from ljwx_pipeline.errors import FactorError
from ljwx_pipeline.feature_parity import disagreements

SHAPE = (4, 3)
AXES = {"symbols": ("A", "B", "C", "D"), "factors": ("X", "Y", "Z")}
BITS = arrays.arrays(np.uint32, SHAPE)


@given(BITS)
def test_the_same_values_agree_whatever_their_bits(bits: np.ndarray) -> None:
    values = bits.view(np.float32)
    other_nan = np.where(np.isnan(values), np.float32(np.nan), values)
    assert disagreements(values, {"same": values.copy(), "nan": other_nan}, **AXES) == ()


@given(BITS, st.integers(0, 3), st.integers(0, 2), st.integers(0, 31))
def test_one_other_bit_is_found_where_it_is(bits: np.ndarray, row: int, column: int, bit: int) -> None:
    batch = bits.view(np.float32)
    turned = bits.copy()
    turned[row, column] ^= np.uint32(1 << bit)
    found = disagreements(batch, {"right": batch, "turned": turned.view(np.float32)}, **AXES)
    if np.isnan(batch[row, column]) and np.isnan(turned.view(np.float32)[row, column]):
        assert found == ()
    else:
        (one,) = found
        assert (one.way, one.values, one.symbol, one.factor) == ("turned", 1, "ABCD"[row], "XYZ"[column])


def test_a_zero_in_a_missing_value_s_place_is_told() -> None:
    batch = np.full(SHAPE, np.nan, dtype=np.float32)
    zeros = np.zeros(SHAPE, dtype=np.float32)
    (one,) = disagreements(batch, {"online": zeros}, **AXES)
    assert str(one) == "12 values of online differ from the batch's, first X of A: 0.0 instead of nan"


@pytest.mark.parametrize("values", [np.zeros((3, 3), np.float32), np.zeros(SHAPE)])
def test_another_shape_or_type_is_refused(values: np.ndarray) -> None:
    with pytest.raises(FactorError, match="ask every way for the same symbols and factors"):
        disagreements(np.zeros(SHAPE, np.float32), {"x": values}, **AXES)
