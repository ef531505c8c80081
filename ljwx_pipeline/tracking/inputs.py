"""What a run was made with: the packages, the settings, and the datasets it read, as MLflow keeps them.

Not here: the hashes themselves (``assets/lineage.py``, ``lake/``).
"""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping
from functools import lru_cache
from importlib.metadata import distributions
from typing import Any

from ljwx_pipeline import __version__
from ljwx_pipeline.config import Settings, dotted, load_settings, without_password
from ljwx_pipeline.config.settings import LOCAL_KEYS, LOCAL_SECTIONS
from ljwx_pipeline.errors import ConfigError

#: Packages whose versions are tags: a look at a run's page says them, the artifact says all.
TAGGED_PACKAGES = ("lightgbm", "numpy", "pandas", "numba", "scikit-learn", "shap", "optuna", "mlflow", "dagster")
#: Beyond these MLflow's tables cut a digest off.
_DIGEST_DIGITS = 12
#: Letters of what was changed that a run's name has room for.
_CHANGED_SHOWN = 60


@lru_cache(maxsize=1)
def installed_packages() -> dict[str, str]:
    """Return the version of every installed package by its name, in alphabetical order."""
    # each look at ``metadata`` reads and parses the package's file again
    read = [one.metadata for one in distributions()]
    found = {one["Name"]: one["Version"] for one in read if one["Name"]}
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


def changed_settings(settings: Settings) -> tuple[str, ...] | None:
    """Return what ``--set`` or the environment changed of the profile's own settings, as ``model.kind=linear`` each.

    Addresses and how many work on it are left out: they change no result. None where the profile's file does not stand
    alone, so that nobody knows what it would have been.
    """
    config_file = os.environ.get("LJWX_CONFIG")
    try:
        own = load_settings(
            profile=settings.profile, environ={} if config_file is None else {"LJWX_CONFIG": config_file}
        )
    except ConfigError:
        return None
    now, before = (dotted(settings_tree(one)) for one in (settings, own))
    local = tuple(f"{section}.{key}." for section, key in LOCAL_KEYS)
    keys = [key for key in now if key.partition(".")[0] not in LOCAL_SECTIONS and not f"{key}.".startswith(local)]
    return tuple(f"{key}={_plain(now[key])}" for key in keys if key not in before or now[key] != before[key])


def changed_text(changed: tuple[str, ...] | None) -> str:
    """Return what was changed as one tag: ``none`` where nothing was."""
    return "unknown: the profile does not stand alone" if changed is None else " ".join(changed) or "none"


def changed_shown(changed: tuple[str, ...] | None) -> str:
    """Return as much of what was changed as a run's name has room for, and how much more there is; may be empty."""
    shown: list[str] = []
    for one in changed or ():
        if len(" ".join([*shown, one])) > _CHANGED_SHOWN:
            break
        shown.append(one)
    more = len(changed or ()) - len(shown)
    return " ".join([*shown, *([f"+{more} changed"] if more else [])])


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))


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
