"""What was traded and how, in words for the report: portfolio, doubt, exits, money management, fills, charges.

Not here: the rules themselves (``trading/``), the words (``wording.py``), every other setting (``run.json``).
"""

from __future__ import annotations

from ljwx_pipeline.config import CostSettings, StrategySettings, UncertaintySettings
from ljwx_pipeline.evaluation import wording
from ljwx_pipeline.evaluation.lint_wording import EN, ZH

_EXITS = ("stop_loss_frac", "take_profit_frac", "trailing_stop_frac", "max_hold_sessions")
_LIMITS = ("max_width_frac", "max_loss_frac")
_SEPARATOR = {EN: "; ", ZH: "；"}


def terms(
    strategy: StrategySettings,
    costs: CostSettings,
    uncertainty: UncertaintySettings,
    *,
    abstained_frac: float | None = None,
) -> list[tuple[str, tuple[str, str]]]:
    """Return, row by row, the key of a label in ``wording.TEXT`` and what was set, in both languages.

    ``abstained_frac`` is the share of scored rows that the limits of ``uncertainty`` kept from being bought.
    """
    doubt = [f"doubt_{name}" for name in _LIMITS if getattr(uncertainty, name)] or ["doubt_none"]
    rows = [
        ("term_portfolio", [f"kind_{strategy.kind}"]),
        ("term_doubt", [*doubt, *([] if abstained_frac is None else ["doubt_share"])]),
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
        **uncertainty.model_dump(include=set(_LIMITS)),
        "abstained_frac": abstained_frac,
    }

    def told(language: str, keys: list[str]) -> str:
        sentence = _SEPARATOR[language].join(wording.TEXT[language][key].format(**values) for key in keys)
        return sentence[:1].upper() + sentence[1:]

    return [(label, (told(EN, keys), told(ZH, keys))) for label, keys in rows]
