"""Brokers the runner can trade with: one file each, all behind the port in ``port.py``, chosen in ``opening.py``."""
