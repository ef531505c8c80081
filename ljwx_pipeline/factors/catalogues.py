"""Which catalogues there are: the explicit list, and any file. A new one is a module of its own and one line here."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ljwx_pipeline.errors import FactorError
from ljwx_pipeline.factors.alpha101 import alpha101
from ljwx_pipeline.factors.alpha158 import alpha158
from ljwx_pipeline.factors.alpha360 import alpha360
from ljwx_pipeline.factors.ashare import ashare
from ljwx_pipeline.factors.catalogue import Catalogue
from ljwx_pipeline.factors.factor_file import FactorFile

#: Builders by name; nothing is built at import.
CATALOGUES: dict[str, Callable[[], Catalogue]] = {
    "alpha158": alpha158,
    "alpha360": alpha360,
    "alpha101": alpha101,
    "ashare": ashare,
}


def open_catalogue(named: str) -> Catalogue:
    """Return the catalogue that goes by a name, or that a user's ``FILE.py`` declares; the file is run.

    Raises
    ------
    FactorError
        When there is none of that name and no such file; the message lists those there are. As ``FactorFile``.
    """
    if named in CATALOGUES:
        return CATALOGUES[named]()
    path = Path(named)
    if path.suffix == ".py" and not path.is_file():
        raise FactorError(f"there is no file {named} here", f"name one that exists, or one of {', '.join(CATALOGUES)}")
    if path.suffix != ".py":
        raise FactorError(f"there is no catalogue {named!r}", f"use one of {', '.join(CATALOGUES)}, or a FILE.py")
    return FactorFile(path).catalogue()
