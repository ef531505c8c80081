"""One point-in-time join in a process of its own: Feast's or the line's; W6 measures it as a child.

``python -m benchmarks.historical_join <folder> <answer.json> --by feast|ours --values <out.npy>``. The folder is one of
``feature_home.make_home`` with ``questions.parquet`` in it. The answer holds the seconds from the questions in memory
to the answer in memory, the median of ``CALLS`` and the first one's, Feast's in the order it comes in.
The values written are float32 in the order asked.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.feature_home import FEATURES, client_of
from ljwx_pipeline.feature_store import FeatureStoreClient

#: Joins in one process: the first also pays for memory that the machine hands out for the first time.
CALLS = 5


def main() -> None:
    """Join, then write what it took and the values."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("answer", type=Path)
    parser.add_argument("--by", choices=["feast", "ours"], required=True)
    parser.add_argument("--values", type=Path, required=True)
    options = parser.parse_args()
    questions = pd.read_parquet(options.folder / "questions.parquet")
    client = client_of(options.folder)
    join = {"feast": by_feast, "ours": FeatureStoreClient.historical}[options.by]
    join(client, questions.head(10))  # the imports and the first query's plans are not the join
    walls = []
    for _ in range(CALLS):
        began = time.perf_counter()
        answer = join(client, questions)
        walls.append(time.perf_counter() - began)
    in_order = answer.set_index("question").reindex(questions["question"])
    np.save(options.values, in_order[list(FEATURES)].to_numpy(dtype=np.float32))
    from importlib.metadata import version

    said = {
        "name": "Feast duckdb",
        "version": version("feast"),
        "kernel_wall_s": statistics.median(walls),
        "first_wall_s": walls[0],
    }
    options.answer.write_text(json.dumps(said), encoding="utf-8")


def by_feast(client: FeatureStoreClient, questions: pd.DataFrame) -> pd.DataFrame:
    """Return Feast's own answer, in the order Feast leaves it in."""
    store = client.feast_store
    service = store.get_feature_service(client.feature_service)
    return store.get_historical_features(entity_df=questions, features=service).to_df()


if __name__ == "__main__":
    main()
