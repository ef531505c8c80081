"""What training needs beside settings and data, asked before the first step: packages, the studies' place, MLflow.

Asking changes nothing: no table is made in a database, no file where none is. Not here: the data (``dataset/plan.py``),
free space and the runner (``ljwx doctor``).
"""

from __future__ import annotations

from ljwx_pipeline.config import Settings, ljwx_home
from ljwx_pipeline.models.xgboost_trees import require_xgboost
from ljwx_pipeline.registry import open_registry
from ljwx_pipeline.studies.storage import Place


def require_to_train(settings: Settings) -> None:
    """Raise for the first thing that a job which trains would miss only after many steps.

    Raises
    ------
    ModelError
        When the package of ``model.kind``, or of a base of the stack, is not installed.
    EnvironmentFault
        When ``tune.storage`` is no address, lacks its driver or does not answer.
    RegistryError
        When the server of ``mlflow.tracking_uri`` takes no connection.
    """
    model = settings.model
    stacked = model.ensemble.kind == "stacking"
    if "xgboost" in model.fitted_kinds:
        require_xgboost("model.ensemble.bases names" if stacked else "model.kind =")
    Place(url=settings.tune.storage.get_secret_value()).require_reachable()
    open_registry(settings.mlflow, ljwx_home()).require_reachable()
