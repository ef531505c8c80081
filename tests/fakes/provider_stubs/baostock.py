"""A loopback server that speaks baostock's own TCP protocol, over the simulated market, to the real library.

A message is ``version \\1 type \\1 length`` (21 bytes), a body whose parts are separated by ``\\1``, its CRC-32, and a
line feed; an answer ends with ``<![CDATA[]]>`` and a line feed, and daily rows are compressed.

Run it: ``python -m tests.fakes.provider_stubs.baostock --port 10030 --seed 7 --symbols 40``.
"""

from __future__ import annotations

import json
import socketserver
import threading
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import pandas as pd

from tests.fakes.provider_stubs.market import SimulatedTables
from tests.fakes.provider_stubs.process import FOR_EVER, chosen_market, market_options, serve

SPLIT, END, VERSION, HEADER_BYTES = "\1", b"<![CDATA[]]>\n", "00.9.40", 21
COMPRESSED = {"96"}
NO_LOGIN, MEMBERS = "10001001", {"query_hs300_stocks": "000300.SH", "query_zz500_stocks": "000905.SH"}


@dataclass
class Fault:
    """Something that goes wrong for the next ``times`` questions named ``query`` (empty: any)."""

    kind: str  # drop | cut | hang | slow | half | empty | rename | add | error code
    query: str = ""
    times: int = 1
    page: int = 0  # 0: any
    seconds: float = 0.0


class Answers:
    """The simulated tables in baostock's spelling: everything is text."""

    def __init__(self, served: SimulatedTables) -> None:
        self.served = served
        self._daily: dict[str, list[dict[str, str]]] = {}

    @cached_property
    def codes(self) -> dict[str, str]:
        """Provider's code by symbol; the second letter of a simulated exchange is its board."""
        table = self.served["securities"]
        real = {symbol: f"{symbol[-2:].lower()}.{symbol[:6]}" for symbol in table["symbol"] if symbol[-4:] != ".SIM"}
        boards = zip(table["symbol"], table["board"], strict=True)
        return {symbol: f"s{board}.{symbol.split('.')[0].lower()}" for symbol, board in boards} | real

    @cached_property
    def symbols(self) -> dict[str, str]:
        return {code: symbol for symbol, code in self.codes.items()}

    @cached_property
    def bars(self) -> dict[str, pd.DataFrame]:
        return {symbol: frame.set_index("session_date") for symbol, frame in self.served["bars"].groupby("symbol")}

    def daily(self, symbol: str) -> list[dict[str, str]]:
        """Rows of a stock: one for every session listed, those without trading included."""
        if symbol not in self._daily:
            table = self.served["securities"]
            rows = table[table["symbol"] == symbol].itertuples()
            self._daily[symbol] = [day for row in rows for day in self._days_of(row, self.bars.get(symbol))]
        return self._daily[symbol]

    @cached_property
    def index_daily(self) -> dict[str, list[dict[str, str]]]:
        found: dict[str, list[dict[str, str]]] = {}
        for row in self.served["index_bars"].itertuples():
            prices = {k: f"{getattr(row, f'{k}_points'):.4f}" for k in ("open", "high", "low", "close")}
            volume = {"volume": f"{row.volume_shares:.0f}", "amount": f"{row.amount_cny:.4f}"}
            day = {"date": f"{row.session_date:%Y-%m-%d}"} | prices | volume
            found.setdefault(f"{row.index_code[-2:].lower()}.{row.index_code[:6]}", []).append(day)
        return found

    def trade_dates(self, first: str, last: str) -> tuple[str, list[list[str]]]:
        known = set(self.served.sessions.strftime("%Y-%m-%d"))
        days = pd.date_range(max(first, f"{self.served.first}"), min(last, f"{self.served.last}"))
        rows = [[day, str(int(day in known))] for day in days.strftime("%Y-%m-%d")]
        return "calendar_date,is_trading_day", rows

    def stock_basic(self) -> tuple[str, list[list[str]]]:
        rows = [
            [
                self.codes[row.symbol],
                row.name_,
                _day(row.list_date),
                _day(row.delist_date),
                "1",
                "01"[pd.isna(row.delist_date)],
            ]
            for row in self.served["securities"].rename(columns={"name": "name_"}).itertuples()
        ]
        rows += [
            ["sh.000300", "沪深300", "2005-04-08", "", "2", "1"],
            ["sh.900901", "某某B股", "1992-02-21", "", "1", "1"],
        ]
        return "code,code_name,ipoDate,outDate,type,status", rows

    def k_data(self, code: str, fields: str, first: str, last: str) -> tuple[str, list[list[str]]]:
        rows = self.index_daily.get(code) or self.daily(self.symbols.get(code, ""))
        names = fields.split(",")
        return fields, [[row.get(name, "") for name in names] for row in rows if first <= row["date"] <= last]

    def adjust_factor(self, code: str, first: str, last: str) -> tuple[str, list[list[str]]]:
        bars = self.served["bars"]
        bars = bars[bars["symbol"] == self.symbols.get(code, "")]  # by symbol and session already
        changed = bars[bars["adj_factor"] != bars["adj_factor"].shift(fill_value=1.0)]
        rows = [
            [code, _day(row.session_date), "1.000000", f"{row.adj_factor:.6f}", f"{row.adj_factor:.6f}"]
            for row in changed.itertuples()
        ]
        fields = "code,dividOperateDate,foreAdjustFactor,backAdjustFactor,adjustFactor"
        return fields, [row for row in rows if first <= row[1] <= last]

    def dividend(self, code: str, year: str) -> tuple[str, list[list[str]]]:
        symbol, fields = (
            self.symbols.get(code, ""),
            (
                "code,dividPreNoticeDate,dividAgmPumDate,dividPlanAnnounceDate,dividPlanDate,dividRegistDate,"
                "dividOperateDate,dividPayDate,dividStockMarketDate,dividCashPsBeforeTax,dividCashPsAfterTax,"
                "dividStocksPs,dividCashStock,dividReserveToStockPs"
            ),
        )
        rows = [
            [code, "", "", "", "", "", _day(row.ex_date), _day(row.ex_date), "", f"{row.cash_cny_per_share:.6f}",
             "0.09或0.095", f"{row.bonus_shares_per_share:.6f}", "10派1元（含税）", ""]
            for row in self.served["corporate_actions"].itertuples()
            if row.symbol == symbol and f"{row.ex_date:%Y}" == year
        ]  # fmt: skip
        return fields, rows

    def industry(self, day: str) -> tuple[str, list[list[str]]]:
        table = _in_force(self.served["industries"], day)
        rows = [
            [day, self.codes[s], "", name, "证监会行业分类"]
            for s, name in zip(table["symbol"], table["industry"], strict=True)
        ]
        return "updateDate,code,code_name,industry,industryClassification", rows

    def members(self, index_code: str, day: str) -> tuple[str, list[list[str]]]:
        table = _in_force(self.served["index_members"], day)
        symbols = table.loc[table["index_code"] == index_code, "symbol"]
        return "updateDate,code,code_name", [[day, self.codes[symbol], ""] for symbol in symbols]

    def _days_of(self, security: object, bars: pd.DataFrame | None) -> list[dict[str, str]]:
        sessions = self.served.sessions
        gone = pd.Timestamp.max if pd.isna(security.delist_date) else security.delist_date
        spells = self.served["st_spells"]
        spells = spells[spells["symbol"] == security.symbol].fillna({"end_date": pd.Timestamp.max})
        known = {} if bars is None else bars.to_dict("index")
        special = {
            day for row in spells.itertuples() for day in sessions[sessions.slice_indexer(row.start_date, row.end_date)]
        }
        rows, close = [], ""
        for day in sessions[(sessions >= security.list_date) & (sessions < gone)]:
            row = {"date": _day(day), "isST": str(int(day in special)), "tradestatus": "0", "volume": "", "amount": ""}
            row |= dict.fromkeys(("open", "high", "low", "close", "preclose"), close)
            if bar := known.get(day):
                row |= {k: f"{bar[f'{k}_cny']:.10f}" for k in ("open", "high", "low", "close")}
                row |= {"preclose": f"{bar['pre_close_cny']:.10f}", "tradestatus": "1"}
                row |= {"volume": f"{bar['volume_shares']:.0f}", "amount": f"{bar['amount_cny']:.4f}"}
                close = row["close"]
            rows.append(row)
        return rows


class BaostockStub:
    """The server; ``with`` starts and stops it. ``faults`` is consulted for every question, first match first."""

    def __init__(self, served: SimulatedTables, *, port: int = 0, host: str = "127.0.0.1") -> None:
        self.answers = Answers(served)
        self.faults: list[Fault] = []
        self.asked: list[str] = []
        self.logins = 0
        self._server = _Server((host, port), _Handler)
        self._server.stub = self
        self.host, self.port = self._server.server_address[:2]
        self._lock = threading.Lock()

    def __enter__(self) -> BaostockStub:
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def fail(self, kind: str, query: str = "", *, times: int = 1, page: int = 0, seconds: float = 0.0) -> None:
        """Let the next questions go wrong."""
        self.faults.append(Fault(kind, query, times, page, seconds))

    def fault_for(self, query: str, page: int) -> Fault | None:
        """Take the fault due for a question, if any."""
        with self._lock:
            for fault in self.faults:
                if fault.times > 0 and fault.query in ("", query) and fault.page in (0, page):
                    fault.times -= 1
                    return fault
        return None

    def rows(self, parts: list[str]) -> tuple[str, list[list[str]], list[str]]:
        """Return fields, rows and the echo of the arguments for a question split into its parts."""
        query, arguments, answers = parts[0], parts[4:], self.answers
        known: dict[str, Callable[[], tuple[str, list[list[str]]]]] = {
            "query_trade_dates": lambda: answers.trade_dates(*arguments),
            "query_stock_basic": answers.stock_basic,
            "query_history_k_data_plus": lambda: answers.k_data(*arguments[:4]),
            "query_adjust_factor": lambda: answers.adjust_factor(*arguments),
            "query_dividend_data": lambda: answers.dividend(*arguments[:2]),
            "query_stock_industry": lambda: answers.industry(arguments[1]),
        } | {name: lambda code=code: answers.members(code, arguments[0]) for name, code in MEMBERS.items()}
        fields, rows = known[query]()
        return fields, rows, arguments


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = daemon_threads = True
    stub: BaostockStub


class _Handler(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        stub, logged_in = self.server.stub, False
        while line := self.rfile.readline():
            message = line[:-1].decode()
            head_body, _, crc = message.rpartition(SPLIT)
            kind, length = message[8:10], int(message[11:HEADER_BYTES])
            parts = head_body[HEADER_BYTES:].split(SPLIT)
            if int(crc) != zlib.crc32(head_body.encode()) or length != len(head_body) - HEADER_BYTES:
                self._send("04", ["10004019", "消息格式不正确"])
                continue
            query, page = parts[0], int(parts[2]) if kind not in ("00", "02") else 1
            stub.asked.append(query)
            if (fault := stub.fault_for(query, page)) and not self._survives(fault):
                return
            answer_kind = f"{int(kind) + 1:02d}"
            if fault is not None and fault.kind.isdigit():
                self._send(answer_kind, [fault.kind, "错误"])
            elif query in ("login", "logout"):
                logged_in = query == "login"
                stub.logins += logged_in
                self._send(answer_kind, ["0", "success", query, parts[1]])
            elif not logged_in:
                self._send(answer_kind, [NO_LOGIN, "用户未登录"])
            elif not self._answer(answer_kind, parts, page, fault):
                return

    def _survives(self, fault: Fault) -> bool:
        if fault.kind == "hang":
            self.rfile.read(1)  # until the client gives up
            return False
        if fault.kind == "slow":
            time.sleep(fault.seconds)
        return True

    def _answer(self, kind: str, parts: list[str], page: int, fault: Fault | None) -> bool:
        fields, rows, echo = self.server.stub.rows(parts)
        size, what = int(parts[3]), fault.kind if fault else ""
        rows = [] if what == "empty" else rows[(page - 1) * size : page * size]
        if what == "half":
            rows = rows[: len(rows) // 2]
        if what == "rename":
            fields = "new_" + fields
        if what == "add":
            fields, rows = fields + ",added", [[*row, "1"] for row in rows]
        record = json.dumps({"record": rows}, ensure_ascii=False) if rows else ""
        head = ["0", "success", parts[0], parts[1], str(page), str(size), record]
        if kind == "96":  # code, fields, then the other arguments
            head += [echo[0], fields, *echo[2:]]
        else:
            head += [*echo, fields]
        return self._send(kind, head, what)

    def _send(self, kind: str, parts: list[str], fault: str = "") -> bool:
        body = SPLIT.join(parts).encode()
        if kind in COMPRESSED:
            body = zlib.compress(body + b"\n")
        if fault == "cut":
            body = body[: len(body) // 2]
        head = f"{VERSION}{SPLIT}{kind}{SPLIT}{len(body):010d}".encode()
        message = head + body + SPLIT.encode() + str(zlib.crc32(head + body)).encode() + END
        if fault == "drop":
            self.wfile.write(message[: len(message) // 2])
            return False
        self.wfile.write(message)
        return True


def _day(day: pd.Timestamp) -> str:
    return "" if pd.isna(day) else f"{day:%Y-%m-%d}"


def _in_force(table: pd.DataFrame, day: str) -> pd.DataFrame:
    at = pd.Timestamp(day)
    return table[(table["start_date"] <= at) & (table["end_date"].fillna(pd.Timestamp.max) >= at)]


def main() -> None:
    """Serve until SIGTERM."""
    options = market_options(__doc__).parse_args()
    stub = BaostockStub(chosen_market(options), port=options.port)
    serve(
        stub,
        f"{stub.host}:{stub.port}",
        begin_outage=lambda: stub.fail("10002007", times=FOR_EVER),
        end_outage=stub.faults.clear,
        calls=lambda: len(stub.asked),
    )


if __name__ == "__main__":
    main()
