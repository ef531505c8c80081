"""What tushare does not say, and what that does to every result computed from it."""

from __future__ import annotations

from ljwx_pipeline.market.tables import Unknown

UNKNOWN = (
    Unknown(
        "industries before the day of the download",
        "stock_basic tells today's industry only: no industry is known, and none may be used, before that day",
    ),
    Unknown(
        "index members between snapshots",
        "they are published about monthly: a change counts from the first snapshot with it, up to a month late",
    ),
    Unknown(
        "market values of suspended sessions",
        "daily_basic has no row then: carry the last value forward where one is needed",
    ),
    Unknown(
        "after-hours fixed-price trading",
        "volume and amount leave it out, on the main boards too since 2026-07-06",
    ),
    Unknown(
        "rights issues as corporate actions",
        "dividend does not list them: the adjustment factor and the reference price carry their effect",
    ),
    Unknown("news and macro releases", "their interfaces need permissions of their own: nothing is read from them"),
)
#: With ``tushare.fundamentals = "off"``.
FUNDAMENTALS_OFF = Unknown(
    "figures of periodic reports",
    'tushare.fundamentals is off, because a token of few points is asked stock by stock: "per_stock" needs 2,000 '
    'points and a call a stock each day, "vip" 5,000 points and a call a quarter',
)
#: With them.
CORRECTIONS = Unknown(
    "when a report was corrected",
    "figures are those first published where both are given; a correction under the same date may replace them",
)
