"""qlib's convention: against qlib itself where it is installed, against its frozen answers everywhere."""

from __future__ import annotations

import json
import math
import subprocess

import numpy as np
import pandas as pd
import pytest

from benchmarks.peers import environment
from ljwx_pipeline.errors import DataQualityError
from ljwx_pipeline.evaluation.benchmarks import session_excess
from ljwx_pipeline.evaluation.conventions import compound_analysis, conventions_table, qlib_risk_analysis
from ljwx_pipeline.evaluation.metrics import annual_return, max_drawdown, sharpe
from tests.fakes.backtests import a_result, flat_market

SERIES = {
    "a good year": np.random.default_rng(41).normal(0.0006, 0.006, 238).tolist(),
    "a long fall": np.random.default_rng(42).normal(-0.002, 0.01, 900).tolist(),
    "a loss first": [-0.2, 0.1, 0.05],
}
#: ``risk_analysis(series, freq="day")`` of pyqlib 0.9.7, by the script below.
QLIB: dict[str, dict[str, float]] = {
    "a good year": {
        "mean": 0.0002406498680779453,
        "std": 0.005887285155971498,
        "annualized_return": 0.05727466860255098,
        "information_ratio": 0.6306073592466144,
        "max_drawdown": -0.07734032594080825,
    },
    "a long fall": {
        "mean": -0.0024385631694456133,
        "std": 0.009872661416763812,
        "annualized_return": -0.580378034328056,
        "information_ratio": -3.8105550979448912,
        "max_drawdown": -2.196264341358168,
    },
    "a loss first": {
        "mean": -0.016666666666666666,
        "std": 0.16072751268321595,
        "annualized_return": -3.966666666666667,
        "information_ratio": -1.5997311602098134,
        "max_drawdown": 0.0,
    },
}

ASK_QLIB = """
import json, sys
from unittest.mock import MagicMock
import pandas as pd
# qlib's reinforcement learning, imported beside it, asks for a package that the peers' lock leaves out
sys.modules["gym"] = sys.modules["gym.spaces"] = MagicMock()
from qlib.contrib.evaluate import risk_analysis
series = json.load(sys.stdin)
answers = {name: risk_analysis(pd.Series(values), freq="day")["risk"].to_dict() for name, values in series.items()}
print("ANSWER" + json.dumps(answers))
"""


def ask_qlib() -> dict[str, dict[str, float]]:
    command = [str(environment.INTERPRETER), "-c", ASK_QLIB]
    done = subprocess.run(command, input=json.dumps(SERIES), capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    answers: dict[str, dict[str, float]] = json.loads(done.stdout.split("ANSWER")[1])
    return answers


@pytest.mark.parametrize("name", SERIES)
def test_the_figures_are_qlibs(name: str) -> None:
    assert qlib_risk_analysis(SERIES[name]) == pytest.approx(QLIB[name], rel=1e-9, abs=1e-15)


@pytest.mark.slow
def test_qlib_itself_still_answers_what_is_frozen() -> None:
    if environment.interpreter() is None:
        pytest.skip("qlib is not installed: make bench-peers puts it into .venv-peers")
    answers = ask_qlib()
    assert list(answers) == list(QLIB)
    for name, answer in answers.items():
        assert answer == pytest.approx(QLIB[name], rel=1e-12), name
        assert qlib_risk_analysis(SERIES[name]) == pytest.approx(answer, rel=1e-9, abs=1e-15), name


def test_the_two_conventions_differ_by_days_sums_and_the_opening_capital() -> None:
    values = np.array(SERIES["a good year"])
    qlib, compound = qlib_risk_analysis(values), compound_analysis(values)
    assert qlib["annualized_return"] == pytest.approx(values.sum() / len(values) * 238)
    assert compound["annualized_return"] == pytest.approx(annual_return(values))
    assert qlib["information_ratio"] / compound["information_ratio"] == pytest.approx(math.sqrt(238 / 252))
    first = qlib_risk_analysis(SERIES["a loss first"])["max_drawdown"]
    assert first == 0.0  # the sum's first point is its first peak
    assert compound_analysis(SERIES["a loss first"])["max_drawdown"] == pytest.approx(-0.2)
    falls = np.full(300, -0.01)
    assert qlib_risk_analysis(falls)["max_drawdown"] == pytest.approx(-2.99)  # a fall of 299 per cent
    assert -1 < compound_analysis(falls)["max_drawdown"] == pytest.approx(-max_drawdown(falls))


def test_what_qlib_skips_is_unknown_here() -> None:
    assert all(math.isnan(value) for value in qlib_risk_analysis(np.array([])).values())
    gap = qlib_risk_analysis(np.array([0.01, np.nan, 0.02]))
    assert all(math.isnan(value) for value in gap.values())
    assert math.isnan(qlib_risk_analysis(np.full(20, 0.01))["information_ratio"])


def test_the_table_has_excess_before_and_after_fees_by_both() -> None:
    market = flat_market(sessions=60)
    rng = np.random.default_rng(4)
    equity = 1e6 * np.cumprod(np.r_[1.0, 1 + rng.normal(0.001, 0.01, 59)])
    result = a_result(market, [], equity_cny=equity)
    result.fees_fen[1:] = 100_00
    close = pd.Series(3000 * np.cumprod(1 + rng.normal(0, 0.01, 60)), index=market.sessions)
    table = conventions_table(result, close)
    assert table.index.tolist() == [
        ("qlib", "excess_return_without_cost"),
        ("qlib", "excess_return_with_cost"),
        ("compound", "excess_return_without_cost"),
        ("compound", "excess_return_with_cost"),
    ]
    net = session_excess(result.equity, close)
    before = table.loc[("qlib", "excess_return_without_cost"), "mean"]
    after = table.loc[("qlib", "excess_return_with_cost"), "mean"]
    assert after == pytest.approx(net.mean())
    assert before - after == pytest.approx((100 / result.equity.iloc[:-1]).mean())
    assert table.loc[("compound", "excess_return_with_cost"), "information_ratio"] == pytest.approx(sharpe(net))
    with pytest.raises(DataQualityError, match="no close on"):
        conventions_table(result, close.iloc[:-1])
