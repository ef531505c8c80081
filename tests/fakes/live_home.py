"""A market's home as the pipeline leaves it: pack with true online features, keys, and bundles of the real factors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ljwx_pipeline.clock import SystemClock
from ljwx_pipeline.config import Settings, load_settings, market_name
from ljwx_pipeline.expressions.evaluate import FactorValues, evaluate
from ljwx_pipeline.factors.alpha158 import alpha158
from ljwx_pipeline.market.adjustment import factor_panel
from ljwx_pipeline.market.panel import Panel
from ljwx_pipeline.scoring.model import Model
from ljwx_pipeline.scoring.signing import public_key, signing_key
from ljwx_pipeline.scoring.transfer import pack, request_headers, store, unpack
from tests.fakes.bundles import tiny_booster, tiny_bundle
from tests.fakes.live_market import Tables, live_tables, write_pack

CONFIG = Path(__file__).resolve().parents[2] / "ljwx.toml"


def live_settings(settings: Settings, *, runner_port: int = 8700, console_port: int = 8710) -> Settings:
    """The shipped settings with a strategy for a few names, a gate that seldom binds, and free ports."""
    changes = {
        "strategy": {"top_k": 6, "n_drop": 2, "min_hold_sessions": 2},
        "risk": {"max_weight_per_name_frac": 0.3, "max_price_deviation_frac": 1.0, "max_day_loss_frac": 1.0},
        "live": {"max_bundle_age_days": 3650, "poll_seconds": 0.05},
        "universe": {"min_mean_amount_cny": 0.0},
        "ui": {"runner_port": runner_port, "console_port": console_port},
    }
    sections = {name: getattr(settings, name).model_copy(update=change) for name, change in changes.items()}
    return settings.model_copy(update=sections)


@dataclass(frozen=True)
class Home:
    """The folder ``home`` of a market, and what the pipeline knows."""

    home: Path
    keys: Path
    made: Path
    tables: Tables
    feed_sessions: int

    @property
    def live(self) -> Path:
        """The runner's folder."""
        return self.home / "live"

    @property
    def key(self) -> Ed25519PrivateKey:
        """The pipeline's private key."""
        return signing_key(self.keys)

    def bundle(self, **changes: object) -> Path:
        """A small model over the real factors, trained to 2018."""
        catalogue = alpha158()
        shipped = load_settings(config_file=CONFIG, profile="simulated", environ={})
        manifest = {
            "factor_hash": catalogue.version_hash,
            "last_session": date(2018, 1, 31),
            "model_name": f"{shipped.mlflow.model_name}-{market_name(shipped)}",
            **changes,
        }
        # the first factor, a bar's body over its open, is a few hundredths: by larger ones no two rows would differ
        manifest.setdefault("model", Model.of_booster(tiny_booster(factors=len(catalogue.names), scale=0.02)))
        return tiny_bundle(self.made, self.key, factor_names=catalogue.names, **manifest)

    def spool(self, bundle: Path, version: str) -> None:
        """Lay a bundle into the inbox as the deploy job does while the runner is down."""
        store(unpack(pack(bundle, version)), self.live / "inbox", public_key=public_key(self.keys))

    def request(self, bundle: Path, version: str) -> tuple[bytes, dict[str, str]]:
        """Body and headers that push a bundle."""
        body = pack(bundle, version)
        return body, request_headers(body, moment=SystemClock().now(), key=self.key)

    def research(self) -> tuple[FactorValues, Panel]:
        """All factors over the whole history at once, as research computes them, and their panel."""
        bars = self.tables.bars
        sessions = pd.DatetimeIndex(np.sort(bars["session_date"].unique()), name="session_date")
        symbols = tuple(sorted(self.tables.securities["symbol"]))
        panel = factor_panel(bars, symbols=symbols, sessions=sessions, adjustment="raw")
        return evaluate(alpha158().expressions, panel), panel

    def write_pack(self, *, drift: float = 0.0, beside: Mapping[str, pd.DataFrame] | None = None) -> None:
        """Write the session pack; ``drift`` is added to one of the online features, ``beside`` are further tables."""
        values, panel = self.research()
        cut = len(panel.sessions) - self.feed_sessions - 1
        present = np.zeros(panel.fields["close"].shape, dtype=bool)
        present[:, cut] = np.isfinite(panel.fields["close"][:, cut])
        online = values.frame(present).drop(columns="session_date")
        online.loc[1, "ROC5"] += np.float32(drift)
        folder = self.live / "feed"
        write_pack(folder, self.tables, feed_sessions=self.feed_sessions, online_features=online, beside=beside)


def live_home(folder: Path, *, symbols: int = 24, feed_sessions: int = 8, seed: int = 0) -> Home:
    """Return a home with keys and a pack, and no bundle yet."""
    tables = live_tables(symbols=symbols, sessions=100 + feed_sessions, feed_sessions=feed_sessions, seed=seed)
    home = Home(folder / "markets" / "test", folder / "keys", folder / "made", tables, feed_sessions)
    signing_key(home.keys)
    home.write_pack()
    return home
