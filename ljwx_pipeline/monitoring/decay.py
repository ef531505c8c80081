"""What live scores were worth once their labels matured: rolling rank IC, hit rate, calibration, interval coverage.

A score of session ``t`` is judged by the return from the close of ``t + entry lag`` to that of ``t + entry lag +
horizon``, on which session its label matures. Everything here begins with ``matured_rows``, which joins the two and
refuses what cannot be true of live labels.

Not here: the rank IC itself (``coefficients.py``), whether a fall of it is more than luck (``cusum.py``).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import date
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ljwx_pipeline.coefficients import row_coefficients
from ljwx_pipeline.errors import DataQualityError
from ljwx_pipeline.market.calendar import session_closes, session_positions

Float = NDArray[np.float64]

KEYS = ["symbol", "session_date"]
#: Quantiles of the score that calibration looks at.
DECILES = 10


@dataclass(frozen=True)
class LabelTiming:
    """When a label's trade is entered and how long it is held, in sessions, as in ``[label]``."""

    entry_lag_sessions: int
    horizon_sessions: int

    @property
    def reach_sessions(self) -> int:
        """Sessions from a score to the last price its label reads."""
        return self.entry_lag_sessions + self.horizon_sessions


@dataclass(frozen=True)
class Calibration:
    """Whether higher scores earned more, and whether intervals held what they promise.

    Parameters
    ----------
    rows, sessions
        Judged.
    decile_returns
        Mean return over the session's mean by decile of the session's scores, lowest first, shape ``(10,)``, as a
        fraction over the label's horizon; sessions count alike. NaN for a decile no session fills.
    slope
        Return earned by one unit of score: least squares of the return on the score, both less their session's mean.
        NaN when scores never vary.
    coverage_frac
        Share of the rows with an interval whose outcome lies in it, ends included; None without intervals.
    mean_width
        Of those intervals, in the outcome's unit; None without.
    """

    rows: int
    sessions: int
    decile_returns: Float
    slope: float
    coverage_frac: float | None
    mean_width: float | None


def matured_rows(
    predictions: pd.DataFrame, labels: pd.DataFrame, sessions: pd.DatetimeIndex, *, timing: LabelTiming, today: date
) -> pd.DataFrame:
    """Return the live scores whose labels matured by ``today``, each beside its outcome.

    Parameters
    ----------
    predictions
        ``symbol``, ``session_date``, ``score``, and where there are intervals ``lower`` and ``upper``; optionally
        ``scored_at``, the instant with its time zone.
    labels
        ``symbol``, ``session_date`` of the score, ``matured_date``, the session of the last price read, and
        ``forward_return``, a fraction; NaN where entry or exit had no bar.
    sessions
        The calendar, ascending, up to at least ``today``.
    timing
        Of the labels.
    today
        The last finished session.

    Returns
    -------
    DataFrame
        ``symbol, session_date, matured_date, score, [lower, upper,] forward_return``, by session, then symbol. Scores
        not matured yet, without a label row or with NaN on either side are left out.

    Raises
    ------
    DataQualityError
        For a missing column, a key given twice, a session off the calendar or after ``today``, a label that does not
        mature exactly ``timing.reach_sessions`` after its score, a score made before its session or at or after the
        close at which its trade is entered, an infinite score or return, or half an interval.
    """
    _check_calendar(sessions, today, timing)
    _check_table("predictions", predictions, ("score",), sessions, today)
    _check_table("labels", labels, ("matured_date", "forward_return"), sessions, today)
    if "scored_at" in predictions:
        _check_instants(predictions, sessions, timing)
    _check_maturity(labels, sessions, timing, today)
    band = [name for name in ("lower", "upper") if name in predictions]
    if len(band) == 1:
        raise DataQualityError(f"predictions have {band[0]} and not the interval's other end", "give both or neither")
    if band and (predictions["lower"] > predictions["upper"]).any():
        at = int((predictions["lower"] > predictions["upper"]).to_numpy().argmax())
        raise DataQualityError(f"{_key(predictions, at)} has an interval that ends before it begins", "score it again")
    joined = predictions[[*KEYS, "score", *band]].merge(labels[[*KEYS, "matured_date", "forward_return"]], on=KEYS)
    known = joined["score"].notna() & joined["forward_return"].notna()
    found = joined.loc[known, [*KEYS, "matured_date", "score", *band, "forward_return"]]
    return found.sort_values(["session_date", "symbol"], ignore_index=True)


def skill_by_session(matured: pd.DataFrame, *, window_sessions: int = 60) -> pd.DataFrame:
    """Return rank IC and hit rate of every session scored, and their means over the newest ones.

    Parameters
    ----------
    matured
        From ``matured_rows``.
    window_sessions
        Sessions that the rolling columns look back over, the row's own included.

    Returns
    -------
    DataFrame
        ``session_date``, ``matured_date``, ``rows``, ``rank_ic`` (NaN below ``coefficients.MIN_PAIRS`` rows or where
        one side is constant), ``hit_frac``, and ``rolling_rank_ic``, ``rolling_rank_icir`` (mean over standard
        deviation, n - 1, not annualised), ``rolling_hit_frac``; ascending. Rolling columns are NaN until the window is
        full; in it, sessions without a rank IC are left out.

        A hit is a row on the same side of its session's median in score and in return; rows on either median are left
        out, so half are hits by luck.
    """
    if window_sessions < 2:
        raise DataQualityError(f"a window of {window_sessions} sessions has no deviation", "look back over 2 or more")
    if matured.empty:
        return _no_skill()
    matured = matured.sort_values(KEYS[::-1])
    index, sessions = pd.factorize(matured["session_date"])
    present, found = row_coefficients(
        matured["score"].to_numpy(dtype=np.float64), matured["forward_return"].to_numpy(dtype=np.float64), index
    )
    by_session = matured.groupby("session_date", sort=True)
    side = [np.sign(matured[name] - by_session[name].transform("median")) for name in ("score", "forward_return")]
    agreed = np.asarray(side[0] * side[1])
    hit = pd.Series(np.where(agreed == 0, np.nan, agreed > 0), index=matured["session_date"])
    rank_ic = pd.Series(found.rank_ic, index=pd.DatetimeIndex(sessions)[present], name="rank_ic")
    out = pd.DataFrame(
        {
            "matured_date": by_session["matured_date"].first(),
            "rows": by_session.size(),
            "rank_ic": rank_ic,
            "hit_frac": hit.groupby(level=0).mean(),
        }
    )
    rolling = out[["rank_ic", "hit_frac"]].rolling(window_sessions, min_periods=2)
    means, spread = rolling.mean(), rolling["rank_ic"].std()
    out["rolling_rank_ic"] = means["rank_ic"]
    out["rolling_rank_icir"] = means["rank_ic"] / spread.where(spread > 0)
    out["rolling_hit_frac"] = means["hit_frac"]
    out.iloc[: window_sessions - 1, -3:] = np.nan
    return out.rename_axis("session_date").reset_index()


def calibration(matured: pd.DataFrame, *, band_of: Literal["return", "rank"] = "return") -> Calibration:
    """Return whether higher scores earned more, and the coverage of the intervals where they are given.

    Parameters
    ----------
    matured
        From ``matured_rows``.
    band_of
        What an interval is about: the forward return, or its rank in the session scaled to [-0.5, 0.5]
        (``label.rank_label``).

    Raises
    ------
    DataQualityError
        When nothing has matured.
    """
    if matured.empty:
        raise DataQualityError("no live label has matured", "wait for the first, or look back further")
    by_session = matured.groupby("session_date", sort=False)
    excess = matured["forward_return"] - by_session["forward_return"].transform("mean")
    score = matured["score"] - by_session["score"].transform("mean")
    x, y = score.to_numpy(dtype=np.float64), excess.to_numpy(dtype=np.float64)
    spread = float(x @ x)
    size = by_session["score"].transform("size")
    decile = ((by_session["score"].rank(method="first") - 1) * DECILES // size).astype(np.int64)
    enough = size >= DECILES
    means = excess[enough].groupby([matured["session_date"][enough], decile[enough]]).mean().groupby(level=1).mean()
    coverage, width = _coverage(matured, band_of)
    return Calibration(
        rows=len(matured),
        sessions=by_session.ngroups,
        decile_returns=means.reindex(range(DECILES)).to_numpy(dtype=np.float64),
        slope=float(x @ y) / spread if spread > 0 else math.nan,
        coverage_frac=coverage,
        mean_width=width,
    )


def _coverage(matured: pd.DataFrame, band_of: Literal["return", "rank"]) -> tuple[float | None, float | None]:
    given = matured[["lower", "upper"]].notna().all(axis=1) if "lower" in matured else None
    if given is None or not given.any():
        return None, None
    outcome = matured["forward_return"]
    if band_of == "rank":
        by_session = outcome.groupby(matured["session_date"])
        others = (by_session.transform("size") - 1).clip(lower=1)
        alone = by_session.transform("size") == 1
        outcome = ((by_session.rank() - 1) / others - 0.5).where(~alone, 0.0)
    held = (matured["lower"] <= outcome) & (outcome <= matured["upper"])
    return float(held[given].mean()), float((matured["upper"] - matured["lower"])[given].mean())


def _no_skill() -> pd.DataFrame:
    measured = ("rank_ic", "hit_frac", "rolling_rank_ic", "rolling_rank_icir", "rolling_hit_frac")
    none = {"session_date": pd.DatetimeIndex([]), "matured_date": pd.DatetimeIndex([]), "rows": np.array([], np.int64)}
    return pd.DataFrame(none | {name: np.array([], dtype=np.float64) for name in measured})


def _check_calendar(sessions: pd.DatetimeIndex, today: date, timing: LabelTiming) -> None:
    if min(timing.entry_lag_sessions, timing.horizon_sessions) < 1:
        raise DataQualityError(f"{timing} enters at a price already seen", "pass the label's own lag and horizon")
    if not (sessions.is_monotonic_increasing and sessions.is_unique) or pd.Timestamp(today) not in sessions:
        raise DataQualityError(
            f"the calendar is not ascending or has no session {today}",
            "pass a calendar up to the last finished session",
        )


def _check_table(
    name: str, table: pd.DataFrame, columns: tuple[str, ...], sessions: pd.DatetimeIndex, today: date
) -> None:
    missing = [column for column in (*KEYS, *columns) if column not in table]
    if missing:
        raise DataQualityError(f"{name} lack the column {missing[0]}", "pass the table whole")
    twice = table.duplicated(KEYS).to_numpy()
    if twice.any():
        raise DataQualityError(
            f"{name} hold {_key(table, int(twice.argmax()))} more than once ({twice.sum()} such rows)",
            "keep one row a symbol and session",
        )
    for column in (column for column in ("session_date", "matured_date") if column in table and len(table)):
        off = session_positions(table[column], sessions) < 0
        if off.any():
            raise DataQualityError(
                f"{column} {_key(table, int(off.argmax()), column)} of {name} is no session of the calendar",
                "bring clock and calendar together",
            )
    for column in ("score", "forward_return", "lower", "upper"):
        if column in table and np.isinf(table[column].to_numpy(dtype=np.float64)).any():
            at = int(np.isinf(table[column].to_numpy(dtype=np.float64)).argmax())
            raise DataQualityError(f"{name} say {column} of {_key(table, at)} is infinite", "compute it again")
    late = (table["session_date"] > pd.Timestamp(today)).to_numpy(dtype=bool)
    if late.any():
        raise DataQualityError(
            f"{name} hold {_key(table, int(late.argmax()))}, after the last finished session {today}",
            "set the clock, or judge it when the session is over",
        )


def _check_maturity(labels: pd.DataFrame, sessions: pd.DatetimeIndex, timing: LabelTiming, today: date) -> None:
    if labels.empty:
        return
    scored = session_positions(labels["session_date"], sessions)
    matured = session_positions(labels["matured_date"], sessions)
    wrong = matured != scored + timing.reach_sessions
    if wrong.any():
        at = int(wrong.argmax())
        raise DataQualityError(
            f"the label of {_key(labels, at)} is from session {labels['matured_date'].iloc[at]:%Y-%m-%d}, "
            f"{matured[at] - scored[at]} sessions after its score, not {timing.reach_sessions}",
            f"make it {timing.entry_lag_sessions} + {timing.horizon_sessions} sessions after the score",
        )
    early = (labels["matured_date"] > pd.Timestamp(today)).to_numpy() & labels["forward_return"].notna().to_numpy()
    if early.any():
        at = int(early.argmax())
        raise DataQualityError(
            f"the label of {_key(labels, at)} is known before its session "
            f"{labels['matured_date'].iloc[at]:%Y-%m-%d}; the last finished one is {today}",
            "set the clock, or leave labels out until they mature",
        )


def _check_instants(predictions: pd.DataFrame, sessions: pd.DatetimeIndex, timing: LabelTiming) -> None:
    if not isinstance(predictions["scored_at"].dtype, pd.DatetimeTZDtype) or predictions["scored_at"].isna().any():
        raise DataQualityError("scored_at has no time zone, or gaps", "write instants with their time zone")
    position = session_positions(predictions["session_date"], sessions)
    closes = session_closes(sessions)
    entered = np.minimum(position + timing.entry_lag_sessions, len(sessions) - 1)
    # past the calendar's end the entry is still to come
    late = (predictions["scored_at"] >= closes[entered]).to_numpy() & (
        position + timing.entry_lag_sessions < len(sessions)
    )
    early = (predictions["scored_at"] < closes[position].normalize()).to_numpy()
    if (late | early).any():
        at = int((late | early).argmax())
        when = "before its session" if early[at] else "after the close at which its trade is entered"
        raise DataQualityError(
            f"the score of {_key(predictions, at)} was made {when}, at {predictions['scored_at'].iloc[at]}",
            "judge only scores made live; set the clock if they were",
        )


def _key(table: pd.DataFrame, at: int, column: str = "session_date") -> str:
    return f"{table['symbol'].iloc[at]} on {table[column].iloc[at]:%Y-%m-%d}"
