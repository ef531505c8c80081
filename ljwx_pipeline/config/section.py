"""What every section of the configuration is: frozen, complete, and without a default.

Not here: the sections themselves (``data.py``, ``research.py``, ``operation.py``).
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """Base of all sections: frozen, and a key nobody declared is refused by name."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
