"""The port every broker is reached through. Adding a broker is one file that satisfies `Broker`.

Not here: the paper broker (``paper_broker.py``), or what may be sent (``risk_gate.py``).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Protocol

from ljwx_pipeline.live.orders import OrderIntent, SessionClose


class Broker(Protocol):
    """Takes orders and reports what became of them. Both calls may be repeated after a crash."""

    def submit(self, orders: Sequence[OrderIntent]) -> None:
        """Make the broker hold ``orders``; one already held (by ``client_order_id``) is left as it is.

        When this returns, the orders are durable at the broker. One that the broker refuses is reported as rejected by
        the next ``session_close``.

        Raises
        ------
        LjwxError
            When it is unknown whether the broker holds them: submit again, never assume.
        """
        ...

    def session_close(self, session: date) -> SessionClose:
        """Return what ``session`` did to the account: outcomes and fills of the orders held for it, and positions.

        Raises
        ------
        LiveError
            When the broker cannot say.
        """
        ...

    def close(self) -> None:
        """Let go of the connection."""
        ...
