"""Keyboard, names, colours and paper."""

from __future__ import annotations

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from tests.browser.conftest import Open
from tests.browser.example import report

pytestmark = pytest.mark.browser


def focused(page: Page) -> str:
    return str(page.evaluate("""() => {
        const node = document.activeElement;
        return node.id || node.name || node.getAttribute("href") || node.getAttribute("aria-label") || node.tagName;
    }"""))


def test_everything_is_reached_by_keyboard(open_page: Open) -> None:
    page = open_page(report())
    page.keyboard.press("Tab")
    assert focused(page) == "#samples"
    page.keyboard.press("Enter")
    walked = []
    for _ in range(22):
        page.keyboard.press("Tab")
        walked.append(focused(page))
    expected = ["words", "outcome-kept", "outcome-dropped", "outcome-failed", "prompt", "why",
                "alpha_mean-low", "alpha_mean-high", "ess_ratio_mean-low", "ess_ratio_mean-high", "tokens-low",
                "tokens-high", "told", "BUTTON", "page-after", "BUTTON", "BUTTON", "BUTTON", "#sample=sample0000", "by",
                "sample-after"]
    assert walked[:len(expected)] == expected


def test_the_list_is_walked_with_arrow_keys_and_a_sample_opened(open_page: Open) -> None:
    page = open_page(report())
    page.locator("#rows a").first.focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    assert focused(page) == "#sample=sample0002"
    page.keyboard.press("Enter")
    expect(page.locator("#detail-title")).to_be_focused()
    expect(page.locator("#detail .ids a").first).to_have_text("sample0002")
    page.locator('#rows a[tabindex="0"]').focus()
    page.keyboard.press("End")
    assert focused(page) == "#sample=sample0239" and page.locator("#page-now").inner_text() == "201 – 240"
    page.keyboard.press("Home")
    assert focused(page) == "#sample=sample0000"


def test_focus_is_seen(open_page: Open) -> None:
    page = open_page(report())
    for selector in ("#rows a[tabindex='0']", "#page-after", "[name=words]", ".tokens [tabindex='0']"):
        page.keyboard.press("Tab")
        page.locator(selector).focus()
        assert page.locator(selector).evaluate("node => getComputedStyle(node).outlineStyle") != "none", selector


def test_names_for_those_who_cannot_see(open_page: Open) -> None:
    page = open_page(report())
    expect(page.locator("#browser")).to_match_aria_snapshot("""
      - search "Samples":
        - searchbox "Search"
        - group "Outcome":
          - checkbox "kept 60" [checked]
          - checkbox "dropped 120" [checked]
          - checkbox "failed 60" [checked]
        - combobox "Reason"
        - group "Mean α":
          - spinbutton "Mean α from"
          - spinbutton "Mean α to"
        - group "ESS ratio":
          - spinbutton "ESS ratio from"
          - spinbutton "ESS ratio to"
        - checkbox "only those told token by token"
        - button "Clear"
      - region "Found samples":
        - status: 240 samples
        - table "Samples found, a page at a time; arrow keys walk through the list":
          - rowgroup:
            - row "Sample α ESS ratio Tokens"
          - rowgroup:
            - row /kept sample0000 .* 0\\.495 1\\.02 20/:
              - rowheader:
                - link "kept sample0000"
      - region "Open sample":
        - group "Colour tokens by":
          - radio "α" [checked]
          - radio "disagreement"
        - article "kept passed every filter":
          - heading "kept passed every filter" [level=3]
          - region "Student’s prompt"
          - region "Teacher’s prompt"
          - listbox "20 tokens; arrow keys walk through them":
            - option /Natalia. α .*/ [selected]
          - group "Numbers of the token"
    """)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(open_page: Open, scheme: str) -> None:
    page = open_page(report(), color_scheme=scheme, bypass_csp=True)
    found = Axe().run(page).response["violations"]
    assert [(rule["id"], [node["target"] for node in rule["nodes"]][:3]) for rule in found] == []


def test_dark_is_dark_and_light_is_light(open_page: Open) -> None:
    def brightness(scheme: str) -> int:
        page = open_page(report(), color_scheme=scheme)
        return int(page.evaluate("getComputedStyle(document.body).backgroundColor.match(/\\d+/)[0]"))

    assert brightness("light") > 200 and brightness("dark") < 60


def test_a_narrow_window_needs_no_scrolling_sideways(open_page: Open) -> None:
    page = open_page(report(), viewport={"width": 360, "height": 780})
    assert page.evaluate("document.documentElement.scrollWidth") <= 360


def test_motion_is_left_out_where_that_is_asked(open_page: Open) -> None:
    page = open_page(report(), reduced_motion="reduce")
    assert page.evaluate("getComputedStyle(document.documentElement).scrollBehavior") == "auto"


def test_paper_has_the_open_sample_and_no_controls(open_page: Open) -> None:
    page = open_page(report())
    page.emulate_media(media="print")
    for selector in ("#filters", "header nav >> nth=0", "header nav >> nth=1", "#list", ".numbers", "#sample-after"):
        expect(page.locator(selector)).to_be_hidden()
    expect(page.locator("#detail .tokens")).to_be_visible()
    expect(page.get_by_role("heading", name="Gate fail")).to_be_visible()
    assert len(page.pdf(format="A4")) > 20_000
