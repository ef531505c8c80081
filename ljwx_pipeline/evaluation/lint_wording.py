"""Every sentence of the result lint, one literal table a language; a sentence is filled with a finding's values.

Not here: the report's other words (``wording.py``), the rules (``lint.py``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

EN, ZH = "en", "zh"


@dataclass(frozen=True)
class Sentence:
    """What was found, as a format string, and what to do about it."""

    fact: str
    remedy: str


#: What each rule looks for, by code: the checks' descriptions in Dagster and the report's list of what was looked at.
LOOKS_FOR = {
    EN: {
        "fills_beyond_limit": "a fill outside the session's price limits",
        "fills_at_limit": "too many fills at the limit of a session that closed locked there",
        "moved_without_data": "equity that changed on a session without any data for what was held",
        "vanishes_when_delayed": "a rank IC that vanishes when entered one session later",
        "knows_the_entry": "scores that foretell the return before the entry",
        "sharpe_too_good": "a Sharpe ratio beyond belief",
        "rank_ic_too_good": "a rank IC beyond belief",
        "too_few_trades": "too few positions closed",
        "capacity_below_capital": "a capacity below the capital",
        "too_few_months": "too few months",
        "profit_from_one_name": "profit that comes from one name",
        "weight_of_one_name": "one name with too much of the equity",
        "stale_prices": "equity valued at old prices",
        "parameter_cliff": "a result that breaks down beside the chosen settings",
        "is_the_session_itself": "scores that are hardly more than the session's own return",
        "turnover_absurd": "a turnover nobody could trade",
        "cash_drag": "capital that lies idle",
        "benchmark_mismatch": "a benchmark that moves less like the strategy than another index",
    },
    ZH: {
        "fills_beyond_limit": "成交价超出当日涨跌停价",
        "fills_at_limit": "在封板价上成交过多",
        "moved_without_data": "持仓全无行情的交易日净值却有变动",
        "vanishes_when_delayed": "晚一个交易日入场后秩相关 IC 消失",
        "knows_the_entry": "评分预知入场前的收益",
        "sharpe_too_good": "夏普比率高得不可信",
        "rank_ic_too_good": "秩相关 IC 高得不可信",
        "too_few_trades": "清仓次数太少",
        "capacity_below_capital": "策略容量低于资金规模",
        "too_few_months": "月份太少",
        "profit_from_one_name": "利润集中于一只股票",
        "weight_of_one_name": "单只股票权重过高",
        "stale_prices": "净值按陈旧价格估值",
        "parameter_cliff": "所选参数旁边结果骤降",
        "is_the_session_itself": "评分几乎就是当日收益",
        "turnover_absurd": "换手率无法实际执行",
        "cash_drag": "资金闲置",
        "benchmark_mismatch": "基准不如另一指数贴近策略",
    },
}

SENTENCES: Mapping[str, Mapping[str, Sentence]] = {
    EN: {
        "fills_beyond_limit": Sentence(
            "{count:,} of {fills:,} fills lie outside the session's price limits, first {first}",
            "no exchange takes such an order: find where matching lost the limits before reading any other figure",
        ),
        "fills_at_limit": Sentence(
            "{count:,} of {fills:,} fills ({share:.2%}, at most {most:.2%}) stand at the limit of a session that "
            "closed locked there, first {first}",
            "the queue at a limit is not ours to jump: refuse these fills in matching and run again",
        ),
        "moved_without_data": Sentence(
            "equity changed on {count:,} sessions on which no name held had a bar or an action, first {first}",
            "find what valued the holdings there: a price was made up",
        ),
        "vanishes_when_delayed": Sentence(
            "entered one session later the rank IC falls from {earned:.4f} to {delayed:.4f}, {kept:.0%} of it where "
            "{horizon} sessions of horizon would keep {least:.0%} at least",
            "look for a feature that holds the entry session's data (`ljwx check-leaks`), and for a label that "
            "overlaps it",
        ),
        "knows_the_entry": Sentence(
            "the scores' rank IC with the return before the entry is {before:.4f} (at most {most:.2f}), with what is "
            "earned after it {earned:.4f}",
            "nothing trained on the label can know that return so well: look for a feature dated a session too early",
        ),
        "sharpe_too_good": Sentence(
            "the Sharpe ratio of session returns after costs is {value:.2f}, more than {most:g}",
            "treat it as a leak until the factors, the label and the fills are each shown to be free of one",
        ),
        "rank_ic_too_good": Sentence(
            "the mean rank IC over {horizon} sessions from the entry is {value:.4f}, more than {most:g}",
            "treat it as a leak until the factors and the label are shown to be free of one (`ljwx check-leaks`)",
        ),
        "too_few_trades": Sentence(
            "{count:,} positions were closed, fewer than {least:,}",
            "lengthen the test or trade more names: so few positions say nothing about the next one",
        ),
        "capacity_below_capital": Sentence(
            "the strategy holds {capacity:,.0f} CNY before its orders meet the limit on participation, the capital is "
            "{capital:,.0f} CNY",
            "lower `strategy.capital_cny`, hold more names, or narrow the universe to more liquid ones",
        ),
        "no_capacity": Sentence("the capacity was not measured", "nothing to do where nothing was traded"),
        "too_few_months": Sentence(
            "returns cover {count:,} months, fewer than {least:,}",
            "lengthen the test: a season is not a strategy",
        ),
        "profit_from_one_name": Sentence(
            "{name} earned {share:.0%} of the whole profit, more than {most:.0%}",
            "look at its trades one by one: without it the result is another one",
        ),
        "weight_of_one_name": Sentence(
            "{name} was {weight:.1%} of equity at a close, more than {most:.1%}",
            "hold more names or cap the weight of one",
        ),
        "stale_prices": Sentence(
            "on average {share:.1%} of equity is valued at a price older than {sessions:,} sessions, more than "
            "{most:.1%}",
            "look at the suspended holdings: what they are worth today is a guess",
        ),
        "parameter_cliff": Sentence(
            "beside the chosen {parameter} {lost:.0%} of the information ratio is lost, more than {most:.0%}",
            "choose settings on a plateau: a peak that narrow is luck",
        ),
        "no_sweep": Sentence(
            "whether the result breaks down beside the chosen settings is unknown: there is no sweep around them",
            "sweep around them, the chosen values in the grid, under the options of this run, then run again; around "
            "20 and 3: `ljwx sweep --grid top_k=15,20,25 --grid n_drop=2,3,4`",
        ),
        "no_delay": Sentence(
            "whether the edge survives a later entry is unknown: the rank IC is too small or the horizon one session",
            "nothing to do",
        ),
        "is_the_session_itself": Sentence(
            "the scores' rank IC with the return of their own session is {value:+.2f}, beyond {most:.2f} in size",
            "compare with the plain momentum strategy: the model may add nothing to that one return",
        ),
        "turnover_absurd": Sentence(
            "equity is turned over {value:.1f} times a year, one way, more than {most:g}",
            "raise `strategy.min_hold_sessions` or lower `strategy.n_drop`",
        ),
        "cash_drag": Sentence(
            "{value:.0%} of equity lies in cash on average beyond what money management keeps out, "
            "more than {most:.0%}",
            "look at the refused orders: the strategy does not get what it asks for",
        ),
        "cash_drag_of_doubt": Sentence(
            "{value:.0%} of equity lies in cash on average beyond what money management keeps out, "
            "more than {most:.0%}; the limits of [uncertainty] keep {abstained:.0%} of scored rows from being bought",
            "raise `uncertainty.max_width_frac` or `uncertainty.max_loss_frac` where so much doubt is not meant; the "
            "refused orders tell what else is missing",
        ),
        "benchmark_mismatch": Sentence(
            "the strategy's correlation with {benchmark} is {own:.2f}, with {closest} {best:.2f}",
            "set `gate.benchmark` to the index whose stocks it holds, or explain the choice",
        ),
        "no_correlation": Sentence(
            "the correlation with {benchmark} could not be measured: a series never moves", "nothing to do"
        ),
    },
    ZH: {
        "fills_beyond_limit": Sentence(
            "{fills:,} 笔成交中有 {count:,} 笔超出当日涨跌停价，首例 {first}",
            "交易所不会接受这样的委托：先查撮合在何处丢失了涨跌停限制，再看其他数字",
        ),
        "fills_at_limit": Sentence(
            "{fills:,} 笔成交中有 {count:,} 笔（{share:.2%}，上限 {most:.2%}）发生在收盘封板的涨跌停价上，首例 {first}",
            "封板排队不能插队：在撮合中拒绝这些成交后重跑",
        ),
        "moved_without_data": Sentence(
            "有 {count:,} 个交易日全部持仓既无行情也无权益事项，净值却有变动，首例 {first}",
            "查明当日持仓按什么估值：有价格是编造的",
        ),
        "vanishes_when_delayed": Sentence(
            "晚一个交易日入场，秩相关 IC 由 {earned:.4f} 降到 {delayed:.4f}，只剩 {kept:.0%}；"
            "按 {horizon} 日持有期至少应剩 {least:.0%}",
            "检查是否有特征含入场日数据（`ljwx check-leaks`），标签是否与之重叠",
        ),
        "knows_the_entry": Sentence(
            "评分与入场前收益的秩相关 IC 为 {before:.4f}（上限 {most:.2f}），与入场后所得收益为 {earned:.4f}",
            "以该标签训练的模型不可能如此了解入场前的收益：检查是否有特征日期早了一个交易日",
        ),
        "sharpe_too_good": Sentence(
            "扣费后日收益夏普比率为 {value:.2f}，高于 {most:g}",
            "在逐一证明因子、标签、成交均无泄漏之前，按泄漏处理",
        ),
        "rank_ic_too_good": Sentence(
            "入场后 {horizon} 个交易日的平均秩相关 IC 为 {value:.4f}，高于 {most:g}",
            "在证明因子与标签均无泄漏之前，按泄漏处理（`ljwx check-leaks`）",
        ),
        "too_few_trades": Sentence(
            "清仓 {count:,} 次，少于 {least:,} 次", "延长测试期或增加持股数：样本太少，不能推断下一次"
        ),
        "capacity_below_capital": Sentence(
            "策略容量 {capacity:,.0f} 元（委托触及成交量参与上限时的资金），低于资金规模 {capital:,.0f} 元",
            "降低 `strategy.capital_cny`、增加持股数，或把股票池收窄到流动性更好的股票",
        ),
        "no_capacity": Sentence("未能测得策略容量", "没有成交则无须处理"),
        "too_few_months": Sentence("收益只覆盖 {count:,} 个月，少于 {least:,} 个月", "延长测试期：一季行情不成策略"),
        "profit_from_one_name": Sentence(
            "{name} 贡献了全部利润的 {share:.0%}，高于 {most:.0%}", "逐笔检查其交易：没有它，结果就是另一回事"
        ),
        "weight_of_one_name": Sentence(
            "{name} 收盘权重曾达净值的 {weight:.1%}，高于 {most:.1%}", "增加持股数或限制单只权重"
        ),
        "stale_prices": Sentence(
            "平均有 {share:.1%} 的净值按 {sessions:,} 个交易日以前的价格估值，高于 {most:.1%}",
            "检查停牌持仓：其今日价值只是猜测",
        ),
        "parameter_cliff": Sentence(
            "在所选 {parameter} 旁边，信息比率损失 {lost:.0%}，高于 {most:.0%}",
            "选择位于平台上的参数：如此尖的峰是运气",
        ),
        "no_sweep": Sentence(
            "没有围绕所选参数的扫描，无法判断旁边结果是否骤降",
            "用本次运行的选项围绕它们扫描（网格须含所选取值），再重跑；围绕 20 与 3："
            "`ljwx sweep --grid top_k=15,20,25 --grid n_drop=2,3,4`",
        ),
        "no_delay": Sentence("秩相关 IC 太小或持有期仅一日，无法判断晚入场后优势是否仍在", "无须处理"),
        "is_the_session_itself": Sentence(
            "评分与当日自身收益的秩相关 IC 为 {value:+.2f}，绝对值超过 {most:.2f}",
            "与简单动量策略比较：模型可能没有增加任何信息",
        ),
        "turnover_absurd": Sentence(
            "年单边换手 {value:.1f} 倍，高于 {most:g} 倍", "提高 `strategy.min_hold_sessions` 或降低 `strategy.n_drop`"
        ),
        "cash_drag": Sentence(
            "资金管理以外平均仍有 {value:.0%} 的净值为现金，高于 {most:.0%}", "检查被拒委托：策略没有得到它要求的仓位"
        ),
        "cash_drag_of_doubt": Sentence(
            "资金管理以外平均仍有 {value:.0%} 的净值为现金，高于 {most:.0%}；"
            "[uncertainty] 的上限使 {abstained:.0%} 的评分行不得买入",
            "若无意如此弃权，提高 `uncertainty.max_width_frac` 或 `uncertainty.max_loss_frac`；其余原因见被拒委托",
        ),
        "benchmark_mismatch": Sentence(
            "策略与 {benchmark} 的相关系数为 {own:.2f}，与 {closest} 为 {best:.2f}",
            "把 `gate.benchmark` 设为其持股所属的指数，或说明理由",
        ),
        "no_correlation": Sentence("无法测得与 {benchmark} 的相关系数：有序列从不变动", "无须处理"),
    },
}  # fmt: skip


def fact_text(language: str, case: str, values: Mapping[str, float | int | str]) -> str:
    """Return what was found, in ``language``."""
    return SENTENCES[language][case].fact.format(**values)


def remedy_text(language: str, case: str) -> str:
    """Return what to do about it, in ``language``."""
    return SENTENCES[language][case].remedy
