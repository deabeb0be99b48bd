"""The report page: what it shows, and what no text of a dataset can make it do."""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from qstar_core.errors import DataError
from qstar_core.mixture.alpha import AlphaStatus
from qstar_core.records import GateReport, ModelRef, Outcome
from qstar_core.report.render import render_report
from qstar_core.report.samples import TEXT_CHARACTERS, TOKENS_A_SAMPLE, Budget
from tests.report.example import report_data, shown_of, summary_of

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
        return "".join(data for path, data in self.texts if "style" not in path)

    def tokens(self) -> list[dict[str, str | None]]:
        return [attrs for tag, attrs in self.elements if tag == "span" and "tabindex" in attrs]


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
                                 replay={text: 7}))


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
    assert Page(hostile_page(text)).text.count(text) >= 15


def test_invisible_characters_are_made_visible() -> None:
    page = hostile_page("a\x00b\u202ec\ud800d")
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]", page)
    assert "a␀b[U+202E]c\ufffdd" in page
    page.encode("utf-8")


@pytest.mark.parametrize("text", ["harmless", *HOSTILE])
def test_nothing_outside_the_page_is_referred_to(text: str) -> None:
    parsed = Page(hostile_page(text))
    for tag, attrs in parsed.elements:
        assert tag not in {"script", "link", "iframe", "object", "embed", "base", "form"}
        assert not any(name.startswith("on") or name in {"style", "srcset", "action"} for name in attrs)
        assert "src" not in attrs or (attrs["src"] or "").startswith("data:image/svg+xml;base64,")
        assert (attrs.get("href") or "#").startswith("#")
    sheet = "".join(data for path, data in parsed.texts if path[-1:] == ("style",))
    assert not re.search(r"url\(|@import|https?:|//", sheet)


def test_the_page_and_its_figures_name_no_address(page: str) -> None:
    assert not re.search(r"https?://", page)
    drawings = [base64.b64decode(found).decode() for found in re.findall(r"base64,([A-Za-z0-9+/=]+)\"", page)]
    assert len(drawings) == 4
    for drawing in drawings:
        inner = re.sub(r'xmlns(:\w+)?="[^"]*"', "", drawing)
        assert not re.search(r"https?://|<script|<image|@import", inner)
        assert "prefers-color-scheme:dark" in inner
        assert not re.search(r"#0[1-5]0[1-5]0[1-5]", inner), "a placeholder colour was left"


def test_the_policy_lets_in_this_sheet_only(page: str) -> None:
    policy = next(attrs["content"] or "" for tag, attrs in Page(page).elements
                  if attrs.get("http-equiv") == "Content-Security-Policy")
    sheet = re.search(r"<style>(.*?)</style>", page, re.S)
    assert sheet is not None
    digest = base64.b64encode(hashlib.sha256(sheet.group(1).encode()).digest()).decode()
    assert policy.split("; ") == ["default-src 'none'", f"style-src 'sha256-{digest}'", "img-src data:",
                                  "base-uri 'none'", "form-action 'none'"]
    assert "unsafe" not in policy


def test_the_verdict_comes_first_and_every_check_is_shown(page: str) -> None:
    parsed = Page(page)
    assert parsed.text.index("fail") < parsed.text.index("Key figures") < parsed.text.index("Dropped by reason")
    for check in report_data().gate.checks:
        assert check.name in parsed.text and check.note in parsed.text
    for verdict in ("pass", "warn", "fail", "not applicable"):
        assert f">{verdict}</span>" in page
    assert "2 of 4 checks passed — failed: ESS ratio; warnings: leak rate." in parsed.text
    assert "0.8 to 1.2" in parsed.text and "≤ 0.02" in parsed.text and "≥ 100" in parsed.text


def test_a_gate_without_checks_does_not_look_like_a_passed_one() -> None:
    assert "No check applied to this version." in render_report(report_data(gate=GateReport(checks=())))


def test_key_figures_are_weighted_by_tokens() -> None:
    summaries = (summary_of(alpha_mean=0.2, tokens=10), summary_of(alpha_mean=0.8, tokens=30))
    text = re.sub(r"\s+", " ", Page(render_report(report_data(summaries=summaries))).text)
    assert "Mean α0.65" in text.replace(" α 0", "")
    assert "Keep rate60 %" in text or "Keep rate60.0 %" in text
    assert "Rows kept600" in text and "Tokens per second1,234" in text


def test_the_clamp_rate_is_shown_where_bounds_are_set_and_policies_where_one_chose() -> None:
    def text(settings: dict[str, Any], **changes: Any) -> str:
        summaries = (summary_of(tokens=10, **changes), summary_of(tokens=30))
        return Page(render_report(report_data(settings=settings, summaries=summaries))).text

    free, bound = {"alpha": {"min": 0.0, "max": 1.0}}, {"alpha": {"min": 0.25, "max": 1.0}}
    assert "Clamp rate" not in text(free) and "α by policy" not in text(free)
    assert re.search(r"Clamp rate\s*0(\.0)? %\s*of tokens, α held in 0.25–1", text(bound))
    assert re.search(r"Clamp rate\s*12\.5 %", text(bound, clamped_tokens=5))
    assert re.search(r"α by policy\s*25(\.0)? %", text(free, policy_tokens=10))


def test_rejects_and_failures_are_shown_with_their_reason(page: str) -> None:
    parsed = Page(page)
    classes = [attrs["class"] for tag, attrs in parsed.elements if tag == "details" and "class" in attrs]
    assert classes == ["sample kept", "sample dropped", "sample failed"]
    for text in ("wrong answer", "engine error", "NaN logits at token 3", "The answer is 24."):
        assert text in parsed.text


def test_what_filters_only_logged_and_what_came_from_earlier_versions_is_counted() -> None:
    plain = report_data()
    assert "only logged" not in render_report(plain) and "earlier versions" not in render_report(plain)
    first, *others = plain.funnel
    logged = first.model_copy(update={"logged": {"language de": 2, "duplicate lines": 1200}})
    text = " ".join(Page(render_report(report_data(funnel=(logged, *others),
                                                   replay={"r1-aa": 1000, "r2-bb": 20}))).text.split())
    assert "engine error 10 only logged: duplicate lines 1,200 language de 2 filter" in text
    assert "1,020 more rows come from earlier versions: 1,000 of r1-aa; 20 of r2-bb." in text


def test_the_numbers_of_a_token_are_those_of_its_trace() -> None:
    shown = shown_of(5, length=40)
    tokens = Page(render_report(report_data((shown,)))).tokens()
    trace = shown.trace
    assert trace is not None and len(tokens) == 40
    fields = {"α": trace.alpha, "tv": trace.tv, "log π_θ": trace.logp_theta, "log π_t": trace.logp_t,
              "log q": trace.logq, "KL(q‖π_θ)": trace.kl_theta, "KL(q‖π_t)": trace.kl_t,
              "ESS ratio": trace.ess_theta / trace.ess_t}
    for position, token in enumerate(tokens):
        title, classes = token["title"] or "", (token["class"] or "").split()
        for name, values in fields.items():
            found = re.search(rf"(?:^|[\n·] ?){re.escape(name)} ([−\d.e]+)", title)
            assert found is not None, (name, title)
            assert float(found.group(1).replace("−", "-")) == pytest.approx(float(values[position]), rel=6e-3)
        assert f"a{round(10 * float(trace.alpha[position]))}" in classes
        assert f"v{round(10 * float(trace.tv[position]))}" in classes
        assert ("d" in classes) == (trace.tv[position] > 0.05)


@pytest.mark.parametrize(("question", "hint", "marked"), [
    ("2 + 2?", " It is 4.", [" It is 4."]),
    ("2 + 2?", "", []),
    ("aaaa", "aa", ["aa"]),
])
def test_what_only_the_teacher_sees_is_marked(question: str, hint: str, marked: list[str]) -> None:
    parsed = Page(render_report(report_data((shown_of(0, question=question, hint=hint),))))
    assert [data for path, data in parsed.texts if path[-1:] == ("mark",)] == marked
    prompts = "".join(data for path, data in parsed.texts if "section" in path and "article" in path)
    assert f"user\n{question}{hint}<|im_end|>" in prompts and f"user\n{question}<|im_end|>" in prompts


def test_extreme_numbers_are_said_not_invented() -> None:
    shown = shown_of(0, length=4)
    assert shown.trace is not None
    trace = replace(shown.trace, status=np.int32([AlphaStatus.BOUNDARY, 0, 99, 0]),
                    ess_theta=np.float32([1, 0, 0, 1]), ess_t=np.float32([0, 1, 0, 1]),
                    logp_t=np.float32([-np.inf, -1, -1, -1]), alpha=np.float32([0, 1, np.nan, 0.5]))
    titles = [t["title"] or "" for t in Page(render_report(report_data((replace(shown, trace=trace),)))).tokens()]
    assert "ESS ratio ∞" in titles[0] and "log π_t −∞" in titles[0]
    assert "ESS ratio 0 " in titles[1] and "status" not in titles[1]
    assert titles[0].endswith("status BOUNDARY") and titles[2].endswith("status 99")
    assert "ESS ratio not a number" in titles[2] and "α not a number" in titles[2]


def test_texts_that_do_not_fit_the_trace_are_refused() -> None:
    shown = shown_of(0, length=4)
    with pytest.raises(DataError, match="3 token texts for a trace of 4"):
        render_report(report_data((replace(shown, tokens=shown.tokens[:3]),)))


def test_the_page_stays_bounded() -> None:
    long = "x" * 3_000_000
    samples = tuple(shown_of(i, length=5_000, question=long, hint=long, answer=long) for i in range(25))
    page = render_report(report_data(samples))
    tokens = Page(page).tokens()
    assert len(tokens) == Budget().tokens == 20 * TOKENS_A_SAMPLE
    assert "3,000 more tokens are not shown" in page and "5,000 more tokens are not shown one by one" in page
    assert "more characters]" in page and "x" * (TEXT_CHARACTERS + 1) not in page
    assert len(page) < 20_000_000


def test_an_empty_version_still_makes_a_page() -> None:
    page = render_report(report_data((), funnel=(), summaries=(), models={}, settings={}, speed={}))
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
    assert {(attrs.get("href") or "")[1:] for tag, attrs in parsed.elements if tag == "a"} <= set(ids)
    assert all(scope in {"row", "col"} for scope in
               (attrs.get("scope") for tag, attrs in parsed.elements if tag == "th"))
