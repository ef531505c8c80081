"""Whether a model that trades is still the model that was promoted: skill, calibration, drift, challengers, retraining.

Pure functions over frames and arrays. Not here: what is measured before a promotion (``evaluation/``, ``promotion/``),
when a table is wrong (``quality/``), who is told (``assets/``).
"""
