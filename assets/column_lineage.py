"""What each column of a table asset means, and from which columns it is computed; one function an asset.

Lineage is derived from what the code declares: canonical tables, the fields an expression reads, the columns a function
says it reads. Values only: which rows there are is told by the asset graph. Not here: tables that come from the source,
which have nothing above them, and how Dagster is told (``metadata.py``).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from ljwx_pipeline.config import LabelSettings, UniverseSettings
from ljwx_pipeline.dataset.universe import scorable_reads
from ljwx_pipeline.expressions.evaluate import MEMBERSHIP
from ljwx_pipeline.factors.catalogue import Catalogue, reads_of
from ljwx_pipeline.label import forward_return
from ljwx_pipeline.market.adjustment import FACTOR_FIELDS, columns_read
from ljwx_pipeline.market.panel_fields import field_columns
from ljwx_pipeline.market.tables import OPTIONAL_COLUMNS, TABLES
from ljwx_pipeline.scoring.model import GroupBy
from ljwx_pipeline.trading.market_arrays import CAN_BUY_READS, backtest_reads

#: An asset and a column of it.
Column = tuple[str, str]
#: Of a column, those it is computed from.
Lineage = Mapping[str, Sequence[Column]]

KEYS = ("symbol", "session_date")
#: Columns of ``data_quality`` that count how many symbols were to be expected.
EXPECTATIONS = ("usual_rows", "suspended_rows", "coverage_frac")
#: Columns of ``data_quality`` that count what was found wrong: the schema alone looks at every column.
FINDINGS = ("released_rows", "error_rows", "quarantine_rows", "warn_rows", "clean_frac", "score")
#: Columns of ``net_backtest`` that follow from what was traded.
ACCOUNT = (
    "equity_cny", "cash_cny", "fees_cny", "turnover_frac", "names_held", "largest_position_cny", "slippage_cny",
    "impact_cny",
)  # fmt: skip

#: What a column means, wherever it has this name; factors say their formula instead.
MEANINGS: Mapping[str, str] = {
    "symbol": "the stock's code, with its exchange",
    "session_date": "the session, whose close is the last thing known",
    "open_cny": "first price of the session",
    "high_cny": "highest price of the session",
    "low_cny": "lowest price of the session",
    "close_cny": "last price of the session",
    "pre_close_cny": "previous close, adjusted on an ex-date: the session's reference price",
    "volume_shares": "shares traded in the session",
    "amount_cny": "money traded in the session",
    "adj_factor": "cumulative factor that makes closes a total-return series",
    "session_index": "number of the session in the dataset",
    "symbol_index": "number of the stock in the dataset",
    "event_timestamp": "instant of the session's close",
    "created_timestamp": "instant from which the row may be read",
    "forward_return": "return of a position entered after this close and held for the label's horizon; empty till then",
    "label": "rank of the forward return within its session, -0.5 to 0.5",
    "matured_date": "the session at whose close the forward return is known; empty past the data",
    "enterable": "whether a position could be bought at the entry",
    "scorable": "whether the stock was in the universe at this close",
    "groups": "code of the row's group, -1 where unknown",
    "mean_amount_cny": "mean money traded a session of late",
    "fold": "test fold whose model scored the row",
    "score": "the model's forecast: it orders the stocks of one session",
    "lower": "lower end of the score's band",
    "upper": "upper end of the score's band",
    "interval_lower": "lower end of the prediction interval of the forward return, a fraction",
    "interval_upper": "upper end of the prediction interval of the forward return, a fraction",
    "after_training": "whether the session is later than what the model learned from",
    "version": "the champion's version in the registry",
    "bundle_hash": "what names the champion's files",
    "mean_abs_shap": "mean size of the factor's SHAP values",
    "share_frac": "share of all factors' mean sizes",
    "equity_cny": "cash and holdings at the close",
    "cash_cny": "cash at the close",
    "fees_cny": "commission, stamp duty and transfer fee of the session",
    "turnover_frac": "money traded, one way, as a share of equity",
    "names_held": "stocks held at the close",
    "largest_position_cny": "value of the largest holding at the close",
    "slippage_cny": "what fills cost beyond their base price",
    "impact_cny": "what the orders' own size cost",
}
#: The same of columns of ``data_quality`` alone.
QUALITY_MEANINGS: Mapping[str, str] = {
    "rows": "bars that came",
    "usual_rows": "bars expected",
    "suspended_rows": "stocks known to be suspended",
    "coverage_frac": "bars that came as a share of those expected",
    "released_rows": "bars that broke a rule and were let pass",
    "error_rows": "bars with an error",
    "quarantine_rows": "bars with a finding that holds them back",
    "warn_rows": "bars with a warning",
    "clean_frac": "share of bars that are clean, findings weighed by severity",
    "score": "the session's data quality",
}


def checked_bars_lineage() -> Lineage:
    """Return the lineage of the bars that passed, and of those in quarantine: values stand as they came."""
    return {column: [("raw_bars", column)] for column in TABLES["bars"]}


def quality_lineage() -> Lineage:
    """Return the lineage of the scores in bars and suspensions; what single rules compare these with is left out."""
    expected = _of("raw_bars", KEYS) + _of("suspensions", KEYS)
    found = _of("raw_bars", TABLES["bars"])
    return {
        "session_date": [("calendar", "session_date")],
        "rows": [("raw_bars", "session_date")],
        **dict.fromkeys(EXPECTATIONS, expected),
        **dict.fromkeys(FINDINGS, found),
    }


def factor_lineage(catalogue: Catalogue, universe: UniverseSettings, adjustment: str) -> Lineage:
    """Return the lineage of the factors: the fields that each expression reads, and its cross-section's members."""
    factors = {}
    for name, expression in catalogue.expressions.items():
        reads = reads_of(expression)
        found = _of("checked_bars", columns_read(reads & set(FACTOR_FIELDS), adjustment))
        for field in sorted(reads - set(FACTOR_FIELDS)):
            found += _of_tables(scorable_reads(universe) if field == MEMBERSHIP else field_columns(field))
        factors[name] = list(dict.fromkeys(found))
    return {**_keys_of("checked_bars"), **factors}


def label_lineage(label: LabelSettings, adjustment: str) -> Lineage:
    """Return the lineage of the forward return, of its rank and of when it is known."""
    read = _of("checked_bars", columns_read(forward_return(label).inputs, adjustment))
    known: list[Column] = [("calendar", "session_date")]
    return {**_keys_of("checked_bars"), "forward_return": read, "label": read, "matured_date": known}


def feature_table_lineage(catalogue: Catalogue) -> Lineage:
    """Return the lineage of the feature table: factors as computed, and instants from the session."""
    closed = [("checked_bars", "session_date")]
    instants = {"event_timestamp": closed, "created_timestamp": closed}
    factors = {name: [("factor_values", name)] for name in catalogue.names}
    return {**_keys_of("checked_bars"), **instants, **factors}


def dataset_lineage(
    catalogue: Catalogue,
    universe: UniverseSettings,
    *,
    security_columns: Collection[str],
    group_by: GroupBy = "none",
    with_amounts: bool = False,
) -> Lineage:
    """Return the lineage of the training dataset.

    ``security_columns`` are those of table ``securities``; with ``group_by`` rows have groups, and ``with_amounts``
    mean amounts.
    """
    known = [("forward_return_label", "forward_return")]
    amount: list[Column] = [("checked_bars", "amount_cny")]
    return {
        "session_index": [("feature_table", "session_date")],
        "symbol_index": [("feature_table", "symbol")],
        "forward_return": known,
        "label": known,
        "enterable": _of_tables(_told(CAN_BUY_READS, security_columns)),
        "scorable": _of_tables(scorable_reads(universe)),
        **({} if group_by == "none" else {"groups": _grouped(group_by)}),
        **({"mean_amount_cny": amount} if with_amounts else {}),
        **{name: [("feature_table", name)] for name in catalogue.names},
    }


def predictions_lineage(catalogue: Catalogue) -> Lineage:
    """Return the lineage of the out-of-sample scores: every factor, and the label that models learned from."""
    return {
        "symbol": [("training_dataset", "symbol_index")],
        "session_date": [("training_dataset", "session_index")],
        "fold": [("training_dataset", "session_index")],
        "score": _of("training_dataset", ("label", *catalogue.names)),
        **{name: [("training_dataset", name)] for name in ("forward_return", "enterable", "scorable")},
    }


def explanation_lineage(catalogue: Catalogue) -> Lineage:
    """Return the lineage of what the factors weigh in the model."""
    weighed = _of("training_dataset", ("label", *catalogue.names))
    return {"mean_abs_shap": weighed, "share_frac": weighed}


def backtest_lineage(
    indices: Iterable[str],
    plain: Iterable[str],
    adjustment: str,
    *,
    columns: Collection[str],
    security_columns: Collection[str],
    action_columns: Collection[str] = (),
) -> Lineage:
    """Return the lineage of the account, of the indices and of the plain strategies beside it.

    ``columns`` are those that fills read beside the close (``market_arrays.optional_columns``), ``security_columns``
    and ``action_columns`` those of tables ``securities`` and ``corporate_actions``.
    """
    read = backtest_reads(adjustment, columns, action_columns=action_columns)
    market = _of_tables(_told(read, security_columns))
    traded = _of("walk_forward_predictions", ("score", "scorable")) + market
    points = _of("index_bars", ("index_code", "close_points"))
    return {
        "session_date": [("calendar", "session_date")],
        **dict.fromkeys(ACCOUNT, traded),
        **{f"{code}_points": points for code in indices},
        **{f"{name}_level": [("walk_forward_predictions", "scorable"), *market] for name in plain},
    }


def scores_lineage(
    catalogue: Catalogue,
    universe: UniverseSettings,
    *,
    adjustment: str,
    band: Iterable[str] = (),
    group_by: GroupBy = "none",
) -> Lineage:
    """Return the lineage of the champion's scores, its band's and intervals' ends and, with ``group_by``, the groups.

    The champion's card tells what it learned from.
    """
    scored = _of("factor_values", catalogue.names)
    moved = _of("checked_bars", columns_read({"close"}, adjustment)) + _grouped("industry")
    return {
        **_keys_of("checked_bars"),
        **dict.fromkeys(("score", *band), scored),
        **dict.fromkeys(("interval_lower", "interval_upper"), scored + moved),
        "after_training": [("checked_bars", "session_date")],
        "scorable": _of_tables(scorable_reads(universe)),
        **({} if group_by == "none" else {"group": _grouped(group_by)}),
    }


def _grouped(by: GroupBy) -> list[Column]:
    """Return the columns that a group of industry or size is told by."""
    if by == "industry":
        return _of("industries", ("industry", "start_date", "end_date"))
    return [("market_values", "float_market_value_cny"), ("checked_bars", "amount_cny")]


def _of(asset: str, columns: Iterable[str]) -> list[Column]:
    return [(asset, column) for column in (sorted(columns) if isinstance(columns, frozenset) else columns)]


def _told(read: Mapping[str, Iterable[str]], security_columns: Collection[str]) -> Mapping[str, Iterable[str]]:
    """Return ``read`` without the optional columns that the table of securities does not tell."""
    untold = OPTIONAL_COLUMNS["securities"].keys() - set(security_columns)
    return {**read, "securities": [column for column in read["securities"] if column not in untold]}


def _of_tables(read: Mapping[str, Iterable[str]]) -> list[Column]:
    """Return columns of canonical tables; the bars are those that passed the checks."""
    named = {("checked_bars" if table == "bars" else table): columns for table, columns in read.items()}
    return [column for asset, columns in named.items() for column in _of(asset, columns)]


def _keys_of(asset: str) -> Lineage:
    return {key: [(asset, key)] for key in KEYS}
