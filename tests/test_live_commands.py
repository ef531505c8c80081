"""``ljwx live backup|backups|restore``: what they print, what they leave, what they refuse."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from ljwx_pipeline.cli import main
from ljwx_pipeline.clock import SystemClock, utc_now
from ljwx_pipeline.config import load_settings
from ljwx_pipeline.errors import ConfigError, LiveError
from ljwx_pipeline.live.inbox import Inbox
from ljwx_pipeline.live.journal import Journal
from ljwx_pipeline.live.stage_log import Staging, read_line
from ljwx_pipeline.live.store import Store
from ljwx_pipeline.scoring.signing import signing_key
from ljwx_pipeline.scoring.transfer import pack, request_headers
from tests.fakes.bundles import FACTOR_HASH, tiny_bundle
from tests.fakes.journals import contents

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("LJWX_HOME", str(tmp_path))
    from ljwx_pipeline.config import load_settings, market_home

    return market_home(load_settings()) / "live" / "account"


@pytest.fixture
def journal(account: Path) -> Journal:
    journal = Journal(account / "journal.sqlite", SystemClock())
    journal.record_event("note", "one")
    journal.record_event("note", "two")
    return journal


def said(capsys: pytest.CaptureFixture[str], *words: str, code: int = 0) -> Any:
    capsys.readouterr()
    assert main(["live", *words, "--json"]) == code
    return json.loads(capsys.readouterr().out)


def test_a_backup_is_made_listed_checked_and_noted(
    journal: Journal, account: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    planned = said(capsys, "backup", "--dry-run")
    assert planned["into"] == str(account / "backups")
    assert not (account / "backups").exists()
    made = said(capsys, "backup", "--reason", "before the holidays")
    assert (made["upto_seq"], made["reason"]) == (2, "before the holidays")
    listed = said(capsys, "backups", "--check")
    assert [one["name"] for one in listed["backups"]] == [made["name"]]
    assert listed["damaged"] == {}
    with journal.store.reading() as connection:
        newest = connection.exec_driver_sql("SELECT kind, message FROM events ORDER BY id DESC LIMIT 1").one()
    assert tuple(newest) == ("backup_made", f"{made['name']}, before the holidays, up to event 2")
    (account / "backups" / made["name"]).write_bytes(b"rust")
    assert made["name"] in said(capsys, "backups", "--check", code=LiveError.exit_code)["damaged"]


def test_options_may_stand_before_or_behind_the_command(journal: Journal, capsys: pytest.CaptureFixture[str]) -> None:
    folders = [
        json.loads(capsys.readouterr().out)["folder"]
        for words in (["--seed", "11", "backups", "--json"], ["backups", "--seed", "11", "--json"])
        if main(["live", *words]) == 0
    ]
    assert len(folders) == 2
    assert folders[0] == folders[1] != str(journal.backups.shelf.folder)


def test_surplus_backups_are_shown_and_removed_only_when_asked(
    journal: Journal, account: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = [journal.backups.make("daily").name for _ in range(2)]
    for name in names:
        manifest = account / "backups" / f"{name}.json"
        body = json.loads(manifest.read_text())
        body["at"] = (utc_now() - timedelta(days=900, seconds=names.index(name))).isoformat()
        manifest.write_text(json.dumps(body))
    newest = journal.backups.make("daily").name
    kept = said(capsys, "backups", "--retain")
    assert {one["name"]: one["kept"] for one in kept["backups"]} == {names[0]: False, names[1]: False, newest: True}
    assert len(said(capsys, "backups")["backups"]) == 3
    said(capsys, "backups", "--retain", "--yes")
    assert [one["name"] for one in said(capsys, "backups")["backups"]] == [newest]
    assert main(["live", "backups", "--yes"]) == ConfigError.exit_code


def test_a_journal_is_restored_beside_the_old_one(
    journal: Journal, account: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = contents(journal.store)
    planned = said(capsys, "restore", "--seq", "1", "--dry-run")
    assert (planned["upto_seq"], planned["events"], planned["base"]) == (1, 1, None)
    assert not Path(planned["into"]).exists()
    done = said(capsys, "restore", "--seq", "1")
    assert Path(done["into"]).parent == account
    restored = Store(Path(done["into"]))
    with restored.reading() as connection:
        notes = connection.exec_driver_sql("SELECT kind, message FROM events WHERE kind = 'note'").all()
    assert [tuple(row) for row in notes] == [("note", "one")]
    assert contents(journal.store) == before
    named = account / "mine.sqlite"
    assert said(capsys, "restore", "--at", utc_now().isoformat(), "--into", str(named))["upto_seq"] == 2
    assert main(["live", "restore", "--into", str(named)]) == LiveError.exit_code


@pytest.mark.parametrize(
    ("words", "told", "code"),
    [
        (["restore", "--at", "soonish"], "--at 'soonish' is no instant", ConfigError.exit_code),
        (["restore", "--seq", "9"], "there is no event 9", LiveError.exit_code),
        (["restore", "--into", "postgresql+psycopg2://h/d"], "is no file, the journal is one", ConfigError.exit_code),
    ],
)
def test_a_mistake_is_one_line_and_an_exit_code(
    journal: Journal, words: list[str], told: str, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["live", *words]) == code
    assert told in capsys.readouterr().err


def test_without_a_journal_nothing_is_made(account: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["live", "backup"]) == LiveError.exit_code
    assert "no runner has traded this market" in capsys.readouterr().err
    assert main(["live", "restore"]) == LiveError.exit_code
    assert said(capsys, "backups")["backups"] == []
    assert not account.exists()


def test_a_password_in_the_address_is_refused(account: Path, capsys: pytest.CaptureFixture[str]) -> None:
    address = "postgresql+psycopg2://u:secret@h/d"
    assert main(["live", "backups", "--set", f"live.database_url={address}"]) == ConfigError.exit_code
    assert "without a password" in capsys.readouterr().err


@pytest.fixture
def inbox(journal: Journal, account: Path, tmp_path: Path) -> Inbox:
    signing_key(tmp_path / "keys")
    return Inbox(
        live_dir=account.parent,
        keys_dir=tmp_path / "keys",
        factor_hash=FACTOR_HASH,
        model_name="tiny",
        journal=journal,
        clock=SystemClock(),
        staging=Staging({"": "tiny"}, load_settings().live.stages.model_copy(update={"shadow_sessions": 4})),
    )


def pushed(inbox: Inbox, tmp_path: Path, rounds: int, version: str) -> str:
    key = signing_key(tmp_path / "keys")
    bundle = tiny_bundle(tmp_path / "made", key, rounds=rounds)
    body = pack(bundle, version)
    inbox.receive(body, request_headers(body, moment=utc_now(), key=key))
    return bundle.name


def test_the_models_and_their_stages_are_shown(
    inbox: Inbox, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["live", "models"]) == 0
    assert capsys.readouterr().out == "no model holds a stage\n"
    hashes = [pushed(inbox, tmp_path, rounds, str(rounds)) for rounds in (1, 2)]
    found = said(capsys, "models")
    assert [(one["stage"], one["bundle_hash"], one["capital_share_bps"]) for one in found["models"]] == [
        ("champion", hashes[0], 10_000),
        ("shadow", hashes[1], 0),
    ]
    assert (found["models"][1]["verdict"], found["models"][1]["judged_sessions"]) == ("early", 0)
    assert main(["live", "models"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[2].split()[:5] == ["(the", "market's)", "champion", "1", hashes[0][:12]]
    assert "too early, 0 sessions matured" in lines[3]


def test_the_former_champion_comes_back_through_the_inbox_of_a_runner_that_is_down(
    inbox: Inbox, journal: Journal, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LJWX_UI__HOST", "127.0.0.1")
    monkeypatch.setenv("LJWX_UI__RUNNER_PORT", str(free_port()))
    assert main(["live", "rollback"]) == LiveError.exit_code
    first = pushed(inbox, tmp_path, 1, "1")
    pushed(inbox, tmp_path, 2, "2")
    assert main(["live", "rollback"]) == LiveError.exit_code, "a shadow was never champion"
    journal.append_due(lambda connection: inbox_line(connection, "2"))
    pushed(inbox, tmp_path, 3, "3")
    planned = said(capsys, "rollback", "--dry-run")
    assert (planned["champion_before"], planned["champion"], planned["bundle_hash"]) == ("2", "1", first)
    assert inbox.collect() == ()
    done = said(capsys, "rollback")
    assert done["status"] == "spooled"
    assert [one.bundle_hash for one in inbox.collect()] == [first]
    with journal.store.reading() as connection:
        line = read_line(connection, "")
    assert line.champion is not None
    assert line.champion.bundle.bundle_hash == first
    assert line.shadow is None
    assert main(["live", "rollback", "--strategy", "nobody"]) == LiveError.exit_code


def inbox_line(connection: Any, version: str) -> tuple[Any, ...]:
    """What makes the shadow champion, as sessions that went well would."""
    from ljwx_pipeline.live.stages import due

    line = read_line(connection, "")
    assert line.shadow is not None
    assert line.shadow.bundle.model_version == version
    none = load_settings().live.stages
    return due(line, none, {})


def free_port() -> int:
    import socket

    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
