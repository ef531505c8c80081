"""The systems the benchmarks compare with, run in ``.venv-peers`` (``make bench-peers``) and never imported here.

``environment.py`` starts and measures them, ``qlib_store.py`` writes what qlib reads; each other module is a script for
the peers' interpreter and imports nothing of the line.
"""
