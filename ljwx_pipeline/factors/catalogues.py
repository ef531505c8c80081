"""Which catalogues there are: the explicit list. A new one is a module of its own and one line here."""

from __future__ import annotations

from collections.abc import Callable

from ljwx_pipeline.errors import FactorError
from ljwx_pipeline.factors.alpha101 import alpha101
from ljwx_pipeline.factors.alpha158 import alpha158
from ljwx_pipeline.factors.alpha360 import alpha360
from ljwx_pipeline.factors.ashare import ashare
from ljwx_pipeline.factors.catalogue import Catalogue

#: Builders by name; nothing is built at import.
CATALOGUES: dict[str, Callable[[], Catalogue]] = {
    "alpha158": alpha158,
    "alpha360": alpha360,
    "alpha101": alpha101,
    "ashare": ashare,
}


def open_catalogue(name: str) -> Catalogue:
    """Return the catalogue called ``name``.

    Raises
    ------
    FactorError
        When there is none of that name; the message lists those there are.
    """
    if name not in CATALOGUES:
        raise FactorError(f"there is no catalogue {name!r}", f"use one of {', '.join(CATALOGUES)}")
    return CATALOGUES[name]()
