"""Count what a provider's stub process is asked by a first load and by the daily increment after it::

    python -m tests.jobs.count_calls --symbols 20 --sessions 250

Both are the command a person types, ``ljwx run --job ingest``; the stub counts.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from ljwx_pipeline.market.calendar import sessions_between
from ljwx_pipeline.sources.simulated.source import WORLD_FIRST
from tests.fakes.line_runs import ROOT, ljwx
from tests.fakes.provider_stubs.process import last_session_before_today
from tests.fakes.provider_stubs.tushare import TOKEN

ENDPOINT = {"tushare": "tushare.endpoint", "akshare": "akshare.endpoint"}


def main() -> None:
    """Print a line a provider."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--symbols", type=int, default=20)
    parser.add_argument("--sessions", type=int, default=250)
    parser.add_argument("--providers", nargs="+", default=["tushare", "akshare", "baostock"])
    options = parser.parse_args()
    os.environ["TUSHARE_TOKEN"] = TOKEN
    until = last_session_before_today()
    sessions = sessions_between(WORLD_FIRST, until)[-options.sessions :]
    for provider in options.providers:
        command = [sys.executable, "-m", f"tests.fakes.provider_stubs.{provider}", "--symbols", f"{options.symbols}"]
        with (
            tempfile.TemporaryDirectory() as home,
            subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as stub,
        ):
            asked, stocks = [0], 0
            where = _line(stub).split()[0]
            host, _, port = where.rpartition(":")
            address = (
                {ENDPOINT[provider]: where} if provider in ENDPOINT else {"baostock.host": host, "baostock.port": port}
            )
            for last in sessions[-2:]:
                span = {"source.first_session": f"{sessions[0]:%F}", "source.last_session": f"{last:%F}"}
                settings = {**span, **address, f"{provider}.calls_per_minute": 1_000_000}
                run = ljwx(
                    Path(home), "--job", "ingest", "--json", "--profile", provider, settings=settings, world=False
                )
                assert run.code == 0, run.err
                stub.send_signal(signal.SIGUSR2)
                asked.append(int(_line(stub).split()[0]))
                stocks = run.summary.get("symbols", options.symbols)
            stub.terminate()
            load, more = asked[1], asked[2] - asked[1]
            said = f"{load:,} calls for {len(sessions) - 1} sessions of {stocks} stocks, {more:,} for one more"
            sys.stdout.write(f"{provider}: {said}\n")
            sys.stdout.flush()


def _line(stub: subprocess.Popen[str]) -> str:
    assert stub.stdout is not None
    return stub.stdout.readline().strip()


if __name__ == "__main__":
    main()
