"""The section on manual approval: when a person must say yes to a model, and who may.

Not here: judging a person (``promotion/approval.py``).
"""

from __future__ import annotations

from typing import Literal

from pydantic import model_validator

from ljwx_pipeline.config.section import Section


class ApprovalSettings(Section):
    """When a person decides on a model that passed the gate, and who may be that person."""

    required: Literal["when_unassessable", "always"]
    role: str
    roles: dict[str, tuple[str, ...]]
    separation: bool

    @model_validator(mode="after")
    def _somebody_has_the_role(self) -> ApprovalSettings:
        if self.role and not self.roles.get(self.role):
            msg = f"approval.role is {self.role!r}, and approval.roles names nobody who has it: nobody could approve"
            raise ValueError(msg)
        return self
