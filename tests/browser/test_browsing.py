"""Search, filters, order, pages and addresses: what the page shows is what the data say."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from qstar_core.records import MixSummary
from tests.browser.conftest import Open
from tests.browser.example import COUNT, report, version

pytestmark = pytest.mark.browser
SAMPLES = version().samples


def count(page: Page) -> int:
    said = page.locator("#count").inner_text()
    return int(said.split()[0].replace(",", ""))


def ids(page: Page) -> list[str]:
    """Of the rows of the list that are shown, by their addresses."""
    return [link.get_attribute("href").removeprefix("#sample=")  # type: ignore[union-attr]
            for link in page.locator("#rows a").all()]


def summary(index: int) -> MixSummary:
    found = SAMPLES[index].sample.summary
    assert found is not None
    return found


TOLD = [index for index, shown in enumerate(SAMPLES) if shown.sample.summary is not None]


def test_it_opens_from_disk_and_shows_the_first_sample(open_page: Open) -> None:
    page = open_page(report())
    assert count(page) == COUNT and ids(page) == [f"sample{index:04d}" for index in range(50)]
    expect(page.locator("#detail .ids a").first).to_have_text("sample0000")
    expect(page.get_by_text("240 of 10,000 samples are in this file, 180 of them token by token")).to_be_visible()
    assert page.evaluate("scrollY") == 0


def test_without_javascript_everything_but_the_samples_is_there(open_page: Open) -> None:
    page = open_page(report(), ready=False, java_script_enabled=False)
    expect(page.get_by_role("heading", name="Gate fail")).to_be_visible()
    expect(page.locator("noscript")).to_have_count(1)
    expect(page.locator("#browser")).to_be_hidden()


def test_outcomes_and_reasons_can_be_chosen(open_page: Open) -> None:
    page = open_page(report())
    assert page.locator("#count-dropped").inner_text() == "120"
    page.get_by_role("checkbox", name="dropped").uncheck()
    assert count(page) == 120
    page.get_by_role("button", name="Clear").click()
    expect(page.locator("#count")).to_have_text("240 samples")
    page.get_by_label("Reason").select_option(label="dropped · verify · exact duplicate (60)")
    assert count(page) == 60
    assert set(page.locator("#rows .why").all_inner_texts()) == {"exact duplicate"}
    assert page.locator("#count-kept").inner_text() == "0" and page.locator("#count-dropped").inner_text() == "60"
    page.get_by_role("checkbox", name="dropped").uncheck()
    assert page.locator("#count-dropped").inner_text() == "60", "an outcome's count does not follow its own box"
    assert count(page) == 0 and page.locator("#page-now").inner_text() == "nothing found"


@pytest.mark.parametrize(("label", "name", "low", "high"), [
    ("Mean α", "alpha_mean", 0.4, 0.5), ("ESS ratio", "ess_ratio_mean", 0.9, None),
    ("Mean α", "alpha_mean", None, 0.45),
])
def test_ranges_agree_with_the_data(open_page: Open, label: str, name: str, low: float | None,
                                    high: float | None) -> None:
    page = open_page(report())
    if low is not None:
        page.get_by_label(f"{label} from").fill(str(low))
    if high is not None:
        page.get_by_label(f"{label} to").fill(str(high))
    expected = [index for index in TOLD
                if (low is None or getattr(summary(index), name) >= low)
                and (high is None or getattr(summary(index), name) <= high)]
    assert 0 < len(expected) < len(TOLD)
    assert count(page) == len(expected) and ids(page) == [f"sample{index:04d}" for index in expected[:50]]


@pytest.mark.parametrize(("words", "found"), [
    ("\"question 23:\"", 1), ("QUESTION 23", 16), ("clips?   question \"23:\"", 3), ("exact duplicate", 60),
    ("verify wrong", 60), ("\"", COUNT), ("nan logits", 60), ("sample0007", 1), ("no such text", 0), ("(", 0),
    ("<script>", 0), ("the answer is 24", COUNT),
])
def test_search_looks_through_all_texts(open_page: Open, words: str, found: int) -> None:
    page = open_page(report())
    page.get_by_role("searchbox").fill(words)
    expected = "240 samples" if found == COUNT else f"{found} of 240 samples"
    expect(page.locator("#count")).to_have_text(expected)


def test_the_list_has_pages_and_an_order(open_page: Open) -> None:
    page = open_page(report())
    page.get_by_role("button", name="Next page").click()
    assert ids(page)[0] == "sample0050" and page.locator("#page-now").inner_text() == "51 – 100"
    head = page.get_by_role("columnheader", name="α")
    head.get_by_role("button").click()
    expect(head).to_have_attribute("aria-sort", "ascending")
    by_alpha = sorted(TOLD, key=lambda index: (float(f"{summary(index).alpha_mean:.4g}"), index))
    assert ids(page) == [f"sample{index:04d}" for index in by_alpha[:50]]
    head.get_by_role("button").click()
    expect(head).to_have_attribute("aria-sort", "descending")
    assert summary(int(ids(page)[0][6:])).alpha_mean == max(summary(index).alpha_mean for index in TOLD)
    for _ in range(4):
        page.get_by_role("button", name="Next page").click()
    assert len(ids(page)) == COUNT - 200 and page.get_by_role("button", name="Next page").is_disabled()
    assert {SAMPLES[int(name[6:])].verdict.outcome.value for name in ids(page)} == {"failed"}  # no α, so they come last


def test_an_address_opens_its_sample(open_page: Open) -> None:
    page = open_page(report(), fragment="#sample=sample0133")
    expect(page.locator("#detail .ids a").first).to_have_text("sample0133")
    expect(page.locator("#rows tr[aria-current]")).to_contain_text("Natalia")
    assert "101 – 150" in page.locator("#page-now").inner_text()
    page.evaluate("location.hash = '#sample=sample0002'")
    expect(page.locator("#detail .ids a").first).to_have_text("sample0002")
    page.get_by_role("button", name="Next sample").click()
    expect(page.locator("#detail .ids a").first).to_have_text("sample0003")
    assert page.url.endswith("#sample=sample0003")
    page.go_back()
    expect(page.locator("#detail .ids a").first).to_have_text("sample0133")


@pytest.mark.parametrize("name", ["nothing", "%", "", "<img src=x>", "__proto__"])
def test_an_address_that_names_nothing_says_so(open_page: Open, name: str) -> None:
    page = open_page(report(), fragment=f"#sample={name}")
    expect(page.get_by_role("alert")).to_have_text("This file does not have the sample that the address names.")
    assert count(page) == COUNT


def test_a_failed_sample_has_its_error_and_no_numbers(open_page: Open) -> None:
    page = open_page(report(), fragment="#sample=sample0003")
    detail = page.locator("#detail")
    expect(detail.get_by_text("NaN logits at token 3")).to_be_visible()
    expect(detail.get_by_role("heading", name="engine error")).to_be_visible()
    expect(detail.get_by_role("listbox")).to_have_count(0)
    assert re.search("not told token by token", detail.inner_text())


def test_a_prompt_leads_to_all_its_samples_and_a_duplicate_to_the_first(open_page: Open) -> None:
    page = open_page(report(), fragment="#sample=sample0062")
    page.locator("#detail .ids a[data-prompt]").click()
    expect(page.locator("#count")).to_have_text("4 of 240 samples")
    assert ids(page) == [f"sample{index:04d}" for index in (2, 62, 122, 182)]
    page.get_by_label("Prompt", exact=True).fill("p")
    assert count(page) == 0, "the whole id, not its beginning"
    page.get_by_role("button", name="Clear").click()
    expect(page.locator("#count")).to_have_text("240 samples")
    page.locator("#detail h3").get_by_role("link", name="sample0060").click()
    expect(page.locator("#detail .ids a").first).to_have_text("sample0060")


def test_the_gate_leads_to_its_examples(open_page: Open) -> None:
    page = open_page(report())
    page.locator("#gate").get_by_role("link", name="sample0131").click()
    expect(page.locator("#detail .ids a").first).to_have_text("sample0131")


def test_the_numbers_of_a_token_never_cover_the_completion(open_page: Open) -> None:
    for size in ({"width": 1400, "height": 700}, {"width": 380, "height": 700}):
        page = open_page(report(), fragment="#sample=sample0044", viewport=size)
        page.locator(".tokens").get_by_role("option").last.focus()
        tokens, panel = (page.locator(name).bounding_box() for name in (".tokens", ".numbers"))
        assert tokens is not None and panel is not None and panel["y"] >= tokens["y"] + tokens["height"]
        assert page.evaluate("getComputedStyle(document.querySelector('.numbers')).position") == "static"
