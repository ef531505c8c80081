"""Jobs whose steps fail, or wait, as their run's tags ask.

Each process of such a job imports this module, so it imports Dagster alone. Not here: what is asked of the jobs.
"""

import time

import dagster as dg


@dg.op(out=dg.DynamicOut(dg.Nothing))
def plan(context: dg.OpExecutionContext):
    for name in ("one", "two"):
        yield dg.DynamicOutput(None, mapping_key=name)


@dg.op(ins={"planned": dg.In(dg.Nothing)}, out=dg.Out(dg.Nothing))
def part(context: dg.OpExecutionContext) -> None:
    if context.get_mapping_key() == context.run.tags.get("fails"):
        raise dg.Failure("the part is broken")
    if context.run.tags.get("waits"):
        time.sleep(60)


@dg.graph
def parts():
    plan().map(part)


@dg.job(executor_def=dg.multiprocess_executor.configured({"max_concurrent": 2}))
def of_parts():
    parts()


@dg.op
def alone() -> None:
    pass


@dg.job
def of_one():
    alone()


def job() -> dg.JobDefinition:
    return of_parts
