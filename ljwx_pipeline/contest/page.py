"""The contest's page: one self-contained HTML text in two languages.

Everything on it is handed in. Not here: the picture (``figures.py``), the words (``wording.py``), the markup
(``templates/contest.html.j2``).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd

from ljwx_pipeline.contest.figures import contest_figure
from ljwx_pipeline.contest.record import Challenger, Course
from ljwx_pipeline.contest.standing import Standing, advice
from ljwx_pipeline.contest.wording import WORDS
from ljwx_pipeline.evaluation.wording import both
from ljwx_pipeline.page import number, page_environment, percent

if TYPE_CHECKING:  # only a page needs it
    from markupsafe import Markup

TEMPLATE = "contest.html.j2"
#: How a state is coloured.
_CHIPS = {"better": "good", "worse": "bad", "breach": "bad"}
#: Evidence beyond this is written as a power of ten.
_MANY = 10_000
_COMMAND = re.compile(r"`([^`]*)`")
#: Of a picture by itself.
_WIDTH_PX, _HEIGHT_PX = 900, 412


@dataclass(frozen=True)
class PageInputs:
    """All that the page shows.

    Parameters
    ----------
    profile, simulated
        Configuration profile, and whether its market is simulated.
    course
        The contest and what happened in it.
    status, reason
        ``waiting``, ``running``, ``paused`` or ``ended``, and why where there is a reason.
    standings
        Of the challengers with a return.
    paired
        By version, what each standing was judged on.
    capital_cny
        That shares are of.
    """

    profile: str
    simulated: bool
    course: Course
    status: str
    reason: str
    standings: tuple[Standing, ...]
    paired: Mapping[str, pd.DataFrame]
    capital_cny: float


def render_contest(inputs: PageInputs) -> str:
    """Return the page as one HTML text, the same bytes for the same inputs."""
    from jinja2 import PackageLoader  # only a page needs it

    environment = page_environment("ljwx_pipeline.contest")
    environment.loader.loaders.append(PackageLoader("ljwx_pipeline.evaluation", "templates"))
    environment.globals.update(t=said)
    contest = inputs.course.contest
    inside = {one.version for one in inputs.course.remaining}
    by_version = {one.version: one for one in inputs.standings}
    challengers = [
        _section(inputs, one, by_version.get(one.version), still_in=one.version in inside)
        for one in contest.challengers
    ]
    page: str = environment.get_template(TEMPLATE).render(
        i=inputs,
        contest=contest,
        happened=inputs.course.happened,
        sessions=max((len(table) for table in inputs.paired.values()), default=0),
        challengers=challengers,
        count=len(contest.challengers),
        models=_models(inputs),
    )
    return page


def pictures(inputs: PageInputs) -> dict[str, str]:
    """Return the picture of each challenger that has a standing, by version, as an SVG text of its own."""
    found = {one.version: one for one in inputs.standings}
    contest, size = inputs.course.contest, f'width="{_WIDTH_PX}" height="{_HEIGHT_PX}"'
    drawn = {}
    for one in contest.challengers:
        if one.version in found:
            svg = contest_figure(inputs.paired[one.version], contest, one, found[one.version])
            drawn[one.version] = svg.replace("<svg ", f"<svg {size} ", 1)
    return drawn


def said(key: str, **values: Any) -> Markup:
    """Return the text ``key`` in both languages, filled in."""
    from markupsafe import Markup

    english, chinese = (text.format(**values) for text in WORDS[key])
    # a command stands between backticks, as in our documents
    return Markup(_COMMAND.sub(r"<code>\1</code>", str(both(english, chinese))))  # noqa: S704 - escaped by both


def _section(inputs: PageInputs, one: Challenger, found: Standing | None, *, still_in: bool) -> dict[str, Any]:
    from markupsafe import Markup

    contest = inputs.course.contest
    left = inputs.course.left(one.version)
    told: dict[str, Any] = {"version": one.version, "left": left, "found": found}
    if left is not None and left.outcome in ("breach", "worse"):
        told["left"] = None  # the verdict below says it
    if found is None:
        return told
    compared, alpha = found.comparison, contest.alpha_each
    filled = {
        "missing": found.missing_sessions,
        "needed": contest.min_sessions,
        "day": found.breached_on if found.state == "breach" else found.decided_on,
        "alpha": percent(alpha, 2),
        "deepest": percent(found.deepest_frac, 2),
        "limit": percent(contest.max_behind_frac, 2),
    }
    return told | {
        "chip": _CHIPS.get(found.state, ""),
        "says": said(f"says_{found.state}", **filled),
        "advice": said(f"advice_{advice(found, contest, still_in=still_in)}", version=one.version),
        "level": percent(1 - alpha, 1),
        "mean": _bps(compared.mean),
        "interval": f"{_bps(compared.lower)} … {_bps(compared.upper)}",
        "evidence": f"{_evidence(compared.evidence_challenger)} · {_evidence(compared.evidence_champion)}",
        "needed": number(2 / alpha, 0),
        "figure": Markup(  # noqa: S704 - our own SVG
            contest_figure(inputs.paired[one.version], contest, one, found)
        ),
    }


def _models(inputs: PageInputs) -> list[dict[str, Any]]:
    """Return a row a model: role, version, bundle, bound, capital that its returns are reckoned on."""
    contest = inputs.course.contest
    shares: list[tuple[str, str, str, float | None, float]] = [
        ("champion", contest.champion_version, contest.champion_bundle, None, contest.champion_capital_frac)
    ]
    shares += [
        (contest.mode, one.version, one.bundle_hash, one.bound_frac, one.capital_frac) for one in contest.challengers
    ]
    return [
        {
            "role": role,
            "version": version,
            "bundle": bundle,
            "bound": bound,
            "capital": number(share * inputs.capital_cny, 0),
        }
        for role, version, bundle, bound, share in shares
    ]


def _bps(value: float) -> str:
    return f"{value * 1e4:+.1f} bps".replace("-", "\u2212")


def _evidence(value: float) -> str:
    return f"{value:.1e}" if value >= _MANY else number(value, 2)
