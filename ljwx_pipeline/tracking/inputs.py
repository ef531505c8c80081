"""What a run was made with: the packages, the settings, and the datasets it read, as MLflow keeps them.

Not here: the hashes themselves (``assets/lineage.py``, ``lake/``).
"""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping
from functools import lru_cache
from importlib.metadata import distributions
from typing import Any

from ljwx_pipeline import __version__
from ljwx_pipeline.config import Settings, without_password

#: Packages whose versions are tags: a look at a run's page says them, the artifact says all.
TAGGED_PACKAGES = ("lightgbm", "numpy", "pandas", "numba", "scikit-learn", "shap", "optuna", "mlflow", "dagster")
#: Beyond these MLflow's tables cut a digest off.
_DIGEST_DIGITS = 12


@lru_cache(maxsize=1)
def installed_packages() -> dict[str, str]:
    """Return the version of every installed package by its name, in alphabetical order."""
    found = {one.metadata["Name"]: one.version for one in distributions() if one.metadata["Name"]}
    return dict(sorted(found.items(), key=lambda item: item[0].lower()))


def requirements_text() -> str:
    """Return the installed packages as a requirements file."""
    return "".join(f"{name}=={version}\n" for name, version in installed_packages().items())


def environment_tags() -> dict[str, str]:
    """Return the tags that name Python, the platform and the packages that compute."""
    packages = installed_packages()
    return {
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "ljwx": __version__,
        **{f"package.{name}": packages[name] for name in TAGGED_PACKAGES if name in packages},
    }


def settings_tree(settings: Settings) -> dict[str, Any]:
    """Return every configured value as plain ones, without the password that an address may hold."""
    tree = settings.model_dump(mode="json")
    tree["mlflow"]["tracking_uri"] = without_password(tree["mlflow"]["tracking_uri"])
    return tree


def settings_text(settings: Settings) -> str:
    """Return every configured value as JSON that ``Settings.model_validate_json`` reads."""
    return json.dumps(settings_tree(settings), indent=2, ensure_ascii=False) + "\n"


def dataset_input(
    name: str,
    digest: str,
    *,
    source: Mapping[str, Any],
    schema: Mapping[str, str] | None = None,
    profile: Mapping[str, Any] | None = None,
    context: str = "training",
) -> dict[str, str]:
    """Return one dataset that a run read, as ``JournaledRun.inputs`` takes it.

    Parameters
    ----------
    name, digest
        What MLflow shows; of the digest the first digits, the whole hash belongs into ``source``.
    source
        Where it came from, as plain values.
    schema
        Type by column.
    profile
        Numbers about it: rows, sessions.
    context
        What it was read for.
    """
    columns = [{"type": kind, "name": column, "required": True} for column, kind in (schema or {}).items()]
    return {
        "name": name,
        "digest": digest[:_DIGEST_DIGITS],
        "source_type": "ljwx",
        "source": json.dumps(dict(source), default=str),
        "schema": json.dumps({"mlflow_colspec": columns}),
        "profile": json.dumps(dict(profile or {}), default=str),
        "context": context,
    }
