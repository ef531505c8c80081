"""Every close of a pack decided by a model and played by the exchange's engine in this process: no journal, no wire."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ljwx_pipeline.config import CostSettings
from ljwx_pipeline.live.decision import Decider, DecidingModel, Portfolio, RunnerSettings
from ljwx_pipeline.live.feed import ReplayFeed
from ljwx_pipeline.live.model import Model
from ljwx_pipeline.live.orders import DecidedOrder
from ljwx_pipeline.uncertainty.abstain import may_buy
from tests.fakes.exchange_world import PlayedSession, opened, play_session, session_order


@dataclass(frozen=True)
class DecidedMarket:
    """What was decided, and what became of it."""

    played: list[PlayedSession]
    orders: list[DecidedOrder]

    @property
    def history(self) -> tuple[list[int], list[int]]:
        """Equity and cash at each close, fen."""
        return [one.equity_fen for one in self.played], [one.cash_fen for one in self.played]


def books_of(played: list[PlayedSession]) -> Portfolio:
    """Return the account at the last close."""
    now = played[-1]
    return Portfolio(
        held=now.positions,
        cash_fen=now.cash_fen,
        equity_fen=now.equity_fen,
        value_fen={one.symbol: one.shares * one.last_price_e4 // 100 for one in now.positions},
        past_equity_fen=[one.equity_fen for one in played[:-1]],
        past_cash_fen=[one.cash_fen for one in played[:-1]],
    )


def decide_and_play(
    pack: Path, state: Path, feed: ReplayFeed, settings: RunnerSettings, costs: CostSettings, model: Model
) -> DecidedMarket:
    """Trade every close of ``pack`` but the last one, as a close trader decides it."""
    decider = Decider(feed, settings)
    deciding = DecidingModel(model.deployed.model_version, model.deployed.last_train_session)
    made = DecidedMarket([], [])
    with opened(pack, state, costs=costs, capital_fen=settings.capital_fen) as exchange:
        for session in feed.sessions:
            made.played.append(play_session(exchange, session))
            following = exchange.market.next_session(session)
            if following is None:
                break
            buyable = None
            if decider.abstains:
                ends = model.scorer.interval_ends(session)
                buyable = may_buy(decider.uncertainty, ends.lower, ends.upper)
            scores = model.scorer.scores(session)
            decided = decider.orders(session, books_of(made.played), scores, buyable, deciding)
            made.orders.extend(decided)
            for intent in (one.intent for one in decided if not one.denial):
                asked = session_order(
                    following, intent.symbol, intent.signed_shares, rank=intent.rank, name=intent.client_order_id
                )
                assert exchange.desk.submit(asked, 1)[0].reason == ""
    return made
