"""The model card: one Markdown page that says what a model is, what it showed and what it must not be used for.

Not here: the decision it reports (``gate.py``), the full evaluation report (``evaluation/report.py``).
"""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from ljwx_pipeline.models.walk_forward import FoldRecord
from ljwx_pipeline.promotion.gate import Decision
from ljwx_pipeline.scoring.bundle import Manifest

TOP_FACTORS = 10
_SIMULATED = (
    "> **Simulated market.** This model has learned from generated prices with a planted signal. "
    "Nothing on this page says anything about a real security.\n"
)


def model_card(
    manifest: Manifest,
    *,
    bundle_hash: str,
    folds: Sequence[FoldRecord],
    decision: Decision,
    shap_table: pd.DataFrame,
) -> str:
    """Return the card as Markdown; the same inputs give the same text.

    Parameters
    ----------
    shap_table
        ``Explanation.table``: columns factor, mean_abs_shap, share_frac, largest first.
    """
    return "\n".join(
        [
            f"# {manifest.model_name}\n",
            *([_SIMULATED] if manifest.simulated else []),
            f"Bundle `{bundle_hash}`. **{decision.decision.capitalize()}.**\n",
            "## What it does\n",
            "Ranks the stocks of a session by expected return, "
            f"from {len(manifest.factor_names)} factors of daily bars. "
            f"A LightGBM regression of {manifest.rounds} rounds on the label's rank within its session. "
            "A score orders stocks within one session; its size means nothing, "
            "and scores of two sessions do not compare.\n",
            "## What it learned from\n",
            _table(
                ("what", "value"),
                [
                    ("sessions", f"{manifest.first_session} to {manifest.last_session}"),
                    ("profile", manifest.profile),
                    ("data", f"`{manifest.data_hash[:16]}`"),
                    ("factors", f"`{manifest.factor_hash[:16]}`"),
                    ("label", f"`{manifest.label_hash[:16]}`"),
                    ("configuration", f"`{manifest.config_hash[:16]}`"),
                    ("code", f"`{manifest.git_revision[:16]}`"),
                    *((f"`{name}`", str(value)) for name, value in sorted(manifest.params.items())),
                ],
            ),
            "## What it showed out of sample\n",
            _table(
                ("fold", "test sessions", "rank IC", "rounds", "rows trained on"),
                [
                    (f.name, f"{f.test_first} to {f.test_last}", f"{f.rank_ic:.4f}", str(f.rounds), str(f.train_rows))
                    for f in folds
                ],
            ),
            "## Why it was " + decision.decision + "\n",
            "\n".join(f"- {'passed' if check.passed else '**failed**'}: {check.sentence}" for check in decision.checks),
            "\n## What it leans on\n",
            _table(
                ("factor", "share of mean absolute SHAP"),
                [
                    (str(row.factor), f"{float(str(row.share_frac)):.1%}")
                    for row in shap_table.head(TOP_FACTORS).itertuples(index=False)
                ],
            ),
            "## What it must not be used for\n",
            "Markets, holding periods or entry times other than the label's; sessions long after the last one "
            "it learned from (the runner's `live.max_bundle_age_days` refuses them); a single stock on its own.\n",
        ]
    )


def _table(header: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = [header, ("---",) * len(header), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines) + "\n"
