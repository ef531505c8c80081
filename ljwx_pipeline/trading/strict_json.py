"""Frozen dataclasses to JSON and back, strictly: a field that is unknown, missing or of another type is an error.

Fields may be of type ``str``, ``int``, ``bool``, ``float``, ``date``, a ``StrEnum``, another such dataclass, a tuple
of one of these, or one of these or None. A number given for text, a bool or a float for an integer, NaN, integers
beyond 64 bits, and text that is no UTF-8 or holds a NUL are refused. Not here: which messages there are
(``exchange_wire.py``).
"""

from __future__ import annotations

import math
import types
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from datetime import date
from enum import StrEnum
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from ljwx_pipeline.errors import TradingError

T = TypeVar("T")
Decode = Callable[[Any], Any]

#: Integers are stored and computed in 64 bits everywhere behind the wire.
INT64_MAX = 2**63 - 1
#: How the fields of each class are read, once it was asked for.
_KNOWN: dict[type, dict[str, Decode]] = {}
_REMEDY = "send what the other side's version of this message says, or run the same version on both sides"


def to_json(message: Any) -> dict[str, Any]:
    """Return the message's fields as plain JSON values: dates as ISO text, tuples as lists."""
    return {name: _plain(getattr(message, name)) for name in _decoders(type(message))}


def to_row(message: Any) -> list[Any]:
    """Return the values alone, in the order of the fields: for what is sent by the thousand."""
    return [_plain(getattr(message, name)) for name in _decoders(type(message))]


def from_json(kind: type[T], data: object) -> T:
    """Return the message of class ``kind`` that ``data`` says.

    Raises
    ------
    TradingError
        Naming the first field that is unknown, missing or of another type, with its value; or what the class itself
        refuses.
    """
    decoders = _decoders(kind)
    if not isinstance(data, dict):
        raise TradingError(f"{kind.__name__} is {_short(data)}, not an object", _REMEDY)
    if data.keys() != decoders.keys():
        unknown = [name for name in data if name not in decoders]
        if unknown:
            raise TradingError(
                f"{kind.__name__} has the unknown field {unknown[0]!r} = {_short(data[unknown[0]])}", _REMEDY
            )
        raise TradingError(f"{kind.__name__} lacks the field {min(decoders.keys() - data.keys())!r}", _REMEDY)
    return kind(**{name: _decoded(kind, name, decode, data[name]) for name, decode in decoders.items()})


def from_row(kind: type[T], row: object) -> T:
    """Return the message whose values ``row`` lists in the order of the fields; errors as `from_json`."""
    decoders = _decoders(kind)
    if not isinstance(row, list) or len(row) != len(decoders):
        raise TradingError(f"{kind.__name__} is {_short(row)}, not a list of {len(decoders)} values", _REMEDY)
    pairs = zip(decoders.items(), row, strict=True)
    return kind(*[_decoded(kind, name, decode, value) for (name, decode), value in pairs])


def _decoded(kind: type, name: str, decode: Decode, value: Any) -> Any:
    try:
        return decode(value)
    except (ValueError, TypeError) as error:
        raise TradingError(f"{kind.__name__}.{name} is {_short(value)}: {error}", _REMEDY) from None


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def _plain(value: Any) -> Any:
    if type(value) in (int, str):
        return value
    if isinstance(value, StrEnum):
        return value.value
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, tuple):
        return [_plain(one) for one in value]
    return to_json(value) if is_dataclass(value) else value


def _decoders(kind: type) -> dict[str, Decode]:
    found = _KNOWN.get(kind)
    if found is None:
        hints = get_type_hints(kind)
        found = _KNOWN[kind] = {field.name: _decoder(hints[field.name]) for field in fields(kind)}
    return found


def _decoder(hint: Any) -> Decode:
    origin, parts = get_origin(hint), get_args(hint)
    if origin is tuple:
        return _tuple_of(_decoder(parts[0]))
    if origin in (Union, types.UnionType):
        (inner,) = (_decoder(part) for part in parts if part is not type(None))
        return lambda value: None if value is None else inner(value)
    if isinstance(hint, type) and is_dataclass(hint):
        return lambda value: from_json(hint, value)
    if isinstance(hint, type) and issubclass(hint, StrEnum):
        return lambda value: hint(_text(value))
    return _SCALARS[hint]


def _tuple_of(inner: Decode) -> Decode:
    def decode(value: Any) -> Any:
        if not isinstance(value, list):
            raise TypeError("a list is expected")
        return tuple([inner(one) for one in value])

    return decode


def _text(value: Any) -> str:
    if type(value) is not str:
        raise TypeError("text is expected")
    if "\0" in value:
        raise ValueError("text without a NUL is expected")
    value.encode()  # JSON can spell half of a surrogate pair, which no journal can hold: UnicodeEncodeError
    return value


def _integer(value: Any) -> int:
    if type(value) is not int:
        raise TypeError("an integer is expected")
    if not -INT64_MAX <= value <= INT64_MAX:
        raise ValueError("it does not fit 64 bits")
    return value


def _truth(value: Any) -> bool:
    if type(value) is not bool:
        raise TypeError("true or false is expected")
    return value


def _number(value: Any) -> float:
    if type(value) not in (int, float):
        raise TypeError("a number is expected")
    if not math.isfinite(value):
        raise ValueError("a finite number is expected")
    return float(value)


def _day(value: Any) -> date:
    day = date.fromisoformat(_text(value))
    if day.isoformat() != value:
        raise ValueError("a date is written as 2024-01-31")
    return day


_SCALARS: dict[Any, Decode] = {str: _text, int: _integer, bool: _truth, float: _number, date: _day}
