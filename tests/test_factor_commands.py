"""``ljwx factors``: what is listed and shown, refusals without a traceback, the page equal to the code."""

from __future__ import annotations

import inspect
import json
import re
from pathlib import Path

import pytest

from ljwx_pipeline.cli import main
from ljwx_pipeline.errors import FactorError
from ljwx_pipeline.expressions import operators
from ljwx_pipeline.expressions.fields import FIELDS
from ljwx_pipeline.factor_commands import operator_table
from ljwx_pipeline.factors.alpha158 import alpha158

PAGE = Path(__file__).resolve().parent.parent / "docs" / "factors.md"


def test_list_says_every_factor_of_a_catalogue(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["factors", "list", "--catalogue", "alpha158", "--json"]) == 0
    body = json.loads(capsys.readouterr().out)
    assert [row["name"] for row in body["factors"]] == list(alpha158().names)
    (catalogue,) = body["catalogues"]
    assert catalogue["version_hash"] == alpha158().version_hash
    assert catalogue["window_sessions"] == 61
    assert main(["factors", "list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("alpha158: 158 factors, 61 sessions")
    assert sum(line.startswith("alpha158 ") for line in lines) == 158


def test_show_explains_one_factor_whatever_the_case(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["factors", "show", "cord5", "--json"]) == 0
    (factor,) = json.loads(capsys.readouterr().out)["factors"]
    assert factor == {
        "catalogue": "alpha158",
        "name": "CORD5",
        "formula": "corr((close / ref(close, 1)), log(((volume / ref(volume, 1)) + 1.0)), 5)",
        "window_sessions": 6,
        "inputs": ["close", "volume"],
        "unit": "correlation",
        "meaning": "correlation of the close's and the volume's change over 5 sessions",
        "source": "qlib 0.9.7, Alpha158",
    }
    assert main(["factors", "show", "CORD5"]) == 0
    assert "inputs           close, volume" in capsys.readouterr().out


def test_an_unknown_factor_or_catalogue_is_one_line_with_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["factors", "show", "CORD6"]) == FactorError.exit_code
    assert "no catalogue has a factor 'CORD6': did you mean CORD60, CORD5" in capsys.readouterr().err
    assert main(["factors", "list", "--catalogue", "alpha1"]) == FactorError.exit_code
    assert "use one of alpha158" in capsys.readouterr().err


def test_language_says_every_operator_and_field(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["factors", "language", "--json"]) == 0
    body = json.loads(capsys.readouterr().out)
    assert [field["name"] for field in body["fields"]] == list(FIELDS)
    defined = re.findall(r"^def (\w+)\(", inspect.getsource(operators), flags=re.MULTILINE)
    assert [row["call"].split("(")[0] for row in body["operators"]] == defined
    assert main(["factors", "language"]) == 0
    assert "neutralise(series, *regressors, by=None)" in capsys.readouterr().out


def cells(*texts: str) -> str:
    return f"| {' | '.join(text.replace('``', '`').replace('|', '&#124;') for text in texts)} |"


def test_the_page_lists_the_operators_and_fields_as_the_code_has_them() -> None:
    text = PAGE.read_text(encoding="utf-8")
    operator_rows = [cells(f"`{call}`", said) for call, said in operator_table()]
    field_rows = [cells(f"`{f.name}`", str(f.kind), f.unit, f.meaning, f.levels) for f in FIELDS.values()]
    for mark, rows in (("operators", operator_rows), ("fields", field_rows)):
        between = text.split(f"<!-- {mark} -->")[1].split(f"<!-- /{mark} -->")[0].strip().splitlines()
        assert between[2:] == rows, "\n".join(["replace the rows of docs/factors.md with", *rows])
