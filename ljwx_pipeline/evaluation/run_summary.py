"""The summary of a run: read back for ``ljwx summary`` and shown as a table a person can read.

Not here: gathering the figures, which the assets do.
"""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path
from typing import Any

from ljwx_pipeline.errors import ConfigError

#: The keys every summary has, whatever the profile.
KEYS = (
    "profile", "simulated", "data", "checks", "factors", "mlflow", "walk_forward", "backtest", "benchmarks",
    "promotion", "model", "deployment", "account", "lineage", "seconds",
)  # fmt: skip


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
    """Return ``summary`` as a table of about thirty lines for a terminal."""
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
    return out.getvalue().rstrip()


def _rows(summary: dict[str, Any]) -> list[tuple[str, str]]:
    data, checks, walk, back = summary["data"], summary["checks"], summary["walk_forward"], summary["backtest"]
    rows = [
        (
            "data",
            f"{data['symbols']} symbols, {data['sessions']} sessions, {data['rows']:,} rows, "
            f"{data['first']} to {data['last']}",
        ),
        ("checks", f"{checks['passed']} passed, {checks['failed']} failed, {checks['blocked']} blocked"),
        ("factors", f"{summary['factors']['count']} factors, hash {summary['factors']['hash'][:12]}"),
        ("walk-forward", _walk_forward(walk, summary.get("truth"))),
        ("net backtest", _backtest(back)),
    ]
    rows += [(f"  over {code}", _benchmark(values)) for code, values in summary["benchmarks"].items()]
    promotion, model, account = summary["promotion"], summary["model"], summary["account"]
    rows.append(("promotion", promotion["decision"].upper()))
    rows += [("", reason) for reason in promotion["reasons"]]
    rows.append(("model", f"{model['name']} version {model['version']}, alias {model['alias']}"))
    rows.append(("deployment", summary["deployment"]["status"]))
    rows.append(("paper account", _account(account)))
    rows.append(("time", f"{summary['seconds']['total']:.0f} s"))
    rows += [("cannot know" if first else "", text) for first, text in _unknowns(summary)]
    rows += [("where to look", line) for line in summary.get("where", [])[:1]]
    rows += [("", line) for line in summary.get("where", [])[1:]]
    return rows


def _unknowns(summary: dict[str, Any]) -> list[tuple[bool, str]]:
    told = [f"{item['what']}: {item['consequence']}" for item in summary.get("unknown", [])]
    return [(position == 0, text) for position, text in enumerate(told)]


def _walk_forward(walk: dict[str, Any], truth: dict[str, Any] | None) -> str:
    rank_ic = walk["rank_ic_mean"]
    text = (
        f"{walk['folds']} folds, rank IC {_as(rank_ic, '.4f')}, ICIR {_as(walk['rank_icir'], '.2f')}, "
        f"IC {_as(walk['ic_mean'], '.4f')}"
    )
    oracle = None if truth is None else truth["oracle_rank_ic"]
    if oracle is None:
        return text
    share = f" ({rank_ic / oracle:.0%} of it)" if rank_ic is not None and oracle > MEANINGFUL_RANK_IC else ""
    return f"{text}; who knows the truth reaches {oracle:.4f}{share}"


def _backtest(back: dict[str, Any]) -> str:
    return (
        f"{_as(back['annual_return'], '+.1%')} a year, Sharpe {_as(back['sharpe'], '.2f')}, "
        f"Sortino {_as(back['sortino'], '.2f')}, Calmar {_as(back['calmar'], '.2f')}, "
        f"drawdown {_as(back['max_drawdown'], '.1%')}, fees {_as(back['fees_cny'], ',.0f')} CNY"
    )


def _benchmark(values: dict[str, Any]) -> str:
    return (
        f"{_as(values['excess_annual_return'], '+.1%')} a year, "
        f"information ratio {_as(values['information_ratio'], '.2f')}, "
        f"beta {_as(values['beta'], '.2f')}, alpha {_as(values['alpha'], '+.1%')}"
    )


def _account(account: dict[str, Any]) -> str:
    text = f"{account['equity_cny']:,.2f} CNY, {account['positions']} positions, {account['orders']} orders"
    by_state = account.get("orders_by_state") or {}
    return text + (
        f" ({', '.join(f'{count} {state}' for state, count in sorted(by_state.items()))})" if by_state else ""
    )


def _as(value: float | None, form: str) -> str:
    """Return a figure in ``form``; a dash for what could not be measured."""
    return "-" if value is None else format(value, form)
