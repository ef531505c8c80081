"""Bundles are accepted once, whole and signed; whatever else arrives is noted and leaves the model in place."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ljwx_pipeline.clock import ManualClock
from ljwx_pipeline.errors import BundleError, LiveError
from ljwx_pipeline.live import inbox as inbox_module
from ljwx_pipeline.live.inbox import MAX_REQUEST_AGE_S, Inbox
from ljwx_pipeline.live.journal import DeployedBundle, Journal
from ljwx_pipeline.scoring.bundle import ModelBundle
from ljwx_pipeline.scoring.signing import public_key, signing_key
from ljwx_pipeline.scoring.transfer import pack, request_headers, store, unpack
from ljwx_pipeline.scoring.withdrawal import Withdrawal, pack_withdrawal
from tests.fakes.arrivals import at_once, trading
from tests.fakes.bundles import CARD_TEXT, FACTOR_HASH, grouped_model, tiny_bundle
from tests.fakes.sqlite_file import connect

NOW = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)


@dataclass
class Desk:
    """A runner's folder, the pipeline's key, and an inbox."""

    live: Path
    made: Path
    key: Ed25519PrivateKey
    journal: Journal
    inbox: Inbox
    clock: ManualClock

    def send(self, bundle: Path, version: str = "3", key: Ed25519PrivateKey | None = None, **change: object) -> object:
        body = pack(bundle, version)
        headers = request_headers(body, moment=change.get("moment", NOW), key=key or self.key)
        return self.inbox.receive(change.get("body", body), headers)

    def spool(self, bundle: Path, version: str = "3") -> Path:
        keys = self.made / "keys"
        return store(unpack(pack(bundle, version)), self.live / "inbox", public_key=public_key(keys))

    def events(self) -> list[tuple[str, str]]:
        rows = connect(self.journal.path).execute("SELECT kind, message FROM events ORDER BY id")
        return [tuple(row) for row in rows]

    def trading(self) -> tuple[DeployedBundle, ModelBundle] | None:
        return trading(self.inbox, self.journal)

    @property
    def kept(self) -> list[str]:
        return names(self.live / "bundles")


def exchange(folder: Path, other: Path) -> None:
    """Put the files of bundle ``other`` into ``folder``, which keeps its name and its delivery's version."""
    delivery = (folder / "delivery.json").read_bytes()
    shutil.rmtree(folder)
    shutil.copytree(other, folder)
    (folder / "delivery.json").write_bytes(delivery)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    keys, live = tmp_path / "made" / "keys", tmp_path / "live"
    key = signing_key(keys)
    clock = ManualClock(NOW)
    journal = Journal(live / "account" / "journal.sqlite", clock)
    inbox = Inbox(
        live_dir=live,
        keys_dir=keys,
        factor_hash=FACTOR_HASH,
        model_name="tiny",
        journal=journal,
        clock=clock,
        staging=at_once("tiny"),
    )
    return Desk(live, tmp_path / "made", key, journal, inbox, clock)


def damage(folder: Path, name: str = "model.txt") -> None:
    path = folder / name
    path.write_bytes(path.read_bytes().replace(b"tree", b"tres", 1))


def test_a_signed_bundle_is_accepted_once(desk: Desk) -> None:
    bundle = tiny_bundle(desk.made, desk.key)
    first, second = desk.send(bundle), desk.send(bundle)
    assert (first.new, second.new) == (True, False)
    assert first.bundle_hash == second.bundle_hash == bundle.name
    assert desk.kept == [bundle.name]
    assert [kind for kind, _ in desk.events()] == ["bundle_deployed"]
    deployed, loaded = desk.trading()
    assert (deployed.model_version, deployed.last_train_session) == ("3", loaded.manifest.last_session)


def test_a_bundle_of_many_members_arrives_whole(desk: Desk) -> None:
    bundle = tiny_bundle(desk.made, desk.key, grouped_model())
    desk.send(bundle)
    _, loaded = desk.trading()
    assert loaded.model.members == grouped_model().members
    assert loaded.card == CARD_TEXT
    desk.spool(bundle)
    assert [accepted.new for accepted in desk.inbox.collect()] == [False]


@pytest.mark.parametrize("name", ["card.md", "all.json", "group-7.txt", "signature.json"])
def test_a_request_without_a_file_that_its_manifest_lists_is_refused(desk: Desk, name: str) -> None:
    tree = json.loads(pack(tiny_bundle(desk.made, desk.key, grouped_model()), "3"))
    del tree["files"][name]
    body = json.dumps(tree).encode()
    with pytest.raises(BundleError, match="does not carry exactly"):
        desk.inbox.receive(body, request_headers(body, moment=NOW, key=desk.key))
    assert desk.kept == []


@pytest.mark.parametrize("name", ["card.md", "all.json", "group-7.txt"])
def test_a_request_with_a_changed_byte_in_any_file_is_refused(desk: Desk, name: str) -> None:
    tree = json.loads(pack(tiny_bundle(desk.made, desk.key, grouped_model()), "3"))
    text = tree["files"][name]
    tree["files"][name] = text[:-1] + ("x" if text[-1] != "x" else "y")
    body = json.dumps(tree).encode()
    with pytest.raises(BundleError, match=f"{name} is damaged"):
        desk.inbox.receive(body, request_headers(body, moment=NOW, key=desk.key))
    assert desk.kept == []


def test_a_spooled_file_far_larger_than_listed_is_set_aside_unread(desk: Desk) -> None:
    spooled = desk.spool(tiny_bundle(desk.made, desk.key))
    with (spooled / "card.md").open("r+b") as file:
        file.truncate(1 << 40)  # sparse: reading it would end the process
    assert desk.inbox.collect() == ()
    assert names(desk.live / "refused") == [spooled.name]


def test_a_stranger_s_request_is_refused(desk: Desk) -> None:
    bundle = tiny_bundle(desk.made, desk.key)
    with pytest.raises(BundleError, match="not signed by the trusted key"):
        desk.send(bundle, key=Ed25519PrivateKey.generate())
    assert desk.kept == []
    assert [kind for kind, _ in desk.events()] == ["bundle_refused"]


def test_a_bundle_signed_by_a_stranger_is_refused_though_the_request_is_ours(desk: Desk) -> None:
    bundle = tiny_bundle(desk.made, Ed25519PrivateKey.generate())
    with pytest.raises(BundleError, match="the trusted key is"):
        desk.send(bundle)
    assert desk.kept == []


def test_an_old_request_is_refused(desk: Desk) -> None:
    bundle = tiny_bundle(desk.made, desk.key)
    with pytest.raises(BundleError, match="signed 301 s away"):
        desk.send(bundle, moment=NOW - timedelta(seconds=MAX_REQUEST_AGE_S + 1))


def test_a_changed_body_is_refused(desk: Desk) -> None:
    bundle = tiny_bundle(desk.made, desk.key)
    with pytest.raises(BundleError, match="not signed"):
        desk.send(bundle, body=pack(bundle, "4"))


@pytest.mark.parametrize("name", ["../../../evil", "sub/model.txt", "/etc/passwd"])
def test_no_other_file_name_gets_in(desk: Desk, name: str) -> None:
    tree = json.loads(pack(tiny_bundle(desk.made, desk.key), "3"))
    tree["files"][name] = "x"
    body = json.dumps(tree).encode()
    with pytest.raises(BundleError, match="does not carry exactly"):
        desk.inbox.receive(body, request_headers(body, moment=NOW, key=desk.key))
    assert not (desk.live / "bundles").exists()


def test_a_bundle_for_other_factors_is_refused_and_the_model_stays(desk: Desk) -> None:
    good = tiny_bundle(desk.made, desk.key)
    desk.send(good)
    other = tiny_bundle(desk.made, desk.key, factor_hash="0" * 64)
    with pytest.raises(BundleError, match="this code computes factors"):
        desk.send(other, version="4")
    assert desk.kept == [good.name]
    assert desk.trading()[0].bundle_hash == good.name
    assert [kind for kind, _ in desk.events()] == ["bundle_deployed", "bundle_refused"]


def test_a_sound_bundle_of_another_market_is_not_ours(desk: Desk) -> None:
    other = tiny_bundle(desk.made, desk.key, model_name="tiny-elsewhere")
    with pytest.raises(LiveError, match="the bundle is a tiny-elsewhere, this runner trades tiny"):
        desk.send(other)
    desk.spool(other)
    assert desk.inbox.collect() == ()
    assert desk.kept == []
    assert [kind for kind, _ in desk.events()] == ["bundle_refused", "bundle_refused"]


def test_a_spooled_bundle_is_taken_in_and_the_spool_emptied(desk: Desk) -> None:
    bundle = tiny_bundle(desk.made, desk.key)
    spooled = desk.spool(bundle)
    (spooled.parent / ".half-written").mkdir()
    assert [accepted.new for accepted in desk.inbox.collect()] == [True]
    assert desk.kept == [bundle.name]
    assert names(spooled.parent) == [".half-written"]
    desk.spool(bundle)
    assert [accepted.new for accepted in desk.inbox.collect()] == [False]


def test_a_damaged_spooled_bundle_is_set_aside_and_the_next_one_still_taken(desk: Desk) -> None:
    bad, good = tiny_bundle(desk.made, desk.key, rounds=4), tiny_bundle(desk.made, desk.key)
    damage(desk.spool(bad))
    (desk.spool(tiny_bundle(desk.made, desk.key, rounds=3)) / "delivery.json").unlink()
    (desk.live / "inbox" / "not-a-bundle").mkdir()
    desk.spool(good)
    assert [accepted.bundle_hash for accepted in desk.inbox.collect()] == [good.name]
    assert desk.kept == [good.name]
    assert bad.name in names(desk.live / "refused")
    assert names(desk.live / "inbox") == []
    assert [kind for kind, _ in desk.events()].count("bundle_refused") == 3


def test_a_kept_bundle_damaged_later_is_never_loaded_and_healed_by_sending_it_again(desk: Desk) -> None:
    old, new = tiny_bundle(desk.made, desk.key), tiny_bundle(desk.made, desk.key, rounds=4)
    desk.send(old)
    desk.send(new, version="4")
    assert desk.trading()[0].bundle_hash == new.name
    damage(desk.live / "bundles" / new.name)
    with pytest.raises(BundleError):
        desk.trading()
    assert not desk.send(new, version="4").new
    assert desk.trading()[0].bundle_hash == new.name


def test_another_signed_bundle_under_an_accepted_one_s_name_is_never_traded(desk: Desk) -> None:
    first, good, other = (tiny_bundle(desk.made, desk.key, rounds=rounds) for rounds in (3, 5, 4))
    desk.send(first, version="1")
    desk.send(good, version="2")
    exchange(desk.live / "bundles" / good.name, other)
    with pytest.raises(BundleError, match=f"holds bundle {other.name[:12]}, not bundle {good.name[:12]}"):
        desk.trading()
    again = desk.send(good, version="2")
    assert (again.bundle_hash, again.model_version, again.new) == (good.name, "2", False)
    deployed, loaded = desk.trading()
    assert deployed.bundle_hash == loaded.bundle_hash == good.name
    assert list(desk.journal.bundles()) == [first.name, good.name]


def test_another_signed_bundle_under_an_unknown_name_is_not_adopted(desk: Desk) -> None:
    good, other = tiny_bundle(desk.made, desk.key), tiny_bundle(desk.made, desk.key, rounds=4)
    store(unpack(pack(good, "3")), desk.live / "bundles", public_key=public_key(desk.made / "keys"))
    exchange(desk.live / "bundles" / good.name, other)
    desk.inbox.adopt()
    assert list(desk.journal.bundles()) == []
    assert names(desk.live / "refused") == [good.name]


def test_another_signed_bundle_under_a_spooled_one_s_name_is_set_aside(desk: Desk) -> None:
    good, other = tiny_bundle(desk.made, desk.key), tiny_bundle(desk.made, desk.key, rounds=4)
    exchange(desk.spool(good), other)
    assert desk.inbox.collect() == ()
    assert (desk.kept, names(desk.live / "refused")) == ([], [good.name])
    assert f"it holds bundle {other.name[:12]}" in desk.events()[-1][1]


def test_while_a_bundle_is_examined_others_come_in_and_it_gives_way_to_them(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inbox_module, "TURN_TIMEOUT_S", 0.2)
    slow, newer = tiny_bundle(desk.made, desk.key), tiny_bundle(desk.made, desk.key, rounds=4)

    def examine(bundle: ModelBundle) -> bool:
        if bundle.bundle_hash == slow.name:
            desk.live.joinpath("inbox").mkdir()
            assert desk.inbox.collect() == ()  # a close that takes in what was spooled
            assert desk.send(newer, version="4").new
        return True

    desk.inbox._examine = examine
    with pytest.raises(BundleError, match="something newer was taken in while it was examined"):
        desk.send(slow)
    assert list(desk.journal.bundles()) == [newer.name]
    assert desk.kept == [newer.name]


def test_rolling_back_is_deploying_the_old_one_again(desk: Desk) -> None:
    old, new = tiny_bundle(desk.made, desk.key), tiny_bundle(desk.made, desk.key, rounds=4)
    desk.send(old)
    desk.send(new, version="4")
    assert desk.send(old).new
    assert desk.trading()[0].bundle_hash == old.name


def test_an_old_request_sent_again_brings_no_former_model_back(desk: Desk) -> None:
    old, new = tiny_bundle(desk.made, desk.key), tiny_bundle(desk.made, desk.key, rounds=4)
    desk.send(old)
    desk.clock.set(NOW + timedelta(seconds=20))
    desk.send(new, version="4", moment=NOW + timedelta(seconds=19))
    with pytest.raises(BundleError, match=f"before bundle {new.name[:12]} was taken in at"):
        desk.send(old)  # the very request that was accepted before
    assert desk.trading()[0].bundle_hash == new.name
    assert not desk.send(new, version="4", moment=NOW + timedelta(seconds=19)).new
    assert desk.send(old, moment=NOW + timedelta(seconds=20)).new


def test_a_request_older_than_a_withdrawal_does_not_end_it(desk: Desk) -> None:
    bundle = tiny_bundle(desk.made, desk.key)
    desk.send(bundle)
    desk.clock.set(NOW + timedelta(seconds=20))
    word = pack_withdrawal(Withdrawal("tiny", "3", bundle.name, "ann", "loses money", NOW.isoformat(), 1), desk.key)
    desk.inbox.receive_withdrawal(word, request_headers(word, moment=desk.clock.now(), key=desk.key))
    with pytest.raises(BundleError, match="before its model was withdrawn at"):
        desk.send(bundle)
    assert desk.journal.withdrawn() is not None
    assert desk.send(bundle, moment=desk.clock.now()).new
    assert desk.journal.withdrawn() is None


def test_what_was_spooled_before_a_request_does_not_make_it_an_old_one(desk: Desk) -> None:
    spooled, sent = tiny_bundle(desk.made, desk.key), tiny_bundle(desk.made, desk.key, rounds=4)
    desk.spool(spooled)
    desk.clock.set(NOW + timedelta(seconds=20))
    assert desk.send(sent, version="4", moment=NOW + timedelta(seconds=19)).new
    assert desk.trading()[0].bundle_hash == sent.name


def test_a_journal_that_cannot_be_written_leaves_what_was_spooled(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    spooled = desk.spool(tiny_bundle(desk.made, desk.key))

    def full(*_: object) -> bool:
        raise LiveError("the journal cannot be written", "free disk space")

    with monkeypatch.context() as broken:
        broken.setattr(Journal, "append_due", full)
        with pytest.raises(LiveError, match="cannot be written"):
            desk.inbox.collect()
    assert spooled.is_dir()
    assert [one.model_version for one in desk.inbox.collect()] == ["3"]


def test_bundles_that_a_new_journal_does_not_know_are_adopted(desk: Desk) -> None:
    bundle = tiny_bundle(desk.made, desk.key)
    desk.send(bundle)
    desk.journal.close()
    shutil.rmtree(desk.live / "account")
    journal = Journal(desk.live / "account" / "journal.sqlite", desk.clock)
    (desk.live / "bundles" / "rubbish").mkdir()
    inbox = Inbox(
        live_dir=desk.live,
        keys_dir=desk.made / "keys",
        factor_hash=FACTOR_HASH,
        model_name="tiny",
        journal=journal,
        clock=desk.clock,
        staging=at_once("tiny"),
    )
    inbox.adopt()
    assert list(journal.bundles()) == [bundle.name]
    assert desk.kept == [bundle.name]


def test_without_the_public_key_nothing_is_accepted(desk: Desk) -> None:
    bundle = tiny_bundle(desk.made, desk.key)
    (desk.made / "keys" / "signing.pub").unlink()
    with pytest.raises(BundleError, match=r"signing\.pub does not exist"):
        desk.send(bundle)


def test_what_the_disk_refuses_stays_spooled_and_is_taken_in_once_it_does_not(desk: Desk) -> None:
    spooled = desk.spool(tiny_bundle(desk.made, desk.key))
    (desk.live / "bundles").write_text("no folder", encoding="utf-8")  # as a disk without room, an OSError
    with pytest.raises(LiveError, match="cannot be written or read"):
        desk.inbox.collect()
    assert spooled.is_dir()
    (desk.live / "bundles").unlink()
    (accepted,) = desk.inbox.collect()
    assert (accepted.bundle_hash, desk.kept) == (spooled.name, [spooled.name])


@pytest.mark.parametrize("name", ["manifest.json", "signature.json", "delivery.json"])
@pytest.mark.parametrize(
    "content", [b"[1]", b"3", b'"x"', b"null", b"[" * 100_000, b'{"format": 2, "files": 3}', b"\xff\xfe"]
)
def test_a_malformed_spooled_bundle_is_set_aside_and_the_next_one_taken(desk: Desk, name: str, content: bytes) -> None:
    good = tiny_bundle(desk.made, desk.key)
    bad = desk.spool(tiny_bundle(desk.made, desk.key, rounds=4))
    (bad / name).write_bytes(content)
    desk.spool(good)
    assert [accepted.bundle_hash for accepted in desk.inbox.collect()] == [good.name]
    assert names(desk.live / "refused") == [bad.name]
    assert names(desk.live / "inbox") == []
    assert sorted(kind for kind, _ in desk.events()) == ["bundle_deployed", "bundle_refused"]


def test_a_spooled_folder_whose_name_is_no_text_is_set_aside(desk: Desk) -> None:
    (desk.live / "inbox" / os.fsdecode(b"\xff")).mkdir(parents=True)
    assert desk.inbox.collect() == ()
    assert names(desk.live / "inbox") == []
    assert [kind for kind, _ in desk.events()] == ["bundle_refused"]


@pytest.mark.parametrize(
    "body",
    [
        b"[1]",
        b"null",
        b"[" * 100_000,
        b'{"version": "3", "files": {"manifest.json": "[1]", "model.txt": "", "signature.json": ""}}',
        b'{"version": "3", "files": {"manifest.json": "\\ud800", "model.txt": "", "signature.json": ""}}',
        b'{"version": "\\ud800", "files": {"manifest.json": "", "model.txt": "", "signature.json": ""}}',
    ],
)
def test_a_signed_malformed_request_is_refused(desk: Desk, body: bytes) -> None:
    with pytest.raises(BundleError):
        desk.inbox.receive(body, request_headers(body, moment=NOW, key=desk.key))
    assert [kind for kind, _ in desk.events()] == ["bundle_refused"]
