"""The console serves the market's report pages, and no other file of the machine."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from ljwx_pipeline.config import report_folders
from ljwx_pipeline.console.app import make_app
from ljwx_pipeline.console.journal_reader import Reader


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Return the folder of a market beside another, both with reports."""
    for market in ("ours", "theirs"):
        for folder in (tmp_path / "markets" / market / "report", tmp_path / "reports" / "data-docs" / market):
            folder.mkdir(parents=True)
            (folder / "page.html").write_text(f"<p>of {market}</p>")
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys" / "signing.key").write_text("secret")
    (tmp_path / "markets" / "ours" / "report-secret.html").write_text("secret")
    return tmp_path / "markets" / "ours"


@pytest.fixture
def client(home: Path, tmp_path: Path) -> TestClient:
    folders = report_folders(home, tmp_path / "reports")
    return TestClient(make_app(Reader(tmp_path / "none"), market="ours", reports=folders), base_url="http://127.0.0.1")


@pytest.mark.parametrize("folder", ["report", "data-docs"])
def test_a_page_is_served_read_only_and_may_run_nothing(client: TestClient, folder: str) -> None:
    answer = client.get(f"/reports/{folder}/page.html")
    assert (answer.status_code, answer.text) == (200, "<p>of ours</p>")
    assert answer.headers["content-type"].startswith("text/html")
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert client.head(f"/reports/{folder}/page.html").status_code == 200
    for method in ("POST", "PUT", "DELETE", "PATCH"):
        assert client.request(method, f"/reports/{folder}/page.html").status_code == 405


@pytest.mark.parametrize(
    "path",
    [
        "report/none.html",
        "report",
        "report/",
        "report/.",
        "keys/signing.key",
        "data-docs/../theirs/page.html",
        "data-docs/..%2ftheirs%2fpage.html",
        "data-docs/%2e%2e/theirs/page.html",
        "report/..%2f..%2f..%2fkeys%2fsigning.key",
        "report/..%2freport-secret.html",
        "report/%2fetc%2fpasswd",
        "report//etc/passwd",
        "report/..%5c..%5ckeys",
        "report/page.html%00",
        "report/" + "a" * 5000,
        "tear_sheet/index.html",
    ],
)
def test_nothing_else_is_served(client: TestClient, path: str) -> None:
    answer = client.get(f"/reports/{path}")
    assert answer.status_code == 404, answer.text
    assert "secret" not in answer.text.replace("report-secret.html", "")
    assert "theirs</p>" not in answer.text


def test_a_link_that_leads_out_of_the_folder_is_not_followed(client: TestClient, home: Path) -> None:
    (home / "report" / "out.html").symlink_to(home.parents[1] / "keys" / "signing.key")
    (home / "report" / "up").symlink_to(home.parents[1])
    assert client.get("/reports/report/out.html").status_code == 404
    assert client.get("/reports/report/up/keys/signing.key").status_code == 404


def test_a_pipe_is_no_page(client: TestClient, home: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(home / "report" / "s"))
        assert client.get("/reports/report/s").status_code == 404


def test_another_host_s_name_gets_no_report(client: TestClient) -> None:
    assert client.get("/reports/report/page.html", headers={"host": "evil.example"}).status_code == 400
