"""The summary of a run: read back for ``ljwx summary`` and shown as a table a person can read.

Not here: gathering the figures, which the assets do.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from io import StringIO
from pathlib import Path
from typing import Any

from ljwx_pipeline.errors import ConfigError

#: The keys every summary has, whatever the profile.
KEYS = (
    "profile", "simulated", "data", "checks", "factors", "mlflow", "walk_forward", "backtest", "benchmarks",
    "promotion", "model", "deployment", "account", "lineage", "seconds",
)  # fmt: skip

#: How the champion's bundle reached the runner, in words.
HANDED_OVER = {
    "accepted": "handed to the runner, which serves",
    "already": "the runner had this version already",
    "spooled": "handed to the runner through its inbox (spooled: none was serving)",
}

#: Below this an oracle's rank IC is chance, and a share of it means nothing.
MEANINGFUL_RANK_IC = 0.01


def read_summary(path: Path) -> dict[str, Any]:
    """Return the summary stored at ``path``.

    Raises
    ------
    ConfigError
        When no run has finished yet, or the file is damaged.
    """
    try:
        loaded: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"no finished run is recorded at {path}", "run `ljwx run` first, or set LJWX_HOME") from None
    except json.JSONDecodeError as error:
        raise ConfigError(f"{path} is damaged ({error})", "run `ljwx run` again") from None
    return loaded


def summary_table(summary: dict[str, Any]) -> str:
    """Return ``summary`` as a table of about thirty lines for a terminal; two figures never share a name."""
    from rich.box import SIMPLE_HEAD  # 50 ms to import: only when a person reads
    from rich.console import Console
    from rich.table import Table

    title = f"LJWX pipeline, profile {summary['profile']}"
    if summary["simulated"]:
        title += "  (SIMULATED MARKET: no real security, no real return)"
    table = Table(title=title, box=SIMPLE_HEAD, title_justify="left", show_header=False, pad_edge=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for label, text in _rows(summary):
        table.add_row(label, text)
    out = StringIO()
    Console(file=out, width=118).print(table)
    lines = [line.rstrip() for line in out.getvalue().rstrip().splitlines()]
    # below the table, which would fold them: a command is copied from one line
    where = [f"   {line}" for line in summary.get("where", [])]
    return "\n".join([*lines, *(["", " where to look", *where] if where else [])])


def _rows(summary: dict[str, Any]) -> list[tuple[str, str]]:
    data, checks, walk, back = summary["data"], summary["checks"], summary["walk_forward"], summary["backtest"]
    rows = [
        (
            "data",
            f"{data['symbols']} symbols, {data['sessions']} sessions, {data['rows']:,} rows, "
            f"{data['first']} to {data['last']}",
        ),
        ("checks", ", ".join(f"{checks[name]} {name}" for name in ("passed", "warned", "failed", "blocked"))),
        ("factors", f"{summary['factors']['count']} factors, hash {summary['factors']['hash'][:12]}"),
        *labelled("walk-forward", _walk_forward(walk, summary.get("truth"))),
        *labelled("net backtest", _backtest(back)),
    ]
    rows += [(f"  over {code}", _benchmark(values)) for code, values in summary["benchmarks"].items()]
    promotion, model = summary["promotion"], summary["model"]
    promoted = promotion["decision"] == "promoted"
    alias = "without an alias" if model["alias"] == "none" else f"alias {model['alias']}"
    further = {
        "awaiting_approval": f": it does not trade; `ljwx promote {model['version']}` approves it",
        "refused": f": it does not trade; `ljwx models show {model['version']}` says more",
    }
    rows += [
        *labelled("promotion", [promotion["decision"].upper(), *promotion["reasons"]]),
        ("model", f"{model['name']} version {model['version']}, {alias}{further.get(promotion['decision'], '')}"),
    ]
    if promoted:
        status = summary["deployment"]["status"]
        rows.append(("deployment", HANDED_OVER.get(status, status)))
    return [
        *rows,
        ("paper account", _account(summary["account"], promoted=promoted)),
        ("time", f"{summary['seconds']['total']:.0f} s"),
        *labelled("cannot know", [f"{item['what']}: {item['consequence']}" for item in summary.get("unknown", [])]),
    ]


def labelled(label: str, lines: Sequence[str]) -> list[tuple[str, str]]:
    """Return a row a line, the first of them with the label."""
    return [(label if position == 0 else "", line) for position, line in enumerate(lines)]


def counted(count: int, noun: str) -> str:
    """Return ``1 order`` or ``2 orders``."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _walk_forward(walk: dict[str, Any], truth: dict[str, Any] | None) -> list[str]:
    rank_ic, enterable = walk["rank_ic_mean"], walk.get("rank_ic_mean_enterable")
    lines = [
        f"{counted(walk['folds'], 'fold')}; rank IC {_as(rank_ic, '.4f')}, ICIR {_as(walk['rank_icir'], '.2f')}, "
        f"IC {_as(walk['ic_mean'], '.4f')} (every scored row)"
    ]
    if enterable is not None:
        lines.append(f"rank IC {enterable:.4f} (rows that could be bought: what the gate looks at)")
    oracle = None if truth is None else truth["oracle_rank_ic"]
    if truth is not None and truth.get("planted_rank_ic") == 0:
        lines.append("this market was made without any alpha: there is nothing to find, and what is found is luck")
    elif oracle is not None:
        share = (
            f"; {rank_ic / oracle:.0%} of it is found" if rank_ic is not None and oracle > MEANINGFUL_RANK_IC else ""
        )
        lines.append(f"rank IC {oracle:.4f} (the planted truth itself, every scored row{share})")
    return lines


def _backtest(back: dict[str, Any]) -> list[str]:
    abstained = back.get("abstained_frac")
    return [
        f"{_as(back['annual_return'], '+.1%')} a year, Sharpe {_as(back['sharpe'], '.2f')}, "
        f"Sortino {_as(back['sortino'], '.2f')}, Calmar {_as(back['calmar'], '.2f')}, "
        f"drawdown of equity {_as(back['max_drawdown'], '.1%')}",
        f"fees {_as(back['fees_cny'], ',.0f')} CNY, "
        f"turnover {_as(back['turnover'], '.1f')} times equity a year, one way",
        *([] if abstained is None else [f"{abstained:.1%} of the scored rows were too unsure to be bought"]),
    ]


def _benchmark(values: dict[str, Any]) -> str:
    return (
        f"annual return minus the index's {_as(values['excess_annual_return'], '+.1%')}, "
        f"information ratio {_as(values['information_ratio'], '.2f')}, "
        f"beta {_as(values['beta'], '.2f')}, alpha {_as(values['alpha'], '+.1%')}"
    )


def _account(account: dict[str, Any], *, promoted: bool) -> str:
    if not account.get("opened", True):
        return "not opened: no model has been promoted yet"
    by_state = sorted((account.get("orders_by_state") or {}).items())
    states = ", ".join(f"{count} {state.replace('_', ' ')}" for state, count in by_state)
    return (
        f"{account['equity_cny']:,.2f} CNY, {counted(account['positions'], 'position')}, "
        f"{counted(account['orders'], 'order')}{f' ({states})' if states else ''}"
        f"{'' if promoted else '; the earlier champion trades it'}"
    )


def _as(value: float | None, form: str) -> str:
    """Return a figure in ``form``; a dash for what could not be measured."""
    return "-" if value is None else format(value, form)
