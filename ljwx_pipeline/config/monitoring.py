"""The section on monitoring: how a model that trades is watched, and when a new training is asked for."""

from __future__ import annotations

from datetime import date

from pydantic import Field

from ljwx_pipeline.config.section import Section


class MonitoringSettings(Section):
    """Thresholds of ``monitoring/``, and whether the sensor asks for a training.

    ``accepted_inputs`` are sessions whose broken input a person has looked at and found to be true.
    """

    false_alarms_per_year: float = Field(gt=0, le=12)
    skill_window_sessions: int = Field(ge=2, le=10_000)
    coverage_window_sessions: int = Field(ge=1, le=10_000)
    min_coverage_frac: float = Field(ge=0, le=1)
    retrain: bool
    cool_down_sessions: int = Field(ge=0, le=10_000)
    accepted_inputs: tuple[date, ...]
