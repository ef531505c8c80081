"""The sensor that sees a new champion in the model registry and asks for its deployment."""

from typing import TYPE_CHECKING

import dagster as dg

from assets.resources import Line

if TYPE_CHECKING:  # the type has no public name
    from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

SENSOR_NAME = "champion_sensor"
DEPLOY_JOB_NAME = "deploy"


def deploy_job(selection: dg.AssetSelection) -> "UnresolvedAssetJobDefinition":
    """Return the job that hands the champion's bundle to the runner and reads the account back."""
    return dg.define_asset_job(
        DEPLOY_JOB_NAME, selection=selection, description="Hand the champion's bundle to the runner; read its account."
    )


def champion_sensor(job: "UnresolvedAssetJobDefinition") -> dg.SensorDefinition:
    """Return the sensor; its run key is the version, so that one version asks for one deployment."""

    @dg.sensor(
        job=job,
        name=SENSOR_NAME,
        minimum_interval_seconds=30,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Watches the champion alias in MLflow; a new version requests the deploy job once.",
    )
    def sensor(context: dg.SensorEvaluationContext, line: Line) -> dg.SensorResult | dg.SkipReason:
        champion = line.registry().champion(line.registered_model)
        if champion is None:
            return dg.SkipReason(f"{line.registered_model} has no champion yet")
        key = f"{line.registered_model}-v{champion.version}"
        if context.cursor == key:
            return dg.SkipReason(f"{key} was already handed over")
        request = dg.RunRequest(run_key=key, tags={"ljwx/model_version": str(champion.version)})
        return dg.SensorResult(run_requests=[request], cursor=key)

    return sensor
