"""Small JSON documents that carry a checksum over their own text, so that an edited or cut one is noticed."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from ljwx_pipeline.errors import LakeError


def sealed(body: dict[str, Any]) -> bytes:
    """Return ``body`` as JSON text with its checksum."""
    # no indent: it would cost a manifest more time than its hash, as the standard library indents in Python alone
    return json.dumps({**body, "checksum": checksum(body)}, ensure_ascii=False).encode()


def read_sealed(path: Path, *, what: str, formats: tuple[int, ...]) -> dict[str, Any]:
    """Return the document at ``path`` without its checksum.

    Raises
    ------
    LakeError
        When it is damaged, was edited, or is of a format this release does not know.
    FileNotFoundError
        When there is none: only the caller knows whether that is a fault.
    """
    try:
        body: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        stated = body.pop("checksum")
    except FileNotFoundError:
        raise
    except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
        raise LakeError(f"{what} {path} is damaged ({error})", "restore it from a backup") from error
    if stated != checksum(body):
        raise LakeError(f"{what} {path} is damaged: its checksum does not fit", "restore it from a backup")
    if body.get("format") not in formats:
        known = " or ".join(str(number) for number in formats)
        raise LakeError(f"{what} {path} has format {body.get('format')}, not {known}", "upgrade ljwx-pipeline")
    return body


def checksum(body: dict[str, Any]) -> str:
    """Return the SHA-256 of ``body`` with its keys in order."""
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
