"""The explanation finds the planted factor, adds up to the score, repeats itself and draws real pictures."""

from __future__ import annotations

import struct
from datetime import date
from pathlib import Path

import lightgbm as lgb
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

from ljwx_pipeline.errors import ModelError
from ljwx_pipeline.expressions import operators as op
from ljwx_pipeline.factors.catalogue import Factor, catalogue
from ljwx_pipeline.market.calendar import sessions_between
from ljwx_pipeline.models.explain import Explanation, explain
from ljwx_pipeline.models.explain_figures import DOTS_PER_IN, HEIGHT_IN, LETTERS_PT, WIDTH_IN, draw_place, place_bars
from ljwx_pipeline.models.explain_model import contributions, interactions
from ljwx_pipeline.models.explain_pairs import pair_table
from ljwx_pipeline.models.explain_parts import REGIME_WINDOW_SESSIONS, market_regimes, stability
from ljwx_pipeline.models.explain_row import explain_place, percentile
from ljwx_pipeline.models.shap_values import shap_values
from ljwx_pipeline.scoring.model import Member, Model, linear_text
from tests.fakes.bundles import tiny_booster

NAMES = ("A", "B", "C", "D")
FEATURES = np.random.default_rng(0).standard_normal((300, 4)).astype(np.float32)


def explained(**more: object) -> Explanation:
    options = {"sample_rows": 100, "seed": 7, "threads": 1, **more}
    return explain(Model.of_booster(tiny_booster()), FEATURES, NAMES, **options)  # type: ignore[arg-type]


def test_the_factor_that_was_planted_leads_the_table() -> None:
    found = explained()
    assert found.table["factor"].iloc[0] == "A"
    assert found.table["share_frac"].iloc[0] > 0.9
    assert found.table["share_frac"].sum() == pytest.approx(1.0)
    assert found.table["mean_abs_shap"].is_monotonic_decreasing
    assert set(found.table["factor"]) == set(NAMES)
    assert (found.sample_rows, found.images) == (100, ())


def test_the_values_are_those_of_the_tree_explainer() -> None:
    import shap

    booster = lgb.Booster(model_str=tiny_booster())
    values = shap.TreeExplainer(booster).shap_values(FEATURES)
    found = explained(sample_rows=1000).table.set_index("factor")["mean_abs_shap"]
    assert found[list(NAMES)].to_numpy() == pytest.approx(np.abs(values).mean(axis=0), abs=1e-12)


def test_the_sample_is_seeded() -> None:
    assert explained().table.equals(explained().table)
    assert not explained().table.equals(explained(seed=8).table)


def test_a_model_that_learned_nothing_shares_nothing() -> None:
    flat = lgb.train({"verbosity": -1, "min_data_in_leaf": 1000}, lgb.Dataset(FEATURES, np.ones(300)), 1)
    found = explain(Model.of_booster(flat.model_to_string()), FEATURES, NAMES, sample_rows=50, seed=0, threads=1)
    assert found.table["share_frac"].tolist() == [0.0] * 4
    assert found.table["factor"].tolist() == list(NAMES)


def test_pictures_are_written_whole(tmp_path: Path) -> None:
    found = explained(images_dir=tmp_path / "shap")
    assert [path.name for path in found.images] == ["shap_bar.png", "shap_beeswarm.png", "shap_interactions.png"]
    assert sorted(p.name for p in (tmp_path / "shap").glob("*.png")) == ["shap_bar.png", "shap_beeswarm.png"]
    for path in found.images:
        assert path.read_bytes().startswith(b"\x89PNG")
        assert path.stat().st_size > 5000
        width, height = struct.unpack(">II", path.read_bytes()[16:24])
        assert (width, height) == (round(WIDTH_IN * DOTS_PER_IN), round(HEIGHT_IN * DOTS_PER_IN)), "one scale for all"


def test_every_letter_of_a_picture_has_one_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[set[float]] = []

    def saved(figure: Figure, *_: object, **__: object) -> None:
        sizes.append({text.get_fontsize() for text in figure.findobj(Text)})  # type: ignore[attr-defined]

    monkeypatch.setattr(Figure, "savefig", saved)
    explained(images_dir=tmp_path)
    assert sizes == [{LETTERS_PT}] * 3


@pytest.mark.parametrize("features", [FEATURES[:, :3], FEATURES[:0], FEATURES[0]])
def test_rows_of_another_width_or_none_are_refused(features: np.ndarray) -> None:
    with pytest.raises(ModelError, match="cannot be explained"):
        explain(Model.of_booster(tiny_booster()), features, NAMES, sample_rows=10, seed=0, threads=1)


def test_parts_and_folds_are_told_apart_and_their_stability_measured(tmp_path: Path) -> None:
    sector = np.where(FEATURES[:, 1] > 0, "bank", "coal").astype(object)
    other = np.where(FEATURES[:, 0] > 0, "up", "down").astype(object)
    folds = {"2021": Model.of_booster(tiny_booster()), "2022": Model.of_booster(tiny_booster(seed=1))}
    found = explained(
        sample_rows=300, parts={"sector": sector, "trend": other}, folds=folds, images_dir=tmp_path / "pictures"
    )
    assert set(found.parts) == {"sector", "trend", "fold"}
    by_sector = found.parts["sector"]
    assert by_sector.groupby("part")["share_frac"].sum().tolist() == pytest.approx([1.0, 1.0])
    assert by_sector.drop_duplicates("part").set_index("part")["rows"].sum() == 300
    assert (by_sector[by_sector["rank"] == 1]["factor"] == "A").all()
    weighed = by_sector["rows"] * by_sector["mean_abs_shap"]
    whole = weighed.groupby(by_sector["factor"]).sum() / 300
    assert whole[list(NAMES)].to_numpy() == pytest.approx(
        found.table.set_index("factor").loc[list(NAMES), "mean_abs_shap"]
    )
    (pair,) = found.stability.to_dict("records")
    assert (pair["first"], pair["second"]) == ("2021", "2022")
    assert -1.0 <= pair["rank_correlation"] <= 1.0
    assert sorted(path.name for path in (tmp_path / "pictures" / "parts").iterdir()) == [
        "shap_by_fold.png", "shap_by_sector.png", "shap_by_trend.png", "shap_interactions.png",
    ]  # fmt: skip


def test_stability_is_the_rank_correlation_of_importance() -> None:
    from scipy.stats import spearmanr

    rng = np.random.default_rng(3)
    frames = []
    for part in ("b", "a", "flat"):
        sizes = np.zeros(9) if part == "flat" else rng.random(9)
        frames.append(pd.DataFrame({"part": part, "factor": list("ABCDEFGHI"), "mean_abs_shap": sizes}))
    found = stability(pd.concat(frames))
    assert found[["first", "second"]].to_numpy().tolist() == [["b", "a"], ["b", "flat"], ["a", "flat"]]
    expected = spearmanr(frames[0]["mean_abs_shap"], frames[1]["mean_abs_shap"]).statistic
    assert found["rank_correlation"].iloc[0] == pytest.approx(expected)
    assert found["rank_correlation"].iloc[1:].isna().all(), "a part that ranks all alike compares with none"
    assert len(stability(frames[0])) == 0


def test_a_regime_is_the_third_of_the_markets_past_trend_and_volatility() -> None:
    sessions = sessions_between(date(2020, 1, 2), date(2021, 12, 31))
    count, window = len(sessions), REGIME_WINDOW_SESSIONS
    rng = np.random.default_rng(0)
    drift = np.where(np.arange(count) < count // 2, 0.004, -0.004)
    noise = np.where(np.arange(count) < count // 2, 0.001, 0.02)
    market = drift + noise * rng.standard_normal(count)
    close = 10 * np.cumprod(1 + np.tile(market, (3, 1)), axis=1)
    close[0, 5:9] = np.nan
    found = market_regimes(close, sessions)
    assert (found.iloc[:window] == "unknown").all().all(), "no session knows its past yet"
    assert (found["trend"].iloc[window : count // 2] != "falling").all()
    assert (found["trend"].iloc[count // 2 + window :] != "rising").all()
    assert (found["volatility"].iloc[window : count // 2] != "volatile").all()
    assert found["trend"].iloc[window:].value_counts().to_numpy() == pytest.approx((count - window) / 3, abs=1)
    cut = market_regimes(close[:, :window], sessions[:window])
    assert (cut == "unknown").all().all()


def test_pairs_find_the_interaction_that_was_planted() -> None:
    label = np.sign(FEATURES[:, 1]) * np.sign(FEATURES[:, 2]) + 0.5 * FEATURES[:, 0]
    text = lgb.train({"verbosity": -1, "num_leaves": 8, "num_threads": 1}, lgb.Dataset(FEATURES, label), 30)
    model = Model.of_booster(text.model_to_string())
    found = pair_table(model, FEATURES, NAMES, ["A", "B", "C", "D"])
    assert len(found) == 6
    assert found[["first", "second"]].iloc[0].tolist() == ["B", "C"]
    assert found["mean_abs_interaction"].iloc[0] > 3 * found["mean_abs_interaction"].iloc[1]
    assert found["share_frac"].between(0, 1).all()


def mixed() -> Model:
    """Two boosters and a linear member; one group has a booster of its own."""
    linear = linear_text(np.full(4, 0.1), np.full(4, 2.0), np.array([1.0, 0.0, -0.5, 0.2]), intercept=0.3, clip=1.0)
    texts = {"a.txt": tiny_booster(), "b.txt": tiny_booster(seed=5), "c.json": linear}
    members = (
        Member("a.txt", weight=0.5),
        Member("c.json", kind="linear", weight=2.0),
        Member("b.txt", group=7),
        Member("b.txt", output="lower"),
    )
    return Model(members, texts, "industry")


def test_contributions_of_many_members_sum_to_the_score_row_by_row() -> None:
    features = FEATURES.copy()
    features[::7, 2] = np.nan
    groups = np.where(np.arange(300) % 3 == 0, 7, -1).astype(np.int16)
    found = contributions(mixed(), features, groups)
    score = mixed().predict(features, groups).score
    added = found.values  # noqa: PD011 - no pandas object
    assert added.sum(axis=1) + found.base == pytest.approx(score, abs=1e-12)
    assert len(set(found.base)) == 2, "groups start from their own mean"
    own = shap_values(tiny_booster(seed=5), features[::3])
    assert np.array_equal(added[::3], own.values)
    assert "linear" in found.methods
    pairs = interactions(mixed(), features, range(4), groups)
    assert pairs.sum(axis=2) == pytest.approx(added, abs=1e-12)
    with pytest.raises(ModelError, match="members by industry and was given no groups"):
        contributions(mixed(), features)


CATALOGUE = catalogue(
    "tiny", [Factor(n, op.field("close") + i, f"means {n}", "a book", "ratio") for i, n in enumerate(NAMES)]
)
SYMBOLS = tuple(f"{600000 + at}.SH" for at in range(50))


def test_a_place_is_explained_against_the_session() -> None:
    rows = FEATURES[:50].copy()
    rows[3], rows[4, 1] = np.nan, np.nan
    model = Model.of_booster(tiny_booster())
    score = model.predict(rows).score
    score[3] = -np.inf
    first = explain_place(model, rows, SYMBOLS, CATALOGUE)
    assert (first.rank, first.ranked, first.symbol) == (1, 49, SYMBOLS[int(np.argmax(score))])
    assert first.reasons[0].factor == "A"
    assert first.reasons[0].percentile > 0.5
    assert (first.reasons[0].meaning, first.reasons[0].source) == ("means A", "a book")
    assert sum(one.beyond_session for one in first.reasons) == pytest.approx(first.score - first.session_score)
    gap = explain_place(model, rows, SYMBOLS, CATALOGUE, symbol=SYMBOLS[4])
    missing = next(one for one in gap.reasons if one.factor == "B")
    assert (missing.value, missing.percentile) == (None, None)
    assert gap.rank == 1 + int((score > score[4]).sum()) + int((score[:4] == score[4]).sum()), "ties by symbol"
    with pytest.raises(ModelError, match=r"600003\.SH has no factor value in the session"):
        explain_place(model, rows, SYMBOLS, CATALOGUE, symbol=SYMBOLS[3])
    with pytest.raises(ModelError, match="no stock of the session has any factor"):
        explain_place(model, np.full((50, 4), np.nan, np.float32), SYMBOLS, CATALOGUE)


def test_a_place_of_routed_members_counts_where_each_group_starts(tmp_path: Path) -> None:
    groups = np.where(np.arange(50) % 2 == 0, 7, -1).astype(np.int16)
    place = explain_place(mixed(), FEATURES[:50], SYMBOLS, CATALOGUE, symbol=SYMBOLS[1], groups=groups)
    assert place.base_beyond_session != 0.0
    total = sum(one.beyond_session for one in place.reasons) + place.base_beyond_session
    assert total == pytest.approx(place.score - place.session_score)
    (picture,) = draw_place(place, "2024-01-31", tmp_path, top=2)
    assert picture.name == "place_600001.SH_2024-01-31.png"
    assert picture.read_bytes().startswith(b"\x89PNG")
    bars = place_bars(place, top=2)
    assert [label.split(" (")[0] for label, _ in bars[:2]] == [reason.factor for reason in place.reasons[:2]]
    assert [label for label, _ in bars[2:]] == [f"{len(NAMES) - 2} other factors", "start of its group"]
    assert bars[2][1] == pytest.approx(100 * sum(reason.beyond_session for reason in place.reasons[2:]))
    assert sum(size for _, size in bars) == pytest.approx(100 * (place.score - place.session_score))
    assert [label for label, _ in place_bars(place, top=len(NAMES))][len(NAMES) :] == ["start of its group"]


def test_a_percentile_counts_equal_values_half() -> None:
    values = np.array([1.0, 2.0, 2.0, np.nan, 3.0])
    assert [percentile(values, at) for at in (1.0, 2.0, 3.0)] == [0.125, 0.5, 0.875]
    assert percentile(values, np.nan) is None
