"""Structured logs: an event with named fields, one line each, as text for people or JSON for machines."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime
from typing import Any, TextIO

ROOT_LOGGER = "ljwx"
_FIELDS = "ljwx_fields"


def get_logger(name: str) -> logging.Logger:
    """Return the logger ``ljwx.NAME``."""
    return logging.getLogger(f"{ROOT_LOGGER}.{name}")


def event(logger: logging.Logger, message: str, *, level: int = logging.INFO, **fields: Any) -> None:
    """Log ``message`` with ``fields``; values that JSON does not know are written as text."""
    logger.log(level, message, extra={_FIELDS: fields})


def configure_logging(stream: TextIO, *, as_json: bool, level: int = logging.INFO) -> None:
    """Send every ``ljwx`` log line to ``stream``; calling it again replaces the former stream."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(_JsonFormatter() if as_json else _TextFormatter())
    root = logging.getLogger(ROOT_LOGGER)
    root.handlers[:] = [handler]
    root.setLevel(level)
    root.propagate = False


class _JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "at": _instant(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": record.getMessage(),
            **getattr(record, _FIELDS, {}),
        }
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)


class _TextFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        fields = "".join(f" {name}={value}" for name, value in getattr(record, _FIELDS, {}).items())
        text = f"{_instant(record)} {record.levelname:<7} {record.name}: {record.getMessage()}{fields}"
        return f"{text}\n{self.formatException(record.exc_info)}" if record.exc_info else text


def _instant(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
