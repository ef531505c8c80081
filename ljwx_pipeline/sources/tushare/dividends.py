"""Dividends and bonus shares, proven by the factors: a factor that moved had a reason.

Not here: what the columns mean (``events.py``).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pandas as pd

from ljwx_pipeline.errors import SourceError
from ljwx_pipeline.observability.progress import told
from ljwx_pipeline.sources.tushare.apis import ADJ_FACTOR, DIVIDEND
from ljwx_pipeline.sources.tushare.cells import dates, numbers
from ljwx_pipeline.sources.tushare.client import LATER, TushareClient
from ljwx_pipeline.sources.tushare.events import corporate_actions
from ljwx_pipeline.sources.tushare.pages import day, fetch

#: Factors are rounded: a smaller relative change is no move.
MOVE = 1e-3
#: A factor also moves for what ``dividend`` does not list, a rights issue above all: share of the moves that may stay
#: without a dividend after both questions, and share of the stocks that are asked about a second time.
UNLISTED_TOLERANCE = 0.1
#: So many may stay without one however few moves there are: of stocks that are told dividends of, and of others.
OTHER_EVENTS, OF_STRANGERS = 3, 1
#: So many may be asked about again however few stocks there are.
ASKED_AGAIN = 20


def proven_actions(
    client: TushareClient, span: pd.DatetimeIndex, symbols: Sequence[str], *, before: pd.Timestamp | None = None
) -> pd.DataFrame:
    """Return the dividends carried out, some outside ``span`` and ``symbols`` among them.

    A call a session, or a call a symbol where that takes fewer. Then the factors are compared from month to month (a
    call each; or all of them by symbol where that takes fewer): a stock whose factor moved without a dividend is asked
    about by its name, and what is denied twice counts as another event.

    Parameters
    ----------
    before
        The session before ``span``; without it an ex-date on the very first session is not proven.

    Raises
    ------
    SourceError
        When too many moves stay without a dividend: the answers were cut short.
    """
    if len(symbols) < len(span):
        rows = _of_symbols(client, symbols)
    else:
        asked = told(list(span), "ex-dates")
        rows = _joined(fetch(client, DIVIDEND, {"ex_date": day(session)}) for session in asked)
    table = corporate_actions(rows)
    moves = _moves(client, span if before is None else span.insert(0, before), symbols)
    bare = _without_dividend(moves, table)
    again = sorted(set(bare["symbol"]))
    if 0 < len(again) <= max(ASKED_AGAIN, UNLISTED_TOLERANCE * len(symbols)):
        rows = _joined([rows, _of_symbols(client, again)])
        table = corporate_actions(rows)
        bare = _without_dividend(moves, table)
    _check_unlisted(bare, moves, set(rows["ts_code"]))
    return table


def _check_unlisted(bare: pd.DataFrame, moves: pd.DataFrame, spoken_of: set[str]) -> None:
    """Check that few moves stay ``bare``, without a dividend: of stocks that were spoken of, and of the others."""
    denied = bare["symbol"].isin(spoken_of)
    share = UNLISTED_TOLERANCE * len(moves)
    silent = max(OF_STRANGERS, share) if len(bare) < len(moves) else 0
    if (~denied).sum() > silent or denied.sum() > max(OTHER_EVENTS, share):
        row = bare.iloc[0]
        raise SourceError(
            f"tushare's dividend has no reason for {len(bare)} of {len(moves)} moves of the factors, first "
            f"{row['symbol']} after {row['after']:%Y-%m-%d} and up to {row['until']:%Y-%m-%d}",
            LATER,
        )


def _of_symbols(client: TushareClient, symbols: Iterable[str]) -> pd.DataFrame:
    return _joined(fetch(client, DIVIDEND, {"ts_code": symbol}) for symbol in symbols)


def _moves(client: TushareClient, span: pd.DatetimeIndex, symbols: Sequence[str]) -> pd.DataFrame:
    """Return ``symbol, after, until``: between these two sessions the factor moved."""
    last_of_month = ~span.to_period("M").duplicated(keep="last")
    checked = span[last_of_month].union(span[:1])
    if len(symbols) < len(checked):
        ends = {"start_date": day(span[0]), "end_date": day(span[-1])}
        rows = _joined(fetch(client, ADJ_FACTOR, {"ts_code": symbol, **ends}) for symbol in symbols)
    else:
        rows = _joined(fetch(client, ADJ_FACTOR, {"trade_date": day(session)}) for session in checked)
    if rows.empty and len(symbols):
        raise SourceError(f"tushare's adj_factor is empty from {span[0]:%Y-%m-%d} to {span[-1]:%Y-%m-%d}", LATER)
    table = pd.DataFrame({"symbol": rows["ts_code"].astype(object), "until": dates(rows, "trade_date", ADJ_FACTOR)})
    table["factor"] = numbers(rows, "adj_factor", ADJ_FACTOR)
    table = table[table["symbol"].isin(symbols)].sort_values(["symbol", "until"], ignore_index=True)
    before = table.groupby("symbol")[["until", "factor"]].shift()
    moved = (table["factor"] / before["factor"] - 1.0).abs() > MOVE
    return table.assign(after=before["until"]).loc[moved, ["symbol", "after", "until"]].reset_index(drop=True)


def _without_dividend(moves: pd.DataFrame, actions: pd.DataFrame) -> pd.DataFrame:
    known = moves.reset_index().merge(actions[["symbol", "ex_date"]], on="symbol")
    inside = (known["ex_date"] > known["after"]) & (known["ex_date"] <= known["until"])
    return moves[~moves.index.isin(known.loc[inside, "index"])]


def _joined(frames: Iterable[pd.DataFrame]) -> pd.DataFrame:
    found = list(frames)
    kept = [frame for frame in found if len(frame)] or found[:1]
    return pd.concat(kept, ignore_index=True)
