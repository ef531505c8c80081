"""Where bundles arrive: over HTTP or as a spooled folder, verified, kept by hash, noted in the journal.

::

    live/inbox/<bundle_hash>/         spooled by the deploy job while the runner was down
    live/inbox/<id>.withdrawal.json   likewise: from then on no model is to trade, until another bundle comes
    live/bundles/<bundle_hash>/       accepted: signature, hashes and factor hash are right
    live/withdrawal.json              the last withdrawal accepted, or what could not be read as one
    live/<model>.withdrawal.json      likewise, of a model that is not the market's own
    live/refused/<name>               what was not, kept for whoever has to find out why

What was spooled came before what is sent now: it is taken in first. The same bundle twice changes nothing, the same
withdrawal neither. A damaged bundle becomes an event; the model that trades keeps trading. A damaged withdrawal that
lies here, kept or spooled, counts as one: a model was to be taken off, and not buying is undone by deploying again.
Not here: the wire formats (``scoring/transfer.py``, ``scoring/withdrawal.py``), what a bundle is
(``scoring/bundle.py``), what its scores must look like (``smoke.py``), which stage it begins with (``stages.py``).
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from sqlalchemy import Connection

from ljwx_pipeline.clock import Clock
from ljwx_pipeline.errors import BundleError, LiveError, Misdirected
from ljwx_pipeline.lake.atomic_parquet import write_bytes
from ljwx_pipeline.lake.locking import exclusive
from ljwx_pipeline.live.events import Event
from ljwx_pipeline.live.journal import DeployedBundle, Journal, WithdrawnModel
from ljwx_pipeline.live.stage_log import Staging
from ljwx_pipeline.scoring.bundle import MALFORMED, MANIFEST, Manifest, ModelBundle, load_bundle, verify_files
from ljwx_pipeline.scoring.signing import public_key
from ljwx_pipeline.scoring.transfer import Delivery, delivered_version, pack, store, unpack, verify_request
from ljwx_pipeline.scoring.withdrawal import SUFFIX, unpack_withdrawal

#: A request signed longer ago than this is refused: it may be an old one sent again.
MAX_REQUEST_AGE_S = 300.0
#: A bundle is a few megabytes of text; a larger body is refused before it is read.
MAX_REQUEST_BYTES = 256 * 1024 * 1024
#: Refused requests write at most one event in this time, or anyone who reaches the port could fill the disk.
REFUSAL_PAUSE = timedelta(seconds=1)
#: A withdrawal is a few hundred bytes.
MAX_WITHDRAWAL_BYTES = 64 * 1024
#: How long one arrival waits for another to be taken in.
TURN_TIMEOUT_S = 60.0
KEPT_WITHDRAWAL = "withdrawal.json"
#: Accepted bundles, below the runner's folder.
BUNDLES_DIR = "bundles"


@dataclass(frozen=True)
class Accepted:
    """The answer to a delivery: a bundle's, or a withdrawal's, which has no bundle hash."""

    bundle_hash: str
    model_version: str
    new: bool


@dataclass(frozen=True)
class _Kept:
    """A verified bundle that lies among the accepted ones; ``known`` to the journal from before or not."""

    path: Path
    bundle: ModelBundle
    version: str
    known: bool


#: What was taken in so far.
_Standing = tuple[list[str], WithdrawnModel | None]


class Inbox:
    """Accepts bundles into ``live/bundles``.

    Parameters
    ----------
    live_dir
        The runner's folder.
    keys_dir
        Holds the pipeline's public key.
    factor_hash
        Version hash of this code's factor catalogue; a bundle for another one is refused.
    model_name
        Registered name of the market's own model.
    journal
        Notes what was accepted and refused.
    staging
        Which line the market's own bundles are for, and with which stage they begin. Beside it, what strategies in
        force trade is ours; no other bundle is.
    examine
        Refuses a bundle by a ``BundleError`` before it is staged; returns False while that cannot be told yet, for
        want of a session pack: a new bundle then waits in ``live/bundles`` for `adopt`.
    """

    def __init__(
        self,
        *,
        live_dir: Path,
        keys_dir: Path,
        factor_hash: str,
        model_name: str,
        journal: Journal,
        clock: Clock,
        staging: Staging,
        examine: Callable[[ModelBundle], bool] | None = None,
    ) -> None:
        self._live_dir = live_dir
        self._spool = live_dir / "inbox"
        self._bundles = live_dir / BUNDLES_DIR
        self._refused = live_dir / "refused"
        self._keys_dir = keys_dir
        self._factor_hash = factor_hash
        self._model_name = model_name
        self._journal = journal
        self._clock = clock
        self._staging = staging
        self._examine = examine

    def receive(self, body: bytes, headers: Mapping[str, str]) -> Accepted:
        """Accept the bundle in a signed request.

        Raises
        ------
        BundleError
            When the request or the bundle is refused; an event says why, at most one a second.
        LiveError
            When the bundle is sound but made for another market: it was sent to the wrong runner.
        """
        try:
            key, signed_at = self._sender(body, headers)
            delivery = unpack(body)
            made_for = Manifest.from_json(delivery.files[MANIFEST].encode()).model_name
            with self._turn():
                last = self._journal.last_arrival(self._line_of(made_for))
                self._collect()
                self._require_own_market(made_for, "bundle")
                _require_news(delivery, signed_at, last)
                kept = self._keep(delivery, key)
                before = self._standing(kept)
            return self._examined_aside(kept, before)
        except (BundleError, LiveError) as error:
            self._journal.record_event_at_most_every(REFUSAL_PAUSE, "bundle_refused", str(error))
            raise

    def receive_withdrawal(self, body: bytes, headers: Mapping[str, str]) -> Accepted:
        """Accept the withdrawal in a signed request; it raises what ``receive`` does."""
        try:
            key, _ = self._sender(body, headers)
            with self._turn():
                self._collect()
                return self._withdraw(body, key)
        except (BundleError, LiveError) as error:
            self._journal.record_event_at_most_every(REFUSAL_PAUSE, "withdrawal_refused", str(error))
            raise

    def collect(self) -> tuple[Accepted, ...]:
        """Accept all that was spooled, oldest first; move what is refused aside, with an event.

        Raises
        ------
        LiveError
            When disk or journal cannot be written: what was not taken in stays for the next look.
        """
        if not self._spool.is_dir():
            return ()
        with self._turn():
            return self._collect()

    def _collect(self) -> tuple[Accepted, ...]:
        accepted = []
        for path in _oldest_first(self._spool):
            if not path.is_dir() and not path.name.endswith(SUFFIX):
                continue
            try:
                accepted.append(self._taken_in(path))
            except (BundleError, Misdirected) as error:
                self._refuse(path, str(error))
            except MALFORMED as error:  # whatever lies there, it is not a bundle and must not end the runner
                self._refuse(path, f"it cannot be read as a bundle ({error!r})")
            else:
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        return tuple(accepted)

    def _taken_in(self, path: Path) -> Accepted:
        if not path.is_dir():
            return self._told_to_withdraw(path)
        delivery = unpack(pack(path, delivered_version(path)))
        if path.name != delivery.bundle_hash:
            raise BundleError(f"it holds bundle {delivery.bundle_hash[:12]}", "deploy the bundle again")
        return self._accept(delivery, public_key(self._keys_dir))

    def adopt(self) -> None:
        """Note what is kept and the journal does not know: it is new, waited, or the process died while accepting it.

        Of several in a journal begun anew, all but the last served before: they are told as champions in their order.
        """
        with self._turn():
            self._adopt()

    def _adopt(self) -> None:
        known, lines = self._journal.bundles(), self._lines()
        withdrawals = [self._live_dir / KEPT_WITHDRAWAL, *self._live_dir.glob(f"*{SUFFIX}")]
        kept = [path for path in _oldest_first(self._bundles, *withdrawals) if path.name not in known]
        last = {_made_for(path): path for path in kept if path not in withdrawals}
        for path in kept:
            try:
                if path in withdrawals:
                    self._note_kept_withdrawal(path)
                    continue
                made_for = _made_for(path)
                if made_for and (made_for not in lines.models or self._withdrawn_since(path, made_for)):
                    continue
                bundle = self.load(path.name)
                version = delivered_version(path)
                examined = self._examined(bundle)
            except BundleError as error:
                self._refuse(path, str(error))
                continue
            if examined:
                self._stage(_deployed(bundle, version), bundle, served=not known and path != last[made_for])

    def _withdrawn_since(self, bundle: Path, made_for: str) -> bool:
        """Return whether the withdrawal that holds came after a bundle that was never staged.

        One that nobody could read, kept as the market's own, may have meant this model.
        """
        if self._journal.withdrawn(self._line_of(made_for)) is None:
            return False
        came = [path for path in (self._withdrawal_of(made_for), self._live_dir / KEPT_WITHDRAWAL) if path.exists()]
        return any(bundle.stat().st_mtime_ns <= path.stat().st_mtime_ns for path in came)

    def _withdrawal_of(self, model_name: str) -> Path:
        name = KEPT_WITHDRAWAL if model_name == self._model_name else f"{model_name}{SUFFIX}"
        return self._live_dir / name

    def _lines(self) -> Staging:
        with self._journal.store.reading() as connection:
            return self._staging.in_force(connection)

    def _line_of(self, model_name: str) -> str:
        """Return the first line that trades ``model_name``: all of them are told the same."""
        return (self._lines().trading(model_name) or [""])[0]

    def load(self, bundle_hash: str) -> ModelBundle:
        """Return an accepted bundle, verified again: the one of this hash, whatever else its folder may hold by now."""
        return self._loaded(self._bundles / bundle_hash, bundle_hash, public_key(self._keys_dir))

    def _loaded(self, folder: Path, bundle_hash: str, key: str) -> ModelBundle:
        return load_bundle(folder, factor_hash=self._factor_hash, public_key=key, bundle_hash=bundle_hash)

    def _sender(self, body: bytes, headers: Mapping[str, str]) -> tuple[str, datetime]:
        """Return the trusted key and when the request was signed by it: lately."""
        key, now = public_key(self._keys_dir), self._clock.now()
        return key, verify_request(body, headers, public_key=key, now=now, max_age_s=MAX_REQUEST_AGE_S)

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """Take one arrival in at a time: loop and requests would else overtake each other.

        Raises
        ------
        LiveError
            When the disk refuses: what was spooled stays, and is taken in once it does not.
        """
        try:
            with exclusive(self._live_dir / "inbox.lock", timeout_s=TURN_TIMEOUT_S):
                yield
        except OSError as error:
            raise LiveError(
                f"{error.filename or self._live_dir} cannot be written or read ({error.strerror or error})",
                "free disk space and make the runner's folder writable: what arrived is then taken in",
            ) from error

    def _require_own_market(self, made_for: str, what: str) -> None:
        models = self._lines().models
        if made_for not in models:
            raise Misdirected(
                f"the {what} is a {made_for}, this runner trades {', '.join(sorted(models))}",
                "send it to the runner of its own market, or let a strategy of this one trade it first",
            )

    def _withdraw(self, body: bytes, key: str) -> Accepted:
        withdrawal = unpack_withdrawal(body, public_key=key)
        if not self._journal.knows_withdrawal(withdrawal.identity):
            self._require_own_market(withdrawal.model_name, "withdrawn model")
            write_bytes(self._withdrawal_of(withdrawal.model_name), body)
        return self._note_withdrawal(body, key)

    def _told_to_withdraw(self, spooled: Path) -> Accepted:
        key, body = public_key(self._keys_dir), b""
        try:
            body = spooled.read_bytes()
            return self._withdraw(body, key)
        except (BundleError, OSError) as error:
            write_bytes(self._live_dir / KEPT_WITHDRAWAL, body)  # first: a journal that is begun anew has to know it
            self._note_unreadable(spooled, body, error)
            raise

    def _note_kept_withdrawal(self, kept: Path) -> None:
        key, body = public_key(self._keys_dir), b""
        try:
            body = kept.read_bytes()
            self._note_withdrawal(body, key)
        except (BundleError, OSError) as error:  # it stays where it is: the next journal has to know it, too
            self._note_unreadable(kept, body, error)

    def _note_unreadable(self, path: Path, body: bytes, error: Exception) -> None:
        """Count what cannot be read as a withdrawal, once for the same bytes: no model trades until the next bundle."""
        what = error.fact if isinstance(error, BundleError) else str(error)
        why = f"{path.name} cannot be read, a model may be meant: deploy one that is to trade ({what})"
        identity = f"unreadable {hashlib.sha256(body).hexdigest()}"
        self._take_back(identity, model_name=None, model_version="unknown", reason=why)

    def _note_withdrawal(self, body: bytes, key: str) -> Accepted:
        found = unpack_withdrawal(body, public_key=key)
        # it is signed, so it counts, also where its words hold bytes that are no UTF-8
        why = _storable(": ".join(part for part in (found.by, found.reason) if part))
        new = self._take_back(found.identity, model_name=found.model_name, model_version=found.version, reason=why)
        return Accepted("", found.version, new)

    def _take_back(self, identity: str, *, model_name: str | None, model_version: str, reason: str) -> bool:
        return self._journal.append_due(
            lambda connection: self._staging.in_force(connection).withdrawn(
                identity, model_name=model_name, model_version=model_version, reason=reason
            )
        )

    def _accept(self, delivery: Delivery, key: str) -> Accepted:
        self._require_own_market(Manifest.from_json(delivery.files[MANIFEST].encode()).model_name, "bundle")
        kept = self._keep(delivery, key)
        try:
            examined = self._examined(kept.bundle)
        except BundleError:
            self._let_go(kept)
            raise
        return self._staged(kept, examined=examined)

    def _examined_aside(self, kept: _Kept, before: _Standing) -> Accepted:
        """Examine without the turn: predictions may take minutes, a withdrawal or a close does not wait for them."""
        try:
            examined = self._examined(kept.bundle)
            with self._turn():
                if self._standing(kept) != before:
                    raise BundleError(
                        "something newer was taken in while it was examined", "deploy it again if it is to trade"
                    )
                return self._staged(kept, examined=examined)
        except BundleError:
            with self._turn():
                self._let_go(kept)
            raise

    def _keep(self, delivery: Delivery, key: str) -> _Kept:
        """Lay a verified bundle where the accepted ones lie; nothing is noted yet."""
        kept = self._bundles / delivery.bundle_hash
        if kept.is_dir():
            try:
                verify_files(kept, public_key=key, bundle_hash=delivery.bundle_hash)
            except BundleError:
                self._set_aside(kept)  # damaged or exchanged since it arrived: take the fresh copy
        path = store(delivery, self._bundles, public_key=key)
        try:
            bundle = self._loaded(path, delivery.bundle_hash, key)
        except BundleError:
            self._set_aside(path)
            raise
        return _Kept(path, bundle, delivery.version, delivery.bundle_hash in self._journal.bundles())

    def _let_go(self, kept: _Kept) -> None:
        # one that traded may be what the runner has to fall back to
        if not kept.known and kept.path.is_dir():
            self._set_aside(kept.path)

    def _staged(self, kept: _Kept, *, examined: bool) -> Accepted:
        new = self._stage(_deployed(kept.bundle, kept.version), kept.bundle) if examined or kept.known else True
        return Accepted(kept.bundle.bundle_hash, kept.version, new)

    def _standing(self, kept: _Kept) -> _Standing:
        """Return what else was taken in of its model: the other bundles in their order, the withdrawal that holds."""
        line = self._line_of(kept.bundle.manifest.model_name)
        others = [one for one in self._journal.bundles(line) if one != kept.bundle.bundle_hash]
        return others, self._journal.withdrawn(line)

    def _examined(self, bundle: ModelBundle) -> bool:
        return self._examine is None or self._examine(bundle)

    def _stage(self, deployed: DeployedBundle, bundle: ModelBundle, *, served: bool = False) -> bool:
        """Give an accepted bundle its stage and return whether that changed anything."""
        name = bundle.manifest.model_name

        def due(connection: Connection) -> tuple[Event, ...]:
            lines = self._staging.in_force(connection)
            return (lines.served if served else lines.arrived)(connection, deployed, name)

        return self._journal.append_due(due)

    def _refuse(self, folder: Path, why: str) -> None:
        # a folder's name may hold bytes that are no UTF-8, which the journal could not store
        self._journal.record_event("bundle_refused", _storable(f"{folder.name}: {why}"))
        self._set_aside(folder)

    def _set_aside(self, folder: Path) -> None:
        target = self._refused / folder.name
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.is_dir():
            shutil.rmtree(target, ignore_errors=True)
        folder.rename(target)


def _require_news(delivery: Delivery, signed_at: datetime, last: tuple[str, str] | None) -> None:
    """Refuse a request that was signed before its model was told something else: an old one, sent again."""
    if last is None or last[0] == delivery.bundle_hash or signed_at >= datetime.fromisoformat(last[1]):
        return
    what = f"bundle {last[0][:12]} was taken in" if last[0] else "its model was withdrawn"
    raise BundleError(
        f"the request was signed at {signed_at.isoformat()}, before {what} at {last[1]}",
        "deploy the bundle again if it is to trade",
    )


def _storable(text: str) -> str:
    """Return ``text`` with what no journal can hold written as its code."""
    return text.encode(errors="backslashreplace").decode().replace("\0", r"\x00")


def _deployed(bundle: ModelBundle, version: str) -> DeployedBundle:
    return DeployedBundle(bundle.bundle_hash, version, bundle.manifest.last_session)


def _made_for(kept: Path) -> str:
    """Return the model that a kept bundle says it is of; empty for what is no bundle any more."""
    try:
        return Manifest.from_json((kept / MANIFEST).read_bytes()).model_name
    except (BundleError, OSError):
        return ""  # loading it says why


def _oldest_first(folder: Path, *others: Path) -> list[Path]:
    """Return what lies in ``folder`` and the ``others`` that exist, in order of arrival.

    Of two that came at once, as far as the disk tells, a withdrawal goes first: a rollback sends one, then a bundle. A
    name that begins with a dot is still being written.
    """
    here = list(folder.iterdir()) if folder.is_dir() else []
    found = [path for path in (*here, *others) if not path.name.startswith(".") and path.exists()]
    return sorted(found, key=lambda path: (path.stat().st_mtime_ns, path.is_dir(), path.name))
