"""A home whose champion is watched: real registry, real bundle, real records; scores and labels drawn day by day."""

from __future__ import annotations

from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import pandas as pd
import pytest

from assets.monitoring import live_scores, model_monitoring
from assets.resources import Line
from assets.tracking import champion_record
from ljwx_pipeline.clock import SHANGHAI
from ljwx_pipeline.label import label_hash, matured_sessions
from ljwx_pipeline.market.calendar import sessions_between
from ljwx_pipeline.monitoring.drift import DriftReference
from ljwx_pipeline.monitoring.reference import Reference, skill_chart
from ljwx_pipeline.registry import ModelVersion
from ljwx_pipeline.scoring.bundle import MONITORING
from ljwx_pipeline.scoring.signing import public_key_of, signing_key
from tests.fakes.bundles import tiny_bundle
from tests.fakes.mlflow_home import registry_in

ROOT = Path(__file__).resolve().parents[2]
SESSIONS = sessions_between(date(2024, 1, 2), date(2024, 12, 31))
#: Position of the last session that the champion was trained on.
TRAINED = 60
SYMBOLS = [f"{at:06d}.SZ" for at in range(300)]
#: Rank IC in control; its deviation is that of so many symbols, so that the ICIR is near 1.
SKILL = 1 / np.sqrt(len(SYMBOLS))


class WatchedHome:
    """A market at work, a session at a time."""

    def __init__(self, home: Path, monkeypatch: pytest.MonkeyPatch, *, seed: int = 0) -> None:
        monkeypatch.setenv("LJWX_HOME", str(home))
        monkeypatch.setenv("LJWX_CONFIG", str(ROOT / "ljwx.toml"))
        monkeypatch.setenv("LJWX_PROFILE", "baostock")  # a provider's market stays the same one as days pass
        monkeypatch.setenv("LJWX_SOURCE__FIRST_SESSION", str(SESSIONS[0].date()))
        self.home, self._patch = home, monkeypatch
        rng = np.random.default_rng(seed)
        self.score = rng.standard_normal((len(SESSIONS), len(SYMBOLS)))
        self.noise = rng.standard_normal((len(SESSIONS), len(SYMBOLS)))
        self.skill = np.full(len(SESSIONS), SKILL)
        self.at(TRAINED)
        registry_in(home)
        calendar = pd.DataFrame({"session_date": SESSIONS})
        self.line().lake().write("calendar", calendar, known_at=datetime(2024, 1, 2, tzinfo=UTC))

    def at(self, position: int) -> None:
        """Let the evening of a session come."""
        self.position = position
        self._patch.setenv("LJWX_SOURCE__LAST_SESSION", str(SESSIONS[position].date()))
        self.now = datetime.combine(SESSIONS[position].date(), time(18), SHANGHAI)
        self._patch.setattr("assets.monitoring.utc_now", lambda: self.now)

    def line(self) -> Line:
        return Line()

    def promoted(
        self, *, drift: DriftReference | None = None, digit: str = "d", documents: bool = True
    ) -> ModelVersion:
        """Train (in name), register and promote a champion that is watched from now on."""
        line, key = self.line(), signing_key(self.home / "keys")
        rng = np.random.default_rng(9)
        in_control = SKILL + rng.standard_normal(600) / np.sqrt(len(SYMBOLS))
        chart, reason = skill_chart(in_control, reach_sessions=6, false_alarms_per_year=0.75)
        text = Reference(chart, reason, drift, "" if drift else "756 sessions are needed").to_json()
        bundle = tiny_bundle(
            self.home / "made",
            key,
            documents={MONITORING: text} if documents else None,
            model_name=line.registered_model,
            data_hash=digit * 64,
            factor_hash=line.catalogue.version_hash,
            label_hash=label_hash(line.settings.label),
            last_session=SESSIONS[TRAINED].date(),
        )
        registry, record = line.registry(), champion_record(line)
        version = registry.register(bundle, run_id=registry.begin("x"), public_key=public_key_of(key))
        record.decided(version.name, version.version, version.bundle_hash, decision="promoted", reasons=[])
        registry.promote(version)
        record.moved(version.name, version.version, version.bundle_hash)
        return version

    def scores(self, champion: ModelVersion, *, first: int = TRAINED + 1) -> pd.DataFrame:
        """Return what ``daily_scores`` holds this evening."""
        rows = self._rows(first, self.position + 1)
        return rows.assign(
            score=self.score[first : self.position + 1].ravel(),
            after_training=True,
            scorable=True,
            version=champion.version,
            bundle_hash=champion.bundle_hash,
        )

    def labels(self) -> pd.DataFrame:
        """Return what ``forward_return_label`` holds this evening: unknown past the data."""
        known = self.position + 1 - 6
        drawn = self.skill[:, None] * self.score + self.noise
        drawn[known:] = np.nan
        label, sessions = self.line().settings.label, SESSIONS[: self.position + 1]
        rows = self._rows(0, self.position + 1)
        matured = np.repeat(matured_sessions(sessions, label), len(SYMBOLS))
        return rows.assign(forward_return=0.03 * drawn[: self.position + 1].ravel(), matured_date=matured)

    def monitored(self, champion: ModelVersion, **changes: Any) -> dict[str, Any]:
        """Execute the two assets of the daily job that watch, and return what they found."""
        line, scores = self.line(), changes.get("scores")
        scores = self.scores(champion) if scores is None else scores
        live_scores(line=line, daily_scores=scores)
        found = model_monitoring(
            dg.build_asset_context(),
            line=line,
            daily_scores=scores,
            forward_return_label=changes.get("labels", self.labels()),
            calendar=pd.DataFrame({"session_date": SESSIONS[: self.position + 1]}),
        )
        assert isinstance(found, dg.Output)
        return dict(found.value)

    def _rows(self, first: int, stop: int) -> pd.DataFrame:
        return pd.DataFrame(
            {
                "symbol": np.tile(np.array(SYMBOLS, dtype=object), stop - first),
                "session_date": np.repeat(SESSIONS[first:stop], len(SYMBOLS)),
            }
        )
