"""The tear sheets as self-contained HTML pages: one a factor, one for the set. Nothing to fetch, same bytes each run.

Not here: the figures (``figures.py``), markup (``templates/``), writing the files (``files.py``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from ljwx_pipeline.page import page_environment
from ljwx_pipeline.research.figures import (
    WIDE,
    correlation_figure,
    correlation_inches,
    decay_figure,
    growth_figure,
    ic_figure,
    quantile_figure,
    ranking_figure,
    upkeep_figure,
)
from ljwx_pipeline.research.tear_sheet import (
    DELAYS,
    MIN_NAMES,
    PARTICIPATION_FRAC,
    FactorSheet,
    SetSheet,
    Yardstick,
)

#: A t beyond this is called notable, and is how often luck alone passes it, two-sided.
NOTABLE_T, LUCK_FRAC = 3.0, 0.0027


@dataclass(frozen=True)
class PageContext:
    """What every page says of where its numbers come from; ``hashes`` by label, in the order shown."""

    profile: str
    source: str
    simulated: bool
    hashes: Mapping[str, str]


def render_factor(sheet: FactorSheet, stick: Yardstick, context: PageContext, *, set_page: str = "") -> str:
    """Return one factor's page; ``set_page`` is the link back to the set's, empty for none."""
    figures = {
        "ic": ic_figure(sheet, stick),
        "decay": decay_figure(sheet, stick),
        "quantiles": quantile_figure(sheet, stick),
        "growth": growth_figure(sheet, stick),
        "upkeep": upkeep_figure(sheet, stick),
    }
    return _render(
        "factor.html.j2",
        stick,
        context,
        figures,
        sheet=sheet,
        row=sheet.summary(stick),
        horizons=list(zip(stick.horizons, sheet.rank_ic_summary, strict=True)),
        set_page=set_page,
    )


def render_set(found: SetSheet, context: PageContext, *, pages: Mapping[str, str]) -> str:
    """Return the set's page; ``pages`` gives the link of each factor that has a page of its own."""
    by_name = {sheet.factor.name: sheet.summary(found.yardstick) for sheet in found.sheets}
    rows = [by_name[name] for name in found.strongest(len(by_name))]
    figures = {"ranking": ranking_figure(found)}
    if len(found.sheets) > 1:
        figures["map"] = correlation_figure(found)
    notable = sum(abs(row["rank_ic_t"] or 0.0) > NOTABLE_T for row in rows)
    return _render(
        "set.html.j2",
        found.yardstick,
        context,
        figures,
        found=found,
        rows=rows,
        sources=sorted({row["source"] for row in rows}),
        pages=pages,
        notable=notable,
        notable_t=NOTABLE_T,
        by_luck=len(rows) * LUCK_FRAC,
        map_width_frac=correlation_inches(found) / WIDE,
    )


def money(value: float | None) -> str:
    """Return CNY as millions or billions, a dash for nothing."""
    if value is None:
        return "–"
    return (
        f"{value / 1e9:,.1f} bn"
        if value >= 1e9
        else f"{value / 1e6:,.0f} m"
        if value >= 1e7
        else f"{value / 1e6:,.1f} m"
    )


def sessions_text(value: float | None) -> str:
    """Return a half-life in sessions; a dash for one that was not reached or means nothing."""
    return "–" if value is None else f"{value:.1f}" if value < 10 else f"{value:.0f}"


def _render(template: str, stick: Yardstick, context: PageContext, figures: Mapping[str, str], **more: Any) -> str:
    from markupsafe import Markup  # only a page needs it

    environment = page_environment("ljwx_pipeline.research")
    environment.filters.update(money=money, sessions=sessions_text)
    span: tuple[date, date] = (stick.sessions[0].date(), stick.sessions[-1].date())
    page: str = environment.get_template(template).render(
        stick=stick,
        context=context,
        first=span[0],
        last=span[1],
        figures={name: Markup(svg) for name, svg in figures.items()},  # noqa: S704 - our own SVG
        min_names=MIN_NAMES,
        participation=PARTICIPATION_FRAC,
        longest_delay=DELAYS[-1],
        **more,
    )
    return page
