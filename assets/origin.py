"""What a result of research was made from, carried in its document, so that results of two runs are never joined.

``research`` is the event of the research run under way, ``dataset_hash`` names the training dataset and
``predictions_hash`` the walk forward's scores. Not here: the hashes of data, settings and code (``lineage.py``), what
is reused (``reuse.py``).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from assets.datasets import META
from assets.io_managers import read_json
from assets.resources import Line
from assets.tracking import research_event
from ljwx_pipeline.errors import PromotionError
from ljwx_pipeline.lake.content_hash import content_hash
from ljwx_pipeline.tracking import stable_id

RESEARCH, DATASET, PREDICTIONS = "research", "dataset_hash", "predictions_hash"
#: Of which kind of thing a mark tells, for a person.
_SAID = {RESEARCH: "research", DATASET: "training dataset", PREDICTIONS: "walk-forward predictions"}
_REMEDY = "run the research whole: `ljwx run --job research`"


def origin_of(line: Line) -> dict[str, str]:
    """Return the marks of the research under way: its event, dataset and predictions.

    Raises
    ------
    PromotionError
        When the walk forward was made from another dataset.
    """
    walked, dataset = read_json(line.tables, "walk_forward_folds"), dataset_mark(line)
    require_same_origin(dataset, walk_forward_predictions=walked)
    return {RESEARCH: research_event(line), **dataset, PREDICTIONS: str(walked[PREDICTIONS])}


def dataset_mark(line: Line) -> dict[str, str]:
    """Return the mark of the training dataset as it is now."""
    return {DATASET: str(read_json(line.tables, META)["hash"])}


def origin_of_predictions(line: Line, predictions: pd.DataFrame) -> dict[str, str]:
    """Return the marks of the predictions in hand and of the dataset as it is now.

    Raises
    ------
    PromotionError
        When they are not the ones that the walk forward left, or it was made from another dataset.
    """
    marks = {**dataset_mark(line), PREDICTIONS: content_hash(predictions)}
    require_same_origin(marks, walk_forward_predictions=read_json(line.tables, "walk_forward_folds"))
    return marks


def decision_hash(decision: Mapping[str, Any]) -> str:
    """Return what names a decision with all it measured: the card of a bundle tells exactly that."""
    return stable_id("decision", decision)


def require_same_origin(expected: Mapping[str, str], **made: Mapping[str, Any]) -> None:
    """Refuse to join results of several origins.

    Parameters
    ----------
    expected
        Marks by name.
    made
        Documents by their asset's name. A mark that a document lacks is another one's.

    Raises
    ------
    PromotionError
        Naming the first that is of another origin, and both.
    """
    for name, document in made.items():
        for mark, value in expected.items():
            if document.get(mark) != value:
                raise PromotionError(
                    f"{name} is of {_SAID[mark]} {_short(document.get(mark))}, not of {_short(value)}", _REMEDY
                )


def require_one_decision(line: Line, decision: Mapping[str, Any], bundle: Mapping[str, Any]) -> None:
    """Refuse a bundle that was made of another decision than the one in hand, or either of another research.

    Parameters
    ----------
    decision, bundle
        What ``promotion_decision`` and ``model_bundle`` left.

    Raises
    ------
    PromotionError
        With what differs.
    """
    require_same_origin(origin_of(line), promotion_decision=decision, model_bundle=bundle)
    if bundle.get("decision_hash") != decision_hash(decision):
        raise PromotionError(
            f"model_bundle carries a decision that {bundle.get('decision')} it, promotion_decision now says "
            f"{decision['decision']} or measured otherwise",
            _REMEDY,
        )


def _short(mark: object) -> str:
    return str(mark)[:12]
