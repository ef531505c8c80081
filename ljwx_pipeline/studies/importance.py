"""How much each parameter of a study decided of what its trials showed.

Not here: pictures of it (``models/tune_report.py``).
"""

from __future__ import annotations

from collections.abc import Sequence

from ljwx_pipeline.studies.proposals import Direction
from ljwx_pipeline.studies.space import Params, Space

#: Fewer complete trials say nothing about eight parameters.
LEAST_TRIALS = 8


def importances(
    space: Space, tried: Sequence[tuple[Params, float]], *, direction: Direction = "maximize"
) -> dict[str, float]:
    """Return each searched parameter's share of what decided the objective, the largest first; shares sum to 1.

    Optuna's PED-ANOVA (Watanabe et al. 2023): how much the trials of the better tenth differ from all others in a
    parameter. Empty for fewer than ``LEAST_TRIALS`` trials, or ones that all showed the same.

    Parameters
    ----------
    tried
        Parameters and objective of each complete trial.
    """
    if len(tried) < LEAST_TRIALS or len({value for _, value in tried}) == 1:
        return {}
    import optuna  # heavy: only when a study is looked at

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study, distributions = optuna.create_study(direction=direction), space.distributions()
    for params, value in tried:
        study.add_trial(optuna.trial.create_trial(value=value, params=dict(params), distributions=distributions))
    names = [axis.name for axis in space.axes if axis.low < axis.high]
    found = optuna.importance.get_param_importances(
        study, evaluator=optuna.importance.PedAnovaImportanceEvaluator(), params=names
    )
    return {name: float(share) for name, share in sorted(found.items(), key=lambda item: (-item[1], item[0]))}
