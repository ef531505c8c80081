"""The contest's page: whole in both languages, self-contained, the same bytes for the same contest."""

from __future__ import annotations

import re
from dataclasses import replace
from string import Formatter
from xml.etree import ElementTree as ET

import numpy as np
import pandas as pd
import pytest

from ljwx_pipeline.contest.page import PageInputs, pictures, render_contest
from ljwx_pipeline.contest.record import Course, Happening
from ljwx_pipeline.contest.standing import standing
from ljwx_pipeline.contest.wording import WORDS
from tests.contest.contests import ONE, TWO, challenger, contest


def paired(n: int, mean: float, seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    champion = rng.normal(0.0004, 0.01, n)
    days = pd.bdate_range("2026-01-07", periods=n)
    return pd.DataFrame(
        {"session_date": days, "champion": champion, "challenger": champion + mean + 0.004 * rng.standard_normal(n)}
    )


def inputs(sessions: int = 90, status: str = "running", reason: str = "", *happened: Happening) -> PageInputs:
    begun = contest(challenger("2", ONE, capital=0.1), challenger("3", TWO, capital=0.1), mode="canary")
    tables = {"2": paired(sessions, 0.003, 0), "3": paired(sessions, -0.003, 1)} if sessions else {}
    found = tuple(standing(tables[one.version], begun, one) for one in begun.challengers if tables)
    return PageInputs("simulated", True, Course(begun, happened), status, reason, found, tables, 1_000_000.0)


def test_every_text_stands_in_both_languages_with_the_same_places_to_fill() -> None:
    for key, (english, chinese) in WORDS.items():
        fields = [{name for _, name, _, _ in Formatter().parse(text) if name} for text in (english, chinese)]
        assert fields[0] == fields[1], key
        assert bool(english) == bool(chinese), key


def test_the_page_fetches_nothing_runs_nothing_and_is_the_same_again() -> None:
    page = render_contest(inputs())
    assert page == render_contest(inputs())
    assert "<script" not in page
    assert not re.findall(r"(?:src|href)=[\"']?https?://", page)
    assert page.count("<svg ") == 2
    clipped = [set(re.findall(r"url\(#(\w+)\)", svg)) for svg in pictures(inputs()).values()]
    assert clipped[0]
    assert clipped[0].isdisjoint(clipped[1]), "no picture is clipped by another's edges"
    for said in ("better", "in breach", "97.5%", "100,000", "800,000", "SIMULATED"):
        assert said in page, said


@pytest.mark.parametrize("status", ["waiting", "running", "paused", "ended"])
def test_every_status_has_a_page_before_the_first_return_too(status: str) -> None:
    page = render_contest(inputs(0, status, "no bar of session <2026-02-02> is held"))
    assert "No daily return yet." in page
    assert "&lt;2026-02-02&gt;" in page, "a reason is text"


def test_what_happened_is_listed_and_a_rehearsal_is_marked() -> None:
    left = Happening("2026-03-01T10:00:00+00:00", "left", "x", "3", "", "moved", "alias canary-2 was moved by hand")
    page = render_contest(inputs(90, "running", "", left))
    assert page.count("alias canary-2 was moved by hand") >= 2, "in the list and beside the challenger"
    given = inputs()
    rehearsed = replace(given, course=Course(replace(given.course.contest, rehearsal=True)))
    assert "REHEARSAL" in render_contest(rehearsed)
    assert "REHEARSAL" not in render_contest(given)


def test_each_picture_stands_alone() -> None:
    drawn = pictures(inputs())
    assert list(drawn) == ["2", "3"]
    for svg in drawn.values():
        assert ET.fromstring(svg).attrib["width"] == "900"
