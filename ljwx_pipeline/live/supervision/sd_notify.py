"""systemd's notify protocol: datagrams of ``NAME=VALUE`` lines to the socket that NOTIFY_SOCKET names; no library.

Source: sd_notify(3) and systemd.service(5). Where nobody listens (no such variable) every call does nothing, so that
the runner says the same things under systemd, in a container and at a terminal. Not here: when it is alive
(``watchdog.py``).
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping

from ljwx_pipeline.errors import ConfigError, EnvironmentFault

#: How long one message may wait for a reader whose queue is full.
SEND_TIMEOUT_S = 1.0
#: Longest status; systemd shows one line.
MAX_STATUS_CHARACTERS = 300
_US_PER_S = 1_000_000


class ServiceManager:
    """Whoever started this process and wants to hear of it.

    Parameters
    ----------
    address
        Path of a unix datagram socket, an abstract one with ``@`` first; empty: nobody listens.
    watchdog_s
        The process is killed when nothing was heard for so long; None: it is not watched.

    Raises
    ------
    ConfigError
        When the address is neither.
    """

    def __init__(self, address: str, *, watchdog_s: float | None = None) -> None:
        if address and address[0] not in "/@":
            raise ConfigError(
                f"NOTIFY_SOCKET is {address!r}, neither a path nor an abstract unix socket",
                "start the runner by systemd or a tool that speaks sd_notify(3), or unset the variable",
            )
        self.watchdog_s = watchdog_s if address else None
        self._address = address
        self._status = ""

    @classmethod
    def of_environment(cls, environment: Mapping[str, str]) -> ServiceManager:
        """Return the one that NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID name.

        Raises
        ------
        ConfigError
            When one of them makes no sense.
        """
        watched = environment.get("WATCHDOG_PID", "") in ("", str(os.getpid()))
        said = environment.get("WATCHDOG_USEC", "")
        if said and not (said.isascii() and said.isdecimal() and int(said) > 0):
            raise ConfigError(f"WATCHDOG_USEC is {said!r}, no number of microseconds", "correct or unset it")
        address = environment.get("NOTIFY_SOCKET", "")
        return cls(address, watchdog_s=int(said) / _US_PER_S if said and watched else None)

    @property
    def listens(self) -> bool:
        """Whether anybody does."""
        return bool(self._address)

    def ready(self, status: str) -> None:
        """Say that start-up is over and the runner does its work."""
        self._send("READY=1", self._told(status))

    def status(self, status: str) -> None:
        """Say in words what the runner does; the same words again are not sent."""
        if _one_line(status) != self._status:
            self._send(self._told(status))

    def watchdog(self) -> None:
        """Say that work was done since the last time; only ever from `watchdog.Watchdog`, which measures that."""
        self._send("WATCHDOG=1")

    def stopping(self, status: str) -> None:
        """Say that the runner is about to end."""
        self._send("STOPPING=1", self._told(status))

    def _told(self, status: str) -> str:
        self._status = _one_line(status)
        return f"STATUS={self._status}"

    def _send(self, *lines: str) -> None:
        """Send one message.

        Raises
        ------
        EnvironmentFault
            When the socket takes none.
        """
        if not self._address:
            return
        # an abstract socket's name begins with a null byte, which an environment variable cannot hold
        address = f"\0{self._address[1:]}" if self._address[0] == "@" else self._address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
                sender.settimeout(SEND_TIMEOUT_S)
                sender.sendto("\n".join(lines).encode(), address)
        except OSError as error:
            raise EnvironmentFault(
                f"NOTIFY_SOCKET {self._address} takes no message ({error.strerror or error})",
                "see whether the service manager runs; without notice it ends this process in time",
            ) from None


def _one_line(text: str) -> str:
    return " ".join(text.split())[:MAX_STATUS_CHARACTERS]
