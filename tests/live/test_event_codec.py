"""Events are written canonically and read strictly."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given

from ljwx_pipeline.errors import LiveError
from ljwx_pipeline.live.event_codec import from_json, to_json
from ljwx_pipeline.live.events import Event, FillReported, Noted, SignalsScored
from tests.fakes.journal_events import DAY, closed, decided, filled, held, others


@given(others)
def test_an_event_comes_back_as_it_was_and_writes_the_same_bytes(event: Event) -> None:
    again = from_json(type(event), to_json(event))
    assert again == event
    assert to_json(again) == to_json(event)


def test_equal_events_are_equal_bytes_whatever_the_order_of_their_scores() -> None:
    one, other = (
        SignalsScored(session=DAY, strategy="s", bundle_hash="b", scores=dict(scores))
        for scores in ([("a", 0.1), ("b", 0.2)], [("b", 0.2), ("a", 0.1)])
    )
    assert to_json(one) == to_json(other)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"shares": "100"}, r"shares is '100' \(str\), a int"),
        ({"shares": 100.0}, r"shares is 100.0 \(float\)"),
        ({"shares": True}, r"shares is True \(bool\)"),
        ({"value_fen": None}, "value_fen is None"),
        ({"side": "hold"}, "side is 'hold'"),
        ({"session": "yesterday"}, "session is 'yesterday'"),
        ({"extra": 1}, "an object of exactly"),
    ],
)
def test_a_wrong_field_is_refused_by_name_and_value(change: dict[str, object], words: str) -> None:
    plain = {**json.loads(to_json(filled())), **change}
    with pytest.raises(LiveError, match=words):
        from_json(FillReported, json.dumps(plain))


def test_a_missing_field_and_broken_json_are_refused() -> None:
    plain = json.loads(to_json(filled()))
    del plain["price_e4"]
    with pytest.raises(LiveError, match="an object of exactly"):
        from_json(FillReported, json.dumps(plain))
    with pytest.raises(LiveError, match="is no JSON"):
        from_json(FillReported, to_json(filled())[:-1])


@pytest.mark.parametrize("number", [np.int64(100), 100.0, True])
def test_money_that_is_no_plain_integer_is_not_even_written(number: object) -> None:
    with pytest.raises(LiveError, match="value_fen"):
        to_json(replace(filled(), value_fen=number))


@pytest.mark.parametrize(("text", "words"), [("M\udcfcller", "UTF-8"), ("nothing\0", "NUL")])
def test_text_that_no_database_can_hold_is_refused(text: str, words: str) -> None:
    with pytest.raises(LiveError, match=words):
        to_json(Noted(topic="note", message=text, session=None))


def test_nested_parts_are_checked_too() -> None:
    with pytest.raises(LiveError, match="last_price_e4"):
        to_json(closed(positions=(replace(held(), last_price_e4=1.5),)))


@pytest.mark.parametrize("score", [float("nan"), float("inf")])
def test_a_score_that_is_not_finite_is_refused(score: float) -> None:
    with pytest.raises(LiveError, match="a finite number"):
        to_json(SignalsScored(session=DAY, strategy="s", bundle_hash="b", scores={"a": score}))


@pytest.mark.parametrize(("field", "value"), [("shares", 0), ("price_e4", -1), ("commission_fen", -1)])
def test_an_event_of_impossible_numbers_cannot_be_made(field: str, value: int) -> None:
    with pytest.raises(LiveError, match=f"FillReported.{field} is {value}"):
        replace(filled(), **{field: value})


def test_an_order_of_no_shares_cannot_be_made() -> None:
    with pytest.raises(LiveError, match=r"OrderDecided\.shares is 0"):
        decided(shares=0)
