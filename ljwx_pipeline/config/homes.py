"""Where state lies: the home of everything, the folder of one market, the address of MLflow.

Not here: what is in those folders (``lake/``, ``live/``, ``registry.py``).
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ljwx_pipeline.config.operation import MlflowSettings
from ljwx_pipeline.config.settings import Settings


def market_name(settings: Settings) -> str:
    """Return the name of the market a profile works on: the profile and eight digits of what identifies its data.

    Two seeds, two folders, two providers or two lists of symbols are two markets; a real provider's later
    ``last_session`` is the same one, and so is a folder by whatever path or link it is reached. A replay is named by
    the market and the instant.
    """
    identity: dict[str, Any] = {"kind": settings.source.kind}
    if settings.source.kind == "simulated":
        stated = settings.source.model_dump(mode="json", include={"kind", "first_session", "last_session"})
        identity |= {"source": stated, "world": settings.simulated.model_dump()}
    elif settings.source.kind == "folder":
        identity |= {"data": os.path.realpath(settings.folder.data), "adjustment": settings.folder.adjustment}
    elif settings.source.symbols:
        identity |= {"symbols": sorted(settings.source.symbols)}
    digits = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:8]
    instant = settings.source.replayed_instant
    return f"{settings.profile}-{digits}" + ("" if instant is None else f"-as-of-{instant:%Y%m%dT%H%M%S%fZ}")


def registered_model(settings: Settings, market: str = "") -> str:
    """Return the name in the model registry: a champion is the champion of one market (default: the settings')."""
    return f"{settings.mlflow.model_name}-{market or market_name(settings)}"


def market_home(settings: Settings) -> Path:
    """Return the folder below ``LJWX_HOME`` that holds one market's lake, features, bundles and trading journal."""
    return ljwx_home() / "markets" / market_name(settings)


def homes_of_same_data(home: Path) -> tuple[Path, ...]:
    """Return the other homes beside the market's ``home`` that hold the same data under another profile's name.

    Told by what identifies the data, as in ``market_name``: data that were copied to another folder are another
    market's.
    """
    digits = home.name.rsplit("-", 1)[-1]
    return tuple(sorted(other for other in home.parent.glob(f"*-{digits}") if other.name != home.name))


def dagster_home(settings: Settings) -> Path:
    """Return the folder of one market's Dagster instance: what its pages show is this market's, or this replay's."""
    return market_home(settings) / "dagster"


def report_folders(home: Path, reports: Path) -> dict[str, Path]:
    """Return where the pages of the market with the folder ``home`` lie, by the name the console serves them under.

    ``reports`` is the folder of all markets' reports.
    """
    return {
        "report": home / "report",
        "tear_sheet": home / "tear_sheet",
        "data-docs": reports / "data-docs" / home.name,
    }


def tracking_uri(mlflow: MlflowSettings, home: Path) -> str:
    """Return MLflow's tracking address: the configured one, or SQLite under ``home`` (``LJWX_HOME``)."""
    return mlflow.tracking_uri or f"sqlite:///{home / 'mlflow' / 'mlflow.db'}"


def artifact_root(mlflow: MlflowSettings, home: Path) -> str:
    """Return the URL that MLflow keeps artifacts below: the configured one, or a folder of ``home``."""
    return mlflow.artifact_root or (home.absolute() / "mlflow" / "artifacts").as_uri()


def without_password(address: str) -> str:
    """Return ``address`` as it may be shown and stored: a password in it becomes three asterisks."""
    password = urlsplit(address).password
    return address if password is None else address.replace(f":{password}@", ":***@", 1)


def ljwx_home() -> Path:
    """Return the one directory all state lives in: ``LJWX_HOME``, or ``.ljwx`` in the working directory."""
    return Path(os.environ.get("LJWX_HOME") or ".ljwx").absolute()
