"""The report is one self-contained page that shows what it is given and hides nothing."""

from __future__ import annotations

import base64
import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from datetime import date
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest

from ljwx_pipeline.config import Settings
from ljwx_pipeline.evaluation.benchmarks import against_index, monthly_excess
from ljwx_pipeline.evaluation.figures import equity_figure, monthly_figure, quantile_figure, rank_ic_figure
from ljwx_pipeline.evaluation.report import (
    GATE_MEASURES,
    GateLine,
    Picture,
    ReportInputs,
    gate_row,
    render_report,
)
from ljwx_pipeline.market.tables import SourceDescription, Unknown
from ljwx_pipeline.page import number, percent
from ljwx_pipeline.promotion.gate import Evidence, decide

PNG = base64.b64decode(  # one grey pixel
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNoAAAAggCBd81ytgAAAABJRU5ErkJggg=="
)
CODES = ("000300.SH", "000905.SH", "399006.SZ")


def example_inputs(*, long: bool = False, simulated: bool = True, decision: str = "refused") -> ReportInputs:
    rng = np.random.default_rng(11)
    sessions = pd.bdate_range("2021-01-04", periods=1_250 if long else 90, name="session_date")
    market = rng.normal(0.0001, 0.011, len(sessions))
    closes = {
        code: pd.Series(4000 * np.cumprod(1 + market + rng.normal(0, 0.004, len(sessions))), index=sessions)
        for code in CODES
    }
    equity = pd.Series(
        1e7 * np.cumprod(np.r_[1.0, 1 + market[1:] + rng.normal(0.0008, 0.005, len(sessions) - 1)]), index=sessions
    )
    names = [str(day.year) for day in sessions]
    folds = pd.DataFrame(
        {
            "Fold": sorted(set(names)),
            "Trained to": pd.Timestamp("2020-12-22"),
            "Training rows": 84_211,
            "Test rows": 9_940,
            "Rank IC": 0.0712,
        }
    )
    return ReportInputs(
        profile="simulated" if simulated else "folder",
        source=SourceDescription(
            name="simulated market, seed 7" if simulated else "folder <qfq>",
            simulated=simulated,
            adjustment="raw" if simulated else "forward",
            unknown=()
            if simulated
            else (
                Unknown(
                    "raw prices",
                    "limit prices are estimated from adjusted ones; share counts are not those of the time",
                ),
                Unknown("delistings", "names that failed are missing: returns are flattered"),
            ),
        ),
        first=date(2018, 1, 2),
        last=date(2025, 10, 31),
        counts={"symbols": 127, "sessions": 1_902, "rows": 221_408, "factors": 158},
        hashes={"data": "ab" * 32, "factors": "cd" * 32, "configuration": "ef" * 32, "git revision": "0123abc"},
        model="ljwx-cross-section, version 3" if decision == "promoted" else "",
        decision=decision,
        gate=(
            GateLine("months", True, 59.0, 24.0, "evidence covers 59 months, at least 24"),
            GateLine("rank_ic_lower", True, 0.0631, 0.0, "rank IC 0.0712 has the lower bound 0.0631 above 0"),
            GateLine("sharpe", decision == "promoted", 1.31, 1.5, "Sharpe ratio of monthly net excess returns is 1.31"),
        ),
        gate_benchmark="000905.SH",
        performance={
            "annual_return": 0.213,
            "sharpe": 1.31,
            "sortino": 1.99,
            "calmar": 1.4,
            "max_drawdown": 0.152,
            "turnover": 18.3,
            "win_rate": 0.61,
            "profit_factor": None,
            "fees_cny": 812_331.22,
        },
        benchmarks={code: against_index(equity, close) for code, close in closes.items()},
        equity=equity,
        index_closes=closes,
        monthly_excess=monthly_excess(equity, closes["000905.SH"]),
        rank_ic=pd.DataFrame(
            {"session_date": sessions, "rank_ic": rng.normal(0.07, 0.1, len(sessions)), "fold": names}
        ),
        rank_ic_summary={
            "rank_ic_mean": 0.0712,
            "rank_icir": 0.62,
            "ic_mean": 0.0688,
            "rank_ic_mean_enterable": 0.0733,
            "rank_icir_enterable": 0.64,
            "ic_mean_enterable": 0.0691,
            "oracle_rank_ic": 0.1102,
        },
        quantiles=np.linspace(-0.004, 0.005, 10),
        folds=folds,
        fees={"commission": 301_220.4, "stamp duty": 498_000.0, "transfer fee": 13_110.8},
        slippage_cny=187_668.8,
        shap=(Picture("mean absolute SHAP value by factor", PNG),),
    )


class Links(HTMLParser):
    """Collects everything a browser would fetch."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.scripts = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.scripts += tag == "script"
        self.found += [value for name, value in attrs if name in {"src", "href"} and value]


@pytest.fixture(scope="module")
def page() -> str:
    return render_report(example_inputs())


@pytest.fixture(scope="module")
def promoted_on_real_data() -> str:
    return render_report(example_inputs(simulated=False, decision="promoted"))


def test_the_page_fetches_nothing_and_runs_nothing(page: str) -> None:
    links = Links()
    links.feed(page)
    assert links.scripts == 0
    # what is left are references inside a figure
    assert [link for link in links.found if not link.startswith(("data:image/png;base64,", "#"))] == []
    assert "@import" not in page


def test_the_same_inputs_give_the_same_bytes(page: str) -> None:
    assert render_report(example_inputs()) == page


def test_a_simulated_market_is_marked_and_a_real_one_is_not(page: str, promoted_on_real_data: str) -> None:
    real = promoted_on_real_data
    assert "SIMULATED market" in page
    assert 'class="mark"' in page
    assert "SIMULATED" not in real
    assert 'class="mark"' not in real


def test_what_the_source_cannot_know_is_told_with_its_consequence(page: str, promoted_on_real_data: str) -> None:
    assert "names that failed are missing: returns are flattered" in promoted_on_real_data
    assert "What this source cannot know" not in page


def test_a_refusal_names_what_failed_and_a_promotion_the_model(page: str, promoted_on_real_data: str) -> None:
    assert "<b>Refused</b>" in page
    assert "1 of 3 requirements of the gate is not met" in page
    assert page.count("Sharpe ratio of monthly net excess returns is 1.31") == 2
    assert "<b>Promoted</b> · ljwx-cross-section, version 3" in promoted_on_real_data
    assert "All 3 requirements of the gate are met" in promoted_on_real_data


def test_every_part_is_there(page: str) -> None:
    for text in (*CODES, "ab" * 32, "84,211", "2020-12-22", "812,331", "mean absolute SHAP value by factor", "21.30%"):
        assert text in page
    assert page.count("<svg") == 4
    assert "–" in page  # the profit factor that could not be measured


def cells(page: str, first: str) -> list[str]:
    """Return the text of the other cells in the row whose cell reads ``first``."""
    rows = [re.findall(r"<td[^>]*>(.*?)</td>", row) for row in re.findall(r"<tr>(.*?)</tr>", page)]
    (found,) = [row for row in rows if first in row]
    return found[found.index(first) + 1 :]


def test_a_requirement_is_named_and_written_in_its_own_unit(page: str) -> None:
    assert cells(page, "Months of evidence")[:2] == ["59", "≥ 24"]
    assert cells(page, "Rank IC of rows that could be bought, lower bound")[:2] == ["0.063", "&gt; 0"]
    drawdown = GateLine("max_drawdown", True, 0.0543, 0.15, "")
    assert gate_row(drawdown) == ("Maximum drawdown of monthly net excess", "5.43%", "< 15.00%")
    assert gate_row(GateLine("new_check", True, None, 0.5, "")) == ("New check", "–", "0.500")


def test_every_check_of_the_gate_has_a_label_and_a_unit(settings: Settings) -> None:
    rng = np.random.default_rng(0)
    evidence = Evidence(
        rank_ic=rng.normal(0.1, 0.1, 900),
        net_excess_returns=rng.normal(0.001, 0.01, 900),
        monthly_net_excess_returns=rng.normal(0.01, 0.02, 43),
        trial_sharpes=(0.01, 0.02, 0.03),
        trials=3,
        purge_sessions=6,
    )
    decision = decide(evidence, settings.gate.model_copy(update={"kpi_enabled": True}))
    assert {check.name for check in decision.checks} == set(GATE_MEASURES)


def test_each_rank_ic_says_on_which_rows_it_was_measured(page: str) -> None:
    assert cells(page, "every scored row") == ["0.0712", "0.6200", "0.0688"]
    assert cells(page, "rows that could be bought: what the gate looks at") == ["0.0733", "0.6400", "0.0691"]
    assert cells(page, "every scored row, by the planted truth itself") == ["0.1102", "–", "–"]


def test_the_two_excess_figures_and_drawdowns_have_names_of_their_own(page: str) -> None:
    assert "Annual return minus the index’s" in page
    assert "Net monthly excess: the month’s net return minus 000905.SH’s" in page
    assert "both are right, they answer different questions" in page
    assert "Maximum drawdown of equity" in page


def test_slippage_stands_among_the_costs(page: str) -> None:
    assert cells(page, "Commission") == ["301,220"]
    assert cells(page, "Fees together") == ["812,331"]
    assert cells(page, "Slippage, inside the fill prices") == ["187,669"]
    assert cells(page, "<b>All costs</b>") == ["<b>1,000,000</b>"]


def test_words_are_set_left_and_numbers_right(page: str) -> None:
    assert "<th>Trained to</th>" in page
    assert '<th class="n">Test rows</th>' in page
    assert '<td class="n">9,940</td>' in page


def test_nothing_shows_above_the_banner(page: str) -> None:
    padding = re.search(r"main \{[^}]*padding:(\d+)px", page)
    margin = re.search(r"\.banner \{ margin:-(\d+)px", page)
    assert padding
    assert margin
    assert padding.group(1) == margin.group(1)


def test_labels_are_words(page: str) -> None:
    assert '<td style="width:26%">Git revision</td>' in page
    assert "_" not in re.sub(r"<[^>]*>", "", re.sub(r"<(style|svg).*?</\1>", "", page, flags=re.DOTALL))


def test_text_from_outside_is_escaped(promoted_on_real_data: str) -> None:
    assert "folder &lt;qfq&gt;" in promoted_on_real_data


def test_a_report_without_pictures_has_no_empty_section() -> None:
    assert "What the model looks at" not in render_report(replace(example_inputs(), shap=()))


def test_figures_are_well_formed_and_share_no_id() -> None:
    inputs = example_inputs()
    figures = [
        equity_figure(inputs.equity, inputs.index_closes),
        monthly_figure(inputs.monthly_excess),
        rank_ic_figure(inputs.rank_ic),
        quantile_figure(inputs.quantiles),
    ]
    clips: list[set[str]] = []
    for svg in figures:
        assert ET.fromstring(svg).tag.endswith("svg")
        clips.append(set(re.findall(r'<clipPath id="([^"]+)"', svg)))
    assert sum(len(ids) for ids in clips) == len(set().union(*clips))


def test_a_drawdown_on_the_first_session_shows_in_the_figure() -> None:
    days = pd.bdate_range("2024-01-01", periods=3)
    falling = equity_figure(pd.Series([1.0, 0.5, 0.6], index=days), {})
    flat = equity_figure(pd.Series([1.0, 1.0, 1.0], index=days), {})
    assert falling != flat


def test_numbers_are_written_for_people() -> None:
    assert percent(-0.1234) == "\u221212.3%"
    assert percent(None) == number(float("nan")) == number(float("inf")) == "–"
    assert number(1_234_567.891, 0) == "1,234,568"
