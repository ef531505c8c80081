"""What pages for people share: their style sheet, the simulated market's watermark, and how a number is written.

``templates/`` beside holds what other templates include. Not here: a page's own markup and content
(``evaluation/report.py``, ``research/page.py``), pictures (``plot_style.py``).
"""

from __future__ import annotations

import math
from typing import Any


def page_environment(package: str) -> Any:
    """Return the jinja2 environment of ``package``'s templates and the shared ones; an unknown name is an error."""
    # only a page needs jinja2
    from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=ChoiceLoader([PackageLoader(package, "templates"), PackageLoader("ljwx_pipeline", "templates")]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(percent=percent, number=number, heading=heading, zip=zip)
    return environment


def percent(value: float | None, digits: int = 1) -> str:
    """Return a fraction as a percentage; a dash for what could not be measured."""
    return _dash(f"{{:.{digits}%}}", value)


def number(value: float | None, digits: int = 2) -> str:
    """Return a number with thousands separated; a dash for what could not be measured."""
    return _dash(f"{{:,.{digits}f}}", value)


def heading(name: str) -> str:
    """Return a name as words that begin with a capital: ``data_hash`` as "Data hash"."""
    words = name.replace("_", " ")
    return words[:1].upper() + words[1:]


def _dash(pattern: str, value: float | None) -> str:
    if value is None or not math.isfinite(value):
        return "–"
    return pattern.format(value).replace("-", "\u2212")
