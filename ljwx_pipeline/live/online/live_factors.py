"""The factors of a running session: what a tick changes, what only all symbols together tell, what waits for the close.

The kernels are research's, over the last ``window`` sessions of a symbol with the running one as the last; a value
depends on its window alone, so the bits are those of the whole history. A factor is

``own``
    when it looks at its symbol alone and reads fields that snapshots tell: computed at once for the symbols that moved;
``shared``
    when there is a cross-section in it: computed for all symbols together, when asked to;
``held``
    when it reads a field that no snapshot tells (market values, industries, an index, special treatment): the value of
    the last close stays. No field is guessed.

Not here: scores and ticks (``signals.py``), the state between closes (``live/factor_history.py``).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ljwx_pipeline.expressions.evaluate import BLOCK_SYMBOLS, MEMBERSHIP, evaluate_last_of_each
from ljwx_pipeline.expressions.nodes import Expr
from ljwx_pipeline.factors.catalogue import Catalogue, reads_of
from ljwx_pipeline.factors.increment import ROW_SESSIONS, newest_session
from ljwx_pipeline.live.online.running_bars import Rows, fields_told
from ljwx_pipeline.market.panel import Float, Panel

LISTED = "listed_sessions"


class LiveFactors:
    """A catalogue's factors by what changes them.

    Parameters
    ----------
    catalogue
        The factors.
    adjustment
        How the bars' prices are: it decides which fields a snapshot tells.
    threads
        Threads that share the symbols.
    """

    def __init__(self, catalogue: Catalogue, adjustment: str, *, threads: int = 1) -> None:
        told = fields_told(adjustment) | {LISTED, MEMBERSHIP}
        self._threads = threads
        self._own: dict[str, Expr] = {}
        self._shared: dict[str, Expr] = {}
        held = []
        for name, expression in catalogue.expressions.items():
            reads = reads_of(expression)
            if not reads <= told:
                held.append(name)
            elif MEMBERSHIP in reads:
                self._shared[name] = expression
            else:
                self._own[name] = expression
        #: Names of the factors that keep the last close's value.
        self.held = tuple(held)
        place = {name: column for column, name in enumerate(catalogue.names)}
        #: Columns of the catalogue's factors.
        self.own_columns = np.array([place[name] for name in self._own], dtype=np.intp)
        self.shared_columns = np.array([place[name] for name in self._shared], dtype=np.intp)
        live = [*self._own.values(), *self._shared.values()]
        #: Sessions that the live factors need, the running one included.
        self.window = max((expression.window for expression in live), default=1)
        #: Fields that they read.
        self.reads = frozenset[str]().union(*(reads_of(expression) for expression in live))
        self._own_reads = frozenset[str]().union(*(expression.inputs for expression in self._own.values()))
        self._own_window = max((expression.window for expression in self._own.values()), default=1)
        self._numbered = pd.date_range("2000-01-01", periods=max(ROW_SESSIONS, self._own_window), name="session_date")

    def own(self, fields: Mapping[str, Float], rows: Rows) -> NDArray[np.float32]:
        """Return the own factors of the last session of ``rows``, float32 of shape ``(len(rows), n_own)``.

        Parameters
        ----------
        fields
            Each of shape ``(n_symbols, window)``, the running session last.

        Returns
        -------
        array
            The bits of ``newest_session``, which takes longer over few symbols; NaN where undefined.
        """
        if not self._own or not len(rows):
            return np.empty((len(rows), len(self._own)), dtype=np.float32)
        window = self._own_window
        a_row = min(len(rows), len(self._numbered) // window)
        lines = -(-len(rows) // a_row)
        # the last symbol fills the last row up: what it says there is thrown away
        places = np.concatenate([rows, np.repeat(rows[-1:], lines * a_row - len(rows))])
        long_rows = {
            name: values[places, -window:].reshape(lines, a_row * window)
            for name, values in fields.items()
            if name in self._own_reads
        }
        panel = Panel(tuple(map(str, range(lines))), self._numbered[: a_row * window], long_rows)
        threads = self._threads if lines > BLOCK_SYMBOLS else 1  # fewer rows are one thread's work
        last = evaluate_last_of_each(self._own, panel, window, threads)
        return np.ascontiguousarray(last.reshape(len(last), lines * a_row)[:, : len(rows)].T)

    def shared(self, panel: Panel) -> NDArray[np.float32]:
        """Return the shared factors of the panel's last session, float32 of shape ``(n_symbols, n_shared)``."""
        if not self._shared:
            return np.empty((len(panel.symbols), 0), dtype=np.float32)
        return np.ascontiguousarray(newest_session(self._shared, panel, self._threads).values[:, :, 0].T)  # noqa: PD011


class RunningWindow:
    """The last sessions' fields and the running session's, of every symbol.

    Parameters
    ----------
    panel
        Up to the last close, with the fields that are read.
    factors
        What is computed on it.
    session
        The running one.
    may_be_member
        Who was in the universe at the last close: those of them that have traded belong to the running session's
        cross-section, until its close says who does.
    """

    def __init__(self, panel: Panel, factors: LiveFactors, session: date, *, may_be_member: NDArray[np.bool_]) -> None:
        self._symbols = panel.symbols
        kept = factors.window - 1
        past = panel.sessions[len(panel.sessions) - kept :]
        self._sessions = pd.DatetimeIndex([*past, pd.Timestamp(session)], name="session_date")
        self._member = may_be_member.astype(np.float64)
        self.fields: dict[str, Float] = {}
        for name in sorted(factors.reads & panel.fields.keys()):
            values = np.full((len(panel.symbols), factors.window), np.nan)
            values[:, :-1] = panel.fields[name][:, len(panel.sessions) - kept :]
            self.fields[name] = values
        if LISTED in self.fields:
            self.fields[LISTED][:, -1] = panel.fields[LISTED][:, -1] + 1
        if MEMBERSHIP in self.fields:
            self.fields[MEMBERSHIP][:, -1] = 0.0

    def write(self, rows: Rows, told: Mapping[str, Float]) -> None:
        """Write what the running bars of ``rows`` tell into the running session's place."""
        for name, values in told.items():
            if name in self.fields:
                self.fields[name][rows, -1] = values
        if MEMBERSHIP in self.fields:
            self.fields[MEMBERSHIP][rows, -1] = self._member[rows]

    def panel(self) -> Panel:
        """Return the window as a panel of its own: later writing does not change it."""
        return Panel(self._symbols, self._sessions, {name: values.copy() for name, values in self.fields.items()})
