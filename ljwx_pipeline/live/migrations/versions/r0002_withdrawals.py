"""Withdrawals of models (``user_version`` 2): one holds until a deployment comes after the last one that it found."""

from __future__ import annotations

from alembic import op

revision = "0002"
down_revision = "0001"

_TABLE = """
CREATE TABLE withdrawals (
    id TEXT PRIMARY KEY,
    after_deployment INTEGER NOT NULL,
    model_version TEXT NOT NULL,
    reason TEXT NOT NULL,
    at TEXT NOT NULL
) WITHOUT ROWID
"""


def upgrade() -> None:
    """Make the table."""
    if op.get_bind().dialect.name == "sqlite":
        op.execute(_TABLE)
