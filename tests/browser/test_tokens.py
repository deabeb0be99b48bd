"""One sample in full: its tokens carry the numbers of the trace, by pointer and by keyboard."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Locator, Page, expect

from qstar_core.records import Trace
from tests.browser.conftest import Open
from tests.browser.example import report, version

pytestmark = pytest.mark.browser
AT = 44
SHOWN = version().samples[AT]


def opened(open_page: Open) -> tuple[Page, Trace]:
    assert SHOWN.trace is not None
    page = open_page(report(), fragment=f"#sample={SHOWN.sample.id}")
    expect(page.locator("#detail .ids a").first).to_have_text(SHOWN.sample.id)
    return page, SHOWN.trace


def spans(page: Page) -> Locator:
    return page.locator(".tokens").get_by_role("option")


def numbers(panel: Locator) -> dict[str, list[float]]:
    """The facts of the panel, by label; the three probabilities in per cent under student, q and teacher."""
    found = {}
    for fact in panel.locator("dl > div").all():
        found[fact.locator("dt").inner_text()] = _floats(fact.locator("dd").inner_text())
    for share in panel.locator(".share").all():
        label = share.locator("span").first.inner_text()
        found[label] = _floats(share.locator("b").inner_text())
        found[f"log {label}"] = _floats(share.locator(".muted").inner_text())
    return found


def _floats(text: str) -> list[float]:
    return [float(part) for part in re.findall(r"-?\d[\d.]*(?:e[+-]?\d+)?", text.replace("−", "-"))]


def test_the_panel_says_what_the_trace_says(open_page: Open) -> None:
    page, trace = opened(open_page)
    tokens, panel = spans(page), page.get_by_role("group", name="Numbers of the token")
    assert tokens.count() == len(trace)
    for at in (0, 3, 7, len(trace) - 1):
        tokens.nth(at).hover()
        expect(panel).to_contain_text(f"token {at + 1} of {len(trace)} · id {int(trace.token[at])}")
        found = numbers(panel)
        expected = {
            "α": [trace.alpha[at]], "ESS ratio": [trace.ess_theta[at] / trace.ess_t[at]],
            "ESS θ, t": [trace.ess_theta[at], trace.ess_t[at]], "model difference (tv)": [trace.tv[at]],
            "KL(q‖π_θ)": [trace.kl_theta[at]], "KL(q‖π_t)": [trace.kl_t[at]], "log Z": [trace.log_z[at]],
            "entropy of π_θ, π_t": [trace.entropy_theta[at], trace.entropy_t[at]],
            "log student": [trace.logp_theta[at]], "log q": [trace.logq[at]], "log teacher": [trace.logp_t[at]],
        }
        for label, values in expected.items():
            assert found[label] == pytest.approx([float(value) for value in values], rel=2e-3, abs=1e-7), label
        assert found["q"] == pytest.approx([100 * 2.718281828 ** float(trace.logq[at])], rel=6e-3)


def test_colours_follow_what_is_chosen(open_page: Open) -> None:
    page, trace = opened(open_page)
    tokens = spans(page)

    def colours() -> list[str]:
        return tokens.evaluate_all("nodes => nodes.map(node => getComputedStyle(node).backgroundColor)")

    seen = {}
    for label, values in (("α", trace.alpha), ("disagreement", trace.tv), ("ESS ratio", trace.ess_theta / trace.ess_t)):
        page.get_by_role("radio", name=label).check()
        seen[label] = colours()
        assert len(set(seen[label])) >= 2
        assert seen[label][int(values.argmin())] != seen[label][int(values.argmax())]
        expect(page.locator(".scale:visible")).to_have_count(1)
    assert len({tuple(found) for found in seen.values()}) == 3
    page.get_by_role("radio", name="nothing").check()
    assert set(colours()) == {"rgba(0, 0, 0, 0)"}
    classes = [(node.get_attribute("class") or "").split() for node in tokens.all()]
    for at, names in enumerate(classes):
        assert f"a{round(10 * float(trace.alpha[at]))}" in names
        assert ("d" in names) == (trace.tv[at] > 0.05)


def test_arrow_keys_walk_through_the_tokens(open_page: Open) -> None:
    page, trace = opened(open_page)
    panel, tokens = page.get_by_role("group", name="Numbers of the token"), spans(page)
    assert page.locator('.tokens [tabindex="0"]').count() == 1
    tokens.first.focus()
    for key, place in (("ArrowRight", 2), ("ArrowDown", 12), ("ArrowLeft", 11), ("End", len(trace)),
                       ("ArrowRight", len(trace)), ("Home", 1), ("ArrowLeft", 1)):
        page.keyboard.press(key)
        expect(panel).to_contain_text(f"token {place} of {len(trace)}")
        assert page.evaluate("document.activeElement.dataset.at") == str(place - 1)
    assert page.locator('.tokens [aria-selected="true"]').count() == 1
    name = tokens.nth(1).get_attribute("aria-label")
    assert name is not None and name.startswith("sold: α ") and "ESS ratio" in name and "model difference" in name


def test_both_prompts_stand_beside_each_other_with_the_hint_marked(open_page: Open) -> None:
    page, _ = opened(open_page)
    boxes = []
    for name, text in (("Student’s prompt", SHOWN.pair.student_text), ("Teacher’s prompt", SHOWN.pair.teacher_text)):
        region = page.get_by_role("region", name=name)
        assert region.text_content() == text
        boxes.append(region.bounding_box())
    assert boxes[0] and boxes[1] and boxes[0]["y"] == boxes[1]["y"] and boxes[0]["x"] < boxes[1]["x"]
    assert page.locator("mark").all_inner_texts() == [" The answer is 24."]
