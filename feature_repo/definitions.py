"""What Feast knows of the line: the stock, the feature table, one view over it and one service a catalogue version.

The view's fields are the factor catalogue's, so that a factor added there is a feature here without a second list.
Not here: computing features (``ljwx_pipeline.factors``) and calling Feast (``ljwx_pipeline.feature_store``).
"""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path

from feast import Entity, FeatureService, FeatureView, Field, FileSource, ValueType
from feast.data_format import ParquetFormat
from feast.types import Float32

from ljwx_pipeline.factors.catalogues import open_catalogue

#: A row holds until the stock's next session. The longest closure since 2003 lasted 13 days (January 2004), so 14
#: bridges every holiday while a stock suspended for longer has no features instead of stale ones.
TIME_TO_LIVE = timedelta(days=14)

if not os.path.isabs(os.environ.get("LJWX_MARKET_HOME", "")):  # noqa: PTH117 - an empty Path is "."
    raise SystemExit(
        "LJWX_MARKET_HOME is not set to an absolute path: list $LJWX_HOME/markets (.ljwx/markets in the checkout) "
        "and export the folder of the market you mean"
    )

OWNER = "team:quant"
HOME = Path(os.environ["LJWX_MARKET_HOME"])
#: ``factors.catalogue`` of the configuration: a name, or the absolute path of a FILE.py.
CATALOGUE = open_catalogue(os.environ.get("LJWX_CATALOGUE", "alpha158"))

symbol = Entity(
    name="symbol",
    join_keys=["symbol"],
    value_type=ValueType.STRING,
    description="A listed stock, CODE.EXCHANGE (600519.SH)",
    owner=OWNER,
)

feature_table = FileSource(
    name=f"{CATALOGUE.name}_table",
    path=str(HOME / "feature_table" / f"{CATALOGUE.name}.parquet"),
    file_format=ParquetFormat(),
    timestamp_field="event_timestamp",
    created_timestamp_column="created_timestamp",
    description="One row a stock and session; event_timestamp is the session's close, 15:00 Asia/Shanghai, in UTC",
    owner=OWNER,
)

feature_view = FeatureView(
    name=CATALOGUE.name,
    entities=[symbol],
    ttl=TIME_TO_LIVE,
    schema=[
        Field(
            name=factor.name,
            dtype=Float32,
            description=factor.meaning,
            tags={"unit": factor.unit, "source": factor.source},
        )
        for factor in CATALOGUE.factors
    ],
    source=feature_table,
    online=True,
    description="The factor catalogue's values at the close of each session, float32, missing where unknown",
    tags={"catalogue": CATALOGUE.name, "catalogue_hash": CATALOGUE.version_hash},
    owner=OWNER,
)

feature_service = FeatureService(
    name=f"{CATALOGUE.name}_{CATALOGUE.version_hash[:12]}",
    features=[feature_view],
    description="What a model trained on this version of the catalogue reads",
    tags={"catalogue": CATALOGUE.name, "catalogue_hash": CATALOGUE.version_hash},
    owner=OWNER,
)
