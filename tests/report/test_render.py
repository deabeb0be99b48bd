"""The report page: what it shows, and what no text of a dataset can make it do."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from dataclasses import replace
from functools import cache
from html.parser import HTMLParser
from itertools import pairwise
from typing import Any

import pytest

from qstar_core.records import GateReport, ModelRef, Outcome
from qstar_core.report.charts import Chart, charts
from qstar_core.report.render import render_report, script
from tests.report.example import columns_of, report_data, shown_of, summary_of
from tests.report.reading import blocks, samples

MODULE, SHEET = r'<script type="module">(.*?)</script>', r"<style>(.*?)</style>"
VOID = {"meta", "input", "img", "br", "hr", "link"}
HOSTILE = (
    "<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "</style><style>*{display:none}</style>",
    "</title><h1>x</h1>", "{{7*7}}{% raw %}", "שלום \u202egnp.exe\u2066", "a\x00b\x1b[31m", "🦊",
    "' onfocus='alert(1)",
    "\ud800 lone", "<!--", "]]>", "&lt;b&gt;",
)


class Page(HTMLParser):
    """Fails where an element is not closed in order; keeps every element and the texts."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[tuple[tuple[str, ...], str]] = []
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len({name for name, _ in attrs}) == len(attrs), f"an attribute twice in <{tag}>"
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append((tuple(self.open), data))

    @property
    def text(self) -> str:
        return "".join(data for path, data in self.texts if not {"style", "script"} & set(path))


@cache
def drawn() -> tuple[Chart, ...]:
    """The figures, which no text changes, drawn once for all pages of these tests."""
    data = report_data()
    return charts(data.summaries, data.samples)


@cache
def hostile_page(text: str) -> str:
    data = report_data((
        shown_of(0, id=text, question=text, hint=text, answer=text, tokens=(text, "ok", text)),
        shown_of(1, outcome=Outcome.FAILED, reason=text, error=text, completion=text),
    ))
    gate = GateReport(checks=tuple(c.model_copy(update={"name": text, "note": text}) for c in data.gate.checks))
    funnel = tuple(s.model_copy(update={"stage": text, "dropped": {text: 10}, "logged": {text: 3}})
                   for s in data.funnel)
    model = ModelRef(name=text, path=text, revision=text, sha256=text)
    return render_report(replace(data, dataset=text, version=text, round=text, created=text, gate=gate, funnel=funnel,
                                 models={text: model}, settings={text: {text: text}}, speed={text: 1.0},
                                 replay={text: 7}), drawn())


@pytest.fixture(scope="module")
def page() -> str:
    return render_report(report_data())


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_stays_text(text: str) -> None:
    plain, hostile = Page(hostile_page("harmless")), Page(hostile_page(text))
    assert [tag for tag, _ in hostile.elements] == [tag for tag, _ in plain.elements]
    assert [set(attrs) for _, attrs in hostile.elements] == [set(attrs) for _, attrs in plain.elements]


@pytest.mark.parametrize("text", ["<b>bold</b>", "{{7*7}}", "שלום", "🦊", "&lt;b&gt;"])
def test_text_is_shown_as_it_is(text: str) -> None:
    assert Page(hostile_page(text)).text.count(text) >= 12
    shown = samples(hostile_page(text))[0]
    assert shown["id"] == shown["texts"]["answer"] == shown["told"]["text"][0] == text


def test_invisible_characters_are_made_visible() -> None:
    page = hostile_page("a\x00b\u202ec\ud800d")
    forbidden = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
    embedded = json.dumps(blocks(page), ensure_ascii=False)
    assert not forbidden.search(page) and not forbidden.search(embedded)
    assert "a␀b[U+202E]c\ufffdd" in page and "a␀b[U+202E]c\ufffdd" in embedded
    page.encode("utf-8")


@pytest.mark.parametrize("text", ["harmless", *HOSTILE])
def test_nothing_outside_the_page_is_referred_to(text: str) -> None:
    parsed = Page(hostile_page(text))
    for tag, attrs in parsed.elements:
        assert tag not in {"link", "iframe", "object", "embed", "base"}
        assert not any(name.startswith("on") or name in {"style", "srcset", "action"} for name in attrs)
        assert "src" not in attrs or (attrs["src"] or "").startswith("data:image/svg+xml;base64,")
        assert (attrs.get("href") or "#").startswith(("#", "./data"))
        assert tag != "script" or attrs["type"] in {"module", "application/json+deflate"}
    sheet = "".join(data for path, data in parsed.texts if path[-1:] == ("style",))
    assert not re.search(r"url\(|@import|https?:|//", sheet)


def test_the_script_uses_nothing_that_makes_markup_or_code_of_text() -> None:
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|Function\(|srcdoc|fetch\(|"
                         r"XMLHttpRequest|WebSocket|import\b|https?:|</|<!--", script())


def test_the_page_and_its_figures_name_no_address(page: str) -> None:
    assert not re.search(r"https?://", page)
    drawings = [base64.b64decode(found).decode() for found in re.findall(r"base64,([A-Za-z0-9+/=]+)\"", page)]
    assert len(drawings) == 4
    for drawing in drawings:
        inner = re.sub(r'xmlns(:\w+)?="[^"]*"', "", drawing)
        assert not re.search(r"https?://|<script|<image|@import", inner)
        assert "prefers-color-scheme:dark" in inner
        assert not re.search(r"#0[1-5]0[1-5]0[1-5]", inner), "a placeholder colour was left"


def test_the_policy_lets_in_this_sheet_and_this_script_only(page: str) -> None:
    policy = next(attrs["content"] or "" for tag, attrs in Page(page).elements
                  if attrs.get("http-equiv") == "Content-Security-Policy")

    def digest(pattern: str) -> str:
        found = re.search(pattern, page, re.S)
        assert found is not None
        return base64.b64encode(hashlib.sha256(found.group(1).encode()).digest()).decode()

    assert policy.split("; ") == [
        "default-src 'none'", f"script-src 'sha256-{digest(MODULE)}'",
        f"style-src 'sha256-{digest(SHEET)}'", "img-src data:", "base-uri 'none'",
        "form-action 'none'", "require-trusted-types-for 'script'", "trusted-types 'none'"]
    assert "unsafe" not in policy


def test_the_verdict_comes_first_and_every_check_is_shown(page: str) -> None:
    parsed = Page(page)
    assert parsed.text.index("fail") < parsed.text.index("Key figures") < parsed.text.index("Dropped by reason")
    for check in report_data().gate.checks:
        assert check.name in parsed.text and check.note in parsed.text
    for verdict in ("pass", "warn", "fail", "not applicable"):
        assert f">{verdict}</span>" in page
    assert ("Checks: 2 passed, 1 warned, 1 failed, 1 not applicable — failed: ESS ratio; warnings: leak rate."
            in parsed.text)
    assert "0.8 to 1.2" in parsed.text and "≤ 0.02" in parsed.text and "≥ 100" in parsed.text


def test_a_gate_without_checks_does_not_look_like_a_passed_one() -> None:
    assert "No check applied to this version." in render_report(report_data(gate=GateReport(checks=())))


def test_key_figures_are_weighted_by_tokens() -> None:
    summaries = columns_of(summary_of(alpha_mean=0.2, tokens=10), summary_of(alpha_mean=0.8, tokens=30))
    text = re.sub(r"\s+", " ", Page(render_report(report_data(summaries=summaries))).text)
    assert "Mean α0.65" in text.replace(" α 0", "")
    assert "Keep rate60 %" in text or "Keep rate60.0 %" in text
    assert "Rows kept600" in text and "Tokens per second1,234" in text


def test_the_clamp_rate_is_shown_where_bounds_are_set_and_policies_where_one_chose() -> None:
    def text(settings: dict[str, Any], **changes: Any) -> str:
        summaries = columns_of(summary_of(tokens=10, **changes), summary_of(tokens=30))
        return Page(render_report(report_data(settings=settings, summaries=summaries))).text

    free, bound = {"alpha": {"min": 0.0, "max": 1.0}}, {"alpha": {"min": 0.25, "max": 1.0}}
    assert "Clamp rate" not in text(free) and "α by policy" not in text(free)
    assert re.search(r"Clamp rate\s*0(\.0)? %\s*of tokens, α held in 0.25–1", text(bound))
    assert re.search(r"Clamp rate\s*12\.5 %", text(bound, clamped_tokens=5))
    assert re.search(r"α by policy\s*25(\.0)? %", text(free, policy_tokens=10))


def test_rejects_and_failures_are_embedded_with_their_reason(page: str) -> None:
    found = samples(page)
    assert [(row["outcome"], row["reason"]) for row in found] == [
        ("kept", ""), ("dropped", "wrong answer"), ("failed", "engine error")]
    assert found[2]["texts"]["error"] == "NaN logits at token 3" and found[2]["told"] is None
    assert found[2]["alpha_mean"] is None and found[0]["told"] is not None


def test_what_filters_only_logged_and_what_came_from_earlier_versions_is_counted() -> None:
    plain = report_data()
    assert "only logged" not in render_report(plain) and "earlier versions" not in render_report(plain)
    first, *others = plain.funnel
    logged = first.model_copy(update={"logged": {"language de": 2, "duplicate lines": 1200}})
    text = " ".join(Page(render_report(report_data(funnel=(logged, *others),
                                                   replay={"r1-aa": 1000, "r2-bb": 20}))).text.split())
    assert "engine error 10 only logged: duplicate lines 1,200 language de 2 filter" in text
    assert "1,020 more rows come from earlier versions: 1,000 of r1-aa; 20 of r2-bb." in text


def test_an_empty_version_still_makes_a_page() -> None:
    page = render_report(report_data((), funnel=(), summaries=columns_of(), models={}, settings={}, speed={}))
    Page(page)
    assert "No sample was chosen" in page and "No sample has diagnostics" in page and "nan" not in Page(page).text


def test_the_same_data_give_the_same_bytes(page: str) -> None:
    assert render_report(report_data()) == page


def test_the_page_can_be_read_without_seeing_it(page: str) -> None:
    parsed = Page(page)
    tags = [tag for tag, _ in parsed.elements]
    assert {"header", "main", "nav", "footer"} <= set(tags)
    assert tags.count("h1") == 1 and tags.count("caption") == tags.count("table")
    levels = [int(tag[1]) for tag in tags if re.fullmatch("h[1-6]", tag)]
    assert all(after <= before + 1 for before, after in pairwise(levels))
    assert all(attrs.get("alt") for tag, attrs in parsed.elements if tag == "img")
    ids = [attrs["id"] for _, attrs in parsed.elements if "id" in attrs]
    assert len(ids) == len(set(ids))
    links = {attrs.get("href") or "" for tag, attrs in parsed.elements if tag == "a"}
    assert {link[1:] for link in links if not link.startswith(("./", "#sample="))} <= set(ids)
    assert {"./data-docs/data.html", "#sample=sample0131"} <= links
    assert all(scope in {"row", "col"} for scope in
               (attrs.get("scope") for tag, attrs in parsed.elements if tag == "th"))
