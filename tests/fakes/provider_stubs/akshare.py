"""A loopback server with the public pages that akshare reads, in their own JSON, script and workbook forms.

A request for ``https://HOST/PATH`` arrives as ``/HOST/PATH``. Workbooks are xlsx throughout: nothing here writes xls.

Run it: ``python -m tests.fakes.provider_stubs.akshare --port 8080 --seed 7 --symbols 40``.
"""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pandas as pd

from tests.fakes.provider_stubs.market import SimulatedTables
from tests.fakes.provider_stubs.process import FOR_EVER, chosen_market, market_options, serve

BAN_PAGE = "<!DOCTYPE html><html><head><title>访问验证</title></head><body>您的访问过于频繁</body></html>".encode()
NO_ROWS = {"version": None, "result": None, "success": False, "message": "返回数据为空", "code": 9201}
MAIN, CHINEXT, STAR = 0, 1, 2
Query = Mapping[str, str]
Rows = list[dict[str, Any]]


@dataclass
class Fault:
    """Something that goes wrong for the next ``times`` requests whose path holds ``path``."""

    kind: str  # a status | truncated | short | ban | empty | add | rename | slow | hang | script
    path: str = ""
    times: int = 1
    seconds: float = 0.0


class Pages:
    """The simulated tables as each page prints them."""

    def __init__(self, served: SimulatedTables) -> None:
        self.served = served

    @cached_property
    def industry_codes(self) -> dict[str, str]:
        """First-level code of each simulated industry."""
        names = sorted(self.served["industries"]["industry"].unique())
        return {name: f"{11 + at}0000" for at, name in enumerate(names)}

    @cached_property
    def bars(self) -> dict[str, pd.DataFrame]:
        return {symbol.split(".")[0]: frame for symbol, frame in self.served["bars"].groupby("symbol")}

    @cached_property
    def klines(self) -> dict[str, list[str]]:
        """Lines by market and code: day, open, close, high, low, lots, CNY, then figures nobody here reads."""
        found = {f"{int(code[0] == '6')}.{code}": _stock_lines(frame) for code, frame in self.bars.items()}
        for row in self.served["index_bars"].itertuples():
            secid = f"{1 if row.index_code.endswith('SH') else 0}.{row.index_code[:6]}"
            points = ",".join(f"{p:.4f}" for p in (row.open_points, row.close_points, row.high_points, row.low_points))
            money = f"{row.volume_shares / 100:.0f},{row.amount_cny:.2f}"
            found.setdefault(secid, []).append(f"{row.session_date:%Y-%m-%d},{points},{money},1.00")
        return found

    def kline(self, query: Query, what: str) -> bytes:
        secid = query["secid"]
        if secid not in self.klines or what == "empty":
            return _json({"rc": 102, "data": None})
        lines = [line for line in self.klines[secid] if query["beg"] <= line[:10].replace("-", "") <= query["end"]]
        if what == "add":
            lines = [f"{line},1" for line in lines]
        if what == "half":
            lines = lines[: len(lines) // 2]
        return _json({"rc": 0, "data": {"code": secid[2:], "decimal": 2, "klines": lines}})

    def hfq(self, path: str, what: str) -> bytes:
        name = path.split("/")[-2]
        frame = self.bars.get(name[-6:], self.served["bars"].iloc[:0])
        changed = frame[frame["adj_factor"] != frame["adj_factor"].shift(fill_value=1.0)]
        rows = [{"d": f"{row.session_date:%Y-%m-%d}", "f": f"{row.adj_factor:.16f}"} for row in changed.itertuples()]
        rows = [] if what == "empty" else [*reversed(rows), {"d": "1900-01-01", "f": "1.0000000000000000"}]
        said = '__import__("os")' if what == "script" else json.dumps({"total": len(rows), "data": rows})
        return f"var {name}hfq={said}\n/* 后复权因子 */".encode()

    def sse_list(self, query: Query, what: str) -> bytes:
        board = STAR if query["STOCK_TYPE"] == "8" else MAIN
        names = ("SEC_NAME_CN", "SEC_NAME_FULL", "COMPANY_ABBR", "FULL_NAME")
        rows: Rows = [
            {"A_STOCK_CODE": "-", "B_STOCK_CODE": "900901", "LIST_DATE": "19920221"} | dict.fromkeys(names, "")
        ]
        rows += [
            {"A_STOCK_CODE": row.code, "B_STOCK_CODE": "-", "LIST_DATE": f"{row.list_date:%Y%m%d}"}
            | dict.fromkeys(names, row.called)
            for row in self._stocks(board, delisted=False)
        ]
        return _json({"result": _spoiled(rows, what)})

    def sse_delist(self, query: Query, what: str) -> bytes:
        board = STAR if query["STOCK_TYPE"] == "8" else MAIN
        rows: Rows = [
            {
                "COMPANY_CODE": row.code,
                "COMPANY_ABBR": row.called,
                "LIST_DATE": f"{row.list_date:%Y%m%d}",
                "DELIST_DATE": f"{row.delist_date:%Y%m%d}",
            }
            for row in self._stocks(board, delisted=True)
        ]
        b_share = {"COMPANY_CODE": "900901", "COMPANY_ABBR": "某B股", "LIST_DATE": "19920221", "DELIST_DATE": "-"}
        return _json({"result": _spoiled([*rows, b_share], what)})

    def szse(self, query: Query, what: str) -> bytes:
        rows: Rows
        if query["CATALOGID"] == "1110":
            blank = dict.fromkeys(("公司全称", "A股总股本", "A股流通股本", "B股代码", "所属行业"), "1")
            rows = [{"板块": "主板", "A股代码": None, "A股简称": None, "A股上市日期": None} | blank]  # B shares alone
            rows += [
                {
                    "板块": "创业板",
                    "A股代码": row.code,
                    "A股简称": row.called,
                    "A股上市日期": f"{row.list_date:%Y-%m-%d}",
                }
                | blank
                for row in self._stocks(CHINEXT, delisted=False)
            ]
        else:
            gone = [
                (row.code, row.called, row.list_date, row.delist_date) for row in self._stocks(CHINEXT, delisted=True)
            ]
            gone.append((200002, "某B股", pd.Timestamp("1993-05-28"), pd.Timestamp("2014-06-19")))
            names = ("证券代码", "证券简称", "上市日期", "终止上市日期")
            rows = [dict(zip(names, (*row[:2], f"{row[2]:%F}", f"{row[3]:%F}"), strict=True)) for row in gone]
        return _workbook(_spoiled(rows, what))

    def bse(self) -> bytes:
        """One row that is no A share: the simulated market has no Beijing board."""
        row = {f"k{at:02d}": "" for at in range(48)} | {"k00": "20211115", "k38": "999999", "k40": "某某"}
        return f"null({json.dumps([{'content': [row], 'totalPages': 1}], ensure_ascii=False)})".encode()

    def datacenter(self, query: Query, what: str) -> bytes:
        asked = re.search(r"='(\d{4}-\d\d-\d\d)'", query["filter"])
        day = pd.Timestamp(asked.group(1) if asked else "1990-01-01")
        rows = self._halted(day) if "SUSPEND" in query["reportName"] else self._bonus(day)
        rows = _spoiled(rows, what)
        return _json({"result": {"pages": 1, "data": rows, "count": len(rows)}, "code": 0} if rows else NO_ROWS)

    def csindex(self, path: str, what: str) -> bytes:
        code, last, table = path.split("/")[-1][:6], pd.Timestamp(self.served.last), self.served["index_members"]
        end = table["end_date"].fillna(pd.Timestamp.max)
        here = table[(table["index_code"].str[:6] == code) & (table["start_date"] <= last) & (end >= last)]
        columns = (
            "日期Date",
            "指数代码",
            "指数名称",
            "指数英文",
            "成份券代码",
            "成份券名称",
            "英文",
            "交易所",
            "Exchange",
            "权重",
        )
        rows: Rows = [
            dict(
                zip(
                    columns,
                    (f"{last:%Y%m%d}", code, "", "", symbol[:6], "", "", "上海证券交易所", "SSE", 1.0),
                    strict=True,
                )
            )
            for symbol in here["symbol"]
        ]
        return _workbook(_spoiled(rows, what))

    def shenwan(self, what: str) -> bytes:
        rows: Rows = [
            {
                "股票代码": row.symbol.split(".")[0],
                "计入日期": f"{row.start_date:%Y-%m-%d}",
                "行业代码": self.industry_codes[row.industry][:2] + "0101",
                "更新日期": f"{row.start_date:%Y-%m-%d}",
            }
            for row in self.served["industries"].itertuples()
        ]
        return _workbook(_spoiled(rows, what))

    def _stocks(self, board: int, *, delisted: bool) -> list[Any]:
        table = self.served["securities"]
        table = table[(table["board"] == board) & (table["delist_date"].notna() == delisted)]
        return list(table.assign(code=table["symbol"].str[:6], called=table["name"]).itertuples())

    def _halted(self, day: pd.Timestamp) -> Rows:
        """Return the suspended of a day, and one stock halted for an hour that has a bar."""
        suspensions, bars = self.served["suspensions"], self.served["bars"]
        out = [(symbol, "停牌一天") for symbol in suspensions.loc[suspensions["session_date"] == day, "symbol"]]
        traded = bars.loc[bars["session_date"] == day, "symbol"]
        out += [(traded.iloc[0], "盘中停牌")] if out and len(traded) else []
        at = f"{day:%Y-%m-%d}"
        return [
            {"code": symbol[:6], "name": "某某", "from": f"{at} 09:30:00", "to": f"{at} 15:00:00", "span": span}
            | {"why": "重大事项", "market": "主板", "day": at, "resumes": None, "a": "", "b": "", "c": ""}
            for symbol, span in out
        ]

    def _bonus(self, period: pd.Timestamp) -> Rows:
        """Return everything paid in a year under the annual report of the year before, and a plan not carried out."""
        actions = self.served["corporate_actions"]
        if (period.month, period.day) != (12, 31):
            return []
        rows: Rows = []
        for row in actions[actions["ex_date"].dt.year == period.year + 1].itertuples():
            bonus = row.bonus_shares_per_share * 10
            said = {1: "某某", 4: row.symbol[:6], 5: bonus, 6: bonus, 8: row.cash_cny_per_share * 10, 13: "实施分配"}
            rows.append(_thirty(said | {11: f"{row.ex_date:%Y-%m-%d} 00:00:00"}))
        return [*rows, _thirty({4: "S00001", 8: 9.0, 13: "董事会决议通过"})] if rows else []


class AkshareStub:
    """The server; ``with`` starts and stops it. ``faults`` is consulted for every request, first match first."""

    def __init__(self, served: SimulatedTables, *, port: int = 0, host: str = "127.0.0.1") -> None:
        self.pages = Pages(served)
        self.faults: list[Fault] = []
        self.asked: list[str] = []
        self._lock = threading.Lock()
        self._server = _Server((host, port), _Handler)
        self._server.stub = self
        self.url = f"http://{host}:{self._server.server_port}"

    def __enter__(self) -> AkshareStub:
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def fail(self, kind: str, path: str = "", *, times: int = 1, seconds: float = 0.0) -> None:
        """Let the next requests go wrong."""
        self.faults.append(Fault(kind, path, times, seconds))

    def fault_for(self, path: str) -> Fault | None:
        """Take the fault due for a request, if any."""
        with self._lock:
            for fault in self.faults:
                if fault.times > 0 and fault.path in path:
                    fault.times -= 1
                    return fault
        return None

    def body(self, path: str, query: Query, what: str) -> bytes | None:
        """Return the page at ``/HOST/PATH``; None where there is none."""
        pages, host = self.pages, path.split("/")[1]
        answers = {
            "push2his.eastmoney.com": lambda: pages.kline(query, what),
            "finance.sina.com.cn": lambda: pages.hfq(path, what),
            "www.szse.cn": lambda: pages.szse(query, what),
            "www.bse.cn": pages.bse,
            "datacenter-web.eastmoney.com": lambda: pages.datacenter(query, what),
            "oss-ch.csindex.com.cn": lambda: pages.csindex(path, what),
            "www.swsresearch.com": lambda: pages.shenwan(what),
            "query.sse.com.cn": lambda: (pages.sse_list if "sseQuery" in path else pages.sse_delist)(query, what),
        }
        return answers[host]() if host in answers else None


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    stub: AkshareStub


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_GET(self) -> None:
        stub, parts = self.server.stub, urlsplit(self.path)
        stub.asked.append(parts.path)
        fault = stub.fault_for(parts.path)
        what = fault.kind if fault else ""
        if fault and what in ("slow", "hang"):
            time.sleep(fault.seconds)
        body = stub.body(parts.path, dict(parse_qsl(parts.query, keep_blank_values=True)), what)
        if what == "ban":
            body = BAN_PAGE
        status = int(what) if what.isdigit() else 404 if body is None else 200
        whole = b"" if status != 200 or body is None else body
        sent = whole[: len(whole) // 2] if what in ("truncated", "short") else whole
        self.send_response(status)
        self.send_header("Content-Length", str(len(sent if what == "truncated" else whole)))
        try:
            self.end_headers()
            self.wfile.write(sent)
        except OSError:
            return  # the client gave up

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.do_GET()

    def log_message(self, *_: object) -> None:
        """Keep quiet."""


def _stock_lines(frame: pd.DataFrame) -> list[str]:
    before = frame["close_cny"].shift().fillna(frame["pre_close_cny"])  # the page: from the close as it was traded
    lines = []
    for row, previous in zip(frame.itertuples(), before, strict=True):
        change = row.close_cny - previous
        prices = ",".join(f"{price:.2f}" for price in (row.open_cny, row.close_cny, row.high_cny, row.low_cny))
        money = f"{row.volume_shares / 100:.0f},{row.amount_cny:.2f}"
        moved = f"{change / previous * 100:.2f},{change:.2f},0.50"
        lines.append(f"{row.session_date:%Y-%m-%d},{prices},{money},1.00,{moved}")
    return lines


def _thirty(said: dict[int, Any]) -> dict[str, Any]:
    return {f"K{at:02d}": said.get(at) for at in range(30)}


def _spoiled(rows: Rows, what: str) -> Rows:
    if what == "empty":
        return []
    if what == "add":
        return [row | {"ADDED": 1} for row in rows]
    if what == "rename":
        return [{f"NEW_{name}": cell for name, cell in row.items()} for row in rows]
    return rows


def _json(content: object) -> bytes:
    return json.dumps(content, ensure_ascii=False).encode()


def _workbook(rows: Rows) -> bytes:
    file = BytesIO()
    pd.DataFrame(rows).to_excel(file, index=False)
    return file.getvalue()


def main() -> None:
    """Serve until SIGTERM."""
    options = market_options(__doc__).parse_args()
    stub = AkshareStub(chosen_market(options), port=options.port)
    serve(
        stub,
        stub.url,
        begin_outage=lambda: stub.fail("500", times=FOR_EVER),
        end_outage=stub.faults.clear,
        calls=lambda: len(stub.asked),
    )


if __name__ == "__main__":
    main()
