"""Models walked forward over the dataset and folds of the newest research: several side by side, one on other pasts.

``candidates`` says which ``[model]`` settings, ``walk`` trains and keeps them, ``measures`` says what each is worth,
``document`` tells it. ``splits`` trains one of them on every split of a combinatorial cross-validation, ``paths`` says
what the paths are worth, ``paths_document`` tells it. Not here: how a model learns (``models/``), the market's stored
tables (``jobs/compare.py`` and ``jobs/paths.py`` read them).
"""
