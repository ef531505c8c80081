"""Pictures of explanations, one size and one size of letters for all, as PNG files.

Not here: the numbers in them (``explain.py`` and its neighbours), where pictures are published (``registry.py``).
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ljwx_pipeline.models.explain_row import Place

SHOWN_FACTORS = 20
#: Of a picture: as wide as the report's other figures, letters of their size, enough dots for a sharp print.
WIDTH_IN, HEIGHT_IN, LETTERS_PT, DOTS_PER_IN = 9.2, 5.4, 9, 170
#: Factors of a map by part, and parts of one: more cannot be read.
MAPPED_FACTORS, MAPPED_PARTS = 15, 12
#: Bars of one stock's picture from which on it grows taller, and by how much a bar.
BARS_OF_HEIGHT, BAR_IN = 14, 0.36
#: A start this near to the session's is that start: the mean of equal numbers is a rounding away from them.
ROUNDING = 1e-9
UP, DOWN = "#b5322f", "#1f5fa8"
RANK_HUNDREDTHS = "hundredths of a rank"


def draw_importance(
    values: NDArray[np.float64],
    sample: NDArray[np.float32],
    base: NDArray[np.float64],
    names: tuple[str, ...],
    folder: Path,
) -> tuple[Path, ...]:
    """Write a bar picture of mean sizes and shap's beeswarm of a sample's contributions."""

    def bar() -> None:
        mean_abs = np.abs(values).mean(axis=0)
        order = np.argsort(-mean_abs, kind="stable")[:SHOWN_FACTORS][::-1]
        axes = _axes()
        drawn = axes.barh([names[position] for position in order], 100 * mean_abs[order], color=DOWN)
        axes.bar_label(drawn, fmt="%.2f", padding=3)
        axes.set_xlabel(f"mean |SHAP value|, {RANK_HUNDREDTHS}")
        axes.margins(y=0.01)

    def beeswarm() -> None:
        import matplotlib.pyplot as plt
        import shap  # heavy: only when drawn

        explanation = shap.Explanation(values=values, base_values=base, data=sample, feature_names=list(names))
        shap.plots.beeswarm(
            explanation, max_display=SHOWN_FACTORS, show=False, plot_size=None, color_bar_label="factor value"
        )
        axes = plt.gca()
        axes.set_xlabel("SHAP value: effect on the score, which is a rank in [-0.5, 0.5]")
        axes.set_yticks(
            axes.get_yticks(), [label.get_text().replace("features", "factors") for label in axes.get_yticklabels()]
        )

    return _written(folder, {"shap_bar": bar, "shap_beeswarm": beeswarm})


def draw_parts(by_part: pd.DataFrame, what: str, folder: Path) -> tuple[Path, ...]:
    """Write a map of the leading factors' shares by part as ``shap_by_<what>.png``; the parts of most rows."""
    mean = by_part.groupby("factor")["share_frac"].mean()
    factors = list(mean.sort_values(ascending=False, kind="stable").index[:MAPPED_FACTORS])
    rows = by_part.drop_duplicates("part").set_index("part")["rows"]
    parts = [part for part in rows.index if part in set(rows.nlargest(MAPPED_PARTS).index)]
    shares = by_part.set_index(["factor", "part"])["share_frac"]
    grid = np.array([[100 * shares[factor, part] for part in parts] for factor in factors])

    def draw() -> None:
        import matplotlib.pyplot as plt

        axes = _axes()
        image = axes.imshow(grid, aspect="auto", cmap="Blues", vmin=0.0)
        axes.set_yticks(range(len(factors)), factors)
        axes.set_xticks(range(len(parts)), parts, rotation=0 if len(parts) <= 7 else 30)
        for y, row in enumerate(grid):
            for x, share in enumerate(row):
                axes.text(x, y, f"{share:.1f}", ha="center", va="center", color=_ink(share, grid.max()))
        plt.gcf().colorbar(image, ax=axes, label="share of all contributions, %")
        left = len(rows) - len(parts)
        axes.set_xlabel(what if not left else f"{what}: the {len(parts)} of most rows, {left} more in the table")

    return _written(folder, {f"shap_by_{what}": draw})


def draw_pairs(pairs: pd.DataFrame, folder: Path) -> tuple[Path, ...]:
    """Write a bar picture of the leading pairs as ``shap_interactions.png``."""
    shown = pairs.head(SHOWN_FACTORS).iloc[::-1]

    def draw() -> None:
        axes = _axes()
        labels = [f"{first} x {second}" for first, second in zip(shown["first"], shown["second"], strict=True)]
        drawn = axes.barh(labels, 100 * shown["mean_abs_interaction"], color=DOWN)
        axes.bar_label(drawn, labels=[f"{100 * share:.0f} %" for share in shown["share_frac"]], padding=3)
        axes.set_xlabel(f"mean |interaction|, {RANK_HUNDREDTHS}; beside it its share of what the two do")
        axes.margins(y=0.01)

    return _written(folder, {"shap_interactions": draw})


def draw_place(place: Place, session: str, folder: Path, *, top: int) -> tuple[Path, ...]:
    """Write why one stock stands where it stands as ``place_<symbol>_<session>.png``: ``place_bars`` as drawn bars."""
    bars = place_bars(place, top=top)[::-1]

    def draw() -> None:
        axes = _axes()
        axes.figure.set_figheight(max(HEIGHT_IN, HEIGHT_IN + BAR_IN * (len(bars) - BARS_OF_HEIGHT)))
        sizes = [size for _, size in bars]
        drawn = axes.barh([label for label, _ in bars], sizes, color=[UP if size > 0 else DOWN for size in sizes])
        axes.bar_label(drawn, fmt="%+.2f", padding=3)
        axes.axvline(0.0, color="black", linewidth=0.8)
        axes.margins(x=0.12, y=0.01)
        axes.set_xlabel(f"effect on the score beyond the session's mean stock, {RANK_HUNDREDTHS}")
        axes.set_title(
            f"{place.symbol}, {session}: ranked {place.rank} of {place.ranked}, score {place.score:+.4f}, "
            f"session's mean {place.session_score:+.4f}",
            loc="left",
        )

    return _written(folder, {f"place_{place.symbol}_{session}": draw})


def place_bars(place: Place, *, top: int) -> list[tuple[str, float]]:
    """Return the bars of a place, largest factor first, each with its label and size in hundredths of a rank.

    The ``top`` first factors, one bar for all others, and one for the group's start where members are routed; their sum
    is ``score - session_score``.
    """
    bars = [
        (
            f"{reason.factor} (percentile {'-' if reason.percentile is None else f'{100 * reason.percentile:.0f}'})",
            reason.beyond_session,
        )
        for reason in place.reasons[:top]
    ]
    others = place.reasons[top:]
    if others:
        bars.append((f"{len(others)} other factors", sum(reason.beyond_session for reason in others)))
    if abs(place.base_beyond_session) > ROUNDING:
        bars.append(("start of its group", place.base_beyond_session))
    return [(label, 100 * size) for label, size in bars]


def _axes() -> Any:
    import matplotlib.pyplot as plt

    axes = plt.gcf().add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    return axes


def _ink(share: float, largest: float) -> str:
    return "white" if share > 0.6 * largest else "black"


def _written(folder: Path, pictures: dict[str, Callable[[], None]]) -> tuple[Path, ...]:
    """Draw each picture on a figure of its own and write it whole."""
    # heavy (matplotlib, seconds): only when pictures are asked for
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt
    from matplotlib.text import Text

    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, draw in pictures.items():
        # shap draws into whatever figure is current
        figure = plt.figure(figsize=(WIDTH_IN, HEIGHT_IN), layout="constrained")
        try:
            draw()
            # shap sets letters of its own, of three sizes
            for text in figure.findobj(Text):
                text.set_fontsize(LETTERS_PT)
            path = folder / f"{name}.png"
            with tempfile.NamedTemporaryFile(dir=folder, suffix=".png", delete=False) as partial:
                figure.savefig(partial, dpi=DOTS_PER_IN)
            Path(partial.name).replace(path)
            written.append(path)
        finally:
            plt.close(figure)
    return tuple(written)
