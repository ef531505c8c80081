"""Leak checks: nothing that a model learns from may depend on what was not known when it was used.

The principle is the same everywhere: change what became known later, compute again, compare. Import from here; a
user's own file is judged by ``user_file.py``, and ``gallery.py`` shows that every leak we know of is caught.
"""

from ljwx_pipeline.factors.leaks.catalogue_checks import FactorFunction, check_leaks, lookahead_check, warm_up_check
from ljwx_pipeline.factors.leaks.findings import Finding, LeakReport

__all__ = ["FactorFunction", "Finding", "LeakReport", "check_leaks", "lookahead_check", "warm_up_check"]
