"""The body of ``ljwx sweep``: the strategy's settings varied over the newest run's own out-of-sample scores.

Not here: running and keeping variants (``backtest/sweep.py``), what the best is worth (``promotion/sweep_verdict.py``),
the rest of the command line (``cli.py``).
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import math
import os
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ljwx_pipeline.command_output import grid as text_table
from ljwx_pipeline.command_output import plain_rows, show_result
from ljwx_pipeline.config import Settings, ljwx_home, market_home, parse_value, replayed
from ljwx_pipeline.errors import ConfigError, EnvironmentFault, LakeError

if TYPE_CHECKING:  # pandas and numba: loaded when the command runs, not when the parser is built
    import pandas as pd

    from ljwx_pipeline.backtest.sweep import Sweep
    from ljwx_pipeline.backtest.sweep_input import SweepInput
    from ljwx_pipeline.backtest.sweep_variants import Variant

Values = dict[str, list[Any]]

#: Variants printed on the terminal and shown on the page; the files hold all of them.
SHOWN_VARIANTS = 10
#: A range longer than this is written by mistake more often than meant.
_MOST_VALUES = 1_000
#: Below a market's home: kept results, Optuna's journal, and a folder a sweep for its files.
SWEEPS, RESULTS, JOURNAL = "sweeps", "results", "journal.log"


@dataclass(frozen=True)
class _Task:
    """What is swept, the trials of the study behind its scores, and what is said of it."""

    inputs: SweepInput
    family: str
    home: Path
    study: tuple[dict[str, Any], ...]
    ledger: Path
    about: dict[str, Any]
    hashes: dict[str, str]


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
    task = _task(settings)
    if arguments.dry_run:
        return _dry_run(settings, arguments, task, axes, variants, workers)
    kind = "sweep" if variants is not None else "tune"
    total = len(variants) if variants is not None else arguments.optuna
    with _executor(arguments, workers) as executor, _progress(total) as told:
        found = _run(settings, arguments, task, axes, variants, executor, told)
    folder = Path(arguments.out) if arguments.out else task.home / SWEEPS / _name(task, found)
    body = _document(settings, task, found, kind=kind, axes=axes, how=_how(arguments, workers))
    body |= {"page": str((folder / "sweep.html").absolute()), "mlflow_run_id": _earlier_run(folder, found)}
    _write(folder, body, found)
    try:
        if body["mlflow_run_id"] is None:
            body["mlflow_run_id"] = _log(settings, folder, body, kind=kind, axes=axes)
            _write_json(folder, body)
    finally:  # what was found is said, whether or not MLflow is there to hear it
        shown = {name: value for name, value in body.items() if name != "all"}
        code = show_result(arguments, shown, _text(body))
    return code


def _run(
    settings: Settings,
    arguments: argparse.Namespace,
    task: _Task,
    axes: Values,
    variants: tuple[Variant, ...] | None,
    executor: Executor,
    told: Callable[[int, int], None],
) -> Sweep:
    from ljwx_pipeline.backtest.sweep import run_sweep
    from ljwx_pipeline.backtest.sweep_tune import tune_strategy
    from ljwx_pipeline.backtest.trial_ledger import TrialLedger

    inputs, ledger = task.inputs, TrialLedger(task.ledger)
    common: dict[str, Any] = {
        "first": inputs.first,
        "last": inputs.last,
        "benchmark_returns": inputs.benchmark_returns,
        "executor": executor,
        "store": task.home / SWEEPS / RESULTS,
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


def _task(settings: Settings) -> _Task:
    """Return the market, the newest run's out-of-sample scores and the gate's benchmark, from the market's home."""
    import numpy as np
    import pandas as pd

    from ljwx_pipeline.backtest.sweep_input import SweepInput
    from ljwx_pipeline.backtest.trial_ledger import LEDGER_FILE, strategy_family
    from ljwx_pipeline.dataset import sessions_for_research
    from ljwx_pipeline.evaluation.benchmarks import index_close
    from ljwx_pipeline.evaluation.metrics import returns_of
    from ljwx_pipeline.ingest.data_hash import data_hash
    from ljwx_pipeline.ingest.tables import CALENDAR, read_market_table
    from ljwx_pipeline.label import label_hash
    from ljwx_pipeline.lake import Lake
    from ljwx_pipeline.lake.atomic_parquet import read_parquet
    from ljwx_pipeline.market.panel import dense
    from ljwx_pipeline.sources.open import open_source
    from ljwx_pipeline.trading.market_arrays import OPTIONAL_COLUMNS, market_arrays

    home, span, benchmark = market_home(settings), settings.source, settings.gate.benchmark
    scored = home / "tables" / "walk_forward_predictions.parquet"
    if not scored.exists():
        raise LakeError(f"{home.name} has no walk-forward predictions to sweep over", "run `ljwx run` first")
    _require_same_scores(home, settings)
    predictions, lineage = read_parquet(scored), _lineage(home)
    lake = Lake(home / "lake")
    held = pd.DatetimeIndex(read_market_table(lake, CALENDAR)["session_date"], name="session_date")
    sessions = held[(held >= pd.Timestamp(span.first_session)) & (held <= pd.Timestamp(span.until))]
    bars = Lake(home / "checked").read("bars", first=sessions[0].date(), last=sessions[-1].date())
    if (now := data_hash(lake, bars)) != lineage["data_hash"]:
        raise LakeError(
            f"the tables of {home.name} are not those that its newest run saw (data {now[:12]}, the run's "
            f"{lineage['data_hash'][:12]})",
            "run `ljwx run` again, with the settings of the sweep, so that scores and bars are of the same data",
        )
    source = open_source(settings).describe()
    market = market_arrays(
        bars,
        *(read_market_table(lake, name) for name in ("securities", "st_spells", "corporate_actions")),
        symbols=tuple(sorted(bars["symbol"].unique())),
        sessions=sessions,
        adjustment=source.adjustment,
        # all that any fill model reads: one market, and one hash of it, whatever a grid varies
        columns=[name for name in OPTIONAL_COLUMNS if name != "amount" or source.adjustment == "raw"],
    )
    scores = dense(predictions[predictions["scorable"]], "score", market.symbols, market.sessions)
    first = predictions["session_date"].min()
    last = sessions_for_research(sessions, settings.research.held_out_sessions)[-1]
    tested = sessions[(sessions >= first) & (sessions <= last)]
    close = index_close(read_market_table(lake, "index_bars"), benchmark, tested)
    inputs = SweepInput(
        market, np.asfortranarray(scores), first.date(), last.date(), returns_of(close).to_numpy(dtype=np.float64)
    )
    inputs.require_sound()
    label = label_hash(settings.label)
    family = strategy_family(factor_hash=lineage["factor_hash"], label_hash=label, universe=settings.universe)
    about = {
        "profile": settings.profile,
        "simulated": source.simulated,
        "first_session": str(inputs.first),
        "last_session": str(inputs.last),
        "sessions": len(tested),
        "benchmark": benchmark,
    }
    hashes = {"family": family, "factor_hash": lineage["factor_hash"], "label_hash": label}
    ledger = market_home(replayed(settings)) / LEDGER_FILE  # a replay's trials are those of what it replays
    return _Task(inputs, family, home, _study(home), ledger, about, {**hashes, "data_hash": lineage["data_hash"]})


def _require_same_scores(home: Path, settings: Settings) -> None:
    """Raise ``ConfigError`` for settings under which the scores were not made: their trials are another family's."""
    from ljwx_pipeline.backtest.trial_ledger import SCORED_UNDER, scored_under

    path = home / "tables" / f"{SCORED_UNDER}.json"
    try:
        made: dict[str, dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))
        differ = [
            (f"{section}.{name}", made[section].get(name), value)
            for section, values in scored_under(settings).items()
            for name, value in values.items()
            if made[section].get(name) != value
        ]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise LakeError(
            f"{path} does not say under which settings the predictions were made ({error})", "run `ljwx run` again"
        ) from None
    if differ:
        name, was, now = differ[0]
        raise ConfigError(
            f"{name} = {now}, but the scores were made under {was}",
            "sweep under the settings of that run, or run `ljwx run` under these first",
        )


def _lineage(home: Path) -> dict[str, str]:
    path = home / "tables" / "lineage.json"
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return {name: str(found[name]) for name in ("factor_hash", "data_hash")}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise LakeError(
            f"{path} does not say what the predictions came from ({error})", "run `ljwx run` again"
        ) from None


def _study(home: Path) -> tuple[dict[str, Any], ...]:
    """Return the trials of the model's study, which the promotion gate counts too."""
    path = home / "tables" / "tuned_hyperparameters.json"
    try:
        trials = json.loads(path.read_text(encoding="utf-8"))["trials"]
        return tuple({"session_sharpe": float(trial["session_sharpe"])} for trial in trials)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise LakeError(f"{path} does not say what the model's study tried ({error})", "run `ljwx run` again") from None


def _document(settings: Settings, task: _Task, found: Sweep, *, kind: str, axes: Values, how: str) -> dict[str, Any]:
    import numpy as np

    from ljwx_pipeline.backtest.sweep_cliff import cliff
    from ljwx_pipeline.backtest.trial_ledger import TrialLedger
    from ljwx_pipeline.promotion.sweep_verdict import sweep_verdict
    from ljwx_pipeline.promotion.trial_count import counted_trials

    counted = counted_trials(task.study, ledger=TrialLedger(task.ledger), family=task.family)
    frame = with_ratio(found.frame)
    sharpes = frame["session_sharpe"].to_numpy(dtype=np.float64)
    verdict = sweep_verdict(
        frame["name"].tolist(),
        sharpes,
        found.net_returns - np.asarray(task.inputs.benchmark_returns),
        trial_sharpes=counted.sharpes,
        variance_floor=counted.variance_floor,
    )
    around = cliff(frame, verdict.best, "information_ratio")
    worst = around.worst
    rows = plain_rows(frame.sort_values("information_ratio", ascending=False, kind="stable"))
    return {
        **task.about,
        "kind": kind,
        "how": how,
        "grid": {name: list(values) for name, values in axes.items()},
        "variants": len(frame),
        "known": found.known,
        "computed": len(frame) - found.known,
        "trials_of_family": len(counted.sharpes),
        "trials_of_study": len(task.study),
        "verdict": {**asdict(verdict), "sentence": verdict.sentence + ".", "luck": verdict.luck},
        "cliff": None
        if worst is None
        else {
            "neighbour": worst.name,
            "parameter": worst.parameter,
            "information_ratio": worst.measure,
            "worst_fall_frac": _finite(around.worst_fall_frac),
            "mean_fall_frac": _finite(around.mean_fall_frac),
            "sentence": f"Of its {len(around.neighbours)} nearest neighbours the worst, {worst.name}, shows "
            f"{worst.measure:.2f}.",
        },
        "best": rows[:SHOWN_VARIANTS],
        "all": rows,
        "hashes": {**task.hashes, "configuration_hash": settings.config_hash},
    }


def with_ratio(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the sweep's table with ``information_ratio``: ``session_sharpe`` over a year's sessions."""
    from ljwx_pipeline.market.calendar import SESSIONS_PER_YEAR

    return frame.assign(information_ratio=frame["session_sharpe"] * math.sqrt(SESSIONS_PER_YEAR))


def _write(folder: Path, body: dict[str, Any], found: Sweep) -> None:
    from ljwx_pipeline.backtest.sweep_figures import surface_figures
    from ljwx_pipeline.backtest.sweep_page import render_sweep
    from ljwx_pipeline.lake.atomic_parquet import write_bytes, write_parquet

    frame = with_ratio(found.frame)
    write_parquet(folder / "sweep.parquet", frame)
    _write_json(folder, body)
    figures = surface_figures(frame, "information_ratio")
    write_bytes(folder / "sweep.html", render_sweep(body, figures).encode())


def _write_json(folder: Path, body: dict[str, Any]) -> None:
    from ljwx_pipeline.lake.atomic_parquet import write_bytes

    write_bytes(folder / "sweep.json", json.dumps(body, indent=1, ensure_ascii=False).encode())


def _earlier_run(folder: Path, found: Sweep) -> str | None:
    """Return the MLflow run that recorded this very sweep; a repeat that computed nothing is no second run."""
    if found.known < len(found.frame):
        return None
    try:
        earlier = json.loads((folder / "sweep.json").read_text(encoding="utf-8"))
        run_id = earlier["mlflow_run_id"] if earlier["variants"] == len(found.frame) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return run_id if isinstance(run_id, str) else None


def _log(settings: Settings, folder: Path, body: dict[str, Any], *, kind: str, axes: Values) -> str:
    from ljwx_pipeline.registry import open_registry

    registry, verdict = open_registry(settings.mlflow, home=ljwx_home()), body["verdict"]
    measured = {
        "variants": body["variants"],
        "trials_of_family": body["trials_of_family"],
        "best.information_ratio": verdict["information_ratio"],
        "expected_of_noise": verdict["expected_of_noise"],
    }
    if verdict["deflated_probability"] is not None:
        measured["deflated_probability"] = verdict["deflated_probability"]
    with registry.run(f"{kind}-{settings.profile}", tags={"kind": kind, **body["hashes"]}) as run:
        run.params({f"grid.{name}": json.dumps(values) for name, values in axes.items()})
        run.params({"variants": body["variants"], "executor": body["how"], "best": verdict["best"]})
        run.metrics({name: float(value) for name, value in measured.items()})
        run.artifacts(folder, "sweep")
        return run.run_id


def _dry_run(
    settings: Settings,
    arguments: argparse.Namespace,
    task: _Task,
    axes: Values,
    variants: tuple[Variant, ...] | None,
    workers: int,
) -> int:
    from ljwx_pipeline.backtest.sweep_store import SweepStore
    from ljwx_pipeline.backtest.sweep_variants import make_variant

    kept = SweepStore(task.home / SWEEPS / RESULTS, task.inputs.key()).read()
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
        "trials_of_family": _trials(task),
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


def _trials(task: _Task) -> int:
    from ljwx_pipeline.backtest.trial_ledger import TrialLedger

    return len(task.study) + len(TrialLedger(task.ledger).trials_of(task.family))


def _workers(arguments: argparse.Namespace) -> int:
    if arguments.workers is not None and arguments.workers < 1:
        raise ConfigError(f"--workers {arguments.workers} can do nothing", "give one at least")
    if arguments.scheduler is not None and arguments.executor != "dask":
        raise ConfigError("--scheduler is dask's", "add --executor dask")
    return arguments.workers or len(os.sched_getaffinity(0))


@contextlib.contextmanager
def _executor(arguments: argparse.Namespace, workers: int) -> Iterator[Executor]:
    if arguments.executor == "dask":
        with _dask(arguments.scheduler, workers) as executor:
            yield executor
        return
    if arguments.executor == "threads":
        pool: Executor = ThreadPoolExecutor(workers)
    else:
        from multiprocessing import get_context  # not fork: threads of the parent may hold locks

        # Ctrl-C is for this process to answer
        quiet = (signal.SIGINT, signal.SIG_IGN)
        pool = ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=signal.signal, initargs=quiet)
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


@contextlib.contextmanager
def _dask(scheduler: str | None, workers: int) -> Iterator[Executor]:
    try:
        import distributed
    except ImportError:
        raise EnvironmentFault(
            "the package distributed is not installed", "`make dask` adds it, or choose --executor processes"
        ) from None
    with contextlib.ExitStack() as stack:
        try:
            place = scheduler or stack.enter_context(
                distributed.LocalCluster(
                    n_workers=workers, threads_per_worker=1, host="127.0.0.1", dashboard_address=None
                )
            )
            client = stack.enter_context(distributed.Client(place, timeout="10s"))
        except (OSError, ValueError, RuntimeError) as error:
            raise EnvironmentFault(
                f"no dask cluster answers at {scheduler or 'this machine'} ({error})", "start it, or mend --scheduler"
            ) from None
        yield client.get_executor()


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


def _name(task: _Task, found: Sweep) -> str:
    """Return the name of the sweep's folder: the same sweep of the same data writes the same files again."""
    stated = [task.inputs.key().evidence, *sorted(found.frame["variant_hash"])]
    return hashlib.sha256("".join(stated).encode()).hexdigest()[:12]


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


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
