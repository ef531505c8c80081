"""Feast behind one small client: the only package that imports it.

``client`` is the face, ``repository`` opens what a Feast user declared, ``as_of`` answers what was known at an instant,
``packed`` keeps the newest row of every stock in one piece, ``online_store`` writes those rows beside Feast's own.
Not here: the feature table and the comparison with it (``feature_table.py``).
"""

from ljwx_pipeline.feature_store.client import FeatureStoreClient, Materialized
from ljwx_pipeline.feature_store.repository import HOME_VARIABLE, AppliedRepository

__all__ = ["HOME_VARIABLE", "AppliedRepository", "FeatureStoreClient", "Materialized"]
