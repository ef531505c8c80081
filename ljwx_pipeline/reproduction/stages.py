"""The stages of a run, each compared with what was recorded of it: equal, or what differs.

Not here: the replay, which row of a stored table differs (``cells.py``), which row of the lake (``sources.py``), the
decision behind an order (``order.py``).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from ljwx_pipeline.config import dotted
from ljwx_pipeline.lake.atomic_parquet import file_sha256
from ljwx_pipeline.reproduction.cells import Cells, different_cells
from ljwx_pipeline.reproduction.sources import source_differences
from ljwx_pipeline.reproduction.target import Original
from ljwx_pipeline.scoring.bundle import MANIFEST

Verdict = Literal["equal", "differs", "unknown"]
#: Artefacts of a stage, in the order in which they are made.
_TABLES = {
    "factors": ("feature_table",),
    "label": ("forward_return_label",),
    "dataset": ("dataset_rows", "dataset_features"),
    "out-of-sample predictions": ("walk_forward_predictions",),
    "backtest": ("net_backtest",),
}


@dataclass(frozen=True)
class Stage:
    """One stage's verdict.

    Parameters
    ----------
    name
        What was compared.
    verdict
        ``unknown`` where the run recorded nothing to compare with.
    sentence
        The fact, for a person.
    was, now
        Hash or value recorded and made again, where one says it.
    differences
        Rows, cells, settings, keys; the first few.
    """

    name: str
    verdict: Verdict
    sentence: str
    was: str | None = None
    now: str | None = None
    differences: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Return the stage as plain values."""
        return asdict(self)


@dataclass(frozen=True)
class Remade:
    """What a replay made: the market's home it made it in, hashes of what it came from, and of what came out.

    ``made`` has the form of ``record.MADE``.
    """

    home: Path
    lineage: Mapping[str, str]
    made: Mapping[str, Any]


def settings_stage(original: Original, settings: Mapping[str, Any], config_hash: str) -> Stage:
    """Compare the settings a replay runs under with those that the run states by parameter and by hash."""
    recorded, stated = dotted(original.settings), dotted(settings)
    differ = [
        f"{key} was {_text(recorded.get(key))}, is {_text(stated.get(key))}"
        for key in dict.fromkeys([*recorded, *stated])
        if recorded.get(key) != stated.get(key) and not key.startswith(("mlflow.", "source.as_of", "tune.storage"))
    ]
    differ += [
        f"{key} is {value} among the run's parameters, {recorded[key]} in its settings"
        for key, value in original.run.params.items()
        if key in recorded and value != str(recorded[key])
    ]
    was = original.run.tags.get("config_hash")
    if not differ and was == config_hash:
        return Stage("settings", "equal", f"{len(recorded)} settings", was, config_hash)
    said = f"{len(differ)} differ" if differ else "every one is as recorded, the hash is not: this code reads others"
    return Stage("settings", "differs", said, was, config_hash, tuple(differ[:20]))


def compared(original: Original, remade: Remade) -> Iterator[Stage]:
    """Yield the verdict of each stage from data to bundle hash, in the order in which they are made."""
    made, tags = original.made, original.run.tags
    yield _data(original, remade)
    catalogue = _hashes("factors", "the catalogue's formulas", tags.get("factor_hash"), remade.lineage["factor_hash"])
    factors = _artefacts("factors", original, remade)
    yield factors if catalogue.verdict == "equal" else catalogue
    yield _artefacts("label", original, remade)
    dataset = _hashes("dataset", "features, label and rows", tags.get("dataset_hash"), remade.made["dataset_hash"])
    files = _artefacts("dataset", original, remade)
    yield files if dataset.verdict == "equal" else replace(dataset, differences=files.differences)
    yield _hyperparameters(made, remade.made)
    for name in ("out-of-sample predictions", "backtest"):
        yield _artefacts(name, original, remade)
    yield _model(original, remade)
    yield _bundle(original, remade)


def _data(original: Original, remade: Remade) -> Stage:
    was, now = original.run.tags.get("data_hash"), remade.lineage["data_hash"]
    stage = _hashes("data", f"every table as known at {remade.lineage['as_of']}", was, now)
    if stage.verdict != "differs":
        return stage
    said = source_differences(original, remade.lineage["as_of"])
    return replace(stage, differences=said, sentence=said[0])


def _hashes(name: str, what: str, was: str | None, now: str) -> Stage:
    if was is None:
        return Stage(name, "unknown", f"the run recorded no hash of {what}", None, now)
    if was == now:
        return Stage(name, "equal", what, was, now)
    return Stage(name, "differs", f"the hash of {what} is another", was, now)


def _artefacts(name: str, original: Original, remade: Remade) -> Stage:
    """Compare the artefacts of a stage: recorded hash, hash made again, and the file the market still holds."""
    there = original.made.get("artifacts", {})
    equal: list[str] = []
    for key in _TABLES[name]:
        was, now = there.get(key), remade.made["artifacts"][key]
        if was is None:
            return Stage(name, "unknown", f"the run did not get as far as recording {key}", None, now["sha256"])
        stage = _artefact(name, key, original, remade)
        if stage is not None:
            return stage
        equal.append(key)
    now = remade.made["artifacts"][equal[-1]]["sha256"]
    return Stage(name, "equal", f"{' and '.join(equal)}, byte for byte", now, now)


def _artefact(name: str, key: str, original: Original, remade: Remade) -> Stage | None:
    was, now = original.made["artifacts"][key], remade.made["artifacts"][key]
    stored, again = original.home / was["path"], remade.home / now["path"]
    held = file_sha256(stored) if stored.is_file() else None
    axes = remade.home / "tables"
    if was["sha256"] == now["sha256"]:
        if held in (None, was["sha256"]) or not _claims(original, key, was["sha256"]):
            return None
        cells = different_cells(stored, again, axes=axes)
        said = f"made again as recorded, but {stored.name} was changed since on disk: {_said(cells)}"
        return Stage(name, "differs", said, was["sha256"], held, cells.said)
    if held == was["sha256"]:
        cells = different_cells(stored, again, axes=axes)
        return Stage(name, "differs", f"{key}: {_said(cells)}", was["sha256"], now["sha256"], cells.said)
    said = f"{key} is another; the run's own is no longer there to say which cells"
    return Stage(name, "differs", said, was["sha256"], now["sha256"])


def _claims(original: Original, key: str, sha256: str) -> bool:
    """Return whether the market's file says that it is the run's: a later run writes its own in its place."""
    if key.startswith("bundle/"):
        return True  # its folder is named by the hash
    tables = original.home / "tables"
    try:
        if key.startswith("dataset_"):
            meta = json.loads((tables / "dataset_meta.json").read_text(encoding="utf-8"))
            return bool(meta["hash"] == original.made["dataset_hash"])
        note = json.loads((tables / f"{key}.key.json").read_text(encoding="utf-8"))
        return sha256 in note["files"].values()
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False  # nothing says whose it is


def _hyperparameters(was: Mapping[str, Any], now: Mapping[str, Any]) -> Stage:
    name, chosen = "tuned hyperparameters", now["best_params"]
    if "best_params" not in was:
        return Stage(name, "unknown", "the run did not get as far as recording them")
    before = was["best_params"]
    differ = tuple(
        f"{key} was {before.get(key)}, is {chosen.get(key)}"
        for key in sorted({*before, *chosen})
        if before.get(key) != chosen.get(key)
    )
    if differ:
        return Stage(name, "differs", f"{len(differ)} of {len(chosen)} differ: {differ[0]}", differences=differ)
    return Stage(name, "equal", f"{len(chosen)} of the best trial")


def _model(original: Original, remade: Remade) -> Stage:
    there, again = original.made.get("artifacts", {}), remade.made["artifacts"]
    keys = [key for key in again if key.startswith("bundle/") and not key.endswith((".md", ".html"))]
    if not any(key.startswith("bundle/") for key in there):
        return Stage("trained model", "unknown", "the run did not get as far as recording it")
    for key in keys:
        if key not in there:
            return Stage(
                "trained model", "differs", f"{key.removeprefix('bundle/')} is new", None, again[key]["sha256"]
            )
        stage = _artefact("trained model", key, original, remade)
        if stage is not None:
            return stage
    names = ", ".join(key.removeprefix("bundle/") for key in keys)
    return Stage(
        "trained model", "equal", f"{names}, byte for byte", again[keys[0]]["sha256"], again[keys[0]]["sha256"]
    )


def _bundle(original: Original, remade: Remade) -> Stage:
    name, was, now = "bundle hash", original.made.get("bundle_hash"), remade.made["bundle_hash"]
    if was is None:
        return Stage(name, "unknown", "the run did not get as far as recording it", None, now)
    if was == now:
        return Stage(name, "equal", "the manifest, byte for byte, with the run's model name and git revision", was, now)
    again = remade.home / remade.made["bundle"] / MANIFEST
    stored = original.home / original.made["bundle"] / MANIFEST
    if not stored.is_file():
        return Stage(name, "differs", "the manifest is another; the run's own is no longer there", was, now)
    before = dotted(json.loads(stored.read_bytes()))
    after = dotted(json.loads(again.read_bytes()))
    differ = tuple(
        f"{key} was {_text(before.get(key))}, is {_text(after.get(key))}"
        for key in dict.fromkeys([*before, *after])
        if before.get(key) != after.get(key)
    )
    return Stage(
        name, "differs", f"the manifest differs in {', '.join(item.split()[0] for item in differ)}", was, now, differ
    )


def _said(cells: Cells) -> str:
    return f"{cells.count:,} cell{'s differ' if cells.count != 1 else ' differs'}, first {cells.said[0]}"


def _text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=str) if not isinstance(value, str) else value
