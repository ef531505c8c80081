"""What was traded and how, in words for the report: portfolio, exits, money management, fills, charges.

Not here: the rules themselves (``trading/``), the words (``wording.py``), every other setting (``run.json``).
"""

from __future__ import annotations

from ljwx_pipeline.config import CostSettings, StrategySettings
from ljwx_pipeline.evaluation import wording
from ljwx_pipeline.evaluation.lint_wording import EN, ZH

_EXITS = ("stop_loss_frac", "take_profit_frac", "trailing_stop_frac", "max_hold_sessions")
_SEPARATOR = {EN: "; ", ZH: "；"}


def terms(strategy: StrategySettings, costs: CostSettings) -> list[tuple[str, tuple[str, str]]]:
    """Return, row by row, the key of a label in ``wording.TEXT`` and what was set, in both languages."""
    rows = [
        ("term_portfolio", [f"kind_{strategy.kind}"]),
        ("term_exits", [f"exit_{name}" for name in _EXITS if getattr(strategy.exits, name)] or ["exit_none"]),
        ("term_sizing", [f"sizing_{strategy.sizing.kind}", *(["reserve"] if strategy.cash_reserve_frac else [])]),
        ("term_fills", [f"fill_{costs.fill}", "participation"]),
        (
            "term_charges",
            [
                "charge_commission",
                "charge_slippage",
                *(["charge_impact"] if costs.impact_coefficient else []),
                "charge_statutory" if costs.charge_statutory_fees else "charge_no_statutory",
            ],
        ),
    ]
    values = {
        **costs.model_dump(),
        **strategy.model_dump(exclude={"sizing", "exits"}),
        **strategy.exits.model_dump(),
        **strategy.sizing.model_dump(exclude={"kind"}),
    }

    def told(language: str, keys: list[str]) -> str:
        sentence = _SEPARATOR[language].join(wording.TEXT[language][key].format(**values) for key in keys)
        return sentence[:1].upper() + sentence[1:]

    return [(label, (told(EN, keys), told(ZH, keys))) for label, keys in rows]
