"""Exit 0 if a service answers: ``healthcheck.py tcp PORT`` or ``healthcheck.py http URL``. Standard library only."""

from __future__ import annotations

import socket
import sys
import urllib.request

TIMEOUT_S = 3.0


def main(kind: str, target: str) -> int:
    """Return 0 if ``target`` answers, 1 with the reason on stderr if not."""
    try:
        if kind == "tcp":
            socket.create_connection(("127.0.0.1", int(target)), timeout=TIMEOUT_S).close()
        elif kind == "http":
            urllib.request.urlopen(target, timeout=TIMEOUT_S).close()
        else:
            print(f"unknown check {kind!r}: use tcp or http", file=sys.stderr)
            return 2
    except OSError as error:
        print(f"{target} does not answer: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    sys.exit(main(sys.argv[1], sys.argv[2]))
