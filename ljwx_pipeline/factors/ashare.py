"""Factors of the A-share market: price limits, suspensions, special treatment, nights and days, turnover, size, risk.

They read the session as traded (``raw_*``, ``pre_close_cny``) and what ``market/panel_fields.py`` builds beside it, so
a panel of already adjusted prices is refused by name. Returns are ``raw_close_cny / pre_close_cny - 1``: the reference
price is the last close after ex-right adjustment, so no factor here follows the level of an adjustment factor, and the
first session after a suspension has the return of the whole gap. No table tells the free float today: turnover is money
over the total market value, not shares over free float.

A price counts as at a limit within half a tick. Whoever has no limit that session (the first sessions after listing)
touches none, and its distance is NaN. Where a window counts, suspended sessions count for nothing. SINCE factors are
NaN where it did not happen within their window. Not here: the limits themselves (``market/rulebook.py``).
"""

from __future__ import annotations

from collections.abc import Callable

from ljwx_pipeline.expressions.nodes import Expr
from ljwx_pipeline.expressions.operators import (
    absolute,
    beta,
    count,
    cs_scale,
    equal,
    field,
    fill,
    group_demean,
    group_mean,
    is_known,
    log,
    mask,
    mean,
    neutralise,
    ref,
    resid_std,
    rolling_max,
    rolling_min,
    rolling_sum,
    sessions_since,
    std,
    streak,
    zscore,
)
from ljwx_pipeline.factors.catalogue import Catalogue, Factor, catalogue, family
from ljwx_pipeline.market.panel_fields import HALF_TICK_CNY

OPEN, HIGH, LOW, CLOSE = (field(f"raw_{name}_cny") for name in ("open", "high", "low", "close"))
BEFORE, AMOUNT, VALUE = field("pre_close_cny"), field("amount_cny"), field("market_value_cny")
UP_PRICE, DOWN_PRICE = field("limit_up_price_cny"), field("limit_down_price_cny")
UP, DOWN, ST = field("limit_up"), field("limit_down"), field("is_st")
INDUSTRY, LISTED, INDEX = field("industry"), field("listed_sessions"), field("index_close")

RETURN = CLOSE / BEFORE - 1
#: From the reference price to the open, and from the open to the close; the logarithms add up to the session's.
OVERNIGHT, INTRADAY = log(OPEN / BEFORE), log(CLOSE / OPEN)
MARKET = INDEX / ref(INDEX, 1) - 1
TURNOVER = AMOUNT / VALUE
SHARE = cs_scale(AMOUNT)
#: No limit that session means it was not touched; without a bar, or a word about limits, it is unknown.
TOUCHED = mask(fill(HIGH - UP_PRICE, -1.0) > -HALF_TICK_CNY, is_known(UP))
ONE_PRICE = HIGH - LOW < HALF_TICK_CNY

LIMIT_RULES = "SSE and SZSE trading rules: daily price limits (market/rulebook.py)"
MARKET_RULES = "SSE and SZSE listing and trading rules"
TUG_OF_WAR = "Lou, Polk and Skouras (2019), A tug of war: overnight versus intraday expected returns, JFE 134"
SIZE_AND_VALUE = "Liu, Stambaugh and Yuan (2019), Size and value in China, JFE 134"
AMIHUD = "Amihud (2002), Illiquidity and stock returns, Journal of Financial Markets 5"
LOTTERY = "Bali, Cakici and Whitelaw (2011), Maxing out: stocks as lotteries, JFE 99"
IDIOSYNCRATIC = "Ang, Hodrick, Xing and Zhang (2006), The cross-section of volatility and expected returns, JF 61"
REVERSAL = "Jegadeesh (1990), Evidence of predictable behavior of security returns, JF 45"
BETA = "Sharpe (1964), Capital asset prices, JF 19"
OWN = "plain description of the data"


def ashare() -> Catalogue:
    """Return the catalogue."""
    made = [*_limits(), *_turnover(), *_nights_and_days(), *_states(), *_risks(), *_sizes()]
    return catalogue("ashare", made, max_window=260)


def _limits() -> list[Factor]:
    up, down = "closed at its upper limit", "closed at its lower limit"
    return [
        *_family(
            "UP_STREAK", lambda n: streak(UP, n), [20], "sessions in a row, {n} at most, that it " + up, "sessions"
        ),
        *_family("SINCE_UP", lambda n: sessions_since(UP, n), [60], "sessions since it last " + up, "sessions"),
        *_family("SINCE_DOWN", lambda n: sessions_since(DOWN, n), [60], "sessions since it last " + down, "sessions"),
        *_family("UP_COUNT", lambda n: count(UP, n), [20], "sessions of {n} on which it " + up, "sessions"),
        *_family("DOWN_COUNT", lambda n: count(DOWN, n), [20], "sessions of {n} on which it " + down, "sessions"),
        *_family(
            "ONE_PRICE_UP",
            lambda n: count(ONE_PRICE & UP, n),
            [20],
            "sessions of {n} with no price but the upper limit: nobody could buy",
            "sessions",
        ),
        *_family(
            "ONE_PRICE_DOWN",
            lambda n: count(ONE_PRICE & DOWN, n),
            [20],
            "sessions of {n} with no price but the lower limit: nobody could sell",
            "sessions",
        ),
        *_family(
            "OPENED_SHARE",
            lambda n: count(TOUCHED & ~UP, n) / count(TOUCHED, n),
            [20],
            "of the sessions of {n} that touched the upper limit, the share that closed below it",
        ),
        _limit("UP_DISTANCE", UP_PRICE / CLOSE - 1, "distance from the close to the session's upper limit"),
        _limit("DOWN_DISTANCE", 1 - DOWN_PRICE / CLOSE, "distance from the close to the session's lower limit"),
        _limit("LIMIT_WIDTH", UP_PRICE / BEFORE - 1, "how far the session might rise: 5, 10, 20 or 30 %"),
        _limit("INDUSTRY_UP", group_mean(UP, INDUSTRY), "share of the industry that closed at its upper limit"),
    ]


def _turnover() -> list[Factor]:
    return [
        Factor("TURNOVER", TURNOVER, "money traded over the market value", OWN, "fraction"),
        *family(
            "TURNOVER",
            lambda n: mean(TURNOVER, n),
            [20],
            meaning="mean turnover of {n} sessions",
            source=OWN,
            unit="fraction",
        ),
        *family(
            "TURNOVER_Z",
            lambda n: zscore(TURNOVER, n),
            [20, 60],
            meaning="turnover less its mean of {n} sessions, in standard deviations",
            source=OWN,
            unit="standard deviations",
        ),
        Factor(
            "ABNORMAL_TURNOVER",
            mean(TURNOVER, 20) / mean(TURNOVER, 250),
            "mean turnover of 20 sessions over that of 250",
            SIZE_AND_VALUE,
            "ratio",
        ),
        Factor("AMOUNT_SHARE", SHARE, "share of all money traded in the cross-section", OWN, "fraction"),
        *family(
            "AMOUNT_SHARE_RISE",
            lambda n: SHARE / mean(SHARE, n) - 1,
            [20],
            meaning="share of all money traded over its mean of {n} sessions, less one",
            source=OWN,
            unit="fraction",
        ),
        *family(
            "ILLIQ",
            lambda n: mean(absolute(RETURN) / AMOUNT, n) * 1e8,
            [20],
            meaning="mean absolute return of {n} sessions by money traded",
            source=AMIHUD,
            unit="fraction per 100 million CNY",
        ),
    ]


def _nights_and_days() -> list[Factor]:
    gap = OPEN / BEFORE - 1
    return [
        Factor("GAP", gap, "open over the reference price, less one", TUG_OF_WAR, "fraction"),
        *_family("GAP_MEAN", lambda n: mean(gap, n), [5, 20], "mean overnight gap of {n} sessions", source=TUG_OF_WAR),
        *_family(
            "OVERNIGHT",
            lambda n: rolling_sum(OVERNIGHT, n),
            [20],
            "logarithmic return of the nights of {n} sessions",
            source=TUG_OF_WAR,
        ),
        *_family(
            "INTRADAY",
            lambda n: rolling_sum(INTRADAY, n),
            [20],
            "logarithmic return from open to close over {n} sessions",
            source=TUG_OF_WAR,
        ),
        *_family(
            "NIGHT_OVER_DAY",
            lambda n: rolling_sum(OVERNIGHT, n) - rolling_sum(INTRADAY, n),
            [20],
            "OVERNIGHT{n} less INTRADAY{n}",
            source=TUG_OF_WAR,
        ),
    ]


def _states() -> list[Factor]:
    suspended = fill(field("is_suspended"), 0)
    return [
        Factor("ST", ST, "under special treatment", MARKET_RULES, "flag"),
        *_family(
            "SINCE_ST_CHANGE",
            lambda n: sessions_since(~equal(ST, ref(ST, 1)), n),
            [250],
            "sessions since special treatment began or ended",
            "sessions",
            MARKET_RULES,
        ),
        *_family(
            "SUSPENDED",
            lambda n: count(suspended, n),
            [60],
            "sessions of {n} without trading while listed",
            "sessions",
            MARKET_RULES,
        ),
        Factor("LISTED", LISTED, "sessions since listing", MARKET_RULES, "sessions"),
        *_family(
            "NEW",
            lambda n: n > LISTED,
            [60],
            "listed within the last {n} sessions",
            "flag",
            MARKET_RULES,
        ),
    ]


def _risks() -> list[Factor]:
    return [
        *_family(
            "MAX_RETURN", lambda n: rolling_max(RETURN, n), [20], "largest return of {n} sessions", source=LOTTERY
        ),
        *_family(
            "MIN_RETURN", lambda n: rolling_min(RETURN, n), [20], "smallest return of {n} sessions", source=LOTTERY
        ),
        *_family(
            "VOLATILITY",
            lambda n: std(RETURN, n),
            [20],
            "standard deviation of {n} returns",
            source=IDIOSYNCRATIC,
        ),
        *_family(
            "IVOL",
            lambda n: resid_std(RETURN, MARKET, n),
            [20],
            "standard deviation of what the benchmark index does not explain of {n} returns",
            source=IDIOSYNCRATIC,
        ),
        *_family(
            "MARKET_BETA", lambda n: beta(RETURN, MARKET, n), [60], "slope of {n} returns on the index's", "ratio", BETA
        ),
        *_family(
            "REVERSAL",
            lambda n: -group_demean(rolling_sum(log(CLOSE / BEFORE), n), INDUSTRY),
            [5, 20],
            "industry's mean logarithmic return of {n} sessions less the stock's own",
            source=REVERSAL,
        ),
        *_family(
            "AMPLITUDE",
            lambda n: mean((HIGH - LOW) / BEFORE, n),
            [20],
            "mean height of {n} sessions over the reference price",
            source=OWN,
        ),
    ]


def _sizes() -> list[Factor]:
    size = log(VALUE)
    return [
        Factor("SIZE", size, "logarithm of the market value", SIZE_AND_VALUE, "log CNY"),
        Factor(
            "SIZE_NEUTRAL",
            neutralise(size, by=INDUSTRY),
            "logarithm of the market value, what the industry leaves of it",
            SIZE_AND_VALUE,
            "log CNY",
        ),
        Factor("LOW_PRICE", -log(CLOSE), "logarithm of the price as traded, reversed", OWN, "log CNY"),
    ]


def _limit(name: str, expression: Expr, meaning: str) -> Factor:
    return Factor(name, expression, meaning, LIMIT_RULES, "fraction")


def _family(
    prefix: str,
    formula: Callable[[int], Expr],
    windows: list[int],
    meaning: str,
    unit: str = "fraction",
    source: str = LIMIT_RULES,
) -> list[Factor]:
    return family(prefix, formula, windows, meaning=meaning, source=source, unit=unit)
