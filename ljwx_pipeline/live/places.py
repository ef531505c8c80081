"""Where a market's journal and its backups are: below the market's home, or where ``[live] database_url`` says."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from ljwx_pipeline.config import Settings
from ljwx_pipeline.errors import ConfigError, LiveError
from ljwx_pipeline.live.account_files import ACCOUNT_DIR
from ljwx_pipeline.live.backups import BACKUPS_DIR
from ljwx_pipeline.live.journal import JOURNAL_NAME
from ljwx_pipeline.live.store import database_url

LIVE_DIR = "live"


def journal_place(settings: Settings, home: Path) -> tuple[Path | str, Path]:
    """Return the journal of the market whose home is ``home``, a file or a URL, and the folder of its backups."""
    account = home / LIVE_DIR / ACCOUNT_DIR
    return settings.live.database_url or account / JOURNAL_NAME, account / BACKUPS_DIR


def require_journal(place: Path | str) -> None:
    """Raise ``LiveError`` where no runner has written a journal yet: looking must not make one."""
    if isinstance(place, Path) and not place.is_file():
        raise LiveError(f"{place} is not there: no runner has traded this market", "start it: `ljwx live`")


def restored_place(place: Path | str, into: str | None, now: datetime) -> Path | str:
    """Return where a restored journal goes: ``into``, or a new name beside ``place``.

    Raises
    ------
    ConfigError
        When ``into`` is of another kind of database than ``place``.
    """
    stamp = f"{now:%Y%m%dT%H%M%SZ}"
    if isinstance(place, Path):
        if into is not None and "://" in into:
            raise ConfigError(f"--into {into} is no file, the journal is one", "name a new file")
        return place.with_name(f"{place.stem}-restored-{stamp}{place.suffix}") if into is None else Path(into)
    url = database_url(place)
    if into is None:
        return url.set(database=f"{url.database}_restored_{stamp.lower()}").render_as_string(hide_password=False)
    if database_url(into).get_backend_name() != url.get_backend_name():
        raise ConfigError(f"--into {into} is of another kind than the journal", "name a new database on its server")
    return into
