"""Each filter keeps and drops; the chain gives every sample one outcome, and its funnel adds up."""

from __future__ import annotations

import time
from collections import Counter
from typing import Any

import pytest
from datatrove.data import Document
from hypothesis import given, settings
from hypothesis import strategies as st

from qstar_core.config import DEFAULT_FILTERS, Action, FilterStep
from qstar_core.errors import ConfigError
from qstar_core.filters.base import Candidate
from qstar_core.filters.chain import ENGINE, FILTERS, FilterChain
from qstar_core.filters.code import program_of
from qstar_core.filters.context import NO_CONTEXT
from qstar_core.filters.gopher import GopherFilter, GopherOptions, gopher_rules
from qstar_core.records import FinishReason, FunnelStep, Outcome, Verdict
from tests.filters.candidates import CONTEXT, candidate, failed, summary


def verdict(name: str, given_: Candidate, **options: Any) -> Verdict:
    with FilterChain([FilterStep(name=name, action=Action.DROP, options=options)], CONTEXT) as chain:
        return chain.judge(given_)


LOOPS = "so we add 1 and get 2 , " * 20
PROSE = "Tom has twenty four books and gives five of them to Ana. Then he buys three more, so he has twenty two. "
VARIED = ("Let the number of books be b. Twice as many pens cost six coins less than every book together, while one "
          "chair alone is worth both. Adding what Ana paid on Monday gives forty; half of it went to her brother. "
          "Therefore he owns three items, and nothing else remains to be counted.")
GERMAN = "Tom hat vierundzwanzig Bücher und gibt seiner Schwester fünf davon. Danach kauft er noch drei neue Bücher."
LEAK = "The answer is 22. To see this, we take the 24 books, subtract the 5 books and add the 3 new ones."
CODE = "```python\ndef add(a, b):\n    return a {} b\n```"
TESTS = "assert add(2, 3) == 5"


@pytest.mark.parametrize(("name", "given_", "options", "reason"), [
    ("finish", candidate(), {}, ""),
    ("finish", candidate(finish=FinishReason.LENGTH), {}, "truncated"),
    ("length", candidate("a b c", tokens=4), {"min_tokens": 3, "max_tokens": 3}, ""),
    ("length", candidate("a b c", tokens=4), {"min_tokens": 4}, "too short"),
    ("length", candidate("a b c", tokens=4), {"max_tokens": 2}, "too long"),
    ("length", candidate("a b c", tokens=3, finish=FinishReason.LENGTH), {"min_tokens": 3, "max_tokens": 3}, ""),
    ("length", candidate("", tokens=1), {}, "too short"),
    ("length", candidate("", tokens=5), {"min_tokens": 0}, "too short"),
    ("answer", candidate("the answer is 8."), {}, ""),
    ("answer", candidate("the answer is 9."), {}, "wrong answer"),
    ("answer", candidate("who knows"), {}, "no answer"),
    ("answer", candidate("who knows", gold=None), {}, ""),
    ("code", candidate(CODE.format("+"), TESTS, kind="code"), {}, ""),
    ("code", candidate(CODE.format("-"), TESTS, kind="code"), {}, "tests failed"),
    ("code", candidate(CODE.format("-"), TESTS), {}, ""),
    ("hint_leak", candidate("24 - 5 + 3 = 22. The answer is 22.", "22"), {}, ""),
    ("hint_leak", candidate("As in the reference solution, 24 - 5 + 3 = 22.", "22"), {}, "mentions a hint"),
    ("hint_leak", candidate("As in the Reference\n Solution, it is 22.", "22"), {}, "mentions a hint"),
    ("hint_leak", candidate("By the hint, 22.", "22", question="Use the hint."), {}, ""),
    ("hint_leak", candidate("the hint", "22"), {"phrases": []}, ""),
    ("hint_leak", candidate(LEAK, "22"), {}, "the answer comes first"),
    ("hint_leak", candidate(LEAK, "24"), {}, ""),
    ("hint_leak", candidate(LEAK, "22"), {"gold_first": False}, ""),
    ("hint_leak", candidate("The answer is 22.", "22"), {}, ""),
    ("hint_leak", candidate("22\n\n" + LEAK, "22"), {}, "the answer comes first"),
    ("loop", candidate(PROSE), {}, ""),
    ("loop", candidate(LOOPS), {}, "repeats itself"),
    ("loop", candidate(LOOPS), {"max_repeated": 1.0}, "loops"),
    ("loop", candidate(LOOPS), {"max_repeated": 1.0, "max_turns": 21}, ""),
    ("loop", candidate(LOOPS), {"max_repeated": 1.0, "max_turns": 20}, ""),
    ("loop", candidate(LOOPS), {"max_repeated": 1.0, "max_turns": 19}, "loops"),
    ("loop", candidate("ha " * 100), {"max_repeated": 1.0}, "loops"),
    ("loop", candidate(" ".join(f"{i} + {i} = {2 * i} ;" for i in range(60))), {}, ""),
    ("loop", candidate("我们先看这个问题再想办法。" * 12), {}, "repeats itself"),
    ("gopher", candidate(VARIED), {}, ""),
    ("gopher", candidate("one more line\n" * 5), {}, "duplicate lines"),
    ("gopher", candidate("one more line\n" * 5), {"dup_line_frac": 1.0, "dup_line_char_frac": 1.0}, "top 2 gram"),
    ("gopher", candidate(""), {}, "empty"),
    ("language", candidate(PROSE), {}, ""),
    ("language", candidate(GERMAN), {}, "language de"),
    ("language", candidate(GERMAN), {"languages": ["en", "de"]}, ""),
    ("language", candidate("$\\text{und das ist die Summe aller dieser Zahlen hier}$ \\[x^2\\] 3"), {}, ""),
    ("toxicity", candidate(PROSE), {}, ""),
    ("toxicity", candidate("you are a fucking idiot"), {}, "abusive language"),
    ("pii", candidate("write to a.b@mail.org now"), {}, "e-mail address"),
    ("pii", candidate("write to me@example.com now"), {}, ""),
    ("pii", candidate("write to a.b@mail.org now", question="Repeat a.b@mail.org"), {}, ""),
    ("pii", candidate("the server 8.8.8.8 answers"), {}, "IP address"),
    ("pii", candidate("the server 2001:4860:4860::8888 answers"), {}, "IP address"),
    ("pii", candidate("version 1.2.3, or 192.168.0.1, or 300.1.1.1, at 12:30:45, 1.2.3.4.5"), {}, ""),
    ("pii", candidate("AKIAIOSFODNN7EXAMPLE"), {}, "access key"),
    ("pii", candidate("-----BEGIN RSA PRIVATE KEY-----"), {"kinds": ["email", "ip"]}, ""),
    ("duplicate", candidate(), {}, ""),
    ("near_duplicate", candidate(), {}, ""),
    ("semantic_duplicate", candidate(), {}, ""),
    ("contamination", candidate("no"), {"against": ["exam"], "ngram": 8}, ""),
    ("contamination", candidate("so, one two three FOUR five six-seven eight!"), {"against": ["exam"], "ngram": 8},
     "completion of an evaluation set"),
    ("contamination", candidate("no", question="How many legs has it?"), {"against": ["exam"]},
     "question of an evaluation set"),
    ("contamination", candidate("no", question="How many legs has it?"), {"against": ["exam"], "parts": ["completion"]},
     ""),
    ("diagnostics", candidate(summary=summary(alpha=0.5)), {"bounds": {"alpha_mean": {"low": 0.2, "high": 0.8}}}, ""),
    ("diagnostics", candidate(summary=summary(alpha=0.9)), {"bounds": {"alpha_mean": {"low": 0.2, "high": 0.8}}},
     "alpha_mean outside of its bounds"),
    ("diagnostics", candidate(), {"bounds": {"alpha_mean": {"low": 0.2, "high": 0.8}}}, ""),
    ("reward", candidate("long enough"), {"model": "m", "min_score": 0.5, "calibration": {"slope": 1, "intercept": -3}},
     ""),
    ("reward", candidate("no"), {"model": "m", "min_score": 0.5, "calibration": {"slope": 1, "intercept": -3}},
     "low reward"),
    ("reward", candidate("twelve chars"), {"model": "m", "min_score": 0.5}, ""),
    ("reward", candidate("ten chars"), {"model": "m", "min_score": 0.5}, "low reward"),
])
def test_a_filter_keeps_or_says_why_not(name: str, given_: Candidate, options: dict[str, Any], reason: str) -> None:
    found = verdict(name, given_, **options)
    assert found.reason == reason
    assert found.outcome is (Outcome.DROPPED if reason else Outcome.KEPT)
    assert found.stage == (name if reason else "")
    assert (found.sample_id, found.prompt_id) == (given_.sample.id, given_.sample.prompt_id)


def test_every_filter_is_shown_to_keep_and_to_drop_above_or_in_a_file_of_its_own() -> None:
    cases = test_a_filter_keeps_or_says_why_not.pytestmark[0].args[1]  # type: ignore[attr-defined]
    shown = {(name, bool(reason)) for name, _, _, reason in cases}
    elsewhere = {"duplicate", "near_duplicate", "semantic_duplicate", "judge"}
    assert {name for name in FILTERS if {(name, True), (name, False)} <= shown} == set(FILTERS) - elsewhere


def test_duplicates_are_of_the_same_prompt_and_white_space_does_not_count() -> None:
    chain = FilterChain([FilterStep(name="duplicate")])
    given_ = [candidate("a  b"), candidate("a\nb "), candidate("a b", question="other"), candidate("A b")]
    found = [chain.judge(each) for each in given_]
    assert [each.reason for each in found] == ["", "exact duplicate", "", ""]
    assert [each.duplicate_of for each in found] == ["", given_[0].sample.id, "", ""]


def test_a_completion_that_was_dropped_before_is_no_original() -> None:
    chain = FilterChain([FilterStep(name="finish"), FilterStep(name="duplicate")])
    cut = candidate("a b", finish=FinishReason.LENGTH)
    assert [chain.judge(each).reason for each in (cut, candidate("a b"), candidate("a b"))] == [
        "truncated", "", "exact duplicate"]


def test_a_sample_that_failed_in_the_engine_meets_no_filter() -> None:
    chain = FilterChain(DEFAULT_FILTERS)
    found = [chain.judge(failed()), chain.judge(failed(None))]
    assert [(each.outcome, each.stage, each.reason) for each in found] == [
        (Outcome.FAILED, ENGINE, "the logits are NaN"), (Outcome.FAILED, ENGINE, "unknown error")]
    assert chain.funnel()[0] == FunnelStep(stage=ENGINE, entered=2, kept=0,
                                           dropped={"the logits are NaN": 1, "unknown error": 1})
    assert all(step.entered == 0 for step in chain.funnel()[1:])


CANDIDATES = st.builds(
    candidate, st.sampled_from(["answer 8", "answer 9", "nothing", "", "the answer is 8", "a b c d e f", LOOPS, GERMAN,
                                "mail x@y.org", r"\boxed{\text{B}}", "كم ثمن الكتاب 🙂", "\x00\ud800"]),
    st.sampled_from([None, "8"]), tokens=st.integers(0, 6), summary=st.sampled_from([None, summary(), summary(0.9)]),
    finish=st.sampled_from([FinishReason.STOP, FinishReason.LENGTH]), question=st.sampled_from(["q", "r"]),
) | st.builds(failed)
OPTIONS: dict[str, dict[str, Any]] = {
    "contamination": {"against": ["exam"], "ngram": 5},
    "diagnostics": {"bounds": {"alpha_mean": {"low": 0.2, "high": 0.8}}, "max_z": {"alpha_mean": 3}},
    "reward": {"model": "m", "percentile": 20},
}
STEPS = [FilterStep(name=name, action=action, options=OPTIONS.get(name, {}))
         for name in sorted(set(FILTERS) - {"judge"}) for action in (None, Action.DROP, Action.LOG)]


@settings(deadline=None)
@given(samples=st.lists(CANDIDATES, max_size=30), steps=st.lists(st.sampled_from(STEPS), max_size=6,
                                                                 unique_by=lambda step: step.name))
def test_the_funnel_adds_up(samples: list[Candidate], steps: list[FilterStep]) -> None:
    names = [step.name for step in steps]
    chain = FilterChain(steps, CONTEXT)
    judged = list(chain.judged(lambda: samples, lambda each: each))
    assert [given_ for given_, _ in judged] == samples
    verdicts = [verdict for _, verdict in judged]
    funnel = chain.funnel()
    assert [step.stage for step in funnel] == [ENGINE, *names]
    entering = len(samples)
    for step in funnel:
        assert step.entered == entering
        assert step.entered == step.kept + sum(step.dropped.values())
        assert sum(step.logged.values()) <= step.kept
        entering = step.kept
    outcomes = Counter(each.outcome for each in verdicts)
    assert outcomes[Outcome.KEPT] == entering
    assert outcomes.total() == len(samples)
    told = Counter((each.stage, each.reason) for each in verdicts if each.outcome is not Outcome.KEPT)
    assert told == Counter({(step.stage, reason): n for step in funnel for reason, n in step.dropped.items()})
    logged = Counter(item for each in verdicts for item in each.logged.items())
    assert logged == Counter({(step.stage, reason): n for step in funnel for reason, n in step.logged.items()})
    again = FilterChain(steps, CONTEXT)
    assert [verdict for _, verdict in again.judged(lambda: samples, lambda each: each)] == verdicts


@pytest.mark.parametrize(("steps", "told"), [
    ([{"name": "finish"}, {"name": "poetry"}], ["filters.1.name", "'poetry'", "answer, code, contamination"]),
    ([{"name": "length", "options": {"min_tokens": -1}}], ["filters.0.options.min_tokens", "-1"]),
    ([{"name": "length", "options": {"max_tokens": "many"}}], ["filters.0.options.max_tokens", "'many'", "integer"]),
    ([{"name": "length", "options": {"min": 3}}], ["filters.0.options.min", "not permitted"]),
    ([{"name": "finish", "options": {"x": 1}}], ["filters.0.options.x"]),
    ([{"name": "contamination"}], ["filters.0.options.against is missing"]),
    ([{"name": "reward", "options": {"model": "m"}}], ["filters.0.options", "percentile or min_score"]),
    ([{"name": "reward", "options": {"model": "m", "min_score": 0.7, "percentile": 5}}], ["not both"]),
    ([{"name": "answer", "options": {"method": "regex"}}], ["pattern belongs to method: regex"]),
    ([{"name": "answer", "options": {"method": "regex", "pattern": "a("}}], ["pattern", "not a regular expression"]),
    ([{"name": "answer", "options": {"method": "regex", "pattern": "a"}}], ["needs a group"]),
    ([{"name": "diagnostics", "options": {"bounds": {"mood": {"low": 0, "high": 1}}}}], ["bounds.mood"]),
    ([{"name": "finish"}, {"name": "answer"}, {"name": "finish"}], ["finish, answer, finish", "once"]),
])
def test_filters_that_cannot_be_built(steps: list[dict[str, Any]], told: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        FilterChain(FilterStep(**step) for step in steps)
    assert all(part in str(caught.value) for part in told), str(caught.value)


def test_every_filter_is_known_by_its_own_name() -> None:
    assert {kind.name for kind in FILTERS.values()} == set(FILTERS) >= {step.name for step in DEFAULT_FILTERS}


HOSTILE = [
    "answer" + " " * 20_000, "answer \n" * 6_000, "`" * 40_000, "```\n" * 10_000, "a@" * 20_000, "a." * 20_000,
    "1." * 20_000, "1:" * 20_000, "$" * 20_000, "\\text{" * 6_000, "the answer is the " * 4_000, "x" * 60_000,
    "so " * 20_000, "\u202e🙂\x00\ud800" * 6_000, "Das ist ein langer deutscher Satz mit vielen Wörtern \ud800 hier.",
    "```python" + " " * 40_000, "是" * 20_000, "- " * 20_000, "eyJ" * 12_000, "A) " * 12_000, "((((" * 10_000,
]


@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: f"{text[:9]!a}×{len(text)}")
def test_a_hostile_completion_is_judged_in_a_moment_by_every_filter(text: str) -> None:
    """Nothing raises, nothing goes back and forth: CPU time of filters that judge text by rules."""
    given_ = candidate(text, "B", question="Which one? A) x B) y", tokens=5)
    for name in ("answer", "hint_leak", "loop", "gopher", "language", "pii", "near_duplicate"):
        since = time.process_time()
        verdict(name, given_)
        verdict(name, candidate(text, r"\frac{1}{2}", tokens=5), **({"method": "words"} if name == "answer" else {}))
        assert time.process_time() - since < 2, name
    assert isinstance(program_of(text), str)


@given(st.lists(st.sampled_from(["a", "ab", "b", "1", "12", "2", "x", "+", "\n", "\n\n", "我"]), min_size=1,
                max_size=80), st.sampled_from([0.0, 0.05, 0.3]))
def test_gopher_says_what_datatrove_says(words: list[str], most: float) -> None:
    """Also where words join to the same letters at other places."""
    options = GopherOptions(top_n_grams=((4, 0.9),), dup_n_grams=tuple((n, most) for n in (2, 3, 5, 9)),
                            dup_line_frac=1, dup_para_frac=1, dup_line_char_frac=1, dup_para_char_frac=1)
    text = " ".join(words)
    wanted = gopher_rules(options).filter(Document(text=text, id="s"))
    assert GopherFilter(options, NO_CONTEXT).judge(candidate(text)) == (
        None if wanted is True else wanted[1].replace("_", " "))


def test_gopher_counts_runs_of_at_least_one_word() -> None:
    with pytest.raises(ConfigError, match="dup_n_grams"):
        FilterChain([FilterStep(name="gopher", options={"dup_n_grams": [[0, 0.1]]})])
