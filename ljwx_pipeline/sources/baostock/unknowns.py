"""What baostock does not say, and what that does to every result computed from it."""

from __future__ import annotations

from ljwx_pipeline.market.tables import Unknown

UNKNOWN = (
    Unknown("stocks of the Beijing exchange", "baostock has none: the universe is Shanghai and Shenzhen"),
    Unknown("market values", "size is not a control: part of a score may be a bet on small companies"),
    Unknown("price limits as published", "they are computed from the rulebook"),
    Unknown("delisting periods", "their sessions keep the everyday limit, their first too, which had none"),
    Unknown("figures of periodic reports", "no factor can use them"),
    Unknown("news and macro releases", "no factor can use them"),
    Unknown(
        "industry changes to the day",
        "they are sampled monthly; months the provider knows only in hindsight are left out",
    ),
    Unknown("special treatment outside the loaded range", "a spell under way at its first session starts there"),
)
