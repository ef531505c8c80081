"""The body of ``ljwx monitor``: how the model that trades fares, and whether a training is due.

It changes nothing, and reads what the daily job wrote down beside the market; MLflow is not asked. Not here: the rest
of the command line (``cli.py``).
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ljwx_pipeline.command_output import show_result
from ljwx_pipeline.config import Settings, market_home, registered_model
from ljwx_pipeline.errors import LakeError

DOCUMENT = "model_monitoring.json"
#: What is said of the champion, in this order, where the daily job found it.
SAID = (
    ("version", "champion", "version {}"),
    ("last_session", "newest session", "{}"),
    ("matured_sessions", "matured sessions", "{}"),
    ("live_sessions", "of them scored live", "{}"),
    ("unscored_sessions", "never scored", "{}"),
    ("rank_ic_mean", "rank IC", "{:.4f}"),
    ("rolling_rank_ic", "rank IC, rolling", "{:.4f}"),
    ("in_control_rank_ic", "rank IC, walk forward", "{:.4f}"),
    ("hit_frac", "hit rate", "{:.1%}"),
    ("cusum", "CUSUM", "{:.2f}"),
    ("cusum_level", "CUSUM, alarm above", "{:.2f}"),
    ("cusum_reason", "lost skill", "not judged: {}"),
    ("coverage_frac", "coverage of intervals", "{:.1%}"),
    ("drift_ratio", "drift, of its limit", "{:.2f}"),
    ("drift_reason", "drift", "not judged: {}"),
    ("sessions_to_next_label", "next label matures in", "{} sessions"),
)


def add_monitor_command(
    subparsers: Any,
    *,
    add_settings_options: Callable[[argparse.ArgumentParser], None],
    settings_of: Callable[[argparse.Namespace], Settings],
) -> None:
    """Add ``monitor`` to the command line.

    Parameters
    ----------
    subparsers
        What ``ArgumentParser.add_subparsers`` returned.
    add_settings_options, settings_of
        How the command line names a profile and reads it.
    """
    text = "how the model that trades fares: live skill, alarms, and whether a training is due"
    parser = subparsers.add_parser("monitor", help=text, description=text)
    add_settings_options(parser)
    parser.add_argument("--json", action="store_true", help="print the machine-readable form")
    parser.set_defaults(handler=lambda arguments: _monitor(settings_of(arguments), arguments))


def _monitor(settings: Settings, arguments: argparse.Namespace) -> int:
    from ljwx_pipeline.tracking import AlarmJournal, ChampionRecord, RetrainingJournal
    from ljwx_pipeline.tracking.retraining import retraining_now

    folder, model = market_home(settings) / "tracking", registered_model(settings)
    document = _document(market_home(settings) / "tables" / DOCUMENT)
    move = ChampionRecord(folder).last_move(model)
    bundle = "" if move is None or move.version is None else move.bundle_hash
    stale = bool(document.get("champion")) and document.get("bundle_hash") != bundle
    sessions = _sessions(settings)
    due = retraining_now(folder, model, sessions, cool_down_sessions=settings.monitoring.cool_down_sessions)
    alarms = AlarmJournal(folder).in_force(bundle) if bundle else []
    found = {
        "model": model,
        "champion": None if move is None else move.version,
        "bundle_hash": bundle,
        "monitoring": None if stale or not document.get("champion") else document,
        "alarms": [
            {"kind": one.kind, "session": one.session, "since": one.at, "sentence": one.sentence} for one in alarms
        ],
        "retraining": {
            "asked": due.asked,
            "reason": due.reason,
            "alarms": list(due.alarms),
            "earliest": None if due.earliest is None else due.earliest.isoformat(),
            "under_way": [one.key for one in RetrainingJournal(folder).open_requests()],
            "by_the_sensor": settings.monitoring.retrain,
        },
    }
    return show_result(arguments, found, _text(found, stale=stale))


def _text(found: dict[str, Any], *, stale: bool) -> str:
    document, training = found["monitoring"] or {}, found["retraining"]
    lines = _lines_of(document) or [
        ("champion", "none was promoted yet" if found["champion"] is None else f"version {found['champion']}")
    ]
    if not document and found["champion"] is not None:
        other = "the daily job last watched another" if stale else "the daily job has not watched it yet"
        lines.append(("watched", f"{other}: `ljwx run --job daily_pipeline`"))
    lines += [("ALARM", f"{one['kind']} since {one['session']}: {one['sentence']}") for one in found["alarms"]]
    if not found["alarms"]:
        lines.append(("alarms", "none stands"))
    earliest = f"; not before {training['earliest']}" if training["earliest"] else ""
    lines.append(("training due", f"{'yes' if training['asked'] else 'no'}: {training['reason']}{earliest}"))
    if training["asked"] and not training["by_the_sensor"]:
        lines.append(("", "the sensor is off (monitoring.retrain): run `ljwx run --job research`"))
    width = max(len(name) for name, _ in lines)
    return "\n".join(f"{name:<{width}}  {said}" for name, said in lines)


def _lines_of(document: dict[str, Any]) -> list[tuple[str, str]]:
    return [(name, _said(said, document[key])) for key, name, said in SAID if document.get(key) is not None]


def _said(form: str, value: Any) -> str:
    """Return ``form`` filled with ``value``, one of many in the singular."""
    text = form.format(value)
    return text.removesuffix("s") if value == 1 and form.endswith("sessions") else text


def _document(path: Path) -> dict[str, Any]:
    try:
        loaded = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(loaded, dict):
            raise TypeError(f"{type(loaded).__name__}, not an object")
        _lines_of(loaded)  # a value of the wrong kind is found here, whichever form is printed
        return loaded
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise LakeError(
            f"{path} cannot be read ({error.strerror or error})",
            "mend its permissions, or remove what lies in its place and run `ljwx run --job daily_pipeline`",
        ) from error
    except (ValueError, TypeError, RecursionError) as error:
        raise LakeError(f"{path} is damaged ({error})", "run `ljwx run --job daily_pipeline` again") from None


def _sessions(settings: Settings) -> Any:
    """Return the sessions this line works on, as its assets see them."""
    import pandas as pd

    from ljwx_pipeline.ingest.tables import CALENDAR, read_market_table
    from ljwx_pipeline.lake import Lake

    held = pd.DatetimeIndex(read_market_table(Lake(market_home(settings) / "lake"), CALENDAR)["session_date"])
    span = settings.source
    return held[(held >= pd.Timestamp(span.first_session)) & (held <= pd.Timestamp(span.until))]
