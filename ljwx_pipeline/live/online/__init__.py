"""From believed ticks to provisional scores while a session runs, and to research's own scores at its close.

Pure: no clock but where one is handed in, no I/O. Not here: which ticks are believed (``live/ticks/``), what is decided
on scores (``live/decision.py``), the pipeline's file of features (``live/feature_file.py``).
"""
