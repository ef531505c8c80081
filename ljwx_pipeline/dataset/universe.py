"""Who may be scored on a session: the universe rules, by what was known at that session's close.

The one place for it; training, backtest and the live runner ask here. Not here: whether an order can fill
(``trading/``).
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ljwx_pipeline.config import UniverseSettings
from ljwx_pipeline.expressions.evaluate import evaluate
from ljwx_pipeline.expressions.operators import field, mean
from ljwx_pipeline.market.panel import Panel
from ljwx_pipeline.market.panel_fields import listed_sessions
from ljwx_pipeline.market.ranges import index_member_mask, range_mask

Bool = NDArray[np.bool_]


def scorable_mask(
    panel: Panel,
    securities: pd.DataFrame,
    st_spells: pd.DataFrame,
    index_members: pd.DataFrame,
    universe: UniverseSettings,
) -> Bool:
    """Return where a stock may be scored, bool of shape ``(n_symbols, n_sessions)``.

    There is a bar; the stock has been listed for ``min_listed_sessions``; it is not under special treatment (if
    ``exclude_st``); its mean amount over the sessions traded in the last ``mean_amount_window_sessions``, this one
    included, is ``min_mean_amount_cny`` or more; it is a member of ``index`` on that session, where one is named.

    Parameters
    ----------
    panel
        With fields ``close`` and ``amount_cny``.
    securities, st_spells, index_members
        Canonical tables. A stock without a listing date was listed long ago. Without spells (the source does not know
        them) none is special.
    universe
        The rules' numbers.

    Raises
    ------
    DataQualityError
        When ``universe.index`` is named and the source tells none of its members.
    """
    has_bar = ~np.isnan(panel.fields["close"])
    allowed: Bool = has_bar & (mean_amount(panel, universe) >= universe.min_mean_amount_cny)
    # an unknown listing date (NaN) is long ago
    allowed &= ~(listed_sessions(securities, panel.symbols, panel.sessions) < universe.min_listed_sessions)
    if universe.exclude_st:
        allowed &= ~range_mask(st_spells, panel.symbols, panel.sessions)
    if universe.index:
        allowed &= index_member_mask(index_members, universe.index, panel.symbols, panel.sessions)
    return allowed


def mean_amount(panel: Panel, universe: UniverseSettings) -> NDArray[np.float64]:
    """Return the mean amount over the sessions traded in the universe's window, CNY, ``(n_symbols, n_sessions)``.

    NaN where no session of the window was traded.
    """
    amount = mean(field("amount_cny"), universe.mean_amount_window_sessions)
    return np.asarray(evaluate({"amount": amount}, panel, dtype=np.float64).of("amount"), dtype=np.float64)


def scorable_reads(universe: UniverseSettings) -> dict[str, tuple[str, ...]]:
    """Return the columns beside the keys that decide who may be scored, by canonical table.

    Of ``close`` only whether there is one counts.
    """
    spans = ("start_date", "end_date")
    read: dict[str, tuple[str, ...]] = {"bars": ("close_cny", "amount_cny"), "securities": ("list_date",)}
    read |= {"st_spells": spans} if universe.exclude_st else {}
    return read | ({"index_members": ("index_code", *spans)} if universe.index else {})
