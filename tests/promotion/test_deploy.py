"""A bundle reaches the runner over HTTP or through its inbox, and never twice."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ljwx_pipeline.clock import ManualClock
from ljwx_pipeline.errors import BundleError, EnvironmentFault, PromotionError
from ljwx_pipeline.promotion.deploy import Deployment, deploy
from ljwx_pipeline.scoring.bundle import load_bundle
from ljwx_pipeline.scoring.signing import public_key_of
from ljwx_pipeline.scoring.transfer import delivered_version, unpack, verify_request
from tests.fakes.bundles import FACTOR_HASH, SENT_AT, tiny_bundle

KEY = Ed25519PrivateKey.from_private_bytes(bytes(32))
STRANGER = Ed25519PrivateKey.from_private_bytes(bytes([1] * 32))
PUBLIC = public_key_of(KEY)


@dataclass
class FakeRunner:
    """Answers POST with a fixed status and body and remembers what it was sent."""

    status: int = 200
    answer: bytes = b'{"status": "accepted"}'
    received: list[tuple[str, bytes, dict[str, str]]] = field(default_factory=list)
    address: str = ""


@pytest.fixture
def runner() -> Iterator[FakeRunner]:
    fake = FakeRunner()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            fake.received.append((self.path, body, dict(self.headers)))
            self.send_response(fake.status)
            self.end_headers()
            self.wfile.write(fake.answer)

        def log_message(self, *args: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    fake.address = f"http://127.0.0.1:{server.server_address[1]}"
    yield fake
    server.shutdown()
    server.server_close()


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return tiny_bundle(tmp_path / "made", KEY)


@pytest.fixture
def nobody() -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}"


def hand_over(bundle: Path, address: str, live_dir: Path) -> Deployment:
    return deploy(bundle, version="3", key=KEY, address=address, live_dir=live_dir, clock=ManualClock(SENT_AT))


def test_a_runner_that_answers_gets_the_signed_bundle(runner: FakeRunner, bundle: Path, tmp_path: Path) -> None:
    done = hand_over(bundle, runner.address, tmp_path / "live")
    assert done == Deployment("accepted", "3", bundle.name, runner.address)
    [(path, body, headers)] = runner.received
    assert path == "/bundles"
    verify_request(body, headers, public_key=PUBLIC, now=SENT_AT, max_age_s=1)
    assert (unpack(body).bundle_hash, unpack(body).version) == (bundle.name, "3")
    assert not (tmp_path / "live").exists()


def test_a_runner_that_has_it_already_says_so(runner: FakeRunner, bundle: Path, tmp_path: Path) -> None:
    runner.answer = b'{"status": "already"}'
    assert hand_over(bundle, runner.address, tmp_path).status == "already"


def test_a_proxy_in_the_environment_is_not_asked(
    runner: FakeRunner, bundle: Path, tmp_path: Path, nobody: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", nobody)
    assert hand_over(bundle, runner.address, tmp_path).status == "accepted"


def test_without_a_runner_the_bundle_waits_in_its_inbox(nobody: str, bundle: Path, tmp_path: Path) -> None:
    live = tmp_path / "live"
    for _ in range(2):
        done = hand_over(bundle, nobody, live)
        assert done == Deployment("spooled", "3", bundle.name, str(live / "inbox" / bundle.name))
    assert [p.name for p in (live / "inbox").iterdir()] == [bundle.name]
    waiting = live / "inbox" / bundle.name
    assert load_bundle(waiting, factor_hash=FACTOR_HASH, public_key=PUBLIC).bundle_hash == bundle.name
    assert delivered_version(waiting) == "3"


@pytest.mark.parametrize(
    ("status", "answer"),
    [(404, b"nothing here"), (500, b"oh"), (200, b"<html>"), (200, b"[]"), (200, b"{}"), (200, b'{"status": "up"}')],
)
def test_somebody_else_on_the_runner_s_port_is_not_the_runner(
    runner: FakeRunner, bundle: Path, tmp_path: Path, status: int, answer: bytes
) -> None:
    runner.status, runner.answer = status, answer
    assert hand_over(bundle, runner.address, tmp_path).status == "spooled"


@pytest.mark.parametrize("status", [400, 403, 409, 422])
def test_a_refusal_by_the_runner_is_an_error_with_its_reason(
    runner: FakeRunner, bundle: Path, tmp_path: Path, status: int
) -> None:
    runner.status, runner.answer = status, json.dumps({"detail": "trained on other factors"}).encode()
    with pytest.raises(PromotionError, match="trained on other factors"):
        hand_over(bundle, runner.address, tmp_path / "live")
    assert not (tmp_path / "live").exists()


def test_a_refusal_without_a_reason_names_its_status(runner: FakeRunner, bundle: Path, tmp_path: Path) -> None:
    runner.status, runner.answer = 403, b"no"
    with pytest.raises(PromotionError, match="403"):
        hand_over(bundle, runner.address, tmp_path)


def test_a_damaged_or_foreign_bundle_never_leaves(runner: FakeRunner, bundle: Path, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="signed by key"):
        hand_over(tiny_bundle(tmp_path / "foreign", STRANGER), runner.address, tmp_path)
    (bundle / "model.txt").write_text("damaged")
    with pytest.raises(BundleError, match="damaged"):
        hand_over(bundle, runner.address, tmp_path)
    assert runner.received == []


def test_an_address_that_is_not_http_is_refused(bundle: Path, tmp_path: Path) -> None:
    with pytest.raises(PromotionError, match="not HTTP"):
        hand_over(bundle, "file:///etc", tmp_path)


def test_an_inbox_that_cannot_be_written_is_told_as_what_it_is(tmp_path: Path) -> None:
    live = tmp_path / "live"
    live.mkdir()
    (live / "inbox").write_text("a file in its place")
    with pytest.raises(EnvironmentFault, match=r"does not answer, and the bundle cannot be written to .*inbox \(File"):
        deploy(tiny_bundle(tmp_path, KEY), version="1", key=KEY, address="http://127.0.0.1:9", live_dir=live)
