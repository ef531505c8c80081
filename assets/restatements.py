"""What a model was made from stays pinned in the lake; a restatement of it is flagged on the model, never applied.

Not here: noticing a restatement (``ljwx_pipeline.ingest``), pinning itself (``ljwx_pipeline.lake.catalogue``).
"""

from __future__ import annotations

from collections.abc import Sequence

from assets.resources import Line
from ljwx_pipeline.ingest.store import StoredMonth
from ljwx_pipeline.lake import Catalogue
from ljwx_pipeline.lake.reads import ReadsJournal

#: Tag of a model version in the registry.
RESTATED_TAG = "data_restated"


def dataset_name(model: str, version: str) -> str:
    """Return the name under which the lake pins what a model version was made from."""
    return f"{model}-v{version}"


def pin_dataset(line: Line, model: str, version: str, run_id: str) -> str:
    """Pin every table of the lake as the dataset of a model version, and return its name; once is enough."""
    lake, name = line.lake(), dataset_name(model, version)
    catalogue = Catalogue(lake)
    if name not in {dataset.name for dataset in catalogue.list()}:
        catalogue.create(name, description=f"what {model} version {version} was made from")
        journal = ReadsJournal(lake)
        for table in lake.tables():
            journal.record_versions(f"model {model}/{version}", run_id, lake.current(table))
    catalogue.add_reference(name, "model", f"{model}/{version}")
    catalogue.add_reference(name, "run", run_id)
    return name


def flag_models(line: Line, restated: Sequence[StoredMonth]) -> list[str]:
    """Tag every model version made from a month that came back different; return a sentence for each."""
    if not restated:
        return []
    said, registry = [], line.registry()
    for dataset in Catalogue(line.lake()).list():
        pinned = [
            month
            for month in restated
            if month.month in dataset.tables.get(month.table, {})
            and dataset.tables[month.table][month.month].version < month.version.version
        ]
        for reference in dataset.references:
            if pinned and reference.kind == "model":
                model, _, version = reference.id.rpartition("/")
                rows = sum(month.restated_rows for month in pinned)
                known = max(month.version.known_at for month in pinned)
                fact = (
                    f"{rows} rows of {', '.join(month.month[:7] for month in pinned)} restated, known {known:%Y-%m-%d}"
                )
                registry.tag_version(model, version, RESTATED_TAG, fact)
                said.append(f"{model} version {version} was made from data that were changed since: {fact}")
    return said
