"""How known providers spell their columns, and in which units they deliver them.

Sources: the column lists of tushare ``daily`` and ``index_daily``, akshare ``stock_zh_a_hist`` and
``stock_zh_a_daily``, baostock ``query_history_k_data_plus``, and the download of NetEase's daily history.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ljwx_pipeline.config import ColumnRole
from ljwx_pipeline.errors import SourceError

VolumeUnit = Literal["shares", "lots"]
AmountUnit = Literal["cny", "thousand_cny"]

#: Every spelling recognised for a role, compared without case and outer spaces.
SPELLINGS: dict[ColumnRole, tuple[str, ...]] = {
    "symbol": ("ts_code", "symbol", "code", "股票代码", "证券代码", "指数代码", "代码", "index_code"),
    "session_date": ("trade_date", "date", "日期", "交易日期", "session_date"),
    "open": ("open", "开盘", "开盘价", "open_cny", "open_points"),
    "high": ("high", "最高", "最高价", "high_cny", "high_points"),
    "low": ("low", "最低", "最低价", "low_cny", "low_points"),
    "close": ("close", "收盘", "收盘价", "close_cny", "close_points"),
    "pre_close": ("pre_close", "preclose", "前收盘", "前收盘价", "昨收", "pre_close_cny"),
    "change": ("change", "涨跌额"),
    "volume": ("vol", "volume", "成交量", "volume_shares"),
    "amount": ("amount", "成交额", "成交金额", "amount_cny"),
    "adj_factor": ("adj_factor", "复权因子"),
    "name": ("name", "名称", "股票名称", "code_name"),
    "traded": ("tradestatus", "trade_status"),
    "is_st": ("isst", "is_st"),
}


@dataclass(frozen=True)
class Provider:
    """A provider known by columns only its files have together, and its units."""

    name: str
    marks: frozenset[str]
    volume_unit: VolumeUnit
    amount_unit: AmountUnit


PROVIDERS = (
    Provider("tushare daily", frozenset({"ts_code", "trade_date", "vol", "amount"}), "lots", "thousand_cny"),
    Provider("akshare stock_zh_a_hist", frozenset({"日期", "开盘", "收盘", "成交量", "成交额"}), "lots", "cny"),
    Provider("akshare stock_zh_a_daily", frozenset({"date", "volume", "amount", "outstanding_share"}), "shares", "cny"),
    Provider("baostock", frozenset({"date", "code", "preclose", "volume", "amount"}), "shares", "cny"),
)


def provider_of(names: Sequence[str]) -> Provider | None:
    """Return the provider whose columns these are, or None."""
    present = {_plain(name) for name in names}
    return next((provider for provider in PROVIDERS if provider.marks <= present), None)


def resolve_columns(
    names: tuple[str, ...],
    *,
    declared: Mapping[ColumnRole, str],
    required: Sequence[ColumnRole],
    optional: Sequence[ColumnRole],
    path: Path,
) -> dict[ColumnRole, str]:
    """Return the file's column for each role it has.

    Raises
    ------
    SourceError
        When a declared column is missing, a needed one is there twice, two columns fit one role, or required columns
        are missing (the closest name is suggested): all that are unclear, or all that are missing, in one message.
    """
    found: dict[ColumnRole, str] = {}
    unclear: dict[ColumnRole, list[str]] = {}
    for role in (*required, *optional):
        wanted = declared.get(role)
        if wanted is not None:
            if wanted not in names:
                raise SourceError(
                    f"{path} has no column {wanted!r}, which folder.columns.{role} names",
                    f"{_closest([wanted], names)}correct folder.columns.{role}",
                )
            found[role] = wanted
            continue
        fits = [name for name in names if _plain(name) in SPELLINGS[role]]
        if fits:
            found[role] = fits[0]
        if len(fits) > 1:
            unclear[role] = fits
    needed = {*found.values(), *(name for fits in unclear.values() for name in fits)}
    repeated = sorted(name for name in needed if names.count(name) > 1)
    if repeated:
        raise SourceError(
            f"{path} has more than one column called {', '.join(repeated)}", "rename or delete all but one of each"
        )
    if unclear:
        raise _unclear(unclear, path)
    missing = [role for role in required if role not in found]
    if missing:
        raise _missing(missing, names, path)
    return found


def _unclear(unclear: Mapping[ColumnRole, Sequence[str]], path: Path) -> SourceError:
    said = "; and ".join(f"{' and '.join(fits)}, which both look like {role}" for role, fits in unclear.items())
    choice = ", ".join(f'{role} = "{fits[0]}"' for role, fits in unclear.items())
    which = "one counts" if len(unclear) == 1 else "ones count"
    return SourceError(f"{path} has columns {said}", f"say which {which}: folder.columns = {{ {choice} }}")


def _missing(missing: Sequence[ColumnRole], names: Sequence[str], path: Path) -> SourceError:
    known = "; ".join(f"{role} as {', '.join(SPELLINGS[role])}" for role in missing)
    choice = ", ".join(f'{role} = "NAME IN THE FILE"' for role in missing)
    wanted = [name for role in missing for name in SPELLINGS[role]]
    return SourceError(
        f"{path} has no column for {', '.join(missing)} (known spellings: {known}; the file has: {', '.join(names)})",
        f"{_closest(wanted, names)}rename the columns or declare them: folder.columns = {{ {choice} }}",
    )


def _closest(wanted: Sequence[str], names: Sequence[str]) -> str:
    unclaimed = [name for name in names if not any(_plain(name) in known for known in SPELLINGS.values())]
    by_plain = {_plain(name): name for name in unclaimed}
    for candidate in wanted:
        near = difflib.get_close_matches(_plain(candidate), list(by_plain), n=1, cutoff=0.7)
        if near:
            return f"did you mean {by_plain[near[0]]!r}? "
    return ""


def _plain(name: str) -> str:
    return name.strip().lower()
