"""The scan agrees with its plain reference, in either order, and alone as within the whole history."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ljwx_pipeline.quality import scan_kernel as k
from ljwx_pipeline.quality.run import run_checks
from ljwx_pipeline.quality.scan import ScanContext, last_rows, scan, symbol_codes
from ljwx_pipeline.quality.schemas import BAR_BITS, validate
from tests.fakes.bars import random_bars
from tests.quality.test_run import description

COLUMNS = ["open_cny", "high_cny", "low_cny", "close_cny", "pre_close_cny", "volume_shares", "amount_cny", "adj_factor"]
SPOILS = (np.nan, np.inf, -1.0, 0.0, 1e9, 0.01, 12.345)
BARS = random_bars(symbols=6, sessions=60, suspended_frac=0.1)
DAYS = pd.DatetimeIndex(sorted(BARS["session_date"].unique()))
SECURITIES = pd.DataFrame(
    {
        "symbol": sorted(BARS["symbol"].unique())[:-1],
        "name": "x",
        "board": [0, 1, 2, 0, 3],
        "list_date": [DAYS[0], DAYS[0], pd.NaT, DAYS[20], pd.Timestamp("2010-01-04")],
        "delist_date": [pd.NaT, DAYS[50], pd.NaT, pd.NaT, pd.NaT],
    }
)
SPELLS = pd.DataFrame({"symbol": ["S00000.SIM"], "start_date": [DAYS[10]], "end_date": [DAYS[30]]})


def context(sessions: pd.DatetimeIndex = DAYS, **changes: object) -> ScanContext:
    values = {"adjustment": "raw", "securities": SECURITIES, "st_spells": SPELLS, "as_of": DAYS[-5].date(), **changes}
    return ScanContext(sessions, **values)  # type: ignore[arg-type]


@st.composite
def spoiled_bars(draw: st.DrawFn) -> pd.DataFrame:
    bars = BARS.copy()
    for _ in range(draw(st.integers(0, 8))):
        row = draw(st.integers(1, len(bars) - 1))
        what = draw(st.sampled_from([*COLUMNS, "repeat", "twin", "flat"]))
        if what == "repeat":
            same = bars.index[(bars["symbol"] == bars.loc[row, "symbol"]) & (bars.index < row)]
            if len(same):
                bars.loc[row, COLUMNS] = bars.loc[same[-1], COLUMNS].to_numpy()
        elif what == "twin":
            again = bars.loc[[row]].assign(amount_cny=lambda f: f["amount_cny"] * draw(st.sampled_from([1.0, 1.01])))
            bars = pd.concat([bars, again]).sort_values(["session_date", "symbol"], kind="stable", ignore_index=True)
        elif what == "flat":
            bars.loc[row, ["volume_shares", "amount_cny"]] = 0.0
            bars.loc[row, ["open_cny", "high_cny", "low_cny"]] = bars.loc[row, "close_cny"]
        else:
            bars.loc[row, what] = draw(st.sampled_from(SPOILS))
    return bars


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(bars=spoiled_bars(), cut=st.integers(1, 59), length=st.integers(1, 30))
def test_a_month_or_a_session_alone_is_judged_as_within_its_whole_history(
    bars: pd.DataFrame, cut: int, length: int
) -> None:
    whole = scan(bars, context())
    window = DAYS[cut : cut + length]
    inside = bars["session_date"].isin(window).to_numpy()
    earlier = bars[(bars["session_date"] < window[0]).to_numpy()]
    alone = scan(bars[inside], context(window, before=last_rows(earlier)))
    np.testing.assert_array_equal(alone, whole[inside])


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(bars=spoiled_bars())
def test_rows_by_symbol_are_judged_as_rows_by_session(bars: pd.DataFrame) -> None:
    order = bars.sort_values(["symbol", "session_date"], kind="stable").index
    np.testing.assert_array_equal(scan(bars.loc[order], context()), scan(bars, context())[order])


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(bars=spoiled_bars(), seed=st.integers(0, 5))
def test_shuffled_rows_are_flagged_and_judged_as_sorted(bars: pd.DataFrame, seed: int) -> None:
    bars = bars.drop_duplicates(["symbol", "session_date"], ignore_index=True)
    order = np.random.default_rng(seed).permutation(len(bars))
    shuffled = scan(bars.iloc[order], context())
    assert (shuffled & k.UNSORTED).any()
    np.testing.assert_array_equal(shuffled & ~np.uint32(k.UNSORTED), scan(bars, context())[order])


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(bars=spoiled_bars())
def test_the_scan_breaks_where_the_pandera_schema_breaks(bars: pd.DataFrame) -> None:
    plain = validate("bars", bars)
    found = np.flatnonzero(scan(bars, context()) & np.uint32(BAR_BITS))
    twins = bars.duplicated(["session_date", "symbol"], keep=False).to_numpy()
    # of equal twins the scan names the later, pandera both
    assert set(found) - set(np.flatnonzero(twins)) == set(plain.rows) - set(np.flatnonzero(twins))
    assert plain.passed == (len(found) == 0)


def reference(bars: pd.DataFrame) -> dict[int, np.ndarray]:
    """The rules in pandas, plainly, for clean keys."""
    grouped = bars.sort_values(["symbol", "session_date"]).groupby("symbol")
    before = grouped[COLUMNS].shift().reindex(bars.index)
    expected = before["close_cny"] * before["adj_factor"] / bars["adj_factor"]
    off = (bars["pre_close_cny"] - expected).abs() > 0.002 * expected + 0.01
    average = bars["amount_cny"] / bars["volume_shares"].where(bars["volume_shares"] > 0)
    outside = (average < bars["low_cny"] * (1 - 1e-4)) | (average > bars["high_cny"] * (1 + 1e-4))
    cents = bars[COLUMNS[:4]] * 100
    return {
        k.REFERENCE_OFF: off.to_numpy(),
        k.AVERAGE_OUTSIDE: outside.to_numpy(),
        k.OFF_TICK: ((cents - cents.round()).abs().sum(axis=1) > 1e-4).to_numpy(),
        k.FACTOR_FALLS: (bars["adj_factor"] < before["adj_factor"] * (1 - 2e-4)).to_numpy(),
        k.OFF_SESSION: ~bars["session_date"].isin(DAYS).to_numpy(),
        k.FUTURE: (bars["session_date"] > DAYS[-5]).to_numpy(),
    }


def test_single_rules_agree_with_pandas_on_dirty_rows() -> None:
    rng = np.random.default_rng(3)
    bars = BARS.copy()
    for column in COLUMNS:
        rows = rng.choice(len(bars), 12, replace=False)
        bars.loc[rows, column] *= rng.choice([0.5, 0.97, 1.0004, 1.03, 100.0], 12)
    bars.loc[100, "session_date"] = pd.Timestamp("2018-01-06")
    bars = bars.sort_values(["session_date", "symbol"], ignore_index=True)
    bits = scan(bars, context())
    for bit, expected in reference(bars).items():
        np.testing.assert_array_equal((bits & np.uint32(bit)) != 0, expected, err_msg=str(bit))
        assert expected.any()


def test_limits_follow_board_st_status_and_age() -> None:
    day = DAYS[25]
    bars = BARS[BARS["session_date"] == day].copy()
    symbols = bars["symbol"].tolist()
    bars["close_cny"] = bars["pre_close_cny"] * 1.08
    bits = scan(bars, context(before=last_rows(BARS[BARS["session_date"] < day])))
    beyond = {symbol for symbol, bit in zip(symbols, bits, strict=True) if bit & k.BEYOND_LIMIT}
    assert beyond == {"S00000.SIM"} & set(symbols)  # under special treatment: 5 %
    young = SECURITIES.assign(list_date=DAYS[23])
    bits = scan(bars, context(securities=young, before=last_rows(BARS[BARS["session_date"] < day])))
    assert not (bits & k.BEYOND_LIMIT).any()


def test_a_listing_shortly_before_the_first_session_keeps_its_free_sessions() -> None:
    bars = BARS[BARS["session_date"] == DAYS[25]].copy()
    bars["close_cny"] = bars["pre_close_cny"] * 1.5
    for listed_at, judged in ((22, False), (19, True)):
        young = SECURITIES.assign(list_date=DAYS[listed_at], delist_date=pd.NaT, board=0)
        bits = scan(bars, context(DAYS[25:26], securities=young))
        known = bars["symbol"].isin(SECURITIES["symbol"]).to_numpy()
        assert ((bits[known] & k.BEYOND_LIMIT) != 0).all() == judged
        assert ((bits[known] & k.BEYOND_LIMIT) != 0).any() == judged


def test_symbols_are_numbered_whether_or_not_rows_share_one_string() -> None:
    names = np.array(["600519.SH", "000001.SZ", "300750.SZ"] * 50, dtype=object)
    own = np.array([f"{name[:6]}{name[6:]}" for name in names], dtype=object)
    mixed = np.where(np.arange(150) < 75, names, own)
    for symbols in (names, own, mixed, np.sort(names), names[:1], names[:0]):
        codes, found = symbol_codes(symbols)
        assert (found[codes] == symbols).all()
        assert len(set(found)) == len(found)


def test_a_session_alone_is_checked_with_the_rows_before_it() -> None:
    day = DAYS[40]
    session, earlier = BARS[BARS["session_date"] == day], BARS[BARS["session_date"] < day]
    changed = session.assign(pre_close_cny=session["pre_close_cny"] * 1.05)
    for before, bad in ((None, 0), (last_rows(earlier), len(session)), (earlier, len(session))):
        given = None if before is None else {"bars": before}
        results = run_checks({"bars": changed}, description(), DAYS[40:41], before=given)
        found = next(r for r in results if r.name == "bars.reference_price_follows")
        assert found.measured["bad"] == bad
    thin = run_checks({"bars": session.head(1)}, description(), DAYS[40:41], before={"bars": last_rows(earlier)})
    assert not next(r for r in thin if r.name == "bars.sessions_covered").passed


@pytest.mark.parametrize(("code", "judged"), [("600519.SH", True), ("900901.SH", False), ("200002.SZ", False)])
def test_the_tick_of_b_shares_is_not_judged(code: str, judged: bool) -> None:
    bars = BARS[BARS["symbol"] == "S00001.SIM"].assign(symbol=code)
    bars["close_cny"] += 0.001
    assert ((scan(bars, context(securities=None)) & k.OFF_TICK) != 0).all() == judged
