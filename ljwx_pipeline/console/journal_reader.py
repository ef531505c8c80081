"""What the console asks the journal, read-only, in its own SQL.

Money leaves here in CNY and prices in CNY a share, as people read them. A journal that does not exist yet is an answer
(``None``), not an error. Not here: HTTP and HTML (``app.py``).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from ljwx_pipeline.errors import EnvironmentFault

Row = dict[str, Any]

#: Where the runner keeps it below the market's home.
JOURNAL = Path("live") / "account" / "journal.sqlite"
#: Schema version this console reads.
SCHEMA_VERSION = 4

_RUNNER = """
SELECT r.mode, r.simulated, r.session, r.sessions_done, r.sessions_total, r.message, r.updated_at,
       r.opening_capital_fen / 100.0 AS opening_capital_cny, r.bundle_hash, b.model_version, b.last_train_session
FROM runner r LEFT JOIN bundles b USING (bundle_hash)
"""
_ACCOUNT = """
SELECT session, cash_fen / 100.0 AS cash_cny, equity_fen / 100.0 AS equity_cny,
       (equity_fen - cash_fen) / 100.0 AS market_value_cny, fees_fen / 100.0 AS fees_cny,
       dividends_fen / 100.0 AS dividends_cny, written_off_fen / 100.0 AS written_off_cny
FROM account ORDER BY session
"""
_POSITIONS = """
SELECT symbol, shares, sellable_shares, held_sessions, price_e4 / 10000.0 AS price_cny, value_fen / 100.0 AS value_cny
FROM positions WHERE session = (SELECT max(session) FROM account) ORDER BY value_fen DESC, symbol
"""
_ORDERS = """
SELECT o.session, o.symbol, o.side, o.shares, o.reference_price_e4 / 10000.0 AS reference_price_cny, o.state, o.reason,
       o.filled_shares, o.client_order_id
FROM orders o ORDER BY o.session DESC, o.side DESC, o.rank LIMIT ?
"""
_ORDER_STATES = "SELECT state, count(*) AS orders FROM orders GROUP BY state ORDER BY count(*) DESC, state"
_FILLS = """
SELECT session, symbol, side, shares, price_e4 / 10000.0 AS price_cny, value_fen / 100.0 AS value_cny,
       (commission_fen + stamp_duty_fen + transfer_fee_fen) / 100.0 AS fees_cny
FROM fills ORDER BY session DESC, side DESC, value_fen DESC LIMIT ?
"""
_SIGNALS = """
SELECT symbol, score, session, strategy FROM signals
WHERE session = (SELECT max(session) FROM signals) ORDER BY score DESC, symbol LIMIT ?
"""
_WITHDRAWN = """
SELECT model_version, reason, at FROM withdrawals
WHERE strategy = '' AND after_deployment >= (SELECT coalesce(max(id), 0) FROM deployments WHERE strategy = '')
ORDER BY at DESC LIMIT 1
"""
_STRATEGIES = """
SELECT s.strategy, s.state, coalesce(m.mode, 'active') AS mode, s.capital_share_bps / 10000.0 AS capital_share_frac
FROM strategies s LEFT JOIN modes m ON m.scope = s.strategy WHERE s.state <> 'removed' ORDER BY s.strategy
"""
_SLEEVES = """
SELECT sleeve, cash_fen / 100.0 AS cash_cny, equity_fen / 100.0 AS equity_cny FROM sleeve_accounts
WHERE session = (SELECT max(session) FROM sleeve_accounts) ORDER BY sleeve
"""
_TRIPPED = """
SELECT breaker, scope AS strategy, session, value, "limit", reason, at FROM breakers
WHERE tripped = 1 AND (scope = '' OR scope IN (SELECT strategy FROM strategies WHERE state <> 'removed'))
ORDER BY at DESC, breaker, scope
"""
_CHOSEN = """
SELECT scope AS strategy, mode, reason, "by", at FROM modes WHERE mode <> 'active'
AND (scope = '' OR scope IN (SELECT strategy FROM strategies WHERE state <> 'removed')) ORDER BY at DESC, scope
"""
_ALERTS = "SELECT id, at, tier, code, message FROM outbox ORDER BY id DESC LIMIT ?"
_EVENTS = "SELECT id, at, kind, session, message FROM events ORDER BY id DESC LIMIT ?"


@dataclass(frozen=True)
class Reader:
    """Reads one journal.

    Parameters
    ----------
    path
        The journal's file; it may not exist.
    database_url
        Of the database that holds the journal instead of the file; empty for the file.
    """

    path: Path
    database_url: str = ""

    def runner(self) -> Row | None:
        """Return what the runner says of itself; None when there is no journal or it never spoke."""
        rows = self._rows(_RUNNER)
        return rows[0] if rows else None

    def withdrawn(self) -> Row | None:
        """Return the withdrawal that holds: the market's model does not trade; None where it does, or never did."""
        rows = self._rows(_WITHDRAWN)
        return rows[0] if rows else None

    def account(self) -> list[Row]:
        """Return the account after every session, ascending."""
        return self._rows(_ACCOUNT) or []

    def positions(self) -> list[Row]:
        """Return what is held after the last session, largest first."""
        return self._rows(_POSITIONS) or []

    def orders(self, limit: int) -> list[Row]:
        """Return the newest orders."""
        return self._rows(_ORDERS, limit) or []

    def order_states(self) -> dict[str, int]:
        """Return the number of orders by state, the most frequent first."""
        return {row["state"]: row["orders"] for row in self._rows(_ORDER_STATES) or []}

    def fills(self, limit: int) -> list[Row]:
        """Return the newest fills."""
        return self._rows(_FILLS, limit) or []

    def signals(self, limit: int) -> list[Row]:
        """Return the best scores of the last session."""
        return self._rows(_SIGNALS, limit) or []

    def strategies(self) -> list[Row]:
        """Return who trades the account, and what a person lets each do."""
        return self._rows(_STRATEGIES) or []

    def sleeves(self) -> list[Row]:
        """Return the books after the newest close: of each strategy, of its canary, and of nobody (empty name)."""
        return self._rows(_SLEEVES) or []

    def tripped(self) -> list[Row]:
        """Return the breakers that are tripped, of a strategy or of the account (empty name), the newest first."""
        return self._rows(_TRIPPED) or []

    def chosen_modes(self) -> list[Row]:
        """Return the modes that a person chose, other than active, of a strategy or of the account (empty name)."""
        return self._rows(_CHOSEN) or []

    def alerts(self, limit: int) -> list[Row]:
        """Return the newest alerts."""
        return self._rows(_ALERTS, limit) or []

    def events(self, limit: int) -> list[Row]:
        """Return the newest events."""
        return self._rows(_EVENTS, limit) or []

    @property
    def name(self) -> str:
        """What the journal is called in an error; without a password."""
        return self.database_url or str(self.path)

    def _rows(self, sql: str, *parameters: int) -> list[Row] | None:
        if self.database_url:
            return self._server_s_rows(sql, parameters)
        with self._connection() as connection:
            if connection is None:
                return None
            return [dict(row) for row in connection.execute(sql, parameters)]

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection | None]:
        """Yield a read-only connection; None while there is no journal or its tables are not there yet."""
        if not self.path.is_file():
            yield None
            return
        try:
            with closing(sqlite3.connect(f"{self.path.as_uri()}?mode=ro", uri=True, timeout=5)) as connection:
                connection.row_factory = sqlite3.Row
                version = connection.execute("PRAGMA user_version").fetchone()[0]
                _require_known(version)
                yield connection if version else None
        except sqlite3.Error as error:
            raise self._unreadable(error) from error

    def _server_s_rows(self, sql: str, parameters: tuple[int, ...]) -> list[Row] | None:
        """Return the rows from PostgreSQL, in a transaction that cannot write."""
        # only where the journal is on a server: the page over a file starts without them
        from sqlalchemy import NullPool, create_engine, inspect
        from sqlalchemy.exc import SQLAlchemyError

        engine = create_engine(self.database_url, poolclass=NullPool, connect_args={"connect_timeout": 5})
        try:
            with engine.connect().execution_options(postgresql_readonly=True) as connection:
                if not inspect(connection).has_table("alembic_version"):
                    return None
                version = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar_one()
                _require_known(int(version))
                found = connection.exec_driver_sql(sql.replace("?", "%s"), parameters or None).mappings()
                return [{name: _plain(value) for name, value in row.items()} for row in found]
        except SQLAlchemyError as error:
            raise self._unreadable(error) from error
        finally:
            engine.dispose()

    def _unreadable(self, error: Exception) -> EnvironmentFault:
        return EnvironmentFault(
            f"the journal {self.name} cannot be read ({error})", "look at the runner's log; the page tries again"
        )


def _require_known(version: int) -> None:
    if version not in (0, SCHEMA_VERSION):
        raise EnvironmentFault(
            f"the journal has schema version {version}, this console reads {SCHEMA_VERSION}",
            "run console and runner of the same release",
        )


def _plain(value: Any) -> Any:
    return float(value) if isinstance(value, Decimal) else value
