"""Requests that are not dealt with: nothing has changed, and the code says why to programs.

Not here: an order that is rejected, which is an order (``order_checks.py``).
"""

from __future__ import annotations

from ljwx_pipeline.errors import TradingError
from ljwx_pipeline.trading.exchange_wire import Refusal, RefusalCode


class Refused(TradingError):
    """Base of every refusal; by itself one of a request that says nothing an exchange understands."""

    code = RefusalCode.MALFORMED
    status = 400

    def answer(self) -> Refusal:
        """Return what is sent."""
        return Refusal(self.code, str(self))


class Fenced(Refused):
    """A higher epoch was seen."""

    code, status = RefusalCode.FENCED, 409


class Conflict(Refused):
    """The client order id was used for another order."""

    code, status = RefusalCode.CONFLICT, 409


class NotFound(Refused):
    """There never was what is asked for."""

    code, status = RefusalCode.NOT_FOUND, 404


class NotYet(Refused):
    """What is asked for is not known yet."""

    code, status = RefusalCode.NOT_YET, 409


class NotAllowed(Refused):
    """The exchange was not started so that it may."""

    code, status = RefusalCode.NOT_ALLOWED, 403
