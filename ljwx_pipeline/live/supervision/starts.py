"""The record of starts: how often the runner ended uncleanly of late, how long it waits then, and when it stays down.

One small file a run in ``live/starts``. A run holds its file locked for as long as it lives, and the kernel lets go of
it however it dies; so a file that nobody holds and that tells of no end is a run that was killed, in whatever container
it was. A clean end removes the files. Two runners of one market (one trades, one stands by) share the folder and do not
take each other for dead. Not here: what an exit code means (``exit_codes.py``), who starts the runner again
(``docker/ljwx-live.service``).
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from secrets import token_hex

from ljwx_pipeline.clock import Clock
from ljwx_pipeline.errors import CrashLoop, EnvironmentFault, LjwxError
from ljwx_pipeline.live.events import AlertRaised, Tier
from ljwx_pipeline.live.supervision.exit_codes import Restart, ending

STARTS_DIR = "starts"
#: Code of the alert in the outbox.
ALERT_CODE = "CRASH_LOOP"
#: Stands there once the refusal was told of, so that a container that is started again and again tells it once.
_TOLD = "refusal-told"
_STAMP = "%Y%m%dT%H%M%S.%fZ"
_CRASHED = 1


@dataclass(frozen=True)
class BackOff:
    """When a runner that ended uncleanly waits before it starts again, and when it does not start at all.

    Parameters
    ----------
    free_ends
        Unclean ends within the window after which it waits.
    most_ends
        Unclean ends within the window after which it stays down.
    window_s
        Runs that began longer ago do not count: one that worked for a day and died is no loop.
    first_wait_s, longest_wait_s
        The first wait, which doubles with each further end, and where that stops.
    """

    free_ends: int = 3
    most_ends: int = 8
    window_s: float = 1800.0
    first_wait_s: float = 10.0
    longest_wait_s: float = 300.0

    def wait_s(self, unclean_ends: int) -> float | None:
        """Return how long to wait after so many unclean ends within the window; None: do not start."""
        if unclean_ends >= self.most_ends:
            return None
        if unclean_ends < max(1, self.free_ends):
            return 0.0
        # the exponent is bounded by `most_ends`; beyond thirty doublings any wait is the longest one
        return min(self.longest_wait_s, self.first_wait_s * 2.0 ** min(unclean_ends - self.free_ends, 30))


@dataclass(frozen=True)
class UncleanEnd:
    """A run that ended uncleanly: when it began, and what it said last."""

    started_at: datetime
    said: str


class Starts:
    """The runs of one live folder.

    Parameters
    ----------
    live_dir
        The runner's folder.
    clock
        Its wall clock stands in the record: a reboot must not make it forget.
    policy
        When to wait.
    """

    def __init__(self, live_dir: Path, clock: Clock, policy: BackOff | None = None) -> None:
        self.folder = live_dir / STARTS_DIR
        self.policy = BackOff() if policy is None else policy
        self._clock = clock

    def unclean_ends(self) -> list[UncleanEnd]:
        """Return the runs within the window that ended uncleanly, oldest first.

        Raises
        ------
        EnvironmentFault
            When the folder cannot be read or written.
        """
        with self._alone():
            return self._unclean_ends()

    @contextmanager
    def run(self) -> Iterator[None]:
        """Record the block as one run of the runner, and how it ends.

        An error that no restart mends is a person's to mend and counts for no loop.

        Raises
        ------
        EnvironmentFault
            When the folder cannot be written: without the record nobody would see a loop.
        """
        now = self._clock.now()
        with self._alone():
            self._forget_old(now)
            (self.folder / _TOLD).unlink(missing_ok=True)
            path = self.folder / f"{now.astimezone(UTC).strftime(_STAMP)}-{os.getpid()}-{token_hex(4)}.json"
            file = path.open("x+", encoding="utf-8")
            fcntl.flock(file, fcntl.LOCK_EX)
        with file:
            try:
                yield
            except KeyboardInterrupt:
                self._forget(path)
                raise
            except LjwxError as error:
                self._note(path, error.exit_code, str(error), error)
                raise
            except BaseException as error:
                self._note(path, _CRASHED, f"{type(error).__name__}: {error}", error)
                raise
            self._forget(path)

    def tell_once(self) -> bool:
        """Return whether the refusal to start was not told of yet, and note that it is."""
        with self._alone():
            told = (self.folder / _TOLD).exists()
            (self.folder / _TOLD).touch()
        return not told

    def _unclean_ends(self) -> list[UncleanEnd]:
        since = self._clock.now() - timedelta(seconds=self.policy.window_s)
        found = []
        for path in self._files():
            started_at = _started_at(path)
            said = _said(path)
            # a start in the future is of a clock that was set back: it counts
            if started_at > since and said is not None:
                found.append(UncleanEnd(started_at, said))
        return sorted(found, key=lambda one: one.started_at)

    def _note(self, path: Path, code: int, reason: str, error: BaseException) -> None:
        said = json.dumps({"code": code, "said": reason, "at": self._clock.now().isoformat()}, ensure_ascii=False)
        try:
            with self._alone():
                if ending(code).restart is Restart.NO:
                    path.unlink(missing_ok=True)
                    return
                path.write_text(said + "\n", encoding="utf-8")
                _sync(path)
        except EnvironmentFault as fault:
            # what ended the run is the news; its file without a word counts as a run that was killed
            error.add_note(str(fault))

    def _forget(self, own: Path | None = None) -> None:
        """Remove the record of every run that is over, and the own one: a clean end begins a new count."""
        with self._alone():
            for path in self._files():
                if path == own or not _is_held(path):
                    path.unlink(missing_ok=True)
            (self.folder / _TOLD).unlink(missing_ok=True)
            _sync(self.folder)

    def _forget_old(self, now: datetime) -> None:
        since = now - timedelta(seconds=self.policy.window_s)
        for path in self._files():
            if _started_at(path) <= since and not _is_held(path):
                path.unlink(missing_ok=True)

    def _files(self) -> list[Path]:
        return [path for path in self.folder.glob("*.json") if _is_stamped(path)]

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Hold the folder against other runners for a moment; what the disk says becomes an `EnvironmentFault`."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX)
                yield
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise EnvironmentFault(
                f"{self.folder} cannot be read or written ({error.strerror or error})",
                "make the folder writable for the runner's user, or free some space",
            ) from None


def may_start(
    starts: Starts,
    *,
    alert: Callable[[AlertRaised], None],
    wait: Callable[[float], bool],
    say: Callable[[str], None],
) -> bool:
    """Wait as long as the record of starts asks for; return whether to start then.

    Parameters
    ----------
    alert
        Makes an alert durable in the journal's outbox; one that fails is told of in words.
    wait
        Waits for so many seconds and returns whether to go on: False when a stop was asked for meanwhile.
    say
        Told in words what is waited for.

    Raises
    ------
    CrashLoop
        When the runner ended uncleanly too often.
    EnvironmentFault
        When the record cannot be read.
    """
    ends = starts.unclean_ends()
    wait_s = starts.policy.wait_s(len(ends))
    if wait_s == 0.0:
        return True
    window = f"{starts.policy.window_s / 60:g} min"
    last = ends[-1]
    fact = (
        f"the runner ended uncleanly {len(ends)} times within {window}, the last run began {last.started_at:%F %T} UTC "
        f"and said: {last.said}"
    )
    if wait_s is None:
        unsaid = _raised(alert, f"{fact}; it stays down") if starts.tell_once() else ""
        raise CrashLoop(
            f"{fact}{unsaid}",
            f"look at its log and at the journal's last events, mend what they say, remove {starts.folder} and start "
            f"it again; by itself it may start {window} after the first of them",
        )
    first = len(ends) == starts.policy.free_ends
    unsaid = _raised(alert, f"{fact}; it waits {wait_s:g} s, and longer each time") if first else ""
    say(f"{fact}; waiting {wait_s:g} s{unsaid}")
    return wait(wait_s)


def _raised(alert: Callable[[AlertRaised], None], message: str) -> str:
    """Raise the alert; return what to say where the journal took none."""
    try:
        alert(AlertRaised(tier=Tier.CRITICAL, code=ALERT_CODE, message=message))
    except LjwxError as error:
        return f"; the alert could not be stored ({error})"
    return ""


def _is_stamped(path: Path) -> bool:
    try:
        _started_at(path)
    except ValueError:
        return False  # somebody else's file
    return True


def _started_at(path: Path) -> datetime:
    return datetime.strptime(path.name.split("-")[0], _STAMP).replace(tzinfo=UTC)


def _is_held(path: Path) -> bool:
    """Return whether a living process holds the file of its run."""
    try:
        with path.open(encoding="utf-8") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except FileNotFoundError:
        return False  # ended cleanly just now
    return False


def _said(path: Path) -> str | None:
    """Return the last word of a run that ended uncleanly; None for one that goes on."""
    if _is_held(path):
        return None
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        return f"exit code {int(told['code'])}, {told['said']}"
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError):
        return "nothing: it was killed, or the machine went down"


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
