"""Layer 6, scoring: the champion's scores for the newest session, and what the runner is handed.

Part of the daily job; trains nothing. Not here: how the champion fares (``monitoring.py``).
"""

from pathlib import Path

import dagster as dg
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from assets.column_lineage import scores_lineage
from assets.features import feast_online_store, feature_store, feature_table, last_research_session
from assets.intervals import issued_intervals, known_until
from assets.metadata import frame_metadata
from assets.model import trained_model
from assets.panels import factor_tables, load_factors, panel_of, research_sessions
from assets.resources import Line
from assets.tracking import flush_tracking, notice_moved_alias
from ljwx_pipeline.clock import utc_now
from ljwx_pipeline.config import ljwx_home
from ljwx_pipeline.dataset import lookback_sessions, scorable_mask
from ljwx_pipeline.dataset.groups import GROUP_TABLES, group_codes, group_measure
from ljwx_pipeline.errors import BundleError, ModelError
from ljwx_pipeline.expressions.evaluate import FactorValues
from ljwx_pipeline.market.calendar import session_positions
from ljwx_pipeline.market.panel import Panel
from ljwx_pipeline.registry import ModelVersion, Registry
from ljwx_pipeline.scoring.bundle import INTERVALS, ModelBundle, load_bundle, verify_files
from ljwx_pipeline.scoring.model import GroupBy
from ljwx_pipeline.scoring.signing import public_key
from ljwx_pipeline.uncertainty.carried import CarriedIntervals
from ljwx_pipeline.uncertainty.scale import MOST_GAP_SESSIONS

GROUP = "scoring"
OWNERS = ["team:quant"]
WARM_UP_SPARE_SESSIONS = 60
SCORED_SESSIONS = 60
#: What the columns mean that the scores of a model of groups have besides.
GROUP_COLUMNS = {
    "group": "code of the group the row was scored in, -1 where unknown",
    "group_measure": "what the champion's groups are made by",
}


@dg.asset(
    group_name=GROUP,
    owners=OWNERS,
    kinds={"lightgbm"},
    deps=[
        feature_table,
        "securities",
        "st_spells",
        "index_members",
        "corporate_actions",
        "industries",
        "market_values",
    ],
)
def daily_scores(
    context: dg.AssetExecutionContext, line: Line, checked_bars: pd.DataFrame, calendar: pd.DataFrame
) -> dg.Output[pd.DataFrame]:
    """The champion's scores over the newest sessions, today's included, with prediction intervals; empty without one.

    Of a model of groups, each row's group as well, and what groups are made by. Empty, too, while the champion cannot
    be scored, for instance as it is of other factors than the configured ones, and the run goes on to train a model;
    a run that trains nothing stops at it.
    """
    flush_tracking(line)
    if (moved := notice_moved_alias(line)) is not None:
        context.log.warning(moved.sentence())
    registry = line.registry()
    champion = registry.champion(line.registered_model)
    empty = pd.DataFrame({"symbol": [], "session_date": pd.to_datetime([]), "score": [], "after_training": []})
    if champion is None:
        return dg.Output(empty, metadata={"champion": "none yet"})
    try:
        bundle = loaded_champion(line, registry, champion)
    except BundleError as error:
        if not _trains(context):
            raise
        context.log.warning(error.fact)
        return dg.Output(empty, metadata={"champion": error.fact})
    panel = panel_of(line, checked_bars, calendar)
    frame, intervals = with_intervals(line, bundle, load_factors(line), checked_bars, panel)
    frame = frame.assign(version=champion.version, bundle_hash=bundle.bundle_hash)
    band = tuple(name for name in ("lower", "upper") if name in frame)
    lineage = scores_lineage(
        line.catalogue,
        line.settings.universe,
        adjustment=line.source().describe().adjustment,
        band=band,
        group_by=bundle.manifest.group_by,
    )
    shown = frame_metadata(frame, lineage, GROUP_COLUMNS)
    return dg.Output(frame, metadata=shown | {"champion": f"version {champion.version}", "intervals": intervals})


def with_intervals(
    line: Line, bundle: ModelBundle, values: FactorValues, bars: pd.DataFrame, panel: Panel
) -> tuple[pd.DataFrame, str]:
    """Return ``scored_rows`` with the ends of the prediction intervals, and a sentence on these for a person.

    NaN ends: no session since the champion's training, a name that is not in the universe, or no interval.
    """
    newest = panel.sessions[-SCORED_SESSIONS:]
    text = bundle.documents.get(INTERVALS)
    if text is None or not line.settings.uncertainty.enabled:
        frame = scored_rows(line, bundle, values, panel).assign(interval_lower=np.nan, interval_upper=np.nan)
        return frame, "none: " + ("the champion's bundle holds none" if text is None else "uncertainty.enabled = false")
    try:
        carried = CarriedIntervals.of_json(text)
        since = len(panel.sessions) - 1 - known_until(carried, panel.sessions)
        frame = scored_rows(line, bundle, values, panel, sessions=max(SCORED_SESSIONS, since))
        found = issued_intervals(line, carried, frame, bars, panel)
    except ModelError as error:
        frame = scored_rows(line, bundle, values, panel)
        return frame.assign(interval_lower=np.nan, interval_upper=np.nan), f"none: {error.fact}"
    frame = frame[frame["session_date"].isin(newest)].reset_index(drop=True)
    joined = frame.merge(found, on=["symbol", "session_date"], how="left", validate="one_to_one")
    share = joined["interval_lower"].notna()[joined["session_date"] == newest[-1]].mean()
    coverage = carried.state.params.coverage
    return joined, f"{coverage:.0%}, of {share:.1%} of the newest session's rows"


def scored_rows(
    line: Line, bundle: ModelBundle, values: FactorValues, panel: Panel, *, sessions: int = SCORED_SESSIONS
) -> pd.DataFrame:
    """Return the champion's scores where there is a bar on the newest sessions, in (session, symbol) order.

    Columns ``symbol``, ``session_date``, ``score`` (NaN for a row without a factor), the band's ends where the model
    has one, ``after_training``, ``scorable``, and of a model of groups those of ``GROUP_COLUMNS``.
    """
    present = ~np.isnan(panel.fields["close"])
    present[:, :-sessions] = False
    rows = values.frame(present)
    features = np.ascontiguousarray(rows[list(values.names)].to_numpy(dtype=np.float32))
    groups = groups_of(line, bundle.manifest.group_by, panel, present)
    said = bundle.predict(features, groups)
    # a score on a session the model was trained on says nothing of its skill: monitoring leaves it out
    after_training = rows["session_date"] > pd.Timestamp(bundle.manifest.last_session)
    scorable = scorable_of(line, panel).T[present.T]
    band = {name: end for name, end in (("lower", said.lower), ("upper", said.upper)) if end is not None}
    grouped = {} if groups is None else {"group": groups, "group_measure": bundle.manifest.group_measure}
    found = rows[["symbol", "session_date"]].assign(score=said.score, **band, after_training=after_training)
    return found.assign(scorable=scorable).assign(**grouped)


def loaded_champion(line: Line, registry: Registry, champion: ModelVersion) -> ModelBundle:
    """Return the champion, verified, of the configured factors, and of groups that the market still tells alike.

    Raises
    ------
    BundleError
        When it is damaged, of another format, of other factors than the configured ones, or of groups made by another
        measure than the market's tables tell now.
    """
    factors, key = line.catalogue, public_key(ljwx_home() / "keys")
    path = champion_bundle(line, registry, champion)
    learned_from = verify_files(path, public_key=key)[0].factor_hash
    if learned_from != factors.version_hash:
        raise BundleError(
            f"the champion, version {champion.version}, was trained on factors {learned_from[:12]}, the catalogue "
            f"{factors.name} is now {factors.version_hash[:12]}: it is not scored",
            "train one of these factors with `ljwx run`, or set factors.catalogue back",
        )
    bundle = load_bundle(path, factor_hash=factors.version_hash, public_key=key, bundle_hash=champion.bundle_hash)
    by, measure = bundle.manifest.group_by, bundle.manifest.group_measure
    told = group_measure(by, {name: line.market_table(name) for name in GROUP_TABLES[by]})
    if measure and told != measure:
        raise BundleError(
            f"the groups by {by} of the champion, version {champion.version}, were made by {measure}, the market's "
            f"tables tell {told}: it is not scored",
            f"train on these tables with `ljwx run`, or bring {measure} back",
        )
    return bundle


def groups_of(line: Line, by: GroupBy, panel: Panel, present: NDArray[np.bool_]) -> NDArray[np.int32] | None:
    """Return the group code of each row where ``present``, in (session, symbol) order, as training told it.

    None for a model without groups.
    """
    if by == "none":
        return None
    universe, tables = line.settings.universe, {name: line.market_table(name) for name in GROUP_TABLES[by]}
    found = group_codes(by, panel, scorable_of(line, panel), tables, universe)
    return None if found is None else found.codes.T[present.T]


def sessions_since_training(line: Line, sessions: pd.DatetimeIndex) -> int:
    """Return how many of ``sessions`` came after the champion's training; 0 without one that can be read.

    The runner brings the champion's intervals forward over them.
    """
    registry = line.registry()
    champion = registry.champion(line.registered_model)
    if champion is None or not line.settings.uncertainty.enabled:
        return 0
    try:
        path = champion_bundle(line, registry, champion)
        manifest = verify_files(path, public_key=public_key(ljwx_home() / "keys"))[0]
    except BundleError:
        return 0  # daily_scores says what is wrong with it
    return int((sessions > pd.Timestamp(manifest.last_session)).sum())


def scorable_of(line: Line, panel: Panel) -> NDArray[np.bool_]:
    """Return who is in the universe at which close, shape ``(n_symbols, n_sessions)``, by today's tables."""
    spells, members = line.market_table("st_spells"), line.market_table("index_members")
    return scorable_mask(panel, line.market_table("securities"), spells, members, line.settings.universe)


def since(table: pd.DataFrame, first: pd.Timestamp) -> pd.DataFrame:
    """Return the rows from session ``first`` on; a table of ranges stays whole."""
    return table[table["session_date"] >= first] if "session_date" in table else table


def _trains(context: dg.AssetExecutionContext) -> bool:
    """Return whether a model is trained later in this run."""
    return trained_model.key in context.job_def.asset_layer.executable_asset_keys


def champion_bundle(line: Line, registry: Registry, champion: ModelVersion) -> Path:
    """Return the champion's bundle, named by its hash: the copy kept here while it is intact, else the registry's.

    Raises
    ------
    BundleError
        When it is damaged, not signed by this line, or another than the version's tag names.
    """
    from ljwx_pipeline.promotion.deploy import intact_bundle

    return intact_bundle(line.home / "champions", registry, champion, public_key=public_key(ljwx_home() / "keys"))


@dg.asset(group_name=GROUP, owners=OWNERS, kinds={"arrow"}, deps=[feast_online_store, "industries", "market_values"])
def session_pack(
    line: Line,
    checked_bars: pd.DataFrame,
    calendar: pd.DataFrame,
    securities: pd.DataFrame,
    st_spells: pd.DataFrame,
    index_members: pd.DataFrame,
    corporate_actions: pd.DataFrame,
) -> dg.MaterializeResult[None]:
    """What the runner trades on: held-out bars, history to warm every factor up, Feast's online features.

    The features of the last research session also go out as a file of their own, which the runner compares with its.
    """
    from ljwx_pipeline.live.feature_file import FEATURES_DIR, write_features
    from ljwx_pipeline.session_pack import write_session_pack

    sessions = pd.DatetimeIndex(calendar["session_date"])
    cut = len(research_sessions(line, calendar))
    position = session_positions(checked_bars["session_date"], sessions)
    spare = max(WARM_UP_SPARE_SESSIONS, MOST_GAP_SESSIONS + 1 + sessions_since_training(line, sessions[:cut]))
    first = max(0, cut - lookback_sessions(line.catalogue, line.settings.universe) - spare)
    history = checked_bars[(position >= first) & (position < cut)]
    feed = checked_bars[position >= cut]
    session = last_research_session(line, calendar)
    present = tuple(sorted(history.loc[history["session_date"] == pd.Timestamp(session), "symbol"]))
    online = feature_store(line).online(present, session)[["symbol", *line.catalogue.names]]
    description = line.source().describe()
    needed = {
        *GROUP_TABLES[line.settings.model.group_by],
        *(["industries"] if line.settings.uncertainty.enabled else []),
    }
    beside = {**factor_tables(line, checked_bars).beside, **{name: line.market_table(name) for name in sorted(needed)}}
    manifest = write_session_pack(
        line.home / "live" / "feed",
        history=history,
        feed=feed,
        securities=securities,
        st_spells=st_spells,
        index_members=index_members,
        corporate_actions=corporate_actions,
        beside={name: since(table, sessions[first]) for name, table in beside.items()},
        online_features=online,
        adjustment=description.adjustment,
        simulated=description.simulated,
    )
    features = write_features(
        line.home / "live" / FEATURES_DIR,
        online,
        session=session,
        factor_hash=line.catalogue.version_hash,
        written_at=utc_now(),
    )
    return dg.MaterializeResult(
        metadata={
            "history_rows": len(history),
            "feed_sessions": len(sessions) - cut,
            "feed_rows": len(feed),
            "last_research_session": manifest.last_research_session,
            "features_file": features.file,
        }
    )
