"""The documents: links lead somewhere, files they name exist, every section of the configuration is explained."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ljwx_pipeline.config import Settings

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted((ROOT / "docs").rglob("*.md"))
#: Folders of the checkout that a document may name a file of.
FOLDERS = (
    "ljwx_pipeline|assets|jobs|feature_repo|docker|benchmarks|tests|profiles|requirements|sources|factors|live|trading"
)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_of_a_page_leads_to_a_file(page: Path):
    for target in re.findall(r"\]\((?!https?://|#)([^)#]+)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_file_a_page_names_exists(page: Path):
    for named in re.findall(rf"`((?:{FOLDERS})/[\w./-]*)`", page.read_text(encoding="utf-8")):
        if "NAME" in named:  # stands for a name of the reader's
            continue
        places = (ROOT / named, ROOT / "ljwx_pipeline" / named)
        assert any(place.exists() for place in places), named


def test_every_section_of_the_configuration_is_explained():
    text = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    sections = [name for name in Settings.model_fields if name != "profile"]
    assert [name for name in sections if f"`[{name}]`" not in text] == []


def test_decisions_are_numbered_without_a_gap_and_say_context_choice_price_and_measurement():
    decisions = sorted((ROOT / "docs" / "decisions").glob("*.md"))
    assert [int(page.name[:3]) for page in decisions] == list(range(1, len(decisions) + 1))
    for page in decisions:
        text = page.read_text(encoding="utf-8")
        assert text.startswith(f"# {page.name[:3]}: ")
        for part in ("**Context.**", "**Choice.**", "**Given up.**", "**Measured"):
            assert part in text, (page.name, part)
