"""The notices the rulebook cites, how far each was checked, and the dates the book covers.

Not here: what the notices say (the ``rulebook_*`` modules beside this one).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from enum import StrEnum

from ljwx_pipeline.errors import TradingError

BOOK_FIRST = date(2007, 5, 30)
BOOK_LAST = date(2026, 12, 31)


class Checked(StrEnum):
    """What a rule's date and value were checked against when the book was written."""

    WORDING = "wording"  #: the notice's own words, quoted with its address in a stored public copy
    REPORT = "report"  #: a public source that states date and value, not the notice itself
    DATA = "data"  #: published or traded prices only; no text was found
    MEMORY = "memory"  #: nothing but general knowledge: look the notice up before relying on it


@dataclass(frozen=True)
class Notice:
    """The document a rule comes from: who issued it, its name, number and date, and how far it was checked."""

    title: str
    checked: Checked


def check_in_book(session: date) -> date:
    """Return ``session`` if the book covers it.

    Raises
    ------
    TradingError
        When it lies before ``BOOK_FIRST`` or after ``BOOK_LAST``.
    """
    if not BOOK_FIRST <= session <= BOOK_LAST:
        raise TradingError(
            f"{session} is outside the rulebook ({BOOK_FIRST} to {BOOK_LAST})",
            "narrow the date range, or upgrade to a release whose rulebook covers it",
        )
    return session


BOTH_2006 = Notice("SSE and SZSE Trading Rules, issued 2006-05-15, in force 2006-07-01", Checked.WORDING)
ORDERS_2006 = Notice("SSE and SZSE Trading Rules, 2006 to 2026, on order quantities", Checked.REPORT)
RELISTING_2006 = Notice(
    "SSE Trading Rules art. 3.4.13 and SZSE Trading Rules art. 3.3.17, as revised 2012 (relisting: Trading Rules 2023)",
    Checked.REPORT,
)
ROUNDING = Notice(
    "SSE Trading Rules art. 3.4.13 as revised 2012-12-14, art. 3.3.17 of 2023 and 2026; SZSE Trading Rules art. 3.3.19",
    Checked.WORDING,
)
SSE_2006 = Notice("SSE Trading Rules, issued 2006-05-15, in force 2006-07-01", Checked.WORDING)
SZSE_2006 = Notice("SZSE Trading Rules, issued 2006-05-15, in force 2006-07-01", Checked.WORDING)
SETTLEMENT = Notice(
    "SSE and SZSE Trading Rules art. 3.1.4: shares bought may not be sold before settlement, which is T+1 since "
    "1995-01-01",
    Checked.WORDING,
)
CHINEXT_2009 = Notice(
    "SZSE notice of 2009-09-24 on ChiNext: the trading rules apply; opened 2009-10-30", Checked.WORDING
)
DELISTING_2012 = Notice(
    "SZSE Trading Rules 2012 art. 4.5.2, in force 2012-12-17; SSE risk-warning board measures of 2012-12-16 art. 7, "
    "in force 2013-01-01",
    Checked.WORDING,
)
RISK_BOARD_2013 = Notice(
    "SSE risk-warning board measures of 2012-12-16 art. 14, in force 2013-01-01; kept by later revisions",
    Checked.REPORT,
)
FIRST_DAY_2013 = Notice("SSE Shangzhengfa [2013] 47, 2013-12-13; SZSE the same from 2014-06-13", Checked.WORDING)
FIRST_DAY_2014 = Notice("SZSE Shenzhenghui [2014] 54, 2014-06-13", Checked.WORDING)
CLOSING_CALL_2018 = Notice("SSE notice of 2018-08-06 on the closing call auction, in force 2018-08-20", Checked.WORDING)
STAR_2019 = Notice(
    "SSE Shangzhengfa [2019] 23, STAR special trading rules, 2019-03-01; first session 2019-07-22", Checked.WORDING
)
STAR_ORDERS_2019 = Notice("SSE Shangzhengfa [2019] 23 art. 20; first session 2019-07-22", Checked.REPORT)
STAR_CAGE_2019 = Notice("SSE rules on monitoring STAR trading, 2019-06; first session 2019-07-22", Checked.REPORT)
CHINEXT_ST_2020 = Notice(
    "ChiNext listing rules of 2020-06-12 bring in risk warnings; SZSE Shenzhengshang [2020] 620, 2020-07-10: the "
    "trading rules' limit until 2020-08-24, 20 % from then on",
    Checked.WORDING,
)
CHINEXT_2020 = Notice(
    "SZSE Shenzhengshang [2020] 515, ChiNext special trading rules, 2020-06-12, in force 2020-08-24", Checked.WORDING
)
CHINEXT_ORDERS_2020 = Notice("SZSE Shenzhengshang [2020] 515 art. 2.8, in force 2020-08-24", Checked.REPORT)
CHINEXT_CAGE_2020 = Notice("SZSE Shenzhengshang [2020] 515, in force 2020-08-24", Checked.REPORT)
DELISTING_CHINEXT_2020 = Notice(
    "SZSE Shenzhengshang [2020] 620, 2020-07-10: 20 % for periods that begin on 2020-08-24 or later", Checked.WORDING
)
DELISTING_2020 = Notice(
    "SSE Shangzhengfa [2020] 103 (STAR: 101) and SZSE listing rules, all of 2020-12-31: first session without limit",
    Checked.WORDING,
)
BEIJING_2021 = Notice(
    "BSE Beizhenggonggao [2021] 15, trading rules (trial) art. 3.3.11 and 3.3.12; opened 2021-11-15", Checked.WORDING
)
BEIJING_ORDERS_2021 = Notice("BSE Beizhenggonggao [2021] 15, trading rules (trial); opened 2021-11-15", Checked.REPORT)
BEIJING_MEMORY = Notice("BSE Beizhenggonggao [2021] 15, trading rules (trial); opened 2021-11-15", Checked.MEMORY)
BEIJING_ROUNDING = Notice(
    "BSE limit prices as published and as traded since 2021; the trading rules' clause was not found",
    Checked.DATA,
)
REGISTRATION_2023 = Notice(
    "SSE Shangzhengfa [2023] 32 and SZSE Shenzhengshang [2023] 98, Trading Rules 2023, 2023-02-17, in force with the "
    "first registered main-board listing, 2023-04-10",
    Checked.WORDING,
)
CAGE_2023 = Notice("SSE and SZSE Trading Rules 2023, in force 2023-04-10", Checked.REPORT)
MAIN_2026 = Notice(
    "SSE Shangzhengfa [2026] 41 and SZSE Shenzhengshang [2026] 551, Trading Rules 2026, 2026-04-24, in force "
    "2026-07-06",
    Checked.WORDING,
)
AFTER_HOURS_2026 = Notice(
    "SSE Shangzhengfa [2026] 41 and SZSE Shenzhengshang [2026] 551, in force 2026-07-06: after-hours trading for all "
    "A-shares",
    Checked.REPORT,
)
BEIJING_2026 = Notice("BSE Beizhenggonggao [2026] 34, 2026-08-21, in force 2026-08-31", Checked.REPORT)
ONE_TICK_2011 = Notice("SZSE Trading Rules 2011 art. 3.3.16, 2011-01-17, in force 2011-02-28", Checked.WORDING)
ONE_TICK_2023 = Notice(
    "SSE Shangzhengfa [2023] 32, Trading Rules 2023 art. 3.3.17, in force 2023-04-10", Checked.WORDING
)
CIRCUIT_BREAKER = Notice(
    "index circuit breaker of SSE, SZSE and CFFEX, in force 2016-01-01, suspended 2016-01-08 (days: report; minutes: "
    "memory)",
    Checked.MEMORY,
)
HALTS_STAR = Notice("SSE rules on monitoring STAR trading, 2019-06: halts on sessions without limit", Checked.REPORT)
HALTS_CHINEXT = Notice("SZSE Shenzhengshang [2020] 515: halts on sessions without limit", Checked.REPORT)
HALTS_2023 = Notice("SSE and SZSE Trading Rules 2023: halts on sessions without limit", Checked.REPORT)
STAMP_2007 = Notice("MOF and STA Caishui [2007] 84, in force 2007-05-30: 0.1 % to 0.3 %, both sides", Checked.WORDING)
STAMP_2008_APRIL = Notice("MOF, 2008-04-23, in force 2008-04-24: 0.3 % to 0.1 %, both sides", Checked.REPORT)
STAMP_2008 = Notice("MOF, 2008-09-19, in force that day (Caishui Mingdian [2008] 2): the seller only", Checked.WORDING)
TRANSFER_2015 = Notice("CSDC notice of 2015-07-09, in force 2015-08-01: 0.002 % of value, both sides", Checked.WORDING)
BEIJING_TRANSFER = Notice("CSDC notice of 2022-04-28: Beijing had 0.0025 % until then", Checked.WORDING)
TRANSFER_2022 = Notice("CSDC notice of 2022-04-28, in force 2022-04-29: 0.001 % of value, both sides", Checked.WORDING)
STAMP_2023 = Notice("MOF and STA announcement 2023 No. 39, in force 2023-08-28: stamp duty halved", Checked.WORDING)
COMMISSION_2002 = Notice(
    "CSRC, SDPC and STA Zhengjianfa [2002] 21, 2002-04-04, in force 2002-05-01: at most 0.3 %, 5 CNY at least",
    Checked.WORDING,
)
