"""The real dirty files themselves, each found by the check meant for its dirt; skipped where they are absent."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ljwx_pipeline.errors import LjwxError
from ljwx_pipeline.market.calendar import sessions_between
from ljwx_pipeline.market.tables import BARS, INDEX_BARS, SourceDescription
from ljwx_pipeline.quality.results import CheckResult
from ljwx_pipeline.quality.run import run_checks
from ljwx_pipeline.sources.folder.source import FolderSource
from tests.fakes.dirt import FIRST, LAST, all_results, came_again
from tests.fakes.provider_files import folder_settings

pytestmark = pytest.mark.real_data


def outcomes(tables: dict[str, pd.DataFrame], adjustment: str = "raw") -> dict[str, CheckResult]:
    table = next(iter(tables.values()))
    days = table["session_date" if "session_date" in table else "start_date"]
    sessions = sessions_between(days.min().date(), days.max().date())
    return {result.name: result for result in all_results(tables, sessions, adjustment)}


def index_bars(path: Path, code: str) -> pd.DataFrame:
    rows = pd.read_csv(path)
    table = pd.DataFrame({"index_code": code, "session_date": pd.to_datetime(rows["date"])})
    for name in ("open", "high", "low", "close"):
        table[f"{name}_points"] = rows[name].astype(float)
    return table.assign(volume_shares=rows["volume"] * 100.0, amount_cny=rows["amount"])[list(INDEX_BARS)]


def test_an_index_whose_last_four_rows_are_a_stock(real_data_dir: Path) -> None:
    table = index_bars(real_data_dir / "nolicence" / "junyanwu" / "000016.SH.csv", "000016.SH")
    found = outcomes({"index_bars": table})
    jump = found["index_bars.moves_plausible"]
    assert jump.blocks
    assert jump.rows.tolist() == list(range(len(table) - 4, len(table)))
    assert "000016.SH 2026-01-13" in jump.message
    assert found["index_bars.level_plausible"].measured["bad"] == 4


def test_an_index_file_that_is_a_stock(real_data_dir: Path) -> None:
    table = index_bars(real_data_dir / "nolicence" / "junyanwu" / "000001.SH.csv", "000001.SH")
    found = outcomes({"index_bars": table})
    assert found["index_bars.level_plausible"].blocks
    assert len(found["index_bars.level_plausible"].rows) == len(table)
    assert found["index_bars.moves_plausible"].passed


def bancob(path: Path, suffix: str = "") -> pd.DataFrame:
    rows = pd.read_csv(path).iloc[::-1].reset_index(drop=True)
    rows.columns = rows.columns.str.replace(r"^indiv_(?:d|techin)_", "", regex=True)
    table = pd.DataFrame({"symbol": rows["ts_code"], "session_date": pd.to_datetime(rows["trade_date"].astype(str))})
    for name in ("open", "high", "low", "close", "pre_close"):
        table[f"{name}_cny"] = rows[f"{name}{suffix}"].astype(float)
    table = table.assign(volume_shares=rows["vol"] * 100.0, amount_cny=rows["amount"] * 1000.0)
    return table.assign(adj_factor=rows.get("adj_factor", pd.Series(1.0, index=rows.index)))[list(BARS)]


@pytest.mark.parametrize("stock", ["600519.SH", "002594.SZ", "600036.SH"])
def test_back_adjusted_prices_named_like_raw_ones(stock: str, real_data_dir: Path) -> None:
    folder = real_data_dir / "licensed" / "bancob"
    sold_as_raw = outcomes({"bars": bancob(folder / f"stock__raw__{stock}_indiv_d.csv")})
    assert sold_as_raw["bars.average_price_in_range"].blocks
    raw = outcomes({"bars": bancob(folder / f"stock__raw__{stock}_indiv_techin.csv")})
    assert raw["bars.average_price_in_range"].passed
    assert raw["bars.prices_on_tick"].passed
    assert [name for name, result in raw.items() if result.blocks or result.quarantines] == []


def test_float_noise_of_a_real_factor_is_no_ex_date(real_data_dir: Path) -> None:
    found = {}
    for path in sorted((real_data_dir / "licensed" / "bancob").glob("stock__raw__*_techin.csv")):
        bars = bancob(path)
        found[path.name] = outcomes({"bars": bars})["bars.factor_steps_are_real"].measured["bad"]
        steps = bars["adj_factor"].pct_change().abs()
        assert found[path.name] == int(((steps > 0) & (steps < 1e-4)).sum())
    assert sum(found.values()) > 0


def test_forty_nine_of_fifty_members(real_data_dir: Path) -> None:
    rows = pd.read_parquet(real_data_dir / "nolicence" / "nymath" / "sse50_constituents_daily_2005_2023.parquet")
    days = pd.DatetimeIndex(pd.to_datetime(rows["trade_date"].unique()))
    place = days.get_indexer(pd.DatetimeIndex(pd.to_datetime(rows["trade_date"])))
    rows = rows.assign(place=place).sort_values(["code", "place"], ignore_index=True)
    fresh = (rows["place"].diff() != 1) | (rows["code"] != rows["code"].shift())
    spans = rows.groupby(fresh.cumsum()).agg(code=("code", "first"), start=("place", "first"), end=("place", "last"))
    members = pd.DataFrame(
        {
            "index_code": "000016.SH",
            "symbol": spans["code"].to_numpy(),
            "start_date": days[spans["start"]],
            "end_date": days[spans["end"]],
        }
    )
    described = SourceDescription("nymath", False, "raw", ())
    found = {result.name: result for result in run_checks({"index_members": members}, described, days)}
    assert found["index_members.count_is_usual"].measured["bad"] == 436
    assert "49 members, usually 50" in found["index_members.count_is_usual"].message
    assert found["index_members.do_not_overlap"].passed


def test_flat_index_bars_without_volume_before_the_index_was_published(real_data_dir: Path) -> None:
    rows = pd.read_csv(real_data_dir / "nolicence" / "sunday2018" / "000300.csv", encoding="gbk", na_values="None")
    rows = rows[pd.to_datetime(rows["日期"]) >= "2002-01-01"].iloc[::-1].reset_index(drop=True)
    table = pd.DataFrame({"index_code": "000300.SH", "session_date": pd.to_datetime(rows["日期"])})
    for name, column in (("open", "开盘价"), ("high", "最高价"), ("low", "最低价"), ("close", "收盘价")):
        table[f"{name}_points"] = rows[column].astype(float)
    table = table.assign(volume_shares=rows["成交量"].astype(float), amount_cny=rows["成交金额"].astype(float))
    table[["open_points", "high_points", "low_points"]] = (
        table[["open_points", "high_points", "low_points"]].replace(0.0, np.nan).bfill(axis=1)
    )
    for column in ("open_points", "high_points", "low_points"):
        table[column] = table[column].fillna(table["close_points"])
    table["volume_shares"] = table["volume_shares"].fillna(0.0)
    flat = outcomes({"index_bars": table[list(INDEX_BARS)]})["index_bars.not_flat_untraded"]
    assert flat.severity == "warn"
    assert not flat.passed
    assert pd.DatetimeIndex(table["session_date"].take(flat.rows)).max() < pd.Timestamp("2005-04-09")


def test_indices_of_another_schema_among_stocks_are_refused_where_they_are_read(real_data_dir: Path) -> None:
    path = real_data_dir / "licensed" / "qbot" / "daily_raw_2019_2020_dirty.parquet"
    with pytest.raises(LjwxError, match="both look like session_date"):
        FolderSource(folder_settings(path)).bars(FIRST, LAST)


def test_real_restatement_by_forward_adjustment_is_a_rewritten_history(real_data_dir: Path) -> None:
    folder = real_data_dir / "licensed" / "qbot"
    names = {"ts_code": "symbol", "trade_date": "session_date"}
    both = []
    for name in ("600519_raw.csv", "600519.SH_qfq.csv"):
        frame = pd.read_csv(folder / name)[[*names, "close", "vol"]].rename(columns=names)
        frame["session_date"] = pd.to_datetime(frame["session_date"].astype(str))
        both.append(frame.drop_duplicates(["symbol", "session_date"]))
    assert came_again(*both).blocks
