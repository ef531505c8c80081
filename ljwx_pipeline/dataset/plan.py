"""What a run will do, and whether its data allow it: asked before the first step, so that no mistake ends a long run.

Not here: whether the rows are clean (``quality/``) and what the steps do.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, Literal

import pandas as pd

from ljwx_pipeline.config import TRADABLE_STRATEGIES, Settings, market_home
from ljwx_pipeline.dataset.folds import sessions_for_research, windows
from ljwx_pipeline.errors import ConfigError, LakeError
from ljwx_pipeline.sources.base import MarketSource

#: The job that trains nothing; it needs neither a test year nor a choice of names.
DAILY_JOB = "daily_pipeline"


@dataclass(frozen=True)
class RunPlan:
    """A job on the data it will read; ``first_test_year``, ``folds`` and ``months`` are None where nothing is trained.

    ``read_from`` says whether the job asks the source, or works on what the lake holds of it. ``months`` are those of
    returns out of sample, of which the gate asks ``months_asked``: with fewer it is certain to refuse.
    """

    job: str
    profile: str
    source: str
    read_from: Literal["source", "lake"]
    first_session: str
    last_session: str
    sessions: int
    symbols: int
    first_test_year: int | None
    folds: int | None
    months: int | None
    months_asked: int
    home: str

    def as_dict(self) -> dict[str, Any]:
        """Return the plan as plain values."""
        return asdict(self)

    def sentence(self) -> str:
        """Return the plan as one line for a person, and another where the gate is certain to refuse."""
        tested = ""
        if self.first_test_year is not None:
            folds = f"{self.folds} fold{'s' if self.folds != 1 else ''}"
            tested = f", testing from {self.first_test_year} in {folds}"
        short = self.months is not None and self.months < self.months_asked
        refused = (
            f"\nthe gate will refuse: {self.months} of {self.months_asked} months (gate.min_months)" if short else ""
        )
        held = " as the lake holds them" if self.read_from == "lake" else ""
        return (
            f"would run job {self.job} of profile {self.profile} on {self.source} data{held}: {self.symbols} symbols, "
            f"{self.sessions} sessions, {self.first_session} to {self.last_session}{tested}; into {self.home}{refused}"
        )


def plan_run(settings: Settings, source: MarketSource, *, job: str) -> RunPlan:
    """Return what ``job`` will do with ``source``, whose files are read for it.

    Raises
    ------
    LjwxError
        When the source cannot be read, no year can be tested, or the strategy cannot be traded or would hold every
        symbol there is.
    """
    span = settings.source
    sessions, symbols = source.sessions(span.first_session, span.until), len(source.securities())
    source.describe()  # reads the index files, where there are files
    return _planned(settings, sessions, symbols, job=job, read_from="source")


def plan_on_lake(settings: Settings, sessions: pd.DatetimeIndex, symbols: int, *, job: str) -> RunPlan:
    """Return what ``job``, which fetches nothing, will do with what an earlier run left.

    Parameters
    ----------
    sessions
        Those of the lake's calendar inside the configured range, ascending.
    symbols
        How many have a checked bar on one of them.

    Raises
    ------
    LjwxError
        When the lake holds no session of the range, no year can be tested, or the strategy cannot be traded or
        would hold every symbol.
    """
    if sessions.empty:
        span = settings.source
        raise LakeError(
            f"{market_home(settings)} holds no session of {span.first_session} to {span.until}",
            "run `ljwx run` over this range first, or name another one",
        )
    return _planned(settings, sessions, symbols, job=job, read_from="lake")


def _planned(
    settings: Settings, sessions: pd.DatetimeIndex, symbols: int, *, job: str, read_from: Literal["source", "lake"]
) -> RunPlan:
    year = folds = months = None
    if job != DAILY_JOB:
        seen = sessions_for_research(sessions, settings.research.held_out_sessions)
        tested = windows(seen, settings.walk_forward, settings.training_purge_sessions)
        year, folds = int(seen[tested[0].test[0]].year), len(tested)
        months = _months(seen[tested[0].test[0] :])
        _require_choice(settings, symbols)
    return RunPlan(
        job=job,
        profile=settings.profile,
        source=settings.source.kind,
        read_from=read_from,
        first_session=str(sessions[0].date()),
        last_session=str(sessions[-1].date()),
        sessions=len(sessions),
        symbols=symbols,
        first_test_year=year,
        folds=folds,
        months=months,
        months_asked=settings.gate.min_months,
        home=str(market_home(settings)),
    )


def _months(tested: pd.DatetimeIndex) -> int:
    """Return how many months of returns these sessions make; a first one of the opening session alone makes none."""
    months = tested.to_period("M")
    return int(months.nunique()) - int((months == months[0]).sum() == 1)


def _require_choice(settings: Settings, symbols: int) -> None:
    strategy, risk = settings.strategy, settings.risk
    if not strategy.tradable:
        raise ConfigError(
            f"strategy.kind = {strategy.kind} is a calculation for research: no account can trade it, and no model is "
            "tuned or promoted by it",
            f"run with --set strategy.kind={TRADABLE_STRATEGIES[0]}, or call backtest.long_short on your own scores",
        )
    if strategy.top_k < symbols:
        return
    held = symbols // 2
    remedy = "add symbols"
    if held:
        weight = (1 - strategy.cash_reserve_frac) / held
        wanted: dict[str, float] = {"strategy.top_k": held}
        if strategy.n_drop > held:
            wanted["strategy.n_drop"] = held
        if weight > risk.max_weight_per_name_frac:
            wanted["risk.max_weight_per_name_frac"] = min(1, math.ceil(weight * 100) / 100)
        if weight * strategy.capital_cny > risk.max_order_cny:  # twice: the account may grow
            wanted["risk.max_order_cny"] = math.ceil(2 * weight * strategy.capital_cny)
        remedy += ", or run with " + " ".join(f"--set {key}={value}" for key, value in wanted.items())
    raise ConfigError(
        f"the data holds {symbols} symbols and strategy.top_k = {strategy.top_k}: all would be held, none chosen",
        remedy,
    )
