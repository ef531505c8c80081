"""All that serving needs of a model: signed bundles and ``predict``. LightGBM, cryptography and numpy only.

Not here: anything that produces a model (``models/``) or decides whether it may trade (``promotion/``).
"""
