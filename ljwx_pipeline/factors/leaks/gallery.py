"""The seeded leaks, what each is, and the run that must catch all of them and accuse none of their twins."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ljwx_pipeline.clock import SystemClock
from ljwx_pipeline.factors.leaks.findings import Finding
from ljwx_pipeline.factors.leaks.synthetic import CUTS, synthetic_market
from ljwx_pipeline.factors.leaks.user_file import judge_file

FOLDER = Path(__file__).resolve().parent.parent / "gallery"


@dataclass(frozen=True)
class Seeded:
    """A leak of the gallery: the file's name, the kind that must be found, and what it is."""

    name: str
    kind: str
    what: str


#: Every seeded leak; ``gallery/leaking/NAME.py`` and ``gallery/honest/NAME.py`` hold it and its twin.
SEEDED = (
    Seeded("negative_shift", "look-ahead", "the next session's return by a negative shift"),
    Seeded("expression_ahead", "look-ahead", "an expression that refers to a later session"),
    Seeded("negative_pct_change", "look-ahead", "a percentage change over negative periods"),
    Seeded("centred_window", "look-ahead", "a centred rolling window"),
    Seeded("reversed_rows", "look-ahead", "a rolling window over rows sorted newest first"),
    Seeded("shift_across_symbols", "look-ahead", "a shift that runs from one symbol into the next"),
    Seeded("back_fill", "look-ahead", "suspensions filled backwards"),
    Seeded("interpolation", "look-ahead", "suspensions interpolated"),
    Seeded("full_history_rank", "look-ahead", "a rank among all prices, later ones too"),
    Seeded("full_history_min_max", "look-ahead", "min-max scaling over the whole history"),
    Seeded("mean_over_all_dates", "look-ahead", "a group mean over all dates"),
    Seeded("weekly_resample", "look-ahead", "weeks labelled with their beginning"),
    Seeded("remembered_statistics", "look-ahead", "full-sample statistics kept in a global"),
    Seeded("entry_day_limit_flag", "look-ahead", "rows filtered by the limit flag of the entry session"),
    Seeded("same_day_limit_flag", "same-session", "the close's limit flag used at the open"),
    Seeded("todays_adjustment_level", "restatement", "levels of prices adjusted back from today"),
    Seeded("restated_financials", "restatement", "restated earnings used from the first announcement on"),
    Seeded("period_end_merge", "restatement", "earnings used from the end of their period on"),
    Seeded("todays_industry", "restatement", "today's industry applied to the past"),
    Seeded("future_members", "membership", "ranks among the index members of the last session"),
    Seeded("non_members_in_rank", "membership", "symbols outside the universe in a cross-section"),
    Seeded("count_of_all_listings", "membership", "companies listed later counted in a rank"),
    Seeded("future_index_weights", "membership", "the weights of the last session"),
    Seeded("survivors", "survivorship", "only companies that were never delisted"),
    Seeded("survivors_by_last_bar", "survivorship", "only symbols with a bar on the last session"),
    Seeded("undeclared_history", "warm-up", "more history than the declared window"),
    Seeded("full_sample_scaler", "full-sample-fit", "a scaler fitted on training and tested rows"),
    Seeded("target_encoding", "test-rows", "categories encoded by the labels of all rows"),
    Seeded("own_label", "own-label", "categories encoded by labels, the row's own among them"),
    Seeded("tuning_on_test", "test-rows", "a choice made on tested rows"),
    Seeded("fitted_on_everything", "test-rows", "a model fitted on tested rows"),
    Seeded("early_stopping_overlap", "label-overlap", "early stopping by labels that run into the test"),
    Seeded("overlapping_folds", "label-overlap", "folds that touch while the label reaches ahead"),
)


@dataclass(frozen=True)
class Outcome:
    """How one pair went: what was found in the leak, and what its honest twin was accused of."""

    seeded: Seeded
    found: tuple[Finding, ...]
    accused: tuple[Finding, ...]

    @property
    def caught(self) -> bool:
        """Whether the leak was found, as the kind it is."""
        return any(finding.kind == self.seeded.kind for finding in self.found)


@dataclass(frozen=True)
class GalleryRun:
    """All outcomes, in the order of ``SEEDED``."""

    outcomes: tuple[Outcome, ...]
    seconds: float

    def as_dict(self) -> dict[str, Any]:
        """Return how many were seeded, caught and falsely accused."""
        return {
            "seeded": len(self.outcomes),
            "caught": sum(outcome.caught for outcome in self.outcomes),
            "false_accusations": sum(bool(outcome.accused) for outcome in self.outcomes),
        }

    @property
    def holds(self) -> bool:
        """Whether every leak was caught and nobody falsely accused."""
        counts = self.as_dict()
        return bool(counts["caught"] == counts["seeded"] and counts["false_accusations"] == 0)


def run_gallery(names: tuple[str, ...] | None = None) -> GalleryRun:
    """Judge every leak and its twin on the synthetic market, or those named."""
    clock = SystemClock()
    began = clock.monotonic_s()
    market = synthetic_market()
    outcomes = []
    for seeded in SEEDED:
        if names is None or seeded.name in names:
            found, accused = (
                tuple(
                    finding
                    for verdict in judge_file(FOLDER / kind / f"{seeded.name}.py", market, CUTS)
                    for finding in verdict.findings
                )
                for kind in ("leaking", "honest")
            )
            outcomes.append(Outcome(seeded, found, accused))
    return GalleryRun(tuple(outcomes), clock.monotonic_s() - began)
