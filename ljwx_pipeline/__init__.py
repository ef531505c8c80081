"""The domain of the LJWX pipeline: everything a quantitative A-share strategy needs that is not orchestration.

No module below this package imports dagster. The allowed arrows between sub-packages are listed in
``pyproject.toml`` under ``[tool.importlinter]`` and enforced by ``tests/test_architecture.py``.
"""

__version__ = "0.1.0"
