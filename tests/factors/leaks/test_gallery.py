"""The gallery: every seeded leak is caught as what it is, and no honest twin is accused."""

from __future__ import annotations

import pytest

from ljwx_pipeline.factors.alpha158 import alpha158
from ljwx_pipeline.factors.leaks import check_leaks
from ljwx_pipeline.factors.leaks.gallery import FOLDER, SEEDED, GalleryRun, Outcome, run_gallery
from ljwx_pipeline.factors.leaks.synthetic import CUTS, synthetic_market


@pytest.mark.parametrize("name", [seeded.name for seeded in SEEDED])
def test_the_leak_is_caught_as_its_kind_and_its_twin_is_not_accused(name: str) -> None:
    (outcome,) = run_gallery((name,)).outcomes
    assert outcome.accused == ()
    assert outcome.seeded.kind in {finding.kind for finding in outcome.found}
    (finding, *_) = (finding for finding in outcome.found if finding.kind == outcome.seeded.kind)
    assert finding.cells > 0
    assert finding.before != finding.after


def test_every_file_of_the_gallery_is_listed_and_has_its_twin() -> None:
    files = {kind: {p.stem for p in (FOLDER / kind).glob("*.py")} - {"__init__"} for kind in ("leaking", "honest")}
    assert files["leaking"] == files["honest"] == {seeded.name for seeded in SEEDED}
    assert len(SEEDED) >= 12


def test_a_leak_that_slips_through_or_a_twin_accused_is_counted() -> None:
    (good,) = run_gallery(("overlapping_folds",)).outcomes
    missed = Outcome(good.seeded, (), ())
    accused = Outcome(good.seeded, good.found, good.found)
    run = GalleryRun((good, missed, accused), 0.0)
    assert run.as_dict() == {"seeded": 3, "caught": 2, "false_accusations": 1}
    assert not run.holds


def test_nothing_of_the_catalogue_is_accused_on_the_gallery_s_market() -> None:
    report = check_leaks(alpha158(), synthetic_market().panel, CUTS)
    assert report.findings == ()
