"""``ljwx explain``: why a stock is ranked where it is, from what is stored; mistakes are one line with their remedy."""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from assets.datasets import save_dataset
from assets.io_managers import write_table
from ljwx_pipeline.cli import main
from ljwx_pipeline.config import load_settings, market_home, market_name
from ljwx_pipeline.dataset import Dataset
from ljwx_pipeline.errors import BundleError, ConfigError, EnvironmentFault, LakeError, ModelError, RegistryError
from ljwx_pipeline.factors.alpha158 import alpha158
from ljwx_pipeline.feature_table import feast_table, write_feature_table
from ljwx_pipeline.market.calendar import sessions_between
from ljwx_pipeline.models.explain_model import contributions
from ljwx_pipeline.registry import open_registry
from ljwx_pipeline.scoring.model import NO_GROUP, Model
from ljwx_pipeline.scoring.signing import public_key_of, signing_key
from tests.fakes.bundles import grouped_model, tiny_booster, tiny_bundle

ROOT = Path(__file__).resolve().parent.parent
CATALOGUE = alpha158()
SYMBOLS = tuple(f"S{at:05d}.SIM" for at in range(12))
SESSIONS = sessions_between(date(2025, 11, 3), date(2025, 11, 5))
VALUES = np.random.default_rng(0).standard_normal((len(SYMBOLS), len(SESSIONS), 158)).astype(np.float32)
VALUES[1, :, 0] = np.nan
#: A third small, a third middle and a third large; only the large have members of their own.
GROUPS = np.arange(len(SYMBOLS), dtype=np.int32) % 3
SIZES = replace(grouped_model(factors=158, group=2), group_by="size")


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with a feature table and a registered champion: made once, as MLflow's database takes seconds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        home = tmp_path_factory.mktemp("home")
        patch.setenv("LJWX_HOME", str(home))
        settings = load_settings(profile="simulated")
        at_symbol, at_session = np.divmod(np.arange(len(SYMBOLS) * len(SESSIONS)), len(SESSIONS))
        features = pd.DataFrame(VALUES.reshape(-1, 158), columns=list(CATALOGUE.names))
        features.insert(0, "session_date", SESSIONS[at_session])
        features.insert(0, "symbol", np.array(SYMBOLS, dtype=object)[at_symbol])
        path = market_home(settings) / "feature_table" / "alpha158.parquet"
        write_feature_table(feast_table(features), path, catalogue_hash=CATALOGUE.version_hash)
        key = signing_key(home / "keys")
        registry = open_registry(settings.mlflow, home=home)
        name = f"{settings.mlflow.model_name}-{market_name(settings)}"
        bundle = tiny_bundle(
            home / "made",
            key,
            model_name=name,
            factor_names=CATALOGUE.names,
            factor_hash=CATALOGUE.version_hash,
            last_session=date(2025, 11, 4),
        )
        version = registry.register(bundle, run_id=registry.begin("train"), public_key=public_key_of(key))
        registry.promote(version)
        return home


@pytest.fixture
def home(filled: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("LJWX_HOME", str(filled))
    return filled


def explained(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    assert main(["explain", "--json", *words]) == 0
    said = capsys.readouterr()
    assert said.err == ""
    body: dict[str, Any] = json.loads(said.out)
    return body


def refused(capsys: pytest.CaptureFixture[str], *words: str, code: int) -> str:
    assert main(["explain", *words]) == code
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("error: ")
    assert len(said.err.strip().splitlines()) == 1
    return said.err


def test_the_first_of_the_newest_session_is_explained_by_what_is_stored(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = explained(capsys, "--top", "158")
    rows = np.ascontiguousarray(VALUES[:, -1])
    score = Model.of_booster(tiny_booster(factors=158)).predict(rows).score
    assert (found["session"], found["rank"], found["ranked"]) == ("2025-11-05", 1, 12)
    assert found["symbol"] == SYMBOLS[int(np.argmax(score))]
    assert found["score"] == pytest.approx(score.max())
    assert found["session_score"] == pytest.approx(score.mean())
    assert sum(one["beyond_session"] for one in found["reasons"]) == pytest.approx(score.max() - score.mean())
    assert (found["model"]["version"], found["seen_in_training"]) == ("1", False)
    leading = found["reasons"][0]
    assert leading["factor"] == CATALOGUE.names[0]
    assert leading["meaning"] == CATALOGUE.factors[0].meaning
    assert leading["value"] == pytest.approx(float(rows[SYMBOLS.index(found["symbol"]), 0]))


def test_a_stock_on_a_session_by_a_version_for_people(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--symbol", SYMBOLS[1], "--session", "2025-11-04", "--model", "1", "--top", "3"]
    assert main(["explain", *words, "--picture", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert said.startswith(f"{SYMBOLS[1]} on 2025-11-04: ranked ")
    assert "a session it was trained on" in said
    assert "missing" in said
    assert "155 other factors together: " in said
    picture = tmp_path / f"place_{SYMBOLS[1]}_2025-11-04.png"
    assert said.rstrip().endswith(str(picture))
    assert picture.read_bytes().startswith(b"\x89PNG")
    body = explained(capsys, *words)
    assert len(body["reasons"]) == 3
    total = sum(one["beyond_session"] for one in body["reasons"]) + body["left_out_beyond_session"]
    assert total == pytest.approx(body["score"] - body["session_score"])


@pytest.mark.parametrize(
    ("words", "code", "expected"),
    [
        (["--symbol", "S00013.SIM"], ModelError.exit_code, "S00013.SIM has no row on 2025-11-05; there are S000"),
        (["--session", "2025-11-09"], LakeError.exit_code, "no row on 2025-11-09: choose a session between 2025-11-03"),
        (["--session", "today"], ConfigError.exit_code, "--session 'today' is no date"),
        (["--model", "best"], ConfigError.exit_code, "--model 'best' is no version"),
        (["--model", "7"], RegistryError.exit_code, "has no version 7"),
        (["--picture", ""], ConfigError.exit_code, "--picture '' names no folder"),
        (["--picture", "/dev/null"], EnvironmentFault.exit_code, "no picture can be written into /dev/null (File exi"),
        (["--picture", "/proc/nope"], EnvironmentFault.exit_code, "no picture can be written into /proc/nope (No su"),
        (["--top", "0"], ConfigError.exit_code, "--top 0 shows no reason"),
        (["--set", "factors.catalogue=alpha360"], BundleError.exit_code, "was trained on factors"),
    ],
)
def test_a_mistake_is_one_line_with_its_remedy(
    home: Path, capsys: pytest.CaptureFixture[str], words: list[str], code: int, expected: str
) -> None:
    assert expected in refused(capsys, *words, code=code)


def test_a_kept_copy_that_is_another_version_s_is_not_explained(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings = load_settings(profile="simulated")
    registry = open_registry(settings.mlflow, home=home)
    name = f"{settings.mlflow.model_name}-{market_name(settings)}"
    first, key = registry.version(name, "1"), signing_key(home / "keys")
    model = Model.of_booster(tiny_booster(factors=158, seed=5))
    changes = {"model_name": name, "factor_names": CATALOGUE.names, "factor_hash": CATALOGUE.version_hash}
    other = tiny_bundle(home / "made", key, model, data_hash="e" * 64, **changes)
    kept = market_home(settings) / "champions" / first.bundle_hash
    shutil.copytree(other, kept)
    try:
        assert explained(capsys, "--model", "1")["model"]["bundle_hash"] == first.bundle_hash
    finally:
        shutil.rmtree(kept)


def registered_groups(home: Path, *, group_measure: str) -> str:
    """Return the version of a model of sizes, group 2 with a booster of its own, made by ``group_measure``."""
    settings = load_settings(profile="simulated")
    key, registry = signing_key(home / "keys"), open_registry(settings.mlflow, home=home)
    bundle = tiny_bundle(
        home / "made",
        key,
        SIZES,
        model_name=f"{settings.mlflow.model_name}-{market_name(settings)}",
        factor_names=CATALOGUE.names,
        factor_hash=CATALOGUE.version_hash,
        group_measure=group_measure,
    )
    version = registry.register(bundle, run_id=registry.begin("train"), public_key=public_key_of(key))
    return str(version.version)


@pytest.fixture(scope="module")
def by_value(filled: Path) -> str:
    """A model of sizes by market value."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        patch.setenv("LJWX_HOME", str(filled))
        return registered_groups(filled, group_measure="market value")


@pytest.fixture
def tables(home: Path) -> Iterator[Path]:
    """The market's folder of tables; what a test writes there is removed."""
    folder = market_home(load_settings(profile="simulated")) / "tables"
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def keep_scores(tables: Path, session: pd.Timestamp, measure: str = "market value") -> None:
    """Keep the champion's scores of ``session`` by ``GROUPS``; the last stock has none."""
    rows = pd.DataFrame({"symbol": SYMBOLS[:-1], "session_date": session, "score": 0.0, "group": GROUPS[:-1]})
    write_table(tables, "daily_scores", rows.assign(group_measure=measure))


def keep_dataset(tables: Path, measure: str = "market value") -> None:
    """Keep a dataset of the first session alone, its groups those of ``GROUPS`` and named."""
    count = len(SYMBOLS)
    held = Dataset(
        features=np.ascontiguousarray(VALUES[:, 0]),
        factor_names=CATALOGUE.names,
        forward_return=np.zeros(count),
        label=np.zeros(count, dtype=np.float32),
        session_index=np.zeros(count, dtype=np.int32),
        symbol_index=np.arange(count, dtype=np.int32),
        enterable=np.ones(count, dtype=bool),
        scorable=np.ones(count, dtype=bool),
        sessions=SESSIONS[:1],
        symbols=SYMBOLS,
        purge_sessions=2,
        hash="h",
        groups=GROUPS,
        group_names=((0, "small"), (1, "middle"), (2, "large")),
        group_measure=measure,
    )
    save_dataset(tables, held)


def test_a_model_of_groups_is_explained_by_the_members_of_the_stock_s_group(
    tables: Path, by_value: str, capsys: pytest.CaptureFixture[str]
) -> None:
    keep_scores(tables, SESSIONS[1])
    found = explained(capsys, "--model", by_value, "--symbol", SYMBOLS[2], "--top", "158")
    codes = np.array([*GROUPS[:-1], NO_GROUP], dtype=np.int32)
    rows = np.ascontiguousarray(VALUES[:, 1])
    score, said = SIZES.predict(rows, codes).score, contributions(SIZES, rows, codes)
    of_kmid = said.values[:, 0]  # noqa: PD011 - contributions, no frame
    assert found["session"] == "2025-11-04", "the newest whose groups are stored, not the newest with features"
    assert (found["score"], found["session_score"]) == (pytest.approx(score[2]), pytest.approx(score.mean()))
    assert found["group"] == {"by": "size", "measure": "market value", "code": 2, "name": None, "has_members": True}
    assert found["base_beyond_session"] == pytest.approx(said.base[2] - said.base.mean())
    assert abs(found["base_beyond_session"]) > 1e-3
    parts = sum(one["beyond_session"] for one in found["reasons"]) + found["base_beyond_session"]
    assert parts == pytest.approx(score[2] - score.mean())
    leading = next(one for one in found["reasons"] if one["factor"] == CATALOGUE.names[0])
    assert leading["contribution"] == pytest.approx(of_kmid[2])


def test_the_terminal_names_the_group_and_where_its_members_start(
    tables: Path, by_value: str, capsys: pytest.CaptureFixture[str]
) -> None:
    keep_dataset(tables)
    keep_scores(tables, SESSIONS[1])
    said = {}
    for at in (0, 2, len(SYMBOLS) - 1):
        assert main(["explain", "--model", by_value, "--symbol", SYMBOLS[at], "--session", "2025-11-04"]) == 0
        said[at] = capsys.readouterr().out
    assert re.search(r"^group large: its members start [+-]0\.\d+ beyond the session's mean start$", said[2], re.M)
    assert "group small has no members of its own: the members for every stock score it, which start " in said[0]
    assert "its group by market value is unknown: the members for every stock score it" in said[len(SYMBOLS) - 1]


def test_an_older_session_is_explained_by_the_groups_of_the_dataset(
    tables: Path, by_value: str, capsys: pytest.CaptureFixture[str]
) -> None:
    keep_dataset(tables)
    keep_scores(tables, SESSIONS[1], "mean amount")
    found = explained(capsys, "--model", by_value, "--symbol", SYMBOLS[5])
    assert found["session"] == "2025-11-03", "groups by another measure count for nothing"
    assert found["score"] == pytest.approx(SIZES.predict(np.ascontiguousarray(VALUES[:, 0]), GROUPS).score[5])
    assert (found["group"]["code"], found["group"]["name"]) == (2, "large")


def test_a_session_without_groups_is_refused_with_those_that_have_them(
    tables: Path, by_value: str, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--model", by_value, "--session"]
    keep_scores(tables, SESSIONS[1])
    said = refused(capsys, *words, "2025-11-03", code=LakeError.exit_code)
    assert "the groups by market value of 2025-11-03 are not stored: choose a session of those that have them" in said
    assert said.rstrip().endswith("2025-11-04 to 2025-11-04")
    keep_scores(tables, SESSIONS[2])
    keep_dataset(tables)
    said = refused(capsys, *words, "2025-11-04", code=LakeError.exit_code)
    assert said.rstrip().endswith(": 2025-11-03 to 2025-11-03, 2025-11-05 to 2025-11-05")
    assert "feature table has no row" in refused(capsys, *words, "2025-11-09", code=LakeError.exit_code)
    keep_scores(tables, pd.Timestamp("2024-01-02"))
    (tables / "dataset_meta.json").unlink()
    assert "make them again: `ljwx run`" in refused(capsys, "--model", by_value, code=LakeError.exit_code)


def test_groups_by_another_measure_or_none_at_all_are_refused(
    home: Path, tables: Path, by_value: str, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--model", by_value]
    assert "none are stored: run `ljwx run` with" in refused(capsys, *words, code=LakeError.exit_code)
    keep_scores(tables, SESSIONS[1], "mean amount")
    said = refused(capsys, *words, code=LakeError.exit_code)
    assert f"version {by_value} scores by size, its groups made by market value; those stored are made by mean" in said
    assert 'model.group_by = "size", or name another version (--model)' in said
    untold = registered_groups(home, group_measure="")
    assert "made by what its bundle does not say" in refused(capsys, "--model", untold, code=LakeError.exit_code)


def test_a_damaged_table_of_groups_is_refused(tables: Path, by_value: str, capsys: pytest.CaptureFixture[str]) -> None:
    keep_dataset(tables)
    (tables / "dataset_rows.parquet").write_bytes(b"not Parquet at all")
    assert "dataset_rows.parquet is damaged" in refused(capsys, "--model", by_value, code=LakeError.exit_code)
    (tables / "daily_scores.parquet").write_bytes(b"not Parquet at all")
    assert "daily_scores.parquet is damaged" in refused(capsys, "--model", by_value, code=LakeError.exit_code)


def test_without_a_champion_or_a_table_the_refusal_says_what_to_run(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "has no champion: run `ljwx run`" in refused(capsys, "--seed", "99", code=RegistryError.exit_code)
    table = market_home(load_settings(profile="simulated")) / "feature_table" / "alpha158.parquet"
    aside = table.with_suffix(".aside")
    table.rename(aside)
    try:
        assert "was never made: compute the features" in refused(capsys, code=LakeError.exit_code)
        table.write_bytes(b"not Parquet at all")
        assert "is damaged" in refused(capsys, code=LakeError.exit_code)
    finally:
        aside.replace(table)


def test_lime_that_is_not_installed_is_said_before_any_work(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    said = refused(capsys, "--lime", code=EnvironmentFault.exit_code)
    assert "the package lime is not installed: run `make lime`, or leave --lime out" in said


@pytest.mark.skipif(importlib.util.find_spec("lime") is None, reason="lime is not installed: make lime")
def test_lime_gives_a_second_opinion(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = explained(capsys, "--lime", "--top", "5")["lime"]
    assert len(found["weights"]) == 5
    assert found["weights"][0]["factor"] == CATALOGUE.names[0], "the factor the model learned leads here too"
    assert 0 < found["r2"] <= 1
    assert 1 <= found["shared_top"] <= 5
    assert explained(capsys, "--lime", "--top", "5")["lime"] == found, "seeded"


@pytest.mark.skipif(importlib.util.find_spec("lime") is None, reason="lime is not installed: make lime")
def test_lime_draws_its_rows_in_the_group_of_the_stock(
    tables: Path, by_value: str, capsys: pytest.CaptureFixture[str]
) -> None:
    keep_scores(tables, SESSIONS[1])
    found = explained(capsys, "--lime", "--top", "5", "--model", by_value, "--symbol", SYMBOLS[8])["lime"]
    assert found["weights"][0]["factor"] == CATALOGUE.names[0], "what the booster of the group learned"
    assert found["r2"] > 0.3, "the blend for every stock leans on all 158 factors: no line of five follows it"
