"""A real PostgreSQL on loopback for the length of a test, or the reason why there is none."""

from __future__ import annotations

import getpass
import importlib.util
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def missing() -> str:
    """Return what a test with PostgreSQL lacks here; empty for nothing."""
    if _program("initdb") is None:
        return "PostgreSQL is not installed: apt-get install postgresql"
    if importlib.util.find_spec("psycopg2") is None:
        return "its driver is not installed: pip install psycopg2-binary"
    if os.geteuid() == 0 and shutil.which("runuser") is None:
        return "PostgreSQL refuses root, and there is no runuser to be somebody else"
    return ""


@contextmanager
def postgres() -> Iterator[str]:
    """Yield the SQLAlchemy address of an empty database."""
    folder = Path(tempfile.mkdtemp(prefix="ljwx-postgres-"))
    user = "postgres" if os.geteuid() == 0 else getpass.getuser()
    if os.geteuid() == 0:
        shutil.chown(folder, "postgres")
    data, port = folder / "data", _free_port()
    _as(user, _program("initdb"), "-D", data, "-U", "quant", "--auth=trust", "--no-sync")
    options = f"-h 127.0.0.1 -p {port} -k {folder} -c fsync=off"
    _as(user, _program("pg_ctl"), "-D", data, "-o", options, "-w", "-l", folder / "log", "start")
    try:
        yield f"postgresql+psycopg2://quant@127.0.0.1:{port}/postgres"
    finally:
        _as(user, _program("pg_ctl"), "-D", data, "-m", "immediate", "stop")
        shutil.rmtree(folder)


def _program(name: str) -> str | None:
    places = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return shutil.which(name) or next((str(place / name) for place in places if (place / name).exists()), None)


def _as(user: str, *words: object) -> None:
    become = ["runuser", "-u", user, "--"] if os.geteuid() == 0 else []
    subprocess.run([*become, *map(str, words)], check=True, cwd="/", stdout=subprocess.DEVNULL, timeout=60)


def _free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])
