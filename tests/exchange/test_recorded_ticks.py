"""Recorded ticks are played as they were recorded, and a file that is none is refused by what is wrong with it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ljwx_pipeline.errors import TradingError
from ljwx_pipeline.exchange.recorded_ticks import SCHEMA, recorded_path
from ljwx_pipeline.trading.exchange_wire import Durable, FillReport, PhaseName, Tick
from ljwx_pipeline.trading.strict_json import from_row, to_json
from tests.fakes.exchange_world import advance_to, limit_order, opened, seeded_limit_orders, write_market


@pytest.fixture
def pack(tmp_path: Path) -> Path:
    return write_market(tmp_path / "feed", symbols=8, feed_sessions=2)


def record(pack: Path, state: Path, *, until: PhaseName = PhaseName.CLOSED) -> list[Tick]:
    """The ticks of the first session, as the exchange plays them."""
    with opened(pack, state) as exchange:
        session, ticks = exchange.market.sessions[0], []
        while (exchange.clock(0).session, exchange.clock(0).phase) != (session, until):
            ticks += [from_row(Tick, row) for row in exchange.advance(ticks=True)]
        return ticks


def write(pack: Path, ticks: list[Tick], change: Callable[[pa.Table], pa.Table] = lambda table: table) -> None:
    rows = [{name: value for name, value in to_json(tick).items() if name in SCHEMA.names} for tick in ticks]
    pq.write_table(change(pa.Table.from_pylist(rows, schema=SCHEMA)), recorded_path(pack, ticks[0].session))


def test_a_recording_of_made_ticks_is_played_as_they_were_and_trades_as_they_did(pack: Path, tmp_path: Path) -> None:
    made = record(pack, tmp_path / "made")
    expected = trade(pack, tmp_path / "trading")
    assert any(isinstance(one, FillReport) for one in expected)
    write(pack, made)
    assert record(pack, tmp_path / "played") == made
    assert trade(pack, tmp_path / "again") == expected


def trade(pack: Path, state: Path) -> list[Durable]:
    """What is told of the first session when orders come at its open and at lunch."""
    with opened(pack, state) as exchange:
        session = exchange.market.sessions[0]
        for phase in (PhaseName.OPENED, PhaseName.LUNCH):
            advance_to(exchange, session, phase)
            for order in seeded_limit_orders(exchange):
                exchange.desk.submit(order, 1)
        advance_to(exchange, session, PhaseName.CLOSED)
        return exchange.messages(0, 100_000)


def test_a_limit_order_trades_on_what_was_recorded(pack: Path, tmp_path: Path) -> None:
    made = record(pack, tmp_path / "made")
    one = next(tick for tick in made[20:] if tick.ask_e4 and tick.bid_e4)
    others = [tick for tick in made if tick.symbol != one.symbol]
    write(pack, [*others, one])
    with opened(pack, tmp_path / "state") as exchange:
        advance_to(exchange, one.session, PhaseName.OPENED)
        exchange.desk.submit(limit_order(one.session, one.symbol, 100, one.ask_e4), 1)
        advance_to(exchange, one.session, PhaseName.CLOSED)
        (fill,) = [told for told in exchange.messages(0, 100) if isinstance(told, FillReport)]
        assert (fill.at_ns, fill.price_e4) == (one.at_ns, one.ask_e4)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda table: table.drop_columns(["ask_e4"]), "has the columns"),
        (lambda table: table.set_column(2, "last_e4", table["last_e4"].cast(pa.float64())), "last_e4 double"),
        (lambda table: pa.concat_tables([table, table]), "do not ascend"),
        (lambda table: table.set_column(0, "symbol", pa.array(["600000.SH"] * len(table))), "ticks of 600000.SH"),
        (lambda table: table.set_column(1, "at_ns", pa.array([1] * len(table))), "not of 2018"),
    ],
)
def test_a_recording_that_is_none_is_refused_by_what_is_wrong(
    pack: Path, tmp_path: Path, change: Callable[[pa.Table], pa.Table], said: str
) -> None:
    write(pack, record(pack, tmp_path / "made", until=PhaseName.LUNCH), change)
    with opened(pack, tmp_path / "state") as exchange, pytest.raises(TradingError, match=said):
        exchange.advance(ticks=False)


def test_a_damaged_recording_is_refused(pack: Path, tmp_path: Path) -> None:
    made = record(pack, tmp_path / "made", until=PhaseName.LUNCH)
    recorded_path(pack, made[0].session).write_bytes(b"PAR1")
    with opened(pack, tmp_path / "state") as exchange, pytest.raises(TradingError, match="cannot be read"):
        exchange.advance(ticks=False)
