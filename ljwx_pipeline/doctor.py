"""``ljwx doctor``: what is installed, reachable, writable and configured, and how to mend what is not.

It looks and reports; it changes nothing and starts nothing.
"""

from __future__ import annotations

import os
import shutil
import socket
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ljwx_pipeline.clock import SHANGHAI, utc_now
from ljwx_pipeline.command_options import require_meaning
from ljwx_pipeline.config import FolderSettings, Settings, ljwx_home, load_settings, market_home, tracking_uri
from ljwx_pipeline.errors import ConfigError, SourceError
from ljwx_pipeline.market.calendar import last_known_session
from ljwx_pipeline.sources.folder.files import find_files
from ljwx_pipeline.sources.open import open_source

MIN_FREE_GIB = 5.0
MIN_HORIZON_DAYS = 90
DEFAULT_PORTS = {"http": 80, "https": 443, "postgresql": 5432, "mysql": 3306}
PIPELINE_PACKAGES = (
    "dagster", "dagster-webserver", "dagster-mlflow", "pandas", "pandera", "feast", "lightgbm", "shap", "optuna",
    "great-expectations", "mlflow", "numba", "duckdb",
)  # fmt: skip


@dataclass(frozen=True)
class Finding:
    """One thing looked at: whether it is well, what was seen, and the remedy where it is not."""

    name: str
    ok: bool
    fact: str
    remedy: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Return the finding as plain values."""
        return asdict(self)


def examine(*, profile: str | None, overrides: Mapping[str, Any], root: Path) -> list[Finding]:
    """Return every finding, configuration first; a broken configuration ends the list, as all else depends on it."""
    findings = [_python(), *_packages(), _checkout(root)]
    try:
        settings = load_settings(profile=profile, overrides=overrides)
        require_meaning(settings, overrides)
    except ConfigError as error:
        return [*findings, Finding("configuration", ok=False, fact=error.fact, remedy=error.remedy)]
    findings.append(
        Finding("configuration", ok=True, fact=f"profile {settings.profile}, hash {settings.config_hash[:12]}")
    )
    findings += [_home(ljwx_home()), _disk(ljwx_home()), _calendar(), _source(settings), _mlflow(settings)]
    findings += [_port(settings.ui.host, name, port) for name, port in _ports(settings)]
    findings.append(_journal(market_home(settings)))
    return findings


def findings_table(findings: list[Finding]) -> str:
    """Return the findings as lines for a terminal, remedies indented below what needs them."""
    width = max(len(finding.name) for finding in findings)
    lines = []
    for finding in findings:
        lines.append(f"{'ok ' if finding.ok else 'BAD'}  {finding.name:<{width}}  {finding.fact}")
        if not finding.ok:
            lines.append(f"     {'':<{width}}  -> {finding.remedy}")
    bad = sum(not finding.ok for finding in findings)
    return "\n".join([*lines, "", "all is well" if bad == 0 else f"{bad} to mend"])


def _python() -> Finding:
    found = ".".join(map(str, sys.version_info[:3]))
    ok = (3, 11) <= sys.version_info[:2] < (3, 14)
    return Finding("python", ok, found, "" if ok else "use Python 3.11, 3.12 or 3.13")


def _packages() -> list[Finding]:
    findings = []
    for name in PIPELINE_PACKAGES:
        try:
            findings.append(Finding(name, ok=True, fact=version(name)))
        except PackageNotFoundError:
            findings.append(Finding(name, ok=False, fact="not installed", remedy="make install"))
    return findings


def _checkout(root: Path) -> Finding:
    ok = (root / "jobs" / "definitions.py").is_file()
    return Finding(
        "checkout",
        ok,
        f"{root}" if ok else f"{root} holds no jobs/definitions.py",
        "" if ok else "run ljwx from the project's checkout",
    )


def _home(home: Path) -> Finding:
    place = home
    while not place.exists():
        place = place.parent
    ok = os.access(place, os.W_OK | os.X_OK)
    return Finding(
        "LJWX_HOME",
        ok,
        f"{home}{'' if home.exists() else ' (not made yet)'}",
        "" if ok else f"make {place} writable or set LJWX_HOME",
    )


def _disk(home: Path) -> Finding:
    place = home
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free / 2**30
    ok = free >= MIN_FREE_GIB
    return Finding("disk", ok, f"{free:.0f} GiB free", "" if ok else f"free at least {MIN_FREE_GIB:.0f} GiB")


def _calendar() -> Finding:
    horizon = last_known_session()
    days = (horizon - utc_now().astimezone(SHANGHAI).date()).days
    ok = days >= MIN_HORIZON_DAYS
    fact = f"sessions known to {horizon}, {days} days ahead"
    # a short horizon does not stop today's work, so it is told without failing the examination
    return Finding("calendar", ok=True, fact=fact if ok else f"{fact}; upgrade exchange-calendars before then")


def _source(settings: Settings) -> Finding:
    kind = settings.source.kind
    if kind == "simulated":
        return Finding("source", ok=True, fact="simulated market, needs nothing")
    try:
        if kind == "folder":
            return Finding("source", ok=True, fact=_files(settings.folder))
        open_source(settings)
    except SourceError as error:
        return Finding("source", ok=False, fact=error.fact, remedy=error.remedy)
    return Finding("source", ok=True, fact=kind)


def _files(folder: FolderSettings) -> str:
    """Return how many files there are to read; none is opened."""
    bars = find_files(folder.data, "folder.data")
    if not folder.index_data:
        raise SourceError("folder.index_data names no file", "pass --index-data PATH [PATH ...]")
    indices = [path for given in folder.index_data for path in find_files(given, "folder.index_data")]
    return f"files of bars at {folder.data}: {len(bars)}; files of index bars: {len(indices)}"


def _mlflow(settings: Settings) -> Finding:
    address = tracking_uri(settings.mlflow, ljwx_home())
    if address.startswith("sqlite:///"):
        return Finding("mlflow", ok=True, fact=f"SQLite at {address.removeprefix('sqlite:///')}")
    parts = urlsplit(address)
    shown = address if parts.password is None else address.replace(f":{parts.password}@", ":***@")
    try:
        port = parts.port or DEFAULT_PORTS.get(parts.scheme.partition("+")[0])
    except ValueError:
        port = None
    if parts.hostname is None or port is None:
        remedy = "write scheme://host:port, or clear mlflow.tracking_uri to use a local database"
        return Finding("mlflow", ok=False, fact=f"{shown} names no host and port", remedy=remedy)
    ok = _answers(parts.hostname, port)
    return Finding("mlflow", ok, shown, "" if ok else "start the server or clear mlflow.tracking_uri")


def _ports(settings: Settings) -> list[tuple[str, int]]:
    ui = settings.ui
    return [
        ("dagster", ui.dagster_port),
        ("mlflow server", ui.mlflow_port),
        ("runner", ui.runner_port),
        ("console", ui.console_port),
    ]


def _port(host: str, name: str, port: int) -> Finding:
    answers = _answers(host, port)
    return Finding(f"port {port}", ok=True, fact=f"{name}: {'something answers there' if answers else 'free'}")


def _answers(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), timeout=1.0).close()
    except OSError:
        return False
    return True


def _journal(home: Path) -> Finding:
    journal = home / "live" / "account" / "journal.sqlite"
    fact = f"{journal.stat().st_size / 1024:.0f} KiB" if journal.exists() else "none yet: no model has traded"
    return Finding("trading journal", ok=True, fact=fact)
