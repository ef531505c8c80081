"""Dirt as data: the mistakes seen in real A-share files, put into clean tables, and the check that must find each.

A kind changes tables (``TABLE_KINDS``) or the files the folder source reads (``FILE_KINDS``). Not here: the clean
tables, and the judging (``tests/quality/test_dirt.py``, ``benchmarks/dirt_corpus.py``).
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import pandas as pd

from ljwx_pipeline.config import SimulatedSettings
from ljwx_pipeline.errors import LjwxError
from ljwx_pipeline.ingest.rewrites import history_not_restated, note_rewrites
from ljwx_pipeline.ingest.store import store_whole_months
from ljwx_pipeline.lake import Lake
from ljwx_pipeline.market.tables import SourceDescription
from ljwx_pipeline.quality.anomalies import ANOMALIES
from ljwx_pipeline.quality.checks import CHECKS
from ljwx_pipeline.quality.history import feed_on_time
from ljwx_pipeline.quality.quarantine import split
from ljwx_pipeline.quality.reconcile import reconcile
from ljwx_pipeline.quality.results import CheckResult
from ljwx_pipeline.quality.run import run_checks
from ljwx_pipeline.sources.folder.source import FolderSource
from ljwx_pipeline.sources.simulated.source import SimulatedMarket
from tests.fakes.provider_files import folder_settings, tushare_daily, tushare_index

Tables = dict[str, pd.DataFrame]
PRICES = ["open_cny", "high_cny", "low_cny", "close_cny", "pre_close_cny"]
LEVELS = ["open_points", "high_points", "low_points", "close_points"]
#: The profiles' ``quality.max_restated_frac``.
MAX_RESTATED_FRAC = 0.2
FIRST, LAST = date(2010, 1, 1), date(2026, 12, 31)


@dataclass(frozen=True)
class TableDirt:
    """One kind of dirt in tables.

    ``judge`` of ``run`` is every check over the dirty tables, ``split`` the quarantine that follows; ``restated``,
    ``reconcile`` and ``lag`` compare them with the clean ones. ``real`` says whether bars, securities and indices alone
    are enough to show it.
    """

    name: str
    inject: Callable[[Tables, np.random.Generator], Tables]
    check: str
    severity: str
    adjustment: str = "raw"
    judge: str = "run"
    real: bool = True


@dataclass(frozen=True)
class FileDirt:
    """One kind of dirt in files: refused with ``said``, or with an empty ``said`` read as if it were clean."""

    name: str
    load: Callable[[Path], pd.DataFrame]
    said: str


def clean_market() -> tuple[Tables, pd.DatetimeIndex]:
    """Return every table of three years of a small simulated market, and its sessions."""
    market = SimulatedMarket(SimulatedSettings(seed=11, symbols=60, oracle_rank_ic=0.11))
    first, last = date(2021, 1, 4), date(2023, 12, 29)
    tables = {
        "bars": market.bars(first, last),
        "index_bars": market.index_bars(first, last),
        "securities": market.securities(),
        "st_spells": market.st_spells(),
        "industries": market.industries(),
        "index_members": market.index_members(),
        "corporate_actions": market.corporate_actions(),
        "suspensions": market.suspensions(first, last),
        "price_limits": market.price_limits(first, last),
    }
    return tables, market.sessions(first, last)


def judged(
    kind: TableDirt, clean: Tables, sessions: pd.DatetimeIndex, rng: np.random.Generator
) -> Mapping[str, CheckResult]:
    """Return the results by name of judging ``clean`` with ``kind`` put into it."""
    dirty = kind.inject({name: frame.copy() for name, frame in clean.items()}, rng)
    if kind.judge == "restated":
        results = [came_again(clean["bars"], dirty["bars"])]
    elif kind.judge == "reconcile":
        results = [reconcile(clean["bars"], dirty["bars"]).result]
    elif kind.judge == "lag":
        known = dirty["known_at"].set_index("session_date")["known_at"]
        results = [feed_on_time(sessions, known)]
    else:
        results = all_results(dirty, sessions, kind.adjustment)
    if kind.judge == "split":
        results = [split("bars", dirty["bars"], results, at=datetime(2026, 1, 2, tzinfo=UTC)).session_share]
    return {result.name: result for result in results}


def came_again(before: pd.DataFrame, after: pd.DataFrame) -> CheckResult:
    """Return the verdict on a lake that held ``before`` and was given ``after`` for the same months."""
    with tempfile.TemporaryDirectory() as folder:
        lake = Lake(Path(folder) / "lake")
        for day, bars in enumerate((before, after), start=2):
            months = {f"{month}-01": rows for month, rows in bars.groupby(bars["session_date"].dt.strftime("%Y-%m"))}
            stored = store_whole_months(lake, "raw_bars", months, datetime(2026, 1, day, tzinfo=UTC))
        changed = [month for month in stored if month.restated_rows]
        noted = note_rewrites(Path(folder) / "rewrites.json", changed, max_frac=MAX_RESTATED_FRAC)
    return history_not_restated(noted, max_frac=MAX_RESTATED_FRAC)


def all_results(tables: Tables, sessions: pd.DatetimeIndex, adjustment: str = "raw") -> list[CheckResult]:
    """Return every check and statistic over ``tables``."""
    described = SourceDescription("corpus", False, adjustment, ())
    return run_checks(tables, described, sessions, as_of=sessions[-1].date(), checks=(*CHECKS, *ANOMALIES))


# --- what the kinds are made of -------------------------------------------------------------------------------------


def some_rows(tables: Tables, rng: np.random.Generator, count: int = 5) -> pd.Index:
    """Return rows of settled symbols, away from the first sessions and each other."""
    bars = tables["bars"]
    age = bars.groupby("symbol").cumcount()
    left = bars.groupby("symbol").cumcount(ascending=False)
    settled = bars.index[((age > 30) & (left > 30)).to_numpy()]
    return pd.Index(np.sort(rng.choice(settled, count, replace=False)))


def one_symbol(tables: Tables) -> pd.Index:
    """Return all rows of the symbol with the most of them, ascending by session."""
    bars = tables["bars"]
    return bars.index[bars["symbol"] == bars["symbol"].value_counts().sort_index().idxmax()]


def cells(count: int = 5, **values: object) -> Callable[[Tables, np.random.Generator], Tables]:
    """Put values, or what a function makes of the rows, into the columns of some rows."""

    def inject(tables: Tables, rng: np.random.Generator) -> Tables:
        rows = some_rows(tables, rng, count)
        for column, value in values.items():
            made = value(tables["bars"].loc[rows]) if callable(value) else value
            tables["bars"].loc[rows, column] = made
        return tables

    return inject


def columns(names: list[str], factor: float) -> Callable[[Tables, np.random.Generator], Tables]:
    """Multiply whole columns."""

    def inject(tables: Tables, rng: np.random.Generator) -> Tables:
        tables["bars"][names] *= factor
        return tables

    return inject


def scaled_rows(factor: float, names: list[str], count: int = 5) -> Callable[[Tables, np.random.Generator], Tables]:
    """Multiply columns of some rows."""

    def inject(tables: Tables, rng: np.random.Generator) -> Tables:
        tables["bars"].loc[some_rows(tables, rng, count), names] *= factor
        return tables

    return inject


def appended(
    make: Callable[[pd.DataFrame], pd.DataFrame], count: int = 3
) -> Callable[[Tables, np.random.Generator], Tables]:
    """Append what a function makes of some rows, in canonical order."""

    def inject(tables: Tables, rng: np.random.Generator) -> Tables:
        more = make(tables["bars"].loc[some_rows(tables, rng, count)].copy())
        whole = pd.concat([tables["bars"], more])
        tables["bars"] = whole.sort_values(["session_date", "symbol"], kind="stable", ignore_index=True)
        return tables

    return inject


def adjusted(direction: str, *, volume: bool = False) -> Callable[[Tables, np.random.Generator], Tables]:
    """Adjust prices, or the volume alone, as a provider does; the table still says raw."""

    def inject(tables: Tables, rng: np.random.Generator) -> Tables:
        bars = tables["bars"]
        newest = bars.groupby("symbol")["adj_factor"].transform("last")
        factor = bars["adj_factor"] / (newest if direction == "forward" else 1.0)
        factor = factor * 1.5 if direction == "backward" else factor
        if volume:
            bars["volume_shares"] = (bars["volume_shares"] / factor).round()
        else:
            bars[PRICES] = bars[PRICES].mul(factor, axis=0).round(4)
        return tables

    return inject


def largest_step(bars: pd.DataFrame) -> tuple[pd.Index, float]:
    """Return the rows of a symbol from its largest factor step on, and the step's ratio."""
    ordered = bars.sort_values(["symbol", "session_date"])
    ratio = ordered["adj_factor"] / ordered.groupby("symbol")["adj_factor"].shift()
    at = ratio.idxmax()
    symbol, day = bars.loc[at, "symbol"], bars.loc[at, "session_date"]
    return bars.index[(bars["symbol"] == symbol) & (bars["session_date"] >= day)], float(ratio[at])


def split_missing(tables: Tables, rng: np.random.Generator) -> Tables:
    rows, ratio = largest_step(tables["bars"])
    bars = tables["bars"]
    if ratio < 1.2:  # no split in the panel: make one, and leave the factor as it is
        rows = one_symbol(tables)
        rows = rows[len(rows) // 2 :]
        bars.loc[rows, PRICES] = (bars.loc[rows, PRICES] / 2).round(2)
        bars.loc[rows, "volume_shares"] = (bars.loc[rows, "amount_cny"] / bars.loc[rows, "close_cny"]).round()
    else:
        bars.loc[rows, "adj_factor"] /= ratio
    return tables


def dividend_missing(tables: Tables, rng: np.random.Generator) -> Tables:
    bars, actions = tables["bars"], tables["corporate_actions"]
    inside = actions[actions["ex_date"].between(bars["session_date"].iloc[0], bars["session_date"].iloc[-1])]
    action = inside.iloc[len(inside) // 2]
    mine = bars["symbol"] == action["symbol"]
    before = bars.loc[mine & (bars["session_date"] < action["ex_date"]), "adj_factor"]
    after = mine & (bars["session_date"] >= action["ex_date"])
    bars.loc[after, "adj_factor"] *= before.iloc[-1] / bars.loc[after, "adj_factor"].iloc[0]
    return tables


def factor_noise(tables: Tables, rng: np.random.Generator) -> Tables:
    bars = tables["bars"]
    same = bars.groupby("symbol")["adj_factor"].transform("nunique") == 1
    symbol = bars.loc[same, "symbol"].iloc[0] if same.any() else bars["symbol"].iloc[0]
    rows = bars.index[bars["symbol"] == symbol]
    step = rows[len(rows) // 2]
    changed = bars.loc[rows, "adj_factor"].diff().abs() > 0
    while changed.get(step, False):
        step = rows[rows.get_loc(step) + 1]
    bars.loc[rows[rows >= step], "adj_factor"] *= 5.7142 / 5.714
    return tables


def factor_falls(tables: Tables, rng: np.random.Generator) -> Tables:
    rows = one_symbol(tables)
    tables["bars"].loc[rows[len(rows) // 2 :], "adj_factor"] *= 0.8
    return tables


def units_change(tables: Tables, rng: np.random.Generator) -> Tables:
    rows = one_symbol(tables)
    tables["bars"].loc[rows[-len(rows) // 3 :], "volume_shares"] /= 100
    return tables


def amount_units_change_for_all(tables: Tables, rng: np.random.Generator) -> Tables:
    bars = tables["bars"]
    late = bars["session_date"] >= bars["session_date"].iloc[len(bars) * 3 // 4]
    bars.loc[late, "amount_cny"] /= 1000
    return tables


def session_again(share: float) -> Callable[[Tables, np.random.Generator], Tables]:
    """Serve yesterday's rows of a share of the symbols once more as today's."""

    def inject(tables: Tables, rng: np.random.Generator) -> Tables:
        bars = tables["bars"]
        days = np.sort(bars["session_date"].unique())
        old, new = days[len(days) // 2], days[len(days) // 2 + 1]
        before = bars[bars["session_date"] == old].set_index("symbol")
        rows = bars.index[(bars["session_date"] == new) & bars["symbol"].isin(before.index)]
        rows = rows[: max(2, int(share * len(rows)))]
        names = [name for name in bars.columns if name not in ("symbol", "session_date", "adj_factor")]
        bars.loc[rows, names] = before.loc[bars.loc[rows, "symbol"], names].to_numpy()
        return tables

    return inject


def torn_session(tables: Tables, rng: np.random.Generator) -> Tables:
    bars = tables["bars"]
    day = bars["session_date"].iloc[len(bars) // 2]
    names = [*PRICES, "amount_cny"]
    bars.loc[bars["session_date"] == day, names] = (bars.loc[bars["session_date"] == day, names] / 2).round(2)
    return tables


def keep_sessions(share: float) -> Callable[[Tables, np.random.Generator], Tables]:
    """Keep a share of one session's rows."""

    def inject(tables: Tables, rng: np.random.Generator) -> Tables:
        bars = tables["bars"]
        day = bars["session_date"].iloc[len(bars) // 2]
        rows = bars.index[bars["session_date"] == day]
        tables["bars"] = bars.drop(index=rows[int(share * len(rows)) :]).reset_index(drop=True)
        return tables

    return inject


def rows_missing(tables: Tables, rng: np.random.Generator) -> Tables:
    tables["bars"] = tables["bars"].drop(index=some_rows(tables, rng)).reset_index(drop=True)
    return tables


def out_of_order(tables: Tables, rng: np.random.Generator) -> Tables:
    rows = one_symbol(tables)
    order = np.arange(len(tables["bars"]))
    order[rows[10]], order[rows[40]] = rows[40], rows[10]
    tables["bars"] = tables["bars"].iloc[order].reset_index(drop=True)
    return tables


def reference_wrong(tables: Tables, rng: np.random.Generator) -> Tables:
    rows = some_rows(tables, rng, 1)
    tables["bars"].loc[rows, "pre_close_cny"] = (tables["bars"].loc[rows, "pre_close_cny"] * 1.03).round(2)
    return tables


def beyond_limit(factor: float) -> Callable[[Tables, np.random.Generator], Tables]:
    """Let some rows close at a multiple of their reference price, traded there."""

    def inject(tables: Tables, rng: np.random.Generator) -> Tables:
        bars, rows = tables["bars"], some_rows(tables, rng, 3)
        close = (bars.loc[rows, "pre_close_cny"] * factor).round(2)
        bars.loc[rows, "close_cny"] = close
        bars.loc[rows, "high_cny"] = np.maximum(bars.loc[rows, "high_cny"], close)
        bars.loc[rows, "low_cny"] = np.minimum(bars.loc[rows, "low_cny"], close)
        return tables

    return inject


def delisted_earlier(tables: Tables, rng: np.random.Generator) -> Tables:
    rows = one_symbol(tables)
    gone = tables["bars"].loc[rows[-3], "session_date"]
    table = tables["securities"]
    table.loc[table["symbol"] == tables["bars"].loc[rows[0], "symbol"], "delist_date"] = gone
    return tables


def security(**changes: object) -> Callable[[Tables, np.random.Generator], Tables]:
    """Append a changed copy of the first security."""

    def inject(tables: Tables, rng: np.random.Generator) -> Tables:
        row = tables["securities"].iloc[[0]].assign(**changes).astype(tables["securities"].dtypes.to_dict())
        rows = tables["securities"].to_dict("records") + row.to_dict("records")
        tables["securities"] = pd.DataFrame(rows).astype(tables["securities"].dtypes.to_dict())
        return tables

    return inject


def foreign_symbol(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.assign(symbol="S99999.SIM")


def weekend(rows: pd.DataFrame) -> pd.DataFrame:
    day = rows["session_date"]
    return rows.assign(session_date=day + pd.to_timedelta((5 - day.dt.dayofweek) % 7, unit="D"))


def next_year(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.assign(session_date=rows["session_date"] + pd.DateOffset(years=12))


def conflicting(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.assign(volume_shares=rows["volume_shares"] + 100)


def stock_of(tables: Tables) -> pd.DataFrame:
    return tables["bars"].loc[one_symbol(tables)]


def index_tail(count: int) -> Callable[[Tables, np.random.Generator], Tables]:
    """Let the last rows of an index be those of a stock of the same code."""

    def inject(tables: Tables, rng: np.random.Generator) -> Tables:
        table, stock = tables["index_bars"], stock_of(tables)
        rows = table.index[table["index_code"] == table["index_code"].iloc[0]][-count:]
        table.loc[rows, LEVELS] = stock[["open_cny", "high_cny", "low_cny", "close_cny"]].to_numpy()[-count:]
        return tables

    return inject


def index_is_stock(tables: Tables, rng: np.random.Generator) -> Tables:
    table, stock = tables["index_bars"], stock_of(tables).reset_index(drop=True)
    made = {level: stock[level.replace("_points", "_cny")] for level in LEVELS}
    code = table["index_code"].iloc[0]
    whole = stock[["session_date", "volume_shares", "amount_cny"]].assign(index_code=code, **made)
    tables["index_bars"] = pd.concat([whole[table.columns], table[table["index_code"] != code]], ignore_index=True)
    return tables


def index_cells(count: int, **values: object) -> Callable[[Tables, np.random.Generator], Tables]:
    """Put values into the middle rows of an index."""

    def inject(tables: Tables, rng: np.random.Generator) -> Tables:
        table = tables["index_bars"]
        rows = table.index[table["index_code"] == table["index_code"].iloc[0]]
        rows = rows[len(rows) // 2 : len(rows) // 2 + count]
        for column, value in values.items():
            table.loc[rows, column] = table.loc[rows, value] if isinstance(value, str) else value
        return tables

    return inject


def index_gap(tables: Tables, rng: np.random.Generator) -> Tables:
    rows = tables["index_bars"].index[tables["index_bars"]["index_code"] == tables["index_bars"]["index_code"].iloc[0]]
    tables["index_bars"] = tables["index_bars"].drop(index=rows[len(rows) // 2]).reset_index(drop=True)
    return tables


def index_again(tables: Tables, rng: np.random.Generator) -> Tables:
    table = tables["index_bars"]
    rows = table.index[table["index_code"] == table["index_code"].iloc[0]]
    names = [*LEVELS, "volume_shares", "amount_cny"]
    table.loc[rows[50], names] = table.loc[rows[49], names]
    return tables


def members_49_of_50(tables: Tables, rng: np.random.Generator) -> Tables:
    days = np.sort(tables["bars"]["session_date"].unique())
    symbols = tables["bars"].loc[tables["bars"]["session_date"] == days[0], "symbol"].iloc[:10]
    whole = pd.DataFrame({"index_code": "000016.SH", "symbol": symbols, "start_date": days[0], "end_date": pd.NaT})
    whole["end_date"] = whole["end_date"].astype("datetime64[ns]")
    whole.loc[whole.index[0], "end_date"] = days[100]
    back = whole.iloc[[0]].assign(start_date=days[104], end_date=pd.NaT)
    back["end_date"] = back["end_date"].astype("datetime64[ns]")
    tables["index_members"] = pd.concat([whole, back], ignore_index=True)
    return tables


def stated_twice(name: str) -> Callable[[Tables, np.random.Generator], Tables]:
    """Repeat a range a day later, so that the two overlap."""

    def inject(tables: Tables, rng: np.random.Generator) -> Tables:
        table = tables[name]
        long = table[(table["end_date"].fillna(pd.Timestamp("2100-01-01")) - table["start_date"]).dt.days > 20]
        again = long.iloc[[0]].assign(start_date=lambda row: row["start_date"] + pd.Timedelta(days=5))
        tables[name] = pd.concat([table, again], ignore_index=True)
        return tables

    return inject


def before_listing(name: str) -> Callable[[Tables, np.random.Generator], Tables]:
    """Let a range begin years before its stock was listed."""

    def inject(tables: Tables, rng: np.random.Generator) -> Tables:
        table = tables[name]
        first = table.groupby("symbol")["start_date"].idxmin().iloc[0]
        table.loc[first, "start_date"] = pd.Timestamp("1991-01-02")
        return tables

    return inject


def suspended_but_traded(tables: Tables, rng: np.random.Generator) -> Tables:
    rows = tables["bars"].loc[some_rows(tables, rng, 2), ["symbol", "session_date"]]
    tables["suspensions"] = pd.concat([tables["suspensions"], rows], ignore_index=True)
    return tables


def never_traded(tables: Tables, rng: np.random.Generator) -> Tables:
    return security(symbol="S88888.SIM", name="Ghost", list_date=pd.Timestamp("2001-01-02"), delist_date=pd.NaT)(
        tables, rng
    )


def known_at(hours: float) -> Callable[[Tables, np.random.Generator], Tables]:
    """Let the rows of the last session become known so many hours after its close."""

    def inject(tables: Tables, rng: np.random.Generator) -> Tables:
        days = np.sort(tables["bars"]["session_date"].unique())
        known = pd.DatetimeIndex(days).tz_localize("UTC") + pd.Timedelta(hours=7 + 2)
        known = known[:-1].append(pd.DatetimeIndex([days[-1]]).tz_localize("UTC") + pd.Timedelta(hours=7 + hours))
        tables["known_at"] = pd.DataFrame({"session_date": days, "known_at": known})
        return tables

    return inject


TABLE_KINDS = (
    TableDirt("a price is empty", cells(close_cny=np.nan), "bars.schema", "quarantine"),
    TableDirt("a volume is infinite", cells(volume_shares=np.inf), "bars.schema", "quarantine"),
    TableDirt("a price is below zero", cells(low_cny=-1.0), "bars.schema", "quarantine"),
    TableDirt("high below low", cells(high_cny=lambda rows: rows["low_cny"] - 0.01), "bars.schema", "quarantine"),
    TableDirt("close outside the range", cells(close_cny=lambda r: r["high_cny"] * 1.01), "bars.schema", "quarantine"),
    TableDirt("a volume is below zero", cells(volume_shares=-100.0), "bars.schema", "quarantine"),
    TableDirt("a row is given twice", appended(lambda rows: rows), "bars.schema", "quarantine"),
    TableDirt("two rows contradict each other", appended(conflicting), "bars.schema", "quarantine"),
    TableDirt("lots for shares", columns(["volume_shares"], 0.01), "bars.average_price_in_range", "error"),
    TableDirt("thousands for CNY", columns(["amount_cny"], 0.001), "bars.average_price_in_range", "error"),
    TableDirt("lots on some rows", scaled_rows(0.01, ["volume_shares"]), "bars.average_price_in_range", "quarantine"),
    TableDirt("forward-adjusted sold as raw", adjusted("forward"), "bars.average_price_in_range", "error"),
    TableDirt("back-adjusted sold as raw", adjusted("backward"), "bars.average_price_in_range", "error"),
    TableDirt("adjusted prices off the tick", adjusted("backward"), "bars.prices_on_tick", "error"),
    TableDirt("volume forward-adjusted", adjusted("forward", volume=True), "bars.average_price_in_range", "error"),
    TableDirt(
        "suspended sessions as flat rows",
        cells(
            volume_shares=0.0,
            amount_cny=0.0,
            open_cny=lambda rows: rows["pre_close_cny"],
            high_cny=lambda rows: rows["pre_close_cny"],
            low_cny=lambda rows: rows["pre_close_cny"],
            close_cny=lambda rows: rows["pre_close_cny"],
        ),
        "bars.traded",
        "quarantine",
    ),
    TableDirt("no volume and yet a range", cells(volume_shares=0.0), "bars.volume_where_prices_moved", "quarantine"),
    TableDirt("some rows are yesterday's", session_again(0.05), "bars.not_repeated", "quarantine"),
    TableDirt("a whole session is yesterday's", session_again(1.0), "bars.quarantine_share", "error", judge="split"),
    TableDirt("a session is missing", keep_sessions(0.0), "bars.every_session_present", "error"),
    TableDirt("a session is thin", keep_sessions(0.2), "bars.sessions_covered", "warn"),
    TableDirt("rows are missing", rows_missing, "bars.gaps_are_suspensions", "warn", real=False),
    TableDirt("a row on a Saturday", appended(weekend), "bars.on_known_sessions", "quarantine"),
    TableDirt("a row of the future", appended(next_year), "bars.not_future", "quarantine"),
    TableDirt("rows out of order", out_of_order, "bars.in_order", "warn"),
    TableDirt("rows after the delisting", delisted_earlier, "bars.of_listed_securities", "quarantine"),
    TableDirt("rows of an unknown code", appended(foreign_symbol), "bars.of_listed_securities", "quarantine"),
    TableDirt("pre_close is no previous close", reference_wrong, "bars.reference_price_follows", "warn"),
    TableDirt("a split the factor misses", split_missing, "bars.jumps_are_explained", "quarantine"),
    TableDirt("a dividend the factor misses", dividend_missing, "bars.actions_in_factor", "warn", real=False),
    TableDirt("the factor falls", factor_falls, "bars.factor_never_falls", "warn"),
    TableDirt("the factor's float noise", factor_noise, "bars.factor_steps_are_real", "warn"),
    TableDirt(
        "a price spike", scaled_rows(1.6, [*PRICES[:4], "amount_cny"], 3), "bars.spikes_do_not_revert", "quarantine"
    ),
    TableDirt("closes beyond the board's limit", beyond_limit(1.5), "bars.moves_within_limits", "warn"),
    TableDirt(
        "trades beyond published limits", beyond_limit(0.6), "bars.within_published_limits", "quarantine", real=False
    ),
    TableDirt("a jump no peer makes", beyond_limit(1.55), "bars.moves_like_peers", "warn"),
    TableDirt("one stock's volume turns to lots", units_change, "bars.turnover_units_stable", "quarantine", "forward"),
    TableDirt(
        "amounts turn to thousands", amount_units_change_for_all, "bars.turnover_units_stable", "error", "forward"
    ),
    TableDirt("lots under adjustment", columns(["volume_shares"], 0.01), "bars.units_plausible", "error", "forward"),
    TableDirt(
        "turnover a thousandfold",
        scaled_rows(1000.0, ["volume_shares", "amount_cny"], 2),
        "bars.turnover_like_itself",
        "warn",
    ),
    TableDirt("a session in another adjustment", torn_session, "bars.sessions_not_torn", "error"),
    TableDirt("the index ends as a stock, four rows", index_tail(4), "index_bars.moves_plausible", "error"),
    TableDirt("the index ends as a stock, two rows", index_tail(2), "index_bars.moves_plausible", "error"),
    TableDirt("the index file is a stock", index_is_stock, "index_bars.equals_no_stock", "error"),
    TableDirt("the index trades like a stock", index_is_stock, "index_bars.is_no_stock", "error"),
    TableDirt("the index level is a price", index_is_stock, "index_bars.level_plausible", "error"),
    TableDirt(
        "flat index bars without volume",
        index_cells(
            5,
            open_points="close_points",
            high_points="close_points",
            low_points="close_points",
            volume_shares=0.0,
            amount_cny=0.0,
        ),
        "index_bars.not_flat_untraded",
        "warn",
    ),
    TableDirt("an index level is empty", index_cells(1, close_points=np.nan), "index_bars.schema", "quarantine"),
    TableDirt("an index session is missing", index_gap, "index_bars.sessions_complete", "warn"),
    TableDirt("an index session is repeated", index_again, "index_bars.not_repeated", "warn"),
    TableDirt("49 of 50 members", members_49_of_50, "index_members.count_is_usual", "warn"),
    TableDirt(
        "overlapping memberships", stated_twice("index_members"), "index_members.do_not_overlap", "error", real=False
    ),
    TableDirt("overlapping industries", stated_twice("industries"), "industries.do_not_overlap", "error", real=False),
    TableDirt("overlapping ST spells", stated_twice("st_spells"), "st_spells.do_not_overlap", "error", real=False),
    TableDirt(
        "a member before its listing", before_listing("index_members"), "index_members.are_listed", "warn", real=False
    ),
    TableDirt(
        "an ST spell before the listing", before_listing("st_spells"), "st_spells.within_listing", "warn", real=False
    ),
    TableDirt("one symbol under two names", security(name="Renamed"), "securities.schema", "error"),
    TableDirt(
        "delisted before it was listed",
        security(symbol="S77777.SIM", list_date=pd.Timestamp("2020-01-02"), delist_date=pd.Timestamp("2019-01-02")),
        "securities.schema",
        "error",
    ),
    TableDirt(
        "one name for two symbols",
        security(symbol="S77777.SIM", delist_date=pd.NaT, list_date=pd.Timestamp("2001-01-02")),
        "securities.names_unique",
        "warn",
        real=False,
    ),
    TableDirt("a listed security that never trades", never_traded, "securities.listed_ones_trade", "warn"),
    TableDirt("a bar on a suspended session", suspended_but_traded, "suspensions.did_not_trade", "warn", real=False),
    TableDirt(
        "rows are restated",
        scaled_rows(1.01, ["amount_cny"]),
        "bars.history_not_restated",
        "warn",
        judge="restated",
    ),
    TableDirt("history is rewritten", columns(PRICES, 0.9), "bars.history_not_restated", "error", judge="restated"),
    TableDirt(
        "two providers differ",
        scaled_rows(1.01, ["close_cny"]),
        "bars.agree_with_second_source",
        "warn",
        judge="reconcile",
    ),
    TableDirt(
        "two providers are in other units",
        columns(["volume_shares"], 100.0),
        "bars.agree_with_second_source",
        "error",
        judge="reconcile",
    ),
    TableDirt("rows known before the close", known_at(-3.0), "bars.on_time", "error", judge="lag"),
    TableDirt("rows known days later", known_at(90.0), "bars.on_time", "warn", judge="lag"),
)


# --- files, through the folder source -------------------------------------------------------------------------------


def _bars(
    folder: Path, change: Callable[[pd.DataFrame], pd.DataFrame], encoding: str = "utf-8", **settings: object
) -> pd.DataFrame:
    path = folder / "daily.csv"
    change(tushare_daily()).to_csv(path, index=False, encoding=encoding)
    return FolderSource(folder_settings(path, **settings)).bars(FIRST, LAST)


def _index(folder: Path, change: Callable[[pd.DataFrame], pd.DataFrame]) -> pd.DataFrame:
    bars, index = folder / "daily.csv", folder / "000905.SH.csv"
    tushare_daily().to_csv(bars, index=False)
    change(tushare_index()).to_csv(index, index=False)
    return FolderSource(folder_settings(bars, index)).index_bars(FIRST, LAST)


def _cell(column: str, text: str) -> Callable[[pd.DataFrame], pd.DataFrame]:
    def change(frame: pd.DataFrame) -> pd.DataFrame:
        frame[column] = frame[column].astype(object)
        frame.loc[5, column] = text
        return frame

    return change


def _stock_tail(frame: pd.DataFrame) -> pd.DataFrame:
    names = ["open", "high", "low", "close", "vol", "amount"]
    frame.loc[frame.index[-4:], names] = tushare_daily().loc[:3, names].to_numpy()
    return frame


def _is_stock(frame: pd.DataFrame) -> pd.DataFrame:
    stock = tushare_daily()
    return stock[stock["ts_code"] == "600001.SH"].assign(ts_code="000905.SH").drop(columns="pre_close")


def _adjusted(frame: pd.DataFrame) -> pd.DataFrame:
    frame[["open", "high", "low", "close", "pre_close"]] *= 8.3
    return frame


def _chinese(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.rename(
        columns={
            "ts_code": "股票代码",
            "trade_date": "日期",
            "open": "开盘价",
            "high": "最高价",
            "low": "最低价",
            "close": "收盘价",
            "pre_close": "前收盘",
            "vol": "成交量",
            "amount": "成交额",
        }
    )


def _apostrophes(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(ts_code="'" + frame["ts_code"].str[:6])


FILE_KINDS = (
    FileDirt("the word None in a price", lambda folder: _bars(folder, _cell("close", "None")), "close is empty"),
    FileDirt("a word in a price", lambda folder: _bars(folder, _cell("close", "halted")), "is not a number"),
    FileDirt("a date that is none", lambda folder: _bars(folder, _cell("trade_date", "20180231")), "is not a date"),
    FileDirt("apostrophes before codes", lambda folder: _bars(folder, _apostrophes), ""),
    FileDirt(
        "Chinese columns in GBK",
        lambda folder: _bars(folder, _chinese, "gbk", volume_unit="lots", amount_unit="thousand_cny"),
        "",
    ),
    FileDirt("newest rows first", lambda folder: _bars(folder, lambda frame: frame.iloc[::-1]), ""),
    FileDirt(
        "two date columns",
        lambda folder: _bars(folder, lambda f: f.assign(date=f["trade_date"])),
        "both look like session_date",
    ),
    FileDirt(
        "declared units are wrong", lambda folder: _bars(folder, lambda f: f, volume_unit="shares"), "volume_unit"
    ),
    FileDirt("adjusted prices named like raw ones", lambda folder: _bars(folder, _adjusted), "not raw"),
    FileDirt("an index among the bars", lambda folder: _bars(folder, _cell("ts_code", "399986.SZ")), "399986.SZ"),
    FileDirt("an index file ends as a stock", lambda folder: _index(folder, _stock_tail), "the level jumps"),
    FileDirt("an index file is a stock", lambda folder: _index(folder, _is_stock), "is no index"),
)


def file_outcome(kind: FileDirt, folder: Path) -> str:
    """Return what the folder source says of a dirty file; empty where it reads the clean rows out of it."""
    try:
        frame = kind.load(folder)
    except LjwxError as error:
        return str(error)
    clean = _bars(folder, lambda frame: frame)
    same = frame.equals(clean) or (
        len(frame) == len(clean)
        and np.allclose(frame["close_cny"], clean["close_cny"])
        and (frame["symbol"] == clean["symbol"]).all()
    )
    return "" if same else "other rows than the clean file's"
