"""The champion as a candidate's rival: the out-of-sample returns that every judged bundle leaves behind.

::

    tracking/returns/<bundle_hash>.json   net returns per session, and the bundle it was compared with

A research that is run again is the same candidate: it is compared with the rival of the first time, not with itself.
Not here: how the two are compared (``checks.champion``), who is champion (``tracking/champion.py``).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from ljwx_pipeline.errors import PromotionError
from ljwx_pipeline.lake.atomic_parquet import write_bytes
from ljwx_pipeline.promotion.evidence import Rival

FOLDER = "returns"


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
    """The folder of kept returns; nothing is made before the first is kept."""

    def __init__(self, tracking: Path) -> None:
        self._folder = tracking / FOLDER

    def keep(self, bundle_hash: str, returns: pd.Series, rival: Named | None) -> None:
        """Keep what a bundle showed; the same bundle again shows the same."""
        tree = {
            "sessions": [f"{day:%Y-%m-%d}" for day in pd.DatetimeIndex(returns.index)],
            "net_return": [float(value) for value in returns],
            "rival": None if rival is None else asdict(rival),
        }
        write_bytes(self._folder / f"{bundle_hash}.json", json.dumps(tree, allow_nan=False).encode())

    def of(self, bundle_hash: str) -> KeptReturns | None:
        """Return what a bundle showed; None where nothing was kept.

        Raises
        ------
        PromotionError
            When the file is damaged.
        """
        path = self._folder / f"{bundle_hash}.json"
        try:
            tree = json.loads(path.read_bytes())
            series = pd.Series(
                np.array(tree["net_return"], dtype=np.float64), pd.DatetimeIndex(tree["sessions"]), dtype=np.float64
            )
            rival = None if tree["rival"] is None else Named(**tree["rival"])
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError) as error:
            raise PromotionError(
                f"{path} is damaged ({error!r})", "restore it from a backup, or take the champion away: `ljwx demote`"
            ) from None
        return KeptReturns(series, rival)

    def judged(self, returns: pd.Series) -> KeptReturns | None:
        """Return what a bundle that showed these very returns left; None where none did."""
        for path in sorted(self._folder.glob("*.json")):
            found = self.of(path.stem)
            if found is not None and found.shows(returns):
                return found
        return None


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
    candidate: pd.Series, rival: Named | None, kept: ReturnsOfBundles, *, restated: Callable[[str], str]
) -> Rival | None:
    """Return the rival as the gate takes it; None without one.

    Parameters
    ----------
    candidate
        Net return a session, by session.
    restated
        What was restated in the data that a version was made from; empty: nothing.
    """
    if rival is None:
        return None
    if fact := restated(rival.version):
        return Rival(rival.version, reason=f"the data it was made from was revised since ({fact}); {_REMEDY}")
    own = kept.of(rival.bundle_hash)
    if own is None:
        return Rival(rival.version, reason=f"its out-of-sample returns were not kept; {_REMEDY}")
    both = pd.concat([candidate, own.returns], axis=1, join="inner").to_numpy(dtype=np.float64)
    return Rival(rival.version, differences=both[:, 0] - both[:, 1])


_REMEDY = "take it away with `ljwx demote`, or leave the check out (gate.left_out) and say why"
