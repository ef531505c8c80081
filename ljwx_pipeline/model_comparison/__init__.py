"""Several ``[model]`` settings walked forward over the dataset and folds of the newest research, side by side.

``candidates`` says which, ``walk`` trains and keeps them, ``measures`` says what each is worth, ``document`` tells it.
Not here: how a model learns (``models/``), the market's stored tables (``jobs/compare.py`` reads them).
"""
