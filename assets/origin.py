"""What a result of research was made from, carried in its document, so that results of two runs are never joined.

``research`` is the event of the research run under way, ``dataset_hash`` names the training dataset,
``predictions_hash`` the walk forward's scores, and ``settings`` what it was made under. Not here: which settings these
are (``judged_settings.py``), the hashes of data, settings and code (``lineage.py``), what is reused (``reuse.py``).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from assets.datasets import META
from assets.io_managers import read_json, read_table
from assets.judged_settings import changed_since, settings_mark
from assets.left_behind import BACKTEST, backtest_mark
from assets.resources import Line
from assets.tracking import research_event, research_settings
from ljwx_pipeline.errors import PromotionError
from ljwx_pipeline.lake.content_hash import content_hash
from ljwx_pipeline.tracking import stable_id

RESEARCH, DATASET, PREDICTIONS, SETTINGS = "research", "dataset_hash", "predictions_hash", "settings"
#: Of which kind of thing a mark tells, for a person.
_SAID = {RESEARCH: "research", DATASET: "training dataset", PREDICTIONS: "walk-forward predictions"}
Marks = dict[str, Any]
_REMEDY = "run the research whole: `ljwx run --job research`"


def origin_of(line: Line) -> Marks:
    """Return the marks of the research under way: its event, dataset, predictions and settings.

    Raises
    ------
    PromotionError
        When the walk forward was made from another dataset, or the settings are not those the research began with.
    """
    walked, below = read_json(line.tables, "walk_forward_folds"), {**dataset_mark(line), **settings_of(line)}
    require_same_origin(below, walk_forward_predictions=walked)
    return {RESEARCH: research_event(line), **below, PREDICTIONS: str(walked[PREDICTIONS])}


def dataset_mark(line: Line) -> Marks:
    """Return the mark of the training dataset as it is now."""
    return {DATASET: str(read_json(line.tables, META)["hash"])}


def settings_of(line: Line) -> Marks:
    """Return the mark of the settings of now, which are those of the research under way.

    Raises
    ------
    PromotionError
        When they are others, naming them: bundle, card and MLflow would tell of settings that nothing was made under.
    """
    if changed := changed_since(research_settings(line), line.settings):
        raise PromotionError(
            f"the research under way began under other settings ({changed})", f"set them back, or {_REMEDY}"
        )
    return {SETTINGS: settings_mark(line.settings)}


def origin_of_predictions(line: Line, predictions: pd.DataFrame) -> Marks:
    """Return the marks of the predictions in hand, and of dataset and settings as they are now.

    Raises
    ------
    PromotionError
        When they are not the ones that the walk forward left, it was made from another dataset or under other
        settings, or these are not what the research began with.
    """
    marks = {**dataset_mark(line), PREDICTIONS: content_hash(predictions), **settings_of(line)}
    require_same_origin(marks, walk_forward_predictions=read_json(line.tables, "walk_forward_folds"))
    return marks


def decision_hash(decision: Mapping[str, Any]) -> str:
    """Return what names a decision with all it measured: the card of a bundle tells exactly that."""
    return stable_id("decision", decision)


def require_same_origin(expected: Mapping[str, Any], **made: Mapping[str, Any]) -> None:
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
            if mark == SETTINGS and (others := _other_settings(document.get(mark), value)):
                raise PromotionError(f"{name} was made under other settings of {others}", _REMEDY)
            if document.get(mark) != value:
                raise PromotionError(
                    f"{name} is of {_SAID[mark]} {_short(document.get(mark))}, not of {_short(value)}", _REMEDY
                )


def require_one_decision(line: Line, decision: Mapping[str, Any], bundle: Mapping[str, Any]) -> None:
    """Refuse a bundle made of another decision than the one in hand, or either of another research or backtest.

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
    require_judged_backtest(line, decision)
    if bundle.get("decision_hash") != decision_hash(decision):
        raise PromotionError(
            f"model_bundle carries a decision that {bundle.get('decision')} it, promotion_decision now says "
            f"{decision['decision']} or measured otherwise",
            _REMEDY,
        )


def require_judged_backtest(line: Line, decision: Mapping[str, Any]) -> None:
    """Refuse a decision on another backtest than the one whose returns, figures and trades are told beside it.

    Raises
    ------
    PromotionError
        When the backtest was made again since, or its files are not of one materialisation.
    """
    if decision.get(BACKTEST) != backtest_mark(line.tables, read_table(line.tables, "net_backtest"))[BACKTEST]:
        raise PromotionError("promotion_decision judged another net_backtest than the one that is there now", _REMEDY)


def _other_settings(made: object, now: Mapping[str, str]) -> str:
    """Return the sections that differ, in words; every one where the document carries no such mark."""
    known = made if isinstance(made, Mapping) else {}
    return ", ".join(name for name in sorted({*known, *now}) if known.get(name) != now.get(name))


def _short(mark: object) -> str:
    return str(mark)[:12]
