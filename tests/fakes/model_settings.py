"""Settings of a model as shipped, with what a test changes: a key that is added need not be named in every test."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ljwx_pipeline.config import ModelSettings, load_settings

_SHIPPED = Path(__file__).resolve().parents[2] / "ljwx.toml"


def model_settings(**changed: Any) -> ModelSettings:
    """Return the shipped ``[model]``, on one thread unless ``changed`` says otherwise."""
    shipped = load_settings(profile="simulated", config_file=_SHIPPED, environ={}).model
    return ModelSettings.model_validate({**shipped.model_dump(), "threads": 1, **changed})
