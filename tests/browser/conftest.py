"""A real Chromium, found on this machine and never downloaded, and pages that fail a test for anything they should
not do: a line on the console, an error, a dialog, a request, a window.

Without a browser the group is skipped, and the summary says so. With QSTAR_REQUIRE_BROWSER=1 it fails instead.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
Open = Callable[..., Page]


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    path = next(filter(None, map(shutil.which, NAMES)), None)
    if path is None:
        why = f"no browser: none of {', '.join(NAMES)} is installed"
        if os.environ.get("QSTAR_REQUIRE_BROWSER") == "1":
            pytest.fail(why)
        pytest.skip(why)
    with sync_playwright() as playwright:
        # Where tests run as root, as in containers, Chromium refuses its own sandbox.
        browser = playwright.chromium.launch(executable_path=path, chromium_sandbox=os.geteuid() != 0)
        yield browser
        browser.close()


@pytest.fixture
def open_page(chromium: Browser, tmp_path: Path) -> Iterator[Open]:
    """Opens a page's text from disk and waits for its samples. What it did wrong is told when the test ends."""
    wrong: list[str] = []
    contexts = []

    def opened(text: str, *, fragment: str = "", ready: bool = True, quiet: bool = True, **options: Any) -> Page:
        file = tmp_path / f"report-{len(contexts)}.html"
        file.write_text(text, encoding="utf-8")
        context = chromium.new_context(**{"reduced_motion": "reduce", **options})
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(15_000)
        page.on("console", lambda message: quiet and wrong.append(f"console: {message.text}"))
        page.on("pageerror", lambda error: wrong.append(f"error: {error}"))
        page.on("dialog", lambda dialog: (wrong.append(f"dialog: {dialog.message}"), dialog.dismiss()))
        page.on("popup", lambda popup: wrong.append(f"window: {popup.url}"))
        allowed = (file.as_uri(), "data:image/svg+xml")
        page.on("request", lambda request: request.url.startswith(allowed) or wrong.append(f"request: {request.url}"))
        page.goto(file.as_uri() + fragment)
        if ready:
            page.wait_for_selector("html[data-ready]", state="attached")
        return page

    yield opened
    for context in contexts:
        context.close()
    assert wrong == []
