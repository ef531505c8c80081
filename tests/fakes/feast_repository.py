"""A small Feast repository of a few features over one Parquet file, with the project's own ``feature_store.yaml``.

Not here: what a test writes into the file, and the line's own repository (``feature_repo/``).
"""

import shutil
from datetime import timedelta
from pathlib import Path

STORE = Path(__file__).resolve().parents[2] / "feature_repo" / "feature_store.yaml"
DEFINITIONS = """
import os
from datetime import timedelta
from feast import Entity, FeatureService, FeatureView, Field, FileSource, ValueType
from feast.types import {dtype}

symbol = Entity(name="symbol", join_keys=["symbol"], value_type=ValueType.STRING)
table = FileSource(
    name="{name}_table",
    path=os.environ["LJWX_MARKET_HOME"] + "/feature_table/small.parquet",
    timestamp_field="event_timestamp",
    created_timestamp_column="created_timestamp",
)
view = FeatureView(
    name="{name}", entities=[symbol], ttl=timedelta(seconds={ttl_s}), source=table,
    schema=[Field(name=n, dtype={dtype}) for n in {features!r}], tags={{"catalogue_hash": "{version}"}},
)
service = FeatureService(name="{name}_{version}", features=[view])
"""


def declare(
    folder: Path,
    features: list[str],
    *,
    name: str = "small",
    version: str = "v1",
    dtype: str = "Float32",
    time_to_live: timedelta = timedelta(days=14),
) -> Path:
    """Write the repository into ``folder`` and return it; writing again declares anew."""
    folder.mkdir(exist_ok=True)
    shutil.copy(STORE, folder)
    text = DEFINITIONS.format(
        features=features, name=name, version=version, dtype=dtype, ttl_s=time_to_live.total_seconds()
    )
    (folder / "definitions.py").write_text(text, encoding="utf-8")
    return folder
