"""Handing the runner a champion's bundle, or a withdrawal: over HTTP when it answers, into its inbox when it does not.

Both ways carry the same signed bytes and may be taken any number of times; the runner tells a known bundle by its
hash, a known withdrawal by its id. Not here: the wire formats (``scoring/transfer.py``, ``scoring/withdrawal.py``),
what the runner does with them (``live/inbox.py``), when a model goes or comes (``moves.py``).
"""

from __future__ import annotations

import http.client
import json
import urllib.error
import urllib.request
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ljwx_pipeline.clock import Clock, SystemClock
from ljwx_pipeline.errors import BundleError, EnvironmentFault, PromotionError
from ljwx_pipeline.lake.atomic_parquet import write_bytes
from ljwx_pipeline.registry import ModelVersion, Registry
from ljwx_pipeline.scoring.bundle import verify_files
from ljwx_pipeline.scoring.signing import public_key_of
from ljwx_pipeline.scoring.transfer import BUNDLES_PATH, pack, request_headers, store, unpack
from ljwx_pipeline.scoring.withdrawal import SUFFIX, WITHDRAWALS_PATH, Withdrawal, pack_withdrawal

TIMEOUT_S = 10.0
#: The folder of the runner's own directory that it looks into when it starts and between sessions.
INBOX = "inbox"
#: Answers by which the runner says no; any other failure means it is not there (or something else has its port).
_REFUSALS = (400, 401, 403, 409, 413, 422)


@dataclass(frozen=True)
class Deployment:
    """How a bundle, or a withdrawal, reached the runner.

    Parameters
    ----------
    status
        ``"accepted"``: the runner took it; ``"already"``: the runner had it; ``"spooled"``: it waits in the inbox.
    version
        Version in the model registry.
    bundle_hash
        What was handed over, or withdrawn.
    how
        The address or directory it went to.
    """

    status: Literal["accepted", "already", "spooled"]
    version: str
    bundle_hash: str
    how: str


@dataclass(frozen=True)
class RunnerLink:
    """The way to one market's runner.

    Parameters
    ----------
    key
        What is sent is signed by it.
    address
        Base URL of the runner, for instance ``http://127.0.0.1:8700``.
    home
        The market's folder; the runner's own is ``home/live``, fetched bundles are kept in ``home/champions``.
    """

    key: Ed25519PrivateKey
    address: str
    home: Path

    @property
    def champions(self) -> Path:
        """Where fetched bundles are kept."""
        return self.home / "champions"

    def push(self, bundle: Path, version: str) -> Deployment:
        """Hand ``bundle`` over, as `deploy` does."""
        return deploy(bundle, version=version, key=self.key, address=self.address, live_dir=self.home / "live")

    def withdraw(self, withdrawal: Withdrawal) -> Deployment:
        """Tell that no model trades, as `withdraw` does."""
        return withdraw(withdrawal, key=self.key, address=self.address, live_dir=self.home / "live")


def intact_bundle(kept: Path, registry: Registry, version: ModelVersion, *, public_key: str) -> Path:
    """Return the bundle of ``version``, named by its hash: the copy in ``kept`` while intact, else the registry's.

    Raises
    ------
    BundleError
        When it is damaged, not signed by ``public_key``, or another than the version's tag names.
    RegistryError
        When MLflow cannot be reached.
    """
    copy = kept / version.bundle_hash
    with suppress(BundleError):
        verify_files(copy, public_key=public_key, bundle_hash=version.bundle_hash)
        return copy
    fetched = registry.download_bundle(version, kept)
    verify_files(fetched, public_key=public_key, bundle_hash=version.bundle_hash)
    return fetched


class _RunnerAway(Exception):
    """Nobody, or somebody else, answered at the runner's address."""


def deploy(
    bundle: Path,
    *,
    version: str,
    key: Ed25519PrivateKey,
    address: str,
    live_dir: Path,
    clock: Clock | None = None,
) -> Deployment:
    """Hand ``bundle`` to the runner and say how it went; doing it again does nothing twice.

    Parameters
    ----------
    bundle
        Directory of an intact bundle signed by ``key``.
    version
        Version in the model registry, kept beside the bundle.
    address
        Base URL of the runner, for instance ``http://127.0.0.1:8700``.
    live_dir
        The runner's directory; the bundle is spooled into ``live_dir/inbox`` when the address does not answer.

    Raises
    ------
    BundleError
        When the bundle is damaged or signed by another key: nothing leaves.
    PromotionError
        When the runner answers and refuses; its reason is in the message.
    EnvironmentFault
        When it does not answer and its inbox cannot be written; nothing of the bundle stays there.
    """
    public = public_key_of(key)
    _, bundle_hash = verify_files(bundle, public_key=public)
    body = pack(bundle, version)
    headers = request_headers(body, moment=(clock or SystemClock()).now(), key=key)
    try:
        status = _post(address + BUNDLES_PATH, body, headers)
    except _RunnerAway:
        inbox = live_dir / INBOX
        try:
            path = store(unpack(body), inbox, public_key=public)
        except OSError as error:
            raise EnvironmentFault(
                f"the runner does not answer, and the bundle cannot be written to {inbox} ({error.strerror or error})",
                "free some space there or make the folder writable, and run again",
            ) from error
        return Deployment("spooled", version, bundle_hash, str(path))
    return Deployment(status, version, bundle_hash, address)


def withdraw(
    withdrawal: Withdrawal,
    *,
    key: Ed25519PrivateKey,
    address: str,
    live_dir: Path,
    clock: Clock | None = None,
) -> Deployment:
    """Tell the runner that no model trades until another bundle is deployed; telling it again does nothing twice.

    Parameters and errors are those of `deploy`; a spooled one is ``live_dir/inbox/<id>.withdrawal.json``.
    """
    body = pack_withdrawal(withdrawal, key)
    headers = request_headers(body, moment=(clock or SystemClock()).now(), key=key)
    try:
        status = _post(address + WITHDRAWALS_PATH, body, headers)
    except _RunnerAway:
        path = live_dir / INBOX / f"{withdrawal.identity}{SUFFIX}"
        write_bytes(path, body)
        return Deployment("spooled", withdrawal.version, withdrawal.bundle_hash, str(path))
    return Deployment(status, withdrawal.version, withdrawal.bundle_hash, address)


def _post(url: str, body: bytes, headers: dict[str, str]) -> Literal["accepted", "already"]:
    """Send the request and return what the runner did with it."""
    if not url.startswith(("http://", "https://")):
        raise PromotionError(f"the runner's address {url} is not HTTP", "mend ui.host and ui.runner_port")
    request = urllib.request.Request(url, data=body, headers=headers, method="POST")  # noqa: S310 (checked above)
    # Without proxies: the runner is on this machine or beside it, whatever the environment says of the web.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=TIMEOUT_S) as response:
            status = json.loads(response.read())["status"]
    except urllib.error.HTTPError as error:
        if error.code in _REFUSALS:
            raise PromotionError(
                f"the runner refuses it ({_detail(error)})", "mend what it names and run the deploy job again"
            ) from None
        raise _RunnerAway(str(error)) from None
    except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError) as error:
        raise _RunnerAway(str(error)) from None
    if status == "accepted":
        return "accepted"
    if status == "already":
        return "already"
    raise _RunnerAway(f"{url} answers with status {status!r}")


def _detail(error: urllib.error.HTTPError) -> str:
    text = error.read().decode(errors="replace")
    try:
        return str(json.loads(text)["detail"])[:500]
    except (ValueError, KeyError, TypeError):
        return f"{error.code} {error.reason}"
