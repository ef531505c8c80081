"""What ``make bench`` measures, with its last recorded result in ``results/latest.json`` and ``README.md``."""
