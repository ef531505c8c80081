"""What stands on the assets that ask the provider."""

from __future__ import annotations

import dagster as dg

from assets import market


def test_every_asset_that_asks_the_provider_is_in_its_pool() -> None:
    raw_bars = market.raw_bars_asset(dg.MonthlyPartitionsDefinition(start_date="2024-01-01"))
    asking = (market.calendar, market.reference_tables, market.context_tables, market.index_bars, raw_bars)
    assert {asset.op.pool for asset in asking} == {market.POOL}
