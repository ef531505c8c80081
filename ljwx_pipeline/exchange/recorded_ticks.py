"""Ticks that were recorded: ``ticks-YYYY-MM-DD.parquet`` beside a pack's files takes the place of made ones.

One file is one session, every name of it; a name without a row does not tick. Columns, all int64 but the symbol::

    symbol, at_ns, last_e4, volume_shares, amount_fen, bid_e4, ask_e4, bid_shares, ask_shares, open_e4, high_e4, low_e4

with the meaning of ``exchange_wire.Tick``; rows of one symbol ascend in ``at_ns``. Ticks up to the opening match and
from the closing one on trade at their last price, as in an auction. The bar of the pack stays what SESSION orders are
filled on and what the session is marked at. The file is not in the pack's manifest: it is read as it is, and checked.

Not here: made ticks (``tick_path.py``).
"""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ljwx_pipeline.errors import TradingError
from ljwx_pipeline.exchange.quotes import Quotes
from ljwx_pipeline.exchange.timeline import LONGEST_TICK_SECONDS, Step, Timeline, timeline
from ljwx_pipeline.trading.exchange_wire import PhaseName

Int = NDArray[np.int64]

NUMBERS = (
    *("at_ns", "last_e4", "volume_shares", "amount_fen", "bid_e4", "ask_e4"),
    *("bid_shares", "ask_shares", "open_e4", "high_e4", "low_e4"),
)
SCHEMA = pa.schema([("symbol", pa.string()), *((name, pa.int64()) for name in NUMBERS)])
_REMEDY = "record the session again, or move the file away: ticks are then made from the bars"


def recorded_path(pack_folder: Path, session: date) -> Path:
    """Return where the recorded ticks of ``session`` lie, if there are any."""
    return pack_folder / f"ticks-{session.isoformat()}.parquet"


class RecordedTicks:
    """The recorded ticks of one session. Satisfies `quotes.TickSource`.

    Parameters
    ----------
    path
        A file of `SCHEMA`.
    symbols
        All symbols of the market, by row.

    Raises
    ------
    TradingError
        When the file cannot be read, has other columns, names an unknown symbol, or holds ticks outside the session or
        out of order.
    """

    def __init__(self, path: Path, session: date, *, symbols: tuple[str, ...]) -> None:
        rows, columns = _read(path, {symbol: row for row, symbol in enumerate(symbols)})
        made = timeline(session, tick_seconds=LONGEST_TICK_SECONDS)
        phases = [step for step in made.steps if step.phase is not None]
        opens_ns, closes_ns = made.steps[made.position(PhaseName.OPENED)].at_ns, phases[-1].at_ns
        at_ns = columns["at_ns"]
        if len(at_ns) and not phases[0].at_ns <= at_ns.min() <= at_ns.max() <= closes_ns:
            raise TradingError(f"{path} holds ticks from {at_ns.min()} to {at_ns.max()}, not of {session}", _REMEDY)
        order = np.lexsort((rows, at_ns))
        self._rows, self._columns = rows[order], {name: values[order] for name, values in columns.items()}
        if (np.diff(at_ns[np.lexsort((np.arange(len(rows)), rows))]) <= 0)[np.diff(np.sort(rows)) == 0].any():
            raise TradingError(f"{path} holds ticks of one symbol that do not ascend in at_ns", _REMEDY)
        self._instants, self._starts = np.unique(self._columns["at_ns"], return_index=True)
        ticks = [
            Step(int(instant), None, -1 if instant <= opens_ns or instant >= closes_ns else 0, tick)
            for tick, instant in enumerate(self._instants)
        ]
        steps = sorted([*phases[:-1], *ticks], key=_place)
        self.timeline = Timeline(session, (*steps, phases[-1]), np.zeros((1, 0), dtype=np.int64))

    def batch(self, step: Step, only: Int | None = None) -> Quotes:
        """Return the snapshots of that instant."""
        stop = self._starts[step.tick + 1] if step.tick + 1 < len(self._starts) else len(self._rows)
        return self._quotes(np.arange(self._starts[step.tick], stop), only)

    def standing(self, position: int, only: Int | None = None) -> Quotes:
        """Return the last snapshot of every name up to the step at ``position``."""
        done = [step.tick for step in self.timeline.steps[: position + 1] if step.phase is None]
        stop = 0 if not done else int(np.searchsorted(self._columns["at_ns"], self._instants[done[-1]], side="right"))
        last = np.full(int(self._rows.max(initial=-1)) + 1, -1, dtype=np.int64)
        last[self._rows[:stop]] = np.arange(stop)  # the later one of two stays
        return self._quotes(last[last >= 0], only)

    def _quotes(self, at: Int, only: Int | None) -> Quotes:
        if only is not None:
            at = at[np.isin(self._rows[at], only)]
        return Quotes(rows=self._rows[at], **{name: self._columns[name][at] for name in NUMBERS if name != "at_ns"})


def _place(step: Step) -> tuple[int, int]:
    """Return where a step stands: at one instant phases that trade begin before its ticks, the others after them."""
    if step.phase is None:
        return step.at_ns, 1
    return step.at_ns, 2 if step.phase in (PhaseName.LUNCH, PhaseName.CLOSING_AUCTION) else 0


def _read(path: Path, row_of: dict[str, int]) -> tuple[Int, dict[str, Int]]:
    try:
        table: Any = pq.read_table(path)
    except (OSError, pa.ArrowInvalid) as error:
        raise TradingError(f"{path} cannot be read as recorded ticks ({error})", _REMEDY) from None
    if table.schema.remove_metadata() != SCHEMA or any(column.null_count for column in table.columns):
        found = ", ".join(f"{one.name} {one.type}" for one in table.schema)
        raise TradingError(f"{path} has the columns {found}, or gaps in them", f"write {SCHEMA.names}; {_REMEDY}")
    symbols = table.column("symbol").to_pylist()
    unknown = sorted(set(symbols) - row_of.keys())
    if unknown:
        raise TradingError(f"{path} holds ticks of {unknown[0]}, which the pack does not list", _REMEDY)
    rows = np.array([row_of[symbol] for symbol in symbols], dtype=np.int64)
    return rows, {name: table.column(name).to_numpy().astype(np.int64) for name in NUMBERS}
