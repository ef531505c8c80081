"""All rows of a question, however many pages it takes, as one frame with the columns asked for.

Not here: a single call (``client.py``), and what is proven when there are no rows (``proofs.py``).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date

import pandas as pd

from ljwx_pipeline.errors import SourceError
from ljwx_pipeline.sources.tushare.apis import Api
from ljwx_pipeline.sources.tushare.client import LATER, Page, TushareClient

#: More pages than any question here can need: an answer that never ends is no answer.
MOST_PAGES = 1000


def fetch(
    client: TushareClient, api: Api, params: Mapping[str, str | int], *, until_empty: bool = False
) -> pd.DataFrame:
    """Return every row of ``api`` for ``params``: columns in the order of ``api.fields``, cells as answered.

    Pages follow each other by the rows really received, and rows that two pages share (the newest come first, so a row
    that arrives meanwhile moves the others on) are kept once. A page that is shorter than it may be while more rows are
    left is asked for again; should it come back as short, the provider has lowered its cap, and the next page begins
    where it ended.

    Parameters
    ----------
    client, api, params
        Whom to ask for what.
    until_empty
        Whether a short page that promises nothing more is doubted: the rows after it are asked for until a page brings
        none. A call more, for lists that no other answer proves.

    Raises
    ------
    SourceError
        When a column is missing, or fewer rows arrive than were promised.
    """
    frames: list[pd.DataFrame] = []
    seen: set[tuple[object, ...]] = set()
    offset = 0
    for _ in range(MOST_PAGES):
        page = _whole_page(client, api, {**params, "limit": api.cap, "offset": offset})
        frames.append(_frame(api, page))
        offset += len(page.items)
        promised = _promises_more(page, offset)
        if promised and not page.items:
            raise SourceError(f"tushare says {api.name} has more than {offset} rows and gives none of them", LATER)
        if not promised and len(page.items) < api.cap:
            new = {tuple(row) for row in page.items} - seen if until_empty else set()
            if not new:
                break
            seen |= new
    else:
        raise SourceError(f"tushare's answer to {api.name} does not end after {offset} rows", "narrow the range")
    kept = [frame for frame in frames if len(frame)] or frames[:1]
    return pd.concat(kept, ignore_index=True).drop_duplicates(ignore_index=True)


def day(when: date) -> str:
    """Return a date as tushare writes it."""
    return f"{when:%Y%m%d}"


def _whole_page(client: TushareClient, api: Api, params: Mapping[str, str | int]) -> Page:
    page = client.ask(api, params)
    if len(page.items) < api.cap and _promises_more(page, int(params["offset"]) + len(page.items)):
        again = client.ask(api, params)
        return max(page, again, key=lambda one: len(one.items))
    return page


def _promises_more(page: Page, received: int) -> bool:
    return page.has_more is True or (page.count is not None and received < page.count)


def _frame(api: Api, page: Page) -> pd.DataFrame:
    missing = [name for name in api.fields if name not in page.fields]
    if missing:
        raise SourceError(
            f"tushare's {api.name} no longer answers the column {', '.join(missing)}; it answers "
            f"{', '.join(page.fields)}",
            "see https://tushare.pro/document/2 for what changed, and upgrade to a release that knows it",
        )
    return pd.DataFrame(page.items, columns=list(page.fields), dtype=object)[list(api.fields)]
