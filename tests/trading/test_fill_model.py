"""Each fill model's price, its locks, and what it must not see."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from ljwx_pipeline.errors import TradingError
from ljwx_pipeline.trading.costs import CostRates
from ljwx_pipeline.trading.fill_model import FillModel, Reject, base_price
from ljwx_pipeline.trading.matching import SessionQuotes, match

UP, DOWN, REFERENCE = 110_000, 90_000, 100_000


def priced(
    model: FillModel,
    side: str,
    bar: tuple[int, int, int, int],
    *,
    volume: int = 1_000,
    amount_fen: int = 1_000_000,
    offset_bps: int = 100,
    open_limit_e4: int | None = None,
) -> tuple[int, Reject]:
    """Return price and rejection on a bar (open, high, low, close) between limits of ten per cent about 10 CNY."""
    at_open = (UP if side == "buy" else DOWN) if open_limit_e4 is None else open_limit_e4
    price, _, reject = base_price(
        int(model),
        side == "buy",
        *bar,
        REFERENCE,
        UP,
        DOWN,
        at_open,
        volume,
        amount_fen,
        offset_bps,
    )
    return int(price), Reject(int(reject))


def test_a_name_without_a_bar_is_suspended_under_every_model() -> None:
    for model in FillModel:
        assert priced(model, "buy", (0, 0, 0, 0)) == (0, Reject.SUSPENDED)


@pytest.mark.parametrize(
    ("side", "bar", "expected"),
    [
        ("buy", (101_000, 110_000, 100_000, 110_000), (101_000, Reject.NONE)),  # sealed later: the open was free
        ("buy", (110_000, 110_000, 100_000, 100_000), (0, Reject.LIMIT_UP)),  # sealed at the open, broke later
        ("sell", (110_000, 110_000, 110_000, 110_000), (110_000, Reject.NONE)),
        ("sell", (90_000, 99_000, 90_000, 99_000), (0, Reject.LIMIT_DOWN)),
        ("buy", (0, 100_000, 100_000, 100_000), (0, Reject.NO_PRICE)),
    ],
)
def test_the_open(side: str, bar: tuple[int, int, int, int], expected: tuple[int, Reject]) -> None:
    assert priced(FillModel.OPEN, side, bar) == expected


@pytest.mark.parametrize(
    ("side", "bar", "amount_fen", "expected"),
    [
        # 1,000 shares for 10,000.01 CNY: 10.00001 a share, rounded against the trader to 1e-4 CNY
        ("buy", (100_000, 105_000, 95_000, 100_000), 1_000_001, (100_001, Reject.NONE)),
        ("sell", (100_000, 105_000, 95_000, 100_000), 1_000_001, (100_000, Reject.NONE)),
        # up to a tick outside the bar is rounding
        ("buy", (100_000, 105_000, 95_000, 100_000), 1_051_000, (105_000, Reject.NONE)),
        ("sell", (100_000, 105_000, 95_000, 100_000), 949_000, (95_000, Reject.NONE)),
        # an amount that cannot be, a thousand times too small or just beyond the tick, is no price
        ("buy", (100_000, 105_000, 95_000, 100_000), 1_000, (0, Reject.OUTSIDE_BAR)),
        ("buy", (100_000, 105_000, 95_000, 100_000), 1_051_001, (0, Reject.OUTSIDE_BAR)),
        ("sell", (100_000, 105_000, 95_000, 100_000), 1_000_000_000, (0, Reject.OUTSIDE_BAR)),
        ("sell", (100_000, 105_000, 95_000, 100_000), 948_999, (0, Reject.OUTSIDE_BAR)),
        # one price at the limit all day is sealed; a seal that was not whole is not
        ("buy", (110_000, 110_000, 110_000, 110_000), 1_100_000, (0, Reject.LIMIT_UP)),
        ("buy", (100_000, 110_000, 100_000, 110_000), 1_050_000, (105_000, Reject.NONE)),
        ("sell", (90_000, 90_000, 90_000, 90_000), 900_000, (0, Reject.LIMIT_DOWN)),
        ("sell", (90_000, 91_000, 90_000, 90_000), 900_100, (90_010, Reject.NONE)),
        ("buy", (100_000, 105_000, 95_000, 100_000), 0, (0, Reject.NO_PRICE)),
    ],
)
def test_the_mean_price(
    side: str, bar: tuple[int, int, int, int], amount_fen: int, expected: tuple[int, Reject]
) -> None:
    assert priced(FillModel.VWAP, side, bar, amount_fen=amount_fen) == expected


@pytest.mark.parametrize(
    ("side", "bar", "expected"),
    [
        # the limit of a buy stands at 10.10, that of a sale at 9.90
        ("buy", (100_500, 105_000, 95_000, 100_000), (100_500, Reject.NONE)),
        ("buy", (102_000, 105_000, 100_900, 104_000), (101_000, Reject.NONE)),
        ("buy", (102_000, 105_000, 101_000, 104_000), (0, Reject.LIMIT_PRICE)),  # touched, not gone through
        ("buy", (110_000, 110_000, 110_000, 110_000), (0, Reject.LIMIT_UP)),
        ("buy", (110_000, 110_000, 100_000, 110_000), (101_000, Reject.NONE)),
        ("sell", (99_500, 100_000, 95_000, 99_000), (99_500, Reject.NONE)),
        ("sell", (98_000, 99_100, 95_000, 96_000), (99_000, Reject.NONE)),
        ("sell", (98_000, 99_000, 95_000, 96_000), (0, Reject.LIMIT_PRICE)),
        ("sell", (90_000, 90_000, 90_000, 90_000), (0, Reject.LIMIT_DOWN)),
    ],
)
def test_a_limit_order_along_the_bar(side: str, bar: tuple[int, int, int, int], expected: tuple[int, Reject]) -> None:
    assert priced(FillModel.BAR_PATH, side, bar) == expected


@pytest.mark.parametrize(
    ("model", "side", "bar", "expected"),
    [
        # the opening auction ends at 10.50 above and 9.50 below, the session at 11 and 9
        (FillModel.OPEN, "buy", (105_000, 110_000, 105_000, 110_000), (0, Reject.LIMIT_UP)),
        (FillModel.OPEN, "buy", (104_900, 110_000, 104_900, 110_000), (104_900, Reject.NONE)),
        (FillModel.OPEN, "sell", (95_000, 95_000, 90_000, 90_000), (0, Reject.LIMIT_DOWN)),
        (FillModel.CLOSE, "buy", (105_000, 105_000, 105_000, 105_000), (105_000, Reject.NONE)),
        (FillModel.VWAP, "buy", (105_000, 105_000, 105_000, 105_000), (105_000, Reject.NONE)),
        # along the bar: not in the auction, but at the order's own limit of 10.80 on the way
        (FillModel.BAR_PATH, "buy", (105_000, 110_000, 105_000, 110_000), (108_000, Reject.NONE)),
        (FillModel.BAR_PATH, "buy", (104_900, 110_000, 104_900, 110_000), (104_900, Reject.NONE)),
    ],
)
def test_what_fills_at_the_open_is_judged_by_the_opening_auctions_limit(
    model: FillModel, side: str, bar: tuple[int, int, int, int], expected: tuple[int, Reject]
) -> None:
    limit = 105_000 if side == "buy" else 95_000
    amount = 1_000 * bar[0] // 100  # at the mean price of the open
    found = priced(model, side, bar, offset_bps=800, open_limit_e4=limit, amount_fen=amount)
    assert found == expected


def test_a_seal_that_breaks_fills_at_the_limit_price() -> None:
    assert priced(FillModel.BAR_PATH, "buy", (UP, UP, 109_900, UP), offset_bps=5_000) == (UP, Reject.NONE)
    assert priced(FillModel.BAR_PATH, "sell", (DOWN, 90_100, DOWN, DOWN), offset_bps=5_000) == (DOWN, Reject.NONE)


def walked(side: str, bar: tuple[int, int, int, int], own: int) -> tuple[int, Reject]:
    """BAR_PATH of a limit order tick by tick: the plain reference."""
    opened, high, low, close = bar
    worse, better = (high, low) if side == "buy" else (low, high)
    path = [opened]
    for target in (worse, better, close):
        step = 100 if target > path[-1] else -100
        path += list(range(path[-1] + step, target + step, step)) if target != path[-1] else []
    limit = UP if side == "buy" else DOWN
    sign = 1 if side == "buy" else -1
    nearer = sign * min(sign * own, sign * limit)
    if opened != limit and sign * opened <= sign * nearer:
        return opened, Reject.NONE
    if any(sign * price < sign * nearer for price in path):
        return nearer, Reject.NONE
    if all(price == limit for price in path):
        return 0, Reject.LIMIT_UP if side == "buy" else Reject.LIMIT_DOWN
    return 0, Reject.LIMIT_PRICE


ticks = st.integers(DOWN // 100, UP // 100).map(lambda tick: tick * 100)


@st.composite
def bars(draw: st.DrawFn) -> tuple[int, int, int, int]:
    points = draw(st.lists(st.one_of(st.sampled_from([UP, DOWN]), ticks), min_size=4, max_size=4))
    return points[0], max(points), min(points), points[3]


@given(side=st.sampled_from(["buy", "sell"]), bar=bars(), offset=st.integers(0, 1_200))
@hypothesis_settings(max_examples=600, deadline=None)
def test_the_path_equals_a_walk_tick_by_tick(side: str, bar: tuple[int, int, int, int], offset: int) -> None:
    own = REFERENCE + offset * 10 // 100 * 100 if side == "buy" else REFERENCE - offset * 10 // 100 * 100
    assert priced(FillModel.BAR_PATH, side, bar, offset_bps=offset) == walked(side, bar, own)


@given(side=st.sampled_from(["buy", "sell"]), one=bars(), other=bars())
@hypothesis_settings(max_examples=200, deadline=None)
def test_a_fill_at_the_open_knows_nothing_of_the_rest_of_the_session(
    side: str, one: tuple[int, int, int, int], other: tuple[int, int, int, int]
) -> None:
    changed = (one[0], max(one[0], *other), min(one[0], *other), other[3])
    assert priced(FillModel.OPEN, side, one) == priced(FillModel.OPEN, side, changed)
    if one[0] not in (UP, DOWN):
        assert priced(FillModel.BAR_PATH, side, one, offset_bps=1_000) == (one[0], Reject.NONE)
        assert priced(FillModel.BAR_PATH, side, changed, offset_bps=1_000) == (one[0], Reject.NONE)


@given(model=st.sampled_from(list(FillModel)), side=st.sampled_from(["buy", "sell"]), bar=bars())
@hypothesis_settings(max_examples=300, deadline=None)
def test_no_fill_lies_outside_the_bar_and_its_limits(
    model: FillModel, side: str, bar: tuple[int, int, int, int]
) -> None:
    price, reject = priced(model, side, bar, amount_fen=sum(bar) // 4 * 10)
    if reject is Reject.NONE:
        assert bar[2] <= price <= bar[1]


def quotes(**over: np.ndarray | None) -> SessionQuotes:
    one = {
        "close_e4": [100_000],
        "limit_up_e4": [UP],
        "limit_down_e4": [DOWN],
        "volume_shares": [1_000_000],
        "lot_min": [100],
        "lot_step": [100],
    }
    return SessionQuotes(**{name: np.array(value, dtype=np.int64) for name, value in one.items()}, **over)


def buy(rates: CostRates, given_quotes: SessionQuotes) -> None:
    match(
        order_shares=np.array([100]),
        order_rank=np.array([0]),
        quotes=given_quotes,
        sellable_shares=np.array([0]),
        cash_fen=10**9,
        rates=rates,
    )


def test_quotes_without_what_the_model_reads_are_refused() -> None:
    rates = CostRates(0, 0, 0, 5_000_000, 0, 0, 0, fill=int(FillModel.OPEN))
    with pytest.raises(TradingError, match="fills of model open need open"):
        buy(rates, quotes())
    with pytest.raises(TradingError, match="traded, but a price that the fill model reads is missing"):
        buy(rates, quotes(open_e4=np.array([0])))
    impact = CostRates(0, 0, 0, 5_000_000, 0, 0, 0, impact_e8=10**8)
    with pytest.raises(TradingError, match="need volatility"):
        buy(impact, quotes())


def test_what_is_sold_after_the_open_pays_for_no_purchase_of_the_session() -> None:
    def bought(sale_open_e4: int) -> tuple[int, int]:
        """Return shares bought and cash left when 1,000 shares of another name are to be sold at 9.90 or better."""
        fills = match(
            order_shares=np.array([-1_000, 500]),
            order_rank=np.array([0, 1]),
            quotes=SessionQuotes(
                close_e4=np.array([99_500, 100_000]),
                limit_up_e4=np.array([UP, UP]),
                limit_down_e4=np.array([DOWN, DOWN]),
                volume_shares=np.array([10**6, 10**6]),
                lot_min=np.array([100, 100]),
                lot_step=np.array([100, 100]),
                reference_e4=np.array([REFERENCE, REFERENCE]),
                open_e4=np.array([sale_open_e4, 100_000]),
                high_e4=np.array([99_500, 100_000]),
                low_e4=np.array([98_000, 100_000]),
            ),
            sellable_shares=np.array([1_000, 0]),
            cash_fen=0,
            rates=CostRates(0, 0, 0, 10**8, 0, 0, 0, fill=int(FillModel.BAR_PATH), limit_offset_bps=100),
        )
        assert fills.shares[0] == -1_000
        return int(fills.shares[1]), fills.cash_after_fen

    assert bought(99_000) == (500, 990_000 - 500_000)
    assert bought(98_500) == (0, 990_000)
