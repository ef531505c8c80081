"""Which broker the configuration means: a new one is a file of its own in this folder and a line here."""

from __future__ import annotations

from ljwx_pipeline.config import LiveSettings
from ljwx_pipeline.live.brokers.paper_exchange import PaperExchange
from ljwx_pipeline.live.brokers.port import Broker


def broker_at(address: str, live: LiveSettings) -> Broker:
    """Return the broker at ``address``; nothing is asked of it yet."""
    return PaperExchange(address, timeout_s=live.answer_seconds, ticks=live.tick_seconds > 0)
