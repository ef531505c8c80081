"""Where a research run keeps, among its artifacts, what it takes to make it again. ``assets.made`` writes it."""

from __future__ import annotations

#: Folder of the run's artifacts, and its files: resolved settings, market and packages, hashes of what was made.
CONFIG = "config"
SETTINGS, ENVIRONMENT, MADE = "settings.json", "environment.json", "made.json"
