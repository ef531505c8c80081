"""A tushare source over a stub, with the clock on the morning after the market's last session."""

from __future__ import annotations

from datetime import datetime, time, timedelta

from ljwx_pipeline.clock import SHANGHAI
from ljwx_pipeline.config import SourceSettings, TushareSettings
from ljwx_pipeline.sources.tushare import TushareSource
from tests.fakes.provider_stubs.tushare import TOKEN, TushareStub
from tests.fakes.provider_stubs.waits import Waits

INDICES = ("000300.SH", "000905.SH", "399006.SZ")


def tushare_settings(endpoint: str, **changes: object) -> TushareSettings:
    """Settings without a token file that hardly limit the rate; ``changes`` override."""
    patience = {"calls_per_minute": 100_000, "timeout_s": 5.0, "attempts": 4}
    values = {"endpoint": endpoint, "token_file": "", "fundamentals": "per_stock", **patience}
    return TushareSettings.model_validate({**values, **changes})


def morning_after(stub: TushareStub) -> Waits:
    """Nine o'clock on the day after the stub's last session."""
    return Waits(datetime.combine(stub.market.last + timedelta(days=1), time(9), SHANGHAI))


def tushare_source(
    stub: TushareStub,
    waits: Waits | None = None,
    *,
    symbols: tuple[str, ...] = (),
    token: str = TOKEN,
    **changes: object,
) -> TushareSource:
    """Return a source over ``stub`` for its whole range; ``changes`` override the settings of tushare."""
    waits = waits or morning_after(stub)
    market = stub.market
    span = {"first_session": market.first, "last_session": market.last, "symbols": symbols}
    return TushareSource(
        tushare_settings(**{"endpoint": stub.endpoint, **changes}),
        SourceSettings.model_validate({"kind": "tushare", "as_of": "", **span}),
        indices=INDICES,
        clock=waits.clock,
        sleep=waits.sleep,
        environ={"TUSHARE_TOKEN": token},
    )
