"""The body of ``ljwx sweep``: the strategy's settings varied over the newest run's own out-of-sample scores.

Not here: running and keeping variants (``backtest/sweep.py``), what the best is worth (``promotion/sweep_verdict.py``),
the rest of the command line (``cli.py``).
"""

from __future__ import annotations

import argparse
import contextlib
import math
import os
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ljwx_pipeline.command_output import grid as text_table
from ljwx_pipeline.command_output import show_result
from ljwx_pipeline.config import Settings, parse_value
from ljwx_pipeline.errors import ConfigError
from ljwx_pipeline.sweeping.document import (
    Values,
    log_sweep,
    sweep_document,
    sweep_name,
    write_json,
    write_sweep,
)
from ljwx_pipeline.sweeping.executors import sweep_executor
from ljwx_pipeline.sweeping.task import SweepTask, sweep_task, trials_so_far

if TYPE_CHECKING:  # pandas and numba: loaded when the command runs, not when the parser is built
    from ljwx_pipeline.backtest.sweep import Sweep
    from ljwx_pipeline.backtest.sweep_input import SweepInput
    from ljwx_pipeline.backtest.sweep_variants import Variant

#: A range longer than this is written by mistake more often than meant.
_MOST_VALUES = 1_000
#: Below a market's home: Optuna's journal, and a folder a sweep for its files.
SWEEPS, JOURNAL = "sweeps", "journal.log"


def add_sweep_command(
    subparsers: Any,
    *,
    add_settings_options: Callable[[argparse.ArgumentParser], None],
    settings_of: Callable[[argparse.Namespace], Settings],
) -> None:
    """Add ``sweep`` to the command line.

    Parameters
    ----------
    subparsers
        What ``ArgumentParser.add_subparsers`` returned.
    add_settings_options, settings_of
        How the command line names a profile and reads it.
    """
    text = "many backtests of the newest run's scores, each variant counted as a trial: table, surface, luck to expect"
    parser = subparsers.add_parser("sweep", help=text, description=text)
    add_settings_options(parser)
    parser.add_argument(
        "--grid",
        action="append",
        required=True,
        metavar="NAME=VALUES",
        help="values of a setting of strategy or costs: top_k=10,20,50 or n_drop=1:9:2 (first, last, step), "
        "costs.slippage_bps=0,5; repeated, every combination is a variant",
    )
    parser.add_argument(
        "--optuna", type=int, metavar="N", help="let Optuna propose N variants out of the grid, instead of all of it"
    )
    parser.add_argument("--workers", type=int, metavar="N", help="how many variants run at once (default: every core)")
    parser.add_argument(
        "--executor",
        choices=("threads", "processes", "dask"),
        default="threads",
        help="what runs them (default: threads of this process); dask: a cluster of this machine, or --scheduler's",
    )
    parser.add_argument(
        "--scheduler",
        metavar="ADDRESS",
        help="a running dask scheduler, tcp://HOST:PORT; its workers must see LJWX_HOME under the same path",
    )
    parser.add_argument("--out", metavar="DIR", help="folder for the files (default: a folder a sweep in the market's)")
    parser.add_argument("--json", action="store_true", help="print the machine-readable form")
    parser.add_argument(
        "--dry-run", action="store_true", help="say how many variants, how many are known, how long; run and count none"
    )
    parser.set_defaults(handler=lambda arguments: _sweep(settings_of(arguments), arguments))


def parsed_grid(items: list[str]) -> Values:
    """Return the grid that the ``--grid`` options stand for.

    Raises
    ------
    ConfigError
        For an option without values, or a range that is none.
    """
    found: Values = {}
    for item in items:
        name, separator, text = (part.strip() for part in item.partition("="))
        if not separator or not name or not text:
            raise ConfigError(f"--grid {item!r} names no values", "write --grid top_k=10,20,50 or top_k=10:50:10")
        if name in found:
            raise ConfigError(f"--grid names {name} twice", "give all its values at once")
        found[name] = [value for part in text.split(",") for value in _values(item, part.strip())]
    return found


def _values(item: str, text: str) -> list[Any]:
    if ":" not in text:
        return [parse_value(text)]
    parts = [parse_value(part) for part in text.split(":")]
    numbers = len(parts) in (2, 3) and all(isinstance(part, int | float) and math.isfinite(part) for part in parts)
    if not numbers or parts[1] < parts[0] or (len(parts) == 3 and parts[2] <= 0):
        raise ConfigError(f"--grid {item!r} holds no range {text!r}", "write FIRST:LAST:STEP, as in 10:50:10")
    first, last, step = (*parts, 1) if len(parts) == 2 else parts
    count = int((last - first) / step + 1e-9) + 1
    if count > _MOST_VALUES:
        raise ConfigError(f"--grid {item!r} has {count:,} values", f"take a larger step: {_MOST_VALUES:,} at most")
    whole = isinstance(first, int) and isinstance(step, int)
    return [first + i * step if whole else round(first + i * step, 12) for i in range(count)]


def _sweep(settings: Settings, arguments: argparse.Namespace) -> int:
    # numba, pandas: only when a sweep runs
    from ljwx_pipeline.backtest.sweep_variants import expand_grid

    axes = parsed_grid(arguments.grid)
    workers = _workers(arguments)
    variants = None
    if arguments.optuna is None:
        variants = expand_grid(axes, strategy=settings.strategy, costs=settings.costs)
    elif arguments.optuna < 1:
        raise ConfigError(f"--optuna {arguments.optuna} proposes nothing", "ask for one variant at least")
    task = sweep_task(settings)
    require_choice(axes, settings.strategy.top_k, symbols=len(task.inputs.market.symbols))
    if arguments.dry_run:
        return _dry_run(settings, arguments, task, axes, variants, workers)
    kind = "sweep" if variants is not None else "tune"
    total = len(variants) if variants is not None else arguments.optuna
    with (
        sweep_executor(arguments.executor, workers, scheduler=arguments.scheduler) as executor,
        _progress(total) as told,
    ):
        found = _run(settings, arguments, task, axes, variants, executor, told)
    name = sweep_name(task, found)
    folder = Path(arguments.out) if arguments.out else task.home / SWEEPS / name
    body = sweep_document(settings, task, found, kind=kind, axes=axes, how=_how(arguments, workers))
    body |= {"page": str((folder / "sweep.html").absolute()), "name": name, "mlflow_run_id": None}
    write_sweep(folder, body, found)
    try:
        body["mlflow_run_id"] = log_sweep(settings, folder, body, kind=kind, axes=axes)
        write_json(folder, body)
    finally:  # what was found is said, whether or not it could be recorded
        shown = {name: value for name, value in body.items() if name != "all"}
        code = show_result(arguments, shown, _text(body))
    return code


def require_choice(axes: Values, configured_top_k: int, *, symbols: int) -> None:
    """Refuse a grid whose strategies would hold every stock there is.

    Raises
    ------
    ConfigError
        Naming the largest ``top_k`` asked for.
    """
    asked = [value for name in ("top_k", "strategy.top_k") for value in axes.get(name, [])] or [configured_top_k]
    numbers = [value for value in asked if isinstance(value, int | float)]
    if numbers and max(numbers) >= symbols:
        raise ConfigError(
            f"top_k = {max(numbers)} of {symbols} stocks: all would be held, none chosen",
            f"leave values of {symbols} and more out of the grid",
        )


def _run(
    settings: Settings,
    arguments: argparse.Namespace,
    task: SweepTask,
    axes: Values,
    variants: tuple[Variant, ...] | None,
    executor: Executor,
    told: Callable[[int, int], None],
) -> Sweep:
    from ljwx_pipeline.backtest.sweep import run_sweep
    from ljwx_pipeline.backtest.sweep_store import RESULTS
    from ljwx_pipeline.backtest.sweep_tune import tune_strategy
    from ljwx_pipeline.backtest.trial_ledger import TrialLedger

    inputs, ledger = task.inputs, TrialLedger(task.ledger)
    common: dict[str, Any] = {
        "first": inputs.first,
        "last": inputs.last,
        "benchmark_returns": inputs.benchmark_returns,
        "executor": executor,
        "store": task.home / RESULTS,
        "progress": told,
    }
    if variants is not None:
        trials = ledger.of(task.family, "sweep")
        return run_sweep(inputs.market, inputs.scores, variants, trials=trials, **common)
    return tune_strategy(
        inputs.market,
        inputs.scores,
        axes,
        strategy=settings.strategy,
        costs=settings.costs,
        proposals=arguments.optuna,
        seed=settings.tune.seed,
        trials=ledger.of(task.family, "tune"),
        journal=task.home / SWEEPS / JOURNAL,
        **common,
    )


def _dry_run(
    settings: Settings,
    arguments: argparse.Namespace,
    task: SweepTask,
    axes: Values,
    variants: tuple[Variant, ...] | None,
    workers: int,
) -> int:
    from ljwx_pipeline.backtest.sweep_store import RESULTS, SweepStore
    from ljwx_pipeline.backtest.sweep_variants import make_variant

    kept = SweepStore(task.home / RESULTS, task.inputs.key()).read()
    total = len(variants) if variants is not None else arguments.optuna
    known = sum(variant.hash in kept for variant in variants) if variants is not None else None
    one = variants[0] if variants is not None else make_variant((), strategy=settings.strategy, costs=settings.costs)
    each_s = _seconds_each(task.inputs, one)
    body = {
        **task.about,
        "grid": axes,
        "variants": total,
        "known": known,
        "seconds_each": round(each_s, 4),
        "workers": workers,
        "estimated_s": round(each_s * (total - (known or 0)) / workers, 1),
        "trials_of_family": trials_so_far(task),
    }
    which = "unknown until they are proposed" if known is None else f"{known:,} known"
    long = f"about {body['estimated_s']:,} s" if body["estimated_s"] >= 1 else "under a second"
    text = (
        f"would run {total:,} {'variant' if total == 1 else 'variants'} from {body['first_session']} to "
        f"{body['last_session']} ({which}), {long} of backtests on {workers} workers; the family has "
        f"{body['trials_of_family']:,} trials so far"
    )
    return show_result(arguments, body, text)


def _seconds_each(inputs: SweepInput, variant: Variant) -> float:
    """Return how long one variant takes here; its result is looked at by nobody."""
    from ljwx_pipeline.backtest.sweep import run_batch

    run_batch(inputs, [variant])  # compiles, ranks the scores
    return run_batch(inputs, [variant])[0].seconds


def _workers(arguments: argparse.Namespace) -> int:
    if arguments.workers is not None and arguments.workers < 1:
        raise ConfigError(f"--workers {arguments.workers} can do nothing", "give one at least")
    if arguments.scheduler is not None and arguments.executor != "dask":
        raise ConfigError("--scheduler is dask's", "add --executor dask")
    return arguments.workers or len(os.sched_getaffinity(0))


@contextlib.contextmanager
def _progress(total: int) -> Iterator[Callable[[int, int], None]]:
    """Yield what is told the variants done and of all; a bar on a terminal, or nothing."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    console = Console(stderr=True, highlight=False)
    text, bar = TextColumn("{task.description}"), BarColumn(bar_width=24)
    columns = (text, bar, MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_interactive) as progress:
        running = progress.add_task("running variants", total=total)
        yield lambda done, of: progress.update(running, completed=done, total=of)


def _how(arguments: argparse.Namespace, workers: int) -> str:
    return (
        f"{workers} {arguments.executor}" if arguments.executor != "dask" else f"dask, {arguments.scheduler or workers}"
    )


def _text(body: dict[str, Any]) -> str:
    headers = ["variant", "IR", "Sharpe", "return/yr", "drawdown", "turnover/yr", "fees m CNY"]
    lines = [
        [
            row["name"],
            _shown(row["information_ratio"], "{:.2f}"),
            _shown(row["sharpe"], "{:.2f}"),
            _shown(row["annual_return"], "{:.1%}"),
            _shown(row["max_drawdown"], "{:.1%}"),
            _shown(row["turnover"], "{:.1f}"),
            _shown(row["fees_cny"] / 1e6, "{:.3f}"),
        ]
        for row in body["best"]
    ]
    over = f"{body['variants']:,} variants, {body['first_session']} to {body['last_session']}, over {body['benchmark']}"
    left = body["variants"] - len(lines)
    return "\n".join(
        [
            f"{over} ({body['computed']:,} computed, {body['known']:,} known)",
            "",
            text_table(headers, lines),
            *([f"{left:,} more: see the page"] if left else []),
            "",
            body["verdict"]["sentence"],
            body["verdict"]["luck"],
            *([body["cliff"]["sentence"]] if body["cliff"] else []),
            "",
            body["page"],
        ]
    )


def _shown(value: float | None, pattern: str) -> str:
    return "-" if value is None else pattern.format(value)
