"""Codes in every spelling met in the wild."""

from __future__ import annotations

import pytest

from ljwx_pipeline.sources.folder.codes import code_in_file_name, index_code, stock_symbol


@pytest.mark.parametrize(
    "written",
    ["600000.SH", "600000.SS", "600000.XSHG", "sh600000", "SH600000", "sh.600000", "600000", "'600000", " 600000 "],
)
def test_one_stock_in_every_spelling(written: str) -> None:
    assert stock_symbol(written) == "600000.SH"


@pytest.mark.parametrize(
    ("written", "symbol"),
    [
        ("1", "000001.SZ"),
        ("1.0", "000001.SZ"),
        ("300750", "300750.SZ"),
        ("688981", "688981.SH"),
        ("920002", "920002.BJ"),
        ("bj430047", "430047.BJ"),
        ("000001.XSHE", "000001.SZ"),
        ("sh000001", None),  # the composite index
        ("399006", None),
        ("510300.SH", None),  # a fund
        ("600000.SZ", None),
        ("", None),
        ("AAPL", None),
        ("6000001", None),
    ],
)
def test_bare_codes_get_their_exchange_and_what_is_no_stock_is_none(written: str, symbol: str | None) -> None:
    assert stock_symbol(written) == symbol


@pytest.mark.parametrize(
    ("written", "code"),
    [
        ("'399006", "399006.SZ"),
        ("000905", "000905.SH"),
        ("905", "000905.SH"),
        ("sz399006", "399006.SZ"),
        ("000300.XSHG", "000300.SH"),
        ("930050.CSI", "930050.CSI"),
        ("SPX", None),
    ],
)
def test_index_codes(written: str, code: str | None) -> None:
    assert index_code(written) == code


@pytest.mark.parametrize(
    ("stem", "code"),
    [
        ("600519.SH_qfq", "600519.SH"),
        ("sh600519", "sh600519"),
        ("600519_raw", "600519"),
        ("daily_000001", "000001"),
        ("prices", None),
        ("20200102", None),
    ],
)
def test_codes_in_file_names(stem: str, code: str | None) -> None:
    assert code_in_file_name(stem) == code


@pytest.mark.parametrize(
    ("stem", "symbol"), [("SHSE.600519", "600519.SH"), ("SHSE.000001", None), ("600519.SSE_daily", "600519.SH")]
)
def test_the_exchange_in_a_file_name_counts(stem: str, symbol: str | None) -> None:
    assert stock_symbol(code_in_file_name(stem) or "") == symbol
