"""When alarms ask for a new training: which of them do, how long after the last, and what was asked already.

A pure function over records: no alarm is forgotten because a process or a training died, and none is answered twice.
A new model is only asked for; whether it trades is the gate's decision. A damaged record stops the rule with an error rather than
being passed over: a lost request would be asked again every session, a lost alarm never.

Not here: the alarms (``cusum.py``, ``drift.py``, ``decay.py``), the sensor that asks this rule.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Literal, get_args

import pandas as pd

from ljwx_pipeline.errors import DataQualityError

AlarmKind = Literal["skill_lost", "drift", "miscalibrated", "broken_input"]
#: These ask for training. Broken input never does: a model learned from it would be broken too.
ASKING: frozenset[AlarmKind] = frozenset({"skill_lost", "drift", "miscalibrated"})
#: Sessions between two requests, about a quarter: fewer new labels hardly change what is learned.
COOL_DOWN_SESSIONS = 60
#: Sessions after one whose training failed or was cancelled: a week, to mend the cause in.
RETRY_SESSIONS = 5
#: How the run of a request ended that answers its alarms; no other does.
SUCCEEDED = "SUCCESS"
_ISO_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")


@dataclass(frozen=True)
class Alarm:
    """One alarm: its key, what it is of, the version it is about, since which session, and whether it still stands."""

    key: str
    kind: AlarmKind
    version: str
    session: date
    in_force: bool


@dataclass(frozen=True)
class Request:
    """One training asked for: the session, the alarms it is to answer, and how its run ended; empty while it has not."""

    session: date
    alarms: tuple[str, ...]
    status: str

    @property
    def succeeded(self) -> bool:
        """Whether its alarms are answered."""
        return self.status == SUCCEEDED


@dataclass(frozen=True)
class Retraining:
    """The rule's answer.

    Parameters
    ----------
    asked
        Whether a training is to be asked for now.
    alarms
        Keys of the alarms that ask, oldest first; also where they have to wait.
    reason
        One sentence.
    earliest
        The first session on which the cool-down no longer holds it back; None when it does not, or the session is
        beyond the calendar.
    """

    asked: bool
    alarms: tuple[str, ...]
    reason: str
    earliest: date | None = None


def retraining_due(
    alarms: Sequence[Mapping[str, Any]],
    requests: Sequence[Mapping[str, Any]],
    sessions: pd.DatetimeIndex,
    *,
    today: date,
    champion: str,
    cool_down_sessions: int = COOL_DOWN_SESSIONS,
) -> Retraining:
    """Return whether to ask for a training after session ``today``.

    Asked when an alarm of ``ASKING`` about the champion is unanswered, no earlier request is still running, no alarm of
    broken input about the champion stands, and ``cool_down_sessions`` have passed since the last request that
    succeeded, ``RETRY_SESSIONS`` (no more than the cool-down) since one that did not. An alarm is answered by a request
    that succeeded.

    Parameters
    ----------
    alarms
        Records ``key``, ``kind``, ``version``, ``session`` (ISO date), ``in_force`` (bool), all ever raised.
    requests
        Records ``session``, ``alarms`` (keys), ``status`` (how the run ended, empty while it has not), all ever made.
    sessions
        The calendar, ascending.
    today
        The last finished session.
    champion
        The version that trades; alarms about others ask nothing.

    Raises
    ------
    DataQualityError
        For a record that lacks a field, has one more or one of another kind, a session off the calendar or after
        ``today``, a key told twice, or a request that answers an alarm nobody raised.
    """
    _session(today.isoformat(), sessions, today, "today")
    if cool_down_sessions < 0:
        raise DataQualityError(f"a cool-down of {cool_down_sessions} sessions is none", "set it to 0 or more")
    raised = [_alarm(record, sessions, today) for record in alarms]
    made = [_request(record, sessions, today) for record in requests]
    _check_keys(raised, made)
    answered = {key for request in made if request.succeeded for key in request.alarms}
    asking = sorted(
        (one for one in raised if one.kind in ASKING and one.version == champion and one.key not in answered),
        key=lambda one: (one.session, one.key),
    )
    keys = tuple(one.key for one in asking)
    if not keys:
        return Retraining(False, (), "no alarm about the champion is unanswered")
    running = [request for request in made if not request.status]
    if running:
        return Retraining(False, keys, f"the training asked for on {running[0].session} has not ended")
    broken = [one for one in raised if one.kind == "broken_input" and one.version == champion and one.in_force]
    if broken:
        return Retraining(False, keys, f"the input is broken since {broken[-1].session}: it is not learned from")
    if made:
        at, last = int(sessions.searchsorted(pd.Timestamp(today))), _holding(made, sessions, cool_down_sessions)
        if at < last.free:
            ended = "" if last.request.succeeded else f" and ended as {last.request.status}"
            return Retraining(
                False,
                keys,
                f"the last training was asked for on {last.request.session}{ended}, "
                f"{at - last.free + last.wait} sessions ago, cool-down {last.wait}",
                sessions[last.free].date() if last.free < len(sessions) else None,
            )
    return Retraining(True, keys, f"{len(keys)} alarms about version {champion}, first {asking[0].kind} {keys[0]}")


@dataclass(frozen=True)
class _Holding:
    """The request that holds the next one back longest: by how many sessions, and the first position it is free at."""

    request: Request
    wait: int
    free: int


def _holding(made: Sequence[Request], sessions: pd.DatetimeIndex, cool_down_sessions: int) -> _Holding:
    held = []
    for request in made:
        wait = cool_down_sessions if request.succeeded else min(cool_down_sessions, RETRY_SESSIONS)
        held.append(_Holding(request, wait, int(sessions.searchsorted(pd.Timestamp(request.session))) + wait))
    return max(held, key=lambda one: one.free)


def _alarm(record: Mapping[str, Any], sessions: pd.DatetimeIndex, today: date) -> Alarm:
    _check_fields("alarm", record, {"key", "kind", "version", "session", "in_force"})
    for name in ("key", "kind", "version"):
        if not isinstance(record[name], str) or not record[name]:
            raise _damaged("alarm", record, f"{name} is {record[name]!r}")
    if record["kind"] not in get_args(AlarmKind):
        raise _damaged("alarm", record, f"kind is {record['kind']!r}")
    if not isinstance(record["in_force"], bool):
        raise _damaged("alarm", record, f"in_force is {record['in_force']!r}")
    found = _session(record["session"], sessions, today, f"the alarm {record['key']}")
    return Alarm(record["key"], record["kind"], record["version"], found, record["in_force"])


def _request(record: Mapping[str, Any], sessions: pd.DatetimeIndex, today: date) -> Request:
    _check_fields("request", record, {"session", "alarms", "status"})
    keys, status = record["alarms"], record["status"]
    if not isinstance(keys, list | tuple) or not keys or not all(isinstance(key, str) and key for key in keys):
        raise _damaged("request", record, f"alarms are {keys!r}")
    if not isinstance(status, str):
        raise _damaged("request", record, f"status is {status!r}")
    return Request(_session(record["session"], sessions, today, "a request"), tuple(keys), status)


def _check_fields(what: str, record: object, wanted: set[str]) -> None:
    if not isinstance(record, Mapping) or set(record) != wanted:
        raise _damaged(what, record, f"its fields are not {', '.join(sorted(wanted))}")


def _check_keys(raised: Sequence[Alarm], made: Sequence[Request]) -> None:
    known = Counter(one.key for one in raised)
    for key, times in known.items():
        if times > 1:
            raise DataQualityError(f"the alarm {key} is told {times} times", "restore the records from their backup")
    strange = next((key for request in made for key in request.alarms if key not in known), None)
    if strange is not None:
        raise DataQualityError(
            f"a request answers the alarm {strange}, which nobody raised", "restore the records from their backup"
        )


def _session(told: object, sessions: pd.DatetimeIndex, today: date, whose: str) -> date:
    try:
        found = date.fromisoformat(told) if isinstance(told, str) and _ISO_DATE.fullmatch(told) else None
    except ValueError:
        found = None
    if found is None or pd.Timestamp(found) not in sessions or found > today:
        raise DataQualityError(
            f"{whose} is of {told!r}, no finished session of the calendar up to {today}",
            "set the clock, or restore the records from their backup",
        )
    return found


def _damaged(what: str, record: object, fault: str) -> DataQualityError:
    return DataQualityError(f"the {what} {record!r} is damaged: {fault}", "restore the records from their backup")
