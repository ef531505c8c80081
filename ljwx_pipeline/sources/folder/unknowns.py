"""What a folder of daily bars cannot say, and what that does to every result computed from it."""

from __future__ import annotations

from ljwx_pipeline.config import Adjustment
from ljwx_pipeline.market.tables import Unknown

ALWAYS = (
    Unknown(
        "delistings and true listing dates",
        "a stock whose bars begin later than the files counts as newly listed then, and none is ever delisted: if the "
        "files hold survivors only, every return is flattered",
    ),
    Unknown("delisting periods", "their sessions keep the everyday limit, their first too, which had none"),
    Unknown("industries", "no exposure to an industry can be seen or limited"),
    Unknown("market values", "size is not a control: part of a score may be a bet on small companies"),
    Unknown("index members by date", "the universe is what the files hold, chosen with hindsight"),
    Unknown(
        "dividends and splits as amounts",
        "their effect is taken from the reference price as if all of it were paid in cash without tax",
    ),
    Unknown("news and macro releases", "no factor can use them"),
)

NO_ST = Unknown(
    "ST spells",
    "stocks under special treatment are not excluded, and their 5 % price limit is taken for their board's wider one",
)

ADJUSTED = Unknown(
    "raw prices",
    "limits, lots, fees and the share price itself are computed on adjusted prices, so orders and costs are "
    "approximate; VWAP is (open + high + low + close) / 4, because raw amount / volume beside adjusted prices tells "
    "the future; the amount / volume unit check is not applicable",
)
FORWARD = Unknown(
    "prices as they were seen on the day",
    "forward adjustment rebases the past on later dividends: a factor of price levels, not ratios, would see them",
)
BACKWARD = Unknown(
    "price levels", "backward adjustment lifts prices far above what was paid: one lot seems dearer than it was"
)


def unknowns(adjustment: Adjustment, *, st_known: bool) -> tuple[Unknown, ...]:
    """Return what files under ``adjustment`` cannot say."""
    adjusted = {"raw": (), "forward": (ADJUSTED, FORWARD), "backward": (ADJUSTED, BACKWARD)}[adjustment]
    return (*adjusted, *ALWAYS, *(() if st_known else (NO_ST,)))
