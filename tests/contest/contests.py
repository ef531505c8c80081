"""Contests for tests: recorded, with two challengers or one."""

from __future__ import annotations

from typing import Any

from ljwx_pipeline.contest.record import Challenger, Contest

CHAMPION, ONE, TWO = "a" * 64, "b" * 64, "c" * 64


def challenger(version: str = "2", bundle_hash: str = ONE, *, bound: float = 0.02, capital: float = 1.0) -> Challenger:
    return Challenger(version, bundle_hash, bound, capital)


def contest(*challengers: Challenger, **changes: Any) -> Contest:
    told: dict[str, Any] = {
        "id": "",
        "at": "2026-01-05T08:00:00+00:00",
        "model": "tiny",
        "mode": "shadow",
        "champion_version": "1",
        "champion_bundle": CHAMPION,
        "challengers": challengers or (challenger(),),
        "start_session": "2026-01-06",
        "alpha": 0.05,
        "min_sessions": 60,
        "max_behind_frac": 0.05,
        "on_breach": "demote",
        "terms_hash": "t" * 64,
    }
    return Contest(**{**told, **changes}).named()
