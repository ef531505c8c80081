"""What a model was made from stays pinned in the lake; a restatement of it is flagged on the model, never applied.

Which models are restated follows from the pins and the lake alone, so whatever stopped an ingest or a flagging, the
next one makes up for it. A pin is of a bundle: MLflow counts its versions anew, and loses its tags, with its database.
Not here: storing a restatement (``ljwx_pipeline.ingest``), pinning itself
(``ljwx_pipeline.lake.catalogue``).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import dagster as dg
import pandas as pd

from assets.lineage import lineage_of
from assets.resources import Line
from ljwx_pipeline.clock import SHANGHAI, utc_now
from ljwx_pipeline.errors import LjwxError, RegistryError
from ljwx_pipeline.ingest.aside import set_aside, warn
from ljwx_pipeline.ingest.store import newest_version
from ljwx_pipeline.ingest.tables import WHOLE
from ljwx_pipeline.lake import Catalogue, Lake, TableVersion
from ljwx_pipeline.lake.atomic_parquet import write_bytes
from ljwx_pipeline.lake.catalogue import Dataset, Pin, was_known
from ljwx_pipeline.lake.diff import RowChange, diff_versions
from ljwx_pipeline.lake.keys import SORT_KEYS
from ljwx_pipeline.lake.partition import Partition
from ljwx_pipeline.lake.reads import ReadsJournal
from ljwx_pipeline.registry import RESTATED_TAG, ModelVersion

#: Where a row is open until it ends: an end after what was known is news, no restatement.
OPEN_ENDS = {
    "securities": "delist_date",
    "st_spells": "end_date",
    "industries": "end_date",
    "index_members": "end_date",
}
#: Nothing is computed from a name.
LABELS = {"securities": "name"}
#: Months of a table that a tag spells out.
MONTHS_SAID = 6
#: Between the fact and the day in a tag.
_NOTICED = ", noticed "


@dataclass(frozen=True)
class RestatedPartition:
    """A pinned partition that the lake tells otherwise by now: rows changed, gone, or no longer there to compare."""

    table: str
    partition: str
    rows: int


def dataset_name(model: str, bundle_hash: str) -> str:
    """Return the name under which the lake pins what a bundle was made from."""
    return f"{model}-{bundle_hash[:16]}"


def pin_dataset(line: Line, version: ModelVersion, run_id: str) -> str:
    """Pin every table, as known when the research began, as the dataset of a version's bundle; return its name.

    What was stored since is not what the model was made from. Once is enough.
    """
    lake, model = line.lake(), version.name
    name = dataset_name(model, version.bundle_hash)
    catalogue = Catalogue(lake)
    if name not in {dataset.name for dataset in catalogue.list()}:
        as_of = datetime.fromisoformat(lineage_of(line)["known_at"])
        tables = [table for table in lake.tables() if was_known(lake, table, as_of)]
        catalogue.create(name, tables, as_of, description=f"what {model} version {version.version} was made from")
        journal = ReadsJournal(lake)
        for table in tables:
            journal.record_versions(f"model {model}/{version.version}", run_id, lake.current(table, as_of=as_of))
    catalogue.add_reference(name, "model", f"{model}/{version.bundle_hash}")
    catalogue.add_reference(name, "run", run_id)
    return name


@contextmanager
def flagging(line: Line) -> Iterator[list[str]]:
    """Flag the models that the ``with`` block's ingest restates, whether it ends well or raises.

    Yields the list that holds, after the block, a sentence for each model flagged; each is logged as a warning.
    """
    said: list[str] = []
    log = dg.get_dagster_logger()
    try:
        yield said
    except Exception:
        try:
            said += flag_models(line)
        except LjwxError as error:
            log.warning(f"restated models are flagged by the next ingest: {error}")
        raise
    else:
        said += flag_models(line)
    finally:
        for sentence in said:
            log.warning(sentence)


def flag_models(line: Line) -> list[str]:
    """Tag every model version of whose pinned rows the lake tells otherwise by now; return a sentence for each new one.

    Rows that were added since are no restatement. A model whose tag tells the same fact is left alone; one that the
    registry does not take is named and tried again by the next call.
    """
    said = []
    for model, fact in _restated(line):
        said += _flagged(line, model, fact)
    return said


def restatement_of(line: Line, model: str, bundle_hash: str) -> str:
    """Return what was restated of the rows that a bundle was made from, by the lake or by its tag; empty: nothing.

    Raises
    ------
    RegistryError
        When MLflow cannot be reached.
    """
    registry, about = line.registry(), f"{model}/{bundle_hash}"
    facts = [fact for one, fact in _restated(line, about) if one == about]
    version = registry.version_of(model, bundle_hash)
    tagged = "" if version is None else registry.version_tags(version).get(RESTATED_TAG, "")
    return "; ".join(facts) or tagged


def _restated(line: Line, only: str | None = None) -> list[tuple[str, str]]:
    """Return the models (``name/bundle hash``) of whose pinned rows the lake tells otherwise by now, each with what."""
    lake, found = line.lake(), []
    memory = _Memory(line.home / "ingest" / "restatements.json")
    try:
        for dataset in Catalogue(lake).list():
            models = [one.id for one in dataset.references if one.kind == "model" and only in (None, one.id)]
            changes = restated_partitions(lake, dataset, memory.compared) if models else []
            found += [(model, _fact(changes)) for model in models if changes]
    finally:
        memory.keep()
    return found


def restated_partitions(lake: Lake, dataset: Dataset, compared: dict[str, int]) -> list[RestatedPartition]:
    """Return the partitions of canonical tables of which rows that ``dataset`` pins changed or are gone.

    Parameters
    ----------
    compared
        Rows restated by what was compared, so that two versions are compared once; renewed in place.
    """
    found = []
    for table in sorted(SORT_KEYS.keys() & dataset.tables.keys()):
        for partition, pin in sorted(dataset.tables[table].items()):
            newest = newest_version(lake, table, partition)
            if newest is not None and newest.content_hash == pin.content_hash:
                continue
            told = "nothing" if newest is None else newest.content_hash
            key = f"{table}/{partition} {pin.content_hash} {told} {_day_known(dataset):%Y-%m-%d}"
            if key not in compared:
                compared[key] = _rows_restated(lake, dataset, pin, partition, table, newest)
            if compared[key]:
                found.append(RestatedPartition(table, partition, compared[key]))
    return found


class _Memory:
    """What was compared by the calls before; without the file, or with a damaged one, it is compared again."""

    def __init__(self, path: Path) -> None:
        self._path, self._kept = path, None
        self.compared: dict[str, int] = {}
        try:
            kept = json.loads(path.read_text(encoding="utf-8"))
            self.compared = {str(key): int(rows) for key, rows in dict(kept["compared"]).items()}
            self._kept = kept
        except FileNotFoundError:
            pass
        except (ValueError, KeyError, TypeError) as error:
            set_aside(path, error, "every model is compared with the lake once more", warn)

    def keep(self) -> None:
        """Write it down, unless nothing was added."""
        told = {"compared": self.compared}
        if told != self._kept and self.compared:
            write_bytes(self._path, json.dumps(told, indent=1).encode())


def _flagged(line: Line, model: str, fact: str) -> list[str]:
    name, _, bundle_hash = model.rpartition("/")
    try:
        registry = line.registry()
        version = registry.version_of(name, bundle_hash)
        if version is None:  # the registry lost it: there is nothing to flag
            return []
        if registry.version_tags(version).get(RESTATED_TAG, "").rpartition(_NOTICED)[0] == fact:
            return []
        registry.tag_version(name, version.version, RESTATED_TAG, f"{fact}{_NOTICED}{utc_now():%Y-%m-%d}")
    except RegistryError as error:
        return [
            f"{name}, bundle {bundle_hash[:12]}, could not be flagged, the next ingest tries again ({fact}; {error})"
        ]
    return [f"{name} version {version.version} was made from data that were changed since: {fact}"]


def _rows_restated(
    lake: Lake, dataset: Dataset, pin: Pin, partition: str, table: str, newest: TableVersion | None
) -> int:
    there = {
        item.version: item
        for item in Partition(lake.partition_folder(table, partition)).versions
        if item.content_hash == pin.content_hash
    }
    if newest is None or pin.version not in there:
        return pin.rows
    found = diff_versions(lake, [there[pin.version]], [newest], sample_rows=pin.rows if table in OPEN_ENDS else 0)
    news = sum(_is_news(table, change, _day_known(dataset)) for change in found.changed_sample)
    return found.removed + found.changed - news


def _is_news(table: str, change: RowChange, day_known: pd.Timestamp) -> bool:
    """Return whether a row changed in nothing but a name, or an end that came after ``day_known``."""
    for column, (before, after) in change.columns.items():
        ended = column == OPEN_ENDS.get(table) and pd.isna(before) and pd.Timestamp(after) >= day_known
        if column != LABELS.get(table) and not ended:
            return False
    return True


def _day_known(dataset: Dataset) -> pd.Timestamp:
    return pd.Timestamp(dataset.as_of.astimezone(SHANGHAI).date())


def _fact(changes: Sequence[RestatedPartition]) -> str:
    parts = []
    for table in dict.fromkeys(change.table for change in changes):
        of_table = [change for change in changes if change.table == table]
        months = [change.partition[:7] for change in of_table if change.partition != WHOLE]
        more = f" and {len(months) - MONTHS_SAID} months more" if len(months) > MONTHS_SAID else ""
        where = f" of {', '.join(months[:MONTHS_SAID])}{more}" if months else ""
        parts.append(f"{sum(change.rows for change in of_table)} rows{where} restated in {table}")
    return "; ".join(parts)
