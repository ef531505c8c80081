"""``ljwx doctor``: what is installed, reachable, writable and configured, and how to mend what is not.

It looks and reports; it changes nothing and starts nothing. A provider's server is connected to, and asked nothing.
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
from urllib.request import getproxies, proxy_bypass

from ljwx_pipeline.clock import SHANGHAI, utc_now
from ljwx_pipeline.command_options import require_meaning
from ljwx_pipeline.config import (
    OPEN,
    FolderSettings,
    Settings,
    dagster_home,
    ljwx_home,
    load_settings,
    market_home,
    registered_model,
    tracking_uri,
    without_password,
)
from ljwx_pipeline.errors import ConfigError, FactorError, LakeError, RegistryError, SourceError
from ljwx_pipeline.factors.catalogues import open_catalogue
from ljwx_pipeline.failures import last_failures
from ljwx_pipeline.market.calendar import MIN_HORIZON_SESSIONS, last_known_session, sessions_ahead, upgrade_remedy
from ljwx_pipeline.registry import open_registry
from ljwx_pipeline.sources.folder.files import find_files
from ljwx_pipeline.sources.tushare.credentials import read_token
from ljwx_pipeline.tracking import ChampionRecord, damage, unsent_events

MIN_FREE_GIB = 5.0
#: Kinds whose data end in the past: how far ahead sessions are known stops none of their work.
AT_HAND = ("simulated", "folder")
#: Packages of a provider that come on top of the pipeline's.
PROVIDER_PACKAGES = {"akshare": "akshare", "baostock": "baostock"}
#: One of the hosts that akshare reads bars from.
AKSHARE_HOST = "push2his.eastmoney.com"
CONNECT_TIMEOUT_S = 3.0
#: So many recorded failures are shown, the newest first.
SHOWN_FAILURES = 3
DEFAULT_PORTS = {"http": 80, "https": 443, "postgresql": 5432, "mysql": 3306}
PIPELINE_PACKAGES = (
    "dagster", "dagster-webserver", "dagster-mlflow", "pandas", "pandera", "feast", "lightgbm", "shap", "optuna",
    "great-expectations", "mlflow", "numba", "duckdb",
)  # fmt: skip


@dataclass(frozen=True)
class Finding:
    """One thing looked at: whether it is well, what was seen, and the remedy where it is not.

    ``only_warns`` marks what is not well and stops nothing today: the examination does not fail for it.
    """

    name: str
    ok: bool
    fact: str
    remedy: str = ""
    only_warns: bool = False

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
    findings.append(_factors(settings.factors.catalogue))
    findings += [_home(ljwx_home()), _disk(ljwx_home()), _calendar(settings), *_source(settings), _mlflow(settings)]
    findings += [_port(settings.ui.host, name, port) for name, port in _ports(settings)]
    findings += [_tracking(settings), _champion(settings)]
    findings += [_dagster(settings), _journal(market_home(settings)), _failures(ljwx_home())]
    return findings


def findings_table(findings: list[Finding]) -> str:
    """Return the findings as lines for a terminal, remedies indented below what needs them."""
    width = max(len(finding.name) for finding in findings)
    lines = []
    for finding in findings:
        mark = "ok  " if finding.ok else "warn" if finding.only_warns else "BAD "
        lines.append(f"{mark}  {finding.name:<{width}}  {finding.fact}")
        if not finding.ok:
            lines.append(f"      {'':<{width}}  -> {finding.remedy}")
    warned = sum(not finding.ok and finding.only_warns for finding in findings)
    bad = sum(not finding.ok for finding in findings) - warned
    said = "all is well" if bad == 0 else f"{bad} to mend"
    return "\n".join([*lines, "", said + (f", {warned} to see to before long" if warned else "")])


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


def _factors(catalogue: str) -> Finding:
    try:
        found = open_catalogue(catalogue)
    except FactorError as error:
        return Finding("factors", ok=False, fact=error.fact, remedy=error.remedy)
    fact = f"{len(found.factors)} of catalogue {found.name}, version {found.version_hash[:12]}"
    return Finding("factors", ok=True, fact=fact)


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


def _calendar(settings: Settings) -> Finding:
    ahead = sessions_ahead(utc_now().astimezone(SHANGHAI).date())
    ok = ahead >= MIN_HORIZON_SESSIONS
    fact = f"{ahead} sessions are known ahead, to {last_known_session()}"
    if ok:
        return Finding("calendar", ok=True, fact=fact)
    fact += f"; at least {MIN_HORIZON_SESSIONS} are wanted"
    only_warns = settings.source.kind in AT_HAND
    return Finding("calendar", ok=False, fact=fact, remedy=upgrade_remedy(), only_warns=only_warns)


def _source(settings: Settings) -> list[Finding]:
    kind = settings.source.kind
    if kind == "simulated":
        return [Finding("source", ok=True, fact="simulated market, needs nothing")]
    if kind == "folder":
        try:
            return [Finding("source", ok=True, fact=_files(settings.folder))]
        except SourceError as error:
            return [Finding("source", ok=False, fact=error.fact, remedy=error.remedy)]
    found = [_provider_package(PROVIDER_PACKAGES[kind])] if kind in PROVIDER_PACKAGES else []
    if kind == "tushare":
        found.append(_token(settings.tushare.token_file))
    return [*found, _endpoint(settings), _last_session(settings)]


def _last_session(settings: Settings) -> Finding:
    """Return whether the schedule goes on: past a fixed last session every day would be skipped."""
    last, name = settings.source.last_session, "last session"
    if last == OPEN:
        return Finding(name, ok=True, fact=f"open: {settings.source.until} today")
    today = utc_now().astimezone(SHANGHAI).date()
    ahead = sessions_ahead(today) - sessions_ahead(max(last, today))
    fact = f"source.last_session is {last}, {ahead} known sessions ahead of today"
    remedy = f"set source.last_session to {OPEN}, or to a later date: the daily job skips every session after it"
    # past the calendar's end nothing is counted, and nothing is short but the calendar
    ok = ahead >= MIN_HORIZON_SESSIONS or last > last_known_session()
    return Finding(name, ok, fact, "" if ok else remedy, only_warns=True)


def _provider_package(name: str) -> Finding:
    try:
        return Finding(name, ok=True, fact=version(name))
    except PackageNotFoundError:
        return Finding(name, ok=False, fact="not installed", remedy="make providers")


def _token(token_file: str) -> Finding:
    """Return whether there is a token, and where; what it is stays in the file or the variable."""
    try:
        read_token(token_file, os.environ)
    except SourceError as error:
        return Finding("token", ok=False, fact=error.fact, remedy=error.remedy)
    return Finding(
        "token", ok=True, fact=f"present in {token_file or 'the environment'}; whether it holds is not asked"
    )


def _endpoint(settings: Settings) -> Finding:
    """Return whether the provider's server accepts a connection; nothing is asked of it."""
    kind = settings.source.kind
    if kind == "baostock":
        key, address = "baostock.host", f"tcp://{settings.baostock.host}:{settings.baostock.port}"
    elif kind == "tushare":
        key, address = "tushare.endpoint", settings.tushare.endpoint
    else:
        key, address = "akshare.endpoint", settings.akshare.endpoint or f"https://{AKSHARE_HOST}"
    reached = _host_and_port(address)
    if reached is None:
        return Finding("endpoint", ok=False, fact=f"{address} names no host and port", remedy=f"correct {key}")
    (host, port), way = reached, ""
    proxy = getproxies().get(urlsplit(address).scheme)
    if proxy and not proxy_bypass(host) and (through := _host_and_port(proxy)) is not None:
        (host, port), way = through, f" through the proxy {through[0]}:{through[1]}"
    if _answers(host, port, timeout_s=CONNECT_TIMEOUT_S):
        return Finding("endpoint", ok=True, fact=f"{address}{way} accepts connections")
    remedy = f"check the network, a firewall, and {key}"
    return Finding("endpoint", ok=False, fact=f"{address}{way} does not answer", remedy=remedy)


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
    shown = without_password(address)
    reached = _host_and_port(address)
    if reached is None:
        remedy = "write scheme://host:port, or clear mlflow.tracking_uri to use a local database"
        return Finding("mlflow", ok=False, fact=f"{shown} names no host and port", remedy=remedy)
    ok = _answers(*reached)
    return Finding("mlflow", ok, shown, "" if ok else "start the server or clear mlflow.tracking_uri")


def _tracking(settings: Settings) -> Finding:
    """Return whether MLflow has everything that is written down beside the market; it is not asked."""
    if damaged := damage(settings):
        return Finding("tracking", ok=False, fact=" | ".join(one.fact for one in damaged), remedy=damaged[0].remedy)
    unsent = len(unsent_events(settings))
    if unsent == 0:
        return Finding("tracking", ok=True, fact="MLflow has everything")
    fact = f"{unsent} runs are kept beside the market and not sent to MLflow yet"
    return Finding("tracking", ok=False, fact=fact, remedy="ljwx tracking flush", only_warns=True)


def _champion(settings: Settings) -> Finding:
    """Return whether the registry's champion is the one that the line promoted; nothing is written down."""
    name, model = "champion", registered_model(settings)
    record, registry = ChampionRecord(market_home(settings) / "tracking"), open_registry(settings.mlflow, ljwx_home())
    database = tracking_uri(settings.mlflow, ljwx_home())
    made = not database.startswith("sqlite:///") or Path(database.removeprefix("sqlite:///")).exists()
    try:
        moved = record.difference(registry, model) if made else None
        at = record.last_move(model) if moved is None else moved
        champion = None if at is None else at.version
        earlier = record.last_by_hand(model) if moved is None else moved
        refusal = None if at is None or champion is None else record.refusal(model, champion, at.bundle_hash)
    except (RegistryError, LakeError) as error:
        return Finding(
            name, ok=False, fact=error.fact, remedy=error.remedy, only_warns=isinstance(error, RegistryError)
        )
    by_hand = "" if earlier is None else f"; {earlier.sentence()}"
    if refusal is not None:
        fact, remedy = refusal
        return Finding(name, ok=False, fact=f"{fact}{by_hand}", remedy=remedy)
    fact = f"version {champion} of {model}, promoted by the line"
    if champion is None:
        fact = "none was promoted yet" if at is None else f"none: version {at.old} was taken off at {at.at}"
    if moved is not None:
        remedy = "if nobody you know of moved it, look into MLflow; the sensor writes it down"
        return Finding(name, ok=False, fact=f"{fact}{by_hand}", remedy=remedy, only_warns=True)
    return Finding(name, ok=True, fact=f"{fact}{by_hand}")


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


def _host_and_port(address: str) -> tuple[str, int] | None:
    parts = urlsplit(address)
    try:
        port = parts.port or DEFAULT_PORTS.get(parts.scheme.partition("+")[0])
    except ValueError:
        return None
    return None if parts.hostname is None or port is None else (parts.hostname, port)


def _answers(host: str, port: int, *, timeout_s: float = 1.0) -> bool:
    try:
        socket.create_connection((host, port), timeout=timeout_s).close()
    except OSError:
        return False
    return True


def _failures(home: Path) -> Finding:
    """Return the last failures of commands; whether they still hold is not asked."""
    last = [f"{one.at} {one.job} of {one.profile}: {one.message}" for one in last_failures(home, SHOWN_FAILURES)]
    return Finding("last failures", ok=True, fact=" | ".join(reversed(last)) or "none of a command is recorded")


def _dagster(settings: Settings) -> Finding:
    folder = dagster_home(settings)
    return Finding("dagster instance", ok=True, fact=f"{folder}{'' if folder.exists() else ' (not made yet)'}")


def _journal(home: Path) -> Finding:
    journal = home / "live" / "account" / "journal.sqlite"
    fact = f"{journal.stat().st_size / 1024:.0f} KiB" if journal.exists() else "none yet: no model has traded"
    return Finding("trading journal", ok=True, fact=fact)
