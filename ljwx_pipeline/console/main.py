"""The console as a process: HTTP until a signal. Not here: what it shows (``app.py``)."""

from __future__ import annotations

import signal
import socket
from pathlib import Path

from ljwx_pipeline.config import Settings, ljwx_home, report_folders
from ljwx_pipeline.console.app import make_app
from ljwx_pipeline.console.journal_reader import JOURNAL, Reader
from ljwx_pipeline.errors import EnvironmentFault

#: An idle runner renews its word at most this often; half as much again for a slow disk.
IDLE_PAUSE_S = 15.0


def serve(home: Path, settings: Settings) -> int:
    """Serve the account below the market's ``home`` until SIGTERM or SIGINT; return the exit code.

    Raises
    ------
    EnvironmentFault
        When the port is taken.
    """
    import uvicorn  # only a serving process needs an HTTP server

    host, port = settings.ui.host, settings.ui.console_port
    live = settings.live
    app = make_app(
        Reader((home / JOURNAL).absolute(), live.database_url),
        market=home.name,
        host=host,
        reports=report_folders(home, ljwx_home() / "reports"),
        # what the runner's own /health allows, and the pause between two words of an idle runner
        max_age_s=live.max_stall_seconds + live.seconds_per_session + live.poll_seconds + IDLE_PAUSE_S,
    )
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
            listener.listen(128)
        except OSError as error:
            raise EnvironmentFault(
                f"port {port} on {host} cannot be opened ({error.strerror})",
                "end the process that uses it or choose another ui.console_port",
            ) from None
        for number in (signal.SIGTERM, signal.SIGINT):
            # uvicorn stops on it, then raises it again for the handler it found: without one that would end us here
            signal.signal(number, lambda *_: None)
        uvicorn.Server(uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=5)).run(sockets=[listener])
    return 0
