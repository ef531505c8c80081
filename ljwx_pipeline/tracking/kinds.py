"""The kinds of tracked runs: the tag ``kind`` of every run."""

from __future__ import annotations

from typing import Literal

Kind = Literal["research", "training", "trial", "fold", "evaluation", "promotion", "sweep", "comparison", "candidate"]
