"""What the public pages do not say, and what that does to every result computed from it."""

from __future__ import annotations

from ljwx_pipeline.market.tables import Unknown

UNKNOWN = (
    Unknown(
        "ST spells",
        "stocks under special treatment are not excluded, and their narrower limit is taken for their board's",
    ),
    Unknown("bars of some delisted stocks", "a page may have dropped them; loading one is then an error that names it"),
    Unknown("past index members", "only today's are known: a universe cut to an index is chosen with hindsight"),
    Unknown("volumes below a lot", "volumes are whole lots: amount / volume strays a little on days of little trade"),
    Unknown("reference prices (pre_close)", "derived from the previous close and the adjustment factor"),
    Unknown("industries as they were named then", "the Shenwan classification is dated, but in the standard of today"),
    Unknown("suspensions of years past", "the page of a day long ago may name fewer than there were"),
    Unknown("market values", "size is not a control: part of a score may be a bet on small companies"),
    Unknown("price limits as published", "they are computed from the rulebook"),
    Unknown("delisting periods", "their sessions keep the everyday limit, their first too, which had none"),
    Unknown("figures of periodic reports", "no factor can use them"),
    Unknown("news and macro releases", "no factor can use them: the pages do not say when they became known"),
)
