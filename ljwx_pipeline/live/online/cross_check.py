"""The pipeline's features of a close beside the runner's own: two ways that must give the same bits.

The runner computes every factor itself, also those that no snapshot tells, from the pack and the official bars; the
file that the pipeline writes from Feast is the other way. Nothing is traded on the file: where the two differ, a person
is told. Not here: the file (``live/feature_file.py``), the online kernels' own check (``LiveSignals.close``).
"""

from __future__ import annotations

import numpy as np

from ljwx_pipeline.feature_parity import disagreements
from ljwx_pipeline.live.factor_history import FactorHistory
from ljwx_pipeline.live.feature_file import SessionFeatures


def features_alerts(theirs: SessionFeatures, history: FactorHistory) -> tuple[str, ...]:
    """Return a sentence for each way in which the file is not what the runner computes; none where they agree.

    Symbols without a bar in the session are left out: the store answers for them with an older one.

    Raises
    ------
    LiveError
        When the history does not stand at the file's session: compare before it is moved on.
    """
    session, symbols = theirs.session, history.feed.symbols
    panel = history.panel(session)
    traded = np.flatnonzero(np.isfinite(panel.fields["close"][:, -1]))
    place = {symbol: row for row, symbol in enumerate(theirs.symbols)}
    known = [row for row in traded.tolist() if symbols[row] in place]
    alerts = []
    if len(known) < len(traded):
        first = next(symbols[row] for row in traded.tolist() if symbols[row] not in place)
        alerts.append(
            f"the features file of {session} lacks {len(traded) - len(known)} of {len(traded)} symbols with a bar, "
            f"first {first}"
        )
    ours = history.features(session)[known]
    values = theirs.values[[place[symbols[row]] for row in known]]
    found = disagreements(
        ours, {"the features file": values}, symbols=[symbols[row] for row in known], factors=history.catalogue.names
    )
    alerts += [f"{session}: {one}" for one in found]
    return tuple(alerts)
