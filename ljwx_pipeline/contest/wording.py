"""Every word of the contest's page, in both languages.

Not here: how both stand on one page (``evaluation/wording.py``), the markup (``templates/contest.html.j2``).
"""

from __future__ import annotations

from collections.abc import Mapping

#: English and Chinese of each text; what stands in braces is filled in.
WORDS: Mapping[str, tuple[str, str]] = {
    "title": ("Champion and challengers", "冠军与挑战者"),
    "simulated": (
        "SIMULATED market: no price on this page was ever traded, and no return here can be earned.",
        "模拟市场：本页价格均非真实成交，收益不可实现。",
    ),
    "rehearsal": (
        "REHEARSAL: these sessions were known before the contest was recorded. Nothing on this page decides anything.",
        "演练：登记对比时这些交易日已知。本页内容不作任何决定。",
    ),
    "shadow": ("shadow", "影子"),
    "canary": ("canary", "金丝雀"),
    "champion": ("champion", "冠军"),
    "challenger": ("challenger", "挑战者"),
    "version": ("Version", "版本"),
    "sub": (
        "contest {id} · from {start} · {sessions} daily returns",
        "对比 {id} · 自 {start} 起 · {sessions} 个日收益",
    ),
    "status_running": ("running", "进行中"),
    "status_waiting": ("waiting", "等待"),
    "status_paused": ("not judged today", "今日未评判"),
    "status_ended": ("ended", "已结束"),
    "state_early": ("too early", "为时尚早"),
    "state_undecided": ("undecided", "未分胜负"),
    "state_better": ("better", "更优"),
    "state_worse": ("worse", "更差"),
    "state_breach": ("in breach", "触及限额"),
    "says_early": (
        "{missing} more daily returns before a verdict counts ({needed} are needed).",
        "还需 {missing} 个日收益，结论才算数（共需 {needed} 个）。",
    ),
    "says_undecided": (
        "The returns so far do not tell the two apart. Small differences take years by any honest test.",
        "目前的收益尚不能区分二者。任何诚实的检验都需数年才能分辨细小差异。",
    ),
    "says_better": (
        "Better than the champion since {day}, with a chance of error of at most {alpha}.",
        "自 {day} 起判定优于冠军，误判概率不超过 {alpha}。",
    ),
    "says_worse": (
        "Worse than the champion since {day}, with a chance of error of at most {alpha}.",
        "自 {day} 起判定劣于冠军，误判概率不超过 {alpha}。",
    ),
    "says_breach": (
        "Fell more than the limit of {limit} behind the champion on {day}, and {deepest} at most.",
        "于 {day} 落后冠军超过限额 {limit}，最大落后 {deepest}。",
    ),
    "advice_wait": ("Nothing to do.", "无需操作。"),
    "advice_propose": (
        "Recommended for promotion: `ljwx promote {version}`, which asks the gate's decision on it.",
        "建议晋级：`ljwx promote {version}`，以晋级闸门的决定为准。",
    ),
    "advice_stop": (
        "Recommended: end it, `ljwx contest stop`. A shadow holds no capital.",
        "建议结束：`ljwx contest stop`。影子不占用资金。",
    ),
    "advice_demote": ("Its capital goes back to the champion today.", "其资金今日归还冠军。"),
    "advice_demoted": (
        "Demoted: its capital went back to the champion, and it needs a new decision to trade again.",
        "已降级：资金归还冠军，须有新的决定方可再次交易。",
    ),
    "advice_look": (
        "contest.on_breach = report: a person decides, `ljwx contest stop`.",
        "contest.on_breach = report：由人决定，`ljwx contest stop`。",
    ),
    "advice_none": ("", ""),
    "left": ("Left the contest: {reason}", "已退出对比：{reason}"),
    "nothing_yet": ("No daily return yet.", "尚无日收益。"),
    "mean_difference": ("Mean daily difference", "日均净收益差"),
    "interval": ("interval at {level}", "{level} 区间"),
    "own_return": ("Net return", "净收益"),
    "behind": ("Behind the champion", "落后冠军"),
    "deepest": ("at most {deepest} · limit {limit}", "最大 {deepest} · 限额 {limit}"),
    "evidence": ("Evidence for · against", "优于 · 劣于的证据"),
    "needed": ("decided at {needed}", "达到 {needed} 即判定"),
    "caption": (
        "Above: cumulative difference of daily net returns, challenger less champion, and the interval that holds at "
        "every session at once. Below: how far the challenger’s worth over the champion’s is under its highest since "
        "the start; dashed the limit.",
        "上图：日净收益差（挑战者减冠军）的累计值，及对所有交易日同时成立的区间。"
        "下图：挑战者相对冠军的净值较开始以来最高点的落后幅度；虚线为限额。",
    ),
    "clipped": (
        "{share} of the differences were beyond the bound and counted as the bound.",
        "{share} 的差异超出界限，按界限计入。",
    ),
    "setup": ("How it was set before its first session", "首个交易日之前的设定"),
    "recorded_at": ("Recorded", "登记时间"),
    "first_session": ("First session scored", "首个评分交易日"),
    "alpha": ("Chance of any wrong verdict", "任一误判的概率"),
    "alpha_split": ("{alpha}, {each} for each of {count} challengers", "{alpha}，{count} 个挑战者各 {each}"),
    "min_sessions": ("Daily returns before a verdict counts", "结论算数所需日收益数"),
    "limit": ("Limit behind the champion", "落后冠军的限额"),
    "on_breach": ("On a breach of a canary", "金丝雀触及限额时"),
    "on_demote": ("demoted automatically", "自动降级"),
    "on_report": ("reported", "仅报告"),
    "models": ("Models", "模型"),
    "bundle": ("Bundle", "模型包"),
    "bound": ("Bound of a daily difference", "日差异界限"),
    "capital": ("Returns reckoned on, CNY", "测算资金（元）"),
    "role": ("Role", "角色"),
    "happened": ("What happened", "经过"),
    "at": ("Recorded, UTC", "登记时间（UTC）"),
    "what": ("What", "事件"),
    "reason": ("Reason", "原因"),
    "what_decided": ("verdict", "判定"),
    "what_left": ("left", "退出"),
    "what_ended": ("ended", "结束"),
    "footer": (
        "Both models run the configured strategy from cash at the close of the first session, after every cost and "
        "A-share rule, on their share of the capital. The test bets on each against “not better”; either bet reaches "
        "its level by luck with at most half of the challenger’s share of the error, however often one looks.",
        "两个模型自首个交易日收盘起从现金出发，按各自资金份额运行所配置的策略，"
        "计入全部成本与 A 股规则。检验分别对双方“并不更优”下注；"
        "无论查看多少次，任一方凭运气达到判定水平的概率不超过该挑战者误判概率的一半。",
    ),
}
