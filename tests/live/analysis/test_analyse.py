"""``ljwx live analyse`` over an account that traded on a real exchange: equal to the backtest, and where it is not."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pandas as pd
import pytest

from ljwx_pipeline.cli import main
from ljwx_pipeline.config import Settings, load_settings, market_home
from ljwx_pipeline.errors import ConfigError, LiveError, TradingError
from ljwx_pipeline.live.analysis.against_backtest import Asked, compared
from ljwx_pipeline.live.analysis.ledger import Ledger, read_ledger
from ljwx_pipeline.live.events import RunnerStated
from ljwx_pipeline.live.feed import ReplayFeed
from ljwx_pipeline.live.model import Model
from ljwx_pipeline.live.orders import OrderState
from ljwx_pipeline.live.store import Store
from ljwx_pipeline.session_pack import read_session_pack
from tests.fakes.desk_world import desk_at
from tests.fakes.exchange_process import exchange_process
from tests.fakes.followed import Followed, end_of_pack, stage
from tests.fakes.given_scores import BUNDLE, GivenScores, wide_open
from tests.fakes.live_market import live_tables, write_pack
from tests.live.test_follower import OPTIONS

ROOT = Path(__file__).resolve().parents[3]
SESSIONS = 8
#: What `wide_open` trades by.
TRADED = ("strategy.top_k=6", "strategy.n_drop=2", "strategy.min_hold_sessions=2", "risk.max_weight_per_name_frac=1.0")
STRATEGY = tuple(word for key in TRADED for word in ("--set", key))


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A market's home after the sessions of its pack."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("LJWX_HOME", str(tmp_path_factory.mktemp("home")))
        patched.chdir(ROOT)
        settings = load_settings()
        home = market_home(settings)
        pack = home / "live" / "feed"
        tables = live_tables(seed=3, feed_sessions=SESSIONS)
        write_pack(pack, tables, feed_sessions=SESSIONS, online_features=pd.DataFrame({"symbol": ["x"]}))
        asyncio.run(_trade(home, ReplayFeed(read_session_pack(pack)), settings))
        yield home


async def _trade(home: Path, feed: ReplayFeed, settings: Settings) -> None:
    account = home / "live" / "account"
    with exchange_process(home / "live" / "feed", account / "exchange", *OPTIONS) as exchange:
        async with desk_at(exchange.said["url"], account) as desk:
            await stage(desk, BUNDLE)
            model = Model(BUNDLE, GivenScores(feed, 3))
            await Followed(desk, feed, wide_open(settings), model).follower.follow(end_of_pack)
            stated = RunnerStated(
                mode="finished",
                simulated=True,
                opening_capital_fen=1,
                bundle_hash=None,
                current_session=None,
                sessions_done=SESSIONS,
                sessions_total=SESSIONS,
                message="",
            )
            await desk.journal.append([stated], desk.lease.epoch)


def said(capsys: pytest.CaptureFixture[str], *words: str) -> Any:
    capsys.readouterr()
    assert main(["live", "analyse", *STRATEGY, *words, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def ledger_of(home: Path) -> Ledger:
    store = Store(home / "live" / "account" / "journal.sqlite")
    try:
        with store.reading() as connection:
            return read_ledger(connection)
    finally:
        store.close()


@pytest.mark.slow
def test_an_account_that_met_no_limit_is_the_backtests_to_the_fen(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = said(capsys)
    beside = found["backtest"]
    assert (beside["sessions"], beside["differing_orders"], beside["first_gap"]) == (SESSIONS, 0, None)
    assert beside["orders"] > 20
    assert all(day["live_cny"] == day["backtest_cny"] for day in beside["equity"])
    assert beside["equity"][0]["live_cny"] != beside["equity"][-1]["live_cny"]


def test_the_figures_are_those_of_the_journal(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found, ledger = said(capsys), ledger_of(home)
    assert found["simulated"]
    assert found["orders"] == len(ledger.orders) == found["measured_orders"] + sum(found["unmeasured"].values())
    assert found["unmeasured"]["still open"] > 0, "those behind the pack's end"
    everything = found["costs"][-1]
    fills = [one for order in ledger.orders for one in order.fills]
    assert everything["commission_cny"] == sum(one.commission_fen for one in fills) / 100
    assert everything["fills"] == len(fills)
    assert sum(row["filled_shares"] for row in found["fill_ratios"]) == sum(one.filled_shares for one in ledger.orders)
    shortfall = found["shortfall"][-1]
    parts = sum(shortfall[f"{name}_cny"] for name in ("delay", "trading", "opportunity", "fees"))
    assert shortfall["shortfall_cny"] == pytest.approx(parts)
    stages = {one["stage"]: one for one in found["latency"]}
    sent = sum(one.state is not OrderState.DENIED for one in ledger.orders)
    assert stages["decided to sent"]["orders"] == stages["sent to acknowledged"]["orders"] == sent
    assert stages["decided to filled"]["orders"] == sum(bool(one.fills) for one in ledger.orders)
    assert stages["decided to filled"]["p50_ms"] >= stages["sent to acknowledged"]["p50_ms"] > 0
    assert all(one["stepped"] == 0 for one in found["latency"])


def test_only_the_sessions_asked_for_are_counted(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    days = sorted({one.valid_session for one in ledger_of(home).orders})
    part = said(capsys, "--from", f"{days[2]}", "--to", f"{days[3]}")
    assert (part["first"], part["last"], part["backtest"]["sessions"]) == (f"{days[2]}", f"{days[3]}", 2)
    assert part["backtest"]["differing_orders"] == 0, "the backtest began with the account all the same"
    whole = said(capsys)
    assert 0 < part["orders"] < whole["orders"]


def test_the_page_needs_nothing_else_and_its_pictures_are_whole(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "new" / "page.html"
    assert main(["live", "analyse", *STRATEGY, "--html", str(page)]) == 0
    printed = capsys.readouterr().out
    assert str(page) in printed
    assert "the same to the fen" in printed
    assert "SIMULATED" in printed
    text = page.read_text(encoding="utf-8")
    pictures = re.findall(r"<svg xmlns=.http://www.w3.org/2000/svg. viewBox.*?</svg>", text, re.DOTALL)
    assert len(pictures) >= 5
    for one in pictures:
        drawn = ET.fromstring(one)
        assert len(drawn.findall(".//{*}rect")) + len(drawn.findall(".//{*}polyline")) > 0
        assert "nan" not in one
    elsewhere = re.sub(r"xmlns=\S+", "", text)
    assert "src=" not in elsewhere
    assert "SIMULATED market" in text
    assert "The same to the fen" in text


def test_what_live_did_otherwise_is_named(home: Path) -> None:
    ledger, pack = ledger_of(home), read_session_pack(home / "live" / "feed")
    settings = load_settings(config_file=ROOT / "ljwx.toml")
    feed = ReplayFeed(pack)
    last = ledger.account[-1].session
    victim = next(one for one in ledger.orders if one.filled_shares and one.valid_session == last)
    denied = replace(victim, state=OrderState.DENIED, reason="FAT_FINGER", fills=())
    by_hand = replace(victim, client_order_id="external|1", symbol="S99999.SIM", strategy="")
    days = [*ledger.account[:-1], replace(ledger.account[-1], equity_fen=ledger.account[-1].equity_fen + 7)]
    changed = replace(
        ledger,
        orders=(*(denied if one is victim else one for one in ledger.orders), by_hand),
        account=tuple(days),
    )
    found = compared(
        changed,
        feed.market,
        strategy=wide_open(settings).strategy,
        costs=settings.costs,
        asked=Asked(None, None),
    )
    assert found.first_gap == last
    assert found.days[-1].gap_fen == 7
    gaps = {one.symbol: one for one in found.gaps}
    assert set(gaps) == {victim.symbol, "S99999.SIM"}
    missed = gaps[victim.symbol]
    assert (missed.live_shares, missed.live_filled, missed.live_said) == (0, 0, "denied FAT_FINGER")
    assert (missed.backtest_shares, missed.backtest_filled) == (
        victim.sign * victim.shares,
        victim.sign * victim.filled_shares,
    )
    assert gaps["S99999.SIM"].backtest_said == ""


def test_what_cannot_be_compared_is_refused_with_its_reason(home: Path) -> None:
    ledger, feed = ledger_of(home), ReplayFeed(read_session_pack(home / "live" / "feed"))
    settings = load_settings(config_file=ROOT / "ljwx.toml")
    two = replace(ledger, strategies=("one", "other"))
    short = replace(ledger, account=ledger.account[:1])
    older = replace(ledger.account[0], session=ledger.account[0].session.replace(year=2009))
    for changed, told in (
        (two, "one, other share the account"),
        (short, "a backtest needs two"),
        (replace(ledger, account=(older, *ledger.account)), "does not hold 2009"),
    ):
        with pytest.raises(TradingError, match=told):
            compared(changed, feed.market, strategy=settings.strategy, costs=settings.costs, asked=Asked(None, None))


def test_without_a_pack_what_needs_no_prices_is_still_told(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ljwx_pipeline.live_commands.PACK_DIR", Path("live") / "nowhere")
    found = said(capsys)
    assert found["backtest"] is None
    assert "there is no session pack" in found["not_compared"]
    assert found["measured_orders"] == 0
    assert found["costs"][-1]["total_cny"] > 0
    assert main(["live", "analyse"]) == 0
    assert "not compared with a backtest: there is no session pack" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "told", "code"),
    [
        (["--from", "2031-01-01"], "the journal holds no order for 2031-01-01", LiveError.exit_code),
        (["--from", "2018-05-02", "--to", "2018-05-01"], "lies after --to", ConfigError.exit_code),
        (["--to", "tomorrow"], "--to 'tomorrow' is no date", ConfigError.exit_code),
    ],
)
def test_a_mistake_is_one_line(
    home: Path, words: list[str], told: str, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["live", "analyse", *words]) == code
    assert told in capsys.readouterr().err


def test_without_a_journal_nothing_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LJWX_HOME", str(tmp_path))
    monkeypatch.chdir(ROOT)
    assert main(["live", "analyse"]) == LiveError.exit_code
    assert "no runner has traded this market" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
