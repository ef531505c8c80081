"""Every message comes back from the wire as it was sent, and what is no message is refused by field and value."""

from __future__ import annotations

import dataclasses
import json
import math
from datetime import date
from typing import Any, get_args, get_origin, get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ljwx_pipeline.errors import TradingError
from ljwx_pipeline.trading import exchange_wire as wire
from ljwx_pipeline.trading.strict_json import INT64_MAX, from_json, from_row, to_json, to_row

MESSAGES = (
    *(wire.NewOrder, wire.OrderReport, wire.FillReport, wire.Booking, wire.AccountReport, wire.Phase, wire.Tick),
    *(wire.SessionBars, wire.ClockReport, wire.FaultOrder, wire.Refusal),
)
DURABLE = (wire.OrderReport, wire.FillReport, wire.Booking, wire.AccountReport, wire.Phase)


INTEGERS = st.integers(-INT64_MAX, INT64_MAX)
#: What the classes themselves demand of some fields.
WITHIN = {
    "NewOrder": {
        "client_order_id": st.from_regex(r"[!-.0-~]{0,200}", fullmatch=True),
        "shares": st.integers(1, INT64_MAX),
        "rank": st.integers(0, INT64_MAX),
        "execution": st.just(wire.Execution.CONTINUOUS),
        "limit_price_e4": st.integers(1, INT64_MAX),
    },
    "FaultOrder": {"count": st.integers(0, 1000), "seconds": st.floats(0, 3600)},
}


def values(hint: Any) -> st.SearchStrategy[Any]:
    if get_origin(hint) is tuple:
        return st.lists(values(get_args(hint)[0]), max_size=3).map(tuple)
    if dataclasses.is_dataclass(hint):
        return messages(hint)
    if hint is int:
        return INTEGERS
    if hint is str:
        return st.text(st.characters(codec="utf-8", exclude_characters="\0"))
    return st.floats(allow_nan=False, allow_infinity=False) if hint is float else st.from_type(hint)


def messages(kind: Any) -> st.SearchStrategy[Any]:
    drawn = {name: values(hint) for name, hint in get_type_hints(kind).items()}
    return st.builds(kind, **{**drawn, **WITHIN.get(kind.__name__, {})})


def example(**changed: Any) -> dict[str, Any]:
    order = wire.NewOrder("s|1|A|buy", date(2024, 1, 3), "S00001.SIM", wire.Side.BUY, 200, 0, wire.Execution.SESSION, 0)
    return {**to_json(order), **changed}


@given(st.one_of([messages(kind) for kind in MESSAGES]))
def test_every_message_comes_back_from_text_as_it_was(message: Any) -> None:
    text = json.dumps(to_json(message))
    assert wire.parse_message(type(message), text) == message
    assert from_row(type(message), json.loads(json.dumps(to_row(message)))) == message


@given(
    st.builds(
        wire.Frame,
        durable=st.lists(st.one_of([messages(kind) for kind in DURABLE]), max_size=5).map(tuple),
        ticks=st.lists(messages(wire.Tick), max_size=5).map(tuple),
        bars=st.lists(messages(wire.SessionBars), max_size=2).map(tuple),
    )
)
def test_a_frame_comes_back_from_text_as_it_was(frame: wire.Frame) -> None:
    assert wire.decode_frame(wire.encode_frame(frame)) == frame


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"shares": "200"}, "NewOrder.shares is '200': an integer"),
        ({"shares": 200.0}, "NewOrder.shares is 200.0"),
        ({"shares": True}, "NewOrder.shares is True"),
        ({"shares": 2**63}, "does not fit 64 bits"),
        ({"shares": 0}, "shares 0"),
        ({"rank": -1}, "rank -1"),
        ({"side": "short"}, "NewOrder.side is 'short'"),
        ({"session": "2024-1-3"}, "NewOrder.session is '2024-1-3'"),
        ({"session": "20240103"}, "written as 2024-01-31"),
        ({"symbol": None}, "NewOrder.symbol is None: text"),
        ({"limit_price_e4": 5}, "is session with limit_price_e4 5"),
        ({"execution": "continuous"}, "is continuous with limit_price_e4 0"),
        ({"execution": "continuous", "limit_price_e4": -1}, "limit_price_e4 -1"),
        ({"client_order_id": "a/b"}, "is no identity"),
        ({"client_order_id": "a b"}, "is no identity"),
        ({"client_order_id": "a" * 201}, "is no identity"),
        ({"price": 3}, "unknown field 'price' = 3"),
    ],
)
def test_an_order_that_is_none_is_refused_by_field_and_value(changed: dict[str, Any], said: str) -> None:
    with pytest.raises(TradingError) as refused:
        from_json(wire.NewOrder, example(**changed))
    assert said in str(refused.value)


def test_a_missing_field_is_named() -> None:
    for field in dataclasses.fields(wire.NewOrder):
        without = {name: value for name, value in example().items() if name != field.name}
        with pytest.raises(TradingError, match=f"lacks the field '{field.name}'"):
            from_json(wire.NewOrder, without)


@pytest.mark.parametrize(
    "text",
    [
        *("", "[]", "null", "{", "[" * 100_000, '{"frame": 1}'),
        '{"frame": true, "durable": [], "ticks": [], "bars": []}',
        '{"frame": 1, "durable": {}, "ticks": [], "bars": []}',
        '{"frame": 1, "durable": [3], "ticks": [], "bars": []}',
        '{"frame": 1, "durable": [{"message": "tick"}], "ticks": [], "bars": []}',
        '{"frame": 1, "durable": [{"message": []}], "ticks": [], "bars": []}',
        '{"frame": 1, "durable": [], "ticks": [[1, 2]], "bars": []}',
    ],
)
def test_what_is_no_frame_is_refused(text: str) -> None:
    with pytest.raises(TradingError):
        wire.decode_frame(text)


@pytest.mark.parametrize("value", ["NaN", "Infinity", '"1"', "true", "null"])
def test_a_number_that_is_none_is_refused(value: str) -> None:
    assert math.isfinite(wire.parse_message(wire.FaultOrder, '{"kind": "delay", "count": 1, "seconds": 1}').seconds)
    with pytest.raises(TradingError, match=r"FaultOrder\.seconds"):
        wire.parse_message(wire.FaultOrder, f'{{"kind": "delay", "count": 1, "seconds": {value}}}')


def test_an_acknowledgement_is_the_number_of_a_frame() -> None:
    assert wire.decode_ack(wire.encode_ack(17)) == 17
    for text in ('{"ack": "1"}', '{"ack": true}', '{"ack": 1, "more": 2}', "{}", "7"):
        with pytest.raises(TradingError):
            wire.decode_ack(text)


def test_an_exchange_without_a_session_is_told_by_none() -> None:
    report = wire.ClockReport(None, None, 0, date(2024, 1, 3), 0.0, 0, exhausted=False)
    assert wire.parse_message(wire.ClockReport, json.dumps(to_json(report))) == report
