"""The report tells what was traded in words that follow the settings, every kind of them, in both languages."""

from __future__ import annotations

from typing import Any, get_args

import pytest

from ljwx_pipeline.config import CostSettings, Settings, StrategySettings, UncertaintySettings
from ljwx_pipeline.config.research import SizingSettings
from ljwx_pipeline.evaluation.terms import terms


def told(
    settings: Settings,
    *,
    strategy: dict[str, Any] | None = None,
    costs: dict[str, Any] | None = None,
    limits: dict[str, float] | None = None,
    abstained_frac: float | None = None,
) -> Any:
    """Return the English sentence by label; nested sections by their own dict."""
    tree = settings.strategy.model_dump()
    for key, value in (strategy or {}).items():
        tree[key] = {**tree[key], **value} if isinstance(value, dict) else value
    rows = terms(
        StrategySettings(**tree),
        CostSettings(**{**settings.costs.model_dump(), **(costs or {})}),
        UncertaintySettings(**{**settings.uncertainty.model_dump(), **(limits or {})}),
        abstained_frac=abstained_frac,
    )
    assert all(english and chinese and english != chinese for _, (english, chinese) in rows)
    return {label: english for label, (english, _) in rows}


def test_as_shipped(settings: Settings) -> None:
    assert told(settings) == {
        "term_portfolio": "TopkDropout: 20 names of equal target weight, at most 3 replaced a session, each kept 3 "
        "sessions at least",
        "term_doubt": "Nobody: every scored name may be bought, however wide its prediction interval",
        "term_exits": "None but the strategy’s own",
        "term_sizing": "All of the equity; 2.0% stays in cash",
        "term_fills": "At the close of the session after the score; at most 5.0% of its volume",
        "term_charges": "Commission 0.025% each side, 5 CNY an order at least; slippage 2 bps each side; stamp duty "
        "and transfer fee by date",
    }


def test_what_was_changed_is_what_is_told(settings: Settings) -> None:
    found = told(
        settings,
        strategy={
            "kind": "score_weighted",
            "exits": {"stop_loss_frac": 0.08, "max_hold_sessions": 40},
            "sizing": {"kind": "volatility_target", "target_annual_volatility": 0.2},
        },
        costs={"fill": "open", "impact_coefficient": 0.5, "charge_statutory_fees": False},
    )
    assert "none above 10.0% of what is invested" in found["term_portfolio"]
    assert found["term_exits"] == "Stop-loss 8.0% below the price paid; sold after 40 sessions at most"
    assert "at 20.0% a year, at most all" in found["term_sizing"]
    assert found["term_fills"].startswith("At the open of the session")
    assert found["term_charges"].endswith("square-root impact, coefficient 0.5; no stamp duty, no transfer fee")


def test_limits_of_doubt_are_told_with_the_share_that_they_kept_from_being_bought(settings: Settings) -> None:
    found = told(settings, limits={"max_width_frac": 0.12}, abstained_frac=0.345)
    assert found["term_doubt"] == (
        "Not bought above an interval width of 12.0%; 34.5% of all scored rows were abstained from, those without an "
        "interval too"
    )
    found = told(settings, limits={"max_width_frac": 0.12, "max_loss_frac": 0.05})
    assert found["term_doubt"] == (
        "Not bought above an interval width of 12.0%; not bought where the interval begins below a loss of 5.0%"
    )


@pytest.mark.parametrize(
    ("section", "field"),
    [(StrategySettings, "kind"), (SizingSettings, "kind"), (CostSettings, "fill")],
    ids=["strategy", "sizing", "fill"],
)
def test_every_kind_has_its_words(settings: Settings, section: Any, field: str) -> None:
    for value in get_args(section.model_fields[field].annotation):
        if section is SizingSettings:
            told(settings, strategy={"sizing": {field: value}})
        elif section is StrategySettings:
            told(settings, strategy={field: value})
        else:
            told(settings, costs={field: value})
