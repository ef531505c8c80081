"""Ours beside qlib 0.9.7's own values, frozen by ``benchmarks/peers/make_qlib_golden.py``.

128 factors agree on every session of an awkward panel, 127 of them in every cell. The other 30 differ only where a
window meets a session without a bar or the start of the history, and there each of qlib's values follows from a rule.
The examples of docs/alpha158-against-qlib.md are the last tests.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from benchmarks.peers import environment
from benchmarks.peers.make_qlib_golden import EXAMPLES, GOLDEN, example_panel, golden_panel, qlib_values
from ljwx_pipeline.expressions.evaluate import FactorValues, evaluate
from ljwx_pipeline.factors.alpha158 import WINDOWS, alpha158
from ljwx_pipeline.market.panel import Panel

FIELDS = ("open", "high", "low", "close", "vwap", "volume")
NAMES = alpha158().names
#: Where qlib is wrong beside a session without a bar, by family.
POSITIONS, COUNTS = ("IMAX", "IMIN", "IMXD"), ("CNTP", "CNTN", "CNTD")
WRONG_IN_QLIB = tuple(f"{family}{window}" for family in (*POSITIONS, *COUNTS) for window in WINDOWS)
AGREE = tuple(name for name in NAMES if name not in WRONG_IN_QLIB)
#: Cells of a factor that qlib's float32 arithmetic blurs: a cheap stock whose returns differ in the fifth decimal.
BLURRED = {"CORD5": 1}
#: A difference of this share of the value, or of the factor's standard deviation where that is larger, is none.
TOLERANCE = 1e-4

Values = NDArray[np.float64]


@pytest.fixture(scope="module")
def golden() -> dict[str, Any]:
    with np.load(GOLDEN) as arrays:
        return dict(arrays)


@pytest.fixture(scope="module")
def panel(golden: dict[str, Any]) -> Panel:
    fields = {name: golden[name].astype(np.float64) for name in FIELDS}
    sessions = pd.DatetimeIndex(golden["sessions"].astype("datetime64[ns]"), name="session_date")
    return Panel(tuple(golden["symbols"]), sessions, fields)


@pytest.fixture(scope="module")
def ours(panel: Panel) -> FactorValues:
    return evaluate(alpha158().expressions, panel)


@pytest.fixture(scope="module")
def examples() -> FactorValues:
    return evaluate(alpha158().expressions, example_panel())


def differs(qlib: Values, ours: Values) -> NDArray[np.bool_]:
    """Return where two float32 arrays differ: in what is missing, or by more than the tolerance."""
    qlib, ours = qlib.astype(np.float64), ours.astype(np.float64)
    allowed = TOLERANCE * np.maximum(np.abs(qlib), np.nanstd(qlib))
    both = ~np.isnan(qlib) & ~np.isnan(ours)
    return (np.isnan(qlib) != np.isnan(ours)) | (both & (np.abs(qlib - ours) > allowed))


def of_qlib(golden: dict[str, Any], name: str) -> Values:
    return golden["values"][list(golden["names"]).index(name)].astype(np.float64)


def test_qlib_names_the_same_factors_in_the_same_order(golden: dict[str, Any]) -> None:
    assert tuple(golden["names"]) == NAMES
    assert str(golden["version"]) == "0.9.7"
    assert (len(AGREE), len(WRONG_IN_QLIB)) == (128, 30)


def test_the_panel_is_as_awkward_as_it_says(panel: Panel) -> None:
    gaps = np.isnan(panel.fields["close"])
    assert len(panel.symbols) == len(EXAMPLES)
    assert gaps[:7].any(axis=1).all()
    assert not gaps[7].any()
    assert gaps[1, 60:135].all()
    assert gaps[2, :70].all()
    assert (np.nanstd(panel.fields["close"][5, 80:90])) == 0.0
    assert np.nanmin(panel.fields["close"]) < 1.5
    assert np.nanmax(panel.fields["close"]) > 1500


@pytest.mark.parametrize("name", AGREE)
def test_a_factor_has_qlibs_value_in_every_cell(name: str, golden: dict[str, Any], ours: FactorValues) -> None:
    assert int(differs(of_qlib(golden, name), ours.of(name)).sum()) == BLURRED.get(name, 0)


@pytest.mark.parametrize("name", WRONG_IN_QLIB)
def test_the_others_have_it_where_no_window_meets_a_gap(
    name: str, golden: dict[str, Any], ours: FactorValues, panel: Panel
) -> None:
    bars = ~np.isnan(panel.fields["close"])
    need = alpha158().expressions[name].window
    known = pd.DataFrame(bars.T).rolling(need).sum().to_numpy().T
    whole = known == need
    assert whole.sum() >= 150
    different = differs(of_qlib(golden, name), ours.of(name))
    assert not (different & whole).any()
    assert (different & ~whole).sum() > 300


@pytest.mark.parametrize("window", WINDOWS)
def test_qlib_takes_the_first_gap_for_the_extreme_and_counts_from_the_first_row(
    window: int, golden: dict[str, Any], panel: Panel
) -> None:
    found = {}
    for name, field, pick in (("IMAX", "high", np.argmax), ("IMIN", "low", np.argmin)):
        values = panel.fields[field]
        rule = np.full(values.shape, np.nan)
        for session in range(values.shape[1]):
            seen = values[:, max(0, session - window + 1) : session + 1]
            some = ~np.isnan(seen).all(axis=1)
            rule[some, session] = pick(seen[some], axis=1) + 1  # numpy's argmax answers the first NaN
        found[name] = rule
        np.testing.assert_allclose(of_qlib(golden, f"{name}{window}"), rule / window, rtol=1e-6)
    between = (found["IMAX"] - found["IMIN"]) / window
    np.testing.assert_allclose(of_qlib(golden, f"IMXD{window}"), between, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("window", WINDOWS)
def test_qlib_counts_a_comparison_with_nothing_as_false(window: int, golden: dict[str, Any], panel: Panel) -> None:
    close = pd.DataFrame(panel.fields["close"].T)
    rises = (close > close.shift(1)).astype(float).rolling(window, min_periods=1).mean().to_numpy().T
    falls = (close < close.shift(1)).astype(float).rolling(window, min_periods=1).mean().to_numpy().T
    for name, rule in (("CNTP", rises), ("CNTN", falls), ("CNTD", rises - falls)):
        np.testing.assert_allclose(of_qlib(golden, f"{name}{window}"), rule, rtol=1e-6, atol=1e-6)


def test_the_blurred_cell_is_float32s_and_ours_is_the_correlation(
    golden: dict[str, Any], ours: FactorValues, panel: Panel
) -> None:
    (symbol, session), *_ = np.argwhere(differs(of_qlib(golden, "CORD5"), ours.of("CORD5")))
    assert EXAMPLES[symbol] == "cheap"
    exact, blurred = (
        correlation(panel, symbol, session, "CORD5", dtype) for dtype in (np.dtype("float64"), np.dtype("float32"))
    )
    assert ours.of("CORD5")[symbol, session] == np.float32(exact)
    assert of_qlib(golden, "CORD5")[symbol, session] == pytest.approx(blurred, rel=1e-6)
    assert blurred != pytest.approx(exact, rel=3e-4)


def correlation(panel: Panel, symbol: int, session: int, name: str, dtype: np.dtype[Any]) -> float:
    """Return CORD5 of one cell from returns and volume changes that are rounded to ``dtype``."""
    recent = slice(session - 5, session + 1)
    close, volume = (pd.Series(panel.fields[field][symbol, recent].astype(dtype)) for field in ("close", "volume"))
    change, growth = close / close.shift(1), np.log(volume / volume.shift(1) + 1)
    both = (change.notna() & growth.notna()).to_numpy()[1:]
    x, y = (series.to_numpy()[1:][both].astype(np.float64) for series in (change, growth))
    return float(np.corrcoef(x, y)[0, 1])


def example(
    golden: dict[str, Any], examples: FactorValues, name: str, symbol: int, session: int
) -> tuple[float, float]:
    """Return qlib's value and ours of one cell of the examples, rounded to six decimals."""
    theirs = golden["example_values"][NAMES.index(name), symbol, session]
    mine = examples.of(name)[symbol, session]
    return round(float(theirs), 6), round(float(mine), 6)


@pytest.mark.parametrize(
    ("name", "qlib", "right"),
    [
        ("IMAX5", 0.6, 0.8),  # highs 11, 12, none, 19, 13.5: the fourth is the highest
        ("IMIN5", 0.6, 0.4),  # lows 9.5, 9, none, 11.5, 12.5: the second is the lowest
        ("IMXD5", 0.0, 0.4),
        ("CNTP5", 0.4, 1.0),  # closes 10, 11, none, 12, 13: two comparisons are known, both are rises
        ("CNTN5", 0.0, 0.0),
        ("CNTD5", 0.4, 1.0),
    ],
)
def test_beside_a_suspended_session(
    name: str, qlib: float, right: float, golden: dict[str, Any], examples: FactorValues
) -> None:
    assert example(golden, examples, name, symbol=0, session=4) == (qlib, right)


def test_a_fall_after_a_suspension_is_one_of_three_known_comparisons(
    golden: dict[str, Any], examples: FactorValues
) -> None:
    assert example(golden, examples, "CNTN5", symbol=0, session=6) == (0.2, 0.333333)


@pytest.mark.parametrize(("name", "qlib", "right"), [("IMAX5", 0.2, 1.0), ("IMIN5", 0.2, 1.0)])
def test_on_the_first_session_of_a_history(
    name: str, qlib: float, right: float, golden: dict[str, Any], examples: FactorValues
) -> None:
    assert example(golden, examples, name, symbol=1, session=0) == (qlib, right)
    theirs, mine = example(golden, examples, "CNTP5", symbol=1, session=0)
    assert theirs == 0.0  # a day without a day before it is no day without a rise
    assert np.isnan(mine)


@pytest.mark.parametrize(
    ("name", "qlib", "right"),
    [("KSFT2", 0.006135, 0.0), ("KMID2", 0.503067, 0.5), ("KUP2", 0.496933, 0.5), ("KLOW2", 0.0, 0.0)],
)
def test_a_dear_stocks_narrow_day_survives_because_prices_stay_float64(
    name: str, qlib: float, right: float, golden: dict[str, Any], examples: FactorValues
) -> None:
    assert example(golden, examples, name, symbol=1, session=6) == (qlib, right)


def test_the_examples_are_what_the_script_asked_qlib(golden: dict[str, Any]) -> None:
    for name, values in example_panel().fields.items():
        np.testing.assert_array_equal(golden[f"example_{name}"], values)


@pytest.mark.slow
def test_qlib_itself_still_answers_what_is_frozen(golden: dict[str, Any], panel: Panel) -> None:
    if environment.interpreter() is None:
        pytest.skip("qlib is not installed: make bench-peers puts it into .venv-peers")
    for name, values in golden_panel().fields.items():
        np.testing.assert_array_equal(values, panel.fields[name])
    for asked, frozen in ((panel, "values"), (example_panel(), "example_values")):
        names, values, version = qlib_values(asked)
        assert (tuple(names), version) == (NAMES, "0.9.7")
        np.testing.assert_array_equal(values, golden[frozen])
