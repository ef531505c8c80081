"""One point-in-time join in a process of its own: Feast's or the line's; W6 measures it as a child.

``python -m benchmarks.historical_join <folder> <answer.json> --by feast|ours --values <out.npy>``. The folder is one of
``feature_home.make_home`` with ``questions.parquet`` in it. The answer holds the seconds from the questions in memory
to the values in memory; the values are float32, one row a question, in the order asked.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.feature_home import FEATURES, client_of
from ljwx_pipeline.feature_store import FeatureStoreClient


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
    own = options.by == "ours" and hasattr(client, "historical")
    if not own:
        by_feast(client, questions.head(10))  # the imports and the first query's plans are not the join
    began = time.perf_counter()
    values = client.historical(questions) if own else by_feast(client, questions)
    wall_s = time.perf_counter() - began
    np.save(options.values, values)
    from importlib.metadata import version

    answer = {"name": "Feast duckdb", "version": version("feast"), "kernel_wall_s": wall_s, "own": own}
    options.answer.write_text(json.dumps(answer), encoding="utf-8")


def by_feast(client: FeatureStoreClient, questions: pd.DataFrame) -> np.ndarray:
    """Return Feast's own answer in the order of the questions."""
    store = client._store
    service = store.get_feature_service(client.feature_service)
    answer = store.get_historical_features(entity_df=questions, features=service).to_df()
    return answer.set_index("question").reindex(questions["question"])[list(FEATURES)].to_numpy(dtype=np.float32)


if __name__ == "__main__":
    main()
