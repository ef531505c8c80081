"""A loopback server that speaks tushare's wire form over the simulated market, with faults on demand.

As a process, for a person::

    python -m tests.fakes.provider_stubs.tushare --port 8521 --seed 7 --symbols 40
    TUSHARE_TOKEN=stubtoken ljwx run --profile tushare --set tushare.endpoint=http://127.0.0.1:8521 ...
"""

from __future__ import annotations

import json
import socket
import threading
import time
from dataclasses import dataclass
from datetime import date
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

import pandas as pd

from tests.fakes.provider_stubs.market import SimulatedTables
from tests.fakes.provider_stubs.process import FOR_EVER, chosen_market, market_options, serve
from tests.fakes.provider_stubs.tushare_tables import trade_cal, tushare_tables

TOKEN = "stubtoken0123456789abcdef"
CAPS = {
    "daily": 6000,
    "adj_factor": 6000,
    "daily_basic": 6000,
    "trade_cal": 12000,
    "stock_basic": 6000,
    "namechange": 10000,
    "suspend_d": 5000,
    "stk_limit": 5800,
    "index_daily": 8000,
    "index_weight": 6000,
    "dividend": 2000,
    "fina_indicator": 100,
    "fina_indicator_vip": 500,
}
#: The column that ``start_date`` and ``end_date`` narrow: not the same everywhere.
DATED = {"namechange": "ann_date", "fina_indicator": "end_date", "trade_cal": "cal_date"}
EXACT = ("ts_code", "trade_date", "index_code", "con_code", "list_status", "suspend_type", "ex_date", "exchange")
#: One of these must be asked for.
REQUIRED = {"index_daily": ("ts_code",), "index_weight": ("index_code",), "fina_indicator": ("ts_code",)}
REQUIRED |= {"fina_indicator_vip": ("period", "ts_code")}
REQUIRED |= {"dividend": ("ts_code", "ann_date", "record_date", "ex_date", "imp_ann_date")}

RATE_LIMITED = (
    40203,
    "抱歉，您每分钟最多访问该接口200次，权限的具体详情访问：https://tushare.pro/document/1?doc_id=108。",
)
DAY_QUOTA = (
    40203,
    "抱歉，您每天最多访问该接口20000次，权限的具体详情访问：https://tushare.pro/document/1?doc_id=108。",
)
HOUR_QUOTA = (40203, "抱歉，您每小时最多访问该接口1次，权限的具体详情访问：https://tushare.pro/document/1?doc_id=108。")
NO_PERMISSION = (40203, "抱歉，您没有访问该接口的权限，权限的具体详情访问：https://tushare.pro/document/1?doc_id=108。")
BAD_TOKEN = (40101, "您的token不对，请确认。")
BUSY = (50101, "系统内部错误，请稍后再试。")


@dataclass
class Fault:
    """Something that goes wrong with the next ``times`` calls (of ``api`` alone, if given).

    ``kind``: ``http`` (status in ``detail``), ``refuse`` (code and message in ``detail``), ``truncated``, ``reset``,
    ``slow`` (seconds in ``detail``), ``half_page`` (and says that more is left), ``silent_half``, ``empty``,
    ``overlap`` (a page begins one row early), ``add_columns``, ``drop_column`` and ``reverse_columns`` (name in
    ``detail``), ``echo`` (refuses in a message that holds the token).
    """

    kind: str
    detail: Any = None
    api: str | None = None
    times: int = 1


class TushareStub:
    """The server; a context manager that serves from a thread.

    Parameters
    ----------
    market
        What it serves.
    caps
        Rows a call, over the documented ones.
    says_has_more
        Whether answers tell that rows are left.
    port
        0 takes a free one.
    """

    def __init__(
        self,
        market: SimulatedTables,
        *,
        caps: dict[str, int] | None = None,
        says_has_more: bool = True,
        token: str = TOKEN,
        port: int = 0,
    ) -> None:
        self.market = market
        self.tables = tushare_tables(market)
        self.caps = CAPS | (caps or {})
        self.says_has_more = says_has_more
        self.token = token
        self.faults: list[Fault] = []
        self.moved_holidays: set[date] = set()
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.connections = 0
        self._lock = threading.Lock()
        self._server = _Server(("127.0.0.1", port), _Handler)
        self._server.stub = self
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> TushareStub:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    def reset(self) -> None:
        """Forget faults, moved holidays and the calls so far."""
        self.faults.clear()
        self.moved_holidays.clear()
        self.calls.clear()
        self.says_has_more = True

    def asked(self, api: str) -> list[dict[str, Any]]:
        """The parameters of every call of ``api`` so far."""
        return [params for name, params in self.calls if name == api]

    def answer(self, question: dict[str, Any], fault: Fault | None) -> dict[str, Any]:
        api, params = question["api_name"], question["params"]
        if question["token"] != self.token:
            return _refused(*BAD_TOKEN)
        if fault is not None and fault.kind == "refuse":
            return _refused(*fault.detail)
        if fault is not None and fault.kind == "echo":
            return _refused(-2001, f"bad request {question}")
        if api in REQUIRED and not any(params.get(name) for name in REQUIRED[api]):
            return _refused(-2001, "必填参数")
        rows = self._rows(api, params)
        offset = int(params.get("offset") or 0)
        limit = min(int(params.get("limit") or self.caps[api]), self.caps[api])
        if fault is not None and fault.kind == "overlap":
            offset = max(offset - 1, 0)
        page = rows.iloc[offset : offset + limit]
        has_more = offset + limit < len(rows)
        if fault is not None and fault.kind in ("half_page", "silent_half"):
            page, has_more = page.iloc[: len(page) // 2], has_more or fault.kind == "half_page"
        if fault is not None and fault.kind == "empty":
            page, has_more = page.iloc[:0], False
        wanted = [name for name in question["fields"].split(",") if name] or list(rows.columns)
        page = page[[name for name in wanted if name in rows.columns]]
        return {"code": 0, "msg": "", "data": self._data(page, has_more, fault)}

    def _data(self, page: pd.DataFrame, has_more: bool, fault: Fault | None) -> dict[str, Any]:
        if fault is not None and fault.kind == "add_columns":
            page = page.assign(ah_vol=1.0, ah_amount=2.0)[["ah_vol", *page.columns, "ah_amount"]]
        if fault is not None and fault.kind == "drop_column":
            page = page.drop(columns=fault.detail)
        if fault is not None and fault.kind == "reverse_columns":
            page = page[list(page.columns)[::-1]]
        cells = page.astype(object).where(page.notna(), None)
        data: dict[str, Any] = {"fields": list(page.columns), "items": cells.to_numpy().tolist()}
        return data | ({"has_more": has_more, "count": -1} if self.says_has_more else {})

    def _rows(self, api: str, params: dict[str, Any]) -> pd.DataFrame:
        if api == "trade_cal":
            rows = trade_cal(*(pd.Timestamp(params[name]).date() for name in ("start_date", "end_date")))
            moved = rows["cal_date"].isin([f"{day:%Y%m%d}" for day in self.moved_holidays])
            return rows.assign(is_open=rows["is_open"].where(~moved, 1 - rows["is_open"]))
        rows = self.tables[api]
        if api == "stock_basic":
            params = {"list_status": "L", **params}
        for name in EXACT:
            if params.get(name):
                rows = rows[rows[name].isin(str(params[name]).split(","))]
        if params.get("period"):
            rows = rows[rows["end_date"] == params["period"]]
        column = DATED.get(api, "trade_date")
        if params.get("start_date"):
            rows = rows[rows[column] >= params["start_date"]]
        if params.get("end_date"):
            rows = rows[rows[column] <= params["end_date"]]
        return rows

    def next_fault(self, api: str) -> Fault | None:
        with self._lock:
            for fault in self.faults:
                if fault.times > 0 and fault.api in (None, api):
                    fault.times -= 1
                    return fault
        return None


def _refused(code: int, message: str) -> dict[str, Any]:
    return {"code": code, "msg": message, "data": None}


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64
    stub: TushareStub


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def setup(self) -> None:
        super().setup()
        self.server.stub.connections += 1

    def do_POST(self) -> None:
        stub = self.server.stub
        question = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        stub.calls.append((question["api_name"], question["params"]))
        fault = stub.next_fault(question["api_name"])
        kind = fault.kind if fault else ""
        if kind == "reset":
            self.close_connection = True
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            self.connection.close()
            return
        if kind == "slow":
            time.sleep(fault.detail)
        body = json.dumps(stub.answer(question, fault), ensure_ascii=False).encode()
        self.send_response(fault.detail if kind == "http" else 200)
        body = body[: len(body) // 2] if kind == "truncated" else body
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: Any) -> None:
        """Say nothing."""

    def finish(self) -> None:
        try:
            super().finish()
        except (OSError, ValueError):
            return


def main() -> None:
    """Serve until SIGTERM."""
    parser = market_options(__doc__)
    parser.add_argument("--token", default=TOKEN)
    options = parser.parse_args()
    stub = TushareStub(chosen_market(options), token=options.token, port=options.port)
    serve(
        stub,
        f"{stub.endpoint} token {options.token}",
        begin_outage=lambda: stub.faults.append(Fault("http", 500, times=FOR_EVER)),
        end_outage=stub.faults.clear,
        calls=lambda: len(stub.calls),
    )


if __name__ == "__main__":
    main()
