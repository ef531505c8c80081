"""Events of sleeves, and strategies that are ``reducing``: words in the log that earlier releases do not know.

No durable table changes. The number alone does: a release from before refuses the journal by it, instead of finding
such an event in the middle of the log, or of deriving tables without the sleeves' books.
"""

from __future__ import annotations

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Change nothing: the log holds the new events as it holds the others."""
