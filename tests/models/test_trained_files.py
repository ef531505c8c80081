"""A trained model is kept with its bytes, and nothing damaged is taken for it."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest

from ljwx_pipeline.errors import LakeError
from ljwx_pipeline.models.fit import Trained
from ljwx_pipeline.models.trained_files import model_hash, read_trained, write_trained
from ljwx_pipeline.scoring.model import Model
from tests.fakes.bundles import grouped_model, tiny_booster

TRAINED = Trained(grouped_model(), 15, 0.0123456789, {"num_leaves": 7, "learning_rate": 0.1, "objective": "rank"}, 400)


def test_what_is_written_is_what_is_read(tmp_path: Path) -> None:
    files = write_trained(tmp_path / "m", TRAINED)
    assert read_trained(tmp_path / "m") == TRAINED
    assert sorted(path.name for path in files) == sorted(path.name for path in (tmp_path / "m").iterdir())


def test_the_same_model_is_the_same_bytes_and_another_is_another(tmp_path: Path) -> None:
    one, two = (write_trained(tmp_path / name, TRAINED) for name in ("one", "two"))
    assert [path.read_bytes() for path in one] == [path.read_bytes() for path in two]
    assert model_hash(tmp_path / "one") == model_hash(tmp_path / "two")
    write_trained(tmp_path / "three", replace(TRAINED, model=Model.of_booster(tiny_booster(seed=1))))
    assert model_hash(tmp_path / "three") != model_hash(tmp_path / "one")


def test_an_earlier_model_of_more_members_leaves_nothing_behind(tmp_path: Path) -> None:
    write_trained(tmp_path / "m", TRAINED)
    write_trained(tmp_path / "m", replace(TRAINED, model=Model.of_booster(tiny_booster())))
    assert sorted(path.name for path in (tmp_path / "m").iterdir()) == ["model.txt", "trained.json"]


def test_a_tail_without_a_rank_ic_stays_unknown(tmp_path: Path) -> None:
    write_trained(tmp_path / "m", replace(TRAINED, tail_rank_ic=math.nan))
    assert math.isnan(read_trained(tmp_path / "m").tail_rank_ic)


@pytest.mark.parametrize("name", ["trained.json", "all.txt", "low.json"])
def test_a_missing_file_is_named(tmp_path: Path, name: str) -> None:
    write_trained(tmp_path / "m", TRAINED)
    (tmp_path / "m" / name).unlink()
    with pytest.raises(LakeError, match=name) as caught:
        read_trained(tmp_path / "m")
    assert "ljwx run --job research" in caught.value.remedy


def test_a_changed_byte_of_a_member_is_refused(tmp_path: Path) -> None:
    write_trained(tmp_path / "m", TRAINED)
    member = tmp_path / "m" / "low.json"
    member.write_bytes(member.read_bytes().replace(b"clip", b"clap"))
    with pytest.raises(LakeError, match=r"low\.json is damaged"):
        read_trained(tmp_path / "m")


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"files": {"a": 1}}'])
def test_a_document_that_is_none_is_refused(tmp_path: Path, text: str) -> None:
    write_trained(tmp_path / "m", TRAINED)
    (tmp_path / "m" / "trained.json").write_text(text)
    with pytest.raises(LakeError):
        read_trained(tmp_path / "m")


def test_a_document_of_other_members_than_files_is_refused(tmp_path: Path) -> None:
    write_trained(tmp_path / "m", TRAINED)
    tree = json.loads((tmp_path / "m" / "trained.json").read_text())
    (tmp_path / "m" / "trained.json").write_text(json.dumps({**tree, "members": tree["members"][1:]}))
    with pytest.raises(LakeError, match="holds no trained model"):
        read_trained(tmp_path / "m")
