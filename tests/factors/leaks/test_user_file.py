"""A user's own file: what it may define and return, and what is said when it cannot be judged."""

from __future__ import annotations

from pathlib import Path

import pytest

from ljwx_pipeline.errors import FactorError
from ljwx_pipeline.factors.leaks.market import Market
from ljwx_pipeline.factors.leaks.synthetic import CUTS, synthetic_market
from ljwx_pipeline.factors.leaks.user_file import Verdict, judge_file
from ljwx_pipeline.market.adjustment import FACTOR_FIELDS
from ljwx_pipeline.market.panel import Panel


def judged(folder: Path, text: str) -> dict[str, Verdict]:
    path = folder / "mine.py"
    path.write_text(text, encoding="utf-8")
    return {verdict.name: verdict for verdict in judge_file(path, synthetic_market(), CUTS)}


def kinds(verdicts: dict[str, Verdict]) -> dict[str, set[str]]:
    return {name: {finding.kind for finding in verdict.findings} for name, verdict in verdicts.items()}


def test_each_factor_of_a_file_has_its_own_verdict(tmp_path: Path) -> None:
    found = judged(
        tmp_path,
        """
import pandas as pd
def factors_pandas(df):
    by = df.groupby("symbol")["close"]
    return df.assign(back=by.shift(1) / df["close"], ahead=df["close"] / by.shift(-1), best=by.transform("max"))
""",
    )
    assert kinds(found) == {"back": set(), "ahead": {"look-ahead"}, "best": {"look-ahead"}}


def test_what_nothing_moves_and_what_has_no_value_is_noted(tmp_path: Path) -> None:
    found = judged(
        tmp_path,
        """
import numpy as np
from ljwx_pipeline.expressions.operators import field, ref
close = field("close")
FACTORS = {"OLD": close / ref(close, 5000) - 1, "BACK": close / ref(close, 5) - 1}
def factors(panel):
    close = panel.fields["close"]
    day = np.broadcast_to(panel.sessions.dayofweek.to_numpy(dtype=float), close.shape)
    return {"one": np.ones_like(close), "day": day, "none": np.full_like(close, np.nan), "close": close}
""",
    )
    assert {name: verdict.note[:10] for name, verdict in found.items()} == {
        "OLD": "not judged", "BACK": "", "one": "nothing of", "day": "nothing of", "none": "not judged", "close": "",
    }  # fmt: skip


def test_honest_factors_of_many_kinds_are_not_accused(tmp_path: Path) -> None:
    found = judged(
        tmp_path,
        """
import numpy as np
def factors_pandas(bars):
    bars = bars.sort_values(["session_date", "symbol"])
    by_symbol, by_session = bars.groupby("symbol"), bars["session_date"]
    change = by_symbol["close"].pct_change(fill_method=None)
    out = bars[["symbol", "session_date"]].copy()
    out["ewm"] = by_symbol["close"].transform(lambda x: x.ewm(span=10).mean()) / bars["close"]
    out["volatility"] = change.groupby(bars["symbol"]).transform(lambda x: x.rolling(20).std())
    out["z"] = change.groupby(by_session).transform("mean") / change.groupby(by_session).transform("std")
    out["rank"] = change.groupby(by_session).rank(pct=True, method="first")
    out["up"] = change > 0
    return out
def factors(panel):
    close = panel.fields["close"]
    change = np.full_like(close, np.nan)
    change[:, 1:] = close[:, 1:] / close[:, :-1] - 1
    count = (~np.isnan(change)).sum(axis=0).clip(1)
    return {"excess": (change - np.nansum(change, axis=0) / count).astype(np.float32)}
""",
    )
    assert len(found) == 6
    assert not any(kinds(found).values())


@pytest.mark.parametrize(
    "answer",
    [
        "panel.fields['close']",
        "pd.DataFrame(panel.fields['close'].T, index=panel.sessions, columns=list(panel.symbols))",
        "pd.DataFrame(panel.fields['close'], index=list(panel.symbols), columns=panel.sessions)",
    ],
)
def test_a_panel_factor_may_be_an_array_or_a_wide_frame(answer: str, tmp_path: Path) -> None:
    found = judged(tmp_path, f"import pandas as pd\ndef factors(panel):\n    return {{'level': {answer}}}")
    assert kinds(found) == {"level": set()}


@pytest.mark.parametrize(
    "frame",
    [
        "bars[['symbol', 'session_date']].assign(value=ahead)",
        "pd.DataFrame({'value': ahead})",
        "ahead.rename('value')",
        "bars.assign(value=ahead).set_index(['symbol', 'session_date'])[['value']]",
        "bars.assign(value=ahead).set_index(['session_date', 'symbol'])[['value']]",
    ],
)
def test_a_frame_of_factors_may_be_keyed_in_any_usual_way(frame: str, tmp_path: Path) -> None:
    found = judged(
        tmp_path,
        "import pandas as pd\ndef factors_pandas(bars):\n"
        f"    ahead = bars.groupby('symbol')['close'].shift(-1)\n    return {frame}\n",
    )
    assert kinds(found) == {"value": {"look-ahead"}}


def test_a_factor_computed_elsewhere_is_noted_and_not_believed_when_too_good(tmp_path: Path) -> None:
    found = judged(
        tmp_path,
        """
import numpy as np
from ljwx_pipeline.factors.leaks.market import Market
from ljwx_pipeline.factors.leaks.synthetic import synthetic_market
def factors(panel):
    whole = synthetic_market().panel
    close = whole.fields["close"]
    told = np.full_like(close, np.nan)
    told[:, :-1] = close[:, 1:] / close[:, :-1]
    rows = [whole.symbols.index(s) if s in whole.symbols else 0 for s in panel.symbols]
    return {"stored": told[rows][:, : len(panel.sessions)]}
""",
    )
    assert kinds(found) == {"stored": {"too-good"}}
    assert "nothing of the panel moves it" in found["stored"].note


def test_levels_leak_on_prices_that_are_rebased_and_returns_do_not(tmp_path: Path) -> None:
    whole = synthetic_market()
    fields = {name: whole.panel.fields[name] for name in FACTOR_FIELDS}
    rebased = Market(Panel(whole.panel.symbols, whole.panel.sessions, fields), {}, rebased=True)
    path = tmp_path / "mine.py"
    path.write_text(
        "from ljwx_pipeline.expressions.operators import field, ref\n"
        "FACTORS = {'level': field('close'), 'change': field('close') / ref(field('close'), 5) - 1}\n"
    )
    found = {verdict.name: verdict for verdict in judge_file(path, rebased, CUTS)}
    assert kinds(found) == {"level": {"restatement"}, "change": set()}


def test_what_a_neighbour_of_the_file_remembers_hides_no_leak(tmp_path: Path) -> None:
    (tmp_path / "keeper_of_mine.py").write_text("KEPT = {}\n")
    found = judged(
        tmp_path,
        """
from keeper_of_mine import KEPT
def factors_pandas(bars):
    KEPT.setdefault("mean", bars["amount_cny"].mean())
    return (bars["amount_cny"] / KEPT["mean"]).rename("turnover")
""",
    )
    assert kinds(found) == {"turnover": {"look-ahead"}}


def test_an_expression_is_held_to_its_own_window_and_to_bits(tmp_path: Path) -> None:
    found = judged(
        tmp_path,
        "from ljwx_pipeline.expressions.operators import field, mean, ref\n"
        "FACTORS = [('honest', mean(field('close'), 5)), ('ahead', ref(field('close'), -1))]",
    )
    assert kinds(found) == {"honest": set(), "ahead": {"look-ahead"}}


def test_an_expression_may_read_any_field_the_market_knows(tmp_path: Path) -> None:
    found = judged(
        tmp_path,
        "from ljwx_pipeline.expressions.operators import field, group_rank, log, ref\n"
        "size, close = log(field('market_value_cny')), field('close')\n"
        "FACTORS = {'by_industry': group_rank(size, field('industry')), 'age': log(field('listed_sessions') + 1),\n"
        " 'room': field('limit_up_price_cny') / field('raw_close_cny'), 'money_ahead': ref(field('amount_cny'), -1)}",
    )
    assert kinds(found) == {"by_industry": set(), "age": set(), "room": set(), "money_ahead": {"look-ahead"}}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("x = 1", "defines nothing to judge"),
        ("def factors(panel", "is no Python in line 1"),
        ("def factors(panel):\n    return {'x': panel.fields['nosuch']}", "KeyError: 'nosuch' in line 2"),
        ("def factors(panel, prices):\n    return {}", "asks for 'prices'"),
        ("def factors(panel):\n    return {'x': panel.fields['close'].T}", r"of shape \(300, 40\)"),
        ("def factors(panel):\n    return {}", "returns {}"),
        ("def factors_pandas(bars):\n    return bars", "no column of numbers beside"),
        (
            "def factors_pandas(bars):\n    return (bars['close'] * 2).rename('x').reset_index(drop=True)",
            "rows that are not those of bars: keep the index",
        ),
        ("raise SystemExit(3)", "the file raised SystemExit: 3"),
        ('class Stop(BaseException): ...\nraise Stop("now")', "the file raised Stop: now in line 2"),
        ("FACTORS = {}", "FACTORS is empty"),
        ("DECISION = 'noon'\ndef factors(panel):\n    return {}", "DECISION = 'noon' is unknown"),
        ("WINDOW = 0\ndef factors(panel):\n    return {}", "WINDOW = 0 is no number of sessions"),
        ("def transform(features, labels):\n    return 3", "returns a int"),
        ("def split(sessions):\n    return []", "returns no split"),
        ("def split(sessions):\n    return [([0], [10**6])]", "off the sessions"),
        (
            "import numpy\ndef factors(panel):\n    return {'x': numpy.random.rand(*panel.fields['close'].shape)}",
            "on the same market: seed its random numbers",
        ),
    ],
)
def test_what_cannot_be_judged_says_why(text: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(FactorError, match=words):
        judged(tmp_path, text)


def test_a_file_may_import_its_neighbours_and_ask_for_tables_by_name(tmp_path: Path) -> None:
    (tmp_path / "neighbour_of_mine.py").write_text("PERIODS = 3\n")
    found = judged(
        tmp_path,
        """
from neighbour_of_mine import PERIODS
def factors_pandas(data, *, securities, scale=2.0):
    assert set(securities["symbol"]) >= set(data["symbol"])
    return (data.groupby("symbol")["close"].pct_change(PERIODS, fill_method=None) * scale).rename("momentum")
""",
    )
    assert kinds(found) == {"momentum": set()}
