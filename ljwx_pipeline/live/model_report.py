"""What `ljwx live models` shows: every stage's bundle, how it scores beside the champion, and the verdict so far.

Not here: the command (``live_commands.py``), the pages for people (``console/``).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import Connection

from ljwx_pipeline.config import LabelSettings, StageSettings
from ljwx_pipeline.live.events import ModelScored, Stage
from ljwx_pipeline.live.stage_log import judged, last_scored, read_line, strategies_known, verdict
from ljwx_pipeline.live.stages import CANDIDATES, Holder, Line
from ljwx_pipeline.units import BPS

#: Sessions whose correlation and latency are averaged.
SHOWN_SESSIONS = 20


@dataclass(frozen=True)
class StagedRow:
    """One bundle at one stage of one strategy.

    Parameters
    ----------
    capital_share_bps
        What its sleeve trades now, 1/10,000 of the strategy's capital.
    scored_sessions, wanted_sessions
        Beside others in this stage, and after how many of them it advances; None for a champion.
    rank_correlation, latency_s
        Means over the last sessions that it scored beside others, at most ``SHOWN_SESSIONS``; None without any.
    judged_sessions, rank_ic_difference, lower, upper, verdict
        Matured ones, the mean of the differences to the champion's rank IC with its always-valid interval, and what
        the sequential test says: ``challenger`` (better), ``champion`` (worse), ``undecided``, or ``early`` before the
        first block of labels is whole. None for a champion.
    """

    strategy: str
    stage: str
    model_version: str
    bundle_hash: str
    capital_share_bps: int
    scored_sessions: int
    wanted_sessions: int | None
    rank_correlation: float | None
    latency_s: float | None
    judged_sessions: int | None
    rank_ic_difference: float | None
    lower: float | None
    upper: float | None
    verdict: str | None


def model_report(connection: Connection, rules: StageSettings, label: LabelSettings) -> dict[str, Any]:
    """Return the bundles at their stages, former champions (the last one first) and strategies without a model."""
    lines = [read_line(connection, strategy) for strategy in strategies_known(connection)]
    reach = label.entry_lag_sessions + label.horizon_sessions
    return {
        "models": [asdict(row) for line in lines for row in _rows(connection, line, rules, reach)],
        "former": {line.strategy: [one.model_version for one in reversed(line.former)] for line in lines},
        "withdrawn": {line.strategy: line.withdrawn.model_version for line in lines if line.withdrawn is not None},
    }


def _rows(connection: Connection, line: Line, rules: StageSettings, reach: int) -> list[StagedRow]:
    held = [(stage, line.at(stage)) for stage in (Stage.CHAMPION, *CANDIDATES)]
    return [_row(connection, line, stage, holder, rules, reach) for stage, holder in held if holder is not None]


def _row(
    connection: Connection, line: Line, stage: Stage, holder: Holder, rules: StageSettings, reach: int
) -> StagedRow:
    bundle, champion = holder.bundle, line.champion
    last = last_scored(connection, line.strategy, bundle.bundle_hash, SHOWN_SESSIONS)
    given = 0 if line.canary is None else line.canary.capital_share_bps
    shares = {Stage.CHAMPION: BPS - given, Stage.CANARY: given, Stage.SHADOW: 0}
    told: dict[str, Any] = dict.fromkeys(
        ("wanted_sessions", "judged_sessions", "rank_ic_difference", "lower", "upper", "verdict")
    )
    if stage is not Stage.CHAMPION and champion is not None:
        found = judged(connection, line.strategy, bundle.bundle_hash, champion.bundle.bundle_hash)
        said = verdict(found, rules, reach)
        told |= {"judged_sessions": len(found), "verdict": "early" if said is None else said.verdict}
        told["wanted_sessions"] = rules.canary_sessions if stage is Stage.CANARY else rules.shadow_sessions
        if said is not None:
            told |= {"rank_ic_difference": said.mean, "lower": said.lower, "upper": said.upper}
    return StagedRow(
        strategy=line.strategy,
        stage=stage.value,
        model_version=bundle.model_version,
        bundle_hash=bundle.bundle_hash,
        capital_share_bps=shares[stage],
        scored_sessions=holder.scored_sessions,
        rank_correlation=_mean([one.rank_correlation for one in _beside(last, stage)]),
        latency_s=_mean([one.latency_s for one in last]),
        **told,
    )


def _beside(last: tuple[ModelScored, ...], stage: Stage) -> tuple[ModelScored, ...]:
    """Return what a candidate said beside a champion: of a champion nothing, it would be compared with itself."""
    return () if stage is Stage.CHAMPION else tuple(one for one in last if one.bundle_hash != one.champion_hash)


def _mean(values: list[float | None] | list[float]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None
