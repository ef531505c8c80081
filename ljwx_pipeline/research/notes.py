"""What the factors of the shipped catalogues mean, in words: for tear sheets, never for computing.

Not here: the factors (``factors/``). A factor without words here is shown by its expression.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from ljwx_pipeline.factors.catalogue import Catalogue
from ljwx_pipeline.research.tear_sheet import FactorNote

_ALPHA158 = "qlib Alpha158"
#: Family: meaning and unit; ``{n}`` is the window in sessions.
_FAMILIES = {
    "KMID": ("close less open, over open", "ratio"),
    "KLEN": ("high less low, over open", "ratio"),
    "KMID2": ("close less open, over the session's range", "ratio"),
    "KUP": ("upper shadow over open", "ratio"),
    "KUP2": ("upper shadow over the session's range", "ratio"),
    "KLOW": ("lower shadow over open", "ratio"),
    "KLOW2": ("lower shadow over the session's range", "ratio"),
    "KSFT": ("twice the close less high and low, over open", "ratio"),
    "KSFT2": ("twice the close less high and low, over the session's range", "ratio"),
    "OPEN0": ("open over close", "ratio"),
    "HIGH0": ("high over close", "ratio"),
    "LOW0": ("low over close", "ratio"),
    "VWAP0": ("volume-weighted price over close", "ratio"),
    "ROC": ("close {n} sessions ago over today's", "ratio"),
    "MA": ("mean close of {n} sessions over today's", "ratio"),
    "STD": ("standard deviation of {n} closes over today's", "ratio"),
    "BETA": ("slope of {n} closes over time, over today's", "ratio a session"),
    "RSQR": ("R² of {n} closes on time", "share"),
    "RESI": ("residual of today's close from the line through {n}, over it", "ratio"),
    "MAX": ("highest high of {n} sessions over close", "ratio"),
    "MIN": ("lowest low of {n} sessions over close", "ratio"),
    "QTLU": ("80 % quantile of {n} closes over today's", "ratio"),
    "QTLD": ("20 % quantile of {n} closes over today's", "ratio"),
    "RANK": ("rank of today's close among {n}", "share"),
    "RSV": ("place of the close in the range of {n} sessions", "share"),
    "IMAX": ("sessions to the highest high of {n}, over {n}", "share"),
    "IMIN": ("sessions to the lowest low of {n}, over {n}", "share"),
    "IMXD": ("highest high after lowest low, in sessions, over {n}", "share"),
    "CORR": ("correlation of close and log volume over {n} sessions", "correlation"),
    "CORD": ("correlation of close's and volume's change over {n} sessions", "correlation"),
    "CNTP": ("share of rises in {n} sessions", "share"),
    "CNTN": ("share of falls in {n} sessions", "share"),
    "CNTD": ("share of rises less that of falls in {n} sessions", "share"),
    "SUMP": ("rises in all movement of the close over {n} sessions", "share"),
    "SUMN": ("falls in all movement of the close over {n} sessions", "share"),
    "SUMD": ("rises less falls in all movement of the close over {n} sessions", "share"),
    "VMA": ("mean volume of {n} sessions over today's", "ratio"),
    "VSTD": ("standard deviation of {n} volumes over today's", "ratio"),
    "WVMA": ("variation of volume-weighted moves over {n} sessions", "ratio"),
    "VSUMP": ("rises in all movement of volume over {n} sessions", "share"),
    "VSUMN": ("falls in all movement of volume over {n} sessions", "share"),
    "VSUMD": ("rises less falls in all movement of volume over {n} sessions", "share"),
}
#: Meaning, source and unit of a factor, as a user's file states them.
Words = Mapping[str, tuple[str, str, str]]


def factor_notes(catalogue: Catalogue, words: Words | None = None) -> dict[str, FactorNote]:
    """Return the notes of every factor of ``catalogue``; ``words`` come before what is known here."""
    return {name: _note(catalogue, name, words or {}) for name in catalogue.names}


def _note(catalogue: Catalogue, name: str, words: Words) -> FactorNote:
    expression = catalogue.expressions[name]
    meaning, source, unit = words.get(name) or _shipped(catalogue.name, name) or (str(expression), catalogue.name, "–")
    return FactorNote(name, meaning, source, unit, expression.window, str(expression))


def _shipped(catalogue: str, name: str) -> tuple[str, str, str] | None:
    if catalogue != "alpha158":
        return None
    family, window = name, ""
    if name not in _FAMILIES:
        found = re.fullmatch(r"([A-Z]+)(\d+)", name)
        if found is None or found[1] not in _FAMILIES:
            return None
        family, window = found[1], found[2]
    meaning, unit = _FAMILIES[family]
    return meaning.format(n=window), _ALPHA158, unit
