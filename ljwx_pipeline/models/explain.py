"""Explaining a booster: how much each factor moves its scores (SHAP), as a table and as pictures.

Not here: what a factor is (``factors/``), where pictures are published (``registry.py``).
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

import lightgbm as lgb
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ljwx_pipeline.errors import ModelError

SHOWN_FACTORS = 20
#: Of a picture: as wide as the report's other figures, letters of their size, enough dots for a sharp print.
WIDTH_IN, HEIGHT_IN, LETTERS_PT, DOTS_PER_IN = 9.2, 5.4, 9, 170


@dataclass(frozen=True)
class Explanation:
    """Which factors a model leans on.

    Parameters
    ----------
    table
        Columns factor, mean_abs_shap, share_frac (of the sum over factors); largest first, ties by name.
    sample_rows
        Rows it was measured on.
    base_score
        Score before any factor speaks.
    images
        PNG files written; empty when none were asked for.
    """

    table: pd.DataFrame
    sample_rows: int
    base_score: float
    images: tuple[Path, ...]


def explain(
    booster_text: str,
    features: NDArray[np.float32],
    factor_names: tuple[str, ...],
    *,
    sample_rows: int,
    seed: int,
    threads: int,
    images_dir: Path | None = None,
) -> Explanation:
    """Return exact SHAP values of a seeded sample, averaged by factor; write a bar and a beeswarm picture if asked.

    The values are LightGBM's ``pred_contrib``: equal to ``shap.TreeExplainer`` to the last bit. SHAP draws the
    pictures.

    Parameters
    ----------
    features
        float32 of shape ``(rows, len(factor_names))``, NaN allowed.
    sample_rows
        At most so many rows, drawn without replacement.

    Raises
    ------
    ModelError
        Without rows, or when the width is not that of the names.
    """
    if features.ndim != 2 or features.shape[1] != len(factor_names) or len(features) == 0:
        raise ModelError(
            f"features of shape {features.shape} cannot be explained with {len(factor_names)} names",
            "pass the rows the model was trained on",
        )
    chosen = np.sort(np.random.default_rng(seed).permutation(len(features))[:sample_rows])
    sample = np.ascontiguousarray(features[chosen])
    booster = lgb.Booster(model_str=booster_text)
    contributions = np.asarray(booster.predict(sample, pred_contrib=True, num_threads=threads), dtype=np.float64)
    values, base = contributions[:, :-1], float(contributions[0, -1])
    table = pd.DataFrame({"factor": factor_names, "mean_abs_shap": np.abs(values).mean(axis=0)})
    total = float(table["mean_abs_shap"].sum())
    table["share_frac"] = table["mean_abs_shap"] / total if total > 0 else 0.0
    table = table.sort_values(["mean_abs_shap", "factor"], ascending=[False, True], ignore_index=True)
    images: tuple[Path, ...] = ()
    if images_dir is not None:
        images = _draw(values, sample, base, factor_names, images_dir)
    return Explanation(table, len(sample), base, images)


def _draw(
    values: NDArray[np.float64], sample: NDArray[np.float32], base: float, names: tuple[str, ...], folder: Path
) -> tuple[Path, ...]:
    # heavy (matplotlib and shap, two seconds): only when pictures are asked for
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt
    import shap
    from matplotlib.text import Text

    folder.mkdir(parents=True, exist_ok=True)
    explanation = shap.Explanation(
        values=values, base_values=np.full(len(values), base), data=sample, feature_names=list(names)
    )

    def beeswarm() -> None:
        shap.plots.beeswarm(
            explanation, max_display=SHOWN_FACTORS, show=False, plot_size=None, color_bar_label="factor value"
        )
        axes = plt.gca()
        axes.set_xlabel("SHAP value: effect on the score, which is a rank in [-0.5, 0.5]")
        axes.set_yticks(
            axes.get_yticks(), [label.get_text().replace("features", "factors") for label in axes.get_yticklabels()]
        )

    def bar() -> None:
        mean_abs = np.abs(values).mean(axis=0)
        order = np.argsort(-mean_abs, kind="stable")[:SHOWN_FACTORS][::-1]
        axes = plt.gcf().add_subplot()
        drawn = axes.barh([names[position] for position in order], 100 * mean_abs[order], color="#1f5fa8")
        axes.bar_label(drawn, fmt="%.2f", padding=3, fontsize=LETTERS_PT)
        axes.set_xlabel("mean |SHAP value|, hundredths of a rank")
        axes.spines[["top", "right"]].set_visible(False)
        axes.margins(y=0.01)

    written = []
    for name, draw in (("shap_bar.png", bar), ("shap_beeswarm.png", beeswarm)):
        # A figure of its own each: shap draws into whatever figure is current.
        figure = plt.figure(figsize=(WIDTH_IN, HEIGHT_IN), layout="constrained")
        try:
            draw()
            # shap sets letters of its own, of three sizes
            for text in figure.findobj(Text):
                text.set_fontsize(LETTERS_PT)
            path = folder / name
            with tempfile.NamedTemporaryFile(dir=folder, suffix=".png", delete=False) as partial:
                figure.savefig(partial, dpi=DOTS_PER_IN)
            Path(partial.name).replace(path)
            written.append(path)
        finally:
            plt.close(figure)
    return tuple(written)
