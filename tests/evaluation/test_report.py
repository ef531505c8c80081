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
from ljwx_pipeline.evaluation import figures, wording
from ljwx_pipeline.evaluation.benchmarks import monthly_excess
from ljwx_pipeline.evaluation.comparison import MEASURES, STRATEGY
from ljwx_pipeline.evaluation.figures import equity_figure, monthly_figure, quantile_figure, rank_ic_figure
from ljwx_pipeline.evaluation.lint import Finding
from ljwx_pipeline.evaluation.metrics import returns_of
from ljwx_pipeline.evaluation.performance import CNY, COUNT, FRAC, RATIO, SESSIONS, Figure
from ljwx_pipeline.evaluation.report import (
    GATE_MEASURES,
    GateLine,
    Picture,
    ReportInputs,
    gate_row,
    render_report,
    written,
)
from ljwx_pipeline.market.tables import SourceDescription, Unknown
from ljwx_pipeline.page import number, percent
from ljwx_pipeline.promotion.gate import decide
from ljwx_pipeline.sources.folder.unknowns import ADJUSTED, ALWAYS, BACKWARD, FORWARD, NO_ST
from tests.fakes.gate_evidence import evidence

PNG = base64.b64decode(  # one grey pixel
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNoAAAAggCBd81ytgAAAABJRU5ErkJggg=="
)
CODES = ("000300.SH", "000905.SH", "399006.SZ")
#: Figures that the table of all curves shows and that need no value of their own here.
SIDE_ONLY = ("annual_volatility", "sortino", "calmar", "win_rate_months", "cash_frac")


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
            "fold": sorted(set(names)),
            "trained_on": pd.Timestamp("2020-12-22"),
            "training_rows": 84_211,
            "test_rows": 9_940,
            "rank_ic_scored": 0.0712,
        }
    )
    curves = {**closes, "momentum": equity * np.linspace(1, 0.9, len(sessions))}
    comparison = pd.DataFrame(0.05, index=pd.Index(MEASURES, name="measure"), columns=[STRATEGY, *curves])
    comparison.loc["information_ratio", STRATEGY] = np.nan
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
        hashes={"data_hash": "ab" * 32, "factor_hash": "cd" * 32, "config_hash": "ef" * 32, "git_revision": "0123abc"},
        model="ljwx-cross-section, version 3" if decision == "promoted" else "",
        decision=decision,
        gate=(
            GateLine("months", "passed", 59.0, 24.0, "evidence covers 59 months, at least 24"),
            GateLine("rank_ic_lower", "passed", 0.0631, 0.0, "rank IC 0.0712 has the lower bound 0.0631 above 0"),
            GateLine(
                "sharpe",
                "passed" if decision == "promoted" else "failed",
                1.31,
                1.5,
                "Sharpe ratio of monthly net excess returns is 1.31",
            ),
            GateLine("drift", "not_asked", None, 1.0, "drift: not asked"),
        ),
        terms=[("term_exits", ("None but the strategy’s own", "除策略自身外无"))],
        gate_benchmark="000905.SH",
        figures={
            "total_return": Figure(0.4, np.nan, np.nan, FRAC, "sessions"),
            "annual_return": Figure(0.213, 0.05, 0.41, FRAC, "sessions"),
            "sharpe": Figure(1.31, 0.2, 2.4, RATIO, "sessions"),
            "max_drawdown": Figure(0.152, 0.1, 0.4, FRAC, "sessions"),
            "value_at_risk": Figure(-0.021, -0.03, -0.01, FRAC, "sessions"),
            "expected_shortfall": Figure(-0.035, -0.05, -0.02, FRAC, "sessions"),
            "profit_factor_months": Figure(np.nan, np.nan, np.nan, RATIO, "months"),
            "closed_trades": Figure(812.0, np.nan, np.nan, COUNT, "closed trades"),
            "turnover": Figure(18.3, np.nan, np.nan, FRAC, "sessions"),
            "capacity_median": Figure(93_918_859.0, np.nan, np.nan, CNY, "orders"),
            **{name: Figure(0.05, np.nan, np.nan, FRAC, "sessions") for name in SIDE_ONLY},
            **{
                f"{name}:000905.SH": Figure(0.07, 0.01, 0.12, RATIO, "sessions against 000905.SH")
                for name in ("excess_annual_return", "information_ratio", "alpha", "beta", "tracking_error")
            },
        },
        comparison=comparison,
        confidence=0.95,
        resamples=2000,
        findings=(
            Finding("cash_drag", "warning", "cash_drag", 0.31, 0.25, {"value": 0.31, "most": 0.25}),
            Finding(
                "capacity_below_capital", "error", "capacity_below_capital", 5e6, 1e7, {"capacity": 5e6, "capital": 1e7}
            ),
        ),
        equity=equity,
        curves=curves,
        account=pd.DataFrame({"invested_frac": 0.9, "largest_weight_frac": 0.06, "turnover_frac": 0.1}, index=sessions),
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
        fees={"commission": 301_220.4, "stamp_duty": 498_000.0, "transfer_fee": 13_110.8},
        inside_prices={"slippage": 187_668.8, "impact": 0.0},
        traded_cny=50_000_000.0,
        rejects={"LIMIT_UP": 28, "CASH": 0, "PARTICIPATION": 412},
        names=pd.DataFrame(
            {
                "symbol": ["600000.SH", "600001.SH"],
                "name": ["浦发银行", ""],
                "profit_cny": [9e5, -2e5],
                "trades": [31, 8],
            }
        ),
        trades=pd.DataFrame(
            {
                "symbol": "600000.SH",
                "entry_date": sessions[:12],
                "exit_date": sessions[3:15],
                "holding_sessions": 3,
                "return_frac": 0.01,
                "profit_fen": np.arange(12) * 100_000 - 400_000,
            }
        ),
        shap=(Picture("shap_bar", PNG),),
        files=("run.json", "returns.parquet"),
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


def in_language(page: str, shown: str, hidden: str) -> str:
    """Return what a reader of one language sees, without the marks of language."""
    kept = re.sub(rf'<(span|td|th) class="{hidden}"[^>]*>.*?</\1>', "", page, flags=re.DOTALL)
    return re.sub(rf'<span class="{shown}"[^>]*>(.*?)</span>', r"\1", kept, flags=re.DOTALL)


@pytest.fixture(scope="module")
def both_languages() -> str:
    return render_report(example_inputs())


@pytest.fixture(scope="module")
def page(both_languages: str) -> str:
    return in_language(both_languages, "en", "zh")


@pytest.fixture(scope="module")
def chinese(both_languages: str) -> str:
    return in_language(both_languages, "zh", "en")


@pytest.fixture(scope="module")
def promoted_on_real_data() -> str:
    return in_language(render_report(example_inputs(simulated=False, decision="promoted")), "en", "zh")


def test_the_page_fetches_nothing_and_runs_nothing(both_languages: str) -> None:
    links = Links()
    links.feed(both_languages)
    assert links.scripts == 0
    # what is left are references inside a figure, and the files that lie beside the page
    beside = ("run.json", "returns.parquet")
    outside = [link for link in links.found if not link.startswith(("data:image/png;base64,", "#"))]
    assert outside == list(beside)
    assert "@import" not in both_languages
    assert "url(" not in re.sub(r"url\('data:|url\(#", "", both_languages)


def test_the_same_inputs_give_the_same_bytes(both_languages: str) -> None:
    assert render_report(example_inputs()) == both_languages


def test_a_reader_of_either_language_sees_only_that_one(page: str, chinese: str) -> None:
    def words(shown: str) -> str:
        return re.sub(r"<[^>]*>", " ", re.sub(r"<(style|svg|nav|title).*?</\1>", "", shown, flags=re.DOTALL))

    assert not re.search("[一-鿿]", words(page).replace("浦发银行", ""))
    told = words(chinese)
    assert "策略报告" in told
    assert "资金管理以外平均仍有 31% 的净值为现金，高于 25%" in told
    for sentence in wording.TEXT["en"].values():
        if " " in sentence and "{" not in sentence:
            assert sentence not in told


def test_both_languages_have_every_text_with_the_same_blanks() -> None:
    for table in (wording.TEXT, wording.LABELS, wording.FIGURE_NAMES, wording.CURVE_NAMES):
        english, other = table["en"], table["zh"]
        assert set(english) == set(other)
        for key, sentence in english.items():
            assert set(re.findall(r"{(\w+)", sentence)) == set(re.findall(r"{(\w+)", other[key])), key


def test_what_a_folder_of_files_cannot_know_is_told_in_chinese_too() -> None:
    for item in (*ALWAYS, NO_ST, ADJUSTED, FORWARD, BACKWARD):
        assert item.what in wording.UNKNOWNS_ZH
        assert item.consequence in wording.UNKNOWNS_ZH


def test_the_language_is_chosen_without_a_script_and_kept_in_print(both_languages: str) -> None:
    assert '<input class="lang-choice" type="radio" name="language" id="lang-en" aria-label="English" checked>' in (
        both_languages
    )
    hides = "#lang-en:checked ~ main .zh, #lang-zh:checked ~ main .en { display:none; }"
    assert hides in both_languages
    assert both_languages.index(hides) < both_languages.rindex("@media print")  # for print too


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
    for text in (*CODES, "ab" * 32, "84,211", "2020-12-22", "812,331", "Mean absolute SHAP value by factor", "21.3%"):
        assert text in page
    assert page.count("<svg") == 7  # the backtest is too short for the rolling picture
    assert "shorter than the 126 sessions" in page
    assert "–" in page  # the profit factor that could not be measured


def test_what_was_traded_is_told_in_both_languages(page: str, chinese: str) -> None:
    assert cells(page, "Exits") == ["None but the strategy’s own"]
    assert cells(chinese, "离场规则") == ["除策略自身外无"]


def cells(page: str, first: str, *, of: int = 1, place: int = 0) -> list[str]:
    """Return the text of the other cells in the row whose cell reads ``first``; the one at ``place`` of several."""
    rows = [re.findall(r"<td[^>]*>(.*?)</td>", row) for row in re.findall(r"<tr[^>]*>(.*?)</tr>", page)]
    named = [row for row in rows if first in row]
    assert len(named) == of
    found = named[place]
    return found[found.index(first) + 1 :]


def test_a_requirement_is_named_and_written_in_its_own_unit(page: str) -> None:
    assert cells(page, "Months of evidence")[:2] == ["59", "≥ 24"]
    assert cells(page, "Rank IC of rows that could be bought, lower bound")[:2] == ["0.063", "&gt; 0"]
    drawdown = GateLine("max_drawdown", "passed", 0.0543, 0.15, "")
    assert gate_row(drawdown) == (("Maximum drawdown of monthly net excess", "月度净超额最大回撤"), "5.43%", "< 15.00%")
    assert gate_row(GateLine("new_check", "passed", None, 0.5, "")) == (("New check", "New check"), "–", "0.500")


def test_every_check_of_the_gate_has_a_label_and_a_unit(settings: Settings) -> None:
    decision = decide(evidence(rank_ic=0.07, annual_excess=0.3), settings.gate, approval_always=True)
    assert {check.name for check in decision.checks} == set(GATE_MEASURES)


def test_each_rank_ic_says_on_which_rows_it_was_measured(page: str) -> None:
    assert cells(page, "Every scored row") == ["0.0712", "0.6200", "0.0688"]
    assert cells(page, "Rows that could be bought: what the gate looks at") == ["0.0733", "0.6400", "0.0691"]
    assert cells(page, "Every scored row, by the planted truth itself") == ["0.1102", "–", "–"]


def test_the_two_excess_figures_and_drawdowns_have_names_of_their_own(page: str) -> None:
    assert "Annual return minus the benchmark’s" in page
    assert "Net monthly excess: the month’s net return minus 000905.SH’s" in page
    assert "both are right, they answer different questions" in page
    assert "maximum drawdown of equity" in page


def test_the_page_says_by_how_many_sessions_a_year_has_and_what_the_calendar_s_would_give(
    page: str, chinese: str
) -> None:
    annual, sharpe = 1.213 ** (243 / 252) - 1, 1.31 * (243 / 252) ** 0.5
    assert (
        "Figures of a year take 252 sessions, as empyrical does. The A-share calendar has about 243 a year: with those "
        f"the annual return would be {annual:.2%} and the Sharpe ratio {sharpe:.2f}."
    ) in page
    assert f"年化收益为 {annual:.2%}，夏普比率为 {sharpe:.2f}" in chinese


def test_the_page_says_what_a_delisting_costs_the_equal_weight_universe(page: str, chinese: str) -> None:
    assert "a member that is delisted counts −100 %" in page
    assert "成分股退市按 −100 % 计入" in chinese


def test_slippage_stands_among_the_costs(page: str) -> None:
    assert cells(page, "Commission") == ["301,220", "60.24"]
    assert cells(page, "Fees together") == ["812,331", "162.47"]
    assert cells(page, "Slippage, inside the fill prices") == ["187,669", "37.53"]
    assert cells(page, "All costs") == ["1,000,000", "200.00"]


def test_what_a_person_has_to_approve_is_told_in_both_languages() -> None:
    asked = GateLine("overfitting", "approval", None, 0.2, "overfitting is not assessable among 3 configurations")
    inputs = example_inputs(decision="awaiting_approval")
    passed = tuple(line for line in inputs.gate if line.outcome == "passed")
    page = render_report(replace(inputs, gate=(*passed, asked)))
    english, chinese = in_language(page, "en", "zh"), in_language(page, "zh", "en")
    assert "<b>Awaiting approval</b>" in english
    assert "the gate cannot decide alone" in english
    assert "overfitting is not assessable among 3 configurations" in english
    assert "等待人工审批" in chinese
    assert "回测过拟合概率" in chinese


def test_approval_of_every_promotion_is_asked_in_words_and_not_as_a_number() -> None:
    asked = GateLine("approval", "approval", None, 1.0, "a person has to approve every promotion")
    inputs = example_inputs(decision="awaiting_approval")
    passed = tuple(line for line in inputs.gate if line.outcome == "passed")
    page = render_report(replace(inputs, gate=(*passed, asked)))
    assert cells(in_language(page, "en", "zh"), "Approval by a person")[:2] == ["–", "a person’s yes"]
    chinese = in_language(page, "zh", "en")
    assert "须有人批准" in chinese
    assert "≥ 1" not in chinese


def test_words_are_set_left_and_numbers_right(page: str) -> None:
    assert "<th>Trained on</th>" in page
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
    assert "_" not in re.sub(r"<[^>]*>", "", re.sub(r"<(style|svg|code).*?</\1>", "", page, flags=re.DOTALL))


def test_text_from_outside_is_escaped(promoted_on_real_data: str) -> None:
    assert "folder &lt;qfq&gt;" in promoted_on_real_data


def test_a_report_without_pictures_has_no_empty_section() -> None:
    assert "What the model looks at" not in render_report(replace(example_inputs(), shap=()))


def test_findings_stand_on_the_page_with_severity_value_and_remedy(page: str) -> None:
    assert "Lint: 1 error, 1 warning, 0 notes" in page
    assert "31% of equity lies in cash on average beyond what money management keeps out, more than 25%" in page
    assert "Lower <code>strategy.capital_cny</code>, hold more names" in page
    clean = in_language(render_report(replace(example_inputs(), findings=())), "en", "zh")
    assert "None of the 18 rules found anything." in clean
    assert "Lint: nothing found" in clean


def test_every_curve_is_a_column_and_the_strategy_has_no_excess_over_itself(page: str) -> None:
    assert cells(page, "Information ratio", of=2) == ["–", "0.05", "0.05", "0.05", "0.05"]
    assert cells(page, "Information ratio", of=2, place=1) == ["0.07", "0.01 … 0.12"]
    for name in ("Strategy", "Plain momentum"):
        assert f'<th class="n">{name}</th>' in page


def test_a_figure_stands_with_its_interval(page: str) -> None:
    assert cells(page, "Compound annual return", of=2, place=1) == ["21.30%", "5.00% … 41.00%"]
    assert "<b>21.3%</b><i>5.00% … 41.00%</i>" in page
    assert cells(page, "Closed trades") == ["812"]


def test_names_and_trades_are_shown_from_both_ends(page: str) -> None:
    assert cells(page, "600000.SH 浦发银行") == ["900,000", "128.6%", "31"]
    assert cells(page, "600001.SH") == ["−200,000", "−28.6%", "8"]
    assert page.count("<td>600000.SH</td>") == 10  # twelve trades, the five best and the five worst of them


def test_refused_orders_are_told_by_reason_the_most_first(page: str, chinese: str) -> None:
    assert "by reason: share of the volume 412, at the upper limit 28." in page
    assert "成交量占比上限 412，涨停 28" in chinese


def test_turnover_is_a_multiple_and_a_share_is_a_percentage() -> None:
    assert written(18.34, "turnover", FRAC) == "18.34"
    assert written(0.1834, "cash_frac", FRAC) == "18.34%"
    assert written(346.0, "longest_drawdown", SESSIONS) == "346"
    assert written(float("nan"), "sharpe", RATIO) == "–"


def test_figures_are_well_formed_and_share_no_id() -> None:
    inputs = example_inputs(long=True)
    drawn = [
        equity_figure(inputs.equity, inputs.curves),
        monthly_figure(inputs.monthly_excess, salt="excess"),
        monthly_figure(inputs.monthly_excess, salt="return"),
        figures.rolling_figure(inputs.equity, inputs.curves["000905.SH"], sessions=126),
        figures.distribution_figure(returns_of(inputs.equity), value_at_risk=-0.02, expected_shortfall=-0.03),
        figures.exposure_figure(inputs.account),
        figures.comparison_figure({"one": inputs.equity, "two": inputs.curves["000905.SH"]}),
        rank_ic_figure(inputs.rank_ic),
        quantile_figure(inputs.quantiles),
    ]
    clips: list[set[str]] = []
    for svg in drawn:
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
