"""The kinds of tracked runs, the tag ``kind`` of every run, and the tags that runs are filtered by."""

from __future__ import annotations

from typing import Literal

Kind = Literal[
    "research", "training", "trial", "fold", "evaluation", "promotion", "sweep", "comparison", "candidate", "paths",
    "path",
]  # fmt: skip

#: Tags of a research run and of a comparison that each run below it repeats, so that a table of trials, folds or
#: candidates can be filtered by them.
SHARED_TAGS = (
    "profile", "market", "simulated", "factors", "model_kind", "strategy", "dataset_hash", "data_hash", "factor_hash",
    "label_hash", "config_hash", "git_revision",
)  # fmt: skip
