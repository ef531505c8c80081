"""A person presses *Materialize* in the Dagster page: the newest month of each provider's stub, through `ljwx up`."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from ljwx_pipeline.market.tables import BARS
from tests.fakes.line_runs import ROOT
from tests.fakes.provider_stubs.process import last_session_before_today
from tests.fakes.provider_stubs.started import PROVIDERS, StubProcess, started_stubs
from tests.fakes.provider_stubs.tushare import TOKEN

pytestmark = pytest.mark.slow

#: What the stubs serve: 20 stocks, a year long.
WORLD = ("--symbols", "20", "--first", "2025-01-02", "--last", "2025-12-31")
YESTERDAY = last_session_before_today()
MONTH = YESTERDAY.replace(day=1)
UP_S, RUN_S = 180.0, 240.0
DONE = ("SUCCESS", "FAILURE", "CANCELED")

#: What the page sends when *Launch 1 run* is pressed for one partition of one asset.
LAUNCH = """mutation($key: String!) { launchRun(executionParams: {
  selector: {repositoryLocationName: "ljwx", repositoryName: "__repository__", pipelineName: "__ASSET_JOB",
             assetSelection: [{path: ["raw_bars"]}]},
  executionMetadata: {tags: [{key: "dagster/partition", value: $key}]}
}) { __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message } } }"""
STATUS = "query($run: ID!) { runOrError(runId: $run) { ... on Run { status } } }"
PARTITIONS = """{ assetNodeOrError(assetKey: {path: ["raw_bars"]}) { ... on AssetNode { partitionKeys } } }"""
SHOWN = """{ assetNodeOrError(assetKey: {path: ["raw_bars"]}) { ... on AssetNode {
  assetMaterializations(limit: 1) { partition metadataEntries { label
    ... on TextMetadataEntry { text } ... on IntMetadataEntry { intValue }
    ... on TableSchemaMetadataEntry { schema { columns { name } } } } }
  assetChecksOrError { ... on AssetChecks { checks { name
    executionForLatestMaterialization { status evaluation { success } } } } } } } }"""


@dataclass(frozen=True)
class Page:
    """The Dagster page of a market that is up."""

    address: str

    def ask(self, query: str, **variables: str) -> dict[str, Any]:
        asked = httpx.post(f"{self.address}/graphql", json={"query": query, "variables": variables}, timeout=60)
        answer: dict[str, Any] = asked.json()
        assert "errors" not in answer, answer
        found: dict[str, Any] = answer["data"]
        return found

    def launch(self, partition: str) -> str:
        """Launch a run of ``raw_bars`` for one partition, wait for its end, and return how it ended."""
        launched = self.ask(LAUNCH, key=partition)["launchRun"]
        assert launched["__typename"] == "LaunchRunSuccess", launched
        deadline, status = time.monotonic() + RUN_S, ""
        while status not in DONE and time.monotonic() < deadline:
            time.sleep(1)
            status = self.ask(STATUS, run=launched["run"]["runId"])["runOrError"]["status"]
        return status


@pytest.fixture(scope="module")
def stubs() -> Iterator[dict[str, StubProcess]]:
    with started_stubs(WORLD) as started:
        yield started


@pytest.mark.parametrize("provider", PROVIDERS)
def test_yesterday_is_materialized_from_the_page_and_every_check_passes(
    provider: str, stubs: dict[str, StubProcess], tmp_path: Path
) -> None:
    with up(tmp_path / "home", provider, stubs[provider]) as page:
        assert page.ask(PARTITIONS)["assetNodeOrError"]["partitionKeys"][-1] == f"{MONTH}"
        assert page.launch(f"{MONTH}") == "SUCCESS"
        node = page.ask(SHOWN)["assetNodeOrError"]

    (newest,) = node["assetMaterializations"]
    entries = {entry["label"]: entry for entry in newest["metadataEntries"]}
    assert newest["partition"] == f"{MONTH}"
    assert entries["last_session"]["text"] == f"{YESTERDAY}"
    assert entries["rows_added"]["intValue"] == entries["dagster/row_count"]["intValue"] > 0
    listed = [column["name"] for column in entries["dagster/column_schema"]["schema"]["columns"]]
    assert listed == list(BARS)

    checks = {
        check["name"]: check["executionForLatestMaterialization"] for check in node["assetChecksOrError"]["checks"]
    }
    assert {"schema", "history_not_restated", "on_time", "quarantine_share"} <= checks.keys()
    assert [name for name, judged in checks.items() if judged is None] == []
    unmet = [name for name, judged in checks.items() if not judged["evaluation"]["success"]]
    assert unmet == [], f"{provider}: {unmet}"


@contextmanager
def up(home: Path, provider: str, stub: StubProcess) -> Iterator[Page]:
    """Start every page of the provider's market on free ports, and stop them at the end."""
    with socket.socket() as one, socket.socket() as two, socket.socket() as three, socket.socket() as four:
        probes = (one, two, three, four)
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        names = ("dagster_port", "mlflow_port", "runner_port", "console_port")
        ports = dict(zip(names, (probe.getsockname()[1] for probe in probes), strict=True))
    settings = {
        "profile": provider,
        "source.first_session": f"{MONTH - timedelta(days=40)}",
        "source.last_session": f"{YESTERDAY}",
        f"{provider}.calls_per_minute": 100_000,
        **stub.settings,
        **{f"ui.{name}": port for name, port in ports.items()},
    }
    environment = dict(os.environ, LJWX_HOME=f"{home}", TUSHARE_TOKEN=TOKEN)
    environment |= {f"LJWX_{key.upper().replace('.', '__')}": str(value) for key, value in settings.items()}
    process = subprocess.Popen(
        [sys.executable, "-m", "ljwx_pipeline.cli", "up"], cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        deadline, said = time.monotonic() + UP_S, ""
        while "all services are up" not in said and time.monotonic() < deadline:
            line = process.stdout.readline()
            said += line
            assert line or process.poll() is None, said
        assert "all services are up" in said, said
        yield Page(f"http://127.0.0.1:{ports['dagster_port']}")
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(timeout=60)
