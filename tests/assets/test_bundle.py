"""Results of two research runs are never bundled together."""

from __future__ import annotations

import pytest

from assets.bundle import require_one_research
from ljwx_pipeline.errors import PromotionError


def test_results_of_one_research_run_are_bundled() -> None:
    require_one_research("a", trained_model={"mlflow_run_id": "a"}, promotion_decision={"mlflow_run_id": "a"})


@pytest.mark.parametrize("foreign", [{"mlflow_run_id": "b"}, {}])
def test_a_result_of_another_run_is_named(foreign: dict[str, str]) -> None:
    with pytest.raises(PromotionError, match="promotion_decision is of research run (b|None)") as caught:
        require_one_research("a", trained_model={"mlflow_run_id": "a"}, promotion_decision=foreign)
    assert "ljwx run --job research" in caught.value.remedy
