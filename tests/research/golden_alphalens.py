"""Makes ``golden_alphalens.json``: what alphalens-reloaded says of a tiny seeded panel, and the panel itself.

Run in the environment of the peers, which alphalens lives in alone:

    make bench-peers
    .venv-peers/bin/python tests/research/golden_alphalens.py

Not a test; ``test_alphalens.py`` holds ours against the file.
"""

from __future__ import annotations

import json
from importlib.metadata import version
from pathlib import Path

import alphalens
import numpy as np
import pandas as pd

NAMES, SESSIONS, HORIZONS, QUANTILES = 23, 40, (1, 3, 5), 5
OUT = Path(__file__).with_name("golden_alphalens.json")


def exact(values: np.ndarray) -> list:
    """Return an array as nested lists with every bit kept."""
    if values.ndim == 1:
        return [None if np.isnan(v) else float(v) for v in values]
    return [exact(row) for row in values]


def main() -> None:
    """Compute and write."""
    rng = np.random.default_rng(20)
    days = pd.bdate_range("2024-01-02", periods=SESSIONS)
    names = [f"S{i:02d}" for i in range(NAMES)]
    close = 20 * np.exp(np.cumsum(rng.normal(0, 0.02, (SESSIONS, NAMES)), axis=0))
    factor = np.round(rng.normal(size=(SESSIONS, NAMES)).cumsum(axis=0), 2)
    factor[rng.uniform(size=factor.shape) < 0.08] = np.nan
    prices = pd.DataFrame(close, index=days, columns=names)
    stacked = pd.DataFrame(factor, index=days, columns=names).stack().rename_axis(["date", "asset"])  # noqa: PD013
    clean = alphalens.utils.get_clean_factor_and_forward_returns(
        stacked, prices, quantiles=QUANTILES, periods=HORIZONS, filter_zscore=None, max_loss=1.0
    )
    performance = alphalens.performance
    columns = [f"{h}D" for h in HORIZONS]
    by_date = performance.mean_return_by_quantile(clean, by_date=True, demeaned=True)[0][columns]
    overall = performance.mean_return_by_quantile(clean, by_date=False, demeaned=True)[0][columns]
    used = performance.factor_information_coefficient(clean)[columns]
    buckets = clean["factor_quantile"]
    turnover = [
        performance.quantile_turnover(buckets, quantile, 1).reindex(used.index) for quantile in range(1, QUANTILES + 1)
    ]
    by_name = buckets.unstack().reindex(index=used.index, columns=names)  # noqa: PD010
    golden = {
        "made_by": "tests/research/golden_alphalens.py",
        "alphalens_reloaded": version("alphalens-reloaded"),
        "horizons": list(HORIZONS),
        "quantiles": QUANTILES,
        "close": exact(close),
        "factor": exact(factor),
        "sessions": len(used),
        "rank_ic": exact(used.to_numpy()),
        "excess_by_session": exact(by_date.to_numpy().reshape(QUANTILES, len(used), len(HORIZONS))),
        "excess": exact(overall.to_numpy()),
        "buckets": exact(by_name.to_numpy(dtype=float)),
        "turnover": exact(pd.concat(turnover, axis=1).to_numpy(dtype=float)),
        "rank_autocorrelation": exact(performance.factor_rank_autocorrelation(clean, 1).reindex(used.index).to_numpy()),
    }
    OUT.write_text(json.dumps(golden) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
