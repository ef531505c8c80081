"""The champion as a candidate's rival: the out-of-sample returns that every judged bundle leaves behind.

::

    tracking/returns/<bundle_hash>.json   net returns per session, and the bundle it was compared with

Each file names its bundle, and the record's decision on that bundle names the file by its digest: one that was edited,
or copied under another name, is refused.
A research that is run again is the same candidate: it is compared with the rival of the first time, not with itself.
Not here: how the two are compared (``checks.champion``), who is champion (``tracking/champion.py``).
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ljwx_pipeline.errors import PromotionError
from ljwx_pipeline.lake.atomic_parquet import write_bytes
from ljwx_pipeline.promotion.evidence import Rival

FOLDER = "returns"
_KEYS = {"bundle_hash", "sessions", "net_return", "rival"}
_ISO_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")


@dataclass(frozen=True)
class Named:
    """A registered bundle."""

    version: str
    bundle_hash: str


@dataclass(frozen=True)
class KeptReturns:
    """What a judged bundle showed.

    Parameters
    ----------
    returns
        Net return a session, out of sample, by session.
    rival
        The champion it was compared with; None: there was none.
    """

    returns: pd.Series
    rival: Named | None

    def shows(self, returns: pd.Series) -> bool:
        """Whether these are its returns, bit by bit on the same sessions."""
        return self.returns.equals(pd.Series(returns.to_numpy(), pd.DatetimeIndex(returns.index)))


class ReturnsOfBundles:
    """The folder of kept returns; nothing is made before the first is kept.

    Parameters
    ----------
    digests
        SHA-256 that the record knows of a bundle's file, by bundle hash (``ChampionRecord.returns_digests``); a bundle
        that is not among them is not asked for one.
    """

    def __init__(self, tracking: Path, digests: Mapping[str, Collection[str]] | None = None) -> None:
        self._folder, self._digests = tracking / FOLDER, digests or {}

    def keep(self, bundle_hash: str, returns: pd.Series, rival: Named | None) -> str:
        """Keep what a bundle showed, and return the SHA-256 of the file; the same bundle again shows the same."""
        tree = {
            "bundle_hash": bundle_hash,
            "sessions": [f"{day:%Y-%m-%d}" for day in pd.DatetimeIndex(returns.index)],
            "net_return": [float(value) for value in returns],
            "rival": None if rival is None else asdict(rival),
        }
        content = json.dumps(tree, allow_nan=False).encode()
        write_bytes(self._folder / f"{bundle_hash}.json", content)
        return hashlib.sha256(content).hexdigest()

    def of(self, bundle_hash: str) -> KeptReturns | None:
        """Return what a bundle showed; None where nothing was kept.

        Raises
        ------
        PromotionError
            When the file is damaged, another bundle's, or not the one that the record's decision tells of.
        """
        path = self._folder / f"{bundle_hash}.json"
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            return None
        try:
            known = self._digests.get(bundle_hash)
            if known and hashlib.sha256(content).hexdigest() not in known:
                raise ValueError("the record tells of another file")
            return _read(json.loads(content), bundle_hash)
        except (ValueError, KeyError, TypeError) as error:
            raise PromotionError(
                f"{path} is damaged ({error})", "restore it from a backup, or take the champion away: `ljwx demote`"
            ) from None

    def judged(self, returns: pd.Series) -> KeptReturns | None:
        """Return what a bundle that showed these very returns left; None where none did."""
        for path in sorted(self._folder.glob("*.json")):
            found = self.of(path.stem)
            if found is not None and found.shows(returns):
                return found
        return None


def _read(tree: Any, bundle_hash: str) -> KeptReturns:
    """Return a file's content.

    Raises
    ------
    ValueError, KeyError, TypeError
        When it is not what ``keep`` writes of this bundle.
    """
    if not isinstance(tree, dict) or set(tree) != _KEYS:
        raise ValueError(f"its fields are not {', '.join(sorted(_KEYS))}")
    if tree["bundle_hash"] != bundle_hash:
        raise ValueError(f"it is of bundle {str(tree['bundle_hash'])[:12]}")
    days, values = tree["sessions"], tree["net_return"]
    if not all(isinstance(day, str) and _ISO_DATE.fullmatch(day) for day in days):
        raise ValueError("its sessions are no dates")
    if not all(isinstance(value, float) for value in values):
        raise ValueError("its returns are no numbers")
    series = pd.Series(np.array(values, dtype=np.float64), pd.DatetimeIndex(days), dtype=np.float64)
    if not np.isfinite(series.to_numpy()).all():
        raise ValueError("a return is not finite")
    if not (series.index.is_unique and series.index.is_monotonic_increasing):
        raise ValueError("its sessions do not ascend")
    rival = None if tree["rival"] is None else Named(**tree["rival"])
    if rival is not None and not (isinstance(rival.version, str) and isinstance(rival.bundle_hash, str)):
        raise ValueError("its rival is no bundle")
    return KeptReturns(series, rival)


def choose_rival(candidate: pd.Series, champion: Named | None, kept: ReturnsOfBundles) -> Named | None:
    """Return whom the candidate is compared with: the champion, or, where that is the candidate itself, its own rival.

    Parameters
    ----------
    candidate
        Net return a session, by session.
    """
    seen: set[str] = set()
    while champion is not None and champion.bundle_hash not in seen:
        seen.add(champion.bundle_hash)
        own = kept.of(champion.bundle_hash)
        if own is None or not own.shows(candidate):
            return champion
        champion = own.rival
    return None


def against(
    candidate: pd.Series, rival: Named | None, kept: ReturnsOfBundles, *, restated: Callable[[Named], str]
) -> Rival | None:
    """Return the rival as the gate takes it; None without one.

    Parameters
    ----------
    candidate
        Net return a session, by session.
    restated
        What was restated in the data that a bundle was made from; empty: nothing.
    """
    if rival is None:
        return None
    if fact := restated(rival):
        return Rival(rival.version, reason=f"the data it was made from was revised since ({fact}); {_REMEDY}")
    own = kept.of(rival.bundle_hash)
    if own is None:
        return Rival(rival.version, reason=f"its out-of-sample returns were not kept; {_REMEDY}")
    both = pd.concat([candidate, own.returns], axis=1, join="inner").to_numpy(dtype=np.float64)
    return Rival(rival.version, differences=both[:, 0] - both[:, 1])


_REMEDY = "take it away with `ljwx demote`, or leave the check out (gate.left_out) and say why"
