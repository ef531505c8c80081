"""Layer 5, evaluation: the net backtest, the gate's decision, the report, and the champion alias.

Not here: formulas (``ljwx_pipeline.evaluation``), fills (``ljwx_pipeline.backtest``), thresholds (``ljwx.toml``) or the
bundle that is made of what was judged (``bundle.py``).
"""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import dagster as dg
import pandas as pd

from assets.column_lineage import backtest_lineage
from assets.gate_evidence import curves_of_gate, gathered
from assets.intervals import INTERVAL_FILES
from assets.io_managers import read_json, read_table, write_json, write_table
from assets.left_behind import BACKTEST_FILES, FILES, TABLE, backtest_mark, files_left, require_files_of
from assets.made import record_made
from assets.metadata import frame_metadata, line_plot, report_links
from assets.origin import origin_of_predictions, require_one_decision, require_same_origin
from assets.panels import TradingTables, dense_scores, research_sessions, trading_market
from assets.report import FIGURES, ReportTables, curve_column, report_inputs, run_numbers
from assets.resources import Line
from assets.result_lint import LINT_EVIDENCE
from assets.tracking import (
    asked_by,
    end_research_run,
    notice_moved_alias,
    promotion_desk,
    research_event,
    research_run,
    research_run_id,
    track_evaluation,
    track_promotion,
)
from assets.trials import record_trial
from ljwx_pipeline.clock import SystemClock
from ljwx_pipeline.errors import PromotionError
from ljwx_pipeline.lake.atomic_parquet import write_bytes
from ljwx_pipeline.lake.content_hash import content_hash

GROUP = "evaluation"
OWNERS = ["team:quant"]


@dg.asset(group_name=GROUP, owners=OWNERS, kinds={"numba"})
def net_backtest(
    line: Line,
    walk_forward_predictions: pd.DataFrame,
    checked_bars: pd.DataFrame,
    securities: pd.DataFrame,
    st_spells: pd.DataFrame,
    corporate_actions: pd.DataFrame,
    index_bars: pd.DataFrame,
    calendar: pd.DataFrame,
    prediction_intervals: dict[str, Any],
) -> dg.Output[pd.DataFrame]:
    """The configured strategy on out-of-sample scores, after every cost and A-share rule, beside three indices."""
    from assets.backtest import judged_backtest  # heavy: the kernels
    from ljwx_pipeline.backtest.abstained import walked_may_buy
    from ljwx_pipeline.evaluation.performance_file import write_performance
    from ljwx_pipeline.trading.market_arrays import optional_columns

    origin = origin_of_predictions(line, walk_forward_predictions)
    require_same_origin(origin, prediction_intervals=prediction_intervals)
    require_files_of(line.tables, "prediction_intervals", prediction_intervals, *INTERVAL_FILES)
    market = trading_market(line, TradingTables(checked_bars, securities, st_spells, corporate_actions), calendar)
    scores = dense_scores(walk_forward_predictions, market.symbols, market.sessions)
    allowed = walked_may_buy(line.tables, line.settings.uncertainty, market.symbols, market.sessions)
    clock = SystemClock()
    started_s = clock.monotonic_s()
    judged = judged_backtest(
        line.settings,
        market,
        scores,
        index_bars,
        first=walk_forward_predictions["session_date"].min().date(),
        last=research_sessions(line, calendar)[-1].date(),
        may_buy=allowed,
    )
    benchmark = judged.curves[line.settings.gate.benchmark]
    counted = record_trial(line, market, scores, judged.result, benchmark, may_buy=allowed)
    summary = judged.summary
    write_json(line.tables, LINT_EVIDENCE, judged.evidence.as_dict())
    write_table(line.tables, "backtest_orders", judged.result.orders)
    write_table(line.tables, "backtest_names", judged.by_name(securities))
    write_table(line.tables, "closed_trades", judged.trades)
    write_table(line.tables, "backtest_comparison", judged.comparison.reset_index())
    write_performance(line.tables / FIGURES, line.settings.profile, judged.figures)
    frame = judged.by_session()
    # last, and with the hash of all the others: a step that is killed before leaves what nothing is decided on
    left = {FILES: files_left(line.tables, BACKTEST_FILES), TABLE: content_hash(frame)}
    write_json(line.tables, "backtest_summary", {**summary, **origin, "evidence": counted[-1], **left})
    measured = {name: value for name, value in summary["backtest"].items() if value is not None}
    numbers = {f"backtest.{name}": value for name, value in measured.items()}
    track_evaluation(line, counted, numbers, seconds=clock.monotonic_s() - started_s)
    with research_run(line) as run:
        run.metrics({f"backtest.{name}": value for name, value in measured.items()})
    indices = line.settings.evaluation.indices
    plain = [name for name in judged.curves if name not in indices]
    read = optional_columns(line.settings.costs)
    adjustment, actions = line.source().describe().adjustment, corporate_actions.columns
    lineage = backtest_lineage(
        indices, plain, adjustment, columns=read, security_columns=securities.columns, action_columns=actions
    )
    curves = [curve_column(name) for name in judged.curves]
    growth = frame.set_index("session_date")[["equity_cny", *curves]]
    return dg.Output(
        frame,
        metadata=frame_metadata(frame, lineage)
        | {
            "summary": dg.MetadataValue.json(dict(summary)),
            "growth": dg.MetadataValue.md(line_plot(growth / growth.iloc[0], "Growth of 1, after costs")),
        },
    )


@dg.asset(group_name=GROUP, owners=OWNERS, kinds={"python"})
def promotion_decision(
    line: Line,
    walk_forward_predictions: pd.DataFrame,
    net_backtest: pd.DataFrame,
    tuned_hyperparameters: dict[str, Any],
    prediction_intervals: dict[str, Any],
    monitoring_reference: dict[str, Any],
) -> dg.Output[dict[str, Any]]:
    """The gate's answer, with every measured value, threshold and reason."""
    from ljwx_pipeline.promotion.gate import decide

    settings, origin = line.settings, origin_of_predictions(line, walk_forward_predictions)
    require_same_origin(
        origin,
        net_backtest=read_json(line.tables, "backtest_summary"),
        prediction_intervals=prediction_intervals,
        monitoring_reference=monitoring_reference,
    )
    judged = backtest_mark(line.tables, net_backtest)
    found = gathered(
        line,
        walk_forward_predictions,
        net_backtest,
        tuned=tuned_hyperparameters,
        intervals=prediction_intervals,
        reference=monitoring_reference,
    )
    decided = decide(found.evidence, settings.gate, approval_always=settings.approval.required == "always")
    about = {
        "research": research_event(line),
        "rival": None if found.rival is None else asdict(found.rival),
        "trials": found.trials.as_dict(),
        "champion_seen": None if found.champion is None else found.champion.bundle_hash,
        **origin,
        **judged,
    }
    decision = decided.as_dict() | about
    with research_run(line) as run:
        outcomes = {f"gate.{check['name']}": check["outcome"] for check in decision["checks"]}
        run.tags({"decision": decision["decision"], "reasons": " | ".join(decision["reasons"]), **outcomes})
        run.metrics({f"gate.{name}": value for name, value in decision["measured"].items() if value is not None})
    return dg.Output(
        decision,
        metadata={
            "decision": decision["decision"],
            "checks": dg.MetadataValue.md(checks_text(decision)),
            "measured": dg.MetadataValue.json(decision["measured"]),
        },
    )


def checks_text(decision: dict[str, Any]) -> str:
    """Return every check of the gate as Markdown."""
    from ljwx_pipeline.promotion.model_card import OUTCOMES

    return "\n".join(f"- {OUTCOMES[check['outcome']]}: {check['sentence']}" for check in decision["checks"])


@dg.asset(group_name=GROUP, owners=OWNERS, kinds={"html", "matplotlib"})
def evaluation_report(
    line: Line,
    walk_forward_predictions: pd.DataFrame,
    net_backtest: pd.DataFrame,
    promotion_decision: dict[str, Any],
    model_bundle: dict[str, Any],
    checked_bars: pd.DataFrame,
) -> dg.MaterializeResult[None]:
    """One self-contained HTML page: what was tested, what came out, why the gate decided so, what the data hides."""
    from ljwx_pipeline.evaluation.report import render_report
    from ljwx_pipeline.evaluation.run_files import FILES, write_numbers

    require_one_decision(line, promotion_decision, model_bundle)
    inputs = report_inputs(
        line,
        ReportTables(walk_forward_predictions, net_backtest, checked_bars),
        decision=promotion_decision,
        bundle=model_bundle,
    )
    html, run_id = render_report(inputs), research_run_id(line)
    path = line.home / "report" / "report.html"
    write_numbers(path.parent, run_numbers(line, inputs, run_id=run_id))
    write_bytes(path, html.encode())
    with research_run(line) as run:
        for name in (path.name, *FILES):
            run.artifacts(path.parent / name, "report")
    numbers = {name: dg.MetadataValue.path((path.parent / name).absolute()) for name in FILES}
    return dg.MaterializeResult(
        metadata={**report_links(line, "report", path), **numbers, "bytes": len(html), "mlflow_run_id": run_id}
    )


@dg.asset(group_name=GROUP, owners=OWNERS, kinds={"mlflow"}, deps=["evaluation_report"])
def champion_model(
    context: dg.AssetExecutionContext, line: Line, promotion_decision: dict[str, Any], model_bundle: dict[str, Any]
) -> dg.Output[dict[str, Any]]:
    """The registry's alias after the decision: a promoted bundle becomes champion, one that waits stays challenger."""
    from ljwx_pipeline.promotion.moves import Verdict, settle
    from ljwx_pipeline.scoring.bundle import CARD

    require_one_decision(line, promotion_decision, model_bundle)
    registry, name = line.registry(), line.registered_model
    version, bundle_hash = registry.version(name, model_bundle["version"]), model_bundle["bundle_hash"]
    if version.bundle_hash != bundle_hash:
        raise PromotionError(
            f"version {version.version} of {name} is bundle {version.bundle_hash[:12] or 'none'} in the registry, "
            f"the one judged is {bundle_hash[:12]}",
            "run the research again: `ljwx run --job research` registers it anew",
        )
    if (moved := notice_moved_alias(line)) is not None:
        context.log.warning(moved.sentence())
    kept = keep_shown(line, promotion_decision, bundle_hash)
    verdict = Verdict(promotion_decision["decision"], promotion_decision["reasons"], version, asked_by(line), kept)
    done = settle(promotion_desk(line), verdict, seen=promotion_decision.get("champion_seen"))
    champion = done.champion
    settled_as = {"decision": done.decision, "reasons": list(done.reasons)}
    judged = promotion_decision | settled_as | {"bundle_hash": bundle_hash}
    registry.describe_version(name, version.version, version_text(line, judged))
    track_promotion(line, judged, version.version, champion.version if champion else "none", figures=figures_of(line))
    alias = "champion" if champion is not None and champion.version == version.version else "none"
    card = Path(model_bundle["path"]) / CARD
    with research_run(line) as run:
        run.artifacts(card, "model_card")
        record_made(line, run)
    end_research_run(line)
    settled = {"name": line.registered_model, "version": version.version, "alias": alias, "decision": done.decision}
    return dg.Output(
        settled | {"reasons": list(done.reasons)},
        metadata={
            **settled,
            "champion_now": champion.version if champion else "none",
            "model_card": dg.MetadataValue.md(card.read_text(encoding="utf-8")),
        },
    )


def figures_of(line: Line) -> dict[str, Any]:
    """Return what the walk forward foretold and the net backtest earned, as the research run names it."""
    walked, back = read_json(line.tables, "walk_forward_summary"), read_json(line.tables, "backtest_summary")
    return {**walked, **{f"backtest.{name}": value for name, value in back["backtest"].items()}}


def keep_shown(line: Line, decision: dict[str, Any], bundle_hash: str) -> str:
    """Keep the net returns that a judged bundle showed, for a later candidate; return the digest of their file."""
    from ljwx_pipeline.evaluation.metrics import returns_of
    from ljwx_pipeline.promotion.rival import Named, ReturnsOfBundles

    equity, _ = curves_of_gate(line, read_table(line.tables, "net_backtest"))
    rival = None if decision["rival"] is None else Named(**decision["rival"])
    return ReturnsOfBundles(line.home / "tracking").keep(bundle_hash, returns_of(equity), rival)


def version_text(line: Line, decision: dict[str, Any]) -> str:
    """Return what MLflow's page says of a version: whether it may trade and why, and where its card is."""
    market = "**Simulated market.** " if line.source().describe().simulated else ""
    said = {"promoted": "Promoted", "refused": "Refused", "awaiting_approval": "Awaits a person's approval"}
    passed = {check["sentence"] for check in decision["checks"] if check["outcome"] == "passed"}
    why = "".join(f"\n- {reason}" for reason in decision["reasons"] if reason not in passed)
    return (
        f"{market}{said[decision['decision']]}.{why}\n\nThe model card, the report and the factors it leans on are "
        f"artifacts of its source run. What the gate asked:\n\n{checks_text(decision)}"
    )
