"""The page of a run in a real browser: its name, its tasks, its artifacts; a picture of it is kept."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from tests.flows.project import Project
from tests.flows.test_catalogue import call

playwright = pytest.importorskip("playwright.sync_api")
NAMES = ("chromium", "chromium-browser", "google-chrome")


@pytest.mark.slow
def test_the_page_of_a_run_shows_its_tasks_and_artifacts(undisturbed: Project, api_url: str, tmp_path: Path) -> None:
    path = next(filter(None, map(shutil.which, NAMES)), None)
    if path is None:
        pytest.skip(f"no browser: none of {', '.join(NAMES)} is installed")
    run_id = next(iter((undisturbed.folder / ".qstar" / "logs").glob("*.jsonl"))).stem
    keys = {found["key"] for found in call(f"{api_url}/artifacts/filter", {
        "artifacts": {"flow_run_id": {"any_": [run_id]}}})}
    assert {"demo-progress", "demo-funnel", "demo-gate", "demo-figures", "demo-report"} <= keys
    with playwright.sync_playwright() as running:
        browser = running.chromium.launch(executable_path=path, chromium_sandbox=os.geteuid() != 0)
        page = browser.new_page(viewport={"width": 1400, "height": 1000})
        page.set_default_timeout(60_000)
        page.goto(f"{api_url.removesuffix('/api')}/runs/flow-run/{run_id}")
        page.get_by_text("demo round 1").first.wait_for()
        page.get_by_text("Completed").first.wait_for()
        page.get_by_text("Artifacts", exact=True).click()
        for key in ("demo-progress", "demo-funnel", "demo-gate"):
            page.get_by_text(key).first.wait_for()
        picture = page.screenshot(path=tmp_path / "run.png")
        browser.close()
    assert picture.startswith(b"\x89PNG") and len(picture) > 20_000
