"""The folder source takes what providers write and refuses dirt by file, row and remedy."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ljwx_pipeline.errors import DataQualityError, LjwxError, SourceError
from ljwx_pipeline.market.calendar import sessions_between
from ljwx_pipeline.market.tables import BARS, INDEX_BARS, SECURITIES
from ljwx_pipeline.sources.folder import FolderSource
from tests.fakes.provider_files import CODES, folder_settings, tushare_daily, tushare_index

FIRST, LAST = date(2015, 1, 1), date(2026, 12, 31)


@pytest.fixture
def index_file(tmp_path: Path) -> Path:
    path = tmp_path / "index.csv"
    tushare_index(sessions=120).to_csv(path, index=False)
    return path


@pytest.fixture
def data_file(tmp_path: Path) -> Path:
    path = tmp_path / "bars.csv"
    tushare_daily().to_csv(path, index=False)
    return path


def bars_of(frame: pd.DataFrame, tmp_path: Path, **changes: object) -> pd.DataFrame:
    path = tmp_path / "given.csv"
    frame.to_csv(path, index=False)
    return FolderSource(folder_settings(path, **changes)).bars(FIRST, LAST)


def test_tushare_bars_become_canonical(tmp_path: Path) -> None:
    given = tushare_daily()
    bars = bars_of(given, tmp_path)
    assert list(bars.columns) == list(BARS)
    assert bars["session_date"].dtype == "datetime64[ns]"
    assert bars[["session_date", "symbol"]].equals(
        bars[["session_date", "symbol"]].sort_values(["session_date", "symbol"])
    )
    wanted = given.sort_values(["trade_date", "ts_code"], ignore_index=True)
    assert bars["symbol"].tolist() == wanted["ts_code"].tolist()
    np.testing.assert_allclose(bars["volume_shares"], wanted["vol"] * 100)
    np.testing.assert_allclose(bars["amount_cny"], wanted["amount"] * 1000)
    np.testing.assert_array_equal(bars["close_cny"], wanted["close"])


def akshare_hist(frame: pd.DataFrame) -> pd.DataFrame:
    names = {
        "ts_code": "股票代码",
        "trade_date": "日期",
        "open": "开盘",
        "close": "收盘",
        "high": "最高",
        "low": "最低",
    }
    out = frame.rename(columns={**names, "vol": "成交量", "amount": "成交额"})
    out["涨跌额"] = out["收盘"] - out.pop("pre_close")
    return out.assign(股票代码=out["股票代码"].str[:6], 成交额=out["成交额"] * 1000)


def akshare_daily(frame: pd.DataFrame) -> pd.DataFrame:
    out = frame.rename(columns={"ts_code": "symbol", "trade_date": "date", "vol": "volume"})
    out["date"] = pd.to_datetime(out["date"]).dt.strftime("%Y-%m-%d")
    out["symbol"] = out["symbol"].str[-2:].str.lower() + out["symbol"].str[:6]
    return out.assign(volume=out["volume"] * 100, amount=out["amount"] * 1000, outstanding_share=1e9)


def baostock(frame: pd.DataFrame) -> pd.DataFrame:
    out = (
        akshare_daily(frame)
        .drop(columns="outstanding_share")
        .rename(columns={"symbol": "code", "pre_close": "preclose"})
    )
    out["code"] = out["code"].str[:2] + "." + out["code"].str[2:]
    return out.assign(tradestatus=1, isST=0)


@pytest.mark.parametrize("spelling", [akshare_hist, akshare_daily, baostock])
def test_other_providers_say_the_same_thing(spelling: Callable[[pd.DataFrame], pd.DataFrame], tmp_path: Path) -> None:
    given = tushare_daily(sessions=120)
    pd.testing.assert_frame_equal(bars_of(spelling(given), tmp_path), bars_of(given, tmp_path))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gbk"])
def test_encodings_are_recognised(encoding: str, tmp_path: Path) -> None:
    given = tushare_daily()
    path = tmp_path / "given.csv"
    akshare_hist(given).assign(名称="浦发银行").to_csv(path, index=False, encoding=encoding)
    source = FolderSource(folder_settings(path))
    pd.testing.assert_frame_equal(source.bars(FIRST, LAST), bars_of(given, tmp_path))
    assert set(source.securities()["name"]) == {"浦发银行"}


def test_a_folder_of_files_named_by_code_is_one_panel(tmp_path: Path) -> None:
    given = tushare_daily()
    folder = tmp_path / "many"
    folder.mkdir()
    for code, part in given.groupby("ts_code"):
        path = folder / f"{code}.csv"
        part.drop(columns="ts_code").to_csv(path, index=False)
    (folder / ".hidden.csv").write_text("not data")
    (folder / "README.md").write_text("not data")
    pd.testing.assert_frame_equal(FolderSource(folder_settings(folder)).bars(FIRST, LAST), bars_of(given, tmp_path))


def test_parquet_with_real_dates_reads_like_csv_with_text_dates(tmp_path: Path) -> None:
    given = tushare_daily()
    path = tmp_path / "given.parquet"
    given.assign(trade_date=pd.to_datetime(given["trade_date"])).to_parquet(path)
    pd.testing.assert_frame_equal(FolderSource(folder_settings(path)).bars(FIRST, LAST), bars_of(given, tmp_path))


def test_newest_first_and_unsorted_files_are_sorted(tmp_path: Path) -> None:
    given = tushare_daily()
    shuffled = given.sample(frac=1, random_state=3)
    pd.testing.assert_frame_equal(bars_of(shuffled, tmp_path), bars_of(given, tmp_path))


def test_declared_columns_win_over_spellings(tmp_path: Path) -> None:
    given = tushare_daily()
    renamed = given.rename(columns={"close": "px_last", "vol": "qty"})
    declared = {"close": "px_last", "volume": "qty"}
    pd.testing.assert_frame_equal(bars_of(renamed, tmp_path, columns=declared), bars_of(given, tmp_path))


def test_the_split_of_a_raw_series_shows_in_the_derived_factor(tmp_path: Path) -> None:
    bars = bars_of(tushare_daily(sessions=150), tmp_path)
    split = bars[bars["symbol"] == CODES[0]].reset_index(drop=True)
    assert (split["adj_factor"].iloc[:100] == 1.0).all()
    np.testing.assert_allclose(split["adj_factor"].iloc[100:], 2.0, rtol=2e-3)
    assert (bars.loc[bars["symbol"] != CODES[0], "adj_factor"] == 1.0).all()


def test_a_factor_column_is_taken_and_gives_the_reference_price(tmp_path: Path) -> None:
    given = tushare_daily(sessions=150)
    split = given["ts_code"].eq(CODES[0]) & (given["trade_date"] >= sorted(given["trade_date"].unique())[100])
    with_factor = given.assign(adj_factor=np.where(split, 2.0, 1.0))
    bars = bars_of(with_factor.drop(columns="pre_close"), tmp_path)
    truth = bars_of(with_factor, tmp_path)
    np.testing.assert_array_equal(bars["adj_factor"], truth["adj_factor"])
    later = bars["session_date"] > bars["session_date"].iloc[0]
    np.testing.assert_allclose(bars.loc[later, "pre_close_cny"], truth.loc[later, "pre_close_cny"], atol=0.0051)


def test_float_noise_in_a_factor_is_no_ex_date(tmp_path: Path) -> None:
    given = tushare_daily()
    noisy = given.assign(adj_factor=np.where(np.arange(len(given)) % 2 == 0, 5.714, 5.7142))
    bars = bars_of(noisy, tmp_path)
    assert bars.groupby("symbol")["adj_factor"].nunique().eq(1).all()


def test_under_a_declared_adjustment_the_factor_is_one_and_the_previous_close_is_the_reference(
    tmp_path: Path, index_file: Path
) -> None:
    path = tmp_path / "given.csv"
    tushare_daily().drop(columns="pre_close").to_csv(path, index=False)
    source = FolderSource(folder_settings(path, index_file, adjustment="forward"))
    one = source.bars(FIRST, LAST).query("symbol == @CODES[1]", local_dict={"CODES": CODES})
    assert (one["adj_factor"] == 1.0).all()
    assert one["pre_close_cny"].iloc[1:].tolist() == one["close_cny"].iloc[:-1].tolist()
    assert one["pre_close_cny"].iloc[0] == one["open_cny"].iloc[0]
    said = " ".join(f"{item.what}: {item.consequence}" for item in source.describe().unknown)
    assert "raw prices" in said
    assert "previous close under the declared adjustment" in said
    assert "first bars" in said


def test_sessions_without_trading_are_absent_and_st_flags_become_spells(tmp_path: Path, index_file: Path) -> None:
    given = baostock(tushare_daily(sessions=40))
    days = sorted(given["date"].unique())
    st = given["code"].eq("sz.000002") & given["date"].between(days[5], days[9])
    open_ended = given["code"].eq("sz.300003") & (given["date"] >= days[30])
    halted = given["code"].eq("sh.600001") & given["date"].isin(days[10:12])
    given.loc[st | open_ended, "isST"] = 1
    given.loc[halted, "tradestatus"] = 0
    given.loc[halted, ["volume", "amount"]] = np.nan
    path = tmp_path / "given.csv"
    given.to_csv(path, index=False)
    source = FolderSource(folder_settings(path, index_file))
    assert len(source.bars(FIRST, LAST)) == len(given) - 2
    spells = source.st_spells()
    assert spells["symbol"].tolist() == ["000002.SZ", "300003.SZ"]
    assert spells["start_date"].tolist() == [pd.Timestamp(days[5]), pd.Timestamp(days[30])]
    assert spells["end_date"].iloc[0] == pd.Timestamp(days[9])
    assert pd.isna(spells["end_date"].iloc[1])
    said = [item.what for item in source.describe().unknown]
    assert "ST spells" not in said
    assert "2 rows without trading" in said


def test_what_the_files_cannot_say_is_said_with_its_consequence(data_file: Path, index_file: Path) -> None:
    source = FolderSource(folder_settings(data_file, index_file))
    description = source.describe()
    assert (description.name, description.simulated, description.adjustment) == ("folder", False, "raw")
    said = {item.what: item.consequence for item in description.unknown}
    assert "survivors" in said["delistings and true listing dates"]
    assert "5 % price limit" in said["ST spells"]
    assert "volume in lots and amount in thousand_cny" in said["units (not declared)"]
    for name in ("industries", "index_members", "corporate_actions", "st_spells"):
        assert getattr(source, name)().empty
    for name in ("market_values", "news", "macro"):
        assert getattr(source, name)(FIRST, LAST).empty


def test_securities_are_listed_from_their_first_bar_on_the_board_of_their_code(data_file: Path) -> None:
    securities = FolderSource(folder_settings(data_file)).securities()
    assert list(securities.columns) == list(SECURITIES)
    assert dict(zip(securities["symbol"], securities["board"], strict=True)) == {
        "000002.SZ": 0,
        "300003.SZ": 1,
        "600001.SH": 0,
    }
    assert (securities["list_date"] == pd.Timestamp("2018-01-02")).all()
    assert securities["delist_date"].isna().all()


def test_ranges_are_inclusive_and_sessions_end_with_the_data(data_file: Path) -> None:
    source = FolderSource(folder_settings(data_file))
    days = sessions_between(date(2018, 1, 2), date(2018, 12, 31))[:60]
    assert source.sessions(FIRST, LAST).equals(days)
    part = source.bars(days[3].date(), days[5].date())
    assert part["session_date"].unique().tolist() == days[3:6].tolist()
    assert source.sessions(days[3].date(), days[5].date()).equals(days[3:6])


def test_index_bars_are_canonical_with_plausible_turnover(data_file: Path, index_file: Path) -> None:
    index = FolderSource(folder_settings(data_file, index_file)).index_bars(FIRST, LAST)
    assert list(index.columns) == list(INDEX_BARS)
    assert set(index["index_code"]) == {"000905.SH"}
    assert (index["amount_cny"] / index["volume_shares"]).between(8.9, 11.1).all()


def test_an_index_of_closes_only_is_enough(data_file: Path, tmp_path: Path) -> None:
    path = tmp_path / "399006.csv"
    tushare_index()[["trade_date", "close"]].to_csv(path, index=False)
    index = FolderSource(folder_settings(data_file, path)).index_bars(FIRST, LAST)
    assert set(index["index_code"]) == {"399006.SZ"}
    assert (index["open_points"] == index["close_points"]).all()
    assert index["amount_cny"].isna().all()


def test_netease_history_with_apostrophes_none_and_gbk_is_read(data_file: Path, tmp_path: Path) -> None:
    given = tushare_index("399006.SZ").iloc[::-1]
    path = tmp_path / "x.csv"
    pd.DataFrame(
        {
            "日期": pd.to_datetime(given["trade_date"]).dt.strftime("%Y-%m-%d"),
            "股票代码": "'399006",
            "名称": "创业板指",
            "收盘价": given["close"],
            "前收盘": [*given["close"].iloc[1:].astype(str), "None"],
            "成交量": given["vol"] * 100,
            "成交金额": given["amount"] * 1000,
        }
    ).to_csv(path, index=False, encoding="gbk")
    index = FolderSource(folder_settings(data_file, path)).index_bars(FIRST, LAST)
    assert set(index["index_code"]) == {"399006.SZ"}
    np.testing.assert_allclose(index["close_points"], given["close"].iloc[::-1])


# Bad input: one clear message with the file, the row or key, and the remedy.


def refused(action: Callable[[], object], *parts: str) -> LjwxError:
    with pytest.raises(LjwxError) as caught:
        action()
    for part in parts:
        assert part in str(caught.value)
    assert caught.value.remedy
    return caught.value


def test_missing_paths_are_named(tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    for given, part in ((tmp_path / "nowhere", "does not exist"), ("", "names no file"), (empty, "holds no .csv")):
        refused(
            lambda given=given: FolderSource(folder_settings(given)).bars(FIRST, LAST),
            "folder.data" if given != empty else str(empty),
            part,
        )


def test_a_missing_index_is_named(data_file: Path, index_file: Path, tmp_path: Path) -> None:
    refused(
        lambda: FolderSource(folder_settings(data_file)).index_bars(FIRST, LAST), "folder.index_data", "--index-data"
    )
    refused(
        lambda: FolderSource(folder_settings(data_file, tmp_path / "no.csv")).index_bars(FIRST, LAST),
        "folder.index_data",
        "does not exist",
    )
    source = FolderSource(folder_settings(data_file, index_file), required_indices=("000905.SH", "399006.SZ"))
    refused(lambda: source.index_bars(FIRST, LAST), "holds 000905.SH but not 399006.SZ", "gate.benchmark")

    refused(lambda: source.index_bars(FIRST, LAST), "--index-data", "evaluation.indices")


def test_a_misspelt_column_suggests_the_close_match(tmp_path: Path) -> None:
    error = refused(
        lambda: bars_of(tushare_daily().rename(columns={"close": "clsoe"}), tmp_path),
        "given.csv",
        "no column for close",
        "did you mean 'clsoe'",
        "folder.columns = { close",
    )
    assert isinstance(error, SourceError)


def test_a_missing_column_and_a_wrong_declaration_are_named(tmp_path: Path) -> None:
    refused(lambda: bars_of(tushare_daily().drop(columns="vol"), tmp_path), "no column for volume", "成交量")
    refused(
        lambda: bars_of(tushare_daily(), tmp_path, columns={"close": "last"}),
        "no column 'last'",
        "folder.columns.close",
    )


def test_two_columns_for_one_role_are_a_question_not_a_guess(tmp_path: Path) -> None:
    frame = tushare_daily()
    refused(
        lambda: bars_of(frame.assign(volume=frame["vol"]), tmp_path),
        "vol and volume",
        'folder.columns = { volume = "vol" }',
    )
    assert len(bars_of(frame.assign(volume=frame["vol"]), tmp_path, columns={"volume": "vol"})) == len(frame)


def spoil(column: str, value: object) -> pd.DataFrame:
    frame = tushare_daily().astype({column: object})
    frame.loc[7, column] = value
    return frame


@pytest.mark.parametrize(
    ("column", "value", "parts"),
    [
        ("close", "abc", ("data row 8, column close: 'abc' is not a number",)),
        ("close", np.nan, ("data row 8", "close is empty")),
        ("close", -1.0, ("data row 8", "close is -1")),
        ("low", 0.0, ("data row 8", "low is 0")),
        ("vol", -5.0, ("data row 8", "vol", "below zero")),
        ("amount", "inf", ("data row 8, column amount",)),
        ("high", 0.01, ("data row 8", "high 0.01 is below low")),
        ("pre_close", -3.0, ("data row 8", "reference price")),
        ("trade_date", "2018-13-45", ("data row 8, column trade_date: '2018-13-45' is not a date",)),
        ("trade_date", "9999-01-01", ("data row 8, column trade_date: '9999-01-01' is not a date",)),
        ("trade_date", "20180106", ("data row 8", "no session")),
        ("trade_date", "20991231", ("data row 8", "no session", "exchange-calendars")),
        ("ts_code", "399986.SZ", ("data row 8", "'399986.SZ'", "600519.SH")),
        ("ts_code", "AAPL", ("data row 8", "'AAPL'")),
        ("ts_code", np.nan, ("data row 8 has no code",)),
    ],
)
def test_a_bad_cell_is_named_by_file_and_row(
    column: str, value: object, parts: tuple[str, ...], tmp_path: Path
) -> None:
    refused(lambda: bars_of(spoil(column, value), tmp_path), "given.csv", *parts)


def test_a_repeated_row_names_both_places(tmp_path: Path) -> None:
    frame = tushare_daily()
    error = refused(
        lambda: bars_of(pd.concat([frame, frame.iloc[[4]]]), tmp_path),
        f"data row {len(frame) + 1}",
        "repeats",
        "data row 5",
        "keep one row",
    )
    assert isinstance(error, DataQualityError)


def test_lots_declared_as_shares_are_found_out(tmp_path: Path) -> None:
    for changes in ({"volume_unit": "shares"}, {"volume_unit": "shares", "amount_unit": "thousand_cny"}):
        for adjustment in ("raw", "forward"):
            refused(
                lambda c=changes, a=adjustment: bars_of(tushare_daily(), tmp_path, adjustment=a, **c),
                "folder.volume_unit = shares",
                'set folder.volume_unit = "lots"',
            )


def adjusted(frame: pd.DataFrame, factor: float) -> pd.DataFrame:
    prices = ["open", "high", "low", "close", "pre_close"]
    return frame.assign(**{name: (frame[name] * factor).round(4) for name in prices})


def test_adjusted_prices_passed_off_as_raw_are_found_out(tmp_path: Path) -> None:
    error = refused(
        lambda: bars_of(adjusted(tushare_daily(), 0.7), tmp_path), "given.csv", "not raw", "--adjustment forward"
    )
    assert isinstance(error, DataQualityError)


def many_splits() -> pd.DataFrame:
    """Raw bars of 25 symbols, each of which splits once."""
    one = tushare_daily(sessions=110)
    one = one[one["ts_code"] == one["ts_code"].iloc[0]]
    return pd.concat([_renumbered(one, i) for i in range(25)])


def test_raw_prices_passed_off_as_forward_adjusted_are_found_out(tmp_path: Path) -> None:
    frame = many_splits()
    steps = frame.assign(adj_factor=np.where(frame["trade_date"] < "20180601", 1.0, 2.0)).drop(columns="pre_close")
    for given in (frame, frame.assign(change=frame["close"] - frame["pre_close"]).drop(columns="pre_close"), steps):
        error = refused(
            lambda g=given: bars_of(g, tmp_path, adjustment="forward"),
            "given.csv",
            "an ex-date in 25 rows: these prices are raw",
            "--adjustment raw",
        )
        assert isinstance(error, DataQualityError)


def test_forward_adjusted_prices_that_show_no_ex_date_load(tmp_path: Path) -> None:
    frame = many_splits()
    calm = frame[frame["trade_date"] < frame["trade_date"].unique()[100]]
    for given in (calm, calm.assign(adj_factor=1.0), calm.drop(columns="pre_close")):
        assert len(bars_of(given, tmp_path, adjustment="forward")) == len(given)


def test_one_adjusted_symbol_among_raw_ones_is_found_out(tmp_path: Path) -> None:
    raw = pd.concat([_renumbered(tushare_daily(sessions=30, seed=i), i) for i in range(20)])
    one = raw["ts_code"] == "600051.SH"
    mixed = pd.concat([raw[~one], adjusted(raw[one], 0.7)])
    refused(lambda: bars_of(mixed, tmp_path), "600051.SH", "while the others are raw")


def _renumbered(frame: pd.DataFrame, i: int) -> pd.DataFrame:
    return frame.assign(ts_code=frame["ts_code"].str.slice_replace(3, 5, f"{i:02d}"))


def test_units_of_back_adjusted_prices_must_be_declared_or_spelt(tmp_path: Path) -> None:
    frame = adjusted(tushare_daily(), 30.0)
    assert len(bars_of(frame, tmp_path, adjustment="backward")) == len(frame)  # tushare's spelling tells
    unspelt = frame.rename(columns={"vol": "volume", "trade_date": "date"})
    refused(lambda: bars_of(unspelt, tmp_path, adjustment="backward"), "cannot be inferred", "folder.volume_unit")
    declared = {"volume_unit": "lots", "amount_unit": "thousand_cny"}
    bars = bars_of(unspelt, tmp_path, adjustment="backward", **declared)
    np.testing.assert_allclose(bars["volume_shares"].sum(), frame["vol"].sum() * 100)


def test_raw_prices_that_hide_ex_dates_are_refused(tmp_path: Path) -> None:
    refused(
        lambda: bars_of(tushare_daily().drop(columns="pre_close"), tmp_path), "ex-dates cannot be seen", "adj_factor"
    )
    refused(lambda: bars_of(tushare_daily().assign(adj_factor=0.0), tmp_path), "adj_factor is 0")


def test_an_empty_range_says_what_the_files_hold(data_file: Path, index_file: Path) -> None:
    source = FolderSource(folder_settings(data_file, index_file))
    for method in ("bars", "index_bars", "sessions"):
        refused(
            lambda m=method: getattr(source, m)(date(2001, 1, 1), date(2001, 12, 31)),
            "no row from 2001-01-01 to 2001-12-31",
            "2018-01-02 to 2018",
            "source.first_session",
        )


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    cases = {
        "empty.csv": (b"", "is empty"),
        "header.csv": (b"ts_code,trade_date,open,high,low,close,vol,amount\n", "no rows"),
        "binary.csv": (bytes([0xFF, 0xFE, 0x80, 0x00, 0xFF, 0xFF]), "neither UTF-8 nor GBK"),
        "ragged.csv": (b"ts_code,trade_date\na,b\na,b,c,d\n", "no column for open"),
        "damaged.parquet": (b"PAR1 and then nothing PAR1", "damaged"),
    }
    for name, (data, part) in cases.items():
        path = tmp_path / name
        path.write_bytes(data)
        refused(lambda p=path: FolderSource(folder_settings(p)).bars(FIRST, LAST), name, part)


def test_a_parquet_damaged_in_the_middle_is_named(tmp_path: Path) -> None:
    path = tmp_path / "bars.parquet"
    tushare_daily().to_parquet(path)
    data = bytearray(path.read_bytes())
    data[40:400] = bytes(360)
    path.write_bytes(data)
    refused(lambda: FolderSource(folder_settings(path)).bars(FIRST, LAST), "bars.parquet", "damaged")


def test_a_line_with_too_many_cells_is_named(tmp_path: Path, data_file: Path) -> None:
    lines = data_file.read_text().splitlines()
    lines[3] += ",1,2,3"
    path = tmp_path / "ragged.csv"
    path.write_text("\n".join(lines))
    refused(lambda: FolderSource(folder_settings(path)).bars(FIRST, LAST), "ragged.csv", "line 4")


def test_rows_that_all_have_too_many_cells_are_refused(tmp_path: Path, data_file: Path) -> None:
    header, *lines = data_file.read_text().splitlines()
    path = tmp_path / "ragged.csv"
    path.write_text("\n".join([header, *(f"{line},1" for line in lines)]))
    refused(lambda: FolderSource(folder_settings(path)).bars(FIRST, LAST), "ragged.csv", "more cells than its header")


def test_a_file_without_any_code_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "prices.csv"
    tushare_daily().drop(columns="ts_code").to_csv(path, index=False)
    refused(lambda: FolderSource(folder_settings(path)).bars(FIRST, LAST), "prices.csv", "code", "name the file")


def test_only_silent_rows_are_refused(tmp_path: Path) -> None:
    refused(lambda: bars_of(tushare_daily().assign(vol=0.0, amount=0.0), tmp_path), "no bar with any trading")


def index_of(frame: pd.DataFrame, data_file: Path, tmp_path: Path) -> pd.DataFrame:
    path = tmp_path / "000016.SH.csv"
    frame.to_csv(path, index=False)
    return FolderSource(folder_settings(data_file, path)).index_bars(FIRST, LAST)


def test_an_index_that_turns_into_a_stock_is_found_out(data_file: Path, tmp_path: Path) -> None:
    frame = tushare_index("000016.SH")
    frame.loc[56:, ["open", "high", "low", "close"]] /= 600
    frame.loc[56:, "ts_code"] = np.nan
    refused(lambda: index_of(frame, data_file, tmp_path), "data row 57", "level jumps", "perhaps a stock")


def test_a_stock_under_an_index_code_is_found_out_raw_or_adjusted(data_file: Path, tmp_path: Path) -> None:
    stock = tushare_daily().query("ts_code == '000002.SZ'").drop(columns="ts_code")
    refused(lambda: index_of(stock, data_file, tmp_path), "000016.SH is no index", "[low, high]")
    refused(lambda: index_of(adjusted(stock, 0.9), data_file, tmp_path), "000016.SH is no index", "costs")


@pytest.mark.parametrize(
    ("change", "part"),
    [
        (lambda f: pd.concat([f, f.iloc[[3]]]), "given twice"),
        (lambda f: f.assign(close=f["close"].where(f.index != 5, 0.0)), "close is 0"),
        (lambda f: f.assign(trade_date=f["trade_date"].where(f.index != 5, "20180106")), "no session"),
        (lambda f: f.assign(trade_date="1995" + f["trade_date"].str[4:]), "ends before"),
    ],
)
def test_dirt_in_an_index_is_named(
    change: Callable[[pd.DataFrame], pd.DataFrame], part: str, data_file: Path, tmp_path: Path
) -> None:
    refused(lambda: index_of(change(tushare_index("000016.SH")), data_file, tmp_path), "000016.SH.csv", part)


def test_one_index_from_two_files_is_refused(data_file: Path, index_file: Path, tmp_path: Path) -> None:
    second = tmp_path / "again.csv"
    second.write_bytes(index_file.read_bytes())
    source = FolderSource(folder_settings(data_file, index_file, second))
    refused(lambda: source.index_bars(FIRST, LAST), "000905.SH is given twice", "one file")


def test_an_index_with_implausible_turnover_keeps_its_levels_and_says_so(data_file: Path, tmp_path: Path) -> None:
    frame = tushare_index("000016.SH")
    path = tmp_path / "000016.SH.csv"
    frame.assign(amount=frame["amount"] * 1e9).to_csv(path, index=False)
    source = FolderSource(folder_settings(data_file, path))
    index = source.index_bars(FIRST, LAST)
    assert index["amount_cny"].isna().all()
    assert index["close_points"].notna().all()
    assert any("left out" in item.consequence for item in source.describe().unknown)
