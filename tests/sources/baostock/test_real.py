"""Real bars through the baostock stub and back: ex-dates and rounding as the exchanges made them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pandas.testing import assert_frame_equal

from ljwx_pipeline.config import BaostockSettings, SourceSettings
from ljwx_pipeline.quality.run import run_checks
from ljwx_pipeline.sources import base
from ljwx_pipeline.sources.baostock import BaostockSource
from tests.fakes.provider_stubs.baostock import BaostockStub
from tests.fakes.provider_stubs.real_panel import FIRST, INDEX, LAST, real_tables

pytestmark = pytest.mark.real_data


def test_real_bars_come_back_as_they_were_traded(real_data_dir: Path) -> None:
    pytest.importorskip("baostock", reason="the baostock extra is not installed")
    market = real_tables(real_data_dir)
    with BaostockStub(market) as stub:
        settings = BaostockSettings(host=stub.host, port=stub.port, calls_per_minute=10_000, timeout_s=5, attempts=1)
        chosen = SourceSettings(kind="baostock", first_session=FIRST, last_session=LAST, symbols=(), as_of="")
        source = BaostockSource(settings, chosen, indices=(INDEX,))
        found, index_bars, suspensions = (
            base.bars(source, FIRST, LAST),
            source.index_bars(FIRST, LAST),
            source.suspensions(FIRST, LAST),
        )
        tables = {"bars": found, "index_bars": index_bars, "securities": source.securities()}
        results = run_checks(tables, source.describe(), source.sessions(FIRST, LAST))
        source.close()
    assert (found.groupby("symbol")["adj_factor"].max() > found.groupby("symbol")["adj_factor"].min()).all()
    exact = ["symbol", "session_date", "open_cny", "high_cny", "low_cny", "close_cny"]
    assert_frame_equal(found[exact], market["bars"][exact])
    np.testing.assert_allclose(found["pre_close_cny"], market["bars"]["pre_close_cny"], atol=0.0051)
    np.testing.assert_allclose(found["adj_factor"], market["bars"]["adj_factor"], atol=1e-6)
    np.testing.assert_allclose(found["volume_shares"], market["bars"]["volume_shares"], atol=0.5)
    np.testing.assert_allclose(found["amount_cny"], market["bars"]["amount_cny"], atol=0.0051)
    assert_frame_equal(suspensions, market["suspensions"])
    assert len(index_bars) == len(market.sessions)
    assert not [result for result in results if result.blocks]
