"""The Feast repository as a Feast user meets it: through Feast's own command line, from its folder."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import numpy as np
import pandas as pd
import pytest

from ljwx_pipeline.factors.alpha158 import alpha158
from ljwx_pipeline.feature_store import FeatureStoreClient
from ljwx_pipeline.feature_table import feast_table, write_feature_table

REPO = Path(__file__).resolve().parent.parent / "feature_repo"
SESSIONS = pd.bdate_range("2024-03-01", periods=8)
SYMBOLS = ["S00001.SIM", "S00002.SIM"]


def feast(*arguments: str, home: str) -> subprocess.CompletedProcess[str]:
    """Run Feast's command line in the repository's folder."""
    environment = {k: v for k, v in os.environ.items() if k != "LJWX_MARKET_HOME"}
    if home:
        environment["LJWX_MARKET_HOME"] = home
    command = [str(Path(sys.executable).with_name("feast")), *arguments]
    return subprocess.run(command, cwd=REPO, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A market's folder holding a feature table of two symbols and eight sessions."""
    frame = pd.MultiIndex.from_product([SESSIONS, SYMBOLS], names=["session_date", "symbol"]).to_frame(index=False)
    values = np.random.default_rng(5).standard_normal((len(frame), 158)).astype(np.float32)
    values[3, 7] = np.nan
    names = list(alpha158().expressions)
    table = pd.concat([frame[["symbol", "session_date"]], pd.DataFrame(values, columns=names)], axis=1)
    write_feature_table(feast_table(table), tmp_path / "feature_table" / "alpha158.parquet")
    return tmp_path


def test_the_views_fields_are_the_catalogues_and_the_services_name_carries_its_hash(tmp_path: Path):
    client = FeatureStoreClient(REPO, tmp_path)
    applied = client.apply()
    assert applied.features == tuple(alpha158().expressions)
    assert len(applied.features) == 158
    assert applied.feature_views == ("alpha158",)
    assert applied.feature_service == f"alpha158_{alpha158().version_hash[:12]}"
    assert client.feature_table == tmp_path / "feature_table" / "alpha158.parquet"


def test_the_client_serves_and_checks_all_158_columns(home: Path):
    client = FeatureStoreClient(REPO, home)
    client.apply()
    report = client.point_in_time_check(rows=16, seed=1)
    assert report.passed
    assert (report.rows, report.columns) == (16, 158)
    written = client.materialize_online(SESSIONS[1].date())
    online = client.online(SYMBOLS, SESSIONS[1].date())
    assert (written.rows, written.missing_values) == (2, 1)
    assert list(online["missing_count"]) == [0, 1]


@pytest.mark.slow
def test_feasts_own_commands_apply_materialize_and_read_the_same_store(home: Path):
    applied = feast("apply", home=str(home))
    assert applied.returncode == 0, applied.stderr
    listed = feast("feature-services", "list", home=str(home))
    assert f"alpha158_{alpha158().version_hash[:12]}" in listed.stdout
    written = feast("materialize", "2024-03-12T00:00:00", "2024-03-13T00:00:00", home=str(home))
    assert written.returncode == 0, written.stderr
    online = FeatureStoreClient(REPO, home).online(SYMBOLS, SESSIONS[-1].date())
    table = pd.read_parquet(home / "feature_table" / "alpha158.parquet").tail(2)
    names = list(alpha158().expressions)
    np.testing.assert_array_equal(online[names].to_numpy(), table[names].to_numpy())


@pytest.mark.slow
def test_feasts_page_shows_the_entity_the_view_with_every_factor_explained_and_the_service(tmp_path: Path):
    applied = FeatureStoreClient(REPO, tmp_path).apply()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [str(Path(sys.executable).with_name("feast")), "ui", "--host", "127.0.0.1", "--port", str(port)]
    environment = os.environ | {"LJWX_MARKET_HOME": str(tmp_path)}
    log = tmp_path / "log"
    said = {}
    with (
        log.open("w") as output,
        subprocess.Popen(command, cwd=REPO, env=environment, stdout=output, stderr=output) as ui,
    ):
        try:
            deadline = time.monotonic() + 90
            while not said and ui.poll() is None and time.monotonic() < deadline:
                try:
                    for kind in ("entities", "feature_views", "feature_services"):
                        answer = httpx.get(f"http://127.0.0.1:{port}/api/v1/{kind}/all", timeout=10)
                        said[kind] = answer.raise_for_status().json()
                    page = httpx.get(f"http://127.0.0.1:{port}/", timeout=10)
                except httpx.TransportError:
                    said = {}
                    time.sleep(0.5)
        finally:
            ui.terminate()
    assert said, log.read_text()
    assert "<title>" in page.text
    entity = next(entity["spec"] for entity in said["entities"]["entities"] if entity["spec"]["name"] == "symbol")
    view = said["feature_views"]["featureViews"][0]["spec"]
    service = said["feature_services"]["featureServices"][0]["spec"]
    assert (view["name"], service["name"]) == ("alpha158", applied.feature_service)
    assert [field["name"] for field in view["features"]] == list(alpha158().expressions)
    assert {item["owner"] for item in (entity, view, service)} == {"team:quant"}
    assert all(item["description"] for item in (entity, view, service, *view["features"]))
    assert view["tags"]["catalogue_hash"] == service["tags"]["catalogue_hash"] == alpha158().version_hash


def test_without_a_market_folder_feast_says_what_to_export():
    refused = feast("apply", home="")
    assert refused.returncode != 0
    assert "LJWX_MARKET_HOME is not set to an absolute path" in refused.stdout + refused.stderr
    assert sorted(p.name for p in REPO.iterdir() if p.name != "__pycache__") == ["definitions.py", "feature_store.yaml"]


def test_the_repository_imports_of_the_project_only_the_factors():
    text = (REPO / "definitions.py").read_text()
    assert [line for line in text.splitlines() if "import" in line and "ljwx_pipeline" in line] == [
        "from ljwx_pipeline.factors.catalogues import open_catalogue"
    ]
