"""A research run as MLflow would tell of it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from ljwx_pipeline.registry import TrackedView


def recorded_run(
    run_id: str,
    *,
    tags: Mapping[str, str] | None = None,
    params: Mapping[str, str] | None = None,
    ended_at: datetime | None = None,
) -> TrackedView:
    """Return a finished research run."""
    return TrackedView(
        run_id=run_id,
        name="research",
        kind="research",
        status="FINISHED",
        started_ms=0,
        ended_ms=None if ended_at is None else round(ended_at.timestamp() * 1000),
        params=dict(params or {}),
        metrics={},
        tags=dict(tags or {}),
        inputs=[],
    )
