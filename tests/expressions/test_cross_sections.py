"""Cross-sections beside pandas on one session; who belongs; stages, threads, pieces and blocks give the same bits."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ljwx_pipeline.errors import FactorError
from ljwx_pipeline.expressions import evaluate as module
from ljwx_pipeline.expressions import operators as op
from ljwx_pipeline.expressions.evaluate import evaluate, evaluate_blocks
from ljwx_pipeline.expressions.nodes import Expr
from ljwx_pipeline.expressions.stages import plan_of
from ljwx_pipeline.market.panel import Panel
from tests.fakes.panels import random_panel

CLOSE, VOLUME, INDUSTRY = op.field("close"), op.field("volume"), op.field("industry")
X, Y, Z = op.field("x"), op.field("y"), op.field("z")
NAN = float("nan")
RETURN = CLOSE / op.ref(CLOSE, 1) - 1
MIXED = {
    "rank": op.cs_rank(RETURN),
    "smooth": op.mean(op.cs_rank(RETURN), 10),
    "alpha": -1 * op.cs_rank(op.corr(op.cs_rank(VOLUME), op.cs_rank(RETURN), 6)),
    "pure": op.std(CLOSE, 20) / CLOSE,
    "shared": op.cs_zscore(op.std(CLOSE, 20) / CLOSE) + op.std(CLOSE, 20) / CLOSE,
    "neutral": op.decay_linear(op.neutralise(op.winsorise(RETURN), op.log(VOLUME), by=INDUSTRY), 5),
    "group": op.group_rank(op.zscore(CLOSE, 12), INDUSTRY),
    "field": op.cs_rank(VOLUME),
}


def computed(expressions: Mapping[str, Expr], panel: Panel, threads: int = 1) -> np.ndarray:
    values = evaluate(expressions, panel, threads)
    return values.values  # noqa: PD011 - not a pandas object


def bits(values: np.ndarray) -> np.ndarray:
    return np.where(np.isnan(values), np.float32(np.nan), values).view(np.uint32)


def market(symbols: int = 40, sessions: int = 90, *, seed: int = 3, suspended: float = 0.06) -> Panel:
    """A panel with industries that change, a universe that changes, and an industry of one."""
    panel = random_panel(symbols=symbols, sessions=sessions, seed=seed, suspended=suspended)
    rng = np.random.default_rng(seed)
    industry = rng.integers(0, 5, (symbols, 1)) + (rng.random((symbols, sessions)) < 0.01) * 1.0
    industry[1] = 77.0
    industry[rng.random((symbols, sessions)) < 0.02] = NAN
    member = (rng.random((symbols, sessions)) < 0.8).astype(float)
    return panel.with_fields({"industry": industry, "in_universe": member})


def column(values: dict[str, list[float]]) -> Panel:
    """Many symbols, one session."""
    fields = {name: np.array(row, dtype=float)[:, None] for name, row in values.items()}
    count = len(next(iter(fields.values())))
    names = tuple(f"{600000 + number}.SH" for number in range(count))
    return Panel(names, pd.DatetimeIndex(["2020-01-02"], name="session_date"), fields)


def section(expression: Expr, **fields: list[float]) -> np.ndarray:
    return evaluate({"e": expression}, column(fields), dtype=np.float64).of("e")[:, 0]


def pandas_zscore(s: pd.Series) -> pd.Series:
    return (s - s.mean()) / s.std() if s.max() > s.min() else s * NAN


def pandas_mad(s: pd.Series) -> pd.Series:
    reach = 2 * 1.4826 * (s - s.median()).abs().median()
    return s.clip(s.median() - reach, s.median() + reach) if reach > 0 else s


WHOLE = {
    "cs_rank": (op.cs_rank(X), lambda s: s.rank(pct=True)),
    "cs_zscore": (op.cs_zscore(X), pandas_zscore),
    "cs_demean": (op.cs_demean(X), lambda s: s - s.mean()),
    "cs_mean": (op.cs_mean(X), lambda s: s * 0 + s.mean()),
    "cs_scale": (op.cs_scale(X), lambda s: s / s.abs().sum() if s.abs().sum() > 0 else s * NAN),
    "winsorise": (op.winsorise(X, 0.1, 0.8), lambda s: s.clip(s.quantile(0.1), s.quantile(0.8))),
    "winsorise_mad": (op.winsorise_mad(X, 2), pandas_mad),
}
GROUPED = {
    "group_rank": (op.group_rank(X, INDUSTRY), lambda g: g.rank(pct=True)),
    "group_demean": (op.group_demean(X, INDUSTRY), lambda g: g.transform(lambda s: s - s.mean())),
    "group_mean": (op.group_mean(X, INDUSTRY), lambda g: g.transform("mean")),
    "group_zscore": (op.group_zscore(X, INDUSTRY), lambda g: g.transform(pandas_zscore)),
    "neutralise": (op.neutralise(X, by=INDUSTRY), lambda g: g.transform(lambda s: s - s.mean())),
}
CELLS = st.tuples(
    st.one_of(st.just(NAN), st.integers(-5, 5).map(lambda v: v / 4)),
    st.sampled_from([1.0, 1.0, 0.0, NAN]),
    st.sampled_from([3.0, 8.0, -1.0, NAN]),
)


@pytest.mark.parametrize("name", WHOLE)
@settings(max_examples=25, deadline=None)
@given(cells=st.lists(CELLS, min_size=1, max_size=40))
def test_the_members_known_values_are_the_cross_section(name: str, cells: list[tuple[float, float, float]]) -> None:
    ours, oracle = WHOLE[name]
    x, member, _ = (list(column) for column in zip(*cells, strict=True))
    seen = pd.Series(x).where(pd.Series(member) == 1)
    want = oracle(seen) if seen.notna().any() else seen
    np.testing.assert_allclose(section(ours, x=x, in_universe=member), want, rtol=1e-9, atol=1e-12)
    everyone = oracle(pd.Series(x)) if pd.Series(x).notna().any() else pd.Series(x)
    np.testing.assert_allclose(section(ours, x=x), everyone, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", GROUPED)
@settings(max_examples=25, deadline=None)
@given(cells=st.lists(CELLS, min_size=1, max_size=40))
def test_groups_are_taken_apart_and_an_unknown_group_is_nan(name: str, cells: list[tuple[float, float, float]]) -> None:
    ours, oracle = GROUPED[name]
    x, member, industry = (pd.Series(column) for column in zip(*cells, strict=True))
    seen = x.where((member == 1) & industry.notna())
    want = oracle(seen.dropna().groupby(industry)).reindex(x.index) if seen.notna().any() else seen
    got = section(ours, x=list(x), in_universe=list(member), industry=list(industry))
    np.testing.assert_allclose(got, want, rtol=1e-9, atol=1e-12)


def least_squares(x: np.ndarray, regressors: np.ndarray, industry: np.ndarray) -> np.ndarray:
    groups = pd.get_dummies(industry).to_numpy(dtype=float)
    # the last regressors are left out where no degree of freedom would remain
    kept = regressors[:, : max(0, len(x) - groups.shape[1] - 1)]
    design = np.column_stack([groups, kept])
    return x - design @ np.linalg.lstsq(design, x, rcond=None)[0]


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), symbols=st.integers(12, 60), scale=st.sampled_from([1.0, 1e9]))
def test_neutralise_leaves_the_residuals_of_least_squares(seed: int, symbols: int, scale: float) -> None:
    rng = np.random.default_rng(seed)
    industry = rng.integers(0, 4, symbols) * 1.0
    y, z = rng.normal(size=symbols) * scale, rng.normal(size=symbols) + 25
    x = rng.normal(size=symbols) + 0.3 * z
    x[rng.random(symbols) < 0.1] = NAN
    z[rng.random(symbols) < 0.1] = NAN
    used = ~np.isnan(x) & ~np.isnan(z)
    fields = {"x": list(x), "y": list(y), "z": list(z), "industry": list(industry)}
    got = section(op.neutralise(X, Y, Z, by=INDUSTRY), **fields)
    assert (np.isnan(got) == ~used).all()
    want = least_squares(x[used], np.column_stack([y / scale, z])[used], industry[used])
    np.testing.assert_allclose(got[used], want, atol=1e-9)
    alone = section(op.neutralise(X, Y), **fields)
    known = ~np.isnan(x)
    np.testing.assert_allclose(
        alone[known], least_squares(x[known], (y / scale)[known, None], np.zeros(known.sum())), atol=1e-9
    )


def test_a_collinear_regressor_changes_nothing_and_a_group_of_one_is_zero() -> None:
    industry = [1.0] * 5 + [2.0] * 5 + [9.0]
    x, y = [*map(float, [3, 1, 4, 1, 5, 9, 2, 6, 5, 3]), 7.0], [*map(float, [2, 7, 1, 8, 2, 8, 1, 8, 2, 8]), 4.0]
    once = section(op.neutralise(X, Y, by=INDUSTRY), x=x, y=y, industry=industry)
    by_group = [3 * code for code in industry]  # told by the groups already
    twice = section(op.neutralise(X, Y, Z, Y * 2 + 1, by=INDUSTRY), x=x, y=y, z=by_group, industry=industry)
    np.testing.assert_array_equal(once, twice)
    assert once[-1] == 0.0


def test_with_too_few_rows_the_last_regressors_are_left_out() -> None:
    x, y, z = [1.0, 2.0, 6.0], [1.0, 5.0, 2.0], [4.0, 1.0, 2.0]
    np.testing.assert_array_equal(
        section(op.neutralise(X, Y, Z), x=x, y=y, z=z), section(op.neutralise(X, Y), x=x, y=y)
    )
    np.testing.assert_array_equal(section(op.neutralise(X, Y), x=x[:2], y=y[:2]), [-0.5, 0.5])


def test_infinite_values_enter_no_cross_section() -> None:
    np.testing.assert_array_equal(section(op.cs_rank(X * X), x=[1e200, 2, 3]), [NAN, 0.5, 1.0])


def test_a_flat_cross_section_has_no_scores() -> None:
    assert np.isnan(section(op.cs_zscore(X), x=[0.1] * 7)).all()


def test_the_bits_do_not_follow_the_numbers_of_categories_or_who_stands_outside() -> None:
    panel = market()
    expressions = {"n": op.neutralise(RETURN, op.log(VOLUME), by=INDUSTRY), "d": op.group_demean(RETURN, INDUSTRY)}
    whole = computed(expressions, panel)
    renamed = panel.with_fields({"industry": 100 - 7 * panel.fields["industry"]})
    np.testing.assert_array_equal(bits(computed(expressions, renamed)), bits(whole))
    never = np.arange(40) % 4 == 0
    panel.fields["in_universe"][never] = 0.0
    inside = Panel(
        tuple(np.array(panel.symbols)[~never]), panel.sessions, {name: v[~never] for name, v in panel.fields.items()}
    )
    np.testing.assert_array_equal(bits(computed(expressions, inside)), bits(computed(expressions, panel)[:, ~never]))


def test_membership_is_that_of_the_session_alone() -> None:
    panel = market()
    before = evaluate(MIXED, panel).of("rank")
    panel.fields["in_universe"][:, 50] = 1.0
    after = evaluate(MIXED, panel).of("rank")
    changed = (bits(before) != bits(after)).any(axis=0)
    assert np.flatnonzero(changed).tolist() == [50]


def test_a_symbol_outside_is_nan_and_later_windows_skip_it() -> None:
    panel = market(suspended=0.0)
    rank = evaluate(MIXED, panel, dtype=np.float64)
    inside = panel.fields["in_universe"] == 1
    assert np.isnan(rank.of("rank")[~inside]).all()
    want = pd.DataFrame(rank.of("rank").T).rolling(10, min_periods=1).mean().T
    np.testing.assert_allclose(rank.of("smooth"), want, rtol=1e-9)


def test_a_window_counts_through_cross_sections() -> None:
    windows = {name: expression.window for name, expression in MIXED.items()}
    assert windows == {
        "rank": 2,
        "smooth": 11,
        "alpha": 7,
        "pure": 20,
        "shared": 20,
        "neutral": 6,
        "group": 12,
        "field": 1,
    }
    assert op.cs_rank(op.ref(CLOSE, -3)).horizon == 3
    assert MIXED["neutral"].inputs == {"close", "volume", "industry"}


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 10_000), end=st.integers(25, 90), suspended=st.sampled_from([0.0, 0.05, 0.4]))
def test_the_last_window_of_sessions_gives_the_bits_of_the_full_history(seed: int, end: int, suspended: float) -> None:
    panel = market(seed=seed, suspended=suspended)
    whole = computed(MIXED, panel)[:, :, end - 1]
    for position, (name, expression) in enumerate(MIXED.items()):
        recent = computed({name: expression}, panel.sessions_slice(end - expression.window, end))[0, :, -1]
        np.testing.assert_array_equal(bits(recent), bits(whole[position]), err_msg=name)


def test_alone_together_on_threads_in_pieces_and_in_blocks_the_bits_are_the_same(monkeypatch) -> None:
    panel = market(symbols=45)
    ahead = MIXED | {"label": op.cs_rank(op.ref(CLOSE, -4) / CLOSE)}
    together = evaluate(ahead, panel)
    values = together.values  # noqa: PD011 - not a pandas object
    assert np.isfinite(values).mean(axis=(1, 2)).min() > 0.4
    for name, expression in ahead.items():
        np.testing.assert_array_equal(bits(evaluate({name: expression}, panel).of(name)), bits(together.of(name)))
    np.testing.assert_array_equal(bits(computed(ahead, panel, threads=3)), bits(values))

    def in_blocks() -> np.ndarray:
        blocks = evaluate_blocks(ahead, panel, block_symbols=20)
        return np.concatenate([np.array([b.of(name) for name in ahead]) for b in blocks], axis=1)

    np.testing.assert_array_equal(bits(in_blocks()), bits(values))
    monkeypatch.setattr(module, "PANEL_BYTES", 8 * 45 * 150)
    assert len(list(module._pieces(plan_of(ahead, frozenset(panel.fields)), panel))) > 3
    np.testing.assert_array_equal(bits(computed(ahead, panel, threads=2)), bits(values))
    np.testing.assert_array_equal(bits(in_blocks()), bits(values))


def test_blocks_share_one_buffer_and_name_their_symbols() -> None:
    panel = market(symbols=45)
    expressions = {"m": op.mean(CLOSE, 5)}
    whole = evaluate(expressions, panel)
    seen: list[str] = []
    bases = set()
    for block in evaluate_blocks(expressions, panel, block_symbols=20, threads=2):
        rows = slice(len(seen), len(seen) + len(block.symbols))
        np.testing.assert_array_equal(bits(block.of("m")), bits(whole.of("m")[rows]))
        bases.add(block.of("m").__array_interface__["data"][0])
        seen += block.symbols
    assert tuple(seen) == panel.symbols
    assert len(bases) == 1
    with pytest.raises(FactorError, match="0 symbols"):
        next(evaluate_blocks(expressions, panel, block_symbols=0))


def test_equal_cross_sections_are_computed_once_and_panels_are_freed() -> None:
    fields = frozenset({"close", "volume", "industry"})
    rank = op.cs_rank(op.std(CLOSE, 20))
    one = plan_of({"a": rank}, fields)
    more = plan_of({"a": rank, "b": op.mean(op.cs_rank(op.std(op.field("close"), 20)), 5)}, fields)
    assert len(one.stages[0].calls) == len(more.stages[0].calls) == 1
    assert one.stages[0].frees == one.stages[0].panels
    deep = op.std(CLOSE, 20)
    for _ in range(5):
        deep = op.cs_rank(op.mean(deep, 3))
    plan = plan_of({"deep": deep}, fields)
    assert len(plan.stages) == 5
    assert plan.peak_panels == 3


def test_what_a_cross_section_reads_is_not_computed_again_by_a_later_stage() -> None:
    deviation = op.std(CLOSE, 20)
    plan = plan_of({"a": op.cs_zscore(deviation) + deviation}, frozenset({"close"}))
    assert set(plan.last.fields) == {plan.stages[0].panels[0], plan.stages[0].calls[0].result}


def test_an_infinite_value_between_stages_is_what_it_is_within_one() -> None:
    grown = CLOSE * 1e308 * CLOSE
    panel = market()
    alone = evaluate({"inverse": 1 / grown}, panel).of("inverse")
    beside = evaluate({"rank": op.cs_rank(grown), "inverse": 1 / grown}, panel).of("inverse")
    np.testing.assert_array_equal(bits(beside), bits(alone))


def test_without_a_cross_section_there_is_one_program() -> None:
    assert plan_of({"a": MIXED["pure"]}, frozenset({"close"})).stages == ()


def test_trees_print_alike_are_equal_and_hash() -> None:
    one = op.neutralise(op.winsorise(RETURN, 0.05, 0.95), op.log(VOLUME), by=INDUSTRY)
    assert str(one) == ("neutralise(winsorise(((close / ref(close, 1)) - 1.0), 0.05, 0.95), by=industry, log(volume))")
    assert one == op.neutralise(op.winsorise(RETURN, 0.05, 0.95), op.log(VOLUME), by=op.field("industry"))
    assert len({hash(one), hash(op.neutralise(RETURN, by=INDUSTRY))}) == 2
