"""The hashes that say what a result came from, stated once for tags, bundles, reports and the summary."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

from assets.io_managers import read_json, write_json
from assets.resources import Line
from ljwx_pipeline.config import dotted
from ljwx_pipeline.ingest.data_hash import DATA_TABLES, data_hash
from ljwx_pipeline.lake.reads import ReadsJournal
from ljwx_pipeline.reproduction.environment import revision_of
from ljwx_pipeline.tracking.inputs import settings_tree

DOCUMENT = "lineage"
ROOT = Path(__file__).resolve().parent.parent


def record_lineage(line: Line) -> dict[str, str]:
    """Hash every table that can change a result, keep the lineage for the assets downstream, and return it."""
    lineage = {
        "data_hash": data_hash(line.lake(), line.checked_bars()),
        "factor_hash": line.catalogue.version_hash,
        "config_hash": line.settings.config_hash,
        "git_revision": line.made_again_revision or git_revision(),
        "known_at": known_at(line),
    }
    write_json(line.tables, DOCUMENT, lineage)
    return lineage


def record_reads(line: Line, reader: str, run_id: str) -> None:
    """Record what of the tables beside the bars ``reader`` sees now, so that a difference can name who saw the old."""
    lake = line.lake()
    journal = ReadsJournal(lake)
    for table in DATA_TABLES:
        if versions := lake.known(table):
            journal.record_versions(reader, run_id, versions)


def known_at(line: Line) -> str:
    """Return the instant at which the newest version in the lake became known: a replay of it sees the same tables."""
    lake = line.lake()
    newest = max(version.known_at for table in lake.tables() for version in lake.current(table))
    return newest.isoformat(timespec="microseconds")


def lineage_of(line: Line) -> dict[str, str]:
    """Return the hashes of data, factors and configuration, and the code's revision, of the research under way."""
    return read_json(line.tables, DOCUMENT)


@lru_cache(maxsize=1)
def git_revision() -> str:
    """Return the commit of the checkout that this code is of."""
    return revision_of(ROOT)


def flat_settings(line: Line) -> dict[str, Any]:
    """Return every configured value by its dotted key, as MLflow's parameters want it."""
    return dotted(settings_tree(line.settings))
