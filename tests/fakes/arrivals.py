"""What an inbox in a test is given besides its folders, and who trades by what it took in."""

from __future__ import annotations

from pathlib import Path

from ljwx_pipeline.config import load_settings
from ljwx_pipeline.live.inbox import Inbox
from ljwx_pipeline.live.journal import DeployedBundle, Journal
from ljwx_pipeline.live.stage_log import Staging, read_line
from ljwx_pipeline.scoring.bundle import ModelBundle

CONFIG = Path(__file__).resolve().parents[2] / "ljwx.toml"


def at_once(model_name: str) -> Staging:
    """A staging by which each bundle of ``model_name`` is champion as soon as it is accepted."""
    shipped = load_settings(config_file=CONFIG, profile="simulated", environ={}).live.stages
    return Staging({"": model_name}, shipped.model_copy(update={"shadow_sessions": 0, "canary_sessions": 0}))


def trading(inbox: Inbox, journal: Journal) -> tuple[DeployedBundle, ModelBundle] | None:
    """The champion, loaded and verified; None before the first, or after a withdrawal."""
    with journal.store.reading() as connection:
        champion = read_line(connection, "").champion
    return None if champion is None else (champion.bundle, inbox.load(champion.bundle.bundle_hash))


def deploy_into(journal: Journal, model_name: str, bundle: DeployedBundle) -> bool:
    """Let ``journal`` know that ``bundle`` was accepted and is champion; return whether that was new."""
    return journal.append_due(lambda connection: at_once(model_name).arrived(connection, bundle, model_name))
