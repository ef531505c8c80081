"""Layer 7, live: the champion's bundle to the runner, and the paper account back.

Selected by the ``deploy`` job alone; the champion sensor requests it. Not here: the runner itself
(``ljwx_pipeline.live``), which is a process of its own.
"""

import json
import subprocess
import sys
from typing import Any

import dagster as dg

from assets.resources import Line
from assets.scoring import champion_bundle, session_pack
from assets.tracking import promotion_desk, require_promoted
from ljwx_pipeline.config import ljwx_home
from ljwx_pipeline.errors import BundleError, LiveError

GROUP = "live"
OWNERS = ["team:trading"]


@dg.asset(group_name=GROUP, owners=OWNERS, kinds={"http"}, deps=["champion_model", session_pack])
def deployment(line: Line) -> dg.Output[dict[str, Any]]:
    """The champion's bundle in the runner's hands: pushed over loopback if it is up, left in its inbox if not."""
    from ljwx_pipeline.promotion.deploy import RunnerLink
    from ljwx_pipeline.scoring.signing import signing_key

    desk, address = promotion_desk(line), line.settings.ui.address(line.settings.ui.runner_port)
    with desk.one_at_a_time():  # a rollback in between would be overtaken by the champion before it
        champion = desk.champion()
        if champion is None:
            raise LiveError(
                f"{line.registered_model} has no champion", "run the research job: only a promoted model is deployed"
            )
        bundle = champion_bundle(line, desk.registry, champion)
        require_promoted(line, champion.version, bundle.name)
        done = RunnerLink(signing_key(ljwx_home() / "keys"), address, line.home).push(bundle, champion.version)
    return dg.Output(
        {"status": done.status, "version": champion.version, "bundle_hash": done.bundle_hash, "how": done.how},
        metadata={"status": done.status, "version": champion.version, "how": done.how, "bundle_hash": done.bundle_hash},
    )


@dg.asset(group_name=GROUP, owners=OWNERS, kinds={"sqlite"})
def live_account(context: dg.AssetExecutionContext, deployment: dict[str, Any]) -> dg.Output[dict[str, Any]]:
    """The paper account after the held-out sessions, as the runner's journal tells it."""
    context.log.info(f"the runner replays the held-out sessions with version {deployment['version']}")
    # a process of its own: the runner shares nothing with Dagster's, as in production
    done = subprocess.run(
        [sys.executable, "-m", "ljwx_pipeline.cli", "live", "--once"], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise LiveError(
            f"the runner stopped with exit code {done.returncode} ({done.stderr.strip()[-500:]})", "see ljwx doctor"
        )
    account: dict[str, Any] = json.loads(done.stdout)
    return dg.Output(
        account, metadata={key: value for key, value in account.items() if isinstance(value, int | float | str)}
    )


def runner_holds_champion(line: Line) -> bool:
    """Return whether the runner has the champion's intact bundle, an account, and the last run saw both."""
    from ljwx_pipeline.scoring.bundle import verify_files
    from ljwx_pipeline.scoring.signing import public_key

    champion = line.registry().champion(line.registered_model)
    documents = [line.tables / "deployment.json", line.tables / "live_account.json"]
    if champion is None or not all(path.exists() for path in documents):
        return False
    try:
        kept, key = line.home / "live" / "bundles" / champion.bundle_hash, public_key(ljwx_home() / "keys")
        verify_files(kept, public_key=key, bundle_hash=champion.bundle_hash)
    except BundleError:
        return False
    return (line.home / "live" / "account" / "journal.sqlite").exists()
