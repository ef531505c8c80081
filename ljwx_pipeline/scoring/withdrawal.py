"""The signed word that no model trades any more: what `ljwx demote` tells the runner, over HTTP or as a spooled file.

The document is ``{"signature": ..., "withdrawal": {...}}``, signed like a bundle by the pipeline's key, so that it may
lie in a folder until somebody reads it. Its **id** is the SHA-256 of what is signed: the same withdrawal is told any
number of times and taken once. Not here: sending (``promotion/deploy.py``), taking (``live/inbox.py``).
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ljwx_pipeline.errors import BundleError
from ljwx_pipeline.scoring.bundle import MALFORMED
from ljwx_pipeline.scoring.signing import is_signed, sign

#: Where the runner takes withdrawals.
WITHDRAWALS_PATH = "/withdrawals"
#: End of the name of a spooled one, after its id.
SUFFIX = ".withdrawal.json"
#: Characters of a reason, and of a name: a runner takes 64 KiB at most, and a character may be 12 bytes of JSON.
MAX_REASON, MAX_BY = 1000, 100
_DOMAIN = b"ljwx withdrawal\n"
_AGAIN = "send it with `ljwx demote`"


@dataclass(frozen=True)
class Withdrawal:
    """The champion that is taken back; every model at the runner is meant, whichever it holds by then.

    Parameters
    ----------
    model_name, version, bundle_hash
        What was champion; the name is that of the runner's market.
    by, reason, at
        Who took it back (`MAX_BY` characters at most), why (`MAX_REASON` at most), and when: ISO, UTC.
    number
        Place of its line in the record: two withdrawals are never the same document.
    """

    model_name: str
    version: str
    bundle_hash: str
    by: str
    reason: str
    at: str
    number: int

    @property
    def identity(self) -> str:
        """The id: 64 hexadecimal digits."""
        return hashlib.sha256(self._signed()).hexdigest()

    def _signed(self) -> bytes:
        return _DOMAIN + json.dumps(asdict(self), sort_keys=True).encode()


def pack_withdrawal(withdrawal: Withdrawal, key: Ed25519PrivateKey) -> bytes:
    """Return the signed document; the same bytes for the same withdrawal and key."""
    signature = sign(withdrawal._signed(), key)
    return json.dumps({"signature": signature, "withdrawal": asdict(withdrawal)}, sort_keys=True).encode()


def unpack_withdrawal(body: bytes, *, public_key: str) -> Withdrawal:
    """Return the withdrawal in a document signed by ``public_key``.

    Raises
    ------
    BundleError
        When it is another document, or of another key.
    """
    try:
        tree = json.loads(body)
        fields = tree["withdrawal"]
        found = Withdrawal(**{**fields, "number": int(fields["number"])})
        signature, signed = tree["signature"], found._signed()
    except MALFORMED as error:
        raise BundleError(f"the request does not carry a withdrawal ({error!r})", _AGAIN) from None
    texts = (found.model_name, found.version, found.bundle_hash, found.by, found.reason, found.at, signature)
    if not all(isinstance(text, str) for text in texts) or not is_signed(signed, signature, public_key):
        raise BundleError("the withdrawal is not signed by the trusted key", _AGAIN)
    return found
