"""One run of the published suite as a page: every expectation in words, whether it is met, and what broke it.

Great Expectations' own Data Docs fetch their styles and scripts from a dozen hosts and are blank without them. Not
here: the suite (``suite.py``), its runs over time (``trend.py``).
"""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from ljwx_pipeline.quality.pages import write_page

REPORT_PAGE = "suite-report.html"
#: Values shown of those that broke an expectation.
EXAMPLES = 5


@dataclass(frozen=True)
class Verdict:
    """What one expectation found.

    Parameters
    ----------
    expectation
        Its type, as Great Expectations names it.
    arguments
        What it was asked with.
    met
        Whether it is met.
    judged
        Values or rows judged; None for one about the table.
    unexpected
        Values that broke it.
    examples
        A few of these.
    observed
        What was seen where nothing is counted; empty otherwise.
    """

    expectation: str
    arguments: Mapping[str, Any]
    met: bool
    judged: int | None
    unexpected: int
    examples: tuple[str, ...] = ()
    observed: str = ""


def write_report_page(
    folder: Path, verdicts: Sequence[Verdict], *, name: str, rows: int, first: date, last: date
) -> Path:
    """Write the page on ``rows`` bars of ``[first, last]`` judged by the suite ``name``, those not met first."""
    failed = sum(not verdict.met for verdict in verdicts)
    said = f'<strong class="no">{failed} not met</strong>' if failed else "<strong>all are met</strong>"
    body = (
        f"<p>{len(verdicts)} expectations of the suite <code>{html.escape(name)}</code> over {rows:,} bars, "
        f"{first} to {last}: {said}.</p>\n"
        '<table><thead><tr><th>Expectation</th><th>Met</th><th class="n">Judged</th>'
        '<th class="n">Unexpected</th><th>Examples, or what was seen</th></tr></thead><tbody>\n'
        + "\n".join(_row(verdict) for verdict in sorted(verdicts, key=lambda verdict: verdict.met))
        + '\n</tbody></table>\n<p class="soft">Great Expectations\' own pages of this run are in the folder '
        "<code>great_expectations</code> beside this file; they need a network for their styles.</p>"
    )
    return write_page(folder / REPORT_PAGE, title="Data contract: the last run", body=body)


def _row(verdict: Verdict) -> str:
    asked = ", ".join(f"{key} = {value}" for key, value in verdict.arguments.items())
    words = verdict.expectation.removeprefix("expect_").replace("_", " ")
    share = f" ({verdict.unexpected / verdict.judged:.2%})" if verdict.judged and verdict.unexpected else ""
    examples = "; ".join(verdict.examples[:EXAMPLES]) or verdict.observed
    judged = "" if verdict.judged is None else f"{verdict.judged:,}"
    tone = "" if verdict.met else ' class="no"'
    return (
        f'<tr{tone}><td>{html.escape(words)}<br><code class="soft">{html.escape(asked)}</code></td>'
        f'<td>{"yes" if verdict.met else "no"}</td><td class="n">{judged}</td>'
        f'<td class="n">{verdict.unexpected:,}{share}</td><td>{html.escape(examples)}</td></tr>'
    )
