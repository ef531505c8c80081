"""Folds kept on disk, each in a folder of its own with what it came from: a finished fold is not trained again.

``tables/folds/NAME/`` holds the fold's scores, its record and its model's texts. The note that makes them count is
written last (``reuse.py``), so that a process killed at any instant leaves a fold that is whole or none. Not here: what
a fold is and how it is trained (``ljwx_pipeline``), the steps (``walk_forward.py``).
"""

from __future__ import annotations

import shutil
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from assets import reuse
from assets.io_managers import read_json, read_table, write_json, write_table
from ljwx_pipeline.config import ModelSettings
from ljwx_pipeline.dataset import Dataset, Fold
from ljwx_pipeline.errors import LakeError
from ljwx_pipeline.lake.atomic_parquet import file_sha256, write_bytes
from ljwx_pipeline.models.walk_forward import WalkedFold
from ljwx_pipeline.scoring.model import Member, Model
from ljwx_pipeline.tracking import stable_id

FOLDS = "folds"
NOTE, RECORD, MEMBERS, SCORES = "fold", "record", "members", "predictions"


@dataclass(frozen=True)
class KeptFold:
    """The folder of one fold, and what its content must have come from to count."""

    folder: Path
    key: reuse.Key

    @property
    def current(self) -> bool:
        """Whether the fold was trained from exactly this key by today's code, and no byte of it changed."""
        return reuse.is_current(self.folder, NOTE, self.key)

    @property
    def came_from(self) -> str:
        """What the kept fold came from: another text is another fold."""
        return reuse.stated(self.key)

    def keep(self, walked: WalkedFold) -> None:
        """Write the fold; the note that makes it count comes last."""
        reuse.forget(self.folder, NOTE)
        if self.folder.exists():
            shutil.rmtree(self.folder)
        write_table(self.folder, SCORES, walked.predictions)
        write_json(self.folder, RECORD, asdict(walked.record))
        members = [asdict(member) for member in walked.model.members]
        write_json(self.folder, MEMBERS, {"members": members, "group_by": walked.model.group_by})
        files = [self.folder / f"{SCORES}.parquet", self.folder / f"{RECORD}.json", self.folder / f"{MEMBERS}.json"]
        for name, text in walked.model.texts.items():
            files.append(self.folder / "model" / name)
            write_bytes(files[-1], text.encode())
        reuse.remember(self.folder, NOTE, self.key, files)

    def record(self) -> dict[str, Any]:
        """Return the fold's record (``FoldRecord``) as plain values."""
        return read_json(self.folder, RECORD)

    def predictions(self) -> pd.DataFrame:
        """Return the fold's scores."""
        return read_table(self.folder, SCORES)

    def model_hash(self) -> str:
        """Return what names the fold's members and the bytes of their texts."""
        return _hash_of(self.folder)


def kept_folds(
    tables: Path, dataset: Dataset, folds: Sequence[Fold], params: dict[str, Any], model: ModelSettings
) -> dict[str, KeptFold]:
    """Return where each fold is kept, in order, by the name of its step (letters, digits and underscores)."""
    edges = folds[0].train_rows
    shared: reuse.Key = {
        "dataset": dataset.hash,
        "params": params,
        "model": model.model_dump(),
        "edges": f"{edges.start}:{edges.stop}",
    }
    return {
        step_name(fold): KeptFold(
            tables / FOLDS / fold.name,
            {
                **shared,
                "name": fold.name,
                "train": f"{fold.train_rows.start}:{fold.train_rows.stop}",
                "test": f"{fold.test_rows.start}:{fold.test_rows.stop}",
            },
        )
        for fold in folds
    }


def require_current(folds: Collection[KeptFold]) -> None:
    """Refuse to join folds of which one is missing or was made from something else: its step has to run first.

    Raises
    ------
    LakeError
        Naming those folds.
    """
    stale = [fold.folder.name for fold in folds if not fold.current]
    if stale:
        raise LakeError(
            f"of {len(folds)} folds {', '.join(stale)} were not made from today's dataset, parameters, settings and "
            "code, or were changed since",
            "run the steps `fold` of walk_forward_predictions again, or the research whole: `ljwx run --job research`",
        )


def kept_models(tables: Path) -> dict[str, Model]:
    """Return the model of each fold of the last walk forward, in test order, by the fold's name.

    Raises
    ------
    LakeError
        When a fold's model is not the one that the walk forward joined: it was changed, lost or trained anew since.
    """
    walked = read_json(tables, "walk_forward_folds")
    hashes = walked.get("models", {})
    return {record["name"]: _model(tables / FOLDS / record["name"], hashes) for record in walked["folds"]}


def _hash_of(folder: Path) -> str:
    files = (folder / f"{MEMBERS}.json", *sorted((folder / "model").iterdir()))
    return stable_id("fold's model", *((path.name, file_sha256(path)) for path in files))


def _model(folder: Path, hashes: dict[str, str]) -> Model:
    try:
        intact = _hash_of(folder) == hashes.get(folder.name)
    except OSError:
        intact = False
    if not intact:
        raise LakeError(
            f"the model of fold {folder.name} in {folder} is not the one whose scores were joined",
            "materialize walk_forward_predictions again: whole folds are kept, this one is trained anew",
        )
    kept = read_json(folder, MEMBERS)
    members = tuple(Member(**member) for member in kept["members"])
    texts = {name: (folder / "model" / name).read_text(encoding="utf-8") for name in {one.file for one in members}}
    return Model(members, texts, kept["group_by"])


def folds_shown(records: Sequence[dict[str, Any]]) -> pd.DataFrame:
    """Return a row a fold as people read it: what it learned from, what it was tested on, how that went."""
    return pd.DataFrame(
        {
            "fold": record["name"],
            "trained on": f"{record['train_first']} to {record['train_last']}",
            "tested on": f"{record['test_first']} to {record['test_last']}",
            "training rows": record["train_rows"],
            "test rows": record["test_rows"],
            "rounds": record["rounds"],
            "tail rank IC": record["tail_rank_ic"],
            "rank IC": record["rank_ic"],
            "seconds": record["seconds"],
        }
        for record in records
    )


def step_name(fold: Fold) -> str:
    """Return the fold's name as a part of a step's name."""
    return fold.name.replace("-", "_")


def drop_other_folds(tables: Path, names: Collection[str]) -> None:
    """Remove the folders of folds that are no longer among ``names``."""
    for folder in (tables / FOLDS).glob("*"):
        if folder.is_dir() and folder.name not in names:
            shutil.rmtree(folder)
