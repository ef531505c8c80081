"""A user's file of factors: every form it may take, and what is said of one that declares none."""

from __future__ import annotations

from pathlib import Path

import pytest

from ljwx_pipeline.errors import FactorError
from ljwx_pipeline.factors.catalogues import open_catalogue
from ljwx_pipeline.factors.factor_file import FactorFile
from ljwx_pipeline.factors.leaks.synthetic import CUTS, synthetic_market
from ljwx_pipeline.factors.leaks.user_file import judge_file

HEAD = """
from ljwx_pipeline.expressions.operators import field, mean, ref
from ljwx_pipeline.factors.catalogue import Factor, catalogue

close = field("close")
GAP, BACK = close / mean(close, 10), close / ref(close, 5)
TOLD = Factor("BACK", BACK, "five sessions' return", "my notebook", "fraction")
"""
PAIRS = HEAD + 'FACTORS = [("GAP", GAP), TOLD]\n'
FORMS = {
    "pairs and factors": PAIRS,
    "a mapping": HEAD + 'FACTORS = {"GAP": GAP, "BACK": TOLD}\n',
    "a catalogue": HEAD + 'FACTORS = catalogue("mine", [Factor("GAP", GAP, "m", "s", "u"), TOLD])\n',
    "a function": HEAD
    + 'make = catalogue\ndef catalogue():\n    return make("mine", [Factor("GAP", GAP, "m", "s", "u"), TOLD])\n',
}


def written(folder: Path, text: str) -> Path:
    path = folder / "mine.py"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("form", FORMS)
def test_every_form_opens_as_the_same_catalogue_and_is_judged_by_the_leak_checks(form: str, tmp_path: Path) -> None:
    path = written(tmp_path, FORMS[form])
    opened = open_catalogue(str(path))
    assert (opened.name, opened.names, opened.window) == ("mine", ("GAP", "BACK"), 10)
    assert opened.version_hash == FactorFile(written(tmp_path, PAIRS)).catalogue().version_hash
    assert opened.factors[1].meaning == "five sessions' return"
    verdicts = judge_file(written(tmp_path, FORMS[form]), synthetic_market(), CUTS)
    assert [(verdict.name, verdict.leaks) for verdict in verdicts] == [("GAP", False), ("BACK", False)]


def test_a_bare_expression_is_explained_by_its_formula_and_its_file(tmp_path: Path) -> None:
    gap = FactorFile(written(tmp_path, PAIRS)).factors()[0]
    assert (gap.meaning, gap.source, gap.unit) == ("(close / mean(close, 10))", "mine.py", "not stated")


def test_a_factor_that_looks_ahead_is_judged_and_never_opened(tmp_path: Path) -> None:
    path = written(tmp_path, HEAD + 'FACTORS = {"AHEAD": close / ref(close, -5)}\n')
    (verdict,) = judge_file(path, synthetic_market(), CUTS)
    assert {finding.kind for finding in verdict.findings} == {"look-ahead"}
    with pytest.raises(FactorError, match="AHEAD looks 5 sessions ahead"):
        open_catalogue(str(path))


def test_each_file_has_its_own_neighbours_as_they_are_now(tmp_path: Path) -> None:
    text = HEAD + (
        "from ljwx_pipeline.factors.catalogue import catalogue as made\n"
        "def catalogue():\n    from span_of_mine import span\n"
        '    return made("mine", [Factor("DEV", close / mean(close, span), "m", "s", "u")])\n'
    )
    windows = []
    for folder, span in (("one", 5), ("two", 9), ("one", 12)):
        (tmp_path / folder).mkdir(exist_ok=True)
        (tmp_path / folder / "span_of_mine.py").write_text(f"span = {span}\n", encoding="utf-8")
        windows.append(open_catalogue(str(written(tmp_path / folder, text))).window)
    assert windows == [5, 9, 12]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("x = 1", "mine.py declares no factor: define FACTORS"),
        ("from ljwx_pipeline.factors.catalogue import catalogue", "mine.py declares no factor"),
        ("FACTORS = 3", "FACTORS is int, no mapping and no list"),
        ("FACTORS = []", "FACTORS is empty"),
        ("FACTORS = [4]", "FACTORS holds 4: write"),
        ("FACTORS = {'x': 3}", "factor x is a int, not an expression"),
        (HEAD + "FACTORS = {'OTHER': TOLD}", "FACTORS calls factor BACK 'OTHER'"),
        (HEAD + "FACTORS = [TOLD, TOLD]", "two factors of FACTORS are called BACK"),
        (HEAD + "FACTORS = {'a gap': GAP}", "'a gap' is no name for a factor"),
        ("FACTORS = []\ndef catalogue():\n    return 3", "with FACTORS and with catalogue"),
        ("def catalogue():\n    return 3", "returned int, not a Catalogue"),
        ("def catalogue():\n    return 1 / 0", r"catalogue\(\) raised ZeroDivisionError: .* in line 2 of mine.py"),
        (HEAD + "FACTORS = {'LONG': mean(close, 10**12)}", "LONG needs 1000000000000 sessions, and 10000 are allowed"),
        (HEAD + "FACTORS = {'sample_id': GAP}", "cannot be called sample_id"),
        (HEAD + "x = 3\nMIXED = field('industry') + 1", "wants numbers, and industry is a category in line"),
        (HEAD + "FACTORS = {'NONE': mean(close, 0)}", "in line .* of mine.py: "),
        ("FACTORS = (n for n in [1 / 0])", "the file raised ZeroDivisionError"),
    ],
)
def test_what_is_no_file_of_factors_says_why(text: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(FactorError, match=words):
        FactorFile(written(tmp_path, text)).catalogue()


def test_what_a_file_prints_is_not_the_command_s_answer(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    FactorFile(written(tmp_path, PAIRS + 'print("loaded")\n')).catalogue()
    assert capsys.readouterr() == ("", "loaded\n")
