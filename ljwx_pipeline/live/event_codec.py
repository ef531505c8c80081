"""Events as JSON and back, strictly: a missing, unknown or wrongly typed field is refused by name and value.

A field may be text, a whole number, a number, a truth value, a date, a ``StrEnum``, another frozen dataclass, any of
them or ``None``, a tuple or a mapping of them. The text is canonical: equal events are equal bytes. Not here: which
events there are (``events.py``).
"""

from __future__ import annotations

import json
import math
import types
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from datetime import date
from enum import StrEnum
from functools import cache
from typing import Any, Union, get_args, get_origin, get_type_hints

from ljwx_pipeline.errors import JournalDamaged, LiveError

#: Turns one value of a field into plain JSON, or plain JSON into it; given the field's name for the error.
Step = Callable[[Any, str], Any]


def to_json(value: Any) -> str:
    """Return the dataclass ``value`` as canonical JSON.

    Raises
    ------
    LiveError
        When a field does not hold what its annotation says (NumPy's numbers are not ``int``), a number that is not
        finite, or text that is no UTF-8 or holds a NUL.
    """
    kind: Any = type(value)
    plain = _encoder(kind)(value, kind.__name__)
    return json.dumps(plain, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def from_json(kind: Any, text: str) -> Any:
    """Return the dataclass of class ``kind`` that `to_json` wrote as ``text``.

    Raises
    ------
    LiveError
        When ``text`` is not JSON of exactly its fields.
    """
    try:
        plain = json.loads(text)
    except json.JSONDecodeError as error:
        raise JournalDamaged(
            f"a stored {kind.__name__} is no JSON ({error})",
            "the journal is damaged: restore it with `ljwx live restore`",
        ) from None
    return _decoder(kind)(plain, kind.__name__)


def _refuse(name: str, value: Any, wanted: str) -> LiveError:
    return LiveError(
        f"{name} is {value!r} ({type(value).__name__}), {wanted} is needed",
        "nothing was written; mend whatever made this event, or run the release that wrote it",
    )


@cache
def _encoder(kind: Any) -> Step:
    if _is_record(kind):
        steps = [(name, _encoder(hint)) for name, hint in _hints(kind).items()]

        def dataclass_out(value: Any, name: str) -> Any:
            if type(value) is not kind:
                raise _refuse(name, value, kind.__name__)
            return {field: step(getattr(value, field), field) for field, step in steps}

        return dataclass_out
    origin, inner = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        some = _encoder(_only(inner))
        return lambda value, name: None if value is None else some(value, name)
    if origin is tuple:
        item = _encoder(inner[0])
        return lambda value, name: [item(one, name) for one in _of(value, name, tuple)]
    if origin is Mapping:
        item = _encoder(inner[1])
        return lambda value, name: {_of(key, name, str): item(one, name) for key, one in _of(value, name, dict).items()}
    if kind is date:
        return lambda value, name: _of(value, name, date).isoformat()
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        return lambda value, name: _of(value, name, kind).value
    return _text if kind is str else lambda value, name: _scalar(value, name, kind)


@cache
def _decoder(kind: Any) -> Step:
    if _is_record(kind):
        steps = [(name, _decoder(hint)) for name, hint in _hints(kind).items()]
        known = {name for name, _ in steps}

        def dataclass_in(plain: Any, name: str) -> Any:
            if type(plain) is not dict or set(plain) != known:
                held = sorted(plain) if type(plain) is dict else plain
                raise _refuse(name, held, f"an object of exactly {', '.join(sorted(known))}")
            return kind(**{field: step(plain[field], field) for field, step in steps})

        return dataclass_in
    origin, inner = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        some = _decoder(_only(inner))
        return lambda plain, name: None if plain is None else some(plain, name)
    if origin is tuple:
        item = _decoder(inner[0])
        return lambda plain, name: tuple(item(one, name) for one in _of(plain, name, list))
    if origin is Mapping:
        item = _decoder(inner[1])
        return lambda plain, name: {key: item(one, name) for key, one in _of(plain, name, dict).items()}
    if kind is date or (isinstance(kind, type) and issubclass(kind, StrEnum)):
        make: Any = date.fromisoformat if kind is date else kind

        def named(plain: Any, name: str) -> Any:
            try:
                return make(_of(plain, name, str))
            except ValueError:
                raise _refuse(name, plain, f"a {kind.__name__}") from None

        return named
    return lambda plain, name: _scalar(plain, name, kind)


def _is_record(kind: Any) -> bool:
    return is_dataclass(kind)


def _hints(kind: Any) -> dict[str, Any]:
    hints = get_type_hints(kind)
    return {field.name: hints[field.name] for field in fields(kind)}


def _only(inner: tuple[Any, ...]) -> Any:
    (some,) = (one for one in inner if one is not type(None))
    return some


def _of(value: Any, name: str, kind: type[Any]) -> Any:
    if type(value) is not kind:
        raise _refuse(name, value, f"a {kind.__name__}")
    return value


def _text(value: Any, name: str) -> str:
    """Return text that every database can hold: its driver would else end the process by an error of its own."""
    text: str = _of(value, name, str)
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            raise _refuse(name, value, "text that is UTF-8") from None
    if "\0" in text:
        raise _refuse(name, value, "text without a NUL")
    return text


def _scalar(value: Any, name: str, kind: Any) -> Any:
    if kind is float and type(value) is float and not math.isfinite(value):
        raise _refuse(name, value, "a finite number")
    return _of(value, name, kind)
