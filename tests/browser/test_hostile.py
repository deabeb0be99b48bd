"""Text of datasets and models stays text in a real browser. The fixture fails a test for any dialog, request, window
or line on the console, a violation of the policy included."""

from __future__ import annotations

from dataclasses import replace

import pytest
from playwright.sync_api import expect

from qstar_core.records import GateReport, ModelRef, Outcome
from qstar_core.report.render import render_report
from tests.browser.conftest import Open
from tests.report.example import report_data, shown_of

pytestmark = pytest.mark.browser
HOSTILE = (
    "</script><script>window.ran = 1; alert(1)</script>", "<img src=x onerror='window.ran = 1'>",
    "<svg/onload=window.ran=1>", "javascript:window.ran=1", "<a href='javascript:window.ran=1'>x</a>",
    "'; window.ran = 1; //", "\u2028window.ran = 1\u2029", "\u202egnp.exe\u2066 שלום", "{{7*7}} {% raw %} ${7*7}",
    "a\x00b\x1b[31m", "\ud800 lone \udfff", "<!-- <script>", "]]>", "&lt;b&gt;&amp;", "<style>*{display:none}</style>",
    "<iframe src='https://example.invalid'></iframe>", "__proto__", "constructor", "🦊" * 50,
    "<base href='https://example.invalid/'>", "<meta http-equiv=refresh content='0;url=https://example.invalid'>",
    "=HYPERLINK(1)", "%3Cscript%3E", "very" * 2_500,
)


def hostile_report() -> str:
    """Every text in every place that a text can have."""
    samples = tuple(
        shown_of(index, id=f"{index} {text}"[:70], question=text, hint=f" {text}", answer=text, completion=text,
                 error=text, reason=text, tokens=(text, "ok", f" {text}", "\n", ""),
                 outcome=(Outcome.DROPPED, Outcome.FAILED)[index % 2])
        for index, text in enumerate(HOSTILE))
    data, text = report_data(samples), " ".join(HOSTILE[:-1])
    gate = GateReport(checks=tuple(c.model_copy(update={"name": text, "note": text}) for c in data.gate.checks))
    funnel = tuple(s.model_copy(update={"stage": text, "dropped": {text: 10}}) for s in data.funnel)
    return render_report(replace(data, dataset=text, version=text, round=text, created=text, gate=gate, funnel=funnel,
                                 models={text: ModelRef(name=text, path=text, revision=text, sha256=text)},
                                 settings={text: {text: text}}, speed={text: 1.0}, replay={text: 7}), ())


def test_no_text_runs_or_leaves_the_page(open_page: Open) -> None:
    page = open_page(hostile_report())
    following = page.get_by_role("button", name="Next sample")
    for index in range(len(HOSTILE)):
        expect(page.locator("#detail .ids a").first).to_contain_text(f"{index} ")
        tokens = page.locator(".tokens [role=option]")
        for at in range(tokens.count()):
            tokens.nth(at).focus()
        if index + 1 < len(HOSTILE):
            following.click()
    assert page.evaluate("typeof window.ran") == "undefined"
    assert page.locator("iframe, #detail img, #detail script, #detail style, #detail base, #rows img").count() == 0


def test_hostile_texts_can_be_searched_linked_and_are_shown_as_they_are(open_page: Open) -> None:
    texts = [text for text in HOSTILE if text.isprintable() and len(text) < 80]
    samples = tuple(shown_of(index, id=text, tokens=(text, "x"), answer=text) for index, text in enumerate(texts))
    page = open_page(render_report(report_data(samples), ()))
    for text in texts:
        page.get_by_role("searchbox").fill(text)
        expect(page.locator("#count")).to_contain_text(f" of {len(texts)} samples")
        page.locator("#rows a", has_text=text).first.click()
        expect(page.locator("#detail .ids a[href^='#sample'] bdi")).to_have_text(text)
        expect(page.locator("#detail .answer span")).to_have_text(text)
        assert page.locator(".tokens [role=option]").first.text_content() == text
        page.evaluate("document.getElementById('detail').replaceChildren()")
        page.reload()
        expect(page.locator("#detail .ids a[href^='#sample'] bdi")).to_have_text(text)


def test_the_policy_stops_what_a_mistake_of_ours_would_let_in(open_page: Open) -> None:
    """The belt below the braces: were markup of a text ever parsed, it still could not run."""
    page = open_page(hostile_report(), quiet=False)
    refused = page.evaluate("""() => {
        const refused = [];
        for (const attempt of [
            () => { document.body.innerHTML = "<b>x</b>"; },
            () => { document.createElement("script").text = "window.ran = 1"; },
            () => { document.write("x"); },
        ]) { try { attempt(); } catch (error) { refused.push(error.name); } }
        return refused;
    }""")
    assert len(refused) == 3 and page.evaluate("typeof window.ran") == "undefined"
