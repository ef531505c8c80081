"""A withdrawn model buys nothing more, whichever way the word came and whatever dies; another bundle ends it."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from fastapi.testclient import TestClient

from ljwx_pipeline.clock import ManualClock
from ljwx_pipeline.config import Settings
from ljwx_pipeline.console.app import make_app
from ljwx_pipeline.console.journal_reader import JOURNAL, Reader
from ljwx_pipeline.errors import BundleError, LiveError
from ljwx_pipeline.live.close_trading import Close, CloseTrader
from ljwx_pipeline.live.inbox import MAX_WITHDRAWAL_BYTES, Inbox
from ljwx_pipeline.live.journal import Journal
from ljwx_pipeline.live.main import run_replay
from ljwx_pipeline.live.stage_log import read_line
from ljwx_pipeline.promotion.deploy import RunnerLink, deploy, withdraw
from ljwx_pipeline.scoring.signing import public_key, signing_key
from ljwx_pipeline.scoring.transfer import pack, request_headers, store, unpack
from ljwx_pipeline.scoring.withdrawal import MAX_BY, MAX_REASON, Withdrawal, pack_withdrawal, unpack_withdrawal
from tests.fakes.arrivals import at_once, trading
from tests.fakes.bundles import FACTOR_HASH, tiny_bundle
from tests.fakes.live_home import live_home, live_settings

NOW = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)
NOBODY = "http://127.0.0.1:9"
WORD = Withdrawal("tiny", "3", "b" * 64, by="ann", reason="loses money", at="2026-01-05T11:59:00+00:00", number=4)


class Side:
    """A runner's inbox and the pipeline's key."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.live, self.clock = folder, folder / "live", ManualClock(NOW)
        self.key = signing_key(folder / "keys")
        self.open()

    def open(self) -> None:
        self.journal = Journal(self.live / "account" / "journal.sqlite", self.clock)
        self.inbox = Inbox(
            live_dir=self.live,
            keys_dir=self.folder / "keys",
            factor_hash=FACTOR_HASH,
            model_name="tiny",
            journal=self.journal,
            clock=self.clock,
            staging=at_once("tiny"),
        )

    def bundle(self, digit: str) -> Path:
        return tiny_bundle(self.folder / "made", self.key, data_hash=digit * 64)

    def send(self, digit: str, version: str) -> None:
        body = pack(self.bundle(digit), version)
        self.inbox.receive(body, request_headers(body, moment=self.clock.now(), key=self.key))

    def spool(self, digit: str, version: str) -> None:
        keys = self.folder / "keys"
        store(unpack(pack(self.bundle(digit), version)), self.live / "inbox", public_key=public_key(keys))

    def withdraw(self, word: Withdrawal = WORD, key: Ed25519PrivateKey | None = None) -> bool:
        body = pack_withdrawal(word, key or self.key)
        return self.inbox.receive_withdrawal(body, request_headers(body, moment=self.clock.now(), key=self.key)).new

    def trades(self) -> str | None:
        current = trading(self.inbox, self.journal)
        return None if current is None else current[0].model_version


@pytest.fixture
def side(tmp_path: Path) -> Side:
    return Side(tmp_path)


def test_a_signed_withdrawal_is_taken_once_and_a_bundle_ends_it(side: Side) -> None:
    side.send("a", "3")
    assert (side.withdraw(), side.withdraw()) == (True, False)
    withdrawn = side.journal.withdrawn()
    assert withdrawn is not None
    assert withdrawn.sentence() == "no model: version 3 withdrawn at 2026-01-05T12:00:00+00:00 (ann: loses money)"
    assert side.trades() is None
    side.send("a", "3")
    assert (side.trades(), side.journal.withdrawn()) == ("3", None)
    assert not side.withdraw(), "the same word, told once more, is no new one"
    assert side.trades() == "3"
    assert side.withdraw(replace(WORD, number=9))
    assert side.trades() is None


def test_a_withdrawal_counts_whatever_bytes_its_words_hold(side: Side) -> None:
    side.send("a", "3")
    assert side.withdraw(replace(WORD, by="w\udcfc", reason="too\0risky"))
    withdrawn = side.journal.withdrawn()
    assert withdrawn is not None
    assert withdrawn.sentence().endswith(r"(w\udcfc: too\x00risky)")
    assert side.trades() is None


def test_a_stranger_s_or_another_market_s_withdrawal_stops_nothing(side: Side) -> None:
    side.send("a", "3")
    with pytest.raises(BundleError, match="not signed by the trusted key"):
        side.withdraw(key=Ed25519PrivateKey.from_private_bytes(bytes(32)))
    with pytest.raises(LiveError, match="the withdrawn model is a other, this runner trades tiny"):
        side.withdraw(replace(WORD, model_name="other"))
    body = pack_withdrawal(WORD, side.key)
    old = request_headers(body, moment=NOW - timedelta(minutes=10), key=side.key)
    with pytest.raises(BundleError, match="signed 600 s away from now"):
        side.inbox.receive_withdrawal(body, old)
    for wrong in (b"", b"[]", b"{}", json.dumps({"withdrawal": {}, "signature": ""}).encode()):
        with pytest.raises(BundleError, match="does not carry a withdrawal"):
            unpack_withdrawal(wrong, public_key=public_key(side.folder / "keys"))
    assert side.trades() == "3"


def test_the_longest_reason_of_the_widest_characters_is_not_too_large_for_a_runner(side: Side) -> None:
    word = replace(WORD, model_name="m" * 200, version="9" * 20, by="\N{OX}" * MAX_BY, reason="\N{OX}" * MAX_REASON)
    assert len(pack_withdrawal(word, side.key)) < MAX_WITHDRAWAL_BYTES


def test_what_was_spooled_before_never_overtakes_what_is_sent_now(side: Side) -> None:
    side.send("a", "3")
    withdraw(WORD, key=side.key, address=NOBODY, live_dir=side.live)
    side.send("b", "4")
    assert side.trades() == "4"
    assert list((side.live / "inbox").iterdir()) == []
    side.inbox.collect()
    assert side.trades() == "4"


def test_spooled_words_are_taken_in_the_order_in_which_they_came(side: Side) -> None:
    side.spool("a", "3")
    done = withdraw(WORD, key=side.key, address=NOBODY, live_dir=side.live)
    assert (done.status, Path(done.how).parent) == ("spooled", side.live / "inbox")
    side.spool("a", "3")  # lay there before, and comes once more: it is the newest now
    side.inbox.collect()
    assert side.trades() == "3"
    side.spool("b", "4")
    (word,) = [withdraw(replace(WORD, number=5), key=side.key, address=NOBODY, live_dir=side.live)]
    later = Path(word.how).stat().st_mtime_ns + 1_000_000
    os.utime(word.how, ns=(later, later))
    side.inbox.collect()
    assert side.trades() is None
    same = (side.live / "inbox" / side.bundle("a").name, Path(word.how))
    side.spool("a", "3")
    withdraw(replace(WORD, number=6), key=side.key, address=NOBODY, live_dir=side.live)
    for path in (*(side.live / "inbox").iterdir(), same[0]):
        os.utime(path, ns=(later, later))
    side.inbox.collect()
    assert side.trades() == "3", "of two at once the bundle is the last word: a rollback sends both"


def test_a_damaged_spooled_withdrawal_stops_the_model_until_a_new_delivery(side: Side) -> None:
    side.send("a", "3")
    path = Path(withdraw(WORD, key=side.key, address=NOBODY, live_dir=side.live).how)
    path.write_bytes(path.read_bytes().replace(b"loses", b"gains"))
    side.inbox.collect()
    withdrawn = side.journal.withdrawn()
    assert side.trades() is None
    assert withdrawn is not None
    assert f"{path.name} cannot be read, a model may be meant" in withdrawn.sentence()
    assert (side.live / "refused" / path.name).is_file()
    side.journal.close()
    shutil.rmtree(side.live / "account")
    side.open()
    side.inbox.adopt()
    assert side.trades() is None, "a journal begun anew knows it, too"
    side.send("a", "3")
    side.inbox.adopt()
    assert side.trades() == "3", "told once, though it is still kept"


def test_a_spooled_withdrawal_of_another_market_is_read_and_stops_nothing(side: Side) -> None:
    side.send("a", "3")
    word = replace(WORD, model_name="other")
    path = Path(withdraw(word, key=side.key, address=NOBODY, live_dir=side.live).how)
    side.inbox.collect()
    assert side.trades() == "3"
    assert (side.live / "refused" / path.name).is_file()


@pytest.mark.parametrize("damage", [b"", b"{", b'{"signature": "", "withdrawal": {}}'])
def test_a_kept_withdrawal_that_cannot_be_read_counts_in_a_journal_begun_anew(side: Side, damage: bytes) -> None:
    side.send("a", "3")
    side.withdraw()
    kept = side.live / "withdrawal.json"
    kept.write_bytes(damage)
    for _ in range(2):
        side.journal.close()
        shutil.rmtree(side.live / "account")
        side.open()
        side.inbox.adopt()
        assert side.trades() is None
        assert kept.read_bytes() == damage, "kept for the next journal"
    side.send("b", "4")
    side.inbox.adopt()
    assert side.trades() == "4"


def test_a_bundle_from_before_a_withdrawal_does_not_stand_in_for_a_damaged_one(side: Side) -> None:
    side.send("a", "3")
    side.withdraw()
    side.send("b", "4")
    kept = side.live / "bundles" / side.bundle("b").name / "model.txt"
    kept.write_bytes(kept.read_bytes().replace(b"tree", b"tres", 1))
    with pytest.raises(BundleError):
        side.trades()
    with side.journal.store.reading() as connection:
        assert read_line(connection, "").former == (), "nobody that it could give way to"


def test_a_journal_that_is_begun_anew_knows_the_withdrawal(side: Side) -> None:
    side.send("a", "3")
    side.send("b", "4")
    side.send("a", "3")  # a rollback: what came last, not what was made last
    for name, second in ((side.bundle("b").name, 1), (side.bundle("a").name, 2)):
        os.utime(side.live / "bundles" / name, ns=(second * 10**9, second * 10**9))
    for expected in ("3", None):
        side.journal.close()
        shutil.rmtree(side.live / "account")
        side.open()
        side.inbox.adopt()
        assert side.trades() == expected
        side.withdraw()


def test_a_withdrawal_kept_but_not_noted_is_noted_at_the_next_start(
    side: Side, monkeypatch: pytest.MonkeyPatch
) -> None:
    side.send("a", "3")

    def dies(*_args: object, **_how: object) -> bool:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Journal, "append_due", dies)
        with pytest.raises(KeyboardInterrupt):
            side.withdraw()
    assert side.trades() == "3"
    side.inbox.adopt()
    assert side.trades() is None


@pytest.mark.parametrize("hold", [0, 3])
def test_a_withdrawn_model_buys_nothing_and_sells_by_exits_alone(
    tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch, hold: int
) -> None:
    home = live_home(tmp_path)
    chosen = live_settings(settings)
    exits = chosen.strategy.exits.model_copy(update={"max_hold_sessions": hold})
    chosen = chosen.model_copy(update={"strategy": chosen.strategy.model_copy(update={"exits": exits})})
    decide, done = CloseTrader.decide, []
    link = RunnerLink(home.key, NOBODY, home.home)
    bundle = home.bundle()
    model_name = json.loads((bundle / "manifest.json").read_text())["model_name"]

    async def decide_and_withdraw(self: CloseTrader, close: Close) -> bool:
        decided = await decide(self, close)
        done.append(close.session)
        if len(done) == 3:
            link.withdraw(replace(WORD, model_name=model_name, version="1", bundle_hash=bundle.name))
        return decided

    monkeypatch.setattr(CloseTrader, "decide", decide_and_withdraw)
    deploy(bundle, version="1", key=home.key, address=NOBODY, live_dir=home.live)
    account = run_replay(home.home, chosen, keys_dir=home.keys)
    assert (account.sessions, account.mode, account.model_version) == (home.feed_sessions, "finished", None)
    reader = Reader(home.home / JOURNAL)
    late = [order for order in reader.orders(1000) if order["session"] > done[2].isoformat()]
    assert not [order for order in late if order["side"] == "buy"]
    if hold:  # what is held still was to be sold, and could not: suspended, or locked at its limit
        assert set(account.holdings) <= {order["symbol"] for order in late}
        assert len({order["symbol"] for order in late if order["state"] == "filled"}) > len(account.holdings)
    else:
        assert not late
        assert account.positions > 0
    client = TestClient(make_app(reader, market="m"), base_url="http://127.0.0.1")
    assert "no model: version 1 withdrawn at 20" in client.get("/").text
    assert "; no model: version 1 withdrawn at" in client.get("/api/account").json()["runner"]["message"]

    deploy(bundle, version="1", key=home.key, address=NOBODY, live_dir=home.live)
    assert run_replay(home.home, chosen, keys_dir=home.keys).model_version == "1"
    assert reader.withdrawn() is None
