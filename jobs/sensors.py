"""The sensor that sees a new champion in the model registry and asks for its deployment."""

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import dagster as dg

from assets.resources import Line
from assets.tracking import champion_record, notice_moved_alias

if TYPE_CHECKING:  # the type has no public name
    from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

SENSOR_NAME = "champion_sensor"
DEPLOY_JOB_NAME = "deploy"


@dataclass(frozen=True)
class Handover:
    """One handover asked for: model, version, bundle, and how many came before it. Its text is run key and cursor."""

    model: str
    version: str
    bundle_hash: str
    count: int

    def __str__(self) -> str:
        return f"{self.model}/v{self.version}/{self.bundle_hash}/{self.count}"

    @classmethod
    def parse(cls, text: str | None) -> "Handover | None":
        """Return the handover that ``text`` names; None for no text, or one of another form."""
        matched = re.fullmatch(r"(.+)/v(\d+)/([0-9a-f]{64})/(\d+)", text or "")
        return None if matched is None else cls(matched[1], matched[2], matched[3], int(matched[4]))


def deploy_job(selection: dg.AssetSelection) -> "UnresolvedAssetJobDefinition":
    """Return the job that hands the champion's bundle to the runner and reads the account back."""
    return dg.define_asset_job(
        DEPLOY_JOB_NAME,
        selection=selection,
        description="Hand the champion's bundle to the runner; read its account.",
        # without the market's lock: it reads none of the tables that a run writes, and must not wait for one
        executor_def=dg.in_process_executor,
    )


def champion_sensor(job: "UnresolvedAssetJobDefinition") -> dg.SensorDefinition:
    """Return the sensor; its run key is version and bundle, so that each of them asks for one deployment."""

    @dg.sensor(
        job=job,
        name=SENSOR_NAME,
        minimum_interval_seconds=30,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Watches the champion alias in MLflow; a new promoted version requests the deploy job once.",
    )
    def sensor(context: dg.SensorEvaluationContext, line: Line) -> dg.SensorResult | dg.SkipReason:
        if (moved := notice_moved_alias(line)) is not None:
            context.log.warning(moved.sentence())
        champion = line.registry().champion(line.registered_model)
        if champion is None:
            return dg.SkipReason(f"{line.registered_model} has no champion yet")
        refusal = champion_record(line).refusal(champion.name, champion.version, champion.bundle_hash)
        if refusal is not None:
            return dg.SkipReason(": ".join(refusal))
        seen = Handover.parse(context.cursor)
        now = (champion.name, champion.version, champion.bundle_hash)
        if seen is not None and (seen.model, seen.version, seen.bundle_hash) == now:
            return dg.SkipReason(f"version {seen.version} of {seen.model} was already handed over")
        # the count makes a champion that comes back (a rollback) a request of its own
        asked = Handover(*now, 1 if seen is None else seen.count + 1)
        tags = {"ljwx/model_version": champion.version, "dagster/max_retries": "3"}
        return dg.SensorResult(run_requests=[dg.RunRequest(run_key=str(asked), tags=tags)], cursor=str(asked))

    return sensor
