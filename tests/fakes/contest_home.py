"""A market's home with a champion, challengers of known skill, bars and factors: what a contest is judged on.

Factor 0 knows the return that a score earns; factor 1 is noise.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import pandas as pd
import pytest

from assets.contest import challenger_scores, contest_moves, contest_record, model_contest
from assets.panels import panel_of, save_factors
from assets.resources import Line
from assets.tracking import champion_record
from ljwx_pipeline.contest.moves import Asked
from ljwx_pipeline.contest.record import Contest
from ljwx_pipeline.expressions.evaluate import FactorValues
from ljwx_pipeline.market.tables import empty_table
from ljwx_pipeline.registry import ModelVersion
from ljwx_pipeline.scoring.model import Member, Model, linear_text
from ljwx_pipeline.scoring.signing import public_key_of, signing_key
from tests.fakes.bars import listed_securities, random_bars, store_bars
from tests.fakes.bundles import tiny_bundle
from tests.fakes.mlflow_home import registry_in

ROOT = Path(__file__).resolve().parents[2]
SESSIONS, START = 190, 80
SETTINGS = {
    "STRATEGY__TOP_K": "4",
    "STRATEGY__N_DROP": "2",
    "STRATEGY__MIN_HOLD_SESSIONS": "1",
    "STRATEGY__CAPITAL_CNY": "1000000",
    "RISK__MAX_WEIGHT_PER_NAME_FRAC": "0.5",
    "UNIVERSE__MIN_MEAN_AMOUNT_CNY": "0",
    "UNIVERSE__MIN_LISTED_SESSIONS": "0",
    "CONTEST__MIN_SESSIONS": "20",
    "CONTEST__MAX_BEHIND_FRAC": "0.1",
}
#: Weight of factor 0 by skill; the rest is factor 1.
SKILLS = {"luck": 0.0, "good": 1.0, "bad": -1.0}


@dataclass
class ContestHome:
    """The line, its bars, and what a day of the daily job does to a contest."""

    line: Line
    folder: Path
    bars: pd.DataFrame
    sessions: pd.DatetimeIndex
    gaps: tuple[int, ...] = ()

    def registered(self, skill: str, *, seed: int = 0) -> ModelVersion:
        """Register a model of ``skill``; another seed is another bundle of the same one."""
        names = self.line.catalogue.names
        coefficients = np.zeros(len(names))
        coefficients[:2] = SKILLS[skill], 1.0 if skill == "luck" else 0.05
        text = linear_text(np.zeros(len(names)), np.ones(len(names)), coefficients, intercept=float(seed), clip=4.0)
        key = signing_key(self.folder / "keys")
        bundle = tiny_bundle(
            self.folder / "made",
            key,
            Model((Member("model.json", "linear"),), {"model.json": text}),
            factor_names=names,
            factor_hash=self.line.catalogue.version_hash,
            model_name=self.line.registered_model,
            last_session=date(2018, 1, 31),
        )
        registry = self.line.registry()
        return registry.register(bundle, run_id=registry.begin("research"), public_key=public_key_of(key))

    def decide(self, version: ModelVersion, decision: str) -> None:
        """Record the gate's decision on a version."""
        champion_record(self.line).decided(
            version.name, version.version, version.bundle_hash, decision=decision, reasons=["r"]
        )

    def promote(self, version: ModelVersion) -> None:
        """Make a version champion as the line does."""
        self.decide(version, "promoted")
        self.line.registry().promote(version)
        champion_record(self.line).moved(version.name, version.version, version.bundle_hash)

    def begin(self, *versions: ModelVersion, mode: Any = "shadow", **asked: Any) -> Contest:
        """Begin a contest at session ``START``."""
        numbers, first = tuple(one.version for one in versions), self.sessions[START].date()
        told = Asked(numbers, mode, first, **{"bound_frac": 0.05, **asked})
        return contest_moves(self.line).begin(told, self.line.settings)

    def day(self, count: int) -> dict[str, Any]:
        """Do what the daily job does of contests once ``count`` sessions are held; return what it keeps and shows."""
        sessions = self.sessions[:count]
        held = self.bars[self.bars["session_date"].isin(sessions.delete([g for g in self.gaps if g < count]))]
        calendar = pd.DataFrame({"session_date": sessions})
        self._store_factors(held, calendar)
        scores = challenger_scores(line=self.line, checked_bars=held, calendar=calendar)
        assert isinstance(scores, dg.Output)
        made = model_contest(
            line=self.line,
            challenger_scores=scores.value,
            checked_bars=held,
            calendar=calendar,
            securities=listed_securities(held),
            st_spells=empty_table("st_spells"),
            corporate_actions=empty_table("corporate_actions"),
        )
        assert isinstance(made, dg.Output)
        return {**made.value, "metadata": made.metadata, "scores": scores.value}

    def course(self) -> Any:
        """Return the newest contest as the record tells it."""
        return contest_record(self.line).last(self.line.registered_model)

    def aliases(self) -> dict[str, str]:
        """Return the aliases in MLflow."""
        return self.line.registry().aliases(self.line.registered_model)

    def _store_factors(self, held: pd.DataFrame, calendar: pd.DataFrame) -> None:
        whole = panel_of(self.line, self.bars, pd.DataFrame({"session_date": self.sessions}))
        close = pd.DataFrame(whole.fields["close"]).ffill(axis=1).to_numpy()
        earned = np.full(close.shape, np.nan)
        earned[:, :-2] = close[:, 2:] / close[:, 1:-1] - 1
        rng = np.random.default_rng(1)
        names = self.line.catalogue.names
        values = np.zeros((len(names), *close.shape), dtype=np.float32)
        values[0] = np.nan_to_num(earned / 0.02) * 0.35 + rng.standard_normal(close.shape)
        values[1] = rng.standard_normal(close.shape)
        panel = panel_of(self.line, held, calendar)
        rows = [whole.symbols.index(symbol) for symbol in panel.symbols]
        kept = np.ascontiguousarray(values[:, rows, : len(panel.sessions)])
        stored = FactorValues(names, panel.symbols, panel.sessions, kept)
        save_factors(self.line.tables, stored, factor_hash=self.line.catalogue.version_hash)


def contest_home(folder: Path, monkeypatch: pytest.MonkeyPatch, **settings: str) -> ContestHome:
    """Return a home with bars and no model; ``settings`` are further environment variables without their prefix."""
    monkeypatch.setenv("LJWX_HOME", str(folder))
    monkeypatch.setenv("LJWX_CONFIG", str(ROOT / "ljwx.toml"))
    for name, value in {**SETTINGS, **settings}.items():
        monkeypatch.setenv(f"LJWX_{name}", value)
    registry_in(folder)
    line = Line()
    bars = random_bars(symbols=24, sessions=SESSIONS, seed=11, suspended_frac=0.02)
    store_bars(line.home, bars)
    sessions = pd.DatetimeIndex(np.sort(bars["session_date"].unique()), name="session_date")
    return ContestHome(line, folder, bars, sessions)
