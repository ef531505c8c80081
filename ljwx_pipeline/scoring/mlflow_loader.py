"""How ``mlflow models serve`` and ``mlflow.pyfunc.load_model`` open a registered bundle of several members.

MLflow calls ``_load_pyfunc`` by its name, as the ``MLmodel`` file beside the bundle says; nothing is unpickled, and
MLflow itself is not imported here. Whoever serves through MLflow trusts its registry: hashes are checked, the signature
is not. Not here: the bundle (``bundle.py``), writing ``MLmodel`` (``registry.py``).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ljwx_pipeline.scoring.bundle import open_unsigned
from ljwx_pipeline.scoring.model import Model

FEATURES, GROUPS = "features", "groups"


class ServedModel:
    """A bundle's model as MLflow asks it.

    Parameters
    ----------
    model
        Members and their weights.
    """

    def __init__(self, model: Model) -> None:
        self._model = model

    def predict(self, model_input: NDArray[np.float32] | Mapping[str, NDArray[Any]]) -> NDArray[np.float64]:
        """Return one score a row, the bits that the runner would trade on; NaN for a row of nothing but NaN.

        Parameters
        ----------
        model_input
            float32 of shape ``(n, width)``; of a model of groups a mapping of that as ``features`` and of the rows'
            group codes, int32 of shape ``(n,)``, as ``groups``.
        """
        if isinstance(model_input, Mapping):
            features, groups = model_input[FEATURES], np.asarray(model_input[GROUPS], dtype=np.int32)
        else:
            features, groups = model_input, None
        scores = self._model.predict(features, groups).score
        scores[np.isnan(features).all(axis=1)] = np.nan
        return scores


def _load_pyfunc(path: str) -> ServedModel:
    return ServedModel(open_unsigned(Path(path)))
