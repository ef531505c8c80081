"""A trained model on disk, before it is judged: ``trained.json`` and a text file a member.

``trained.json`` names every member's file with its hash and comes last, so that its own hash identifies the model. Not
here: the signed bundle it becomes once the gate has decided (``scoring/bundle.py``).
"""

from __future__ import annotations

import hashlib
import json
import math
import shutil
from dataclasses import asdict
from pathlib import Path

from ljwx_pipeline.errors import LakeError, ModelError
from ljwx_pipeline.lake.atomic_parquet import read_bytes, write_bytes
from ljwx_pipeline.models.fit import Trained
from ljwx_pipeline.scoring.model import Member, Model

DOCUMENT = "trained.json"
_AGAIN = "delete the folder and run `ljwx run --job research` again"


def write_trained(folder: Path, trained: Trained) -> tuple[Path, ...]:
    """Write ``trained`` as ``folder``, whatever was there before, and return its files; the same model, the same bytes.

    Raises
    ------
    LakeError
        When the disk refuses.
    """
    shutil.rmtree(folder, ignore_errors=True)
    texts = {name: text.encode() for name, text in trained.model.texts.items()}
    for name, content in texts.items():
        write_bytes(folder / name, content)
    tree = {
        "members": [asdict(member) for member in trained.model.members],
        "group_by": trained.model.group_by,
        "files": {name: hashlib.sha256(content).hexdigest() for name, content in texts.items()},
        "rounds": trained.rounds,
        "tail_rank_ic": None if math.isnan(trained.tail_rank_ic) else trained.tail_rank_ic,
        "params": trained.params,
        "rows": trained.rows,
    }
    document = json.dumps(tree, sort_keys=True, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    write_bytes(folder / DOCUMENT, document.encode())
    return (*(folder / name for name in texts), folder / DOCUMENT)


def read_trained(folder: Path) -> Trained:
    """Return the model written to ``folder``.

    Raises
    ------
    LakeError
        When a file is missing or not what was written.
    """
    try:
        tree = json.loads(read_bytes(folder / DOCUMENT))
        texts = {name: read_bytes(folder / name, sha256=sha).decode() for name, sha in tree["files"].items()}
        model = Model(tuple(Member(**member) for member in tree["members"]), texts, tree["group_by"])
        tail = tree["tail_rank_ic"]
        return Trained(model, tree["rounds"], math.nan if tail is None else tail, tree["params"], tree["rows"])
    except LakeError as error:
        raise LakeError(error.fact, _AGAIN) from None
    except (ValueError, KeyError, TypeError, AttributeError, ModelError) as error:
        raise LakeError(f"{folder} holds no trained model ({error})", _AGAIN) from None


def model_hash(folder: Path) -> str:
    """Return the SHA-256 that identifies the model in ``folder``: that of its document, which names every file's.

    Raises
    ------
    LakeError
        When there is none.
    """
    return hashlib.sha256(read_bytes(folder / DOCUMENT)).hexdigest()
